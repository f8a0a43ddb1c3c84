//! A revision on trial: what it cannot answer, the last good revision is asked. If that one can, it serves again, and the
//! sync that met the failure gets its answer: no sync fails for a new revision's sake.
//!
//! The last good revision asks with identities and sessions of its own, kept while the trial lasts.

use std::sync::{Arc, Mutex, PoisonError};

use postern_core::access::Allowance;
use postern_core::failure::{Blame, Code, Failure, Stage};
use postern_core::plan::{Read, Wanted};
use postern_core::plugin::{Digest, Part, Pick, PluginHost, Query, RenderJob, Rendered, Revision};
use postern_core::store::Store;
use tokio::time::Instant;

use crate::fetcher::Object;
use crate::pinned::Pinned;
use crate::prepare::Preparer;

/// Keeps the identities of the last good revision.
#[derive(Default)]
pub(crate) struct Fallback(Mutex<Option<(Digest, Arc<Preparer>)>>);

impl Fallback {
    /// The preparer that asks with this revision only.
    pub(crate) fn preparer(
        &self,
        serving: &Arc<Preparer>,
        revision: &Arc<Revision>,
    ) -> Result<Arc<Preparer>, Failure> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((digest, preparer)) = &*kept
            && *digest == revision.digest
        {
            return Ok(preparer.clone());
        }
        let preparer = Arc::new(pinned(serving, revision)?);
        let old = kept.replace((revision.digest.clone(), preparer.clone()));
        drop(kept);
        if let Some((_, old)) = old {
            tokio::spawn(async move { old.shutdown().await });
        }
        Ok(preparer)
    }

    /// What is kept, to close its sessions.
    pub(crate) fn take(&self) -> Option<Arc<Preparer>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take().map(|(_, preparer)| preparer)
    }

    /// What is kept.
    pub(crate) fn current(&self) -> Option<Arc<Preparer>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|(_, preparer)| preparer.clone())
    }
}

/// A preparer of its own for one revision.
pub(crate) fn pinned(serving: &Preparer, revision: &Arc<Revision>) -> Result<Preparer, Failure> {
    let host = Arc::new(Pinned {
        host: serving.host.clone(),
        revision: revision.clone(),
    });
    serving.beside(host)
}

/// What is read from a store for one namespace.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) store: Arc<Store>,
    pub(crate) wants: Vec<Want>,
    pub(crate) namespace: String,
    pub(crate) due: Instant,
}

/// What one read of a plan asks for.
#[derive(Clone)]
pub(crate) enum Want {
    Object(Object, Pick),
    Search(Search),
}

/// A search, and what it may take in where the store is restricted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Search {
    pub(crate) query: Query,
    pub(crate) within: Option<Arc<Allowance>>,
}

pub(crate) fn want(read: &Read) -> Want {
    match &read.wanted {
        Wanted::Object(object) => Want::Object(
            Object {
                key: object.key.clone(),
                version: object.version.clone(),
                metadata: object.metadata,
            },
            object.pick.clone(),
        ),
        Wanted::Search(query) => Want::Search(Search {
            query: query.clone(),
            within: read.within.clone(),
        }),
    }
}

/// The failure of an answer.
pub(crate) fn failure(answer: &Result<Part, Failure>) -> Option<&Failure> {
    match answer {
        Err(failure) | Ok(Part::Failed(failure)) => Some(failure),
        Ok(Part::Value(_) | Part::Members(_)) => None,
    }
}

/// The failure of the revision on trial for something that the last good one answered.
pub(crate) fn contradiction<'a>(
    on_trial: &'a [Result<Part, Failure>],
    last_good: &[Result<Part, Failure>],
) -> Option<&'a Failure> {
    let mut pairs = on_trial.iter().zip(last_good);
    pairs.find_map(|(new, old)| failure(new).filter(|_| failure(old).is_none()))
}

