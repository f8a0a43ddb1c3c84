//! The checks of a template engine.

use std::collections::BTreeMap;

use postern_core::failure::{Code, Failure};
use postern_core::plugin::{Datum, Options, PluginHost as _, RenderJob, Rendered, Template};
use serde_json::Value;

use crate::bench::{Bench, Checked, Stop};
use crate::fixture::TemplateCase;
use crate::judge;
use crate::rows::Rows;

/// The one check that may break a limit.
pub const ENDLESS: &str = "an endless template ends";

/// Runs all of them.
pub async fn run(bench: &Bench, rows: &mut Rows) {
    for case in &bench.fixture.templates {
        for datum in data(&case.data) {
            bench.hide(datum.value.expose());
        }
    }
    rows.add(bench, "no job", no_job(bench).await);
    for case in &bench.fixture.templates {
        let check = format!("template {:?}", case.name);
        rows.add(bench, &check, renders(bench, case).await);
    }
    rows.add(bench, "order does not matter", order(bench).await);
    rows.add(
        bench,
        "one bad template among good ones",
        beside(bench).await,
    );
    rows.add(bench, "a failure names the template", failing(bench).await);
    rows.add(bench, ENDLESS, endless(bench).await);
}

fn job(case: &TemplateCase) -> RenderJob {
    RenderJob {
        templates: vec![Template {
            name: case.name.clone(),
            source: case.source.clone(),
            options: Vec::new(),
        }],
        data: data(&case.data),
    }
}

fn data(tree: &Value) -> Vec<Datum> {
    fn walk(tree: &Value, path: &mut Vec<String>, into: &mut Vec<Datum>) {
        match tree {
            Value::Object(members) => {
                for (name, member) in members {
                    path.push(name.clone());
                    walk(member, path, into);
                    path.pop();
                }
            }
            Value::Null => {}
            Value::String(text) => into.push(Datum {
                path: path.clone(),
                value: text.as_str().into(),
            }),
            other => into.push(Datum {
                path: path.clone(),
                value: other.to_string().into(),
            }),
        }
    }
    let mut into = Vec::new();
    walk(tree, &mut Vec::new(), &mut into);
    into
}

async fn render(
    bench: &Bench,
    jobs: &[RenderJob],
    options: &BTreeMap<String, String>,
) -> Result<Vec<Rendered>, Failure> {
    let options: Options = options.clone().into_iter().collect();
    let digest = &bench.revision.digest;
    let answer = bench.runtime.render(digest, jobs, &options).await;
    match &answer {
        Err(failure) => bench.note_failure(failure),
        Ok(jobs) => {
            let failures = jobs.iter().flatten().filter_map(|r| r.as_ref().err());
            failures.for_each(|failure| bench.note_failure(failure));
        }
    }
    answer
}

fn first(rendered: Vec<Rendered>) -> Result<Rendered, String> {
    rendered
        .into_iter()
        .next()
        .ok_or_else(|| "no result came".to_owned())
}

async fn no_job(bench: &Bench) -> Checked {
    match render(bench, &[], &BTreeMap::new()).await {
        Ok(rendered) if rendered.is_empty() => Ok(()),
        Ok(_) => Err("no job was answered with results".to_owned().into()),
        Err(failure) => Err(judge::said(&failure).into()),
    }
}

fn held(case: &TemplateCase, rendered: &Rendered) -> Result<(), String> {
    let want = case.expected.as_ref().and_then(crate::fixture::Body::bytes);
    let want = want.ok_or_else(|| "the fixture does not say what is `expected`".to_owned())?;
    match rendered.first() {
        None => Err("no result came".to_owned()),
        Some(Ok(value)) => judge::bytes(&want, value),
        Some(Err(failure)) => Err(judge::said(failure)),
    }
}

