//! Every metric: name, type, help and labels, so that the page, the scrape and `docs/metrics.md` have one source.

use crate::names::{label, metric};

/// A metric.
#[derive(Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Its labels, without the extended ones.
    pub labels: &'static [&'static str],
    /// Whether `--enable-extended-metric-labels` adds labels.
    pub extended: bool,
}

const OBJECT: &[&str] = &[label::NAME, label::NAMESPACE];
const CONDITION: &[&str] = &[
    label::NAME,
    label::NAMESPACE,
    label::CONDITION,
    label::STATUS,
];
const USE: &[&str] = &[label::PLUGIN, label::FUNCTION];

macro_rules! families {
    ($($(#[doc = $doc:literal])+ $id:ident = $name:expr, $kind:literal, $labels:expr, $extended:literal, $help:literal;)+) => {
        $($(#[doc = $doc])+ pub static $id: Family = Family {
            name: $name, kind: $kind, help: $help, labels: $labels, extended: $extended,
        };)+
        /// All of them, in the order of a scrape.
        pub static ALL: &[&Family] = &[$(&$id),+];
    };
}

families! {
    /// Looks at an ExternalSecret.
    EXTERNAL_SECRET_CALLS = metric::EXTERNAL_SECRET_CALLS, "counter", OBJECT, true,
        "Reconciles of an ExternalSecret, also those that find nothing to do.";
    /// Failed syncs of an ExternalSecret.
    EXTERNAL_SECRET_ERRORS = metric::EXTERNAL_SECRET_ERRORS, "counter", OBJECT, true,
        "Syncs of an ExternalSecret that failed.";
    /// Conditions of an ExternalSecret.
    EXTERNAL_SECRET_CONDITION = metric::EXTERNAL_SECRET_CONDITION, "gauge", CONDITION, true,
        "1 for the status that a condition of an ExternalSecret has, 0 for the opposite one.";
    /// How long the last look at an ExternalSecret took.
    EXTERNAL_SECRET_DURATION = metric::EXTERNAL_SECRET_DURATION, "gauge", OBJECT, true,
        "Nanoseconds that the last reconcile of an ExternalSecret took.";
    /// Calls of backends.
    PROVIDER_CALLS = metric::PROVIDER_CALLS, "counter", &[label::PROVIDER, label::CALL, label::STATUS], false,
        "Calls of backends.";
    /// Conditions of a SecretStore.
    STORE_CONDITION = metric::STORE_CONDITION, "gauge", CONDITION, false,
        "1 for the status that a condition of a SecretStore has, 0 for the opposite one.";
    /// How long the last check of a SecretStore took.
    STORE_DURATION = metric::STORE_DURATION, "gauge", OBJECT, false,
        "Nanoseconds that the last check of a SecretStore took.";
    /// Conditions of a ClusterSecretStore.
    CLUSTER_STORE_CONDITION = metric::CLUSTER_STORE_CONDITION, "gauge", CONDITION, false,
        "1 for the status that a condition of a ClusterSecretStore has, 0 for the opposite one.";
    /// How long the last check of a ClusterSecretStore took.
    CLUSTER_STORE_DURATION = metric::CLUSTER_STORE_DURATION, "gauge", OBJECT, false,
        "Nanoseconds that the last check of a ClusterSecretStore took.";
    /// Syncs by result.
    SYNCS = metric::SYNCS, "counter", &[label::RESULT, label::CODE], false,
        "Syncs by result and failure code.";
    /// When an ExternalSecret was last synced.
    LAST_SUCCESS = metric::LAST_SUCCESS, "gauge", OBJECT, false,
        "When an ExternalSecret was last synced, in seconds since 1970.";
    /// How long the oldest work waits.
    QUEUE_AGE = metric::QUEUE_AGE, "gauge", &[], false,
        "How long the oldest work that is due or under way has been due.";
    /// How much work there is.
    QUEUE_LENGTH = metric::QUEUE_LENGTH, "gauge", &[], false,
        "Objects that are due or under way.";
    /// What was asked of a store.
    FETCHES = metric::FETCHES, "counter", &[label::KIND, label::NAMESPACE, label::NAME, label::RESULT], false,
        "Entries and searches that syncs asked of a store.";
    /// Objects asked of backends.
    READS = metric::READS, "counter", &[], false, "Objects asked of backends.";
    /// Calls that carried them.
    READ_CALLS = metric::READ_CALLS, "counter", &[], false, "Calls of plugins that carried reads, and searches.";
    /// Pages of searches.
    LIST_PAGES = metric::LIST_PAGES, "counter", &[], false, "Pages of searches asked of backends.";
    /// Reads that another's request served.
    COALESCED = metric::COALESCED, "counter", &[], false,
        "Reads and searches that were served by another's request.";
    /// Sessions opened.
    LOGINS = metric::LOGINS, "counter", &[], false, "Sessions opened at backends.";
    /// Sessions extended.
    RENEWALS = metric::RENEWALS, "counter", &[], false, "Sessions extended at backends.";
    /// Calls of plugins.
    PLUGIN_CALLS = metric::PLUGIN_CALLS, "counter", &[label::PLUGIN, label::FUNCTION, label::RESULT], false,
        "Calls of plugins.";
    /// Time of calls by the clock.
    PLUGIN_SECONDS = metric::PLUGIN_SECONDS, "counter", USE, false,
        "Time that calls of plugins took by the clock, waits for backends included.";
    /// Time of calls on a CPU.
    PLUGIN_CPU = metric::PLUGIN_CPU, "counter", USE, false,
        "Time that calls of plugins took on a CPU, counted in steps of 10 ms.";
    /// The most memory one call has taken.
    PLUGIN_MEMORY = metric::PLUGIN_MEMORY, "gauge", &[label::PLUGIN], false,
        "The most linear memory that one call of a plugin has taken since the start.";
    /// What the bounds kept out.
    LEFT_OUT = metric::LEFT_OUT, "counter", &[], false,
        "Measurements that are not shown, because there are too many series.";
}
