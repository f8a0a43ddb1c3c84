//! Signature Version 4: the derived key, and signatures with it. Pure, and only as much of the protocol as our requests
//! have: no query, and a path without anything that would have to be encoded.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The algorithm's name in signatures.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A key for one day, one region and one service, from which nobody gets the secret access key back.
pub type Key = [u8; 32];

/// The key of the scope.
#[must_use]
pub fn derive(secret: &str, date: &str, region: &str, service: &str) -> Key {
    let of_date = mac(format!("AWS4{secret}").as_bytes(), date);
    let of_region = mac(&of_date, region);
    let of_service = mac(&of_region, service);
    mac(&of_service, "aws4_request")
}

/// Whose signature it is and what it is good for.
pub struct Signer<'a> {
    /// Access key id.
    pub id: &'a str,
    /// Goes with temporary keys.
    pub session_token: Option<&'a str>,
    /// The derived key.
    pub key: &'a Key,
    /// Region of the key's scope.
    pub region: &'a str,
    /// Service of the key's scope.
    pub service: &'a str,
}

/// What is signed.
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// Host, with the port where it is not the scheme's own.
    pub host: &'a str,
    /// The path, `/` at least.
    pub path: &'a str,
    /// Headers; all of them are signed.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// `YYYYMMDDTHHMMSSZ`; its date must be that of the key.
    pub stamp: &'a str,
}

impl Signer<'_> {
    /// The headers to add: date, session token and signature.
    #[must_use]
    pub fn sign(&self, request: &Request<'_>) -> Vec<(String, String)> {
        let mut added = vec![("x-amz-date".to_owned(), request.stamp.to_owned())];
        if let Some(token) = self.session_token {
            added.push(("x-amz-security-token".to_owned(), token.to_owned()));
        }
        let (canonical, signed) = canonical(request, &added);
        let date = request.stamp.get(..8).unwrap_or_default();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!(
            "{ALGORITHM}\n{}\n{scope}\n{}",
            request.stamp,
            hex(&Sha256::digest(canonical.as_bytes()))
        );
        let signature = hex(&mac(self.key, &to_sign));
        let value = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.id
        );
        added.push(("authorization".to_owned(), value));
        added
    }
}

/// The canonical form of a request, and the names of its signed headers.
fn canonical(request: &Request<'_>, added: &[(String, String)]) -> (String, String) {
    let own = request.headers.iter().copied();
    let added = added.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    let mut headers: Vec<(String, String)> = own
        .chain(added)
        .chain([("host", request.host)])
        .map(|(name, value)| (name.to_ascii_lowercase(), single_spaces(value)))
        .collect();
    headers.sort();
    let lines: String = headers.iter().map(|(n, v)| format!("{n}:{v}\n")).collect();
    let names: Vec<&str> = headers.iter().map(|(n, _)| n.as_str()).collect();
    let names = names.join(";");
    let body = hex(&Sha256::digest(request.body));
    let text = format!(
        "{}\n{}\n\n{lines}\n{names}\n{body}",
        request.method, request.path
    );
    (text, names)
}

fn single_spaces(value: &str) -> String {
    value
        .split(' ')
        .filter(|w| !w.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn mac(key: &[u8], text: &str) -> Key {
    // HMAC takes keys of any length, so the one that answers "wrong length" is never given.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Key::default();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The key that its hexadecimal digits stand for.
#[must_use]
pub fn unhex(text: &str) -> Option<Key> {
    let mut key = Key::default();
    if text.len() != 2 * key.len() || !text.is_ascii() {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(key)
}
