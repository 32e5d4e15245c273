//! [`plan`]: a batch of transactions to its net effect. [`plan_part`]: the same for a part of one that is too large.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use segcdc_model::{Change, Lsn, OldTuple, Relation, TablePhase, Transaction, Tuple};

use crate::apply_plan::{ApplyPlan, InsertRow, TableChanges};
use crate::bind::{self, Binding};
use crate::error::PlanError;
use crate::ledger::{Ledger, Notes};
use crate::letters::{OpenLetters, PolicyUse};
use crate::net_change::KeyedNet;
use crate::refusals::{Refusals, RefusedKeys};
use crate::row_image::RowImage;
use crate::rules::{OnChange, TargetMode};
use crate::table_plan::{TableKey, TablePlan};
use crate::table_set::{TableEntry, TableSet};
use crate::whole_row::WholeRowNet;

/// Plans a batch: the changes of its transactions, in order, as one net effect on each table.
///
/// Left out are tables that the set does not know, tables that are not streaming, and changes that a table's copy
/// already holds (transactions that end at or below its sync LSN).
///
/// # Errors
/// The first table that cannot be planned; [`PlanError::table_oid`] names it, and the batch can be planned again
/// without it. Nothing is planned for a batch with an error.
pub fn plan(batch: &[Transaction], tables: &TableSet) -> Result<ApplyPlan, PlanError> {
    plan_with(batch, tables, &Refusals::new())
}

/// As [`plan`], with the rows set aside that the target was seen to refuse.
///
/// # Errors
/// As [`plan`].
pub fn plan_with(
    batch: &[Transaction],
    tables: &TableSet,
    refusals: &Refusals,
) -> Result<ApplyPlan, PlanError> {
    let last = batch.last().ok_or(PlanError::EmptyBatch)?;
    let mut planner = Planner::new(tables, refusals);
    let mut previous = None;
    for transaction in batch {
        if transaction.spilled.is_some() {
            return Err(PlanError::NotInMemory { end_lsn: transaction.end_lsn });
        }
        if let Some(previous) = previous.filter(|previous| *previous >= transaction.end_lsn) {
            return Err(PlanError::OutOfOrder { previous, next: transaction.end_lsn });
        }
        previous = Some(transaction.end_lsn);
        for change in &transaction.changes {
            planner.add(change, Moment::of(transaction))?;
        }
    }
    planner.finish(batch.len() as u64, last)
}

/// Plans a part of the changes of `transaction`, which is too large to be planned as a whole: their net effect on each
/// table, on top of the parts before. Only `changes` are planned; the plan counts no transaction.
///
/// The letters of `tables` must be those behind the parts before ([`TableSet::note_letters`]).
///
/// # Errors
/// As [`plan`].
pub fn plan_part(
    changes: &[Change],
    transaction: &Transaction,
    tables: &TableSet,
) -> Result<ApplyPlan, PlanError> {
    let refusals = Refusals::new();
    let mut planner = Planner::new(tables, &refusals);
    for change in changes {
        planner.add(change, Moment::of(transaction))?;
    }
    planner.finish(0, transaction)
}

/// The first of `changes` that has to be looked into before it can be planned: its place, and the description that it came
/// with, which [`crate::Known`] does not admit. Changes that are left out anyway are not looked at.
pub fn first_unknown(changes: &[Change], end_lsn: Lsn, tables: &TableSet) -> Option<(usize, Arc<Relation>)> {
    let mut last = std::ptr::null();
    let mut is_unknown = |relation: &Arc<Relation>| {
        if Arc::as_ptr(relation) == last {
            return false;
        }
        last = Arc::as_ptr(relation);
        tables.get(relation.oid).is_some_and(|entry| {
            entry.phase == TablePhase::Streaming
                && end_lsn > entry.sync_lsn
                && entry.known.as_ref().is_some_and(|known| !known.admits(relation))
        })
    };
    for (at, change) in changes.iter().enumerate() {
        if let Some(relation) = change.relations().iter().find(|relation| is_unknown(relation)) {
            return Some((at, Arc::clone(relation)));
        }
    }
    None
}

