//! A template engine in Rust: MiniJinja, whose language is Jinja2's. `target.template.engine: minijinja` chooses it.
//!
//! Each template stands alone: none includes another. Nothing is escaped, and the newline at a template's end stays,
//! because what is made is a value and no web page. It does not read YAML of what it rendered (`parse=yaml`).

use std::collections::BTreeMap;
use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use postern_sdk::{
    Datum, Descriptor, Engine, Entropy, Failure, Job, Options, Template, TemplateProblem,
    export_engine, option,
};

/// The engine.
pub struct MiniJinja;

/// Steps of one template, at 64 bytes each where they make text: it ends well before the host's limits do.
const FUEL: u64 = 1_000_000;
/// Depth of calls, which a guest's stack has room for.
const RECURSION: usize = 100;

impl Engine for MiniJinja {
    fn describe() -> Descriptor {
        Descriptor {
            name: "minijinja".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serves: vec!["minijinja".to_owned()],
            config_schema: r#"{"type":"object","additionalProperties":false}"#.to_owned(),
            asks: Vec::new(),
            batch_size: 0,
            summary: "templates in the language of Jinja2".to_owned(),
            options: Vec::new(),
        }
    }

    fn render(
        _host: &dyn Entropy,
        jobs: &[Job],
        options: &Options,
    ) -> Vec<Vec<Result<Vec<u8>, Failure>>> {
        let of_call = environment(options);
        let of_job = |job: &Job| {
            let data = data(&job.data);
            let one = |template: &Template| {
                if template.options.is_empty() {
                    let environment = of_call.as_ref().map_err(Clone::clone)?;
                    return render(environment, template, &data);
                }
                render(&environment(&settings(template, options))?, template, &data)
            };
            job.templates.iter().map(one).collect()
        };
        jobs.iter().map(of_job).collect()
    }

    fn check(templates: &[Template], options: &Options) -> Vec<TemplateProblem> {
        let problem = |t: &Template| {
            let environment = match environment(&settings(t, options)) {
                Ok(environment) => environment,
                Err(failure) => return Some(whole(t, &failure)),
            };
            let parsed = environment.template_from_named_str(&t.name, &t.source);
            parsed.err().map(|error| Place::of(&error, t).problem(t))
        };
        templates.iter().filter_map(problem).collect()
    }
}

/// A template's own options and the call's; the first of a name is the one that counts.
fn settings(template: &Template, options: &Options) -> Options {
    template.options.iter().chain(options).cloned().collect()
}

/// What the options ask for, or why it cannot be had.
fn environment(options: &Options) -> Result<Environment<'static>, Failure> {
    let mut environment = Environment::new();
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(|out, state, value| {
        if value.kind() == ValueKind::Bytes {
            return Err(ErrorKind::BadSerialization.into());
        }
        minijinja::escape_formatter(out, state, value)
    });
    environment.set_undefined_behavior(match option(options, "missingkey") {
        None | Some("error") => UndefinedBehavior::Strict,
        Some("default") => UndefinedBehavior::Lenient,
        Some(other) => {
            let text = format!("option missingkey is {other:?}, expected error or default");
            return Err(Failure::invalid_request(text));
        }
    });
    if option(options, "parse").is_some() {
        return Err(Failure::unsupported(
            "the engine minijinja cannot parse what it rendered: use the engine v2 where a whole object is templated",
        ));
    }
    let left = option(options, "left").unwrap_or("{{").to_owned();
    let right = option(options, "right").unwrap_or("}}").to_owned();
    let syntax = SyntaxConfig::builder()
        .variable_delimiters(left, right)
        .keep_trailing_newline(true)
        .build()
        .map_err(|_| {
            Failure::invalid_request(
                "options left and right must not be empty, nor begin as {% or {#",
            )
        })?;
    environment.set_syntax(syntax);
    Ok(environment)
}

fn render(
    environment: &Environment<'_>,
    template: &Template,
    data: &Value,
) -> Result<Vec<u8>, Failure> {
    let parsed = environment
        .template_from_named_str(&template.name, &template.source)
        .map_err(|error| {
            Failure::invalid_request(Place::of(&error, template).message("parse", template))
        })?;
    let text = parsed.render(data.clone()).map_err(|error| {
        Failure::internal(Place::of(&error, template).message("render", template))
    })?;
    Ok(text.into_bytes())
}

/// Values at paths as nested objects. Where one path leads through another's value, the deeper one is seen.
fn data(data: &[Datum]) -> Value {
    let mut root = Node::default();
    for datum in data {
        let at = datum.path.iter().fold(&mut root, |node, name| {
            node.members.entry(name.clone()).or_default()
        });
        at.value = Some(datum.value.clone());
    }
    root.into_value()
}

#[derive(Default)]
struct Node {
    value: Option<Vec<u8>>,
    members: BTreeMap<String, Node>,
}

impl Node {
    fn into_value(self) -> Value {
        match self.value {
            // What is no text may stand there as long as no template writes it.
            Some(value) if self.members.is_empty() => match String::from_utf8(value) {
                Ok(text) => Value::from(text),
                Err(bytes) => Value::from_bytes(bytes.into_bytes()),
            },
            _ => {
                let members = self.members.into_iter();
                let members: BTreeMap<String, Value> = members
                    .map(|(name, node)| (name, node.into_value()))
                    .collect();
                Value::from(members)
            }
        }
    }
}

/// Where in a template something is wrong. The library's own words may quote data, so only the kind is told.
struct Place {
    line: u32,
    column: u32,
    kind: ErrorKind,
}

impl Place {
    fn of(error: &Error, template: &Template) -> Self {
        let line = error.line().and_then(|l| u32::try_from(l).ok());
        let start = error.range().map(|range| range.start);
        let before = start.and_then(|start| template.source.get(..start));
        let column = before.map(|text| {
            let tail = text.rsplit('\n').next().unwrap_or_default();
            u32::try_from(tail.chars().count() + 1).unwrap_or(0)
        });
        Self {
            line: line.unwrap_or(0),
            column: column.unwrap_or(0),
            kind: error.kind(),
        }
    }

    fn message(&self, verb: &str, template: &Template) -> String {
        format!("unable to {verb} template {:?}: {self}", template.name)
    }

    fn problem(&self, template: &Template) -> TemplateProblem {
        TemplateProblem {
            name: template.name.clone(),
            line: self.line,
            column: self.column,
            message: self.what().to_owned(),
            options: Vec::new(),
        }
    }

    fn what(&self) -> &'static str {
        match self.kind {
            ErrorKind::SyntaxError => "syntax error",
            ErrorKind::BadEscape => "a text has an escape that is none",
            ErrorKind::UndefinedError => "a value that is not there",
            ErrorKind::UnknownFilter => "a filter that is not known",
            ErrorKind::UnknownTest => "a test that is not known",
            ErrorKind::UnknownFunction => "a function that is not known",
            ErrorKind::UnknownMethod => "a method that is not known",
            ErrorKind::MissingArgument => "an argument is missing",
            ErrorKind::TooManyArguments => "too many arguments",
            ErrorKind::BadSerialization => "a value that is no text cannot be written",
            ErrorKind::CannotUnpack => "a value cannot be taken apart so",
            ErrorKind::OutOfFuel => "it takes too many steps",
            _ => "an operation that the value does not allow",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: {}",
            self.line,
            self.column,
            self.what()
        )
    }
}

fn whole(template: &Template, failure: &Failure) -> TemplateProblem {
    TemplateProblem {
        name: template.name.clone(),
        message: failure.message.clone(),
        ..TemplateProblem::default()
    }
}

export_engine!(MiniJinja);
