//! Who a bearer is, and how one becomes one.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::body::Bytes;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::words::{Target, rfc3339};
use super::{SecretManager, error};
use crate::http_server::{Asked, Reply, parameters};

/// The service account that has a key.
pub const ACCOUNT: &str = "keyed@demo.iam.gserviceaccount.com";

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// What Google's own libraries make assertions for, wherever they send them.
const GOOGLES: &str = "https://oauth2.googleapis.com/token";
const LIFE_S: i128 = 3599;
/// How far the times of an assertion may be off.
const SKEW_S: i128 = 300;

#[derive(Debug, Default)]
pub struct Tokens {
    /// Bearers and their permissions; none for all.
    known: BTreeMap<String, Option<BTreeSet<String>>>,
    given: u64,
    /// Audiences with the tokens or subjects that are believed.
    pub trusted: BTreeSet<(String, String)>,
    /// Whom everybody may act as.
    pub accounts: BTreeSet<String>,
    /// What assertions are made for.
    pub token_url: String,
}

/// The file of [`ACCOUNT`], with a private key that opens nothing.
#[must_use]
pub fn key_file(token_uri: &str) -> String {
    let body = include_str!("../../data/rsa-2048.pkcs8.b64");
    let label = "PRIVATE KEY";
    json!({
        "type": "service_account", "project_id": SecretManager::PROJECT, "private_key_id": "k1",
        "private_key": format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n"),
        "client_email": ACCOUNT, "client_id": "1", "token_uri": token_uri,
    })
    .to_string()
}

impl Tokens {
    pub fn add(&mut self, token: &str, permissions: Option<BTreeSet<String>>) {
        self.known.insert(token.to_owned(), permissions);
    }

    /// Forgets what was given here; what a test let in stays.
    pub fn revoke_all(&mut self) {
        self.known
            .retain(|token, _| !token.starts_with("ya29.given-"));
    }

    /// The permissions of a bearer; none within for all, none without for nobody. An assertion for the API itself is as good
    /// as a token.
    pub fn rights(&self, bearer: Option<&str>, now: i128) -> Option<Option<BTreeSet<String>>> {
        let bearer = bearer?;
        if let Some(known) = self.known.get(bearer) {
            return Some(known.clone());
        }
        // It names the API, or what it may be used for.
        let of_api = |aud: &str, scoped| scoped || aud.starts_with("https://secretmanager.");
        assertion(bearer, now, of_api).ok().map(|()| None)
    }

    pub fn reply(&mut self, asked: &Asked, target: &Target, now: i128) -> Reply {
        let path = asked.target.split('?').next().unwrap_or_default();
        let metadata = path.strip_prefix("/computeMetadata/v1/");
        match (asked.method.as_str(), path, metadata) {
            ("GET", _, Some(what)) => self.metadata(asked, what),
            ("POST", "/token", _) => self.by_assertion(asked, now),
            ("POST", "/v1/token", _) => {
                self.by_exchange(&parameters(&String::from_utf8_lossy(&asked.body)))
            }
            ("POST", "/v1/identitybindingtoken", _) => {
                let body = asked.json();
                let member = |(name, value): (&String, &Value)| {
                    (name.clone(), value.as_str().unwrap_or_default().to_owned())
                };
                let fields = body.as_object().map(|o| o.iter().map(member).collect());
                self.by_exchange(&fields.unwrap_or_default())
            }
            ("POST", _, _) if path.ends_with(":generateAccessToken") => {
                self.act(asked, target, now)
            }
            _ => error(404, "NOT_FOUND", "There is nothing at this path."),
        }
    }

    fn give(&mut self) -> String {
        self.given += 1;
        let token = format!("ya29.given-{}", self.given);
        self.known.insert(token.clone(), None);
        token
    }

