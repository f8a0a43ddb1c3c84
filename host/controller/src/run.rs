//! Wiring: starts the watches, feeds the workers, and ends in order.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::watcher;
use kube::{Api, Client};
use postern_core::delimiters::Delimiters;
use postern_core::failure::Failure;
use postern_core::plan::PlanSettings;
use postern_core::plugin::PluginHost;
use postern_sync::Doors;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, oneshot, watch as signal};
use tokio::task::{JoinHandle, JoinSet};

use crate::context::{Context, Owed};
use crate::credentials::ApiCredentials;
use crate::events::Poster;
use crate::manifest::{self, Manifests};
use crate::plugins::{Memories, Plugins};
use crate::queue::{Class, Queue};
use crate::report::{OnReport, Readings};
use crate::watch::{Mirror, Shown, mirrors};
use crate::world::{Key, Outlook, World};
use crate::{cluster, plugins, preflight, reconcile, stores, target};

/// Syncs at once. Most of them wait for a value that comes in one call with the others', so it bounds memory, not work.
const IN_FLIGHT: usize = 1024;
/// Requests at the API server at once, beside watches; what its fair queueing gives one client without holding it back.
const API_IN_FLIGHT: usize = 32;
/// How long running syncs may take to end. A pod has 30 s, and sessions are to be closed in the rest.
const DRAIN: Duration = Duration::from_secs(15);

/// How the controller runs.
#[derive(Clone)]
pub struct Options {
    /// Serve this namespace only, and no ClusterSecretStore.
    pub namespace: Option<String>,
    /// Stores of another class are left alone.
    pub controller_class: String,
    /// What marks the actions of templates.
    pub delimiters: Delimiters,
    /// Whether ExternalSecrets wait while a store that they name is not ready.
    pub flood_gate: bool,
    /// Whether SecretStores are checked. If not, their status is another process's, and it counts here.
    pub secret_stores: bool,
    /// Whether ClusterSecretStores are checked. If not, ExternalSecrets that name one are left to another process.
    pub cluster_stores: bool,
    /// Whether ClusterExternalSecrets are served; never with one namespace only.
    pub cluster_external_secrets: bool,
    /// Whether what is read must be allowed by a StoreAccess or ClusterStoreAccess, from every namespace.
    pub require_store_access: bool,
    /// Whether targets may be other objects than Secrets.
    pub generic_targets: bool,
    /// Syncs at once.
    pub in_flight: usize,
    /// Requests at the API server at once, beside watches.
    pub api_in_flight: usize,
    /// Settings of the doors; the interval of store checks is among them.
    pub doors: postern_sync::Settings,
    /// Told of what happens, where somebody wants to know.
    pub on_report: Option<OnReport>,
    /// Shows what can be read of the controller.
    pub readings: Readings,
    /// Serves plugins from outside, where it is given; never with one namespace only, since Plugins are the cluster's.
    pub plugins: Option<Plugins>,
    /// Told once all that existed at the start has been seen and work has begun.
    pub readiness: Readiness,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: None,
            controller_class: "default".to_owned(),
            delimiters: Delimiters::default(),
            flood_gate: true,
            secret_stores: true,
            cluster_stores: true,
            cluster_external_secrets: true,
            require_store_access: false,
            generic_targets: false,
            in_flight: IN_FLIGHT,
            api_in_flight: API_IN_FLIGHT,
            doors: postern_sync::Settings::default(),
            on_report: None,
            readings: Readings::default(),
            plugins: None,
            readiness: Readiness::default(),
        }
    }
}

impl Options {
    /// Definitions that need not be there.
    fn unserved(&self) -> Vec<&'static str> {
        let stores = [preflight::CLUSTER_STORES, preflight::CLUSTER_STORE_ACCESSES];
        let stores = stores.into_iter().filter(|_| !self.cluster_stores);
        let fan_out = !self.serves_cluster_external_secrets();
        let fan_out = fan_out.then_some(preflight::CLUSTER_EXTERNAL_SECRETS);
        stores.chain(fan_out).collect()
    }

    fn serves_cluster_external_secrets(&self) -> bool {
        self.cluster_external_secrets && self.namespace.is_none()
    }
}

/// Whether the controller works; clones show the same.
#[derive(Clone, Debug)]
pub struct Readiness(signal::Sender<bool>);

impl Default for Readiness {
    fn default() -> Self {
        Self(signal::Sender::new(false))
    }
}

impl Readiness {
    /// Whether it works now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it works.
    pub async fn wait(&self) {
        // The sender is ours, so the channel cannot be closed meanwhile.
        let _ = self.0.subscribe().wait_for(|ready| *ready).await;
    }

    fn set(&self, ready: bool) {
        self.0.send_replace(ready);
    }
}

