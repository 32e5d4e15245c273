//! The way for small batches: the whole transaction in one request, of single-row statements with parameters.

use segcdc_model::{Checkpoint, Disposition, MssqlType, Value};
use segcdc_plan::rules::DELETED_AT_TYPE;
use segcdc_plan::{ApplyPlan, LetterChange, LetterEnd, PolicyUse, RowImage, TableChanges, TablePlan};
use segcdc_tds::{BulkColumn, Parameter, RowEncoder};

use super::staged_rows::{StagedChanges, planned_value};
use super::{at_table, behind, place};
use crate::dialect::Dialect;
use crate::encode;
use crate::error::{RefusedValue, TargetError};
use crate::letters::{self, Field};
use crate::session::Target;
use crate::sink::MAX_PARAMETERS;
use crate::sql;
use crate::sql::direct::{Bound, FENCE, FENCE_PARAMETERS, FENCED, FINISH, MISCOUNTED};

/// Rows up to which a batch goes this way. Staging costs two requests a batch and three a table (INSERT BULK, its rows,
/// the statements), this way one in all, but each row is a statement to be compiled and run alone. On the sandbox the two
/// ways take the same time somewhere between 16 and 32 rows of one table; more tables, or a longer way to the server,
/// favour this one. `make bench` measures it anew. Not measured on SQL Server.
pub const MAX_ROWS: usize = 32;

/// Encoded bytes up to which a batch goes this way: large values gain nothing from a single request.
const MAX_BYTES: usize = 256 * 1024;

/// A batch as one parameterised request.
pub(super) struct Request {
    sql: String,
    values: Values,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It took effect.
    Applied(Checkpoint),
    /// It left nothing behind, for a reason that the server does not tell well: a row count that is not due, or an error
    /// of one of several tables. The longer way finds out which.
    Unexplained,
}

/// Encoded parameters.
#[derive(Default)]
struct Values {
    columns: Vec<BulkColumn>,
    bytes: Vec<Vec<u8>>,
    total_bytes: usize,
}

/// A request being put together.
struct Builder {
    dialect: Dialect,
    place: String,
    statements: Vec<String>,
    values: Values,
}

/// The request for a plan; `None` when the plan is not for this way.
///
/// # Errors
/// The first value that the target cannot hold.
pub(super) fn build(plan: &ApplyPlan, dialect: Dialect) -> Result<Option<Request>, TargetError> {
    build_up_to(MAX_ROWS, plan, dialect)
}

/// As [`build`], with another bound of rows.
///
/// # Errors
/// As [`build`].
pub(super) fn build_up_to(
    max_rows: usize,
    plan: &ApplyPlan,
    dialect: Dialect,
) -> Result<Option<Request>, TargetError> {
    let rows: usize = plan.tables.iter().map(TableChanges::row_count).sum();
    let rows = rows + plan.letters.len() + plan.uses.len();
    // A parameter of varchar has the collation of the database, which may have another code page than UTF-8; JSON is
    // converted on its way from staging.
    let mut columns = plan.tables.iter().flat_map(|changes| &changes.table.columns);
    let needs_staging =
        columns.any(|column| matches!(column.mssql_type, MssqlType::VarChar { .. } | MssqlType::Json));
    let takes_old_values = plan.tables.iter().flat_map(|table| &table.inserts).any(|row| row.fill.is_some());
    if rows > max_rows || takes_old_values || needs_staging {
        return Ok(None);
    }
    let mut builder =
        Builder { dialect, place: place(plan), statements: Vec::new(), values: Values::default() };
    builder.statements.push(sql::session::BEGIN.to_owned());
    builder.push(1, FENCED, FENCE.to_owned());
    for change in &plan.letters {
        builder.add_letter(change)?;
    }
    for used in &plan.uses {
        builder.add_use(used)?;
    }
    for changes in &plan.tables {
        if builder.is_full() {
            return Ok(None);
        }
        builder.add(changes)?;
    }
    if builder.is_full() {
        return Ok(None);
    }
    builder.push(1, FENCED, FINISH.to_owned());
    builder.statements.push(sql::session::COMMIT.to_owned());
    Ok(Some(Request { sql: builder.statements.join(";\n"), values: builder.values }))
}

