//! The interface `templating`: a provider's own templates, rendered by the engine in an instance of its own.

use postern_core::failure::{Code, Failure as CoreFailure};
use postern_core::plugin::{
    Answering, Datum, Options as CoreOptions, RenderJob, Rendered, Template,
};
use postern_core::secret::SecretValue;

use crate::bindings::v0_1::templating::{Host, Job};
use crate::bindings::v0_1::types::{Failure, Options};
use crate::state::{CallState, failure};

/// How the host renders for a provider; the runtime is one.
pub trait Templating: Send + Sync {
    /// Renders with the engine that serves providers.
    fn render(&self, jobs: Vec<RenderJob>, options: CoreOptions) -> Answering<'_, Vec<Rendered>>;
}

type Results = Vec<Vec<Result<Vec<u8>, Failure>>>;

impl Host for CallState {
    async fn render(&mut self, jobs: Vec<Job>, options: Options) -> wasmtime::Result<Results> {
        let counts: Vec<usize> = jobs.iter().map(|j| j.templates.len()).collect();
        let Some(engine) = self.templating.clone() else {
            return Ok(all_failed(
                &counts,
                &failure("unsupported", "no template engine is loaded"),
            ));
        };
        let answer = engine
            .render(jobs.into_iter().map(job).collect(), options)
            .await;
        self.waited();
        Ok(match answer {
            Ok(rendered) => rendered
                .into_iter()
                .map(|job| job.into_iter().map(result).collect())
                .collect(),
            Err(refused) => all_failed(&counts, &of_core(&refused)),
        })
    }
}

fn job(job: Job) -> RenderJob {
    let templates = job.templates.into_iter().map(|t| Template {
        name: t.name,
        source: t.source,
        options: t.options,
    });
    let data = job.data.into_iter().map(|d| Datum {
        path: d.path,
        value: SecretValue::new(d.value),
    });
    RenderJob {
        templates: templates.collect(),
        data: data.collect(),
    }
}

fn result(result: Result<SecretValue, CoreFailure>) -> Result<Vec<u8>, Failure> {
    result.map(|v| v.expose().to_vec()).map_err(|f| of_core(&f))
}

fn of_core(refused: &CoreFailure) -> Failure {
    let code = match refused.code {
        Code::TemplateInvalid => "invalid-config",
        Code::Unsupported | Code::UnknownProvider => "unsupported",
        Code::TemplateFailed => "invalid-request",
        _ => "internal",
    };
    failure(code, refused.public.clone())
}

fn all_failed(counts: &[usize], why: &Failure) -> Results {
    counts.iter().map(|n| vec![Err(why.clone()); *n]).collect()
}
