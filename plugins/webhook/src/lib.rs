//! The provider of the spec key `webhook`: values from any HTTP endpoint, by requests that are templates.
//! This file is glue; see `config` for what a store may say, `templates` for what is asked, `read` for the exchange and
//! `result` for what is taken from an answer. It neither finds nor pushes.

pub mod config;
pub mod read;
pub mod result;
pub mod templates;

use config::Config;
use postern_plugin_shared::ask;
use postern_sdk::{
    Context, Credential, Descriptor, Failure, Host, HttpRequest, Needs, Options, Outcome, Problem,
    Provider, Request, export_provider,
};

/// The provider.
pub struct Webhook;

/// Objects of one call, each at least one request beside the others.
const BATCH_SIZE: u32 = 32;

impl Provider for Webhook {
    fn describe() -> Descriptor {
        Descriptor {
            name: "webhook".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serves: vec!["webhook".to_owned()],
            config_schema: include_str!("schema.json").to_owned(),
            asks: vec![ask("host", "*", "the endpoint that a store names")],
            batch_size: BATCH_SIZE,
            summary: "values from any HTTP endpoint, by requests that are templates".to_owned(),
            options: vec![("capabilities".to_owned(), "ReadWrite".to_owned())],
        }
    }

    fn examine(
        config: &str,
        _credentials: &[Credential],
        _options: &Options,
    ) -> Result<Needs, Vec<Problem>> {
        Config::parse(config).map(|config| config.needs())
    }

    /// Whether the endpoint answers at all; what it says to a request without key and credential means nothing.
    fn probe(host: &dyn Host, context: &Context) -> Result<(), Failure> {
        let config = Config::of(context)?;
        let request = HttpRequest {
            method: "HEAD".to_owned(),
            url: format!("{}/", config.origin),
            ..HttpRequest::default()
        };
        host.send(&request).map(|_| ())
    }

    fn get_batch(host: &dyn Host, context: &Context, requests: &[Request]) -> Vec<Outcome> {
        match Config::of(context) {
            Ok(config) => read::get_batch(host, &config, context, requests),
            Err(failure) => postern_plugin_shared::all_failed(requests, &failure),
        }
    }
}

export_provider!(Webhook);
