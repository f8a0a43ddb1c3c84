//! For whom a token of a ServiceAccount may be: the audiences that the store names, and for bundled plugins those that
//! everybody who knows the backend expects.
//!
//! The account itself is always one that the store names, since a reference is found by its place in the store's config.

use serde_json::Value;

use crate::failure::{Code, Failure, Stage, one_line};
use crate::plugin::{Reference, Revision};
use crate::store::Store;

/// Audiences that a bundled plugin may ask for though the store does not name them, by provider key. Each means something
/// to that cloud or backend alone. A star stands for a project's name.
const WELL_KNOWN: [(&str, &[&str]); 4] = [
    ("vault", &["vault"]),
    (
        "aws",
        &[
            "sts.amazonaws.com",
            "{annotation:eks.amazonaws.com/audience|sts.amazonaws.com}",
        ],
    ),
    ("azurekv", &["api://AzureADTokenExchange"]),
    ("gcpsm", &["*.svc.id.goog"]),
];

/// The audiences of a token: those that the plugin asks for, and those of the reference itself. None means the API
/// server's own. Errors: the plugin asks for one that the store does not name.
pub fn of_token(
    store: &Store,
    plugin: &Revision,
    reference: &Reference,
    named: &[String],
) -> Result<Vec<String>, Failure> {
    let at = format!("{}{}", store.config_path(), reference.pointer);
    let refused = |what: &str, remedy: String| {
        let text = format!(
            "{}: the plugin \"{}\" asks for a token of the ServiceAccount at {at} {what}; {remedy}",
            store.id, plugin.descriptor.name
        );
        Failure::new(Stage::Check, Code::InvalidConfig, text)
    };
    let mut all = reference.audiences.clone();
    for audience in &all {
        let is_named = named.contains(audience) || names(&store.config_value, audience);
        let is_expected = plugin.bundled && is_well_known(&store.provider_key, audience);
        if !is_named && !is_expected {
            let audience = one_line(audience, 100);
            return Err(refused(
                &format!("for the audience \"{audience}\", which the store does not name"),
                format!("if it may go there, add \"{audience}\" to {at}.audiences"),
            ));
        }
    }
    let further = named.iter().filter(|a| !reference.audiences.contains(a));
    all.extend(further.cloned());
    // Such a token opens the API server with all that the account may do.
    if all.is_empty() && !plugin.permits.allows_kind("api-server", None) {
        return Err(refused(
            "without an audience, which is one for the API server",
            format!(
                "name the backend in {at}.audiences, or allow apiServer in a PluginGrant of the plugin"
            ),
        ));
    }
    Ok(all)
}

/// Whether a config has this text as an audience, at whatever place.
fn names(config: &Value, audience: &str) -> bool {
    let is = |value: &Value| match value {
        Value::String(text) => text == audience,
        Value::Array(all) => all.iter().any(|v| v.as_str() == Some(audience)),
        _ => false,
    };
    match config {
        Value::Object(fields) => fields.iter().any(|(field, value)| {
            (matches!(field.as_str(), "audience" | "audiences") && is(value))
                || names(value, audience)
        }),
        Value::Array(items) => items.iter().any(|item| names(item, audience)),
        _ => false,
    }
}

