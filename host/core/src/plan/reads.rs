//! What is read, from which stores, and by which rules the answers become keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use postern_api::ExternalSecret;
use postern_api::external_secret::{DataFrom, MetadataPolicy, RemoteRef, SourceRef};

use super::target::check_key;
use super::{Entry, Observed, Position, Read, StoreState, invalid, store_id, unsupported};
use crate::failure::{Code, Failure, Stage};
use crate::plugin::Pick;
use crate::store::{Store, StoreId};

/// All reads with their entries, in the order in which later keys win: `dataFrom`, then `data`.
pub(super) fn all(
    object: &ExternalSecret,
    namespace: &str,
) -> Result<(Vec<Read>, Vec<Entry>), Failure> {
    let mut reads = Vec::new();
    let mut entries = Vec::new();
    for (index, from) in object.spec.data_from.iter().flatten().enumerate() {
        let at = format!("spec.dataFrom[{index}]");
        let extract = extract_of(from, &at)?;
        let store = source(object, from.source_ref.as_ref(), namespace, &at)?;
        reads.push(read(store, extract, true, &at)?);
        entries.push(entry(Position::Extract(index), None, extract));
    }
    for (index, data) in object.spec.data.iter().flatten().enumerate() {
        let at = format!("spec.data[{index}]");
        check_key(&format!("{at}.secretKey"), &data.secret_key)?;
        let store = source(object, data.source_ref.as_ref(), namespace, &at)?;
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
    Ok((reads, entries))
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

pub(super) fn usable_stores(
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
