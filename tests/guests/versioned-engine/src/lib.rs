//! A template engine of which tests make many versions, as they do of the provider beside it: the marker says which version
//! it is and what it does. `{{ .name }}` is replaced by the datum of that name, `{{ version }}` by the version.

wit_bindgen::generate!({ path: "../../../wit", world: "template-engine" });

#[path = "../../versioned/src/marker.rs"]
mod marker;

use exports::postern::plugin::{describe, render};
use marker::{eat, hang, marked};

struct Engine;
export!(Engine);

impl describe::Guest for Engine {
    fn describe() -> describe::Descriptor {
        let asks = match marked("do").as_str() {
            "ask" => vec![describe::Ask {
                kind: "host".into(),
                what: "127.0.0.1".into(),
                why: "an engine has no business there".into(),
                options: vec![],
            }],
            "babble" => panic!("as the test wants"),
            _ => vec![],
        };
        describe::Descriptor {
            name: "versioned-engine".into(),
            version: marked("version"),
            serves: vec!["versioned".into()],
            config_schema: r#"{"type":"object"}"#.into(),
            asks,
            batch_size: 0,
            summary: "replaces names".into(),
            options: vec![],
        }
    }
}

impl render::Guest for Engine {
    fn render(
        jobs: Vec<render::Job>,
        _: Vec<(String, String)>,
    ) -> Vec<Vec<Result<Vec<u8>, render::Failure>>> {
        match marked("do").as_str() {
            "trap" => panic!("as the test wants"),
            "hang" => hang(),
            "eat" => eat(),
            "nonsense" => return vec![],
            _ => {}
        }
        jobs.iter()
            .map(|job| job.templates.iter().map(|t| one(t, &job.data)).collect())
            .collect()
    }

    fn check(_: Vec<render::Template>, _: Vec<(String, String)>) -> Vec<render::Problem> {
        vec![]
    }
}

fn one(template: &render::Template, data: &[render::Datum]) -> Result<Vec<u8>, render::Failure> {
    if marked("do") == "fail" {
        return Err(render::Failure {
            code: "invalid-request".into(),
            message: "no template is good enough".into(),
            retry_after_ms: None,
            detail: vec![],
        });
    }
    let mut text = template
        .source
        .replace("{{ version }}", &marked("version"));
    for datum in data {
        let name = format!("{{{{ .{} }}}}", datum.path.join("."));
        text = text.replace(&name, &String::from_utf8_lossy(&datum.value));
    }
    Ok(text.into_bytes())
}
