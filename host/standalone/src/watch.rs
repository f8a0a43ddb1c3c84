//! Syncs again at refresh intervals and when the folder or a granted directory has changed, until it is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::folder::{self, FolderError, Seen};
use crate::manifest::{Manifests, Name};
use crate::pass::{Moment, Standalone};
use crate::report::{Report, Row};

/// A person who saves a file waits this long at most; looking costs a `stat` a file.
const LOOK: Duration = Duration::from_secs(1);

/// What is watched.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The folder of the manifests.
    pub from: PathBuf,
    /// Directories that plugins may read, and the one that holds plugins.
    pub beside: Vec<PathBuf>,
}

/// Passes for ever. Each report goes to `tell`; a folder that cannot be read goes to it too, and the last manifests serve on.
pub async fn watch(
    standalone: &Standalone,
    watched: &Watched,
    clock: impl Fn() -> Timestamp,
    mut tell: impl FnMut(Result<Report, FolderError>),
) {
    let mut manifests = Arc::new(Manifests::default());
    let mut seen = None;
    let mut due: BTreeMap<Name, Timestamp> = BTreeMap::new();
    let mut plugins = Plugins::default();
    loop {
        let is = Seen::of(
            std::iter::once(watched.from.as_path()).chain(watched.beside.iter().map(Path::new)),
        );
        let now = clock();
        let mut only = None;
        if seen.as_ref() == Some(&is) {
            let names: BTreeSet<Name> = due
                .iter()
                .filter(|(_, at)| **at <= now)
                .map(|(name, _)| name.clone())
                .collect();
            if names.is_empty() && plugins.due.is_none_or(|at| at > now) {
                sleep(LOOK).await;
                continue;
            }
            only = Some(names);
        } else {
            seen = Some(is);
            match folder::read(&watched.from) {
                Ok(read) => manifests = Arc::new(read),
                Err(error) => tell(Err(error)),
            }
            due.clear();
        }
        let report = standalone
            .pass(
                &manifests,
                only.as_ref(),
                Moment {
                    now,
                    due: Instant::now(),
                },
            )
            .await;
        for row in report
            .rows
            .iter()
            .filter(|row| row.kind == "ExternalSecret")
        {
            let name = (row.namespace.clone(), row.name.clone());
            match row.next {
                Some(next) => due.insert(name, next),
                None => due.remove(&name),
            };
        }
        // Another revision may answer what the one before could not.
        if plugins.follow(&report) {
            seen = None;
        }
        tell(Ok(report));
    }
}

/// What was last seen of the folder's Plugins.
#[derive(Default)]
struct Plugins {
    /// When the first of them is looked at again.
    due: Option<Timestamp>,
    serving: Option<BTreeMap<String, Option<String>>>,
}

impl Plugins {
    /// Takes note of a pass; true where another revision serves than after the pass before.
    fn follow(&mut self, report: &Report) -> bool {
        let rows = || report.rows.iter().filter(|row| row.kind == "Plugin");
        self.due = rows().filter_map(|row| row.next).min();
        let digest = |row: &Row| row.plugin.as_ref().and_then(|p| p.digest.clone());
        let serving = rows().map(|row| (row.name.clone(), digest(row))).collect();
        let before = self.serving.replace(serving);
        before.is_some() && before != self.serving
    }
}
