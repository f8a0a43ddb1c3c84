//! A loopback server that answers as Doppler documents its API: the download of a config's secrets, and who a token is.
//!
//! It holds what a test puts in, counts what is asked, and misbehaves on demand. A shell or a test in another language
//! steers it below `/_test/` (see [`Doppler`]). It knows JSON alone of Doppler's formats, nothing of dynamic secrets, and
//! takes over plain HTTP what the real one redirects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::http_server::{Answer, Answering, Asked, HttpServer, Query, Reply, Transport, split};

/// The path of the download.
pub const DOWNLOAD: &str = "/v3/configs/config/secrets/download";
/// The path that says who a token is.
pub const ME: &str = "/v3/me";

/// A way to misbehave, at every request of the API.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers 429, and says in whole seconds when to come again.
    TooManyRequests(Duration),
    /// Answers 503.
    Broken,
    /// Answers 403.
    Denied,
    /// Answers 401.
    Unauthenticated,
    /// Answers properly, after this time.
    Delay(Duration),
    /// Never answers.
    Hang,
    /// Answers 200 with what is no JSON.
    Garbage,
    /// Answers this status and body.
    Status(u16, Value),
}

/// The server. Everything may be changed while it runs, over HTTP too, all with POST and answered with JSON:
/// - `/_test/set?project=P&config=C&name=N`, body: the value; `/_test/remove?…` the same without a body;
/// - `/_test/service-token?token=T&project=P&config=C`; `/_test/revoke?token=T`;
/// - `/_test/fault?kind=throttle&seconds=7`, or `broken`, `denied`, `unauthenticated`, `hang`, `garbage`, `none`;
/// - `/_test/counts`: requests by path, and how many were answered `304`.
#[derive(Debug)]
pub struct Doppler {
    server: HttpServer,
    api: Arc<Api>,
}

#[derive(Debug, Default)]
struct Api {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By project and config.
    configs: BTreeMap<(String, String), Config>,
    tokens: BTreeMap<String, Rights>,
    fault: Option<Fault>,
    requests: BTreeMap<String, u64>,
    unchanged: u64,
}

#[derive(Debug, Default)]
struct Config {
    secrets: BTreeMap<String, String>,
}

/// What a token may read.
#[derive(Clone, Debug)]
enum Rights {
    /// One config, which a request need not name.
    Service { project: String, config: String },
    /// Every config of these projects.
    Account { projects: Vec<String> },
}

impl Doppler {
    /// The project, config and service token that are there from the start.
    pub const PROJECT: &'static str = "demo";
    /// See [`Doppler::PROJECT`].
    pub const CONFIG: &'static str = "dev";
    /// See [`Doppler::PROJECT`].
    pub const TOKEN: &'static str = "dp.st.dev.0123456789";

    /// Starts over plain HTTP, with the config [`Doppler::CONFIG`] of [`Doppler::PROJECT`], which has no secrets of its
    /// own yet, and [`Doppler::TOKEN`] for it.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(Transport::Http)
    }

    /// As [`Doppler::start`], over the given transport.
    pub fn start_with(transport: Transport) -> anyhow::Result<Self> {
        let api = Arc::new(Api::default());
        let server = HttpServer::start(transport, Arc::clone(&api) as Arc<dyn Answer>)?;
        let doppler = Self { server, api };
        doppler.add_config(Self::PROJECT, Self::CONFIG);
        doppler.add_service_token(Self::TOKEN, Self::PROJECT, Self::CONFIG);
        Ok(doppler)
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// What a client has to trust, where it speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.server.ca_pem()
    }

    // === what it holds ===

    /// Makes a config without secrets, and its project.
    pub fn add_config(&self, project: &str, config: &str) {
        self.api.lock().config(project, config);
    }

    /// Sets a secret, and makes its config where there is none.
    pub fn set(&self, project: &str, config: &str, name: &str, value: &str) {
        self.api.lock().set(project, config, name, value);
    }

    /// Removes a secret.
    pub fn remove(&self, project: &str, config: &str, name: &str) {
        self.api.lock().config(project, config).secrets.remove(name);
    }

    /// Removes a config with its secrets.
    pub fn remove_config(&self, project: &str, config: &str) {
        let key = (project.to_owned(), config.to_owned());
        self.api.lock().configs.remove(&key);
    }

    // === who may come in ===

    /// Lets a service token in: it reads one config, and need not name it.
    pub fn add_service_token(&self, token: &str, project: &str, config: &str) {
        self.api.lock().add_service_token(token, project, config);
    }

    /// Lets a service account's token in: it reads all configs of its projects, and has to name one.
    pub fn add_account_token(&self, token: &str, projects: &[&str]) {
        let projects = projects.iter().map(|p| (*p).to_owned()).collect();
        let rights = Rights::Account { projects };
        self.api.lock().tokens.insert(token.to_owned(), rights);
    }

    /// Forgets a token.
    pub fn revoke(&self, token: &str) {
        self.api.lock().tokens.remove(token);
    }

    // === how it misbehaves ===

    /// Misbehaves from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.api.lock().fault = Some(fault);
    }

    /// Behaves again.
    pub fn clear_fault(&self) {
        self.api.lock().fault = None;
    }

    // === what it counted ===

    /// Downloads that were asked for, whatever the answer.
    pub fn downloads(&self) -> u64 {
        let state = self.api.lock();
        state.requests.get(DOWNLOAD).copied().unwrap_or(0)
    }

    /// Downloads that were answered with 304.
    pub fn unchanged(&self) -> u64 {
        self.api.lock().unchanged
    }

    /// Requests of the API by path, without the query.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.api.lock().requests.clone()
    }

    /// Starts all counts anew.
    pub fn reset_counts(&self) {
        let mut state = self.api.lock();
        state.requests.clear();
        state.unchanged = 0;
    }
}