/// Whether a failure is a reason to give a revision up: not where Postern itself had no place for the call, or failed.
pub(crate) fn speaks_against(failure: &Failure) -> bool {
    failure.code.blame() != Blame::Postern
}

/// The answers of the revision on trial, where the last good one has none that contradicts them. That an object does not
/// exist is left only where both say so: it may cost a Secret, and one that fails for another reason says nothing of it.
pub(crate) fn agreed(
    on_trial: Vec<Result<Part, Failure>>,
    last_good: Vec<Result<Part, Failure>>,
) -> Vec<Result<Part, Failure>> {
    let is_absent = |answer: &Result<Part, Failure>| {
        failure(answer).is_some_and(|failure| failure.code == Code::Absent)
    };
    let pairs = on_trial.into_iter().zip(last_good);
    pairs
        .map(|(new, old)| match is_absent(&new) && !is_absent(&old) {
            true => old,
            false => new,
        })
        .collect()
}

/// Renders with the revision that serves, and with the last good one what it cannot.
pub(crate) async fn render(
    host: &dyn PluginHost,
    engine: &Revision,
    jobs: &[RenderJob],
) -> Result<Vec<Rendered>, Failure> {
    let rendered = render_once(host, engine, jobs).await;
    let (Some(fallback), Some(failure)) = (&engine.fallback, first_failure(&rendered)) else {
        return rendered;
    };
    let second = render_once(host, fallback, jobs).await;
    if let Some(failure) = first_failure(&second) {
        // Where Postern itself failed, nobody knows yet what is wrong with the templates.
        return match speaks_against(failure) {
            true => rendered,
            false => second,
        };
    }
    if speaks_against(failure) {
        host.distrust(&engine.digest, failure);
    }
    second
}

async fn render_once(
    host: &dyn PluginHost,
    engine: &Revision,
    jobs: &[RenderJob],
) -> Result<Vec<Rendered>, Failure> {
    let rendered = host.render(&engine.digest, jobs, &Vec::new()).await?;
    let fits = |(job, texts): (&RenderJob, &Rendered)| job.templates.len() == texts.len();
    if rendered.len() == jobs.len() && jobs.iter().zip(&rendered).all(fits) {
        return Ok(rendered);
    }
    Err(Failure::new(
        Stage::Render,
        Code::ContractBroken,
        format!(
            "the template engine \"{}\" did not answer each template of each job it was given",
            engine.descriptor.name
        ),
    ))
}

fn first_failure(rendered: &Result<Vec<Rendered>, Failure>) -> Option<&Failure> {
    match rendered {
        Err(failure) => Some(failure),
        Ok(jobs) => jobs.iter().flatten().find_map(|text| text.as_ref().err()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: Code) -> Result<Part, Failure> {
        Err(Failure::new(Stage::Fetch, code, ""))
    }

    fn codes(answers: &[Result<Part, Failure>]) -> Vec<Option<Code>> {
        answers.iter().map(|a| failure(a).map(|f| f.code)).collect()
    }

    #[test]
    fn an_absence_stays_only_where_the_last_good_revision_says_so_too() {
        let on_trial = || {
            vec![
                failed(Code::Absent),
                failed(Code::Absent),
                failed(Code::Denied),
            ]
        };
        let last_good = vec![
            failed(Code::Absent),
            failed(Code::RateLimited),
            failed(Code::Absent),
        ];
        assert_eq!(contradiction(&on_trial(), &last_good), None);
        let expected = [Code::Absent, Code::RateLimited, Code::Denied].map(Some);
        assert_eq!(codes(&agreed(on_trial(), last_good)), expected);
    }

    #[test]
    fn a_failure_of_the_host_is_not_held_against_a_revision() {
        let against = |code| speaks_against(&Failure::new(Stage::Render, code, ""));
        assert!(against(Code::Trapped) && against(Code::Timeout) && against(Code::Absent));
        assert!(!against(Code::Internal));
    }
}
