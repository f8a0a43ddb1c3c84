//! What a config needs: references, and exactly the hosts of its region. Pure.

use postern_plugin_shared::Address;
use postern_sdk::{Credential, Endpoint, Needs, Options, Problem, Reference, option};

use crate::config::{self, Config, Service, Source};
use crate::environment::{self as env, Environment};
use crate::metadata::Place;

/// The option by which the host says that Postern's own identity is open.
const AMBIENT_OPTION: &str = "ambient-identity";

/// How long a token of a service account lives, in seconds: it is shown to AWS once, at once.
const TOKEN_LIFE: u32 = 600;

/// Needs of a config; endpoints out of the environment are known with the credentials at hand only.
///
/// # Errors
/// The problems of the config that depend on who Postern is.
pub fn needs(
    config: &Config,
    credentials: &[Credential],
    options: &Options,
) -> Result<Needs, Vec<Problem>> {
    if config.source == Source::Ambient && option(options, AMBIENT_OPTION) != Some("open") {
        let message = "names no credential, and Postern's own identity is closed: give secretRef or jwt, or start Postern with --ambient-identity";
        return Err(vec![Problem::new("/auth", message)]);
    }
    let environment = Environment(credentials);
    let wrong = variables(config).into_iter().find_map(|variable| {
        let why = config::endpoint(environment.get(variable)?).err()?;
        let (_, name) = variable.split_once(':')?;
        Some(Problem::new(
            "",
            format!("{name} of Postern's environment {why}"),
        ))
    });
    if let Some(problem) = wrong {
        return Err(vec![problem]);
    }
    let mut places = vec![service(config, environment)];
    if uses_sts(config, environment) {
        places.push(sts(config, environment));
    }
    if config.source == Source::Ambient {
        places.extend(Place::of(environment).map(|place| place.origin()));
    }
    let endpoint = |origin: String| Endpoint {
        origin,
        ..Endpoint::default()
    };
    Ok(Needs {
        per_namespace: config.per_namespace(),
        references: references(config),
        endpoints: places.into_iter().map(|a| endpoint(a.origin)).collect(),
        options: Vec::new(),
    })
}

/// Where the service is: as the config says, else the environment, else the region.
#[must_use]
pub fn service(config: &Config, environment: Environment<'_>) -> Address {
    let [variable, _] = variables(config);
    place(
        config,
        config.endpoint.as_ref(),
        (variable, config.service.id()),
        environment,
    )
}

/// Where the Security Token Service is.
#[must_use]
pub fn sts(config: &Config, environment: Environment<'_>) -> Address {
    place(config, config.sts.as_ref(), (env::STS, "sts"), environment)
}

fn place(
    config: &Config,
    named: Option<&Address>,
    (variable, service): (&str, &str),
    environment: Environment<'_>,
) -> Address {
    // A variable that is no URL was told by `needs`.
    let of_all = || {
        environment
            .get(variable)
            .and_then(|text| config::endpoint(text).ok())
    };
    let own = || config.region.endpoint(service);
    named.cloned().or_else(of_all).unwrap_or_else(own)
}

/// Access keys by themselves are shown to nobody but the service; whether they are right is asked of STS.
fn uses_sts(config: &Config, environment: Environment<'_>) -> bool {
    match config.source {
        Source::Keys { .. } | Source::Account => true,
        Source::Ambient => !config.roles.is_empty() || environment.has(env::WEB_IDENTITY),
    }
}

fn references(config: &Config) -> Vec<Reference> {
    let mut all = match config.source {
        Source::Keys { with_token } => {
            let token = with_token.then_some(config::SESSION_TOKEN);
            [config::KEY_ID, config::SECRET_KEY]
                .into_iter()
                .chain(token)
                .map(Reference::at)
                .collect()
        }
        Source::Account => vec![Reference {
            audiences: vec!["{annotation:eks.amazonaws.com/audience|sts.amazonaws.com}".to_owned()],
            expires_in_s: Some(TOKEN_LIFE),
            ..Reference::at(config::ACCOUNT)
        }],
        Source::Ambient => env::IDENTITY.map(Reference::at).to_vec(),
    };
    all.extend(variables(config).map(Reference::at));
    all
}

/// The variables that name the endpoints of the service and of STS.
fn variables(config: &Config) -> [&'static str; 2] {
    let service = match config.service {
        Service::SecretsManager => env::SECRETS_MANAGER,
        Service::ParameterStore => env::PARAMETER_STORE,
    };
    [service, env::STS]
}
