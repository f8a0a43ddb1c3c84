//! What is decided for namespaces and ExternalSecrets of every standing.

use serde_json::{Value, json};

use super::*;

fn object(spec: Value) -> ClusterExternalSecret {
    let mut full = json!({"externalSecretSpec": {"secretStoreRef": {"name": "s"}, "data": [{"secretKey": "a", "remoteRef": {"key": "k"}}]}});
    full.as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ClusterExternalSecret",
        "metadata": {"name": "shared", "uid": "c1", "generation": 3}, "spec": full,
    }))
    .unwrap()
}

fn namespaces(all: &[(&str, &str)]) -> BTreeMap<String, Namespace> {
    let namespace = |team: &str| Namespace {
        labels: BTreeMap::from([("team".to_owned(), team.trim_end_matches('!').to_owned())]),
        going: team.ends_with('!'),
    };
    all.iter()
        .map(|(name, team)| ((*name).to_owned(), namespace(team)))
        .collect()
}

/// Decides with these ExternalSecrets in the cluster.
fn decide(object: &ClusterExternalSecret, all: &[(&str, &str)], there: &[ExternalSecret]) -> Plan {
    let there: Vec<Arc<ExternalSecret>> = there.iter().cloned().map(Arc::new).collect();
    let name = child_name(object);
    plan(&Observed {
        object,
        namespaces: &namespaces(all),
        named: there
            .iter()
            .filter(|e| e.name_any() == name)
            .map(|e| (e.namespace().unwrap(), Arc::clone(e)))
            .collect(),
        ours: there
            .iter()
            .filter(|e| is_controlled_by(e, object))
            .cloned()
            .collect(),
    })
    .unwrap()
}

fn steps(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| match step {
            Step::Create(_) => format!("create {}", step.namespace()),
            Step::Replace(_) => format!("replace {}", step.namespace()),
            Step::Delete(there) => format!("delete {}/{}", step.namespace(), there.name_any()),
        })
        .collect()
}

#[test]
fn selectors_and_names_are_a_union_and_a_going_namespace_is_left_alone() {
    let all = [("a", "x"), ("b", "y"), ("c", "z"), ("d", "x!"), ("e", "q")];
    let object = object(json!({
        "namespaceSelector": {"matchLabels": {"team": "x"}},
        "namespaceSelectors": [{"matchLabels": {"team": "y"}}, {"matchLabels": {"team": "none"}}],
        "namespaces": ["e", "not-there"],
    }));
    let plan = decide(&object, &all, &[]);
    assert_eq!(steps(&plan), ["create a", "create b", "create e"]);
    assert_eq!(plan.interval, DEFAULT_INTERVAL);
    assert_eq!(
        steps(&decide(&super::tests::object(json!({})), &all, &[])),
        Vec::<String>::new()
    );
    let everywhere = super::tests::object(json!({"namespaceSelectors": [{}]}));
    assert_eq!(decide(&everywhere, &all, &[]).steps.len(), 4);
}

#[test]
fn the_child_has_the_given_metadata_and_its_owner() {
    let mut object = object(json!({
        "externalSecretName": "db", "namespaces": ["a"],
        "externalSecretMetadata": {"labels": {"l": "1"}, "annotations": {"n": "2"}},
    }));
    object.metadata.annotations = Some(BTreeMap::from([
        (names::ANNOTATION_FORCE_SYNC.to_owned(), "now".to_owned()),
        ("other".to_owned(), "x".to_owned()),
    ]));
    let plan = decide(&object, &[("a", "x")], &[]);
    let [Step::Create(child)] = plan.steps.as_slice() else {
        panic!("{plan:?}")
    };
    assert_eq!(
        (child.name_any(), child.namespace()),
        ("db".to_owned(), Some("a".to_owned()))
    );
    assert_eq!(
        child.labels(),
        &BTreeMap::from([("l".to_owned(), "1".to_owned())])
    );
    assert_eq!(
        child.annotations(),
        &BTreeMap::from([
            ("n".to_owned(), "2".to_owned()),
            (names::ANNOTATION_FORCE_SYNC.to_owned(), "now".to_owned())
        ])
    );
    assert_eq!(child.spec, object.spec.external_secret_spec);
    let owner = controller(&child.metadata).unwrap();
    assert_eq!(
        (
            owner.name.as_str(),
            owner.uid.as_str(),
            owner.block_owner_deletion
        ),
        ("shared", "c1", Some(true))
    );
}

