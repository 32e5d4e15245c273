//! Tables that are copied beside the stream: they stop, are copied, and go on with the others.

use segcdc_model::TablePhase;
use segcdc_plan::{Known, TableEntry};
use segcdc_postgres::FieldForm;
use segcdc_sqlserver::{TableProgress, WishOutcome};
use tokio::time::Instant;

use super::Loop;
use crate::beside::order::{Order, take_next};
use crate::beside::prepare::{self, Prepared};
use crate::beside::{Beside, Ended, Finished};
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::ports::{Ports, TablesPort, TargetPort};

// === impl Loop ===

impl<P: Ports> Loop<'_, P> {
    /// Does what is due with tables that are copied beside the stream: begins, has them stop, takes them over.
    pub(super) async fn look_beside(&mut self) -> Result<(), EngineError> {
        if self.is_amid_transaction()? {
            return Ok(());
        }
        let applied = self.applied()?;
        let Some(beside) = &mut self.beside else { return self.begin_beside().await };
        if let Some(prepared) = beside.prepared() {
            for table in &prepared {
                self.stop(table).await?;
            }
            if let Some(beside) = &mut self.beside {
                beside.go();
            }
            return Ok(());
        }
        let is_there = beside.position().is_some_and(|position| position >= applied);
        if !is_there && !beside.is_over() {
            return Ok(());
        }
        let Some(beside) = self.beside.take() else { return Ok(()) };
        let ended = beside.end().await?;
        self.take_over(ended).await?;
        self.look_at_wishes().await
    }

    /// Begins with what is to be copied next.
    async fn begin_beside(&mut self) -> Result<(), EngineError> {
        let orders = take_next(&mut self.orders, Instant::now());
        if orders.is_empty() {
            return Ok(());
        }
        let checkpoint = self.memory.checkpoint()?;
        for wish in orders.iter().filter_map(|order| order.wish.as_ref()) {
            let detail = "its copy has begun";
            self.target.settle_wish(checkpoint, wish, WishOutcome::Begun, detail).await?;
        }
        self.beside = Some(Beside::start(self.context, checkpoint, orders));
        Ok(())
    }

    /// Has a table stop, durably, before its copy begins.
    async fn stop(&mut self, table: &Prepared) -> Result<(), EngineError> {
        prepare::store(self.target, self.memory.checkpoint()?, table).await?;
        let (before, now) = (table.order.before, table.state.source_oid);
        if before == now {
            self.tables.set_phase(now, TablePhase::Queued);
        } else {
            self.tables.remove(before);
        }
        self.paused.remove(&before);
        self.intake.plan_again();
        self.context.show_table(before, &table.state);
        Ok(())
    }

    /// Has a table wait that got a new file behind the snapshot, and says so where that happens again and again.
    async fn put_off(&mut self, mut order: Order) -> Result<(), EngineError> {
        order.note_rewritten(self.context.config.retry, Instant::now());
        let (oid, times) = (order.source_oid, order.rewritten);
        let reason = order.reason();
        let stored = reason.as_ref().map(|(code, detail)| (code.as_str(), detail.as_str()));
        let checkpoint = self.memory.checkpoint()?;
        self.target.set_table_phase(checkpoint, oid, TablePhase::Queued, stored).await?;
        match &reason {
            None => {
                tracing::info!(oid, times, "the table was rewritten behind the snapshot; it is copied alone")
            }
            Some((code, detail)) => tracing::warn!(oid, times, code, "{detail}"),
        }
        self.context.show_phase(oid, TablePhase::Queued, reason);
        self.orders.push(order);
        Ok(())
    }

    /// Takes over what is copied: it goes on with the others, from where it stands.
    async fn take_over(&mut self, ended: Ended) -> Result<(), EngineError> {
        let mut unreadable = None;
        for table in ended.finished {
            let Finished { order, plan, state, known, letters, how } = table;
            let checkpoint = self.memory.checkpoint()?;
            let progress = TableProgress {
                source_oid: state.source_oid,
                rows_copied: state.rows_copied,
                bytes_copied: state.bytes_copied,
            };
            self.target.finish_copy(checkpoint, &progress, ended.position, &known).await?;
            hit(Failpoint::BesideHandedOver);
            tracing::info!(table = %plan.source.name, lsn = %ended.position, "{how} beside the stream");
            if let Some(wish) = &order.wish {
                let detail = format!("{how}: it goes on from {}", ended.position);
                self.target.settle_wish(checkpoint, wish, WishOutcome::Done, &detail).await?;
            }
            let odd = plan.columns.iter().find(|column| !column.sent_type().has_exact_binary_form());
            unreadable = unreadable.or(odd.map(|odd| (plan.source.name.clone(), odd.source_name.clone())));
            self.tables.insert(TableEntry {
                plan,
                sync_lsn: ended.position,
                phase: TablePhase::Streaming,
                letters,
                known: Some(Known::new(known)),
            });
            self.context.show_phase(state.source_oid, TablePhase::Streaming, None);
        }
        for (order, why, is_quarantined) in ended.failed {
            if is_quarantined {
                self.tables.set_phase(order.source_oid, TablePhase::Quarantined);
            }
            if let Some(wish) = &order.wish {
                let checkpoint = self.memory.checkpoint()?;
                self.target.settle_wish(checkpoint, wish, WishOutcome::Refused, &why).await?;
            }
        }
        for order in ended.rewritten {
            self.put_off(order).await?;
        }
        self.orders.extend(ended.again);
        self.intake.plan_again();
        match unreadable {
            Some((table, column)) if self.form == FieldForm::Binary => {
                Err(EngineError::StreamFormChanged { table, column })
            }
            _ => Ok(()),
        }
    }
}
