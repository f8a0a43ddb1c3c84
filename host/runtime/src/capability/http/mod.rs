//! The interface `http`, the only way to the network: budgets of one call here, exchanges in [`client`], addresses and TLS
//! in [`connect`]. Whether a destination is open is decided by core's egress policy, never here.

mod client;
mod connect;
mod headers;
mod tls;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use futures::StreamExt as _;
use postern_core::egress::{AllowedEndpoint, EgressPolicy, Refusal};
use postern_core::failure::Code;
use tokio::time::Instant;

pub use client::{Http, HttpSettings};

use crate::bindings::v0_1::http::{Host, Request, Response};
use crate::bindings::v0_1::types::Failure;
use crate::fault::Limit;
use crate::limits;
use crate::state::{CallState, failure};
use client::{Exchange, ExchangeError};

impl Host for CallState {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, Failure>> {
        let mut answers = self.exchange(vec![request]).await?;
        answers
            .pop()
            .ok_or_else(|| wasmtime::Error::msg("one request has one answer"))
    }

    async fn send_all(
        &mut self,
        requests: Vec<Request>,
    ) -> wasmtime::Result<Vec<Result<Response, Failure>>> {
        self.exchange(requests).await
    }
}

impl CallState {
    /// Admits, sends as parallel as allowed, and answers in order.
    async fn exchange(
        &mut self,
        requests: Vec<Request>,
    ) -> wasmtime::Result<Vec<Result<Response, Failure>>> {
        self.charge(&requests)?;
        let until = self.until;
        let response_limit = self.limits.response;
        let Some(net) = &self.net else {
            let refusal = "this call has no network; only probe, login, read and find have";
            return Ok(requests
                .iter()
                .map(|_| Err(failure("denied", refusal)))
                .collect());
        };
        let (http, identity, egress) = (net.http.clone(), net.identity.clone(), net.egress.clone());
        let budget = AtomicUsize::new(self.limits.bytes_in.saturating_sub(net.bytes_in));
        let one = |request: Request| {
            let (http, identity, egress, budget) = (&http, &identity, &egress, &budget);
            async move {
                let until = ends(&request, until)?;
                let endpoint = egress
                    .origin(&request.url)
                    .map_err(ExchangeError::Refused)?;
                http.exchange(Exchange {
                    identity,
                    egress,
                    endpoint,
                    request,
                    until,
                    response_limit,
                    budget,
                })
                .await
            }
        };
        let answers: Vec<Result<Response, ExchangeError>> =
            futures::stream::iter(requests.into_iter().map(one))
                .buffered(limits::PARALLEL_REQUESTS)
                .collect()
                .await;
        self.waited();
        self.settle(answers)
    }

    fn charge(&mut self, requests: &[Request]) -> wasmtime::Result<()> {
        let Some(net) = &mut self.net else {
            return Ok(());
        };
        let count = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        net.requests = net.requests.saturating_add(count);
        let bodies = requests.iter().map(|r| r.body.as_ref().map_or(0, Vec::len));
        net.bytes_out = net.bytes_out.saturating_add(bodies.sum());
        let (requests, bytes_out) = (net.requests, net.bytes_out);
        if requests > self.limits.requests {
            return Err(self.break_limit(Limit::Requests));
        }
        if bytes_out > self.limits.bytes_out {
            return Err(self.break_limit(Limit::BytesOut));
        }
        Ok(())
    }

    fn settle(
        &mut self,
        answers: Vec<Result<Response, ExchangeError>>,
    ) -> wasmtime::Result<Vec<Result<Response, Failure>>> {
        if answers
            .iter()
            .any(|a| matches!(a, Err(ExchangeError::Budget)))
        {
            return Err(self.break_limit(Limit::BytesIn));
        }
        let received: usize = answers.iter().flatten().map(|r| r.body.len()).sum();
        if let Some(net) = &mut self.net {
            net.bytes_in = net.bytes_in.saturating_add(received);
        }
        Ok(answers
            .into_iter()
            .map(|a| a.map_err(|e| self.of_exchange(&e)))
            .collect())
    }

    fn of_exchange(&mut self, error: &ExchangeError) -> Failure {
        match error {
            ExchangeError::Refused(Refusal::Url(_)) | ExchangeError::Invalid(_) => {
                failure("invalid-request", error.to_string())
            }
            ExchangeError::Refused(_) => self.refuse(Code::EgressDenied, error.to_string()),
            ExchangeError::Timeout(..) => failure("timeout", error.to_string()),
            ExchangeError::TooLarge(..) => failure("invalid-request", error.to_string()),
            ExchangeError::Unavailable(..) | ExchangeError::Budget => {
                failure("unavailable", error.to_string())
            }
        }
    }
}

/// When a request has to be over: with the call, or earlier where it says so.
fn ends(request: &Request, until: Instant) -> Result<Instant, ExchangeError> {
    let Some((_, text)) = request.options.iter().find(|(n, _)| n == "timeout-ms") else {
        return Ok(until);
    };
    let milliseconds = text
        .parse()
        .map_err(|_| ExchangeError::Invalid("the option timeout-ms is no number".to_owned()))?;
    let own = Instant::now().checked_add(std::time::Duration::from_millis(milliseconds));
    Ok(own.map_or(until, |own| own.min(until)))
}

/// Time left until a moment, less what the guest needs to answer with a failure of its own.
fn left(until: Instant) -> std::time::Duration {
    until
        .saturating_duration_since(Instant::now())
        .saturating_sub(limits::TICK * 5)
}

/// What a pool hangs on, besides the identity.
fn same_pool(a: &AllowedEndpoint, b: &AllowedEndpoint) -> bool {
    a == b
}

/// The policy that a connection was checked against.
type Policy = Arc<EgressPolicy>;
