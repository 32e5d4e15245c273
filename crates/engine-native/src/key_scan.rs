//! [`scan_keys`]: whether the target can hold the keys of the rows, and tell them apart.

use std::sync::Arc;

use segcdc_model::{Finding, Length, MssqlType};
use segcdc_plan::TablePlan;
use segcdc_postgres::{KeyForm, KeyScan, key_scan, session};

use crate::config::EngineConfig;
use crate::error::EngineError;

/// Reads the rows of all planned tables whose key is of text or bytes, one table after another. Changes nothing.
///
/// # Errors
/// When the source cannot be reached, or a table not read.
pub async fn scan_keys(config: &EngineConfig, plans: &[Arc<TablePlan>]) -> Result<Vec<Finding>, EngineError> {
    let source = session::connect(&config.source).await?;
    let mut findings = Vec::new();
    for plan in plans {
        let key = plan.key_columns().iter().filter_map(|index| plan.columns.get(*index));
        // Hashes are of one length, and as different as what they stand for.
        let columns = key.map(|column| match column.mask {
            Some(_) => (column.source_index, KeyForm::Exact),
            None => (column.source_index, form(column.mssql_type)),
        });
        let columns = columns.collect();
        let filter = plan.filter.as_deref();
        findings.extend(key_scan::scan(&source, &KeyScan { table: &plan.source, columns, filter }).await?);
    }
    source.close().await;
    Ok(findings)
}

/// How a target type keeps a column of a key.
fn form(mssql_type: MssqlType) -> KeyForm {
    match mssql_type {
        MssqlType::NVarChar { length: Length::Limited(units), .. } => KeyForm::Text { units },
        MssqlType::VarBinary { length: Length::Limited(bytes) } => KeyForm::Bytes { bytes },
        MssqlType::Bit
        | MssqlType::TinyInt
        | MssqlType::SmallInt
        | MssqlType::Int
        | MssqlType::BigInt
        | MssqlType::Real
        | MssqlType::Float
        | MssqlType::Decimal { .. }
        // No key has a column without a bound.
        | MssqlType::NVarChar { length: Length::Max, .. }
        | MssqlType::VarBinary { length: Length::Max }
        | MssqlType::VarChar { .. }
        | MssqlType::Json
        | MssqlType::Date
        | MssqlType::Time { .. }
        | MssqlType::DateTime2 { .. }
        | MssqlType::DateTimeOffset { .. }
        | MssqlType::UniqueIdentifier => KeyForm::Exact,
    }
}
