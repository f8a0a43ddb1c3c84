//! The provider `fake`: values that stand in the store itself, for trying things out. It pushes nothing.

use std::collections::BTreeMap;

use postern_sdk::{
    Answer, Context, Credential, Descriptor, Failure, Find, Found, Host, Needs, Options, Outcome,
    Page, Part, Pick, Problem, Provider, Query, Request, each, export_provider, parse_config,
    problems_as_failure, value,
};
use serde::Deserialize;

/// The provider.
pub struct Fake;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    data: Vec<Datum>,
    #[serde(default)]
    validation_result: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Datum {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    value_map: Option<BTreeMap<String, String>>,
    #[serde(default)]
    version: String,
}

impl Datum {
    fn text(&self) -> String {
        match &self.value_map {
            Some(map) if self.value.is_empty() => {
                let members = map
                    .iter()
                    .map(|(k, v)| (k.clone(), serde_json::Value::String(v.clone())));
                value::marshal_map(&members.collect())
            }
            _ => self.value.clone(),
        }
    }
}

impl Provider for Fake {
    fn describe() -> Descriptor {
        Descriptor {
            name: "fake".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serves: vec!["fake".to_owned()],
            config_schema: include_str!("schema.json").to_owned(),
            asks: Vec::new(),
            batch_size: 0,
            summary: "values that stand in the store itself, for trying things out".to_owned(),
            // Both are what ESO says of its own.
            options: vec![
                ("capabilities".to_owned(), "ReadWrite".to_owned()),
                ("upkeep".to_owned(), "not-maintained".to_owned()),
            ],
        }
    }

    fn examine(
        config: &str,
        _credentials: &[Credential],
        _options: &Options,
    ) -> Result<Needs, Vec<Problem>> {
        let config: Config = parse_config(config)?;
        let empty = |(i, d): (usize, &Datum)| {
            let no_key = d
                .key
                .is_empty()
                .then(|| Problem::new(format!("/data/{i}/key"), "must not be empty"));
            let no_value = d
                .text()
                .is_empty()
                .then(|| Problem::new(format!("/data/{i}/value"), "must not be empty"));
            no_key.into_iter().chain(no_value)
        };
        let problems: Vec<Problem> = config.data.iter().enumerate().flat_map(empty).collect();
        if problems.is_empty() {
            Ok(Needs::default())
        } else {
            Err(problems)
        }
    }

    /// By the config's own wish 2 is an error, and 1 leaves it open; such a store can be used.
    fn probe(_host: &dyn Host, context: &Context) -> Result<(), Failure> {
        let config: Config = parse_config(&context.config).map_err(|p| problems_as_failure(&p))?;
        match config.validation_result {
            0 => Ok(()),
            1 => Err(Failure::unsupported(
                "the store's validationResult says that nobody knows",
            )),
            _ => Err(Failure::invalid_config(
                "the store's validationResult says that it is in error",
            )),
        }
    }

    fn get_batch(_host: &dyn Host, context: &Context, requests: &[Request]) -> Vec<Outcome> {
        match parse_config::<Config>(&context.config) {
            Ok(config) => requests.iter().map(|r| get(&config, r)).collect(),
            Err(p) => requests
                .iter()
                .map(|_| Outcome::failed(problems_as_failure(&p)))
                .collect(),
        }
    }
}

impl Find for Fake {
    fn list_page(
        _host: &dyn Host,
        context: &Context,
        query: &Query,
        _after: Option<&str>,
    ) -> Result<Page, Failure> {
        // Path and tags are passed over, as they are by ESO's.
        if query.name.is_none() {
            return Err(Failure::unsupported(
                "the provider fake finds by name only; give find.name.regexp",
            ));
        }
        let config: Config = parse_config(&context.config).map_err(|p| problems_as_failure(&p))?;
        let mut newest: BTreeMap<&str, &Datum> = BTreeMap::new();
        for datum in &config.data {
            let other = newest.entry(&datum.key).or_insert(datum);
            if datum.version > other.version {
                *other = datum;
            }
        }
        let found = |d: &Datum| Found {
            key: d.key.clone(),
            version: Some(d.version.clone()).filter(|v| !v.is_empty()),
            value: Some(d.text().into_bytes()),
            ..Found::default()
        };
        Ok(Page {
            found: newest.into_values().map(found).collect(),
            options: vec![("convert-names".to_owned(), "true".to_owned())],
            ..Page::default()
        })
    }
}

fn get(config: &Config, request: &Request) -> Outcome {
    // A value has no metadata here, and the value is the answer all the same, as it is with ESO.
    let version = request.version.as_deref().unwrap_or_default();
    let found = config
        .data
        .iter()
        .rev()
        .find(|d| d.key == request.key && d.version == version);
    let Some(datum) = found else {
        return Outcome::failed(Failure::absent(format!(
            "no value for key {:?} at version {version:?}",
            request.key
        )));
    };
    let text = datum.text();
    Outcome {
        answer: Answer::Parts(each(&request.picks, |p| take(&text, p))),
        tag: None,
        options: Vec::new(),
    }
}

