//! What a key of a manifest names: `NAME`, `secret/NAME`, `cert/NAME` or `key/NAME`.

use postern_sdk::Failure;

/// The three kinds of objects that a vault holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Secret,
    /// A certificate without its private key.
    Certificate,
    /// The public part of a key.
    Key,
}

/// An object of the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Of which kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// One of its versions.
    pub version: Option<String>,
}

impl Kind {
    /// Its collection in the vault's API.
    #[must_use]
    pub fn collection(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::Certificate => "certificates",
            Self::Key => "keys",
        }
    }

    /// As messages call one.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Key => "key",
        }
    }
}

impl Object {
    /// Reads a key. What follows a second slash is passed over.
    ///
    /// # Errors
    /// `invalid-request` for what can name nothing in a vault: it would lead to another path.
    pub fn parse(key: &str, version: Option<&str>) -> Result<Self, Failure> {
        let mut segments = key.split('/');
        let first = segments.next().unwrap_or_default();
        let (kind, name) = match segments.next() {
            None => (Kind::Secret, first),
            Some(name) => (kind(first, key)?, name),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || name.len() > 127 || !name.chars().all(plain) {
            return Err(Failure::invalid_request(format!(
                "the key {key:?} names nothing that a key vault can hold: a name has 1 to 127 letters, digits and dashes"
            )));
        }
        let version = version.filter(|v| !v.is_empty());
        if let Some(version) = version
            && !version.chars().all(plain)
        {
            return Err(Failure::invalid_request(format!(
                "the version {version:?} of the key {key:?} is none: it is the last part of the object's identifier"
            )));
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
            version: version.map(str::to_owned),
        })
    }

    /// Its path in the vault.
    #[must_use]
    pub fn path(&self) -> String {
        let (collection, name) = (self.kind.collection(), &self.name);
        match &self.version {
            Some(version) => format!("/{collection}/{name}/{version}"),
            None => format!("/{collection}/{name}"),
        }
    }
}

fn kind(prefix: &str, key: &str) -> Result<Kind, Failure> {
    match prefix {
        "secret" => Ok(Kind::Secret),
        "cert" => Ok(Kind::Certificate),
        "key" => Ok(Kind::Key),
        _ => Err(Failure::invalid_request(format!(
            "the key {key:?} has another prefix than secret/, cert/ and key/"
        ))),
    }
}
