//! [`Schedule`]: hands out ranges of tables to comparisons that run at once, and puts together what they find.
//!
//! ```text
//! tables: one behind the other, its ranges one behind the other  --->  up to `jobs` comparisons, each a task with a session
//!                                                                         of its own at each server
//! what they find: kept by its place, taken in from the front  <---
//! ```
//!
//! What is taken in is always the beginning of a table, however the comparisons overtake one another. So a single key says how far
//! a table has come, and an interrupted comparison goes on from there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use segcdc_sqlserver::TableState;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::error::EngineError;
use crate::verify::barrier::Barrier;
use crate::verify::found::Found;
use crate::verify::key_range::{KeyRange, Ranges};
use crate::verify::one_table;
use crate::verify::read::Stop;
use crate::verify::reporter::Reporter;
use crate::verify::saved::{Done, SavedVerify};
use crate::verify::shared::{Shared, TableWork};
use crate::verify::{NotCompared, TableVerdict, VerifyBy, VerifyEvent, VerifyProgress};

/// What is told while it goes on.
type Listener<'l> = &'l mut (dyn FnMut(VerifyEvent<'_>) + Send);

/// Comparisons under way and to come. Dropping it ends them.
pub(super) struct Schedule<'a> {
    shared: Arc<Shared>,
    /// For questions about tables.
    barrier: &'a mut Barrier,
    reporter: Reporter,
    waiting: VecDeque<(usize, TableState)>,
    /// The table whose ranges are handed out.
    open: Option<(Arc<TableWork>, Ranges)>,
    /// Tables of which ranges are compared, by their place.
    begun: BTreeMap<usize, Begun>,
    verdicts: BTreeMap<usize, TableVerdict>,
    saved: SavedVerify,
    tasks: JoinSet<Compared>,
    /// Of comparisons that have ended.
    idle: Vec<Barrier>,
    /// Whether the pipeline ran all the time, as comparisons that have ended saw it.
    pub(super) running: bool,
}

/// A table of which ranges are compared.
struct Begun {
    work: Arc<TableWork>,
    found: Found,
    /// Ranges that were handed out.
    handed_out: u64,
    /// Ranges that are taken in.
    taken_in: u64,
    /// Where the last of them ends.
    reach: Option<Option<i64>>,
    /// Ranges that are compared, but not those in front of them.
    ahead: BTreeMap<u64, (KeyRange, Found)>,
    /// All ranges are handed out.
    is_whole: bool,
    /// Whether it has more than one range.
    is_divided: bool,
    /// Why it is not compared any more.
    stopped: Option<NotCompared>,
    /// Comparisons under way.
    under_way: usize,
}

/// A comparison that has ended.
struct Compared {
    barrier: Barrier,
    table: usize,
    number: u64,
    range: KeyRange,
    outcome: Result<Found, Stop>,
}

// === impl Schedule ===

impl<'a> Schedule<'a> {
    /// Of these tables; goes on from what was saved.
    pub(super) fn new(
        shared: Arc<Shared>,
        barrier: &'a mut Barrier,
        reporter: Reporter,
        tables: &[TableState],
    ) -> Self {
        let (pipeline, by) = (&shared.config.name, shared.options.by);
        let saved = shared.options.saved.clone().unwrap_or_else(|| SavedVerify::new(pipeline, by));
        Schedule {
            shared,
            barrier,
            reporter,
            waiting: tables.iter().cloned().enumerate().collect(),
            open: None,
            begun: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            saved,
            tasks: JoinSet::new(),
            idle: Vec::new(),
            running: true,
        }
    }

    /// Compares all tables; returns their verdicts in the tables' order.
    ///
    /// # Errors
    /// When nothing can be compared any more. What was told to be saved by then stays true.
    pub(super) async fn run(
        &mut self,
        progress: &mut UnboundedReceiver<VerifyProgress>,
        listener: Listener<'_>,
    ) -> Result<Vec<TableVerdict>, EngineError> {
        loop {
            self.hand_out().await?;
            if self.tasks.is_empty() {
                return Ok(std::mem::take(&mut self.verdicts).into_values().collect());
            }
            tokio::select! {
                biased;
                done = self.tasks.join_next() => {
                    let broken = || EngineError::TaskBroken { task: "verify" };
                    let compared = done.ok_or_else(broken)?.map_err(|_| broken())?;
                    if self.take(compared).await? {
                        listener(VerifyEvent::Saved(&self.saved));
                    }
                }
                Some(seen) = progress.recv() => listener(VerifyEvent::Progress(&seen)),
            }
        }
    }

    /// Gives work to as many comparisons as there may be.
    async fn hand_out(&mut self) -> Result<(), EngineError> {
        while self.tasks.len() < self.shared.jobs() {
            let Some((work, mut ranges)) = self.open.take() else {
                match self.waiting.pop_front() {
                    Some((at, state)) => self.begin(at, &state).await?,
                    None => return Ok(()),
                }
                continue;
            };
            let Some(begun) = self.begun.get_mut(&work.at) else { continue };
            let next = match begun.stopped {
                Some(_) => Ok(None),
                None => ranges.next(self.barrier.source(), &work.plan).await.map_err(Stop::from),
            };
            match next {
                Ok(Some(range)) => {
                    begun.handed_out += 1;
                    begun.under_way += 1;
                    let number = begun.handed_out;
                    self.open = Some((Arc::clone(&work), ranges));
                    self.spawn(work, number, range).await?;
                }
                Ok(None) => {
                    begun.is_whole = true;
                    self.finish(work.at).await?;
                }
                Err(Stop::Table(reason)) => {
                    begun.stopped = Some(reason);
                    begun.is_whole = true;
                    self.finish(work.at).await?;
                }
                Err(Stop::All(error)) => return Err(error),
                // Nothing is held while a range is looked for.
                Err(Stop::TooMany) => return Err(EngineError::TaskBroken { task: "verify" }),
            }
        }
        Ok(())
    }

    /// Opens a table, or judges it at once.
    async fn begin(&mut self, at: usize, state: &TableState) -> Result<(), EngineError> {
        let work = match one_table::prepare(&self.shared.config, self.barrier, state, at).await? {
            Ok(work) => Arc::new(work),
            Err(reason) => {
                self.verdicts.insert(at, not_compared(state, reason));
                return Ok(());
            }
        };
        let (from, found, is_done) = match self.saved.of(state.source_oid, &work.plan) {
            Some((Done::All, found)) => (None, found.clone(), true),
            Some((Done::Below(key), found)) => (Some(key), found.clone(), false),
            None => (None, Found::default(), false),
        };
        work.rows_done.store(found.tally.source_rows, Ordering::Relaxed);
        let ranges = match self.shared.options.by {
            VerifyBy::Rows => Ranges::of(&work.plan, self.shared.range_rows(), from),
            VerifyBy::Count => Ranges::whole(),
        };
        let begun = Begun {
            work: Arc::clone(&work),
            found,
            handed_out: 0,
            taken_in: 0,
            reach: None,
            ahead: BTreeMap::new(),
            is_whole: is_done,
            is_divided: ranges.are_many(),
            stopped: None,
            under_way: 0,
        };
        self.begun.insert(at, begun);
        if is_done {
            self.finish(at).await?;
            return Ok(());
        }
        self.open = Some((work, ranges));
        Ok(())
    }

    /// Begins to compare a range.
    async fn spawn(&mut self, work: Arc<TableWork>, number: u64, range: KeyRange) -> Result<(), EngineError> {
        let mut barrier = match self.idle.pop() {
            Some(barrier) => barrier,
            None => Barrier::open(&self.shared.config).await?.0,
        };
        let mut reporter = self.reporter.of_table(&work.state.source, work.at + 1);
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            let compared = one_table::compare(&shared, &work, range, &mut barrier, &mut reporter);
            let outcome = Box::pin(compared).await;
            Compared { barrier, table: work.at, number, range, outcome }
        });
        Ok(())
    }

    /// Takes in what a comparison found; whether something else is to be saved than before.
    async fn take(&mut self, compared: Compared) -> Result<bool, EngineError> {
        let Compared { barrier, table, number, range, outcome } = compared;
        self.running &= barrier.is_running();
        self.idle.push(barrier);
        let Some(begun) = self.begun.get_mut(&table) else { return Ok(false) };
        begun.under_way -= 1;
        let before = begun.taken_in;
        match outcome {
            Ok(found) => begun.take(number, range, found, self.shared.options.limit),
            Err(Stop::All(error)) => return Err(error),
            Err(Stop::Table(reason)) => begun.stopped = begun.stopped.take().or(Some(reason)),
            // A comparison divides its rows until they fit, or gives up by another name.
            Err(Stop::TooMany) => return Err(EngineError::TaskBroken { task: "verify" }),
        }
        let has_more = begun.taken_in > before && begun.stopped.is_none();
        if has_more && let Some(done) = begun.done() {
            self.saved.set(begun.work.state.source_oid, &begun.work.plan, done, begun.found.clone());
        }
        Ok(self.finish(table).await? || has_more)
    }

    /// Judges a table if all of it was compared, or none of it will be; whether what was saved of it is forgotten.
    async fn finish(&mut self, at: usize) -> Result<bool, EngineError> {
        let is_over = |begun: &Begun| begun.is_whole && begun.under_way == 0;
        if !self.begun.get(&at).is_some_and(is_over) {
            return Ok(false);
        }
        let Some(begun) = self.begun.remove(&at) else { return Ok(false) };
        let reason = match begun.stopped {
            Some(reason) => Some(reason),
            None => one_table::spoiled(self.barrier, &begun.work).await?,
        };
        let (state, is_spoiled) = (&begun.work.state, reason.is_some());
        let verdict = match reason {
            Some(reason) => {
                self.saved.forget(state.source_oid);
                not_compared(state, reason)
            }
            None => begun.found.into_verdict(TableVerdict::new(state.source.clone(), state.target.clone())),
        };
        self.verdicts.insert(at, verdict);
        Ok(is_spoiled)
    }
}

// === impl Begun ===

impl Begun {
    /// Takes in what was found of a range, and of those behind it that wait for it.
    fn take(&mut self, number: u64, range: KeyRange, found: Found, limit: usize) {
        self.ahead.insert(number, (range, found));
        while let Some((range, found)) = self.ahead.remove(&(self.taken_in + 1)) {
            self.taken_in += 1;
            self.work.rows_done.fetch_add(found.tally.source_rows, Ordering::Relaxed);
            self.reach = Some(range.to);
            if self.is_divided {
                self.found.add_range(range, found, limit);
            } else {
                self.found.add(found, limit);
            }
        }
    }

    /// How far the table has come; `None` as long as nothing was taken in.
    fn done(&self) -> Option<Done> {
        self.reach.map(|to| to.map_or(Done::All, Done::Below))
    }
}

/// The verdict on a table that is not compared.
fn not_compared(state: &TableState, reason: NotCompared) -> TableVerdict {
    let verdict = TableVerdict::new(state.source.clone(), state.target.clone());
    TableVerdict { not_compared: Some(reason), ..verdict }
}
