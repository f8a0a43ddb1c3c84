//! What a provider implements. All functions are associated: every call gets a fresh instance, so there
//! is no `self` to keep anything in.

use serde::de::DeserializeOwned;

use crate::{
    Context, Credential, Descriptor, Failure, Host, Needs, Options, Outcome, Page, Part, Pick,
    Problem, Query, Request, Session,
};

/// Reads values of one backend.
pub trait Provider {
    /// Pure and quick.
    fn describe() -> Descriptor;

    /// What the schema cannot say of this config. Pure. The options are those of a [`Context`]: `provider-key`.
    ///
    /// # Errors
    /// The problems of the config.
    fn examine(
        config: &str,
        credentials: &[Credential],
        options: &Options,
    ) -> Result<Needs, Vec<Problem>>;

    /// Can this store be used? Cheap.
    ///
    /// # Errors
    /// Why it cannot.
    fn probe(host: &dyn Host, context: &Context) -> Result<(), Failure>;

    /// One outcome a request, in order.
    fn get_batch(host: &dyn Host, context: &Context, requests: &[Request]) -> Vec<Outcome>;
}

/// Optional: credentials to a session.
pub trait Login {
    /// Opens a session.
    ///
    /// # Errors
    /// Why there is none.
    fn open(host: &dyn Host, context: &Context) -> Result<Session, Failure>;

    /// Prolongs the context's session.
    ///
    /// # Errors
    /// `unauthenticated` where only a new login helps.
    fn renew(host: &dyn Host, context: &Context) -> Result<Session, Failure>;

    /// Ends the context's session.
    ///
    /// # Errors
    /// Why it still lives.
    fn close(host: &dyn Host, context: &Context) -> Result<(), Failure>;
}

/// Optional: lists objects.
pub trait Find {
    /// One page.
    ///
    /// # Errors
    /// Why there is none.
    fn list_page(
        host: &dyn Host,
        context: &Context,
        query: &Query,
        after: Option<&str>,
    ) -> Result<Page, Failure>;
}

/// Reads the config into the provider's own type.
///
/// # Errors
/// One problem at the root. Only the place is told: serde's own words quote values, and a value may be secret.
pub fn parse_config<T: DeserializeOwned>(config: &str) -> Result<T, Vec<Problem>> {
    serde_json::from_str(config).map_err(|e| {
        let at = format!("line {}, column {}", e.line(), e.column());
        vec![Problem::new(
            "",
            format!("the config has a field of another kind than expected, at {at}"),
        )]
    })
}

/// The problems of a config as one failure, for calls that come without an `examine` before them.
#[must_use]
pub fn problems_as_failure(problems: &[Problem]) -> Failure {
    let texts: Vec<String> = problems
        .iter()
        .map(|p| format!("{}: {}", p.pointer, p.message))
        .collect();
    Failure::invalid_config(texts.join("; "))
}

/// Applies `take` to each pick; a failed pick is no other's.
pub fn each(picks: &[Pick], take: impl Fn(&Pick) -> Result<Part, Failure>) -> Vec<Part> {
    picks
        .iter()
        .map(|p| take(p).unwrap_or_else(Part::Failed))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_no_value_of_a_config_it_cannot_read() {
        let problems = parse_config::<Vec<u32>>(r#"["hunter2"]"#).unwrap_err();
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
    }
}
