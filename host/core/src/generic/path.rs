//! Places in an object: `spec.rules[0].value`. Names keep their case; what lies on the way and is lacking is made.

use serde_json::{Map, Value};

/// The highest index of a list: what a template names must not fill the memory.
const MOST: usize = 10_000;
/// Fields that every object has, and that say which object it is and whose.
const NOT_THERE: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// A place; never empty, and begins with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

impl Path {
    /// Reads a path. The error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            |what: &str| format!("\"{text}\" is no path such as spec.rules[0].value: {what}");
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (name, mut rest) = match part.find('[') {
                Some(at) => part.split_at(at),
                None => (part, ""),
            };
            if !name.is_empty() {
                steps.push(Step::Name(name.to_owned()));
            } else if rest.is_empty() {
                return Err(wrong("a name is empty"));
            }
            while !rest.is_empty() {
                let inside = rest.strip_prefix('[').and_then(|r| r.split_once(']'));
                let (index, after) = inside.ok_or_else(|| wrong("an index stands in [ and ]"))?;
                let digits = index.bytes().all(|b| b.is_ascii_digit());
                let index = index.parse().ok().filter(|i| digits && *i <= MOST);
                let index = index.ok_or_else(|| wrong("an index is a number up to 10000"))?;
                steps.push(Step::Index(index));
                rest = after;
            }
        }
        match steps.first() {
            Some(Step::Name(name)) if NOT_THERE.contains(&name.as_str()) => Err(format!(
                "\"{text}\" leads into {name}, which is not made by templates; labels and annotations have targets of their own"
            )),
            Some(Step::Name(_)) => Ok(Self(steps)),
            Some(Step::Index(_)) | None => Err(wrong("it begins with a name")),
        }
    }

    /// A field of the object.
    pub(crate) fn field(name: &str) -> Self {
        Self(vec![Step::Name(name.to_owned())])
    }

    /// A field of what is here; the name may have dots.
    pub(crate) fn then(mut self, name: &str) -> Self {
        self.0.push(Step::Name(name.to_owned()));
        self
    }

    /// Whether it is a field of the object itself.
    pub(crate) fn is_field(&self) -> bool {
        self.0.len() == 1
    }

    /// Changes what is at this place. The error says where something else is in the way.
    pub(crate) fn change(
        &self,
        root: &mut Value,
        change: impl FnOnce(&mut Value),
    ) -> Result<(), String> {
        let mut node = root;
        for (depth, step) in self.0.iter().enumerate() {
            let in_the_way = || format!("{} is in the way of {self}", Shown(&self.0[..depth]));
            match step {
                Step::Name(name) => {
                    if node.is_null() {
                        *node = Value::Object(Map::new());
                    }
                    let fields = node.as_object_mut().ok_or_else(in_the_way)?;
                    node = fields.entry(name.clone()).or_insert(Value::Null);
                }
                Step::Index(index) => {
                    if node.is_null() {
                        *node = Value::Array(Vec::new());
                    }
                    let items = node.as_array_mut().ok_or_else(in_the_way)?;
                    if items.len() <= *index {
                        items.resize(index + 1, Value::Null);
                    }
                    node = &mut items[*index];
                }
            }
        }
        change(node);
        Ok(())
    }
}

struct Shown<'a>(&'a [Step]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if at == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Shown(&self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_makes_what_is_lacking_on_its_way() {
        let table = [
            (json!({}), "spec", json!({"spec": 1})),
            (
                json!({}),
                "spec.a[1].b",
                json!({"spec": {"a": [null, {"b": 1}]}}),
            ),
            (
                json!({"spec": {"a": [{"b": 2, "c": 3}]}}),
                "spec.a[0].b",
                json!({"spec": {"a": [{"b": 1, "c": 3}]}}),
            ),
            (
                json!({}),
                "spec.camelCase[0][1]",
                json!({"spec": {"camelCase": [[null, 1]]}}),
            ),
        ];
        for (mut object, path, expected) in table {
            let parsed = Path::parse(path).unwrap();
            assert_eq!(parsed.to_string(), path);
            parsed.change(&mut object, |v| *v = json!(1)).unwrap();
            assert_eq!(object, expected, "{path}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_named_without_its_value() {
        let mut object = json!({"spec": {"a": "hunter2"}});
        let failed = Path::parse("spec.a.b").unwrap().change(&mut object, |_| ());
        assert_eq!(failed.unwrap_err(), "spec.a is in the way of spec.a.b");
        let failed = Path::parse("spec[0]").unwrap().change(&mut object, |_| ());
        assert_eq!(failed.unwrap_err(), "spec is in the way of spec[0]");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in [
            "",
            ".a",
            "a..b",
            "a.",
            "[0]",
            "a[",
            "a[]",
            "a[x]",
            "a[-1]",
            "a[+1]",
            "a[10001]",
            "a[0]b",
            "metadata.ownerReferences",
            "kind",
            "apiVersion",
            "status.a",
            "metadata[0]",
        ] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }
}
