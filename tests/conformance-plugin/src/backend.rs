//! The scripted backend: a loopback server that answers what the fixture says and notes what it has no answer for.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::fixture::{Answer, Exchange, SENTINEL};

#[derive(Default)]
struct Script {
    exchanges: Vec<Exchange>,
    unexpected: Vec<String>,
}

/// The server; it ends with this value.
pub struct Backend {
    origin: String,
    script: Arc<Mutex<Script>>,
    server: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Backend {
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let script: Arc<Mutex<Script>> = Arc::default();
        let server = tokio::spawn(serve(listener, script.clone()));
        Ok(Self {
            origin,
            script,
            server,
        })
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What is answered from now on; the first that fits counts.
    pub fn play(&self, exchanges: Vec<Exchange>) {
        lock(&self.script).exchanges = exchanges;
    }

    /// Requests that found no answer since this was asked last.
    pub fn unexpected(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.script).unexpected)
    }
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, script: Arc<Mutex<Script>>) {
    // The set ends all connections when this task is ended.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let script = script.clone();
        let service = service_fn(move |request| answer(script.clone(), request));
        connections.spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    script: Arc<Mutex<Script>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    let found = find(&script, &head, &body.unwrap_or_default());
    match found {
        Some(answer) if answer.never => std::future::pending().await,
        Some(answer) => Ok(response(&answer)),
        None => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
            Ok(response)
        }
    }
}

fn find(script: &Mutex<Script>, head: &Parts, body: &[u8]) -> Option<Answer> {
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let mut script = lock(script);
    let fits = |exchange: &&Exchange| {
        exchange.method == head.method.as_str()
            && exchange.path == target
            && headers_fit(exchange, &head.headers)
            && body_fits(exchange, body)
    };
    let found = script.exchanges.iter().find(fits).map(|e| e.answer.clone());
    if found.is_none() {
        script.unexpected.push(format!("{} {target}", head.method));
    }
    found
}

fn headers_fit(exchange: &Exchange, headers: &HeaderMap) -> bool {
    exchange.headers.iter().all(|(name, want)| {
        let has = headers.get(name).and_then(|value| value.to_str().ok());
        has == want.as_deref()
    })
}

fn body_fits(exchange: &Exchange, body: &[u8]) -> bool {
    if exchange.json.is_empty() {
        return true;
    }
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    exchange
        .json
        .iter()
        .all(|(name, want)| body.get(name) == Some(want))
}

/// Every answer carries the sentinel where no plugin has business to look, and a refusal without a body has it there.
fn response(answer: &Answer) -> Response<Full<Bytes>> {
    let body = match &answer.body {
        Some(body) => body.bytes().unwrap_or_default(),
        None if answer.status >= 400 => SENTINEL.as_bytes().to_vec(),
        None => Vec::new(),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("x-conformance-sentinel", HeaderValue::from_static(SENTINEL));
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    response
}
