//! The provider of the spec keys `vault` and `openBao`: the KV engines of HashiCorp Vault and OpenBao.
//! This file is glue; see `config` for what a store may say, `wire` for the protocol, `login`, `read`
//! and `find` for the three things it does. It does not push.

pub mod config;
pub mod examine;
pub mod find;
pub mod google;
pub mod login;
mod raw;
pub mod read;
pub mod wire;

use config::{Config, KEY_OPTION};
use postern_plugin_shared::ask;
use postern_sdk::{
    Context, Credential, Descriptor, Failure, Find, Host, Login, Needs, Options, Outcome, Page,
    Problem, Provider, Query, Request, Session, export_provider, option,
};

/// The provider.
pub struct Vault;

/// Objects of one call, each a request of its own that goes out beside the others.
const BATCH_SIZE: u32 = 64;

impl Provider for Vault {
    fn describe() -> Descriptor {
        Descriptor {
            name: "vault".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serves: vec!["vault".to_owned(), "openBao".to_owned()],
            config_schema: include_str!("schema.json").to_owned(),
            asks: vec![ask("host", "*", "the server that a store names")],
            batch_size: BATCH_SIZE,
            summary: "KV engines of HashiCorp Vault and OpenBao".to_owned(),
            // What ESO says of the two.
            options: vec![
                ("capabilities:vault".to_owned(), "ReadWrite".to_owned()),
                ("capabilities:openBao".to_owned(), "ReadOnly".to_owned()),
            ],
        }
    }

    fn examine(
        config: &str,
        _credentials: &[Credential],
        options: &Options,
    ) -> Result<Needs, Vec<Problem>> {
        Config::parse(config, option(options, KEY_OPTION)).map(|c| examine::needs(&c))
    }

    /// With a session (or none needed) one look-up; otherwise a login that is closed again.
    fn probe(host: &dyn Host, context: &Context) -> Result<(), Failure> {
        let (mut config, token) = of(context)?;
        if !token.is_empty() {
            return login::lookup(host, &config, token);
        }
        if config.auth.is_none() {
            return Ok(());
        }
        let opened = login::open(host, &config, context)?;
        let token = login::resume(&opened.token, &mut config)?;
        let alive = login::lookup(host, &config, token);
        login::close(host, &config, token)?;
        alive
    }

    fn get_batch(host: &dyn Host, context: &Context, requests: &[Request]) -> Vec<Outcome> {
        match of(context) {
            Ok((config, token)) => read::get_batch(host, &config, token, requests),
            Err(failure) => postern_plugin_shared::all_failed(requests, &failure),
        }
    }
}

impl Login for Vault {
    fn open(host: &dyn Host, context: &Context) -> Result<Session, Failure> {
        login::open(host, &Config::of(context)?, context)
    }

    fn renew(host: &dyn Host, context: &Context) -> Result<Session, Failure> {
        let (config, token) = of(context)?;
        login::renew(host, &config, token)
    }

    fn close(host: &dyn Host, context: &Context) -> Result<(), Failure> {
        let (config, token) = of(context)?;
        login::close(host, &config, token)
    }
}

impl Find for Vault {
    /// All is one page. A refusal is told from a dead token as for a read.
    fn list_page(
        host: &dyn Host,
        context: &Context,
        query: &Query,
        _after: Option<&str>,
    ) -> Result<Page, Failure> {
        let (config, token) = of(context)?;
        find::list(host, &config, token, query).map_err(|failure| {
            let refused = read::refused_by_server(&failure) && !token.is_empty();
            if refused {
                login::lookup(host, &config, token).err().unwrap_or(failure)
            } else {
                failure
            }
        })
    }
}

/// The config of a call, and its token; an empty one where there is none.
fn of(context: &Context) -> Result<(Config, &str), Failure> {
    let mut config = Config::of(context)?;
    let session = context.session.as_deref().unwrap_or_default();
    let token = login::resume(session, &mut config)?;
    Ok((config, token))
}

export_provider!(Vault: login, find);