/// Carries a request out, and rolls back after an error.
pub(super) async fn run(
    target: &mut Target,
    request: &Request,
    plan: &ApplyPlan,
    expected: &Checkpoint,
) -> Result<Outcome, TargetError> {
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
    let error = match target.connection().execute(&request.sql, &parameters).await {
        Ok(_) => return Ok(Outcome::Applied(behind(expected, plan.end_lsn))),
        // The request ends with COMMIT: when the session breaks, nobody knows.
        Err(source) if !target.is_usable() => return Err(TargetError::CommitUnknown { source }),
        Err(error) => error,
    };
    target.roll_back().await;
    if error.server_errors().is_some_and(|errors| errors.has(FENCED)) {
        return Err(TargetError::Fenced { pipeline: expected.pipeline.clone(), epoch: expected.epoch });
    }
    if error.server_errors().is_some_and(|errors| errors.has(MISCOUNTED)) {
        return Ok(Outcome::Unexplained);
    }
    let error = TargetError::from_tds("applying a batch", error);
    match plan.tables.as_slice() {
        // Letters and counters are no table's.
        [only] if plan.letters.is_empty() && plan.uses.is_empty() => Err(at_table(error, &only.table, plan)),
        _ if concerns_unnamed_table(&error) => Ok(Outcome::Unexplained),
        _ => Err(error),
    }
}

/// Whether an error is one table's without saying which.
fn concerns_unnamed_table(error: &TargetError) -> bool {
    error.table_oid().is_none()
        && error.number().is_some_and(|number| crate::disposition_of(number) == Disposition::HaltTable)
}

// === impl Values ===

impl Values {
    /// Adds a value; returns the number of its parameter.
    fn push(&mut self, column: BulkColumn, value: Value<'_>) -> Result<usize, RefusedValue> {
        if let Value::Large(_) = value {
            // Only a bulk load can send it; nothing of this request is used.
            self.total_bytes = usize::MAX;
            return Ok(0);
        }
        let mut encoder = RowEncoder::new(std::slice::from_ref(&column));
        encoder.begin_row();
        encode::write(&mut encoder, &value)?;
        encoder.end_row()?;
        let range = encoder.value_ranges().next().unwrap_or_default();
        let bytes = encoder.encoded().get(range).unwrap_or_default().to_vec();
        self.total_bytes = self.total_bytes.saturating_add(bytes.len());
        self.bytes.push(bytes);
        self.columns.push(column);
        Ok(FENCE_PARAMETERS + self.bytes.len())
    }
}

// === impl Builder ===

impl Builder {
    /// Adds the statements of a table, in the order in which its effects take place.
    fn add(&mut self, changes: &TableChanges) -> Result<(), TargetError> {
        let table = &*changes.table;
        if changes.truncate {
            self.statements.push(sql::create_table::truncate(table));
        }
        for image in &changes.deletes {
            let key = self.key(table, image)?;
            self.push(1, MISCOUNTED, sql::direct::delete(table, &key));
        }
        let grouped = StagedChanges::new(changes);
        for equal in grouped.equal_deletes {
            let content = self.content(table, equal.image)?;
            let sql = sql::direct::delete_equal(table, equal.rows, &content);
            self.push(equal.rows, MISCOUNTED, sql);
        }
        for update in &changes.updates {
            for image in &update.rows {
                let key = self.key(table, image)?;
                let set: Vec<Bound> = update
                    .present
                    .iter()
                    .map(|column| Ok((*column, Some(self.value(table, image, *column)?))))
                    .collect::<Result<_, TargetError>>()?;
                self.push(1, MISCOUNTED, sql::direct::update(table, &set, None, &key));
            }
        }
        self.add_marks(changes)?;
        if !changes.inserts.is_empty() {
            let first = self.next_parameter();
            for row in &changes.inserts {
                let first = self.next_parameter();
                for column in 0..table.columns.len() {
                    self.value(table, &row.image, column)?;
                }
                self.mark(table, row.deleted_at_us)?;
                let key: Vec<Bound> =
                    table.key_columns().iter().map(|column| (*column, Some(first + column))).collect();
                self.statements.extend(sql::direct::make_room(table, &key));
            }
            let rows = changes.inserts.len();
            self.push(rows, MISCOUNTED, sql::direct::insert(table, rows, first));
        }
        Ok(())
    }

    /// Adds the statements that mark rows as deleted.
    fn add_marks(&mut self, changes: &TableChanges) -> Result<(), TargetError> {
        let table = &*changes.table;
        for marks in &changes.marks {
            for row in &marks.rows {
                let key = self.key(table, &row.image)?;
                let set = marks.present.iter();
                let set = set.map(|column| Ok((*column, Some(self.value(table, &row.image, *column)?))));
                let set = set.collect::<Result<Vec<Bound>, TargetError>>()?;
                let at = self.mark(table, Some(row.at_us))?;
                self.push(1, MISCOUNTED, sql::direct::update(table, &set, at, &key));
            }
        }
        let all = changes.all_marked_us.and_then(|at_us| sql::mark::mark_all(table, at_us));
        self.statements.extend(all);
        for image in &changes.cleared {
            let key = self.key(table, image)?;
            self.statements.extend(sql::direct::make_room(table, &key));
        }
        Ok(())
    }

