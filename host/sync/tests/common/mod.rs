//! A plugin host and credentials of our own traits that answer from memory and count what they are asked.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "a fake that is used wrongly ends its test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use postern_api::external_secret::StoreKind;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::plan::{self, Read, Wanted};
use postern_core::plugin::*;
use postern_core::secret::SecretValue;
use postern_core::store::{self, Store, StoreId};
use postern_sync::{
    Credentials, Doors, ObjectKind, ObjectName, Pending, Resolved, Settings, Version, Whole,
};
use serde_json::{Value, json};
use tokio::time::Instant;

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);

/// What the fake backend and its plugins have seen and hold.
#[derive(Default)]
pub struct World {
    /// Values by key; `*` stands for the credential that asks.
    pub values: BTreeMap<String, String>,
    /// Keys that are refused with whatever session.
    pub denied: BTreeSet<String>,
    /// Passwords that the backend accepts; all if empty.
    pub accepted: BTreeSet<String>,
    pub life: Option<Duration>,
    pub renewable: bool,
    /// Live sessions: token to the password it was made with.
    pub sessions: BTreeMap<String, String>,
    pub logins: Vec<Call>,
    pub login_failure: Option<Failure>,
    pub renewals: usize,
    pub closed: Vec<String>,
    pub close_hangs: bool,
    pub reads: Vec<(Call, Vec<Request>)>,
    /// Searches: who asked, what, and from where on.
    pub finds: Vec<(Call, Query, Option<String>)>,
    /// Hits on one page; all if 0.
    pub page_size: usize,
    /// The list brings the values along.
    pub inline: bool,
    /// Names become keys before any rewrite.
    pub convert_names: bool,
    pub find_failure: Option<Failure>,
    pub probes: Vec<Call>,
    pub probe_takes: Duration,
    pub examined: Vec<Vec<Credential>>,
    pub next_token: usize,
    /// Jobs of each call of the template engine.
    pub renders: Vec<Vec<RenderJob>>,
}

#[derive(Default)]
pub struct FakeHost(pub Mutex<World>);

impl FakeHost {
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

fn revision(key: &str) -> Revision {
    let reference = |kind: &str| json!({"type": "object", "x-postern-ref": kind});
    let ask = |kind: &str, what: &str| Ask {
        kind: kind.into(),
        what: what.into(),
        why: String::new(),
    };
    Revision {
        digest: Digest::of(key.as_bytes()),
        descriptor: Descriptor {
            name: key.into(),
            version: "1".into(),
            serves: vec![key.into()],
            config_schema: json!({"type": "object", "properties": {
                "url": {"type": "string"},
                "password": reference("secret-key"),
                "certificate": reference("secret-key"),
                "certificateKey": reference("secret-key"),
                "ca": reference("ca-provider"),
                "account": reference("service-account"),
                "perNamespace": {"type": "boolean"},
                "ambient": {"type": "array", "items": {"type": "string"}},
            }}),
            asks: match key {
                // It has no door: what it knows stands in the store.
                "closed" => vec![],
                _ => vec![
                    ask("host", "*.corp:8200"),
                    ask("host", "169.254.169.254"),
                    ask("ambient-identity", "env:WHO"),
                    ask("ambient-identity", "file:TOKEN_FILE"),
                    ask("environment", "env:ENDPOINT"),
                ],
            },
            batch_size: 0,
            summary: String::new(),
            options: Vec::new(),
        },
        has_login: !matches!(key, "plain" | "closed"),
        has_find: key != "blind",
        is_engine: key == "go",
        bundled: true,
        permits: postern_core::grant::Permits::All,
        fallback: None,
    }
}

fn failure(code: Code) -> Failure {
    Failure::new(
        Stage::Fetch,
        code,
        format!("the fake backend says {}", code.label()),
    )
}

fn password(call: &Call) -> String {
    let of = |pointer: &str| call.credentials.iter().find(|c| c.pointer == pointer);
    let found = of("/password").or_else(|| of("/account"));
    found
        .map(|c| String::from_utf8(c.value.expose().to_vec()).unwrap())
        .unwrap_or_default()
}

fn session(call: &Call) -> Option<String> {
    call.session
        .as_ref()
        .map(|s| String::from_utf8(s.expose().to_vec()).unwrap())
}

impl World {
    /// The password behind a call, or that it is not accepted.
    fn who(&self, call: &Call) -> Option<String> {
        let who = match session(call) {
            Some(token) => self.sessions.get(&token).cloned()?,
            None => password(call),
        };
        (self.accepted.is_empty() || self.accepted.contains(&who)).then_some(who)
    }

