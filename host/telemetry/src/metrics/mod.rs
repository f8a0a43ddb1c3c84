//! What is counted and measured, and its text form for Prometheus.
//!
//! Labels are names of objects and plugins, and words of closed sets: never a remote key, a value or a text of a failure.
//! The number of series is bounded; what exceeds a bound is counted and not shown.

mod families;
mod text;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use families::*;

use crate::names::label;
use text::Page;

/// Objects that have series of their own; an ExternalSecret has six.
pub const MAX_OBJECTS: usize = 20_000;
/// Deleted ExternalSecrets that are still told of; the oldest goes first.
pub const MAX_DELETED: usize = 1_000;
/// Series of counters that do not belong to an object.
pub const MAX_SERIES: usize = 5_000;

/// Kinds of objects that have series of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// ExternalSecret.
    ExternalSecret,
    /// SecretStore.
    SecretStore,
    /// ClusterSecretStore; its namespace is empty.
    ClusterSecretStore,
}

/// Kind, namespace and name of an object.
pub type Subject = (Kind, String, String);

/// What is known of an object after a look at it.
#[derive(Clone, Debug, Default)]
pub struct Look<'a> {
    /// Its labels.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// What its condition Ready says.
    pub ready: Option<bool>,
    /// When it was last synced, in seconds since 1970.
    pub last_success: Option<f64>,
    /// How long the look took.
    pub took: Duration,
}

#[derive(Debug, Default)]
struct Object {
    /// Values of [`label::EXTENDED`].
    extended: Vec<String>,
    looks: u64,
    errors: u64,
    ready: Option<bool>,
    last_success: Option<f64>,
    took: Duration,
}

#[derive(Debug, Default)]
struct State {
    series: BTreeMap<(&'static str, Vec<String>), f64>,
    objects: BTreeMap<Subject, Object>,
    /// ExternalSecrets that are gone, with their extended labels.
    deleted: VecDeque<(Subject, Vec<String>)>,
    left_out: u64,
}

/// A measurement that is taken when it is asked for.
pub type Sample = (&'static Family, Vec<String>, f64);

/// The measurements of a process.
#[derive(Debug, Default)]
pub struct Metrics {
    extended: bool,
    state: Mutex<State>,
}

impl Metrics {
    /// None yet; `extended` adds [`label::EXTENDED`] to what tells of an ExternalSecret.
    #[must_use]
    pub fn new(extended: bool) -> Self {
        Self {
            extended,
            state: Mutex::default(),
        }
    }

    /// Adds to a counter. Label values are given in the family's order.
    pub fn add(&self, family: &'static Family, labels: &[&str], by: f64) {
        self.change(family, labels, |value| *value += by);
    }

    /// Raises a gauge to a value, where it is below.
    pub fn raise(&self, family: &'static Family, labels: &[&str], to: f64) {
        self.change(family, labels, |value| *value = value.max(to));
    }

    fn change(&self, family: &'static Family, labels: &[&str], change: impl FnOnce(&mut f64)) {
        debug_assert_eq!(labels.len(), family.labels.len(), "{}", family.name);
        let key = (
            family.name,
            labels.iter().map(|l| (*l).to_owned()).collect(),
        );
        let mut state = self.lock();
        if state.series.len() >= MAX_SERIES && !state.series.contains_key(&key) {
            state.left_out += 1;
            return;
        }
        change(state.series.entry(key).or_default());
    }

    /// An object was looked at.
    pub fn looked(&self, subject: &Subject, look: &Look<'_>) {
        let mut state = self.lock();
        let Some(object) = state.object(subject) else {
            return;
        };
        object.looks += 1;
        object.took = look.took;
        object.ready = look.ready;
        object.last_success = look.last_success;
        if self.extended {
            let value = |of| look.labels.and_then(|labels| labels.get(of)).cloned();
            object.extended = label::EXTENDED
                .iter()
                .map(|(_, of)| value(*of).unwrap_or_default())
                .collect();
        }
        if look.ready.is_some() {
            state.deleted.retain(|(deleted, _)| deleted != subject);
        }
    }

    /// The sync of an object failed.
    pub fn failed(&self, subject: &Subject) {
        if let Some(object) = self.lock().object(subject) {
            object.errors += 1;
        }
    }

    /// An object is gone: its series go with it, and of an ExternalSecret one stays that says so.
    pub fn gone(&self, subject: &Subject) {
        let mut state = self.lock();
        let Some(object) = state.objects.remove(subject) else {
            return;
        };
        if subject.0 != Kind::ExternalSecret {
            return;
        }
        state.deleted.push_back((subject.clone(), object.extended));
        if state.deleted.len() > MAX_DELETED {
            state.deleted.pop_front();
        }
    }

    /// The text that a scrape gets, with what was measured for it.
    #[must_use]
    pub fn text(&self, samples: impl IntoIterator<Item = Sample>) -> String {
        let mut page = Page::new(self.extended);
        for (family, labels, value) in samples {
            page.put(family, labels, value);
        }
        let state = self.lock();
        for ((name, labels), value) in &state.series {
            page.put_named(name, labels.clone(), *value);
        }
        for (subject, object) in &state.objects {
            page.put_object(subject, object);
        }
        for (subject, extended) in &state.deleted {
            page.put_condition(
                &EXTERNAL_SECRET_CONDITION,
                subject,
                extended,
                ("Deleted", "False", 1.0),
            );
        }
        #[expect(clippy::cast_precision_loss, reason = "a count as Prometheus has it")]
        page.put(&LEFT_OUT, Vec::new(), state.left_out as f64);
        drop(state);
        page.write()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn object(&mut self, subject: &Subject) -> Option<&mut Object> {
        if self.objects.len() >= MAX_OBJECTS && !self.objects.contains_key(subject) {
            self.left_out += 1;
            return None;
        }
        Some(self.objects.entry(subject.clone()).or_default())
    }
}

#[cfg(test)]
mod tests;
