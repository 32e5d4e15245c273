//! [`derive()`]: the words for a pipeline's state, from what the servers say. Pure.

use segcdc_model::{Phase, TablePhase};
use segcdc_postgres::slot::Loss;
use segcdc_sqlserver::PartialTransaction;

use crate::wal;

use super::{Health, PipelineStateWord, SlotReport, StatusNote};

/// How old the last sign of life may be for a process that runs: three heartbeats.
const SIGN_OF_LIFE_MS: u64 = 35_000;

/// What the servers say.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    /// Of the tables.
    pub(super) phases: Vec<TablePhase>,
    /// Slot and position are in the state.
    pub(super) is_set_up: bool,
    /// There is no slot, and none is wanted.
    pub(super) copy_only: bool,
    /// Why the slot was given up, when it was and the tables are not copied again yet.
    pub(super) given_up: Option<&'a str>,
    /// Rows of all tables that are dead letters.
    pub(super) set_aside: u64,
    /// The transaction that is applied in part.
    pub(super) partial: Option<PartialTransaction>,
    /// Since the last write of the process.
    pub(super) last_sign_ms: u64,
    /// `None` when the source cannot be asked.
    pub(super) slot: Option<&'a SlotReport>,
    /// `None` when the source cannot be asked.
    pub(super) has_publication: Option<bool>,
}

/// The words for it.
#[derive(Debug)]
pub(super) struct Derived {
    pub(super) state: PipelineStateWord,
    pub(super) phase: Phase,
    pub(super) health: Health,
    /// Whether a process runs it, as far as can be seen.
    pub(super) alive: bool,
    /// Worst first.
    pub(super) notes: Vec<StatusNote>,
}

/// Derives the words.
pub(super) fn derive(seen: &Seen<'_>) -> Derived {
    let any = |phase: TablePhase| seen.phases.contains(&phase);
    let copying = any(TablePhase::Queued) || any(TablePhase::Copying);
    let quarantined = seen.phases.iter().filter(|phase| **phase == TablePhase::Quarantined).count();
    let reading = seen.slot.is_some_and(|slot| slot.active_pid.is_some());
    let recent = is_recent(seen.last_sign_ms);
    // Tables that wait for a run to copy them again are not being copied.
    let copies_now = (copying || !seen.is_set_up) && recent && seen.given_up.is_none();
    let alive = reading || copies_now || (seen.slot.is_none() && recent && !seen.copy_only);
    let phase = match (seen.is_set_up, copying) {
        (false, _) => Phase::Setup,
        (true, true) => Phase::Snapshot,
        (true, false) => Phase::Streaming,
    };
    let mut notes = fatal_notes(seen);
    let state = if !notes.is_empty() {
        PipelineStateWord::Failed
    } else if !alive {
        PipelineStateWord::Stopped
    } else if quarantined > 0 {
        PipelineStateWord::Degraded
    } else if copies_now && !reading {
        PipelineStateWord::Starting
    } else {
        PipelineStateWord::Running
    };
    let failed = !notes.is_empty();
    if let Some(why) = seen.given_up {
        let hint = "the next `segcdc up` copies all tables again; see first why the target did not keep up";
        notes.push(note(wal::REACHED, why.to_owned(), hint));
    }
    if quarantined > 0 {
        notes.push(note(
            "TABLE_QUARANTINED",
            format!("{quarantined} tables are set aside, each with its reason"),
            "mend the cause, stop the pipeline, then run `segcdc table resync` and `segcdc up`",
        ));
    }
    if seen.set_aside > 0 {
        let rows =
            if seen.set_aside == 1 { "1 row is".to_owned() } else { format!("{} rows are", seen.set_aside) };
        notes.push(note(
            "ROWS_SET_ASIDE",
            format!("{rows} kept out of the target, because a value does not fit"),
            "`segcdc deadletter list` names them; a version of the row that fits brings it back by itself",
        ));
    }
    if let Some(PartialTransaction { xid, changes, .. }) = seen.partial {
        notes.push(note(
            "PARTIAL_TRANSACTION",
            format!("the first {changes} changes of the source's transaction {xid} are in the target, the others are not yet"),
            "it is applied part by part, as --large-transactions chunked says; `segcdc up` goes on with it",
        ));
    }
    notes.extend(seen.slot.into_iter().flat_map(|slot| slot.alerts.clone()));
    let health = if failed {
        Health::Error
    } else if !notes.is_empty() {
        Health::Warn
    } else if seen.slot.is_none() && !seen.copy_only {
        Health::Unknown
    } else {
        Health::Ok
    };
    Derived { state, phase, health, alive, notes }
}

/// Whether a sign of life of this age is one of a process that runs.
pub(super) fn is_recent(age_ms: u64) -> bool {
    age_ms <= SIGN_OF_LIFE_MS
}

/// What keeps the pipeline from ever going on.
fn fatal_notes(seen: &Seen<'_>) -> Vec<StatusNote> {
    let mut notes = Vec::new();
    if seen.copy_only || !seen.is_set_up {
        return notes;
    }
    let again = "remove the pipeline and copy the tables again";
    match seen.slot {
        Some(slot) if !slot.exists => {
            notes.push(note("SLOT_MISSING", format!("the slot \"{}\" does not exist", slot.name), again));
        }
        Some(slot) => notes.extend(slot.lost().map(|reason| {
            let meaning = Loss::by(reason).meaning;
            let detail = format!("the slot \"{}\" was invalidated: {meaning} ({reason})", slot.name);
            note("SLOT_LOST", detail, again)
        })),
        None => {}
    }
    if seen.has_publication == Some(false) {
        notes.push(note("PUBLICATION_MISSING", "the publication does not exist".to_owned(), again));
    }
    notes
}

