//! A service account's key: the JSON file that Google gives out, and the assertion that is signed with it.

use postern_plugin_shared::Address;
use postern_plugin_shared::jwt::{Algorithm, Signer};
use postern_sdk::Failure;
use serde::Deserialize;
use serde_json::json;

use crate::config::{Places, is_googles};
use crate::wire::SCOPE;

/// How long an assertion, and the token that it is traded for, may live: the most that Google takes.
const LIFE_S: u64 = 3600;

/// The file.
#[derive(Deserialize)]
pub struct Key {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    token_uri: String,
}

impl Key {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, without a word of it.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let key: Self = serde_json::from_slice(bytes).map_err(|_| "is no JSON of a key")?;
        if key.kind != "service_account" {
            return Err("is not the key of a service account: its type is another");
        }
        if key.client_email.is_empty() || key.private_key.is_empty() || key.token_uri.is_empty() {
            return Err("lacks client_email, private_key or token_uri");
        }
        Ok(key)
    }

    /// The URL that trades an assertion for a token. A key is a file that somebody handed over, so it may not say where
    /// its assertion goes, other than to Google.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn token_url(&self, places: &Places) -> Result<Address, &'static str> {
        const FOREIGN: &str = "has a token_uri that is not Google's; if it is right, name its server in endpoints.oauth2";
        if let Some(named) = &places.oauth2 {
            return Address::parse(&format!("{}/token", named.base));
        }
        let url = Address::parse(&self.token_uri).map_err(|_| FOREIGN)?;
        let known = is_googles(&url) || url.origin == "https://accounts.google.com";
        known.then_some(url).ok_or(FOREIGN)
    }

    /// A signed assertion of who asks, for a token that may use Secret Manager; `random` blinds the use of the key.
    ///
    /// # Errors
    /// `invalid-config` for a key that cannot sign.
    pub fn assertion(&self, now: u64, random: impl FnMut() -> u64) -> Result<String, Failure> {
        let header =
            json!({"alg": Algorithm::Rs256.name(), "typ": "JWT", "kid": self.private_key_id});
        let claims = json!({
            "iss": self.client_email, "scope": SCOPE, "aud": self.token_uri,
            "iat": now, "exp": now + LIFE_S,
        });
        let wrong = |what: &str| {
            Failure::invalid_config(format!(
                "the private_key of the service account's key {what}: take the file as Google gives it"
            ))
        };
        let signer = Signer::from_pem(&self.private_key).map_err(wrong)?;
        let (header, claims) = (header.to_string(), claims.to_string());
        signer
            .token(Algorithm::Rs256, &header, &claims, random)
            .map_err(wrong)
    }
}
