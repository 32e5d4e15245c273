//! A change of a source table, carried out at its target table inside of the open transaction.

use segcdc_model::{Field, Lsn, Value};
use segcdc_plan::{Action, Fitted, SchemaChange, TablePlan, fit};
use segcdc_tds::{ColumnType, Len, Parameter, RowEncoder};

use super::parts::PartsApply;
use super::staged;
use crate::encode;
use crate::error::{RefusedValue, TargetError, disposition_of};
use crate::session::Target;
use crate::sql;
use crate::sql::schema_changes::{Recorded, Statement};
use crate::state;

/// What is being done, for errors.
const DURING: &str = "following a change of the source table";

/// A change and what is stored with it.
#[derive(Debug, Clone, Copy)]
pub struct Alteration<'a> {
    /// The change.
    pub change: &'a SchemaChange,
    /// The fingerprint of the plan behind it.
    pub shape: &'a str,
    /// Commit end of the transaction in whose place it is made.
    pub end_lsn: Lsn,
}

// === impl PartsApply ===

impl PartsApply<'_> {
    /// Carries a change out, between the part before it and the part behind it, and stores what is known then. Rows of the
    /// table are staged in its new shape from here on.
    ///
    /// # Errors
    /// As [`PartsApply::add`]; whatever the server refuses of the change concerns its table alone.
    pub async fn alter(&mut self, alteration: Alteration<'_>) -> Result<(), TargetError> {
        let altered = Box::pin(self.try_alter(alteration)).await;
        if altered.is_err() {
            self.undo().await;
        }
        altered
    }

    async fn try_alter(&mut self, alteration: Alteration<'_>) -> Result<(), TargetError> {
        let Alteration { change, shape, end_lsn } = alteration;
        let (pipeline, plan) = (self.expected.pipeline.clone(), &change.plan);
        let mut stored = vec![
            sql::schema_changes::update_table(&pipeline, plan, &change.known.source.name, shape),
            sql::schema_changes::update_known(&pipeline, plan.source.oid, &state::written(&change.known)?),
        ];
        for step in &change.steps {
            let mut texts = Vec::new();
            for action in &step.actions {
                for statement in sql::schema_changes::statements(change, action) {
                    run(self.target, change, action, &statement, end_lsn).await?;
                    texts.push(statement.sql);
                }
            }
            stored.push(sql::schema_changes::record(
                &pipeline,
                &Recorded {
                    source_oid: plan.source.oid,
                    source: &change.known.source.name,
                    lsn: end_lsn,
                    kind: step.kind.word(),
                    outcome: step.outcome.word(),
                    what: &step.what,
                    statements: texts.join(";\n"),
                },
            ));
        }
        for sql in &stored {
            let response = self.target.batch("storing a change of a table", sql).await?;
            if response.row_counts != [1] {
                return Err(TargetError::StateMissing { pipeline });
            }
        }
        staged::create_staging(self.target, [plan]).await
    }
}

/// Runs a statement of a change.
async fn run(
    target: &mut Target,
    change: &SchemaChange,
    action: &Action,
    statement: &Statement,
    end_lsn: Lsn,
) -> Result<(), TargetError> {
    let place = format!("change before {end_lsn}");
    let done = match (statement.parameter, action) {
        (Some(column), Action::AddColumn { existing: Some(existing), .. }) => {
            set_all(target, &change.plan, column, existing, (&statement.sql, &place)).await
        }
        _ => target.batch(DURING, &statement.sql).await.map(drop),
    };
    done.map_err(|error| of_table(error, &change.plan, &place))
}

/// Gives all rows one value, sent as a row's would be.
async fn set_all(
    target: &mut Target,
    plan: &TablePlan,
    index: usize,
    value: &str,
    (sql, place): (&str, &str),
) -> Result<(), TargetError> {
    let refused = |refused| TargetError::refused(refused, plan, index, place);
    let Some(column) = plan.columns.get(index) else { return Err(refused(RefusedValue::Null)) };
    let fitted = fit(column, Field::Text(value.as_bytes())).map_err(|error| refused(error.into()))?;
    // A policy that replaces values or sets rows aside counts row by row, which only a copy can do.
    let Fitted::Exact(value) = fitted else {
        return Err(refused(RefusedValue::Unrepresentable("the value that existing rows have")));
    };
    let mut wire = encode::bulk_column(&column.name, column.mssql_type, true, target.dialect());
    if matches!(wire.column_type, ColumnType::VarChar(_)) {
        // A parameter of varchar has the collation of the database, which may have another code page than UTF-8.
        wire.column_type = ColumnType::NVarChar(Len::Max);
    }
    let mut encoder = RowEncoder::new(std::slice::from_ref(&wire));
    encoder.begin_row();
    match value {
        Value::Large(_) => return Err(refused(RefusedValue::Unrepresentable("a value of that size"))),
        value => encode::write(&mut encoder, &value).map_err(refused)?,
    }
    encoder.end_row().map_err(|error| refused(error.into()))?;
    let range = encoder.value_ranges().next().unwrap_or_default();
    let parameter = Parameter::Encoded {
        column_type: &wire.column_type,
        collation: wire.collation,
        value: encoder.encoded().get(range).unwrap_or_default(),
    };
    let updated = target.connection().execute(sql, &[parameter]).await;
    updated.map(drop).map_err(|error| TargetError::from_tds(DURING, error))
}

/// Whatever the server refuses of a change concerns its table alone, unless it may pass by itself.
fn of_table(error: TargetError, plan: &TablePlan, place: &str) -> TargetError {
    use segcdc_model::Disposition;
    match error {
        TargetError::Server { number, during, detail } if disposition_of(number) != Disposition::Retry => {
            TargetError::Table {
                table: Box::new(plan.target.clone()),
                source_table: Box::new(plan.source.name.clone()),
                number,
                during,
                detail,
                place: place.to_owned(),
                oid: plan.source.oid,
            }
        }
        other => other,
    }
}
