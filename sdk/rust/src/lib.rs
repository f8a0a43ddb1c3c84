//! What a Postern plugin written in Rust imports: plain types, the traits that a provider or a template engine
//! implements, the host's doors as traits, and [`export_provider!`] and [`export_engine!`], which turn an implementation
//! into a component.
//!
//! A plugin is written against these types only, so all of it but one macro call is tested natively.
//! The SDK does not retry, sleep or keep state: the host does that.

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
mod engine;
mod export;
mod failure;
mod host;
mod provider;
mod types;
pub mod value;

pub use engine::Engine;
pub use failure::Failure;
pub use host::{Entropy, Files, Host, Http, HttpRequest, HttpResponse, Log, Templating};
pub use provider::{Find, Login, Provider, each, parse_config, problems_as_failure};
pub use types::{
    Answer, Ask, Context, Credential, Datum, Descriptor, Endpoint, Found, Job, Material, Needs,
    Options, Outcome, Page, Part, Pick, Problem, Query, Reference, Request, Session, Template,
    TemplateProblem, option,
};
