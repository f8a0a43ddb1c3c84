//! A provider for Doppler, the same as those in Go, Python and JavaScript beside it. This file is what the contract asks
//! for; `config` says what a store may hold, `wire` what Doppler is asked and what its answers mean.

mod config;
mod wire;

use postern_sdk::{
    Answer, Ask, Context, Credential, Descriptor, Endpoint, Failure, Host, HttpRequest, Needs,
    Options, Outcome, Problem, Provider, Reference, Request, export_provider, problems_as_failure,
};

use config::{Config, TOKEN};

/// The provider.
pub struct Doppler;

impl Provider for Doppler {
    fn describe() -> Descriptor {
        Descriptor {
            name: "doppler-rust".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serves: vec!["doppler".to_owned()],
            config_schema: include_str!("schema.json").to_owned(),
            asks: vec![Ask {
                kind: "host".to_owned(),
                what: "*".to_owned(),
                why: format!("the store's baseUrl, by default {}", config::BASE_URL),
                options: Vec::new(),
            }],
            // One download holds all secrets of a config, so one call may take any number.
            batch_size: 0,
            summary: "secrets of a Doppler config".to_owned(),
            options: Vec::new(),
        }
    }

    fn examine(
        config: &str,
        _credentials: &[Credential],
        _options: &Options,
    ) -> Result<Needs, Vec<Problem>> {
        let config = Config::parse(config)?;
        let mut token = Reference::at(TOKEN);
        token.options = vec![("default-key".to_owned(), "dopplerToken".to_owned())];
        Ok(Needs {
            references: vec![token],
            endpoints: vec![Endpoint {
                origin: config.base_url,
                ..Endpoint::default()
            }],
            ..Needs::default()
        })
    }

    fn probe(host: &dyn Host, context: &Context) -> Result<(), Failure> {
        let (config, request) = prepare(context, |config, token| {
            wire::request(config, token, "/v3/me", None)
        })?;
        let response = host.send(&request)?;
        match response.status {
            200..=299 => Ok(()),
            _ => Err(wire::failure(&config, &response)),
        }
    }

    fn get_batch(host: &dyn Host, context: &Context, requests: &[Request]) -> Vec<Outcome> {
        if requests.is_empty() {
            return Vec::new();
        }
        let known = known(requests);
        let answer = download(host, context, known);
        let status = match &answer {
            Ok(wire::Download::Unchanged) => "304",
            Ok(wire::Download::Secrets { .. }) => "200",
            Err(failure) => failure.code.as_str(),
        };
        let fields = [
            ("status".to_owned(), status.to_owned()),
            ("objects".to_owned(), requests.len().to_string()),
        ];
        host.log("debug", "read", &fields);
        requests.iter().map(|r| outcome(r, &answer)).collect()
    }
}

/// The config, and a request made of it and the token.
fn prepare(
    context: &Context,
    make: impl Fn(&Config, &str) -> HttpRequest,
) -> Result<(Config, HttpRequest), Failure> {
    let config = Config::parse(&context.config).map_err(|p| problems_as_failure(&p))?;
    let token = std::str::from_utf8(&context.credential(TOKEN)?.value)
        .map_err(|_| Failure::invalid_config(format!("the token at {TOKEN} is no text")))?;
    let request = make(&config, token);
    Ok((config, request))
}

/// The tag that all requests carry; one that does not know it needs the values.
fn known(requests: &[Request]) -> Option<&str> {
    let first = requests.first()?.known.as_deref()?;
    let same = |r: &Request| r.known.as_deref() == Some(first);
    requests.iter().all(same).then_some(first)
}

fn download(
    host: &dyn Host,
    context: &Context,
    known: Option<&str>,
) -> Result<wire::Download, Failure> {
    let (config, request) = prepare(context, |config, token| {
        wire::request(config, token, &wire::download_path(config), known)
    })?;
    let response = host.send(&request)?;
    wire::download(&config, &response, known.is_some())
}

/// What came of one object. All of a config stands or falls together; only a secret that is not in it fails alone.
fn outcome(request: &Request, answer: &Result<wire::Download, Failure>) -> Outcome {
    if request.metadata || request.version.is_some() {
        return Outcome::failed(Failure::unsupported(
            "Doppler's download has neither versions nor metadata of a secret: remove version and metadataPolicy",
        ));
    }
    match answer {
        Err(failure) => Outcome::failed(failure.clone()),
        Ok(wire::Download::Unchanged) => Outcome {
            answer: Answer::Unchanged,
            tag: request.known.clone(),
            options: Vec::new(),
        },
        Ok(wire::Download::Secrets { values, tag }) => match values.get(&request.key) {
            None => Outcome::failed(Failure::absent(format!(
                "the config has no secret {:?}",
                request.key
            ))),
            Some(text) => Outcome::parts(wire::parts(text, &request.picks), tag.clone()),
        },
    }
}

export_provider!(Doppler);
