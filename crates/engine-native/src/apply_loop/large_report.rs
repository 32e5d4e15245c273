//! [`report`]: tells the target how far a large transaction is, for `status` of other processes.
//!
//! Until its commit nothing else shows it: what it has changed is in an open transaction, and so is the row of the
//! pipeline, which the fence holds. So another session writes to a table of its own, and only while there is something to
//! say. Nothing depends on it: what goes wrong is tried again with the next period.

use std::convert::Infallible;
use std::time::Duration;

use segcdc_sqlserver::{LargeTransaction as Said, Target, TargetError, WritePath};
use tokio::time::{MissedTickBehavior, interval};

use crate::context::Context;

/// Time between two reports, and how long a transaction goes on before the first: nobody misses one that is over sooner.
const PERIOD: Duration = Duration::from_secs(1);

/// Reports as the process of `epoch`, for as long as it is polled.
pub(super) async fn report(context: &Context, write_path: WritePath, epoch: i64) -> Infallible {
    let mut periods = interval(PERIOD);
    periods.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut session: Option<Target> = None;
    let mut seen: Option<u32> = None;
    loop {
        periods.tick().await;
        let snapshot = context.progress.snapshot();
        let large = snapshot.large.map(|large| large.said(snapshot.elapsed_ms));
        let lasts = large.is_some_and(|large| seen == Some(large.xid));
        seen = large.map(|large| large.xid);
        if !lasts && session.is_none() {
            continue;
        }
        let mut target = match session.take() {
            Some(target) => target,
            None => match Target::connect_with(&context.config.target, write_path).await {
                Ok(target) => target,
                Err(error) => {
                    tracing::debug!(error = %error, "how far a large transaction is was not stored");
                    continue;
                }
            },
        };
        match say(&mut target, &context.config.name, epoch, large.as_ref()).await {
            // Once there is nothing more to say, the session goes.
            Ok(()) => session = large.is_some().then_some(target),
            Err(error) => {
                tracing::debug!(error = %error, "how far a large transaction is was not stored");
                session = Some(target).filter(Target::is_usable);
            }
        }
    }
}

/// Says it, or that there is nothing to be said.
async fn say(
    target: &mut Target,
    pipeline: &str,
    epoch: i64,
    large: Option<&Said>,
) -> Result<(), TargetError> {
    match large {
        Some(large) => target.set_large_transaction(pipeline, epoch, large).await,
        None => target.clear_large_transaction(pipeline, epoch).await,
    }
}
