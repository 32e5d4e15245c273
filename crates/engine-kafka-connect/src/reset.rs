//! [`reset`]: has a pipeline forget everything, so that the next `up` copies anew.
//!
//! ```text
//! connectors, offsets, topics, slot go          as with `down --drop`; old messages would bring old rows back
//! the target's tables                           what the pipeline made is dropped, what was there before is emptied
//! state                                         last: until then it can be repeated
//! ```

use segcdc_engine_native::down::{DownReport, Removal, Thing};
use segcdc_model::Side;
use segcdc_sqlserver::{PipelineState, TableState, Target, sql};

use crate::config::{ConnectConfig, Spec};
use crate::error::ConnectError;
use crate::remove::{Rows, brokers, take_away};
use crate::rest::Rest;

/// Has a pipeline forget everything, or says what would go.
///
/// # Errors
/// `CONNECT_UNSUPPORTED` for a pipeline that may not have copied the rows of a table that was there before it, and without
/// brokers; as [`crate::remove::remove`]. Can be repeated after any error.
pub async fn reset(
    config: &ConnectConfig,
    rest: &Rest,
    removal: Removal,
) -> Result<DownReport, ConnectError> {
    let pipeline = &config.engine.name;
    let mut target = Target::connect(&config.engine.target).await?;
    let state = target.known_state(pipeline).await?;
    let spec = Spec::of(&state)?;
    if may_lose_rows(spec.snapshot, &state.tables) {
        return Err(ConnectError::Unsupported {
            what: "reset of a pipeline that only follows, or was handed over, and writes a table that was there before it: rows \
                   that it did not copy would be lost",
            instead: "remove it with `segcdc down --drop`, and make it again",
        });
    }
    if brokers(config, &spec)?.is_none() {
        return Err(ConnectError::Unsupported {
            what: "reset without --kafka-bootstrap: messages that stay in a topic would bring old rows back",
            instead: "give --kafka-bootstrap; without it use `segcdc down --drop`, run the commands that it prints for topics \
                      and tables, and make the pipeline again",
        });
    }
    let report = take_away(config, rest, removal, Rows::Go).await?;
    Ok(with_tables(report, &state))
}

/// Whether rows would go that did not come by the pipeline. A table that it made holds none; of others, only a pipeline
/// that copied its rows knows that they were empty before. One that was handed over does not know whether it did. Pure.
fn may_lose_rows(has_copied: bool, tables: &[TableState]) -> bool {
    !has_copied && tables.iter().any(|table| !table.table_is_ours)
}

/// The report of a removal, with the tables among what goes. Pure.
fn with_tables(mut report: DownReport, state: &PipelineState) -> DownReport {
    for table in &state.tables {
        let drop = sql::create_table::drop_table(&table.target);
        report.left.retain(|thing| thing.sql != drop);
        let (what, sql) = match table.table_is_ours {
            true => (format!("table {}", table.target), drop),
            false => (format!("rows of table {}", table.target), sql::create_table::empty(&table.target)),
        };
        report.removed.push(Thing { what, side: Side::Target, sql });
    }
    report
}

#[cfg(test)]
mod tests {
    use segcdc_engine_native::table_state;

    use super::*;
    use crate::layout::tests::plan;

    #[test]
    fn rows_that_were_there_before_are_not_emptied_unless_they_were_copied() {
        let plan = plan("public", "orders", &[]);
        let (ours, theirs) = (table_state(&plan, true), table_state(&plan, false));
        let both = [ours.clone(), theirs];
        assert!(may_lose_rows(false, &both));
        assert!(!may_lose_rows(true, &both));
        assert!(!may_lose_rows(false, &[ours]));
    }
}
