//! What must hold while a pipeline runs and is broken, as pure functions over what was observed.
//!
//! | invariant | observed | checker |
//! |---|---|---|
//! | I1 never acknowledged before applied | slot's position, then the checkpoint's | [`acknowledged`] |
//! | I2 batches are contiguous and monotonic | every change of the state row | [`StateHistory`] |
//! | I4 nothing lost or doubled in between | the bank's sum | [`Readings`] |
//! | I5 transactions are whole | markers of two tables, rows of long transactions | [`Readings`] |
//! | I6 commit order | a counter raised last in each transaction | [`Readings`] |
//! | I7 one epoch writes | owner of every change of the state row | [`StateHistory`] |

use std::fmt;

use super::workload::{SLOW_ROWS, total_balance};

/// An invariant that does not hold, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

/// I1: the slot never lets go of what the target has not. `confirmed` must have been read before `applied`.
pub(crate) fn acknowledged(confirmed: u64, applied: u64) -> Result<(), Violation> {
    if confirmed <= applied {
        return Ok(());
    }
    Err(Violation(format!("I1: the slot has let go of everything up to {confirmed}; applied is {applied}")))
}

/// What one statement over the workload's tables saw in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Sum over both account tables.
    pub(crate) balance: i64,
    /// Marker of the one table.
    pub(crate) left: i64,
    /// Marker of the other table.
    pub(crate) right: i64,
    /// The counter.
    pub(crate) counter: i64,
    /// Rows of long transactions.
    pub(crate) slow_rows: i64,
}

/// I4, I5 and I6 over readings in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    last: Option<Reading>,
    count: u64,
    moves: u64,
}

// === impl Readings ===

impl Readings {
    /// Takes in the next reading.
    pub(crate) fn push(&mut self, reading: Reading) -> Result<(), Violation> {
        let Reading { balance, left, right, counter, slow_rows } = reading;
        if balance != total_balance() {
            return Err(Violation(format!(
                "I4: the accounts hold {balance}, not {}: {reading:?}",
                total_balance()
            )));
        }
        if left != right || left != counter {
            return Err(Violation(format!("I5: half a transaction is visible: {reading:?}")));
        }
        if slow_rows % SLOW_ROWS != 0 {
            return Err(Violation(format!("I5: a part of a long transaction is visible: {reading:?}")));
        }
        if let Some(last) = self.last.filter(|last| last.counter > counter) {
            return Err(Violation(format!("I6: the counter went back from {} to {counter}", last.counter)));
        }
        self.moves += u64::from(self.last.is_some_and(|last| last.counter != counter));
        self.count += 1;
        self.last = Some(reading);
        Ok(())
    }

    /// Readings taken in.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How often the counter had moved since the reading before: readings of a target at rest prove little.
    pub(crate) fn moves(&self) -> u64 {
        self.moves
    }
}

/// The parts of the state row that say who writes, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateRow {
    /// Raised by whoever takes the pipeline over.
    pub(crate) epoch: i64,
    /// Who that is.
    pub(crate) owner: String,
    /// Raised by each batch.
    pub(crate) batch_seq: i64,
    /// Position.
    pub(crate) applied_lsn: i64,
}

/// A committed change of the state row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateChange {
    /// The row before; `None` when it was inserted.
    pub(crate) before: Option<StateRow>,
    /// The row after.
    pub(crate) after: StateRow,
}

/// I2 and I7 over the changes of one pipeline's state row, in the order of their commits.
#[derive(Debug, Default)]
pub(crate) struct StateHistory {
    last: Option<StateRow>,
    /// Whether anything was applied behind the position at which the set-up ended.
    followed: bool,
    batches: u64,
    takeovers: u64,
}

// === impl StateHistory ===

impl StateHistory {
    /// Takes in the next change.
    pub(crate) fn push(&mut self, change: StateChange) -> Result<(), Violation> {
        let StateChange { before, after } = change;
        // What came before the first change that was seen is not known.
        if self.last.is_some() && before != self.last {
            return Err(Violation(format!(
                "I2: a change begins at {before:?}, the one before it ended at {:?}",
                self.last
            )));
        }
        if let Some(before) = before {
            self.step(&before, &after)?;
        }
        self.last = Some(after);
        Ok(())
    }

    /// Batches taken in.
    pub(crate) fn batches(&self) -> u64 {
        self.batches
    }

    /// How often the pipeline was taken over.
    pub(crate) fn takeovers(&self) -> u64 {
        self.takeovers
    }

    /// A change of an existing row is a takeover or a batch, and nothing else.
    fn step(&mut self, before: &StateRow, after: &StateRow) -> Result<(), Violation> {
        let same_place = after.batch_seq == before.batch_seq && after.applied_lsn == before.applied_lsn;
        if after.epoch != before.epoch {
            if after.epoch != before.epoch + 1 || !same_place {
                return Err(Violation(format!("I7: {before:?} was not just taken over: {after:?}")));
            }
            self.takeovers += 1;
            return Ok(());
        }
        if after.owner != before.owner {
            return Err(Violation(format!("I7: two owners in one epoch: {before:?}, {after:?}")));
        }
        let wrong = || Err(Violation(format!("I2: {before:?} is not followed by the next batch: {after:?}")));
        if after.batch_seq != before.batch_seq + 1 {
            return wrong();
        }
        if after.applied_lsn == 0 {
            // A set-up that was interrupted before any table was copied begins again, under a new slot.
            return if self.followed { wrong() } else { Ok(()) };
        }
        if after.applied_lsn <= before.applied_lsn {
            return wrong();
        }
        // The first position is where the slot begins; those behind it are batches.
        self.followed |= before.applied_lsn > 0;
        self.batches += u64::from(before.applied_lsn > 0);
        Ok(())
    }
}

