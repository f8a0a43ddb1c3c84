//! What a pass came to, as values, as a table and as JSON. No form of it ever carries a value.

use std::path::Path;

use jiff::Timestamp;
use postern_core::failure::{Code, Failure};
use serde::Serialize;

use crate::manifest::{Ignored, Problem};

/// What became of one key of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Added,
    /// Its value is another.
    Changed,
    /// It is gone.
    Removed,
    /// It is as it was.
    Unchanged,
}

/// One key by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub change: Change,
}

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target was made.
    Created,
    /// The target was changed.
    Updated,
    /// The target is as it was.
    Unchanged,
    /// Values are there; nothing was asked to be written.
    Read,
    /// A dry run: the target would be made.
    WouldCreate,
    /// A dry run: the target would be changed.
    WouldUpdate,
    /// The target was taken away: the backend has nothing for it.
    Deleted,
    /// A dry run: the target would be taken away.
    WouldDelete,
    /// The target is not there, and policy Merge does not make it.
    Missing,
    /// A store that can be used.
    Ready,
    /// Another controller's, or being deleted.
    Ignored,
    /// It did not work; what is there stays.
    Failed(Box<Failure>),
    /// The time ran out; the texts name what is still lacking.
    TimedOut(Box<Failure>, Vec<String>),
}

impl Outcome {
    /// The word in the table and in JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Read => "read",
            Self::WouldCreate => "would-create",
            Self::WouldUpdate => "would-update",
            Self::Deleted => "deleted",
            Self::WouldDelete => "would-delete",
            Self::Missing => "missing",
            Self::Ready => "ready",
            Self::Ignored => "ignored",
            Self::Failed(_) => "failed",
            Self::TimedOut(..) => "timed-out",
        }
    }

    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) | Self::TimedOut(failure, _) => Some(failure),
            _ => None,
        }
    }
}

/// One object and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `ExternalSecret`, `SecretStore`, `ClusterSecretStore` or `Plugin`.
    pub kind: &'static str,
    /// Empty for a ClusterSecretStore and a Plugin.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of the Secret, for an ExternalSecret.
    pub target: Option<String>,
    /// The target's keys, sorted by name.
    pub keys: Vec<Key>,
    /// What became of it.
    pub outcome: Outcome,
    /// When it is due again.
    pub next: Option<Timestamp>,
    /// Where a Plugin stands.
    pub plugin: Option<PluginFacts>,
}

/// Where a Plugin stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PluginFacts {
    /// The step that it has come to: the type of a condition in a cluster.
    pub step: &'static str,
    /// How it stands there: the reason of that condition.
    pub reason: &'static str,
    /// The revision that serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The PluginGrant that it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

/// What a pass came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Plugins first, then stores, then ExternalSecrets, each sorted by name.
    pub rows: Vec<Row>,
    /// Documents that cannot be used.
    pub problems: Vec<Problem>,
    /// Documents of other kinds.
    pub ignored: Vec<Ignored>,
}

/// How a pass ended, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is as it shall be.
    Fine,
    /// Nothing failed, and a dry run found differences.
    Differs,
    /// Nothing could be done.
    Failed,
    /// Part was done, part not.
    Partly,
    /// The time ran out.
    TimedOut,
}

impl Verdict {
    /// The exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Differs | Self::Failed => 1,
            Self::Partly => 3,
            Self::TimedOut => 124,
        }
    }
}

