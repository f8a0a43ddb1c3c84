//! Step 0: what the watches show is put into the state, and what that touches into the queue.
//!
//! A watch that breaks is taken up again with backoff. An object that cannot be read is passed over with a warning and
//! stops nothing. Secret bodies are never watched: the watch asks for metadata of labelled Secrets only.
//! What differs from kind to kind is a row of [`mirrors`].

pub(crate) mod mirrors;

use std::pin::pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use tokio::sync::oneshot;

use crate::context::Context;
use crate::world::{State, Touched};

/// What a watch yields, as what the state takes of it.
pub(crate) trait Shown: Resource + Send {
    /// What the state takes.
    type Value;

    /// The value; its metadata alone where it does not fit its type.
    fn value(self) -> Result<Self::Value, Box<ObjectMeta>>;
}

impl<K: Resource + Send> Shown for DeserializeGuard<K>
where
    Self: Resource,
{
    type Value = K;

    fn value(self) -> Result<K, Box<ObjectMeta>> {
        self.0.map_err(|invalid| Box::new(invalid.metadata))
    }
}

impl<K> Shown for PartialObjectMeta<K>
where
    Self: Resource + Send,
{
    type Value = ObjectMeta;

    fn value(self) -> Result<ObjectMeta, Box<ObjectMeta>> {
        Ok(self.metadata)
    }
}

/// How one kind of object gets into the state and out of it.
pub(crate) struct Mirror<T, Id> {
    /// For logs.
    pub(crate) kind: &'static str,
    id: fn(&ObjectMeta) -> Id,
    see: fn(&mut State, T) -> Touched,
    see_malformed: fn(&mut State, ObjectMeta) -> Touched,
    lose: fn(&mut State, &Id) -> Touched,
    known: fn(&State) -> Vec<Id>,
}

impl<T, Id: Ord> Mirror<T, Id> {
    fn show(&self, state: &mut State, object: impl Shown<Value = T>) -> Touched {
        match object.value() {
            Ok(value) => (self.see)(state, value),
            Err(meta) => {
                // The error's own text may repeat what stands in the object.
                tracing::warn!(
                    kind = self.kind,
                    namespace = meta.namespace,
                    name = meta.name,
                    "an object does not fit its schema and is passed over"
                );
                (self.see_malformed)(state, *meta)
            }
        }
    }

    /// Follows one watch for ever. `listed` is told when all that existed at the start has been seen.
    pub(crate) async fn follow<O: Shown<Value = T>>(
        &self,
        ctx: Arc<Context>,
        stream: impl Stream<Item = watcher::Result<Event<O>>> + Send,
        listed: oneshot::Sender<()>,
    ) {
        let mut stream = pin!(stream.default_backoff());
        let mut listed = Some(listed);
        let mut unseen = std::collections::BTreeSet::new();
        while let Some(event) = stream.next().await {
            let touched = match event {
                Ok(Event::Init) => {
                    unseen = (self.known)(&ctx.world.lock()).into_iter().collect();
                    Vec::new()
                }
                Ok(Event::InitApply(object)) => {
                    unseen.remove(&(self.id)(object.meta()));
                    self.show(&mut ctx.world.lock(), object)
                }
                Ok(Event::InitDone) => {
                    let gone = std::mem::take(&mut unseen);
                    let mut state = ctx.world.lock();
                    let touched = gone
                        .iter()
                        .flat_map(|id| (self.lose)(&mut state, id))
                        .collect();
                    drop(state);
                    if let Some(listed) = listed.take() {
                        // Whoever waited may have been told to stop.
                        let _ = listed.send(());
                    }
                    touched
                }
                Ok(Event::Apply(object)) => self.show(&mut ctx.world.lock(), object),
                Ok(Event::Delete(object)) => {
                    (self.lose)(&mut ctx.world.lock(), &(self.id)(object.meta()))
                }
                Err(error) => {
                    tracing::warn!(
                        kind = self.kind,
                        error = &error as &dyn std::error::Error,
                        "a watch broke off; it is taken up again"
                    );
                    Vec::new()
                }
            };
            ctx.queue.touch(touched);
        }
    }
}