/// Options may come with the call or with the template, whose own win.
async fn renders(bench: &Bench, case: &TemplateCase) -> Checked {
    let rendered = render(bench, &[job(case)], &case.options).await;
    let rendered = rendered.map_err(|failure| judge::said(&failure))?;
    held(case, &first(rendered)?)?;
    if case.options.is_empty() {
        return Ok(());
    }
    let mut own = job(case);
    for template in &mut own.templates {
        template.options = case.options.clone().into_iter().collect();
    }
    let others = case.options.keys();
    let others = others.map(|name| (name.clone(), "overridden".to_owned()));
    let rendered = render(bench, &[own], &others.collect()).await;
    let rendered = rendered.map_err(|failure| judge::said(&failure))?;
    let why = |why| format!("as the template's own options: {why}");
    Ok(held(case, &first(rendered)?).map_err(why)?)
}

/// Those with no settings of their own, which one call can render.
fn plain(bench: &Bench) -> Vec<&TemplateCase> {
    let cases = bench.fixture.templates.iter();
    cases.filter(|case| case.options.is_empty()).collect()
}

async fn order(bench: &Bench) -> Checked {
    let mut cases = plain(bench);
    for _ in 0..2 {
        cases.reverse();
        let jobs: Vec<RenderJob> = cases.iter().map(|case| job(case)).collect();
        let rendered = render(bench, &jobs, &BTreeMap::new()).await;
        let rendered = rendered.map_err(|failure| judge::said(&failure))?;
        for (case, rendered) in cases.iter().zip(&rendered) {
            held(case, rendered).map_err(|why| format!("template {:?}: {why}", case.name))?;
        }
    }
    Ok(())
}

fn case<'a>(case: Option<&'a TemplateCase>, name: &str) -> Result<&'a TemplateCase, Stop> {
    case.ok_or_else(|| Stop::Failed(format!("the fixture has no template `{name}`")))
}

/// One template's failure is no other's.
async fn beside(bench: &Bench) -> Checked {
    let failing = case(bench.fixture.failing.as_ref(), "failing")?;
    let good = plain(bench);
    let good = *good
        .first()
        .ok_or_else(|| "the fixture has no template without options".to_owned())?;
    let jobs = [job(good), job(failing), job(good)];
    let rendered = render(bench, &jobs, &BTreeMap::new()).await;
    let rendered = rendered.map_err(|failure| judge::said(&failure))?;
    for index in [0, 2] {
        let one = rendered.get(index);
        held(good, one.ok_or_else(|| "a job has no result".to_owned())?)?;
    }
    Ok(())
}

async fn failing(bench: &Bench) -> Checked {
    let case = case(bench.fixture.failing.as_ref(), "failing")?;
    for datum in data(&case.data) {
        bench.hide(datum.value.expose());
    }
    let rendered = render(bench, &[job(case)], &case.options).await;
    let rendered = first(rendered.map_err(|failure| judge::said(&failure))?)?;
    match rendered.first() {
        Some(Err(failure)) if failure.public.contains(&case.name) => Ok(()),
        Some(Err(failure)) => Err(format!(
            "the message does not name {:?}: {}",
            case.name, failure.public
        )
        .into()),
        Some(Ok(_)) => Err("it was rendered".to_owned().into()),
        None => Err("no result came".to_owned().into()),
    }
}

/// By the engine's own bound, or by the host's.
async fn endless(bench: &Bench) -> Checked {
    let case = case(bench.fixture.endless.as_ref(), "endless")?;
    let ended = [
        Code::LimitExceeded,
        Code::Timeout,
        Code::TemplateFailed,
        Code::TemplateInvalid,
    ];
    let failure = match render(bench, &[job(case)], &case.options).await {
        Err(failure) => failure,
        Ok(rendered) => match first(rendered)?.into_iter().next() {
            Some(Err(failure)) => failure,
            Some(Ok(_)) => return Err("it was rendered".to_owned().into()),
            None => return Err("no result came".to_owned().into()),
        },
    };
    Ok(judge::code(&failure, &ended)?)
}
