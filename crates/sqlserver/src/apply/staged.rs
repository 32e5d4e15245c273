//! The way for batches of any size: through staging tables, one set of statements a table.

use segcdc_model::Checkpoint;
use segcdc_plan::{ApplyPlan, TableChanges, TablePlan};
use segcdc_tds::BulkOptions;

use super::staged_rows::{self, StagedChanges};
use super::{Expected, at_table, begin, behind, check_counts, place, totals};
use crate::error::TargetError;
use crate::letters;
use crate::session::Target;
use crate::sink::{RowBuffer, RowSink};
use crate::sql;
use crate::state::check_fence;

/// Encoded bytes that are kept from the check to the sending. Beyond it a batch is encoded twice, once to be checked and
/// once to be sent, so that a giant transaction does not stand in memory a second time.
const ENCODE_AHEAD_BYTES: usize = 16 << 20;

/// Encoded bytes that are sent at a time when a batch is encoded twice.
const SEND_BYTES: usize = 1 << 20;

/// Contents of a table without a key from which on one statement removes them all, where the server can do that. Each
/// statement for a single content reads the whole table; the one for all reads it once and sorts what it finds.
const NUMBERED_FROM: usize = 4;

/// Statements of one request: where deletes of rows without a key need one for each content, a request of thousands
/// would be compiled for seconds.
const STATEMENTS_PER_REQUEST: usize = 200;

/// A table's changes with its staging table.
struct Stage<'p> {
    staged: StagedChanges<'p>,
    number: usize,
    buffer: RowBuffer,
    /// `buffer` holds all rows, and not none.
    complete: bool,
}

/// A statement, and the row count that it must have; `None` for one that counts nothing.
type Statement<'p> = (String, Option<Expected<'p>>);

/// Applies a plan. The caller rolls back after an error.
pub(super) async fn run(
    target: &mut Target,
    plan: &ApplyPlan,
    expected: &Checkpoint,
) -> Result<Checkpoint, TargetError> {
    let numbered = numbered(target, plan).await?;
    let mut stages = encode_all(target, plan, numbered)?;
    create_staging(target, plan.tables.iter().map(|changes| &*changes.table)).await?;
    find_staging(target, &mut stages)?;
    begin(target, expected).await?;
    letters::write(target, &expected.pipeline, &plan.letters, &plan.uses, plan.end_lsn).await?;
    if stages.is_empty() {
        finish(target, plan, expected).await?;
    }
    let checkpoint = sql::state::finish(expected, plan.end_lsn, &totals(plan));
    change_tables(target, &mut stages, plan, expected, Some(checkpoint)).await?;
    target.commit().await?;
    Ok(behind(expected, plan.end_lsn))
}

/// Applies a plan in the open transaction, behind the fence and in front of the checkpoint. The staging tables are
/// there already. The caller rolls back after an error.
pub(super) async fn run_part(
    target: &mut Target,
    plan: &ApplyPlan,
    expected: &Checkpoint,
) -> Result<(), TargetError> {
    let numbered = numbered(target, plan).await?;
    let mut stages = encode_all(target, plan, numbered)?;
    find_staging(target, &mut stages)?;
    letters::write(target, &expected.pipeline, &plan.letters, &plan.uses, plan.end_lsn).await?;
    change_tables(target, &mut stages, plan, expected, None).await
}

