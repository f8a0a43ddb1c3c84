//! What a Postern plugin written in Rust imports: plain types, the traits a provider implements, the
//! host's doors as traits, and [`export_provider!`], which turns an implementation into a component.
//!
//! A provider is written against these types only, so all of it but one macro call is tested natively.
//! The SDK does not retry, sleep or keep state: the host does that.

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
mod export;
mod failure;
mod host;
mod provider;
mod types;
pub mod value;

pub use failure::Failure;
pub use host::{Entropy, Files, Host, Http, HttpRequest, HttpResponse, Log};
pub use provider::{Find, Login, Provider, each, parse_config, problems_as_failure};
pub use types::{
    Answer, Ask, Context, Credential, Descriptor, Endpoint, Found, Material, Needs, Options,
    Outcome, Page, Part, Pick, Problem, Query, Reference, Request, Session, option,
};