/// Where and when a change took effect.
#[derive(Clone, Copy)]
struct Moment {
    /// Commit end of its transaction.
    end_lsn: Lsn,
    /// Commit time of its transaction, microseconds since 2000-01-01 UTC.
    time_us: i64,
}

/// The state of one call of [`plan`].
struct Planner<'a> {
    tables: &'a TableSet,
    refusals: &'a Refusals,
    /// Tables in the order in which the batch first touched them.
    nets: Vec<TableNet<'a>>,
    net_by_oid: HashMap<u32, usize>,
    /// What is known of each relation, by its address: the batch keeps them alive.
    routes: HashMap<*const Relation, Route<'a>, RandomState>,
    /// Changes that count.
    changes: u64,
}

/// Where the changes of a relation go.
enum Route<'a> {
    /// Nowhere: not one of our tables, or not a live one.
    Ignored,
    /// To a live table, for transactions that end behind its sync LSN.
    Table {
        entry: &'a TableEntry,
        /// Index into the planner's tables and how to read tuples, made when the first change is to be planned: an
        /// older shape of the table, from before it was copied, need not fit.
        bound: Option<(usize, Arc<Binding>)>,
    },
}

/// The net effect on one table so far.
struct TableNet<'a> {
    table: Arc<TablePlan>,
    /// Open letters when the batch begins.
    letters: &'a OpenLetters,
    /// Commit end of the transaction that emptied the table last.
    truncated: Option<Lsn>,
    /// Commit end of the transaction whose changes come now.
    position: Lsn,
    rows: NetRows,
}

/// Rows of a [`TableNet`], by what identifies them.
enum NetRows {
    Keyed(KeyedNet),
    WholeRow(WholeRowNet),
    Appended(Appended),
}

/// Rows that are only added.
#[derive(Default)]
struct Appended {
    rows: Vec<(RowImage, Lsn)>,
    /// What becomes of other changes; `None` where nothing identifies a row.
    on_change: Option<OnChange>,
    /// Changes that were left out: UPDATE, DELETE, TRUNCATE.
    left_out: [u64; 3],
}

/// The changes that a table that only grows leaves out, as [`Appended::left_out`] counts them.
const CHANGES: [&str; 3] = ["UPDATE", "DELETE", "TRUNCATE"];

// === impl Moment ===

impl Moment {
    fn of(transaction: &Transaction) -> Self {
        Moment { end_lsn: transaction.end_lsn, time_us: transaction.commit_time_us }
    }
}

// === impl Planner ===

impl<'a> Planner<'a> {
    fn new(tables: &'a TableSet, refusals: &'a Refusals) -> Self {
        let (nets, net_by_oid, routes) = (Vec::new(), HashMap::new(), HashMap::default());
        Planner { tables, refusals, nets, net_by_oid, routes, changes: 0 }
    }

    /// Adds a change.
    fn add(&mut self, change: &Change, at: Moment) -> Result<(), PlanError> {
        match change {
            Change::Insert { relation, new } => {
                let Some((net, binding)) = self.route(relation, at)? else { return Ok(()) };
                net.insert(binding, &*binding.rewritten(new)?)?;
            }
            Change::Update { relation, old, new } => {
                let Some((net, binding)) = self.route(relation, at)? else { return Ok(()) };
                let old = old.as_ref().map(|old| binding.rewritten_old(old)).transpose()?;
                net.update(binding, old.as_deref(), &*binding.rewritten(new)?)?;
            }
            Change::Delete { relation, old } => {
                let Some((net, binding)) = self.route(relation, at)? else { return Ok(()) };
                net.delete(binding, &*binding.rewritten_old(old)?)?;
            }
            Change::Truncate { relations } => {
                for relation in relations {
                    if let Some((net, _)) = self.route(relation, at)? {
                        net.truncate();
                        self.changes += 1;
                    }
                }
                return Ok(());
            }
        }
        self.changes += 1;
        Ok(())
    }

