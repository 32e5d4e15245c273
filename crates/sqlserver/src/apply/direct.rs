//! The way for small batches: single-row statements with parameters, all in one request.

use segcdc_model::{Checkpoint, Value};
use segcdc_plan::{ApplyPlan, RowImage, TableChanges, TablePlan};
use segcdc_tds::{BulkColumn, Collation, Parameter, RowEncoder};

use super::staged_rows::{StagedChanges, planned_value};
use super::{Expected, at_table, begin, behind, check_counts, place};
use crate::encode;
use crate::error::{RefusedValue, TargetError};
use crate::session::Target;
use crate::sink::MAX_PARAMETERS;
use crate::sql;
use crate::sql::direct::{ADVANCE, ADVANCE_PARAMETERS, Bound};
use crate::state::check_fence;

/// Rows up to which a batch goes this way. Staging costs three requests a table (INSERT BULK, its rows, the statements),
/// this way one in all, but each row is a statement to be compiled and run alone. To be set by measurement.
pub(super) const MAX_ROWS: usize = 32;

/// Encoded bytes up to which a batch goes this way: large values gain nothing from a single request.
const MAX_BYTES: usize = 256 * 1024;

/// A batch as one parameterised request.
pub(super) struct Request<'p> {
    sql: String,
    values: Values,
    expected: Vec<Expected<'p>>,
}

/// Encoded parameters.
#[derive(Default)]
struct Values {
    columns: Vec<BulkColumn>,
    bytes: Vec<Vec<u8>>,
    total_bytes: usize,
}

/// A request being put together.
struct Builder<'p> {
    database: Collation,
    place: String,
    statements: Vec<String>,
    values: Values,
    expected: Vec<Expected<'p>>,
}

/// The request for a plan; `None` when the plan is not for this way.
///
/// # Errors
/// The first value that the target cannot hold.
pub(super) fn build<'p>(
    plan: &'p ApplyPlan,
    database: Collation,
) -> Result<Option<Request<'p>>, TargetError> {
    let rows: usize = plan.tables.iter().map(TableChanges::row_count).sum();
    let takes_old_values = plan.tables.iter().flat_map(|table| &table.inserts).any(|row| row.fill.is_some());
    if rows > MAX_ROWS || takes_old_values {
        return Ok(None);
    }
    let mut builder = Builder {
        database,
        place: place(plan),
        statements: Vec::new(),
        values: Values::default(),
        expected: Vec::new(),
    };
    for changes in &plan.tables {
        builder.add(changes)?;
        if builder.values.bytes.len() + ADVANCE_PARAMETERS > MAX_PARAMETERS
            || builder.values.total_bytes > MAX_BYTES
        {
            return Ok(None);
        }
    }
    builder.statements.push(ADVANCE.to_owned());
    let sql = builder.statements.join(";\n");
    Ok(Some(Request { sql, values: builder.values, expected: builder.expected }))
}

/// Carries a request out, and rolls back after an error.
pub(super) async fn run(
    target: &mut Target,
    request: &Request<'_>,
    plan: &ApplyPlan,
    expected: &Checkpoint,
) -> Result<Checkpoint, TargetError> {
    let applied = run_in_tx(target, request, plan, expected).await;
    if applied.is_err() {
        target.roll_back().await;
    }
    applied
}

async fn run_in_tx(
    target: &mut Target,
    request: &Request<'_>,
    plan: &ApplyPlan,
    expected: &Checkpoint,
) -> Result<Checkpoint, TargetError> {
    begin(target, expected).await?;
    let bigint = |value: u64| Parameter::BigInt(Some(i64::try_from(value).unwrap_or(i64::MAX)));
    let mut parameters = vec![
        bigint(plan.end_lsn.as_u64()),
        Parameter::BigInt(Some(plan.commit_time_us)),
        bigint(plan.transactions),
        bigint(plan.changes),
        Parameter::NVarChar(Some(&expected.pipeline)),
        Parameter::BigInt(Some(expected.epoch)),
        bigint(expected.applied_lsn.as_u64()),
        Parameter::BigInt(Some(expected.batch_seq)),
    ];
    let values = request.values.columns.iter().zip(&request.values.bytes);
    parameters.extend(values.map(|(column, value)| Parameter::Encoded {
        column_type: &column.column_type,
        collation: column.collation,
        value,
    }));
    let response = target.connection().execute(&request.sql, &parameters).await;
    let response = response.map_err(|error| {
        let error = TargetError::from_tds("applying a batch", error);
        match plan.tables.as_slice() {
            [only] => at_table(error, &only.table, plan),
            _ => error,
        }
    })?;
    let mut counts = response.row_counts;
    let moved = counts.pop();
    check_counts(&counts, &request.expected, plan.end_lsn)?;
    check_fence(expected, moved.as_slice())?;
    target.commit().await?;
    Ok(behind(expected, plan.end_lsn))
}