    /// One page of what lies below the query's path, without a look at names.
    fn page(&self, call: &Call, query: &Query, after: Option<&str>) -> Result<Page, Failure> {
        if self.who(call).is_none() {
            return Err(failure(Code::Unauthenticated));
        }
        if let Some(failure) = &self.find_failure {
            return Err(failure.clone());
        }
        let path = query.path.as_deref().unwrap_or_default();
        let most = if self.page_size == 0 {
            usize::MAX
        } else {
            self.page_size
        };
        let rest = self.values.iter().filter(|(key, _)| {
            key.starts_with(path) && after.is_none_or(|after| key.as_str() > after)
        });
        let found: Vec<Found> = rest
            .take(most)
            .map(|(key, value)| Found {
                key: key.clone(),
                name: None,
                version: None,
                value: self.inline.then(|| value.as_str().into()),
            })
            .collect();
        let next = (found.len() == most).then(|| found[most - 1].key.clone());
        Ok(Page {
            found,
            next,
            names_applied: false,
            convert_names: self.convert_names,
        })
    }

    fn answer(&self, call: &Call, request: &Request) -> Answer {
        let Some(who) = self.who(call) else {
            return Answer::Failed(failure(Code::Unauthenticated));
        };
        if self.denied.contains(&request.key) {
            return Answer::Failed(failure(Code::Unauthenticated));
        }
        let Some(value) = self.values.get(&request.key) else {
            return Answer::Failed(failure(Code::Absent));
        };
        let namespace = call.namespace.as_deref().unwrap_or("-");
        let value = value.replace('*', &who).replace('@', namespace);
        Answer::Parts(
            request
                .picks
                .iter()
                .map(|_| Part::Value(value.as_str().into()))
                .collect(),
        )
    }
}

impl PluginHost for FakeHost {
    fn provider(&self, key: &str) -> Result<Arc<Revision>, Failure> {
        Ok(Arc::new(revision(key)))
    }

    fn engine(&self, name: &str) -> Result<Arc<Revision>, Failure> {
        Ok(Arc::new(revision(name)))
    }

