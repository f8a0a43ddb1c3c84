//! How a version of a secret is known again without its value.
//!
//! A version's payload never changes, but its number alone is no tag: a secret that was deleted and made anew begins at 1
//! again. So a tag holds the number and the moment, by Google's clock, at which the value was read: the same number with an
//! older creation time is the same version. Where asking for that was refused, the tag says so, and nobody asks in vain again
//! as long as the version lasts.

use std::fmt;

use postern_plugin_shared::time;
use serde::Deserialize;

/// How much older than the reading a version must be: clocks of servers differ a little.
const MARGIN_S: u64 = 300;

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The number of the version.
    pub number: String,
    /// When it was read, in seconds since 1970.
    pub read_at: u64,
    /// Whether versions may be asked about.
    pub askable: bool,
}

/// A version without its value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub struct Version {
    /// Its whole name, which ends in the number.
    pub name: String,
    /// Whether it can be read.
    pub state: String,
    /// When it was made.
    pub create_time: String,
}

impl Tag {
    /// Reads a tag; none for one of another make.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, rest) = text.split_once('@')?;
        let (read_at, askable) = match rest.strip_suffix('!') {
            Some(read_at) => (read_at, false),
            None => (rest, true),
        };
        Some(Self {
            number: number.to_owned(),
            read_at: read_at.parse().ok()?,
            askable,
        })
    }

    /// Whether a version is the one that this tag was made of.
    #[must_use]
    pub fn is_of(&self, version: &Version) -> bool {
        let made = time::rfc3339(&version.create_time);
        version.is_enabled()
            && version.number() == Some(self.number.as_str())
            && made.is_some_and(|made| made + MARGIN_S <= self.read_at)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.askable { "" } else { "!" };
        write!(f, "{}@{}{mark}", self.number, self.read_at)
    }
}

impl Version {
    /// Whether it can be read.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.state == "ENABLED"
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> Option<&str> {
        number(&self.name)
    }
}

/// The number at the end of a version's name.
#[must_use]
pub fn number(name: &str) -> Option<&str> {
    let (_, number) = name.rsplit_once("/versions/")?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: &str, state: &str, made: &str) -> Version {
        Version {
            name: format!("projects/1/secrets/x/versions/{number}"),
            state: state.to_owned(),
            create_time: made.to_owned(),
        }
    }

    #[test]
    fn a_version_is_known_again_only_where_it_is_older_than_the_reading() {
        // 1994-11-06T08:49:37Z is 784111777.
        let tag = Tag::parse("7@784112077").unwrap();
        assert_eq!(tag.to_string(), "7@784112077");
        assert!(tag.is_of(&version("7", "ENABLED", "1994-11-06T08:49:37.9Z")));
        for (number, state, made) in [
            ("7", "ENABLED", "1994-11-06T08:49:38Z"),
            ("8", "ENABLED", "1994-11-06T08:49:37Z"),
            ("7", "DISABLED", "1994-11-06T08:49:37Z"),
            ("7", "ENABLED", ""),
            ("latest", "ENABLED", "1994-11-06T08:49:37Z"),
        ] {
            assert!(
                !tag.is_of(&version(number, state, made)),
                "{number} {state} {made}"
            );
        }
    }

    #[test]
    fn a_tag_of_another_make_is_none() {
        for text in ["", "7", "7@", "7@x", "7@1-of-before", "etag"] {
            assert_eq!(Tag::parse(text), None, "{text}");
        }
        assert!(!Tag::parse("7@1!").unwrap().askable);
    }
}
