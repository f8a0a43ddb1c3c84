//! One pass: bring the plugins, check the stores, plan, produce and write every ExternalSecret that is due, and report all of it.
//!
//! Guarantees: it ends within its time; one that fails harms no other, and what it wrote before stays. The time comes in
//! as parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use postern_api::ExternalSecret;
use postern_api::external_secret::{CreationPolicy, RefreshPolicy, StoreKind};
use postern_core::absence::Fate;
use postern_core::delimiters::Delimiters;
use postern_core::failure::{Code, Failure, Retry, Stage};
use postern_core::plan::{
    self, Observed, Plan, PlanSettings, Read, StoreState, SyncPlan, TargetMeta, Wanted,
};
use postern_core::store::{Store, StoreId};
use postern_core::target::{self, Rule, Write};
use postern_core::template::Desired;
use postern_core::{plugin::PluginHost, schedule, windows};
use postern_sync::{Doors, Settings, audit};
use tokio::time::{Instant, timeout_at};

use crate::credentials::Folder;
use crate::manifest::{Manifests, Name};
use crate::output::{self, Output};
use crate::plugins::{Outside, Plugins, Setting};
use crate::report::{Outcome, Report, Row};

/// How a pass is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where targets go.
    pub output: Output,
    /// How long a pass may take.
    pub timeout: Duration,
    /// Stores with another class are left alone.
    pub controller_class: String,
    /// What marks the actions of templates.
    pub delimiters: Delimiters,
    /// Whether what is read must be allowed by a StoreAccess or ClusterStoreAccess, from every namespace.
    pub require_store_access: bool,
}

/// The moment of a pass, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The wall clock.
    pub now: Timestamp,
    /// The clock of the doors.
    pub due: Instant,
}

/// The same sync as in a cluster, over manifests.
pub struct Standalone {
    doors: Doors,
    folder: Arc<Folder>,
    plugins: Plugins,
    /// Stores that could be used when they were last checked.
    usable: Mutex<BTreeSet<StoreId>>,
    options: Options,
}

/// What every ExternalSecret of a pass is held against.
struct World<'a> {
    manifests: &'a Manifests,
    checks: Checks,
    /// Who writes which target.
    targets: BTreeMap<Name, &'a Name>,
    at: Moment,
}

/// What became of a store's check.
type Checks = BTreeMap<StoreId, Result<Arc<Store>, Outcome>>;

impl Standalone {
    /// Opens the doors. Errors: the system gives no random bytes.
    pub fn new(
        host: Arc<dyn PluginHost>,
        outside: Outside,
        settings: Settings,
        options: Options,
    ) -> Result<Self, Failure> {
        let folder = Arc::new(Folder::default());
        let doors = Doors::new(host, folder.clone(), folder.clone(), settings)?;
        Ok(Self {
            doors,
            folder,
            plugins: Plugins::new(outside),
            usable: Mutex::default(),
            options,
        })
    }

    /// Syncs what is due; `only` names it, none means all.
    pub async fn pass(
        &self,
        manifests: &Arc<Manifests>,
        only: Option<&BTreeSet<Name>>,
        at: Moment,
    ) -> Report {
        self.folder.replace(manifests.clone());
        self.folder.set_due(Some(at.due));
        let deadline = at.due + self.options.timeout;
        let due: Vec<(&Name, &ExternalSecret)> = manifests
            .external_secrets
            .iter()
            .filter(|(name, _)| only.is_none_or(|only| only.contains(*name)))
            .collect();
        let used: BTreeSet<StoreId> = due
            .iter()
            .flat_map(|(_, object)| plan::stores_of(object))
            .collect();
        let plugins = self.bring(manifests, only.is_none(), at).await;
        let checks = self
            .check(manifests, &used, &late_keys(manifests, &plugins), deadline)
            .await;
        self.remember(&checks);
        let world = World {
            manifests,
            checks,
            targets: owners(manifests),
            at,
        };
        let synced = due
            .iter()
            .map(|(name, object)| self.one(&world, name, object));
        let mut rows = plugins;
        rows.extend(world.checks.iter().map(store_row));
        rows.extend(join_all(synced).await);
        self.folder.set_due(None);
        Report {
            rows,
            problems: manifests.problems.clone(),
            ignored: manifests.ignored.clone(),
        }
    }

    /// Closes sessions at the backends.
    pub async fn shutdown(&self) {
        self.doors.shutdown().await;
    }

