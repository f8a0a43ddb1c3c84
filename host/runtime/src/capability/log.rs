//! The interface `log`: a guest's lines, cut, counted and cleared of this call's values, under the target `plugin`.

use tracing::{debug, error, info, warn};

use crate::bindings::v0_1::{log::Host, types::Options};
use crate::limits;
use crate::state::CallState;

impl Host for CallState {
    async fn log(
        &mut self,
        level: String,
        message: String,
        fields: Options,
    ) -> wasmtime::Result<()> {
        self.log_lines = self.log_lines.saturating_add(1);
        let plugin = &*self.callee.plugin;
        if self.log_lines > self.limits.log_lines {
            if self.log_lines == self.limits.log_lines + 1 {
                warn!(target: "plugin", plugin, limit = self.limits.log_lines, "further lines of this call are dropped");
            }
            return Ok(());
        }
        let message = self.cleaner.clean_to(&message, limits::LOG_LINE);
        let pairs = fields
            .iter()
            .take(limits::LOG_FIELDS)
            .map(|(name, value)| format!("{name}={value}"));
        let fields = self
            .cleaner
            .clean_to(&pairs.collect::<Vec<_>>().join(" "), limits::LOG_LINE);
        match level.as_str() {
            "error" => error!(target: "plugin", plugin, fields, "{message}"),
            "warn" => warn!(target: "plugin", plugin, fields, "{message}"),
            "debug" => debug!(target: "plugin", plugin, fields, "{message}"),
            _ => info!(target: "plugin", plugin, fields, "{message}"),
        }
        Ok(())
    }
}
