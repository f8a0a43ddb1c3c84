//! What a plugin from outside may reach: what it asks for, held against what grants allow. Pure.
//!
//! The third bound, what a store's config names, is drawn where the endpoints are known. A bundled plugin, or one named on
//! the command line, has [`Permits::All`]: it may do what it asks for.

use std::fmt::Write as _;
use std::sync::Arc;

use postern_api::PluginGrantSpec;

use crate::egress::Origin;
use crate::plugin::{Ask, Digest};

/// What a revision may do of what it asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Permits {
    /// Everything: it is bundled, or was named on the command line.
    #[default]
    All,
    /// What grants allow.
    Granted(Arc<Granted>),
}

/// The grants that speak of one revision of one Plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// Name of the Plugin.
    pub plugin: String,
    /// Each with its own namespaces, ordered by name.
    pub grants: Vec<Grant>,
}

/// One PluginGrant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Name of the PluginGrant.
    pub name: String,
    /// Host patterns.
    pub hosts: Vec<String>,
    /// Names of directories; `*` for all.
    pub directories: Vec<String>,
    /// Metadata and link-local addresses.
    pub metadata_address: bool,
    /// The platform's identity.
    pub ambient_identity: bool,
    /// The API server.
    pub api_server: bool,
    /// None for all namespaces.
    pub namespaces: Option<Vec<String>>,
}

impl Granted {
    /// The grants that are for this revision: by the Plugin's name, by digest, or by both.
    #[must_use]
    pub fn of<'a>(
        plugin: &str,
        digest: &Digest,
        all: impl IntoIterator<Item = (&'a str, &'a PluginGrantSpec)>,
    ) -> Self {
        let speaks = |spec: &PluginGrantSpec| {
            let named = spec.plugin.as_deref().is_none_or(|name| name == plugin);
            let pinned = spec.digest.as_deref().is_none_or(|d| d == digest.as_str());
            // One that says neither is refused by its schema, and opens nothing where it comes without.
            (spec.plugin.is_some() || spec.digest.is_some()) && named && pinned
        };
        let mut grants: Vec<Grant> = all
            .into_iter()
            .filter(|(_, spec)| speaks(spec))
            .map(|(name, spec)| Grant {
                name: name.to_owned(),
                hosts: spec.hosts.clone(),
                directories: spec.directories.clone(),
                metadata_address: spec.metadata_address,
                ambient_identity: spec.ambient_identity,
                api_server: spec.api_server,
                namespaces: spec.namespaces.clone(),
            })
            .collect();
        grants.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            plugin: plugin.to_owned(),
            grants,
        }
    }

    /// Asks that wait for a grant. One is answered by a grant that allows it whole. A grant that allows a part of it is
    /// an answer too, as long as the ask is not one that `before` (the asks of the revision that serves now) lacked: a
    /// newer revision that asks for more waits, whatever part of it was allowed to the older.
    #[must_use]
    pub fn awaited(&self, asks: &[Ask], before: Option<&[Ask]>) -> Vec<Ask> {
        let known = |ask: &Ask| before.is_none_or(|old| old.iter().any(|o| covers_ask(o, ask)));
        let waits = |ask: &&Ask| !(self.allows(ask) || (known(ask) && self.allows_part(ask)));
        asks.iter().filter(waits).cloned().collect()
    }

    fn allows(&self, ask: &Ask) -> bool {
        match ask.kind.as_str() {
            "host" => self.any(|g| g.hosts.iter().any(|p| covers(p, &ask.what))),
            "files" => self.any(|g| g.directories.iter().any(|d| d == "*" || *d == ask.what)),
            "metadata-address" => self.any(|g| g.metadata_address),
            "ambient-identity" | "environment" => self.any(|g| g.ambient_identity),
            "api-server" => self.any(|g| g.api_server),
            // A kind that we do not know gives nothing, so nothing has to be allowed.
            _ => true,
        }
    }

    fn allows_part(&self, ask: &Ask) -> bool {
        match ask.kind.as_str() {
            "host" => self.any(|g| g.hosts.iter().any(|p| covers(&ask.what, p))),
            "files" => ask.what == "*" && self.any(|g| !g.directories.is_empty()),
            _ => false,
        }
    }

    fn any(&self, test: impl Fn(&Grant) -> bool) -> bool {
        self.grants.iter().any(test)
    }
}

