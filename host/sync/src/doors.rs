//! The doors themselves: check a store, fetch values, render templates, and the three together for one sync.
//!
//! Order of a sync: fetch, shape, render, compose; the pure steps are `postern_core`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use postern_api::external_secret::StoreKind;
use postern_core::absence::{self, Produced};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::plan::{Read, SyncPlan};
use postern_core::plugin::{Part, Pick, PluginHost, RenderJob, Rendered, Revision};
use postern_core::shape;
use postern_core::store::{Store, StoreId};
use postern_core::template;
use tokio::time::Instant;

use crate::credentials::Credentials;
use crate::fetcher::{Object, Reader, Span};
use crate::identity::Identity;
use crate::prepare::Preparer;
use crate::settings::Settings;
use crate::stats::Stats;
use crate::trial::{self, Fallback, Wish};

/// The template engine of targets.
const ENGINE: &str = "go";

/// Knows which syncs are under way.
pub trait Pending: Send + Sync {
    /// The earliest due moment of a sync that still waits or runs.
    fn oldest_due(&self) -> Option<Instant>;
}

/// A store that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// It could not be probed, because it asks as the namespace that asks.
    pub referent: bool,
}

/// What a sync does outside the pure core, shared by the cluster and the standalone mode. Cheap to clone.
#[derive(Clone)]
pub struct Doors {
    pub(crate) preparer: Arc<Preparer>,
    fallback: Arc<Fallback>,
}

impl Doors {
    /// Doors to these plugins. Errors: the system gives no random bytes.
    pub fn new(
        host: Arc<dyn PluginHost>,
        credentials: Arc<dyn Credentials>,
        pending: Arc<dyn Pending>,
        settings: Settings,
    ) -> Result<Self, Failure> {
        Ok(Self {
            preparer: Arc::new(Preparer::new(host, credentials, pending, settings)?),
            fallback: Arc::default(),
        })
    }

    /// Whether a store can be used: schema, config, credentials, a session, and the plugin's own probe.
    pub async fn check(&self, store: &Store) -> Result<Checked, Failure> {
        let (preparer, store) = (self.preparer.clone(), Arc::new(store.clone()));
        to_the_end(async move { check(&preparer, &store).await }).await
    }

    /// Reads what a plan asks for, in order, each from a fetch that began after `due`.
    ///
    /// Guarantees: an answer for each read; a caller that is dropped harms no other.
    pub async fn fetch(
        &self,
        stores: &BTreeMap<StoreId, Arc<Store>>,
        reads: &[Read],
        namespace: &str,
        due: Instant,
    ) -> Vec<Result<Part, Failure>> {
        let mut by_store: BTreeMap<&StoreId, Vec<usize>> = BTreeMap::new();
        for (at, read) in reads.iter().enumerate() {
            by_store.entry(&read.store).or_default().push(at);
        }
        let asked = by_store.into_iter().map(|(id, positions)| async move {
            let wanted = positions.iter().map(|at| wanted(&reads[*at])).collect();
            let answers = self
                .fetch_from(stores.get(id), wanted, namespace, due)
                .await;
            positions.into_iter().zip(answers).collect::<Vec<_>>()
        });
        let mut answers: Vec<_> = futures::future::join_all(asked)
            .await
            .into_iter()
            .flatten()
            .collect();
        answers.sort_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Whether a store goes together with a revision that does not serve yet: schema, config, and the plugin's own probe.
    ///
    /// Guarantees: what serves is not touched; sessions that the attempt opened are closed, also where the caller goes away.
    pub async fn try_out(
        &self,
        revision: &Arc<Revision>,
        store: &Store,
    ) -> Result<Checked, Failure> {
        let preparer = Arc::new(trial::pinned(&self.preparer, revision)?);
        let store = Arc::new(store.clone());
        to_the_end(async move {
            let result = check(&preparer, &store).await;
            preparer.shutdown().await;
            result
        })
        .await
    }

    /// Renders all templates of one target with the engine of this name; the Go engine where it has none.
    pub async fn render(&self, engine: Option<&str>, job: RenderJob) -> Result<Rendered, Failure> {
        let host = &self.preparer.host;
        let name = engine.unwrap_or(ENGINE);
        let engine = host.engine(name)?;
        trial::render(&**host, &engine, job).await
    }

    /// The steps of a sync from fetch to what the target shall be.
    ///
    /// Guarantees: a target that shall not be, or that lacks an entry, does so because the backend has said twice that
    /// the objects do not exist, and the brake on absences let it pass; see `postern_core::absence`.
    pub async fn produce(&self, plan: &SyncPlan, due: Instant) -> Result<Produced, Failure> {
        let mut answers = self
            .fetch(&plan.stores, &plan.reads, &plan.namespace, due)
            .await;
        self.confirm(plan, &mut answers).await?;
        let missing = absence::missing(plan, &absence::absences(&answers));
        if absence::is_gone(plan, &missing) {
            return Ok(Produced {
                target: None,
                missing,
            });
        }
        let data = shape::shape(plan, answers)?;
        let rendered = match template::job(plan, &data) {
            None => None,
            Some(job) => {
                let engine = plan.template.as_ref().and_then(|t| t.engine.as_deref());
                Some(self.render(engine, job).await?)
            }
        };
        Ok(Produced {
            target: Some(template::compose(plan, data, rendered)?),
            missing,
        })
    }

    /// A store is gone or has changed: closes its sessions, within the close deadline.
    pub async fn forget(&self, store_uid: &str) {
        if let Some(fallback) = self.fallback.current() {
            fallback.forget(store_uid).await;
        }
        self.preparer.forget(store_uid).await;
    }

    /// Closes all sessions, within the close deadline.
    pub async fn shutdown(&self) {
        if let Some(fallback) = self.fallback.take() {
            fallback.shutdown().await;
        }
        self.preparer.shutdown().await;
    }

    /// Counts since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.preparer.counters.snapshot()
    }

