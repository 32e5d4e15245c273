//! Tables of a simulation neither come nor go: nobody asks anything of them.

use std::collections::HashMap;

use segcdc_model::{Checkpoint, Lsn, QualifiedName};
use segcdc_plan::KnownTable;
use segcdc_sqlserver::sql::schema_changes::Recorded;
use segcdc_sqlserver::{PipelineState, Replacement, TableProgress, TableWish, TargetError, WishOutcome};

use super::target::SimTarget;
use crate::ports::TablesPort;

impl TablesPort for SimTarget {
    async fn open_table_wishes(&mut self, _pipeline: &str) -> Result<Vec<TableWish>, TargetError> {
        Ok(Vec::new())
    }

    async fn known_state(&mut self, _pipeline: &str) -> Result<PipelineState, TargetError> {
        unreachable!("nothing is asked of a table of a simulation")
    }

    async fn settle_wish(
        &mut self,
        _checkpoint: &Checkpoint,
        _id: &str,
        _outcome: WishOutcome,
        _detail: &str,
    ) -> Result<(), TargetError> {
        unreachable!("nothing is asked of a table of a simulation")
    }

    async fn pause_table(
        &mut self,
        _checkpoint: &Checkpoint,
        _source_oid: u32,
        _lsn: Lsn,
    ) -> Result<(), TargetError> {
        unreachable!("nothing is asked of a table of a simulation")
    }

    async fn replace_table(
        &mut self,
        _checkpoint: &Checkpoint,
        _replacement: &Replacement<'_>,
    ) -> Result<(), TargetError> {
        unreachable!("nothing is asked of a table of a simulation")
    }

    async fn finish_copy(
        &mut self,
        _checkpoint: &Checkpoint,
        _progress: &TableProgress,
        _sync_lsn: Lsn,
        _known: &KnownTable,
    ) -> Result<(), TargetError> {
        unreachable!("nothing is asked of a table of a simulation")
    }

    async fn record_change(
        &mut self,
        _checkpoint: &Checkpoint,
        _record: &Recorded<'_>,
    ) -> Result<(), TargetError> {
        unreachable!("nothing is asked of a table of a simulation")
    }

    async fn last_records(
        &mut self,
        _pipeline: &str,
        _kinds: &[&str],
    ) -> Result<HashMap<u32, [String; 3]>, TargetError> {
        unreachable!("no table of a simulation is new")
    }

    async fn add_table_wishes(&mut self, _pipeline: &str, _wishes: &[TableWish]) -> Result<(), TargetError> {
        unreachable!("no table of a simulation is new")
    }

    async fn drop_table(&mut self, _table: &QualifiedName) -> Result<(), TargetError> {
        unreachable!("nothing is asked of a table of a simulation")
    }

    async fn clear_letters(
        &mut self,
        _checkpoint: &Checkpoint,
        _table: &QualifiedName,
        _oid: u32,
    ) -> Result<(), TargetError> {
        unreachable!("nothing is asked of a table of a simulation")
    }

    async fn remove_table(&mut self, _checkpoint: &Checkpoint, _source_oid: u32) -> Result<(), TargetError> {
        unreachable!("nothing is asked of a table of a simulation")
    }
}
