//! AWS for tests: a server of moto, and before it a gate that counts what is asked and answers by itself where a test wants what
//! moto cannot do: throttle, fail, or refuse one operation.
//!
//! moto keeps secrets, parameters, users, roles and policies, and with [`Aws::enforce`] it checks each signature by AWS's own library
//! and each permission by the policies. What the gate answers has the bodies that AWS documents.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::child::Server;
use crate::http_server::{Answer, Answering, Asked, HttpServer, Reply, Transport};
use crate::tools;

/// The region that tests use.
pub const REGION: &str = "eu-central-1";

/// The account that moto is.
pub const ACCOUNT: &str = "123456789012";

/// An access key of a user.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

/// What the gate answers instead of moto.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The error's name.
    pub name: String,
    /// AWS's words.
    pub words: String,
    /// Seconds in `Retry-After`.
    pub retry_after: Option<u64>,
}

#[derive(Default)]
struct State {
    /// By the start of `Operation` or `Operation name-of-the-object`.
    refusals: BTreeMap<String, Refusal>,
    asked: Vec<String>,
}

struct Gate {
    behind: SocketAddr,
    state: Mutex<State>,
}

/// A running server.
pub struct Aws {
    front: HttpServer,
    gate: Arc<Gate>,
    _moto: Server,
}

impl Aws {
    /// Starts an empty account in which everybody may do everything.
    pub fn start() -> anyhow::Result<Self> {
        let requirements =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/moto/requirements.txt");
        let program = tools::python(&requirements)?.with_file_name("moto_server");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .context("finding a free port")?
            .port();
        let folder = tempfile::tempdir().context("making a folder for moto")?;
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let moto = Server::start(folder, &mut command)?;
        let behind = SocketAddr::from(([127, 0, 0, 1], port));
        wait(&moto, behind)?;
        let gate = Arc::new(Gate {
            behind,
            state: Mutex::default(),
        });
        Ok(Self {
            front: HttpServer::start(Transport::Http, gate.clone())?,
            gate,
            _moto: moto,
        })
    }

    /// Where all services listen.
    pub fn url(&self) -> &str {
        self.front.url()
    }

    /// From now on signatures and permissions are checked, or no more.
    pub fn enforce(&self, on: bool) -> anyhow::Result<()> {
        let text = if on { "0" } else { "inf" };
        let reply = self.send("/moto-api/reset-auth", &[], text.to_owned())?;
        if reply.status != 200 {
            bail!("moto did not switch its checks: status {}", reply.status);
        }
        Ok(())
    }

    /// An operation of a service that speaks JSON, as somebody who may do everything.
    pub fn json(&self, service: &str, operation: &str, body: &Value) -> anyhow::Result<Value> {
        let target = match service {
            "ssm" => format!("AmazonSSM.{operation}"),
            _ => format!("{service}.{operation}"),
        };
        let headers = [
            ("x-amz-target", target.as_str()),
            ("content-type", "application/x-amz-json-1.1"),
            ("authorization", &anybody(service)),
        ];
        let reply = self.send("/", &headers, body.to_string())?;
        if reply.status != 200 {
            bail!("{operation}: {}", String::from_utf8_lossy(&reply.body));
        }
        Ok(serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    /// An operation of a service that speaks forms and XML.
    pub fn form(&self, service: &str, fields: &[(&str, &str)]) -> anyhow::Result<String> {
        let encoded: Vec<String> = fields
            .iter()
            .map(|(n, v)| format!("{n}={}", encode(v)))
            .collect();
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", &anybody(service)),
        ];
        let reply = self.send("/", &headers, encoded.join("&"))?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        if reply.status != 200 {
            bail!("{fields:?}: {text}");
        }
        Ok(text)
    }

    /// A user with a policy, and a key of it.
    pub fn user(&self, name: &str, policy: &Value) -> anyhow::Result<AccessKey> {
        let version = ("Version", "2010-05-08");
        self.form(
            "iam",
            &[("Action", "CreateUser"), version, ("UserName", name)],
        )?;
        let document = policy.to_string();
        let put = [
            ("Action", "PutUserPolicy"),
            version,
            ("UserName", name),
            ("PolicyName", "p"),
            ("PolicyDocument", &document),
        ];
        self.form("iam", &put)?;
        let xml = self.form(
            "iam",
            &[("Action", "CreateAccessKey"), version, ("UserName", name)],
        )?;
        Ok(AccessKey {
            id: between(&xml, "AccessKeyId")?,
            secret: between(&xml, "SecretAccessKey")?,
        })
    }

    /// A role that everybody may assume, with a policy; its ARN.
    pub fn role(&self, name: &str, policy: &Value) -> anyhow::Result<String> {
        let version = ("Version", "2010-05-08");
        let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]});
        let trust = trust.to_string();
        let create = [
            ("Action", "CreateRole"),
            version,
            ("RoleName", name),
            ("AssumeRolePolicyDocument", &trust),
        ];
        let xml = self.form("iam", &create)?;
        let document = policy.to_string();
        let put = [
            ("Action", "PutRolePolicy"),
            version,
            ("RoleName", name),
            ("PolicyName", "p"),
            ("PolicyDocument", &document),
        ];
        self.form("iam", &put)?;
        between(&xml, "Arn")
    }

    /// Refuses an operation (`GetSecretValue`), or it for one object (`GetSecretValue name`); an empty text refuses all.
    pub fn refuse(&self, what: &str, refusal: Refusal) {
        self.state().refusals.insert(what.to_owned(), refusal);
    }

    /// Takes back all refusals.
    pub fn recover(&self) {
        self.state().refusals.clear();
    }

    /// Operations that were asked for since this was asked last.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.gate
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Straight to moto, past the gate.
    fn send(&self, target: &str, headers: &[(&str, &str)], body: String) -> anyhow::Result<Reply> {
        let mut request = Request::post(target).header("host", self.gate.behind.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .context("making a request")?;
        let behind = self.gate.behind;
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(exchange(behind, request))
        };
        std::thread::spawn(run)
            .join()
            .map_err(|_| anyhow::anyhow!("a request to moto panicked"))?
    }
}

