//! What Postern tells about itself: the log subscriber, the metric registry, and every field and metric name.
//!
//! Nothing here knows what a sync is, opens a socket or reads the environment; the operator serves the metrics and hands
//! in the filter. Values never get here: callers log names and codes.

pub mod metrics;
pub mod names;
mod subscriber;

pub use subscriber::{Format, SetupError, install};