    fn granted(&mut self) -> Reply {
        let token = self.give();
        Reply::json(
            200,
            &json!({"access_token": token, "expires_in": LIFE_S as u64, "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}),
        )
    }

    fn by_assertion(&mut self, asked: &Asked, now: i128) -> Reply {
        let fields = parameters(&String::from_utf8_lossy(&asked.body));
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        if field("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
            return refused("unsupported_grant_type", "Invalid grant_type");
        }
        match assertion(field("assertion"), now, |aud, scoped| {
            scoped && [self.token_url.as_str(), GOOGLES].contains(&aud)
        }) {
            Ok(()) => self.granted(),
            Err(why) => refused("invalid_grant", why),
        }
    }

    fn by_exchange(&mut self, fields: &BTreeMap<String, String>) -> Reply {
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        if field("grant_type") != EXCHANGE
            || field("requested_token_type").is_empty()
            || field("scope").is_empty()
        {
            return refused(
                "invalid_request",
                "Invalid or missing grant_type, requested_token_type or scope.",
            );
        }
        let (audience, token) = (field("audience"), field("subject_token"));
        let claims = token
            .split('.')
            .nth(1)
            .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
        let subject = claims["sub"].as_str().unwrap_or(token);
        if !self.trusted.iter().any(|(known, _)| known == audience) {
            return refused(
                "invalid_target",
                "The target service indicated by the \"audience\" parameters is invalid.",
            );
        }
        if !self
            .trusted
            .contains(&(audience.to_owned(), subject.to_owned()))
        {
            return refused(
                "invalid_grant",
                "The given credential is rejected by the attribute condition.",
            );
        }
        self.granted()
    }

    fn act(&mut self, asked: &Asked, target: &Target, now: i128) -> Reply {
        if self.rights(asked.token(), now).is_none() {
            return error(
                401,
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials.",
            );
        }
        let email = target.resource.rsplit('/').next().unwrap_or_default();
        if !self.accounts.contains(email) {
            let text = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).";
            return error(403, "PERMISSION_DENIED", text);
        }
        if asked.json()["scope"].as_array().is_none_or(Vec::is_empty) {
            return error(400, "INVALID_ARGUMENT", "Scope required.");
        }
        let end = rfc3339((now / 1_000_000_000 + LIFE_S) * 1_000_000_000);
        let token = self.give();
        Reply::json(200, &json!({"accessToken": token, "expireTime": end}))
    }

    fn metadata(&mut self, asked: &Asked, what: &str) -> Reply {
        if asked.header("metadata-flavor") != Some("Google") {
            return error(
                403,
                "PERMISSION_DENIED",
                "Missing required header Metadata-Flavor: Google",
            );
        }
        let text = |text: &'static str| Reply {
            body: Bytes::from_static(text.as_bytes()),
            ..Reply::json(200, &Value::Null)
        };
        let reply = match what {
            "project/project-id" => text(SecretManager::PROJECT),
            "instance/attributes/cluster-location" => text("europe-west1"),
            "instance/attributes/cluster-name" => text("c1"),
            "instance/service-accounts/default/token" => self.granted(),
            _ => error(404, "NOT_FOUND", "There is no such metadata."),
        };
        reply.with_header("Metadata-Flavor", "Google")
    }
}

fn refused(error: &str, description: &str) -> Reply {
    Reply::json(
        400,
        &json!({"error": error, "error_description": description}),
    )
}

/// Whether a signed text says for a short time, and for what it fits, that [`ACCOUNT`] asks.
fn assertion(text: &str, now: i128, fits: impl Fn(&str, bool) -> bool) -> Result<(), &'static str> {
    const FORM: &str = "Invalid JWT: it cannot be read.";
    let (signed, signature) = text.rsplit_once('.').ok_or(FORM)?;
    let part = |part: Option<&str>| {
        let bytes = URL_SAFE_NO_PAD.decode(part?).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let mut parts = signed.split('.');
    let header = part(parts.next()).ok_or(FORM)?;
    let claims = part(parts.next()).ok_or(FORM)?;
    if header["alg"] != "RS256" || claims["iss"] != ACCOUNT {
        return Err("Invalid grant: account not found");
    }
    let public: String = include_str!("../../data/rsa-2048.public.b64")
        .split_whitespace()
        .collect();
    let public = STANDARD.decode(public).map_err(|_| FORM)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| FORM)?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| "Invalid JWT Signature.")?;
    let now = now / 1_000_000_000;
    let time = |name: &str| claims[name].as_i64().map(i128::from).ok_or(FORM);
    let (from, to) = (time("iat")?, time("exp")?);
    if from > now + SKEW_S || to < now - SKEW_S || to - from > 3600 {
        return Err(
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.",
        );
    }
    let scoped = claims["scope"]
        .as_str()
        .is_some_and(|scope| scope.contains("cloud-platform"));
    if fits(claims["aud"].as_str().unwrap_or_default(), scoped) {
        Ok(())
    } else {
        Err("Invalid JWT: Failed audience check.")
    }
}
