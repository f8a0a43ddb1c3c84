//! The brake on absences over fakes, under a clock that stands still: what is confirmed, what is held, and for how long.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[allow(dead_code, reason = "the other test binary uses the rest")]
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use postern_api::external_secret::{DeletionPolicy, StoreKind};
use postern_core::absence::{ANNOTATION_ACCEPT, Produced, Rule};
use postern_core::failure::{Code, Failure};
use postern_core::plan::{Entry, Position, SyncPlan};
use postern_core::plugin::Digest;
use postern_core::store::Store;
use serde_json::json;
use tokio::time::{Instant, sleep};

const INTERVAL: Duration = Duration::from_secs(3600);

fn plan(store: &Arc<Store>, policy: DeletionPolicy, keys: &[&str]) -> SyncPlan {
    let entry =
        |(index, key): (usize, &&str)| Entry::plain(Position::Data(index), Some((*key).to_owned()));
    SyncPlan {
        stores: BTreeMap::from([(store.id.clone(), store.clone())]),
        reads: keys.iter().map(|key| whole(store, key)).collect(),
        entries: keys.iter().enumerate().map(entry).collect(),
        absence: Rule {
            policy,
            interval: INTERVAL,
            at_stake: true,
        },
        ..SyncPlan::plain("team", &format!("es-of-{}", keys.join("-")), "target")
    }
}

/// A desk whose backend has objects `0`, `1`, …; with the store, and a plan for each that deletes.
fn with_objects(n: usize) -> (Desk, Vec<SyncPlan>) {
    let desk = desk();
    let store = own(json!({"plain": {}}));
    for key in 0..n {
        put(&desk, &key.to_string());
    }
    let plans = (0..n)
        .map(|key| plan(&store, DeletionPolicy::Delete, &[&key.to_string()]))
        .collect();
    (desk, plans)
}

fn put(desk: &Desk, key: &str) {
    desk.host.world().values.insert(key.into(), "v".into());
}

fn vanish(desk: &Desk, keys: impl IntoIterator<Item = usize>) {
    for key in keys {
        desk.host.world().values.remove(&key.to_string());
    }
}

async fn produce(desk: &Desk, plan: &SyncPlan) -> Result<Produced, Failure> {
    let produced = desk.doors.produce(plan, Instant::now()).await;
    produced.map_err(|unshaped| *unshaped.failure)
}

async fn all_live(desk: &Desk, plans: &[SyncPlan]) {
    for plan in plans {
        assert!(
            produce(desk, plan)
                .await
                .unwrap()
                .target
                .desired()
                .is_some()
        );
    }
}

/// Whether the target is to be deleted; the code where the sync failed.
async fn goes(desk: &Desk, plan: &SyncPlan) -> Result<bool, Code> {
    let produced = produce(desk, plan).await.map_err(|failure| failure.code)?;
    Ok(produced.target.desired().is_none())
}

fn times_asked(desk: &Desk, key: &str) -> usize {
    let world = desk.host.world();
    let requests = world.reads.iter().flat_map(|(_, requests)| requests);
    requests.filter(|request| request.key == key).count()
}