impl Permits {
    /// Whether the plugin may work for a namespace at all; none stands for a store of the whole cluster.
    #[must_use]
    pub fn admits(&self, namespace: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Granted(granted) => {
                // A plugin that asks for nothing needs no grant, and works for everybody.
                granted.grants.is_empty() || granted.any(|g| g.admits(namespace))
            }
        }
    }

    /// Whether what is open depends on the namespace that asks.
    #[must_use]
    pub fn by_namespace(&self) -> bool {
        match self {
            Self::All => false,
            Self::Granted(granted) => granted.any(|g| g.namespaces.is_some()),
        }
    }

    /// Whether a grant opens this place to this namespace.
    #[must_use]
    pub fn opens(&self, origin: &Origin, namespace: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Granted(granted) => granted.any(|g| {
                g.admits(namespace) && g.hosts.iter().any(|pattern| matches(pattern, origin))
            }),
        }
    }

    /// Whether a grant opens this directory to this namespace.
    #[must_use]
    pub fn opens_directory(&self, name: &str, namespace: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Granted(granted) => granted.any(|g| {
                g.admits(namespace) && g.directories.iter().any(|d| d == "*" || d == name)
            }),
        }
    }

    /// Whether a grant allows a kind of ask that has no further bound: `metadata-address`, `api-server`, `ambient-identity`,
    /// `environment`. Only the names of settings tell them from secrets, so the two of the environment are one grant.
    #[must_use]
    pub fn allows_kind(&self, kind: &str, namespace: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Granted(granted) => granted.any(|g| {
                g.admits(namespace)
                    && match kind {
                        "metadata-address" => g.metadata_address,
                        "ambient-identity" | "environment" => g.ambient_identity,
                        "api-server" => g.api_server,
                        _ => false,
                    }
            }),
        }
    }

    /// What to add where, for the message of a refusal: a line of which PluginGrant.
    #[must_use]
    pub fn remedy(&self, field: &str, item: &str) -> String {
        match self {
            Self::All => String::new(),
            Self::Granted(granted) => {
                let name = granted.grants.first().map_or(&granted.plugin, |g| &g.name);
                format!("add \"- {item}\" to spec.{field} of PluginGrant {name}")
            }
        }
    }
}

impl Grant {
    fn admits(&self, namespace: Option<&str>) -> bool {
        match (&self.namespaces, namespace) {
            (None, _) | (Some(_), None) => true,
            (Some(named), Some(namespace)) => named.iter().any(|n| n == namespace),
        }
    }
}

/// How [`suggestion`] begins.
pub const SUGGESTION_BEGINS: &str = "apiVersion: postern.dev/v1alpha1\nkind: PluginGrant\n";

/// The manifest that would give a plugin all it asks for.
#[must_use]
pub fn suggestion(plugin: &str, asks: &[Ask]) -> String {
    let mut text =
        format!("{SUGGESTION_BEGINS}metadata:\n  name: {plugin}\nspec:\n  plugin: {plugin}\n");
    list(&mut text, "hosts", asks, "host");
    list(&mut text, "directories", asks, "files");
    let flags: [(&[&str], &str); 3] = [
        (&["metadata-address"], "metadataAddress"),
        (&["ambient-identity", "environment"], "ambientIdentity"),
        (&["api-server"], "apiServer"),
    ];
    for (kinds, field) in flags {
        if let Some(ask) = asks.iter().find(|ask| kinds.contains(&ask.kind.as_str())) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {field}: true # {}", comment(&ask.why));
        }
    }
    text
}

fn list(text: &mut String, field: &str, asks: &[Ask], kind: &str) {
    let mut of_kind = asks.iter().filter(|ask| ask.kind == kind).peekable();
    if of_kind.peek().is_none() {
        return;
    }
    let _ = writeln!(text, "  {field}:");
    for ask in of_kind {
        let what = serde_json::Value::from(ask.what.clone());
        let _ = writeln!(text, "    - {what} # {}", comment(&ask.why));
    }
}