    async fn bring(&self, manifests: &Manifests, look: bool, at: Moment) -> Vec<Row> {
        let usable: Vec<Store> = {
            let usable = self.usable.lock().unwrap_or_else(PoisonError::into_inner);
            let stores = usable.iter().filter_map(|id| manifests.stores.get(id));
            stores.cloned().collect()
        };
        let setting = Setting {
            manifests,
            folder: &self.folder,
            doors: &self.doors,
            usable: &usable,
            look,
            now: at.now,
            at: at.due,
            deadline: at.due + self.options.timeout,
        };
        self.plugins.bring(&setting).await
    }

    fn remember(&self, checks: &Checks) {
        let mut usable = self.usable.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, check) in checks {
            match check {
                Ok(_) => usable.insert(id.clone()),
                Err(_) => usable.remove(id),
            };
        }
    }

    async fn check(
        &self,
        manifests: &Manifests,
        used: &BTreeSet<StoreId>,
        late_keys: &BTreeSet<&String>,
        deadline: Instant,
    ) -> Checks {
        let class = &self.options.controller_class;
        let stores = used.iter().filter_map(|id| manifests.stores.get(id));
        let checked = stores.map(|store| async move {
            // Another controller's store is not ours to ask.
            if !store.controller.is_empty() && store.controller != *class {
                return (store.id.clone(), Ok(Arc::new(store.clone())));
            }
            if late_keys.contains(&store.provider_key) {
                let late = late(Stage::Check, self.options.timeout, Vec::new());
                return (store.id.clone(), Err(late));
            }
            let result = match timeout_at(deadline, self.doors.check(store)).await {
                Ok(Ok(_)) => Ok(Arc::new(store.clone())),
                Ok(Err(failure)) => Err(Outcome::Failed(Box::new(failure))),
                Err(_) => Err(late(Stage::Check, self.options.timeout, Vec::new())),
            };
            (store.id.clone(), result)
        });
        join_all(checked).await.into_iter().collect()
    }

    async fn one(&self, world: &World<'_>, name: &Name, object: &ExternalSecret) -> Row {
        let mut row = row_of(name, object);
        let at = world.at;
        let observed = self.observe(world, name, object);
        let outcome = match plan::plan(&observed) {
            Plan::Idle { .. } | Plan::Ignore | Plan::Remove => Ok(Outcome::Ignored),
            Plan::Refuse(failure) => Err(self.refused(world, &observed, failure)),
            Plan::Deny(denied) => {
                audit::denied(&name.0, &name.1, &denied);
                Err(failed(denied.failure()))
            }
            Plan::Sync(sync) => match other_owner(name, &sync, &world.targets) {
                Some(failure) => Err(failed(failure)),
                None => self.sync(&sync, &observed, at, &mut row).await,
            },
        };
        row.outcome = outcome.unwrap_or_else(|outcome| outcome);
        row.next = next(object, &row.outcome, at.now);
        row
    }

    fn observe(&self, world: &World<'_>, name: &Name, object: &ExternalSecret) -> Observed {
        let state = |id: &StoreId| match world.checks.get(id) {
            None => StoreState::Missing,
            Some(Ok(store)) => StoreState::Ready(store.clone()),
            Some(Err(Outcome::Failed(failure))) => StoreState::NotReady(failure.public.clone()),
            Some(Err(_)) => StoreState::NotReady("its check did not end in time".to_owned()),
        };
        // The status is a cluster's; here every pass says what is due.
        let object = ExternalSecret {
            status: None,
            ..object.clone()
        };
        Observed {
            access: world.manifests.access_of(world.checks.keys()),
            stores: plan::stores_of(&object)
                .into_iter()
                .map(|id| (id.clone(), state(&id)))
                .collect(),
            namespace_labels: world
                .manifests
                .namespaces
                .get(&name.0)
                .cloned()
                .unwrap_or_default(),
            // Nothing of it but that it is there: an absence would cost something.
            target: output::exists(&self.options.output, (&name.0, &plan::target_name(&object)))
                .then(TargetMeta::default),
            now: world.at.now,
            settings: PlanSettings {
                controller_class: self.options.controller_class.clone(),
                delimiters: self.options.delimiters.clone(),
                ignore_cluster_stores: false,
                generic_targets: false,
                require_store_access: self.options.require_store_access,
            },
            object,
        }
    }

    /// A store that is not ready has a cause of its own, with its own code and blame; a check that ran out of time leaves
    /// keys lacking, which are named as if the store could be used.
    fn refused(&self, world: &World<'_>, observed: &Observed, failure: Failure) -> Outcome {
        if failure.code != Code::StoreNotReady {
            return failed(failure);
        }
        let cause = observed.stores.keys().find_map(|id| {
            world
                .checks
                .get(id)?
                .as_ref()
                .err()
                .map(|outcome| (id, outcome))
        });
        match cause {
            Some((id, Outcome::Failed(cause))) => {
                failed(cause.as_ref().clone().context(format!("{id} is not ready")))
            }
            Some((_, Outcome::TimedOut(..))) => {
                let mut assumed = observed.clone();
                for (id, state) in &mut assumed.stores {
                    if let Some(store) = world.manifests.stores.get(id) {
                        *state = StoreState::Ready(Arc::new(store.clone()));
                    }
                }
                let Plan::Sync(sync) = plan::plan(&assumed) else {
                    return failed(failure);
                };
                late(
                    Stage::Check,
                    self.options.timeout,
                    sync.reads.iter().map(lacking).collect(),
                )
            }
            _ => failed(failure),
        }
    }

    /// Whether there is a folder for the results.
    fn writes(&self) -> bool {
        self.options.output.to.is_some()
    }

    async fn sync(
        &self,
        sync: &SyncPlan,
        observed: &Observed,
        at: Moment,
        row: &mut Row,
    ) -> Result<Outcome, Outcome> {
        let deadline = at.due + self.options.timeout;
        let produced = self.doors.produce(sync, at.due);
        let produced = timeout_at(deadline, produced)
            .await
            .map_err(|_| {
                late(
                    Stage::Fetch,
                    self.options.timeout,
                    sync.reads.iter().map(lacking).collect(),
                )
            })?
            .inspect_err(|unshaped| audit::search(&sync.namespace, &sync.name, &unshaped.failure))
            .map_err(|unshaped| failed(*unshaped.failure))?;
        let target = (sync.namespace.as_str(), sync.target_name.as_str());
        let desired = match produced.target {
            Fate::Written(desired) => desired,
            // Refused by the plan: nothing but Secrets is written here.
            Fate::Manifested(_) => {
                let what = "a folder holds Secrets only";
                let failure = Failure::new(Stage::Commit, Code::Internal, what);
                return Err(failed(failure));
            }
            Fate::Retained => return Ok(Outcome::Unchanged),
            Fate::Deleted => {
                let (outcome, keys) =
                    output::remove(&self.options.output, target).map_err(failed)?;
                row.keys = keys;
                return Ok(outcome);
            }
        };
        let rule = Rule::of(sync, observed.object.metadata.uid.as_deref());
        let old = output::read(&self.options.output, target).map_err(failed)?;
        if rule.creation == CreationPolicy::Merge && old.is_none() && self.writes() {
            return Ok(Outcome::Missing);
        }
        let desired = kept(desired, old, &rule);
        let Write::Create(mut secret) =
            target::write(None, &desired, &anew(rule)).map_err(failed)?
        else {
            return Ok(Outcome::Read);
        };
        // Our UIDs are no cluster's: an owner that a cluster does not know would have the Secret collected.
        secret.metadata.owner_references = None;
        let stamp = at.now.strftime("%Y_%m_%d_%H_%M_%S.%9f").to_string();
        let (outcome, keys) =
            output::write(&self.options.output, &secret, &stamp).map_err(failed)?;
        row.keys = keys;
        Ok(outcome)
    }
}

