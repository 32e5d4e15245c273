//! Names that the target's database holds equal, whatever its collation: what the plan cannot know is asked of the server, before
//! anything is made.
//!
//! The plan tells names apart as most databases do. Which of the others are one, `é` in one or in two code points, `1` and `①`,
//! with some collations `é` and `e`, only the database can say. Names of ASCII alone are no part of that.

use std::sync::Arc;

use segcdc_model::{Fault, Finding, Side};
use segcdc_plan::{PlanError, TablePlan, table_plan};
use segcdc_tds::Datum;

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;

/// Most names that are asked for at once; of more, those at the end are told apart when they are made.
const MAX_NAMES: usize = 20_000;

/// A name that is asked for.
#[derive(Debug, Clone, Copy)]
struct Name<'a> {
    /// Of one number are those that must differ: 0 for all tables, then one for the columns of each table.
    group: usize,
    schema: &'a str,
    name: &'a str,
    table: usize,
    /// Its place in the table's plan; `None` for the table itself.
    column: Option<usize>,
}

/// Asks the database which names are one to it, if there are some that it could hold equal.
pub(super) async fn check(
    target: &mut Target,
    tables: &[Arc<TablePlan>],
) -> Result<Vec<Finding>, TargetError> {
    let names = doubtful(tables);
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let asked: Vec<(usize, &str, &str)> =
        names.iter().map(|name| (name.group, name.schema, name.name)).collect();
    let rows = match target.query("comparing names", &sql::session::alike(&asked)).await {
        Ok(rows) => rows,
        // A server that does not understand the question says so of the tables when they are made.
        Err(TargetError::Server { number, .. }) => {
            tracing::debug!(number, "names are not compared");
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let place = |datum: Option<&Datum>| usize::try_from(datum?.as_int()?).ok();
    let pairs = rows.iter().filter_map(|row| Some((place(row.first())?, place(row.get(1))?)));
    Ok(pairs
        .filter_map(|(first, last)| clash(tables, names.get(first)?, names.get(last)?))
        .map(|e| finding(&e))
        .collect())
}

/// The names among which there may be some that only the database holds equal.
fn doubtful(tables: &[Arc<TablePlan>]) -> Vec<Name<'_>> {
    let mut names = Vec::new();
    let is_plain = |table: &TablePlan| table.target.schema.is_ascii() && table.target.name.is_ascii();
    if !tables.iter().all(|table| is_plain(table)) {
        names.extend(tables.iter().enumerate().map(|(index, table)| Name {
            group: 0,
            schema: &table.target.schema,
            name: &table.target.name,
            table: index,
            column: None,
        }));
    }
    for (index, table) in tables.iter().enumerate() {
        if table.columns.iter().any(|column| !column.name.is_ascii()) {
            names.extend(table.columns.iter().enumerate().map(|(number, column)| Name {
                group: index + 1,
                schema: "",
                name: &column.name,
                table: index,
                column: Some(number),
            }));
        }
    }
    names.truncate(MAX_NAMES);
    names
}

/// The error of two names that are one.
fn clash(tables: &[Arc<TablePlan>], first: &Name<'_>, last: &Name<'_>) -> Option<PlanError> {
    let (one, other) = (tables.get(last.table)?, tables.get(first.table)?);
    match (last.column, first.column) {
        (Some(column), Some(before)) => table_plan::columns_alike(one, column, before),
        _ => Some(table_plan::targets_alike(tables.iter().map(AsRef::as_ref), one, other)),
    }
}

fn finding(error: &PlanError) -> Finding {
    Finding::failure("ms.names", Side::Target, error.code(), error.to_string()).hint(error.hint())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use segcdc_model::PgType;

    #[test]
    fn only_names_beyond_ascii_are_asked_for() {
        let table = |name, columns: &[(&'static str, PgType, bool)]| fixture::table(1, name, 1, columns);
        let plain = table("a", &[("id", PgType::Int4, true), ("Id 2", PgType::Int4, false)]);
        assert!(doubtful(std::slice::from_ref(&plain)).is_empty());
        let odd = table("b", &[("id", PgType::Int4, true), ("é", PgType::Int4, false)]);
        let tables = [plain.clone(), odd];
        let found = doubtful(&tables);
        let found: Vec<_> = found.iter().map(|name| (name.group, name.name, name.column)).collect();
        assert_eq!(found, [(2, "id", Some(0)), (2, "é", Some(1))]);
        let tables = [plain, table("é", &[("id", PgType::Int4, true)])];
        let found: Vec<_> = doubtful(&tables).iter().map(|name| (name.group, name.name)).collect();
        assert_eq!(found, [(0, "a"), (0, "é")]);
    }

    #[test]
    fn what_is_one_is_refused_with_a_rule() {
        let columns = [("1", PgType::Int4, true), ("①", PgType::Int4, false)];
        let tables = [fixture::table(1, "t1", 1, &columns), fixture::table(2, "t①", 1, &columns[..1])];
        let name = |table, column| Name { group: 0, schema: "", name: "", table, column };
        let found = finding(&clash(&tables, &name(0, Some(0)), &name(0, Some(1))).unwrap());
        assert_eq!(found.code, "COLUMN_NAME_CLASH");
        assert!(found.hint.contains("--rename 'public.t1.①=①_2'"), "{found:?}");
        let found = finding(&clash(&tables, &name(0, None), &name(1, None)).unwrap());
        assert_eq!(found.code, "DUPLICATE_MAPPING");
        assert!(found.hint.contains("--rename 'public.t①=dbo.t①_2'"), "{found:?}");
    }
}
