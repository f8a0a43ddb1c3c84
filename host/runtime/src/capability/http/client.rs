//! Exchanges over pooled connections. A pool belongs to one identity and one endpoint with its TLS settings, so no tenant
//! ever speaks over another's connection; unused pools are dropped.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use postern_core::egress::{AllowedEndpoint, Origin, Refusal};
use postern_core::plugin::IdentityId;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::connect::{Connector, DoorError};
use super::{Policy, headers, left, same_pool};
use crate::bindings::v0_1::http::{Request, Response};
use crate::limits;

/// What an administrator may change of the broker.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// What we call ourselves where the plugin does not say.
    pub user_agent: String,
    /// How long a backend may think before the first byte of its answer.
    pub first_byte: Duration,
    /// Requests in flight over all plugins.
    pub in_flight: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            user_agent: format!("postern/{}", env!("CARGO_PKG_VERSION")),
            first_byte: limits::FIRST_BYTE,
            in_flight: limits::REQUESTS_IN_FLIGHT,
        }
    }
}

/// The broker: one for the process.
pub struct Http {
    settings: HttpSettings,
    in_flight: Semaphore,
    pools: Mutex<HashMap<IdentityId, Vec<Pool>>>,
}

struct Pool {
    endpoint: AllowedEndpoint,
    client: Client<Connector, Full<Bytes>>,
    used: Instant,
}

/// One exchange that was admitted by origin.
pub struct Exchange<'a> {
    pub identity: &'a IdentityId,
    pub egress: &'a Policy,
    pub endpoint: &'a AllowedEndpoint,
    pub request: Request,
    pub until: Instant,
    pub response_limit: usize,
    /// Bytes that all responses of the call may still have.
    pub budget: &'a AtomicUsize,
}

/// Why there is no response. Names the origin, never path, query or headers.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error(transparent)]
    Refused(Refusal),
    #[error("{0}")]
    Invalid(String),
    #[error("{0} did not answer within {1:.1} s")]
    Timeout(String, f64),
    #[error("the answer of {0} is larger than {1} KiB")]
    TooLarge(String, usize),
    #[error("the call has received all that it may")]
    Budget,
    #[error("{0}")]
    Unavailable(String),
}

impl Http {
    /// A broker without any connection.
    #[must_use]
    pub fn new(settings: HttpSettings) -> Self {
        let in_flight = Semaphore::new(settings.in_flight);
        Self {
            settings,
            in_flight,
            pools: Mutex::default(),
        }
    }

    /// Sends one request and takes the whole answer.
    pub async fn exchange(&self, mut exchange: Exchange<'_>) -> Result<Response, ExchangeError> {
        let origin = exchange.endpoint.origin.to_string();
        let request = self.wire_request(&mut exchange)?;
        let client = self.client(&exchange).map_err(|e| of_door(&e))?;
        let whole = left(exchange.until);
        let late = |after: Duration| ExchangeError::Timeout(origin.clone(), after.as_secs_f64());
        let talk = async {
            // Closed never: the broker lives as long as the semaphore.
            let _permit = self.in_flight.acquire().await;
            let head = self.settings.first_byte + limits::CONNECT;
            let answer = timeout(head, client.request(request))
                .await
                .map_err(|_| late(head))?;
            take(
                answer.map_err(|e| of_client(&e, &origin))?,
                &exchange,
                &origin,
            )
            .await
        };
        timeout(whole, talk).await.map_err(|_| late(whole))?
    }

    fn wire_request(
        &self,
        exchange: &mut Exchange<'_>,
    ) -> Result<http::Request<Full<Bytes>>, ExchangeError> {
        let Request {
            method,
            url,
            headers,
            body,
            ..
        } = &mut exchange.request;
        let invalid = |what: &str| ExchangeError::Invalid(what.to_owned());
        let method = http::Method::from_bytes(method.as_bytes())
            .map_err(|_| invalid("the method is not valid"))?;
        if method == http::Method::CONNECT || method == http::Method::TRACE {
            return Err(ExchangeError::Invalid(format!(
                "the method {method} is not allowed"
            )));
        }
        let uri = uri(url, &exchange.endpoint.origin)?;
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let headers = headers::to_wire(headers, &authority, &self.settings.user_agent)
            .map_err(ExchangeError::Invalid)?;
        // Wiped when it has been sent.
        let body = body
            .take()
            .map_or_else(Bytes::new, |b| Bytes::from_owner(Zeroizing::new(b)));
        let mut request = http::Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn client(&self, exchange: &Exchange<'_>) -> Result<Client<Connector, Full<Bytes>>, DoorError> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        pools.retain(|_, of_identity| {
            of_identity.retain(|pool| now.duration_since(pool.used) < limits::IDLE_POOL);
            !of_identity.is_empty()
        });
        let of_identity = pools.entry(exchange.identity.clone()).or_default();
        if let Some(pool) = of_identity
            .iter_mut()
            .find(|p| same_pool(&p.endpoint, exchange.endpoint))
        {
            pool.used = now;
            return Ok(pool.client.clone());
        }
        let connector = Connector::new(exchange.endpoint.clone(), exchange.egress.clone())?;
        let client = build(connector);
        of_identity.push(Pool {
            endpoint: exchange.endpoint.clone(),
            client: client.clone(),
            used: now,
        });
        Ok(client)
    }
}