fn is_well_known(provider: &str, audience: &str) -> bool {
    let of = WELL_KNOWN.iter().filter(|(key, _)| *key == provider);
    of.flat_map(|(_, known)| *known)
        .any(|known| match known.strip_prefix('*') {
            Some(end) => audience.len() > end.len() && audience.ends_with(end),
            None => *known == audience,
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use postern_api::PluginGrantSpec;
    use postern_api::external_secret::StoreKind;
    use serde_json::json;

    use super::*;
    use crate::grant::{Granted, Permits};
    use crate::plugin::{Descriptor, Digest};
    use crate::store::{self, StoreId};

    fn store(key: &str, config: Value) -> Store {
        let spec = serde_json::from_value(json!({"provider": {key: config}})).unwrap();
        store::parse(
            StoreId::from_ref(StoreKind::SecretStore, "s", "team"),
            "u".into(),
            1,
            &spec,
        )
        .unwrap()
    }

    fn plugin(bundled: bool, api_server: bool) -> Revision {
        let digest = Digest::of(b"x");
        let grant = PluginGrantSpec {
            plugin: Some("acme".into()),
            api_server,
            ..PluginGrantSpec::default()
        };
        Revision {
            descriptor: Descriptor {
                name: "acme".into(),
                version: "1".into(),
                serves: vec!["acme".into()],
                config_schema: json!({}),
                asks: Vec::new(),
                batch_size: 0,
                summary: String::new(),
                options: Vec::new(),
            },
            has_login: true,
            has_find: true,
            is_engine: false,
            bundled,
            permits: match bundled {
                true => Permits::All,
                false => Permits::Granted(Arc::new(Granted::of("acme", &digest, [("g", &grant)]))),
            },
            fallback: None,
            digest,
        }
    }

    fn asks(audiences: &[&str]) -> Reference {
        Reference {
            pointer: "/auth/account".into(),
            audiences: audiences.iter().map(|a| (*a).to_owned()).collect(),
            expires_in_s: None,
            default_key: None,
        }
    }

    #[test]
    fn a_plugin_gets_tokens_for_what_the_store_names_and_no_other() {
        let store = store(
            "acme",
            json!({"auth": {"account": {"name": "a"}, "audiences": ["b"]}, "pool": {"audience": "c"}, "server": "d"}),
        );
        let named = vec!["a".to_owned()];
        for bundled in [true, false] {
            let plugin = plugin(bundled, true);
            for audience in ["a", "b", "c"] {
                let all = of_token(&store, &plugin, &asks(&[audience]), &named).unwrap();
                assert!(all.contains(&audience.to_owned()) && all.contains(&named[0]));
            }
            for audience in [
                "d",
                "vault",
                "sts.amazonaws.com",
                "https://kubernetes.default.svc",
            ] {
                let failure =
                    of_token(&store, &plugin, &asks(&["a", audience]), &named).unwrap_err();
                assert_eq!(
                    failure.public,
                    format!(
                        "SecretStore \"s\": the plugin \"acme\" asks for a token of the ServiceAccount at \
                         spec.provider.acme/auth/account for the audience \"{audience}\", which the store does not name; \
                         if it may go there, add \"{audience}\" to spec.provider.acme/auth/account.audiences"
                    )
                );
            }
        }
    }

    #[test]
    fn well_known_audiences_are_for_the_bundled_plugin_of_that_key() {
        for (key, audience, known) in [
            ("vault", "vault", true),
            ("aws", "sts.amazonaws.com", true),
            ("aws", "vault", false),
            ("azurekv", "api://AzureADTokenExchange", true),
            ("gcpsm", "project.svc.id.goog", true),
            ("gcpsm", ".svc.id.goog", false),
            ("gcpsm", "project.svc.id.goog.evil", false),
        ] {
            let store = store(key, json!({"auth": {"account": {"name": "a"}}}));
            let of = |bundled| of_token(&store, &plugin(bundled, true), &asks(&[audience]), &[]);
            assert_eq!(of(true).is_ok(), known, "{key} {audience}");
            assert!(of(false).is_err(), "{key} {audience}");
        }
    }

    #[test]
    fn a_token_for_the_api_server_goes_to_a_plugin_from_outside_only_by_grant() {
        let store = store("acme", json!({"auth": {"account": {"name": "a"}}}));
        assert_eq!(
            of_token(&store, &plugin(true, false), &asks(&[]), &[]),
            Ok(Vec::new())
        );
        assert_eq!(
            of_token(&store, &plugin(false, true), &asks(&[]), &[]),
            Ok(Vec::new())
        );
        let failure = of_token(&store, &plugin(false, false), &asks(&[]), &[]).unwrap_err();
        assert!(
            failure.public.contains("allow apiServer in a PluginGrant"),
            "{failure}"
        );
        let named = ["backend".to_owned()];
        assert!(of_token(&store, &plugin(false, false), &asks(&[]), &named).is_ok());
    }
}