    /// The plan of all that was added.
    fn finish(self, transactions: u64, last: &Transaction) -> Result<ApplyPlan, PlanError> {
        let mut tables = Vec::with_capacity(self.nets.len());
        let (mut letters, mut uses) = (Vec::new(), Vec::new());
        for net in self.nets {
            let refused = self.refusals.of(net.table.source.oid);
            let (table, notes) = net.finish(refused)?;
            letters.extend(notes.letters);
            uses.extend(notes.uses);
            if !table.is_empty() {
                tables.push(table);
            }
        }
        Ok(ApplyPlan {
            tables,
            end_lsn: last.end_lsn,
            commit_time_us: last.commit_time_us,
            transactions,
            changes: self.changes,
            letters,
            uses,
        })
    }

    /// The table that a change of `relation` goes to, if to any.
    fn route(
        &mut self,
        relation: &Arc<Relation>,
        at: Moment,
    ) -> Result<Option<(&mut TableNet<'a>, &Arc<Binding>)>, PlanError> {
        let route =
            self.routes.entry(Arc::as_ptr(relation)).or_insert_with(|| find_table(self.tables, relation));
        let Route::Table { entry, bound } = route else { return Ok(None) };
        if at.end_lsn <= entry.sync_lsn {
            return Ok(None);
        }
        let (index, binding) = match bound {
            Some(bound) => bound,
            None => {
                let binding = Arc::new(bind_relation(&entry.plan, relation)?);
                let index = *self.net_by_oid.entry(relation.oid).or_insert_with(|| {
                    self.nets.push(TableNet::new(entry));
                    self.nets.len() - 1
                });
                bound.insert((index, binding))
            }
        };
        Ok(self.nets.get_mut(*index).map(|net| {
            net.at(at);
            (net, &*binding)
        }))
    }
}

/// The live table that a relation is, by OID; by name too, so that a table that was made again is not overlooked.
fn find_table<'a>(tables: &'a TableSet, relation: &Relation) -> Route<'a> {
    let entry = tables.get(relation.oid).or_else(|| tables.get_by_name(&relation.name));
    match entry {
        Some(entry) if entry.phase == TablePhase::Streaming => Route::Table { entry, bound: None },
        // A publication may hold tables that the pipeline does not replicate.
        Some(_) | None => Route::Ignored,
    }
}

/// Binds a relation to the table that it was found to be.
fn bind_relation(plan: &Arc<TablePlan>, relation: &Relation) -> Result<Binding, PlanError> {
    if relation.oid != plan.source.oid {
        return Err(PlanError::TableRecreated { oid: plan.source.oid, table: plan.source.name.clone() });
    }
    bind::bind(plan, relation)
}

// === impl TableNet ===

impl<'a> TableNet<'a> {
    fn new(entry: &'a TableEntry) -> Self {
        let table = Arc::clone(&entry.plan);
        let rows = match table.key {
            TableKey::Columns(_) => NetRows::Keyed(KeyedNet::new(&table)),
            TableKey::WholeRow => NetRows::WholeRow(WholeRowNet::new(&table)),
            TableKey::AppendOnly(on_change) => {
                NetRows::Appended(Appended { on_change: Some(on_change), ..Appended::default() })
            }
            TableKey::Unidentified => NetRows::Appended(Appended::default()),
        };
        TableNet { table, letters: &entry.letters, truncated: None, position: Lsn::ZERO, rows }
    }

    /// Changes that come now are those of the transaction of `at`.
    fn at(&mut self, at: Moment) {
        self.position = at.end_lsn;
        match &mut self.rows {
            NetRows::Keyed(net) => net.at(at.end_lsn, at.time_us),
            NetRows::WholeRow(net) => net.at(at.end_lsn),
            NetRows::Appended(_) => {}
        }
    }

