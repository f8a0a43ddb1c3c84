//! Many ExternalSecrets that read the same cost the backend one read.

use std::sync::Arc;
use std::time::Instant;

use kube::api::PostParams;
use postern_api::ExternalSecret;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::harness::{Place, condition, eventually, options_for, reads, vault_store};

const OBJECTS: usize = 1000;
const KEYS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_external_secrets_over_a_hundred_keys_are_a_hundred_reads_and_one_login() {
    let place = Place::new("load").await;
    let vault = place.vault().await;
    for key in 0..KEYS {
        vault.put(
            "secret",
            &format!("k{key}"),
            json!({"password": format!("v{key}")}),
        );
    }
    // A class of its own: the controller of the other tests leaves it alone, ours starts when all of them exist.
    place
        .store_of_class("corp", vault_store(&vault), place.name())
        .await;
    create_all(&place).await;
    assert_eq!(vault.requests().len(), 0, "somebody else's store was asked");

    let started = Instant::now();
    let mut options = options_for(&place);
    options.doors.store_interval = std::time::Duration::from_secs(300);
    place.stage.control(options);
    eventually("all are synced", || async {
        let all = place
            .api::<ExternalSecret>()
            .list(&Default::default())
            .await
            .unwrap()
            .items;
        let ready = all
            .iter()
            .filter(|o| condition(o).is_some_and(|c| c.status == "True"))
            .count();
        (ready == OBJECTS).then_some(())
    })
    .await;
    eprintln!(
        "{OBJECTS} synced in {:?}, {} reads, {} logins",
        started.elapsed(),
        vault.reads(),
        vault.logins()
    );
    place.value("e999", "password", "v99").await;
    assert_eq!(vault.reads(), KEYS as u64);
    assert_eq!(vault.logins(), 1);
}

async fn create_all(place: &Place) {
    let places = Arc::new(Semaphore::new(32));
    let mut creating = JoinSet::new();
    for n in 0..OBJECTS {
        let spec = reads("corp", &[("password", &format!("k{}#password", n % KEYS))]);
        let object = json!({"metadata": {"name": format!("e{n}")}, "spec": spec});
        let object: ExternalSecret = serde_json::from_value(object).unwrap();
        let (api, places) = (place.api::<ExternalSecret>(), Arc::clone(&places));
        creating.spawn(async move {
            let _place = places.acquire().await.unwrap();
            api.create(&PostParams::default(), &object).await.unwrap();
        });
    }
    creating.join_all().await;
}
