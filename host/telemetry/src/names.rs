//! Field names of log lines; one word per thing, the same as in the API, the messages and the metrics.

/// The object that is synced, as `namespace/name`.
pub const EXTERNAL_SECRET: &str = "external_secret";
/// A store, as `Kind "name"`.
pub const STORE: &str = "store";
/// A plugin's name.
pub const PLUGIN: &str = "plugin";
/// The object that is written, as `namespace/name`.
pub const TARGET: &str = "target";
/// A namespace.
pub const NAMESPACE: &str = "namespace";
/// The stable code of a failure, such as `PST-1103`.
pub const CODE: &str = "code";
/// Who has to act.
pub const BLAME: &str = "blame";
/// The step of a sync.
pub const STAGE: &str = "stage";
/// What came of it, as a closed set.
pub const RESULT: &str = "result";
/// Facts for the log only.
pub const DETAIL: &str = "detail";
/// A file or folder.
pub const PATH: &str = "path";
/// What was asked for, in the audit record.
pub const ACTION: &str = "action";
/// Whether it was allowed, in the audit record.
pub const DECISION: &str = "decision";
/// A store's kind.
pub const STORE_KIND: &str = "store_kind";
/// Where an entry stands in its manifest.
pub const ENTRY: &str = "entry";
/// A remote key, or what is searched.
pub const KEY: &str = "key";
/// Why, for people.
pub const REASON: &str = "reason";
/// How many.
pub const COUNT: &str = "count";
/// How long, in milliseconds.
pub const DURATION_MS: &str = "duration_ms";

/// Every field name, for documents and tests.
pub const ALL: [&str; 19] = [
    EXTERNAL_SECRET,
    STORE,
    PLUGIN,
    TARGET,
    NAMESPACE,
    CODE,
    BLAME,
    STAGE,
    RESULT,
    DETAIL,
    PATH,
    ACTION,
    DECISION,
    STORE_KIND,
    ENTRY,
    KEY,
    REASON,
    COUNT,
    DURATION_MS,
];

/// Names of metrics. Those without `postern_` are the peer's, so that its dashboards and alerts stay right.
pub mod metric {
    /// Looks at an ExternalSecret, also those that find nothing to do.
    pub const EXTERNAL_SECRET_CALLS: &str = "externalsecret_sync_calls_total";
    /// Syncs of an ExternalSecret that failed.
    pub const EXTERNAL_SECRET_ERRORS: &str = "externalsecret_sync_calls_error";
    /// Conditions of an ExternalSecret.
    pub const EXTERNAL_SECRET_CONDITION: &str = "externalsecret_status_condition";
    /// How long the last look at an ExternalSecret took.
    pub const EXTERNAL_SECRET_DURATION: &str = "externalsecret_reconcile_duration";
    /// Calls of backends.
    pub const PROVIDER_CALLS: &str = "externalsecret_provider_api_calls_count";
    /// Conditions of a SecretStore.
    pub const STORE_CONDITION: &str = "secretstore_status_condition";
    /// How long the last check of a SecretStore took.
    pub const STORE_DURATION: &str = "secretstore_reconcile_duration";
    /// Conditions of a ClusterSecretStore.
    pub const CLUSTER_STORE_CONDITION: &str = "clustersecretstore_status_condition";
    /// How long the last check of a ClusterSecretStore took.
    pub const CLUSTER_STORE_DURATION: &str = "clustersecretstore_reconcile_duration";
    /// Syncs by result.
    pub const SYNCS: &str = "postern_syncs_total";
    /// When an ExternalSecret was last synced.
    pub const LAST_SUCCESS: &str = "postern_externalsecret_last_success_timestamp_seconds";
    /// How long the oldest work waits.
    pub const QUEUE_AGE: &str = "postern_queue_age_seconds";
    /// How much work there is.
    pub const QUEUE_LENGTH: &str = "postern_queue_length";
    /// Entries and searches that were asked of a store.
    pub const FETCHES: &str = "postern_fetches_total";
    /// Objects asked of backends.
    pub const READS: &str = "postern_reads_total";
    /// Calls that carried reads or searches.
    pub const READ_CALLS: &str = "postern_read_calls_total";
    /// Pages of searches.
    pub const LIST_PAGES: &str = "postern_list_pages_total";
    /// Reads that another's request served.
    pub const COALESCED: &str = "postern_coalesced_total";
    /// Sessions opened.
    pub const LOGINS: &str = "postern_logins_total";
    /// Sessions extended.
    pub const RENEWALS: &str = "postern_renewals_total";
    /// Calls of plugins.
    pub const PLUGIN_CALLS: &str = "postern_plugin_calls_total";
    /// Time of calls of plugins by the clock.
    pub const PLUGIN_SECONDS: &str = "postern_plugin_seconds_total";
    /// Time of calls of plugins on a CPU.
    pub const PLUGIN_CPU: &str = "postern_plugin_cpu_seconds_total";
    /// The most memory one call of a plugin has taken.
    pub const PLUGIN_MEMORY: &str = "postern_plugin_memory_peak_bytes";
    /// What the bounds of this page kept out.
    pub const LEFT_OUT: &str = "postern_metrics_left_out_total";
}

/// Names of metrics' labels.
pub mod label {
    /// An object's name.
    pub const NAME: &str = "name";
    /// An object's namespace; empty for one of the cluster.
    pub const NAMESPACE: &str = "namespace";
    /// A condition's type.
    pub const CONDITION: &str = "condition";
    /// A condition's status, or how a call of a backend ended.
    pub const STATUS: &str = "status";
    /// A kind of backend, as the peer names it.
    pub const PROVIDER: &str = "provider";
    /// A call of a backend, as the peer names it.
    pub const CALL: &str = "call";
    /// What came of it.
    pub const RESULT: &str = "result";
    /// The stable code of a failure.
    pub const CODE: &str = "code";
    /// A kind of object.
    pub const KIND: &str = "kind";
    /// A plugin's name.
    pub const PLUGIN: &str = "plugin";
    /// A function of the contract with plugins.
    pub const FUNCTION: &str = "function";
    /// Labels that `--enable-extended-metric-labels` adds, and the labels of an ExternalSecret that they show.
    pub const EXTENDED: [(&str, &str); 6] = [
        ("app_kubernetes_io_name", "app.kubernetes.io/name"),
        ("app_kubernetes_io_instance", "app.kubernetes.io/instance"),
        ("app_kubernetes_io_version", "app.kubernetes.io/version"),
        ("app_kubernetes_io_component", "app.kubernetes.io/component"),
        ("app_kubernetes_io_part_of", "app.kubernetes.io/part-of"),
        (
            "app_kubernetes_io_managed_by",
            "app.kubernetes.io/managed-by",
        ),
    ];
}
