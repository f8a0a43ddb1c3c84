//! The provider of the spec key `gcpsm`: Google Secret Manager, global and regional.
//! This file is glue; see `config` for what a store may say, `login` for how a token is got, `wire` for the protocol, `read`
//! and `find` for what is done with it. It does not push.

pub mod config;
pub mod examine;
pub mod external;
pub mod find;
pub mod key;
pub mod login;
pub mod metadata;
pub mod payload;
mod raw;
pub mod read;
pub mod server;
pub mod session;
pub mod tag;
pub mod wire;

use config::Config;
use postern_plugin_shared::ask;
use postern_sdk::{
    Context, Credential, Descriptor, Failure, Find, Host, Login, Needs, Options, Outcome, Page,
    Problem, Provider, Query, Request, Session, export_provider,
};
pub use raw::Selection;
use server::Server;
use session::Kept;

/// The provider.
pub struct Gcpsm;

/// Objects of one call. One takes four requests at most, where its latest version is closed, and 64 KiB.
const BATCH_SIZE: u32 = 60;

impl Provider for Gcpsm {
    fn describe() -> Descriptor {
        Descriptor {
            name: "gcpsm".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serves: vec!["gcpsm".to_owned()],
            config_schema: include_str!("schema.json").to_owned(),
            asks: vec![
                ask(
                    "host",
                    "*.googleapis.com:443",
                    "Secret Manager, and whoever gives tokens for it",
                ),
                ask(
                    "host",
                    "accounts.google.com:443",
                    "tokens for keys of service accounts that are old",
                ),
                ask(
                    "host",
                    "169.254.169.254:80",
                    "the operator's own token, project and cluster",
                ),
                ask(
                    "host",
                    "*",
                    "a server that a store names in endpoints or externalTokenEndpoint",
                ),
                ask(
                    "metadata-address",
                    "*",
                    "the operator's own token, project and cluster",
                ),
            ],
            batch_size: BATCH_SIZE,
            summary: "Google Secret Manager".to_owned(),
            options: vec![("capabilities".to_owned(), "ReadWrite".to_owned())],
        }
    }

    fn examine(
        config: &str,
        credentials: &[Credential],
        _options: &Options,
    ) -> Result<Needs, Vec<Problem>> {
        examine::needs(&Config::parse(config)?, credentials)
    }

    /// A token is all that can be asked for without a permission, and the session is one.
    fn probe(host: &dyn Host, context: &Context) -> Result<(), Failure> {
        let config = Config::of(context)?;
        match context.session {
            Some(_) => Server::of(&config, context).map(|_| ()),
            None => login::open(host, &config, context).map(|_| ()),
        }
    }

    fn get_batch(host: &dyn Host, context: &Context, requests: &[Request]) -> Vec<Outcome> {
        match Config::of(context).and_then(|config| Server::of(&config, context)) {
            Ok(server) => read::get_batch(host, &server, requests),
            Err(failure) => postern_plugin_shared::all_failed(requests, &failure),
        }
    }
}

impl Login for Gcpsm {
    fn open(host: &dyn Host, context: &Context) -> Result<Session, Failure> {
        login::open(host, &Config::of(context)?, context)
    }

    /// Google prolongs no token.
    fn renew(_host: &dyn Host, _context: &Context) -> Result<Session, Failure> {
        Err(Failure::unauthenticated(
            "a token of Google is not prolonged; log in again",
        ))
    }

    /// Google takes no token of a service account back; it ends within the hour.
    fn close(_host: &dyn Host, context: &Context) -> Result<(), Failure> {
        Kept::of(context).map(|_| ())
    }
}

impl Find for Gcpsm {
    fn list_page(
        host: &dyn Host,
        context: &Context,
        query: &Query,
        after: Option<&str>,
    ) -> Result<Page, Failure> {
        let server = Server::of(&Config::of(context)?, context)?;
        find::list(host, &server, query, after)
    }
}

export_provider!(Gcpsm: login, find);
