//! Copying tables beside the stream that the others follow.
//!
//! ```text
//! the pipeline's stream   --- table stops ----------------------------------- M: table goes on --->
//! temporary slot                     S: snapshot --copy--> rows as of S --catch up--> C, C >= M
//! target table                                        merge or swap, one transaction
//! ```
//!
//! The copy reads the snapshot of a temporary slot, and then that slot's stream: what has committed behind the snapshot is
//! applied to the table by a session of its own, as fast as the pipeline applies it to the others. Once the table is at least as
//! far as the pipeline's checkpoint ([`Beside::position`]), it is handed over: its sync LSN is where it stands, and the
//! pipeline's stream leaves out what is in it already. Nobody waits for anybody but for the one batch that is under way then.
//!
//! Nothing of it is worth keeping when the process dies: the slot goes with its session, and the state says that the table is
//! to be copied. Who has taken the pipeline over is told by the epoch, which each transaction here proves before it commits.
//!
//! A table that is truncated or rewritten between the snapshot and its copy is tried again alone, with a snapshot of its own;
//! the others go on.
//!
//! - `order`: what is to be copied, and when
//! - `prepare`: what a table is now, and which way it is copied
//! - `catch_up`: the stream of the temporary slot

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_model::fault::chain;
use segcdc_model::{Checkpoint, Disposition, Fault, Lsn, QualifiedName, TablePhase};
use segcdc_plan::{Known, KnownTable, OpenLetters, TableEntry, TablePlan, TableSet};
use segcdc_postgres::snapshot::Reader;
use segcdc_postgres::{ExportedSnapshot, FieldForm, Session, StreamOptions, session};
use segcdc_sqlserver::{TableState, Target, shadow_name};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::beside::catch_up::CatchUp;
use crate::beside::order::Order;
use crate::beside::prepare::{Prepared, Trouble};
use crate::context::Context;
use crate::error::EngineError;
use crate::examine::Examiner;
use crate::failpoint::{Failpoint, hit};
use crate::known;
use crate::provision;
use crate::quarantine::{quarantine, table_at_fault};
use crate::retry::Pauses;
use crate::table_sync::{CopyEnd, Live, Reading, copy_tables, is_rewritten};

mod catch_up;
pub(crate) mod order;
pub(crate) mod prepare;

/// How often the copy of a table begins that is changed meanwhile.
const MAX_CHANGES: u32 = 5;

/// A table that is copied and as far as [`Ended::position`].
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) order: Order,
    pub(crate) plan: Arc<TablePlan>,
    pub(crate) state: TableState,
    pub(crate) known: KnownTable,
    pub(crate) letters: OpenLetters,
    /// How its rows got there, for people.
    pub(crate) how: &'static str,
}

/// What became of the orders.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// Where the finished tables stand.
    pub(crate) position: Lsn,
    pub(crate) finished: Vec<Finished>,
    /// Those that are not copied, each with why; `true` for those that are quarantined.
    pub(crate) failed: Vec<(Order, String, bool)>,
    /// Those that got a new file behind the snapshot.
    pub(crate) rewritten: Vec<Order>,
    /// Those that are to be begun again: something failed while the pipeline waited.
    pub(crate) again: Vec<Order>,
}

/// Copies that are under way.
#[derive(Debug)]
pub(crate) struct Beside {
    /// `None` once its end is waited for.
    handle: Option<JoinHandle<Result<Ended, EngineError>>>,
    position: watch::Receiver<Option<Lsn>>,
    stop: CancellationToken,
    /// The tables that are ready to be copied, once.
    prepared: Option<oneshot::Receiver<Vec<Prepared>>>,
    go: Option<oneshot::Sender<()>>,
    /// What is worked on.
    pub(crate) orders: Vec<Order>,
}

// === impl Beside ===

impl Beside {
    /// Begins. Nothing is changed before [`Beside::go`].
    pub(crate) fn start(context: &Context, checkpoint: &Checkpoint, orders: Vec<Order>) -> Self {
        let (position, seen) = watch::channel(None);
        let (tell, prepared) = oneshot::channel();
        let (go, told) = oneshot::channel();
        let stop = CancellationToken::new();
        let work = Work {
            context: context.clone(),
            checkpoint: checkpoint.clone(),
            orders: orders.clone(),
            position,
            stop: stop.clone(),
            ended: Ended::default(),
        };
        let handle = Some(tokio::spawn(work.run(tell, told)));
        Beside { handle, position: seen, stop, prepared: Some(prepared), go: Some(go), orders }
    }

