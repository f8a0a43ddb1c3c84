//! Step 1 of a sync: what is known is put together. Nothing is read but a target whose present version is unknown.

use std::collections::BTreeMap;

use jiff::Timestamp;
use postern_api::ExternalSecret;
use postern_core::failure::Failure;
use postern_core::plan::Observed;

use crate::context::Context;
use crate::manifest;
use crate::target;
use crate::world::{ObjectKey, TargetKey};

/// All that a plan is made of; none where the object is gone, or has to wait: for the check of a store, or for its namespace
/// to be seen, whose labels say what may be read. Either wakes it.
pub(crate) async fn observe(ctx: &Context, key: &ObjectKey) -> Result<Option<Observed>, Failure> {
    let now = Timestamp::now();
    let (access, object, stores, namespace_labels, target_key, target) = {
        let world = ctx.world.lock();
        let Some(object) = world.external_secret(key) else {
            return Ok(None);
        };
        let going = is_going(&object);
        let labels_are_watched = ctx.namespace.is_none();
        if labels_are_watched && !going && !world.knows_namespace(&key.namespace) {
            return Ok(None);
        }
        let stores = if going {
            Some(BTreeMap::new())
        } else {
            world.stores_for(&object, &ctx.outlook)
        };
        let Some(stores) = stores else {
            return Ok(None);
        };
        let target_key = TargetKey::of(&object);
        let target = world.target(&target_key);
        (
            world.access_of(stores.keys()),
            object,
            stores,
            world.namespace_labels(&key.namespace),
            target_key,
            target,
        )
    };
    let target = match (&target_key.kind, target) {
        (Some(kind), target) if ctx.settings.generic_targets && !is_going(&object) => {
            manifest::look(ctx, kind, &target_key, target).await
        }
        (None, Some(seen)) if seen.actual_hash.is_none() => {
            target::read(ctx, &target_key.object).await?
        }
        (_, known) => known,
    };
    let settings = ctx.settings.clone();
    Ok(Some(Observed {
        object: (*object).clone(),
        stores,
        namespace_labels,
        access,
        target,
        now,
        settings,
    }))
}

fn is_going(object: &ExternalSecret) -> bool {
    object.metadata.deletion_timestamp.is_some()
}
