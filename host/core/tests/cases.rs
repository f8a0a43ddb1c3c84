//! Cases as folders of data: `tests/cases/<name>/case.json` goes in, `expected.json` is what comes of it.
//!
//! A case holds an ExternalSecret, the stores that it names, what is known of its target, the answers to its reads and
//! the rendered texts. `BLESS=1 cargo test -p postern-core --test cases` rewrites what is expected; review the diff.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use postern_api::ExternalSecret;
use postern_core::absence::{self, Missing};
use postern_core::conclude::{Conclusion, Next, Written, conclude, missing_events, say_omitted};
use postern_core::failure::{Code, Failure, Stage};
use postern_core::plan::{
    Observed, Plan, PlanSettings, StoreState, SyncPlan, TargetMeta, TemplateObject, plan, stores_of,
};
use postern_core::plugin::Part;
use postern_core::secret::SecretValue;
use postern_core::shape::{self, EntryFate, Omitted, Shaped, Shaping, Unshaped};
use postern_core::target::{self, Remove, Rule, Write};
use postern_core::{provenance, store, template};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases")
}

#[test]
fn every_case_comes_out_as_expected() {
    let mut wrong = Vec::new();
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir())
        .collect();
    folders.sort();
    assert!(
        folders.len() >= 15,
        "only {} cases were found",
        folders.len()
    );
    for folder in folders {
        let case: Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("case.json")).unwrap())
                .unwrap();
        let actual = format!("{:#}\n", outcome(&case));
        let expected = folder.join("expected.json");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&expected, &actual).unwrap();
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != actual {
            wrong.push(format!("{}:\n{actual}", folder.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "these came out otherwise; BLESS=1 takes them over:\n{}",
        wrong.join("\n")
    );
}

/// What comes of a case: the plan, the target, the status, the events and the next time.
fn outcome(case: &Value) -> Value {
    let observed = observed(case);
    let (mut synced, mut fates) = (None, Vec::new());
    let result = match plan(&observed) {
        Plan::Idle { until } => {
            return json!({"plan": "idle", "until": until.map(|t| t.to_string())});
        }
        Plan::Ignore => return json!({"plan": "ignore"}),
        Plan::Remove => return json!({"plan": "remove"}),
        Plan::Refuse(failure) => Err(failure),
        Plan::Deny(denied) => Err(denied.failure()),
        Plan::Sync(sync) => {
            let made = produce(&sync, case, &mut fates);
            synced = Some(sync);
            made
        }
    };
    let mut conclusion = conclude(&observed, result.as_ref().map(|made| made.written));
    let mut secret = Value::Null;
    if let Ok(made) = &result {
        secret = made.secret.clone();
        conclusion
            .events
            .extend(missing_events(&observed, made.written, &made.missing));
        say_omitted(&mut conclusion, made.omitted);
    }
    if let Some(plan) = &synced {
        provenance::tell(&mut conclusion.status, plan, &fates, observed.now);
    }
    let Conclusion {
        status,
        events,
        next,
    } = conclusion;
    let events: Vec<Value> = events
        .iter()
        .map(|e| json!({"warning": e.warning, "reason": e.reason, "message": e.message}))
        .collect();
    json!({
        "plan": "sync",
        "secret": secret,
        "status": status,
        "events": events,
        "next": match next {
            Next::At(time) => json!({"at": time.to_string()}),
            Next::Backoff { after } => json!({"backoff": after.map(|d| d.as_secs())}),
            Next::OnChange => json!("on-change"),
        },
    })
}

/// What became of the target.
struct Made {
    written: Written,
    secret: Value,
    missing: Vec<Missing>,
    omitted: Omitted,
}

fn produce(plan: &SyncPlan, case: &Value, fates: &mut Vec<EntryFate>) -> Result<Made, Failure> {
    let answers: Vec<_> = case["answers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(answer)
        .collect();
    let absent = absence::absences(plan, answers.iter().enumerate());
    let missing = absence::missing(plan, &absent, &answers);
    let rule = Rule::of(plan, Some("es-uid"));
    let existing: Option<Secret> = case
        .get("existing")
        .map(|s| serde_json::from_value(s.clone()).unwrap());
    let gone = absence::is_gone(plan, &absent);
    if gone != Ok(false) {
        *fates = vec![EntryFate::Missing; plan.entries.len()];
    }
    if gone? {
        let at_stake = plan.absence.at_stake;
        let removed = target::remove(existing.as_ref(), &rule, at_stake)?;
        let (written, secret) = match removed {
            Remove::Nothing => (Written::Gone, json!("gone")),
            Remove::Delete { .. } => (Written::Deleted, json!("deleted")),
        };
        return Ok(Made {
            written,
            secret,
            missing,
            omitted: Omitted::default(),
        });
    }
    let Shaped {
        data,
        omitted,
        fates: seen,
    } = shaped(plan, answers, case).map_err(|unshaped| {
        *fates = unshaped.fates;
        *unshaped.failure
    })?;
    *fates = seen;
    if absence::is_retained(plan, &data) {
        return Ok(Made {
            written: Written::Retained,
            secret: json!("retained"),
            missing,
            omitted,
        });
    }
    let job = template::job(plan, &data, &sources(case))?;
    let rendered = job.map(|job| {
        let texts = case["rendered"].as_array().cloned().unwrap_or_default();
        assert_eq!(
            texts.len(),
            job.templates.len(),
            "a case needs one rendered text for each template"
        );
        texts.iter().map(rendered).collect()
    });
    let desired = template::compose(plan, data, rendered)?;
    let shown = |secret: &Secret| serde_json::to_value(secret).unwrap();
    let (written, secret) = match target::write(existing.as_ref(), &desired, &rule)? {
        Write::Create(secret) => (Written::Created, shown(&secret)),
        Write::Update(secret) => (Written::Updated, shown(&secret)),
        Write::Metadata(_, failure) => return Err(*failure),
        Write::Unchanged => (Written::Unchanged, json!("unchanged")),
        Write::Missing => (Written::Missing, json!("missing")),
        Write::Skip => (Written::Skipped, json!("skipped")),
    };
    Ok(Made {
        written,
        secret,
        missing,
        omitted,
    })
}

/// Shapes the answers; `transformed` holds the keys that the template engine makes, call by call.
fn shaped(
    plan: &SyncPlan,
    answers: Vec<Result<Part, Failure>>,
    case: &Value,
) -> Result<Shaped, Unshaped> {
    let mut calls = case["transformed"].as_array().into_iter().flatten();
    let mut step = shape::begin(plan, answers)?;
    loop {
        step = match step {
            Shaping::Done(shaped) => return Ok(shaped),
            Shaping::Render(pending) => {
                let texts = calls.next().expect("a case needs the texts of each call");
                let texts = texts.as_array().unwrap();
                assert_eq!(texts.len(), pending.jobs().len(), "one text a key");
                let texts = texts.iter().map(|text| vec![rendered(text)]).collect();
                pending.resume(texts)?
            }
        };
    }
}

/// The objects that hold templates: `ConfigMap/name` or `Secret/name`, with their keys.
fn sources(case: &Value) -> template::Sources {
    let all = case["templateSources"].as_object().into_iter().flatten();
    all.map(|(name, keys)| {
        let (kind, name) = name.split_once('/').unwrap();
        let object = match kind {
            "ConfigMap" => TemplateObject::ConfigMap(name.to_owned()),
            _ => TemplateObject::Secret(name.to_owned()),
        };
        let keys = keys.as_object().unwrap().iter();
        (object, keys.map(|(k, v)| (k.clone(), value(v))).collect())
    })
    .collect()
}

fn value(of: &Value) -> SecretValue {
    match of.get("base64") {
        Some(text) => SecretValue::new(STANDARD.decode(text.as_str().unwrap()).unwrap()),
        None => SecretValue::from(of.as_str().unwrap()),
    }
}

fn failure(of: &Value) -> Failure {
    // Also the host's own codes: a case may say what the brake said.
    let label = of["code"].as_str().unwrap();
    let own = Code::ALL.iter().find(|code| code.label() == label);
    let code = own.copied().unwrap_or_else(|| Code::from_contract(label));
    let wait = of["retryAfter"].as_u64().map(Duration::from_secs);
    Failure::new(Stage::Fetch, code, of["message"].as_str().unwrap()).with_retry_after(wait)
}

fn answer(of: &Value) -> Result<Part, Failure> {
    if let Some(failed) = of.get("failed") {
        return Err(failure(failed));
    }
    // The object could be read, and what was picked from it could not.
    if let Some(failed) = of.get("partFailed") {
        return Ok(Part::Failed(failure(failed)));
    }
    if let Some(members) = of.get("members") {
        return Ok(Part::Members(
            members
                .as_object()
                .unwrap()
                .iter()
                .map(|(k, v)| (k.clone(), value(v)))
                .collect(),
        ));
    }
    Ok(Part::Value(value(&of["value"])))
}

fn rendered(of: &Value) -> Result<SecretValue, Failure> {
    match of.get("failed") {
        Some(failed) => Err(failure(failed)),
        None => Ok(value(of)),
    }
}

fn observed(case: &Value) -> Observed {
    let object: ExternalSecret = serde_json::from_value(case["externalSecret"].clone()).unwrap();
    let stores = stores_of(&object)
        .into_iter()
        .map(|id| {
            let state = match &case["stores"][&id.name] {
                Value::Null => StoreState::Missing,
                Value::String(why) => StoreState::NotReady(why.clone()),
                spec => {
                    let spec = serde_json::from_value(spec.clone()).unwrap();
                    StoreState::Ready(Arc::new(
                        store::parse(id.clone(), "store-uid".into(), 1, &spec).unwrap(),
                    ))
                }
            };
            (id, state)
        })
        .collect::<BTreeMap<_, _>>();
    let target = case.get("target").map(|t| TargetMeta {
        uid: "secret-uid".into(),
        resource_version: "7".into(),
        managed: true,
        data_hash_annotation: t["claims"].as_str().map(str::to_owned),
        actual_hash: t["has"].as_str().map(str::to_owned),
    });
    Observed {
        object,
        stores,
        namespace_labels: BTreeMap::new(),
        access: BTreeMap::new(),
        target,
        now: case["now"]
            .as_str()
            .unwrap_or("2026-03-01T12:00:00.5Z")
            .parse()
            .unwrap(),
        settings: PlanSettings {
            controller_class: "default".into(),
            ..PlanSettings::default()
        },
    }
}
