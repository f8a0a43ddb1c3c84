//! An HTTP server on loopback whose paths behave as their names say; hyper speaks, we only say what.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A running server; it ends with the test's runtime.
pub struct Server {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    scheme: &'static str,
}

impl Server {
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    pub async fn start_tls(config: rustls::ServerConfig) -> Self {
        Self::listen(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let scheme = if tls.is_some() { "https" } else { "http" };
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let tls = tls.clone();
                tokio::spawn(async move {
                    let service = service_fn(answer);
                    let builder = auto::Builder::new(TokioExecutor::new());
                    match tls {
                        None => _ = builder.serve_connection(TokioIo::new(tcp), service).await,
                        Some(tls) => {
                            let Ok(stream) = tls.accept(tcp).await else {
                                return;
                            };
                            _ = builder
                                .serve_connection(TokioIo::new(stream), service)
                                .await;
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections,
            scheme,
        }
    }

    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let response = hyper::Response::builder();
    let text = |text: String| Full::new(Bytes::from(text));
    let (kind, argument) = path
        .trim_start_matches('/')
        .split_once('/')
        .unwrap_or((path.trim_start_matches('/'), ""));
    let built = match kind {
        "redirect" => {
            let to = request.uri().query().unwrap_or_default().to_owned();
            response
                .status(302)
                .header("location", to)
                .body(text("moved".into()))
        }
        "slow" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            response.body(text("late".into()))
        }
        "big" => response.body(Full::new(Bytes::from(vec![
            b'b';
            argument.parse().unwrap_or(0)
        ]))),
        "many-headers" => {
            let many = (0..500).fold(response, |r, i| r.header(format!("x-{i}"), "y"));
            many.body(text("headers".into()))
        }
        "status" => response
            .status(argument.parse::<u16>().unwrap_or(500))
            .body(text("status".into())),
        "seen" => {
            let header = |name: &str| {
                request
                    .headers()
                    .get(name)
                    .map_or("-", |v| v.to_str().unwrap_or("?"))
                    .to_owned()
            };
            let version = format!("{:?}", request.version());
            response.body(text(format!(
                "{version} {} {}",
                header("user-agent"),
                header("host")
            )))
        }
        _ => response.body(text(format!("hello {path}"))),
    };
    Ok(built.unwrap())
}