    /// Adds the mark of a row as a parameter, for a table that has marks.
    fn mark(&mut self, table: &TablePlan, at_us: Option<i64>) -> Result<Option<usize>, TargetError> {
        let Some(marker) = table.marker() else { return Ok(None) };
        let column = encode::bulk_column(marker, DELETED_AT_TYPE, true, self.dialect);
        let pushed = self.values.push(column, at_us.map_or(Value::Null, Value::Timestamp));
        pushed.map(Some).map_err(|refused| TargetError::refused(refused, table, usize::MAX, &self.place))
    }

    /// Whether the request has got too large to be sent.
    fn is_full(&self) -> bool {
        self.values.bytes.len() + FENCE_PARAMETERS > MAX_PARAMETERS || self.values.total_bytes > MAX_BYTES
    }

    /// Adds the statement of a change of letters.
    fn add_letter(&mut self, change: &LetterChange) -> Result<(), TargetError> {
        let next = self.next_parameter();
        match change {
            LetterChange::Open(letter) => {
                self.fields(letters::columns(), &letters::of_letter(letter))?;
                let keyed = letters::is_keyed(&letter.key);
                self.push(1, MISCOUNTED, sql::letter_changes::open_single(next, keyed));
            }
            LetterChange::Renew(letter) => {
                self.fields(letters::columns(), &letters::of_letter(letter))?;
                self.push(1, MISCOUNTED, sql::letter_changes::renew_single(next));
            }
            LetterChange::Close { oid, key, rows, lsn, end, .. } => {
                let [oid_type, digest_type, lsn_type] = letters::key_columns();
                self.fields([oid_type, digest_type, lsn_type], &letters::of_key(*oid, key, *lsn))?;
                let count = usize::try_from(*rows).unwrap_or(usize::MAX);
                self.push(count, MISCOUNTED, sql::letter_changes::close_single(next, *rows, end.word()));
            }
            LetterChange::CloseAll { oid, lsn, .. } => {
                let [oid_type, _, lsn_type] = letters::key_columns();
                let values = [Field::Int(i64::from(*oid)), letters::of_lsn(*lsn)];
                self.fields([oid_type, lsn_type], &values)?;
                let end = LetterEnd::Truncated.word();
                self.statements.push(sql::letter_changes::close_all_single(next, end));
            }
        }
        Ok(())
    }

    /// Adds the statements that count uses of a policy.
    fn add_use(&mut self, used: &PolicyUse) -> Result<(), TargetError> {
        let next = self.next_parameter();
        self.fields(letters::counter_columns(), &letters::of_use(used))?;
        self.statements.push(sql::letter_changes::make_counter_single(next));
        self.push(1, MISCOUNTED, sql::letter_changes::add_to_counter_single(next));
        Ok(())
    }

    /// The number of the parameter that comes next.
    fn next_parameter(&self) -> usize {
        FENCE_PARAMETERS + self.values.bytes.len() + 1
    }

    /// Adds values of a letter or counter as parameters.
    fn fields(
        &mut self,
        columns: impl IntoIterator<Item = BulkColumn>,
        fields: &[Field],
    ) -> Result<(), TargetError> {
        for (column, field) in columns.into_iter().zip(fields) {
            let pushed = self.values.push(column, field.value());
            pushed.map_err(letters::refused)?;
        }
        Ok(())
    }

    /// Adds a statement that has to change so many rows.
    fn push(&mut self, rows: usize, error: i32, sql: String) {
        self.statements.push(sql);
        self.statements.push(sql::direct::expect_rows(rows, error));
    }

    /// The key of a row that is in the target.
    fn key(&mut self, table: &TablePlan, image: &RowImage) -> Result<Vec<Bound>, TargetError> {
        let columns = table.key_columns().iter();
        columns.map(|column| Ok((*column, Some(self.value(table, image, *column)?)))).collect()
    }

    /// All values of a row that is in the target.
    fn content(&mut self, table: &TablePlan, image: &RowImage) -> Result<Vec<Bound>, TargetError> {
        let mut bound = Vec::with_capacity(table.columns.len());
        for column in 0..table.columns.len() {
            // A policy may have made it NULL.
            let is_null = image.value(column) == Ok(Value::Null);
            let parameter = if is_null { None } else { Some(self.value(table, image, column)?) };
            bound.push((column, parameter));
        }
        Ok(bound)
    }

