//! The definitions against the fields and bounds that manifests of today rely on.

use std::collections::BTreeMap;

use serde_json::Value;

use super::tables;
use crate::crds;

/// What `kubectl apply` keeps of an object in an annotation must fit into it.
const ANNOTATION_LIMIT: usize = 262_144;
const OPEN: &str = "x-kubernetes-preserve-unknown-fields";

fn definitions() -> BTreeMap<String, Value> {
    let drop_in = crds()
        .into_iter()
        .filter(|crd| crd["spec"]["group"] == crate::names::GROUP);
    drop_in
        .map(|crd| {
            (
                crd["spec"]["names"]["kind"].as_str().unwrap().to_owned(),
                crd,
            )
        })
        .collect()
}

fn schema(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// Where a path leads, with the schema above it; none below an object that takes anything.
fn find<'a>(schema: &'a Value, path: &str) -> Result<(&'a Value, &'a Value), bool> {
    let (mut node, mut parent) = (schema, schema);
    for step in path.split('.') {
        if node.get(OPEN).is_some() {
            return Err(true);
        }
        let properties = node.get("properties").ok_or(false)?;
        parent = node;
        node = properties.get(step.trim_end_matches("[]")).ok_or(false)?;
        if step.ends_with("[]") {
            node = &node["items"];
        }
    }
    Ok((node, parent))
}