    /// The tables that are to stop now, once they are known.
    pub(crate) fn prepared(&mut self) -> Option<Vec<Prepared>> {
        let prepared = self.prepared.as_mut()?.try_recv().ok()?;
        self.prepared = None;
        Some(prepared)
    }

    /// The tables have stopped, durably.
    pub(crate) fn go(&mut self) {
        if let Some(go) = self.go.take() {
            // Who does not listen any more has an error to tell.
            let _unheard = go.send(());
        }
    }

    /// As of where the tables are, once they are copied.
    pub(crate) fn position(&self) -> Option<Lsn> {
        *self.position.borrow()
    }

    /// Whether it has ended by itself.
    pub(crate) fn is_over(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it, behind the batch that is under way.
    ///
    /// # Errors
    /// What it has failed by.
    pub(crate) async fn end(mut self) -> Result<Ended, EngineError> {
        self.stop.cancel();
        let broken = EngineError::TaskBroken { task: "copy beside the stream" };
        let Some(handle) = self.handle.take() else { return Err(broken) };
        handle.await.map_err(|_| broken)?
    }

    /// Gives it up.
    pub(crate) async fn give_up(mut self) {
        if let Some(handle) = self.handle.take() {
            handle.abort();
            // Its sessions are gone when it has ended, whatever it says.
            let _ended = handle.await;
        }
    }
}

impl Drop for Beside {
    /// Whoever drops the loop instead of closing it leaves no session behind, nor a temporary slot that keeps WAL.
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }
}

/// What works on orders, in a task of its own.
struct Work {
    context: Context,
    checkpoint: Checkpoint,
    orders: Vec<Order>,
    position: watch::Sender<Option<Lsn>>,
    stop: CancellationToken,
    ended: Ended,
}

// === impl Work ===

impl Work {
    /// Works until the tables are handed over, or nothing can be done any more.
    async fn run(
        mut self,
        tell: oneshot::Sender<Vec<Prepared>>,
        told: oneshot::Receiver<()>,
    ) -> Result<Ended, EngineError> {
        let mut pauses = Pauses::new(self.context.config.retry);
        let mut changes: HashMap<u32, u32> = HashMap::new();
        let mut first = Some((tell, told));
        while !self.orders.is_empty() {
            let error = match self.attempt(&mut first).await {
                Ok(()) => return Ok(self.ended),
                Err(error) => error,
            };
            self.position.send_replace(None);
            let is_over = error.code() == "FENCED" || matches!(error, EngineError::Abandoned);
            if self.stop.is_cancelled() && !is_over {
                // The pipeline waits, and must not wait for another copy.
                tracing::warn!(code = error.code(), error = %chain(&error), "copying beside the stream begins again");
                self.orders.iter_mut().for_each(Order::begin_again);
                self.ended.again = std::mem::take(&mut self.orders);
                return Ok(self.ended);
            }
            let at_fault = table_at_fault(&error);
            let order = self.orders.iter().position(|order| Some(order.source_oid) == at_fault);
            if let (Some(oid), Some(at)) = (at_fault, order) {
                let tries = changes.entry(oid).or_default();
                *tries += 1;
                if is_a_change(&error) && *tries < MAX_CHANGES {
                    if let Some(order) = self.orders.get_mut(at) {
                        order.plan = None;
                    }
                    tracing::info!(oid, "the table was changed while it was copied; its copy begins again");
                    continue;
                }
                let order = self.orders.swap_remove(at);
                self.set_aside(order, &error).await?;
                continue;
            }
            if is_over {
                return Err(error);
            }
            if error.disposition() != Disposition::Retry && !is_full_or_busy(&error) {
                // The others have nothing to do with it.
                for order in std::mem::take(&mut self.orders) {
                    self.fail(order, &error).await?;
                }
                return Ok(self.ended);
            }
            let Some(pause) = pauses.next() else {
                return Err(EngineError::GaveUp { attempts: pauses.taken(), last: Box::new(error) });
            };
            tracing::warn!(code = error.code(), error = %chain(&error), "copying beside the stream begins again");
            tokio::time::sleep(pause).await;
        }
        Ok(self.ended)
    }

