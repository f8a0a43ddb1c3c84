//! Why something did not work, as one value, and the one table that says what follows from it.
//!
//! A failure has two texts: `public` goes to conditions, events and the terminal; `detail` goes to logs only and is
//! already cut and free of values. The table [`Code::rule`] holds the only `match` that turns a reason into blame,
//! retry class and a stable error code.

use std::fmt;
use std::time::Duration;

/// The step of a sync in which it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reading manifests and the state of the world.
    Observe,
    /// Deciding what to ask for.
    Plan,
    /// Resolving references and opening a session.
    Login,
    /// Asking the backend.
    Fetch,
    /// Turning answers into keys and values.
    Shape,
    /// Running templates.
    Render,
    /// Writing the target or the status.
    Commit,
    /// Checking a store.
    Check,
    /// Asking the backend whether a store can be used.
    Probe,
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The manifest is wrong.
    Manifest,
    /// The backend refused, is away, or has no such object.
    Backend,
    /// The plugin broke its contract or its limits.
    Plugin,
    /// Postern itself, or the cluster it talks to.
    Postern,
}

impl Blame {
    /// The word used in messages, metrics and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Backend => "backend",
            Self::Plugin => "plugin",
            Self::Postern => "postern",
        }
    }
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Only a change of the object can help.
    OnChange,
    /// At the normal interval: somebody has to change something at the backend.
    AtInterval,
    /// With backoff and jitter: it may pass by itself.
    Backoff,
}

