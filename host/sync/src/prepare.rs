//! Prepares identities: schema, what the config needs, references, endpoints; and keeps them until the store, the plugin
//! or a credential changes.
//!
//! Assumptions: `examine` is pure, so its first answer is kept for one edition of a store (generation, config, plugin).
//! Credentials are looked after by version, at most once per store interval and object, and at once after a refusal.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_api::external_secret::StoreKind;
use postern_core::audience;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::grant::Permits;
use postern_core::plugin::{
    Credential, Digest, Needs, Options, PluginHost, Problem, Reference, Revision,
};
use postern_core::reference::{self, Target};
use postern_core::store::{Store, StoreId};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::absence::{Memory, Records};
use crate::ambient::{self, Ambient};
use crate::credentials::{self, Credentials, Needed, ObjectName, Resolved, Version};
use crate::doors::Pending;
use crate::fetcher::{Bounds, Fetcher};
use crate::identity::{Grants, Identity, Namer, Parts};
use crate::policy;
use crate::read::Access;
use crate::session::{self, Keeper};
use crate::settings::Settings;
use crate::stats::Counters;

/// A namespace that has not asked a store for this long loses its session: two of the longest usual intervals.
const IDLE: Duration = Duration::from_secs(2 * 3600);

/// What makes the preparation of a store obsolete when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edition {
    generation: i64,
    provider_key: String,
    digest: Digest,
    permits: Permits,
    config: Arc<str>,
}

/// Whose word a memory of objects is: it outlives a change of config or credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lineage {
    store: StoreId,
    uid: String,
    digest: Digest,
    asking: Option<String>,
}

/// What the config needs, before any credential is read.
pub(crate) struct Examined {
    needs: Needs,
    needed: Vec<Needed>,
    /// References to Postern's own environment.
    ambient: Vec<Ambient>,
    /// Some reference names no namespace: whoever asks brings its own.
    referent: bool,
}

/// One edition of one store.
struct Room {
    edition: Edition,
    store: Arc<Store>,
    plugin: Arc<Revision>,
    examined: tokio::sync::Mutex<Attempt<Arc<Examined>>>,
    /// Answers depend on the namespace, by the word of the plugin with or without credentials.
    per_namespace: AtomicBool,
    gone: AtomicBool,
    slots: Mutex<HashMap<Option<String>, Arc<Slot>>>,
}

/// What came of trying, with the moment it began: a failure serves only those who were due before.
enum Attempt<T> {
    None,
    Done(T),
    Failed(Instant, Failure),
}

/// Where the identity of one asking namespace (or of all) stands.
struct Slot {
    entry: tokio::sync::Mutex<Entry>,
    /// The same identity as in the entry, readable while the entry is being worked on.
    current: Mutex<Option<Arc<Identity>>>,
    used: Mutex<Instant>,
}

struct Entry {
    identity: Attempt<Arc<Identity>>,
    objects: BTreeMap<ObjectName, Seen>,
}

struct Seen {
    version: Version,
    checked: Instant,
}

/// Why a preparation ended without an identity.
enum Stop {
    /// It turned out that the namespace matters.
    PerNamespace,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Room {
    /// Nobody asks here any more; the identities that stand in it are the caller's to close.
    fn leave(&self) -> Vec<Arc<Identity>> {
        // First the flag: whoever prepares an identity stores it before looking at the flag, so one of the two sees it.
        self.gone.store(true, Ordering::SeqCst);
        let identities: Vec<_> = lock(&self.slots)
            .drain()
            .filter_map(|(_, slot)| lock(&slot.current).take())
            .collect();
        for identity in &identities {
            identity.gone.store(true, Ordering::SeqCst);
        }
        identities
    }
}

/// Prepares and keeps identities.
pub(crate) struct Preparer {
    pub(crate) host: Arc<dyn PluginHost>,
    pub(crate) credentials: Arc<dyn Credentials>,
    pub(crate) settings: Settings,
    pub(crate) counters: Arc<Counters>,
    pending: Arc<dyn Pending>,
    namer: Namer,
    records: Mutex<HashMap<Lineage, Arc<Records>>>,
    rooms: Mutex<HashMap<String, Vec<Arc<Room>>>>,
    closing: Mutex<JoinSet<()>>,
}

impl Preparer {
    pub(crate) fn new(
        host: Arc<dyn PluginHost>,
        credentials: Arc<dyn Credentials>,
        pending: Arc<dyn Pending>,
        settings: Settings,
    ) -> Result<Self, Failure> {
        Ok(Self {
            host,
            credentials,
            settings,
            pending,
            counters: Arc::default(),
            namer: Namer::new()?,
            records: Mutex::default(),
            rooms: Mutex::default(),
            closing: Mutex::default(),
        })
    }

