//! What marks an action in a template: two flags of the process, and an annotation of one ExternalSecret.

use postern_api::ExternalSecret;
use postern_api::names::ANNOTATION_TEMPLATE_DELIMITERS;

use crate::failure::{Code, Failure, Stage};
use crate::plugin::Options;

/// The marks before and after an action; an empty one stands for the engine's own, `{{` and `}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delimiters {
    /// Before an action.
    pub left: String,
    /// After it.
    pub right: String,
}

impl Delimiters {
    /// Those of the object, else those of the process.
    ///
    /// Errors: an annotation that is not two texts. It must not fall back to others: the templates would not be seen as
    /// such, and be written as they stand.
    pub(crate) fn of(object: &ExternalSecret, process: &Self) -> Result<Self, Failure> {
        let annotations = object.metadata.annotations.as_ref();
        let Some(text) = annotations.and_then(|a| a.get(ANNOTATION_TEMPLATE_DELIMITERS)) else {
            return Ok(process.clone());
        };
        let mut words = text.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(left), Some(right), None) => Ok(Self {
                left: left.to_owned(),
                right: right.to_owned(),
            }),
            _ => Err(Failure::new(
                Stage::Plan,
                Code::InvalidSpec,
                format!(
                    "the annotation {ANNOTATION_TEMPLATE_DELIMITERS} must be two texts with a space between them, such as \"[[ ]]\""
                ),
            )),
        }
    }

    /// As options of a template.
    pub(crate) fn options(&self) -> Options {
        let both = [("left", &self.left), ("right", &self.right)];
        let given = both.into_iter().filter(|(_, mark)| !mark.is_empty());
        given
            .map(|(name, mark)| (name.to_owned(), mark.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use postern_api::external_secret::ExternalSecretSpec;

    use super::*;

    fn object(annotation: Option<&str>) -> ExternalSecret {
        let mut object = ExternalSecret::new("app", ExternalSecretSpec::default());
        object.metadata.annotations = annotation
            .map(|text| [(ANNOTATION_TEMPLATE_DELIMITERS.to_owned(), text.to_owned())].into());
        object
    }

    #[test]
    fn the_object_wins_over_the_process() {
        let process = Delimiters {
            left: "<%".into(),
            right: "%>".into(),
        };
        let own = Delimiters::of(&object(Some(" [[  ]] ")), &process).unwrap();
        assert_eq!((own.left.as_str(), own.right.as_str()), ("[[", "]]"));
        assert_eq!(Delimiters::of(&object(None), &process).unwrap(), process);
    }

    #[test]
    fn an_annotation_of_another_form_is_refused() {
        for text in ["", " ", "[[", "[[ ]] x"] {
            let failure = Delimiters::of(&object(Some(text)), &Delimiters::default()).unwrap_err();
            assert_eq!(failure.code, Code::InvalidSpec, "{text:?}");
        }
    }

    #[test]
    fn only_what_is_given_becomes_an_option() {
        assert_eq!(Delimiters::default().options(), Vec::new());
        let left = Delimiters {
            left: "[[".into(),
            right: String::new(),
        };
        assert_eq!(left.options(), [("left".to_owned(), "[[".to_owned())]);
    }
}
