//! What must never be shown: credentials, sessions, values and the sentinel; and where it was shown. Pure.

use base64::Engine as _;

use crate::fixture::SENTINEL;

/// What the host puts where a plugin's text had a credential or a session of the call.
const REDACTED: &str = "<redacted>";

/// Shorter texts turn up by accident.
const SHORTEST: usize = 6;

/// A plugin's text is cut, so of a long value only its beginning is looked for.
const LONGEST: usize = 48;

/// Texts that nobody may see.
#[derive(Debug)]
pub struct Secrets(Vec<String>);

impl Default for Secrets {
    fn default() -> Self {
        Self(vec![SENTINEL.to_owned()])
    }
}

impl Secrets {
    /// Adds bytes; what is no text is looked for in base64 only.
    pub fn add(&mut self, bytes: &[u8]) {
        let coded = base64::engine::general_purpose::STANDARD.encode(bytes);
        let plain = std::str::from_utf8(bytes).ok().map(str::to_owned);
        for text in plain.into_iter().chain([coded]) {
            let text: String = text.trim().chars().take(LONGEST).collect();
            if text.len() >= SHORTEST && !self.0.contains(&text) {
                self.0.push(text);
            }
        }
    }

    /// Whether a text of the plugin shows one of them, or would have, had the host not taken it out.
    pub fn shown_in(&self, text: &str) -> bool {
        text.contains(REDACTED) || self.0.iter().any(|secret| text.contains(secret.as_str()))
    }

    /// The text without any of them.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), REDACTED);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Secrets;

    #[test]
    fn finds_a_secret_as_it_is_in_base64_and_where_the_host_took_it_out() {
        let mut secrets = Secrets::default();
        secrets.add(b"correct horse");
        assert!(secrets.shown_in("wrong token correct horse"));
        assert!(secrets.shown_in("basic Y29ycmVjdCBob3JzZQ=="));
        assert!(secrets.shown_in("wrong token <redacted>"));
        assert!(!secrets.shown_in("wrong token"));
        assert_eq!(secrets.clean("a correct horse!"), "a <redacted>!");
    }

    #[test]
    fn short_values_are_not_looked_for() {
        let mut secrets = Secrets::default();
        secrets.add(b"a");
        assert!(!secrets.shown_in("a banana"));
    }
}
