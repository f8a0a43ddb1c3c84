//! Targets as they are known: metadata, and the hash of the version that we wrote or read last.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::names;
use postern_core::generic::Kind;
use postern_core::plan::TargetMeta;

use super::{Key, State, TargetKey, Touched, version_number};
use crate::queue::Class;

/// The version of a Secret that we wrote or read last, and the hash of its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) hash: String,
}
impl State {
    /// A managed target was seen. A version that we wrote ourselves touches nobody.
    pub(crate) fn see_target(&mut self, key: TargetKey, meta: &ObjectMeta) -> Touched {
        let seen = target_meta(meta);
        let own = self
            .known
            .get(&key)
            .is_some_and(|k| k.uid == seen.uid && k.resource_version == seen.resource_version);
        let same = self
            .targets
            .get(&key)
            .is_some_and(|old| old.resource_version == seen.resource_version);
        self.targets.insert(key.clone(), seen);
        if own || same {
            Vec::new()
        } else {
            self.owners_of(&key)
        }
    }

    /// A target left the watch: it was deleted, or its label was taken off. Which of the two, the sync finds out.
    pub(crate) fn lose_target(&mut self, key: &TargetKey) -> Touched {
        self.known.remove(key);
        if self.targets.remove(key).is_some() {
            self.owners_of(key)
        } else {
            Vec::new()
        }
    }

    fn owners_of(&self, target: &TargetKey) -> Touched {
        let owners = self.by_target.get(target).into_iter().flatten();
        owners
            .map(|key| (Key::ExternalSecret(key.clone()), Class::Changed))
            .collect()
    }

    /// We wrote or read this version of a target.
    pub(crate) fn knows_target(&mut self, key: TargetKey, meta: &ObjectMeta, hash: String) {
        let seen = target_meta(meta);
        self.known.insert(
            key.clone(),
            Known {
                uid: seen.uid.clone(),
                resource_version: seen.resource_version.clone(),
                hash,
            },
        );
        let newer = self.targets.get(&key).is_none_or(|old| {
            old.uid != seen.uid
                || version_number(&old.resource_version) <= version_number(&seen.resource_version)
        });
        if newer {
            self.targets.insert(key, seen);
        }
    }

    /// A target is not there after all.
    pub(crate) fn misses_target(&mut self, key: &TargetKey) {
        self.known.remove(key);
        self.targets.remove(key);
    }

    /// The target without its values; the hash of what it holds only where we know this very version.
    pub(crate) fn target(&self, key: &TargetKey) -> Option<TargetMeta> {
        let mut target = self.targets.get(key)?.clone();
        let known = self
            .known
            .get(key)
            .filter(|k| k.uid == target.uid && k.resource_version == target.resource_version);
        target.actual_hash = known.map(|k| k.hash.clone());
        Some(target)
    }

    /// The targets of a kind; none for Secrets.
    pub(crate) fn target_keys(&self, kind: Option<&Kind>) -> Vec<TargetKey> {
        let all = self.targets.keys();
        all.filter(|key| key.kind.as_deref() == kind)
            .cloned()
            .collect()
    }

    /// Whether an ExternalSecret has a target of this kind.
    pub(crate) fn is_targeted(&self, kind: &Kind) -> bool {
        let mut all = self.by_target.keys();
        all.any(|key| key.kind.as_deref() == Some(kind))
    }
}

fn target_meta(meta: &ObjectMeta) -> TargetMeta {
    let text = |map: &Option<BTreeMap<String, String>>, name: &str| {
        map.as_ref().and_then(|m| m.get(name)).cloned()
    };
    TargetMeta {
        uid: meta.uid.clone().unwrap_or_default(),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        managed: text(&meta.labels, names::LABEL_MANAGED).as_deref() == Some("true"),
        data_hash_annotation: text(&meta.annotations, names::ANNOTATION_DATA_HASH),
        actual_hash: None,
    }
}