    fn insert(&mut self, binding: &Arc<Binding>, new: &Tuple) -> Result<(), PlanError> {
        let image = RowImage::new(Arc::clone(binding), new.clone());
        match &mut self.rows {
            NetRows::Keyed(net) => net.insert(image),
            NetRows::WholeRow(net) => net.insert(image),
            NetRows::Appended(appended) => {
                appended.rows.push((image, self.position));
                Ok(())
            }
        }
    }

    fn update(
        &mut self,
        binding: &Arc<Binding>,
        old: Option<&OldTuple>,
        new: &Tuple,
    ) -> Result<(), PlanError> {
        let new = RowImage::new(Arc::clone(binding), new.clone());
        match &mut self.rows {
            NetRows::Keyed(net) => net.update(binding, old, new),
            NetRows::WholeRow(net) => net.update(binding, old, new),
            NetRows::Appended(appended) => appended.changed(&self.table, 0),
        }
    }

    fn delete(&mut self, binding: &Arc<Binding>, old: &OldTuple) -> Result<(), PlanError> {
        match &mut self.rows {
            NetRows::Keyed(net) => net.delete(binding, old),
            NetRows::WholeRow(net) => net.delete(binding, old),
            NetRows::Appended(appended) => appended.changed(&self.table, 1),
        }
    }

    /// Empties the table: what the batch did to it before has no effect any more, unless rows stay when they are deleted.
    fn truncate(&mut self) {
        match &mut self.rows {
            NetRows::Keyed(net) => net.truncate(),
            NetRows::WholeRow(net) => net.truncate(),
            NetRows::Appended(appended) => {
                if appended.keeps_all() {
                    return appended.leave_out(2);
                }
                appended.rows.clear();
            }
        }
        self.truncated = Some(self.position);
    }

    fn finish(self, refused: Option<&RefusedKeys>) -> Result<(TableChanges, Notes), PlanError> {
        let mut ledger = Ledger::new(&self.table, self.letters, self.truncated).refusing(refused);
        let mut changes = TableChanges::new(Arc::clone(&self.table));
        changes.truncate = self.truncated.is_some() && self.table.mode == TargetMode::Mirror;
        let mut left_out = Vec::new();
        match self.rows {
            NetRows::Keyed(net) => net.finish(&mut changes, &mut ledger)?,
            NetRows::WholeRow(net) => net.finish(&mut changes, &mut ledger)?,
            NetRows::Appended(appended) => {
                left_out = appended.uses(&self.table);
                for (image, lsn) in appended.rows {
                    if ledger.added(&image, 1, lsn)? {
                        changes.inserts.push(InsertRow::whole(image));
                    }
                }
            }
        }
        let mut notes = ledger.finish(&changes)?;
        notes.uses.extend(left_out);
        Ok((changes, notes))
    }
}

// === impl Appended ===

impl Appended {
    /// Whether the target keeps every row as it was inserted.
    fn keeps_all(&self) -> bool {
        self.on_change == Some(OnChange::Ignore)
    }

    /// A change of a row that is there already: left out, or refused.
    fn changed(&mut self, table: &TablePlan, change: usize) -> Result<(), PlanError> {
        if self.keeps_all() {
            self.leave_out(change);
            return Ok(());
        }
        let (oid, table) = (table.source.oid, table.source.name.clone());
        let operation = CHANGES.get(change).copied().unwrap_or_default();
        Err(match self.on_change {
            Some(_) => PlanError::AppendOnlyChanged { oid, table, operation },
            None => PlanError::UnidentifiedChanged { oid, table, operation },
        })
    }

    /// Counts a change that is left out.
    fn leave_out(&mut self, change: usize) {
        if let Some(count) = self.left_out.get_mut(change) {
            *count += 1;
        }
    }

    /// What was left out.
    fn uses(&self, table: &TablePlan) -> Vec<PolicyUse> {
        let counted = CHANGES.iter().zip(self.left_out).filter(|(_, count)| *count > 0);
        let uses = counted.map(|(change, count)| PolicyUse {
            oid: table.source.oid,
            table: table.source.name.clone(),
            column: (*change).to_owned(),
            policy: OnChange::Ignore.word(),
            count,
        });
        uses.collect()
    }
}