/// Keys of Plugins that were not ready in time: what their stores lack is named as it is where a backend is late.
fn late_keys<'a>(manifests: &'a Manifests, plugins: &[Row]) -> BTreeSet<&'a String> {
    let late = plugins.iter().filter(|row| {
        let serves = row.plugin.as_ref().is_some_and(|p| p.digest.is_some());
        matches!(row.outcome, Outcome::TimedOut(..)) && !serves
    });
    late.filter_map(|row| manifests.plugins.get(&row.name))
        .flat_map(|spec| &spec.serves)
        .collect()
}

/// What stays of the target that is there. Files do not say who wrote a key, so a merged target keeps them all.
fn kept(mut desired: Desired, old: Option<output::Data>, rule: &Rule) -> Desired {
    match old {
        Some(old) if rule.immutable => desired.data = old,
        Some(old) if rule.keeps_foreign_data() => {
            for (key, value) in old {
                desired.data.entry(key).or_insert(value);
            }
        }
        _ => {}
    }
    desired
}

/// A target is written whole here; what policy Merge adds to is in it by now.
fn anew(rule: Rule) -> Rule {
    match rule.creation {
        CreationPolicy::Merge => Rule {
            creation: CreationPolicy::CreateOrMerge,
            ..rule
        },
        _ => rule,
    }
}

fn failed(failure: Failure) -> Outcome {
    Outcome::Failed(Box::new(failure))
}