    fn examine<'a>(
        &'a self,
        _: &'a Digest,
        config: &'a str,
        credentials: &'a [Credential],
        _: &'a Options,
    ) -> Answering<'a, Result<Needs, Vec<Problem>>> {
        Box::pin(async move {
            self.world().examined.push(credentials.to_vec());
            let config: Value = serde_json::from_str(config).unwrap();
            let fields = ["password", "certificate", "certificateKey", "ca", "account"];
            let wants: Vec<String> = config
                .get("wants")
                .and_then(Value::as_str)
                .map(str::to_owned)
                .into_iter()
                .collect();
            let references = fields
                .iter()
                .filter(|f| config.get(**f).is_some())
                .map(|f| Reference {
                    pointer: format!("/{f}"),
                    audiences: wants.clone(),
                    expires_in_s: None,
                    default_key: None,
                });
            let ambient = config["ambient"].as_array().cloned().unwrap_or_default();
            let ambient = ambient.into_iter().map(|pointer| Reference {
                pointer: pointer.as_str().unwrap().into(),
                audiences: vec![],
                expires_in_s: None,
                default_key: None,
            });
            let material = |f: &str| config.get(f).map(|_| Material::Pointer(format!("/{f}")));
            let endpoints = config
                .get("url")
                .and_then(Value::as_str)
                .map(|url| Endpoint {
                    origin: url.into(),
                    ca: material("ca"),
                    client_certificate: material("certificate"),
                    client_key: material("certificateKey"),
                    server_name: None,
                });
            Ok(Ok(Needs {
                per_namespace: config.get("perNamespace") == Some(&json!(true)),
                references: references.chain(ambient).collect(),
                endpoints: endpoints.into_iter().collect(),
            }))
        })
    }

    fn probe<'a>(&'a self, call: &'a Call) -> Answering<'a, ()> {
        Box::pin(async move {
            let takes = self.world().probe_takes;
            tokio::time::sleep(takes).await;
            let mut world = self.world();
            world.probes.push(call.clone());
            world
                .who(call)
                .map(|_| ())
                .ok_or_else(|| failure(Code::Unauthenticated))
        })
    }

    fn login<'a>(&'a self, call: &'a Call) -> Answering<'a, Session> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut world = self.world();
            world.logins.push(call.clone());
            if let Some(failure) = &world.login_failure {
                return Err(failure.clone());
            }
            let who = password(call);
            if !world.accepted.is_empty() && !world.accepted.contains(&who) {
                return Err(failure(Code::Unauthenticated));
            }
            world.next_token += 1;
            let token = format!("t{}", world.next_token);
            world.sessions.insert(token.clone(), who);
            Ok(Session {
                token: token.into(),
                expires_in: world.life,
            })
        })
    }

    fn renew<'a>(&'a self, call: &'a Call) -> Answering<'a, Session> {
        Box::pin(async move {
            let mut world = self.world();
            world.renewals += 1;
            match session(call).filter(|_| world.renewable) {
                Some(token) => Ok(Session {
                    token: token.into(),
                    expires_in: world.life,
                }),
                None => Err(failure(Code::Denied)),
            }
        })
    }

    fn close<'a>(&'a self, call: &'a Call) -> Answering<'a, ()> {
        Box::pin(async move {
            if self.world().close_hangs {
                std::future::pending::<()>().await;
            }
            let mut world = self.world();
            let token = session(call).unwrap();
            world.sessions.remove(&token);
            world.closed.push(token);
            Ok(())
        })
    }

    fn read<'a>(&'a self, call: &'a Call, requests: &'a [Request]) -> Answering<'a, Vec<Outcome>> {
        Box::pin(async move {
            let outcomes = {
                let mut world = self.world();
                world.reads.push((call.clone(), requests.to_vec()));
                requests
                    .iter()
                    .map(|r| Outcome {
                        answer: world.answer(call, r),
                        tag: None,
                    })
                    .collect()
            };
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(outcomes)
        })
    }

    fn find<'a>(
        &'a self,
        call: &'a Call,
        query: &'a Query,
        after: Option<&'a str>,
    ) -> Answering<'a, Page> {
        Box::pin(async move {
            let page = {
                let mut world = self.world();
                let asked = (call.clone(), query.clone(), after.map(str::to_owned));
                world.finds.push(asked);
                world.page(call, query, after)
            };
            tokio::time::sleep(Duration::from_millis(10)).await;
            page
        })
    }

    fn render<'a>(
        &'a self,
        _: &'a Digest,
        jobs: &'a [RenderJob],
        _: &'a Options,
    ) -> Answering<'a, Vec<Rendered>> {
        Box::pin(async move {
            let mut templates = jobs.iter().flat_map(|job| &job.templates);
            if templates.any(|t| t.source == "endless") {
                let what = "plugin toy used more than 30 s of CPU time in render";
                return Err(Failure::new(Stage::Render, Code::LimitExceeded, what));
            }
            self.world().renders.push(jobs.to_vec());
            let render = |job: &RenderJob, t: &Template| {
                let mut text = t.source.replace("{{ .a }}", "A");
                for datum in &job.data {
                    let value = std::str::from_utf8(datum.value.expose()).unwrap();
                    text = text.replace(&format!("{{{{ .{} }}}}", datum.path.join(".")), value);
                }
                Ok(SecretValue::from(text))
            };
            Ok(jobs
                .iter()
                .map(|job| job.templates.iter().map(|t| render(job, t)).collect())
                .collect())
        })
    }
}

