//! A real OCI registry on a loopback port, and fronts before it that speak TLS, ask for a password, fail or lie.
//!
//! The registry keeps all in memory and goes with the value. Knows manifests and layers as bytes, nothing of plugins.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;

use crate::child::Server;
use crate::http_server::{Answer, Answering, Asked, HttpServer, Reply, Transport};
use crate::tools;

/// The layer type that is pushed today.
pub const WASM: &str = "application/wasm";
/// The type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The type of a WASM artifact's config.
pub const CONFIG: &str = "application/vnd.wasm.config.v0+json";

const START: Duration = Duration::from_secs(20);

/// A running registry; it ends with this value, or with the test process.
#[derive(Debug)]
pub struct Registry {
    /// `127.0.0.1:PORT`, as it stands in front of a repository's name. It speaks plain HTTP.
    pub address: String,
    socket: SocketAddr,
    _server: Server,
}

impl Registry {
    /// Starts an empty registry, and builds it first where that has not been done on this machine.
    pub fn start() -> anyhow::Result<Self> {
        let binary = tools::registry()?;
        let folder = tempfile::Builder::new()
            .prefix("postern-registry-")
            .tempdir()
            .context("making the folder of a registry")?;
        let server = Server::start(folder, Command::new(binary).arg("-port=0"))?;
        let port = wait_for_port(&server)?;
        let socket = SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Self {
            address: socket.to_string(),
            socket,
            _server: server,
        })
    }

    /// Pushes a component under a tag, as one layer; returns the digest of the manifest.
    pub fn put(&self, repository: &str, tag: &str, component: &[u8]) -> anyhow::Result<String> {
        self.put_layers(repository, tag, &[(WASM, component)])
    }

    /// Pushes an artifact of any layers, each with its media type; returns the digest of the manifest.
    pub fn put_layers(
        &self,
        repository: &str,
        tag: &str,
        layers: &[(&str, &[u8])],
    ) -> anyhow::Result<String> {
        let config = json!({"architecture": "wasm", "os": "wasip2"}).to_string();
        self.put_blob(repository, config.as_bytes())?;
        let mut descriptors = Vec::new();
        for (media_type, bytes) in layers {
            self.put_blob(repository, bytes)?;
            descriptors.push(descriptor(media_type, bytes));
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config.as_bytes()),
            "layers": descriptors,
        });
        self.put_manifest(repository, tag, MANIFEST, manifest.to_string().as_bytes())
    }

    /// Stores bytes by their digest.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let digest = digest(bytes);
        let target = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        self.expect(
            Method::POST,
            &target,
            &[("content-type", "application/octet-stream")],
            bytes,
        )?;
        Ok(digest)
    }

    /// Stores a manifest as it is under a tag; returns its digest.
    pub fn put_manifest(
        &self,
        repository: &str,
        tag: &str,
        media_type: &str,
        manifest: &[u8],
    ) -> anyhow::Result<String> {
        let target = format!("/v2/{repository}/manifests/{tag}");
        self.expect(
            Method::PUT,
            &target,
            &[("content-type", media_type)],
            manifest,
        )?;
        Ok(digest(manifest))
    }

    /// Lets a tag name another manifest of the repository, by its digest.
    pub fn move_tag(&self, repository: &str, tag: &str, manifest: &str) -> anyhow::Result<()> {
        let bytes = self.manifest(repository, manifest)?;
        self.put_manifest(repository, tag, MANIFEST, &bytes)?;
        Ok(())
    }

    /// The bytes of a manifest, by tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> anyhow::Result<Vec<u8>> {
        let target = format!("/v2/{repository}/manifests/{reference}");
        Ok(self
            .expect(Method::GET, &target, &[("accept", MANIFEST)], &[])?
            .to_vec())
    }

    /// A front with its own address; `Transport::Https` gives it a certificate of a private authority.
    pub fn front(&self, transport: Transport) -> anyhow::Result<Front> {
        Front::start(self.socket, transport)
    }

    fn expect(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Bytes> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .header("host", &self.address)
            .body(Full::new(Bytes::copy_from_slice(body)))
            .context("making a request")?;
        let reply = block_on(exchange(self.socket, request))?;
        if !(200..300).contains(&reply.status) {
            bail!(
                "the registry answered {} to {target}: {}",
                reply.status,
                String::from_utf8_lossy(&reply.body)
            );
        }
        Ok(reply.body)
    }
}