    /// A preparer that asks through another host and shares nothing but credentials and settings.
    pub(crate) fn beside(&self, host: Arc<dyn PluginHost>) -> Result<Self, Failure> {
        Self::new(
            host,
            self.credentials.clone(),
            self.pending.clone(),
            self.settings.clone(),
        )
    }

    /// The identity as which a namespace asks a store; none where a namespace matters and none was given.
    ///
    /// With `checked_since`, each credential is looked after that was not since then.
    pub(crate) async fn identity(
        self: &Arc<Self>,
        store: &Arc<Store>,
        namespace: Option<&str>,
        due: Instant,
        checked_since: Option<Instant>,
    ) -> Result<Option<Arc<Identity>>, Failure> {
        let plugin = self.host.provider(&store.provider_key)?;
        policy::Asking {
            store,
            plugin: &plugin,
            namespace,
        }
        .admitted()?;
        let by_namespace = plugin.permits.by_namespace();
        let room = self.room(store, plugin)?;
        let examined = self.examined(&room, due).await?;
        // The second round is for a plugin that says only with credentials at hand that the namespace matters.
        for _ in 0..2 {
            let asking = match (
                room.per_namespace.load(Ordering::SeqCst) || examined.referent || by_namespace,
                namespace,
            ) {
                (false, _) => None,
                (true, Some(namespace)) => Some(namespace.to_owned()),
                (true, None) => return Ok(None),
            };
            let slot = self.slot(&room, asking.clone());
            match self
                .in_slot(&room, &slot, (&examined, asking), (due, checked_since))
                .await
            {
                Ok(identity) => return Ok(Some(identity)),
                Err(Stop::PerNamespace) => {}
                Err(Stop::Failed(failure)) => return Err(failure),
            }
        }
        Err(Failure::new(
            Stage::Check,
            Code::ContractBroken,
            format!(
                "the plugin that serves \"{}\" does not say twice the same of whether namespaces matter",
                store.provider_key
            ),
        ))
    }

    /// Gives up all identities of a store and closes their sessions.
    pub(crate) async fn forget(self: &Arc<Self>, store_uid: &str) {
        let rooms = lock(&self.rooms).remove(store_uid).unwrap_or_default();
        self.leave(rooms).await;
    }

