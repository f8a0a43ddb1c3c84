//! The checks of a provider. Each is one function, and none knows of another.

use std::time::Duration;

use postern_core::failure::{Code, Failure};
use postern_core::plugin::{Answer, Call, Outcome, Part, PluginHost as _, Request};
use postern_core::reference;

use crate::bench::{Bench, Checked, Stop, leads_to};
use crate::judge::{self, Ask, Expect};
use crate::rows::Rows;

/// Objects of a batch where the plugin takes any number.
const ANY_NUMBER: usize = 50;

/// A deadline that passes while the backend is silent.
const PASSED: u64 = 1_000;

const DENIED: &[Code] = &[Code::Denied, Code::FilesDenied, Code::EgressDenied];

/// Runs all of them.
pub async fn run(bench: &Bench, rows: &mut Rows) {
    judge_config(bench, rows).await;
    judge_batches(bench, rows).await;
    for (check, name) in [
        ("present", "present"),
        ("several picks of one object", "several"),
        ("1 MiB", "large"),
        ("empty", "empty"),
        ("not UTF-8", "binary"),
    ] {
        rows.add(bench, check, value(bench, name).await);
    }
    rows.add(bench, "unchanged", unchanged(bench).await);
    for (check, name, codes) in [
        ("absent", "absent", [Code::Absent].as_slice()),
        ("not found", "notFound", &[Code::NotFound]),
        ("denied", "denied", DENIED),
        ("unavailable", "unavailable", &[Code::Unavailable]),
    ] {
        let came = failing(bench, name, codes).await.map(|_| ());
        rows.add(bench, check, came);
    }
    rows.add(bench, "throttled", throttled(bench).await);
    rows.add(bench, "deadline", deadline(bench).await);
    rows.add(bench, "order does not matter", order(bench).await);
    rows.add(bench, "a second credential", second(bench).await);
    if bench.revision.has_login {
        rows.add(bench, "session is closed", close(bench).await);
    }
}

async fn judge_config(bench: &Bench, rows: &mut Rows) {
    let descriptor = &bench.revision.descriptor;
    let scene = bench.scene(None);
    let schema = scene
        .store
        .check_schema(&descriptor.config_schema)
        .map_err(|failure| Stop::Failed(failure.public));
    rows.add(bench, "schema accepts the config", schema);
    let marks = judge::marks(&descriptor.config_schema);
    rows.add(
        bench,
        "references are of known kinds",
        marks.map_err(Stop::from),
    );
    rows.add(bench, "examine", examine(bench).await);
    rows.add(bench, "references are marked", references(bench).await);
    rows.add(bench, "endpoints are asked for", endpoints(bench).await);
    rows.add(bench, "probe", probe(bench).await);
}

/// The config is taken, and what is said of it is the same twice.
async fn examine(bench: &Bench) -> Checked {
    let scene = bench.scene(None);
    let first = bench.needs(&scene).await?;
    let second = bench.needs(&scene).await?;
    if first != second {
        return Err("examine said two things of one config".to_owned().into());
    }
    Ok(())
}

/// What a config refers to stands at places that the schema marks, and the fixture has a credential for each.
async fn references(bench: &Bench) -> Checked {
    let scene = bench.scene(None);
    let needs = bench.needs(&scene).await?;
    let schema = &bench.revision.descriptor.config_schema;
    for used in &needs.references {
        if judge::is_ambient(&used.pointer) {
            judge::ambient_is_asked_for(&bench.revision.descriptor, &used.pointer)?;
            continue;
        }
        reference::locate(&scene.store, schema, &used.pointer).map_err(|f| f.public)?;
        if !scene.given().any(|given| leads_to(&used.pointer, given)) {
            let why = format!(
                "examine uses the reference {}, for which the fixture has no credential",
                used.pointer
            );
            return Err(why.into());
        }
    }
    let unused = scene
        .given()
        .find(|given| !needs.references.iter().any(|r| leads_to(&r.pointer, given)));
    match unused {
        None => Ok(()),
        Some(pointer) => Err(format!(
            "the fixture has a credential for {pointer}, which examine does not use"
        )
        .into()),
    }
}

async fn endpoints(bench: &Bench) -> Checked {
    let needs = bench.needs(&bench.scene(None)).await?;
    judge::endpoints(&bench.revision.descriptor, &needs.endpoints)?;
    Ok(())
}

/// A probe gets the session beside the credentials.
async fn probe(bench: &Bench) -> Checked {
    let mut call = bench.reading(None).await?;
    call.credentials = bench.call(&bench.scene(None)).await?.credentials;
    bench.runtime.probe(&call).await.map_err(|failure| {
        bench.note_failure(&failure);
        Stop::Failed(judge::said(&failure))
    })
}

async fn close(bench: &Bench) -> Checked {
    let call = bench.reading(None).await?;
    bench.runtime.close(&call).await.map_err(|failure| {
        bench.note_failure(&failure);
        Stop::Failed(judge::said(&failure))
    })
}

