//! The templates of a target, one by one, in the order in which they are rendered.

use postern_api::external_secret::{DecodingStrategy, TargetTemplate, TemplateFrom, TemplateScope};

use crate::plan::{Goes, TemplateObject, goes_to};

/// One template.
pub(super) struct Piece<'a> {
    /// Where it stands in the manifest.
    pub(super) place: String,
    /// Its name at the engine, and the key that it makes where it makes one.
    pub(super) name: String,
    pub(super) text: Text<'a>,
    pub(super) makes: Makes,
    pub(super) goes: Goes,
    pub(super) decoding: DecodingStrategy,
}

/// Where the template's text is.
pub(super) enum Text<'a> {
    /// In the manifest.
    Here(&'a str),
    /// Under a key of an object.
    In(TemplateObject, &'a str),
}

/// What a rendered text makes.
#[derive(Clone, Copy)]
pub(super) enum Makes {
    /// One value.
    Value,
    /// Keys and values, as YAML.
    Map,
}

/// All templates of a target. A `templateFrom` that goes nowhere is refused by the plan.
pub(super) fn pieces(template: &TargetTemplate) -> Vec<Piece<'_>> {
    let metadata = template.metadata.as_ref();
    let parts = [
        ("data", Goes::Data, template.data.as_ref()),
        (
            "metadata.labels",
            Goes::Labels,
            metadata.and_then(|m| m.labels.as_ref()),
        ),
        (
            "metadata.annotations",
            Goes::Annotations,
            metadata.and_then(|m| m.annotations.as_ref()),
        ),
    ];
    let from = template.template_from.iter().flatten().enumerate();
    let mut all: Vec<Piece<'_>> = from.flat_map(|(at, from)| elsewhere(at, from)).collect();
    for (field, goes, texts) in parts {
        for (name, text) in texts.into_iter().flatten() {
            all.push(Piece {
                place: format!("spec.target.template.{field}[{name}]"),
                name: name.clone(),
                text: Text::Here(text),
                makes: Makes::Value,
                goes,
                decoding: DecodingStrategy::None,
            });
        }
    }
    all
}

fn elsewhere(at: usize, from: &TemplateFrom) -> Vec<Piece<'_>> {
    let Ok(goes) = goes_to(from) else {
        return Vec::new();
    };
    let short = format!("templateFrom[{at}]");
    let decoding = from.values_decoding_strategy.unwrap_or_default();
    let mut all = Vec::new();
    let objects = [
        (
            "configMap",
            from.config_map.as_ref(),
            TemplateObject::ConfigMap as fn(String) -> TemplateObject,
        ),
        ("secret", from.secret.as_ref(), TemplateObject::Secret),
    ];
    for (field, source, object) in objects {
        let Some(source) = source else { continue };
        for item in &source.items {
            all.push(Piece {
                place: format!("spec.target.template.{short}.{field}.items[{}]", item.key),
                name: item.key.clone(),
                text: Text::In(object(source.name.clone()), &item.key),
                makes: match item.template_as.unwrap_or_default() {
                    TemplateScope::Values => Makes::Value,
                    TemplateScope::KeysAndValues => Makes::Map,
                },
                goes,
                decoding,
            });
        }
    }
    if let Some(literal) = &from.literal {
        all.push(Piece {
            place: format!("spec.target.template.{short}.literal"),
            name: format!("{short}.literal"),
            text: Text::Here(literal),
            makes: Makes::Map,
            goes,
            decoding,
        });
    }
    all
}
