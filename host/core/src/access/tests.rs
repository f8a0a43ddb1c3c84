//! What is refused, closed and opened, as the plan of a whole ExternalSecret shows it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use postern_api::ExternalSecret;
use serde_json::{Value, json};

use super::*;
use crate::plan::{Plan, PlanSettings, plan, stores_of};
use crate::store;

/// A namespace that reads, its labels, what it reads, and what restricts the store.
struct Scene {
    namespace: &'static str,
    labels: Value,
    kind: StoreKind,
    provider: Value,
    spec: Value,
    access: Vec<Access>,
}

impl Scene {
    fn of(spec: Value, rules: Value) -> Self {
        Self {
            namespace: "team-a",
            labels: json!({"team": "pay"}),
            kind: StoreKind::ClusterSecretStore,
            provider: json!({"fake": {"data": []}}),
            spec,
            access: vec![cluster("teams", rules)],
        }
    }

    fn observed(&self) -> Observed {
        let mut spec = self.spec.clone();
        spec["secretStoreRef"] = json!({"name": "corp", "kind": self.kind.as_str()});
        let object = json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": {"name": "app", "namespace": self.namespace, "generation": 1, "uid": "u"}, "spec": spec});
        let object: ExternalSecret = serde_json::from_value(object).unwrap();
        let spec = serde_json::from_value(json!({"provider": self.provider})).unwrap();
        let ids: Vec<_> = stores_of(&object).into_iter().collect();
        let ready = |id: &StoreId| {
            let store = store::parse(id.clone(), "s".into(), 1, &spec).unwrap();
            (id.clone(), StoreState::Ready(Arc::new(store)))
        };
        let all: Vec<_> = self.access.iter().cloned().map(Arc::new).collect();
        Observed {
            stores: ids.iter().map(ready).collect(),
            access: known(all.iter(), ids.iter()),
            namespace_labels: serde_json::from_value(self.labels.clone()).unwrap(),
            target: None,
            now: Timestamp::UNIX_EPOCH,
            settings: PlanSettings {
                controller_class: "default".into(),
                ..PlanSettings::default()
            },
            object,
        }
    }

    /// The keys that are read, or the failure.
    fn reads(&self) -> Result<Vec<String>, Failure> {
        match plan(&self.observed()) {
            Plan::Sync(sync) => Ok(sync.reads.iter().map(|r| r.key().to_owned()).collect()),
            Plan::Deny(denied) => Err(denied.failure()),
            other => panic!("{other:?}"),
        }
    }
}

fn cluster(name: &str, rules: Value) -> Access {
    let id = AccessId {
        namespace: String::new(),
        name: name.into(),
    };
    let spec = json!({"storeRef": {"name": "corp"}, "rules": rules});
    Access::of_cluster_store(id, &serde_json::from_value(spec).unwrap())
}

fn own(namespace: &str, keys: Value) -> Access {
    let id = AccessId {
        namespace: namespace.into(),
        name: "own".into(),
    };
    let spec = json!({"storeRef": {"name": "corp"}, "keys": keys});
    Access::of_store(id, &serde_json::from_value(spec).unwrap())
}

fn everyone(keys: Value) -> Value {
    json!([{"namespaceSelector": {}, "keys": keys}])
}

fn data(keys: &[&str]) -> Value {
    let entry = |(at, key): (usize, &&str)| json!({"secretKey": format!("k{at}"), "remoteRef": {"key": key}});
    json!({"data": keys.iter().enumerate().map(entry).collect::<Vec<_>>()})
}

#[test]
fn a_store_without_any_access_is_open_and_one_with_any_is_closed_but_for_it() {
    let mut scene = Scene::of(data(&["team-b/db"]), json!([]));
    let denied = scene.reads().unwrap_err();
    assert_eq!(denied.code, Code::AccessDenied);
    assert_eq!(
        denied.public,
        "spec.data[0] (key \"team-b/db\") is not allowed in namespace \"team-a\" by any ClusterStoreAccess of \
         ClusterSecretStore \"corp\": read another key, or have it allowed"
    );
    scene.access.clear();
    assert_eq!(scene.reads().unwrap(), ["team-b/db"]);
}

#[test]
fn rules_of_all_accesses_add_up_and_each_speaks_of_its_namespaces() {
    let table = [
        (json!({"namespaces": ["team-a"]}), true),
        (json!({"namespaces": ["team-b"]}), false),
        (json!({"namespaces": []}), false),
        (json!({"namespaceRegexes": ["^team-"]}), true),
        (json!({"namespaceRegexes": ["^eam-"]}), false),
        (
            json!({"namespaceSelector": {"matchLabels": {"team": "pay"}}}),
            true,
        ),
        (
            json!({"namespaceSelector": {"matchLabels": {"team": "x"}}}),
            false,
        ),
        (json!({"namespaceSelector": {}}), true),
    ];
    for (who, allowed) in table {
        let mut rule = who.clone();
        rule["keys"] = json!(["{{namespace}}/*"]);
        let mut scene = Scene::of(data(&["team-a/db"]), json!([rule]));
        assert_eq!(scene.reads().is_ok(), allowed, "{who}");
        scene
            .access
            .push(cluster("more", everyone(json!(["{{label \"team\"}}/*"]))));
        scene.spec = data(&["pay/x"]);
        assert!(scene.reads().is_ok(), "{who}");
    }
}

