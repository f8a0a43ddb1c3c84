//! A ClusterExternalSecret: in which namespaces its ExternalSecret shall be, what has to be done for that, and what is said
//! of it afterwards.
//!
//! Nothing is read or written here. What carries the name and is not ours is never touched; what is ours and shall not be
//! is deleted, wherever it is and whatever its name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube_core::ResourceExt as _;
use postern_api::cluster_external_secret::FailedNamespace;
use postern_api::{
    ClusterExternalSecret, ClusterExternalSecretStatus, Condition, ExternalSecret, names,
};

use crate::failure::{Code, Failure, Stage};
use crate::go;
use crate::selector::Selector;

/// How often all namespaces are looked at where the manifest does not say.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(3600);
/// Why a namespace failed where the name is taken; the peer's text.
const TAKEN: &str = "external secret already exists in namespace";
/// What is said where any namespace failed; the peer's text.
const SOME_FAILED: &str = "one or more namespaces failed";

/// What is known of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// It is being deleted.
    pub going: bool,
}

/// All that is decided on.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The ClusterExternalSecret.
    pub object: &'a ClusterExternalSecret,
    /// Every namespace.
    pub namespaces: &'a BTreeMap<String, Namespace>,
    /// ExternalSecrets that have the name, by namespace.
    pub named: BTreeMap<String, Arc<ExternalSecret>>,
    /// ExternalSecrets that we made for it, whatever their name.
    pub ours: Vec<Arc<ExternalSecret>>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make this one.
    Create(Box<ExternalSecret>),
    /// Put this in the place of the version that was seen.
    Replace(Box<ExternalSecret>),
    /// Delete what was seen.
    Delete(Arc<ExternalSecret>),
}

impl Step {
    /// The namespace that it is done in.
    #[must_use]
    pub fn namespace(&self) -> String {
        match self {
            Self::Create(object) | Self::Replace(object) => object.namespace(),
            Self::Delete(object) => object.namespace(),
        }
        .unwrap_or_default()
    }
}

/// What to do, and where there is nothing to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to do.
    pub steps: Vec<Step>,
    /// Namespaces that shall have the ExternalSecret.
    pub selected: BTreeSet<String>,
    /// Namespaces in which the name is somebody else's.
    pub taken: BTreeSet<String>,
    /// When to look again though nothing changed.
    pub interval: Duration,
}

/// Decides what to do. Errors: a selector or the interval cannot be read.
pub fn plan(observed: &Observed<'_>) -> Result<Plan, Failure> {
    let object = observed.object;
    let selected = selected(object, observed.namespaces)?;
    let mut plan = Plan {
        interval: interval(object)?,
        ..Plan::default()
    };
    for namespace in &selected {
        let wanted = child(object, namespace);
        match observed.named.get(namespace) {
            None => plan.steps.push(Step::Create(Box::new(wanted))),
            Some(there) if !is_controlled_by(there, object) => {
                plan.taken.insert(namespace.clone());
            }
            Some(there) if there.metadata.deletion_timestamp.is_some() || same(there, &wanted) => {}
            Some(there) => plan
                .steps
                .push(Step::Replace(Box::new(replaced(there, wanted)))),
        }
    }
    let name = child_name(object);
    let stays = |there: &ExternalSecret| {
        there.name_any() == name && selected.contains(&there.namespace().unwrap_or_default())
    };
    let gone = observed.ours.iter().filter(|there| !stays(there));
    plan.steps.extend(deletions(gone));
    plan.selected = selected;
    Ok(plan)
}

/// The deletions of what is not going already.
pub fn deletions<'a>(
    ours: impl Iterator<Item = &'a Arc<ExternalSecret>>,
) -> impl Iterator<Item = Step> {
    ours.filter(|there| there.metadata.deletion_timestamp.is_none())
        .map(|there| Step::Delete(Arc::clone(there)))
}

/// The name of the ExternalSecrets.
#[must_use]
pub fn child_name(object: &ClusterExternalSecret) -> String {
    let own = object.spec.external_secret_name.clone();
    own.filter(|name| !name.is_empty())
        .unwrap_or_else(|| object.name_any())
}

/// Whether an ExternalSecret was made for this ClusterExternalSecret.
#[must_use]
pub fn is_controlled_by(child: &ExternalSecret, object: &ClusterExternalSecret) -> bool {
    let uid = object.metadata.uid.as_deref();
    uid.is_some() && controller(&child.metadata).map(|owner| owner.uid.as_str()) == uid
}

/// The ClusterExternalSecret that made an ExternalSecret.
#[must_use]
pub fn controller(child: &ObjectMeta) -> Option<&OwnerReference> {
    child.owner_references.iter().flatten().find(|owner| {
        owner.controller == Some(true)
            && owner.kind == "ClusterExternalSecret"
            && owner.api_version.split('/').next() == Some(names::GROUP)
    })
}

