//! The door to target Secrets: reading one to know the hash of its data, and writing one. What is written, the core decides.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use postern_api::names;
use postern_core::conclude::Written;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::go;
use postern_core::plan::{SyncPlan, TargetMeta};
use postern_core::target::{self, Owner, Remove, Write};
use postern_core::template::Desired;
use zeroize::Zeroize as _;

use crate::api_error;
use crate::context::Context;
use crate::world::ObjectKey;

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
    Ok(ctx.world.lock().target(key))
}

/// Writes the target.
///
/// Guarantees: a Secret that belongs to somebody else is not touched; nothing that somebody wrote meanwhile is overwritten
/// unread (the write carries the resource version that was read); a target that is right already is not written.
/// Errors: those of [`target::write`], and [`Code::WriteFailed`] or [`Code::Conflict`] where the API server refuses.
pub(crate) async fn write(
    ctx: &Context,
    plan: &SyncPlan,
    owner: &Owner,
    desired: &Desired,
) -> Result<Written, Failure> {
    let key = ObjectKey {
        namespace: plan.namespace.clone(),
        name: plan.target_name.clone(),
    };
    let seen = ctx.world.lock().target(&key).is_some();
    let mut existing = if seen { get(ctx, &key).await? } else { None };
    for _ in 0..MAX_ROUNDS {
        let decided = target::write(
            existing.as_ref().map(|body| &body.0),
            desired,
            owner,
            &plan.target_name,
        )?;
        match send(ctx, owner, decided).await? {
            Sent::Done(written) => return Ok(written),
            Sent::Stale => existing = get(ctx, &key).await?,
        }
    }
    Err(busy(&plan.target_name))
}

/// Deletes the target, which shall not be.
///
/// Guarantees: only an object that this ExternalSecret controls is deleted, in exactly the version that was read.
/// Errors: those of [`target::remove`], and [`Code::WriteFailed`] or [`Code::Conflict`] where the API server refuses.
pub(crate) async fn remove(
    ctx: &Context,
    plan: &SyncPlan,
    owner: &Owner,
) -> Result<Written, Failure> {
    let key = ObjectKey {
        namespace: plan.namespace.clone(),
        name: plan.target_name.clone(),
    };
    let api = ctx.namespaced::<Secret>(&key.namespace);
    for _ in 0..MAX_ROUNDS {
        let existing = get(ctx, &key).await?;
        let body = existing.as_ref().map(|body| &body.0);
        let decided = target::remove(body, owner, &key.name, plan.absence.at_stake)?;
        let Remove::Delete {
            uid,
            resource_version,
        } = decided
        else {
            return Ok(Written::Gone);
        };
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: Some(uid),
            resource_version: Some(resource_version),
        });
        let _turn = ctx.turn().await;
        match api.delete(&key.name, &params).await {
            Ok(_) => {
                ctx.world.lock().misses_target(&key);
                return Ok(Written::Deleted);
            }
            Err(error) if api_error::is_not_found(&error) => return Ok(Written::Gone),
            // Somebody changed it meanwhile: read again, and decide again.
            Err(error) if api_error::is_conflict(&error) => {}
            Err(error) => {
                let tried = format!("could not delete secret \"{}/{}\"", key.namespace, key.name);
                return Err(api_error::failure(
                    Stage::Commit,
                    Code::WriteFailed,
                    &tried,
                    &error,
                ));
            }
        }
    }
    Err(busy(&plan.target_name))
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

async fn send(ctx: &Context, owner: &Owner, decided: Write) -> Result<Sent, Failure> {
    let api = ctx.namespaced::<Secret>(&owner.namespace);
    let params = PostParams {
        field_manager: Some(go::field_manager(&owner.name)),
        ..PostParams::default()
    };
    let _turn = ctx.turn().await;
    let (what, body, written, answer) = match decided {
        Write::Unchanged => return Ok(Sent::Done(Written::Unchanged)),
        Write::Create(secret) => {
            let body = Body(*secret);
            let answer = api.create(&params, &body.0).await;
            ("create", body, Written::Created, answer)
        }
        Write::Update(secret) => {
            let body = Body(*secret);
            let name = body.0.metadata.name.clone().unwrap_or_default();
            let answer = api.replace(&name, &params, &body.0).await;
            ("update", body, Written::Updated, answer)
        }
    };
    match answer.map(Body) {
        Ok(stored) => {
            learn(ctx, &stored.0);
            Ok(Sent::Done(written))
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
            ctx.world.lock().misses_target(key);
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
    ctx.world.lock().knows_target(&secret.metadata, hash);
}

/// What the core needs to know of the owner.
pub(crate) fn owner(plan: &SyncPlan, uid: Option<&str>) -> Owner {
    Owner {
        namespace: plan.namespace.clone(),
        name: plan.name.clone(),
        uid: uid.unwrap_or_default().to_owned(),
    }
}
