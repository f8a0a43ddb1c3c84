//! Access keys, held by a login only.

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// What goes with temporary ones.
    pub token: Option<String>,
    /// When temporary ones end, in seconds since 1970.
    pub expires: Option<u64>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys(<redacted>, expires: {:?})", self.expires)
    }
}

impl Keys {
    /// What must never be shown.
    #[must_use]
    pub fn secrets(&self) -> Vec<&str> {
        let mut all = vec![self.secret.as_str()];
        all.extend(self.token.as_deref());
        all
    }
}
