//! What is done with a service account's key: the assertion that is signed with it, and where that may go.

use postern_plugin_shared::Address;
use postern_plugin_shared::google::{Key, SCOPE};
use postern_sdk::Failure;
use serde_json::json;

use crate::config::{Places, is_googles};

/// How long an assertion, and the token that it is traded for, may live: the most that Google takes.
const LIFE_S: u64 = 3600;

/// The URL that trades an assertion for a token. A key is a file that somebody handed over, so it may not say where its
/// assertion goes, other than to Google.
///
/// # Errors
/// What is wrong with it.
pub fn token_url(key: &Key, places: &Places) -> Result<Address, &'static str> {
    const FOREIGN: &str =
        "has a token_uri that is not Google's; if it is right, name its server in endpoints.oauth2";
    if let Some(named) = &places.oauth2 {
        return Address::parse(&format!("{}/token", named.base));
    }
    let url = Address::parse(key.token_uri()).map_err(|_| FOREIGN)?;
    let known = is_googles(&url) || url.origin == "https://accounts.google.com";
    known.then_some(url).ok_or(FOREIGN)
}

/// A signed assertion of who asks, for a token that may use Secret Manager; `random` blinds the use of the key.
///
/// # Errors
/// `invalid-config` for a key that cannot sign.
pub fn assertion(key: &Key, now: u64, random: impl FnMut() -> u64) -> Result<String, Failure> {
    let claims = json!({
        "iss": key.email(), "scope": SCOPE, "aud": key.token_uri(), "iat": now, "exp": now + LIFE_S,
    });
    key.sign(&claims, random)
}
