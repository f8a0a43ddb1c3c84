//! Counters and their text form for Prometheus. Labels come from closed sets only: never a name of an object, never a text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// What a metric counts, with the labels it has.
struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
}

/// Every metric, so that names and labels stand in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Syncs by result.
    Syncs,
}

impl Metric {
    const ALL: [Self; 1] = [Self::Syncs];

    const fn family(self) -> Family {
        match self {
            Self::Syncs => Family {
                name: "postern_syncs_total",
                help: "Syncs by result and failure code.",
                labels: &["result", "code"],
            },
        }
    }
}

/// The counters of a process.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<BTreeMap<(Metric, Vec<&'static str>), u64>>,
}

impl Metrics {
    /// Adds to a counter. Labels are given in the family's order, and are constants by their type.
    pub fn add(&self, metric: Metric, labels: &[&'static str], by: u64) {
        debug_assert_eq!(
            labels.len(),
            metric.family().labels.len(),
            "{}",
            metric.family().name
        );
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((metric, labels.to_vec())).or_default() += by;
    }

    /// The text that a scrape gets.
    #[must_use]
    pub fn text(&self) -> String {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for metric in Metric::ALL {
            let Family { name, help, labels } = metric.family();
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            for ((_, values), count) in counts.iter().filter(|((m, _), _)| *m == metric) {
                let pairs: Vec<String> = labels
                    .iter()
                    .zip(values)
                    .map(|(l, v)| format!("{l}=\"{v}\""))
                    .collect();
                let _ = writeln!(text, "{name}{{{}}} {count}", pairs.join(","));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Metric, Metrics};

    #[test]
    fn a_scrape_shows_each_series_once_with_its_sum() {
        let metrics = Metrics::default();
        metrics.add(Metric::Syncs, &["updated", ""], 1);
        metrics.add(Metric::Syncs, &["updated", ""], 2);
        metrics.add(Metric::Syncs, &["failed", "PST-1103"], 1);
        let text = metrics.text();
        assert!(
            text.contains("postern_syncs_total{result=\"updated\",code=\"\"} 3\n"),
            "{text}"
        );
        assert!(
            text.contains("postern_syncs_total{result=\"failed\",code=\"PST-1103\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE postern_syncs_total counter\n"),
            "{text}"
        );
    }
}
