//! A provider that misbehaves as the config's member `do` says: each limit and each rule of the host is broken by one word.
//!
//! Other members: `url`, `urls`, `n` (a count or size), `root` and `path`. Every word that is not known is answered honestly.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package postern:hostile;
        world hostile {
            include postern:plugin/provider@0.1.0;
            export postern:plugin/login@0.1.0;
            export postern:plugin/find@0.1.0;
        }
    ",
    world: "postern:hostile/hostile",
    generate_all,
});

mod misdeeds;

use exports::postern::plugin::{check, describe, find, login, read};
use postern::plugin::types::{Context, Failure};
use serde_json::Value;

struct Hostile;
export!(Hostile);

impl describe::Guest for Hostile {
    fn describe() -> describe::Descriptor {
        describe::Descriptor {
            name: "hostile".into(),
            version: "0.1.0".into(),
            serves: vec!["hostile".into()],
            config_schema:
                r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"}"#
                    .into(),
            asks: vec![describe::Ask {
                kind: "host".into(),
                what: "*".into(),
                why: "to try".into(),
                options: vec![],
            }],
            batch_size: 100,
            summary: "misbehaves on request".into(),
            options: vec![],
        }
    }
}

impl check::Guest for Hostile {
    fn examine(
        config: String,
        credentials: Vec<check::Credential>,
        _: Vec<(String, String)>,
    ) -> Result<check::Needs, Vec<check::Problem>> {
        let config = parse(&config);
        if config["do"] == "examine-http" {
            let _ = misdeeds::get(config["url"].as_str().unwrap_or_default());
        }
        if config["do"] == "problem" {
            let problem = check::Problem {
                pointer: "/do".into(),
                message: "no".into(),
                options: vec![],
            };
            return Err(vec![problem]);
        }
        let endpoints = config["url"].as_str().map(|origin| check::Endpoint {
            origin: origin.into(),
            ca: credentials
                .first()
                .map(|c| check::Material::Pem(c.value.clone())),
            client_certificate: Some(check::Material::Pointer("/cert".into())),
            client_key: None,
            server_name: None,
            options: vec![],
        });
        let reference = check::Reference {
            pointer: "/auth/secretRef".into(),
            audiences: vec!["vault".into()],
            expires_in_s: Some(600),
            options: vec![],
        };
        Ok(check::Needs {
            per_namespace: config["do"] == "per-namespace",
            references: vec![reference],
            endpoints: endpoints.into_iter().collect(),
            options: vec![],
        })
    }

    fn probe(context: Context) -> Result<(), Failure> {
        let config = parse(&context.config);
        match config["do"].as_str() {
            Some("probe-denied") => Err(failure("denied", "the backend said no")),
            _ => Ok(()),
        }
    }
}

impl login::Guest for Hostile {
    fn open(context: Context) -> Result<login::Session, Failure> {
        let Some(credential) = context.credentials.first() else {
            return Err(failure("unauthenticated", "no credential came along"));
        };
        let token = [b"session-of-".as_slice(), &credential.value].concat();
        Ok(login::Session {
            token,
            expires_in_ms: Some(60_000),
            options: vec![],
        })
    }

    fn renew(context: Context) -> Result<login::Session, Failure> {
        Ok(login::Session {
            token: context.session.unwrap_or_default(),
            expires_in_ms: None,
            options: vec![],
        })
    }

    fn close(_: Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl read::Guest for Hostile {
    fn get_batch(context: Context, requests: Vec<read::Request>) -> Vec<read::Outcome> {
        misdeeds::read(&context, &parse(&context.config), &requests)
    }
}

impl find::Guest for Hostile {
    fn list_page(
        context: Context,
        query: find::Query,
        after: Option<String>,
    ) -> Result<find::Page, Failure> {
        let config = parse(&context.config);
        let count = if config["do"] == "many-found" {
            config["n"].as_u64().unwrap_or(1)
        } else {
            2
        };
        let found = (0..count).map(|i| find::Found {
            key: format!("{}{i}", query.path.as_deref().unwrap_or_default()),
            name: None,
            version: None,
            value: (i == 0).then(|| b"along".to_vec()),
            tag: None,
            options: vec![],
        });
        let next = if after.is_none() {
            Some("more".into())
        } else {
            None
        };
        Ok(find::Page {
            found: found.collect(),
            next,
            names_applied: query.name.is_some(),
            options: match after {
                None => vec![("convert-names".into(), "true".into())],
                Some(_) => vec![],
            },
        })
    }
}

fn parse(config: &str) -> Value {
    serde_json::from_str(config).unwrap_or(Value::Null)
}

fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure {
        code: code.into(),
        message: message.into(),
        retry_after_ms: None,
        detail: vec![],
    }
}
