//! From an admitted endpoint to a connection: resolve, drop refused addresses, connect to a checked one, TLS.
//!
//! The name is resolved here and nowhere else, so a name that changes its address between check and use gains nothing.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use postern_core::egress::{AllowedEndpoint, Refusal};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Policy;
use super::tls::{self, TlsError};
use crate::limits;

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DoorError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the name of {0} cannot be resolved ({1})")]
    Resolve(String, String),
    #[error("{0} does not accept the connection ({1})")]
    Connect(String, String),
    #[error("the TLS handshake with {0} failed ({1})")]
    Handshake(String, String),
    #[error("{0} did not accept a connection within {1} s")]
    Slow(String, u64),
}

/// Connects to one endpoint, whatever URI it is asked for.
#[derive(Clone)]
pub struct Connector {
    endpoint: Arc<AllowedEndpoint>,
    policy: Policy,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Connector {
    pub fn new(endpoint: AllowedEndpoint, policy: Policy) -> Result<Self, DoorError> {
        let tls = match endpoint.origin.scheme.as_str() {
            "https" => Some(tls::config(&endpoint.tls, &endpoint.origin.to_string())?),
            _ => None,
        };
        Ok(Self {
            endpoint: Arc::new(endpoint),
            policy,
            tls,
        })
    }

    async fn connect(self) -> Result<Stream, DoorError> {
        let slow = || DoorError::Slow(self.endpoint.origin.to_string(), limits::CONNECT.as_secs());
        tokio::time::timeout(limits::CONNECT, self.connect_unbounded())
            .await
            .map_err(|_| slow())?
    }

    async fn connect_unbounded(&self) -> Result<Stream, DoorError> {
        let origin = &self.endpoint.origin;
        let tcp = self.tcp(&self.open_addresses().await?).await?;
        let Some(config) = &self.tls else {
            return Ok(Stream::Plain(TokioIo::new(tcp)));
        };
        let name = tls::server_name(&self.endpoint.tls, &origin.host, &origin.to_string())?;
        let stream = TlsConnector::from(config.clone())
            .connect(name, tcp)
            .await
            .map_err(|e| DoorError::Handshake(origin.to_string(), e.to_string()))?;
        Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
    }

    /// The addresses we may connect to; where none is left, why the first is refused.
    async fn open_addresses(&self) -> Result<Vec<SocketAddr>, DoorError> {
        let origin = &self.endpoint.origin;
        let unresolved = |why: String| DoorError::Resolve(origin.to_string(), why);
        let all: Vec<SocketAddr> = tokio::net::lookup_host((origin.host.as_str(), origin.port))
            .await
            .map_err(|e| unresolved(e.to_string()))?
            .collect();
        let mut refused = None;
        let mut open = Vec::with_capacity(all.len());
        for address in all {
            match self.policy.address_of(&origin.host, address.ip()) {
                Ok(()) => open.push(address),
                Err(refusal) => _ = refused.get_or_insert(refusal),
            }
        }
        match (open.is_empty(), refused) {
            (false, _) => Ok(open),
            (true, Some(refusal)) => Err(refusal.into()),
            (true, None) => Err(unresolved("it has no address".into())),
        }
    }

    async fn tcp(&self, addresses: &[SocketAddr]) -> Result<TcpStream, DoorError> {
        let mut last = String::new();
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(tcp) => {
                    // Requests are small; waiting to fill a segment only delays them.
                    let _ = tcp.set_nodelay(true);
                    return Ok(tcp);
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(DoorError::Connect(self.endpoint.origin.to_string(), last))
    }
}

impl tower_service::Service<http::Uri> for Connector {
    type Response = Stream;
    type Error = DoorError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, DoorError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DoorError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

/// A connection with or without TLS.
pub enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Tls(tls) if tls.inner().get_ref().1.alpn_protocol() == Some(b"h2") => {
                Connected::new().negotiated_h2()
            }
            _ => Connected::new(),
        }
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
