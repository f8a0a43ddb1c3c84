//! Bytes that were changed: in the registry, among the kept components, among the kept code. Each is refused, told, and
//! recovered from, while what serves goes on.

use std::path::{Path, PathBuf};

use postern_test_kit::kvserver::Transport;
use postern_test_kit::registry::digest;
use serde_json::json;

use crate::desk::{Desk, PROVIDER, REPOSITORY, component, find, from};

async fn reading(desk: &Desk) {
    desk.store("s", json!({"versioned": {"values": {"a": "x"}}}))
        .await;
    let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "s"}, "target": {"deletionPolicy": "Delete"},
        "data": [{"secretKey": "a", "remoteRef": {"key": "a"}}, {"secretKey": "by", "remoteRef": {"key": "version"}}]});
    desk.external_secret("es", spec).await;
    desk.synced("es", "True", "").await;
}

/// Two more syncs, none of which failed, with the values of this version.
async fn is_read_by(desk: &Desk, version: &str) {
    desk.further_syncs(2).await;
    assert_eq!(*desk.failures.lock().unwrap(), Vec::<String>::new());
    let secrets = desk.secrets().await;
    assert_eq!(
        (&*secrets["es"]["a"], &*secrets["es"]["by"]),
        ("x", version)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_changed_in_the_registry_are_refused_and_told_until_they_are_right_again() {
    let desk = Desk::new("tamper").await;
    let front = desk.registry.front(Transport::Http).unwrap();
    desk.publish("live", "1", "serve");
    desk.plugin_of(
        "acme",
        json!({"serves": ["versioned"], "source": from(&front.address)}),
    )
    .await;
    desk.serves("acme", "1").await;
    reading(&desk).await;
    desk.failures.lock().unwrap().clear();

    let second = component(PROVIDER, "2", "serve");
    let forged = component(PROVIDER, "2", "absent");
    front.tamper(&digest(&second), &forged);
    desk.put("live", &second);
    let said = desk.plugin_is("acme", "Resolved", "False", "Failed").await;
    assert!(
        said.contains("PST-1607") && said.contains("digest"),
        "{said}"
    );
    desk.plugin_is("acme", "Active", "True", "LastGood").await;
    desk.plugin_event("acme", "Failed", "PST-1607").await;
    is_read_by(&desk, "1").await;
    front.heal();
    desk.serves("acme", "2").await;

    let third = desk.put("next", &component(PROVIDER, "3", "serve"));
    let other = desk.put("other", &forged);
    let manifest = desk.registry.manifest(REPOSITORY, &other).unwrap();
    front.tamper(&third, &manifest);
    desk.registry.move_tag(REPOSITORY, "live", &third).unwrap();
    let said = desk.plugin_is("acme", "Resolved", "False", "Failed").await;
    assert!(
        said.contains("PST-1607") && said.contains("digest"),
        "{said}"
    );
    is_read_by(&desk, "2").await;
    front.heal();
    desk.serves("acme", "3").await;
    is_read_by(&desk, "3").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_on_disk_and_was_changed_is_told_and_made_anew() {
    let mut desk = Desk::new("disk").await;
    let front = desk.registry.front(Transport::Http).unwrap();
    desk.publish("live", "1", "serve");
    desk.plugin_of(
        "acme",
        json!({"serves": ["versioned"], "source": from(&front.address)}),
    )
    .await;
    reading(&desk).await;
    desk.failures.lock().unwrap().clear();
    let digest = desk.serves("acme", "1").await.active.unwrap().digest;
    let hex = digest.trim_start_matches("sha256:");
    let bytes = file(desk.cache.path(), &format!("{hex}.wasm"));
    let code = file(&file(desk.cache.path(), hex), "component.cwasm");

    desk.kill().await;
    // A component that would delete all there is, under the name of the one that served.
    std::fs::write(&bytes, component(PROVIDER, "1", "absent")).unwrap();
    desk.start().await;
    is_read_by(&desk, "1").await;
    desk.plugin_event("acme", "CacheDamaged", &bytes.display().to_string())
        .await;
    assert_eq!(
        std::fs::read(&bytes).unwrap(),
        component(PROVIDER, "1", "serve")
    );

    desk.kill().await;
    let genuine = std::fs::read(&code).unwrap();
    let mut forged = genuine.clone();
    let middle = forged.len() / 2;
    forged[middle] ^= 1;
    std::fs::write(&code, &forged).unwrap();
    desk.start().await;
    is_read_by(&desk, "1").await;
    desk.plugin_event("acme", "CacheDamaged", &code.display().to_string())
        .await;
    assert_ne!(std::fs::read(&code).unwrap(), forged);

    // With the registry away there is nothing that could serve: it is said, and no Secret is touched.
    desk.kill().await;
    std::fs::write(&bytes, component(PROVIDER, "1", "absent")).unwrap();
    front.answer_all(Some(503));
    desk.start().await;
    desk.plugin_is("acme", "Active", "False", "Failed").await;
    desk.plugin_event("acme", "CacheDamaged", &bytes.display().to_string())
        .await;
    desk.synced("es", "False", "acme").await;
    assert_eq!(desk.secrets().await["es"]["a"], "x");
    front.answer_all(None);
    desk.serves("acme", "1").await;
    desk.synced("es", "True", "").await;
    assert_eq!(desk.secrets().await["es"]["by"], "1");
    let status = desk.status("acme").await;
    assert_eq!(find(&status, "Resolved").unwrap().status, "True");
}

/// The one file or folder of this name.
fn file(folder: &Path, name: &str) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|n| n == name) {
                return path;
            }
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    panic!("{} has no {name}", folder.display());
}
