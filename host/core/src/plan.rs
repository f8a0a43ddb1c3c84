//! Step 2 of a sync: what was observed becomes what to do.
//!
//! Nothing is read here; the plan names the reads, the rules by which their answers become keys, and the target. What
//! this version does not serve is refused with a text that says so: the Secret that exists stays as it is.

mod due;
mod reads;
mod safety;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube_core::ResourceExt as _;
use postern_api::ExternalSecret;
use postern_api::external_secret::{
    CreationPolicy, SourceRef, StoreKind, StoreRef, TargetTemplate,
};

pub use due::{current_version, interval, last_refresh, seed};
pub use reads::{Entry, Object, Position, Read, Wanted, WhenAbsent};
pub use target::target_name;
pub(crate) use target::{Goes, goes_to};

use crate::absence;
use crate::access::{self, Denied};
use crate::delimiters::Delimiters;
use crate::failure::{Code, Failure, Stage};
use crate::generic::Kind;
use crate::store::{Store, StoreId};
use crate::windows;

/// Settings of the process that a plan depends on.
#[derive(Clone, Debug, Default)]
pub struct PlanSettings {
    /// Stores with another class are left alone; a store without a class is everybody's.
    pub controller_class: String,
    /// What marks the actions of templates, where the ExternalSecret does not say it itself.
    pub delimiters: Delimiters,
    /// ExternalSecrets whose own store is a ClusterSecretStore are left alone: another process serves them.
    pub ignore_cluster_stores: bool,
    /// What is read must be allowed by a StoreAccess or ClusterStoreAccess, from every namespace.
    pub require_store_access: bool,
    /// Whether targets may be other objects than Secrets; only in a cluster.
    pub generic_targets: bool,
}

/// What is known of a store.
#[derive(Clone, Debug)]
pub enum StoreState {
    /// There is no such object.
    Missing,
    /// It is there and not ready; the text says why.
    NotReady(String),
    /// It can be used.
    Ready(Arc<Store>),
    /// Another controller's.
    Foreign,
}

/// What is known of the target without its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetMeta {
    /// UID of the Secret.
    pub uid: String,
    /// The version that was seen.
    pub resource_version: String,
    /// It carries the managed label.
    pub managed: bool,
    /// The data hash it claims.
    pub data_hash_annotation: Option<String>,
    /// The hash of the data it has; none where it was not read.
    pub actual_hash: Option<String>,
}

impl TargetMeta {
    fn is_valid(&self) -> bool {
        self.managed && self.actual_hash.is_some() && self.actual_hash == self.data_hash_annotation
    }
}

/// All that a plan is made of.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The ExternalSecret.
    pub object: ExternalSecret,
    /// The stores that it names; see [`stores_of`].
    pub stores: BTreeMap<StoreId, StoreState>,
    /// Labels of its namespace.
    pub namespace_labels: BTreeMap<String, String>,
    /// What restricts those stores.
    pub access: access::Known,
    /// The target, where it exists.
    pub target: Option<TargetMeta>,
    /// The time.
    pub now: Timestamp,
    /// Settings of the process.
    pub settings: PlanSettings,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Nothing until then; for ever where there is no time.
    Idle {
        /// When to look again.
        until: Option<Timestamp>,
    },
    /// Another controller's object.
    Ignore,
    /// The object is going; what the peer left on it is taken off.
    Remove,
    /// It cannot be done.
    Refuse(Failure),
    /// It asks for what its namespace may not read.
    Deny(Denied),
    /// Read, shape, render and write.
    Sync(Box<SyncPlan>),
}

/// An object in the ExternalSecret's namespace that holds templates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TemplateObject {
    /// A ConfigMap.
    ConfigMap(String),
    /// A Secret.
    Secret(String),
}

impl std::fmt::Display for TemplateObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ConfigMap(name) => write!(f, "ConfigMap \"{name}\""),
            Self::Secret(name) => write!(f, "Secret \"{name}\""),
        }
    }
}

/// A sync that can be done.
#[derive(Clone, Debug)]
pub struct SyncPlan {
    /// Namespace of the ExternalSecret and of the target.
    pub namespace: String,
    /// Name of the ExternalSecret.
    pub name: String,
    /// The stores that are read.
    pub stores: BTreeMap<StoreId, Arc<Store>>,
    /// What to read, in the order in which later keys win.
    pub reads: Vec<Read>,
    /// What becomes of each read.
    pub entries: Vec<Entry>,
    /// Name of the target.
    pub target_name: String,
    /// What kind of object the target is; none for a Secret.
    pub manifest: Option<Kind>,
    /// Who makes the Secret, and whose it is.
    pub creation: CreationPolicy,
    /// It is made immutable, and keeps the data it has.
    pub immutable: bool,
    /// The name of an earlier target, which is deleted if it is still ours.
    pub left_over: Option<String>,
    /// Objects that hold templates of the target.
    pub template_sources: BTreeSet<TemplateObject>,
    /// What becomes of the target where objects do not exist.
    pub absence: absence::Rule,
    /// How the Secret is made of the values.
    pub template: Option<TargetTemplate>,
    /// What marks the actions of its templates.
    pub delimiters: Delimiters,
    /// Labels of the ExternalSecret, which a target without a template gets.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the ExternalSecret, likewise.
    pub annotations: BTreeMap<String, String>,
}