/// Stages the rows of each table and executes its statements; `checkpoint` goes with those of the last one.
async fn change_tables(
    target: &mut Target,
    stages: &mut [Stage<'_>],
    plan: &ApplyPlan,
    expected: &Checkpoint,
    mut checkpoint: Option<String>,
) -> Result<(), TargetError> {
    let last = stages.len().saturating_sub(1);
    for (index, stage) in stages.iter_mut().enumerate() {
        if stage.staged.row_count() > 0 {
            load(target, stage, plan).await?;
        }
        let checkpoint = if index == last { checkpoint.take() } else { None };
        execute(target, stage, plan, expected, checkpoint).await?;
    }
    Ok(())
}

/// Whether rows without a key are numbered to be deleted.
async fn numbered(target: &mut Target, plan: &ApplyPlan) -> Result<bool, TargetError> {
    let many = |changes: &TableChanges| changes.unkeyed_deletes.len() >= NUMBERED_FROM;
    Ok(plan.tables.iter().any(many) && target.deletes_numbered().await?)
}

/// Moves the checkpoint, for a batch that concerns no table.
async fn finish(target: &mut Target, plan: &ApplyPlan, expected: &Checkpoint) -> Result<(), TargetError> {
    let sql = sql::state::finish(expected, plan.end_lsn, &totals(plan));
    let response = target.batch("applying a batch", &sql).await?;
    check_fence(expected, &response.row_counts)
}

/// Encodes and so checks every value of a plan before anything is sent.
fn encode_all<'p>(
    target: &Target,
    plan: &'p ApplyPlan,
    numbered: bool,
) -> Result<Vec<Stage<'p>>, TargetError> {
    let place = place(plan);
    let mut room = ENCODE_AHEAD_BYTES;
    let mut stages = Vec::with_capacity(plan.tables.len());
    for changes in &plan.tables {
        let mut staged = StagedChanges::new(changes);
        staged.numbered = numbered && staged.equal_deletes.len() >= NUMBERED_FROM;
        let mut buffer = RowBuffer::new(staged.columns(target.dialect().time), target.write_path());
        let mut rows = staged.rows();
        let checked = staged_rows::encode(&changes.table, &mut rows, &mut buffer, &place, room)?;
        let complete = checked == staged.row_count();
        if !complete {
            buffer.clear();
            while staged_rows::encode(&changes.table, &mut rows, &mut buffer, &place, SEND_BYTES)? > 0 {
                buffer.clear();
            }
        }
        drop(rows);
        room = room.saturating_sub(buffer.byte_len());
        stages.push(Stage { staged, number: 0, buffer, complete });
    }
    Ok(stages)
}

/// Creates the staging tables that the session lacks, in front of the transaction, so that no rollback removes them.
pub(super) async fn create_staging(
    target: &mut Target,
    tables: impl IntoIterator<Item = &TablePlan>,
) -> Result<(), TargetError> {
    let mut statements = Vec::new();
    let mut created = Vec::new();
    for table in tables {
        let shape = sql::staging::create(0, table);
        match target.staging.get(&table.source.oid) {
            Some((_, known)) if *known == shape => continue,
            Some((outdated, _)) => statements.push(sql::staging::drop(*outdated)),
            None => {}
        }
        target.staging_count += 1;
        statements.push(sql::staging::create(target.staging_count, table));
        created.push((table.source.oid, target.staging_count, shape));
    }
    if statements.is_empty() {
        return Ok(());
    }
    for (oid, ..) in &created {
        target.staging.remove(oid);
    }
    target.batch("creating staging tables", &statements.join("; ")).await?;
    target.staging.extend(created.into_iter().map(|(oid, number, shape)| (oid, (number, shape))));
    Ok(())
}