// === impl Values ===

impl Values {
    /// Adds a value; returns the number of its parameter.
    fn push(&mut self, column: BulkColumn, value: Value<'_>) -> Result<usize, RefusedValue> {
        let mut encoder = RowEncoder::new(std::slice::from_ref(&column));
        encoder.begin_row();
        encode::write(&mut encoder, value)?;
        encoder.end_row()?;
        let range = encoder.value_ranges().next().unwrap_or_default();
        let bytes = encoder.encoded().get(range).unwrap_or_default().to_vec();
        self.total_bytes += bytes.len();
        self.bytes.push(bytes);
        self.columns.push(column);
        Ok(ADVANCE_PARAMETERS + self.bytes.len())
    }
}

// === impl Builder ===

impl<'p> Builder<'p> {
    /// Adds the statements of a table, in the order in which its effects take place.
    fn add(&mut self, changes: &'p TableChanges) -> Result<(), TargetError> {
        let table = &*changes.table;
        if changes.truncate {
            self.statements.push(sql::create_table::truncate(table));
        }
        for image in &changes.deletes {
            let key = self.key(table, image)?;
            self.push(table, "DELETE", 1, sql::direct::delete(table, &key));
        }
        let grouped = StagedChanges::new(changes);
        for range in grouped.equal_deletes {
            let Some(image) = changes.unkeyed_deletes.get(range.start) else { continue };
            let content = self.content(table, image)?;
            let sql = sql::direct::delete_equal(table, range.len(), &content);
            self.push(table, "DELETE", range.len(), sql);
        }
        for update in &changes.updates {
            for image in &update.rows {
                let key = self.key(table, image)?;
                let set: Vec<Bound> = update
                    .present
                    .iter()
                    .map(|column| Ok((*column, Some(self.value(table, image, *column, &mut 0)?))))
                    .collect::<Result<_, TargetError>>()?;
                self.push(table, "UPDATE", 1, sql::direct::update(table, &set, &key));
            }
        }
        if !changes.inserts.is_empty() {
            let first = ADVANCE_PARAMETERS + self.values.bytes.len() + 1;
            for row in &changes.inserts {
                let mut key_bytes = 0;
                for column in 0..table.columns.len() {
                    self.value(table, &row.image, column, &mut key_bytes)?;
                }
            }
            let rows = changes.inserts.len();
            self.push(table, "INSERT", rows, sql::direct::insert(table, rows, first));
        }
        Ok(())
    }

    fn push(&mut self, table: &'p TablePlan, statement: &'static str, rows: usize, sql: String) {
        self.statements.push(sql);
        self.expected.push(Expected { table, statement, rows: rows as u64 });
    }

    /// The key of a row that is in the target; its length has been checked when it went there.
    fn key(&mut self, table: &TablePlan, image: &RowImage) -> Result<Vec<Bound>, TargetError> {
        let columns = table.key_columns().iter();
        columns.map(|column| Ok((*column, Some(self.value(table, image, *column, &mut 0)?)))).collect()
    }

    /// All values of a row that is in the target.
    fn content(&mut self, table: &TablePlan, image: &RowImage) -> Result<Vec<Bound>, TargetError> {
        let mut bound = Vec::with_capacity(table.columns.len());
        for column in 0..table.columns.len() {
            let is_null = image.field(column) == segcdc_model::Field::Null;
            let parameter = if is_null { None } else { Some(self.value(table, image, column, &mut 0)?) };
            bound.push((column, parameter));
        }
        Ok(bound)
    }

    /// Adds the value of a planned column as a parameter.
    fn value(
        &mut self,
        table: &TablePlan,
        image: &RowImage,
        index: usize,
        key_bytes: &mut usize,
    ) -> Result<usize, TargetError> {
        let refused = |refused| TargetError::refused(refused, table, index, &self.place);
        let value = planned_value(table, image, index, key_bytes).map_err(refused)?;
        let Some(column) = table.columns.get(index) else {
            return Err(TargetError::refused(RefusedValue::Null, table, index, &self.place));
        };
        let column = encode::bulk_column(&column.name, column.mssql_type, true, self.database);
        let pushed = self.values.push(column, value);
        pushed.map_err(|refused| TargetError::refused(refused, table, index, &self.place))
    }
}
