//! A Secret goes only where the backend says with authority, twice, and not about too much at once, that there is nothing
//! for it; and only where the ExternalSecret asks for that.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use postern_api::ExternalSecret;
use postern_test_kit::kvserver::{CountingVault, Fault};
use serde_json::{Value, json};

use crate::harness::{Place, condition, eventually, reads, text, vault_store};

/// A place with objects `0`, `1`, … and an ExternalSecret `app-<n>` with this deletion policy for each.
async fn synced(n: usize, policy: &str) -> (Place, CountingVault) {
    let place = Place::new("gone").await;
    let vault = place.vault().await;
    place.store("corp", vault_store(&vault)).await;
    for n in 0..n {
        vault.put("secret", &n.to_string(), json!({"password": "kept"}));
        let spec = spec(policy, &[("password", &format!("{n}#password"))]);
        place.external_secret(&format!("app-{n}"), spec).await;
    }
    for n in 0..n {
        place.synced(&format!("app-{n}")).await;
    }
    (place, vault)
}

fn spec(policy: &str, entries: &[(&str, &str)]) -> Value {
    let mut spec = reads("corp", entries);
    spec["target"] = json!({"deletionPolicy": policy});
    spec
}

async fn reason(place: &Place, name: &str, reason: &str) -> ExternalSecret {
    eventually(&format!("{name} says {reason}"), || async {
        let object = place.api::<ExternalSecret>().get(name).await.unwrap();
        let says = condition(&object)?.reason.clone();
        (says.as_deref() == Some(reason)).then_some(object)
    })
    .await
}

async fn secret(place: &Place, name: &str) -> Option<Secret> {
    place.api::<Secret>().get_opt(name).await.unwrap()
}

