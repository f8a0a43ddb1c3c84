//! Every limit on a plugin, by name and with its reason. Pure numbers; the rooms beside enforce them.

use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Epoch ticks: the resolution of CPU metering, and how long a busy guest keeps others of its thread waiting.
pub const TICK: Duration = Duration::from_millis(10);

/// Live instances at once. Each reserves 4 GiB of addresses for a memory, and 64 calls in flight keep every backend busy.
pub const POOL_COMPONENTS: u32 = 64;

/// The part of them kept for template engines: a provider that renders holds its own place meanwhile, and must not wait for
/// one that only another such provider could give back.
pub const POOL_ENGINES: u32 = 16;

/// Core instances one component may have: adapters and shims need a dozen, and CPython with its libraries, each a module
/// of its own, 38.
pub const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

/// Memories one component may have: its own, an adapter's, and room.
pub const MEMORIES_PER_COMPONENT: u32 = 4;

/// Tables one component may have.
pub const TABLES_PER_COMPONENT: u32 = 16;

/// Elements of a table: a Go or .NET guest has tens of thousands of functions.
pub const TABLE_ELEMENTS: usize = 100_000;

/// The stack a guest may use.
pub const WASM_STACK: usize = 512 * KIB;

/// The fiber's stack: the guest's and that of host functions on top.
pub const ASYNC_STACK: usize = MIB;

/// Size of a component's file: the Python interpreter with its library takes 19 MB.
pub const COMPONENT_BYTES: usize = 40 * MIB;

/// Compile time in the child, in CPU seconds: the largest of ours takes 8.
pub const COMPILE_CPU: Duration = Duration::from_secs(120);

/// Compile time in the child, by the clock.
pub const COMPILE_WALL: Duration = Duration::from_secs(240);

/// Address space of the compiling child: the largest of ours takes 400 MB.
pub const COMPILE_MEMORY: u64 = 4 << 30;

/// Time that `describe` and `examine` may take: they are pure, and run when a plugin is loaded or a store is checked.
pub const PURE_CALL: Duration = Duration::from_secs(10);

/// How long a render may wait for its place, and then for a CPU: it waits for nothing else, so its meter of CPU time ends it
/// long before, unless all places are taken by renders that use up theirs.
pub const RENDER_WALL: Duration = Duration::from_secs(120);

/// Handles a component may hold: our interfaces have no resources, so whatever it holds is its own.
pub const HANDLES: usize = 1_000;

/// Bytes one log line may have.
pub const LOG_LINE: usize = KIB;

/// Fields one log line may have.
pub const LOG_FIELDS: usize = 8;

/// Bytes of a file that a plugin may read: as much as a value, since it becomes one.
pub const FILE_BYTES: u64 = MIB as u64;

/// Names that a directory listing may have.
pub const DIRECTORY_NAMES: usize = 10_000;

/// Requests of one `send-all` that are in flight at once: more would only queue at the backend.
pub const PARALLEL_REQUESTS: usize = 32;

/// Requests in flight over all plugins: bounds sockets and buffers of the process.
pub const REQUESTS_IN_FLIGHT: usize = 256;

/// Bytes of one request's or response's headers: what common servers accept.
pub const HEADER_BYTES: usize = 64 * KIB;

/// Headers of one request or response.
pub const HEADERS: usize = 128;

/// How long a TCP and TLS handshake may take.
pub const CONNECT: Duration = Duration::from_secs(5);

/// How long a backend may think before the first byte of its answer.
pub const FIRST_BYTE: Duration = Duration::from_secs(15);

/// How long a connection may lie idle.
pub const IDLE_CONNECTION: Duration = Duration::from_secs(60);

/// How long an identity's pool lives unused.
pub const IDLE_POOL: Duration = Duration::from_secs(300);

/// What one call of a plugin may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, all memories together.
    pub memory: usize,
    /// Time on a CPU, in ticks of 10 ms; waiting does not count.
    pub cpu: Duration,
    /// HTTP requests.
    pub requests: u32,
    /// Bytes of request bodies.
    pub bytes_out: usize,
    /// Bytes of one response body.
    pub response: usize,
    /// Bytes of all response bodies.
    pub bytes_in: usize,
    /// Bytes of one value.
    pub value: usize,
    /// Bytes of all values of one answer.
    pub answer: usize,
    /// Values, members or hits of one answer.
    pub values: usize,
    /// Log lines.
    pub log_lines: u32,
    /// Bytes a guest may hand over in one host call or as one result.
    pub hostcall: usize,
}

impl Limits {
    /// What a provider gets: it parses answers, it computes little.
    #[must_use]
    pub const fn provider() -> Self {
        Self {
            memory: 64 * MIB,
            cpu: Duration::from_secs(2),
            requests: 256,
            bytes_out: MIB,
            response: 8 * MIB,
            bytes_in: 32 * MIB,
            // The API server refuses objects above 1.5 MB, so a larger value could not be written.
            value: MIB,
            answer: 16 * MIB,
            values: 10_000,
            log_lines: 64,
            hostcall: 24 * MIB,
        }
    }

    /// These with what a Plugin sets for itself.
    #[must_use]
    pub fn with(&self, overrides: &postern_core::rollout::Overrides) -> Self {
        Self {
            memory: overrides.memory.unwrap_or(self.memory),
            cpu: overrides.cpu.unwrap_or(self.cpu),
            requests: overrides.requests.unwrap_or(self.requests),
            ..self.clone()
        }
    }

    /// What a template engine gets: sprig's RSA keys take seconds, its scrypt 32 MiB on top of Go's heap.
    #[must_use]
    pub const fn engine() -> Self {
        Self {
            memory: 128 * MIB,
            cpu: Duration::from_secs(30),
            requests: 0,
            bytes_out: 0,
            log_lines: 0,
            ..Self::provider()
        }
    }
}