    /// Adds the value of a planned column as a parameter.
    fn value(&mut self, table: &TablePlan, image: &RowImage, index: usize) -> Result<usize, TargetError> {
        let refused = |refused| TargetError::refused(refused, table, index, &self.place);
        let value = planned_value(table, image, index).map_err(refused)?;
        let Some(column) = table.columns.get(index) else {
            return Err(TargetError::refused(RefusedValue::Null, table, index, &self.place));
        };
        let column = encode::bulk_column(&column.name, column.mssql_type, true, self.dialect);
        let pushed = self.values.push(column, value);
        pushed.map_err(|refused| TargetError::refused(refused, table, index, &self.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use segcdc_model::{Fault, Lsn, PgType, Tuple};
    use segcdc_plan::{Binding, InsertRow, UpdateGroup, ValuePolicy};
    use segcdc_tds::Collation;
    use std::sync::Arc;

    fn plan(changes: TableChanges) -> ApplyPlan {
        ApplyPlan {
            tables: vec![changes],
            end_lsn: Lsn::new(100),
            commit_time_us: 0,
            transactions: 1,
            changes: 1,
            letters: Vec::new(),
            uses: Vec::new(),
        }
    }

    fn changes() -> (TableChanges, impl Fn(&[Option<&str>]) -> RowImage) {
        let columns = [("id", PgType::Int4, true), ("t]", PgType::Text, false)];
        let table = fixture::table(1, "t", 1, &columns);
        let binding = Arc::new(Binding::in_order(&table));
        let image = move |fields: &[Option<&str>]| {
            RowImage::new(Arc::clone(&binding), Tuple::from_texts(fields.iter().copied()))
        };
        (TableChanges::new(table), image)
    }

    #[test]
    fn request_is_a_whole_transaction_that_checks_itself() {
        let (mut changes, image) = changes();
        changes.deletes.push(image(&[Some("1"), None]));
        changes.updates.push(UpdateGroup { present: vec![1], rows: vec![image(&[Some("2"), Some("x")])] });
        changes.inserts.push(InsertRow::whole(image(&[Some("3"), None])));
        changes.inserts.push(InsertRow::whole(image(&[Some("4"), Some("y")])));
        let request =
            build(&plan(changes), Dialect::new(Collation::LATIN1_GENERAL_100_BIN2)).unwrap().unwrap();
        insta::assert_snapshot!(request.sql);
        assert_eq!(request.values.bytes.len(), 7);
    }

    #[test]
    fn values_that_a_policy_made_null_are_looked_for_as_null() {
        let table = fixture::table(2, "pit", 0, &[("n", PgType::Float8, false), ("w", PgType::Text, false)]);
        let mut table = (*table).clone();
        table.columns.iter_mut().for_each(|column| column.policy = ValuePolicy::Null);
        let table = Arc::new(table);
        let binding = Arc::new(Binding::in_order(&table));
        let mut changes = TableChanges::new(table);
        let row = Tuple::from_texts([Some("NaN"), Some("x")]);
        changes.unkeyed_deletes.push(RowImage::new(binding, row));
        let dialect = Dialect::new(Collation::LATIN1_GENERAL_100_BIN2);
        let request = build(&plan(changes), dialect).unwrap().unwrap();
        assert!(request.sql.contains("WHERE [n] IS NULL AND [w]"), "{}", request.sql);
        assert_eq!(request.values.bytes.len(), 1);
    }

    #[test]
    fn large_batches_go_the_other_way() {
        let built = |rows: usize, text: &str| {
            let (mut changes, image) = changes();
            let row = |id: usize| InsertRow::whole(image(&[Some(&id.to_string()), Some(text)]));
            changes.inserts.extend((0..rows).map(row));
            build(&plan(changes), Dialect::new(Collation::LATIN1_GENERAL_100_BIN2)).unwrap().is_some()
        };
        assert!(built(MAX_ROWS, "x"));
        assert!(!built(MAX_ROWS + 1, "x"));
        assert!(!built(1, &"x".repeat(MAX_BYTES)));
    }

    #[test]
    fn refused_values_are_found_before_there_is_a_request() {
        let (mut changes, image) = changes();
        changes.inserts.push(InsertRow::whole(image(&[Some("99999999999"), None])));
        let refused = build(&plan(changes), Dialect::new(Collation::LATIN1_GENERAL_100_BIN2)).map(|_| ());
        assert_eq!(refused.unwrap_err().code(), "VALUE_MALFORMED");
    }
}