impl Report {
    /// How it ended.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let of = |test: fn(&Outcome) -> bool| self.rows.iter().filter(|r| test(&r.outcome)).count();
        if of(|o| matches!(o, Outcome::TimedOut(..))) > 0 {
            return Verdict::TimedOut;
        }
        let failed = of(|o| matches!(o, Outcome::Failed(_))) + self.problems.len();
        // A plugin or a store that is ready is not what the pass is for.
        let done = of(|o| !matches!(o, Outcome::Failed(_) | Outcome::Ready | Outcome::Ignored));
        match (failed, done) {
            (0, _)
                if of(|o| {
                    matches!(
                        o,
                        Outcome::WouldCreate | Outcome::WouldUpdate | Outcome::WouldDelete
                    )
                }) > 0 =>
            {
                Verdict::Differs
            }
            (0, _) => Verdict::Fine,
            (_, 0) => Verdict::Failed,
            _ => Verdict::Partly,
        }
    }

    /// The table for people; `all` shows also what is as it was, `wide` adds when each is due again.
    #[must_use]
    pub fn table(&self, all: bool, wide: bool) -> String {
        let quiet =
            |o: &Outcome| matches!(o, Outcome::Unchanged | Outcome::Ready | Outcome::Ignored);
        let columns = if wide { 6 } else { 5 };
        let mut lines =
            vec![["KIND", "NAME", "TARGET", "KEYS", "RESULT", "NEXT"].map(str::to_owned)];
        lines.extend(
            self.rows
                .iter()
                .filter(|r| all || !quiet(&r.outcome))
                .map(cells),
        );
        if lines.len() == 1 {
            return String::new();
        }
        let mut widths = [0; 6];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for line in &lines {
            let padded: Vec<String> = line
                .iter()
                .zip(widths)
                .take(columns)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            text.push_str(padded.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// `kind/namespace/name` of every object, a line each, for scripts.
    #[must_use]
    pub fn names(&self) -> String {
        self.rows
            .iter()
            .map(|row| format!("{}/{}\n", row.kind.to_ascii_lowercase(), row.full_name()))
            .collect()
    }

    /// What went wrong, a line each, for standard error.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let problems = self
            .problems
            .iter()
            .map(|p| complaint(&p.origin.to_string(), &p.failure, &[]));
        let rows = self.rows.iter().filter_map(|row| {
            let what = format!("{} \"{}\"", row.kind, row.full_name());
            match &row.outcome {
                Outcome::Failed(failure) => Some(complaint(&what, failure, &[])),
                Outcome::TimedOut(failure, lacking) => Some(complaint(&what, failure, lacking)),
                _ => None,
            }
        });
        problems.chain(rows).collect()
    }

    /// One JSON document, of the schema `docs/schemas/sync.json`.
    #[must_use]
    pub fn json(&self) -> String {
        let document = JsonReport {
            schema_version: 1,
            exit_code: self.verdict().exit_code(),
            results: self.rows.iter().map(json_row).collect(),
            problems: self.problems.iter().map(json_problem).collect(),
            ignored: self
                .ignored
                .iter()
                .map(|i| JsonIgnored {
                    file: &i.origin.file,
                    document: i.origin.document,
                    kind: &i.kind,
                })
                .collect(),
        };
        serde_json::to_string(&document).unwrap_or_default()
    }
}

impl Row {
    fn full_name(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

fn cells(row: &Row) -> [String; 6] {
    let keys: Vec<String> = row
        .keys
        .iter()
        .map(|key| match key.change {
            Change::Added => format!("+{}", key.name),
            Change::Changed => format!("~{}", key.name),
            Change::Removed => format!("-{}", key.name),
            Change::Unchanged => key.name.clone(),
        })
        .collect();
    let or_dash = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    let result = match (row.outcome.failure(), &row.plugin) {
        (Some(failure), Some(plugin)) => {
            format!(
                "{} ({}, {})",
                row.outcome.as_str(),
                plugin.reason,
                failure.code
            )
        }
        (Some(failure), None) => format!("{} ({})", row.outcome.as_str(), failure.code),
        (None, _) => row.outcome.as_str().to_owned(),
    };
    [
        row.kind.to_owned(),
        row.full_name(),
        or_dash(row.target.clone().unwrap_or_default()),
        or_dash(keys.join(" ")),
        result,
        or_dash(row.next.map(|time| time.to_string()).unwrap_or_default()),
    ]
}

fn complaint(what: &str, failure: &Failure, lacking: &[String]) -> String {
    let lacking = if lacking.is_empty() {
        String::new()
    } else {
        format!("; still lacking {}", lacking.join(", "))
    };
    let Failure { public, code, .. } = failure;
    format!(
        "{what}: {public}{lacking} ({code}, {} to blame, see docs/errors/{code}.md)",
        code.blame().as_str()
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonReport<'a> {
    schema_version: u8,
    exit_code: u8,
    results: Vec<JsonRow<'a>>,
    problems: Vec<JsonProblem<'a>>,
    ignored: Vec<JsonIgnored<'a>>,
}

#[derive(Serialize)]
struct JsonRow<'a> {
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    keys: &'a [Key],
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JsonError<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    lacking: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<&'a PluginFacts>,
}

#[derive(Serialize)]
struct JsonError<'a> {
    code: String,
    label: &'a str,
    blame: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct JsonProblem<'a> {
    file: &'a Path,
    document: usize,
    line: u64,
    error: JsonError<'a>,
}

#[derive(Serialize)]
struct JsonIgnored<'a> {
    file: &'a Path,
    document: usize,
    kind: &'a str,
}

fn json_error(failure: &Failure) -> JsonError<'_> {
    let code: Code = failure.code;
    JsonError {
        code: code.to_string(),
        label: code.label(),
        blame: code.blame().as_str(),
        message: &failure.public,
    }
}

