//! Reads values that a web server holds: `GET {url}/{key}`.
//!
//! It is where a provider of your own begins: replace the config, the request and what an answer means. All but the last
//! line is plain Rust, so `cargo test` needs no component.

use postern_sdk::{
    Answer, Ask, Context, Credential, Descriptor, Endpoint, Failure, Host, HttpRequest,
    HttpResponse, Needs, Options, Outcome, Part, Pick, Problem, Provider, Reference, Request, each,
    export_provider, parse_config, problems_as_failure, value,
};
use serde::Deserialize;

/// The provider. Nothing is kept in it: every call runs in a fresh instance.
pub struct TemplateProvider;

/// Where the token's reference stands in the config, as a JSON Pointer.
const TOKEN: &str = "/auth/secretRef/token";

/// The provider's part of a store, below `spec.provider.templateProvider`. It has been held against `schema.json` before.
#[derive(Deserialize)]
struct Config {
    url: String,
    auth: Option<Auth>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Auth {
    secret_ref: Option<SecretRef>,
}

/// The host follows the reference; that it is there is all that is needed here.
#[derive(Deserialize)]
struct SecretRef {
    token: Option<serde_json::Value>,
}

impl Config {
    fn has_token(&self) -> bool {
        let secret_ref = self.auth.as_ref().and_then(|a| a.secret_ref.as_ref());
        secret_ref.is_some_and(|s| s.token.is_some())
    }
}

impl Provider for TemplateProvider {
    /// Says what this plugin is. An administrator is asked to allow what stands in `asks`.
    fn describe() -> Descriptor {
        Descriptor {
            name: "template-provider".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serves: vec!["templateProvider".to_owned()],
            config_schema: include_str!("schema.json").to_owned(),
            asks: vec![Ask {
                kind: "host".to_owned(),
                what: "*".to_owned(),
                why: "the url of the store".to_owned(),
                options: Vec::new(),
            }],
            batch_size: 20,
            summary: "values that a web server holds, one a path".to_owned(),
            options: Vec::new(),
        }
    }

    /// Judges a config: its problems, or the references and places that it needs. Without network.
    fn examine(
        config: &str,
        _credentials: &[Credential],
        _options: &Options,
    ) -> Result<Needs, Vec<Problem>> {
        let config: Config = parse_config(config)?;
        let Some(origin) = origin(&config.url) else {
            let text =
                "this has to be an http or https URL, such as https://secrets.example.com/app";
            return Err(vec![Problem::new("/url", text)]);
        };
        let mut needs = Needs {
            // Only what stands here can be reached.
            endpoints: vec![Endpoint {
                origin,
                ..Endpoint::default()
            }],
            ..Needs::default()
        };
        if config.has_token() {
            let mut reference = Reference::at(TOKEN);
            reference.options = vec![("default-key".to_owned(), "token".to_owned())];
            needs.references.push(reference);
        }
        Ok(needs)
    }

    /// Can this store be used? Cheap, and without a key of a user: that a server has nothing at its root is no fault.
    fn probe(host: &dyn Host, context: &Context) -> Result<(), Failure> {
        let response = host.send(&request(&config(context)?, context, "", None)?)?;
        match response.status {
            200..=299 | 404 => Ok(()),
            _ => Err(failure(&response, "the store's url")),
        }
    }

