//! How a request finds its answer in a [`Store`]: the paths of the Vault API that the vault plugin uses. No sockets and no clock.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::answers;
use super::http_server::{Asked, Reply};
use super::store::{JwtRole, Login, Secret, Store, Token};

/// Policies and metadata of the token to issue, or the refusal.
type Admitted = Result<(Vec<String>, Value), Reply>;

impl Store {
    /// What a server that behaves answers to `asked`, whose path is `path`, at the time `now`.
    pub fn reply(&mut self, asked: &Asked, path: &str, now: Instant) -> Reply {
        if path == "sys/health" {
            return answers::health();
        }
        if is_login(path) {
            return self.log_in(path, &asked.json(), now);
        }
        let name = asked.token().unwrap_or_default().to_owned();
        let Some(token) = self.live(Some(&name), now).cloned() else {
            return answers::no_token();
        };
        if let Some(about) = path.strip_prefix("auth/token/") {
            return self.about_token(about, &name, &token, now);
        }
        if let Some(below) = path.strip_prefix("sys/internal/ui/mounts/") {
            return self
                .mount_of(below)
                .map_or_else(answers::denied, |(mount, version, _)| {
                    answers::mount(mount, version)
                });
        }
        if !self.allows(&token, path) {
            return answers::denied();
        }
        self.kv(asked, path)
    }

    fn log_in(&mut self, path: &str, body: &Value, now: Instant) -> Reply {
        let (mount, user) = path
            .trim_start_matches("auth/")
            .split_once("/login")
            .unwrap_or_default();
        let admitted = match user.strip_prefix('/') {
            Some(user) => self.admit_user(user, body),
            None if body["role_id"].is_string() => self.admit_approle(body),
            None => self.admit_signed(mount, body),
        };
        let (policies, metadata) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return refusal,
        };
        let token = Token::new(&policies, (mount, path), metadata, (now, self.token_ttl));
        let name = self.issue(token);
        match self.tokens.get(&name) {
            Some(token) => answers::logged_in(&name, token),
            None => answers::no_token(),
        }
    }

    fn admit_user(&self, user: &str, body: &Value) -> Admitted {
        match self.logins.get(&format!("user:{user}")) {
            Some(Login::Shared { secret, policies }) if body["password"] == **secret => {
                Ok((policies.clone(), json!({"username": user})))
            }
            _ => Err(answers::wrong_password()),
        }
    }

    fn admit_approle(&self, body: &Value) -> Admitted {
        let role = body["role_id"].as_str().unwrap_or_default();
        match self.logins.get(role) {
            Some(Login::Shared { secret, policies }) if body["secret_id"] == **secret => {
                Ok((policies.clone(), json!({"role_name": role})))
            }
            _ => Err(answers::wrong_secret_id()),
        }
    }

    fn admit_signed(&self, mount: &str, body: &Value) -> Admitted {
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        let role = text("role");
        let (who, kubernetes) = match self.logins.get(&format!("{mount}:{role}")) {
            Some(Login::Kubernetes(who)) => (who, true),
            Some(Login::Jwt(who)) => (who, false),
            _ => return Err(answers::no_kubernetes_role(role)),
        };
        admit(who, text("jwt"), kubernetes)?;
        Ok((who.policies.clone(), json!({"role": role})))
    }

    fn about_token(&mut self, about: &str, name: &str, token: &Token, now: Instant) -> Reply {
        match about {
            "lookup-self" => answers::itself(
                name,
                token,
                token
                    .expires
                    .map(|expires| expires.saturating_duration_since(now).as_secs()),
            ),
            "renew-self" => {
                if let Some(kept) = self.tokens.get_mut(name) {
                    kept.expires = kept.expires.map(|_| now + kept.ttl);
                }
                answers::renewed(name, token)
            }
            "revoke-self" => {
                self.tokens.remove(name);
                answers::no_content()
            }
            _ => answers::denied(),
        }
    }

    fn kv(&mut self, asked: &Asked, path: &str) -> Reply {
        let Some((mount, version, below)) = self.mount_of(path) else {
            return answers::no_mount(path);
        };
        let (mount, below) = (mount.to_owned(), below.to_owned());
        let lists = asked.method.as_str() == "LIST"
            || query(asked, "list").is_some_and(|value| value == "true");
        match (version, below.split_once('/')) {
            (2, Some(("data", path))) => self.kv2_data(asked, &mount, path),
            (2, _) if lists && below.starts_with("metadata") => self.listed(
                &mount,
                below.trim_start_matches("metadata").trim_start_matches('/'),
            ),
            (2, Some(("metadata", path))) => self.kv2_metadata(asked, &mount, path),
            (1, _) if lists => self.listed(&mount, &below),
            (1, _) => self.kv1(asked, &mount, &below),
            _ => answers::nothing(),
        }
    }

    fn listed(&self, mount: &str, folder: &str) -> Reply {
        let names = self.list(mount, folder);
        if names.is_empty() {
            answers::nothing()
        } else {
            answers::list(&names)
        }
    }

    fn kv2_data(&mut self, asked: &Asked, mount: &str, path: &str) -> Reply {
        match asked.method.as_str() {
            "GET" => {
                let Some(secret) = self.secret(mount, path) else {
                    return answers::nothing();
                };
                let number = query(asked, "version").and_then(|number| number.parse().ok());
                secret
                    .version(number)
                    .map_or_else(answers::nothing, |(number, version)| {
                        answers::kv2(number, version, secret)
                    })
            }
            "POST" | "PUT" => {
                let body = asked.json();
                let latest = self.secret(mount, path).map_or(0, Secret::latest);
                if body["options"]["cas"]
                    .as_u64()
                    .is_some_and(|cas| cas != latest)
                {
                    return answers::cas_conflict();
                }
                answers::written(self.put(mount, path, body["data"].clone()))
            }
            "DELETE" => {
                if let Some(version) = self.secret_mut(mount, path).versions.last_mut() {
                    version.deleted = true;
                }
                answers::no_content()
            }
            _ => answers::denied(),
        }
    }

    fn kv2_metadata(&mut self, asked: &Asked, mount: &str, path: &str) -> Reply {
        match asked.method.as_str() {
            "GET" => self
                .secret(mount, path)
                .map_or_else(answers::nothing, answers::kv2_metadata),
            "POST" | "PUT" => {
                self.secret_mut(mount, path).custom_metadata =
                    asked.json()["custom_metadata"].as_object().cloned();
                answers::no_content()
            }
            "DELETE" => {
                self.secrets.remove(&(mount.to_owned(), path.to_owned()));
                answers::no_content()
            }
            _ => answers::denied(),
        }
    }

    fn kv1(&mut self, asked: &Asked, mount: &str, path: &str) -> Reply {
        match asked.method.as_str() {
            "GET" => match self
                .secret(mount, path)
                .and_then(|secret| secret.version(None))
            {
                Some((_, version)) => answers::kv1(&version.data),
                None => answers::nothing(),
            },
            "POST" | "PUT" => {
                self.put(mount, path, asked.json());
                answers::no_content()
            }
            "DELETE" => {
                self.secrets.remove(&(mount.to_owned(), path.to_owned()));
                answers::no_content()
            }
            _ => answers::denied(),
        }
    }
}

