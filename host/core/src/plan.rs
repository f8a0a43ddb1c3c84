//! Step 2 of a sync: what was observed becomes what to do.
//!
//! Nothing is read here; the plan names the reads, the rules by which their answers become keys, and the target. What
//! this version does not serve is refused with a text that says so: the Secret that exists stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube_core::ResourceExt as _;
use postern_api::external_secret::{
    ConversionStrategy, CreationPolicy, DataFrom, DecodingStrategy, DeletionPolicy, MetadataPolicy,
    NullBytePolicy, RefreshPolicy, RemoteRef, SourceRef, StoreRef, TargetTemplate,
};
use postern_api::{ExternalSecret, names};

use crate::absence;
use crate::failure::{Code, Failure, Stage};
use crate::go;
use crate::plugin::Pick;
use crate::schedule;
use crate::store::{Store, StoreId};

/// Settings of the process that a plan depends on.
#[derive(Clone, Debug, Default)]
pub struct PlanSettings {
    /// Stores with another class are left alone; a store without a class is everybody's.
    pub controller_class: String,
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
    /// Read, shape, render and write.
    Sync(Box<SyncPlan>),
}

/// One object to read, and what to take from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// From which store.
    pub store: StoreId,
    /// The provider's name of the object.
    pub key: String,
    /// Which version.
    pub version: Option<String>,
    /// Labels or tags instead of the value.
    pub metadata: bool,
    /// What to take.
    pub pick: Pick,
}

/// Where an entry stands in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// `spec.data[i]`.
    Data(usize),
    /// `spec.dataFrom[i].extract`.
    Extract(usize),
}

/// How the answer of one read becomes keys and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// The target's key, for `data`.
    pub secret_key: Option<String>,
    /// How member names become keys.
    pub conversion: ConversionStrategy,
    /// How values are decoded.
    pub decoding: DecodingStrategy,
    /// What to do with zero bytes.
    pub null_bytes: NullBytePolicy,
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
    /// Name of the Secret.
    pub target_name: String,
    /// What becomes of the target where objects do not exist.
    pub absence: absence::Rule,
    /// How the Secret is made of the values.
    pub template: Option<TargetTemplate>,
    /// Labels of the ExternalSecret, which a target without a template gets.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the ExternalSecret, likewise.
    pub annotations: BTreeMap<String, String>,
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
    if let Some(until) = idle(observed) {
        return Plan::Idle { until };
    }
    match sync_plan(observed) {
        Ok(sync) => Plan::Sync(Box::new(sync)),
        Err(failure) => Plan::Refuse(failure),
    }
}

fn is_foreign(observed: &Observed) -> bool {
    observed.stores.values().any(|state| match state {
        StoreState::Ready(store) => {
            !store.controller.is_empty() && store.controller != observed.settings.controller_class
        }
        StoreState::Missing | StoreState::NotReady(_) => false,
    })
}

/// `Some` where nothing is due: until when.
fn idle(observed: &Observed) -> Option<Option<Timestamp>> {
    let status = observed.object.status.as_ref()?;
    let last = last_refresh(&observed.object)?;
    let synced = status
        .synced_resource_version
        .as_deref()
        .filter(|v| !v.is_empty())?;
    let as_it_shall_be = match &observed.target {
        Some(target) => target.is_valid(),
        None => was_deleted(&observed.object),
    };
    if !as_it_shall_be {
        return None;
    }
    let changed = synced != current_version(&observed.object);
    match observed.object.spec.refresh_policy.unwrap_or_default() {
        RefreshPolicy::CreatedOnce => Some(None),
        RefreshPolicy::OnChange => (!changed).then_some(None),
        RefreshPolicy::Periodic => {
            let interval = interval(&observed.object).ok()?;
            if interval.is_zero() {
                return Some(None);
            }
            let due = schedule::next_due(last, interval, &seed(&observed.object));
            (!changed && last <= observed.now && observed.now < due).then_some(Some(due))
        }
    }
}

/// When the last sync that succeeded began.
#[must_use]
pub fn last_refresh(object: &ExternalSecret) -> Option<Timestamp> {
    object.status.as_ref()?.refresh_time.as_ref()?.parse().ok()
}

/// Generation, labels and annotations of the object as one text.
#[must_use]
pub fn current_version(object: &ExternalSecret) -> String {
    go::synced_resource_version(
        object.metadata.generation.unwrap_or(0),
        object.annotations(),
        object.labels(),
    )
}

/// The refresh interval; zero means once.
pub fn interval(object: &ExternalSecret) -> Result<Duration, Failure> {
    match object.spec.refresh_interval.as_deref() {
        None => Ok(schedule::DEFAULT_INTERVAL),
        Some(text) => {
            go::parse_duration(text).map_err(|e| invalid(format!("spec.refreshInterval: {e}")))
        }
    }
}