fn late(stage: Stage, timeout: Duration, lacking: Vec<String>) -> Outcome {
    let text = format!(
        "the values were not there within {} s; see whether the backend answers, or give --timeout",
        timeout.as_secs()
    );
    Outcome::TimedOut(Box::new(Failure::new(stage, Code::Timeout, text)), lacking)
}

fn lacking(read: &Read) -> String {
    let what = match &read.wanted {
        Wanted::Search(_) => format!("what is found by \"{}\"", read.key()),
        Wanted::Object(object) => match &object.pick.property {
            Some(property) => format!("key \"{}\" property \"{property}\"", object.key),
            None => format!("key \"{}\"", object.key),
        },
    };
    format!("{what} of {}", read.store)
}

/// Who writes which target; the first by name has it.
fn owners(manifests: &Manifests) -> BTreeMap<Name, &Name> {
    let mut owners = BTreeMap::new();
    for (name, object) in &manifests.external_secrets {
        owners
            .entry((name.0.clone(), plan::target_name(object)))
            .or_insert(name);
    }
    owners
}

fn other_owner(name: &Name, sync: &SyncPlan, targets: &BTreeMap<Name, &Name>) -> Option<Failure> {
    let owner = targets.get(&(sync.namespace.clone(), sync.target_name.clone()))?;
    (*owner != name).then(|| {
        let text = format!(
            "target is owned by another ExternalSecret: secret \"{}\" belongs to \"{}\"; give one of them another spec.target.name",
            sync.target_name, owner.1
        );
        Failure::new(Stage::Commit, Code::TargetOwned, text)
    })
}

fn row_of(name: &Name, object: &ExternalSecret) -> Row {
    Row {
        kind: "ExternalSecret",
        namespace: name.0.clone(),
        name: name.1.clone(),
        target: Some(plan::target_name(object)),
        keys: Vec::new(),
        outcome: Outcome::Ignored,
        next: None,
        plugin: None,
    }
}

fn store_row((id, check): (&StoreId, &Result<Arc<Store>, Outcome>)) -> Row {
    let kind = match id.kind {
        StoreKind::SecretStore => "SecretStore",
        StoreKind::ClusterSecretStore => "ClusterSecretStore",
    };
    let outcome = match check {
        Ok(_) => Outcome::Ready,
        Err(outcome) => outcome.clone(),
    };
    Row {
        kind,
        namespace: id.namespace.clone(),
        name: id.name.clone(),
        target: None,
        keys: Vec::new(),
        outcome,
        next: None,
        plugin: None,
    }
}

/// A failure that may pass by itself is tried again after this long, or at the interval where that is shorter.
pub(crate) const AGAIN: Duration = Duration::from_secs(30);

/// When a watching run syncs it again; none where only a change of the folder can matter.
fn next(object: &ExternalSecret, outcome: &Outcome, now: Timestamp) -> Option<Timestamp> {
    let interval = plan::interval(object).ok()?;
    let retry = match outcome {
        Outcome::Failed(failure) | Outcome::TimedOut(failure, _) => Some(failure.code.retry()),
        _ => None,
    };
    let periodic = object.spec.refresh_policy.unwrap_or_default() == RefreshPolicy::Periodic
        && !interval.is_zero();
    let wait = match (retry, periodic) {
        (Some(Retry::OnChange), _) => return None,
        (Some(Retry::Backoff), true) => interval.min(AGAIN),
        (Some(Retry::Backoff), false) => AGAIN,
        (Some(Retry::AtInterval), false) => schedule::DEFAULT_INTERVAL,
        (None, false) => return None,
        (None | Some(Retry::AtInterval), true) => interval,
    };
    let at = now
        .checked_add(jiff::SignedDuration::try_from(wait).ok()?)
        .ok()?;
    match (&object.spec.sync_windows, retry) {
        (Some(windows), None) => windows::next_allowed(windows, at),
        _ => Some(at),
    }
}

/// The folder of the results must not lie in the folder of the manifests: results would be read as manifests.
#[must_use]
pub fn overlaps(from: &Path, to: &Path) -> bool {
    let real = |path: &Path| -> PathBuf {
        // What does not exist yet is judged by the nearest folder that does.
        let nearest = path
            .ancestors()
            .find_map(|p| Some((p, p.canonicalize().ok()?)));
        match nearest {
            Some((existing, real)) => {
                real.join(path.strip_prefix(existing).unwrap_or(Path::new("")))
            }
            None => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        }
    };
    let absolute = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
    real(&absolute).starts_with(real(from))
}