/// Whether the claims of a token, whose signature is not checked, fit the role.
fn admit(who: &JwtRole, jwt: &str, kubernetes: bool) -> Result<(), Reply> {
    let claims: Option<Value> = jwt
        .split('.')
        .nth(1)
        .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(claims) = claims else {
        return Err(if kubernetes {
            answers::not_a_token()
        } else {
            answers::bad_signature()
        });
    };
    if who
        .subject
        .as_ref()
        .is_some_and(|subject| claims["sub"] != **subject)
    {
        return Err(answers::wrong_account());
    }
    let meant_for = |audience: &String| {
        claims["aud"] == **audience
            || claims["aud"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| *one == **audience))
    };
    match &who.audience {
        Some(audience) if !meant_for(audience) => Err(if kubernetes {
            answers::not_a_token()
        } else {
            answers::wrong_audience()
        }),
        _ => Ok(()),
    }
}

/// The path within the server: namespace of the header, then the path without `/v1/` and query.
pub(super) fn path_of(asked: &Asked) -> String {
    let path = asked.target.split('?').next().unwrap_or_default();
    let path = path
        .strip_prefix("/v1/")
        .unwrap_or(path)
        .trim_end_matches('/');
    match asked
        .header("x-vault-namespace")
        .map(|namespace| namespace.trim_matches('/'))
    {
        Some(namespace)
            if !namespace.is_empty() && !path.starts_with("auth/") && !path.starts_with("sys/") =>
        {
            format!("{namespace}/{path}")
        }
        _ => path.to_owned(),
    }
}

pub(super) fn is_login(path: &str) -> bool {
    path.starts_with("auth/") && (path.ends_with("/login") || path.contains("/login/"))
}

fn query<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    let (_, query) = asked.target.split_once('?')?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
