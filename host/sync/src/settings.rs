//! What the process decides for all stores: limits, intervals and the address rules. No logic.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postern_core::egress::AddressRules;

use crate::ambient::Environment;

/// Settings of the doors.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which address classes are open.
    pub rules: AddressRules,
    /// Directories by name, for plugins that ask for files.
    pub directories: BTreeMap<String, PathBuf>,
    /// The environment of the process, for plugins that ask for parts of it; without one there is none.
    pub environment: Option<Arc<dyn Environment>>,
    /// Wall time of one call of a plugin.
    pub call_deadline: Duration,
    /// How long a sync waits for its values, queueing included.
    pub wait_deadline: Duration,
    /// How long closing sessions may take, for one store and for the whole process.
    pub close_deadline: Duration,
    /// Calls of one identity that may run at once.
    pub in_flight_per_identity: usize,
    /// How often a store is checked that does not say it itself.
    pub store_interval: Duration,
    /// How long a first request waits for others, so that a burst fills a batch.
    pub linger: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rules: AddressRules::default(),
            directories: BTreeMap::new(),
            environment: None,
            call_deadline: Duration::from_secs(30),
            // Two calls and two logins fit in.
            wait_deadline: Duration::from_secs(120),
            close_deadline: Duration::from_secs(5),
            // One call reads a whole batch in parallel, so few calls fill a backend.
            in_flight_per_identity: 8,
            store_interval: Duration::from_secs(300),
            // Far below one trip to a backend, far above the time that a burst of syncs takes to arrive.
            linger: Duration::from_millis(2),
        }
    }
}
