//! Versions of a template engine follow one another under load, good and bad ones.

use serde_json::json;

use crate::desk::{Desk, ENGINE, component, from};
use crate::swap::all_is_well;

/// ExternalSecrets that are rendered each second all the while.
const LOAD: usize = 50;

fn publish(desk: &Desk, version: &str, does: &str) {
    desk.put("live", &component(ENGINE, version, does));
}

async fn under_load(desk: &Desk) {
    let data: Vec<_> = (0..LOAD)
        .map(|i| json!({"key": format!("k{i}"), "value": format!("{i}")}))
        .collect();
    desk.store("s", json!({"fake": {"data": data}})).await;
    for i in 0..LOAD {
        let spec = json!({"refreshInterval": "1s", "secretStoreRef": {"name": "s"},
            "target": {"deletionPolicy": "Delete", "template": {"engine": "versioned",
                "data": {"a": "value-{{ .n }}", "by": "{{ version }}"}}},
            "data": [{"secretKey": "n", "remoteRef": {"key": format!("k{i}")}}]});
        desk.external_secret(&format!("es{i}"), spec).await;
    }
    for i in 0..LOAD {
        desk.synced(&format!("es{i}"), "True", "").await;
    }
}

/// As [`all_is_well`], and this version has rendered every Secret.
async fn all_is_rendered_by(desk: &Desk, version: &str, after: &str) {
    all_is_well(desk, LOAD, after).await;
    for (name, data) in desk.secrets().await {
        assert_eq!(data["by"], version, "{name} after {after}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_of_an_engine_follow_one_another_and_no_render_fails() {
    let desk = Desk::new("engine").await;
    publish(&desk, "1", "serve");
    let source = from(&desk.registry.address);
    desk.plugin_of("acme", json!({"kind": "TemplateEngine", "serves": ["versioned"], "limits": {"cpu": "200ms"}, "source": source}))
        .await;
    desk.serves("acme", "1").await;
    under_load(&desk).await;
    desk.failures.lock().unwrap().clear();
    all_is_rendered_by(&desk, "1", "the first version").await;

    publish(&desk, "2", "serve");
    desk.serves("acme", "2").await;
    desk.plugin_is("acme", "Active", "True", "Serving").await;
    all_is_rendered_by(&desk, "2", "a good version").await;

    publish(&desk, "3", "ask");
    let said = desk
        .plugin_is("acme", "Granted", "False", "AwaitingGrant")
        .await;
    assert!(said.contains("kind: PluginGrant"), "{said}");
    all_is_rendered_by(&desk, "2", "a version that asks for something").await;

    publish(&desk, "4", "babble");
    desk.plugin_is("acme", "Compiled", "False", "Failed").await;
    all_is_rendered_by(&desk, "2", "a version that cannot say what it is").await;

    let table = [
        ("5", "trap", "gave up"),
        ("6", "hang", "render"),
        ("7", "nonsense", "answer"),
        ("8", "eat", "render"),
        ("9", "fail", "no template is good enough"),
    ];
    for (count, (version, does, text)) in table.into_iter().enumerate() {
        publish(&desk, version, does);
        let said = desk.refuses("acme", count + 1).await;
        assert!(said.contains(text), "{does}: {said}");
        desk.plugin_event("acme", "SwitchedBack", text).await;
        desk.plugin_is("acme", "Probed", "False", "Refused").await;
        desk.serves("acme", "2").await;
        all_is_rendered_by(&desk, "2", does).await;
    }

    publish(&desk, "2", "serve");
    desk.plugin_is("acme", "Active", "True", "Serving").await;
    all_is_rendered_by(&desk, "2", "the tag moved back").await;
}
