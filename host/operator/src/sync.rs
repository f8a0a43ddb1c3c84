//! `postern sync`: the folder's manifests once, or for as long as nobody ends it.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use postern_registry::Registry;
use postern_standalone::folder;
use postern_standalone::output::Output;
use postern_standalone::pass::{Moment, Options, Standalone, overlaps};
use postern_standalone::plugins::Outside;
use postern_standalone::report::Report;
use postern_standalone::watch::{self, Watched};
use tokio::time::Instant;

use crate::args::{Format, Sync};
use crate::{plugins, print, say, signals};

/// Runs the command.
pub async fn run(sync: Sync) -> anyhow::Result<ExitCode> {
    if let Some(to) = sync.to.as_ref().filter(|to| overlaps(&sync.from, to)) {
        bail!(
            "--to {} lies in --from {}, where results would be read as manifests; choose a folder outside",
            to.display(),
            sync.from.display()
        );
    }
    let manifests = Arc::new(folder::read(&sync.from)?);
    if manifests.external_secrets.is_empty() && manifests.problems.is_empty() && !sync.watch {
        bail!(
            "{} holds no ExternalSecret; give --from a folder with manifests",
            sync.from.display()
        );
    }
    let files = plugins::files(&sync.plugins)?;
    let mut settings = plugins::settings(&sync.plugins, true)?;
    // A pass ends by its own time; the doors must not give up before.
    settings.wait_deadline = settings.wait_deadline.max(sync.timeout);
    let granted = settings.directories.values().cloned();
    let beside = granted.chain(files.clone()).collect();
    let host = Arc::new(plugins::load(&sync.plugins, None).await?);
    let outside = Outside {
        sources: Arc::new(Registry::new(plugins::cache(&sync.plugins), files)),
        revisions: host.clone(),
    };
    let options = Options {
        output: Output {
            to: sync.to.clone(),
            layout: sync.form.into(),
            dry_run: sync.dry_run,
        },
        timeout: sync.timeout,
        controller_class: sync.plugins.controller_class.clone(),
        require_store_access: sync.plugins.require_store_access,
        delimiters: sync.plugins.delimiters(),
    };
    let standalone = Standalone::new(host, outside, settings, options)
        .context("opening the doors to plugins")?;
    let mut signals = signals::Signals::new()?;
    let ended = if sync.watch {
        let watched = Watched {
            from: sync.from.clone(),
            beside,
        };
        tokio::select! {
            () = watch::watch(&standalone, &watched, Timestamp::now, |pass| match pass {
                Ok(report) => tell(&report, sync.output, false),
                Err(error) => say(&format!("error: {error:#}; what was read before serves on")),
            }) => ExitCode::SUCCESS,
            code = signals.wait() => code,
        }
    } else {
        let at = Moment {
            now: Timestamp::now(),
            due: Instant::now(),
        };
        tokio::select! {
            report = standalone.pass(&manifests, None, at) => {
                tell(&report, sync.output, true);
                ExitCode::from(report.verdict().exit_code())
            }
            code = signals.wait() => code,
        }
    };
    standalone.shutdown().await;
    Ok(ended)
}

fn tell(report: &Report, format: Format, all: bool) {
    let data = match format {
        Format::Text => report.table(all, false),
        Format::Wide => report.table(all, true),
        Format::Json => format!("{}\n", report.json()),
        // JSON is YAML; the mark separates the documents of a watch.
        Format::Yaml => format!("---\n{}\n", report.json()),
        Format::Name => report.names(),
    };
    // A reader that went away is noticed by the next signal; the files are written all the same.
    let _ = print(&data);
    for complaint in report.complaints() {
        say(&format!("error: {complaint}"));
    }
    if matches!(format, Format::Text | Format::Wide) && all && !report.ignored.is_empty() {
        let mut kinds: Vec<&str> = report.ignored.iter().map(|i| i.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        say(&format!(
            "note: {} documents of other kinds were passed over ({})",
            report.ignored.len(),
            kinds.join(", ")
        ));
    }
}
