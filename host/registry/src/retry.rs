//! When a registry is asked again: what may pass by itself is tried three times, with growing waits.

use std::future::Future;
use std::time::Duration;

use postern_core::failure::{Failure, Retry};

/// Waits between tries; a registry that says how long is believed up to the longest.
const WAITS: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];
const LONGEST: Duration = Duration::from_secs(10);

/// Tries until it works, or fails for good, or was tried often enough.
pub(crate) async fn patiently<T, F>(attempt: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    for wait in WAITS {
        match attempt().await {
            Err(failure) if passes(&failure) => {
                tracing::debug!(reason = failure.public, "a registry is asked again");
                let wait = failure.retry_after.unwrap_or(wait).min(LONGEST);
                tokio::time::sleep(wait).await;
            }
            other => return other,
        }
    }
    attempt().await
}

fn passes(failure: &Failure) -> bool {
    use postern_core::failure::Code;
    matches!(
        failure.code,
        Code::Unavailable | Code::RateLimited | Code::Timeout
    ) && failure.code.retry() == Retry::Backoff
}