    async fn fetch_from(
        &self,
        store: Option<&Arc<Store>>,
        wanted: Vec<(Object, Pick)>,
        namespace: &str,
        due: Instant,
    ) -> Vec<Result<Part, Failure>> {
        let n = wanted.len();
        let Some(store) = store else {
            let what = "a read names a store that its plan does not have";
            return vec![Err(Failure::new(Stage::Fetch, Code::Internal, what)); n];
        };
        let wish = Wish {
            store: store.clone(),
            wanted,
            namespace: namespace.to_owned(),
            due,
        };
        let serving = match self.preparer.host.provider(&store.provider_key) {
            Ok(serving) => serving,
            Err(failure) => return vec![Err(failure); n],
        };
        let answers = ask(&self.preparer, &wish).await;
        if answers.iter().all(|a| trial::failure(a).is_none()) {
            return answers;
        }
        if let Some(fallback) = &serving.fallback {
            return self
                .second_opinion(&serving, fallback, &wish, answers)
                .await;
        }
        // Another revision took over meanwhile, and the identity of the older one was given up under this read.
        let now = self.preparer.host.provider(&store.provider_key);
        match now {
            Ok(now) if now.digest != serving.digest => ask(&self.preparer, &wish).await,
            _ => answers,
        }
    }

    /// The last good revision's answers, where it has some that the one on trial lacks; that one then serves no more.
    async fn second_opinion(
        &self,
        on_trial: &Revision,
        fallback: &Arc<Revision>,
        wish: &Wish,
        answers: Vec<Result<Part, Failure>>,
    ) -> Vec<Result<Part, Failure>> {
        let Ok(preparer) = self.fallback.preparer(&self.preparer, fallback) else {
            return answers;
        };
        let second = ask(&preparer, wish).await;
        match trial::contradiction(&answers, &second) {
            Some(failure) => {
                if trial::speaks_against(failure) {
                    self.preparer.host.distrust(&on_trial.digest, failure);
                }
                second
            }
            None => trial::agreed(answers, second),
        }
    }
}

async fn ask(preparer: &Arc<Preparer>, wish: &Wish) -> Vec<Result<Part, Failure>> {
    let asked = asked(preparer, &wish.store, &wish.namespace, wish.due).await;
    let (reader, identity) = match asked {
        Ok(asked) => asked,
        Err(failure) => return vec![Err(failure); wish.wanted.len()],
    };
    let span = Span {
        due: wish.due,
        deadline: Instant::now() + preparer.settings.wait_deadline,
    };
    let wanted = wish.wanted.clone();
    identity.fetcher.fetch(&reader, wanted, span).await
}

/// As whom a namespace asks a store, and who reads as it.
pub(crate) async fn asked(
    preparer: &Arc<Preparer>,
    store: &Arc<Store>,
    namespace: &str,
    due: Instant,
) -> Result<(Arc<dyn Reader>, Arc<Identity>), Failure> {
    let identity = preparer
        .identity(store, Some(namespace), due, None)
        .await?
        .ok_or_else(crate::session::given_up)?;
    Ok((Arc::new(preparer.access(identity.clone())), identity))
}

/// In a task of its own: a caller that goes away must not leave a half-opened session at the backend.
async fn to_the_end(
    check: impl Future<Output = Result<Checked, Failure>> + Send + 'static,
) -> Result<Checked, Failure> {
    tokio::spawn(check).await.unwrap_or_else(|_| {
        Err(Failure::new(
            Stage::Check,
            Code::Internal,
            "the check of the store broke off",
        ))
    })
}

async fn check(preparer: &Arc<Preparer>, store: &Arc<Store>) -> Result<Checked, Failure> {
    let namespace = match store.id.kind {
        StoreKind::SecretStore => Some(store.id.namespace.as_str()),
        StoreKind::ClusterSecretStore => None,
    };
    match preparer
        .identity(store, namespace, Instant::now(), None)
        .await?
    {
        None => Ok(Checked { referent: true }),
        Some(identity) => {
            let probed = preparer.access(identity).probe().await;
            probed
                .map(|()| Checked { referent: false })
                .map_err(|failure| Failure {
                    stage: Stage::Check,
                    ..failure
                })
        }
    }
}

pub(crate) fn wanted(read: &Read) -> (Object, Pick) {
    let object = Object {
        key: read.key.clone(),
        version: read.version.clone(),
        metadata: read.metadata,
    };
    (object, read.pick.clone())
}