/// The first thing that a field's schema lacks of a line of the table.
fn lack(node: &Value, parent: &Value, name: &str, words: &[&str]) -> Option<String> {
    let is_required = parent["required"]
        .as_array()
        .is_some_and(|r| r.iter().any(|n| n == name));
    if is_required != words.contains(&"required") {
        return Some(format!("required is {is_required}"));
    }
    let (kind, bounds) = (words[0], &words[1..]);
    let item = &node["items"];
    let right = match kind {
        "objects" | "selectors" => node["type"] == "array" && item["type"] == "object",
        "strings" => node["type"] == "array" && item["type"] == "string",
        "string-map" => {
            node["type"] == "object" && node["additionalProperties"]["type"] == "string"
        }
        "selector" => {
            node["type"] == "object" && node["properties"]["matchExpressions"].is_object()
        }
        "int-or-string" => node["x-kubernetes-int-or-string"] == true,
        plain => node["type"] == plain,
    };
    if !right {
        return Some(format!("it is no {kind}: {node}"));
    }
    if kind == "objects" && item.get(OPEN).is_some() {
        return None;
    }
    // A bound of a list is one of its items, but for the number of them.
    let field = if kind == "strings" || kind == "objects" {
        item
    } else {
        node
    };
    for (at, bound) in bounds.iter().enumerate() {
        let holds = match *bound {
            "required" => true,
            "object-name" => field["pattern"] == tables::OBJECT_NAME && field["maxLength"] == 253,
            "namespace-name" => {
                field["pattern"] == tables::NAMESPACE_NAME && field["maxLength"] == 63
            }
            "secret-key" => field["pattern"] == tables::SECRET_KEY && field["maxLength"] == 253,
            "pattern" => field["pattern"].is_string(),
            "one-field" => field["minProperties"] == 1 && field["maxProperties"] == 1,
            "one-item" => node["minItems"] == 1,
            "not-empty" => field["minLength"] == 1,
            "time" => field["format"] == "date-time",
            "one-of" => {
                let mut allowed: Vec<&str> = field["enum"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                let mut wanted = bounds[at + 1..].to_vec();
                allowed.sort_unstable();
                wanted.sort_unstable();
                return (allowed != wanted).then(|| format!("one of {allowed:?} is allowed"));
            }
            other => panic!("no such bound: {other}"),
        };
        if !holds {
            return Some(format!("it lacks {bound}: {field}"));
        }
    }
    None
}

#[test]
fn every_field_of_todays_manifests_is_there_with_its_type_and_bounds() {
    let definitions = definitions();
    let mut kinds = Vec::new();
    let mut wrong = Vec::new();
    for line in include_str!("fields.txt")
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        if let Some(kind) = line.strip_prefix('[') {
            kinds = match kind.trim_end_matches(']') {
                "SecretStore" => vec!["SecretStore", "ClusterSecretStore"],
                kind => vec![kind],
            };
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let name = words[0].rsplit('.').next().unwrap();
        for kind in &kinds {
            let mut paths = vec![words[0].to_owned()];
            if *kind == "ExternalSecret" && words[0].starts_with("spec.") {
                paths.push(words[0].replacen("spec.", "spec.externalSecretSpec.", 1));
            }
            for (path, kind) in paths.iter().zip([*kind, "ClusterExternalSecret"]) {
                // The one field at the top is wanted by every kind of ours.
                if path == "spec" {
                    continue;
                }
                match find(schema(&definitions[kind]), path) {
                    Err(true) => {}
                    Err(false) => wrong.push(format!("{kind} {path}: it is missing")),
                    Ok((node, parent)) => {
                        if let Some(lack) = lack(node, parent, name, &words[1..]) {
                            wrong.push(format!("{kind} {path}: {lack}"));
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_filled_in_and_null_counts_as_absent() {
    fn search(node: &Value, path: &str, found: &mut Vec<String>) {
        match node {
            Value::Object(fields) => {
                for (name, value) in fields {
                    // A field may have the name `default`; a default is no object of a schema below `properties`.
                    if !path.ends_with("/properties")
                        && ["default", "nullable"].contains(&name.as_str())
                    {
                        found.push(format!("{path}/{name}"));
                    }
                    search(value, &format!("{path}/{name}"), found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| search(item, path, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for (kind, crd) in definitions() {
        let mut found = Vec::new();
        search(schema(&crd), "", &mut found);
        found.retain(|path| path != "/properties/status/properties/refreshTime/nullable");
        assert_eq!(found, Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn every_bound_of_the_tables_has_its_field() {
    let definitions = definitions();
    let mut tables = vec![
        ("ExternalSecret", "spec.", super::EXTERNAL_SECRET_SPEC),
        ("ExternalSecret", "", super::EXTERNAL_SECRET),
        (
            "ClusterExternalSecret",
            "spec.externalSecretSpec.",
            super::EXTERNAL_SECRET_SPEC,
        ),
        ("ClusterExternalSecret", "", super::CLUSTER_EXTERNAL_SECRET),
    ];
    tables.extend(["SecretStore", "ClusterSecretStore"].map(|kind| (kind, "", super::STORE)));
    for (kind, prefix, table) in tables {
        for (path, _) in table {
            let path = format!("{prefix}{path}");
            assert_ne!(
                find(schema(&definitions[kind]), &path).err(),
                Some(false),
                "{kind} {path}"
            );
        }
    }
    for rule in super::admission::EXTERNAL_SECRET {
        assert!(
            find(schema(&definitions["ExternalSecret"]), rule.path).is_ok(),
            "{}",
            rule.path
        );
    }
}

#[test]
fn names_columns_and_versions_are_those_that_tools_know() {
    let wanted = [
        (
            "ExternalSecret",
            "es",
            vec![
                "StoreType",
                "Store",
                "Refresh Interval",
                "Status",
                "Ready",
                "Last Sync",
            ],
        ),
        (
            "ClusterExternalSecret",
            "ces",
            vec!["Store", "Refresh Interval", "Ready"],
        ),
        (
            "SecretStore",
            "ss",
            vec!["AGE", "Status", "Capabilities", "Ready"],
        ),
        (
            "ClusterSecretStore",
            "css",
            vec!["AGE", "Status", "Capabilities", "Ready"],
        ),
    ];
    let definitions = definitions();
    assert_eq!(definitions.len(), wanted.len());
    for (kind, short, columns) in wanted {
        let crd = &definitions[kind];
        assert_eq!(crd["spec"]["names"]["shortNames"][0], short);
        assert_eq!(crd["spec"]["names"]["categories"][0], "external-secrets");
        assert_eq!(
            crd["metadata"]["labels"]["external-secrets.io/component"],
            "controller"
        );
        let [v1, old] = crd["spec"]["versions"].as_array().unwrap().as_slice() else {
            panic!("{kind} has other versions than two");
        };
        assert_eq!(
            (&v1["name"], &v1["served"], &v1["storage"]),
            (&"v1".into(), &true.into(), &true.into())
        );
        assert_eq!(
            (
                &old["name"],
                &old["served"],
                &old["storage"],
                &old["deprecated"]
            ),
            (
                &"v1beta1".into(),
                &false.into(),
                &false.into(),
                &true.into()
            )
        );
        assert!(v1["subresources"]["status"].is_object());
        let names: Vec<&str> = v1["additionalPrinterColumns"]
            .as_array()
            .unwrap()
            .iter()
            // What is beyond them stands under `-o wide` only.
            .filter(|c| c["priority"].as_i64().unwrap_or(0) == 0)
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, columns, "{kind}");
    }
    let selectable: Vec<&str> =
        definitions["ExternalSecret"]["spec"]["versions"][0]["selectableFields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["jsonPath"].as_str().unwrap())
            .collect();
    assert_eq!(
        selectable,
        [
            ".spec.secretStoreRef.name",
            ".spec.secretStoreRef.kind",
            ".spec.target.name",
            ".spec.refreshInterval"
        ]
    );
}

#[test]
fn the_old_version_is_served_where_it_is_asked_for() {
    for crd in crate::crds_with_v1beta1() {
        let served = crd["spec"]["versions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|v| v["served"] == true);
        assert!(served, "{}", crd["metadata"]["name"]);
    }
}

#[test]
fn client_side_apply_can_keep_every_definition() {
    for crd in crds() {
        let bytes = serde_json::to_string(&crd).unwrap().len();
        assert!(
            bytes < ANNOTATION_LIMIT,
            "{} has {bytes} bytes",
            crd["metadata"]["name"]
        );
    }
}
