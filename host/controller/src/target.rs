//! The door to target Secrets: reading one to know the hash of its data, and writing one. What is written, the core decides.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use postern_api::external_secret::CreationPolicy;
use postern_api::names;
use postern_core::conclude::Written;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::go;
use postern_core::plan::{SyncPlan, TargetMeta};
use postern_core::target::{self, Exactly, Remove, Rule, Write};
use postern_core::template::Desired;
use zeroize::Zeroize as _;

use crate::api_error;
use crate::context::Context;
use crate::world::{ObjectKey, TargetKey};

/// Somebody else writes the same Secret at the same time; after so many rounds it is left to the backoff.
const MAX_ROUNDS: usize = 4;
/// Bodies held at once while the targets are hashed at start: a Secret has up to a megabyte.
const PAGE: u32 = 50;

/// The selector of all managed Secrets.
pub(crate) fn managed() -> String {
    format!("{}=true", names::LABEL_MANAGED)
}

/// A Secret whose data is zeroed when it is dropped.
pub(crate) struct Body(pub(crate) Secret);

impl Drop for Body {
    fn drop(&mut self) {
        for value in self.0.data.iter_mut().flat_map(|data| data.values_mut()) {
            value.0.zeroize();
        }
    }
}

/// Hashes all managed Secrets, a page at a time, so that a start costs no read for each of them.
pub(crate) async fn learn_all(ctx: &Context) -> kube::Result<()> {
    let api = ctx.all::<Secret>();
    let mut params = ListParams::default().labels(&managed()).limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        let next = page
            .metadata
            .continue_
            .clone()
            .filter(|token| !token.is_empty());
        for body in page.items.into_iter().map(Body) {
            learn(ctx, &body.0);
        }
        match next {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// Reads a target whose present version we do not know.
pub(crate) async fn read(ctx: &Context, key: &ObjectKey) -> Result<Option<TargetMeta>, Failure> {
    get(ctx, key).await?;
    Ok(ctx.world.lock().target(&TargetKey::secret(key.clone())))
}

/// Writes the target.
///
/// Guarantees: a Secret that belongs to somebody else is not touched; nothing that somebody wrote meanwhile is overwritten
/// unread (the write carries the resource version that was read); a target that is right already is not written.
/// Errors: those of [`target::write`], and [`Code::WriteFailed`] or [`Code::Conflict`] where the API server refuses.
pub(crate) async fn write(
    ctx: &Context,
    rule: &Rule,
    desired: &Desired,
) -> Result<Written, Failure> {
    let key = key(rule);
    // A Secret that we did not make may be there without our label, which the watch selects by.
    let known = TargetKey::secret(key.clone());
    let look = rule.creation == CreationPolicy::Merge || ctx.world.lock().target(&known).is_some();
    let mut existing = if look { get(ctx, &key).await? } else { None };
    for _ in 0..MAX_ROUNDS {
        let body = existing.as_ref().map(|body| &body.0);
        match send(ctx, rule, target::write(body, desired, rule)?).await? {
            Sent::Done(written) => return Ok(written),
            Sent::Stale => existing = get(ctx, &key).await?,
        }
    }
    Err(busy(&rule.name))
}

/// Deletes the target, which shall not be.
///
/// Guarantees: only an object that this ExternalSecret controls is deleted, in exactly the version that was read.
/// Errors: those of [`target::remove`], and [`Code::WriteFailed`] or [`Code::Conflict`] where the API server refuses.
pub(crate) async fn remove(
    ctx: &Context,
    plan: &SyncPlan,
    rule: &Rule,
) -> Result<Written, Failure> {
    let key = key(rule);
    for _ in 0..MAX_ROUNDS {
        let existing = get(ctx, &key).await?;
        let body = existing.as_ref().map(|body| &body.0);
        let decided = target::remove(body, rule, plan.absence.at_stake)?;
        let Remove::Delete(exactly) = decided else {
            return Ok(Written::Gone);
        };
        match delete(ctx, &key, exactly).await? {
            Deleted::Yes => return Ok(Written::Deleted),
            Deleted::Gone => return Ok(Written::Gone),
            Deleted::Changed => {}
        }
    }
    Err(busy(&rule.name))
}

/// Deletes the target of an earlier name; true if there was one.
///
/// Guarantees: those of [`target::left_over`]; it is done only after the new target has been written.
/// Errors: as [`remove`].
pub(crate) async fn remove_left_over(
    ctx: &Context,
    rule: &Rule,
    name: &str,
) -> Result<bool, Failure> {
    let key = ObjectKey {
        namespace: rule.owner.namespace.clone(),
        name: name.to_owned(),
    };
    let deleted = delete_as_read(ctx, &key, |meta| target::left_over(meta, rule)).await;
    deleted.map_err(|failure| failure.context("could not delete orphaned secrets"))
}

/// Deletes a Secret of which only the metadata are read, where `choose` says so; true if it was.
pub(crate) async fn delete_as_read(
    ctx: &Context,
    key: &ObjectKey,
    choose: impl Fn(&ObjectMeta) -> Option<Exactly>,
) -> Result<bool, Failure> {
    let tried = format!("could not read secret \"{}/{}\"", key.namespace, key.name);
    for _ in 0..MAX_ROUNDS {
        let api = ctx.namespaced::<Secret>(&key.namespace);
        let found = {
            let _turn = ctx.turn().await;
            let found = api.get_metadata_opt(&key.name).await;
            found.map_err(|e| api_error::failure(Stage::Commit, Code::WriteFailed, &tried, &e))?
        };
        let Some(exactly) = found.and_then(|found| choose(&found.metadata)) else {
            return Ok(false);
        };
        match delete(ctx, key, exactly).await? {
            Deleted::Yes => return Ok(true),
            Deleted::Gone => return Ok(false),
            Deleted::Changed => {}
        }
    }
    Err(busy(&key.name))
}

fn key(rule: &Rule) -> ObjectKey {
    ObjectKey {
        namespace: rule.owner.namespace.clone(),
        name: rule.name.clone(),
    }
}

enum Deleted {
    Yes,
    /// It was not there any more.
    Gone,
    /// Somebody changed it meanwhile: to be read and decided on again.
    Changed,
}

async fn delete(ctx: &Context, key: &ObjectKey, exactly: Exactly) -> Result<Deleted, Failure> {
    let params = DeleteParams::default().preconditions(Preconditions {
        uid: Some(exactly.uid),
        resource_version: Some(exactly.resource_version),
    });
    let api = ctx.namespaced::<Secret>(&key.namespace);
    let _turn = ctx.turn().await;
    match api.delete(&key.name, &params).await {
        Ok(_) => {
            misses(ctx, key);
            Ok(Deleted::Yes)
        }
        Err(error) if api_error::is_not_found(&error) => Ok(Deleted::Gone),
        Err(error) if api_error::is_conflict(&error) => Ok(Deleted::Changed),
        Err(error) => {
            let tried = format!("could not delete secret \"{}/{}\"", key.namespace, key.name);
            Err(api_error::failure(
                Stage::Commit,
                Code::WriteFailed,
                &tried,
                &error,
            ))
        }
    }
}

fn busy(name: &str) -> Failure {
    Failure::new(
        Stage::Commit,
        Code::Conflict,
        format!("secret \"{name}\" is being written by somebody else again and again"),
    )
}

enum Sent {
    Done(Written),
    /// What was decided on is no longer what is there.
    Stale,
}

async fn send(ctx: &Context, rule: &Rule, decided: Write) -> Result<Sent, Failure> {
    let (body, written, then) = match decided {
        Write::Unchanged => return Ok(Sent::Done(Written::Unchanged)),
        Write::Missing => return Ok(Sent::Done(Written::Missing)),
        Write::Skip => return Ok(Sent::Done(Written::Skipped)),
        Write::Create(secret) => (Body(*secret), Written::Created, None),
        Write::Update(secret) => (Body(*secret), Written::Updated, None),
        Write::Metadata(secret, failure) => (Body(*secret), Written::Updated, Some(*failure)),
    };
    let api = ctx.namespaced::<Secret>(&rule.owner.namespace);
    let params = PostParams {
        field_manager: Some(go::field_manager(&rule.owner.name)),
        ..PostParams::default()
    };
    let _turn = ctx.turn().await;
    let (what, answer) = match written {
        Written::Created => ("create", api.create(&params, &body.0).await),
        _ => ("update", api.replace(&rule.name, &params, &body.0).await),
    };
    match answer.map(Body) {
        Ok(stored) => {
            learn(ctx, &stored.0);
            then.map_or(Ok(Sent::Done(written)), Err)
        }
        Err(error) if api_error::already_exists(&error) || api_error::is_conflict(&error) => {
            Ok(Sent::Stale)
        }
        Err(error) if written == Written::Updated && api_error::is_not_found(&error) => {
            Ok(Sent::Stale)
        }
        Err(error) => Err(api_error::write_failed(what, &body.0, &error)),
    }
}

async fn get(ctx: &Context, key: &ObjectKey) -> Result<Option<Body>, Failure> {
    let api: Api<Secret> = ctx.namespaced(&key.namespace);
    let _turn = ctx.turn().await;
    let tried = || format!("could not read secret \"{}/{}\"", key.namespace, key.name);
    let read = api
        .get_opt(&key.name)
        .await
        .map_err(|e| api_error::failure(Stage::Observe, Code::WriteFailed, &tried(), &e))?;
    match read.map(Body) {
        Some(body) => {
            learn(ctx, &body.0);
            Ok(Some(body))
        }
        None => {
            misses(ctx, key);
            Ok(None)
        }
    }
}

fn learn(ctx: &Context, secret: &Secret) {
    let data = secret
        .data
        .iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.0.as_slice()));
    let hash = go::data_hash(data);
    let key = TargetKey::secret(ObjectKey::of(&secret.metadata));
    ctx.world.lock().knows_target(key, &secret.metadata, hash);
}

fn misses(ctx: &Context, key: &ObjectKey) {
    let key = TargetKey::secret(key.clone());
    ctx.world.lock().misses_target(&key);
}