/// What names the reading, so that those who read the same come due together.
#[must_use]
pub fn seed(object: &ExternalSecret) -> String {
    let store = stores_of(object)
        .into_iter()
        .next()
        .map(|s| format!("{s}/{}", s.namespace))
        .unwrap_or_default();
    let spec = &object.spec;
    let extract = spec
        .data_from
        .iter()
        .flatten()
        .find_map(|d| d.extract.as_ref())
        .map(|r| &r.key);
    let key = spec
        .data
        .iter()
        .flatten()
        .next()
        .map(|d| &d.remote_ref.key)
        .or(extract);
    format!("{store}/{}", key.map(String::as_str).unwrap_or_default())
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
    check_policies(object)?;
    refuse_unserved(object)?;
    interval(object)?;
    let target_name = target_name(object);
    check_name("the target's name", &target_name)?;
    let namespace = object.namespace().unwrap_or_default();
    let mut reads = Vec::new();
    let mut entries = Vec::new();
    for (index, from) in object.spec.data_from.iter().flatten().enumerate() {
        let at = format!("spec.dataFrom[{index}]");
        let extract = extract_of(from, &at)?;
        let store = source(object, from.source_ref.as_ref(), &namespace, &at)?;
        reads.push(read(store, extract, true, &at)?);
        entries.push(entry(Position::Extract(index), None, extract));
    }
    for (index, data) in object.spec.data.iter().flatten().enumerate() {
        let at = format!("spec.data[{index}]");
        check_key(&format!("{at}.secretKey"), &data.secret_key)?;
        let store = source(object, data.source_ref.as_ref(), &namespace, &at)?;
        reads.push(read(store, &data.remote_ref, false, &at)?);
        entries.push(entry(
            Position::Data(index),
            Some(data.secret_key.clone()),
            &data.remote_ref,
        ));
    }
    if reads.is_empty() {
        return Err(invalid(
            "the ExternalSecret reads nothing; give it spec.data or spec.dataFrom",
        ));
    }
    Ok(SyncPlan {
        stores: usable_stores(observed, &reads, &namespace)?,
        name: object.name_any(),
        target_name,
        absence: absence_rule(observed),
        template: object.spec.target.as_ref().and_then(|t| t.template.clone()),
        labels: object.labels().clone(),
        annotations: object.annotations().clone(),
        namespace,
        reads,
        entries,
    })
}

/// A target that has been written and is not seen now may have lost its label: it counts as one that exists.
fn absence_rule(observed: &Observed) -> absence::Rule {
    let object = &observed.object;
    let target = object.spec.target.as_ref();
    absence::Rule {
        policy: target.and_then(|t| t.deletion_policy).unwrap_or_default(),
        interval: interval(object)
            .ok()
            .filter(|i| !i.is_zero())
            .unwrap_or(schedule::DEFAULT_INTERVAL),
        at_stake: observed.target.is_some()
            || (last_refresh(object).is_some() && !was_deleted(object)),
    }
}

/// Whether the last thing said of the object is that its target was deleted because the backend has nothing for it.
fn was_deleted(object: &ExternalSecret) -> bool {
    let conditions = object.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.reason.as_deref() == Some(names::reason::SECRET_DELETED))
}

/// The name of the target.
#[must_use]
pub fn target_name(object: &ExternalSecret) -> String {
    let named = object
        .spec
        .target
        .as_ref()
        .and_then(|t| t.name.clone())
        .filter(|n| !n.is_empty());
    named.unwrap_or_else(|| object.name_any())
}

/// Only what is wholly ours can be deleted, and only what we write can lose keys.
fn check_policies(object: &ExternalSecret) -> Result<(), Failure> {
    let target = object.spec.target.clone().unwrap_or_default();
    let creation = target.creation_policy.unwrap_or_default();
    let text = match target.deletion_policy.unwrap_or_default() {
        DeletionPolicy::Delete if creation != CreationPolicy::Owner => {
            "deletionPolicy Delete needs creationPolicy Owner: another's Secret is not ours to delete"
        }
        DeletionPolicy::Merge if creation == CreationPolicy::None => {
            "deletionPolicy Merge does not go with creationPolicy None: nothing is written that could lose a key"
        }
        _ => return Ok(()),
    };
    Err(invalid(format!("spec.target: {text}")))
}

