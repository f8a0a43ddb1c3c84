//! Around step 5 of a sync: which templates are to be rendered, and what the target is made of.
//!
//! All templates of one target go to the engine as one job; the results come back in the same order. Order is the peer's:
//! templates from elsewhere, then `data`, labels, annotations; later ones win. YAML that a template makes is read by the
//! engine, whose rules are those of its language, and arrives here as JSON.

mod pieces;

use std::collections::BTreeMap;

use postern_api::external_secret::{MergePolicy, TargetTemplate};

use self::pieces::{Makes, Piece, Text, generic_pieces, pieces};
use crate::failure::{Code, Failure, Stage};
use crate::generic::{self, How, Kind, Path};
use crate::plan::{Goes, SyncPlan, TemplateObject};
use crate::plugin::{Datum, RenderJob, Rendered, Template};
use crate::secret::SecretValue;
use crate::shape::{self, Data};

/// What the target shall be, before it is held against the object that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The data that the sync came to.
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

/// The objects that hold templates, with their keys.
pub type Sources = BTreeMap<TemplateObject, Data>;

/// The templates of the target over all values; none where there is nothing to render.
pub fn job(plan: &SyncPlan, data: &Data, sources: &Sources) -> Result<Option<RenderJob>, Failure> {
    let Some(template) = &plan.template else {
        return Ok(None);
    };
    let templates = match &plan.manifest {
        None => all(plan, &pieces(template), sources),
        Some(_) => all(plan, &generic_pieces(template), sources),
    }?;
    if templates.is_empty() {
        return Ok(None);
    }
    let data = data
        .iter()
        .map(|(k, v)| Datum {
            path: vec![k.clone()],
            value: v.clone(),
        })
        .collect();
    Ok(Some(RenderJob { templates, data }))
}

