//! What templates see, and what becomes of them: the request for one property of one object, and the path into its
//! answer. Texts without a template are left alone, so a store without any needs no engine.

use postern_plugin_shared::encode;
use postern_sdk::{Context, Datum, Failure, Host, HttpRequest, Job, Request, Template};

use crate::config::{Config, secret_pointer};

/// What is asked for one pick, rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What is sent.
    pub request: HttpRequest,
    /// The path into the answer; empty for the whole.
    pub json_path: String,
}

/// One object with one of its properties.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The object.
    pub object: &'a Request,
    /// The property, if one.
    pub property: Option<&'a str>,
}

/// Rendered texts of one pick, in the order of [`sources`].
type Texts = Vec<Result<String, Failure>>;

/// What to ask for each, in order; all templates are rendered in one call.
pub fn asks(
    host: &dyn Host,
    config: &Config,
    context: &Context,
    wanted: &[Wanted<'_>],
) -> Vec<Result<Ask, Failure>> {
    let secrets = secrets(config, context);
    let mut jobs = Vec::new();
    let mut of_pick = Vec::new();
    for want in wanted {
        // The URL sees its data escaped, everything else as it is.
        let (url, others) = (
            vec![sources(config).remove(0)],
            sources(config).split_off(1),
        );
        for (texts, escaped) in [(url, true), (others, false)] {
            let templates: Vec<Template> = texts
                .into_iter()
                .filter(|(_, text)| is_template(text))
                .map(|(name, source)| Template {
                    name,
                    source: source.to_owned(),
                    options: Vec::new(),
                })
                .collect();
            of_pick.push(templates.len());
            jobs.push(Job {
                data: data(context, &secrets, *want, escaped),
                templates,
            });
        }
    }
    let rendered = render(host, &jobs);
    let mut rendered = rendered.into_iter();
    wanted
        .iter()
        .map(|_| {
            let made = rendered.next().into_iter().chain(rendered.next()).flatten();
            ask(config, &filled(config, made.collect()))
        })
        .collect()
}

fn is_template(text: &str) -> bool {
    text.contains("{{")
}

/// Everything that may be a template, by name; the URL first.
fn sources(config: &Config) -> Vec<(String, &str)> {
    let mut all = vec![("url".to_owned(), config.url.as_str())];
    all.push(("result.jsonPath".to_owned(), &config.json_path));
    all.push((
        "body".to_owned(),
        config.body.as_deref().unwrap_or_default(),
    ));
    let headers = config.headers.iter();
    all.extend(headers.map(|(name, text)| (format!("headers.{name}"), text.as_str())));
    all
}

/// One list of texts a job; none of them is asked for where there is nothing to render.
fn render(host: &dyn Host, jobs: &[Job]) -> Vec<Texts> {
    if jobs.iter().all(|job| job.templates.is_empty()) {
        return jobs.iter().map(|_| Vec::new()).collect();
    }
    let lax = vec![("missingkey".to_owned(), "default".to_owned())];
    let text = |made: Result<Vec<u8>, Failure>| {
        let bytes = made?;
        String::from_utf8(bytes)
            .map_err(|_| Failure::invalid_request("a template made something that is no text"))
    };
    host.render(jobs, &lax)
        .into_iter()
        .map(|results| results.into_iter().map(text).collect())
        .collect()
}

/// Rendered texts in the places of their templates.
fn filled(config: &Config, made: Texts) -> Texts {
    let mut made = made.into_iter();
    let lost = || Failure::internal("the host gave fewer texts than templates");
    sources(config)
        .into_iter()
        .map(|(_, text)| {
            if is_template(text) {
                made.next().unwrap_or_else(|| Err(lost()))
            } else {
                Ok(text.to_owned())
            }
        })
        .collect()
}

fn ask(config: &Config, texts: &[Result<String, Failure>]) -> Result<Ask, Failure> {
    let texts: Vec<&String> = texts
        .iter()
        .map(|t| t.as_ref().map_err(Clone::clone))
        .collect::<Result<_, _>>()?;
    let [url, json_path, body, headers @ ..] = texts.as_slice() else {
        return Err(Failure::internal("the texts of a request are incomplete"));
    };
    let names = config.headers.iter().map(|(name, _)| name.clone());
    let timeout = config
        .timeout_ms
        .map(|ms| ("timeout-ms".to_owned(), ms.to_string()));
    Ok(Ask {
        request: HttpRequest {
            method: config.method.clone(),
            url: (*url).clone(),
            headers: names.zip(headers.iter().map(|h| (*h).clone())).collect(),
            body: (!body.is_empty()).then(|| body.as_bytes().to_vec()),
            options: timeout.into_iter().collect(),
        },
        json_path: json_path.trim().to_owned(),
    })
}

/// Keys of the Secrets: `.NAME.KEY`.
fn secrets(config: &Config, context: &Context) -> Vec<Datum> {
    let mut all: Vec<Datum> = Vec::new();
    for (index, name) in config.secrets.iter().enumerate() {
        let prefix = format!("{}/", secret_pointer(index));
        for credential in &context.credentials {
            let Some(key) = credential.pointer.strip_prefix(&prefix) else {
                continue;
            };
            let path = vec![name.clone(), key.to_owned()];
            // Two Secrets of one name are one to templates; the later one wins.
            all.retain(|datum| datum.path != path);
            let value = credential.value.clone();
            all.push(Datum { path, value });
        }
    }
    all
}

/// `.remoteRef` and the Secrets.
fn data(context: &Context, secrets: &[Datum], want: Wanted<'_>, escaped: bool) -> Vec<Datum> {
    // As Go's QueryEscape: a blank is a plus.
    let text = |text: &str| {
        if escaped {
            encode(text).replace("%20", "+")
        } else {
            text.to_owned()
        }
    };
    let object = want.object;
    let mut fields = vec![
        ("key", text(&object.key)),
        (
            "version",
            text(object.version.as_deref().unwrap_or_default()),
        ),
        ("property", text(want.property.unwrap_or_default())),
    ];
    fields.extend(context.namespace.clone().map(|n| ("namespace", n)));
    let datum = |(name, value): (&str, String)| Datum {
        path: vec!["remoteRef".to_owned(), name.to_owned()],
        value: value.into_bytes(),
    };
    let mut data: Vec<Datum> = fields.into_iter().map(datum).collect();
    for secret in secrets {
        data.retain(|datum| datum.path != secret.path);
        data.push(secret.clone());
    }
    data
}
