//! Step 4 of a sync: answers become the keys and values that the target is made of.
//!
//! Order, conversion of names, decoding and the check for zero bytes are the peer's; so are the texts that wrap what
//! went wrong with an entry.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use postern_api::external_secret::{ConversionStrategy, DecodingStrategy, NullBytePolicy};

use crate::failure::{Code, Failure, Stage};
use crate::plan::{Entry, Position, Read, SyncPlan};
use crate::plugin::Part;
use crate::secret::SecretValue;

/// Keys and values.
pub type Data = BTreeMap<String, SecretValue>;

/// Makes keys and values of the answers, which stand in the order of the plan's reads. If any entry failed, the first
/// failure is returned, with how many more there are: a target is never written from half of its values. Where the
/// deletion policy says so, an object that does not exist is passed over; whether that is believed, was decided before.
pub fn shape(plan: &SyncPlan, answers: Vec<Result<Part, Failure>>) -> Result<Data, Failure> {
    let mut data = Data::new();
    let mut failures = Vec::new();
    for ((read, entry), answer) in plan.reads.iter().zip(&plan.entries).zip(answers) {
        match answer.and_then(|part| keys_of(entry, part)) {
            Ok(keys) => data.extend(keys),
            Err(failure) if failure.code == Code::Absent && plan.absence.forgives() => {}
            Err(failure) => failures.push(failure.context(where_it_stands(read, entry))),
        }
    }
    let more = failures.len().saturating_sub(1);
    match failures.into_iter().next() {
        None => Ok(data),
        Some(first) if more == 0 => Err(first),
        Some(mut first) => {
            first.public = format!(
                "{}; {more} more of {} entries failed",
                first.public,
                plan.entries.len()
            );
            Err(first)
        }
    }
}

fn where_it_stands(read: &Read, entry: &Entry) -> String {
    match entry.position {
        Position::Data(index) => format!(
            "error processing spec.data[{index}] (key: {}), err",
            read.key
        ),
        Position::Extract(index) => format!(
            "error processing spec.dataFrom[{index}].extract (key: {}), err",
            read.key
        ),
    }
}

fn keys_of(entry: &Entry, part: Part) -> Result<Data, Failure> {
    match (part, &entry.secret_key) {
        (Part::Failed(failure), _) => Err(failure),
        (Part::Value(value), Some(key)) => {
            let value = finish(entry, key, value)?;
            Ok(Data::from([(key.clone(), value)]))
        }
        (Part::Members(members), None) => {
            let keys = convert(entry.conversion, members)?;
            check_keys(&keys)?;
            keys.into_iter()
                .filter(|(key, _)| !key.is_empty())
                .map(|(key, value)| finish(entry, &key, value).map(|value| (key, value)))
                .collect()
        }
        (Part::Value(_), None) | (Part::Members(_), Some(_)) => Err(Failure::new(
            Stage::Shape,
            Code::ContractBroken,
            "the plugin answered another kind of part than it was asked for",
        )),
    }
}

fn finish(entry: &Entry, key: &str, value: SecretValue) -> Result<SecretValue, Failure> {
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

fn convert(
    strategy: ConversionStrategy,
    members: Vec<(String, SecretValue)>,
) -> Result<Data, Failure> {
    let mut keys = Data::new();
    for (name, value) in members {
        let key = convert_key(strategy, &name);
        if keys.insert(key.clone(), value).is_some() {
            return Err(Failure::new(
                Stage::Shape,
                Code::InvalidRequest,
                format!("secret name collision during conversion: {key}"),
            ));
        }
    }
    Ok(keys)
}

fn allowed(c: char) -> bool {
    c.is_alphabetic() || c.is_numeric() || matches!(c, '-' | '.' | '_')
}

fn convert_key(strategy: ConversionStrategy, name: &str) -> String {
    name.chars()
        .map(|c| match strategy {
            _ if allowed(c) => c.to_string(),
            ConversionStrategy::Default => "_".to_owned(),
            ConversionStrategy::Unicode => format!("_U{:04x}_", u32::from(c)),
        })
        .collect()
}

fn check_keys(keys: &Data) -> Result<(), Failure> {
    match keys.keys().find(|key| key.len() > 253) {
        None => Ok(()),
        Some(key) => Err(Failure::new(
            Stage::Shape,
            Code::InvalidRequest,
            format!(
                "key \"{}…\" has {} characters; a Secret's key has at most 253",
                key.chars().take(20).collect::<String>(),
                key.len()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_as_the_peer_does() {
        let table: [(DecodingStrategy, &str, Option<&str>); 7] = [
            (DecodingStrategy::None, "aGk=", Some("aGk=")),
            (DecodingStrategy::Base64, "aGk=", Some("hi")),
            (DecodingStrategy::Base64, "aG\nk=\r\n", Some("hi")),
            (DecodingStrategy::Base64, "a-_k", None),
            (DecodingStrategy::Base64URL, "aGk=", Some("hi")),
            (DecodingStrategy::Auto, "no base64!", Some("no base64!")),
            (DecodingStrategy::Auto, "aGk=", Some("hi")),
        ];
        for (strategy, input, expected) in table {
            let decoded = decode(strategy, SecretValue::from(input)).ok();
            assert_eq!(
                decoded,
                expected.map(SecretValue::from),
                "{strategy:?} {input}"
            );
        }
    }

    #[test]
    fn names_become_keys_by_the_strategy() {
        assert_eq!(convert_key(ConversionStrategy::Default, "a/b c"), "a_b_c");
        assert_eq!(convert_key(ConversionStrategy::Unicode, "a/b"), "a_U002f_b");
        assert_eq!(convert_key(ConversionStrategy::Default, "ä-1.x_"), "ä-1.x_");
    }

    #[test]
    fn two_names_that_become_one_key_are_refused() {
        let members = vec![
            ("a/b".to_owned(), SecretValue::from("1")),
            ("a b".to_owned(), SecretValue::from("2")),
        ];
        let failure = convert(ConversionStrategy::Default, members).unwrap_err();
        assert_eq!(
            failure.public,
            "secret name collision during conversion: a_b"
        );
    }
}