/// Secrets by namespace and name, each with its bytes and its version.
#[derive(Default)]
pub struct FakeCredentials {
    pub secrets: Mutex<BTreeMap<(String, String), (String, u64)>>,
    pub resolved: Mutex<usize>,
    pub versions: Mutex<usize>,
    pub tokens: Mutex<usize>,
}

impl FakeCredentials {
    pub fn set(&self, namespace: &str, name: &str, value: &str) {
        let mut secrets = self.secrets.lock().unwrap();
        let entry = secrets.entry((namespace.into(), name.into())).or_default();
        *entry = (value.into(), entry.1 + 1);
    }

    pub fn remove(&self, namespace: &str, name: &str) {
        self.secrets
            .lock()
            .unwrap()
            .remove(&(namespace.into(), name.into()));
    }

    fn get(&self, namespace: &str, name: &str) -> Result<Resolved, Failure> {
        *self.resolved.lock().unwrap() += 1;
        let secrets = self.secrets.lock().unwrap();
        let (value, version) = secrets
            .get(&(namespace.to_owned(), name.to_owned()))
            .ok_or_else(|| {
                Failure::new(
                    Stage::Login,
                    Code::CredentialMissing,
                    format!("Secret {namespace}/{name} is missing"),
                )
            })?;
        Ok(Resolved {
            value: value.as_str().into(),
            object: ObjectName {
                kind: ObjectKind::Secret,
                namespace: namespace.into(),
                name: name.into(),
            },
            version: Version {
                uid: "u".into(),
                resource_version: version.to_string(),
            },
            attributes: vec![],
        })
    }
}

impl Credentials for FakeCredentials {
    fn secret_key<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        _: Option<&'a str>,
    ) -> Answering<'a, Resolved> {
        Box::pin(async move { self.get(namespace, name) })
    }

    fn secret<'a>(&'a self, namespace: &'a str, name: &'a str) -> Answering<'a, Whole> {
        Box::pin(async move {
            let one = self.get(namespace, name)?;
            Ok(Whole {
                keys: vec![("key".into(), one.value)],
                labels: vec![],
                object: one.object,
                version: one.version,
            })
        })
    }

    fn config_map_key<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        _: &'a str,
    ) -> Answering<'a, Resolved> {
        Box::pin(async move { self.get(namespace, name) })
    }

    fn service_account_token<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        _: &'a [String],
        _: Option<u32>,
    ) -> Answering<'a, Resolved> {
        Box::pin(async move {
            let mut tokens = self.tokens.lock().unwrap();
            *tokens += 1;
            Ok(Resolved {
                value: format!("jwt{tokens}").into(),
                object: ObjectName {
                    kind: ObjectKind::ServiceAccount,
                    namespace: namespace.into(),
                    name: name.into(),
                },
                version: Version {
                    uid: "sa".into(),
                    resource_version: "1".into(),
                },
                attributes: vec![("role".into(), "r".into())],
            })
        })
    }

    fn contents<'a>(
        &'a self,
        object: &'a ObjectName,
    ) -> Answering<'a, Option<BTreeMap<String, SecretValue>>> {
        Box::pin(async move {
            let found = self.get(&object.namespace, &object.name).ok();
            Ok(found.map(|found| BTreeMap::from([("template".to_owned(), found.value)])))
        })
    }

    fn version<'a>(&'a self, object: &'a ObjectName) -> Answering<'a, Option<Version>> {
        Box::pin(async move {
            *self.versions.lock().unwrap() += 1;
            if object.kind == ObjectKind::ServiceAccount {
                return Ok(Some(Version {
                    uid: "sa".into(),
                    resource_version: "1".into(),
                }));
            }
            let secrets = self.secrets.lock().unwrap();
            let found = secrets.get(&(object.namespace.clone(), object.name.clone()));
            Ok(found.map(|(_, version)| Version {
                uid: "u".into(),
                resource_version: version.to_string(),
            }))
        })
    }
}

