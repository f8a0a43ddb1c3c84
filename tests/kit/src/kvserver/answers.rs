//! Answers of the counting server: each is a recorded answer with the values of the test put in, so that no shape is invented.

use serde_json::{Map, Value, json};

use super::http_server::Reply;
use super::recording::{Answered, Recording};
use super::store::{Secret, Token, Version};

#[allow(
    clippy::panic,
    reason = "notes are constants of this file, and the tests ask for the answers"
)]
fn answer(note: &str) -> &'static Answered {
    match Recording::openbao().answer(note) {
        Some(answer) => answer,
        None => panic!("no recorded exchange is called {note:?}"),
    }
}

/// The recorded answer with this note.
fn recorded(note: &str) -> Reply {
    let answer = answer(note);
    Reply::json(answer.status, &answer.body)
}

/// The recorded answer with this note, after a change of its body.
fn with(note: &str, fill: impl FnOnce(&mut Value)) -> Reply {
    let answer = answer(note);
    let mut body = answer.body.clone();
    fill(&mut body);
    Reply::json(answer.status, &body)
}

pub(super) fn health() -> Reply {
    recorded("health of an unsealed, active dev server")
}

pub(super) fn sealed_health() -> Reply {
    recorded("health of a sealed server")
}

pub(super) fn sealed() -> Reply {
    recorded("read from a sealed server")
}

pub(super) fn no_token() -> Reply {
    recorded("read with a revoked token")
}

pub(super) fn denied() -> Reply {
    recorded("read denied by policy")
}

pub(super) fn nothing() -> Reply {
    recorded("KV v2 read, no such secret")
}

pub(super) fn no_content() -> Reply {
    recorded("KV v2 soft delete")
}

pub(super) fn no_mount(path: &str) -> Reply {
    with("read under a path where nothing is mounted", |body| {
        body["errors"] = json!([format!(
            "no handler for route \"{path}\". route entry not found."
        )]);
    })
}

pub(super) fn kv2(number: u64, version: &Version, secret: &Secret) -> Reply {
    let note = if version.destroyed {
        "KV v2 read, latest version destroyed"
    } else if version.deleted {
        "KV v2 read, latest version deleted"
    } else {
        "KV v2 read, latest version"
    };
    with(note, |body| {
        if !version.destroyed && !version.deleted {
            body["data"]["data"] = version.data.clone();
        }
        body["data"]["metadata"]["version"] = json!(number);
        body["data"]["metadata"]["custom_metadata"] = json!(secret.custom_metadata);
    })
}

pub(super) fn kv2_metadata(secret: &Secret) -> Reply {
    with("KV v2 metadata with custom_metadata", |body| {
        let data = &mut body["data"];
        data["current_version"] = json!(secret.latest());
        data["custom_metadata"] = json!(secret.custom_metadata);
        let shape = data["versions"]["1"].clone();
        let versions: Map<String, Value> = (1..)
            .zip(&secret.versions)
            .map(|(number, version)| {
                let mut one = shape.clone();
                one["destroyed"] = json!(version.destroyed);
                if version.deleted {
                    one["deletion_time"] = one["created_time"].clone();
                }
                (number.to_string(), one)
            })
            .collect();
        data["versions"] = Value::Object(versions);
    })
}

pub(super) fn kv1(data: &Value) -> Reply {
    with("KV v1 read", |body| body["data"] = data.clone())
}

pub(super) fn list(names: &[String]) -> Reply {
    with("KV v2 list, with a folder", |body| {
        body["data"]["keys"] = json!(names)
    })
}

pub(super) fn written(number: u64) -> Reply {
    with("KV v2 write of a new secret with cas 0", |body| {
        body["data"]["version"] = json!(number)
    })
}

pub(super) fn cas_conflict() -> Reply {
    recorded("KV v2 write, cas conflict")
}

pub(super) fn mount(path: &str, version: u8) -> Reply {
    with("mount details of a KV v2 path", |body| {
        body["data"]["path"] = json!(format!("{path}/"));
        body["data"]["options"]["version"] = json!(version.to_string());
    })
}

