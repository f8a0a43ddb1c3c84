//! What a template engine implements. As for a provider, all functions are associated: every call gets a fresh instance.

use crate::{Descriptor, Entropy, Failure, Job, Options, Template, TemplateProblem};

/// Renders templates. Its only door is [`Entropy`]: what it renders depends on the job, the time and chance.
pub trait Engine {
    /// Pure and quick.
    fn describe() -> Descriptor;

    /// One list a job, one result a template, in order. A failure is `invalid-request` for a template that does not parse,
    /// `internal` for one that failed while it ran; its message names template, line and column, and never data.
    fn render(
        host: &dyn Entropy,
        jobs: &[Job],
        options: &Options,
    ) -> Vec<Vec<Result<Vec<u8>, Failure>>>;

    /// Problems of the templates by themselves, without data.
    fn check(templates: &[Template], options: &Options) -> Vec<TemplateProblem>;
}