fn refuse_unserved(object: &ExternalSecret) -> Result<(), Failure> {
    let spec = &object.spec;
    let target = spec.target.clone().unwrap_or_default();
    let template = target.template.clone().unwrap_or_default();
    let unserved = [
        (spec.sync_windows.is_some(), "spec.syncWindows"),
        (target.manifest.is_some(), "spec.target.manifest"),
        (target.immutable == Some(true), "spec.target.immutable"),
        (
            target.creation_policy.unwrap_or_default() != CreationPolicy::Owner,
            "a spec.target.creationPolicy other than Owner",
        ),
        (
            template.template_from.is_some_and(|t| !t.is_empty()),
            "spec.target.template.templateFrom",
        ),
    ];
    match unserved.iter().find(|(asked, _)| *asked) {
        Some((_, field)) => Err(unsupported(field)),
        None => Ok(()),
    }
}

fn extract_of<'a>(from: &'a DataFrom, at: &str) -> Result<&'a RemoteRef, Failure> {
    if from.find.is_some() {
        return Err(unsupported(&format!("{at}.find")));
    }
    if from.rewrite.as_ref().is_some_and(|r| !r.is_empty()) {
        return Err(unsupported(&format!("{at}.rewrite")));
    }
    if from
        .source_ref
        .as_ref()
        .is_some_and(|s| s.generator_ref.is_some())
    {
        return Err(unsupported(&format!("{at}.sourceRef.generatorRef")));
    }
    from.extract.as_ref().ok_or_else(|| {
        invalid(format!(
            "{at} needs exactly one of extract, find or sourceRef.generatorRef"
        ))
    })
}

fn source(
    object: &ExternalSecret,
    own: Option<&SourceRef>,
    namespace: &str,
    at: &str,
) -> Result<StoreId, Failure> {
    if own.is_some_and(|s| s.generator_ref.is_some()) {
        return Err(unsupported(&format!("{at}.sourceRef.generatorRef")));
    }
    let own = own.and_then(|s| s.store_ref.as_ref());
    store_id(own.or(object.spec.secret_store_ref.as_ref()), namespace).ok_or_else(|| {
        invalid(format!(
            "{at} names no store; give spec.secretStoreRef.name, or {at}.sourceRef.storeRef.name"
        ))
    })
}

fn read(store: StoreId, remote: &RemoteRef, members: bool, at: &str) -> Result<Read, Failure> {
    if remote.key.is_empty() {
        return Err(invalid(format!("{at} has an empty key")));
    }
    let some = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    Ok(Read {
        store,
        key: remote.key.clone(),
        version: some(&remote.version),
        metadata: remote.metadata_policy.unwrap_or_default() == MetadataPolicy::Fetch,
        pick: Pick {
            property: some(&remote.property),
            members,
        },
    })
}

fn entry(position: Position, secret_key: Option<String>, remote: &RemoteRef) -> Entry {
    Entry {
        position,
        secret_key,
        conversion: remote.conversion_strategy.unwrap_or_default(),
        decoding: remote.decoding_strategy.unwrap_or_default(),
        null_bytes: remote.null_byte_policy.unwrap_or_default(),
    }
}

fn usable_stores(
    observed: &Observed,
    reads: &[Read],
    namespace: &str,
) -> Result<BTreeMap<StoreId, Arc<Store>>, Failure> {
    let mut stores = BTreeMap::new();
    for id in reads.iter().map(|r| &r.store).collect::<BTreeSet<_>>() {
        let store = match observed.stores.get(id) {
            None | Some(StoreState::Missing) => {
                let place = if id.namespace.is_empty() {
                    String::new()
                } else {
                    format!(" in namespace \"{}\"", id.namespace)
                };
                return Err(Failure::new(
                    Stage::Plan,
                    Code::StoreMissing,
                    format!("{id} does not exist{place}; create it, or correct the reference"),
                ));
            }
            Some(StoreState::NotReady(why)) => {
                let text = format!("{id} is not ready: {why}");
                return Err(Failure::new(Stage::Plan, Code::StoreNotReady, text));
            }
            Some(StoreState::Ready(store)) => store,
        };
        store.admits(namespace, &observed.namespace_labels)?;
        stores.insert(id.clone(), Arc::clone(store));
    }
    Ok(stores)
}

/// Object names are RFC 1123 subdomains of at most 253 characters.
fn check_name(what: &str, name: &str) -> Result<(), Failure> {
    if name.len() > 253 {
        return Err(invalid(format!(
            "{what} has {} characters; a Secret's name has at most 253",
            name.len()
        )));
    }
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if name.split('.').all(label) {
        Ok(())
    } else {
        Err(invalid(format!(
            "{what} \"{name}\" is not allowed; use lower case letters, digits, - and ."
        )))
    }
}

fn check_key(what: &str, key: &str) -> Result<(), Failure> {
    if key.is_empty() || key.len() > 253 {
        return Err(invalid(format!(
            "{what} has {} characters; a key has 1 to 253",
            key.len()
        )));
    }
    if key
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    {
        Ok(())
    } else {
        Err(invalid(format!(
            "{what} \"{key}\" is not allowed; use letters, digits, -, . and _"
        )))
    }
}