#[test]
fn what_is_right_is_left_and_what_was_edited_is_put_right() {
    let object = object(json!({"namespaces": ["a"]}));
    let right = child(&object, "a");
    assert_eq!(
        steps(&decide(
            &object,
            &[("a", "x")],
            std::slice::from_ref(&right)
        )),
        Vec::<String>::new()
    );
    let mut forced = right.clone();
    forced.metadata.annotations = Some(BTreeMap::from([(
        names::ANNOTATION_FORCE_SYNC.to_owned(),
        "by hand".to_owned(),
    )]));
    let mut edited = right.clone();
    edited.spec.refresh_interval = Some("5m".into());
    edited.metadata.resource_version = Some("7".into());
    edited.metadata.finalizers = Some(vec!["f".into()]);
    for wrong in [forced, edited] {
        let plan = decide(&object, &[("a", "x")], std::slice::from_ref(&wrong));
        let [Step::Replace(put)] = plan.steps.as_slice() else {
            panic!("{plan:?}")
        };
        assert_eq!(
            (&put.spec, put.annotations()),
            (&right.spec, right.annotations())
        );
        assert_eq!(
            put.metadata.resource_version,
            wrong.metadata.resource_version
        );
        assert_eq!(put.metadata.finalizers, wrong.metadata.finalizers);
    }
}

#[test]
fn somebody_elses_is_not_touched_and_said() {
    let object = object(json!({"namespaces": ["a", "b"]}));
    let mut foreign = child(&object, "a");
    foreign.metadata.owner_references = None;
    let plan = decide(&object, &[("a", "x"), ("b", "x")], &[foreign]);
    assert_eq!(steps(&plan), ["create b"]);
    let said = status(&object, &plan, &BTreeMap::new());
    assert_eq!(
        serde_json::to_value(said).unwrap(),
        json!({
            "conditions": [{"type": "Ready", "status": "False", "message": "one or more namespaces failed", "observedGeneration": 3}],
            "externalSecretName": "shared",
            "failedNamespaces": [{"namespace": "a", "reason": "external secret already exists in namespace"}],
            "provisionedNamespaces": ["b"],
        })
    );
}

#[test]
fn what_shall_not_be_goes_by_name_and_by_namespace() {
    let object = object(json!({"externalSecretName": "new", "namespaces": ["a"]}));
    let old_name = |namespace: &str, name: &str| {
        let mut child = child(&object, namespace);
        child.metadata.name = Some(name.to_owned());
        child
    };
    let mut going = old_name("a", "older");
    going.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-03-01T12:00:00Z")).unwrap());
    let mut foreign = old_name("b", "old");
    foreign.metadata.owner_references = None;
    let there = [
        old_name("a", "old"),
        child(&object, "a"),
        old_name("b", "new"),
        going,
        foreign,
    ];
    let plan = decide(&object, &[("a", "x"), ("b", "y")], &there);
    assert_eq!(steps(&plan), ["delete a/old", "delete b/new"]);
}

#[test]
fn no_namespace_at_all_is_ready_and_a_bad_selector_is_said() {
    let none = object(json!({}));
    let said = status(&none, &decide(&none, &[("a", "x")], &[]), &BTreeMap::new());
    assert_eq!(said.conditions.unwrap()[0].status, "True");
    assert_eq!(
        (said.provisioned_namespaces, said.failed_namespaces),
        (None, None)
    );

    let bad = object(
        json!({"namespaceSelectors": [{"matchExpressions": [{"key": "k", "operator": "x"}]}]}),
    );
    let failure = plan(&Observed {
        object: &bad,
        namespaces: &BTreeMap::new(),
        named: BTreeMap::new(),
        ours: vec![],
    })
    .unwrap_err();
    assert!(
        failure
            .public
            .starts_with("spec.namespaceSelectors[0].matchExpressions"),
        "{failure}"
    );
    assert_eq!(
        refused(&bad, &failure).conditions.unwrap()[0].status,
        "False"
    );
    let slow = object(json!({"refreshTime": "often"}));
    assert!(
        plan(&Observed {
            object: &slow,
            namespaces: &BTreeMap::new(),
            named: BTreeMap::new(),
            ours: vec![]
        })
        .is_err()
    );
}
