//! Searches over fakes, under a clock that stands still: pages, names, values, limits, sessions, and the brake.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[allow(dead_code, reason = "the other test binaries use the rest")]
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use postern_api::external_secret::DeletionPolicy;
use postern_core::absence::{Produced, Rule};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::plan::{Entry, Position, Read, SyncPlan, Wanted};
use postern_core::plugin::Query;
use postern_core::shape::Rewrite;
use postern_core::store::Store;
use serde_json::json;
use tokio::time::{Instant, sleep};

const INTERVAL: Duration = Duration::from_secs(3600);

fn plan(store: &Arc<Store>, policy: DeletionPolicy, name: &str) -> SyncPlan {
    SyncPlan {
        stores: BTreeMap::from([(store.id.clone(), store.clone())]),
        reads: vec![Read {
            store: store.id.clone(),
            within: None,
            wanted: Wanted::Search(Query {
                path: Some("prod/".into()),
                tags: vec![],
                name: Some(name.into()),
                ..Query::default()
            }),
        }],
        entries: vec![Entry::plain(Position::Find(0), None)],
        absence: Rule {
            policy,
            interval: INTERVAL,
            at_stake: true,
        },
        ..SyncPlan::plain("team", "es", "target")
    }
}

fn filled(keys: &[&str]) -> Desk {
    let desk = desk();
    for key in keys {
        let value = format!("value of {key}");
        desk.host.world().values.insert((*key).into(), value);
    }
    desk
}

async fn produce(desk: &Desk, plan: &SyncPlan) -> Result<Produced, Failure> {
    let produced = desk.doors.produce(plan, Instant::now()).await;
    produced.map_err(|unshaped| *unshaped.failure)
}

async fn keys(desk: &Desk, plan: &SyncPlan) -> Vec<String> {
    let produced = produce(desk, plan).await.unwrap();
    produced
        .target
        .desired()
        .unwrap()
        .data
        .into_keys()
        .collect()
}

fn store() -> Arc<Store> {
    own(json!({"plain": {}}))
}

