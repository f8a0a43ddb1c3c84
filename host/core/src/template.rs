//! Around step 5 of a sync: which templates are to be rendered, and what the target is made of.
//!
//! All templates of one target go to the engine as one job; the results come back in the same order.

use std::collections::BTreeMap;

use postern_api::external_secret::{MergePolicy, TargetTemplate};

use crate::failure::{Code, Failure, Stage};
use crate::plan::SyncPlan;
use crate::plugin::{Datum, RenderJob, Rendered, Template};
use crate::secret::SecretValue;
use crate::shape::Data;

/// What the target shall be, before it is held against the object that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// All data that the target then has.
    pub data: Data,
    /// Type of the Secret; none leaves it as it is, `Opaque` for a new one.
    pub type_: Option<String>,
    /// Labels, without those that every target gets.
    pub labels: BTreeMap<String, String>,
    /// Annotations, likewise.
    pub annotations: BTreeMap<String, String>,
    /// Finalizers that the template asks for.
    pub finalizers: Vec<String>,
}

/// Where a rendered text goes, in the order in which templates are sent.
enum Place {
    Data,
    Label,
    Annotation,
}

impl Place {
    const fn field(&self) -> &'static str {
        match self {
            Self::Data => "spec.target.template.data",
            Self::Label => "spec.target.template.metadata.labels",
            Self::Annotation => "spec.target.template.metadata.annotations",
        }
    }
}

fn templates(template: &TargetTemplate) -> Vec<(Place, &String, &String)> {
    let data = template
        .data
        .iter()
        .flatten()
        .map(|(k, v)| (Place::Data, k, v));
    let metadata = template.metadata.as_ref();
    let labels = metadata
        .and_then(|m| m.labels.as_ref())
        .into_iter()
        .flatten()
        .map(|(k, v)| (Place::Label, k, v));
    let annotations = metadata
        .and_then(|m| m.annotations.as_ref())
        .into_iter()
        .flatten()
        .map(|(k, v)| (Place::Annotation, k, v));
    data.chain(labels).chain(annotations).collect()
}

/// The templates of the target over all values; none where there is nothing to render.
#[must_use]
pub fn job(plan: &SyncPlan, data: &Data) -> Option<RenderJob> {
    let templates: Vec<Template> = templates(plan.template.as_ref()?)
        .into_iter()
        .map(|(_, name, source)| Template {
            name: name.clone(),
            source: source.clone(),
            options: plan.delimiters.options(),
        })
        .collect();
    if templates.is_empty() {
        return None;
    }
    let data = data
        .iter()
        .map(|(k, v)| Datum {
            path: vec![k.clone()],
            value: v.clone(),
        })
        .collect();
    Some(RenderJob { templates, data })
}

/// Puts values and rendered texts together.
pub fn compose(
    plan: &SyncPlan,
    data: Data,
    rendered: Option<Rendered>,
) -> Result<Desired, Failure> {
    let Some(template) = &plan.template else {
        return Ok(Desired {
            data,
            type_: None,
            labels: plan.labels.clone(),
            annotations: plan.annotations.clone(),
            finalizers: Vec::new(),
        });
    };
    let keeps_data =
        template.merge_policy.unwrap_or_default() == MergePolicy::Merge || template.data.is_none();
    let metadata = template.metadata.clone().unwrap_or_default();
    let mut desired = Desired {
        data: if keeps_data { data } else { Data::new() },
        type_: template.type_.clone().filter(|t| !t.is_empty()),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        finalizers: metadata.finalizers.unwrap_or_default(),
    };
    let places = templates(template);
    let rendered = rendered.unwrap_or_default();
    if rendered.len() != places.len() {
        return Err(Failure::new(
            Stage::Render,
            Code::ContractBroken,
            "the template engine answered another number of texts than it was asked for",
        ));
    }
    for ((place, name, _), text) in places.into_iter().zip(rendered) {
        let text = text.map_err(|f| render_failure(&place, name, f))?;
        match place {
            Place::Data => drop(desired.data.insert(name.clone(), text)),
            Place::Label => drop(
                desired
                    .labels
                    .insert(name.clone(), utf8(&place, name, &text)?),
            ),
            Place::Annotation => drop(
                desired
                    .annotations
                    .insert(name.clone(), utf8(&place, name, &text)?),
            ),
        }
    }
    Ok(desired)
}

/// Limits and traps keep their code; what the engine says of a template becomes the manifest's.
fn render_failure(place: &Place, name: &str, mut failure: Failure) -> Failure {
    if failure.code == Code::InvalidRequest {
        let parse = failure.public.starts_with("unable to parse");
        failure.code = if parse {
            Code::TemplateInvalid
        } else {
            Code::TemplateFailed
        };
    }
    failure.stage = Stage::Render;
    failure.context(format!(
        "could not apply template {}[{name}]",
        place.field()
    ))
}

fn utf8(place: &Place, name: &str, text: &SecretValue) -> Result<String, Failure> {
    String::from_utf8(text.expose().to_vec()).map_err(|_| {
        Failure::new(
            Stage::Render,
            Code::TemplateFailed,
            format!(
                "{}[{name}] renders to bytes that are not UTF-8",
                place.field()
            ),
        )
    })
}