    /// Quarantines a table that the state knows; one that was to be added is none of the pipeline then.
    async fn set_aside(&mut self, order: Order, error: &EngineError) -> Result<(), EngineError> {
        let mut target = Target::connect(&self.context.config.target).await?;
        let state = target.known_state(&self.context.config.name).await?;
        let found = state.tables.iter().find(|table| table.source_oid == order.source_oid);
        let is_known = found.is_some();
        if let Some(found) = found {
            target.drop_table(&shadow_name(&found.target, order.source_oid)).await?;
        }
        if is_known {
            quarantine(&self.context, &self.checkpoint, &mut target, order.source_oid, error).await?;
        }
        self.ended.failed.push((order, format!("{}: {}", error.code(), chain(error)), is_known));
        Ok(())
    }

    /// Everything, once, from new sessions.
    async fn attempt(
        &mut self,
        first: &mut Option<(oneshot::Sender<Vec<Prepared>>, oneshot::Receiver<()>)>,
    ) -> Result<(), EngineError> {
        let config = Arc::clone(&self.context.config);
        let source = session::connect(&config.source).await?;
        let mut target = Target::connect(&config.target).await?;
        let prepared = self.prepare(&source, &mut target).await?;
        match first.take() {
            Some((tell, told)) => {
                // The pipeline is over when nobody listens.
                let asked = tell.send(prepared.clone()).is_ok();
                if !asked || told.await.is_err() {
                    return Err(EngineError::Abandoned);
                }
                self.orders.iter_mut().for_each(|order| order.has_stopped = true);
            }
            None => {
                for table in &prepared {
                    prepare::store(&mut target, &self.checkpoint, table).await?;
                }
            }
        }
        if prepared.is_empty() {
            return Ok(());
        }
        hit(Failpoint::BesideStopped);
        self.copy(&source, &mut target, prepared).await
    }

    /// What each table is now. Those that cannot be copied are left out of the orders: they stay what they are, or, if they
    /// have stopped already, are quarantined.
    async fn prepare(&mut self, source: &Session, target: &mut Target) -> Result<Vec<Prepared>, EngineError> {
        let mut prepared = Vec::new();
        let mut at = 0;
        while let Some(order) = self.orders.get_mut(at) {
            let error = match prepare::prepare(&self.context, (source, &mut *target), order).await {
                Ok(table) => {
                    order.source_oid = table.state.source_oid;
                    prepared.push(table);
                    at += 1;
                    continue;
                }
                Err(Trouble::Refused(detail)) if order.has_stopped => {
                    let (oid, table) = (order.source_oid, QualifiedName::new("", ""));
                    let table = order.known.as_ref().map_or(table, |known| known.target.clone());
                    EngineError::TargetSchemaDrift { oid, table, detail }
                }
                Err(Trouble::Refused(why)) => {
                    let order = self.orders.remove(at);
                    self.ended.failed.push((order, why, false));
                    continue;
                }
                Err(Trouble::Error(error)) => error,
            };
            let is_its_own = matches!(error, EngineError::Preflight { .. } | EngineError::Plan(_))
                || table_at_fault(&error).is_some();
            if !is_its_own {
                return Err(error);
            }
            let order = self.orders.remove(at);
            self.fail(order, &error).await?;
        }
        Ok(prepared)
    }

    /// A table cannot be copied: it stays what it is, or is quarantined if it has stopped already.
    async fn fail(&mut self, order: Order, error: &EngineError) -> Result<(), EngineError> {
        if order.has_stopped {
            return self.set_aside(order, error).await;
        }
        self.ended.failed.push((order, format!("{}: {}", error.code(), chain(error)), false));
        Ok(())
    }

    /// An order that is worked on no more.
    fn take_order(&mut self, source_oid: u32) -> Option<Order> {
        let at = self.orders.iter().position(|order| order.source_oid == source_oid)?;
        Some(self.orders.swap_remove(at))
    }