pub(super) fn logged_in(name: &str, token: &Token) -> Reply {
    with("AppRole login", |body| {
        fill_auth(&mut body["auth"], name, token)
    })
}

pub(super) fn renewed(name: &str, token: &Token) -> Reply {
    with("renew-self", |body| {
        fill_auth(&mut body["auth"], name, token)
    })
}

fn fill_auth(auth: &mut Value, name: &str, token: &Token) {
    auth["client_token"] = json!(name);
    auth["policies"] = json!(token.policies);
    auth["token_policies"] = json!(token.policies);
    auth["metadata"] = token.metadata.clone();
    auth["lease_duration"] = json!(token.ttl.as_secs());
}

pub(super) fn itself(name: &str, token: &Token, left: Option<u64>) -> Reply {
    let Some(left) = left else {
        return with("root token looks itself up", |body| {
            body["data"]["id"] = json!(name)
        });
    };
    with("service token with a TTL looks itself up", |body| {
        let data = &mut body["data"];
        data["id"] = json!(name);
        data["policies"] = json!(token.policies);
        data["display_name"] = json!(token.display_name);
        data["path"] = json!(token.path);
        data["meta"] = token.metadata.clone();
        data["creation_ttl"] = json!(token.ttl.as_secs());
        data["ttl"] = json!(left);
    })
}

pub(super) fn wrong_secret_id() -> Reply {
    recorded("AppRole login, wrong secret id")
}

pub(super) fn wrong_password() -> Reply {
    recorded("userpass login, wrong password")
}

pub(super) fn no_kubernetes_role(role: &str) -> Reply {
    with("Kubernetes login, no such role", |body| {
        body["errors"] = json!([format!("invalid role name \"{role}\"")])
    })
}

pub(super) fn wrong_account() -> Reply {
    recorded("Kubernetes login, other service account")
}

pub(super) fn not_a_token() -> Reply {
    recorded("Kubernetes login, not a token")
}

pub(super) fn wrong_audience() -> Reply {
    recorded("JWT login, wrong audience")
}

pub(super) fn bad_signature() -> Reply {
    recorded("JWT login, bad signature")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_answer_was_recorded() {
        let token = Token {
            policies: vec!["p".into()],
            display_name: String::new(),
            path: String::new(),
            ttl: Duration::from_secs(7),
            expires: None,
            metadata: Value::Null,
        };
        let version = Version {
            data: json!({}),
            deleted: false,
            destroyed: false,
        };
        let deleted = Version {
            deleted: true,
            ..version.clone()
        };
        let destroyed = Version {
            destroyed: true,
            ..version.clone()
        };
        let secret = Secret {
            versions: vec![version.clone()],
            custom_metadata: None,
        };
        let answers = [
            (health(), 200),
            (sealed_health(), 503),
            (sealed(), 503),
            (no_token(), 403),
            (denied(), 403),
            (nothing(), 404),
            (no_content(), 204),
            (no_mount("a/b"), 404),
            (kv2(1, &version, &secret), 200),
            (kv2(1, &deleted, &secret), 404),
            (kv2(1, &destroyed, &secret), 404),
            (kv2_metadata(&secret), 200),
            (kv1(&json!({})), 200),
            (list(&[]), 200),
            (written(1), 200),
            (cas_conflict(), 400),
            (mount("kv1", 1), 200),
            (logged_in("s.x", &token), 200),
            (renewed("s.x", &token), 200),
            (itself("s.x", &token, Some(3)), 200),
            (itself("root", &token, None), 200),
            (wrong_secret_id(), 400),
            (wrong_password(), 400),
            (no_kubernetes_role("r"), 400),
            (wrong_account(), 403),
            (not_a_token(), 403),
            (wrong_audience(), 400),
            (bad_signature(), 400),
        ];
        for (answer, status) in answers {
            assert_eq!(answer.status, status, "{answer:?}");
        }
    }
}
