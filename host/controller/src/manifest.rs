//! The door to targets that are no Secrets: which resource a kind is, reading and writing its objects, and following them.
//! What is written, the core decides.
//!
//! A kind is watched from the first ExternalSecret on that has a target of it, by label and for metadata only; where the
//! role does not allow that, a change by somebody else is found at the next refresh.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta};
use kube::discovery::{self, Scope};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use postern_core::conclude::Written;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::generic::{self, Desired, Kind, Object, Write};
use postern_core::go;
use postern_core::plan::{SyncPlan, TargetMeta};
use postern_core::target::{Remove, Rule};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api_error;
use crate::context::Context;
use crate::target::managed;
use crate::world::{ObjectKey, TargetKey};

/// Somebody else writes the same object at the same time; after so many rounds it is left to the backoff.
const MAX_ROUNDS: usize = 4;

/// What is known of kinds, and who follows them.
pub(crate) struct Manifests {
    resources: Mutex<HashMap<Kind, ApiResource>>,
    watched: Mutex<HashSet<Kind>>,
    /// The hash that we wrote, and that of what the API server made of it: it fills in what a schema has defaults for.
    filled: Mutex<HashMap<TargetKey, (String, String)>>,
    wanted: mpsc::UnboundedSender<(Kind, ApiResource)>,
}

/// Kinds that somebody wants to have followed.
pub(crate) type Wanted = mpsc::UnboundedReceiver<(Kind, ApiResource)>;

impl Manifests {
    pub(crate) fn new() -> (Self, Wanted) {
        let (wanted, receiver) = mpsc::unbounded_channel();
        let manifests = Self {
            resources: Mutex::default(),
            watched: Mutex::default(),
            filled: Mutex::default(),
            wanted,
        };
        (manifests, receiver)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Each guarded value is one map or set, changed by one call.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of a target; it is read where no present version is known. One that cannot be read counts as unknown: the
/// sync then says why.
pub(crate) async fn look(
    ctx: &Context,
    kind: &Kind,
    key: &TargetKey,
    known: Option<TargetMeta>,
) -> Option<TargetMeta> {
    kind.check().ok()?;
    let api = api(ctx, kind, &key.object.namespace).await.ok()?;
    match known {
        Some(known) if known.actual_hash.is_some() => Some(known),
        _ => {
            get(ctx, &api, key).await.ok()?;
            ctx.world.lock().target(key)
        }
    }
}

/// Writes the target.
///
/// Guarantees: an object that belongs to another ExternalSecret is not touched; nothing that somebody wrote meanwhile is
/// overwritten unread; a target that is right already is not written.
/// Errors: those of [`generic::write`], the kind is not there or not one of namespaces, and [`Code::WriteFailed`] or
/// [`Code::Conflict`] where the API server refuses.
pub(crate) async fn write(
    ctx: &Context,
    rule: &Rule,
    desired: &Desired,
) -> Result<Written, Failure> {
    let key = key(&desired.kind, rule);
    let api = api(ctx, &desired.kind, &rule.owner.namespace).await?;
    for _ in 0..MAX_ROUNDS {
        let existing = get(ctx, &api, &key).await?;
        let (what, object) = match generic::write(existing.as_ref(), desired, rule)? {
            Write::Unchanged => return Ok(Written::Unchanged),
            Write::Missing => return Ok(Written::Missing),
            Write::Skip => return Ok(Written::Skipped),
            Write::Create(object) => (Written::Created, object),
            Write::Update(object) => (Written::Updated, object),
        };
        let before = existing.map(|existing| existing.metadata().resource_version);
        if let Some(stored) = send(ctx, &api, rule, what, &object).await? {
            // What the API server fills in by itself is no change.
            let meta = stored.metadata();
            let same = before.is_some_and(|before| before == meta.resource_version);
            let claimed = claimed(&meta);
            let real = generic::content_hash(&stored).unwrap_or_default();
            lock(&ctx.manifests.filled).insert(key.clone(), (claimed.clone(), real));
            learn(ctx, &key, &meta, claimed);
            return Ok(if same { Written::Unchanged } else { what });
        }
    }
    Err(busy(rule))
}

/// Deletes the target, which shall not be.
///
/// Guarantees and errors: those of [`generic::remove`]; exactly the version that was read is deleted.
pub(crate) async fn remove(
    ctx: &Context,
    kind: &Kind,
    plan: &SyncPlan,
    rule: &Rule,
) -> Result<Written, Failure> {
    let key = key(kind, rule);
    let api = api(ctx, kind, &rule.owner.namespace).await?;
    for _ in 0..MAX_ROUNDS {
        let existing = get(ctx, &api, &key).await?.map(|object| object.metadata());
        let decided = generic::remove(existing.as_ref(), rule, plan.absence.at_stake)?;
        let Remove::Delete(exactly) = decided else {
            return Ok(Written::Gone);
        };
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: Some(exactly.uid),
            resource_version: Some(exactly.resource_version),
        });
        let _turn = ctx.turn().await;
        match api.delete(&rule.name, &params).await {
            Ok(_) => {
                ctx.world.lock().misses_target(&key);
                return Ok(Written::Deleted);
            }
            Err(error) if api_error::is_not_found(&error) => return Ok(Written::Gone),
            Err(error) if api_error::is_conflict(&error) => {}
            Err(error) => return Err(failed(rule, "delete", &error)),
        }
    }
    Err(busy(rule))
}

