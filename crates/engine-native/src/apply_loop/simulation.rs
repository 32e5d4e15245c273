//! Lives of pipelines: the apply loop as it is, between a source and a target that break in every way that is known.
//!
//! ```text
//! seed --> History: what the application commits, and what its tables hold behind each statement
//!      --> World: slot, target, and what goes wrong when
//!               |
//!        process, killed or ended --> next process --> ... --> the last one, undisturbed
//!               |
//!        Loop over the ports: SimSource, SimStream, SimTarget, on a clock that stands still while anybody works
//! ```
//!
//! At every commit of the target, its tables have to be the source's at the checkpoint, the checkpoint has to move forward
//! by one batch, and nothing may have been acknowledged that it does not hold. In the end everything is there, unless the
//! source has let go of something that the target lacks: then nothing may have been written.
//!
//! The statements on the state row are the product's own, and executed as they are (`statement`). Mistakes that are planted on
//! purpose are found (`mutants`).
//!
//! A life depends on its seed alone. `SEGCDC_SIMULATION_SEED=17` lives that of one seed and tells what happens;
//! `SEGCDC_SIMULATION_LIVES=1000000` lives more of them.

use std::num::NonZero;
use std::ops::Range;
use std::thread;

use life::{Life, Tally, live};

mod chance;
mod history;
mod life;
mod mutants;
mod source;
mod statement;
mod tables;
mod target;
mod tests;
mod world;

/// Lives the life of a seed, on a clock of its own.
fn live_alone(seed: u64, is_told: bool) -> Life {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(live(seed, is_told))
}

/// Lives the lives of seeds, on all processors.
///
/// # Errors
/// The lowest seed of those whose lives were found not to be what they must, and why.
fn live_all(seeds: Range<u64>) -> Result<Tally, (u64, String)> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = |first: usize| {
        let mut sum = Tally::default();
        for seed in seeds.clone().skip(first).step_by(threads) {
            sum.add(&live_alone(seed, false).end.map_err(|what| (seed, what))?);
        }
        Ok(sum)
    };
    let shares: Vec<Result<Tally, (u64, String)>> = thread::scope(|scope| {
        let share = &share;
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || share(first))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut sum = Tally::default();
    let mut violations = Vec::new();
    for share in shares {
        match share {
            Ok(tally) => sum.add(&tally),
            Err(violation) => violations.push(violation),
        }
    }
    violations.into_iter().min().map_or(Ok(sum), Err)
}
