//! Runs one plugin as the host would: a store made of the fixture, its references resolved, a session opened, calls made.
//!
//! It keeps what the plugin said, for the check that nothing secret is in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postern_api::external_secret::StoreKind;
use postern_core::egress::{AddressRules, AllowedEndpoint, EgressPolicy, TlsSettings};
use postern_core::failure::{Code, Failure};
use postern_core::plugin::{
    Answer, Call, Credential, IdentityId, Needs, Options, Outcome, Part, PluginHost as _, Problem,
    Request, Revision,
};
use postern_core::store::{Store, StoreId};
use postern_runtime::Runtime;
use serde_json::Value;

use crate::Error;
use crate::backend::Backend;
use crate::fixture::{Directory, Entry, Fixture, Situation, merge};
use crate::judge;
use crate::secrecy::Secrets;

/// Time of a call in which nothing is late.
const DEADLINE: Duration = Duration::from_secs(20);

/// Why a check did not pass.
#[derive(Debug)]
pub enum Stop {
    Failed(String),
    Unsupported(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// What a check comes to.
pub type Checked = Result<(), Stop>;

/// The plugin with all that it runs on.
pub struct Bench {
    pub runtime: Runtime,
    pub revision: Arc<Revision>,
    pub fixture: Fixture,
    pub backend: Backend,
    pub secrets: Mutex<Secrets>,
    said: Mutex<Vec<String>>,
    broke: AtomicBool,
    directories: Arc<BTreeMap<String, PathBuf>>,
    _made: tempfile::TempDir,
}

/// A store as one situation has it.
pub struct Scene {
    pub store: Store,
    credentials: BTreeMap<String, String>,
}

impl Bench {
    pub fn new(
        runtime: Runtime,
        revision: Arc<Revision>,
        (fixture, folder): (Fixture, &Path),
        backend: Backend,
    ) -> Result<Self, Error> {
        let made = tempfile::tempdir().map_err(Error::Prepare)?;
        let directories = directories(&fixture, folder, made.path()).map_err(Error::Prepare)?;
        let bench = Self {
            secrets: Mutex::new(secrets(&fixture)),
            runtime,
            revision,
            fixture,
            backend,
            said: Mutex::default(),
            broke: AtomicBool::new(false),
            directories: Arc::new(directories),
            _made: made,
        };
        Ok(bench)
    }

    /// A situation of the fixture.
    pub fn situation(&self, name: &str) -> Result<&Situation, Stop> {
        match self.fixture.situations.get(name) {
            Some(Entry::Ask(situation)) => Ok(situation),
            Some(Entry::Unsupported(no)) => Err(Stop::Unsupported(no.unsupported.clone())),
            None => Err(Stop::Failed(format!(
                "the fixture says nothing of the situation {name}: say what to ask, or `unsupported` and why"
            ))),
        }
    }

    /// What the plugin said since this was asked last: messages and details of its failures, and problems.
    pub fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, text: impl Into<String>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push(text.into());
    }

    /// Whether a limit was broken since this was asked last.
    pub fn broke(&self) -> bool {
        self.broke.swap(false, Ordering::Relaxed)
    }

    /// Notes the texts of a failure.
    pub fn note_failure(&self, failure: &Failure) {
        if failure.code == Code::LimitExceeded {
            self.broke.store(true, Ordering::Relaxed);
        }
        self.note(failure.public.clone());
        if let Some(detail) = &failure.detail {
            self.note(detail.clone());
        }
    }

    /// The store of a situation; the fixture's own without one. The backend plays what belongs to it.
    pub fn scene(&self, situation: Option<&Situation>) -> Scene {
        let mut config = self.fixture.config.clone();
        let mut credentials = &self.fixture.credentials;
        let mut exchanges = Vec::new();
        if let Some(situation) = situation {
            if let Some(patch) = &situation.config {
                merge(&mut config, patch);
            }
            credentials = situation.credentials.as_ref().unwrap_or(credentials);
            exchanges.extend(situation.backend.iter().cloned());
        }
        exchanges.extend(self.fixture.backend.iter().cloned());
        self.backend.play(exchanges);
        Scene {
            store: self.store(config),
            credentials: credentials.clone(),
        }
    }

    fn store(&self, config: Value) -> Store {
        let served = self.revision.descriptor.serves.first();
        let key = self.fixture.provider_key.as_ref().or(served);
        Store {
            id: StoreId::from_ref(StoreKind::SecretStore, "conformance", "conformance"),
            uid: "conformance".to_owned(),
            generation: 1,
            controller: String::new(),
            provider_key: key.cloned().unwrap_or_default(),
            config: config.to_string().into(),
            config_value: config,
            refresh_interval: None,
            retries: Default::default(),
            conditions: Default::default(),
        }
    }

    fn options(scene: &Scene) -> Options {
        vec![("provider-key".to_owned(), scene.store.provider_key.clone())]
    }

    /// What `examine` says of a store.
    pub async fn examine(
        &self,
        scene: &Scene,
        credentials: &[Credential],
    ) -> Result<Result<Needs, Vec<Problem>>, String> {
        let digest = &self.revision.digest;
        let options = Self::options(scene);
        let answer = self
            .runtime
            .examine(digest, &scene.store.config, credentials, &options)
            .await;
        match answer {
            Ok(answer) => {
                for problem in answer.as_ref().err().into_iter().flatten() {
                    self.note(problem.message.clone());
                }
                Ok(answer)
            }
            Err(failure) => {
                self.note_failure(&failure);
                Err(judge::said(&failure))
            }
        }
    }

    /// What a store needs that must be usable.
    pub async fn needs(&self, scene: &Scene) -> Result<Needs, String> {
        let known = self.examine(scene, &[]).await?.map_err(refused)?;
        let credentials = scene.credentials(&known);
        if credentials.is_empty() {
            return Ok(known);
        }
        self.examine(scene, &credentials).await?.map_err(refused)
    }

    /// A call that has all it needs but a session.
    pub async fn call(&self, scene: &Scene) -> Result<Call, String> {
        let needs = self.needs(scene).await?;
        let origins = judge::endpoints(&self.revision.descriptor, &needs.endpoints)?;
        let endpoints = origins.into_iter().map(|origin| AllowedEndpoint {
            origin,
            tls: TlsSettings::default(),
        });
        let rules = AddressRules {
            loopback: true,
            ..AddressRules::default()
        };
        let egress = EgressPolicy {
            endpoints: endpoints.collect(),
            rules,
            ..EgressPolicy::default()
        };
        Ok(Call {
            plugin: self.revision.digest.clone(),
            // Pools hang on it: who asks with another credential has another.
            identity: IdentityId(format!("{:?} {:?}", scene.store.config, scene.credentials)),
            config: scene.store.config.clone(),
            credentials: scene.credentials(&needs),
            session: None,
            namespace: needs.per_namespace.then(|| "conformance".to_owned()),
            egress: Arc::new(egress),
            directories: self.directories.clone(),
            deadline: DEADLINE,
            options: Self::options(scene),
        })
    }

    /// A call as `read` gets it: with a session where the provider has a login, with the credentials where not.
    pub async fn reading(&self, situation: Option<&Situation>) -> Result<Call, String> {
        let scene = self.scene(situation);
        let mut call = self.call(&scene).await?;
        if self.revision.has_login {
            let session = self.runtime.login(&call).await.map_err(|failure| {
                self.note_failure(&failure);
                format!("login: {}", judge::said(&failure))
            })?;
            self.hide(session.token.expose());
            call.session = Some(session.token);
            call.credentials.clear();
        }
        Ok(call)
    }

    /// From now on these bytes must turn up in no text.
    pub fn hide(&self, bytes: &[u8]) {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.add(bytes);
    }

    /// One call of `read`, whatever its size.
    pub async fn read(&self, call: &Call, requests: &[Request]) -> Result<Vec<Outcome>, Failure> {
        let answer = self.runtime.read(call, requests).await;
        match &answer {
            Err(failure) => self.note_failure(failure),
            Ok(outcomes) => {
                for outcome in outcomes {
                    match &outcome.answer {
                        Answer::Failed(failure) => self.note_failure(failure),
                        Answer::Parts(parts) => parts
                            .iter()
                            .filter_map(|part| match part {
                                Part::Failed(failure) => Some(failure),
                                Part::Value(_) | Part::Members(_) => None,
                            })
                            .for_each(|failure| self.note_failure(failure)),
                        Answer::Unchanged => {}
                    }
                }
            }
        }
        answer
    }
}

impl Scene {
    /// The credentials of the references that the config uses.
    fn credentials(&self, needs: &Needs) -> Vec<Credential> {
        let used = |pointer: &str| {
            needs
                .references
                .iter()
                .any(|r| leads_to(&r.pointer, pointer))
        };
        self.credentials
            .iter()
            .filter(|(pointer, _)| used(pointer))
            .map(|(pointer, value)| Credential {
                pointer: pointer.clone(),
                value: value.as_str().into(),
                attributes: Vec::new(),
            })
            .collect()
    }

