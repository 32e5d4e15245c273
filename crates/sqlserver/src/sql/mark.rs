//! The mark of deleted rows, of tables in which they stay ([`TablePlan::marker`]). For all others there is none, and nothing is said.

use segcdc_model::{QualifiedName, Value};
use segcdc_plan::TablePlan;
use segcdc_plan::canonical;
use segcdc_plan::rules::DELETED_AT_TYPE;

use crate::quote;

/// The column as a table is created with it.
pub fn definition(table: &TablePlan) -> Option<String> {
    Some(format!("{} {DELETED_AT_TYPE} NULL", quote::name(table.marker()?)))
}

/// Adds the column to a table that lacks it.
pub fn add(table: &QualifiedName, marker: &str) -> String {
    format!("ALTER TABLE {} ADD {} {DELETED_AT_TYPE} NULL", quote::qualified(table), quote::name(marker))
}

/// What has a condition mean rows only that are not deleted, `alias` being what stands in front of columns.
pub fn and_live(table: &TablePlan, alias: &str) -> String {
    table.marker().map_or(String::new(), |marker| format!(" AND {alias}{} IS NULL", quote::name(marker)))
}

/// A condition on rows that are not deleted; without a mark `condition` alone.
pub fn live(table: &TablePlan, condition: Option<&str>) -> Option<String> {
    let Some(marker) = table.marker() else { return condition.map(str::to_owned) };
    let live = format!("{} IS NULL", quote::name(marker));
    Some(condition.map_or(live.clone(), |condition| format!("({condition}) AND {live}")))
}

/// Marks all rows that are not deleted, at a time in microseconds since 2000-01-01 UTC.
pub fn mark_all(table: &TablePlan, at_us: i64) -> Option<String> {
    let marker = quote::name(table.marker()?);
    let mut time = String::new();
    canonical::write_text(&Value::Timestamp(at_us), &mut time);
    // Style 126 is ISO 8601, whatever the language of the session (T-SQL manual, "CAST and CONVERT").
    let time = format!("CONVERT({DELETED_AT_TYPE}, {}, 126)", quote::text(&time));
    Some(format!("UPDATE {} SET {marker} = {time} WHERE {marker} IS NULL", quote::qualified(&table.target)))
}
