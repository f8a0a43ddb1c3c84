//! What is read, from which stores, and by which rules the answers become keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube_core::ResourceExt as _;
use postern_api::ExternalSecret;
use postern_api::external_secret::{
    ConversionStrategy, Data, DataFrom, DecodingStrategy, Find, MergeStrategy, MetadataPolicy,
    NullBytePolicy, RemoteRef, Rewrite as RewriteSpec, SourceRef,
};

use super::target::check_key;
use super::{Observed, StoreState, invalid, store_id, unsupported};
use crate::access::{self, Allowance, Denied};
use crate::failure::{Code, Failure, Stage};
use crate::plugin::{Pick, Query};
use crate::re2::Pattern;
use crate::shape::Rewrite;
use crate::store::{Store, StoreId};

/// What one entry reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// From which store.
    pub store: StoreId,
    /// What.
    pub wanted: Wanted,
    /// What a search may take in, where the store is restricted.
    pub within: Option<Arc<Allowance>>,
}

/// An object, or all objects that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One object, and what to take from it.
    Object(Object),
    /// All objects that match, each as a whole. The answer has them as members by name.
    Search(Query),
}

/// One object to read, and what to take from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The provider's name of the object.
    pub key: String,
    /// Which version.
    pub version: Option<String>,
    /// Labels or tags instead of the value.
    pub metadata: bool,
    /// What to take.
    pub pick: Pick,
}

impl Read {
    /// For messages: the provider's name of the object, or what is searched.
    #[must_use]
    pub fn key(&self) -> &str {
        match &self.wanted {
            Wanted::Object(object) => &object.key,
            Wanted::Search(query) => query
                .name
                .as_deref()
                .or(query.path.as_deref())
                .unwrap_or("*"),
        }
    }

    /// Whether it is a search.
    #[must_use]
    pub fn is_search(&self) -> bool {
        matches!(self.wanted, Wanted::Search(_))
    }
}

/// Where an entry stands in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// `spec.data[i]`.
    Data(usize),
    /// `spec.dataFrom[i].extract`.
    Extract(usize),
    /// `spec.dataFrom[i].find`.
    Find(usize),
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Data(at) => write!(f, "spec.data[{at}]"),
            Self::Extract(at) => write!(f, "spec.dataFrom[{at}].extract"),
            Self::Find(at) => write!(f, "spec.dataFrom[{at}].find"),
        }
    }
}

/// What an entry does where its object, or the property of it, does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WhenAbsent {
    /// It fails, unless the deletion policy passes it over.
    #[default]
    Fail,
    /// It makes no key.
    LeaveOut,
    /// It makes its key of this.
    Default(String),
}

impl WhenAbsent {
    /// Whether the entry goes on after this failure. That a property is missing counts only where the object itself could
    /// be read: a plugin says of a missing mount the same.
    #[must_use]
    pub fn takes(&self, code: Code, of_a_part: bool) -> bool {
        let absent = code == Code::Absent || (of_a_part && code == Code::NotFound);
        absent && *self != Self::Fail
    }
}

/// How the answer of one read becomes keys and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// The target's key, for `data`.
    pub secret_key: Option<String>,
    /// How names become other keys, step by step.
    pub rewrite: Vec<Rewrite>,
    /// How names become keys, where nothing is rewritten.
    pub conversion: ConversionStrategy,
    /// How values are decoded.
    pub decoding: DecodingStrategy,
    /// What to do with zero bytes.
    pub null_bytes: NullBytePolicy,
    /// What to do where there is nothing to read.
    pub when_absent: WhenAbsent,
}

impl Entry {
    /// An entry that takes its answer as it is.
    #[must_use]
    pub fn plain(position: Position, secret_key: Option<String>) -> Self {
        Self {
            position,
            secret_key,
            rewrite: Vec::new(),
            conversion: ConversionStrategy::default(),
            decoding: DecodingStrategy::default(),
            null_bytes: NullBytePolicy::default(),
            when_absent: WhenAbsent::default(),
        }
    }
}

