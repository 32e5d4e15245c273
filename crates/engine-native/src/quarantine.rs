//! Setting one table aside, so that the others can go on.

use segcdc_model::fault::chain;
use segcdc_model::{Checkpoint, Disposition, Fault, TablePhase};

use crate::context::Context;
use crate::error::EngineError;
use crate::failpoint::{Failpoint, hit};
use crate::ports::TargetPort;

/// The table that an error sets aside; `None` when the error concerns the whole pipeline.
pub(crate) fn table_at_fault(error: &EngineError) -> Option<u32> {
    match error.disposition() {
        Disposition::HaltTable => error.table_oid(),
        Disposition::Halt | Disposition::Retry => None,
    }
}

/// Writes that a table is quarantined, before anything goes on without it. Durable on return.
///
/// # Errors
/// `FENCED`, and the target's.
pub(crate) async fn quarantine<T: TargetPort>(
    context: &Context,
    checkpoint: &Checkpoint,
    target: &mut T,
    source_oid: u32,
    error: &EngineError,
) -> Result<(), EngineError> {
    let (code, detail) = (error.code(), chain(error));
    hit(Failpoint::BeforeQuarantine);
    let reason = Some((code, detail.as_str()));
    target.set_table_phase(checkpoint, source_oid, TablePhase::Quarantined, reason).await?;
    hit(Failpoint::AfterQuarantine);
    tracing::error!(source_oid, code, error = %detail, "a table is set aside; the others go on");
    context.show_phase(source_oid, TablePhase::Quarantined, Some((code.to_owned(), detail)));
    Ok(())
}