impl Answer for Api {
    fn answer(self: Arc<Self>, asked: Asked) -> Answering {
        Box::pin(async move {
            let (path, query) = split(&asked.target);
            if let Some(verb) = path.strip_prefix("/_test/") {
                return self.lock().steer(verb, &query, &asked.body);
            }
            match self.count(&path) {
                Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
                Some(Fault::Hang) => std::future::pending().await,
                Some(fault) => return misbehave(&fault),
                None => {}
            }
            self.lock().reply(&asked, &path, &query)
        })
    }
}

impl Api {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, path: &str) -> Option<Fault> {
        let mut state = self.lock();
        *state.requests.entry(path.to_owned()).or_default() += 1;
        state.fault.clone()
    }
}

impl State {
    fn config(&mut self, project: &str, config: &str) -> &mut Config {
        let key = (project.to_owned(), config.to_owned());
        self.configs.entry(key).or_default()
    }

    fn set(&mut self, project: &str, config: &str, name: &str, value: &str) {
        let secrets = &mut self.config(project, config).secrets;
        secrets.insert(name.to_owned(), value.to_owned());
    }

    fn add_service_token(&mut self, token: &str, project: &str, config: &str) {
        let (project, config) = (project.to_owned(), config.to_owned());
        let rights = Rights::Service { project, config };
        self.tokens.insert(token.to_owned(), rights);
    }

    fn reply(&mut self, asked: &Asked, path: &str, query: &Query) -> Reply {
        let Some(rights) = asked.token().and_then(|token| self.tokens.get(token)) else {
            return error(401, "Invalid Auth token");
        };
        let rights = rights.clone();
        match (asked.method.as_str(), path) {
            ("GET", ME) => me(&rights),
            ("GET", DOWNLOAD) => self.download(&rights, query, asked.header("if-none-match")),
            _ => error(404, "There is nothing at this path"),
        }
    }

    fn download(&mut self, rights: &Rights, query: &Query, known: Option<&str>) -> Reply {
        let format = query.get("format").map_or("json", String::as_str);
        if format != "json" {
            return error(400, "This server for tests knows the format json alone");
        }
        let (project, config) = match place(rights, query) {
            Ok(place) => place,
            Err(refusal) => return refusal,
        };
        if !self.configs.keys().any(|(p, _)| *p == project) {
            return error(
                404,
                &format!("Could not find requested project '{project}'"),
            );
        }
        let Some(found) = self.configs.get(&(project.clone(), config.clone())) else {
            return error(404, &format!("Could not find requested config '{config}'"));
        };
        let transformer = match query.get("name_transformer").map(|n| Transformer::parse(n)) {
            Some(None) => return error(400, "The name transformer is not known"),
            known => known.flatten(),
        };
        let body = found.download(&project, &config, transformer);
        let tag = format!("W/\"{}\"", hex::encode(&Sha256::digest(&body)[..12]));
        if known == Some(tag.as_str()) {
            self.unchanged += 1;
            return Reply::json(304, &Value::Null).with_header("ETag", tag);
        }
        Reply {
            body: Bytes::from(body),
            ..Reply::json(200, &Value::Null)
        }
        .with_header("ETag", tag)
    }

    fn steer(&mut self, verb: &str, query: &Query, body: &[u8]) -> Reply {
        let get = |name: &str| query.get(name).map_or("", String::as_str);
        let (project, config) = (get("project"), get("config"));
        match verb {
            "set" => {
                let value = String::from_utf8_lossy(body).into_owned();
                self.set(project, config, get("name"), &value);
            }
            "remove" => {
                self.config(project, config).secrets.remove(get("name"));
            }
            "service-token" => self.add_service_token(get("token"), project, config),
            "revoke" => {
                self.tokens.remove(get("token"));
            }
            "fault" => match fault(get("kind"), get("seconds")) {
                Ok(fault) => self.fault = fault,
                Err(reply) => return reply,
            },
            "counts" => {
                let counts = json!({"requests": self.requests, "unchanged": self.unchanged});
                return Reply::json(200, &counts);
            }
            _ => return error(404, "There is no such way to steer this server"),
        }
        Reply::json(200, &json!({"success": true}))
    }
}