/// What a front does beside passing requests on.
#[derive(Debug, Default)]
struct Behaviour {
    /// Digest of a blob or manifest, and what is sent in its place.
    tampered: BTreeMap<String, Bytes>,
    /// Answers to the next requests: status and `Retry-After`.
    failures: VecDeque<(u16, Option<String>)>,
    /// The `Authorization` header that is asked for.
    authorization: Option<String>,
    /// What is in method and path of requests that get no answer for now.
    held: Option<String>,
    /// Every answer is this status.
    away: Option<u16>,
    /// How many requests wait.
    waiting: usize,
    /// Method and path of each request.
    asked: Vec<String>,
}

/// A server before a registry: counts, and on demand asks for a password, fails, keeps silent or changes bytes.
#[derive(Debug)]
pub struct Front {
    /// `127.0.0.1:PORT`, as it stands in front of a repository's name.
    pub address: String,
    server: HttpServer,
    forward: Arc<Forward>,
}

impl Front {
    fn start(registry: SocketAddr, transport: Transport) -> anyhow::Result<Self> {
        let forward = Arc::new(Forward {
            registry,
            behaviour: Mutex::default(),
        });
        let server = HttpServer::start(transport, Arc::clone(&forward) as Arc<dyn Answer>)?;
        let address = server
            .url()
            .split_once("://")
            .map(|(_, address)| address.to_owned())
            .context("a server without an address")?;
        Ok(Self {
            address,
            server,
            forward,
        })
    }

    /// The authority that a client has to trust.
    pub fn ca_pem(&self) -> Option<&str> {
        self.server.ca_pem()
    }

    /// From now on the bytes of this digest, blob or manifest, are others.
    pub fn tamper(&self, digest: &str, bytes: &[u8]) {
        self.forward
            .behaviour()
            .tampered
            .insert(digest.to_owned(), Bytes::copy_from_slice(bytes));
    }

    /// From now on the registry tells the truth again.
    pub fn heal(&self) {
        self.forward.behaviour().tampered.clear();
    }

    /// The next request is answered by this status, and by `Retry-After` where given. Many add up.
    pub fn fail_next(&self, status: u16, retry_after: Option<&str>) {
        self.forward
            .behaviour()
            .failures
            .push_back((status, retry_after.map(str::to_owned)));
    }

    /// From now on only this user with this password gets answers.
    pub fn require_basic(&self, user: &str, password: &str) {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        self.forward.behaviour().authorization = Some(format!("Basic {pair}"));
    }

    /// From now on requests with this text in `METHOD /path` get no answer, until [`Front::release`].
    pub fn hold(&self, text: &str) {
        self.forward.behaviour().held = Some(text.to_owned());
    }

    /// Whether a request waits for its answer.
    pub fn is_waited_for(&self) -> bool {
        self.forward.behaviour().waiting > 0
    }

    /// Answers what waits, and holds nothing any more.
    pub fn release(&self) {
        self.forward.behaviour().held = None;
    }

    /// From now on every request is answered by this status; none for the registry's own answers.
    pub fn answer_all(&self, status: Option<u16>) {
        self.forward.behaviour().away = status;
    }

    /// Method and path of each request so far, in order.
    pub fn asked(&self) -> Vec<String> {
        self.forward.behaviour().asked.clone()
    }
}

#[derive(Debug)]
struct Forward {
    registry: SocketAddr,
    behaviour: Mutex<Behaviour>,
}

impl Forward {
    fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer that does not come from the registry.
    fn own_answer(&self, asked: &Asked) -> Option<Reply> {
        let mut behaviour = self.behaviour();
        let path = asked.target.split('?').next().unwrap_or_default();
        behaviour.asked.push(format!("{} {path}", asked.method));
        if let Some((status, retry_after)) = behaviour.failures.pop_front() {
            let errors = match status {
                429 => json!([{"code": "TOOMANYREQUESTS", "message": "slow down"}]),
                _ => json!([]),
            };
            let reply = Reply::json(status, &json!({"errors": errors}));
            return Some(match retry_after {
                Some(value) => reply.with_header("Retry-After", value),
                None => reply,
            });
        }
        if let Some(status) = behaviour.away {
            return Some(Reply::json(status, &json!({"errors": []})));
        }
        let wanted = behaviour.authorization.as_deref();
        if wanted.is_some() && asked.header("authorization") != wanted {
            let body = json!({"errors": [{"code": "UNAUTHORIZED", "message": "who are you"}]});
            return Some(
                Reply::json(401, &body)
                    .with_header("WWW-Authenticate", "Basic realm=\"test registry\""),
            );
        }
        None
    }

