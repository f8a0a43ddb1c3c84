//! What a provider implements. All functions are associated: every call gets a fresh instance, so there
//! is no `self` to keep anything in.

use serde::de::DeserializeOwned;

use crate::{
    Context, Credential, Descriptor, Failure, Host, Needs, Outcome, Page, Part, Pick, Problem,
    Query, Request, Session,
};

/// Reads values of one backend.
pub trait Provider {
    /// Pure and quick.
    fn describe() -> Descriptor;

    /// What the schema cannot say of this config. Pure.
    ///
    /// # Errors
    /// The problems of the config.
    fn examine(config: &str, credentials: &[Credential]) -> Result<Needs, Vec<Problem>>;

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
/// One problem at the root, with what serde says (field names and positions, no values of ours).
pub fn parse_config<T: DeserializeOwned>(config: &str) -> Result<T, Vec<Problem>> {
    serde_json::from_str(config)
        .map_err(|e| vec![Problem::new("", format!("cannot read the config: {e}"))])
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