#[tokio::test(start_paused = true)]
async fn one_of_ten_goes_after_a_second_fetch() {
    let (desk, plans) = with_objects(10);
    all_live(&desk, &plans).await;
    vanish(&desk, [3]);
    let before = times_asked(&desk, "3");
    assert_eq!(goes(&desk, &plans[3]).await, Ok(true));
    assert_eq!(times_asked(&desk, "3"), before + 2);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_back_at_the_second_fetch_is_taken() {
    let (desk, plans) = with_objects(10);
    all_live(&desk, &plans).await;
    vanish(&desk, [3]);
    let doors = desk.doors.clone();
    let plan = plans[3].clone();
    let syncing = tokio::spawn(async move { doors.produce(&plan, Instant::now()).await });
    // The fake answers as of the moment it is asked, and takes 10 ms to say it.
    sleep(Duration::from_millis(8)).await;
    put(&desk, "3");
    let produced = syncing.await.unwrap().unwrap();
    assert_eq!(produced.target.desired().unwrap().data["3"], "v".into());
    assert!(produced.missing.is_empty());
}

#[tokio::test(start_paused = true)]
async fn six_of_ten_are_held_by_the_very_first_sync_until_an_interval_has_passed() {
    let (desk, plans) = with_objects(10);
    all_live(&desk, &plans).await;
    vanish(&desk, 0..6);
    for plan in &plans[..6] {
        assert_eq!(goes(&desk, plan).await, Err(Code::MassAbsence));
    }
    sleep(5 * MINUTE).await;
    for plan in &plans[..6] {
        assert_eq!(goes(&desk, plan).await, Err(Code::MassAbsence));
    }
    sleep(INTERVAL).await;
    for plan in &plans[..6] {
        assert_eq!(goes(&desk, plan).await, Ok(true));
    }
    assert_eq!(goes(&desk, &plans[7]).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_while_it_is_held_stays_and_starts_anew() {
    let (desk, plans) = with_objects(6);
    all_live(&desk, &plans).await;
    vanish(&desk, 0..6);
    assert_eq!(goes(&desk, &plans[0]).await, Err(Code::MassAbsence));
    for key in 0..6 {
        put(&desk, &key.to_string());
    }
    sleep(INTERVAL / 2).await;
    all_live(&desk, &plans).await;
    vanish(&desk, 0..6);
    sleep(INTERVAL / 2).await;
    assert_eq!(goes(&desk, &plans[0]).await, Err(Code::MassAbsence));
}

#[tokio::test(start_paused = true)]
async fn what_was_never_seen_is_held_for_an_interval_whatever_the_number() {
    let (desk, plans) = with_objects(10);
    vanish(&desk, [3]);
    all_live(&desk, &plans[..3]).await;
    let failure = produce(&desk, &plans[3]).await.unwrap_err();
    assert_eq!(failure.code, Code::MassAbsence);
    assert!(failure.public.contains("not been seen"), "{failure}");
    sleep(INTERVAL).await;
    assert_eq!(goes(&desk, &plans[3]).await, Ok(true));
}

/// The same plans after somebody has changed the store's config.
fn after_a_change(plans: &[SyncPlan], provider: &str) -> Vec<SyncPlan> {
    let config = match provider {
        "closed" => json!({"perNamespace": false}),
        _ => json!({"url": "https://other.corp:8200"}),
    };
    let store = store_in(StoreKind::SecretStore, 2, json!({provider: config}));
    let stores = BTreeMap::from([(store.id.clone(), store)]);
    let changed = plans.iter().map(|plan| SyncPlan {
        stores: stores.clone(),
        ..plan.clone()
    });
    changed.collect()
}

#[tokio::test(start_paused = true)]
async fn after_a_change_of_the_store_one_goes_where_others_have_values() {
    let (desk, plans) = with_objects(10);
    all_live(&desk, &plans).await;
    vanish(&desk, [3]);
    let plans = after_a_change(&plans, "plain");
    assert_eq!(goes(&desk, &plans[3]).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn after_a_change_of_the_store_that_finds_nothing_there_is_held_whatever_the_number() {
    for n in [1, 4, 10] {
        let (desk, plans) = with_objects(n);
        all_live(&desk, &plans).await;
        vanish(&desk, 0..n);
        let plans = after_a_change(&plans, "plain");
        for plan in &plans {
            assert_eq!(goes(&desk, plan).await, Err(Code::MassAbsence), "{n}");
        }
        sleep(INTERVAL).await;
        assert_eq!(goes(&desk, &plans[0]).await, Ok(true), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_held_back_before_a_change_of_the_store_is_held_back_anew() {
    let (desk, plans) = with_objects(6);
    all_live(&desk, &plans).await;
    vanish(&desk, 0..6);
    assert_eq!(goes(&desk, &plans[0]).await, Err(Code::MassAbsence));
    sleep(INTERVAL).await;
    let plans = after_a_change(&plans, "plain");
    assert_eq!(goes(&desk, &plans[0]).await, Err(Code::MassAbsence));
}

#[tokio::test(start_paused = true)]
async fn where_the_values_stand_in_the_store_a_change_of_it_takes_away_one_and_not_many() {
    for (n, gone) in [(1, Ok(true)), (5, Err(Code::MassAbsence))] {
        let (desk, _) = with_objects(n);
        let store = own(json!({"closed": {}}));
        let key = |n: usize| plan(&store, DeletionPolicy::Delete, &[&n.to_string()]);
        let plans: Vec<_> = (0..n).map(key).collect();
        all_live(&desk, &plans).await;
        vanish(&desk, 0..n);
        let plans = after_a_change(&plans, "closed");
        assert_eq!(goes(&desk, &plans[0]).await, gone);
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_never_had_a_value_takes_nothing_from_one_who_was_served() {
    let (desk, plans) = with_objects(2);
    let store = plans[0].stores.values().next().unwrap().clone();
    let name = |keys: &[&str]| SyncPlan {
        name: "app".into(),
        ..plan(&store, DeletionPolicy::Delete, keys)
    };
    let more = name(&["0", "none"]);
    assert_eq!(goes(&desk, &more).await, Err(Code::MassAbsence));
    assert_eq!(goes(&desk, &name(&["0"])).await, Ok(false));
    // Held back once, it waits all the same; another one does not.
    assert_eq!(goes(&desk, &more).await, Err(Code::MassAbsence));
    let produced = produce(&desk, &name(&["0", "nobody"])).await.unwrap();
    assert_eq!(produced.missing.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_annotation_accepts_and_another_revisions_does_not() {
    let (desk, plans) = with_objects(6);
    all_live(&desk, &plans).await;
    vanish(&desk, 0..6);
    let mut plan = plans[0].clone();
    let mut with = |text: &str| {
        plan.annotations = BTreeMap::from([(ANNOTATION_ACCEPT.to_owned(), text.to_owned())]);
        plan.clone()
    };
    let other = with(Digest::of(b"other").as_str());
    let this = with(Digest::of(b"plain").as_str());
    let any = with("true");
    assert_eq!(goes(&desk, &other).await, Err(Code::MassAbsence));
    assert_eq!(goes(&desk, &this).await, Ok(true));
    assert_eq!(goes(&desk, &any).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn merge_drops_the_absent_key_and_retain_fails() {
    let (desk, plans) = with_objects(10);
    all_live(&desk, &plans).await;
    let store = plans[0].stores.values().next().unwrap().clone();
    vanish(&desk, [3]);
    let merge = plan(&store, DeletionPolicy::Merge, &["2", "3"]);
    let produced = produce(&desk, &merge).await.unwrap();
    let keys: Vec<_> = produced
        .target
        .desired()
        .unwrap()
        .data
        .into_keys()
        .collect();
    assert_eq!((keys, produced.missing.len()), (vec!["2".to_owned()], 1));
    let retain = plan(&store, DeletionPolicy::Retain, &["2", "3"]);
    assert_eq!(goes(&desk, &retain).await, Err(Code::Absent));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_beside_an_absence_deletes_nothing() {
    let (desk, plans) = with_objects(10);
    all_live(&desk, &plans).await;
    let store = plans[0].stores.values().next().unwrap().clone();
    vanish(&desk, [3]);
    desk.host.world().denied.insert("2".into());
    let both = plan(&store, DeletionPolicy::Delete, &["2", "3"]);
    let code = goes(&desk, &both).await.unwrap_err();
    assert!(!matches!(code, Code::Absent | Code::MassAbsence), "{code}");
}

#[tokio::test(start_paused = true)]
async fn without_a_target_nothing_is_at_stake_and_nothing_is_asked_twice() {
    let (desk, plans) = with_objects(1);
    vanish(&desk, [0]);
    let mut plan = plans[0].clone();
    plan.absence.at_stake = false;
    assert_eq!(goes(&desk, &plan).await, Ok(true));
    assert_eq!(times_asked(&desk, "0"), 1);
}

#[tokio::test(start_paused = true)]
async fn deletions_one_by_one_within_an_interval_are_stopped_when_they_are_many() {
    let (desk, plans) = with_objects(10);
    all_live(&desk, &plans).await;
    let mut believed = 0;
    for (key, plan) in plans.iter().enumerate() {
        vanish(&desk, [key]);
        match goes(&desk, plan).await {
            Ok(true) => believed += 1,
            other => assert_eq!(other, Err(Code::MassAbsence)),
        }
        sleep(MINUTE).await;
    }
    assert_eq!(believed, 5);
}