    /// Gives up everything.
    pub(crate) async fn shutdown(self: &Arc<Self>) {
        let rooms = std::mem::take(&mut *lock(&self.rooms))
            .into_values()
            .flatten()
            .collect();
        self.leave(rooms).await;
        let mut closing = std::mem::take(&mut *lock(&self.closing));
        let all = async { while closing.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(self.settings.close_deadline, all).await;
    }

    async fn leave(self: &Arc<Self>, rooms: Vec<Arc<Room>>) {
        let mut identities = Vec::new();
        for room in rooms {
            identities.extend(room.leave());
        }
        let close = identities.into_iter().map(|identity| {
            let access = self.access(identity);
            async move { access.close().await }
        });
        let all = futures::future::join_all(close);
        let _ = tokio::time::timeout(self.settings.close_deadline, all).await;
    }

    /// Closes what is of no more use, beside whatever goes on; with `patience` after the reads under way have ended.
    fn retire(self: &Arc<Self>, identity: Arc<Identity>, patience: bool) {
        let access = self.access(identity);
        let mut closing = lock(&self.closing);
        while closing.try_join_next().is_some() {}
        closing.spawn(async move {
            if patience {
                let limit = access.preparer.settings.call_deadline;
                let _ = tokio::time::timeout(limit, access.identity.fetcher.idle()).await;
            }
            access.close().await;
        });
    }

    /// Whether the store of this identity has been forgotten or has a newer edition.
    pub(crate) fn is_forgotten(&self, identity: &Identity) -> bool {
        identity.gone.load(Ordering::SeqCst)
    }

    pub(crate) fn access(self: &Arc<Self>, identity: Arc<Identity>) -> Access {
        Access {
            preparer: self.clone(),
            identity,
        }
    }

    /// The room of this edition. A sync that still runs with an older edition than the newest is told to come again.
    fn room(
        self: &Arc<Self>,
        store: &Arc<Store>,
        plugin: Arc<Revision>,
    ) -> Result<Arc<Room>, Failure> {
        let edition = Edition {
            generation: store.generation,
            provider_key: store.provider_key.clone(),
            digest: plugin.digest.clone(),
            permits: plugin.permits.clone(),
            config: store.config.clone(),
        };
        let mut rooms = lock(&self.rooms);
        let rooms = rooms.entry(store.uid.clone()).or_default();
        if let Some(room) = rooms.iter().find(|room| room.edition == edition) {
            return Ok(room.clone());
        }
        if rooms
            .iter()
            .any(|room| room.edition.generation > edition.generation)
        {
            return Err(session::given_up());
        }
        for room in rooms.drain(..) {
            room.leave()
                .into_iter()
                .for_each(|identity| self.retire(identity, true));
        }
        let room = Arc::new(Room {
            edition,
            store: store.clone(),
            plugin,
            examined: tokio::sync::Mutex::new(Attempt::None),
            per_namespace: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            slots: Mutex::default(),
        });
        rooms.push(room.clone());
        Ok(room)
    }

    fn slot(self: &Arc<Self>, room: &Room, asking: Option<String>) -> Arc<Slot> {
        let now = Instant::now();
        let mut slots = lock(&room.slots);
        if let Some(slot) = slots.get(&asking) {
            *lock(&slot.used) = now;
            return slot.clone();
        }
        slots.retain(|_, slot| {
            let keep = lock(&slot.used).elapsed() < IDLE;
            if !keep && let Some(identity) = lock(&slot.current).take() {
                self.retire(identity, true);
            }
            keep
        });
        let entry = Entry {
            identity: Attempt::None,
            objects: BTreeMap::new(),
        };
        let slot = Arc::new(Slot {
            entry: tokio::sync::Mutex::new(entry),
            current: Mutex::default(),
            used: Mutex::new(now),
        });
        slots.insert(asking, slot.clone());
        slot
    }

    async fn examined(&self, room: &Room, due: Instant) -> Result<Arc<Examined>, Failure> {
        let mut attempt = room.examined.lock().await;
        match &*attempt {
            Attempt::Done(examined) => return Ok(examined.clone()),
            Attempt::Failed(began, failure) if *began > due => return Err(failure.clone()),
            Attempt::Failed(..) | Attempt::None => {}
        }
        let began = Instant::now();
        let result = self
            .examine_first(&room.store, &room.plugin)
            .await
            .map(Arc::new);
        if let Ok(examined) = &result {
            room.per_namespace
                .store(examined.needs.per_namespace, Ordering::SeqCst);
        }
        *attempt = match &result {
            Ok(examined) => Attempt::Done(examined.clone()),
            Err(failure) => Attempt::Failed(began, failure.clone()),
        };
        result
    }

    async fn examine_first(&self, store: &Store, plugin: &Revision) -> Result<Examined, Failure> {
        let schema = &plugin.descriptor.config_schema;
        store.check_schema(schema)?;
        let asking = policy::Asking {
            store,
            plugin,
            namespace: None,
        };
        let options = ambient::options(asking, &self.settings);
        let needs = self
            .host
            .examine(&plugin.digest, &store.config, &[], &options)
            .await?
            .map_err(|p| problems(store, &p))?;
        let ambient = |reference: &Reference| Ambient::parse(&reference.pointer);
        let needed = needs
            .references
            .iter()
            .filter(|r| ambient(r).is_none())
            .map(|r| needed(store, plugin, r))
            .collect::<Result<Vec<_>, Failure>>()?;
        let referent = needed.iter().any(|n| n.located.namespace.is_none());
        Ok(Examined {
            ambient: needs.references.iter().filter_map(ambient).collect(),
            needs,
            needed,
            referent,
        })
    }

    async fn in_slot(
        self: &Arc<Self>,
        room: &Room,
        slot: &Slot,
        (examined, asking): (&Examined, Option<String>),
        (due, checked_since): (Instant, Option<Instant>),
    ) -> Result<Arc<Identity>, Stop> {
        let mut entry = slot.entry.lock().await;
        let old = match &entry.identity {
            Attempt::None => None,
            Attempt::Failed(began, failure) if *began > due => return Err(failure.clone().into()),
            Attempt::Failed(..) => None,
            Attempt::Done(identity) => Some(identity.clone()),
        };
        let began = Instant::now();
        let result = match &old {
            Some(identity) => match self.look_after(&mut entry, identity, checked_since).await {
                Ok(true) => return Ok(identity.clone()),
                Ok(false) => self.make(room, examined, asking, old.as_ref()).await,
                Err(failure) => Err(failure.into()),
            },
            None => self.make(room, examined, asking, None).await,
        };
        entry.identity = match &result {
            Ok((identity, _)) => Attempt::Done(identity.clone()),
            Err(Stop::PerNamespace) => Attempt::None,
            Err(Stop::Failed(failure)) => Attempt::Failed(began, failure.clone()),
        };
        *lock(&slot.current) = result.as_ref().ok().map(|(identity, _)| identity.clone());
        if let Some(old) =
            old.filter(|old| !result.as_ref().is_ok_and(|(new, _)| Arc::ptr_eq(new, old)))
        {
            let missing = matches!(&result, Err(Stop::Failed(failure)) if failure.code == Code::CredentialMissing);
            self.retire(old, !missing);
        }
        let (identity, objects) = result?;
        entry.objects = objects;
        if room.gone.load(Ordering::SeqCst) {
            identity.gone.store(true, Ordering::SeqCst);
            self.retire(identity, false);
            return Err(session::given_up().into());
        }
        Ok(identity)
    }

    /// Whether the credentials are still those that the identity was made from. A missing one is a failure.
    async fn look_after(
        &self,
        entry: &mut Entry,
        identity: &Identity,
        checked_since: Option<Instant>,
    ) -> Result<bool, Failure> {
        let interval = identity
            .store
            .refresh_interval
            .unwrap_or(self.settings.store_interval);
        for (object, seen) in &mut entry.objects {
            let late = seen.checked.elapsed() >= interval
                || checked_since.is_some_and(|since| seen.checked <= since);
            if !late {
                continue;
            }
            match self.credentials.version(object).await {
                Ok(Some(version)) if version == seen.version => seen.checked = Instant::now(),
                Ok(Some(_)) => return Ok(false),
                Ok(None) => return Err(missing(&identity.store, object)),
                // Nothing is known to be wrong with the credential; whoever cannot be asked is asked next time.
                Err(failure) => {
                    tracing::debug!(code = %failure.code, "the version of a credential could not be read");
                    return Ok(true);
                }
            }
        }
        self.age_tokens(identity).await?;
        Ok(true)
    }

    /// Without a session, a token is itself what ages.
    async fn age_tokens(&self, identity: &Identity) -> Result<(), Failure> {
        let Some(life) = identity.token_life().filter(|_| !identity.plugin.has_login) else {
            return Ok(());
        };
        if identity.grants().tokens_at.elapsed() < life * 2 / 3 {
            return Ok(());
        }
        self.refresh_tokens(identity).await
    }

    /// Requests the tokens of service accounts anew, and reads those that lie in files.
    pub(crate) async fn refresh_tokens(&self, identity: &Identity) -> Result<(), Failure> {
        let now = Instant::now();
        let asking = policy::Asking {
            store: &identity.store,
            plugin: &identity.plugin,
            namespace: identity.asking.as_deref(),
        };
        let files: Vec<Ambient> = identity
            .ambient
            .iter()
            .filter(|a| a.is_file())
            .cloned()
            .collect();
        let mut tokens = ambient::resolve(&files, asking, &self.settings).await?;
        for needed in identity.needed.iter().filter(|n| n.is_token()) {
            let resolved =
                credentials::resolve(&*self.credentials, needed, identity.asking.as_deref())
                    .await?;
            tokens.extend(resolved.iter().map(|(n, r)| credential(n, r)));
        }
        identity.set_tokens(tokens, now);
        Ok(())
    }

    /// Follows the references and puts an identity together, or refreshes the old one where nothing that counts differs.
    async fn make(
        self: &Arc<Self>,
        room: &Room,
        examined: &Examined,
        asking: Option<String>,
        old: Option<&Arc<Identity>>,
    ) -> Result<(Arc<Identity>, BTreeMap<ObjectName, Seen>), Stop> {
        let now = Instant::now();
        let resolved = self
            .resolve_all(&examined.needed, asking.as_deref())
            .await?;
        let objects = resolved
            .iter()
            .map(|(_, r)| {
                (
                    r.object.clone(),
                    Seen {
                        version: r.version.clone(),
                        checked: now,
                    },
                )
            })
            .collect();
        let plugin = &room.plugin;
        let asker = policy::Asking {
            store: &room.store,
            plugin,
            namespace: asking.as_deref(),
        };
        let mut all: Vec<Credential> = resolved
            .iter()
            .map(|(needed, r)| credential(needed, r))
            .collect();
        all.extend(ambient::resolve(&examined.ambient, asker, &self.settings).await?);
        let options = ambient::options(asker, &self.settings);
        let needs = self.examine_with(asker, examined, (&all, &options)).await?;
        if needs.per_namespace && !room.per_namespace.swap(true, Ordering::SeqCst) {
            return Err(Stop::PerNamespace);
        }
        let told = needs.per_namespace || examined.needs.per_namespace;
        let egress = policy::egress(asker, &needs.endpoints, &all, &self.settings)?;
        let grants = Grants {
            credentials: for_guests(&all, &needs),
            egress: Arc::new(egress),
            tokens_at: now,
        };
        let id = self
            .namer
            .name(&room.store, plugin, &resolved, asking.as_deref())?;
        if let Some(old) = old.filter(|old| old.id == id) {
            old.set_grants(grants);
            return Ok((old.clone(), objects));
        }
        let parts = Parts {
            id,
            store: room.store.clone(),
            plugin: plugin.clone(),
            told_namespace: asking.clone().filter(|_| told),
            asking: asking.clone(),
            needed: examined.needed.clone(),
            ambient: examined.ambient.clone(),
            options,
            directories: Arc::new(policy::directories(asker, &self.settings)),
            grants,
        };
        Ok((Arc::new(self.assemble(parts)), objects))
    }

    fn assemble(&self, parts: Parts) -> Identity {
        let bounds = Bounds {
            batch_size: parts.plugin.descriptor.batch_size as usize,
            in_flight: self.settings.in_flight_per_identity.max(1),
            linger: self.settings.linger,
        };
        let fetcher = Fetcher::new(
            bounds,
            self.pending.clone(),
            self.counters.clone(),
            self.memory(&parts),
        );
        Identity::new(parts, Keeper::new(self.counters.clone()), fetcher)
    }

    /// What is remembered of the store's objects; it is this revision's word, and this namespace's where that matters.
    fn memory(&self, parts: &Parts) -> Memory {
        let lineage = Lineage {
            store: parts.store.id.clone(),
            uid: parts.store.uid.clone(),
            digest: parts.plugin.digest.clone(),
            asking: parts.asking.clone(),
        };
        let mut records = lock(&self.records);
        records.retain(|known, _| {
            let same_store = known.store == lineage.store;
            !same_store || (known.uid == lineage.uid && known.digest == lineage.digest)
        });
        let records = records.entry(lineage).or_default();
        Memory::of(records.clone(), parts.plugin.descriptor.asks.is_empty())
    }

    /// Nothing is remembered of a store that is gone.
    pub(crate) fn drop_records(&self, store: &StoreId) {
        lock(&self.records).retain(|known, _| known.store != *store);
    }

    async fn resolve_all(
        &self,
        needed: &[Needed],
        asking: Option<&str>,
    ) -> Result<Vec<(Needed, Resolved)>, Failure> {
        let all = needed
            .iter()
            .map(|needed| credentials::resolve(&*self.credentials, needed, asking));
        let all = futures::future::try_join_all(all).await?;
        Ok(all.into_iter().flatten().collect())
    }

    async fn examine_with(
        &self,
        asking: policy::Asking<'_>,
        examined: &Examined,
        (all, options): (&[Credential], &Options),
    ) -> Result<Needs, Failure> {
        if all.is_empty() {
            return Ok(examined.needs.clone());
        }
        let shown = for_guests(all, &examined.needs);
        let (digest, config) = (&asking.plugin.digest, &asking.store.config);
        let answer = self.host.examine(digest, config, &shown, options).await?;
        answer.map_err(|p| problems(asking.store, &p))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No invariant spans a panic here: each guarded value is one map or one option.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a reference leads, and for whom a token of it is.
fn needed(store: &Store, plugin: &Revision, reference: &Reference) -> Result<Needed, Failure> {
    let schema = &plugin.descriptor.config_schema;
    let located = reference::locate(store, schema, &reference.pointer)?;
    let audiences = match &located.target {
        Target::ServiceAccount { audiences, .. } => {
            audience::of_token(store, plugin, reference, audiences)?
        }
        Target::SecretKey { .. } | Target::Secret { .. } | Target::ConfigMapKey { .. } => {
            Vec::new()
        }
    };
    Ok(Needed {
        reference: reference.clone(),
        located,
        audiences,
    })
}

fn credential(needed: &Needed, resolved: &Resolved) -> Credential {
    Credential {
        pointer: needed.reference.pointer.clone(),
        value: resolved.value.clone(),
        attributes: resolved.attributes.clone(),
    }
}

/// Client certificates that the broker presents never enter a guest.
fn for_guests(all: &[Credential], needs: &Needs) -> Vec<Credential> {
    let presented: Vec<&str> = policy::presented_by_us(&needs.endpoints).collect();
    all.iter()
        .filter(|c| !presented.contains(&c.pointer.as_str()))
        .cloned()
        .collect()
}

fn problems(store: &Store, problems: &[Problem]) -> Failure {
    let path = store.config_path();
    let text: Vec<String> = problems
        .iter()
        .take(3)
        .map(|p| format!("{path}{}: {}", p.pointer, p.message))
        .collect();
    Failure::new(
        Stage::Check,
        Code::InvalidConfig,
        format!("{}: {}", store.id, text.join("; ")),
    )
}

fn missing(store: &Store, object: &ObjectName) -> Failure {
    let whose = match store.id.kind {
        StoreKind::SecretStore => format!("{} in namespace \"{}\"", store.id, store.id.namespace),
        StoreKind::ClusterSecretStore => store.id.to_string(),
    };
    Failure::new(
        Stage::Login,
        Code::CredentialMissing,
        format!(
            "the {object} that the {whose} takes its credential from is gone; create it again, or change the store"
        ),
    )
}
