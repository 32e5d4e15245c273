use super::world::TROUBLES;
use super::*;

/// Lives of a usual run.
const LIVES: u64 = 10_000;

/// A number in the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_lost_or_doubled_in_any_life() {
    if let Some(seed) = number("SEGCDC_SIMULATION_SEED") {
        let Life { end, told } = live_alone(seed, true);
        println!("{told}");
        println!("seed {seed}: {:?}", end.unwrap());
        return;
    }
    let lives = number("SEGCDC_SIMULATION_LIVES").unwrap_or(LIVES);
    match live_all(0..lives) {
        Err((seed, what)) => panic!("SEGCDC_SIMULATION_SEED={seed}: {what}"),
        Ok(tally) => {
            println!("{lives} lives: {tally:?}");
            // Lives in which nothing is at stake prove nothing.
            assert_eq!(tally.troubles.iter().filter(|count| **count > lives / 100).count(), TROUBLES);
            assert!(tally.skipped > lives / 100 && tally.resumed > lives / 100 && tally.halted > lives / 200);
        }
    }
}

#[test]
fn a_seed_is_a_life() {
    for seed in 0..50 {
        assert_eq!(live_alone(seed, true), live_alone(seed, true), "seed {seed}");
    }
}
