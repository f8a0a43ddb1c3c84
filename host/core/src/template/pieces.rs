//! The templates of a target, one by one, in the order in which they are rendered.

use postern_api::external_secret::{DecodingStrategy, TargetTemplate, TemplateFrom, TemplateScope};

use crate::generic;
use crate::plan::{Goes, TemplateObject, goes_to};

/// One template, and where its texts go.
pub(super) struct Piece<'a, To = Goes> {
    /// Where it stands in the manifest.
    pub(super) place: String,
    /// Its name at the engine, and the key that it makes where it makes one.
    pub(super) name: String,
    pub(super) text: Text<'a>,
    pub(super) makes: Makes,
    pub(super) goes: To,
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
    /// Any YAML.
    Yaml,
    /// Any YAML; what is none is a text.
    YamlOrText,
}

impl Makes {
    /// How the engine reads what it has rendered.
    pub(super) const fn parse(self) -> Option<&'static str> {
        match self {
            Self::Value => None,
            Self::Map => Some("yaml-strings"),
            Self::Yaml => Some("yaml"),
            Self::YamlOrText => Some("yaml-or-text"),
        }
    }
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
    let mut all = items(at, from, &goes, |scope| match scope {
        TemplateScope::Values => Makes::Value,
        TemplateScope::KeysAndValues => Makes::Map,
    });
    all.extend(literal(at, from, goes, Makes::Map));
    all
}

/// The templates of a target that is no Secret. Here a literal comes first, and metadata is no template.
pub(super) fn generic_pieces(template: &TargetTemplate) -> Vec<Piece<'_, generic::Goes>> {
    let from = template.template_from.iter().flatten().enumerate();
    let mut all = Vec::new();
    for (at, from) in from {
        let Ok(goes) = generic::Goes::of(from) else {
            continue;
        };
        let at_a_place = matches!(goes, generic::Goes::At(_));
        // Of a field by its name only a literal is read as any YAML.
        let whole = at_a_place || goes == generic::Goes::Fields("spec");
        let makes = if whole { Makes::Yaml } else { Makes::Map };
        all.extend(literal(at, from, goes.clone(), makes));
        // What is decoded after it was rendered is a text and no YAML.
        let decoded = from.values_decoding_strategy.unwrap_or_default() != DecodingStrategy::None;
        all.extend(items(at, from, &goes, |scope| match (scope, at_a_place) {
            (TemplateScope::Values, true) if decoded => Makes::Value,
            (TemplateScope::Values, false) => Makes::Value,
            (TemplateScope::Values, true) => Makes::YamlOrText,
            (TemplateScope::KeysAndValues, false) => Makes::Map,
            (TemplateScope::KeysAndValues, true) => Makes::Yaml,
        }));
    }
    for (name, text) in template.data.iter().flatten() {
        all.push(Piece {
            place: format!("spec.target.template.data[{name}]"),
            name: name.clone(),
            text: Text::Here(text),
            makes: Makes::Value,
            goes: generic::Goes::Fields("data"),
            decoding: DecodingStrategy::None,
        });
    }
    all
}

fn literal<To>(at: usize, from: &TemplateFrom, goes: To, makes: Makes) -> Option<Piece<'_, To>> {
    Some(Piece {
        place: format!("spec.target.template.templateFrom[{at}].literal"),
        name: format!("templateFrom[{at}].literal"),
        text: Text::Here(from.literal.as_deref()?),
        makes,
        goes,
        decoding: from.values_decoding_strategy.unwrap_or_default(),
    })
}

/// The templates in a ConfigMap and a Secret.
fn items<'a, To: Clone>(
    at: usize,
    from: &'a TemplateFrom,
    goes: &To,
    makes: impl Fn(TemplateScope) -> Makes,
) -> Vec<Piece<'a, To>> {
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
                makes: makes(item.template_as.unwrap_or_default()),
                goes: goes.clone(),
                decoding,
            });
        }
    }
    all
}
