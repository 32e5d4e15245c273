//! [`count_table`]: whether both sides have the same number of rows, without looking at any of them.

use segcdc_postgres::snapshot;
use segcdc_sqlserver::{Selection, Target, rows};

use crate::verify::VerifyStage;
use crate::verify::barrier::Barrier;
use crate::verify::found::Found;
use crate::verify::read::Stop;
use crate::verify::reporter::Reporter;
use crate::verify::shared::{Shared, TableWork};
use crate::verify::window::{Candidate, Rest, Verdict, Window};

/// Windows in which a table is counted before it is called unstable.
const MAX_WINDOWS: u32 = 8;

/// Counts the rows of both sides until something can be said: they are the same, or differ while the source rests. A difference
/// is by how much the numbers differ; which rows it is, and whether rows have the same values, only a comparison of rows tells.
///
/// # Errors
/// [`Stop::Table`] `ROWS_SET_ASIDE` where rows are set aside, since the target may have an older version of each or none; and
/// the servers'.
pub(super) async fn count_table(
    shared: &Shared,
    work: &TableWork,
    barrier: &mut Barrier,
    reporter: &mut Reporter,
) -> Result<Found, Stop> {
    let table = &work.plan;
    let mut target = Target::connect(&shared.config.target).await?;
    if !target.open_letters(&shared.config.name, table).await?.is_empty() {
        let detail =
            "rows of it are set aside, so that its numbers say nothing: compare it by rows".to_owned();
        return Err(Stop::table("ROWS_SET_ASIDE", detail));
    }
    let mut candidate = Candidate::new(MAX_WINDOWS);
    let mut found = Found::default();
    let mut before = source_rows(barrier, work).await?;
    loop {
        reporter.stage(VerifyStage::Window, before);
        barrier.pass().await?;
        let seen = rows::count(&mut target, table, Selection::All).await?;
        let after = source_rows(barrier, work).await?;
        (found.tally.source_rows, found.tally.target_rows) = (after, seen);
        let window = Window { source_before: before, target: seen, source_after: after, rest: Rest::Looks };
        match candidate.judge(window) {
            Verdict::Again => before = after,
            Verdict::Equal => return Ok(found),
            Verdict::Unstable => {
                found.unstable = after.abs_diff(seen).max(1);
                return Ok(found);
            }
            Verdict::Differs { source, target } => {
                found.missing = source.saturating_sub(target);
                found.extra = target.saturating_sub(source);
                return Ok(found);
            }
        }
    }
}

async fn source_rows(barrier: &Barrier, work: &TableWork) -> Result<u64, Stop> {
    let (source, filter) = (&work.plan.source, work.plan.filter.as_deref());
    Ok(snapshot::count_rows(barrier.source(), source, filter).await?)
}
