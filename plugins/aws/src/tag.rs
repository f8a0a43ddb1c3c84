//! The tag of a secret's version. A version's content never changes, but its id is chosen by who writes it, and a secret that was
//! deleted and made anew may have the same: so the end of the ARN, which AWS draws anew for each secret, goes with it.

use std::fmt;

/// What separates the day of a refusal.
const DENIED: &str = ";no-describe=";

/// A version, and whether a check of it is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    version: String,
    secret: String,
    /// The day on which a policy refused to say which version is in use.
    pub denied_on: Option<String>,
}

impl Tag {
    /// The tag of a version of a secret.
    #[must_use]
    pub fn new(arn: &str, version: &str) -> Self {
        let end = arn.rsplit('-').next().unwrap_or_default();
        Self {
            version: version.to_owned(),
            secret: end.to_owned(),
            denied_on: None,
        }
    }

    /// Reads a tag that [`fmt::Display`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (text, denied_on) = match text.split_once(DENIED) {
            Some((text, day)) => (text, Some(day.to_owned())),
            None => (text, None),
        };
        let (version, secret) = text.rsplit_once('@')?;
        Some(Self {
            version: version.to_owned(),
            secret: secret.to_owned(),
            denied_on,
        })
    }

    /// Whether both stand for the same content.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.version == other.version && self.secret == other.secret
    }

    /// Whether asking for the version in use was not refused today.
    #[must_use]
    pub fn may_describe(&self, today: &str) -> bool {
        self.denied_on.as_deref() != Some(today)
    }

    /// The tag with the day of a refusal.
    #[must_use]
    pub fn denied(mut self, day: Option<String>) -> Self {
        self.denied_on = day;
        self
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.version, self.secret)?;
        match &self.denied_on {
            Some(day) => write!(f, "{DENIED}{day}"),
            None => Ok(()),
        }
    }
}
