//! What all tasks of the controller share: the client, the state, the queue and the doors. It decides nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use postern_core::plan::PlanSettings;
use postern_core::plugin::PluginHost;
use postern_core::store::StoreId;
use postern_sync::{Doors, Pending};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::events::Poster;
use crate::manifest::Manifests;
use crate::plugins::{Memories, Plugins};
use crate::queue::Queue;
use crate::report::OnReport;
use crate::world::{Key, Outlook, World};

pub(crate) struct Context {
    pub(crate) client: Client,
    /// The one namespace that is served; none for all.
    pub(crate) namespace: Option<String>,
    pub(crate) settings: PlanSettings,
    pub(crate) outlook: Outlook,
    /// Whether ClusterExternalSecrets are served.
    pub(crate) cluster_external_secrets: bool,
    pub(crate) store_interval: Duration,
    pub(crate) world: World,
    pub(crate) queue: Arc<Queue<Key>>,
    pub(crate) doors: Doors,
    pub(crate) host: Arc<dyn PluginHost>,
    /// Plugins from outside; none where they are not served.
    pub(crate) plugins: Option<Plugins>,
    pub(crate) memories: Arc<Memories>,
    pub(crate) events: Poster,
    /// UID and generation under which a store was last checked, so that its sessions are closed when either changes.
    pub(crate) sessions: Mutex<HashMap<StoreId, (String, i64)>>,
    pub(crate) on_report: Option<OnReport>,
    /// Targets that are no Secrets.
    pub(crate) manifests: Manifests,
    /// Requests that write or read single objects at the API server at once.
    pub(crate) turns: Semaphore,
}

impl Context {
    /// Objects in one namespace.
    pub(crate) fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Objects in all namespaces that are served.
    pub(crate) fn all<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// Waits for a place among the requests to the API server.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed; without it the request is merely not held back.
        self.turns.acquire().await.ok()
    }
}

/// Lets the doors know how long an outcome may still be wanted.
pub(crate) struct Owed(pub(crate) Arc<Queue<Key>>);

impl Pending for Owed {
    fn oldest_due(&self) -> Option<Instant> {
        self.0.oldest_due()
    }
}