    /// Copies what is prepared, and catches up.
    async fn copy(
        &mut self,
        source: &Session,
        target: &mut Target,
        prepared: Vec<Prepared>,
    ) -> Result<(), EngineError> {
        let (context, checkpoint) = (&self.context.clone(), &self.checkpoint.clone());
        let mut tables = Vec::with_capacity(prepared.len());
        for table in &prepared {
            let plan = prepare::copy_plan(target, table).await?;
            tables.push((Arc::new(plan), table.state.clone()));
        }
        let (snapshot, reading);
        match (prepared.as_slice(), tables.as_slice()) {
            // It was rewritten before: as little as can be comes between the snapshot and the lock of its reader.
            ([table], [(plan, _)]) if table.order.rewritten > 0 => {
                let reader = Reader::connect(&context.config.source).await?;
                snapshot = provision::export_temporary(context).await?;
                reading = match Reading::of_one(&snapshot, reader, plan).await {
                    Ok(reading) => reading,
                    Err(error) if is_rewritten(&error) => {
                        self.ended.rewritten.append(&mut self.orders);
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                };
            }
            _ => {
                snapshot = provision::export_temporary(context).await?;
                reading = Reading::of(&snapshot);
            }
        }
        let end = copy_tables(context, checkpoint, (source, &mut *target), &mut tables, reading, Live::Later);
        if end.await? == CopyEnd::Stopped {
            return Err(EngineError::Abandoned);
        }
        let mut finished = Vec::new();
        for (table, (_, state)) in prepared.into_iter().zip(tables) {
            let oid = table.state.source_oid;
            if state.phase == TablePhase::Quarantined {
                let why = state.error.clone().map(|(code, detail)| format!("{code}: {detail}"));
                let order = self.take_order(oid);
                self.ended.failed.extend(order.map(|order| (order, why.unwrap_or_default(), true)));
                continue;
            }
            if state.phase != TablePhase::Streaming {
                let order = self.take_order(oid);
                self.ended.rewritten.extend(order);
                continue;
            }
            let known = known::as_of(source, &table.plan, snapshot.name()).await?;
            hit(Failpoint::BesideCopied);
            let how = prepare::replace(target, checkpoint, &table).await?;
            hit(Failpoint::BesideReplaced);
            context.show_phase(oid, TablePhase::Copying, None);
            let letters = target.open_letters(&checkpoint.pipeline, &table.plan).await?;
            let Prepared { order, plan, .. } = table;
            finished.push(Finished { order, plan, state, known, letters, how });
        }
        if finished.is_empty() {
            return Ok(());
        }
        self.catch_up(source, target, snapshot, finished).await
    }

    /// Applies what comes behind the snapshot, until the tables are to be handed over.
    async fn catch_up(
        &mut self,
        source: &Session,
        target: &mut Target,
        snapshot: ExportedSnapshot,
        mut finished: Vec<Finished>,
    ) -> Result<(), EngineError> {
        let (context, from) = (&self.context, snapshot.lsn());
        let most_large_bytes = target.write_path().most_large_bytes();
        let mut tables = TableSet::new();
        for table in &mut finished {
            Arc::make_mut(&mut table.plan).bound_large(most_large_bytes);
            tables.insert(TableEntry {
                plan: Arc::clone(&table.plan),
                sync_lsn: from,
                phase: TablePhase::Streaming,
                letters: table.letters.clone(),
                known: Some(Known::new(table.known.clone())),
            });
        }
        let options = StreamOptions {
            // Text can be had of every type; which tables are published beside these does not matter then.
            fields: FieldForm::Text,
            queue_bytes: context.config.memory.queue_bytes,
            open_bytes: context.config.memory.open_bytes,
            streaming: true,
            ..StreamOptions::default()
        };
        let slot = snapshot.slot().to_owned();
        let publication = &self.checkpoint.lineage.publication;
        let replication = snapshot.into_replication();
        let stream = replication.start_with(&slot, from, &[publication], options).await?;
        let examiner = Examiner::new(source, context.naming(), FieldForm::Text, most_large_bytes);
        let mut catch_up =
            CatchUp { context, checkpoint: &self.checkpoint, target, tables, examiner, stream };
        let position = catch_up.run(from, &self.position, &self.stop).await?;
        let CatchUp { tables, stream, .. } = catch_up;
        if let Err(error) = stream.close().await {
            tracing::debug!(error = %error, "the stream of a temporary slot did not end in an orderly way");
        }
        for table in &mut finished {
            if let Some(entry) = tables.get(table.plan.source.oid) {
                table.letters = entry.letters.clone();
                if let Some(known) = &entry.known {
                    table.known = KnownTable::clone(&known.table);
                }
            }
        }
        self.ended.position = position;
        self.ended.finished = finished;
        Ok(())
    }
}

/// Whether the source has no slot for the copy just now: the tables have stopped already, and have nothing to do with it.
fn is_full_or_busy(error: &EngineError) -> bool {
    matches!(error.code(), "NO_FREE_SLOTS" | "SLOT_CREATION_TIMEOUT")
}

/// Whether another copy may be of a table that stays as it is.
fn is_a_change(error: &EngineError) -> bool {
    matches!(error.code(), "SCHEMA_CHANGED" | "TABLE_RECREATED")
}
