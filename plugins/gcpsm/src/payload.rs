//! What is taken from the answers about one secret: its value, whose check sum is held against its bytes, and its labels and
//! annotations.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_plugin_shared::property;
use postern_sdk::{Failure, Part, Pick, value};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The answer to a reading.
#[derive(Deserialize)]
pub struct Accessed {
    /// The version that was read.
    #[serde(default)]
    pub name: String,
    payload: Option<Payload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    data: Option<String>,
    data_crc32c: Option<Value>,
}

impl Accessed {
    /// The bytes of the value.
    ///
    /// # Errors
    /// `unavailable` for what is not whole.
    pub fn bytes(&self, what: &str) -> Result<Vec<u8>, Failure> {
        let damaged = |how: &str| Failure::unavailable(format!("the value of {what} {how}"));
        let payload = self
            .payload
            .as_ref()
            .ok_or_else(|| damaged("is missing in the answer"))?;
        let data = payload.data.as_deref().unwrap_or_default();
        let bytes = STANDARD.decode(data).map_err(|_| damaged("is no base64"))?;
        // A 64-bit number stands in JSON as a text.
        let sum = match &payload.data_crc32c {
            None => None,
            Some(Value::String(text)) => text.parse().ok(),
            Some(other) => other.as_u64(),
        };
        if payload.data_crc32c.is_some() && sum != Some(u64::from(crc32c(&bytes))) {
            return Err(damaged(
                "was damaged on its way: its check sum does not fit",
            ));
        }
        Ok(bytes)
    }
}

/// The check sum of Castagnoli, reflected, as in RFC 3720.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    const REFLECTED: u32 = 0x82f6_3b78;
    let mut table = [0u32; 256];
    for (at, entry) in (0u32..).zip(&mut table) {
        *entry = (0..8).fold(at, |sum, _| {
            if sum & 1 == 1 {
                sum >> 1 ^ REFLECTED
            } else {
                sum >> 1
            }
        });
    }
    let step = |sum: u32, byte: &u8| {
        let at = (sum ^ u32::from(*byte)) & 0xff;
        sum >> 8 ^ table.get(at as usize).copied().unwrap_or_default()
    };
    !bytes.iter().fold(!0, step)
}

/// What is known of a secret beside its value.
#[derive(Deserialize)]
pub struct Secret {
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    /// Changes with the secret.
    #[serde(default)]
    pub etag: String,
}

impl Secret {
    /// Labels or annotations, all or one.
    ///
    /// # Errors
    /// `not-found` for one that is not there, `invalid-request` for a property that is neither.
    pub fn take(&self, pick: &Pick, what: &str) -> Result<Part, Failure> {
        let bytes = self.metadata(pick.property.as_deref().unwrap_or_default(), what)?;
        let whole = Pick {
            property: None,
            members: pick.members,
        };
        if pick.members && bytes == b"null" {
            return Ok(Part::Members(Vec::new()));
        }
        property::take(&bytes, &whole, what)
    }

    fn metadata(&self, property: &str, what: &str) -> Result<Vec<u8>, Failure> {
        let one = |kind: &str, map: &Option<BTreeMap<String, String>>, name: &str| {
            let found = map.as_ref().and_then(|m| m.get(name));
            let missing =
                || Failure::not_found(format!("{kind} with key {name:?} does not exist in {what}"));
            found.map(|v| v.clone().into_bytes()).ok_or_else(missing)
        };
        let named = |prefix: &str| {
            property
                .strip_prefix(prefix)
                .filter(|name| !name.is_empty())
        };
        if let Some(name) = named("annotations.") {
            return one("annotation", &self.annotations, name);
        }
        if let Some(name) = named("labels.") {
            return one("label", &self.labels, name);
        }
        let (labels, annotations) = (json(self.labels.as_ref()), json(self.annotations.as_ref()));
        let all = match property {
            "labels" => labels,
            "annotations" => annotations,
            "" => {
                let both = [
                    ("annotations".to_owned(), annotations),
                    ("labels".to_owned(), labels),
                ];
                Value::Object(both.into_iter().collect())
            }
            _ => {
                return Err(Failure::invalid_request(format!(
                    "the metadata property {property:?} is neither labels nor annotations, nor one of them, such as labels.team"
                )));
            }
        };
        Ok(value::marshal(&all).into_bytes())
    }
}

fn json(map: Option<&BTreeMap<String, String>>) -> Value {
    let object = |map: &BTreeMap<String, String>| {
        let members = map
            .iter()
            .map(|(k, v)| (k.clone(), Value::String(v.clone())));
        Value::Object(members.collect::<Map<_, _>>())
    };
    map.map_or(Value::Null, object)
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn the_check_sum_is_that_of_the_standard() {
        // RFC 3720, B.4, and the check value of the catalogue of CRCs.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b""), 0);
    }
}
