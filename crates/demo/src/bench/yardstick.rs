//! [`per_cpu_second`]: how much one thread gets done; [`Yardstick`]: the same of a fixed piece of work, to compare machines by.

use std::hint::black_box;

use anyhow::Result;
use segcdc_model::{Change, Field, OldTuple, Tuple};

use crate::process;

/// CPU seconds that a piece of work is repeated for: many of the system's ticks of ten milliseconds.
const ENOUGH_SECONDS: f64 = 0.5;
/// What FNV-1a begins with, and multiplies by.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// A hash of the values of rows, byte by byte (FNV-1a, 64 bits): what a machine does at a speed that is its own, whatever
/// becomes of the engine. A rate beside that of the yardstick on the same bytes can be compared between machines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Yardstick(u64);

// === impl Yardstick ===

impl Yardstick {
    /// A hash of nothing.
    pub(super) fn new() -> Self {
        Yardstick(OFFSET)
    }

    /// Adds the values of a change.
    pub(super) fn add_change(&mut self, change: &Change) {
        let mut add_old = |old: &OldTuple| match old {
            OldTuple::Key(row) | OldTuple::Full(row) => self.add_row(row),
        };
        match change {
            Change::Insert { new, .. } => self.add_row(new),
            Change::Update { old, new, .. } => {
                old.iter().for_each(add_old);
                self.add_row(new);
            }
            Change::Delete { old, .. } => add_old(old),
            Change::Truncate { .. } => {}
        }
    }

    /// Adds the values of a row.
    pub(super) fn add_row(&mut self, row: &Tuple) {
        for field in row.fields() {
            match field {
                Field::Text(bytes) | Field::Binary(bytes) => self.add_bytes(bytes),
                Field::Null | Field::UnchangedToast | Field::Large(_) => {}
            }
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
    }
}

/// How many units a CPU second of this process does, of work that does `units` at once and is repeated.
///
/// # Errors
/// Those of the work.
pub(super) fn per_cpu_second<T>(units: f64, mut work: impl FnMut() -> Result<T>) -> Result<f64> {
    let here = std::process::id();
    let before = process::cpu_seconds(here);
    let mut done = 0.0;
    loop {
        black_box(work()?);
        done += units;
        let seconds = process::cpu_seconds(here) - before;
        if seconds >= ENOUGH_SECONDS {
            return Ok(done / seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a_of_all_values() {
        let mut of_row = Yardstick::new();
        of_row.add_row(&Tuple::from_texts([Some("foo"), None, Some("bar")]));
        // From the reference list of the algorithm: 64 bits, "foobar".
        assert_eq!(of_row.0, 0x8594_4171_f739_67e8);
    }

    #[test]
    fn work_is_repeated_until_there_is_enough_to_count() {
        let mut turns = 0_u32;
        let rate = per_cpu_second(10.0, || {
            turns += 1;
            Ok((0..100_000_u64).map(black_box).sum::<u64>())
        });
        let rate = rate.unwrap();
        assert!(
            turns > 1 && rate > 0.0 && rate <= f64::from(turns) * 10.0 / ENOUGH_SECONDS,
            "{turns} {rate}"
        );
        assert!(per_cpu_second(1.0, || Result::<()>::Err(anyhow::anyhow!("no"))).is_err());
    }
}
