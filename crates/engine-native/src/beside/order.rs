//! [`Order`]: a table that is to be copied, and when. No I/O.

use std::sync::Arc;
use std::time::Duration;

use segcdc_plan::TablePlan;
use segcdc_sqlserver::TableState;
use tokio::time::Instant;

use crate::config::RetryPolicy;
use crate::context::needs_copy;
use crate::wish::By;

/// How often in a row a table is rewritten before the state says that this is what keeps it from being copied: once or twice
/// is what a batch job does that happens to run.
const NAMED_AFTER: u32 = 3;

/// A table that is to be copied beside the stream.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// What the state says of it; `None` for one that is to become a table of the pipeline.
    pub(crate) known: Option<TableState>,
    /// The OID that the pipeline knows it by.
    pub(crate) before: u32,
    /// Its OID in the source now.
    pub(crate) source_oid: u32,
    /// Its plan, where that is known already.
    pub(crate) plan: Option<Arc<TablePlan>>,
    /// Its target table is empty, or is to be: no shadow is needed.
    pub(crate) in_place: bool,
    /// How the rows are to get into a target table that is in use.
    pub(crate) by: Option<By>,
    /// The wish that is carried out.
    pub(crate) wish: Option<String>,
    /// It is not followed any more: what keeps it from being copied quarantines it. Stored as the phase of the table.
    pub(crate) has_stopped: bool,
    /// How often in a row it got a new file between a snapshot and its copy. One that did is copied alone.
    pub(crate) rewritten: u32,
    /// Not before then.
    due: Option<Instant>,
}

// === impl Order ===

impl Order {
    /// A table that is to become one of the pipeline.
    pub(crate) fn add(source_oid: u32, wish: &str) -> Self {
        Order {
            known: None,
            before: source_oid,
            source_oid,
            plan: None,
            in_place: true,
            by: None,
            wish: Some(wish.to_owned()),
            has_stopped: false,
            rewritten: 0,
            due: None,
        }
    }

    /// A table that is to be copied again while its target table is in use.
    pub(crate) fn again(known: &TableState, by: Option<By>, wish: Option<String>) -> Self {
        Order { by, in_place: false, ..Order::in_place(known, wish) }
    }

    /// A table whose target table is not complete.
    pub(crate) fn in_place(known: &TableState, wish: Option<String>) -> Self {
        debug_assert!(wish.is_some() || needs_copy(known), "a table in use is not emptied without a wish");
        Order {
            before: known.source_oid,
            source_oid: known.source_oid,
            known: Some(known.clone()),
            plan: None,
            in_place: true,
            by: None,
            wish,
            has_stopped: needs_copy(known),
            rewritten: 0,
            due: None,
        }
    }

    /// The same, with the plan that is known.
    pub(crate) fn with(self, plan: Arc<TablePlan>) -> Self {
        Order { plan: Some(plan), ..self }
    }

    /// Whether it is about this table.
    pub(crate) const fn is_of(&self, oid: u32) -> bool {
        self.before == oid || self.source_oid == oid
    }

    /// Notes that the table got a new file between the snapshot and its copy, and when it is tried again: at once, and then
    /// with growing pauses.
    pub(crate) fn note_rewritten(&mut self, policy: RetryPolicy, now: Instant) {
        self.rewritten = self.rewritten.saturating_add(1);
        self.due = Some(now + pause(policy, self.rewritten));
        self.begin_again();
    }

    /// The table has stopped, and is looked at again: it may have another shape too.
    pub(crate) fn begin_again(&mut self) {
        (self.plan, self.before) = (None, self.source_oid);
        self.has_stopped = true;
    }

    /// What the state is to say of the table while it waits: code and detail.
    pub(crate) fn reason(&self) -> Option<(String, String)> {
        (self.rewritten >= NAMED_AFTER).then(|| {
            let detail = format!(
                "it was truncated or rewritten {} times in a row before its copy could begin; it is tried again",
                self.rewritten
            );
            ("TABLE_REWRITTEN".to_owned(), detail)
        })
    }
}

