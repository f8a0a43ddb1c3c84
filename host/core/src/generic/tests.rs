//! What becomes of an object: made, changed, left alone, refused.

use std::collections::BTreeMap;

use postern_api::external_secret::CreationPolicy;
use serde_json::{Value, json};

use super::*;
use crate::go;
use crate::target::{Owner, Remove, Rule};

fn kind(name: &str) -> Kind {
    let api_version = if name == "ConfigMap" {
        "v1"
    } else {
        "acme.io/v1"
    };
    Kind {
        api_version: api_version.into(),
        kind: name.into(),
    }
}

fn rule(creation: CreationPolicy) -> Rule {
    Rule {
        owner: Owner {
            namespace: "team".into(),
            name: "app".into(),
            uid: "u1".into(),
        },
        name: "app".into(),
        creation,
        immutable: false,
        what: "ConfigMap".into(),
    }
}

fn desired(of: &str, edits: &[(&str, Value, How)]) -> Desired {
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let mut desired = Desired::new(&kind(of), labels, BTreeMap::new());
    for (path, value, how) in edits {
        desired.edit(Path::parse(path).unwrap(), value.clone(), *how);
    }
    desired
}

/// As the API server has it after it was made.
fn stored(object: &Object) -> Object {
    let mut value = object.expose().clone();
    value["metadata"]["uid"] = json!("t1");
    value["metadata"]["resourceVersion"] = json!("7");
    value["metadata"]["managedFields"] = json!([{"manager": "externalsecrets.external-secrets.io/app", "operation": "Update",
        "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}, "f:data": {"f:k": {}}}}]);
    Object::new(value)
}

fn created(desired: &Desired, creation: CreationPolicy) -> Object {
    match write(None, desired, &rule(creation)).unwrap() {
        Write::Create(object) => object,
        other => panic!("{other:?}"),
    }
}

fn updated(existing: &Object, desired: &Desired, creation: CreationPolicy) -> Object {
    match write(Some(existing), desired, &rule(creation)).unwrap() {
        Write::Update(object) => object,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_object_has_what_was_made_the_marks_and_its_owner() {
    let desired = desired("ConfigMap", &[("data.k", json!("v"), How::Set)]);
    let object = created(&desired, CreationPolicy::Owner);
    let value = object.expose();
    assert_eq!(value["apiVersion"], "v1");
    assert_eq!(value["data"], json!({"k": "v"}));
    let metadata = &value["metadata"];
    assert_eq!(metadata["namespace"], "team");
    assert_eq!(
        metadata["labels"]["reconcile.external-secrets.io/managed"],
        "true"
    );
    assert_eq!(metadata["labels"]["a"], "b");
    assert_eq!(
        metadata["annotations"]["reconcile.external-secrets.io/data-hash"],
        go::string_hash("map[k:v]")
    );
    assert_eq!(metadata["ownerReferences"][0]["uid"], "u1");
    // As it is then: nothing to do.
    let again = write(
        Some(&stored(&object)),
        &desired,
        &rule(CreationPolicy::Owner),
    );
    assert_eq!(again, Ok(Write::Unchanged));
    let orphan = created(&desired, CreationPolicy::Orphan);
    assert_eq!(orphan.expose()["metadata"].get("ownerReferences"), None);
}

#[test]
fn owner_makes_the_content_anew_and_merge_keeps_what_others_wrote() {
    let first = desired("ConfigMap", &[("data.k", json!("v"), How::Set)]);
    let object = stored(&created(&first, CreationPolicy::Owner));
    let mut value = object.expose().clone();
    value["data"]["theirs"] = json!("x");
    value["binaryData"] = json!({"b": "eA=="});
    value["metadata"]["labels"]["theirs"] = json!("x");
    value["metadata"]["finalizers"] = json!(["acme.io/f"]);
    let object = Object::new(value);
    let second = desired("ConfigMap", &[("data.other", json!("w"), How::Set)]);

    let owned = updated(&object, &second, CreationPolicy::Owner);
    assert_eq!(owned.expose()["data"], json!({"other": "w"}));
    assert_eq!(owned.expose().get("binaryData"), None);
    assert_eq!(owned.expose()["metadata"]["resourceVersion"], "7");
    // Metadata of others stays.
    assert_eq!(owned.expose()["metadata"]["labels"]["theirs"], "x");
    assert_eq!(
        owned.expose()["metadata"]["finalizers"],
        json!(["acme.io/f"])
    );

    let merged = updated(&object, &second, CreationPolicy::CreateOrMerge);
    assert_eq!(
        merged.expose()["data"],
        json!({"other": "w", "theirs": "x"})
    );
    assert_eq!(merged.expose()["binaryData"], json!({"b": "eA=="}));
    let owners = merged.expose()["metadata"].get("ownerReferences");
    assert!(
        owners.is_none_or(|owners| *owners == json!([])),
        "{owners:?}"
    );
}

#[test]
fn pieces_of_yaml_are_put_in_or_take_the_place() {
    let edits = [
        ("spec", json!({"a": 1}), How::Merge),
        ("spec.rules[1].value", json!("x"), How::Set),
        ("spec.map", json!({"one": 1}), How::Merge),
        ("spec.map", json!({"two": 2}), How::Merge),
        ("spec.list", json!([1]), How::Merge),
        ("spec.list", json!([2]), How::Merge),
    ];
    let object = created(&desired("Widget", &edits), CreationPolicy::Owner);
    assert_eq!(
        object.expose()["spec"],
        json!({"a": 1, "rules": [null, {"value": "x"}], "map": {"one": 1, "two": 2}, "list": [2]})
    );
    let wrong = desired(
        "Widget",
        &[
            ("spec.a", json!("x"), How::Set),
            ("spec.a.b", json!(1), How::Set),
        ],
    );
    let failure = write(None, &wrong, &rule(CreationPolicy::Owner)).unwrap_err();
    assert_eq!(
        failure.public,
        "could not apply template to manifest: spec.a is in the way of spec.a.b"
    );
}

#[test]
fn values_stand_where_the_kind_has_them() {
    let data = || Data::from([("k".to_owned(), SecretValue::from("v"))]);
    for (of, content) in [
        ("ConfigMap", json!({"data": {"k": "v"}})),
        ("Widget", json!({"spec": {"data": {"k": "v"}}})),
    ] {
        let mut desired = desired(of, &[]);
        desired.put_all(data()).unwrap();
        let object = created(&desired, CreationPolicy::Owner);
        let mut value = object.expose().clone();
        let fields = value.as_object_mut().unwrap();
        fields.retain(|name, _| name == "data" || name == "spec");
        assert_eq!(value, content, "{of}");
    }
}

#[test]
fn what_is_anothers_is_neither_written_nor_deleted() {
    let desired = desired("ConfigMap", &[("data.k", json!("v"), How::Set)]);
    let object = stored(&created(&desired, CreationPolicy::Owner));
    let mut value = object.expose().clone();
    value["metadata"]["ownerReferences"][0]["name"] = json!("else");
    let theirs = Object::new(value);
    for creation in [CreationPolicy::Owner, CreationPolicy::CreateOrMerge] {
        let failure = write(Some(&theirs), &desired, &rule(creation)).unwrap_err();
        assert_eq!(failure.code, Code::TargetOwned);
        assert!(
            failure
                .public
                .contains("ConfigMap \"app\" belongs to \"else\""),
            "{failure}"
        );
    }
    let (ours, theirs) = (object.metadata(), theirs.metadata());
    let owner = rule(CreationPolicy::Owner);
    assert!(matches!(
        remove(Some(&ours), &owner, true),
        Ok(Remove::Delete(_))
    ));
    assert!(remove(Some(&ours), &owner, false).is_err());
    assert!(remove(Some(&theirs), &owner, true).is_err());
    assert_eq!(remove(None, &owner, true), Ok(Remove::Nothing));
}

#[test]
fn merge_waits_and_none_writes_nothing() {
    let desired = desired("ConfigMap", &[("data.k", json!("v"), How::Set)]);
    assert_eq!(
        write(None, &desired, &rule(CreationPolicy::Merge)),
        Ok(Write::Missing)
    );
    assert_eq!(
        write(None, &desired, &rule(CreationPolicy::None)),
        Ok(Write::Skip)
    );
}

#[test]
fn what_has_neither_spec_nor_data_is_refused() {
    let desired = desired("ConfigMap", &[("binaryData.k", json!("eA=="), How::Set)]);
    let bare = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app", "namespace": "team"}});
    let failure = write(
        Some(&Object::new(bare)),
        &desired,
        &rule(CreationPolicy::CreateOrMerge),
    );
    assert_eq!(failure.unwrap_err().code, Code::Unsupported);
}

fn any(api_version: &str, kind: &str) -> Kind {
    Kind {
        api_version: api_version.into(),
        kind: kind.into(),
    }
}

#[test]
fn kinds_that_give_power_are_no_targets() {
    for (api_version, name, said) in [
        ("v1", "Secret", "a Secret is the target without"),
        ("", "ConfigMap", "needs apiVersion and kind"),
        ("v1", "", "needs apiVersion and kind"),
        (
            "external-secrets.io/v1",
            "ExternalSecret",
            "external-secrets.io",
        ),
        ("postern.dev/v1alpha1", "StoreAccess", "postern.dev"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", "rbac"),
        (
            "generators.external-secrets.io/v1alpha1",
            "Fake",
            "generators",
        ),
    ] {
        let failure = any(api_version, name).check().unwrap_err();
        assert!(failure.public.starts_with("invalid generic target: "));
        assert!(failure.public.contains(said), "{failure}");
    }
    for (api_version, name) in [("v1", "ConfigMap"), ("acme.io/v1", "Secret")] {
        assert!(any(api_version, name).check().is_ok());
    }
    let acme = any("acme.io/v1beta1", "X");
    assert_eq!((acme.group(), acme.version()), ("acme.io", "v1beta1"));
    let core = any("v1", "ConfigMap");
    assert_eq!((core.group(), core.version()), ("", "v1"));
}

#[test]
fn what_holds_values_shows_none() {
    let mut desired = Desired::new(&any("v1", "ConfigMap"), BTreeMap::new(), BTreeMap::new());
    let data = Data::from([("k".to_owned(), SecretValue::from("hunter2"))]);
    desired.put_all(data).unwrap();
    assert!(!format!("{desired:?}").contains("hunter2"));
    let bytes = Data::from([("k".to_owned(), SecretValue::new(vec![0xff]))]);
    let failure = desired.put_all(bytes).unwrap_err();
    assert_eq!(failure.code, Code::Undecodable);
}
