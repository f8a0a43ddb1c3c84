//! Secret values that can be found again: every one starts the same, so a test can ask whether any escaped to where it must not be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// How every value starts. Its length is a multiple of three, so that base64 of the whole value starts with base64 of this.
pub const PREFIX: &str = "PSTSENTINEL-";

/// A secret value that names what it stands for, for example `PSTSENTINEL-db`.
pub fn value(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The first form of a sentinel in `text`: plain, base64 at any offset, or hexadecimal in either case.
pub fn find(text: &str) -> Option<&'static str> {
    if text.contains(PREFIX) {
        return Some("plain");
    }
    if base64_forms()
        .iter()
        .any(|form| text.contains(form.as_str()))
    {
        return Some("base64");
    }
    let hex = hex::encode(PREFIX);
    (text.contains(&hex) || text.contains(&hex.to_uppercase())).then_some("hexadecimal")
}

/// Fails where `text`, which came from `place`, holds a sentinel in any form. The message does not repeat the value.
///
/// # Panics
/// Where a sentinel is found.
#[allow(clippy::panic, reason = "an assertion of tests")]
#[track_caller]
pub fn assert_absent(text: &str, place: &str) {
    if let Some(form) = find(text) {
        panic!("a secret value appears in {place}, in {form} form");
    }
}

/// Within longer text the prefix may start at any of the three positions of a base64 group; characters that also hold bits of a
/// neighbour are cut off. The characters `+` and `/` do not appear, so the URL-safe alphabet looks the same.
fn base64_forms() -> [String; 3] {
    [0, 1, 2].map(|before: usize| {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(PREFIX.as_bytes());
        let text = STANDARD_NO_PAD.encode(&bytes);
        let start = (before * 8).div_ceil(6);
        let end = bytes.len() * 8 / 6;
        text[start..end].to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    #[test]
    fn finds_a_value_in_every_form_and_at_every_offset() {
        for before in ["", "a", "ab", "abc", "\u{fc}ber"] {
            let text = format!("{before}{}", value("db"));
            assert_eq!(find(&text), Some("plain"));
            assert_eq!(find(&STANDARD.encode(&text)), Some("base64"), "{before}");
            assert_eq!(find(&URL_SAFE.encode(&text)), Some("base64"), "{before}");
            assert_eq!(find(&hex::encode(&text)), Some("hexadecimal"));
            assert_eq!(find(&hex::encode_upper(&text)), Some("hexadecimal"));
        }
    }

    #[test]
    fn finds_nothing_in_other_text() {
        assert_absent("PSTSENTINE L-db cGFzc3dvcmQ= 505354", "a test");
    }

    #[test]
    #[should_panic(expected = "a secret value appears in the log, in plain form")]
    fn names_the_place_and_not_the_value() {
        assert_absent(&value("db"), "the log");
    }
}
