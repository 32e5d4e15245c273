//! A pipeline's life as a model: slot, target and engines with faults at every step, over the real decisions.
//!
//! The model makes every choice that a server or the network could make; the decisions under test are those that the
//! engine makes: what may be acknowledged, and whether a checkpoint that is found is ours. What must hold: the slot
//! never lets go of more than the checkpoint holds, and every transaction takes effect once and in order.

use proptest::prelude::*;
use segcdc_model::{Checkpoint, Fault, Lineage, Lsn};
use segcdc_plan::{StreamState, acknowledgeable};

use crate::claim::{Claim, Held, reclaim};

/// Something that happens.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A transaction commits at the source.
    Commit,
    /// WAL of no interest to the pipeline is written.
    Noise,
    /// The engine receives the next transaction, if there is one, else an idle position.
    Receive,
    /// The engine applies what it has received, and the outcome is so.
    Apply(Outcome),
    /// The engine settles the idle position, and the outcome of the write is so.
    Settle(Outcome),
    /// The acknowledgement reaches the slot.
    Deliver,
    /// The slot goes back to what the source had on disk: a crash of the source.
    SlotGoesBack,
    /// The engine loses its connections and comes back.
    Reconnect,
    /// The engine dies; another one starts.
    Restart,
    /// A second engine takes the pipeline over while the first one believes that it runs.
    TakeOver,
}

/// What becomes of a write to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Committed,
    /// It was committed, and the answer was lost.
    AnswerLost,
    /// It was not committed, and nobody says so.
    RequestLost,
}

/// An engine as it knows the world.
#[derive(Debug, Clone)]
struct Engine {
    held: Held,
    /// Ends of transactions that are received and not applied.
    received: Vec<Lsn>,
    idle_wal_end: Option<Lsn>,
    /// Where the next event of the stream comes from.
    position: Lsn,
    acknowledged: Lsn,
    /// It waits for a reconnect.
    broken: bool,
}

/// Both servers and up to two engines.
#[derive(Debug)]
struct World {
    wal_end: u64,
    commits: Vec<Lsn>,
    confirmed: Lsn,
    /// What survives a crash of the source.
    confirmed_on_disk: Lsn,
    target: Checkpoint,
    effects: Vec<Lsn>,
    engine: Engine,
    /// The engine that was taken over.
    zombie: Option<Engine>,
}

fn checkpoint() -> Checkpoint {
    let lineage = Lineage {
        system_identifier: "7".to_owned(),
        timeline: 1,
        database_oid: 5,
        slot: "s".to_owned(),
        publication: "p".to_owned(),
        publication_oid: 9,
    };
    Checkpoint { pipeline: "p".to_owned(), epoch: 1, batch_seq: 0, applied_lsn: Lsn::new(100), lineage }
}

// === impl World ===

impl World {
    fn new() -> Self {
        let target = checkpoint();
        let start = target.applied_lsn;
        World {
            wal_end: 100,
            commits: Vec::new(),
            confirmed: start,
            confirmed_on_disk: start,
            engine: Engine::start(target.clone(), start),
            zombie: None,
            target,
            effects: Vec::new(),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Commit => {
                self.wal_end += 10;
                self.commits.push(Lsn::new(self.wal_end));
            }
            Event::Noise => self.wal_end += 3,
            Event::Receive => self.engine.receive(&self.commits, Lsn::new(self.wal_end)),
            Event::Apply(outcome) => {
                let mut engine = self.engine.clone();
                self.apply(&mut engine, outcome);
                self.engine = engine;
                // A process that was taken over may be at the same point.
                if let Some(mut zombie) = self.zombie.take() {
                    self.apply(&mut zombie, outcome);
                    self.zombie = Some(zombie);
                }
            }
            Event::Settle(outcome) => {
                let mut engine = self.engine.clone();
                self.settle(&mut engine, outcome);
                self.engine = engine;
            }
            Event::Deliver => {
                self.confirmed = self.confirmed.max(self.engine.acknowledged);
                self.confirmed_on_disk =
                    self.confirmed_on_disk.max(Lsn::new(self.confirmed.as_u64() / 40 * 40));
            }
            Event::SlotGoesBack => {
                self.confirmed = self.confirmed_on_disk.min(self.confirmed);
                self.reconnect();
            }
            Event::Reconnect => self.reconnect(),
            Event::Restart => self.start_anew(),
            Event::TakeOver => {
                self.zombie = Some(self.engine.clone());
                self.start_anew();
            }
        }
    }

    /// One compare-and-set on the checkpoint, with data or without.
    fn write(&mut self, before: &Checkpoint, lsn: Lsn, effects: &[Lsn]) -> bool {
        if self.target != *before {
            return false;
        }
        self.effects.extend(effects);
        self.target.applied_lsn = lsn;
        self.target.batch_seq += 1;
        true
    }

