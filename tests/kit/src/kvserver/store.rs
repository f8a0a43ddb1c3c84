//! What the counting server holds: mounts, secrets, ways to log in, tokens. No HTTP here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::policy;

/// The policy that opens everything.
pub(super) const ROOT: &str = "root";

#[derive(Clone, Debug)]
pub(super) struct Version {
    pub data: Value,
    pub deleted: bool,
    pub destroyed: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Secret {
    pub versions: Vec<Version>,
    pub custom_metadata: Option<Map<String, Value>>,
}

impl Secret {
    pub fn latest(&self) -> u64 {
        self.versions.len() as u64
    }

    /// The version of this number, or the latest; 0 means the latest too.
    pub fn version(&self, number: Option<u64>) -> Option<(u64, &Version)> {
        let number = number
            .filter(|number| *number > 0)
            .unwrap_or_else(|| self.latest());
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        Some((number, self.versions.get(index)?))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub policies: Vec<String>,
    pub display_name: String,
    pub path: String,
    pub ttl: Duration,
    pub expires: Option<Instant>,
    pub metadata: Value,
}

impl Token {
    /// A token that was got at a path of some display name, at a time for a while.
    pub fn new(
        policies: &[String],
        (display_name, path): (&str, &str),
        metadata: Value,
        (now, ttl): (Instant, Duration),
    ) -> Self {
        Self {
            policies: policies.to_vec(),
            display_name: display_name.into(),
            path: path.into(),
            ttl,
            expires: Some(now + ttl),
            metadata,
        }
    }
}

/// Who may log in with a signed token.
#[derive(Clone, Debug, Default)]
pub struct JwtRole {
    /// Policies of the tokens that it gives.
    pub policies: Vec<String>,
    /// The claim `sub` that it asks for, such as `system:serviceaccount:ns:name`; none accepts any.
    pub subject: Option<String>,
    /// The audience that it asks for; none accepts any.
    pub audience: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Login {
    /// Secret id or password, and the policies.
    Shared {
        secret: String,
        policies: Vec<String>,
    },
    Kubernetes(JwtRole),
    Jwt(JwtRole),
}

#[derive(Debug, Default)]
pub(super) struct Store {
    /// Path of a mount and its KV version.
    pub mounts: BTreeMap<String, u8>,
    /// By mount and path below it.
    pub secrets: BTreeMap<(String, String), Secret>,
    pub policies: BTreeMap<String, Vec<String>>,
    /// AppRole by role id, userpass by name, the others by mount and role.
    pub logins: BTreeMap<String, Login>,
    pub tokens: BTreeMap<String, Token>,
    /// How long tokens of later logins live.
    pub token_ttl: Duration,
    issued: u64,
}

impl Store {
    /// The mount that holds `path`, its version, and the rest of the path.
    pub fn mount_of<'p>(&self, path: &'p str) -> Option<(&str, u8, &'p str)> {
        self.mounts
            .iter()
            .filter_map(|(mount, version)| {
                let rest = path.strip_prefix(mount.as_str())?;
                (rest.is_empty() || rest.starts_with('/'))
                    .then(|| (mount.as_str(), *version, rest.trim_start_matches('/')))
            })
            .max_by_key(|(mount, _, _)| mount.len())
    }

    pub fn secret(&self, mount: &str, path: &str) -> Option<&Secret> {
        self.secrets.get(&(mount.to_owned(), path.to_owned()))
    }

    /// Adds a version, and gives its number.
    pub fn put(&mut self, mount: &str, path: &str, data: Value) -> u64 {
        let secret = self.secret_mut(mount, path);
        secret.versions.push(Version {
            data,
            deleted: false,
            destroyed: false,
        });
        secret.latest()
    }

    pub fn secret_mut(&mut self, mount: &str, path: &str) -> &mut Secret {
        self.secrets
            .entry((mount.to_owned(), path.to_owned()))
            .or_default()
    }

    /// Names directly below `folder`; a folder ends with a slash.
    pub fn list(&self, mount: &str, folder: &str) -> Vec<String> {
        let folder = if folder.is_empty() {
            String::new()
        } else {
            format!("{}/", folder.trim_end_matches('/'))
        };
        let mut names: Vec<String> = self
            .secrets
            .keys()
            .filter(|(at, _)| at == mount)
            .filter_map(|(_, path)| path.strip_prefix(&folder))
            .map(|rest| rest.find('/').map_or(rest, |end| &rest[..=end]).to_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    pub fn issue(&mut self, mut token: Token) -> String {
        self.issued += 1;
        let name = format!("s.counting{:016}", self.issued);
        if !token.policies.iter().any(|policy| policy == "default") {
            token.policies.insert(0, "default".into());
        }
        self.tokens.insert(name.clone(), token);
        name
    }

    /// The token, if it is known and has not expired.
    pub fn live(&self, token: Option<&str>, now: Instant) -> Option<&Token> {
        self.tokens
            .get(token?)
            .filter(|token| token.expires.is_none_or(|expires| expires > now))
    }

    pub fn allows(&self, token: &Token, path: &str) -> bool {
        token.policies.iter().any(|name| {
            name == ROOT
                || self
                    .policies
                    .get(name)
                    .is_some_and(|patterns| policy::opens(patterns, path))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_longest_mount_and_lists_one_level() {
        let mut store = Store::default();
        store
            .mounts
            .extend([("a".to_owned(), 1), ("a/b".to_owned(), 2)]);
        for path in ["db", "sub/one", "sub/two"] {
            store.secret_mut("a/b", path);
        }
        assert_eq!(store.mount_of("a/b/data/x"), Some(("a/b", 2, "data/x")));
        assert_eq!(store.mount_of("a/bc"), Some(("a", 1, "bc")));
        assert_eq!(store.mount_of("c"), None);
        assert_eq!(store.list("a/b", ""), ["db", "sub/"]);
        assert_eq!(store.list("a/b", "sub"), ["one", "two"]);
    }
}
