//! What several first-party providers do alike: authorities that stand in a config, and texts in URLs. No component of
//! its own, and nothing here knows a backend.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

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
    fn nothing_that_separates_stays() {
        assert_eq!(
            encode("a/b?c=d&e+f g%ä"),
            "a%2Fb%3Fc%3Dd%26e%2Bf%20g%25%C3%A4"
        );
    }
}
