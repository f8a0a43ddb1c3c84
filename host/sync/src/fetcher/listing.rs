//! What a search found.

use std::sync::Arc;

use postern_core::plugin::Found;
use tokio::time::Instant;

use super::board::Weigh;

/// The hits of a search, from all its pages.
pub(crate) struct Listing {
    /// When it began.
    pub(crate) began: Instant,
    pub(crate) found: Vec<Found>,
    /// Names are converted into keys before any rewrite.
    pub(crate) convert_names: bool,
}

impl Weigh for Arc<Listing> {
    fn weight(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let weight = |found: &Found| {
            let value = found.value.as_ref().map_or(0, |value| value.len());
            // A record of its own is larger than most names.
            size_of::<Found>() + found.key.len() + text(&found.name) + text(&found.version) + value
        };
        self.found.iter().map(weight).sum()
    }
}
