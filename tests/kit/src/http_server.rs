//! A loopback HTTP server on a thread of its own, and a plain client for set-up. Knows nothing of Vault.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::pki::{Identity, LOOPBACK_NAMES, PrivateCa};

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Transport {
    /// Plain HTTP.
    #[default]
    Http,
    /// TLS, with a certificate of a private authority.
    Https,
    /// TLS, and the client has to show a certificate of the same authority.
    HttpsClientCertificate,
}

/// A request, read to its end.
#[derive(Debug)]
pub(crate) struct Asked {
    pub method: Method,
    /// Path and query, as on the wire.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn token(&self) -> Option<&str> {
        self.header("x-vault-token").or_else(|| {
            self.header("authorization")
                .and_then(|value| value.strip_prefix("Bearer "))
        })
    }

    /// The body as JSON; an empty or unreadable one is null.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What is sent back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Reply {
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        let body = if body.is_null() {
            Bytes::new()
        } else {
            Bytes::from(body.to_string())
        };
        let headers = vec![
            ("Cache-Control".to_owned(), "no-store".to_owned()),
            ("Content-Type".to_owned(), "application/json".to_owned()),
        ];
        Self {
            status,
            headers,
            body,
        }
    }

    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        // 599 is what this crate sends for "not in the recording"; a status that is none is a mistake of ours and shows as 500.
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (
                name.parse::<http::HeaderName>(),
                HeaderValue::from_str(&value),
            ) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

pub(crate) type Answering = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// Answers requests. May take its time; a caller that goes away drops the answer.
pub(crate) trait Answer: Send + Sync + 'static {
    fn answer(self: Arc<Self>, asked: Asked) -> Answering;
}

/// A running server; dropping it closes the listener and all connections.
#[derive(Debug)]
pub(crate) struct HttpServer {
    url: String,
    ca_pem: Option<String>,
    client: Option<Identity>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl HttpServer {
    pub fn start(transport: Transport, answer: Arc<dyn Answer>) -> anyhow::Result<Self> {
        Self::start_under(&PrivateCa::new()?, transport, answer)
    }

    /// As [`HttpServer::start`], with a certificate of this authority: clients tell authorities of one name apart badly.
    pub fn start_under(
        ca: &PrivateCa,
        transport: Transport,
        answer: Arc<dyn Answer>,
    ) -> anyhow::Result<Self> {
        let listener =
            std::net::TcpListener::bind("127.0.0.1:0").context("opening a loopback port")?;
        listener
            .set_nonblocking(true)
            .context("preparing a loopback port")?;
        let address = listener.local_addr().context("reading a loopback port")?;
        let (tls, ca_pem, client) = security(ca, transport)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("making a runtime")?;
        let thread = std::thread::Builder::new()
            .name("test-http-server".into())
            .spawn(move || {
                runtime.block_on(async move {
                    let Ok(listener) = TcpListener::from_std(listener) else {
                        return;
                    };
                    tokio::select! {
                        () = accept(listener, tls, answer) => {}
                        _ = stopped => {}
                    }
                });
            })
            .context("starting the thread of a test server")?;
        Ok(Self {
            url: format!("{scheme}://{address}"),
            ca_pem,
            client,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    pub fn client_identity(&self) -> Option<&Identity> {
        self.client.as_ref()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server has shown itself as failed requests already.
            let _ = thread.join();
        }
    }
}

type Tls = tokio_rustls::TlsAcceptor;

fn security(
    ca: &PrivateCa,
    transport: Transport,
) -> anyhow::Result<(Option<Tls>, Option<String>, Option<Identity>)> {
    if transport == Transport::Http {
        return Ok((None, None, None));
    }
    let asks_client = transport == Transport::HttpsClientCertificate;
    let config = ca.tls(&ca.server(&LOOPBACK_NAMES)?, asks_client)?;
    let client = if asks_client {
        Some(ca.client("postern-test-client")?)
    } else {
        None
    };
    Ok((Some(Tls::from(Arc::new(config))), Some(ca.pem()), client))
}

async fn accept(listener: TcpListener, tls: Option<Tls>, answer: Arc<dyn Answer>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // Small answers must not wait for the acknowledgement of earlier ones.
        let _ = stream.set_nodelay(true);
        let (tls, answer) = (tls.clone(), Arc::clone(&answer));
        tokio::spawn(async move {
            match tls {
                None => serve(stream, answer).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, answer).await;
                    }
                }
            }
        });
    }
}

async fn serve<S>(stream: S, answer: Arc<dyn Answer>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = Arc::clone(&answer);
        async move { Ok::<_, Infallible>(respond(request, answer).await) }
    });
    // A connection that breaks is the client's business, and what some tests are about.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(request: Request<Incoming>, answer: Arc<dyn Answer>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Reply::json(
            400,
            &serde_json::json!({"errors": ["request body ended early"]}),
        )
        .into_response();
    };
    let target = parts
        .uri
        .path_and_query()
        .map_or_else(|| "/".to_owned(), ToString::to_string);
    let asked = Asked {
        method: parts.method,
        target,
        headers: parts.headers,
        body: body.to_bytes(),
    };
    answer.answer(asked).await.into_response()
}

/// Sends one plain HTTP request and reads status and JSON answer; for preparing a server, so it blocks and reuses nothing.
pub(crate) fn call(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &serde_json::Value,
) -> anyhow::Result<(u16, serde_json::Value)> {
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() {
        Bytes::new()
    } else {
        Bytes::from(body.to_string())
    };
    let request = request.body(Full::new(body)).context("making a request")?;
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .context("making a runtime")?;
                runtime.block_on(exchange(address, request))
            })
            .join()
            .map_err(|_| anyhow!("a request to a test server panicked"))?
    })
}

async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(u16, serde_json::Value)> {
    let stream = TcpStream::connect(address)
        .await
        .context("connecting to a test server")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .context("opening a connection")?;
    tokio::spawn(connection);
    let response = sender
        .send_request(request)
        .await
        .context("asking a test server")?;
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .collect()
        .await
        .context("reading an answer")?
        .to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

/// The parameters of a query or a form, decoded.
pub(crate) type Query = BTreeMap<String, String>;

/// Path and query of a request, the query decoded.
pub(crate) fn split(target: &str) -> (String, Query) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (path.to_owned(), parameters(query))
}

/// The parameters of a query, or of a body that is a form.
pub(crate) fn parameters(text: &str) -> Query {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    };
    text.split('&')
        .filter(|p| !p.is_empty())
        .map(pair)
        .collect()
}

fn decode(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let hex = (byte == b'%')
            .then(|| after.get(..2).and_then(|two| hex::decode(two).ok()))
            .flatten();
        match hex {
            Some(byte) => {
                out.extend(byte);
                rest = &after[2..];
            }
            None => {
                out.push(if byte == b'+' { b' ' } else { byte });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
