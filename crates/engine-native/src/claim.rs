//! [`reclaim`]: whether a pipeline is still ours after a connection was lost. Pure.
//!
//! Only the process that holds an epoch writes with it. So a checkpoint of our epoch is the one that we knew, or the
//! one that we tried to write and got no answer for; anything else means that somebody meddles.

use segcdc_model::Checkpoint;
use segcdc_sqlserver::TargetError;

use crate::error::EngineError;

/// What this process knows of its pipeline's checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The last one that is known to be committed.
    pub(crate) checkpoint: Checkpoint,
    /// The one that was being written, when its answer has not come.
    pub(crate) in_doubt: Option<Checkpoint>,
}

/// What the checkpoint that was found means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Go on from the checkpoint that was found.
    GoOn,
    /// The target has lost what it had committed: go on from what was found only if the slot still has the rest, and
    /// under a new epoch.
    Rewound,
}

// === impl Held ===

impl Held {
    /// Nothing is in doubt.
    pub(crate) fn new(checkpoint: Checkpoint) -> Self {
        Held { checkpoint, in_doubt: None }
    }

    /// `next` is about to be written.
    pub(crate) fn begin(&mut self, next: Checkpoint) {
        self.in_doubt = Some(next);
    }

    /// `next` was written.
    pub(crate) fn commit(&mut self, next: Checkpoint) {
        self.checkpoint = next;
        self.in_doubt = None;
    }

    /// What was about to be written was refused for certain.
    pub(crate) fn abandon(&mut self) {
        self.in_doubt = None;
    }
}

/// Decides what the checkpoint that was found means to the process that held `held`.
///
/// # Errors
/// `FENCED` when another process has taken the pipeline over, or has written with our epoch.
pub(crate) fn reclaim(held: &Held, found: &Checkpoint) -> Result<Claim, EngineError> {
    let known = &held.checkpoint;
    if *found == *known || held.in_doubt.as_ref() == Some(found) {
        return Ok(Claim::GoOn);
    }
    let went_back = found.epoch < known.epoch
        || (found.epoch == known.epoch
            && found.batch_seq < known.batch_seq
            && found.applied_lsn <= known.applied_lsn);
    if went_back {
        return Ok(Claim::Rewound);
    }
    Err(TargetError::Fenced { pipeline: known.pipeline.clone(), epoch: known.epoch }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::{Fault, Lineage, Lsn};

    fn checkpoint(epoch: i64, batch_seq: i64, applied: u64) -> Checkpoint {
        let lineage = Lineage {
            system_identifier: "7".to_owned(),
            timeline: 1,
            database_oid: 5,
            slot: "s".to_owned(),
            publication: "p".to_owned(),
            publication_oid: 9,
        };
        let applied_lsn = Lsn::new(applied);
        Checkpoint { pipeline: "p".to_owned(), epoch, batch_seq, applied_lsn, lineage }
    }

    #[test]
    fn a_checkpoint_is_ours_only_if_we_wrote_it() {
        let certain = Held::new(checkpoint(3, 10, 100));
        let mut doubtful = certain.clone();
        doubtful.begin(checkpoint(3, 11, 200));
        let check = |held: &Held, found: Checkpoint, expected: Result<Claim, &str>| {
            let decided = reclaim(held, &found).map_err(|error| error.code());
            assert_eq!(decided, expected, "{held:?} {found:?}");
        };
        check(&certain, checkpoint(3, 10, 100), Ok(Claim::GoOn));
        check(&doubtful, checkpoint(3, 10, 100), Ok(Claim::GoOn));
        check(&doubtful, checkpoint(3, 11, 200), Ok(Claim::GoOn));
        // Another process.
        check(&certain, checkpoint(4, 10, 100), Err("FENCED"));
        check(&doubtful, checkpoint(4, 11, 200), Err("FENCED"));
        // Our epoch with a batch that we did not write.
        check(&certain, checkpoint(3, 11, 200), Err("FENCED"));
        check(&doubtful, checkpoint(3, 11, 300), Err("FENCED"));
        check(&certain, checkpoint(3, 10, 50), Err("FENCED"));
        // A target that was restored.
        check(&certain, checkpoint(3, 9, 90), Ok(Claim::Rewound));
        check(&certain, checkpoint(2, 9, 90), Ok(Claim::Rewound));
        check(&certain, checkpoint(2, 30, 500), Ok(Claim::Rewound));
    }

    #[test]
    fn what_was_abandoned_is_not_ours() {
        let mut held = Held::new(checkpoint(1, 1, 10));
        held.begin(checkpoint(1, 2, 20));
        held.abandon();
        assert!(reclaim(&held, &checkpoint(1, 2, 20)).is_err());
        held.begin(checkpoint(1, 2, 30));
        held.commit(checkpoint(1, 2, 30));
        assert_eq!(reclaim(&held, &checkpoint(1, 2, 30)).unwrap(), Claim::GoOn);
    }
}
