//! What `/metrics` shows: reports of the controller and the runtime are counted here, and the rest is read at a scrape.

use std::sync::Arc;

use postern_controller::{OnReport, Reading, Readings, Report};
use postern_core::conclude::Written;
use postern_core::failure::Code;
use postern_runtime::OnUsage;
use postern_sync::{Calls, End, Fetches, Stats, Task};
use postern_telemetry::metrics::{self, Kind, Look, Metrics, Sample, Subject};

/// Measures one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Meter {
    metrics: Arc<Metrics>,
    readings: Readings,
}

impl Meter {
    /// Measures what these readings show; `extended` adds labels of ExternalSecrets.
    pub fn new(extended: bool, readings: Readings) -> Self {
        Self {
            metrics: Arc::new(Metrics::new(extended)),
            readings,
        }
    }

    /// What the controller tells its reports.
    pub fn reports(&self) -> OnReport {
        let metrics = Arc::clone(&self.metrics);
        Arc::new(move |report| take(&metrics, report))
    }

    /// What the runtime tells of calls of plugins.
    pub fn usage(&self) -> OnUsage {
        let metrics = Arc::clone(&self.metrics);
        Arc::new(move |usage| {
            // What has not described itself yet has no name of its own.
            if usage.function == "describe" {
                return;
            }
            let at = [usage.plugin, usage.function];
            let result = if usage.failed { "failed" } else { "ok" };
            metrics.add(&metrics::PLUGIN_CALLS, &[at[0], at[1], result], 1.0);
            metrics.add(&metrics::PLUGIN_SECONDS, &at, usage.wall.as_secs_f64());
            metrics.add(&metrics::PLUGIN_CPU, &at, usage.cpu.as_secs_f64());
            metrics.raise(
                &metrics::PLUGIN_MEMORY,
                &[usage.plugin],
                float(usage.memory as u64),
            );
        })
    }

    /// The text that a scrape gets.
    pub fn text(&self) -> String {
        self.metrics
            .text(self.readings.now().iter().flat_map(samples))
    }
}

fn take(metrics: &Metrics, report: Report<'_>) {
    match report {
        Report::Synced { subject, result } => {
            metrics.add(&metrics::SYNCS, &labels(result), 1.0);
            if result.is_err() {
                metrics.failed(&subject_of(subject));
            }
        }
        Report::Looked {
            subject,
            labels,
            ready,
            refreshed,
            took,
        } => {
            let look = Look {
                labels,
                ready,
                last_success: refreshed.map(|at| at.as_duration().as_secs_f64()),
                took,
            };
            metrics.looked(&subject_of(subject), &look);
        }
        Report::Gone { subject } => metrics.gone(&subject_of(subject)),
    }
}

fn subject_of(subject: postern_controller::Subject<'_>) -> Subject {
    let kind = match subject.kind {
        "SecretStore" => Kind::SecretStore,
        "ClusterSecretStore" => Kind::ClusterSecretStore,
        _ => Kind::ExternalSecret,
    };
    (kind, subject.namespace.to_owned(), subject.name.to_owned())
}

/// Result and failure code of a sync, as labels.
const fn labels(result: Result<Written, Code>) -> [&'static str; 2] {
    match result {
        Ok(Written::Created) => ["created", ""],
        Ok(Written::Updated) => ["updated", ""],
        Ok(Written::Unchanged) => ["unchanged", ""],
        Ok(Written::Deleted) => ["deleted", ""],
        Ok(Written::Gone) => ["gone", ""],
        Ok(Written::Retained) => ["retained", ""],
        Ok(Written::Missing) => ["missing", ""],
        Ok(Written::Skipped) => ["skipped", ""],
        Err(code) => ["failed", code.label()],
    }
}

fn samples(reading: &Reading) -> Vec<Sample> {
    let Stats {
        reads,
        batches,
        lists,
        coalesced,
        logins,
        renewals,
        failures: _,
    } = reading.stats;
    let counts = [
        (&metrics::QUEUE_LENGTH, reading.queued as u64),
        (&metrics::READS, reads),
        (&metrics::READ_CALLS, batches),
        (&metrics::LIST_PAGES, lists),
        (&metrics::COALESCED, coalesced),
        (&metrics::LOGINS, logins),
        (&metrics::RENEWALS, renewals),
    ];
    let mut samples: Vec<Sample> = counts
        .into_iter()
        .map(|(family, count)| (family, Vec::new(), float(count)))
        .collect();
    let age = reading.oldest.as_secs_f64();
    samples.push((&metrics::QUEUE_AGE, Vec::new(), age));
    samples.extend(fetches(&reading.fetches));
    samples.extend(calls(&reading.calls));
    samples
}

fn fetches(fetches: &Fetches) -> impl Iterator<Item = Sample> {
    fetches.iter().map(|((store, end), count)| {
        let end = match end {
            End::Found => "found",
            End::Absent => "absent",
            End::Failed => "failed",
        };
        let labels = [store.kind.as_str(), &store.namespace, &store.name, end];
        let labels = labels.into_iter().map(str::to_owned).collect();
        (&metrics::FETCHES, labels, float(*count))
    })
}

/// Calls as the peer names them. Several of ours can be one of theirs, so they are summed.
fn calls(calls: &Calls) -> Vec<Sample> {
    let mut sums = std::collections::BTreeMap::<_, u64>::new();
    for ((provider, task, end), count) in calls {
        if let Some((name, call)) = call(provider, *task) {
            let failed = match end {
                End::Found => false,
                End::Absent => matches!(provider.as_str(), "kubernetes" | "gcpsm"),
                End::Failed => true,
            };
            let status = if failed { "error" } else { "success" };
            *sums.entry([name, call, status]).or_default() += count;
        }
    }
    sums.into_iter()
        .map(|(labels, count)| {
            let labels = labels.map(str::to_owned).to_vec();
            (&metrics::PROVIDER_CALLS, labels, float(count))
        })
        .collect()
}

/// The peer's names of a provider and its call, where it has them.
fn call(provider: &str, task: Task) -> Option<(&'static str, &'static str)> {
    Some(match (provider, task) {
        ("vault", Task::Login) => ("HashiCorp/Vault", "Login"),
        ("vault", Task::Close) => ("HashiCorp/Vault", "RevokeSelf"),
        ("vault", Task::Probe) => ("HashiCorp/Vault", "LookupSelf"),
        ("vault", Task::Read) => ("HashiCorp/Vault", "ReadSecretData"),
        ("vault", Task::Find) => ("HashiCorp/Vault", "ListSecrets"),
        ("kubernetes", Task::Probe) => ("Kubernetes", "CreateSelfSubjectRulesReview"),
        ("kubernetes", Task::Read) => ("Kubernetes", "GetSecret"),
        ("kubernetes", Task::Find) => ("Kubernetes", "ListSecrets"),
        ("azurekv", Task::Read) => ("Azure/KeyVault", "GetSecret"),
        ("azurekv", Task::Find) => ("Azure/KeyVault", "GetSecrets"),
        ("gcpsm", Task::Login) => ("GCP/SecretManager", "GenerateAccessToken"),
        ("gcpsm", Task::Read) => ("GCP/SecretManager", "AccessSecretVersion"),
        ("gcpsm", Task::Find) => ("GCP/SecretManager", "ListSecrets"),
        ("webhook", Task::Read) => ("Webhook", "HTTPRequest"),
        _ => return None,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts as Prometheus has them; exact to 2^53"
)]
const fn float(count: u64) -> f64 {
    count as f64
}
