//! Mistakes, planted one at a time: each is found, and the seed that finds it is told.

use std::panic::{AssertUnwindSafe, catch_unwind};

use segcdc_model::mutant::{Mutant, plant};
use tokio::runtime::Builder;

use super::life::live;

/// Lives within which a mistake has to be found: fewer than pass without one.
const LIVES: u64 = 3000;

/// Lives the life of a seed with a mistake in it, whatever thread makes it.
fn live_with(mutant: Mutant, seed: u64) -> Result<(), String> {
    plant(Some(mutant));
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_start(move || plant(Some(mutant)))
        .build()
        .unwrap();
    let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(seed, false)).end));
    plant(None);
    match lived {
        Ok(end) => end.map(drop),
        Err(_) => Err("a panic, see above".to_owned()),
    }
}

/// Checks that a mistake is found.
fn check_found(mutant: Mutant) {
    let found = (0..LIVES).find_map(|seed| Some((seed, live_with(mutant, seed).err()?)));
    let (seed, what) = found.unwrap();
    println!("{mutant:?} is found by seed {seed}: {what}");
}

#[test]
fn acknowledging_early_is_found() {
    check_found(Mutant::AcknowledgeEarly);
}

#[test]
fn beginning_at_the_highest_position_is_found() {
    check_found(Mutant::HighestLsn);
}

#[test]
fn skipping_by_the_position_of_a_record_is_found() {
    check_found(Mutant::SkipByRecordLsn);
}

#[test]
fn null_for_unchanged_toast_is_found() {
    check_found(Mutant::ToastAsNull);
}

#[test]
fn a_fence_that_nobody_looks_at_is_found() {
    check_found(Mutant::NoFence);
}

#[test]
fn a_commit_without_its_checkpoint_is_found() {
    check_found(Mutant::CommitWithoutCheckpoint);
}

#[test]
fn keys_compared_by_their_first_column_are_found() {
    check_found(Mutant::KeysByFirstColumn);
}