fn take(text: &str, pick: &Pick) -> Result<Part, Failure> {
    let bytes = match &pick.property {
        None => text.as_bytes().to_vec(),
        Some(p) => {
            value::path(text, p).ok_or_else(|| Failure::absent(format!("no property {p:?}")))?
        }
    };
    if !pick.members {
        return Ok(Part::Value(bytes));
    }
    value::raw_members(&bytes)
        .map(Part::Members)
        .ok_or_else(|| {
            Failure::invalid_request("the value is no JSON object, so it has no members")
        })
}

export_provider!(Fake: find);

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;
    impl postern_sdk::Http for Nothing {}
    impl postern_sdk::Files for Nothing {}
    impl postern_sdk::Log for Nothing {}
    impl postern_sdk::Entropy for Nothing {}
    impl postern_sdk::Templating for Nothing {}

    const CONFIG: &str = r#"{"data":[
        {"key":"a","value":"one","version":"v1"},{"key":"a","value":"two","version":"v2"},
        {"key":"plain","value":"{\"user\":{\"name\":\"ada\",\"n\":1.0},\"pw\":\"<x>\"}"},
        {"key":"map","valueMap":{"k":"v"}}]}"#;

    fn context(config: &str) -> Context {
        Context {
            config: config.to_owned(),
            ..Context::default()
        }
    }

    fn read(key: &str, version: Option<&str>, property: Option<&str>, members: bool) -> Answer {
        let picks = vec![Pick {
            property: property.map(str::to_owned),
            members,
        }];
        let request = Request {
            key: key.to_owned(),
            version: version.map(str::to_owned),
            picks,
            ..Request::default()
        };
        Fake::get_batch(&Nothing, &context(CONFIG), &[request])
            .remove(0)
            .answer
    }

    fn value(text: &str) -> Answer {
        Answer::Parts(vec![Part::Value(text.as_bytes().to_vec())])
    }

    fn code(answer: &Answer) -> Option<&str> {
        match answer {
            Answer::Failed(f) => Some(&f.code),
            Answer::Parts(parts) => match parts.first() {
                Some(Part::Failed(f)) => Some(&f.code),
                _ => None,
            },
            Answer::Unchanged => None,
        }
    }

    #[test]
    fn reads_the_version_that_is_asked_for_and_no_other() {
        assert_eq!(read("a", Some("v1"), None, false), value("one"));
        assert_eq!(read("a", Some("v2"), None, false), value("two"));
        assert_eq!(code(&read("a", None, None, false)), Some("absent"));
        assert_eq!(code(&read("b", None, None, false)), Some("absent"));
    }

    #[test]
    fn takes_properties_by_path_and_counts_a_missing_one_as_absent() {
        assert_eq!(read("plain", None, Some("user.name"), false), value("ada"));
        assert_eq!(
            code(&read("plain", None, Some("user.none"), false)),
            Some("absent")
        );
    }

    #[test]
    fn gives_members_with_raw_text_for_those_that_are_no_strings() {
        let want = vec![
            ("pw".to_owned(), b"<x>".to_vec()),
            ("user".to_owned(), br#"{"name":"ada","n":1.0}"#.to_vec()),
        ];
        assert_eq!(
            read("plain", None, None, true),
            Answer::Parts(vec![Part::Members(want)])
        );
        assert_eq!(read("map", None, None, false), value(r#"{"k":"v"}"#));
        assert_eq!(
            code(&read("a", Some("v1"), None, true)),
            Some("invalid-request")
        );
    }

    #[test]
    fn finds_each_key_once_at_its_highest_version() {
        let all = Query {
            name: Some(String::new()),
            ..Query::default()
        };
        let page = Fake::list_page(&Nothing, &context(CONFIG), &all, None).unwrap();
        let found: Vec<_> = page
            .found
            .iter()
            .map(|f| (f.key.as_str(), f.version.as_deref()))
            .collect();
        assert_eq!(found, [("a", Some("v2")), ("map", None), ("plain", None)]);
        assert_eq!(page.found[0].value.as_deref(), Some("two".as_bytes()));
        assert_eq!(page.options[0].0, "convert-names");
        let tags = Query {
            tags: vec![("a".to_owned(), "b".to_owned())],
            ..Query::default()
        };
        let refused = Fake::list_page(&Nothing, &context(CONFIG), &tags, None).unwrap_err();
        assert_eq!(refused.code, "unsupported");
    }

    #[test]
    fn names_the_entries_that_are_empty() {
        let problems = Fake::examine(
            r#"{"data":[{"key":"a","value":"x"},{"key":"","value":""}]}"#,
            &[],
            &Vec::new(),
        )
        .unwrap_err();
        let pointers: Vec<_> = problems.iter().map(|p| p.pointer.as_str()).collect();
        assert_eq!(pointers, ["/data/1/key", "/data/1/value"]);
    }

    #[test]
    fn is_unknown_or_in_error_when_its_validation_result_says_so() {
        let probe = |result: u8| {
            let config = format!(r#"{{"data":[],"validationResult":{result}}}"#);
            Fake::probe(&Nothing, &context(&config)).map_err(|failure| failure.code)
        };
        assert_eq!(probe(0), Ok(()));
        assert_eq!(probe(1), Err("unsupported".to_owned()));
        assert_eq!(probe(2), Err("invalid-config".to_owned()));
    }
}
