//! What a remote key means: one object must not be read by a name that a rule does not speak of.
//!
//! Some providers take several names for one object, and some HTTP interfaces turn one path into another. A key that could
//! be turned is refused where a store is restricted; names of one object are made the same before a rule sees them.

use std::borrow::Cow;

use crate::store::Store;

/// Whether a key means what stands in it. The error says why not.
pub(super) fn plain(key: &str) -> Result<(), &'static str> {
    if key.chars().any(char::is_control) {
        return Err("it has control characters");
    }
    let decoded = decoded(key);
    let mut segments: Vec<&str> = decoded.split(['/', '\\']).collect();
    if segments.iter().any(|s| matches!(s.trim(), "." | "..")) {
        return Err("it has . or .. for a segment");
    }
    // Some names begin with a slash.
    if segments.len() > 1 && segments[0].is_empty() {
        segments.remove(0);
    }
    if segments.iter().any(|s| s.is_empty()) {
        return Err("it has an empty segment");
    }
    Ok(())
}

/// The key with every escape that matters to a path undone, also one of an escape.
fn decoded(key: &str) -> String {
    let mut key = key.to_owned();
    loop {
        let mut next = key.clone();
        for (escape, plain) in [("%2e", "."), ("%2f", "/"), ("%5c", "\\"), ("%25", "%")] {
            next = next
                .replace(escape, plain)
                .replace(&escape.to_uppercase(), plain);
        }
        if next == key {
            return key;
        }
        key = next;
    }
}

/// The one name by which rules know what a provider reads under this key.
pub(super) fn name<'a>(store: &Store, key: &'a str, metadata: bool) -> Cow<'a, str> {
    match store.provider_key.as_str() {
        "vault" => vault(store, key, metadata),
        // The kind of object in front may be left out where it is a secret.
        "azurekv" => Cow::Borrowed(key.strip_prefix("secret/").unwrap_or(key)),
        _ => Cow::Borrowed(key),
    }
}

/// The store's mount and the `data/` of its interface may stand in front of a key, or not; metadata takes keys as they are.
fn vault<'a>(store: &Store, key: &'a str, metadata: bool) -> Cow<'a, str> {
    let key = key.trim_start_matches('/');
    let text = |field: &str| store.config_value.get(field).and_then(|v| v.as_str());
    let v2 = text("version") != Some("v1");
    let mount = text("path")
        .map(|mount| mount.trim_matches('/'))
        .filter(|m| !m.is_empty());
    match mount {
        Some(_) if metadata => Cow::Borrowed(key),
        Some(mount) => {
            let below = key.strip_prefix(mount).and_then(|k| k.strip_prefix('/'));
            let rest = below.unwrap_or(key);
            let rest = rest.strip_prefix("data/").filter(|_| v2).unwrap_or(rest);
            Cow::Borrowed(rest)
        }
        None if v2 => Cow::Owned(key.replacen("/data/", "/", 1)),
        None => Cow::Borrowed(key),
    }
}

#[cfg(test)]
mod tests {
    use postern_api::external_secret::StoreKind;
    use serde_json::{Value, json};

    use super::*;
    use crate::store::{self, StoreId};

    fn store(provider: Value) -> Store {
        let spec = serde_json::from_value(json!({"provider": provider})).unwrap();
        let id = StoreId::from_ref(StoreKind::ClusterSecretStore, "corp", "");
        store::parse(id, "u".into(), 1, &spec).unwrap()
    }

    #[test]
    fn a_key_that_could_be_turned_into_another_is_not_plain() {
        for key in [
            "a/../b",
            "..",
            "a/./b",
            "a/%2e%2E/b",
            "a/%252e%252e/b",
            "a%2f..%2fb",
            "a\\..\\b",
            "a/.. /b",
            "a//b",
            "a/",
            "//a",
            "a\n/b",
            "a/.\t./b",
        ] {
            assert!(plain(key).is_err(), "{key:?}");
        }
        for key in [
            "a",
            "/a/b",
            "a/..b/c...",
            "a b",
            "projects/p/secrets/s",
            "50%",
        ] {
            assert_eq!(plain(key), Ok(()), "{key:?}");
        }
    }

    #[test]
    fn names_of_one_object_of_vault_are_one_name() {
        let v2 = store(json!({"vault": {"server": "s", "path": "secret", "version": "v2"}}));
        for key in [
            "team/db",
            "secret/team/db",
            "secret/data/team/db",
            "data/team/db",
            "/team/db",
        ] {
            assert_eq!(name(&v2, key, false), "team/db", "{key}");
        }
        assert_eq!(name(&v2, "data/team/db", true), "data/team/db");
        let v1 = store(json!({"vault": {"server": "s", "path": "secret", "version": "v1"}}));
        assert_eq!(name(&v1, "secret/data/x", false), "data/x");
        let bare = store(json!({"vault": {"server": "s"}}));
        assert_eq!(name(&bare, "secret/data/team/db", false), "secret/team/db");
        assert_eq!(name(&bare, "secret/team/db", false), "secret/team/db");
    }

    #[test]
    fn other_providers_have_one_name_for_one_object() {
        let azure = store(json!({"azurekv": {}}));
        assert_eq!(name(&azure, "secret/db", false), "db");
        assert_eq!(name(&azure, "key/db", false), "key/db");
        let other = store(json!({"acme": {"path": "secret"}}));
        assert_eq!(name(&other, "secret/db", false), "secret/db");
    }
}
