//! The doors themselves: check a store, fetch values, render templates, and the three together for one sync.
//!
//! Order of a sync: fetch, shape, render, compose; the pure steps are `postern_core`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use postern_api::external_secret::StoreKind;
use postern_core::absence::{self, Fate, Produced};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::offer::Offer;
use postern_core::plan::{Read, SyncPlan, TemplateObject};
use postern_core::plugin::{Part, PluginHost, RenderJob, Rendered, Revision};
use postern_core::shape::{self, Data, EntryFate, Omitted, Shaped, Shaping, Unshaped};
use postern_core::store::{Store, StoreId};
use postern_core::template;
use tokio::time::Instant;

use crate::credentials::{Credentials, ObjectKind, ObjectName};
use crate::fetcher::{Reader, Span};
use crate::find;
use crate::identity::Identity;
use crate::prepare::Preparer;
use crate::settings::Settings;
use crate::stats::{Calls, End, Fetches, Stats};
use crate::trial::{self, Fallback, Want, Wish, want};

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
    /// What its plugin says of its provider.
    pub offer: Offer,
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
            let wants = positions.iter().map(|at| want(&reads[*at])).collect();
            let answers = self.fetch_from(stores.get(id), wants, namespace, due).await;
            let ends = answers.iter().map(|answer| match answer {
                Ok(Part::Failed(failure)) => End::of_failure(failure),
                other => End::of(other),
            });
            self.preparer.counters.fetched(id, ends);
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
        let rendered = self.render_all(engine, &[job]).await?;
        Ok(rendered.into_iter().next().unwrap_or_default())
    }

    /// Renders many jobs in one call; one answer a job, one text a template.
    async fn render_all(
        &self,
        engine: Option<&str>,
        jobs: &[RenderJob],
    ) -> Result<Vec<Rendered>, Failure> {
        let host = &self.preparer.host;
        let engine = host.engine(engine.unwrap_or(ENGINE))?;
        trial::render(&**host, &engine, jobs)
            .await
            .map_err(of_templates)
    }

    /// Shapes answers, with the render door for the rewrites that are templates.
    async fn shape(
        &self,
        plan: &SyncPlan,
        answers: Vec<Result<Part, Failure>>,
    ) -> Result<Shaped, Unshaped> {
        let mut step = shape::begin(plan, answers)?;
        loop {
            step = match step {
                Shaping::Done(shaped) => return Ok(shaped),
                Shaping::Render(pending) => {
                    let rendered = self.render_all(None, pending.jobs()).await?;
                    pending.resume(rendered)?
                }
            };
        }
    }

    /// The steps of a sync from fetch to what the target shall be.
    ///
    /// Guarantees: a target that shall not be, or that lacks an entry, does so because the backend has said twice that
    /// the objects do not exist, and the brake on absences let it pass; see `postern_core::absence`.
    pub async fn produce(&self, plan: &SyncPlan, due: Instant) -> Result<Produced, Unshaped> {
        let produced = self.make(plan, due).await?;
        self.note_served(plan, due).await;
        Ok(produced)
    }

    async fn make(&self, plan: &SyncPlan, due: Instant) -> Result<Produced, Unshaped> {
        let mut answers = self
            .fetch(&plan.stores, &plan.reads, &plan.namespace, due)
            .await;
        self.confirm(plan, &mut answers).await?;
        let absent = absence::absences(plan, answers.iter().enumerate());
        let missing = absence::missing(plan, &absent, &answers);
        let all_missing = || vec![EntryFate::Missing; plan.entries.len()];
        let gone = absence::is_gone(plan, &absent).map_err(|failure| Unshaped {
            failure: Box::new(failure),
            fates: all_missing(),
        });
        if gone? {
            return Ok(Produced {
                target: Fate::Deleted,
                missing,
                omitted: Omitted::default(),
                fates: all_missing(),
            });
        }
        let Shaped {
            data,
            omitted,
            fates,
        } = self.shape(plan, answers).await?;
        if absence::is_retained(plan, &data) {
            return Ok(Produced {
                target: Fate::Retained,
                missing,
                omitted,
                fates,
            });
        }
        match self.compose(plan, data).await {
            Ok(target) => Ok(Produced {
                target,
                missing,
                omitted,
                fates,
            }),
            Err(failure) => Err(Unshaped {
                failure: Box::new(failure),
                fates,
            }),
        }
    }

    /// Renders what the target's templates make of the data.
    async fn compose(&self, plan: &SyncPlan, data: Data) -> Result<Fate, Failure> {
        let sources = self.template_sources(plan).await?;
        let rendered = match template::job(plan, &data, &sources)? {
            None => None,
            Some(job) => {
                let engine = plan.template.as_ref().and_then(|t| t.engine.as_deref());
                Some(self.render(engine, job).await?)
            }
        };
        match &plan.manifest {
            None => template::compose(plan, data, rendered).map(Fate::Written),
            Some(kind) => {
                let desired = template::compose_generic(plan, kind, data, rendered)?;
                Ok(Fate::Manifested(Box::new(desired)))
            }
        }
    }

    /// Reads the objects that hold templates of the target; one that is not there is left out. Nothing of them is kept.
    async fn template_sources(&self, plan: &SyncPlan) -> Result<template::Sources, Failure> {
        let read = |object: &TemplateObject| {
            let (kind, name) = match object {
                TemplateObject::ConfigMap(name) => (ObjectKind::ConfigMap, name),
                TemplateObject::Secret(name) => (ObjectKind::Secret, name),
            };
            let (object, name) = (object.clone(), name.clone());
            let namespace = plan.namespace.clone();
            async move {
                let at = ObjectName {
                    kind,
                    namespace,
                    name,
                };
                let found = self.preparer.credentials.contents(&at).await;
                let found = found.map_err(|f| f.context("error fetching templateFrom data"))?;
                Ok(found.map(|keys| (object, keys)))
            }
        };
        let all = futures::future::join_all(plan.template_sources.iter().map(read)).await;
        let found: Result<Vec<_>, Failure> = all.into_iter().collect();
        Ok(found?.into_iter().flatten().collect())
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

    /// Calls of backends since the start.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.preparer.counters.calls()
    }

    /// What syncs asked of stores since the start.
    #[must_use]
    pub fn fetches(&self) -> Fetches {
        self.preparer.counters.fetches()
    }

    /// A store is gone: what was counted of it is told no longer, and what was known of its objects is forgotten.
    pub fn stop_counting(&self, store: &StoreId) {
        self.preparer.counters.gone(store);
        self.preparer.drop_records(store);
    }

    async fn fetch_from(
        &self,
        store: Option<&Arc<Store>>,
        wants: Vec<Want>,
        namespace: &str,
        due: Instant,
    ) -> Vec<Result<Part, Failure>> {
        let n = wants.len();
        let Some(store) = store else {
            let what = "a read names a store that its plan does not have";
            return vec![Err(Failure::new(Stage::Fetch, Code::Internal, what)); n];
        };
        let wish = Wish {
            store: store.clone(),
            wants,
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
        Err(failure) => return vec![Err(failure); wish.wants.len()],
    };
    let span = Span {
        due: wish.due,
        deadline: Instant::now() + preparer.settings.wait_deadline,
    };
    ask_as(&identity, &reader, wish.wants.clone(), span).await
}

