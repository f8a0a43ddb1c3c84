//! What several first-party providers do alike: addresses and authorities that stand in a config, texts in URLs, moments,
//! and properties of JSON values. No component of its own, and nothing here knows a backend.

#[cfg(feature = "jwt")]
pub mod google;
#[cfg(feature = "jwt")]
pub mod jwt;
pub mod property;
pub mod time;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_sdk::{Ask, Failure, Options, Outcome, Request};

/// An ask of `describe` without options: its kind, what of that kind, and why.
#[must_use]
pub fn ask(kind: &str, what: &str, why: &str) -> Ask {
    Ask {
        kind: kind.to_owned(),
        what: what.to_owned(),
        why: why.to_owned(),
        options: Options::new(),
    }
}

/// The outcomes of requests that all fail for one reason, before any of them is sent.
#[must_use]
pub fn all_failed(requests: &[Request], failure: &Failure) -> Vec<Outcome> {
    let failed = |_: &Request| Outcome::failed(failure.clone());
    requests.iter().map(failed).collect()
}

/// The PEM of a `caBundle`: as it stands, or from base64, which may be broken into lines.
#[must_use]
pub fn pem(bundle: &str) -> Option<Vec<u8>> {
    const BEGIN: &str = "-----BEGIN ";
    if bundle.contains(BEGIN) {
        return Some(bundle.as_bytes().to_vec());
    }
    let packed: String = bundle.split_ascii_whitespace().collect();
    let decoded = STANDARD.decode(packed).ok()?;
    decoded
        .windows(BEGIN.len())
        .any(|w| w == BEGIN.as_bytes())
        .then_some(decoded)
}

/// A server's address as a store names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The URL without a slash at its end.
    pub base: String,
    /// Scheme and authority of it.
    pub origin: String,
}

impl Address {
    /// Reads a URL of scheme, host, port and path.
    ///
    /// # Errors
    /// What is wrong with it, without its text: a password may stand in it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const SCHEME: &str = "must be a URL that begins with https:// or http://";
        let (scheme, rest) = text.trim().split_once("://").ok_or(SCHEME)?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "https" && scheme != "http" {
            return Err(SCHEME);
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err("must not contain a user name or a password");
        }
        if authority.is_empty() || rest.contains(['?', '#', ' ', '\\']) {
            return Err("must be a URL of scheme, host, port and path only");
        }
        let origin = format!("{scheme}://{}", authority.to_ascii_lowercase());
        let base = format!("{origin}{}", path.trim_end_matches('/'));
        Ok(Self { base, origin })
    }
}

/// Percent-encodes all but what RFC 3986 calls unreserved: fit for one segment of a path, and for a query's value.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_pem_or_base64_of_it() {
        let text = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert_eq!(pem(text).as_deref(), Some(text.as_bytes()));
        let mut packed = STANDARD.encode(text);
        packed.insert(10, '\n');
        assert_eq!(pem(&packed).as_deref(), Some(text.as_bytes()));
        assert_eq!(pem("bm9uZQ=="), None);
        assert_eq!(pem("%"), None);
    }

    #[test]
    fn an_address_has_no_more_than_scheme_host_port_and_path() {
        let address = Address::parse(" HTTPS://Vault.Corp:8200/Prefix/ ").unwrap();
        assert_eq!(address.base, "https://vault.corp:8200/Prefix");
        assert_eq!(address.origin, "https://vault.corp:8200");
        for wrong in [
            "vault",
            "ftp://vault",
            "https://",
            "https://a@b",
            "https://a?b",
            "https://a\\b",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_that_separates_stays() {
        assert_eq!(
            encode("a/b?c=d&e+f g%ä"),
            "a%2Fb%3Fc%3Dd%26e%2Bf%20g%25%C3%A4"
        );
    }
}
