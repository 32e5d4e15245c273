//! Conditions with a deadline.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// How long the pause between two looks at a condition is: short beside any server's round trip.
const PAUSE: Duration = Duration::from_millis(10);

/// A condition that did not come true in time.
#[derive(Debug, thiserror::Error)]
#[error("gave up after {after:?} waiting until {what}")]
pub struct DeadlinePassed {
    what: String,
    after: Duration,
}

/// Looks at `condition` again and again until it yields something, or fails after `limit`.
pub async fn until<T, F, Fut>(what: &str, limit: Duration, mut condition: F) -> Result<T, DeadlinePassed>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = condition().await {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(DeadlinePassed { what: what.to_owned(), after: limit });
        }
        tokio::time::sleep(PAUSE).await;
    }
}
