//! What a config needs: which references, and exactly the servers that its authentication and its location lead to.

use postern_plugin_shared::Address;
use postern_plugin_shared::google::{ACTS_AS, Key, pool};
use postern_sdk::{Credential, Endpoint, Needs, Problem, Reference};

use crate::config::{
    Auth, Config, EXTERNAL, FEDERATED, Federated, KEY, Source, WORKLOAD, Workload,
};
use crate::external::External;
use crate::key::token_url;

/// How long a ServiceAccount's token shall live: it is shown once.
const TOKEN_LIFE_S: u32 = 900;

/// The needs of a checked config. What a credential names is known only with it at hand.
///
/// # Errors
/// Problems of a credential.
pub fn needs(config: &Config, credentials: &[Credential]) -> Result<Needs, Vec<Problem>> {
    let given = |pointer: &str| credentials.iter().find(|c| c.pointer == pointer);
    let problem = |pointer: &str| {
        let pointer = pointer.to_owned();
        move |what: &str| vec![Problem::new(pointer, what)]
    };
    let places = &config.places;
    let mut origins = vec![places.secret_manager.origin.clone()];
    let references = match &config.auth {
        Auth::Key => {
            if let Some(credential) = given(KEY) {
                let key = Key::parse(&credential.value).map_err(problem(KEY))?;
                origins.push(token_url(&key, places).map_err(problem(KEY))?.origin);
            }
            vec![Reference::at(KEY)]
        }
        Auth::Workload(workload) => {
            origins.push(places.secure_token.origin.clone());
            let acts = given(WORKLOAD).is_some_and(acts_as_another);
            origins.extend(acts.then(|| places.iam_credentials.origin.clone()));
            vec![of_workload(workload)]
        }
        Auth::Federated(federated) => {
            origins.push(places.sts.origin.clone());
            let mut acts = federated.email.is_some();
            acts |= given(FEDERATED).is_some_and(acts_as_another);
            if let Source::Described { token_endpoint } = &federated.source {
                origins.extend(token_endpoint.as_ref().map(|a: &Address| a.origin.clone()));
                if let Some(described) = given(EXTERNAL) {
                    let external =
                        External::parse(&described.value, token_endpoint.as_ref(), places);
                    acts |= external.map_err(problem(EXTERNAL))?.email.is_some();
                }
            }
            origins.extend(acts.then(|| places.iam_credentials.origin.clone()));
            vec![of_federation(federated)]
        }
        Auth::Own => Vec::new(),
    };
    if config.asks_metadata() {
        origins.push(places.metadata.origin.clone());
    }
    origins.sort();
    origins.dedup();
    let endpoint = |origin| Endpoint {
        origin,
        ..Endpoint::default()
    };
    Ok(Needs {
        references,
        endpoints: origins.into_iter().map(endpoint).collect(),
        ..Needs::default()
    })
}

fn acts_as_another(credential: &Credential) -> bool {
    credential
        .attributes
        .iter()
        .any(|(name, value)| name == ACTS_AS && !value.is_empty())
}

fn of_workload(workload: &Workload) -> Reference {
    Reference {
        audiences: vec![pool(&workload.project)],
        expires_in_s: Some(TOKEN_LIFE_S),
        ..Reference::at(WORKLOAD)
    }
}

fn of_federation(federated: &Federated) -> Reference {
    match federated.source {
        // The audiences are those that the reference names.
        Source::Account => Reference {
            expires_in_s: Some(TOKEN_LIFE_S),
            ..Reference::at(FEDERATED)
        },
        Source::Described { .. } => Reference::at(EXTERNAL),
    }
}
