//! `postern plugin rollback`: refuses the revision that serves, or takes that back.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use postern_controller::Hand;
use postern_core::failure::{Code, Failure};
use postern_core::rollback::Version;
use serde_json::json;

use crate::args::{Rollback, Shown};
use crate::{cluster, print, say};

/// How often the status is read while waiting.
const LOOK: Duration = Duration::from_millis(300);
/// A wait ran out.
const TIMED_OUT: u8 = 124;

/// What was done, for people and for scripts.
struct Done {
    refused: Option<Version>,
    /// What serves then; with `--undo`, if the source still names it.
    serves: Version,
    written: bool,
}

/// Runs the command.
pub async fn run(rollback: Rollback) -> anyhow::Result<ExitCode> {
    let hand = Hand::new(cluster::client(cluster::config().await?)?);
    let done = match decide(&hand, &rollback).await {
        Ok(done) => done,
        Err(failure) if failure.code == Code::NoWayBack => {
            say(&format!("error: {failure}"));
            return Ok(ExitCode::FAILURE);
        }
        Err(failure) => return Err(failure.into()),
    };
    let digest = done.serves.digest.as_str();
    let waited = if rollback.wait {
        wait(&hand, &rollback, digest).await?
    } else {
        Waited::Not
    };
    print(&match rollback.output {
        Shown::Text => text(&rollback.name, &done, &waited),
        Shown::Json => document(&rollback.name, &done, &waited),
    })?;
    if let Waited::InVain(why) = &waited {
        say(&format!(
            "error: {digest} of Plugin {} does not serve after {} s: {why}",
            rollback.name,
            rollback.timeout.as_secs()
        ));
        return Ok(ExitCode::from(TIMED_OUT));
    }
    Ok(ExitCode::SUCCESS)
}

async fn decide(hand: &Hand, rollback: &Rollback) -> Result<Done, Failure> {
    if rollback.undo {
        let undone = hand.undo(&rollback.name).await?;
        return Ok(Done {
            refused: None,
            serves: undone.allowed,
            written: true,
        });
    }
    let back = hand.roll_back(&rollback.name).await?;
    Ok(Done {
        refused: Some(back.refused),
        serves: back.serves,
        written: back.annotation.is_some(),
    })
}

enum Waited {
    Not,
    Serves,
    InVain(String),
}

async fn wait(hand: &Hand, rollback: &Rollback, digest: &str) -> anyhow::Result<Waited> {
    let started = Instant::now();
    loop {
        let status = hand.status(&rollback.name).await?;
        let active = status.active.as_ref().map(|a| a.digest.as_str());
        if active == Some(digest) {
            return Ok(Waited::Serves);
        }
        if started.elapsed() >= rollback.timeout {
            let conditions = status.conditions.unwrap_or_default();
            let stopped = conditions.into_iter().find(|c| c.status == "False");
            let why = stopped
                .and_then(|c| c.message)
                .unwrap_or_else(|| "the operator has not said why; see whether it runs".to_owned());
            return Ok(Waited::InVain(why));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn text(name: &str, done: &Done, waited: &Waited) -> String {
    let serves = shown(&done.serves);
    let first = match &done.refused {
        Some(refused) if done.written => format!("{name}: {} is refused", shown(refused)),
        Some(refused) => format!("{name}: {} was refused already", shown(refused)),
        None => format!("{name}: {serves} is refused no more"),
    };
    let then = match (waited, &done.refused) {
        (Waited::Serves, _) => format!("{serves} serves"),
        (_, Some(_)) => format!("{serves} will serve"),
        (_, None) => "it will serve if the source still names it".to_owned(),
    };
    format!("{first}; {then}\n")
}

fn shown(version: &Version) -> String {
    let digest = version.digest.as_str();
    match &version.version {
        Some(version) => format!(
            "{digest} (version {})",
            postern_core::failure::one_line(version, 80)
        ),
        None => digest.to_owned(),
    }
}

fn document(name: &str, done: &Done, waited: &Waited) -> String {
    let version = |v: &Version| match &v.version {
        Some(version) => json!({"digest": v.digest.as_str(), "version": version}),
        None => json!({"digest": v.digest.as_str()}),
    };
    let mut document = json!({
        "schemaVersion": 1,
        "plugin": name,
        "serves": version(&done.serves),
        "written": done.written,
        "serving": matches!(waited, Waited::Serves),
    });
    if let Some(refused) = &done.refused {
        document["refused"] = version(refused);
    }
    format!("{document:#}\n")
}