/// Tables of good and bad histories: every checker is seen to go red.
mod tests {
    use super::*;

    /// `(epoch, owner, batch, lsn)`
    type Row = (i64, &'static str, i64, i64);

    fn row((epoch, owner, batch_seq, applied_lsn): Row) -> StateRow {
        StateRow { epoch, owner: owner.to_owned(), batch_seq, applied_lsn }
    }

    /// The first violation of a history in which each change begins where the one before ended.
    fn history(rows: &[Row]) -> Result<StateHistory, Violation> {
        let mut history = StateHistory::default();
        let mut before = None;
        for next in rows {
            history.push(StateChange { before: before.replace(row(*next)), after: row(*next) })?;
        }
        Ok(history)
    }

    /// What a violation is called, `I2`.
    fn name<T>(outcome: Result<T, Violation>) -> String {
        outcome.err().map_or(String::new(), |violation| violation.0.chars().take(2).collect())
    }

    #[test]
    fn good_history_of_batches_and_takeovers_passes() {
        let good = [(1, "a", 0, 0), (1, "a", 1, 100), (1, "a", 2, 140), (2, "b", 2, 140), (2, "b", 3, 141)];
        let history = history(&good).unwrap();
        assert_eq!((history.batches(), history.takeovers()), (2, 1));
    }

    #[test]
    fn interrupted_set_up_begins_again() {
        let good = [
            (1, "a", 0, 0),
            (1, "a", 1, 90),
            (2, "b", 1, 90),
            (2, "b", 2, 0),
            (2, "b", 3, 100),
            (2, "b", 4, 120),
        ];
        assert_eq!(history(&good).unwrap().batches(), 1);
        assert_eq!(
            history(&[(1, "a", 0, 0), (2, "b", 0, 0), (2, "b", 1, 0), (2, "b", 2, 50)]).unwrap().batches(),
            0
        );
    }

    #[test]
    fn bad_histories_are_named() {
        let cases: [(&str, &[Row]); 10] = [
            ("I2", &[(1, "a", 1, 100), (1, "a", 3, 140)]), // a batch is missing
            ("I2", &[(1, "a", 1, 100), (1, "a", 1, 140)]), // a batch without a number
            ("I2", &[(1, "a", 1, 100), (1, "a", 2, 100)]), // the position stands still
            ("I2", &[(1, "a", 1, 100), (1, "a", 2, 99)]),  // the position goes back
            ("I2", &[(1, "a", 2, 100), (1, "a", 1, 140)]), // the number goes back
            ("I2", &[(1, "a", 1, 100), (1, "a", 2, 140), (1, "a", 3, 0)]), // begun again under live tables
            ("I7", &[(2, "a", 1, 100), (1, "b", 1, 100)]), // the epoch goes back
            ("I7", &[(1, "a", 1, 100), (3, "b", 1, 100)]), // an epoch is missing
            ("I7", &[(1, "a", 1, 100), (2, "b", 2, 140)]), // a takeover that writes
            ("I7", &[(1, "a", 1, 100), (1, "b", 2, 140)]), // two processes in one epoch
        ];
        for (expected, rows) in cases {
            assert_eq!(name(history(rows)), expected, "{rows:?}");
        }
    }

    #[test]
    fn change_that_nobody_saw_is_a_hole() {
        let mut history = StateHistory::default();
        history.push(StateChange { before: None, after: row((1, "a", 1, 100)) }).unwrap();
        let hidden = StateChange { before: Some(row((1, "a", 2, 120))), after: row((1, "a", 3, 140)) };
        assert_eq!(name(history.push(hidden)), "I2");
    }

    #[test]
    fn slot_ahead_of_the_checkpoint_is_seen() {
        acknowledged(7, 7).unwrap();
        acknowledged(6, 7).unwrap();
        assert_eq!(name(acknowledged(8, 7)), "I1");
    }

    #[test]
    fn bad_readings_are_named() {
        let good =
            Reading { balance: total_balance(), left: 5, right: 5, counter: 5, slow_rows: 2 * SLOW_ROWS };
        let cases = [
            ("", good),
            ("", Reading { left: 6, right: 6, counter: 6, slow_rows: 0, ..good }),
            ("I4", Reading { balance: total_balance() - 1, ..good }),
            ("I4", Reading { balance: total_balance() + 1, ..good }),
            ("I5", Reading { left: 6, ..good }),
            ("I5", Reading { right: 6, ..good }),
            ("I5", Reading { left: 6, right: 6, ..good }),
            ("I5", Reading { slow_rows: SLOW_ROWS + 1, ..good }),
            ("I6", Reading { left: 4, right: 4, counter: 4, ..good }),
        ];
        for (expected, reading) in cases {
            let mut readings = Readings::default();
            readings.push(good).unwrap();
            assert_eq!(name(readings.push(reading)), expected, "{reading:?}");
        }
    }

    #[test]
    fn readings_at_rest_are_not_moves() {
        let at = |counter| Reading {
            balance: total_balance(),
            left: counter,
            right: counter,
            counter,
            slow_rows: 0,
        };
        let mut readings = Readings::default();
        for counter in [1, 1, 2, 5, 5] {
            readings.push(at(counter)).unwrap();
        }
        assert_eq!((readings.count(), readings.moves()), (5, 2));
    }
}