async fn judge_batches(bench: &Bench, rows: &mut Rows) {
    let size = match bench.revision.descriptor.batch_size as usize {
        0 => ANY_NUMBER,
        size => size,
    };
    for (check, count) in [
        ("batch of none", 0),
        ("batch of one", 1),
        ("batch of batch-size", size),
        ("batch of batch-size + 1", size + 1),
    ] {
        rows.add(bench, check, batch(bench, count).await);
    }
    let bad = one_bad_key(bench).await;
    rows.add(bench, "one bad key among good ones", bad);
}

/// What can be asked in one call with the fixture's own config; the first is the object that is there.
fn plain(bench: &Bench) -> Result<Vec<Ask>, Stop> {
    let present = judge::values("present", bench.situation("present")?)?;
    let mut asks = vec![present];
    for name in ["several", "empty", "binary"] {
        if let Ok(situation) = bench.situation(name)
            && situation.is_plain()
        {
            asks.push(judge::values(name, situation)?);
        }
    }
    if let Ok(situation) = bench.situation("absent")
        && situation.is_plain()
    {
        asks.push(judge::failure(situation, &[Code::Absent]));
    }
    Ok(asks)
}

/// Reads as the host does: no call has more than the plugin takes.
async fn read(bench: &Bench, call: &Call, asks: &[&Ask]) -> Result<Vec<Outcome>, String> {
    let size = match bench.revision.descriptor.batch_size as usize {
        0 => usize::MAX,
        size => size,
    };
    let mut outcomes = Vec::new();
    for some in asks.chunks(size) {
        let requests: Vec<Request> = some.iter().map(|ask| ask.request.clone()).collect();
        let read = bench.read(call, &requests).await;
        outcomes.extend(read.map_err(|failure| judge::said(&failure))?);
    }
    Ok(outcomes)
}

async fn held(bench: &Bench, call: &Call, asks: &[&Ask]) -> Checked {
    let outcomes = read(bench, call, asks).await?;
    if outcomes.len() != asks.len() {
        return Err(format!("{} requests had {} outcomes", asks.len(), outcomes.len()).into());
    }
    for (i, (outcome, ask)) in outcomes.iter().zip(asks).enumerate() {
        judge::outcome(outcome, &ask.expect).map_err(|why| match asks.len() {
            1 => why,
            _ => format!("request {} of {}: {why}", i + 1, asks.len()),
        })?;
    }
    Ok(())
}

async fn batch(bench: &Bench, count: usize) -> Checked {
    let asks = plain(bench)?;
    let call = bench.reading(None).await?;
    if count == 0 {
        return match bench.read(&call, &[]).await {
            Ok(outcomes) if outcomes.is_empty() => Ok(()),
            Ok(_) => Err("no request was answered with outcomes".to_owned().into()),
            Err(failure) => Err(judge::said(&failure).into()),
        };
    }
    let asks: Vec<&Ask> = asks.iter().cycle().take(count).collect();
    held(bench, &call, &asks).await
}

/// One object's failure is no other's.
async fn one_bad_key(bench: &Bench) -> Checked {
    let absent = bench.situation("absent")?;
    if !absent.is_plain() {
        let why = "the absent object of the fixture is in another store than the present one";
        return Err(Stop::Unsupported(why.to_owned()));
    }
    let good = judge::values("present", bench.situation("present")?)?;
    let bad = judge::failure(absent, &[Code::Absent]);
    let call = bench.reading(None).await?;
    held(bench, &call, &[&good, &bad, &good]).await
}

async fn value(bench: &Bench, name: &str) -> Checked {
    let situation = bench.situation(name)?;
    let ask = judge::values(name, situation)?;
    let call = bench.reading(Some(situation)).await?;
    held(bench, &call, &[&ask]).await
}

/// The tag of an object that did not change is answered by `unchanged`, another one by the value.
async fn unchanged(bench: &Bench) -> Checked {
    let situation = bench.situation("unchanged")?;
    let mut ask = judge::values("unchanged", situation)?;
    let call = bench.reading(Some(situation)).await?;
    let first = read(bench, &call, &[&ask]).await?;
    let first = first.first().ok_or_else(|| "no outcome came".to_owned())?;
    judge::outcome(first, &ask.expect)?;
    let Some(tag) = first.tag.clone() else {
        return Err("the first answer has no tag to know it by"
            .to_owned()
            .into());
    };
    ask.request.known = Some(format!("{tag}-of-before"));
    held(bench, &call, &[&ask])
        .await
        .map_err(|stop| context("with a tag that holds no more", stop))?;
    ask.request.known = Some(tag);
    ask.expect = Expect::Unchanged;
    held(bench, &call, &[&ask])
        .await
        .map_err(|stop| context("with the tag of the answer before", stop))
}