fn build(connector: Connector) -> Client<Connector, Full<Bytes>> {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(limits::IDLE_CONNECTION)
        .pool_max_idle_per_host(limits::PARALLEL_REQUESTS)
        .http1_max_headers(limits::HEADERS)
        .http1_max_buf_size(limits::HEADER_BYTES)
        .http2_max_header_list_size(u32::try_from(limits::HEADER_BYTES).unwrap_or(u32::MAX))
        .build(connector)
}

/// The URL as the wire gets it: the origin that was admitted, and only path and query of the guest's text.
fn uri(url: &str, origin: &Origin) -> Result<http::Uri, ExchangeError> {
    let invalid = || ExchangeError::Invalid(format!("the URL for {origin} is not valid"));
    let after = url.split_once("://").map_or("", |(_, rest)| rest);
    let path = after
        .find(['/', '?', '#', '\\'])
        .map_or("", |at| &after[at..]);
    let path = path.split('#').next().unwrap_or_default();
    if path.contains('\\') {
        return Err(invalid());
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let host = if origin.host.contains(':') {
        format!("[{}]", origin.host)
    } else {
        origin.host.clone()
    };
    let port = match (origin.scheme.as_str(), origin.port) {
        ("http", 80) | ("https", 443) => String::new(),
        (_, port) => format!(":{port}"),
    };
    http::Uri::try_from(format!("{}://{host}{port}{slash}{path}", origin.scheme))
        .map_err(|_| invalid())
}

async fn take(
    response: http::Response<Incoming>,
    exchange: &Exchange<'_>,
    origin: &str,
) -> Result<Response, ExchangeError> {
    let limit = exchange.response_limit;
    let too_large = || ExchangeError::TooLarge(origin.to_owned(), limit >> 10);
    let (head, mut incoming) = response.into_parts();
    let mut body = Zeroizing::new(Vec::new());
    while let Some(frame) = incoming.frame().await {
        let frame = frame
            .map_err(|_| ExchangeError::Unavailable(format!("{origin} broke off its answer")))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if body.len() + data.len() > limit {
            return Err(too_large());
        }
        let spend = |left: usize| left.checked_sub(data.len());
        exchange
            .budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .map_err(|_| ExchangeError::Budget)?;
        grow(&mut body, data.len());
        body.extend_from_slice(data);
    }
    Ok(Response {
        status: head.status.as_u16(),
        headers: headers::to_guest(&head.headers),
        body: std::mem::take(&mut *body),
        options: Vec::new(),
    })
}

/// Makes room without leaving an unwiped copy behind, as `Vec` would.
fn grow(body: &mut Zeroizing<Vec<u8>>, more: usize) {
    if body.capacity() - body.len() < more {
        let mut larger =
            Zeroizing::new(Vec::with_capacity((body.len() + more).next_power_of_two()));
        larger.extend_from_slice(body);
        *body = larger;
    }
}

fn of_client(error: &hyper_util::client::legacy::Error, origin: &str) -> ExchangeError {
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = source {
        if let Some(door) = current.downcast_ref::<DoorError>() {
            return of_door(door);
        }
        if let Some(hyper) = current.downcast_ref::<hyper::Error>() {
            if hyper.is_parse_too_large() {
                return ExchangeError::TooLarge(
                    format!("{origin} (its headers)"),
                    limits::HEADER_BYTES >> 10,
                );
            }
            if hyper.is_parse() {
                return ExchangeError::Unavailable(format!("{origin} does not answer in HTTP"));
            }
        }
        source = current.source();
    }
    ExchangeError::Unavailable(format!(
        "the connection to {origin} broke before it answered"
    ))
}

fn of_door(error: &DoorError) -> ExchangeError {
    match error {
        DoorError::Refused(refusal) => ExchangeError::Refused(refusal.clone()),
        DoorError::Tls(_) => ExchangeError::Invalid(error.to_string()),
        DoorError::Slow(origin, seconds) => ExchangeError::Timeout(origin.clone(), *seconds as f64),
        _ => ExchangeError::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_on_the_wire_has_the_admitted_origin_and_the_guests_path() {
        let table = [
            (
                "https://Vault.corp/v1/x?y=z#f",
                "https://vault.corp/v1/x?y=z",
            ),
            ("http://[::1]:8200", "http://[::1]:8200/"),
            ("http://vault:80?list=true", "http://vault/?list=true"),
        ];
        for (url, wire) in table {
            assert_eq!(
                uri(url, &Origin::parse(url).unwrap()).unwrap().to_string(),
                wire
            );
        }
        let hidden = "http://vault\\@evil/";
        assert!(uri(hidden, &Origin::parse(hidden).unwrap()).is_err());
    }
}
