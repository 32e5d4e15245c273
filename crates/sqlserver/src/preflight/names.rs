//! Names that a server which is not SQL Server may refuse, however they are quoted.

use std::sync::Arc;

use segcdc_model::{Finding, Side};
use segcdc_plan::TablePlan;

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;

/// The code of the finding.
pub(super) const REFUSED: &str = "TARGET_NAME_REFUSED";

/// Looks whether names with a closing bracket are understood, if there are some. `None` if there are none.
pub(super) async fn check(
    target: &mut Target,
    tables: &[Arc<TablePlan>],
) -> Result<Option<Finding>, TargetError> {
    let affected: Vec<&TablePlan> =
        tables.iter().map(AsRef::as_ref).filter(|table| has_closing_bracket(table)).collect();
    if affected.is_empty() {
        return Ok(None);
    }
    match target.batch("asking for the names that are understood", sql::session::CLOSING_BRACKET).await {
        Ok(_) => Ok(None),
        Err(TargetError::Server { .. }) => Ok(Some(refused(&affected))),
        Err(error) => Err(error),
    }
}

/// Whether a name that statements on the table hold has a closing bracket.
fn has_closing_bracket(table: &TablePlan) -> bool {
    let columns = table.columns.iter().map(|column| &column.name);
    [&table.target.schema, &table.target.name].into_iter().chain(columns).any(|name| name.contains(']'))
}

fn refused(tables: &[&TablePlan]) -> Finding {
    let names: Vec<String> = tables.iter().map(|table| table.source.name.to_string()).collect();
    let detail =
        format!("the target does not understand the character ] in the names of {}", names.join(", "));
    Finding::failure("ms.names", Side::Target, "TARGET_NAME_REFUSED", detail).hint(
        "give these tables, or their columns, other names with --rename 'schema.table=NAME' or \
             --rename 'schema.table.column=NAME', or leave the tables out",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use segcdc_model::PgType;

    #[test]
    fn tables_with_a_closing_bracket_anywhere_are_named() {
        let table = |name, column| fixture::table(1, name, 1, &[(column, PgType::Int4, true)]);
        let (plain, named, inside) = (table("a[b", "[c"), table("a]b", "c"), table("a", "c]"));
        assert!(!has_closing_bracket(&plain));
        assert!(has_closing_bracket(&named) && has_closing_bracket(&inside));
        let finding = refused(&[&named, &inside]);
        assert_eq!(finding.code, "TARGET_NAME_REFUSED");
        assert_eq!(
            finding.detail,
            "the target does not understand the character ] in the names of public.a]b, public.a"
        );
    }
}