fn all<To>(
    plan: &SyncPlan,
    pieces: &[Piece<'_, To>],
    sources: &Sources,
) -> Result<Vec<Template>, Failure> {
    let each = pieces.iter().map(|piece| to_render(plan, piece, sources));
    each.collect()
}

fn to_render<To>(
    plan: &SyncPlan,
    piece: &Piece<'_, To>,
    sources: &Sources,
) -> Result<Template, Failure> {
    let mut options = plan.delimiters.options();
    if let Some(parse) = piece.makes.parse() {
        options.push(("parse".to_owned(), parse.to_owned()));
    }
    Ok(Template {
        name: piece.name.clone(),
        source: text(piece, sources)?,
        options,
    })
}

fn text<To>(piece: &Piece<'_, To>, sources: &Sources) -> Result<String, Failure> {
    let (object, key) = match &piece.text {
        Text::Here(text) => return Ok((*text).to_owned()),
        Text::In(object, key) => (object, *key),
    };
    let failure = |code, what: &str| {
        let text = format!(
            "error fetching templateFrom data: {object} {what} ({})",
            piece.place
        );
        Failure::new(Stage::Render, code, text)
    };
    let keys = sources.get(object).ok_or_else(|| {
        failure(
            Code::TemplateSourceMissing,
            "does not exist; make it, or correct the name",
        )
    })?;
    let value = keys.get(key).ok_or_else(|| {
        failure(
            Code::TemplateSourceMissing,
            &format!("has no key \"{key}\"; add it, or correct the key"),
        )
    })?;
    let text = std::str::from_utf8(value.expose());
    let text = text.map_err(|_| failure(Code::TemplateInvalid, "holds bytes that are no text"))?;
    Ok(text.to_owned())
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
    let metadata = template.metadata.clone().unwrap_or_default();
    let mut desired = Desired {
        data: if keeps_data(template) {
            data
        } else {
            Data::new()
        },
        type_: template.type_.clone().filter(|t| !t.is_empty()),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        finalizers: metadata.finalizers.unwrap_or_default(),
    };
    let pieces = pieces(template);
    for (piece, text) in pieces.iter().zip(checked(pieces.len(), rendered)?) {
        let text = text.map_err(|f| render_failure(piece, f))?;
        for (key, value) in made(piece, text)? {
            put(&mut desired, piece, key, value)?;
        }
    }
    Ok(desired)
}

/// Puts values and rendered texts together for a target that is no Secret.
pub fn compose_generic(
    plan: &SyncPlan,
    kind: &Kind,
    data: Data,
    rendered: Option<Rendered>,
) -> Result<generic::Desired, Failure> {
    let Some(template) = &plan.template else {
        let (labels, annotations) = (plan.labels.clone(), plan.annotations.clone());
        let mut desired = generic::Desired::new(kind, labels, annotations);
        desired.put_all(data)?;
        return Ok(desired);
    };
    let metadata = template.metadata.clone().unwrap_or_default();
    let mut desired = generic::Desired::new(
        kind,
        metadata.labels.unwrap_or_default(),
        metadata.annotations.unwrap_or_default(),
    );
    let pieces = generic_pieces(template);
    for (piece, text) in pieces.iter().zip(checked(pieces.len(), rendered)?) {
        let text = text.map_err(|f| render_failure(piece, f))?;
        match (piece.makes, &piece.goes) {
            (Makes::Value | Makes::Map, _) => {
                for (key, value) in made(piece, text)? {
                    desired.put(&piece.goes, key, &value)?;
                }
            }
            (Makes::Yaml | Makes::YamlOrText, goes) => {
                let value = serde_json::from_slice(text.expose());
                let value = value.map_err(|_| no_json(piece, "JSON"))?;
                let (at, how) = match goes {
                    generic::Goes::At(path) if matches!(piece.makes, Makes::Yaml) => {
                        (path.clone(), How::Merge)
                    }
                    generic::Goes::At(path) => (path.clone(), How::Set),
                    generic::Goes::Fields(root) => (Path::field(root), How::Set),
                    generic::Goes::Labels | generic::Goes::Annotations => {
                        return Err(no_json(piece, "texts"));
                    }
                };
                desired.edit(at, value, how);
            }
        }
    }
    Ok(desired)
}

fn no_json<To>(piece: &Piece<'_, To>, what: &str) -> Failure {
    Failure::new(
        Stage::Render,
        Code::ContractBroken,
        format!(
            "the template engine did not answer the YAML of {} as {what}",
            piece.place
        ),
    )
}

/// One text a template.
fn checked(pieces: usize, rendered: Option<Rendered>) -> Result<Rendered, Failure> {
    let rendered = rendered.unwrap_or_default();
    if rendered.len() == pieces {
        return Ok(rendered);
    }
    Err(Failure::new(
        Stage::Render,
        Code::ContractBroken,
        "the template engine answered another number of texts than it was asked for",
    ))
}

fn keeps_data(template: &TargetTemplate) -> bool {
    let none = template.data.as_ref().is_none_or(BTreeMap::is_empty)
        && template.template_from.as_ref().is_none_or(Vec::is_empty);
    none || template.merge_policy.unwrap_or_default() == MergePolicy::Merge
}

/// The keys and values that a rendered text makes.
fn made<To>(
    piece: &Piece<'_, To>,
    text: SecretValue,
) -> Result<Vec<(String, SecretValue)>, Failure> {
    let all = match piece.makes {
        Makes::Value | Makes::YamlOrText => vec![(piece.name.clone(), text)],
        Makes::Map | Makes::Yaml => {
            serde_json::from_slice::<BTreeMap<String, SecretText>>(text.expose())
                .map_err(|_| no_json(piece, "JSON of texts"))?
                .into_iter()
                .map(|(key, value)| (key, value.0))
                .collect()
        }
    };
    let decoded = |(key, value): (String, SecretValue)| {
        let value = shape::decode(piece.decoding, value).map_err(|why| {
            Failure::new(
                Stage::Render,
                Code::Undecodable,
                format!("{} key \"{key}\": {why}", piece.place),
            )
        })?;
        Ok((key, value))
    };
    all.into_iter().map(decoded).collect()
}

/// A text that becomes a value at once, so that no other copy of it is left behind.
#[derive(serde::Deserialize)]
#[serde(from = "String")]
struct SecretText(SecretValue);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(SecretValue::new(text.into_bytes()))
    }
}

fn put(
    desired: &mut Desired,
    piece: &Piece<'_>,
    key: String,
    value: SecretValue,
) -> Result<(), Failure> {
    match piece.goes {
        Goes::Data => drop(desired.data.insert(key, value)),
        Goes::Labels => drop(desired.labels.insert(key, utf8(piece, &value)?)),
        Goes::Annotations => drop(desired.annotations.insert(key, utf8(piece, &value)?)),
    }
    Ok(())
}

/// Limits and traps keep their code; what the engine says of a template becomes the manifest's.
fn render_failure<To>(piece: &Piece<'_, To>, mut failure: Failure) -> Failure {
    if failure.code == Code::InvalidRequest {
        let parse = failure.public.starts_with("unable to parse");
        failure.code = if parse {
            Code::TemplateInvalid
        } else {
            Code::TemplateFailed
        };
    }
    failure.stage = Stage::Render;
    failure.context(format!("could not apply template {}", piece.place))
}

fn utf8(piece: &Piece<'_>, text: &SecretValue) -> Result<String, Failure> {
    String::from_utf8(text.expose().to_vec()).map_err(|_| {
        Failure::new(
            Stage::Render,
            Code::TemplateFailed,
            format!("{} renders to bytes that are not UTF-8", piece.place),
        )
    })
}