#[derive(Default)]
pub struct Syncs(pub Mutex<Option<Instant>>);

impl Pending for Syncs {
    fn oldest_due(&self) -> Option<Instant> {
        *self.0.lock().unwrap()
    }
}

pub struct Desk {
    pub doors: Doors,
    pub host: Arc<FakeHost>,
    pub credentials: Arc<FakeCredentials>,
}

pub fn desk() -> Desk {
    desk_with(Settings {
        directories: BTreeMap::from([("etc".into(), "/etc".into())]),
        ..Settings::default()
    })
}

pub fn desk_with(settings: Settings) -> Desk {
    let (host, credentials) = (
        Arc::new(FakeHost::default()),
        Arc::new(FakeCredentials::default()),
    );
    let doors = Doors::new(
        host.clone(),
        credentials.clone(),
        Arc::new(Syncs::default()),
        settings,
    )
    .unwrap();
    Desk {
        doors,
        host,
        credentials,
    }
}

pub fn store_in(kind: StoreKind, generation: i64, provider: Value) -> Arc<Store> {
    let spec = serde_json::from_value(json!({ "provider": provider })).unwrap();
    Arc::new(
        store::parse(
            StoreId::from_ref(kind, "s", "team"),
            "uid".into(),
            generation,
            &spec,
        )
        .unwrap(),
    )
}

pub fn own(provider: Value) -> Arc<Store> {
    store_in(StoreKind::SecretStore, 1, provider)
}

pub fn cluster(provider: Value) -> Arc<Store> {
    store_in(StoreKind::ClusterSecretStore, 1, provider)
}

impl Desk {
    /// Reads keys of a store on behalf of a namespace, due now.
    pub async fn read(
        &self,
        store: &Arc<Store>,
        namespace: &str,
        keys: &[&str],
    ) -> Vec<Result<String, Code>> {
        let doors = self.doors.clone();
        read(&doors, store, namespace, keys).await
    }
}

impl Desk {
    pub fn renewals_and_logins(&self) -> (usize, usize) {
        let world = self.host.world();
        (world.renewals, world.logins.len())
    }
}

pub async fn read(
    doors: &Doors,
    store: &Arc<Store>,
    namespace: &str,
    keys: &[&str],
) -> Vec<Result<String, Code>> {
    read_due(doors, store, namespace, keys, Instant::now()).await
}

pub async fn read_due(
    doors: &Doors,
    store: &Arc<Store>,
    namespace: &str,
    keys: &[&str],
    due: Instant,
) -> Vec<Result<String, Code>> {
    let stores = BTreeMap::from([(store.id.clone(), store.clone())]);
    let reads: Vec<Read> = keys.iter().map(|key| whole(store, key)).collect();
    let answers = doors.fetch(&stores, &reads, namespace, due).await;
    let text = |part| match part {
        Part::Value(value) => String::from_utf8(value.expose().to_vec()).unwrap(),
        other => panic!("not a value: {other:?}"),
    };
    answers
        .into_iter()
        .map(|answer| answer.map(text).map_err(|f| f.code))
        .collect()
}

/// A read of the whole object.
pub fn whole(store: &Store, key: &str) -> Read {
    let pick = Pick {
        property: None,
        members: false,
    };
    Read {
        store: store.id.clone(),
        within: None,
        wanted: Wanted::Object(plan::Object {
            key: key.into(),
            version: None,
            metadata: false,
            pick,
        }),
    }
}

pub fn ok(text: &str) -> Result<String, Code> {
    Ok(text.to_owned())
}
