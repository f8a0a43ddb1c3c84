//! Hears what a plugin logs and what its calls used, for the length of a run. It hears nothing of anybody else.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// What was heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// Lines of the plugin since they were taken last.
    pub lines: Vec<String>,
    /// The most memory that one call had, in bytes.
    pub memory: u64,
    /// The most CPU time that one call took, in milliseconds.
    pub cpu_ms: u64,
    /// Calls that were measured.
    pub calls: u64,
}

/// The ear; clones hear into the same place.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Heard>>);

impl Recorder {
    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Target of a plugin's own lines.
const LINES: &str = "plugin";
/// Target of what a call used.
const USAGE: &str = "usage";

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && matches!(metadata.target(), LINES | USAGE)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut heard = self.heard();
        if event.metadata().target() == LINES {
            heard.lines.push(fields.text);
        } else {
            heard.memory = heard.memory.max(fields.memory);
            heard.cpu_ms = heard.cpu_ms.max(fields.cpu_ms);
            heard.calls += 1;
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields {
    text: String,
    memory: u64,
    cpu_ms: u64,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "memory" => self.memory = value,
            "cpu_ms" => self.cpu_ms = value,
            _ => {}
        }
    }

    fn record_str(&mut self, _: &Field, value: &str) {
        let _ = write!(self.text, "{value} ");
    }

    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.text, "{value:?} ");
    }
}
