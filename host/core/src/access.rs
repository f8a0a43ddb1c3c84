//! Which remote keys of a store a namespace may read.
//!
//! A StoreAccess (for a SecretStore of its namespace) or ClusterStoreAccess (for a ClusterSecretStore) closes the store that
//! it names but for what all of them allow together. One that cannot be read closes its store altogether. What is refused
//! here never becomes a read of a plan, so nothing of it is sent to a backend.

mod names;
mod pattern;
mod search;

use std::collections::BTreeMap;
use std::sync::Arc;

use postern_api::external_secret::StoreKind;
use postern_api::names::LABEL_REQUIRE_STORE_ACCESS;
use postern_api::store_access::AccessRule;
use postern_api::{ClusterStoreAccessSpec, StoreAccessSpec};

pub use pattern::{KeyPattern, Matcher};

use crate::failure::{Code, Failure, Stage, one_line};
use crate::plan::{Observed, Position, Read, StoreState, Wanted};
use crate::store::{Condition, Store, StoreId};

/// Names a StoreAccess, or a ClusterStoreAccess where the namespace is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl AccessId {
    fn of_cluster(&self) -> bool {
        self.namespace.is_empty()
    }

    /// The kind of store that it can name.
    #[must_use]
    pub fn store_kind(&self) -> StoreKind {
        if self.of_cluster() {
            StoreKind::ClusterSecretStore
        } else {
            StoreKind::SecretStore
        }
    }
}

impl std::fmt::Display for AccessId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = kind_of(self.store_kind());
        write!(f, "{kind} \"{}\"", self.name)
    }
}

/// The kind that restricts stores of a kind.
const fn kind_of(store: StoreKind) -> &'static str {
    match store {
        StoreKind::SecretStore => "StoreAccess",
        StoreKind::ClusterSecretStore => "ClusterStoreAccess",
    }
}

/// A StoreAccess or ClusterStoreAccess, read once.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Which one.
    pub id: AccessId,
    /// The store that it names; none where that could not be read, and it closes every store that it could name.
    pub store: Option<StoreId>,
    /// What it allows, or why it cannot be read.
    rules: Result<Vec<Rule>, String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    /// None for the one namespace that can use the store at all.
    namespaces: Option<Condition>,
    keys: Vec<KeyPattern>,
}

impl Access {
    /// Reads a StoreAccess.
    #[must_use]
    pub fn of_store(id: AccessId, spec: &StoreAccessSpec) -> Self {
        let keys = patterns(&spec.keys).map_err(|why| format!("spec.keys{why}"));
        let rule = |keys| Rule {
            namespaces: None,
            keys,
        };
        Self::new(id, &spec.store_ref.name, keys.map(|keys| vec![rule(keys)]))
    }

    /// Reads a ClusterStoreAccess.
    #[must_use]
    pub fn of_cluster_store(id: AccessId, spec: &ClusterStoreAccessSpec) -> Self {
        let rules = spec
            .rules
            .iter()
            .enumerate()
            .map(|(at, spec)| rule(spec).map_err(|why| format!("spec.rules[{at}]{why}")));
        let rules = rules.collect();
        Self::new(id, &spec.store_ref.name, rules)
    }

    /// One of which only the name is known.
    #[must_use]
    pub fn unreadable(id: AccessId) -> Self {
        let why =
            "it does not fit its schema; apply Postern's CRDs, and correct it as kubectl then says";
        Self {
            id,
            store: None,
            rules: Err(why.to_owned()),
        }
    }

    fn new(id: AccessId, store: &str, rules: Result<Vec<Rule>, String>) -> Self {
        let named = !store.is_empty();
        let of = StoreId::from_ref(id.store_kind(), store, &id.namespace);
        Self {
            store: named.then_some(of),
            rules: if named {
                rules
            } else {
                Err("spec.storeRef.name is empty; name the store".to_owned())
            },
            id,
        }
    }

    /// Why it cannot be read, and closes its store.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.rules.as_ref().err().map(String::as_str)
    }

    /// Whether it speaks of a store.
    #[must_use]
    pub fn concerns(&self, store: &StoreId) -> bool {
        match &self.store {
            Some(named) => named == store,
            None => store.kind == self.id.store_kind() && store.namespace == self.id.namespace,
        }
    }
}

fn rule(spec: &AccessRule) -> Result<Rule, String> {
    let Some(namespaces) = spec.namespaces() else {
        return Err(
            " does not say for which namespaces; an empty namespaceSelector means all".to_owned(),
        );
    };
    Ok(Rule {
        namespaces: Some(Condition::parse(&namespaces).map_err(|why| format!(".{why}"))?),
        keys: patterns(&spec.keys).map_err(|why| format!(".keys{why}"))?,
    })
}

fn patterns(keys: &[String]) -> Result<Vec<KeyPattern>, String> {
    let parsed = keys.iter().enumerate().map(|(at, key)| {
        KeyPattern::parse(key).map_err(|why| format!("[{at}]: \"{}\": {why}", one_line(key, 80)))
    });
    parsed.collect()
}

/// What one namespace may read of one restricted store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Allowance {
    store: StoreId,
    patterns: Vec<Matcher>,
}

impl Allowance {
    /// Whether a search may take in an object that it has found.
    pub fn check_found(&self, store: &Store, key: &str) -> Result<(), Failure> {
        if self.allows(store, key, false) {
            return Ok(());
        }
        Err(Failure::new(
            Stage::Fetch,
            Code::AccessDenied,
            format!(
                "the search finds objects of {} that no {} lets the namespace read; narrow its path or name down",
                self.store,
                kind_of(self.store.kind)
            ),
        ))
    }

