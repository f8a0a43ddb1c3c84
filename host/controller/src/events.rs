//! Posts events in the background: a sync never waits for one, and a flood of them is dropped rather than queued for ever.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use postern_core::conclude::EventText;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// An event is about a kilobyte; so many wait at most while the API server is slow.
const MAX_WAITING: usize = 4096;
/// Events posted at once; few, so that they stand behind the writes that matter.
const IN_FLIGHT: usize = 4;
/// What the API server takes as the note of an event.
const MAX_NOTE: usize = 1024;

/// What an event is about, and in whose name it is posted.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) object: ObjectReference,
    pub(crate) component: &'static str,
}

/// Takes events.
#[derive(Clone, Debug)]
pub(crate) struct Poster(mpsc::Sender<Event>);

impl Poster {
    /// A poster, and the task that does the posting until the last poster is gone.
    pub(crate) fn start(client: Client) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self(sender), tokio::spawn(post_all(client, receiver)))
    }

    /// Posts events about an object, some time.
    pub(crate) fn post(&self, about: &About, texts: &[EventText]) {
        for text in texts {
            if self
                .0
                .try_send(event(about, text, Timestamp::now()))
                .is_err()
            {
                tracing::warn!("too many events are waiting; one was dropped");
            }
        }
    }
}

async fn post_all(client: Client, mut events: mpsc::Receiver<Event>) {
    let mut posting = JoinSet::new();
    while let Some(event) = events.recv().await {
        while posting.len() >= IN_FLIGHT {
            posting.join_next().await;
        }
        posting.spawn(post(client.clone(), event));
    }
    posting.join_all().await;
}

async fn post(client: Client, event: Event) {
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client, &namespace);
    if let Err(error) = api.create(&PostParams::default(), &event).await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "could not post an event"
        );
    }
}

fn event(about: &About, text: &EventText, now: Timestamp) -> Event {
    let name = about.object.name.clone().unwrap_or_default();
    // Events of objects without a namespace live in `default`.
    let namespace = about
        .object
        .namespace
        .clone()
        .filter(|n| !n.is_empty())
        .unwrap_or_else(|| "default".to_owned());
    // 253 characters are a name's limit; the stamp has 16.
    let stem: String = name.chars().take(230).collect();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{stem}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        involved_object: about.object.clone(),
        reason: Some(text.reason.to_owned()),
        message: Some(postern_core::failure::one_line(&text.message, MAX_NOTE)),
        type_: Some(if text.warning { "Warning" } else { "Normal" }.to_owned()),
        source: Some(EventSource {
            component: Some(about.component.to_owned()),
            host: None,
        }),
        reporting_component: Some(about.component.to_owned()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}