impl Config {
    /// What a download answers: the secrets, and three facts that Doppler puts among them.
    fn download(&self, project: &str, config: &str, transformer: Option<Transformer>) -> String {
        let facts = [
            ("DOPPLER_PROJECT", project),
            (
                "DOPPLER_ENVIRONMENT",
                config.split('_').next().unwrap_or(config),
            ),
            ("DOPPLER_CONFIG", config),
        ];
        let facts = facts.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut all = BTreeMap::from(facts);
        all.extend(self.secrets.clone());
        let named: BTreeMap<String, String> = all
            .into_iter()
            .map(|(name, value)| (transformer.map_or(name.clone(), |t| t.apply(&name)), value))
            .collect();
        json!(named).to_string()
    }
}

/// The config that a request is about, if the token may read it.
fn place(rights: &Rights, query: &Query) -> Result<(String, String), Reply> {
    let (project, config) = (query.get("project"), query.get("config"));
    let no_access = |kind: &str, name: &str| {
        let text = format!("This token does not have access to requested {kind} '{name}'");
        Err(error(403, &text))
    };
    match rights {
        Rights::Service { project: own, .. } if project.is_some_and(|p| p != own) => {
            no_access("project", project.map_or("", String::as_str))
        }
        Rights::Service { config: own, .. } if config.is_some_and(|c| c != own) => {
            no_access("config", config.map_or("", String::as_str))
        }
        Rights::Service { project, config } => Ok((project.clone(), config.clone())),
        Rights::Account { projects } => match (project, config) {
            (None, _) => Err(error(400, "You must specify a project")),
            (_, None) => Err(error(400, "You must specify a config")),
            (Some(project), _) if !projects.contains(project) => no_access("project", project),
            (Some(project), Some(config)) => Ok((project.clone(), config.clone())),
        },
    }
}

fn me(rights: &Rights) -> Reply {
    let kind = match rights {
        Rights::Service { .. } => "service_token",
        Rights::Account { .. } => "service_account_api_token",
    };
    let body = json!({
        "workplace": {"slug": "0123456789abcdef", "name": "Tests"},
        "type": kind, "token_preview": "dp.…", "slug": "fedcba98", "name": "tests",
        "created_at": "2026-01-01T00:00:00.000Z", "last_seen_at": "2026-01-01T00:00:00.000Z",
    });
    Reply::json(200, &body)
}

/// Every error of the API has this body.
fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({"messages": [message], "success": false}))
}

fn misbehave(fault: &Fault) -> Reply {
    match fault {
        Fault::TooManyRequests(after) => error(429, "You have exceeded the rate limit")
            .with_header("Retry-After", after.as_secs().to_string()),
        Fault::Denied => error(403, "This token does not have access to requested config"),
        Fault::Unauthenticated => error(401, "Invalid Auth token"),
        Fault::Garbage => Reply {
            body: Bytes::from_static(b"<html>\xff\xfe{\"messages\":"),
            ..Reply::json(200, &Value::Null)
        },
        Fault::Status(status, body) => Reply::json(*status, body),
        // The last two take time, so whoever answers has dealt with them already.
        Fault::Broken | Fault::Delay(_) | Fault::Hang => error(503, "Doppler is unavailable"),
    }
}

fn fault(kind: &str, seconds: &str) -> Result<Option<Fault>, Reply> {
    let seconds = Duration::from_secs(seconds.parse().unwrap_or(1));
    Ok(Some(match kind {
        "none" => return Ok(None),
        "throttle" => Fault::TooManyRequests(seconds),
        "delay" => Fault::Delay(seconds),
        "broken" => Fault::Broken,
        "denied" => Fault::Denied,
        "unauthenticated" => Fault::Unauthenticated,
        "hang" => Fault::Hang,
        "garbage" => Fault::Garbage,
        _ => return Err(error(400, "There is no such fault")),
    }))
}

/// How names are rewritten on the way out.
#[derive(Clone, Copy, Debug)]
enum Transformer {
    UpperCamel,
    Camel,
    LowerSnake,
    TfVar,
    DotnetEnv,
    LowerKebab,
}

impl Transformer {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "upper-camel" => Self::UpperCamel,
            "camel" => Self::Camel,
            "lower-snake" => Self::LowerSnake,
            "tf-var" => Self::TfVar,
            "dotnet-env" => Self::DotnetEnv,
            "lower-kebab" => Self::LowerKebab,
            _ => return None,
        })
    }

    /// Names are in upper case with underscores; two underscores part the sections of a .NET setting.
    fn apply(self, name: &str) -> String {
        let lower = name.to_lowercase();
        match self {
            Self::UpperCamel => camel(&lower),
            Self::Camel => {
                let mut chars = camel(&lower).chars().collect::<Vec<_>>();
                if let Some(first) = chars.first_mut() {
                    first.make_ascii_lowercase();
                }
                chars.into_iter().collect()
            }
            Self::LowerSnake => lower,
            Self::TfVar => format!("TF_VAR_{lower}"),
            Self::DotnetEnv => lower.split("__").map(camel).collect::<Vec<_>>().join("__"),
            Self::LowerKebab => lower.replace('_', "-"),
        }
    }
}

fn camel(lower: &str) -> String {
    let word = |word: &str| {
        let mut chars = word.chars();
        let first = chars.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(chars).collect::<String>()
    };
    lower.split('_').map(word).collect()
}

#[cfg(test)]
mod tests;
