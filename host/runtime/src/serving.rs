//! Which revision serves which key: the bundled ones, those from outside, and the switch between two revisions.
//!
//! One table behind one lock; a look-up copies a pointer and a change replaces one. What runs on a revision holds it, and
//! finishes there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use postern_core::failure::{Code, Failure, Stage, one_line};
use postern_core::plugin::{Digest, Revision};
use postern_core::rollout::{Claim, OnSwitchedBack, SwitchedBack};

use crate::load::Plugin;

/// The table.
#[derive(Default)]
pub struct Serving(RwLock<Table>);

#[derive(Default)]
struct Table {
    by_digest: HashMap<Digest, Arc<Plugin>>,
    /// Bundled, or named on the command line; the last one that was loaded serves a key.
    inside: BTreeMap<Key, Arc<Revision>>,
    /// By the name of the Plugin.
    outside: BTreeMap<String, Claim>,
    told: Option<OnSwitchedBack>,
}

/// A key of a provider or the name of a template engine.
type Key = (bool, String);

impl Serving {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plugin behind a digest.
    pub fn plugin(&self, digest: &Digest) -> Option<Arc<Plugin>> {
        self.read().by_digest.get(digest).cloned()
    }

    /// Every revision that can be called, ordered by name.
    pub fn revisions(&self) -> Vec<Arc<Revision>> {
        let table = self.read();
        let mut all: Vec<_> = table
            .by_digest
            .values()
            .map(|p| p.revision.clone())
            .collect();
        all.sort_by(|a, b| (&a.descriptor.name, &a.digest).cmp(&(&b.descriptor.name, &b.digest)));
        all
    }

    /// Keeps a plugin; it serves nothing yet.
    pub fn hold(&self, plugin: Arc<Plugin>) {
        let digest = plugin.revision.digest.clone();
        self.write().by_digest.insert(digest, plugin);
    }

    /// Keeps a plugin and lets it serve all its keys.
    pub fn hold_and_serve(&self, plugin: Arc<Plugin>) {
        let mut table = self.write();
        let revision = plugin.revision.clone();
        for key in &revision.descriptor.serves {
            let key = (revision.is_engine, key.clone());
            table.inside.insert(key, revision.clone());
        }
        table.by_digest.insert(revision.digest.clone(), plugin);
    }

    /// Replaces what a Plugin from outside serves.
    pub fn serve(&self, plugin: &str, claim: Claim) {
        self.write().outside.insert(plugin.to_owned(), claim);
    }

    /// A Plugin from outside is gone.
    pub fn withdraw(&self, plugin: &str) {
        self.write().outside.remove(plugin);
    }

    /// Drops plugins that nobody needs: not named here, not inside, not serving and not the fallback of one that does.
    pub fn keep(&self, digests: &BTreeSet<Digest>) {
        let mut table = self.write();
        let mut needed: BTreeSet<Digest> = digests.clone();
        needed.extend(table.inside.values().map(|r| r.digest.clone()));
        for revision in table
            .outside
            .values()
            .filter_map(|c| c.serving.as_ref().ok())
        {
            needed.insert(revision.digest.clone());
            needed.extend(revision.fallback.iter().map(|r| r.digest.clone()));
        }
        table.by_digest.retain(|digest, _| needed.contains(digest));
    }

    /// Who is told of switches back.
    pub fn tell(&self, told: OnSwitchedBack) {
        self.write().told = Some(told);
    }

    /// The revision that serves a key. A Plugin's claim comes before what is bundled, unless it never served.
    pub fn find(&self, is_engine: bool, key: &str) -> Result<Arc<Revision>, Failure> {
        let table = self.read();
        let mut refused = None;
        for claim in table.outside.values().filter(|c| claims(c, is_engine, key)) {
            match &claim.serving {
                Ok(revision) => return Ok(revision.clone()),
                Err(failure) if claim.exclusive => return Err(failure.clone()),
                Err(failure) => refused = Some(failure),
            }
        }
        match (table.inside.get(&(is_engine, key.to_owned())), refused) {
            (Some(revision), _) => Ok(revision.clone()),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Err(unknown(&table, is_engine, key)),
        }
    }

    /// The fallback takes over from a revision on trial.
    pub fn distrust(&self, digest: &Digest, failure: &Failure) -> bool {
        let mut table = self.write();
        let mut switched = Vec::new();
        for (plugin, claim) in &mut table.outside {
            let Ok(revision) = &claim.serving else {
                continue;
            };
            let Some(fallback) = revision.fallback.clone() else {
                continue;
            };
            if revision.digest != *digest {
                continue;
            }
            switched.push(SwitchedBack {
                plugin: plugin.clone(),
                digest: digest.clone(),
                to: fallback.digest.clone(),
                failure: failure.clone(),
            });
            claim.serving = Ok(fallback);
        }
        let told = table.told.clone();
        drop(table);
        let any = !switched.is_empty();
        if let Some(told) = told {
            switched.into_iter().for_each(|s| told(s));
        }
        any
    }
}

fn claims(claim: &Claim, is_engine: bool, key: &str) -> bool {
    claim.is_engine == is_engine && claim.keys.contains(key)
}

fn unknown(table: &Table, is_engine: bool, key: &str) -> Failure {
    let inside = table
        .inside
        .keys()
        .filter(|(engine, _)| *engine == is_engine);
    let mut keys: BTreeSet<&str> = inside.map(|(_, key)| key.as_str()).collect();
    for claim in table.outside.values() {
        if claim.is_engine == is_engine && claim.serving.is_ok() {
            keys.extend(claim.keys.iter().map(String::as_str));
        }
    }
    let keys = if keys.is_empty() {
        "none is loaded".to_owned()
    } else {
        let keys: Vec<&str> = keys.into_iter().collect();
        format!("there are: {}", keys.join(", "))
    };
    let what = if is_engine {
        "template engine"
    } else {
        "provider"
    };
    let key = one_line(key, 64);
    Failure::new(
        Stage::Plan,
        Code::UnknownProvider,
        format!("no plugin serves the {what} \"{key}\"; {keys}"),
    )
}