fn selected(
    object: &ClusterExternalSecret,
    namespaces: &BTreeMap<String, Namespace>,
) -> Result<BTreeSet<String>, Failure> {
    let spec = &object.spec;
    let read = |at: String, selector| {
        Selector::parse(selector).map_err(|why| invalid(format!("{at}.{why}")))
    };
    let one = spec
        .namespace_selector
        .iter()
        .map(|s| read("spec.namespaceSelector".to_owned(), s));
    let many = spec.namespace_selectors.iter().flatten().enumerate();
    let many = many.map(|(at, s)| read(format!("spec.namespaceSelectors[{at}]"), s));
    let selectors: Vec<Selector> = one.chain(many).collect::<Result<_, _>>()?;
    let named = |name: &String| spec.namespaces.iter().flatten().any(|n| n == name);
    let chosen = namespaces.iter().filter(|(name, namespace)| {
        !namespace.going && (named(name) || selectors.iter().any(|s| s.matches(&namespace.labels)))
    });
    Ok(chosen.map(|(name, _)| name.clone()).collect())
}

fn interval(object: &ClusterExternalSecret) -> Result<Duration, Failure> {
    let Some(text) = object
        .spec
        .refresh_time
        .as_deref()
        .filter(|t| !t.is_empty())
    else {
        return Ok(DEFAULT_INTERVAL);
    };
    let read = go::parse_duration(text).map_err(|e| invalid(format!("spec.refreshTime: {e}")))?;
    Ok(if read.is_zero() {
        DEFAULT_INTERVAL
    } else {
        read
    })
}

fn invalid(text: String) -> Failure {
    Failure::new(Stage::Plan, Code::InvalidSpec, text)
}

fn child(object: &ClusterExternalSecret, namespace: &str) -> ExternalSecret {
    let metadata = object
        .spec
        .external_secret_metadata
        .clone()
        .unwrap_or_default();
    let mut annotations = metadata.annotations.unwrap_or_default();
    match object.annotations().get(names::ANNOTATION_FORCE_SYNC) {
        Some(stamp) => annotations.insert(names::ANNOTATION_FORCE_SYNC.to_owned(), stamp.clone()),
        None => annotations.remove(names::ANNOTATION_FORCE_SYNC),
    };
    ExternalSecret {
        metadata: ObjectMeta {
            name: Some(child_name(object)),
            namespace: Some(namespace.to_owned()),
            labels: metadata.labels.filter(|l| !l.is_empty()),
            annotations: Some(annotations).filter(|a| !a.is_empty()),
            owner_references: Some(vec![OwnerReference {
                api_version: format!("{}/v1", names::GROUP),
                kind: "ClusterExternalSecret".to_owned(),
                name: object.name_any(),
                uid: object.uid().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        },
        spec: object.spec.external_secret_spec.clone(),
        status: None,
    }
}

/// Whether what is there is what is wanted: labels and annotations as they are given and no others, and the spec.
fn same(there: &ExternalSecret, wanted: &ExternalSecret) -> bool {
    there.spec == wanted.spec
        && there.labels() == wanted.labels()
        && there.annotations() == wanted.annotations()
}

fn replaced(there: &ExternalSecret, wanted: ExternalSecret) -> ExternalSecret {
    ExternalSecret {
        metadata: ObjectMeta {
            labels: wanted.metadata.labels,
            annotations: wanted.metadata.annotations,
            ..there.metadata.clone()
        },
        spec: wanted.spec,
        status: there.status.clone(),
    }
}

/// What is said of it, with the reason for each namespace in which a step failed.
#[must_use]
pub fn status(
    object: &ClusterExternalSecret,
    plan: &Plan,
    failed: &BTreeMap<String, String>,
) -> ClusterExternalSecretStatus {
    let mut reasons = failed.clone();
    let taken = plan
        .taken
        .iter()
        .map(|namespace| (namespace.clone(), TAKEN.to_owned()));
    reasons.extend(taken);
    let provisioned = plan
        .selected
        .iter()
        .filter(|n| !reasons.contains_key(*n))
        .cloned();
    let provisioned: Vec<String> = provisioned.collect();
    ClusterExternalSecretStatus {
        conditions: Some(conditions(
            object,
            (!reasons.is_empty()).then_some(SOME_FAILED),
        )),
        external_secret_name: Some(child_name(object)),
        failed_namespaces: some_if_any(
            reasons
                .into_iter()
                .map(|(namespace, reason)| FailedNamespace {
                    namespace,
                    reason: Some(reason),
                })
                .collect(),
        ),
        provisioned_namespaces: some_if_any(provisioned),
    }
}

/// What is said where nothing could be decided: all else stays as it was.
#[must_use]
pub fn refused(object: &ClusterExternalSecret, failure: &Failure) -> ClusterExternalSecretStatus {
    ClusterExternalSecretStatus {
        conditions: Some(conditions(object, Some(&failure.to_string()))),
        ..object.status.clone().unwrap_or_default()
    }
}

fn some_if_any<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// Only type, status, message and generation: the peer's kind has no reason and no time here.
fn conditions(object: &ClusterExternalSecret, problem: Option<&str>) -> Vec<Condition> {
    let old = object.status.as_ref().and_then(|s| s.conditions.clone());
    let others = old.into_iter().flatten().filter(|c| c.type_ != "Ready");
    let ready = Condition {
        type_: "Ready".to_owned(),
        status: if problem.is_none() { "True" } else { "False" }.to_owned(),
        reason: None,
        message: problem.map(str::to_owned),
        last_transition_time: None,
        observed_generation: object.metadata.generation,
    };
    others.chain([ready]).collect()
}

#[cfg(test)]
mod tests;
