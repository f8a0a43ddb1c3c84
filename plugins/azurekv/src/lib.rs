//! The provider of the spec key `azurekv`: secrets, certificates and keys of Azure Key Vault.
//! This file is glue; see `config` for what a store may say, `wire` for the protocol, `key` for what a key names, `object`
//! for what is taken from an object, `login`, `read`, `find` and `probe` for the four things it does. It does not push.

pub mod address;
pub mod cloud;
pub mod config;
pub mod find;
pub mod key;
pub mod login;
pub mod object;
pub mod own;
pub mod probe;
pub mod read;
pub mod wire;

use config::Config;
use postern_plugin_shared::ask;
use postern_sdk::{
    Context, Credential, Descriptor, Failure, Find, Host, Login, Needs, Options, Outcome, Page,
    Problem, Provider, Query, Request, Session, export_provider,
};

/// The provider.
pub struct AzureKeyVault;

/// Objects of one call, each a request of its own that goes out beside the others.
const BATCH_SIZE: u32 = 64;

/// What is asked for: kind, what of it, and why.
const ASKS: [(&str, &str, &str); 8] = [
    (
        "host",
        "*",
        "the vault that a store names, and where its cloud logs in",
    ),
    (
        "metadata-address",
        "169.254.169.254",
        "managed identities of the node",
    ),
    (
        "ambient-identity",
        config::IDENTITY_ENDPOINT,
        "the identity of an app of its own",
    ),
    (
        "ambient-identity",
        config::IDENTITY_HEADER,
        "the identity of an app of its own",
    ),
    (
        "ambient-identity",
        config::OWN_CLIENT_ID,
        "the application that trusts Postern",
    ),
    (
        "ambient-identity",
        config::OWN_TOKEN,
        "the token of Postern's own service account",
    ),
    (
        "environment",
        config::OWN_TENANT_ID,
        "the directory, where no store says it",
    ),
    (
        "environment",
        config::OWN_AUTHORITY,
        "where Postern's own identity logs in",
    ),
];

impl Provider for AzureKeyVault {
    fn describe() -> Descriptor {
        Descriptor {
            name: "azurekv".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serves: vec!["azurekv".to_owned()],
            config_schema: include_str!("schema.json").to_owned(),
            asks: ASKS.map(|(kind, what, why)| ask(kind, what, why)).to_vec(),
            batch_size: BATCH_SIZE,
            summary: "Secrets, certificates and keys of Azure Key Vault".to_owned(),
            options: vec![("capabilities".to_owned(), "ReadWrite".to_owned())],
        }
    }

    fn examine(
        config: &str,
        credentials: &[Credential],
        _options: &Options,
    ) -> Result<Needs, Vec<Problem>> {
        Config::parse(config).map(|c| c.needs(credentials))
    }

    /// A login, where there is no session yet, and a question to the vault.
    fn probe(host: &dyn Host, context: &Context) -> Result<(), Failure> {
        let config = Config::of(context)?;
        if context.session.is_none() {
            login::open(host, &config, context)?;
        }
        probe::vault(host, &config)
    }

    fn get_batch(host: &dyn Host, context: &Context, requests: &[Request]) -> Vec<Outcome> {
        let ready = Config::of(context).and_then(|config| Ok((config, token(context)?)));
        match ready {
            Ok((config, token)) => read::get_batch(host, &config, token, requests),
            Err(failure) => postern_plugin_shared::all_failed(requests, &failure),
        }
    }
}

impl Login for AzureKeyVault {
    fn open(host: &dyn Host, context: &Context) -> Result<Session, Failure> {
        login::open(host, &Config::of(context)?, context)
    }

    fn renew(_host: &dyn Host, _context: &Context) -> Result<Session, Failure> {
        Err(Failure::unauthenticated(
            "a token of Microsoft Entra is not renewed: log in for the next one",
        ))
    }

    /// A token cannot be revoked; it ends by itself.
    fn close(_host: &dyn Host, _context: &Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl Find for AzureKeyVault {
    fn list_page(
        host: &dyn Host,
        context: &Context,
        query: &Query,
        after: Option<&str>,
    ) -> Result<Page, Failure> {
        let config = Config::of(context)?;
        find::list(host, &config, token(context)?, query, after)
    }
}

fn token(context: &Context) -> Result<&str, Failure> {
    let token = context.session.as_deref().unwrap_or_default();
    std::str::from_utf8(token)
        .ok()
        .filter(|t| !t.is_empty())
        .ok_or_else(|| Failure::internal("the session is no token"))
}

export_provider!(AzureKeyVault: login, find);
