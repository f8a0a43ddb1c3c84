//! Collects the rows of a run, and after each check what the plugin said, logged and asked meanwhile.

use std::sync::PoisonError;

use crate::bench::{Bench, Checked, Stop};
use crate::recorder::Recorder;
use crate::report::{Row, Verdict};

/// The rows so far.
pub struct Rows {
    pub rows: Vec<Row>,
    recorder: Recorder,
    in_messages: Vec<String>,
    in_lines: Vec<String>,
    broke: Vec<String>,
}

impl Rows {
    pub fn new(recorder: Recorder) -> Self {
        Self {
            rows: Vec::new(),
            recorder,
            in_messages: Vec::new(),
            in_lines: Vec::new(),
            broke: Vec::new(),
        }
    }

    /// Ends a check.
    pub fn add(&mut self, bench: &Bench, check: &str, came: Checked) {
        let unexpected = bench.backend.unexpected();
        let lines = std::mem::take(&mut self.recorder.heard().lines);
        let secrets = bench.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |texts: &[String]| texts.iter().any(|text| secrets.shown_in(text));
        if shown(&bench.said()) {
            self.in_messages.push(check.to_owned());
        }
        if shown(&lines) {
            self.in_lines.push(check.to_owned());
        }
        // What never ends is asked for there.
        if bench.broke() && check != crate::engine::ENDLESS {
            self.broke.push(check.to_owned());
        }
        let verdict = match (came, unexpected.first()) {
            (Err(Stop::Unsupported(why)), _) => Verdict::Unsupported(why),
            (_, Some(request)) => Verdict::Failed(format!(
                "the plugin sent {request}, which no exchange of the fixture answers"
            )),
            (Err(Stop::Failed(why)), None) => Verdict::Failed(why),
            (Ok(()), None) => Verdict::Passed,
        };
        let verdict = match verdict {
            Verdict::Failed(why) => Verdict::Failed(secrets.clean(&why)),
            other => other,
        };
        self.push(check, verdict, None);
    }

    /// The checks of the whole run.
    pub fn finish(&mut self, memory: usize, cpu_ms: u64) {
        let messages = silent(&self.in_messages);
        self.push("nothing secret in messages", messages, None);
        let lines = silent(&self.in_lines);
        self.push("nothing secret in log lines", lines, None);
        let (most, took, calls) = {
            let heard = self.recorder.heard();
            (heard.memory, heard.cpu_ms, heard.calls)
        };
        let note = format!(
            "at most {:.1} of {} MiB and {took} of {cpu_ms} ms in one of {calls} calls",
            // A megabyte more or less matters, a byte does not.
            (most / 1024) as f64 / 1024.0,
            memory >> 20,
        );
        let verdict = if !self.broke.is_empty() {
            Verdict::Failed(format!(
                "a limit was broken during: {}",
                self.broke.join(", ")
            ))
        } else if calls == 0 {
            Verdict::Failed("no call was measured".to_owned())
        } else {
            Verdict::Passed
        };
        self.push("memory and CPU within limits", verdict, Some(note));
    }

    fn push(&mut self, check: &str, verdict: Verdict, note: Option<String>) {
        self.rows.push(Row {
            check: check.to_owned(),
            verdict,
            note,
        });
    }
}

fn silent(shown: &[String]) -> Verdict {
    if shown.is_empty() {
        return Verdict::Passed;
    }
    Verdict::Failed(format!(
        "a credential, a session, a value or the backend's words were shown during: {}",
        shown.join(", ")
    ))
}