    /// Pointers that the fixture gives a credential for.
    pub fn given(&self) -> impl Iterator<Item = &str> {
        self.credentials.keys().map(String::as_str)
    }
}

/// Whether a reference leads to the credential of a pointer: its own, or a key of the whole Secret that it names.
pub fn leads_to(reference: &str, credential: &str) -> bool {
    let rest = credential.strip_prefix(reference);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn refused(problems: Vec<Problem>) -> String {
    let texts: Vec<String> = problems
        .iter()
        .take(3)
        .map(|problem| format!("{}: {}", problem.pointer, problem.message))
        .collect();
    format!("examine refuses the config: {}", texts.join("; "))
}

/// All that the fixture itself calls secret.
fn secrets(fixture: &Fixture) -> Secrets {
    let mut secrets = Secrets::default();
    let situations = fixture.situations.values().filter_map(|entry| match entry {
        Entry::Ask(situation) => Some(situation),
        Entry::Unsupported(_) => None,
    });
    for value in fixture.credentials.values() {
        secrets.add(value.as_bytes());
    }
    for situation in situations {
        for value in situation.credentials.iter().flat_map(BTreeMap::values) {
            secrets.add(value.as_bytes());
        }
        for case in situation.cases() {
            let members = case.members.iter().flat_map(BTreeMap::values);
            for body in case.value.iter().chain(members) {
                secrets.add(&body.bytes().unwrap_or_default());
            }
        }
    }
    secrets
}

fn directories(
    fixture: &Fixture,
    folder: &Path,
    made: &Path,
) -> std::io::Result<BTreeMap<String, PathBuf>> {
    let mut paths = BTreeMap::new();
    for (index, (name, directory)) in fixture.directories.iter().enumerate() {
        let path = match directory {
            Directory::Folder(path) => folder.join(path),
            Directory::Files(files) => {
                let root = made.join(index.to_string());
                for (file, body) in files {
                    let path = root.join(file);
                    std::fs::create_dir_all(path.parent().unwrap_or(&root))?;
                    std::fs::write(path, body.bytes().unwrap_or_default())?;
                }
                root
            }
        };
        paths.insert(name.clone(), path);
    }
    Ok(paths)
}
