//! The log subscriber: lines of text or JSON on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines, one object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The filter does not parse.
    #[error(
        "the log level \"{filter}\" cannot be read; use error, warn, info, debug, or target=level pairs"
    )]
    Filter {
        /// As it was given.
        filter: String,
        /// Why.
        #[source]
        source: ParseError,
    },
    /// Somebody has set one up before.
    #[error("logging is set up already")]
    Installed(#[source] TryInitError),
}

/// What was refused is told whatever else is logged, unless the filter speaks of it.
fn with_audit(parsed: EnvFilter, filter: &str) -> EnvFilter {
    let audit = Some("audit=warn").filter(|_| !filter.contains("audit"));
    match audit.map(str::parse) {
        Some(Ok(directive)) => parsed.add_directive(directive),
        Some(Err(_)) | None => parsed,
    }
}

/// Sends the process's log to standard error; standard output carries data only.
pub fn install(format: Format, filter: &str, color: bool) -> Result<(), SetupError> {
    let parsed = EnvFilter::try_new(filter).map_err(|source| SetupError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let parsed = with_audit(parsed, filter);
    let ansi = color && std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .with_ansi(ansi);
    let installed = match format {
        Format::Text => builder.finish().try_init(),
        Format::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    installed.map_err(SetupError::Installed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_is_told_unless_the_filter_says_otherwise() {
        let filter = |text: &str| with_audit(EnvFilter::new(text), text).to_string();
        for plain in ["error", "postern_sync=debug", "off"] {
            assert!(filter(plain).contains("audit=warn"), "{plain}");
        }
        assert!(!filter("info,audit=off").contains("audit=warn"));
    }
}
