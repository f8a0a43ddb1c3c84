//! What went wrong in a call, as core's failure: traps, limits, broken contracts. Never a guest's text uncut.

use std::sync::Arc;

use postern_core::failure::{Code, Failure, Stage, one_line};
use zeroize::Zeroizing;

/// Which limit a call broke, noted where it was noticed, since the error that reaches the caller is only a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Memory,
    Cpu,
    Tables,
    Requests,
    BytesOut,
    BytesIn,
}

/// Who was called and how, for messages.
#[derive(Clone, Debug)]
pub struct Callee {
    /// `name version` of the plugin, or the file's name while it has not described itself.
    pub plugin: Arc<str>,
    /// The function of the contract.
    pub function: &'static str,
    pub stage: Stage,
}

impl Callee {
    pub fn failure(&self, code: Code, what: impl std::fmt::Display) -> Failure {
        Failure::new(
            self.stage,
            code,
            format!("plugin {} {what} in {}", self.plugin, self.function),
        )
    }
}

/// A guest's text may have this many bytes in a public message.
const GUEST_TEXT: usize = 400;

/// Values shorter than this are not searched for: they would blank ordinary words, and guessing them is easier anyway.
const MIN_REDACTED: usize = 6;

/// Takes this call's secrets out of a guest's text.
#[derive(Clone, Default)]
pub struct Cleaner {
    secrets: Vec<Zeroizing<String>>,
}

impl Cleaner {
    /// Knows these values and their lines: a PEM key must not slip through line by line.
    pub fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut secrets: Vec<Zeroizing<String>> = Vec::new();
        for value in values {
            let text = Zeroizing::new(String::from_utf8_lossy(value).into_owned());
            for piece in std::iter::once(text.trim()).chain(text.lines().map(str::trim)) {
                if piece.len() >= MIN_REDACTED && !secrets.iter().any(|s| s.as_str() == piece) {
                    secrets.push(Zeroizing::new(piece.to_owned()));
                }
            }
        }
        // The longest first, so that no part of a value stays behind because another value is contained in it.
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        Self { secrets }
    }

    /// One line, cut, without any value of this call.
    pub fn clean(&self, text: &str) -> String {
        self.clean_to(text, GUEST_TEXT)
    }

    pub fn clean_to(&self, text: &str, max: usize) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "<redacted>");
            }
        }
        one_line(&text, max)
    }
}

impl std::fmt::Debug for Cleaner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cleaner({} values)", self.secrets.len())
    }
}

/// What is needed to read a guest's failures.
#[derive(Debug)]
pub struct Reader {
    pub stage: Stage,
    pub cleaner: Cleaner,
    /// Texts with which the host itself refused something in this call, and what they stand for.
    pub refused: Vec<(Code, String)>,
}

impl Reader {
    /// The code of a failure: where the guest passes on the host's own refusal, that of the refusal.
    pub fn code(&self, code: &str, message: &str) -> Code {
        match Code::from_contract(code) {
            Code::Denied => self
                .refused
                .iter()
                .find(|(_, text)| message.contains(text))
                .map_or(Code::Denied, |r| r.0),
            other => other,
        }
    }
}

/// A failed call as core's failure.
pub fn of_error(
    callee: &Callee,
    error: &wasmtime::Error,
    broken: Option<Limit>,
    limits: &crate::Limits,
) -> Failure {
    if let Some(limit) = broken {
        return callee.failure(Code::LimitExceeded, limit_text(limit, limits));
    }
    if let Some(trap) = error.downcast_ref::<wasmtime::Trap>() {
        let what = match trap {
            wasmtime::Trap::StackOverflow => "used up its stack".to_owned(),
            wasmtime::Trap::UnreachableCodeReached => "gave up (it panicked or aborted)".to_owned(),
            other => format!("was stopped ({other})"),
        };
        let code = if *trap == wasmtime::Trap::StackOverflow {
            Code::LimitExceeded
        } else {
            Code::Trapped
        };
        return callee.failure(code, what);
    }
    let text = format!("{:#}", error.root_cause());
    if text.contains("utf-8") || text.contains("UTF-8") {
        return callee.failure(
            Code::ContractBroken,
            "handed over a text that is not valid UTF-8",
        );
    }
    if text.contains("fuel") {
        return callee.failure(
            Code::LimitExceeded,
            format_args!(
                "handed over more than {} MiB at once",
                limits.hostcall >> 20
            ),
        );
    }
    callee
        .failure(Code::Trapped, "broke the rules of components")
        .with_detail(text)
}

fn limit_text(limit: Limit, limits: &crate::Limits) -> String {
    match limit {
        Limit::Memory => format!("wanted more than {} MiB of memory", limits.memory >> 20),
        Limit::Cpu => format!("used more than {} s of CPU time", limits.cpu.as_secs()),
        Limit::Tables => format!(
            "wanted a table of more than {} elements",
            crate::limits::TABLE_ELEMENTS
        ),
        Limit::Requests => format!("sent more than {} requests", limits.requests),
        Limit::BytesOut => format!("sent more than {} KiB", limits.bytes_out >> 10),
        Limit::BytesIn => format!("received more than {} MiB", limits.bytes_in >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::Cleaner;

    #[test]
    fn values_of_the_call_leave_a_text_whole_or_by_line() {
        let cleaner =
            Cleaner::of([b"hunter2-hunter2".as_slice(), b"-----BEGIN\nMIIEvQIBADAN\n"].into_iter());
        assert_eq!(cleaner.clean("with hunter2-hunter2!"), "with <redacted>!");
        assert_eq!(cleaner.clean("key MIIEvQIBADAN"), "key <redacted>");
    }

    #[test]
    fn short_values_are_not_searched_for() {
        assert_eq!(
            Cleaner::of([b"a".as_slice()].into_iter()).clean("banana"),
            "banana"
        );
    }
}