#[test]
fn every_way_to_read_is_held_to_the_keys() {
    let rules = everyone(json!(["{{namespace}}/**"]));
    let remote = |key: &str, more: Value| {
        let mut remote = json!({"key": key});
        remote
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        remote
    };
    for more in [
        json!({}),
        json!({"property": "a"}),
        json!({"version": "2"}),
        json!({"metadataPolicy": "Fetch"}),
        json!({"metadataPolicy": "Fetch", "property": "a"}),
    ] {
        for (key, allowed) in [("team-a/db", true), ("team-b/db", false)] {
            let remote = remote(key, more.clone());
            for spec in [
                json!({"data": [{"secretKey": "k", "remoteRef": remote}]}),
                json!({"dataFrom": [{"extract": remote}]}),
                json!({"dataFrom": [{"extract": remote, "optional": true}]}),
            ] {
                assert_eq!(
                    Scene::of(spec.clone(), rules.clone()).reads().is_ok(),
                    allowed,
                    "{spec}"
                );
            }
        }
    }
    for (find, allowed) in [
        (json!({"path": "team-a/"}), true),
        (json!({"name": {"regexp": "^team-a/.*"}}), true),
        (json!({"path": "team-b/"}), false),
        (json!({"name": {"regexp": "team-a/"}}), false),
        (json!({"tags": {"team": "a"}}), false),
    ] {
        let spec = json!({"dataFrom": [{"find": find}]});
        assert_eq!(
            Scene::of(spec.clone(), rules.clone()).reads().is_ok(),
            allowed,
            "{spec}"
        );
    }
}

#[test]
fn one_refused_entry_refuses_the_whole_and_all_are_recorded() {
    let scene = Scene::of(
        data(&["team-a/db", "other", "team-b/db"]),
        everyone(json!(["team-a/*"])),
    );
    let Plan::Deny(denied) = plan(&scene.observed()) else {
        panic!("it was not denied");
    };
    let keys: Vec<_> = denied
        .refusals
        .iter()
        .map(|r| (r.position, r.key.as_str()))
        .collect();
    assert_eq!(
        keys,
        [
            (Position::Data(1), "other"),
            (Position::Data(2), "team-b/db")
        ]
    );
    assert!(
        denied.failure().public.ends_with("; and 1 more"),
        "{:?}",
        denied.failure()
    );
}

#[test]
fn a_key_that_may_turn_into_another_is_refused_though_a_pattern_fits() {
    for key in [
        "team-a/../team-b/db",
        "team-a/%2e%2e/team-b/db",
        "team-a//db",
        "team-a/x\n",
    ] {
        let scene = Scene::of(data(&[key]), everyone(json!(["team-a/**"])));
        assert_eq!(scene.reads().unwrap_err().code, Code::AccessDenied, "{key}");
    }
    let spec = json!({"data": [{"secretKey": "k", "remoteRef": {"key": "team-a/x", "version": "../../team-b/x"}}]});
    let scene = Scene::of(spec, everyone(json!(["team-a/**"])));
    assert!(scene.reads().unwrap_err().public.contains("the version"));
}

#[test]
fn a_namespace_that_is_called_as_the_mount_reads_no_more_by_it() {
    for name in ["secret", "data"] {
        let mut scene = Scene::of(
            data(&[&format!("{name}/team-b/db")]),
            everyone(json!(["{{namespace}}/**"])),
        );
        scene.namespace = if name == "data" { "data" } else { "secret" };
        scene.provider = json!({"vault": {"server": "s", "path": "secret", "version": "v2"}});
        assert_eq!(
            scene.reads().unwrap_err().code,
            Code::AccessDenied,
            "{name}"
        );
        scene.spec = data(&[&format!("secret/data/{name}/db")]);
        assert!(scene.reads().is_ok(), "{name}");
    }
}

#[test]
fn what_cannot_be_read_closes_its_store_and_says_where() {
    for (rules, said) in [
        (
            json!([{"keys": ["**"]}]),
            "spec.rules[0] does not say for which namespaces",
        ),
        (
            json!([{"namespaceSelector": {}, "keys": ["**"]}, {"namespaceSelector": {}, "keys": ["a", "{{x}}"]}]),
            "spec.rules[1].keys[1]: \"{{x}}\": a placeholder is",
        ),
        (
            json!([{"namespaceRegexes": ["("], "keys": ["**"]}]),
            "spec.rules[0].namespaceRegexes[0]: \"(\" is no regular expression",
        ),
    ] {
        let mut scene = Scene::of(data(&["db"]), rules);
        scene.access.push(cluster("all", everyone(json!(["**"]))));
        let closed = scene.reads().unwrap_err();
        assert_eq!(closed.code, Code::AccessInvalid);
        assert!(closed.public.contains(said), "{closed}");
        assert!(
            closed.public.contains("ClusterStoreAccess \"teams\""),
            "{closed}"
        );
    }
    let mut scene = Scene::of(data(&["db"]), json!([]));
    scene.access = vec![Access::unreadable(AccessId {
        namespace: String::new(),
        name: "odd".into(),
    })];
    let closed = scene.reads().unwrap_err();
    assert!(
        closed.public.contains("does not fit its schema"),
        "{closed}"
    );
}