/// All reads with their entries, in the order in which later keys win: `dataFrom`, then `data`. There may be none where no
/// rule of the definition was held against the object; then nothing is known of the target, and nothing of it goes.
pub(super) fn all(
    object: &ExternalSecret,
    namespace: &str,
) -> Result<(Vec<Read>, Vec<Entry>), Failure> {
    let mut all = Vec::new();
    for (index, from) in object.spec.data_from.iter().flatten().enumerate() {
        let at = format!("spec.dataFrom[{index}]");
        let (wanted, entry) = data_from(index, from, &at)?;
        let store = source(object, from.source_ref.as_ref(), namespace, &at)?;
        all.push((read(store, wanted), entry));
    }
    for (index, data) in object.spec.data.iter().flatten().enumerate() {
        let at = format!("spec.data[{index}]");
        check_key(&format!("{at}.secretKey"), &data.secret_key)?;
        let store = source(object, data.source_ref.as_ref(), namespace, &at)?;
        let wanted = one(&data.remote_ref, false, &format!("{at}.remoteRef"))?;
        all.push((read(store, wanted), data_entry(index, data)));
    }
    Ok(all.into_iter().unzip())
}

fn read(store: StoreId, wanted: Wanted) -> Read {
    Read {
        store,
        wanted,
        within: None,
    }
}

/// What the namespace may not read of all that the ExternalSecret names. One that cannot be read at all has a failure of its
/// own.
pub(super) fn denied(observed: &Observed) -> Option<Denied> {
    let namespace = observed.object.namespace().unwrap_or_default();
    let (mut reads, entries) = all(&observed.object, &namespace).ok()?;
    held_against(observed, &mut reads, &entries).err()
}

/// Puts into each search of a restricted store what it may take in. Errors: something may not be read.
pub(super) fn confine(
    observed: &Observed,
    reads: &mut [Read],
    entries: &[Entry],
) -> Result<(), Failure> {
    held_against(observed, reads, entries).map_err(|denied| denied.failure())
}

fn held_against(observed: &Observed, reads: &mut [Read], entries: &[Entry]) -> Result<(), Denied> {
    let namespace = observed.object.namespace().unwrap_or_default();
    let mut refusals = Vec::new();
    for (read, entry) in reads.iter_mut().zip(entries) {
        match access::judge(observed, &namespace, entry.position, read) {
            Ok(within) => read.within = within,
            Err(refusal) => refusals.push(*refusal),
        }
    }
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(Denied { refusals })
    }
}

fn data_entry(index: usize, data: &Data) -> Entry {
    let mut entry = Entry::plain(Position::Data(index), Some(data.secret_key.clone()));
    entry.decoding = data.remote_ref.decoding_strategy.unwrap_or_default();
    entry.null_bytes = data.remote_ref.null_byte_policy.unwrap_or_default();
    entry.when_absent = match (&data.default, data.optional) {
        (Some(value), _) => WhenAbsent::Default(value.clone()),
        (None, Some(true)) => WhenAbsent::LeaveOut,
        (None, None | Some(false)) => WhenAbsent::Fail,
    };
    entry
}