impl Answer for Gate {
    fn answer(self: Arc<Self>, asked: Asked) -> Answering {
        let what = operation(&asked);
        let refusal = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let name = what.split(' ').next().unwrap_or_default().to_owned();
            state.asked.push(name.clone());
            let all = &state.refusals;
            all.get(&what)
                .or_else(|| all.get(&name))
                .or_else(|| all.get(""))
                .cloned()
        };
        Box::pin(async move {
            if let Some(refusal) = refusal {
                return refused(&asked, &refusal);
            }
            let mut request = Request::builder().method(asked.method).uri(asked.target);
            for (name, value) in &asked.headers {
                request = request.header(name, value);
            }
            let sent = match request.body(Full::new(asked.body)) {
                Ok(request) => exchange(self.behind, request).await,
                Err(error) => Err(error.into()),
            };
            sent.unwrap_or_else(|error| Reply::json(502, &json!({"gate": error.to_string()})))
        })
    }
}

/// The operation, and the object where the request is of one.
fn operation(asked: &Asked) -> String {
    if let Some(target) = asked.header("x-amz-target") {
        let name = target.rsplit('.').next().unwrap_or_default();
        let body = asked.json();
        let object = body["SecretId"].as_str().or(body["Name"].as_str());
        return object.map_or_else(|| name.to_owned(), |object| format!("{name} {object}"));
    }
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    let action = body
        .split('&')
        .find_map(|field| field.strip_prefix("Action="));
    action.unwrap_or(&asked.target).to_owned()
}

fn refused(asked: &Asked, refusal: &Refusal) -> Reply {
    let reply = if asked.header("x-amz-target").is_some() {
        Reply::json(
            refusal.status,
            &json!({"__type": refusal.name, "message": refusal.words}),
        )
    } else {
        let (name, words) = (&refusal.name, &refusal.words);
        Reply {
            status: refusal.status,
            headers: Vec::new(),
            body: format!("<ErrorResponse><Error><Code>{name}</Code><Message>{words}</Message></Error></ErrorResponse>").into(),
        }
    };
    match refusal.retry_after {
        Some(seconds) => reply.with_header("Retry-After", seconds.to_string()),
        None => reply,
    }
}

/// The signature of nobody in particular, by which moto finds the service.
fn anybody(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=anybody/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=none"
    )
}

async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> anyhow::Result<Reply> {
    let stream = tokio::net::TcpStream::connect(address)
        .await
        .context("connecting to moto")?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.context("asking moto")?;
    let (parts, body) = response.into_parts();
    // What steers the connection is between moto and us.
    let hop = ["connection", "content-length", "transfer-encoding"];
    let headers = parts
        .headers
        .iter()
        .filter(|(n, _)| !hop.contains(&n.as_str()));
    let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    Ok(Reply {
        status: parts.status.as_u16(),
        headers: headers.filter_map(text).collect(),
        body: body
            .collect()
            .await
            .context("reading moto's answer")?
            .to_bytes(),
    })
}

fn wait(moto: &Server, address: SocketAddr) -> anyhow::Result<()> {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        if std::net::TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        if moto.has_ended() {
            bail!("moto ended: {}", moto.log_tail());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("moto did not listen within a minute: {}", moto.log_tail())
}

fn between(xml: &str, name: &str) -> anyhow::Result<String> {
    let found = xml
        .split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once("</"));
    found
        .map(|(text, _)| text.to_owned())
        .with_context(|| format!("no {name} in {xml}"))
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}