/// The plugin's own words, which must not become anything but a comment.
fn comment(why: &str) -> String {
    crate::failure::one_line(why, 120)
}

/// Whether one ask is contained in another.
fn covers_ask(wide: &Ask, narrow: &Ask) -> bool {
    wide.kind == narrow.kind
        && match wide.kind.as_str() {
            "host" => covers(&wide.what, &narrow.what),
            "files" => wide.what == "*" || wide.what == narrow.what,
            _ => true,
        }
}

/// Whether every origin that `narrow` matches is matched by `wide`.
fn covers(wide: &str, narrow: &str) -> bool {
    let ((wide_host, wide_port), (host, port)) = (split(wide), split(narrow));
    let (wide_host, host) = (wide_host.to_ascii_lowercase(), host.to_ascii_lowercase());
    if wide_port.is_some() && wide_port != port {
        return false;
    }
    match wide_host.strip_prefix('*') {
        Some("") => !host.is_empty(),
        Some(suffix) => {
            // `*.a` covers `*.a`, `*.b.a` and `b.a`.
            let rest = host.strip_prefix('*').unwrap_or(&host);
            suffix.starts_with('.')
                && rest.ends_with(suffix)
                && (host.starts_with('*') || rest.len() > suffix.len())
        }
        None => !wide_host.is_empty() && wide_host == host,
    }
}

/// `*`, `*.suffix`, or a host, each with or without a port. `*.suffix` is not the suffix itself.
#[must_use]
pub fn matches(pattern: &str, origin: &Origin) -> bool {
    let (host, port) = split(pattern);
    if port.is_some_and(|port| port != origin.port.to_string()) {
        return false;
    }
    let host = host.to_ascii_lowercase();
    match host.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => {
            suffix.starts_with('.')
                && origin.host.len() > suffix.len()
                && origin.host.ends_with(suffix)
        }
        None => !host.is_empty() && host == origin.host,
    }
}

