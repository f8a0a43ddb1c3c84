//! What an administrator sees of Plugins and does with them by command: list them, go back to the revision before, take
//! that back. Needs no controller in this process.

use std::collections::BTreeMap;

use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use postern_api::{ClusterSecretStore, Plugin, PluginStatus, SecretStore, names};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::rollback::{self, Rollback, Undo};
use serde_json::{Value, json};

use crate::api_error;

/// Objects that one request lists.
const PAGE: u32 = 500;
/// The operator writes the status meanwhile, so what was read may be out of date when it is written.
const ATTEMPTS: usize = 5;
/// As whom we write.
const MANAGER: &str = "postern-plugin";

/// The Plugins of a cluster, in the hand of an administrator.
pub struct Hand {
    client: Client,
}

/// What the cluster has.
#[derive(Debug)]
pub struct Listing {
    /// Ordered by name.
    pub plugins: Vec<Plugin>,
    /// How many stores name each key; none where they may not be listed.
    pub stores: Option<BTreeMap<String, usize>>,
}

impl Hand {
    /// Speaks with this cluster.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// All Plugins, and how many stores name which key.
    pub async fn list(&self) -> Result<Listing, Failure> {
        let plugins = self.plugins().list(&ListParams::default()).await;
        let mut plugins = plugins
            .map_err(|error| refused("listing Plugins", &error))?
            .items;
        plugins.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let mut stores = Some(BTreeMap::new());
        for kind in [
            ApiResource::erase::<SecretStore>(&()),
            ApiResource::erase::<ClusterSecretStore>(&()),
        ] {
            self.count(&kind, &mut stores).await?;
        }
        Ok(Listing { plugins, stores })
    }

    /// Refuses the revision that serves.
    ///
    /// Guarantees: one annotation is written, onto the object that the decision was made from, and nothing where it says so
    /// already. What serves changes only when the operator has read it. Errors: see [`rollback::rollback`].
    pub async fn roll_back(&self, name: &str) -> Result<Rollback, Failure> {
        self.decide(name, |status, annotation| {
            let back = rollback::rollback(name, status, annotation)?;
            let write = back.annotation.clone().map(Value::from);
            Ok((back, write))
        })
        .await
    }

    /// Takes the last refusal back, with the same guarantees. Errors: see [`rollback::undo`].
    pub async fn undo(&self, name: &str) -> Result<Undo, Failure> {
        self.decide(name, |status, annotation| {
            let undone = rollback::undo(name, status, annotation)?;
            // Null takes the annotation away.
            let write = Value::from(undone.annotation.clone());
            Ok((undone, Some(write)))
        })
        .await
    }

    /// Where a Plugin stands now.
    pub async fn status(&self, name: &str) -> Result<PluginStatus, Failure> {
        Ok(self.get(name).await?.status.unwrap_or_default())
    }

    fn plugins(&self) -> Api<Plugin> {
        Api::all(self.client.clone())
    }

    async fn get(&self, name: &str) -> Result<Plugin, Failure> {
        let found = self.plugins().get_opt(name).await;
        let found = found.map_err(|error| refused(&format!("reading Plugin {name}"), &error))?;
        found.ok_or_else(|| {
            Failure::new(
                Stage::Check,
                Code::PluginMissing,
                format!("Plugin {name} does not exist in this cluster; `postern plugin ls` names those that do"),
            )
        })
    }

    async fn decide<T>(
        &self,
        name: &str,
        decide: impl Fn(&PluginStatus, Option<&str>) -> Result<(T, Option<Value>), Failure>,
    ) -> Result<T, Failure> {
        let mut attempt = 1;
        loop {
            let plugin = self.get(name).await?;
            let annotations = plugin.metadata.annotations.as_ref();
            let annotation = annotations
                .and_then(|all| all.get(names::ANNOTATION_REFUSED_DIGESTS))
                .map(String::as_str);
            let status = plugin.status.unwrap_or_default();
            let (decision, write) = decide(&status, annotation)?;
            let Some(write) = write else {
                return Ok(decision);
            };
            let patch = json!({"metadata": {
                // Only onto what was read: somebody else's word must not be written over.
                "resourceVersion": plugin.metadata.resource_version,
                "annotations": {names::ANNOTATION_REFUSED_DIGESTS: write},
            }});
            let params = PatchParams {
                field_manager: Some(MANAGER.to_owned()),
                ..PatchParams::default()
            };
            match self
                .plugins()
                .patch(name, &params, &Patch::Merge(patch))
                .await
            {
                Ok(_) => return Ok(decision),
                Err(error) if api_error::is_conflict(&error) && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(refused(&format!("annotating Plugin {name}"), &error)),
            }
        }
    }

    /// Adds the stores of a kind; whoever may see Plugins need not see all stores.
    async fn count(
        &self,
        kind: &ApiResource,
        counted: &mut Option<BTreeMap<String, usize>>,
    ) -> Result<(), Failure> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), kind);
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = match api.list(&params).await {
                Ok(page) => page,
                Err(kube::Error::Api(status)) if status.is_forbidden() => {
                    *counted = None;
                    return Ok(());
                }
                Err(error) => return Err(refused(&format!("listing {}", kind.plural), &error)),
            };
            let Some(counted) = counted else {
                return Ok(());
            };
            for store in &page.items {
                let provider = store.data.pointer("/spec/provider");
                for key in provider.and_then(Value::as_object).into_iter().flatten() {
                    *counted.entry(key.0.clone()).or_default() += 1;
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(()),
            }
        }
    }
}

fn refused(tried: &str, error: &kube::Error) -> Failure {
    let why = match error {
        kube::Error::Api(status) if status.is_not_found() => {
            "the cluster lacks Postern's CRDs; apply them: `postern crds | kubectl apply --server-side -f -`"
        }
        kube::Error::Api(status) if status.is_forbidden() => {
            "your role in the cluster does not allow it; ask for one that does"
        }
        kube::Error::Api(_) => {
            return api_error::failure(Stage::Check, Code::ClusterUnavailable, tried, error);
        }
        kube::Error::SerdeError(_) => {
            "the answer does not fit Postern's CRDs; apply them: `postern crds | kubectl apply --server-side -f -`"
        }
        _ => "the API server does not answer; see whether KUBECONFIG names the right cluster",
    };
    Failure::new(
        Stage::Check,
        Code::ClusterUnavailable,
        format!("{tried}: {why}"),
    )
}
