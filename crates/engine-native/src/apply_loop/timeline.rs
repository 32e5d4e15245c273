//! [`TimelineGuard`]: the timeline of a standby that is read, noted before anything of a new one is applied.
//!
//! ```text
//! standby      ---- timeline 1 ----+ promoted
//!                                  +---- timeline 2 ---->      the stream goes on as if nothing had happened
//! checkpoint      1@A     1@B      |  2@B   2@C
//!                                  S
//! ```
//!
//! A standby becomes a primary, or follows a new one, without its stream noticing, and nothing in the stream says where.
//! A checkpoint that says timeline 1 and a position behind S would be one of a source that was rewound. So the standby is
//! asked before each move of the checkpoint: what has been received by then had been replayed by then, on the timeline
//! that it names. If that is a new one, it goes into the checkpoint at the position where it is, B, before anything else
//! is applied; and the standby's own history has to say that S is not before B, or the pipeline halts.

use std::io;

use segcdc_model::{Lineage, Lsn};
use segcdc_postgres::{Replication, SourceConfig, SourceError};

use crate::context::{Context, Memory};
use crate::error::EngineError;
use crate::ports::TargetPort;
use crate::startup::decide::check_timeline;

/// Asks a standby for its timeline, on a replication session of its own: no other function of the server tells.
#[derive(Debug)]
pub(super) struct TimelineGuard {
    /// `None` for a primary, whose timeline does not change while it runs.
    session: Option<Replication>,
}

// === impl TimelineGuard ===

impl TimelineGuard {
    /// A guard of a stream that has begun. `is_standby` is what its server said before.
    ///
    /// # Errors
    /// The source's.
    pub(super) async fn new(
        config: &SourceConfig,
        slot: &str,
        is_standby: bool,
    ) -> Result<Self, SourceError> {
        if !is_standby {
            return Ok(TimelineGuard { session: None });
        }
        let mut session = Replication::connect(config).await?;
        if !session.is_streaming(slot).await? {
            // A URL may mean several servers.
            let cause = io::Error::other("another server answers than the one that streams");
            return Err(SourceError::ConnectionLost { cause });
        }
        Ok(TimelineGuard { session: Some(session) })
    }

    /// Takes note of a new timeline in the checkpoint. To be called before anything moves it.
    ///
    /// # Errors
    /// `SOURCE_REWOUND` when what was applied is no part of the new timeline's history; `FENCED`, and the servers'.
    pub(super) async fn look<T: TargetPort>(
        &mut self,
        context: &Context,
        memory: &mut Memory,
        target: &mut T,
    ) -> Result<(), EngineError> {
        let Some(session) = &mut self.session else { return Ok(()) };
        // One question a batch. To be promoted is to begin a timeline, so only a new one is a reason to ask for more.
        if !note(session, context, memory, target).await? || session.is_in_recovery().await? {
            return Ok(());
        }
        // A server that is no standby any more has its last timeline; it may be another one than a moment ago.
        note(session, context, memory, target).await?;
        if let Some(session) = self.session.take() {
            session.close().await;
        }
        Ok(())
    }
}

/// Takes note of the timeline of `session`'s server, if it is another one than the checkpoint's. Returns whether it is.
///
/// # Errors
/// As [`TimelineGuard::look`].
pub(super) async fn note<T: TargetPort>(
    session: &mut Replication,
    context: &Context,
    memory: &mut Memory,
    target: &mut T,
) -> Result<bool, EngineError> {
    let timeline = session.identify_system().await?.timeline;
    let checkpoint = memory.checkpoint()?;
    if timeline == checkpoint.lineage.timeline {
        return Ok(false);
    }
    let left: Vec<(u32, Lsn)> = session.timeline_history(timeline).await?;
    check_timeline(checkpoint, timeline, &left)?;
    let (applied, before) = (checkpoint.applied_lsn, checkpoint.lineage.timeline);
    let lineage = Lineage { timeline, ..checkpoint.lineage.clone() };
    memory.set_lineage(target, &lineage, applied).await?;
    context.slot_view.follow(&lineage);
    tracing::info!(before, timeline, lsn = %applied, "the source has a new timeline");
    Ok(true)
}
