//! The provider of the spec key `kubernetes`: Secrets of this cluster or another, through its API server.
//! This file is glue; see `config` for what a store may say, `wire` for the protocol, `object` for what is taken from a
//! Secret, `read`, `find` and `probe` for the three things it does. It does not push.

pub mod config;
pub mod find;
pub mod kubeconfig;
pub mod object;
pub mod probe;
pub mod read;
pub mod wire;

use config::Config;
use postern_plugin_shared::ask;
use postern_sdk::{
    Context, Credential, Descriptor, Failure, Find, Host, Needs, Options, Outcome, Page, Problem,
    Provider, Query, Request, export_provider,
};
use wire::Server;

/// The provider.
pub struct Kubernetes;

/// Secrets of one call: of the largest that an API server keeps (1 MiB, a third more in base64), this many fit into what
/// a call may receive.
const BATCH_SIZE: u32 = 16;

impl Provider for Kubernetes {
    fn describe() -> Descriptor {
        Descriptor {
            name: "kubernetes".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serves: vec!["kubernetes".to_owned()],
            config_schema: include_str!("schema.json").to_owned(),
            asks: vec![
                ask("host", "*", "the API server that a store names"),
                ask("api-server", "*", "Secrets of this cluster"),
            ],
            batch_size: BATCH_SIZE,
            summary: "Secrets of this cluster or another".to_owned(),
            options: vec![("capabilities".to_owned(), "ReadWrite".to_owned())],
        }
    }

    fn examine(
        config: &str,
        credentials: &[Credential],
        _options: &Options,
    ) -> Result<Needs, Vec<Problem>> {
        Config::parse(config)?.needs(credentials)
    }

    fn probe(host: &dyn Host, context: &Context) -> Result<(), Failure> {
        let config = Config::of(context)?;
        let server = Server::of(&config, context)?;
        probe::probe(host, &config, &server)
    }

    fn get_batch(host: &dyn Host, context: &Context, requests: &[Request]) -> Vec<Outcome> {
        let ready = Config::of(context).and_then(|config| {
            let server = Server::of(&config, context)?;
            Ok((config, server))
        });
        match ready {
            Ok((config, server)) => read::get_batch(host, &config, &server, requests),
            Err(failure) => postern_plugin_shared::all_failed(requests, &failure),
        }
    }
}

impl Find for Kubernetes {
    fn list_page(
        host: &dyn Host,
        context: &Context,
        query: &Query,
        after: Option<&str>,
    ) -> Result<Page, Failure> {
        let config = Config::of(context)?;
        let server = Server::of(&config, context)?;
        find::list(host, &config, &server, query, after)
    }
}

export_provider!(Kubernetes: find);
