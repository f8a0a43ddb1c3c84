//! What is taken from a value that is JSON, in the dialect that most cloud providers of the External Secrets Operator share.

use postern_sdk::{Failure, Part, Pick, value};

/// A property by its name with every dot taken literally, else by a gjson path. None where nothing is there.
#[must_use]
pub fn dots_then_path(json: &str, property: &str) -> Option<Vec<u8>> {
    // A dot at the front is no separator for the peer, and leaves the path as it is.
    if property.find('.').is_some_and(|at| at > 0)
        && let Some(found) = value::path(json, &property.replace('.', "\\."))
    {
        return Some(found);
    }
    value::path(json, property)
}

/// What a pick takes from an object's bytes; `what` names the object.
///
/// # Errors
/// `not-found` for a property that is not there, `invalid-request` for what is no JSON.
pub fn take(data: &[u8], pick: &Pick, what: &str) -> Result<Part, Failure> {
    let property = pick.property.as_deref().filter(|p| !p.is_empty());
    let bytes = match property {
        None => data.to_vec(),
        Some(property) => {
            let json = std::str::from_utf8(data)
                .ok()
                .filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
            let json = json.ok_or_else(|| {
                Failure::invalid_request(format!(
                    "{what} is no JSON, so it has no property {property:?}"
                ))
            })?;
            dots_then_path(json, property).ok_or_else(|| {
                Failure::not_found(format!(
                    "the property {property:?} does not exist in {what}"
                ))
            })?
        }
    };
    if !pick.members {
        return Ok(Part::Value(bytes));
    }
    value::raw_members(&bytes)
        .map(Part::Members)
        .ok_or_else(|| {
            let of = property
                .map(|p| format!("the property {p:?} of "))
                .unwrap_or_default();
            Failure::invalid_request(format!(
                "{of}{what} is no JSON object, so it has no members"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str, property: &str) -> Option<String> {
        dots_then_path(json, property).map(|b| String::from_utf8(b).unwrap())
    }

    #[test]
    fn a_name_with_dots_wins_over_a_path() {
        let json = r#"{"a.b": "name", "a": {"b": "path", "c": [1, {"d": null}]}, ".x": 1}"#;
        assert_eq!(text(json, "a.b").as_deref(), Some("name"));
        assert_eq!(text(json, "a.c.0").as_deref(), Some("1"));
        assert_eq!(text(json, "a.c.1.d").as_deref(), Some(""));
        assert_eq!(text(json, "a.c.1").as_deref(), Some(r#"{"d": null}"#));
        assert_eq!(text(json, "a.x"), None);
    }

    #[test]
    fn what_is_no_json_has_no_property_and_no_members() {
        let pick = |property: Option<&str>, members| Pick {
            property: property.map(str::to_owned),
            members,
        };
        let plain = take(b"hunter2", &pick(None, false), "secret x");
        assert_eq!(plain, Ok(Part::Value(b"hunter2".to_vec())));
        for (pick, data) in [
            (pick(Some("a"), false), &b"hunter2"[..]),
            (pick(None, true), b"hunter2"),
            (pick(Some("a"), true), br#"{"a": "hunter2"}"#),
        ] {
            let failure = take(data, &pick, "secret x").unwrap_err();
            assert_eq!(failure.code, "invalid-request");
            assert!(!failure.message.contains("hunter2"), "{failure}");
        }
        let missing = take(b"{}", &pick(Some("a"), false), "secret x").unwrap_err();
        assert_eq!(missing.code, "not-found");
        let members = take(
            br#"{"a": {"k": "v", "n": 1.0}}"#,
            &pick(Some("a"), true),
            "secret x",
        );
        let want = vec![
            ("k".to_owned(), b"v".to_vec()),
            ("n".to_owned(), b"1.0".to_vec()),
        ];
        assert_eq!(members, Ok(Part::Members(want)));
    }
}