/// Asks as an identity: objects in as few calls as fit, and searches beside them. Answers in order.
pub(crate) async fn ask_as(
    identity: &Identity,
    reader: &Arc<dyn Reader>,
    wants: Vec<Want>,
    span: Span,
) -> Vec<Result<Part, Failure>> {
    let (mut objects, mut object_places) = (Vec::new(), Vec::new());
    let (mut searches, mut search_places) = (Vec::new(), Vec::new());
    for (place, want) in wants.into_iter().enumerate() {
        match want {
            Want::Object(object, pick) => {
                objects.push((object, pick));
                object_places.push(place);
            }
            Want::Search(search) => {
                searches.push(search);
                search_places.push(place);
            }
        }
    }
    let searches = searches
        .iter()
        .map(|search| find::find(identity, reader, search, span));
    let (objects, searches) = tokio::join!(
        identity.fetcher.fetch(reader, objects, span),
        futures::future::join_all(searches)
    );
    let objects = object_places.into_iter().zip(objects);
    let searches = search_places.into_iter().zip(searches);
    let mut answers: Vec<_> = objects.chain(searches).collect();
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
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
    let plugin = preparer.host.provider(&store.provider_key)?;
    let offer = plugin.descriptor.offer(&store.provider_key);
    let identity = preparer.identity(store, namespace, Instant::now(), None);
    let identity = identity.await?;
    let referent = identity.is_none();
    if let Some(identity) = identity {
        let probed = preparer.access(identity).probe().await;
        probed.map_err(probe_failed)?;
    }
    Ok(Checked { referent, offer })
}

/// An engine runs what the manifest gives it: where that breaks a limit, not who made the engine has to act.
fn of_templates(mut failure: Failure) -> Failure {
    if failure.code == Code::LimitExceeded {
        failure.code = Code::TemplateFailed;
        return failure.context("the templates of the ExternalSecret");
    }
    failure
}

/// What the backend said to the probe; a login that failed on the way stays one.
fn probe_failed(failure: Failure) -> Failure {
    if failure.stage == Stage::Login {
        return failure;
    }
    Failure {
        stage: Stage::Probe,
        ..failure
    }
}
