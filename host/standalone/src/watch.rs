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
use crate::report::Report;

/// A person who saves a file waits this long at most; looking costs a `stat` a file.
const LOOK: Duration = Duration::from_secs(1);

/// What is watched.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The folder of the manifests.
    pub from: PathBuf,
    /// Directories that plugins may read.
    pub granted: Vec<PathBuf>,
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
    loop {
        let is = Seen::of(
            std::iter::once(watched.from.as_path()).chain(watched.granted.iter().map(Path::new)),
        );
        let now = clock();
        let mut only = None;
        if seen.as_ref() == Some(&is) {
            let names: BTreeSet<Name> = due
                .iter()
                .filter(|(_, at)| **at <= now)
                .map(|(name, _)| name.clone())
                .collect();
            if names.is_empty() {
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
        tell(Ok(report));
    }
}
