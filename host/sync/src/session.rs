//! One session for all who ask as one identity: opened once, renewed at two thirds of its life, closed when it is of no
//! more use.
//!
//! The keeper decides when to open, renew and give up; what these mean at the backend is behind [`Opener`].

use std::sync::Arc;
use std::time::Duration;

use postern_core::failure::{Code, Failure, Stage};
use postern_core::plugin::{Answering, Session};
use postern_core::secret::SecretValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::stats::Counters;

/// After a refusal that a new session did not heal, no other login follows for this long, unless the normal renewal
/// comes first: one denied key must not become a login storm, and a revoked session must not stay for a month.
const QUIET: Duration = Duration::from_secs(3600);
/// After a login that failed, others share the failure for this long.
const FAILED_LOGIN: Duration = Duration::from_secs(1);
/// A session that could not be renewed but still lives is tried again after this long.
const RENEW_AGAIN: Duration = Duration::from_secs(30);

/// What opens and ends sessions at the backend; each call is bounded in time.
pub(crate) trait Opener: Send + Sync {
    /// Opens a session; `again` where it replaces another, so that tokens which age are requested anew.
    fn login(&self, again: bool) -> Answering<'_, Session>;
    fn renew(&self, token: SecretValue) -> Answering<'_, Session>;
    fn close(&self, token: SecretValue) -> futures::future::BoxFuture<'static, ()>;
}

/// A session in use; `epoch` tells it from those before and after.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) value: SecretValue,
    pub(crate) epoch: u64,
}

#[derive(Debug)]
struct Open {
    token: Token,
    renew_at: Option<Instant>,
    ends_at: Option<Instant>,
    /// Until then a refusal counts as denied.
    quiet_until: Option<Instant>,
}

#[derive(Default)]
struct State {
    open: Option<Open>,
    epoch: u64,
    failed: Option<(Instant, Failure)>,
    closed: bool,
}

/// Keeps the session of one identity.
pub(crate) struct Keeper {
    state: Mutex<State>,
    counters: Arc<Counters>,
}

impl Keeper {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self {
            state: Mutex::default(),
            counters,
        }
    }

    /// The session as it should be used now; none if the identity has been given up.
    ///
    /// Guarantees: one login for all who ask at the same time, and one failure for them.
    pub(crate) async fn current(&self, opener: &dyn Opener) -> Result<Option<Token>, Failure> {
        let mut state = self.state.lock().await;
        if state.closed {
            return Ok(None);
        }
        let now = Instant::now();
        match &state.open {
            Some(open) if open.ends_at.is_none_or(|end| now < end) => {
                if open.renew_at.is_none_or(|at| now < at) {
                    return Ok(Some(open.token.clone()));
                }
                self.renew(&mut state, opener).await.map(Some)
            }
            Some(_) | None => self.login(&mut state, opener).await.map(Some),
        }
    }

    /// After the backend refused the session of this epoch: a newer one, or none where asking again is of no use.
    pub(crate) async fn after_refusal(
        &self,
        opener: &dyn Opener,
        epoch: u64,
    ) -> Result<Option<Token>, Failure> {
        let mut state = self.state.lock().await;
        if state.closed {
            return Ok(None);
        }
        let now = Instant::now();
        if let Some(open) = &mut state.open {
            if open.token.epoch > epoch {
                return Ok(Some(open.token.clone()));
            }
            if open.quiet_until.is_some_and(|until| now < until) {
                return Ok(None);
            }
            // Also where the login fails, the session that others may still use is not tried again and again.
            open.quiet_until = quiet_until(now, open.renew_at);
        }
        let token = self.login(&mut state, opener).await?;
        if let Some(open) = &mut state.open {
            open.quiet_until = quiet_until(Instant::now(), open.renew_at);
        }
        Ok(Some(token))
    }

    /// Whether a refusal would open no session now.
    pub(crate) async fn is_quiet(&self) -> bool {
        let now = Instant::now();
        self.state
            .lock()
            .await
            .open
            .as_ref()
            .and_then(|open| open.quiet_until)
            .is_some_and(|until| now < until)
    }

    /// Ends the session for good; later calls of [`Keeper::current`] answer none.
    pub(crate) async fn close(&self, opener: &dyn Opener) {
        let open = {
            let mut state = self.state.lock().await;
            state.closed = true;
            state.open.take()
        };
        if let Some(open) = open {
            opener.close(open.token.value).await;
        }
    }

    async fn renew(&self, state: &mut State, opener: &dyn Opener) -> Result<Token, Failure> {
        let Some(old) = state.open.as_ref().map(|open| open.token.clone()) else {
            return self.login(state, opener).await;
        };
        if let Ok(session) = opener.renew(old.value.clone()).await {
            Counters::add(&self.counters.renewals, 1);
            return Ok(accept(state, session));
        }
        match self.login(state, opener).await {
            Ok(token) => Ok(token),
            Err(failure) => {
                let now = Instant::now();
                match &mut state.open {
                    // It still lives: those who read need not suffer from a login that fails today.
                    Some(open) if open.ends_at.is_none_or(|end| now < end) => {
                        open.renew_at = Some(now + RENEW_AGAIN);
                        Ok(old)
                    }
                    Some(_) | None => Err(failure),
                }
            }
        }
    }

    async fn login(&self, state: &mut State, opener: &dyn Opener) -> Result<Token, Failure> {
        if let Some((at, failure)) = &state.failed {
            let wait = failure.retry_after.unwrap_or(FAILED_LOGIN);
            if at.elapsed() < wait {
                return Err(failure.clone());
            }
        }
        let again = state.epoch > 0;
        match opener.login(again).await {
            Ok(session) => {
                Counters::add(&self.counters.logins, 1);
                state.failed = None;
                let now = Instant::now();
                let old = state
                    .open
                    .take()
                    .filter(|open| open.ends_at.is_none_or(|end| now < end));
                let token = accept(state, session);
                if let Some(old) = old {
                    // Whoever still uses it is refused and goes on with the new one.
                    tokio::spawn(opener.close(old.token.value));
                }
                Ok(token)
            }
            Err(failure) => {
                Counters::add(&self.counters.failures, 1);
                let failure = Failure {
                    stage: Stage::Login,
                    ..failure
                };
                state.failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }
}

fn accept(state: &mut State, session: Session) -> Token {
    let now = Instant::now();
    state.epoch += 1;
    let token = Token {
        value: session.token,
        epoch: state.epoch,
    };
    state.open = Some(Open {
        token: token.clone(),
        renew_at: session.expires_in.map(|life| now + life * 2 / 3),
        ends_at: session.expires_in.map(|life| now + life),
        quiet_until: None,
    });
    token
}

fn quiet_until(now: Instant, renew_at: Option<Instant>) -> Option<Instant> {
    let end = now + QUIET;
    Some(renew_at.map_or(end, |at| at.min(end)))
}

/// What a caller hears whose identity was given up and has no successor.
pub(crate) fn given_up() -> Failure {
    Failure::new(
        Stage::Login,
        Code::Unavailable,
        "the store changed or went away while it was read; it will be read again",
    )
}
