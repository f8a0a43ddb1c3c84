//! What a run found: named rows, as a table for people and as JSON for programs. Holds no value and no credential.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The plugin did as the contract says.
    Passed,
    /// It did not; the text says what came instead.
    Failed(String),
    /// The fixture says that the plugin or its backend has nothing of the kind, and why. Nothing was checked.
    Unsupported(String),
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name; part of the interface, like the members of the JSON.
    pub check: String,
    /// What it came to.
    pub verdict: Verdict,
    /// What was measured, where something was.
    pub note: Option<String>,
}

/// All checks of one run, in the order in which they ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Name and version of the plugin; empty where it could not be loaded.
    pub plugin: String,
    /// The checks.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether no check failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self
            .rows
            .iter()
            .any(|row| matches!(row.verdict, Verdict::Failed(_)))
    }

    /// One line a check, and a last line that counts them.
    #[must_use]
    pub fn table(&self) -> String {
        let widest = self.rows.iter().map(|row| row.check.len()).max();
        let width = widest.unwrap_or_default();
        let mut table = String::new();
        let mut counts = [0_usize; 3];
        for row in &self.rows {
            let (word, text) = words(&row.verdict);
            let text = text.or(row.note.as_deref()).unwrap_or_default();
            counts[match row.verdict {
                Verdict::Passed => 0,
                Verdict::Failed(_) => 1,
                Verdict::Unsupported(_) => 2,
            }] += 1;
            let line = format!("{:width$}  {word:11}  {text}", row.check);
            table.push_str(line.trim_end());
            table.push('\n');
        }
        let [passed, failed, unsupported] = counts;
        let _ = writeln!(
            table,
            "{}: {passed} passed, {failed} failed, {unsupported} unsupported",
            self.plugin
        );
        table
    }

    /// The same for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let (word, text) = words(&row.verdict);
                json!({"check": row.check, "verdict": word, "reason": text, "note": row.note})
            })
            .collect();
        json!({"schemaVersion": 1, "plugin": self.plugin, "passed": self.passed(), "rows": rows})
    }
}

fn words(verdict: &Verdict) -> (&'static str, Option<&str>) {
    match verdict {
        Verdict::Passed => ("passed", None),
        Verdict::Failed(why) => ("failed", Some(why)),
        Verdict::Unsupported(why) => ("unsupported", Some(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Row, Verdict};

    fn report(verdicts: &[Verdict]) -> Report {
        let rows = verdicts.iter().map(|verdict| Row {
            check: "present".into(),
            verdict: verdict.clone(),
            note: None,
        });
        Report {
            plugin: "p 1".into(),
            rows: rows.collect(),
        }
    }

    #[test]
    fn what_is_unsupported_is_shown_as_such_and_counts_neither_way() {
        let report = report(&[Verdict::Passed, Verdict::Unsupported("no tags".into())]);
        assert!(report.passed());
        assert_eq!(
            report.table(),
            "present  passed\npresent  unsupported  no tags\np 1: 1 passed, 0 failed, 1 unsupported\n"
        );
        assert_eq!(report.json()["rows"][1]["verdict"], "unsupported");
    }

    #[test]
    fn one_failed_row_fails_the_report() {
        let report = report(&[Verdict::Passed, Verdict::Failed("why".into())]);
        assert!(!report.passed());
        assert_eq!(report.json()["passed"], false);
    }
}