impl SyncPlan {
    /// A plan that reads nothing yet, for a target that its ExternalSecret owns and that has no template.
    #[must_use]
    pub fn plain(namespace: &str, name: &str, target_name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            stores: BTreeMap::new(),
            reads: Vec::new(),
            entries: Vec::new(),
            target_name: target_name.to_owned(),
            manifest: None,
            creation: CreationPolicy::default(),
            immutable: false,
            left_over: None,
            template_sources: BTreeSet::new(),
            absence: absence::Rule::default(),
            template: None,
            delimiters: Delimiters::default(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }
}

/// The stores that an ExternalSecret names, each once.
#[must_use]
pub fn stores_of(object: &ExternalSecret) -> BTreeSet<StoreId> {
    let namespace = object.namespace().unwrap_or_default();
    let spec = &object.spec;
    let own = |source: &Option<SourceRef>| source.as_ref().and_then(|s| s.store_ref.clone());
    let entries = spec
        .data
        .iter()
        .flatten()
        .map(|d| own(&d.source_ref))
        .chain(spec.data_from.iter().flatten().map(|d| own(&d.source_ref)));
    entries
        .filter_map(|own| store_id(own.as_ref().or(spec.secret_store_ref.as_ref()), &namespace))
        .chain(store_id(spec.secret_store_ref.as_ref(), &namespace))
        .collect()
}

fn store_id(store: Option<&StoreRef>, namespace: &str) -> Option<StoreId> {
    let store = store?;
    let name = store.name.as_deref().filter(|n| !n.is_empty())?;
    Some(StoreId::from_ref(
        store.kind.unwrap_or_default(),
        name,
        namespace,
    ))
}

/// Decides what to do.
#[must_use]
pub fn plan(observed: &Observed) -> Plan {
    if observed.object.metadata.deletion_timestamp.is_some() {
        return Plan::Remove;
    }
    if is_foreign(observed) {
        return Plan::Ignore;
    }
    let idle = due::idle(observed);
    // What is never read again is not refused any more.
    if idle != Some(None)
        && let Some(denied) = reads::denied(observed)
    {
        return Plan::Deny(denied);
    }
    if let Some(until) = idle.filter(|until| until.is_none() || !target::was_denied(observed)) {
        return Plan::Idle { until };
    }
    match sync_plan(observed) {
        Ok(sync) => Plan::Sync(Box::new(sync)),
        Err(failure) => Plan::Refuse(failure),
    }
}

fn is_foreign(observed: &Observed) -> bool {
    let settings = &observed.settings;
    let own = observed.object.spec.secret_store_ref.as_ref();
    let of_cluster = own.and_then(|own| own.kind) == Some(StoreKind::ClusterSecretStore);
    if of_cluster && settings.ignore_cluster_stores {
        return true;
    }
    observed.stores.values().any(|state| match state {
        StoreState::Ready(store) => !store.is_of_class(&settings.controller_class),
        StoreState::Foreign => true,
        StoreState::Missing | StoreState::NotReady(_) => false,
    })
}

fn invalid(text: impl AsRef<str>) -> Failure {
    Failure::new(Stage::Plan, Code::InvalidSpec, text)
}

fn unsupported(field: &str) -> Failure {
    Failure::new(
        Stage::Plan,
        Code::Unsupported,
        format!("{field} is not served by this version; the Secret is left as it is"),
    )
}

fn sync_plan(observed: &Observed) -> Result<SyncPlan, Failure> {
    let object = &observed.object;
    safety::check(object)?;
    let manifest = target::manifest(observed)?;
    target::check_template(object)?;
    interval(object)?;
    windows::check(object.spec.sync_windows.as_ref()).map_err(invalid)?;
    let target_name = target_name(object);
    target::check_name("the target's name", &target_name)?;
    let namespace = object.namespace().unwrap_or_default();
    let (mut reads, entries) = reads::all(object, &namespace)?;
    reads::confine(observed, &mut reads, &entries)?;
    Ok(SyncPlan {
        stores: reads::usable_stores(observed, &reads, &namespace)?,
        name: object.name_any(),
        creation: target::creation(object),
        immutable: target::is_immutable(object),
        left_over: target::left_over(object, &target_name),
        template_sources: target::template_sources(object),
        target_name,
        manifest,
        absence: target::absence_rule(observed),
        template: object.spec.target.as_ref().and_then(|t| t.template.clone()),
        delimiters: Delimiters::of(object, &observed.settings.delimiters)?,
        labels: object.labels().clone(),
        annotations: object.annotations().clone(),
        namespace,
        reads,
        entries,
    })
}
