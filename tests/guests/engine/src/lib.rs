//! A template engine for the tests: `{{ .name }}` is replaced by the datum of that name, `{{ random }}` by a drawn number,
//! and the sources `loop`, `trap` and `short` misbehave. The call's option `mark` ends every text; a template's own is ignored,
//! against the contract.

wit_bindgen::generate!({ path: "../../../wit", world: "template-engine" });

use exports::postern::plugin::{describe, render};
use postern::plugin::entropy;

struct Engine;
export!(Engine);

impl describe::Guest for Engine {
    fn describe() -> describe::Descriptor {
        describe::Descriptor {
            name: "toy-engine".into(),
            version: "0.1.0".into(),
            serves: vec!["go".into()],
            config_schema: r#"{"type":"object"}"#.into(),
            asks: vec![],
            batch_size: 0,
            summary: "replaces names".into(),
            options: vec![],
        }
    }
}

impl render::Guest for Engine {
    fn render(
        jobs: Vec<render::Job>,
        options: Vec<(String, String)>,
    ) -> Vec<Vec<Result<Vec<u8>, render::Failure>>> {
        let mark = options.into_iter().find(|(name, _)| name == "mark");
        let mark = mark.map(|(_, value)| value).unwrap_or_default();
        jobs.iter().map(|job| one_job(job, &mark)).collect()
    }

    fn check(_: Vec<render::Template>, _: Vec<(String, String)>) -> Vec<render::Problem> {
        vec![]
    }
}

fn one_job(job: &render::Job, mark: &str) -> Vec<Result<Vec<u8>, render::Failure>> {
    if job.templates.iter().any(|t| t.source == "short") {
        return vec![];
    }
    job.templates
        .iter()
        .map(|template| one(template, &job.data, mark))
        .collect()
}

fn one(
    template: &render::Template,
    data: &[render::Datum],
    mark: &str,
) -> Result<Vec<u8>, render::Failure> {
    match template.source.as_str() {
        "trap" => core::arch::wasm32::unreachable(),
        "loop" => loop {
            std::hint::black_box(0);
        },
        _ => {}
    }
    let mut text = template.source.clone();
    if text.contains("{{ random }}") {
        text = text.replace(
            "{{ random }}",
            &format!("{}@{}", entropy::random_u64(), entropy::now_ns()),
        );
    }
    for datum in data {
        let name = format!("{{{{ .{} }}}}", datum.path.join("."));
        text = text.replace(&name, &String::from_utf8_lossy(&datum.value));
    }
    if text.contains("{{") {
        return Err(render::Failure {
            code: "invalid-request".into(),
            message: format!("template {} has an unknown name", template.name),
            retry_after_ms: None,
            detail: vec![],
        });
    }
    text.push_str(mark);
    Ok(text.into_bytes())
}
