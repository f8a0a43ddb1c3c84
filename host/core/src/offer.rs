//! What a plugin says of a provider beyond what it can do: words that stand in the status of its stores and in their events.

use std::str::FromStr;

/// What a store may be used for, as its status says. A provider that can be written to says so whether or not anything is
/// pushed through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Capability {
    /// It is read from.
    #[default]
    ReadOnly,
    /// It is written to.
    WriteOnly,
    /// Both.
    ReadWrite,
}

impl Capability {
    /// The word in `status.capabilities`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "ReadOnly",
            Self::WriteOnly => "WriteOnly",
            Self::ReadWrite => "ReadWrite",
        }
    }
}

impl FromStr for Capability {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::ReadOnly, Self::WriteOnly, Self::ReadWrite]
            .into_iter()
            .find(|known| known.as_str() == word)
            .ok_or(())
    }
}

/// Whether somebody looks after a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upkeep {
    /// Somebody does.
    #[default]
    Maintained,
    /// Nobody does.
    NotMaintained,
    /// It goes with the next minor version.
    Deprecated,
}

/// The two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// What a store may be used for.
    pub capability: Capability,
    /// Whether somebody looks after the provider.
    pub upkeep: Upkeep,
}

impl Offer {
    /// What the options of a descriptor say of a provider key. Of a word that is not known nothing is said.
    #[must_use]
    pub fn of(options: &[(String, String)], key: &str) -> Self {
        let said = |name: &str| {
            let of = |wanted: &str| options.iter().find(|(known, _)| known == wanted);
            let own = of(&format!("{name}:{key}"));
            own.or_else(|| of(name)).map(|(_, word)| word.as_str())
        };
        Self {
            capability: said("capabilities")
                .and_then(|word| word.parse().ok())
                .unwrap_or_default(),
            upkeep: match said("upkeep") {
                Some("not-maintained") => Upkeep::NotMaintained,
                Some("deprecated") => Upkeep::Deprecated,
                Some(_) | None => Upkeep::Maintained,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_one_key_wins_over_what_is_said_of_all() {
        let options = [
            ("capabilities", "ReadWrite"),
            ("capabilities:openBao", "ReadOnly"),
            ("upkeep:old", "deprecated"),
        ];
        let options = options.map(|(name, word)| (name.to_owned(), word.to_owned()));
        let said = |key| Offer::of(&options, key);
        assert_eq!(said("vault").capability, Capability::ReadWrite);
        assert_eq!(said("openBao").capability, Capability::ReadOnly);
        assert_eq!(said("old").upkeep, Upkeep::Deprecated);
        assert_eq!(said("vault").upkeep, Upkeep::Maintained);
    }

    #[test]
    fn an_unknown_word_says_nothing() {
        let options = [("capabilities", "Anything"), ("upkeep", "so-so")];
        let options = options.map(|(name, word)| (name.to_owned(), word.to_owned()));
        assert_eq!(Offer::of(&options, "x"), Offer::default());
    }
}