    /// Waits while requests of this kind are held.
    async fn held(&self, asked: &Asked) {
        let line = format!("{} {}", asked.method, asked.target);
        let holds = || {
            let behaviour = self.behaviour();
            behaviour
                .held
                .as_ref()
                .is_some_and(|text| line.contains(text.as_str()))
        };
        if !holds() {
            return;
        }
        let _waits = Waits::new(self);
        while holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn tampered(&self, target: &str) -> Option<Bytes> {
        let digest = target.rsplit('/').next()?;
        self.behaviour().tampered.get(digest).cloned()
    }
}

/// Counts a request among those that wait; also where its client goes away.
struct Waits<'a>(&'a Forward);

impl<'a> Waits<'a> {
    fn new(forward: &'a Forward) -> Self {
        forward.behaviour().waiting += 1;
        Self(forward)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.behaviour().waiting -= 1;
    }
}

/// The headers that a registry's client reads.
const PASSED_UP: [&str; 4] = ["accept", "content-type", "content-range", "authorization"];
const PASSED_DOWN: [&str; 5] = [
    "content-type",
    "docker-content-digest",
    "location",
    "range",
    "docker-upload-uuid",
];

impl Answer for Forward {
    fn answer(self: Arc<Self>, asked: Asked) -> Answering {
        Box::pin(async move {
            self.held(&asked).await;
            if let Some(reply) = self.own_answer(&asked) {
                return reply;
            }
            let head = asked.method == Method::HEAD;
            let tampered = self.tampered(&asked.target);
            match pass_on(self.registry, asked).await {
                Ok(passed) => {
                    let mut reply = passed.into_reply(head);
                    if let (Some(bytes), false) = (tampered, head) {
                        reply.body = bytes;
                    }
                    reply
                }
                Err(error) => Reply::json(502, &json!({"errors": [format!("{error:#}")]})),
            }
        })
    }
}

async fn pass_on(registry: SocketAddr, asked: Asked) -> anyhow::Result<Passed> {
    let mut request = Request::builder()
        .method(asked.method)
        .uri(&asked.target)
        .header("host", registry.to_string());
    for name in PASSED_UP {
        if let Some(value) = asked.headers.get(name) {
            request = request.header(name, value);
        }
    }
    let request = request
        .body(Full::new(asked.body))
        .context("making a request")?;
    exchange(registry, request).await
}

/// What the registry said.
struct Passed {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Passed {
    fn into_reply(self, head: bool) -> Reply {
        let length = head.then_some("content-length");
        let headers = PASSED_DOWN
            .into_iter()
            .chain(length)
            .filter_map(|name| {
                let value = self.headers.get(name)?.to_str().ok()?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect();
        Reply {
            status: self.status,
            headers,
            body: self.body,
        }
    }
}

async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> anyhow::Result<Passed> {
    let stream = TcpStream::connect(address)
        .await
        .context("connecting to the test registry")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .context("opening a connection")?;
    tokio::spawn(connection);
    let (parts, body) = sender
        .send_request(request)
        .await
        .context("asking the test registry")?
        .into_parts();
    let body = body
        .collect()
        .await
        .context("reading an answer")?
        .to_bytes();
    Ok(Passed {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    })
}

/// Runs on a thread of its own: the caller may be inside a runtime already.
fn block_on<T: Send>(work: impl Future<Output = anyhow::Result<T>> + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .context("making a runtime")?
                    .block_on(work)
            })
            .join()
            .map_err(|_| anyhow!("a request to the test registry panicked"))?
    })
}

/// The registry chooses a free port itself and tells it in its log.
fn wait_for_port(server: &Server) -> anyhow::Result<u16> {
    let started = Instant::now();
    loop {
        let log = fs::read_to_string(server.folder().join("log")).unwrap_or_default();
        if let Some(port) = port_in(&log) {
            return Ok(port);
        }
        if server.has_ended() || started.elapsed() > START {
            bail!(
                "the test registry did not start; its log ends with: {}",
                server.log_tail()
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn port_in(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once("serving on port ")?;
    // The line may be half written.
    rest.split_once('\n')?.0.trim().parse().ok()
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

/// `sha256:<hex>` of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_can_be_moved_and_both_manifests_stay() {
        let registry = Registry::start().unwrap();
        let first = registry.put("team/plugin", "v1", b"one").unwrap();
        let second = registry.put("team/plugin", "v2", b"two").unwrap();
        assert_ne!(first, second);
        registry.move_tag("team/plugin", "v1", &second).unwrap();
        let moved = registry.manifest("team/plugin", "v1").unwrap();
        assert_eq!(digest(&moved), second);
        assert_eq!(
            digest(&registry.manifest("team/plugin", &first).unwrap()),
            first
        );
    }

    #[test]
    fn a_half_written_port_is_not_read() {
        assert_eq!(port_in("x serving on port 12"), None);
        assert_eq!(port_in("x serving on port 1234\n"), Some(1234));
    }
}
