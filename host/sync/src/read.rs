//! What one identity does at the backend: sessions, reads with one repetition after a refusal, and the probe.
//!
//! Every call of a plugin passes [`bounded`], so that a host that hangs cannot hold a sync.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::{Answer, Answering, Call, Outcome, Part, Query, Request, Session};
use postern_core::secret::SecretValue;
use tokio::time::Instant;

use crate::fetcher::{Listing, Reader};
use crate::identity::Identity;
use crate::prepare::Preparer;
use crate::retry;
use crate::session::{self, Opener, Token};
use crate::stats::{Counters, End, Task};

/// A host ends its calls at their deadline by itself; this much later we stop waiting for it.
const GRACE: Duration = Duration::from_secs(2);
/// A service account token older than this is not used for a login: the shortest lives ten minutes.
const FRESH_TOKEN: Duration = Duration::from_secs(60);
/// While refusals are taken as denials, credentials are looked after this often at most.
const QUIET_CHECK: Duration = Duration::from_secs(10);

/// An identity with all it needs to act.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) preparer: Arc<Preparer>,
    pub(crate) identity: Arc<Identity>,
}

impl Access {
    /// Asks whether the store can be used.
    pub(crate) async fn probe(&self) -> Result<(), Failure> {
        let began = Instant::now();
        let (access, token) = self.living().await?;
        match access.probe_once(token.as_ref()).await {
            Err(failure) if failure.code == Code::Unauthenticated => {
                match access.again(token.as_ref(), began).await? {
                    Some((next, token)) => next.probe_once(token.as_ref()).await,
                    None => Err(failure),
                }
            }
            other => other,
        }
    }

    /// Ends the session for good.
    pub(crate) async fn close(&self) {
        self.identity.keeper.close(self).await;
    }

    async fn probe_once(&self, token: Option<&Token>) -> Result<(), Failure> {
        let deadline = self.preparer.settings.call_deadline;
        let mut call = self.identity.call(deadline);
        call.credentials = self.identity.grants().credentials.clone();
        call.session = token.map(|token| token.value.clone());
        let result = bounded(deadline, self.preparer.host.probe(&call)).await;
        self.called(Task::Probe, End::of(&result));
        if result.is_err() {
            Counters::add(&self.preparer.counters.failures, 1);
        }
        result
    }

    async fn read_once(
        &self,
        token: Option<&Token>,
        requests: &[Request],
    ) -> Result<Vec<Outcome>, Failure> {
        let deadline = self.preparer.settings.call_deadline;
        let call = self.reading_call(token);
        let outcomes = bounded(deadline, self.preparer.host.read(&call, requests)).await;
        match &outcomes {
            Ok(outcomes) => outcomes.iter().for_each(|outcome| {
                self.called(
                    Task::Read,
                    match &outcome.answer {
                        Answer::Failed(failure) => End::of_failure(failure),
                        Answer::Parts(_) | Answer::Unchanged => End::Found,
                    },
                );
            }),
            Err(_) => requests
                .iter()
                .for_each(|_| self.called(Task::Read, End::Failed)),
        }
        outcomes
    }

    /// Counts a call of the backend.
    pub(crate) fn called(&self, task: Task, end: End) {
        let provider = &self.identity.store.provider_key;
        self.preparer.counters.called(provider, task, end);
    }

    /// A call with what a reader may see: the session, or the credentials of a provider without a login.
    pub(crate) fn reading_call(&self, token: Option<&Token>) -> Call {
        let mut call = self.identity.call(self.preparer.settings.call_deadline);
        match token {
            Some(token) => call.session = Some(token.value.clone()),
            None => call.credentials = self.identity.grants().credentials.clone(),
        }
        call
    }

    /// This identity or, where it was given up because a credential changed, the one that took its place; with the
    /// session, where the provider has one.
    pub(crate) async fn living(&self) -> Result<(Self, Option<Token>), Failure> {
        if !self.identity.plugin.has_login {
            return Ok((self.clone(), None));
        }
        if let Some(token) = self.identity.keeper.current(self).await? {
            return Ok((self.clone(), Some(token)));
        }
        let next = self.successor(None).await?;
        let token = next
            .identity
            .keeper
            .current(&next)
            .await?
            .ok_or_else(session::given_up)?;
        Ok((next, Some(token)))
    }

    async fn successor(&self, checked_since: Option<Instant>) -> Result<Self, Failure> {
        let Identity { store, asking, .. } = &*self.identity;
        if self.preparer.is_forgotten(&self.identity) {
            return Err(session::given_up());
        }
        let now = Instant::now();
        let next = self
            .preparer
            .identity(store, asking.as_deref(), now, checked_since)
            .await?;
        Ok(self.preparer.access(next.ok_or_else(session::given_up)?))
    }

    /// After a refusal: as whom and with which session to ask once more; none where that is of no use.
    pub(crate) async fn again(
        &self,
        token: Option<&Token>,
        began: Instant,
    ) -> Result<Option<(Self, Option<Token>)>, Failure> {
        let quiet = self.identity.keeper.is_quiet().await;
        let since = if quiet {
            began.checked_sub(QUIET_CHECK).unwrap_or(began)
        } else {
            began
        };
        let next = self.successor(Some(since)).await?;
        let changed = !Arc::ptr_eq(&next.identity, &self.identity);
        match token {
            _ if changed => next.living().await.map(Some),
            Some(token) => {
                let token = self
                    .identity
                    .keeper
                    .after_refusal(self, token.epoch)
                    .await?;
                Ok(token.map(|token| (self.clone(), Some(token))))
            }
            None => Ok(self
                .renew_tokens(FRESH_TOKEN)
                .await?
                .then(|| (self.clone(), None))),
        }
    }

