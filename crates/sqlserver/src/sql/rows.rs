//! Reading rows back.

use segcdc_model::MssqlType;
use segcdc_plan::TablePlan;

use crate::quote;
use crate::sql::{form, mark};

/// All planned columns of the rows that `condition` selects; of all rows without one. Rows that are marked as deleted are none.
pub fn select(table: &TablePlan, condition: Option<&str>) -> String {
    let values: Vec<String> = table
        .columns
        .iter()
        .map(|column| form::printed(column.mssql_type, quote::name(&column.name)))
        .collect();
    format!(
        "SELECT {} FROM {}{}",
        values.join(", "),
        quote::qualified(&table.target),
        mark::live(table, condition).map_or(String::new(), |condition| format!(" WHERE {condition}"))
    )
}

/// Number of rows that `condition` selects.
pub fn count(table: &TablePlan, condition: Option<&str>) -> String {
    format!(
        "SELECT COUNT_BIG(*) FROM {}{}",
        quote::qualified(&table.target),
        mark::live(table, condition).map_or(String::new(), |condition| format!(" WHERE {condition}"))
    )
}

/// Keys whose first column is in `from..to`; `None` when both ends are open.
pub fn key_in_range(table: &TablePlan, from: Option<i64>, to: Option<i64>) -> Option<String> {
    let key = table.key_columns().first().and_then(|index| table.columns.get(*index))?;
    let name = quote::name(&key.name);
    let from = from.map(|from| format!("{name} >= {from}"));
    let to = to.map(|to| format!("{name} < {to}"));
    let bounds: Vec<String> = from.into_iter().chain(to).collect();
    (!bounds.is_empty()).then(|| bounds.join(" AND "))
}

/// `keys` keys, each a parameter for each key column.
pub fn key_in_list(table: &TablePlan, keys: usize) -> String {
    let mut parameter = 0;
    let mut key = || {
        let columns = table.key_columns().iter().filter_map(|index| table.columns.get(*index));
        let matches: Vec<String> = columns
            .map(|column| {
                parameter += 1;
                let name = quote::name(&column.name);
                match column.mssql_type {
                    MssqlType::NVarChar { .. } | MssqlType::VarBinary { .. } => {
                        format!("{name} = @P{parameter} AND DATALENGTH({name}) = DATALENGTH(@P{parameter})")
                    }
                    _ => format!("{name} = @P{parameter}"),
                }
            })
            .collect();
        format!("({})", matches.join(" AND "))
    };
    let keys: Vec<String> = (0..keys).map(|_| key()).collect();
    keys.join(" OR ")
}
