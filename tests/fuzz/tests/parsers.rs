//! The parsers of the host that see what others wrote: manifests, and what backends and plugins answer.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use postern_api::external_secret::{DecodingStrategy, RewriteMerge, StoreKind};
use postern_api::{ExternalSecret, SecretStoreSpec};
use postern_core::egress::Origin;
use postern_core::plan::{
    self, Entry, Observed, Plan, PlanSettings, Position, StoreState, SyncPlan,
};
use postern_core::plugin::Part;
use postern_core::re2::Pattern;
use postern_core::secret::SecretValue;
use postern_core::selector::Selector;
use postern_core::shape::{self, Rewrite, Shaping};
use postern_core::store::{self, StoreId};
use postern_core::{cron, go, template};
use postern_standalone::manifest::Manifests;

fn fuzz(name: &str, target: impl Fn(&[u8])) {
    postern_fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), name, target);
}

fn with_text(name: &str, target: impl Fn(&str)) {
    fuzz(name, |input| target(&String::from_utf8_lossy(input)));
}

#[test]
fn durations() {
    with_text("duration", |text| {
        let _ = go::parse_duration(text);
    });
}

#[test]
fn schedules() {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let before = Timestamp::from_second(1_799_000_000).unwrap();
    with_text("cron", |text| {
        if let Ok(cron::Schedule::Fields(schedule)) = cron::parse(text) {
            let next = schedule.next(now);
            assert!(next.is_none_or(|next| next > now), "{text}");
            let last = schedule.last(now, before);
            assert!(last.is_none_or(|last| last <= now), "{text}");
        }
    });
}

#[test]
fn regular_expressions() {
    with_text("re2", |text| {
        let (pattern, subject) = text.split_once('\n').unwrap_or((text, "prod/db_1"));
        if let Ok(pattern) = Pattern::parse(pattern) {
            let _ = pattern.is_match(subject);
            let _ = pattern.replace_all(subject, "${1}x$0");
        }
    });
}

#[test]
fn origins() {
    with_text("origin", |text| {
        let _ = Origin::parse(text);
    });
}

#[test]
fn selectors() {
    let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    fuzz("selector", |input| {
        let read = serde_json::from_slice(input).ok();
        if let Some(Ok(selector)) = read.map(|selector| Selector::parse(&selector)) {
            let _ = selector.matches(&labels);
        }
    });
}

fn store(spec: &SecretStoreSpec) -> Option<store::Store> {
    let id = StoreId::from_ref(StoreKind::SecretStore, "s", "team");
    store::parse(id, "uid".into(), 1, spec).ok()
}

#[test]
fn stores() {
    fuzz("store", |input| {
        let spec = serde_json::from_slice(input).ok();
        let _ = spec.as_ref().and_then(store);
    });
}

/// What the API server lets through is planned, whatever it is.
#[test]
fn external_secrets() {
    let spec = serde_json::from_str(r#"{"provider":{"fake":{"data":[]}}}"#).unwrap();
    let store = Arc::new(store(&spec).unwrap());
    fuzz("external-secret", |input| {
        let Ok(object) = serde_json::from_slice::<ExternalSecret>(input) else {
            return;
        };
        let stores = plan::stores_of(&object).into_iter();
        let observed = Observed {
            stores: stores
                .map(|id| (id, StoreState::Ready(store.clone())))
                .collect(),
            object,
            namespace_labels: BTreeMap::new(),
            access: BTreeMap::new(),
            target: None,
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            settings: PlanSettings::default(),
        };
        if let Plan::Sync(plan) = plan::plan(&observed) {
            let _ = template::job(&plan, &shape::Data::new(), &template::Sources::default());
        }
    });
}

/// Members of an object, under each way to decode and each way to merge: a backend can hold anything.
#[test]
fn members() {
    let merge: RewriteMerge = serde_json::from_str(r#"{"into":"all","strategy":"JSON"}"#).unwrap();
    fuzz("members", |input| {
        let Ok(members) = serde_json::from_slice::<BTreeMap<String, String>>(input) else {
            return;
        };
        for decoding in [
            DecodingStrategy::None,
            DecodingStrategy::Base64,
            DecodingStrategy::Base64URL,
            DecodingStrategy::Auto,
        ] {
            let mut entry = Entry::plain(Position::Extract(0), None);
            entry.decoding = decoding;
            shaped(entry, &members);
        }
        let mut entry = Entry::plain(Position::Extract(0), None);
        entry.rewrite = vec![Rewrite::Merge(merge.clone())];
        shaped(entry, &members);
    });
}

fn shaped(entry: Entry, members: &BTreeMap<String, String>) {
    let mut plan = SyncPlan::plain("team", "es", "target");
    plan.entries.push(entry);
    let members = members.iter();
    let members = members.map(|(name, value)| (name.clone(), SecretValue::from(value.as_str())));
    let answers = vec![Ok(Part::Members(members.collect()))];
    if let Ok(Shaping::Done(shaped)) = shape::begin(&plan, answers) {
        for key in shaped.data.keys() {
            let allowed = |c: char| c.is_alphabetic() || c.is_numeric() || "-._".contains(c);
            assert!(!key.is_empty() && key.chars().all(allowed), "{key:?}");
        }
    }
}

#[test]
fn manifests_of_a_folder() {
    with_text("manifest", |text| {
        Manifests::default().add_file(Path::new("a.yaml"), text);
    });
}