macro_rules! codes {
    ($( $(#[$doc:meta])* $name:ident = ($number:literal, $label:literal, $blame:ident, $retry:ident) ),+ $(,)?) => {
        /// What went wrong, as a closed set: the contract's failure codes and the host's own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $( $(#[$doc])* $name, )+ }

        impl Code {
            /// Every code, for documents and tests.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )+ ];

            /// What follows from the code: number, label, blame, retry class.
            const fn rule(self) -> (u16, &'static str, Blame, Retry) {
                match self { $( Self::$name => ($number, $label, Blame::$blame, Retry::$retry), )+ }
            }
        }
    };
}

codes! {
    /// The backend said with authority that the object does not exist.
    Absent = (1101, "absent", Backend, AtInterval),
    /// Something else is not there: a mount, a project, a property.
    NotFound = (1102, "not-found", Backend, AtInterval),
    /// The backend refused by policy.
    Denied = (1103, "denied", Backend, AtInterval),
    /// The backend does not accept the credential.
    Unauthenticated = (1104, "unauthenticated", Backend, Backoff),
    /// The backend asked us to slow down.
    RateLimited = (1105, "rate-limited", Backend, Backoff),
    /// The backend is away, sealed or broken.
    Unavailable = (1106, "unavailable", Backend, Backoff),
    /// The backend did not answer in time.
    Timeout = (1107, "timeout", Backend, Backoff),
    /// Somebody else changed the object meanwhile.
    Conflict = (1108, "conflict", Backend, Backoff),
    /// Objects are said not to exist in a way that is not believed at once; nothing was deleted.
    MassAbsence = (1109, "mass-absence", Backend, AtInterval),
    /// The store's config cannot work.
    InvalidConfig = (1201, "invalid-config", Manifest, OnChange),
    /// The request cannot work: a key, version or property of the wrong form.
    InvalidRequest = (1202, "invalid-request", Manifest, AtInterval),
    /// The manifest asks for what this provider or this version cannot do.
    Unsupported = (1203, "unsupported", Manifest, OnChange),
    /// The manifest contradicts itself or the API's rules.
    InvalidSpec = (1204, "invalid-spec", Manifest, OnChange),
    /// The store that is named does not exist.
    StoreMissing = (1205, "store-missing", Manifest, Backoff),
    /// The store exists and is not ready.
    StoreNotReady = (1206, "store-not-ready", Manifest, Backoff),
    /// No plugin serves the provider key.
    UnknownProvider = (1207, "unknown-provider", Manifest, OnChange),
    /// A Secret, ConfigMap or ServiceAccount that holds a credential is missing.
    CredentialMissing = (1208, "credential-missing", Manifest, Backoff),
    /// The object is there, the key in it is not.
    CredentialKeyMissing = (1209, "credential-key-missing", Manifest, Backoff),
    /// A value cannot be decoded as the manifest says.
    Undecodable = (1210, "undecodable", Manifest, AtInterval),
    /// A template does not parse.
    TemplateInvalid = (1301, "template-invalid", Manifest, OnChange),
    /// A template failed while it ran.
    TemplateFailed = (1302, "template-failed", Manifest, AtInterval),
    /// A ConfigMap or Secret that holds a template, or its key, is missing.
    TemplateSourceMissing = (1303, "template-source-missing", Manifest, Backoff),
    /// The target belongs to somebody else.
    TargetOwned = (1401, "target-owned", Manifest, AtInterval),
    /// The API server or the file system refused the write.
    WriteFailed = (1402, "write-failed", Postern, Backoff),
    /// The network door is closed to this destination.
    EgressDenied = (1501, "egress-denied", Manifest, AtInterval),
    /// A directory was asked for that no grant names.
    FilesDenied = (1502, "files-denied", Manifest, AtInterval),
    /// No StoreAccess lets the namespace read this from the store.
    AccessDenied = (1503, "access-denied", Manifest, OnChange),
    /// A StoreAccess cannot be read, and closes its store.
    AccessInvalid = (1504, "access-invalid", Manifest, OnChange),
    /// The plugin broke a limit.
    LimitExceeded = (1601, "limit-exceeded", Plugin, AtInterval),
    /// The plugin trapped.
    Trapped = (1602, "trapped", Plugin, Backoff),
    /// The plugin's answer does not fit the contract.
    ContractBroken = (1603, "contract-broken", Plugin, AtInterval),
    /// The plugin cannot be loaded.
    PluginInvalid = (1604, "plugin-invalid", Plugin, OnChange),
    /// The plugin says that it failed itself.
    PluginFailed = (1605, "plugin-failed", Plugin, Backoff),
    /// The Plugin that serves a key is not active.
    PluginNotActive = (1606, "plugin-not-active", Plugin, Backoff),
    /// Bytes of a plugin do not have the digest they should.
    DigestMismatch = (1607, "digest-mismatch", Plugin, Backoff),
    /// No revision of a Plugin is there to go back to, or no refusal to take back.
    NoWayBack = (1608, "no-way-back", Manifest, OnChange),
    /// The Plugin that was named does not exist.
    PluginMissing = (1609, "plugin-missing", Manifest, OnChange),
    /// The cluster cannot be reached, or does not allow what a command needs.
    ClusterUnavailable = (1701, "cluster-unavailable", Postern, Backoff),
    /// A defect or a lack of resources of the host.
    Internal = (1901, "internal", Postern, Backoff),
}

impl Code {
    /// The stable number behind `PST-`.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.rule().0
    }

    /// The word used in metrics, JSON and the contract.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.rule().1
    }

    /// Who has to act, unless the failure says otherwise.
    #[must_use]
    pub const fn blame(self) -> Blame {
        self.rule().2
    }

    /// When to try again.
    #[must_use]
    pub const fn retry(self) -> Retry {
        self.rule().3
    }

    /// Reads a failure code of the contract; one that we do not know breaks it, and is the plugin's fault.
    #[must_use]
    pub fn from_contract(code: &str) -> Self {
        match code {
            "absent" => Self::Absent,
            "not-found" => Self::NotFound,
            "denied" => Self::Denied,
            "unauthenticated" => Self::Unauthenticated,
            "invalid-config" => Self::InvalidConfig,
            "invalid-request" => Self::InvalidRequest,
            "conflict" => Self::Conflict,
            "rate-limited" => Self::RateLimited,
            "unavailable" => Self::Unavailable,
            "timeout" => Self::Timeout,
            "unsupported" => Self::Unsupported,
            "internal" => Self::PluginFailed,
            _ => Self::ContractBroken,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PST-{}", self.number())
    }
}

/// One failure. `Display` shows the public text with who has to act and the code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{public} ({blame}, {code})", blame = code.blame().as_str())]
pub struct Failure {
    /// Where in the sync.
    pub stage: Stage,
    /// What, as a closed set.
    pub code: Code,
    /// One line for people: what was tried, on what, and what to do. Never a value.
    pub public: String,
    /// Facts for the log, cut and free of values.
    pub detail: Option<String>,
    /// How long the backend asked us to wait.
    pub retry_after: Option<Duration>,
}

/// A public text is cut here: a condition's message is read in a terminal, and an event takes 1,024 bytes.
const MAX_PUBLIC: usize = 900;

impl Failure {
    /// A failure with its public text, which is made one line and cut.
    #[must_use]
    pub fn new(stage: Stage, code: Code, public: impl AsRef<str>) -> Self {
        Self {
            stage,
            code,
            public: one_line(public.as_ref(), MAX_PUBLIC),
            detail: None,
            retry_after: None,
        }
    }

    /// Adds what only the log may show.
    #[must_use]
    pub fn with_detail(mut self, detail: impl AsRef<str>) -> Self {
        self.detail = Some(one_line(detail.as_ref(), MAX_PUBLIC));
        self
    }

    /// Adds how long the backend asked us to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Puts what was being done in front of the public text.
    #[must_use]
    pub fn context(mut self, what: impl AsRef<str>) -> Self {
        self.public = one_line(&format!("{}: {}", what.as_ref(), self.public), MAX_PUBLIC);
        self
    }
}

/// Makes one line of a text, without control characters, and cuts it at a character boundary.
#[must_use]
pub fn one_line(text: &str, max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max));
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            gap = !line.is_empty();
            continue;
        }
        let needed = c.len_utf8() + usize::from(gap);
        if line.len() + needed + '…'.len_utf8() > max {
            line.push('…');
            return line;
        }
        if gap {
            line.push(' ');
            gap = false;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{Blame, Code, Failure, Stage, one_line};
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_its_own_number_and_label() {
        let numbers: BTreeSet<_> = Code::ALL.iter().map(|c| c.number()).collect();
        let labels: BTreeSet<_> = Code::ALL.iter().map(|c| c.label()).collect();
        assert_eq!(numbers.len(), Code::ALL.len());
        assert_eq!(labels.len(), Code::ALL.len());
    }

    #[test]
    fn an_unknown_code_of_a_plugin_is_the_plugins_fault() {
        assert_eq!(Code::from_contract("surprise"), Code::ContractBroken);
        assert_eq!(Code::from_contract("internal"), Code::PluginFailed);
        assert_eq!(Code::PluginFailed.blame(), Blame::Plugin);
    }

    #[test]
    fn a_message_becomes_one_cut_line() {
        assert_eq!(one_line("a\n\tb  c\u{1b}[0m", 100), "a b c [0m");
        assert_eq!(one_line("ääää", 8), "ää…");
    }

    #[test]
    fn the_code_stands_behind_the_public_text() {
        let failure = Failure::new(
            Stage::Fetch,
            Code::Denied,
            "the backend denied reading \"db\"",
        );
        assert_eq!(
            failure.to_string(),
            "the backend denied reading \"db\" (backend, PST-1103)"
        );
    }
}