#[test]
fn a_store_access_speaks_of_stores_of_its_namespace_only() {
    let mut scene = Scene::of(data(&["db"]), json!([]));
    // A tenant's own object neither closes nor opens a store of the cluster.
    scene.access = vec![own("team-a", json!(["**"]))];
    assert!(scene.reads().is_ok());
    scene.access = vec![own("team-a", json!(["**"])), cluster("teams", json!([]))];
    assert!(scene.reads().is_err());
    scene.kind = StoreKind::SecretStore;
    scene.access = vec![own("team-b", json!([])), cluster("teams", json!([]))];
    assert!(scene.reads().is_ok());
    scene.access = vec![own("team-a", json!(["other"]))];
    let denied = scene.reads().unwrap_err();
    assert!(
        denied
            .public
            .contains("any StoreAccess of SecretStore \"corp\""),
        "{denied}"
    );
    scene.access = vec![own("team-a", json!(["db"]))];
    assert!(scene.reads().is_ok());
}

#[test]
fn a_namespace_may_have_to_be_covered() {
    let mut scene = Scene::of(data(&["db"]), json!([]));
    scene.access.clear();
    for (value, required) in [("true", true), ("", true), ("yes", true), ("false", false)] {
        scene.labels = json!({LABEL_REQUIRE_STORE_ACCESS: value});
        assert_eq!(scene.reads().is_err(), required, "{value}");
    }
    scene.labels = json!({LABEL_REQUIRE_STORE_ACCESS: "true"});
    assert_eq!(
        scene.reads().unwrap_err().public,
        "spec.data[0] may not be read: namespace \"team-a\" reads only what a ClusterStoreAccess allows, and none names \
         ClusterSecretStore \"corp\""
    );
    scene.access = vec![cluster("teams", everyone(json!(["db"])))];
    assert!(scene.reads().is_ok());
    scene.access.clear();
    scene.labels = json!({});
    let mut observed = scene.observed();
    observed.settings.require_store_access = true;
    assert!(matches!(plan(&observed), Plan::Deny(_)));
}

#[test]
fn a_change_is_seen_though_nothing_is_due_and_its_end_too() {
    let mut scene = Scene::of(data(&["db"]), json!([]));
    let mut observed = scene.observed();
    let version = crate::plan::current_version(&observed.object);
    let said = |reason: &str, status: &str| {
        json!({"refreshTime": "1970-01-01T00:00:00Z", "syncedResourceVersion": version,
            "conditions": [{"type": "Ready", "status": status, "reason": reason}]})
    };
    let valid = crate::plan::TargetMeta {
        managed: true,
        actual_hash: Some("h".into()),
        data_hash_annotation: Some("h".into()),
        ..Default::default()
    };
    observed.target = Some(valid.clone());
    observed.object.status = serde_json::from_value(said("SecretSynced", "True")).unwrap();
    assert!(matches!(plan(&observed), Plan::Deny(_)));
    // What is never read again is not refused.
    observed.object.spec.refresh_interval = Some("0".into());
    assert!(matches!(plan(&observed), Plan::Idle { until: None }));

    scene.access.clear();
    let mut observed = scene.observed();
    observed.target = Some(valid);
    observed.object.status = serde_json::from_value(said("SecretSynced", "True")).unwrap();
    assert!(matches!(plan(&observed), Plan::Idle { .. }));
    observed.object.status = serde_json::from_value(said("StoreAccessDenied", "False")).unwrap();
    assert!(matches!(plan(&observed), Plan::Sync(_)));
}

#[test]
fn a_search_takes_in_nothing_that_is_not_allowed() {
    let spec = json!({"dataFrom": [{"find": {"path": "team-a"}}]});
    let scene = Scene::of(spec, everyone(json!(["team-a/**"])));
    let observed = scene.observed();
    let Plan::Sync(sync) = plan(&observed) else {
        panic!("it was not planned");
    };
    let within = sync.reads[0].within.clone().unwrap();
    let store = sync.stores.values().next().unwrap();
    assert!(within.check_found(store, "team-a/db").is_ok());
    for key in ["team-ab/db", "team-b/db", "team-a/../team-b"] {
        let denied = within.check_found(store, key).unwrap_err();
        assert_eq!(denied.code, Code::AccessDenied);
        assert!(!denied.public.contains(key), "{denied}");
    }
}

#[test]
fn without_labels_a_rule_by_label_opens_nothing() {
    let mut scene = Scene::of(
        data(&["/db"]),
        everyone(json!(["{{label \"team\"}}/**", "x-{{label \"team\"}}"])),
    );
    scene.labels = Value::Object(Default::default());
    assert!(scene.reads().is_err());
    assert_eq!(
        BTreeMap::<String, String>::new(),
        scene.observed().namespace_labels
    );
}