fn split(pattern: &str) -> (&str, Option<&str>) {
    if let Some((host, after)) = pattern
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return (host, after.strip_prefix(':'));
    }
    match pattern.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (pattern, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(kind: &str, what: &str) -> Ask {
        Ask {
            kind: kind.to_owned(),
            what: what.to_owned(),
            why: "because".to_owned(),
        }
    }

    fn hosts(patterns: &[&str]) -> Granted {
        let spec = PluginGrantSpec {
            plugin: Some("acme".to_owned()),
            hosts: patterns.iter().map(|p| (*p).to_owned()).collect(),
            ..PluginGrantSpec::default()
        };
        Granted::of("acme", &Digest::of(b""), [("g", &spec)])
    }

    #[test]
    fn an_ask_opens_what_it_names_and_nothing_beside() {
        let table = [
            ("*", "https://any:1", true),
            ("*:443", "https://any", true),
            ("*:443", "https://any:8443", false),
            ("*.corp", "https://vault.corp", true),
            ("*.corp", "https://corp", false),
            ("*.corp", "https://evilcorp", false),
            ("*.corp:8200", "http://a.b.corp:8200", true),
            ("*.corp:8200", "http://a.b.corp", false),
            ("*corp", "https://evilcorp", false),
            ("Vault.corp", "https://vault.corp:8200", true),
            ("vault.corp:8200", "https://vault.corp:8200", true),
            ("vault.corp", "https://vault.corp.evil", false),
            ("[::1]:8200", "http://[::1]:8200", true),
            ("", "https://a", false),
        ];
        for (pattern, origin, open) in table {
            assert_eq!(
                matches(pattern, &Origin::parse(origin).unwrap()),
                open,
                "{pattern} {origin}"
            );
        }
    }

    #[test]
    fn a_pattern_covers_what_it_contains() {
        let table = [
            ("*", "*.corp:443", true),
            ("*:443", "*.corp:443", true),
            ("*:443", "*.corp", false),
            ("*.corp", "*.corp", true),
            ("*.corp", "*.a.corp", true),
            ("*.corp", "a.corp:1", true),
            ("*.corp", "corp", false),
            ("*.corp", "*", false),
            ("*.corp", "*.evilcorp", false),
            ("a.corp", "A.corp:1", true),
            ("a.corp:1", "a.corp", false),
            ("a.corp", "*.corp", false),
        ];
        for (wide, narrow, expected) in table {
            assert_eq!(covers(wide, narrow), expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn without_a_grant_every_ask_waits_and_nothing_opens() {
        let none = hosts(&[]);
        let asks = [
            ask("host", "*.acme.corp"),
            ask("files", "*"),
            ask("api-server", ""),
        ];
        assert_eq!(none.awaited(&asks, None), asks);
        let permits = Permits::Granted(Arc::new(none));
        assert!(!permits.opens(&Origin::parse("https://a.acme.corp").unwrap(), None));
        assert!(!permits.opens_directory("vault", None));
        assert!(!permits.allows_kind("api-server", None));
    }

    #[test]
    fn a_part_that_is_granted_is_an_answer_the_first_time_only() {
        let granted = hosts(&["vault.acme.corp"]);
        let wide = [ask("host", "*.acme.corp")];
        assert_eq!(granted.awaited(&wide, None), []);
        // The revision that serves asked for less: the newer one waits, though a part of its ask is granted.
        assert_eq!(
            granted.awaited(&wide, Some(&[ask("host", "vault.acme.corp")])),
            wide
        );
        assert_eq!(granted.awaited(&wide, Some(&[ask("host", "*")])), []);
        assert_eq!(hosts(&["*.acme.corp"]).awaited(&wide, Some(&[])), []);
    }

    #[test]
    fn a_grant_of_another_plugin_or_digest_opens_nothing() {
        let digest = Digest::of(b"x");
        let of = |plugin: Option<&str>, pinned: Option<&Digest>| {
            let spec = PluginGrantSpec {
                plugin: plugin.map(str::to_owned),
                digest: pinned.map(|d| d.as_str().to_owned()),
                ..PluginGrantSpec::default()
            };
            Granted::of("acme", &digest, [("g", &spec)]).grants.len()
        };
        assert_eq!(of(Some("acme"), None), 1);
        assert_eq!(of(None, Some(&digest)), 1);
        assert_eq!(of(Some("other"), Some(&digest)), 0);
        assert_eq!(of(Some("acme"), Some(&Digest::of(b"y"))), 0);
        assert_eq!(of(None, None), 0);
    }

    #[test]
    fn a_grant_with_namespaces_opens_nothing_to_others() {
        let spec = PluginGrantSpec {
            plugin: Some("acme".to_owned()),
            hosts: vec!["*".to_owned()],
            namespaces: Some(vec!["team-a".to_owned()]),
            ..PluginGrantSpec::default()
        };
        let granted = Granted::of("acme", &Digest::of(b""), [("g", &spec)]);
        let permits = Permits::Granted(Arc::new(granted));
        let origin = Origin::parse("https://a").unwrap();
        assert!(permits.opens(&origin, Some("team-a")));
        assert!(!permits.opens(&origin, Some("team-b")));
        assert!(!permits.admits(Some("team-b")));
    }

    #[test]
    fn the_suggestion_is_a_manifest_that_answers_every_ask() {
        let asks = [
            ask("host", "*.acme.corp:443"),
            ask("files", "*"),
            ask("metadata-address", ""),
        ];
        let text = suggestion("acme", &asks);
        assert_eq!(
            text,
            "apiVersion: postern.dev/v1alpha1\nkind: PluginGrant\nmetadata:\n  name: acme\nspec:\n  plugin: acme\n  \
             hosts:\n    - \"*.acme.corp:443\" # because\n  directories:\n    - \"*\" # because\n  metadataAddress: true # because\n"
        );
    }

    #[test]
    fn a_remedy_names_the_line_and_the_grant() {
        let permits = Permits::Granted(Arc::new(hosts(&["a"])));
        assert_eq!(
            permits.remedy("hosts", "b:443"),
            "add \"- b:443\" to spec.hosts of PluginGrant g"
        );
    }
}
