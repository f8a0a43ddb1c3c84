//! Names of members become keys, and keys are held against what a Secret allows.

use postern_api::external_secret::ConversionStrategy;

use super::Data;
use crate::failure::{Code, Failure, Stage};

fn refused(text: String) -> Failure {
    Failure::new(Stage::Shape, Code::InvalidRequest, text)
}

/// Replaces what a key may not have. Errors: two names become one key.
pub fn convert(strategy: ConversionStrategy, names: Data) -> Result<Data, Failure> {
    let mut keys = Data::new();
    for (name, value) in names {
        let key = convert_key(strategy, &name);
        if keys.contains_key(&key) {
            return Err(refused(format!(
                "secret name collision during conversion: {key}"
            )));
        }
        keys.insert(key, value);
    }
    Ok(keys)
}

fn allowed(c: char) -> bool {
    c.is_alphabetic() || c.is_numeric() || matches!(c, '-' | '.' | '_')
}

pub(super) fn convert_key(strategy: ConversionStrategy, name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    for c in name.chars() {
        match strategy {
            _ if allowed(c) => key.push(c),
            ConversionStrategy::Default => key.push('_'),
            ConversionStrategy::Unicode => key.push_str(&format!("_U{:04x}_", u32::from(c))),
        }
    }
    key
}

/// Drops the empty key, and refuses keys that are too long or have other characters.
pub(super) fn checked(mut keys: Data) -> Result<Data, Failure> {
    keys.remove("");
    for key in keys.keys() {
        if key.len() > 253 {
            let start: String = key.chars().take(20).collect();
            return Err(refused(format!(
                "key \"{start}…\" has {} characters; a Secret's key has at most 253",
                key.len()
            )));
        }
        if !key.chars().all(allowed) {
            return Err(refused(format!(
                "key \"{key}\" has characters that a Secret's key may not have; use only letters, digits, -, . and _ (tip: let rewrite replace the others, or leave rewrite out and set conversionStrategy)"
            )));
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretValue;

    #[test]
    fn names_become_keys_by_the_strategy() {
        assert_eq!(convert_key(ConversionStrategy::Default, "a/b c"), "a_b_c");
        assert_eq!(convert_key(ConversionStrategy::Unicode, "a/b"), "a_U002f_b");
        assert_eq!(convert_key(ConversionStrategy::Default, "ä-1.x_"), "ä-1.x_");
    }

    #[test]
    fn two_names_that_become_one_key_are_refused() {
        let names = Data::from([
            ("a/b".to_owned(), SecretValue::from("1")),
            ("a b".to_owned(), SecretValue::from("2")),
        ]);
        let failure = convert(ConversionStrategy::Default, names).unwrap_err();
        assert_eq!(
            failure.public,
            "secret name collision during conversion: a_b"
        );
    }
}
