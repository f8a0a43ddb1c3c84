//! What the chart has from the code: CRDs, roles, and values that are described once, in `values.schema.json`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use postern_controller::rbac::{RULES, Reach, Rule, When};
use serde_json::{Map, Value, json};

use crate::generated::MARK;

/// Where the chart lies.
const CHART: &str = "deploy/chart";
/// Values that are accepted, because the peer's chart has them, and do nothing: the reason why.
const UNNEEDED: &str = "x-unneeded";

/// Every generated file of the chart, and the page of its values.
pub fn files() -> anyhow::Result<BTreeMap<String, String>> {
    let schema = schema()?;
    let mut files = BTreeMap::from([
        (format!("{CHART}/templates/_rules.tpl"), rules()),
        (
            format!("{CHART}/templates/_unneeded.tpl"),
            unneeded(&schema),
        ),
        (format!("{CHART}/values.yaml"), values(&schema)),
        ("docs/values.md".to_owned(), page(&schema)),
    ]);
    for (plural, text) in crate::generated::crds() {
        files.insert(format!("{CHART}/files/crds/{plural}.yaml"), text);
    }
    Ok(files)
}

fn schema() -> anyhow::Result<Value> {
    let path = crate::root().join(CHART).join("values.schema.json");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))
}

/// The rules as templates: one definition for each role.
fn rules() -> String {
    let mut text = format!("{{{{/* {MARK} */}}}}\n");
    for (name, reach) in [("namespace", Reach::Namespace), ("cluster", Reach::Cluster)] {
        let _ = writeln!(text, "\n{{{{- define \"postern.rules.{name}\" -}}}}");
        for rule in RULES.iter().filter(|rule| rule.reach == reach) {
            guarded(&mut text, rule);
        }
        text.push_str("{{- end }}\n");
    }
    for (name, rules) in postern_controller::rbac::for_people() {
        let _ = writeln!(text, "\n{{{{- define \"postern.rules.{name}\" -}}}}");
        for rule in rules {
            text.push_str(&item(&rule));
        }
        text.push_str("{{- end }}\n");
    }
    text
}

/// A rule, and the value that switches it on.
fn guarded(text: &mut String, rule: &Rule) {
    let value = match rule.when {
        When::Always => None,
        When::Tokens => Some("rbac.serviceAccountTokenCreate"),
        When::GenericTargets => Some("genericTargets.enabled"),
        When::OpenShift => Some("openshiftFinalizers"),
    };
    if let Some(value) = value {
        let _ = writeln!(text, "{{{{- if .Values.{value} }}}}");
    }
    let _ = writeln!(text, "# {}.", rule.why);
    text.push_str(&item(&rule.to_json()));
    if value.is_some() {
        text.push_str("{{- end }}\n");
    }
}

/// A rule as an item of a list in YAML.
fn item(rule: &Value) -> String {
    let mut text = String::new();
    for (key, value) in rule.as_object().into_iter().flatten() {
        let start = if text.is_empty() { "- " } else { "  " };
        let _ = writeln!(text, "{start}{key}: {value}");
    }
    text
}

/// Every value that does nothing, by its path, with the reason.
fn unneeded(schema: &Value) -> String {
    let mut found = Map::new();
    walk(schema, "", &mut |path, property| {
        if let Some(why) = property.get(UNNEEDED) {
            found.insert(path.to_owned(), why.clone());
        }
    });
    format!(
        "{{{{/* {MARK} */}}}}\n\n{{{{- define \"postern.unneeded\" -}}}}\n{:#}\n{{{{- end }}}}\n",
        Value::Object(found)
    )
}

/// Shows every property, those inside others after them.
fn walk<'a>(schema: &'a Value, above: &str, see: &mut dyn FnMut(&str, &'a Value)) {
    for (name, property) in properties(schema) {
        let path = if above.is_empty() {
            name.clone()
        } else {
            format!("{above}.{name}")
        };
        see(&path, property);
        walk(property, &path, see);
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn described(property: &Value) -> &str {
    property
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The defaults, each below its description.
fn values(schema: &Value) -> String {
    let mut text = format!("# {MARK}\n# It is made from values.schema.json.\n");
    defaults(schema, 0, &mut text);
    text
}

fn defaults(schema: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    for (name, property) in properties(schema) {
        if property.get(UNNEEDED).is_some() {
            continue;
        }
        let description = described(property);
        if depth == 0 {
            text.push('\n');
        }
        if !description.is_empty() {
            let _ = writeln!(text, "{indent}# {description}");
        }
        match property.get("default") {
            // JSON is YAML.
            Some(default) => {
                let _ = writeln!(text, "{indent}{name}: {default}");
            }
            None => {
                let _ = writeln!(text, "{indent}{name}:");
                defaults(property, depth + 1, text);
            }
        }
    }
}

/// The reference for people.
fn page(schema: &Value) -> String {
    let mut used = String::new();
    let mut idle = String::new();
    walk(schema, "", &mut |path, property| {
        if let Some(why) = property.get(UNNEEDED).and_then(Value::as_str) {
            let _ = writeln!(idle, "| `{path}` | {why} |");
        } else if let Some(default) = property.get("default") {
            let choice = property.get("enum").and_then(Value::as_array).map(|all| {
                let all: Vec<String> = all.iter().map(|v| format!("`{}`", bare(v))).collect();
                format!(" One of {}.", all.join(", "))
            });
            let _ = writeln!(
                used,
                "| `{path}` | `{default}` | {}{} |",
                described(property),
                choice.unwrap_or_default()
            );
        }
    });
    format!(
        "<!-- {MARK} -->\n# Values of the chart\n\nThe names are those of the chart of the External Secrets Operator where they mean the same, so a values file of\
         \nits works here. A value that is in neither table is refused.\n\n| value | default | meaning |\n|---|---|---|\n{used}\
         \n## Accepted, and not needed\n\nA values file may have these; the notes after an installation name those that were given.\n\n| value | why |\n|---|---|\n{idle}"
    )
}

fn bare(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| json!(value).to_string(), str::to_owned)
}
