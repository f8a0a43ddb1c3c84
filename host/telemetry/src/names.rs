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
/// How many.
pub const COUNT: &str = "count";
/// How long, in milliseconds.
pub const DURATION_MS: &str = "duration_ms";

/// Every field name, for documents and tests.
pub const ALL: [&str; 13] = [
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
    COUNT,
    DURATION_MS,
];
