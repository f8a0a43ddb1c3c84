//! Plugins and PluginGrants as the watches show them, and what their changes touch. Plain data with plain methods.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use postern_api::plugin::PluginKind;
use postern_api::{Plugin, PluginGrant, PluginGrantSpec, PluginStatus, names};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::grant::Granted;
use postern_core::plugin::Digest;
use postern_core::rollout::{self, Wanted};

use crate::queue::Class;
use crate::world::{Key, Touched};

/// A Plugin as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) generation: i64,
    pub(crate) created: Option<Timestamp>,
    pub(crate) wanted: Result<Wanted, Failure>,
    /// Digests that must not serve, by the word of an administrator.
    pub(crate) refused: BTreeSet<String>,
    pub(crate) status: PluginStatus,
}

impl Entry {
    /// A changed spec gives every digest a new chance.
    pub(crate) fn forgive(&mut self) {
        let before = self.status.observed_generation;
        if before.is_some_and(|generation| generation != self.generation) {
            self.status.refused.clear();
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Known {
    plugins: BTreeMap<String, Entry>,
    grants: BTreeMap<String, PluginGrantSpec>,
}

impl Known {
    /// A Plugin was seen. Its status alone touches nothing: it is we who write it.
    pub(crate) fn see(&mut self, plugin: Plugin) -> Touched {
        let name = plugin.metadata.name.clone().unwrap_or_default();
        let wanted = Wanted::parse(&name, &plugin.spec);
        self.put(&plugin.metadata, wanted, plugin.status.unwrap_or_default())
    }

    /// A Plugin was seen that does not fit its schema.
    pub(crate) fn see_malformed(&mut self, meta: &ObjectMeta) -> Touched {
        let name = meta.name.as_deref().unwrap_or_default();
        let text = format!(
            "Plugin {name} does not fit its schema; apply Postern's CRDs, and correct it as kubectl then says"
        );
        let wanted = Err(Failure::new(Stage::Check, Code::InvalidSpec, text));
        let status = self.plugins.get(name).map(|e| e.status.clone());
        self.put(meta, wanted, status.unwrap_or_default())
    }

    fn put(
        &mut self,
        meta: &ObjectMeta,
        wanted: Result<Wanted, Failure>,
        status: PluginStatus,
    ) -> Touched {
        let name = meta.name.clone().unwrap_or_default();
        let annotation = meta
            .annotations
            .as_ref()
            .and_then(|all| all.get(names::ANNOTATION_REFUSED_DIGESTS));
        let entry = Entry {
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|t| t.0),
            wanted,
            refused: rollout::refused_by_hand(annotation.map(String::as_str)),
            status,
        };
        let same = self.plugins.get(&name).is_some_and(|old| {
            (&old.uid, old.generation, &old.refused)
                == (&entry.uid, entry.generation, &entry.refused)
        });
        self.plugins.insert(name.clone(), entry);
        if same {
            return Vec::new();
        }
        // A new claim on a key concerns its rivals too.
        self.all_touched()
    }

    /// A Plugin is gone.
    pub(crate) fn lose(&mut self, name: &str) -> Touched {
        if self.plugins.remove(name).is_none() {
            return Vec::new();
        }
        let mut touched = self.all_touched();
        touched.push((Key::Plugin(name.to_owned()), Class::Store));
        touched
    }

    /// A grant was seen.
    pub(crate) fn see_grant(&mut self, grant: PluginGrant) -> Touched {
        let name = grant.metadata.name.unwrap_or_default();
        let old = self.grants.insert(name, grant.spec.clone());
        if old.as_ref() == Some(&grant.spec) {
            return Vec::new();
        }
        self.all_touched()
    }

    /// A grant is gone, or cannot be read: it opens nothing.
    pub(crate) fn lose_grant(&mut self, name: &str) -> Touched {
        match self.grants.remove(name) {
            Some(_) => self.all_touched(),
            None => Vec::new(),
        }
    }

    /// There are few Plugins, and looking at one that has not changed costs a request to its registry at most.
    fn all_touched(&self) -> Touched {
        let keys = self.plugins.keys();
        keys.map(|name| (Key::Plugin(name.clone()), Class::Store))
            .collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Entry> {
        self.plugins.get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.plugins.keys().cloned().collect()
    }

    pub(crate) fn grant_names(&self) -> Vec<String> {
        self.grants.keys().cloned().collect()
    }

    /// Our own patch came back.
    pub(crate) fn wrote_status(&mut self, name: &str, status: PluginStatus) {
        if let Some(entry) = self.plugins.get_mut(name) {
            entry.status = status;
        }
    }

    /// The grants for one digest of one Plugin.
    pub(crate) fn granted(&self, plugin: &str, digest: &Digest) -> Granted {
        let all = self.grants.iter().map(|(name, spec)| (name.as_str(), spec));
        Granted::of(plugin, digest, all)
    }

    /// The older Plugin that serves one of the keys, with the key.
    pub(crate) fn rival(
        &self,
        wanted: &Wanted,
        created: Option<Timestamp>,
    ) -> Option<(String, String)> {
        let others = self
            .plugins
            .iter()
            .filter(|(name, _)| **name != wanted.name);
        let others = others.filter_map(|(_, e)| Some((e.wanted.as_ref().ok()?, e.created)));
        rollout::rival(wanted, created, others)
    }
}

/// Whether a spec claims template engines rather than keys of stores.
pub(crate) fn is_engine(wanted: &Wanted) -> bool {
    wanted.kind == PluginKind::TemplateEngine
}