    fn allows(&self, store: &Store, key: &str, metadata: bool) -> bool {
        let name = names::name(store, key, metadata);
        names::plain(key).is_ok() && self.patterns.iter().any(|p| p.matches(&name))
    }
}

/// What is known about access of the stores that an ExternalSecret names.
pub type Known = BTreeMap<StoreId, Vec<Arc<Access>>>;

/// Which of these speak of which of these stores.
#[must_use]
pub fn known<'a>(
    all: impl Iterator<Item = &'a Arc<Access>> + Clone,
    stores: impl Iterator<Item = &'a StoreId>,
) -> Known {
    let of = |store: &StoreId| {
        all.clone()
            .filter(|access| access.concerns(store))
            .map(Arc::clone)
            .collect()
    };
    let all_known = stores.map(|store| (store.clone(), of(store)));
    all_known
        .filter(|(_, known): &(_, Vec<_>)| !known.is_empty())
        .collect()
}

/// One read that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it stands in the manifest.
    pub position: Position,
    /// The store.
    pub store: StoreId,
    /// The remote key, or what is searched.
    pub key: String,
    /// Why, as a closed set.
    pub code: Code,
    /// Why, for people.
    pub why: String,
}

/// What was refused of an ExternalSecret; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Each read that was refused, in the order of the plan.
    pub refusals: Vec<Refusal>,
}

impl Denied {
    /// The failure of the sync: the first refusal, with how many more there are.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let Some(first) = self.refusals.first() else {
            return Failure::new(Stage::Plan, Code::Internal, "nothing was refused");
        };
        let more = match self.refusals.len() {
            0 | 1 => String::new(),
            n => format!("; and {} more", n - 1),
        };
        let text = format!("{} {}{more}", first.position, first.why);
        Failure::new(Stage::Plan, first.code, text)
    }
}

/// Holds one read against what is known; what the read may take in, where its store is restricted.
pub(crate) fn judge(
    observed: &Observed,
    namespace: &str,
    position: Position,
    read: &Read,
) -> Result<Option<Arc<Allowance>>, Box<Refusal>> {
    // Without a store that can be used nothing is read, and it has a failure of its own.
    let Some(StoreState::Ready(store)) = observed.stores.get(&read.store) else {
        return Ok(None);
    };
    let judged = match observed.access.get(&read.store) {
        Some(known) if !known.is_empty() => {
            restricted(observed, namespace, store, known, read).map(Some)
        }
        Some(_) | None if is_required(observed) => {
            Err((Code::AccessDenied, uncovered(store, namespace)))
        }
        Some(_) | None => Ok(None),
    };
    judged.map_err(|(code, why)| {
        Box::new(Refusal {
            position,
            store: read.store.clone(),
            key: one_line(read.key(), 200),
            code,
            why,
        })
    })
}

fn is_required(observed: &Observed) -> bool {
    let label = observed.namespace_labels.get(LABEL_REQUIRE_STORE_ACCESS);
    observed.settings.require_store_access || label.is_some_and(|value| value != "false")
}

fn uncovered(store: &Store, namespace: &str) -> String {
    format!(
        "may not be read: namespace \"{namespace}\" reads only what a {} allows, and none names {}",
        kind_of(store.id.kind),
        store.id
    )
}

fn restricted(
    observed: &Observed,
    namespace: &str,
    store: &Store,
    known: &[Arc<Access>],
    read: &Read,
) -> Result<Arc<Allowance>, (Code, String)> {
    let mut patterns = Vec::new();
    for access in known {
        let rules = access.rules.as_ref().map_err(|why| {
            let text = format!(
                "may not be read: {} is closed, because {} cannot be read: {why}",
                store.id, access.id
            );
            (Code::AccessInvalid, text)
        })?;
        let labels = &observed.namespace_labels;
        let mine = rules.iter().filter(|rule| {
            let of = rule.namespaces.as_ref();
            of.is_none_or(|of| of.admits(namespace, labels))
        });
        let keys = mine.flat_map(|rule| &rule.keys);
        patterns.extend(keys.filter_map(|key| key.of(namespace, labels)));
    }
    patterns.sort();
    patterns.dedup();
    let allowance = Allowance {
        store: store.id.clone(),
        patterns,
    };
    match check(&allowance, store, read) {
        Ok(()) => Ok(Arc::new(allowance)),
        Err(why) => {
            let kind = kind_of(store.id.kind);
            let what = match read.wanted {
                Wanted::Object(_) => format!("key \"{}\"", one_line(read.key(), 200)),
                Wanted::Search(_) => "a search".to_owned(),
            };
            let text = format!(
                "({what}) is not allowed in namespace \"{namespace}\" by any {kind} of {}: {why}",
                store.id
            );
            Err((Code::AccessDenied, text))
        }
    }
}

fn check(allowance: &Allowance, store: &Store, read: &Read) -> Result<(), String> {
    match &read.wanted {
        Wanted::Search(query) if search::is_confined(query, &allowance.patterns) => Ok(()),
        Wanted::Search(_) => Err(
            "it must stay within keys that may be read; give find.path, or begin find.name.regexp with ^ and their prefix"
                .to_owned(),
        ),
        Wanted::Object(object) => {
            let plain = |text: &str| names::plain(text);
            plain(&object.key).map_err(|why| format!("of a restricted store a key is read only as it stands, and {why}"))?;
            if let Some(version) = &object.version {
                plain(version).map_err(|why| format!("the version is no plain text: {why}"))?;
            }
            if allowance.allows(store, &object.key, object.metadata) {
                Ok(())
            } else {
                Err("read another key, or have it allowed".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests;
