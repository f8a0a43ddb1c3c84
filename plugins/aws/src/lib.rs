//! The provider of the spec key `aws`: Secrets Manager and Parameter Store.
//! This file is glue; see `config` and `examine` for what a store may say and needs, `login`, `sts` and `metadata` for the
//! way to a session, `sigv4` and `wire` for requests, `refusal` for what AWS answers instead of a value, `secrets`,
//! `parameters` and `find` for what is read. It does not push.

pub mod clock;
pub mod config;
pub mod environment;
pub mod examine;
pub mod find;
pub mod keys;
pub mod login;
pub mod metadata;
pub mod parameters;
mod raw;
pub mod refusal;
pub mod secrets;
pub mod session;
pub mod sigv4;
pub mod sts;
pub mod tag;
pub mod wire;
mod xml;

use config::{Config, Service};
use postern_sdk::{
    Context, Credential, Descriptor, Failure, Find, Host, Login, Needs, Options, Outcome, Page,
    Problem, Provider, Query, Request, Session, export_provider,
};
use wire::Client;

/// The provider.
pub struct Aws;

/// Objects of one call: one `BatchGetSecretValue`, two `GetParameters`.
const BATCH_SIZE: u32 = 20;

impl Provider for Aws {
    fn describe() -> Descriptor {
        Descriptor {
            name: "aws".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serves: vec!["aws".to_owned()],
            config_schema: include_str!("schema.json").to_owned(),
            asks: environment::asks(),
            batch_size: BATCH_SIZE,
            summary: "AWS Secrets Manager and Parameter Store".to_owned(),
            options: vec![("capabilities".to_owned(), "ReadWrite".to_owned())],
        }
    }

    fn examine(
        config: &str,
        credentials: &[Credential],
        options: &Options,
    ) -> Result<Needs, Vec<Problem>> {
        examine::needs(&Config::parse(config)?, credentials, options)
    }

    fn probe(host: &dyn Host, context: &Context) -> Result<(), Failure> {
        login::probe(host, &Config::of(context)?, context)
    }

    fn get_batch(host: &dyn Host, context: &Context, requests: &[Request]) -> Vec<Outcome> {
        let read = |config: &Config| {
            let client = Client::new(host, config, context)?;
            let name = |key: &str| config.full_name(key);
            Ok(match config.service {
                Service::SecretsManager => secrets::get_batch(&client, requests, name),
                Service::ParameterStore => parameters::get_batch(&client, requests, name),
            })
        };
        Config::of(context)
            .and_then(|config| read(&config))
            .unwrap_or_else(|failure: Failure| {
                postern_plugin_shared::all_failed(requests, &failure)
            })
    }
}

impl Login for Aws {
    fn open(host: &dyn Host, context: &Context) -> Result<Session, Failure> {
        login::open(host, &Config::of(context)?, context)
    }

    /// Nothing at AWS prolongs a session, and no renewal has what a new one is made of.
    fn renew(_host: &dyn Host, _context: &Context) -> Result<Session, Failure> {
        Err(Failure::unauthenticated("sessions of AWS are opened anew"))
    }

    /// Nothing at AWS ends a session before its time.
    fn close(_host: &dyn Host, _context: &Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl Find for Aws {
    fn list_page(
        host: &dyn Host,
        context: &Context,
        query: &Query,
        after: Option<&str>,
    ) -> Result<Page, Failure> {
        let config = Config::of(context)?;
        let client = Client::new(host, &config, context)?;
        find::page(&client, &config, query, after)
    }
}

export_provider!(Aws: login, find);