/// Why the controller cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A CRD is not there.
    #[error(
        "the CRD {0} is missing; apply them with `postern crds | kubectl apply --server-side -f -`"
    )]
    CrdMissing(String),
    /// A CRD is somebody else's.
    #[error(
        "the CRD {0} is not Postern's; replace it with `postern crds | kubectl apply --server-side --force-conflicts -f -`"
    )]
    CrdForeign(String),
    /// The API server does not answer.
    #[error("could not reach the API server")]
    Unreachable(#[source] kube::Error),
    /// The doors to plugins cannot be opened.
    #[error("could not prepare the way to plugins")]
    Doors(#[source] Failure),
    /// A task ended that must not.
    #[error("the task that watches {0} ended")]
    TaskEnded(&'static str),
}

/// Runs until `shutdown` completes.
///
/// Guarantees: a Secret is written only from an answer of its backend; no failure deletes or empties one; one object's
/// failure does not hold back another's; running syncs are given time to end.
/// Assumptions: one controller at a time for a namespace and a controller class.
/// Errors: the CRDs are missing or another's, or the API server cannot be reached at the start. Later failures are
/// conditions, events and log lines, and are tried again.
pub async fn run(
    client: Client,
    host: Arc<dyn PluginHost>,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    preflight::check(&client, &options.unserved()).await?;
    let (ctx, posting, wanted) = context(client, host, &options)?;
    let mut watches = Watches::default();
    watches.start(&ctx);
    watches.follow_targets(&ctx, wanted);
    let mut shutdown = std::pin::pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => return Ok(()),
        ready = watches.listed() => ready?,
    }
    plugins::come_back(&ctx).await;
    // Not fatal: what is not learnt here is read one by one.
    if let Err(error) = target::learn_all(&ctx).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "could not list the managed secrets"
        );
    }
    options.readiness.set(true);
    tracing::info!("ready");
    let mut work = JoinSet::new();
    let ended = tokio::select! {
        () = &mut shutdown => Ok(()),
        ended = watches.ended() => Err(ended),
        () = work_on(&ctx, &mut work, options.in_flight) => Ok(()),
    };
    options.readiness.set(false);
    drop(watches);
    drain(ctx, work, posting).await;
    ended
}

fn context(
    client: Client,
    host: Arc<dyn PluginHost>,
    options: &Options,
) -> Result<(Arc<Context>, JoinHandle<()>, manifest::Wanted), Error> {
    let queue = Arc::new(Queue::new());
    let credentials = Arc::new(ApiCredentials {
        client: client.clone(),
    });
    let plugins = options
        .plugins
        .clone()
        .filter(|_| options.namespace.is_none());
    let memories = Arc::new(Memories::default());
    if let Some(plugins) = &plugins {
        let (memories, queue) = (Arc::clone(&memories), Arc::clone(&queue));
        plugins.revisions.on_switched_back(Arc::new(move |back| {
            let key = Key::Plugin(back.plugin.clone());
            memories.note(back);
            queue.touch([(key, Class::Store)]);
        }));
    }
    let doors = Doors::new(
        Arc::clone(&host),
        credentials,
        Arc::new(Owed(Arc::clone(&queue))),
        options.doors.clone(),
    )
    .map_err(Error::Doors)?;
    options.readings.of(&queue, &doors);
    let (events, posting) = Poster::start(client.clone());
    let (manifests, wanted) = Manifests::new();
    let ctx = Context {
        client,
        namespace: options.namespace.clone(),
        settings: PlanSettings {
            controller_class: options.controller_class.clone(),
            delimiters: options.delimiters.clone(),
            ignore_cluster_stores: !options.cluster_stores,
            require_store_access: options.require_store_access,
            generic_targets: options.generic_targets,
        },
        outlook: Outlook {
            class: options.controller_class.clone(),
            flood_gate: options.flood_gate,
            secret_stores: options.secret_stores,
            cluster_stores: options.cluster_stores && options.namespace.is_none(),
        },
        cluster_external_secrets: options.serves_cluster_external_secrets(),
        store_interval: options.doors.store_interval,
        world: World::default(),
        queue,
        doors,
        host,
        plugins,
        memories,
        events,
        sessions: Mutex::new(HashMap::new()),
        on_report: options.on_report.clone(),
        manifests,
        turns: Semaphore::new(options.api_in_flight),
    };
    Ok((Arc::new(ctx), posting, wanted))
}

/// An object that does not fit its type must not stop the watch.
fn guarded<K>(api: Api<DeserializeGuard<K>>) -> Api<DeserializeGuard<K>> {
    api
}

/// The tasks that follow the watches. Dropped, they end.
#[derive(Default)]
struct Watches {
    tasks: JoinSet<&'static str>,
    pending: Vec<oneshot::Receiver<()>>,
}