#[tokio::test(start_paused = true)]
async fn what_matches_is_read_page_by_page_and_its_values_in_one_batch() {
    let desk = filled(&["prod/a", "prod/b", "prod/c", "prod/xa", "test/a"]);
    desk.host.world().page_size = 2;
    let plan = plan(&store(), DeletionPolicy::Retain, "/[a-c]$");
    let data = produce(&desk, &plan)
        .await
        .unwrap()
        .target
        .desired()
        .unwrap()
        .data;
    assert_eq!(data["prod_b"], "value of prod/b".into());
    assert_eq!(data.len(), 3);
    let world = desk.host.world();
    let after: Vec<_> = world
        .finds
        .iter()
        .map(|(_, _, after)| after.clone())
        .collect();
    assert_eq!(
        after,
        [None, Some("prod/b".to_owned()), Some("prod/xa".to_owned())]
    );
    assert_eq!(world.reads.len(), 1);
    assert_eq!(world.reads[0].1.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn values_that_the_list_brings_along_are_not_read() {
    let desk = filled(&["prod/a"]);
    desk.host.world().inline = true;
    let plan = plan(&store(), DeletionPolicy::Retain, ".");
    assert_eq!(keys(&desk, &plan).await, ["prod_a"]);
    assert!(desk.host.world().reads.is_empty());
}

#[tokio::test(start_paused = true)]
async fn fifty_syncs_with_one_search_ask_once() {
    let desk = filled(&["prod/a", "prod/b"]);
    let plan = plan(&store(), DeletionPolicy::Retain, ".");
    let due = Instant::now();
    sleep(SECOND).await;
    let all = (0..50).map(|_| desk.doors.produce(&plan, due));
    for one in futures::future::join_all(all).await {
        assert_eq!(one.unwrap().target.desired().unwrap().data.len(), 2);
    }
    let world = desk.host.world();
    assert_eq!((world.finds.len(), world.reads.len()), (1, 1));
    assert_eq!(desk.doors.stats().lists, 1);
}

#[tokio::test(start_paused = true)]
async fn a_plugin_without_find_is_named_and_not_asked() {
    let desk = filled(&["prod/a"]);
    let plan = plan(&own(json!({"blind": {}})), DeletionPolicy::Retain, ".");
    let failure = produce(&desk, &plan).await.unwrap_err();
    assert_eq!(failure.code, Code::Unsupported);
    assert!(
        failure
            .public
            .contains("the plugin blind of SecretStore \"s\" cannot search"),
        "{failure}"
    );
    assert!(desk.host.world().finds.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_search_says_where_and_what() {
    let desk = filled(&["prod/a"]);
    let denied = Failure::new(
        Stage::Fetch,
        Code::Denied,
        "the backend denied listing \"prod\"",
    );
    desk.host.world().find_failure = Some(denied);
    let plan = plan(&store(), DeletionPolicy::Delete, ".");
    let failure = produce(&desk, &plan).await.unwrap_err();
    assert_eq!(
        failure.public,
        "error processing spec.dataFrom[0].find, err: error getting all secrets: the backend denied listing \"prod\""
    );
}

#[tokio::test(start_paused = true)]
async fn one_hit_that_is_denied_fails_the_search_and_one_that_is_gone_does_not() {
    let desk = filled(&["prod/a", "prod/b"]);
    let plan = plan(&store(), DeletionPolicy::Retain, ".");
    desk.host.world().denied.insert("prod/b".into());
    let failure = produce(&desk, &plan).await.unwrap_err();
    assert!(failure.public.contains("reading \"prod/b\""), "{failure}");
    desk.host.world().denied.clear();
    let doors = desk.doors.clone();
    let syncing = tokio::spawn(async move { doors.produce(&plan, Instant::now()).await });
    // The list has been answered by then, and the values not yet.
    sleep(Duration::from_millis(11)).await;
    desk.host.world().values.remove("prod/b");
    let data = syncing
        .await
        .unwrap()
        .unwrap()
        .target
        .desired()
        .unwrap()
        .data;
    assert_eq!(data.into_keys().collect::<Vec<_>>(), ["prod_a"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_refused_is_renewed_once_for_a_search() {
    let desk = filled(&["prod/a"]);
    desk.credentials.set("team", "p", "pw");
    let store = own(json!({"corp": {"password": {"name": "p", "key": "k"}}}));
    let plan = plan(&store, DeletionPolicy::Retain, ".");
    assert_eq!(keys(&desk, &plan).await, ["prod_a"]);
    desk.host.world().sessions.clear();
    sleep(MINUTE).await;
    assert_eq!(keys(&desk, &plan).await, ["prod_a"]);
    assert_eq!(desk.renewals_and_logins(), (0, 2));
    let world = desk.host.world();
    let (call, ..) = world.finds.last().unwrap();
    assert!(call.session.is_some() && call.credentials.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_found_deletes_only_after_a_second_search() {
    let desk = filled(&["prod/a", "test/1", "test/2"]);
    let plan = plan(&store(), DeletionPolicy::Delete, ".");
    assert_eq!(keys(&desk, &plan).await, ["prod_a"]);
    let before = desk.host.world().finds.len();
    desk.host.world().values.remove("prod/a");
    assert!(
        produce(&desk, &plan)
            .await
            .unwrap()
            .target
            .desired()
            .is_none()
    );
    assert_eq!(desk.host.world().finds.len(), before + 2);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_has_never_found_anything_is_held_for_an_interval() {
    for policy in [DeletionPolicy::Delete, DeletionPolicy::Merge] {
        let desk = filled(&["test/a"]);
        let plan = plan(&store(), policy, ".");
        let failure = produce(&desk, &plan).await.unwrap_err();
        assert_eq!(failure.code, Code::MassAbsence);
        sleep(INTERVAL).await;
        let produced = produce(&desk, &plan).await.unwrap();
        let data = produced.target.desired().map(|target| target.data);
        match policy {
            DeletionPolicy::Delete => assert!(data.is_none()),
            _ => assert!(data.unwrap().is_empty()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_found_again_at_the_second_search_is_taken() {
    let desk = filled(&["prod/a"]);
    let plan = plan(&store(), DeletionPolicy::Delete, ".");
    assert_eq!(keys(&desk, &plan).await, ["prod_a"]);
    desk.host.world().values.remove("prod/a");
    let (doors, asked) = (desk.doors.clone(), plan.clone());
    let syncing = tokio::spawn(async move { doors.produce(&asked, Instant::now()).await });
    sleep(Duration::from_millis(8)).await;
    desk.host.world().values.insert("prod/a".into(), "v".into());
    let data = syncing
        .await
        .unwrap()
        .unwrap()
        .target
        .desired()
        .unwrap()
        .data;
    assert_eq!(data["prod_a"], "v".into());
}

#[tokio::test(start_paused = true)]
async fn names_become_keys_before_a_rewrite_where_the_plugin_says_so() {
    let desk = filled(&["prod/a", "prod/b"]);
    let mut plan = plan(&store(), DeletionPolicy::Retain, "^prod/a$");
    let rewrite = |source: &str| Rewrite::Regexp {
        source: postern_core::re2::Pattern::parse(source).unwrap(),
        target: String::new(),
    };
    plan.entries[0].rewrite = vec![rewrite("^prod/")];
    assert_eq!(keys(&desk, &plan).await, ["a"]);
    desk.host.world().convert_names = true;
    // What the rewrite looks for is gone by then, and the expression on names still sees them as they are.
    assert_eq!(keys(&desk, &plan).await, ["prod_a"]);
    plan.entries[0].rewrite = vec![rewrite("^prod_")];
    assert_eq!(keys(&desk, &plan).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn names_that_become_one_key_fail_the_search() {
    let desk = filled(&["prod/a", "prod_a"]);
    desk.host.world().convert_names = true;
    let mut plan = plan(&store(), DeletionPolicy::Retain, ".");
    let Wanted::Search(query) = &mut plan.reads[0].wanted else {
        panic!("the plan searches");
    };
    query.path = None;
    let failure = produce(&desk, &plan).await.unwrap_err();
    assert_eq!(
        failure.public,
        "error processing spec.dataFrom[0].find, err: error getting all secrets: secret name collision during conversion: prod_a"
    );
}

#[tokio::test(start_paused = true)]
async fn keys_are_transformed_in_one_call_of_the_engine() {
    let desk = filled(&["prod/a", "prod/b"]);
    let mut plan = plan(&store(), DeletionPolicy::Retain, ".");
    let source = postern_core::re2::Pattern::parse("^prod/").unwrap();
    let target = String::new();
    plan.entries[0].rewrite = vec![
        Rewrite::Regexp { source, target },
        Rewrite::Transform {
            template: "key-{{ .value }}".into(),
        },
    ];
    assert_eq!(keys(&desk, &plan).await, ["key-a", "key-b"]);
    let world = desk.host.world();
    assert_eq!(world.renders.len(), 1);
    assert_eq!(world.renders[0].len(), 2);
    let options = &world.renders[0][0].templates[0].options;
    assert_eq!(options, &[("missingkey".to_owned(), "default".to_owned())]);
}