    fn attempt(&mut self, engine: &mut Engine, lsn: Lsn, effects: &[Lsn], outcome: Outcome) -> bool {
        let before = engine.held.checkpoint.clone();
        let next = Checkpoint { applied_lsn: lsn, batch_seq: before.batch_seq + 1, ..before.clone() };
        engine.held.begin(next.clone());
        let written = outcome != Outcome::RequestLost && self.write(&before, lsn, effects);
        match outcome {
            Outcome::Committed if written => engine.held.commit(next),
            // The fence has answered: this engine stops for good.
            Outcome::Committed => engine.broken = true,
            Outcome::AnswerLost | Outcome::RequestLost => engine.broken = true,
        }
        outcome == Outcome::Committed && written
    }

    fn apply(&mut self, engine: &mut Engine, outcome: Outcome) {
        let Some(end) = engine.received.last().copied().filter(|_| !engine.broken) else { return };
        let batch = std::mem::take(&mut engine.received);
        if self.attempt(engine, end, &batch, outcome) {
            engine.acknowledge();
        }
    }

    fn settle(&mut self, engine: &mut Engine, outcome: Outcome) {
        if engine.broken {
            return;
        }
        let decided = acknowledgeable(engine.held.checkpoint.applied_lsn, engine.state());
        if let Some(lsn) = decided.report {
            engine.acknowledged = lsn;
        }
        if let Some(lsn) = decided.advance
            && self.attempt(engine, lsn, &[], outcome)
        {
            engine.acknowledge();
        }
    }

    fn reconnect(&mut self) {
        let found = self.target.clone();
        match reclaim(&self.engine.held, &found) {
            Ok(Claim::GoOn) => self.engine = Engine::start(found, self.confirmed),
            Ok(Claim::Rewound) => panic!("the target of this model never goes back"),
            Err(error) => {
                assert_eq!(error.code(), "FENCED");
                panic!("the engine that holds the epoch was told that it does not");
            }
        }
    }

    fn start_anew(&mut self) {
        self.target.epoch += 1;
        assert!(self.confirmed <= self.target.applied_lsn, "SLOT_AHEAD_OF_CHECKPOINT");
        self.engine = Engine::start(self.target.clone(), self.confirmed);
    }

    fn check(&self) {
        assert!(self.confirmed <= self.target.applied_lsn, "the slot has let go of too much: {self:?}");
        assert!(self.effects.windows(2).all(|pair| pair[0] < pair[1]), "not once, or not in order: {self:?}");
        let due: Vec<Lsn> =
            self.commits.iter().copied().filter(|end| *end <= self.target.applied_lsn).collect();
        assert_eq!(self.effects, due, "the checkpoint holds what is not there: {self:?}");
        if let Some(zombie) = &self.zombie {
            assert!(reclaim(&zombie.held, &self.target).is_err(), "a zombie believes that it is alive");
        }
    }
}

// === impl Engine ===

impl Engine {
    /// Starts the stream at the checkpoint; the slot may send from where it stands.
    fn start(checkpoint: Checkpoint, confirmed: Lsn) -> Self {
        let applied = checkpoint.applied_lsn;
        Engine {
            held: Held::new(checkpoint),
            received: Vec::new(),
            idle_wal_end: None,
            position: confirmed.min(applied),
            acknowledged: applied,
            broken: false,
        }
    }

    fn receive(&mut self, commits: &[Lsn], wal_end: Lsn) {
        match commits.iter().find(|end| **end > self.position) {
            Some(end) => {
                self.position = *end;
                self.idle_wal_end = None;
                if *end > self.held.checkpoint.applied_lsn {
                    self.received.push(*end);
                }
            }
            None => {
                self.position = self.position.max(wal_end);
                self.idle_wal_end = Some(wal_end);
            }
        }
    }

    fn state(&self) -> StreamState {
        StreamState {
            acknowledged: self.acknowledged,
            idle_wal_end: self.idle_wal_end,
            buffered_transactions: self.received.len(),
            batches_in_flight: 0,
        }
    }

    fn acknowledge(&mut self) {
        let decided = acknowledgeable(self.held.checkpoint.applied_lsn, self.state());
        self.acknowledged = decided.report.unwrap_or(self.acknowledged);
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![4 => Just(Outcome::Committed), 1 => Just(Outcome::AnswerLost), 1 => Just(Outcome::RequestLost)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Commit),
        2 => Just(Event::Noise),
        6 => Just(Event::Receive),
        4 => outcome().prop_map(Event::Apply),
        3 => outcome().prop_map(Event::Settle),
        3 => Just(Event::Deliver),
        1 => Just(Event::SlotGoesBack),
        2 => Just(Event::Reconnect),
        1 => Just(Event::Restart),
        1 => Just(Event::TakeOver),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_transaction_takes_effect_once_whatever_happens(events in prop::collection::vec(event(), 1..80)) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
            world.check();
        }
        // When the faults are over, everything is applied and the slot lets go of it.
        world.happen(Event::Reconnect);
        for _ in 0..world.commits.len() + 1 {
            world.happen(Event::Receive);
        }
        world.happen(Event::Apply(Outcome::Committed));
        world.happen(Event::Receive);
        world.happen(Event::Settle(Outcome::Committed));
        world.happen(Event::Deliver);
        world.check();
        prop_assert_eq!(&world.effects, &world.commits);
        prop_assert_eq!(world.confirmed, world.target.applied_lsn);
    }
}
