//! The behaviour that ESO's users rely on, case by case, on a real control plane: `tests/conformance/<theme>/<case>`.
//!
//! Each case is played in a namespace of its own, many at once, and what is then in the cluster is held against its
//! `expected.json`. With `CASE=part-of-a-name` only some are played; with `BLESS=1` what came out is taken over: review
//! the diff. `POSTERN_CONFORMANCE_KUBECONFIG` plays them against whatever operator runs there instead, and
//! `POSTERN_CONFORMANCE_OUT` writes what came out into a folder without comparing it.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

#[path = "conformance/case.rs"]
mod case;
#[path = "conformance/play.rs"]
mod play;
#[path = "conformance/rules.rs"]
mod rules;
#[path = "conformance/snapshot.rs"]
mod snapshot;
#[path = "conformance/stage.rs"]
mod stage;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use case::Case;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Cases at once: most of their time is waiting for nothing more to happen.
const AT_ONCE: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_comes_out_as_expected() {
    let filter = std::env::var("CASE").unwrap_or_default();
    let cases: Vec<Case> = case::all(&root())
        .into_iter()
        .filter(|case| case.name.contains(&filter))
        .collect();
    assert!(!cases.is_empty(), "no case is named like \"{filter}\"");
    let client = stage::client().await;
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    let total = cases.len();
    for case in cases {
        let (client, turns) = (client.clone(), turns.clone());
        playing.spawn(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            let came_out = play::play(&client, &case).await;
            (case, came_out)
        });
    }
    let mut wrong = Vec::new();
    while let Some(played) = playing.join_next().await {
        let (case, came_out) = played.unwrap();
        if let Err(difference) = held_against(&case, came_out) {
            wrong.push(difference);
        }
    }
    wrong.sort();
    assert!(
        wrong.is_empty(),
        "{} of {total} cases came out otherwise; BLESS=1 takes them over:\n\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!("{total} cases came out as expected");
}

/// What came out of a case held against what is expected of it, or laid where it was asked for.
fn held_against(case: &Case, came_out: Result<Value, String>) -> Result<(), String> {
    let came_out = came_out.map_err(|text| format!("--- {}\n{text}", case.name))?;
    let text = format!("{came_out:#}\n");
    if let Some(folder) = std::env::var_os("POSTERN_CONFORMANCE_OUT") {
        let name = format!("{}.json", case.name.replace('/', "__"));
        std::fs::write(PathBuf::from(folder).join(name), text).unwrap();
        return Ok(());
    }
    let expected = case.folder.join("expected.json");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&expected, &text).unwrap();
    }
    let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
    if wanted == text {
        return Ok(());
    }
    Err(format!("--- {}\n{}", case.name, difference(&wanted, &text)))
}

/// The lines that are expected and did not come (`-`), and those that came and are not expected (`+`).
fn difference(wanted: &str, came: &str) -> String {
    let only = |a: &str, b: &str, sign: char| -> Vec<String> {
        let there: Vec<&str> = b.lines().collect();
        a.lines()
            .filter(|line| !there.contains(line))
            .map(|line| format!("{sign}{line}"))
            .collect()
    };
    let mut lines = only(wanted, came, '-');
    lines.extend(only(came, wanted, '+'));
    if lines.is_empty() {
        "the same lines in another order".to_owned()
    } else {
        lines.join("\n")
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance")
}