fn json_row(row: &Row) -> JsonRow<'_> {
    let lacking = match &row.outcome {
        Outcome::TimedOut(_, lacking) => lacking.as_slice(),
        _ => &[],
    };
    JsonRow {
        kind: row.kind,
        namespace: &row.namespace,
        name: &row.name,
        target: row.target.as_deref(),
        keys: &row.keys,
        result: row.outcome.as_str(),
        error: row.outcome.failure().map(json_error),
        lacking,
        next: row.next.map(|t| t.to_string()),
        plugin: row.plugin.as_ref(),
    }
}

fn json_problem(problem: &Problem) -> JsonProblem<'_> {
    JsonProblem {
        file: &problem.origin.file,
        document: problem.origin.document,
        line: problem.origin.line,
        error: json_error(&problem.failure),
    }
}

#[cfg(test)]
mod tests {
    use postern_core::failure::{Code, Failure, Stage};

    use super::{Change, Key, Outcome, Report, Row, Verdict};

    fn row(outcome: Outcome) -> Row {
        Row {
            kind: "ExternalSecret",
            namespace: "default".into(),
            name: "app".into(),
            target: Some("app".into()),
            keys: vec![
                Key {
                    name: "a".into(),
                    change: Change::Added,
                },
                Key {
                    name: "b".into(),
                    change: Change::Removed,
                },
            ],
            outcome,
            next: None,
            plugin: None,
        }
    }

    fn failed() -> Outcome {
        Outcome::Failed(Box::new(Failure::new(
            Stage::Fetch,
            Code::Denied,
            "the backend denied reading \"db\"",
        )))
    }

    fn verdict(outcomes: Vec<Outcome>) -> Verdict {
        Report {
            rows: outcomes.into_iter().map(row).collect(),
            ..Report::default()
        }
        .verdict()
    }

    #[test]
    fn the_verdict_tells_all_from_part_and_nothing() {
        assert_eq!(
            verdict(vec![Outcome::Created, Outcome::Unchanged]).exit_code(),
            0
        );
        assert_eq!(verdict(vec![failed(), Outcome::Ready]).exit_code(), 1);
        assert_eq!(verdict(vec![failed(), Outcome::Unchanged]).exit_code(), 3);
        assert_eq!(
            verdict(vec![Outcome::WouldUpdate, Outcome::Unchanged]).exit_code(),
            1
        );
        let late = Outcome::TimedOut(
            Box::new(Failure::new(Stage::Fetch, Code::Timeout, "late")),
            vec![],
        );
        assert_eq!(verdict(vec![late, Outcome::Created]).exit_code(), 124);
    }

    #[test]
    fn the_table_and_the_complaint_say_what_and_whose_fault() {
        let report = Report {
            rows: vec![row(Outcome::Updated), row(failed())],
            ..Report::default()
        };
        let table = report.table(true, false);
        assert!(
            table.starts_with("KIND            NAME         TARGET  KEYS   RESULT\n"),
            "{table}"
        );
        assert!(
            table.contains("ExternalSecret  default/app  app     +a -b  updated\n"),
            "{table}"
        );
        assert!(table.ends_with("failed (PST-1103)\n"), "{table}");
        assert!(report.table(true, true).contains("  NEXT\n"));
        assert_eq!(
            report.names(),
            "externalsecret/default/app\nexternalsecret/default/app\n"
        );
        assert_eq!(
            report.complaints(),
            [
                "ExternalSecret \"default/app\": the backend denied reading \"db\" (PST-1103, backend to blame, see docs/errors/PST-1103.md)"
            ]
        );
    }
}