    /// One outcome a request, in order. What can be asked goes out at once; one object's failure is no other's.
    fn get_batch(host: &dyn Host, context: &Context, requests: &[Request]) -> Vec<Outcome> {
        let config = config(context);
        let wanted = |r: &Request| match &config {
            Ok(config) => wanted(config, context, r),
            Err(failure) => Err(failure.clone()),
        };
        let wanted: Vec<Result<HttpRequest, Failure>> = requests.iter().map(wanted).collect();
        let to_send: Vec<HttpRequest> = wanted.iter().flatten().cloned().collect();
        let mut answers = host.send_all(&to_send).into_iter();
        let mut answer = || {
            answers
                .next()
                .unwrap_or_else(|| Err(Failure::internal("no answer")))
        };
        let pairs = requests.iter().zip(wanted);
        pairs
            .map(|(request, wanted)| match wanted.and_then(|_| answer()) {
                Ok(response) => outcome(request, &response),
                // A failure of the host's, such as an address that no grant opens, is passed on as it is.
                Err(failure) => Outcome::failed(failure),
            })
            .collect()
    }
}

fn config(context: &Context) -> Result<Config, Failure> {
    parse_config(&context.config).map_err(|problems| problems_as_failure(&problems))
}

fn request(
    config: &Config,
    context: &Context,
    path: &str,
    known: Option<&str>,
) -> Result<HttpRequest, Failure> {
    let mut headers = Vec::new();
    if config.has_token() {
        let token = std::str::from_utf8(&context.credential(TOKEN)?.value)
            .map_err(|_| Failure::invalid_config("the token is no text"))?;
        headers.push((
            "authorization".to_owned(),
            format!("Bearer {}", token.trim()),
        ));
    }
    // The server answers 304 where the value is still the one that all who wait for it have.
    headers.extend(known.map(|tag| ("if-none-match".to_owned(), tag.to_owned())));
    Ok(HttpRequest {
        method: "GET".to_owned(),
        url: format!("{}/{path}", config.url.trim_end_matches('/')),
        headers,
        ..HttpRequest::default()
    })
}

/// The request for one object. A key must not lead out of the store's url, to whatever else the token may read.
fn wanted(config: &Config, context: &Context, object: &Request) -> Result<HttpRequest, Failure> {
    if object.metadata || object.version.is_some() {
        let text = "a web server has no versions or metadata: remove version and metadataPolicy";
        return Err(Failure::unsupported(text));
    }
    if object.key.split('/').any(|s| matches!(s, "" | "." | "..")) {
        let text = format!("the key {:?} is no path below the store's url", object.key);
        return Err(Failure::invalid_request(text));
    }
    request(
        config,
        context,
        &encode(&object.key),
        object.known.as_deref(),
    )
}

/// What came of one object.
fn outcome(request: &Request, response: &HttpResponse) -> Outcome {
    let tag = response.header("etag").map(str::to_owned);
    match response.status {
        200 => Outcome::parts(each(&request.picks, |p| take(&response.body, p)), tag),
        304 if request.known.is_some() => Outcome {
            answer: Answer::Unchanged,
            tag: request.known.clone(),
            options: Vec::new(),
        },
        _ => Outcome::failed(failure(response, &format!("{:?}", request.key))),
    }
}

/// One pick: the whole body, or what a dotted path leads to in a body that is JSON; as bytes, or as members by name.
fn take(body: &[u8], pick: &Pick) -> Result<Part, Failure> {
    let bytes = match pick.property.as_deref().filter(|p| !p.is_empty()) {
        None => body.to_vec(),
        Some(property) => {
            let text = std::str::from_utf8(body).ok();
            let json = text.filter(|t| serde_json::from_str::<serde_json::Value>(t).is_ok());
            let json = json.ok_or_else(|| Failure::invalid_request("the value is no JSON"))?;
            value::path(json, property)
                .ok_or_else(|| Failure::absent(format!("there is no property {property:?}")))?
        }
    };
    if !pick.members {
        return Ok(Part::Value(bytes));
    }
    let members = value::raw_members(&bytes);
    members.map(Part::Members).ok_or_else(|| {
        Failure::invalid_request("the value is no JSON object, so it has no members")
    })
}

/// What a status that is no success means. Whether and when to try again is the host's decision, by this code. Never put
/// what the server answered into a message: it may be a secret.
fn failure(response: &HttpResponse, what: &str) -> Failure {
    match response.status {
        401 => Failure::unauthenticated(format!("the server does not know the token for {what}")),
        403 => Failure::denied(format!("the token may not read {what}")),
        // `absent` may delete a Secret: only where the backend says with authority that this object does not exist.
        404 => Failure::absent(format!("there is nothing at {what}")),
        429 => Failure::rate_limited(
            format!("the server asks to slow down at {what}"),
            response.retry_after_ms(),
        ),
        status @ 500..=599 => {
            Failure::unavailable(format!("the server answered {status} for {what}"))
        }
        status => Failure::internal(format!("the server answered {status} for {what}")),
    }
}

/// Scheme, host and port of an URL that has no user part.
fn origin(url: &str) -> Option<String> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let host = rest.split(['/', '?', '#']).next()?;
    let plain = !host.is_empty() && !host.contains('@') && !rest.contains(['?', '#']);
    plain.then(|| url[..url.len() - rest.len() + host.len()].to_owned())
}

/// Percent-encodes a key; its slashes part segments.
fn encode(key: &str) -> String {
    let byte = |b: u8| match b {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(b).to_string()
        }
        _ => format!("%{b:02X}"),
    };
    key.bytes().map(byte).collect()
}

export_provider!(TemplateProvider);