fn key(kind: &Kind, rule: &Rule) -> TargetKey {
    TargetKey {
        kind: Some(Arc::new(kind.clone())),
        object: ObjectKey {
            namespace: rule.owner.namespace.clone(),
            name: rule.name.clone(),
        },
    }
}

/// The objects of a kind in a namespace; whoever asks for the first time has the kind followed.
async fn api(ctx: &Context, kind: &Kind, namespace: &str) -> Result<Api<DynamicObject>, Failure> {
    let known = lock(&ctx.manifests.resources).get(kind).cloned();
    let resource = match known {
        Some(resource) => resource,
        None => {
            let resource = discover(ctx, kind).await?;
            lock(&ctx.manifests.resources).insert(kind.clone(), resource.clone());
            resource
        }
    };
    if lock(&ctx.manifests.watched).insert(kind.clone()) {
        // Nobody listens any more only where all of it ends.
        let _ = ctx.manifests.wanted.send((kind.clone(), resource.clone()));
    }
    Ok(Api::namespaced_with(
        ctx.client.clone(),
        namespace,
        &resource,
    ))
}

async fn discover(ctx: &Context, kind: &Kind) -> Result<ApiResource, Failure> {
    let of = GroupVersionKind::gvk(kind.group(), kind.version(), &kind.kind);
    let _turn = ctx.turn().await;
    let found = discovery::pinned_kind(&ctx.client, &of).await;
    let text = |why: &str| {
        format!(
            "could not get target resource: {} {} {why}",
            kind.api_version, kind.kind
        )
    };
    match found {
        Ok((resource, about)) if about.scope == Scope::Namespaced => Ok(resource),
        Ok(_) => Err(Failure::new(
            Stage::Commit,
            Code::Unsupported,
            text("belongs to the cluster and to no namespace, and cannot be a target"),
        )),
        Err(kube::Error::Api(_) | kube::Error::Discovery(_)) => Err(Failure::new(
            Stage::Commit,
            Code::InvalidRequest,
            text(
                "is not known to the cluster; correct spec.target.manifest, or install its definition",
            ),
        )),
        Err(error) => Err(api_error::failure(
            Stage::Commit,
            Code::WriteFailed,
            &text("could not be looked up"),
            &error,
        )),
    }
}

async fn get(
    ctx: &Context,
    api: &Api<DynamicObject>,
    key: &TargetKey,
) -> Result<Option<Object>, Failure> {
    let _turn = ctx.turn().await;
    let found = api.get_opt(&key.object.name).await.map_err(|error| {
        let kind = key.kind.as_deref().map(ToString::to_string);
        let tried = format!(
            "could not get target resource {} \"{}/{}\"",
            kind.unwrap_or_default(),
            key.object.namespace,
            key.object.name
        );
        api_error::failure(Stage::Observe, Code::WriteFailed, &tried, &error)
    })?;
    let Some(found) = found else {
        lock(&ctx.manifests.filled).remove(key);
        ctx.world.lock().misses_target(key);
        return Ok(None);
    };
    let meta = found.metadata.clone();
    let object = Object::new(serde_json::to_value(found).unwrap_or_default());
    let real = generic::content_hash(&object).unwrap_or_default();
    let filled = lock(&ctx.manifests.filled).get(key).cloned();
    let hash = match filled {
        Some((wrote, became)) if became == real => wrote,
        _ => real,
    };
    learn(ctx, key, &meta, hash);
    Ok(Some(object))
}