fn data_from(index: usize, from: &DataFrom, at: &str) -> Result<(Wanted, Entry), Failure> {
    let generator = from
        .source_ref
        .as_ref()
        .and_then(|s| s.generator_ref.as_ref());
    let (wanted, mut entry) = match (&from.extract, &from.find, generator) {
        (Some(extract), None, None) => {
            let mut entry = Entry::plain(Position::Extract(index), None);
            entry.conversion = extract.conversion_strategy.unwrap_or_default();
            entry.decoding = extract.decoding_strategy.unwrap_or_default();
            entry.null_bytes = extract.null_byte_policy.unwrap_or_default();
            (one(extract, true, &format!("{at}.extract"))?, entry)
        }
        (None, Some(find), None) => {
            let mut entry = Entry::plain(Position::Find(index), None);
            entry.conversion = find.conversion_strategy.unwrap_or_default();
            entry.decoding = find.decoding_strategy.unwrap_or_default();
            entry.null_bytes = find.null_byte_policy.unwrap_or_default();
            (search(find, at)?, entry)
        }
        (None, None, Some(_)) => {
            return Err(unsupported(&format!("{at}.sourceRef.generatorRef")));
        }
        _ => {
            return Err(invalid(format!(
                "{at} needs exactly one of extract, find or sourceRef.generatorRef"
            )));
        }
    };
    if from.optional == Some(true) {
        entry.when_absent = WhenAbsent::LeaveOut;
    }
    for (step, rewrite) in from.rewrite.iter().flatten().enumerate() {
        let at = format!("{at}.rewrite[{step}]");
        entry.rewrite.push(rewrite_step(rewrite, &at)?);
    }
    Ok((wanted, entry))
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

fn some(text: Option<&String>) -> Option<String> {
    text.filter(|t| !t.is_empty()).cloned()
}

fn one(remote: &RemoteRef, members: bool, at: &str) -> Result<Wanted, Failure> {
    if remote.key.is_empty() {
        return Err(invalid(format!("{at}.key is empty")));
    }
    Ok(Wanted::Object(Object {
        key: remote.key.clone(),
        version: some(remote.version.as_ref()),
        metadata: remote.metadata_policy.unwrap_or_default() == MetadataPolicy::Fetch,
        pick: Pick {
            property: some(remote.property.as_ref()),
            members,
        },
    }))
}

fn search(find: &Find, at: &str) -> Result<Wanted, Failure> {
    // An expression that is there and empty matches every name.
    let name = find.name.as_ref();
    let name = name.map(|n| n.regexp.clone().unwrap_or_default());
    if let Some(source) = &name {
        pattern(source, &format!("{at}.find.name.regexp"))?;
    }
    let tags = find.tags.iter().flatten();
    Ok(Wanted::Search(Query {
        path: some(find.path.as_ref()),
        tags: tags.map(|(k, v)| (k.clone(), v.clone())).collect(),
        name,
        conversion: find.conversion_strategy.unwrap_or_default(),
    }))
}

fn pattern(source: &str, at: &str) -> Result<Pattern, Failure> {
    Pattern::parse(source)
        .map_err(|error| invalid(format!("{at} \"{source}\" is no RE2 expression: {error}")))
}

fn rewrite_step(rewrite: &RewriteSpec, at: &str) -> Result<Rewrite, Failure> {
    match (&rewrite.merge, &rewrite.regexp, &rewrite.transform) {
        (Some(merge), None, None) => {
            let json = merge.strategy.unwrap_or_default() == MergeStrategy::JSON;
            if json && merge.into.as_ref().is_none_or(String::is_empty) {
                return Err(invalid(format!(
                    "{at}.merge.into is empty; strategy JSON needs a key to write to"
                )));
            }
            Ok(Rewrite::Merge(merge.clone()))
        }
        (None, Some(regexp), None) => Ok(Rewrite::Regexp {
            source: pattern(&regexp.source, &format!("{at}.regexp.source"))?,
            target: regexp.target.clone(),
        }),
        (None, None, Some(transform)) => Ok(Rewrite::Transform {
            template: transform.template.clone(),
        }),
        _ => Err(invalid(format!(
            "{at} needs exactly one of regexp, transform or merge"
        ))),
    }
}

pub(super) fn usable_stores(
    observed: &Observed,
    reads: &[Read],
    namespace: &str,
) -> Result<BTreeMap<StoreId, Arc<Store>>, Failure> {
    let mut stores = BTreeMap::new();
    for id in reads.iter().map(|r| &r.store).collect::<BTreeSet<_>>() {
        let store = match observed.stores.get(id) {
            None | Some(StoreState::Missing | StoreState::Foreign) => {
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
