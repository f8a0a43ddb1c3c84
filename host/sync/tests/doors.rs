//! The doors over fakes of the two traits below them, under a clock that stands still.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::*;
use postern_core::failure::{Code, Failure, Stage};
use postern_core::plan::{Entry, Position, SyncPlan};
use postern_core::plugin::{PluginHost as _, RenderJob, Template};
use serde_json::json;
use tokio::time::sleep;

fn with_password() -> serde_json::Value {
    json!({"corp": {"password": {"name": "p", "key": "k"}}})
}

/// A desk with one credential and one value that shows who asked.
fn ready() -> Desk {
    let desk = desk();
    desk.credentials.set("team", "p", "pw");
    desk.host.world().values.insert("db".into(), "v-*".into());
    desk
}

#[tokio::test(start_paused = true)]
async fn a_thousand_syncs_over_a_hundred_keys_ask_a_hundred_objects_and_log_in_once() {
    let desk = ready();
    let store = own(with_password());
    for key in 0..100 {
        desk.host.world().values.insert(key.to_string(), "v".into());
    }
    let all: Vec<_> = (0..1000)
        .map(|n| {
            let (doors, store) = (desk.doors.clone(), store.clone());
            tokio::spawn(
                async move { read(&doors, &store, "team", &[&(n % 100).to_string()]).await },
            )
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), [ok("v")]);
    }
    let world = desk.host.world();
    let asked: usize = world.reads.iter().map(|(_, requests)| requests.len()).sum();
    assert_eq!((asked, world.logins.len()), (100, 1));
    let stats = desk.doors.stats();
    assert_eq!(
        (stats.reads, stats.coalesced, stats.logins, stats.failures),
        (100, 900, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_gets_the_session_and_never_the_credential() {
    let desk = ready();
    assert_eq!(
        desk.read(&own(with_password()), "team", &["db"]).await,
        [ok("v-pw")]
    );
    let world = desk.host.world();
    let (call, _) = &world.reads[0];
    assert!(call.credentials.is_empty() && call.session.is_some() && call.namespace.is_none());
    assert_eq!(
        call.options,
        [
            ("provider-key".to_owned(), "corp".to_owned()),
            ("store-kind".to_owned(), "SecretStore".to_owned()),
            ("store-name".to_owned(), "s".to_owned())
        ]
    );
    assert!(call.directories.is_empty());
    assert_eq!(world.logins[0].credentials[0].pointer, "/password");
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_login_reads_with_credentials() {
    let desk = ready();
    let store = own(json!({"plain": {"password": {"name": "p", "key": "k"}}}));
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-pw")]);
    let world = desk.host.world();
    assert!(world.logins.is_empty() && world.reads[0].0.session.is_none());
    assert_eq!(world.reads[0].0.credentials.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn namespaces_with_referent_credentials_never_share() {
    let desk = ready();
    desk.credentials.set("other", "p", "second");
    let store = cluster(with_password());
    let (team, other) = tokio::join!(
        desk.read(&store, "team", &["db"]),
        desk.read(&store, "other", &["db"])
    );
    assert_eq!((team, other), (vec![ok("v-pw")], vec![ok("v-second")]));
    let world = desk.host.world();
    assert_eq!((world.logins.len(), world.reads.len()), (2, 2));
    assert_ne!(world.reads[0].0.identity, world.reads[1].0.identity);
}

#[tokio::test(start_paused = true)]
async fn namespaces_with_equal_referent_credentials_are_still_two_identities() {
    let desk = ready();
    desk.credentials.set("other", "p", "pw");
    let store = cluster(with_password());
    tokio::join!(
        desk.read(&store, "team", &["db"]),
        desk.read(&store, "other", &["db"])
    );
    assert_eq!(desk.host.world().logins.len(), 2);
    desk.credentials.remove("other", "p");
    sleep(6 * MINUTE).await;
    assert_eq!(
        desk.read(&store, "other", &["db"]).await,
        [Err(Code::CredentialMissing)]
    );
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-pw")]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_without_the_credential_is_served_nothing() {
    let desk = ready();
    let store = cluster(with_password());
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-pw")]);
    assert_eq!(
        desk.read(&store, "bare", &["db"]).await,
        [Err(Code::CredentialMissing)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_credential_is_looked_for_once_for_all_who_were_due() {
    let desk = desk();
    let store = own(with_password());
    let due = tokio::time::Instant::now();
    sleep(SECOND).await;
    let all = (0..50).map(|_| read_due(&desk.doors, &store, "team", &["db"], due));
    for one in futures::future::join_all(all).await {
        assert_eq!(one, [Err(Code::CredentialMissing)]);
    }
    assert_eq!(*desk.credentials.resolved.lock().unwrap(), 1);
    desk.credentials.set("team", "p", "pw");
    desk.host.world().values.insert("db".into(), "v".into());
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v")]);
}

#[tokio::test(start_paused = true)]
async fn a_sync_produces_what_its_target_shall_be() {
    let desk = ready();
    let store = own(with_password());
    let plan = SyncPlan {
        stores: BTreeMap::from([(store.id.clone(), store.clone())]),
        reads: vec![whole(&store, "db")],
        entries: vec![Entry::plain(Position::Data(0), Some("a".into()))],
        template: serde_json::from_value(json!({"data": {"url": "x{{ .a }}"}})).unwrap(),
        ..SyncPlan::plain("team", "es", "target")
    };
    let desired = desk
        .doors
        .produce(&plan, tokio::time::Instant::now())
        .await
        .unwrap();
    assert_eq!(
        desired.target.desired().unwrap().data,
        BTreeMap::from([("url".to_owned(), "xA".into())])
    );
    desk.host.world().values.clear();
    let failure = desk
        .doors
        .produce(&plan, tokio::time::Instant::now())
        .await
        .unwrap_err()
        .failure;
    assert_eq!(failure.code, Code::Absent);
}

#[tokio::test(start_paused = true)]
async fn equal_credentials_are_separate_where_answers_depend_on_the_namespace() {
    let desk = ready();
    desk.host.world().values.insert("ns".into(), "@".into());
    let store = cluster(
        json!({"corp": {"perNamespace": true, "password": {"name": "p", "key": "k", "namespace": "team"}}}),
    );
    let (a, b) = tokio::join!(
        desk.read(&store, "a", &["ns"]),
        desk.read(&store, "b", &["ns"])
    );
    assert_eq!((a, b), (vec![ok("a")], vec![ok("b")]));
    let world = desk.host.world();
    assert_ne!(world.reads[0].0.identity, world.reads[1].0.identity);
}

#[tokio::test(start_paused = true)]
async fn namespaces_share_where_the_store_names_its_credential() {
    let desk = ready();
    let store =
        cluster(json!({"corp": {"password": {"name": "p", "key": "k", "namespace": "team"}}}));
    tokio::join!(
        desk.read(&store, "a", &["db"]),
        desk.read(&store, "b", &["db"])
    );
    let world = desk.host.world();
    assert_eq!(
        (
            world.logins.len(),
            world.reads.len(),
            world.reads[0].0.namespace.clone()
        ),
        (1, 1, None)
    );
}

#[tokio::test(start_paused = true)]
async fn one_denied_key_does_not_become_a_login_storm() {
    let desk = ready();
    desk.host.world().life = Some(60 * MINUTE);
    desk.host.world().renewable = true;
    desk.host.world().denied.insert("closed".into());
    let store = own(with_password());
    for _ in 0..30 {
        assert_eq!(
            desk.read(&store, "team", &["closed", "db"]).await,
            [Err(Code::Denied), ok("v-pw")]
        );
        sleep(MINUTE).await;
    }
    assert_eq!(desk.host.world().logins.len(), 2);
    // Only what was refused is repeated, and only once.
    let sizes: Vec<usize> = desk
        .host
        .world()
        .reads
        .iter()
        .map(|(_, requests)| requests.len())
        .collect();
    assert_eq!(sizes[..3], [2, 1, 2]);
    assert_eq!(sizes.len(), 31);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_backend_revoked_is_opened_again_for_the_refused_reads() {
    let desk = ready();
    let store = own(with_password());
    desk.read(&store, "team", &["db"]).await;
    desk.host.world().sessions.clear();
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-pw")]);
    assert_eq!(desk.host.world().logins.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_at_two_thirds_of_its_life() {
    let desk = ready();
    desk.host.world().life = Some(30 * MINUTE);
    desk.host.world().renewable = true;
    let store = own(with_password());
    desk.read(&store, "team", &["db"]).await;
    sleep(19 * MINUTE).await;
    desk.read(&store, "team", &["db"]).await;
    assert_eq!(desk.renewals_and_logins(), (0, 1));
    sleep(2 * MINUTE).await;
    desk.read(&store, "team", &["db"]).await;
    assert_eq!(desk.renewals_and_logins(), (1, 1));
    sleep(10 * MINUTE).await;
    desk.read(&store, "team", &["db"]).await;
    assert_eq!(desk.renewals_and_logins(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_renewed_is_replaced_and_closed() {
    let desk = ready();
    desk.host.world().life = Some(30 * MINUTE);
    let store = own(with_password());
    desk.read(&store, "team", &["db"]).await;
    sleep(21 * MINUTE).await;
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-pw")]);
    assert_eq!(desk.renewals_and_logins(), (1, 2));
    assert_eq!(desk.host.world().closed, ["t1"]);
}

#[tokio::test(start_paused = true)]
async fn a_living_session_is_used_on_while_logins_fail() {
    let desk = ready();
    desk.host.world().life = Some(30 * MINUTE);
    let store = own(with_password());
    desk.read(&store, "team", &["db"]).await;
    desk.host.world().login_failure = Some(Failure::new(Stage::Login, Code::Unavailable, "away"));
    sleep(21 * MINUTE).await;
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-pw")]);
    sleep(10 * MINUTE).await;
    assert_eq!(
        desk.read(&store, "team", &["db"]).await,
        [Err(Code::Unavailable)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_is_shared_and_tried_again_later() {
    let desk = ready();
    desk.host.world().login_failure = Some(Failure::new(Stage::Login, Code::Unavailable, "away"));
    let store = own(with_password());
    let all: Vec<_> = (0..50)
        .map(|n| {
            let (doors, store) = (desk.doors.clone(), store.clone());
            tokio::spawn(async move { read(&doors, &store, "team", &[&n.to_string()]).await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), [Err(Code::Unavailable)]);
    }
    assert_eq!(desk.host.world().logins.len(), 1);
    desk.host.world().login_failure = None;
    sleep(2 * SECOND).await;
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-pw")]);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_credential_is_picked_up_at_once_when_the_backend_refuses() {
    let desk = ready();
    let store = own(with_password());
    desk.read(&store, "team", &["db"]).await;
    desk.credentials.set("team", "p", "rotated");
    desk.host.world().accepted.insert("rotated".into());
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-rotated")]);
    assert_eq!(desk.host.world().logins.len(), 2);
    sleep(SECOND).await;
    assert_eq!(desk.host.world().closed, ["t1"]);
}

#[tokio::test(start_paused = true)]
async fn credentials_are_looked_after_once_per_store_interval() {
    let desk = ready();
    let store = own(with_password());
    for _ in 0..20 {
        desk.read(&store, "team", &["db"]).await;
        sleep(MINUTE / 2).await;
    }
    assert_eq!(
        (
            *desk.credentials.versions.lock().unwrap(),
            *desk.credentials.resolved.lock().unwrap()
        ),
        (1, 1)
    );
    desk.credentials.set("team", "p", "rotated");
    sleep(6 * MINUTE).await;
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-rotated")]);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_changed_without_a_new_credential_keeps_its_session() {
    let desk = ready();
    let store = own(with_password());
    desk.read(&store, "team", &["db"]).await;
    desk.credentials.set("team", "p", "pw");
    sleep(6 * MINUTE).await;
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-pw")]);
    assert_eq!(desk.host.world().logins.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_credential_closes_the_session_and_comes_back() {
    let desk = ready();
    let store = own(with_password());
    desk.read(&store, "team", &["db"]).await;
    desk.credentials.remove("team", "p");
    sleep(6 * MINUTE).await;
    assert_eq!(
        desk.read(&store, "team", &["db"]).await,
        [Err(Code::CredentialMissing)]
    );
    sleep(SECOND).await;
    assert_eq!(desk.host.world().closed, ["t1"]);
    desk.credentials.set("team", "p", "pw");
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-pw")]);
}

#[tokio::test(start_paused = true)]
async fn a_service_account_token_is_requested_anew_for_a_new_login_and_stays_one_identity() {
    let desk = ready();
    desk.host.world().life = Some(30 * MINUTE);
    let store = own(json!({"corp": {"account": {"name": "sa"}}}));
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-jwt1")]);
    sleep(21 * MINUTE).await;
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-jwt2")]);
    let world = desk.host.world();
    assert_eq!(world.logins[0].identity, world.logins[1].identity);
}

#[tokio::test(start_paused = true)]
async fn a_service_account_token_is_requested_anew_where_there_is_no_session() {
    let desk = ready();
    let store = own(json!({"plain": {"account": {"name": "sa"}}}));
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-jwt1")]);
    sleep(2 * MINUTE).await;
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-jwt1")]);
    sleep(5 * MINUTE).await;
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-jwt2")]);
}

#[tokio::test(start_paused = true)]
async fn no_token_is_requested_for_an_audience_that_the_store_does_not_name() {
    let desk = ready();
    let store = own(json!({"corp": {"wants": "elsewhere", "account": {"name": "sa"}}}));
    let failure = desk.doors.check(&store).await.unwrap_err();
    assert_eq!(failure.code, Code::InvalidConfig);
    assert!(
        failure
            .public
            .contains("for the audience \"elsewhere\", which the store does not name"),
        "{failure}"
    );
    assert_eq!(
        desk.read(&store, "team", &["db"]).await,
        [Err(Code::InvalidConfig)]
    );
    assert_eq!(*desk.credentials.tokens.lock().unwrap(), 0);
    let named = json!({"name": "sa", "audiences": ["elsewhere"]});
    let store = own(json!({"corp": {"wants": "elsewhere", "account": named}}));
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-jwt1")]);
}

#[tokio::test(start_paused = true)]
async fn a_client_certificate_goes_to_the_broker_and_into_no_guest() {
    let desk = ready();
    for (name, value) in [("cert", "CERT"), ("key", "KEY"), ("ca", "CA")] {
        desk.credentials.set("team", name, value);
    }
    let reference = |name: &str| json!({"name": name, "key": "k"});
    let store = own(json!({"corp": {
        "url": "https://vault.corp:8200", "password": reference("p"),
        "certificate": reference("cert"), "certificateKey": reference("key"), "ca": reference("ca"),
    }}));
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-pw")]);
    let world = desk.host.world();
    let seen = world
        .examined
        .iter()
        .chain(world.logins.iter().map(|call| &call.credentials));
    for credential in seen.flatten() {
        assert!(
            !["/certificate", "/certificateKey"].contains(&credential.pointer.as_str()),
            "{credential:?}"
        );
    }
    let endpoint = &world.reads[0].0.egress.endpoints[0];
    let (certificate, key) = endpoint.tls.client_pem.clone().unwrap();
    assert_eq!(
        (certificate.expose(), key.expose()),
        (b"CERT".as_slice(), b"KEY".as_slice())
    );
    assert_eq!(endpoint.tls.ca_pem.as_ref().unwrap().expose(), b"CA");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_the_plugin_does_not_ask_for_is_refused() {
    let desk = ready();
    let store = own(json!({"corp": {"url": "https://vault.evil:8200"}}));
    assert_eq!(
        desk.read(&store, "team", &["db"]).await,
        [Err(Code::EgressDenied)]
    );
    assert!(desk.host.world().reads.is_empty());
    assert!(desk.host.world().logins.is_empty());
    let failure = desk
        .doors
        .check(&own(
            json!({"corp": {"url": "https://me:hunter2@vault.corp:8200"}}),
        ))
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::InvalidConfig);
    assert!(!failure.public.contains("hunter2"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_config_against_the_schema_reaches_no_plugin() {
    let desk = ready();
    let failure = desk
        .doors
        .check(&own(json!({"corp": {"url": 5}})))
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::InvalidConfig);
    assert!(desk.host.world().examined.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_check_probes_with_credentials_and_session() {
    let desk = ready();
    assert!(
        !desk
            .doors
            .check(&own(with_password()))
            .await
            .unwrap()
            .referent
    );
    let world = desk.host.world();
    assert_eq!(
        (world.probes.len(), world.probes[0].credentials.len()),
        (1, 1)
    );
    assert!(world.probes[0].session.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_check_of_a_wrong_password_says_so() {
    let desk = ready();
    desk.host.world().accepted.insert("right".into());
    let failure = desk.doors.check(&own(with_password())).await.unwrap_err();
    assert_eq!(
        (failure.stage, failure.code),
        (Stage::Login, Code::Unauthenticated)
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_asks_as_whoever_asks_is_not_probed() {
    let desk = ready();
    assert!(
        desk.doors
            .check(&cluster(with_password()))
            .await
            .unwrap()
            .referent
    );
    assert!(
        desk.doors
            .check(&cluster(json!({"corp": {"perNamespace": true}})))
            .await
            .unwrap()
            .referent
    );
    let world = desk.host.world();
    assert!(world.probes.is_empty() && world.logins.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_store_has_its_session_closed_and_can_be_used_again() {
    let desk = ready();
    let store = own(with_password());
    desk.read(&store, "team", &["db"]).await;
    desk.doors.forget("uid").await;
    assert_eq!(desk.host.world().closed, ["t1"]);
    assert_eq!(desk.read(&store, "team", &["db"]).await, [ok("v-pw")]);
    desk.doors.shutdown().await;
    assert_eq!(desk.host.world().closed, ["t1", "t2"]);
    assert!(desk.host.world().sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_generation_ends_the_session_of_the_old_one() {
    use postern_api::external_secret::StoreKind::SecretStore;
    let desk = ready();
    let (old, new) = (
        store_in(SecretStore, 1, with_password()),
        store_in(SecretStore, 2, with_password()),
    );
    desk.read(&old, "team", &["db"]).await;
    assert_eq!(desk.read(&new, "team", &["db"]).await, [ok("v-pw")]);
    sleep(SECOND).await;
    assert_eq!(desk.host.world().closed, ["t1"]);
    assert_eq!(
        desk.read(&old, "team", &["db"]).await,
        [Err(Code::Unavailable)]
    );
    assert_eq!(desk.host.world().logins.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_no_longer_than_its_deadline() {
    let desk = ready();
    desk.read(&own(with_password()), "team", &["db"]).await;
    desk.host.world().close_hangs = true;
    let stops = tokio::time::timeout(Duration::from_secs(6), desk.doors.shutdown());
    assert!(stops.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_its_caller_gives_up_closes_its_session_all_the_same() {
    let desk = ready();
    desk.host.world().probe_takes = SECOND;
    let revision = desk.host.provider("corp").unwrap();
    let store = own(with_password());
    let given_up = tokio::time::timeout(SECOND / 2, desk.doors.try_out(&revision, &store));
    assert!(given_up.await.is_err());
    assert_eq!(desk.host.world().sessions.len(), 1);
    sleep(SECOND).await;
    let world = desk.host.world();
    assert_eq!((world.sessions.len(), world.closed.len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn all_templates_of_a_target_are_rendered_in_order() {
    let desk = ready();
    let template = |name: &str, source: &str| Template {
        name: name.into(),
        source: source.into(),
        options: vec![],
    };
    let job = RenderJob {
        templates: vec![template("x", "{{ .a }}!"), template("y", "plain")],
        data: vec![],
    };
    let rendered = desk.doors.render(None, job).await.unwrap();
    let texts: Vec<Vec<u8>> = rendered
        .into_iter()
        .map(|r| r.unwrap().expose().to_vec())
        .collect();
    assert_eq!(texts, [b"A!".to_vec(), b"plain".to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn templates_that_break_a_limit_are_the_manifests_fault() {
    let desk = ready();
    let job = RenderJob {
        templates: vec![Template {
            name: "x".into(),
            source: "endless".into(),
            options: vec![],
        }],
        data: vec![],
    };
    let failure = desk.doors.render(None, job).await.unwrap_err();
    assert_eq!(failure.code, Code::TemplateFailed);
    assert_eq!(
        failure.public,
        "the templates of the ExternalSecret: plugin toy used more than 30 s of CPU time in render"
    );
}