/// Sends it; none where somebody else was faster.
async fn send(
    ctx: &Context,
    api: &Api<DynamicObject>,
    rule: &Rule,
    what: Written,
    object: &Object,
) -> Result<Option<Object>, Failure> {
    let object: DynamicObject = serde_json::from_value(object.expose().clone()).map_err(|_| {
        let text = "the target could not be put together";
        Failure::new(Stage::Commit, Code::Internal, text)
    })?;
    let params = PostParams {
        field_manager: Some(go::field_manager(&rule.owner.name)),
        ..PostParams::default()
    };
    let _turn = ctx.turn().await;
    let (verb, answer) = match what {
        Written::Created => ("create", api.create(&params, &object).await),
        _ => ("update", api.replace(&rule.name, &params, &object).await),
    };
    match answer {
        Ok(stored) => {
            let stored = serde_json::to_value(stored).unwrap_or_default();
            Ok(Some(Object::new(stored)))
        }
        Err(error) if api_error::already_exists(&error) || api_error::is_conflict(&error) => {
            Ok(None)
        }
        Err(error) if verb == "update" && api_error::is_not_found(&error) => Ok(None),
        Err(error) => Err(failed(rule, verb, &error)),
    }
}

fn failed(rule: &Rule, verb: &str, error: &kube::Error) -> Failure {
    let tried = format!(
        "could not {verb} {} \"{}/{}\"",
        rule.what, rule.owner.namespace, rule.name
    );
    api_error::failure(Stage::Commit, Code::WriteFailed, &tried, error)
}

fn busy(rule: &Rule) -> Failure {
    let (what, name) = (&rule.what, &rule.name);
    let text = format!("{what} \"{name}\" is being written by somebody else again and again");
    Failure::new(Stage::Commit, Code::Conflict, text)
}

fn claimed(meta: &ObjectMeta) -> String {
    let annotations = meta.annotations.as_ref();
    let claimed = annotations.and_then(|a| a.get(postern_api::names::ANNOTATION_DATA_HASH));
    claimed.cloned().unwrap_or_default()
}

fn learn(ctx: &Context, key: &TargetKey, meta: &ObjectMeta, hash: String) {
    ctx.world.lock().knows_target(key.clone(), meta, hash);
}

/// Follows every kind that somebody wants to have followed, for ever.
pub(crate) async fn follow(ctx: Arc<Context>, mut wanted: Wanted) {
    let mut followed = JoinSet::new();
    while let Some((kind, resource)) = wanted.recv().await {
        followed.spawn(follow_kind(Arc::clone(&ctx), kind, resource));
        while followed.try_join_next().is_some() {}
    }
}

/// Ends where the watch breaks off and nobody has a target of that kind any more.
async fn follow_kind(ctx: Arc<Context>, kind: Kind, resource: ApiResource) {
    let api: Api<PartialObjectMeta<DynamicObject>> = match &ctx.namespace {
        Some(namespace) => Api::namespaced_with(ctx.client.clone(), namespace, &resource),
        None => Api::all_with(ctx.client.clone(), &resource),
    };
    let config = watcher::Config::default().labels(&managed());
    let mut stream = pin!(watcher::watcher(api, config).default_backoff());
    let shared = Arc::new(kind.clone());
    let key = |meta: &ObjectMeta| TargetKey {
        kind: Some(Arc::clone(&shared)),
        object: ObjectKey::of(meta),
    };
    let mut unseen = BTreeSet::new();
    while let Some(event) = stream.next().await {
        let touched = {
            let mut state = ctx.world.lock();
            match event {
                Ok(Event::Init) => {
                    unseen = state.target_keys(Some(&kind)).into_iter().collect();
                    Vec::new()
                }
                Ok(Event::InitApply(object)) => {
                    let key = key(&object.metadata);
                    unseen.remove(&key);
                    state.see_target(key, &object.metadata)
                }
                Ok(Event::InitDone) => {
                    let gone = std::mem::take(&mut unseen);
                    gone.iter().flat_map(|key| state.lose_target(key)).collect()
                }
                Ok(Event::Apply(object)) => {
                    state.see_target(key(&object.metadata), &object.metadata)
                }
                Ok(Event::Delete(object)) => state.lose_target(&key(&object.metadata)),
                Err(error) => {
                    tracing::warn!(
                        kind = kind.kind,
                        error = &error as &dyn std::error::Error,
                        "a watch of targets broke off; it is taken up again"
                    );
                    if !state.is_targeted(&kind) {
                        break;
                    }
                    Vec::new()
                }
            }
        };
        ctx.queue.touch(touched);
    }
    // The definition may be another when it comes back.
    lock(&ctx.manifests.resources).remove(&kind);
    lock(&ctx.manifests.watched).remove(&kind);
}
