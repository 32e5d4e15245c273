//! What people ask of single tables, carried out between two batches, where it is known what is applied.

use segcdc_model::fault::chain;
use segcdc_model::{Change, Lsn, TablePhase, Transaction};
use segcdc_sqlserver::{TableState, TableWish, WishOutcome, shadow_name};

use super::Loop;
use super::gone::Record;
use super::pick_up::REMOVED;
use crate::beside::order::Order;
use crate::context::is_recreated;
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::ports::{Ports, SourcePort, TablesPort, TargetPort};
use crate::wish::Wish;

/// Code of a table that rests on request, of which changes were left out.
///
/// - Do: `segcdc table resume` copies it again and lets it go on.
pub(crate) const PAUSED: &str = "TABLE_PAUSED";

// === impl Loop ===

impl<P: Ports> Loop<'_, P> {
    /// Takes over what is unfinished since before: tables that are to be copied, by the wishes that they come from.
    pub(super) async fn take_up(&mut self, unfinished: Vec<super::Unfinished>) -> Result<(), EngineError> {
        let pipeline = self.memory.checkpoint()?.pipeline.clone();
        let open = self.target.open_table_wishes(&pipeline).await?;
        for (plan, state) in unfinished {
            let wish = open.iter().find(|wish| wish.source_oid == state.source_oid);
            let what = wish.and_then(|wish| Wish::read(&wish.wish));
            let id = wish.map(|wish| wish.id.clone());
            let order = match what {
                Some(Wish::Resync { by }) => Order::again(&state, by, id),
                Some(Wish::Resume) => Order::again(&state, None, id),
                Some(Wish::Add) => Order::in_place(&state, id).with(plan),
                // The old rows stay until the new ones are there.
                None if is_recreated(&state) => Order::again(&state, None, None),
                Some(Wish::Pause | Wish::Remove { .. }) | None => Order::in_place(&state, None).with(plan),
            };
            self.orders.push(order);
        }
        self.look_at_wishes().await
    }

    /// Carries out what is wished, or begins to.
    pub(super) async fn look_at_wishes(&mut self) -> Result<(), EngineError> {
        if self.is_amid_transaction()? {
            return Ok(());
        }
        let pipeline = self.memory.checkpoint()?.pipeline.clone();
        let open = self.target.open_table_wishes(&pipeline).await?;
        let mut waiting = 0;
        for wish in open {
            let is_busy = self.is_under_way(wish.source_oid) || self.is_ordered(&wish);
            if is_busy || !self.carry_out(&wish).await? {
                waiting += 1;
            }
        }
        self.wishes = Some(waiting);
        Ok(())
    }

    /// Whether a source transaction is applied in part: no table can stop or go on then.
    pub(super) fn is_amid_transaction(&self) -> Result<bool, EngineError> {
        let applied = self.applied()?;
        Ok(self.partial.is_some_and(|partial| partial.end_lsn > applied))
    }

    /// Whether a table is being copied.
    fn is_under_way(&self, oid: u32) -> bool {
        self.beside.iter().flat_map(|beside| &beside.orders).any(|order| order.is_of(oid))
    }

    /// Whether a table is about to be copied, and the wish waits for that: one that is to be removed does not.
    fn is_ordered(&self, wish: &TableWish) -> bool {
        let removes = matches!(Wish::read(&wish.wish), Some(Wish::Remove { .. }));
        !removes && self.orders.iter().any(|order| order.is_of(wish.source_oid))
    }

    /// Carries a wish out. Whether it is settled.
    async fn carry_out(&mut self, wish: &TableWish) -> Result<bool, EngineError> {
        let Some(what) = Wish::read(&wish.wish) else {
            let why = "it was asked by a later version, and this one does not know what it means";
            return self.settle_wish(wish, WishOutcome::Refused, why).await;
        };
        let state = self.target.known_state(&self.context.config.name).await?;
        let Some(known) = state.tables.iter().find(|table| table.source_oid == wish.source_oid) else {
            if what == Wish::Add {
                self.orders.push(Order::add(wish.source_oid, &wish.id));
                return Ok(false);
            }
            let outcome =
                if matches!(what, Wish::Remove { .. }) { WishOutcome::Done } else { WishOutcome::Refused };
            return self.settle_wish(wish, outcome, "it is no table of the pipeline").await;
        };
        match (what, known.phase) {
            (Wish::Remove { drop_target }, _) => {
                self.remove(known, drop_target, state.publication_is_ours, wish).await
            }
            (Wish::Add, _) => {
                self.settle_wish(wish, WishOutcome::Done, "it is a table of the pipeline").await
            }
            (Wish::Resync { by }, _) => {
                self.orders.push(Order::again(known, by, Some(wish.id.clone())));
                Ok(false)
            }
            (Wish::Pause, TablePhase::Streaming) => self.pause(known, wish).await,
            (Wish::Pause, TablePhase::Paused) => {
                self.settle_wish(wish, WishOutcome::Done, "it was paused already").await
            }
            (Wish::Resume, TablePhase::Paused) => self.go_on(known, wish).await,
            (Wish::Resume, TablePhase::Streaming) => {
                self.settle_wish(wish, WishOutcome::Done, "it was not paused").await
            }
            (Wish::Pause | Wish::Resume, TablePhase::Quarantined) => {
                let why = "it is quarantined: `segcdc table resync` has it copied again";
                self.settle_wish(wish, WishOutcome::Refused, why).await
            }
            (Wish::Pause | Wish::Resume, TablePhase::Queued | TablePhase::Copying) => Ok(false),
        }
    }

    /// Stops applying changes of a table, which holds its source as of what is applied.
    async fn pause(&mut self, known: &TableState, wish: &TableWish) -> Result<bool, EngineError> {
        let oid = known.source_oid;
        let at = self.applied()?.max(known.sync_lsn);
        self.target.pause_table(self.memory.checkpoint()?, oid, at).await?;
        hit(Failpoint::AfterPaused);
        self.set_phase(oid, TablePhase::Paused, Some(at));
        self.paused.insert(oid, false);
        self.context.show_phase(oid, TablePhase::Paused, None);
        tracing::info!(table = %known.source, lsn = %at, "paused");
        self.settle_wish(wish, WishOutcome::Done, &format!("paused: it holds the source as of {at}")).await
    }

    /// Applies changes of a paused table again, or has it copied again where some were left out.
    async fn go_on(&mut self, known: &TableState, wish: &TableWish) -> Result<bool, EngineError> {
        let oid = known.source_oid;
        if self.paused.get(&oid).copied().unwrap_or(true) {
            self.orders.push(Order::again(known, None, Some(wish.id.clone())));
            return Ok(false);
        }
        let checkpoint = self.memory.checkpoint()?;
        self.target.set_table_phase(checkpoint, oid, TablePhase::Streaming, None).await?;
        self.set_phase(oid, TablePhase::Streaming, None);
        self.paused.remove(&oid);
        self.context.show_phase(oid, TablePhase::Streaming, None);
        let what = format!("goes on from {}: nothing was changed meanwhile", known.sync_lsn);
        self.settle_wish(wish, WishOutcome::Done, &what).await
    }

    /// Takes a table out of the pipeline. Whenever it ends in between, what is left is a paused table and the wish.
    async fn remove(
        &mut self,
        known: &TableState,
        drop_target: bool,
        publication_is_ours: bool,
        wish: &TableWish,
    ) -> Result<bool, EngineError> {
        let (oid, checkpoint) = (known.source_oid, self.memory.checkpoint()?.clone());
        if self.tables.len() <= 1 {
            let why = "it is the only table of the pipeline: `segcdc down --drop` removes that";
            return self.settle_wish(wish, WishOutcome::Refused, why).await;
        }
        // Should it end here, and the wish with it: only another copy lets the table go on.
        let stops = Some((PAUSED, "it was to be removed"));
        self.target.set_table_phase(&checkpoint, oid, TablePhase::Paused, stops).await?;
        let given_up: Vec<Order> = self.orders.extract_if(.., |order| order.is_of(oid)).collect();
        for given_up in given_up.iter().filter_map(|order| order.wish.as_ref()) {
            let why = "the table was removed from the pipeline meanwhile";
            self.target.settle_wish(&checkpoint, given_up, WishOutcome::Refused, why).await?;
        }
        self.tables.remove(oid);
        self.paused.remove(&oid);
        self.intake.plan_again();
        let mut said = vec!["removed".to_owned()];
        said.push(match publication_is_ours {
            true => self.source.unpublish(&checkpoint.lineage.publication, oid, &known.source).await?,
            false => "its publication is not the pipeline's and still has it".to_owned(),
        });
        hit(Failpoint::AfterUnpublished);
        said.push(match (drop_target, known.table_is_ours) {
            (false, _) => format!("{} is left as it is", known.target),
            (true, false) => format!("{} was there before and is left as it is", known.target),
            (true, true) => match self.target.drop_table(&known.target).await {
                Ok(()) => format!("{} is dropped", known.target),
                Err(error) if self.target.is_usable() => {
                    format!("{} is left: {}", known.target, chain(&error))
                }
                Err(error) => return Err(error.into()),
            },
        });
        self.target.drop_table(&shadow_name(&known.target, oid)).await?;
        // A table that somebody took out is not taken in again by itself.
        let what = format!("the table was removed from the pipeline; {}", said.join("; "));
        self.record(Record {
            source_oid: oid,
            source: &known.source,
            kind: REMOVED,
            outcome: "applied",
            what,
        })
        .await?;
        self.target.clear_letters(&checkpoint, &known.source, oid).await?;
        self.target.remove_table(&checkpoint, oid).await?;
        self.context.hide_table(oid);
        tracing::info!(table = %known.source, "removed from the pipeline");
        self.settle_wish(wish, WishOutcome::Done, &said.join("; ")).await
    }

    /// Notes, before they are left out, that paused tables are changed by these transactions.
    pub(super) async fn note_missed(&mut self, transactions: &[Transaction]) -> Result<(), EngineError> {
        if self.paused.values().all(|behind| *behind) {
            return Ok(());
        }
        let mut missed: Vec<(u32, Lsn)> = Vec::new();
        for transaction in transactions {
            let spilled = transaction.spilled.as_ref().map(|spilled| spilled.store().relations());
            let in_memory = transaction.changes.iter().flat_map(Change::relations);
            for relation in spilled.unwrap_or_default().iter().chain(in_memory) {
                let entry = self.tables.get(relation.oid).or_else(|| self.tables.get_by_name(&relation.name));
                let Some(entry) = entry else { continue };
                let oid = entry.plan.source.oid;
                let is_new =
                    self.paused.get(&oid) == Some(&false) && missed.iter().all(|(known, _)| *known != oid);
                if is_new && transaction.end_lsn > entry.sync_lsn {
                    missed.push((oid, transaction.end_lsn));
                }
            }
        }
        for (oid, lsn) in missed {
            self.fall_behind(oid, &format!("changes of transactions from {lsn} on are left out")).await?;
        }
        Ok(())
    }

    /// A paused table has to be copied again before it can go on.
    pub(super) async fn fall_behind(&mut self, oid: u32, detail: &str) -> Result<(), EngineError> {
        if self.paused.insert(oid, true) == Some(true) {
            return Ok(());
        }
        let checkpoint = self.memory.checkpoint()?;
        self.target.set_table_phase(checkpoint, oid, TablePhase::Paused, Some((PAUSED, detail))).await?;
        self.context.show_phase(oid, TablePhase::Paused, Some((PAUSED.to_owned(), detail.to_owned())));
        Ok(())
    }

    /// Moves a table to another phase, and what is planned ahead with it.
    fn set_phase(&mut self, oid: u32, phase: TablePhase, sync_lsn: Option<Lsn>) {
        if let Some(mut entry) = self.tables.get(oid).cloned() {
            entry.phase = phase;
            entry.sync_lsn = sync_lsn.unwrap_or(entry.sync_lsn);
            self.tables.insert(entry);
        }
        self.intake.plan_again();
    }

    /// Says what became of a wish; always true.
    pub(super) async fn settle_wish(
        &mut self,
        wish: &TableWish,
        outcome: WishOutcome,
        detail: &str,
    ) -> Result<bool, EngineError> {
        self.target.settle_wish(self.memory.checkpoint()?, &wish.id, outcome, detail).await?;
        Ok(true)
    }
}