async fn patch(place: &Place, name: &str, patch: Value) {
    place
        .api::<ExternalSecret>()
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

#[tokio::test]
async fn delete_deletes_what_two_fetches_say_and_makes_it_again_when_it_is_back() {
    let (place, vault) = synced(10, "Delete").await;
    vault.remove("secret", "3");
    vault.reset_counts();
    place.touch("app-3").await;
    let object = reason(&place, "app-3", "SecretDeleted").await;
    assert_eq!(condition(&object).unwrap().status, "True");
    assert_eq!(secret(&place, "app-3").await, None);
    assert_eq!(vault.requests_to("secret/data/3"), 2);
    let events = eventually("the events are there", || async {
        let reasons: Vec<_> = place
            .events("app-3")
            .await
            .into_iter()
            .filter_map(|e| e.reason)
            .collect();
        let all = ["Created", "Deleted", "MissingProviderSecret"];
        all.iter()
            .all(|r| reasons.iter().any(|is| is == r))
            .then_some(reasons)
    })
    .await;
    assert!(!events.contains(&"UpdateFailed".to_owned()), "{events:?}");
    for n in (0..10).filter(|n| *n != 3) {
        assert!(secret(&place, &format!("app-{n}")).await.is_some());
    }

    vault.put("secret", "3", json!({"password": "back"}));
    place.touch("app-3").await;
    place.value("app-3", "password", "back").await;
    reason(&place, "app-3", "SecretSynced").await;
}

#[tokio::test]
async fn six_that_vanish_at_once_all_stay_until_another_interval_confirms_it() {
    let (place, vault) = synced(6, "Delete").await;
    let names: Vec<String> = (0..6).map(|n| format!("app-{n}")).collect();
    for n in 0..6 {
        vault.remove("secret", &n.to_string());
    }
    for name in &names {
        place.touch(name).await;
        let object = reason(&place, name, "MassAbsence").await;
        let message = condition(&object).unwrap().message.clone().unwrap();
        assert!(
            message.contains("6 of 6") && message.contains("postern.dev/accept-absence"),
            "{message}"
        );
    }
    for name in &names {
        place.touch(name).await;
        reason(&place, name, "MassAbsence").await;
        assert!(secret(&place, name).await.is_some(), "{name} was deleted");
    }
    let accepted = json!({"metadata": {"annotations": {"postern.dev/accept-absence": "true"}}});
    patch(&place, "app-0", accepted).await;
    reason(&place, "app-0", "SecretDeleted").await;
    assert!(secret(&place, "app-1").await.is_some());
    // An interval that has passed already: what is still absent is believed.
    for name in &names[1..] {
        patch(&place, name, json!({"spec": {"refreshInterval": "1s"}})).await;
    }
    for name in &names[1..] {
        reason(&place, name, "SecretDeleted").await;
        assert_eq!(secret(&place, name).await, None);
    }
}

#[tokio::test]
async fn nothing_but_an_absence_deletes() {
    let (place, vault) = synced(1, "Delete").await;
    let before = secret(&place, "app-0").await.unwrap();
    let no_mount =
        json!({"errors": ["no handler for route \"secret/data/0\". route entry not found."]});
    let faults = [
        (Fault::Forbidden, "PST-1103"),
        (
            Fault::Status(500, json!({"errors": ["internal error"]})),
            "PST-1106",
        ),
        (Fault::Status(404, no_mount), "PST-1102"),
        (Fault::Status(404, json!("not here")), "PST-"),
        (Fault::Sealed, "PST-1106"),
        (Fault::Garbage, "PST-"),
    ];
    for (fault, says) in faults {
        let shown = format!("{fault:?}");
        vault.set_fault_at("secret/", fault);
        place.touch("app-0").await;
        let message = place.failed("app-0", says).await;
        assert!(
            !message.contains("PST-1101") && !message.contains("PST-1109"),
            "{shown}: {message}"
        );
        let now = secret(&place, "app-0").await.unwrap();
        assert_eq!(now.metadata.uid, before.metadata.uid, "{shown}");
        assert_eq!(now.data, before.data, "{shown}");
        vault.clear_faults();
        place.touch("app-0").await;
        place.synced("app-0").await;
    }
}

#[tokio::test]
async fn merge_takes_only_the_key_that_is_gone() {
    let (place, vault) = synced(10, "Merge").await;
    let entries = [("a", "0#password"), ("b", "1#password")];
    place.external_secret("both", spec("Merge", &entries)).await;
    place.value("both", "b", "kept").await;
    vault.remove("secret", "0");
    place.touch("both").await;
    let secret = eventually("a is gone", || async {
        let secret = secret(&place, "both").await.unwrap();
        text(&secret, "a").is_none().then_some(secret)
    })
    .await;
    assert_eq!(text(&secret, "b").as_deref(), Some("kept"));
    reason(&place, "both", "SecretSynced").await;
}

#[tokio::test]
async fn retain_stays_and_says_so() {
    let (place, vault) = synced(2, "Retain").await;
    vault.remove("secret", "0");
    place.touch("app-0").await;
    place.failed("app-0", "PST-1101").await;
    let secret = secret(&place, "app-0").await.unwrap();
    assert_eq!(text(&secret, "password").as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_secret_that_is_not_ours_is_never_deleted() {
    let (place, vault) = synced(10, "Delete").await;
    let disowned = json!({"metadata": {"ownerReferences": null, "labels": {"reconcile.external-secrets.io/managed": null}}});
    vault.remove("secret", "4");
    place
        .api::<Secret>()
        .patch("app-4", &PatchParams::default(), &Patch::Merge(disowned))
        .await
        .unwrap();
    place.failed("app-4", "does not own it").await;
    assert!(secret(&place, "app-4").await.is_some());
}

#[tokio::test]
async fn without_a_target_an_absence_is_no_failure() {
    let (place, _vault) = synced(1, "Delete").await;
    let entries = [("password", "nosuch#password")];
    place
        .external_secret("none", spec("Delete", &entries))
        .await;
    reason(&place, "none", "SecretDeleted").await;
    assert_eq!(secret(&place, "none").await, None);
}

#[tokio::test]
async fn one_that_is_deleted_takes_the_secret_that_it_owns_along_under_delete() {
    let (place, _vault) = synced(2, "Delete").await;
    // As after `kubectl delete --cascade=orphan`.
    let orphaned = json!({"metadata": {"ownerReferences": null}});
    let secrets = place.api::<Secret>();
    secrets
        .patch("app-1", &PatchParams::default(), &Patch::Merge(orphaned))
        .await
        .unwrap();
    for name in ["app-1", "app-0"] {
        let api = place.api::<ExternalSecret>();
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }
    eventually("the secret of app-0 is gone", || async {
        secret(&place, "app-0").await.is_none().then_some(())
    })
    .await;
    assert!(secret(&place, "app-1").await.is_some());
}