/// Takes what is to be copied next: all tables that can have one snapshot in common; if there are none, the one that was
/// rewritten and is due, alone. So a table that is rewritten again and again keeps none of the others from being copied.
pub(crate) fn take_next(orders: &mut Vec<Order>, now: Instant) -> Vec<Order> {
    let (together, alone): (Vec<Order>, Vec<Order>) =
        std::mem::take(orders).into_iter().partition(|order| order.rewritten == 0);
    *orders = alone;
    if !together.is_empty() {
        return together;
    }
    let next = orders.iter().enumerate().filter(|(_, order)| order.due.is_none_or(|due| due <= now));
    match next.min_by_key(|(_, order)| order.due).map(|(at, _)| at) {
        Some(at) => vec![orders.remove(at)],
        None => Vec::new(),
    }
}

/// The pause before a table is tried again that was rewritten so many times in a row.
fn pause(policy: RetryPolicy, times: u32) -> Duration {
    match times {
        0 | 1 => Duration::ZERO,
        more => policy.first_pause.saturating_mul(1 << (more - 2).min(16)).min(policy.longest_pause),
    }
}

#[cfg(test)]
mod tests {
    use segcdc_model::{Lsn, QualifiedName, TablePhase};

    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(1),
            max_attempts: None,
        }
    }

    fn order(source_oid: u32) -> Order {
        let state = TableState {
            source_oid,
            source: QualifiedName::new("public", "t"),
            target: QualifiedName::new("dbo", "t"),
            shape: String::new(),
            phase: TablePhase::Queued,
            sync_lsn: Lsn::ZERO,
            rows_copied: 0,
            bytes_copied: 0,
            estimated_rows: 0,
            table_is_ours: true,
            error: None,
        };
        Order::in_place(&state, None)
    }

    fn oids(orders: &[Order]) -> Vec<u32> {
        orders.iter().map(|order| order.source_oid).collect()
    }

    #[test]
    fn a_rewritten_table_waits_for_the_others_and_then_comes_alone() {
        let now = Instant::now();
        let rewritten = |oid, times| {
            let mut order = order(oid);
            (0..times).for_each(|_| order.note_rewritten(policy(), now));
            order
        };
        let mut orders = vec![rewritten(1, 3), order(2), rewritten(3, 2), rewritten(4, 1), order(5)];
        assert_eq!(oids(&take_next(&mut orders, now)), [2, 5]);
        assert_eq!(oids(&take_next(&mut orders, now)), [4], "it may be tried at once");
        assert_eq!(oids(&take_next(&mut orders, now)), [] as [u32; 0]);
        let later = now + Duration::from_millis(100);
        assert_eq!(oids(&take_next(&mut orders, later)), [3]);
        assert_eq!(oids(&take_next(&mut orders, later)), [] as [u32; 0]);
        orders.push(order(6));
        let much_later = now + Duration::from_secs(60);
        assert_eq!(oids(&take_next(&mut orders, much_later)), [6]);
        assert_eq!(oids(&take_next(&mut orders, much_later)), [1]);
        assert!(orders.is_empty());
    }

    #[test]
    fn pauses_grow_to_the_longest_and_no_further() {
        let milliseconds = |times| pause(policy(), times).as_millis();
        let taken: Vec<u128> = (1..=7).map(milliseconds).collect();
        assert_eq!(taken, [0, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(milliseconds(u32::MAX), 1000);
    }

    #[test]
    fn a_table_that_is_rewritten_again_and_again_is_named() {
        let mut order = order(1);
        let said: Vec<Option<String>> = (0..4)
            .map(|_| {
                order.note_rewritten(policy(), Instant::now());
                order.reason().map(|(code, detail)| format!("{code}: {detail}"))
            })
            .collect();
        assert_eq!(said[..2], [None, None]);
        let named = "TABLE_REWRITTEN: it was truncated or rewritten 3 times in a row before its copy could begin; it is \
                     tried again";
        assert_eq!(said[2].as_deref(), Some(named));
        assert!(said[3].as_deref().is_some_and(|said| said.contains(" 4 times ")));
    }
}