    /// Requests tokens anew that are older than this; whether it did.
    async fn renew_tokens(&self, age: Duration) -> Result<bool, Failure> {
        if self.identity.token_life().is_none() || self.identity.grants().tokens_at.elapsed() < age
        {
            return Ok(false);
        }
        self.preparer.refresh_tokens(&self.identity).await?;
        Ok(true)
    }

    async fn read_batch(&self, requests: &[Request]) -> Result<Vec<Outcome>, Failure> {
        let began = Instant::now();
        let (access, token) = self.living().await?;
        let mut outcomes = match access.read_once(token.as_ref(), requests).await {
            Err(failure) if failure.code == Code::Unauthenticated => {
                all_failed(requests.len(), &failure)
            }
            other => other?,
        };
        let refused: Vec<usize> = (0..outcomes.len())
            .filter(|at| is_refused(&outcomes[*at]))
            .collect();
        if refused.is_empty() {
            return Ok(outcomes);
        }
        let (second, use_session) = match access.again(token.as_ref(), began).await {
            Err(failure) => (all_failed(refused.len(), &failure), false),
            Ok(None) => (
                refused.iter().map(|at| outcomes[*at].clone()).collect(),
                token.is_some(),
            ),
            Ok(Some((next, token))) => {
                let repeated: Vec<Request> =
                    refused.iter().map(|at| requests[*at].clone()).collect();
                let second = next.read_once(token.as_ref(), &repeated).await;
                (
                    second.unwrap_or_else(|failure| all_failed(refused.len(), &failure)),
                    token.is_some(),
                )
            }
        };
        for (at, mut outcome) in refused.into_iter().zip(second) {
            if use_session {
                deny(&mut outcome);
            }
            outcomes[at] = outcome;
        }
        Ok(outcomes)
    }
}

impl Reader for Access {
    fn read<'a>(&'a self, requests: &'a [Request]) -> Answering<'a, Vec<Outcome>> {
        let retries = self.identity.store.retries;
        if retries.times == 0 {
            return Box::pin(self.read_batch(requests));
        }
        let patience = self.preparer.settings.wait_deadline;
        let read = move |requests: Vec<Request>| async move { self.read_batch(&requests).await };
        Box::pin(retry::patiently(retries, patience, requests, read))
    }

    fn list<'a>(&'a self, query: &'a Query) -> Answering<'a, Listing> {
        Box::pin(self.list_all(query))
    }
}

impl Opener for Access {
    fn login(&self, again: bool) -> Answering<'_, Session> {
        Box::pin(async move {
            self.renew_tokens(if again { Duration::ZERO } else { FRESH_TOKEN })
                .await?;
            let deadline = self.preparer.settings.call_deadline;
            let mut call = self.identity.call(deadline);
            call.credentials = self.identity.grants().credentials.clone();
            let session = bounded(deadline, self.preparer.host.login(&call)).await;
            self.called(Task::Login, End::of(&session));
            session.map_err(|failure| {
                failure.context(format!("logging in with {}", self.identity.store.id))
            })
        })
    }

    fn renew(&self, token: SecretValue) -> Answering<'_, Session> {
        Box::pin(async move {
            let deadline = self.preparer.settings.call_deadline;
            let mut call = self.identity.call(deadline);
            call.session = Some(token);
            bounded(deadline, self.preparer.host.renew(&call)).await
        })
    }

    fn close(&self, token: SecretValue) -> BoxFuture<'static, ()> {
        let deadline = self.preparer.settings.close_deadline;
        let mut call = self.identity.call(deadline);
        call.session = Some(token);
        let access = self.clone();
        async move {
            let closing = access.preparer.host.close(&call);
            let closed = matches!(tokio::time::timeout(deadline, closing).await, Ok(Ok(())));
            access.called(Task::Close, if closed { End::Found } else { End::Failed });
            // Best effort: the session ends by itself, and there is nobody who could do better.
            if !closed {
                tracing::debug!("a session could not be closed at the backend; it ends by itself");
            }
        }
        .boxed()
    }
}

pub(crate) async fn bounded<T>(
    deadline: Duration,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(deadline + GRACE, call)
        .await
        .unwrap_or_else(|_| {
            Err(Failure::new(
                Stage::Fetch,
                Code::Timeout,
                format!("the plugin did not answer within {} s", deadline.as_secs()),
            ))
        })
}

fn all_failed(n: usize, failure: &Failure) -> Vec<Outcome> {
    vec![
        Outcome {
            answer: Answer::Failed(failure.clone()),
            tag: None
        };
        n
    ]
}

fn is_refused(outcome: &Outcome) -> bool {
    let refused = |failure: &Failure| failure.code == Code::Unauthenticated;
    match &outcome.answer {
        Answer::Failed(failure) => refused(failure),
        Answer::Parts(parts) => parts
            .iter()
            .any(|part| matches!(part, Part::Failed(failure) if refused(failure))),
        Answer::Unchanged => false,
    }
}

/// Refused with a session that is known to be new: the object is denied, the credential is not to blame.
fn deny(outcome: &mut Outcome) {
    let turn = |failure: &mut Failure| {
        if failure.code == Code::Unauthenticated {
            failure.code = Code::Denied;
        }
    };
    match &mut outcome.answer {
        Answer::Failed(failure) => turn(failure),
        Answer::Parts(parts) => parts.iter_mut().for_each(|part| {
            if let Part::Failed(failure) = part {
                turn(failure);
            }
        }),
        Answer::Unchanged => {}
    }
}
