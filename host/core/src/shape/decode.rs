//! Decoding of values, and the check for zero bytes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use postern_api::external_secret::{DecodingStrategy, NullBytePolicy};

use crate::failure::{Code, Failure, Stage};
use crate::plan::Entry;
use crate::secret::SecretValue;

/// Decodes a value and looks for zero bytes in what comes out, as the entry says.
pub(super) fn finish(entry: &Entry, key: &str, value: SecretValue) -> Result<SecretValue, Failure> {
    let value = decode(entry.decoding, value).map_err(|text| {
        Failure::new(
            Stage::Shape,
            Code::Undecodable,
            format!("key \"{key}\": {text}"),
        )
    })?;
    if entry.null_bytes == NullBytePolicy::Fail && value.expose().contains(&0) {
        return Err(Failure::new(
            Stage::Shape,
            Code::Undecodable,
            format!("key \"{key}\" has a zero byte, which nullBytePolicy Fail refuses"),
        ));
    }
    Ok(value)
}

/// Decodes a value; the error names the strategy and never the value.
pub fn decode(strategy: DecodingStrategy, value: SecretValue) -> Result<SecretValue, &'static str> {
    if strategy == DecodingStrategy::None {
        return Ok(value);
    }
    // Go's decoder passes over line ends.
    let text: zeroize::Zeroizing<Vec<u8>> = zeroize::Zeroizing::new(
        value
            .expose()
            .iter()
            .copied()
            .filter(|b| !matches!(b, b'\n' | b'\r'))
            .collect(),
    );
    match strategy {
        DecodingStrategy::None => Ok(value),
        DecodingStrategy::Base64 => STANDARD
            .decode(&*text)
            .map(SecretValue::new)
            .map_err(|_| "the value is not base64, as decodingStrategy says"),
        DecodingStrategy::Base64URL => URL_SAFE
            .decode(&*text)
            .map(SecretValue::new)
            .map_err(|_| "the value is not base64url, as decodingStrategy says"),
        DecodingStrategy::Auto => {
            let decoded = STANDARD.decode(&*text).or_else(|_| URL_SAFE.decode(&*text));
            Ok(decoded.map(SecretValue::new).unwrap_or(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_as_the_peer_does() {
        let table: [(DecodingStrategy, &str, Option<&str>); 9] = [
            (DecodingStrategy::None, "aGk=", Some("aGk=")),
            (DecodingStrategy::Base64, "aGk=", Some("hi")),
            (DecodingStrategy::Base64, "aG\nk=\r\n", Some("hi")),
            (DecodingStrategy::Base64, "a-_k", None),
            (DecodingStrategy::Base64, "aGk", None),
            (DecodingStrategy::Base64URL, "aGk=", Some("hi")),
            (DecodingStrategy::Auto, "no base64!", Some("no base64!")),
            (DecodingStrategy::Auto, "aGk=", Some("hi")),
            (DecodingStrategy::Auto, "-_-_", Some("\u{fb}")),
        ];
        for (strategy, input, expected) in &table[..8] {
            let decoded = decode(*strategy, SecretValue::from(*input)).ok();
            assert_eq!(
                decoded,
                expected.map(SecretValue::from),
                "{strategy:?} {input}"
            );
        }
        let urlsafe = decode(table[8].0, table[8].1.into()).unwrap();
        assert_eq!(urlsafe.expose(), [0xfb, 0xff, 0xbf]);
    }
}
