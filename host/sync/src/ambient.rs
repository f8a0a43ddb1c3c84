//! What plugins may see of the environment of Postern itself: named variables, and files that such variables name.
//!
//! A plugin asks in `describe` by kind `ambient-identity` (closed unless `--ambient-identity` is set) or `environment`
//! (settings that are no secret, such as an endpoint; a plugin from outside needs the flag for them too). A config uses one by a reference `env:NAME` or `file:NAME` among
//! those that `examine` names; only these are given to it, as credentials of the same pointer. So a store that brings a
//! credential of its own is never handed Postern's, and a provider with a login sees them only when it logs in.
//!
//! Variables last as long as the process, so they are no part of an identity's name. Files change (a kubelet renews
//! tokens), and are read anew before a login.

use postern_core::failure::{Code, Failure, Stage};
use postern_core::grant::Permits;
use postern_core::plugin::{Answering, Credential, Options};
use postern_core::secret::SecretValue;

use crate::policy::Asking;
use crate::settings::Settings;

/// The option that tells a plugin that Postern's own identity is open to it.
const OPEN_OPTION: &str = "ambient-identity";

/// The environment of the process, and its files.
pub trait Environment: Send + Sync + std::fmt::Debug {
    /// A variable; none where it is not set or empty.
    fn variable(&self, name: &str) -> Option<SecretValue>;

    /// The content of a file that a variable names. The failure's text says why it cannot be read, without its path.
    fn file<'a>(&'a self, path: &'a str) -> Answering<'a, SecretValue>;
}

/// A part of the environment that a config uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ambient {
    pointer: String,
    name: String,
    is_file: bool,
}

impl Ambient {
    /// Reads the pointer of a reference; none for one that leads into the config.
    pub(crate) fn parse(pointer: &str) -> Option<Self> {
        let (kind, name) = pointer.split_once(':')?;
        let is_file = match kind {
            "env" => false,
            "file" => true,
            _ => return None,
        };
        Some(Self {
            pointer: pointer.to_owned(),
            name: name.to_owned(),
            is_file,
        })
    }

    pub(crate) fn is_file(&self) -> bool {
        self.is_file
    }

    /// Whether the plugin may see it. One that it does not ask for breaks the contract: no grant could speak of it.
    fn is_open(&self, asking: Asking<'_>, settings: &Settings) -> Result<bool, Failure> {
        let asks = &asking.plugin.descriptor.asks;
        let asked = |kind: &str| {
            asks.iter()
                .any(|ask| ask.kind == kind && ask.what == self.pointer)
        };
        let setting = asked("environment");
        if !setting && !asked("ambient-identity") {
            return Err(Failure::new(
                Stage::Check,
                Code::ContractBroken,
                format!(
                    "the plugin \"{}\" uses {}, which none of its asks names",
                    asking.plugin.descriptor.name, self.pointer
                ),
            ));
        }
        Ok(if setting {
            let outside = matches!(asking.plugin.permits, Permits::Granted(_));
            asking.may("environment") && (settings.rules.ambient_identity || !outside)
        } else {
            identity_is_open(asking, settings)
        })
    }

    async fn read(&self, environment: &dyn Environment) -> Option<Credential> {
        let variable = environment.variable(&self.name)?;
        let (value, attributes) = if self.is_file {
            let path = std::str::from_utf8(variable.expose()).unwrap_or_default();
            match environment.file(path).await {
                Ok(content) => (content, Options::new()),
                Err(why) => {
                    let unreadable = ("unreadable".to_owned(), why.public);
                    (SecretValue::from(""), vec![unreadable])
                }
            }
        } else {
            (variable, Options::new())
        };
        Some(Credential {
            pointer: self.pointer.clone(),
            value,
            attributes,
        })
    }
}

/// Those of them that are open and set, as credentials.
pub(crate) async fn resolve(
    used: &[Ambient],
    asking: Asking<'_>,
    settings: &Settings,
) -> Result<Vec<Credential>, Failure> {
    let mut credentials = Vec::new();
    for ambient in used {
        if !ambient.is_open(asking, settings)? {
            continue;
        }
        if let Some(environment) = settings.environment.as_deref() {
            credentials.extend(ambient.read(environment).await);
        }
    }
    Ok(credentials)
}

/// Whether the plugin may act as Postern itself.
fn identity_is_open(asking: Asking<'_>, settings: &Settings) -> bool {
    settings.rules.ambient_identity && asking.may("ambient-identity")
}

/// What a plugin is told besides its config: the key and name of the store, and whether Postern's identity is open to it.
pub(crate) fn options(asking: Asking<'_>, settings: &Settings) -> Options {
    let id = &asking.store.id;
    let mut told = vec![
        ("provider-key".to_owned(), asking.store.provider_key.clone()),
        ("store-kind".to_owned(), id.kind.as_str().to_owned()),
        ("store-name".to_owned(), id.name.clone()),
    ];
    if identity_is_open(asking, settings) {
        told.push((OPEN_OPTION.to_owned(), "open".to_owned()));
    }
    told
}