/// A note.
fn note(code: &str, detail: String, hint: &str) -> StatusNote {
    StatusNote { code: code.to_owned(), detail, hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PipelineStateWord::{Degraded, Failed, Running, Starting, Stopped};
    use TablePhase::{Copying, Quarantined, Queued, Streaming};

    fn slot(exists: bool, active_pid: Option<i32>, wal_status: &str) -> SlotReport {
        SlotReport {
            name: "s".to_owned(),
            ours: true,
            exists,
            active_pid,
            confirmed_flush_lsn: None,
            restart_lsn: None,
            wal_status: Some(wal_status.to_owned()),
            invalidation: None,
            retained_bytes: 0,
            safe_wal_bytes: None,
            forecast: wal::WalForecast::default(),
            alerts: Vec::new(),
        }
    }

    #[test]
    fn states_follow_from_what_is_seen() {
        let read = slot(true, Some(1), "reserved");
        let unread = slot(true, None, "reserved");
        let lost = slot(true, None, "lost");
        let gone = slot(false, None, "");
        let check = |phases: &[TablePhase],
                     slot: Option<&SlotReport>,
                     last_sign_ms: u64,
                     state,
                     phase,
                     health| {
            let seen = Seen {
                phases: phases.to_vec(),
                is_set_up: true,
                copy_only: false,
                given_up: None,
                set_aside: 0,
                partial: None,
                last_sign_ms,
                slot,
                has_publication: slot.map(|_| true),
            };
            let derived = derive(&seen);
            assert_eq!((derived.state, derived.phase, derived.health), (state, phase, health), "{seen:?}");
        };
        let old = SIGN_OF_LIFE_MS + 1;
        check(&[Streaming], Some(&read), 0, Running, Phase::Streaming, Health::Ok);
        check(&[Streaming], Some(&read), old, Running, Phase::Streaming, Health::Ok);
        check(&[Streaming], Some(&unread), 0, Stopped, Phase::Streaming, Health::Ok);
        check(&[Streaming, Quarantined], Some(&read), 0, Degraded, Phase::Streaming, Health::Warn);
        check(&[Streaming, Quarantined], Some(&unread), old, Stopped, Phase::Streaming, Health::Warn);
        check(&[Queued, Copying], Some(&unread), 0, Starting, Phase::Snapshot, Health::Ok);
        check(&[Queued, Copying], Some(&unread), old, Stopped, Phase::Snapshot, Health::Ok);
        check(&[Streaming], Some(&lost), old, Failed, Phase::Streaming, Health::Error);
        check(&[Streaming], Some(&gone), 0, Failed, Phase::Streaming, Health::Error);
        check(&[Streaming], None, 0, Running, Phase::Streaming, Health::Unknown);
        check(&[Streaming], None, old, Stopped, Phase::Streaming, Health::Unknown);
    }

    #[test]
    fn a_transaction_that_is_applied_in_part_is_noted_while_nothing_runs() {
        let unread = slot(true, None, "reserved");
        let partial = PartialTransaction { xid: 7, end_lsn: segcdc_model::Lsn::new(9), changes: 5 };
        let seen = Seen {
            phases: vec![Streaming],
            is_set_up: true,
            copy_only: false,
            given_up: None,
            set_aside: 0,
            partial: Some(partial),
            last_sign_ms: SIGN_OF_LIFE_MS + 1,
            slot: Some(&unread),
            has_publication: Some(true),
        };
        let derived = derive(&seen);
        assert_eq!((derived.state, derived.health), (Stopped, Health::Warn));
        let notes: Vec<_> =
            derived.notes.iter().map(|note| (note.code.as_str(), note.detail.as_str())).collect();
        let detail =
            "the first 5 changes of the source's transaction 7 are in the target, the others are not yet";
        assert_eq!(notes, [("PARTIAL_TRANSACTION", detail)]);
    }

    #[test]
    fn a_missing_publication_is_fatal_once_set_up() {
        let unread = slot(true, None, "reserved");
        let seen = |is_set_up| Seen {
            phases: vec![Queued],
            is_set_up,
            copy_only: false,
            given_up: None,
            set_aside: 0,
            partial: None,
            last_sign_ms: 0,
            slot: Some(&unread),
            has_publication: Some(false),
        };
        assert_eq!(derive(&seen(true)).state, Failed);
        assert_eq!((derive(&seen(false)).state, derive(&seen(false)).phase), (Starting, Phase::Setup));
    }

    #[test]
    fn a_copy_needs_no_slot() {
        let seen = Seen {
            phases: vec![Streaming],
            is_set_up: true,
            copy_only: true,
            given_up: None,
            set_aside: 0,
            partial: None,
            last_sign_ms: 0,
            slot: Some(&slot(false, None, "")),
            has_publication: Some(false),
        };
        assert_eq!((derive(&seen).state, derive(&seen).health), (Stopped, Health::Ok));
    }

    #[test]
    fn a_slot_that_runs_out_of_wal_is_noted() {
        let mut narrow = slot(true, Some(1), "unreserved");
        narrow.alerts = vec![note("SLOT_AT_RISK", String::new(), "")];
        let seen = Seen {
            phases: vec![Streaming],
            is_set_up: true,
            copy_only: false,
            given_up: None,
            set_aside: 0,
            partial: None,
            last_sign_ms: 0,
            slot: Some(&narrow),
            has_publication: Some(true),
        };
        let derived = derive(&seen);
        assert_eq!((derived.state, derived.health), (Running, Health::Warn));
        assert_eq!(derived.notes.iter().map(|note| note.code.as_str()).collect::<Vec<_>>(), ["SLOT_AT_RISK"]);
    }
}