fn context(what: &str, stop: Stop) -> Stop {
    match stop {
        Stop::Failed(why) => Stop::Failed(format!("{what}: {why}")),
        other @ Stop::Unsupported(_) => other,
    }
}

/// Reads what must fail; gives the failure.
async fn failing(bench: &Bench, name: &str, codes: &'static [Code]) -> Result<Failure, Stop> {
    let situation = bench.situation(name)?;
    let ask = judge::failure(situation, codes);
    let mut call = bench.reading(Some(situation)).await?;
    if let Some(deadline) = situation.deadline_ms {
        call.deadline = Duration::from_millis(deadline);
    }
    came_to(bench, &call, &ask, codes).await
}

async fn came_to(
    bench: &Bench,
    call: &Call,
    ask: &Ask,
    codes: &'static [Code],
) -> Result<Failure, Stop> {
    let outcomes = match bench.read(call, std::slice::from_ref(&ask.request)).await {
        Ok(outcomes) => outcomes,
        Err(failure) => {
            judge::code(&failure, codes)?;
            return Ok(failure);
        }
    };
    for outcome in &outcomes {
        judge::outcome(outcome, &ask.expect)?;
    }
    let failure = outcomes.iter().find_map(|outcome| match &outcome.answer {
        Answer::Failed(failure) => Some(failure),
        Answer::Parts(parts) => judge::failed(parts),
        Answer::Unchanged => None,
    });
    failure
        .cloned()
        .ok_or_else(|| Stop::Failed("no outcome came".to_owned()))
}

async fn throttled(bench: &Bench) -> Checked {
    let failure = failing(bench, "throttled", &[Code::RateLimited]).await?;
    let want = bench.situation("throttled")?.retry_after_ms;
    let want = want.map(Duration::from_millis);
    if failure.retry_after == want {
        return Ok(());
    }
    Err(format!(
        "the backend asks to wait {want:?}, the plugin says {:?}",
        failure.retry_after
    )
    .into())
}

/// The backend is silent until the time of the call is over.
async fn deadline(bench: &Bench) -> Checked {
    let situation = bench.situation("deadline")?;
    let ask = judge::failure(situation, &[Code::Timeout]);
    let mut call = bench.reading(Some(situation)).await?;
    call.deadline = Duration::from_millis(situation.deadline_ms.unwrap_or(PASSED));
    came_to(bench, &call, &ask, &[Code::Timeout]).await?;
    Ok(())
}

/// Nothing is kept from one call, or one request of a call, to the next.
async fn order(bench: &Bench) -> Checked {
    let asks = plain(bench)?;
    let call = bench.reading(None).await?;
    let forward: Vec<&Ask> = asks.iter().collect();
    let backward: Vec<&Ask> = asks.iter().rev().collect();
    held(bench, &call, &backward)
        .await
        .map_err(|stop| context("in one call, the last first", stop))?;
    for ask in forward.into_iter().chain(backward) {
        held(bench, &call, &[ask])
            .await
            .map_err(|stop| context("one by one", stop))?;
    }
    Ok(())
}

/// Whoever asks with another credential gets what that one may see, and nothing that the first has seen.
async fn second(bench: &Bench) -> Checked {
    let other = bench.situation("second")?;
    if other.credentials.is_none() && other.config.is_none() {
        let why = "the fixture's situation second needs its own `credentials` or `config`";
        return Err(why.to_owned().into());
    }
    let present = judge::values("present", bench.situation("present")?)?;
    let theirs = judge::values("second", other)?;
    let call = bench.reading(None).await?;
    let first = read(bench, &call, &[&present]).await?;
    held(bench, &call, &[&present]).await?;
    let call = bench.reading(Some(other)).await?;
    let second = read(bench, &call, &[&theirs]).await?;
    if shares(&first, &second) {
        let why = "the second credential was answered with a value of the first";
        return Err(why.to_owned().into());
    }
    held(bench, &call, &[&theirs]).await?;
    let call = bench.reading(None).await?;
    held(bench, &call, &[&present])
        .await
        .map_err(|stop| context("with the first credential again", stop))
}

/// Whether both have a value in common.
fn shares(first: &[Outcome], second: &[Outcome]) -> bool {
    let theirs = bytes_of(second);
    bytes_of(first)
        .iter()
        .any(|value| !value.is_empty() && theirs.contains(value))
}

fn bytes_of(outcomes: &[Outcome]) -> Vec<&[u8]> {
    let parts = outcomes.iter().flat_map(|outcome| match &outcome.answer {
        Answer::Parts(parts) => parts.as_slice(),
        Answer::Unchanged | Answer::Failed(_) => &[],
    });
    let values = parts.flat_map(|part| match part {
        Part::Value(value) => vec![value.expose()],
        Part::Members(members) => members.iter().map(|(_, v)| v.expose()).collect(),
        Part::Failed(_) => Vec::new(),
    });
    values.collect()
}