/// Finds the staging table of each table.
fn find_staging(target: &Target, stages: &mut [Stage<'_>]) -> Result<(), TargetError> {
    for stage in stages {
        let table = &stage.staged.changes.table;
        let known = target.staging.get(&table.source.oid);
        let (number, _) = known.ok_or_else(|| TargetError::Answer {
            during: "staging rows",
            detail: format!("{} has no staging table", table.target),
        })?;
        stage.number = *number;
    }
    Ok(())
}

/// Loads the rows of a table into its staging table.
async fn load(target: &mut Target, stage: &mut Stage<'_>, plan: &ApplyPlan) -> Result<(), TargetError> {
    let during = "staging rows";
    let place = place(plan);
    let table = &stage.staged.changes.table;
    let at = |error| at_table(TargetError::from_tds(during, error), table, plan);
    let options = BulkOptions { keep_nulls: true, ..BulkOptions::default() };
    let name = sql::staging::name(stage.number);
    let columns = stage.buffer.columns().to_vec();
    let mut sink = RowSink::begin(target, &name, &columns, &options).await.map_err(at)?;
    if stage.complete {
        sink.send(&mut stage.buffer).await.map_err(at)?;
    } else {
        let mut rows = stage.staged.rows();
        loop {
            // It has been encoded before without an error, but an error must not leave the stream open either.
            match staged_rows::encode(table, &mut rows, &mut stage.buffer, &place, SEND_BYTES) {
                Ok(0) => break,
                Ok(_) => sink.send(&mut stage.buffer).await.map_err(at)?,
                Err(error) => {
                    let _given_up = sink.abort().await;
                    return Err(error);
                }
            }
        }
    }
    let taken = sink.finish().await.map_err(at)?;
    if taken == stage.staged.row_count() as u64 {
        return Ok(());
    }
    let detail = format!("the server took {taken} rows of {}", stage.staged.row_count());
    Err(TargetError::Answer { during, detail })
}

/// Runs a table's statements and empties its staging table; behind them the checkpoint, if it is given.
async fn execute(
    target: &mut Target,
    stage: &Stage<'_>,
    plan: &ApplyPlan,
    expected: &Checkpoint,
    checkpoint: Option<String>,
) -> Result<(), TargetError> {
    let during = "applying a batch";
    let table = &stage.staged.changes.table;
    let statements = statements(stage);
    let mut requests: Vec<&[Statement<'_>]> = statements.chunks(STATEMENTS_PER_REQUEST).collect();
    if requests.is_empty() {
        requests.push(&[]);
    }
    let last = requests.len() - 1;
    for (index, request) in requests.into_iter().enumerate() {
        let mut texts: Vec<&str> = request.iter().map(|(sql, _)| sql.as_str()).collect();
        let counts: Vec<Expected<'_>> = request.iter().filter_map(|(_, count)| *count).collect();
        let checkpoint = checkpoint.as_deref().filter(|_| index == last);
        texts.extend(checkpoint);
        if texts.is_empty() {
            continue;
        }
        let response = target.batch(during, &texts.join(";\n")).await;
        let response = response.map_err(|error| at_table(error, table, plan))?;
        let mut found = response.row_counts;
        let moved = checkpoint.and_then(|_| found.pop());
        check_counts(&found, &counts, plan.end_lsn)?;
        if checkpoint.is_some() {
            check_fence(expected, moved.as_slice())?;
        }
    }
    Ok(())
}

/// The statements of a table, in order.
fn statements<'p>(stage: &Stage<'p>) -> Vec<Statement<'p>> {
    let changes = stage.staged.changes;
    let (number, table) = (stage.number, &*changes.table);
    let counted = |statement, rows: usize| Some(Expected { table, statement, rows: Some(rows as u64) });
    let any = |statement| Some(Expected { table, statement, rows: None });
    let mut statements = Vec::new();
    if changes.truncate {
        statements.push((sql::create_table::truncate(table), None));
    }
    for (group, (columns, rows)) in stage.staged.fills.iter().enumerate() {
        let sql = sql::apply::fill(number, table, group, columns);
        statements.push((sql, Some(Expected { table, statement: "fill", rows: Some(*rows) })));
    }
    if !changes.deletes.is_empty() {
        statements.push((sql::apply::delete(number, table), counted("DELETE", changes.deletes.len())));
    }
    if stage.staged.numbered {
        let sql = sql::apply::delete_numbered(number, table);
        statements.push((sql, counted("DELETE", changes.unkeyed_deletes.len())));
    } else {
        for (group, equal) in stage.staged.equal_deletes.iter().enumerate() {
            let sql = sql::apply::delete_equal(number, table, group, equal.rows);
            statements.push((sql, counted("DELETE", equal.rows)));
        }
    }
    for (group, update) in changes.updates.iter().enumerate() {
        let sql = sql::apply::update(number, table, group, &update.present);
        statements.push((sql, counted("UPDATE", update.rows.len())));
    }
    for (group, marks) in changes.marks.iter().enumerate() {
        let sql = sql::apply::mark(number, table, group, &marks.present);
        statements.push((sql, counted("mark", marks.rows.len())));
    }
    let all = changes.all_marked_us.and_then(|at_us| sql::mark::mark_all(table, at_us));
    statements.extend(all.map(|sql| (sql, any("mark all"))));
    if !changes.cleared.is_empty() {
        statements.extend(sql::apply::clear(number, table).map(|sql| (sql, any("make room"))));
    }
    if !changes.inserts.is_empty() {
        statements.extend(sql::apply::make_room(number, table).map(|sql| (sql, any("make room"))));
        statements.push((sql::apply::insert(number, table), counted("INSERT", changes.inserts.len())));
    }
    if stage.staged.row_count() > 0 {
        statements.push((sql::staging::truncate(number), None));
    }
    statements
}