impl Watches {
    fn start(&mut self, ctx: &Arc<Context>) {
        let all = watcher::Config::default;
        let managed = all().labels(&target::managed());
        self.add(ctx, &mirrors::EXTERNAL_SECRETS, guarded(ctx.all()), all());
        self.add(ctx, &mirrors::SECRET_STORES, guarded(ctx.all()), all());
        self.add(ctx, &mirrors::STORE_ACCESSES, guarded(ctx.all()), all());
        let secrets: Api<PartialObjectMeta<Secret>> = ctx.all();
        self.add(ctx, &mirrors::TARGETS, secrets, managed);
        if ctx.namespace.is_none() {
            let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(ctx.client.clone());
            self.add(ctx, &mirrors::NAMESPACES, namespaces, all());
        }
        if ctx.outlook.cluster_stores {
            let stores = guarded(Api::all(ctx.client.clone()));
            self.add(ctx, &mirrors::CLUSTER_SECRET_STORES, stores, all());
            let access = guarded(Api::all(ctx.client.clone()));
            self.add(ctx, &mirrors::CLUSTER_STORE_ACCESSES, access, all());
        }
        if ctx.cluster_external_secrets {
            let objects = guarded(Api::all(ctx.client.clone()));
            self.add(ctx, &mirrors::CLUSTER_EXTERNAL_SECRETS, objects, all());
        }
        if ctx.plugins.is_some() {
            let plugins = guarded(Api::all(ctx.client.clone()));
            let grants = guarded(Api::all(ctx.client.clone()));
            self.add(ctx, &mirrors::PLUGINS, plugins, all());
            self.add(ctx, &mirrors::PLUGIN_GRANTS, grants, all());
        }
    }

    fn follow_targets(&mut self, ctx: &Arc<Context>, wanted: manifest::Wanted) {
        let ctx = Arc::clone(ctx);
        self.tasks.spawn(async move {
            manifest::follow(ctx, wanted).await;
            "targets"
        });
    }

    fn add<T: 'static, Id, O>(
        &mut self,
        ctx: &Arc<Context>,
        mirror: &'static Mirror<T, Id>,
        api: Api<O>,
        config: watcher::Config,
    ) where
        Id: Ord + Send + 'static,
        O: Shown<Value = T> + Clone + DeserializeOwned + Debug + 'static,
    {
        let (listed, pending) = oneshot::channel();
        self.pending.push(pending);
        let ctx = Arc::clone(ctx);
        self.tasks.spawn(async move {
            mirror.follow(ctx, watcher(api, config), listed).await;
            mirror.kind
        });
    }

    /// Waits until each watch has shown all that existed.
    async fn listed(&mut self) -> Result<(), Error> {
        for pending in self.pending.drain(..) {
            if pending.await.is_err() {
                return Err(Error::TaskEnded("the cluster"));
            }
        }
        Ok(())
    }

    /// Waits for the end of a task, which no task should come to.
    async fn ended(&mut self) -> Error {
        match self.tasks.join_next().await {
            Some(Ok(kind)) => Error::TaskEnded(kind),
            Some(Err(_)) | None => Error::TaskEnded("the cluster"),
        }
    }
}

/// Takes keys as they come due, for ever.
async fn work_on(ctx: &Arc<Context>, work: &mut JoinSet<()>, in_flight: usize) {
    let places = Arc::new(Semaphore::new(in_flight));
    // The semaphore is never closed, so this ends only with the task.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (taken, lease) = ctx.queue.next().await;
        while let Some(ended) = work.try_join_next() {
            report(ended);
        }
        let ctx = Arc::clone(ctx);
        work.spawn(async move {
            let next = match &taken.key {
                Key::Store(id) => stores::reconcile(&ctx, id).await,
                Key::ExternalSecret(key) => reconcile::reconcile(&ctx, key, taken.due).await,
                Key::ClusterExternalSecret(name) => cluster::reconcile(&ctx, name).await,
                Key::Namespace(name) => cluster::tidy_namespace(&ctx, name).await,
                Key::Plugin(name) => plugins::reconcile(&ctx, name).await,
            };
            lease.finish(next);
            drop(place);
        });
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a sync panicked; it is tried again with backoff");
    }
}

async fn drain(ctx: Arc<Context>, mut work: JoinSet<()>, posting: JoinHandle<()>) {
    let all_ended = async {
        while let Some(ended) = work.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(DRAIN, all_ended).await.is_err() {
        tracing::warn!("some syncs did not end in time and are given up");
    }
    work.shutdown().await;
    ctx.doors.shutdown().await;
    // The last poster goes with the context; what is still waiting is posted then.
    drop(ctx);
    let _ = tokio::time::timeout(DRAIN, posting).await;
}
