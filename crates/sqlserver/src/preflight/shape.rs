//! Tables that are there already. Pure.

use segcdc_model::{Finding, Severity, Side};
use segcdc_plan::{ColumnPlan, TablePlan, rules, type_override};

use super::PreflightRequest;
use crate::catalog::{ExistingTable, Special};
use crate::sql::{create_table, mark};
use crate::tables::{Difference, ExistingRows, differences};

/// Name of the check of a table's shape and rows.
const CHECK: &str = "ms.table";

/// Compares a wanted table with what is there.
pub(super) fn check(
    table: &TablePlan,
    existing: Option<&ExistingTable>,
    request: &PreflightRequest,
    findings: &mut Vec<Finding>,
) {
    let Some(existing) = existing else {
        findings.push(Finding::ok(CHECK, Side::Target, format!("{} will be created", table.target)));
        return;
    };
    let differences = differences(existing, table);
    for difference in &differences {
        let mut finding = mismatch(table, difference);
        if request.was_live(table) {
            finding.severity = Severity::Warning;
        }
        findings.push(finding);
    }
    let rows_are_ours = request.knows(table) || request.rows == ExistingRows::Allow;
    if existing.has_rows && !rows_are_ours {
        let detail = format!("{} is there already and holds rows", table.target);
        findings.push(
            Finding::failure(CHECK, Side::Target, "TARGET_TABLE_NOT_EMPTY", detail)
                .hint("empty, rename or drop it, so that the copy does not add to rows of unknown origin")
                .fix(create_table::truncate(table)),
        );
    } else if differences.is_empty() {
        let detail = format!("{} is there and has the right shape", table.target);
        findings.push(Finding::ok(CHECK, Side::Target, detail));
    }
    helpers(table, existing, findings);
}

fn mismatch(table: &TablePlan, difference: &Difference) -> Finding {
    let detail = format!("{} is there already, but {difference}", table.target);
    let finding = Finding::failure(CHECK, Side::Target, "TARGET_TABLE_MISMATCH", detail);
    let column = |name: &str| table.columns.iter().find(|column| column.name == name);
    let rename = rules::rename_table(
        &table.source.name,
        Some(&table.target.schema),
        &format!("{}_2", table.target.name),
    );
    let alter = |column: &ColumnPlan| {
        create_table::alter_column(&table.target, &column.name, column.mssql_type, column.nullable)
    };
    let (hint, fix) = match difference {
        Difference::OtherName { .. } => {
            (&*format!("give the replicated table another name, {rename}, or leave one of the two out"), None)
        }
        Difference::NotATable { .. } => {
            (&*format!("rename or drop it, or give the replicated table another name, {rename}"), None)
        }
        Difference::Special { special: Special::SystemVersioned } => (
            "turn its versioning off as long as it is replicated into, or drop it",
            Some(create_table::versioning_off(&table.target)),
        ),
        Difference::Special { special: Special::MemoryOptimized | Special::History } => {
            (&*format!("rename or drop it, or give the replicated table another name, {rename}"), None)
        }
        Difference::Missing { column: name, .. } if table.marker() == Some(name) => {
            ("add the column", Some(mark::add(&table.target, name)))
        }
        Difference::Missing { column: name, .. } => {
            ("add the column", column(name).map(|column| create_table::add_column(&table.target, column)))
        }
        Difference::Type { column: name, found, .. } => {
            let alter = column(name).map(alter);
            match column(name).and_then(|column| offered(table, column, found)) {
                Some(flag) => (&*format!("change the column, or carry it as it is there: {flag}"), alter),
                None => ("change the column", alter),
            }
        }
        Difference::NotNull { column: name }
        | Difference::NullableKey { column: name }
        | Difference::CodePage { column: name, .. }
        | Difference::Collation { column: name, .. } => ("change the column", column(name).map(alter)),
        Difference::NotWritable { .. } => ("rename or drop the table, so that it can be created anew", None),
        Difference::Extra { .. } => ("allow NULL in the column, give it a default, or drop it", None),
        Difference::Key { .. } => ("drop the primary key: the right one is built behind the copy", None),
        Difference::InsteadOfTrigger { name } => {
            ("disable or drop the trigger", Some(create_table::disable_trigger(&table.target, name)))
        }
    };
    let finding = finding.hint(hint);
    match fix {
        Some(sql) => finding.fix(sql),
        None => finding,
    }
}

/// The rule that takes a column as it is in the target.
fn offered(table: &TablePlan, column: &ColumnPlan, found: &str) -> Option<String> {
    let source = table.source.columns.get(column.source_index)?;
    let index = table.columns.iter().position(|other| other == column)?;
    type_override::offered(&table.source.name, source, table.is_key(index), found)
}

/// Triggers and foreign keys: they work, with consequences.
fn helpers(table: &TablePlan, existing: &ExistingTable, findings: &mut Vec<Finding>) {
    for trigger in existing.triggers.iter().filter(|trigger| !trigger.instead_of) {
        let detail = format!("trigger \"{}\" of {} will run for every batch", trigger.name, table.target);
        findings.push(
            Finding::warning("ms.triggers", Side::Target, "TARGET_TRIGGER", detail)
                .hint(
                    "it must begin with SET NOCOUNT ON, or its row counts stop the pipeline; the source's own triggers \
                     have had their effect already",
                )
                .fix(create_table::disable_trigger(&table.target, &trigger.name)),
        );
    }
    for index in &existing.unique_indexes {
        let detail = format!("unique index \"{index}\" of {} is enforced", table.target);
        findings.push(
            Finding::warning("ms.unique_indexes", Side::Target, "TARGET_UNIQUE_INDEX", detail).hint(
                "rows are written set by set, so it may refuse for a moment what the source allowed one after the other, which \
                 halts the table unless --on-refused sets such rows aside: drop it, or make it one that is not unique",
            ),
        );
    }
    for key in &existing.foreign_keys {
        let detail = format!("foreign key \"{key}\" of {} is enforced", table.target);
        findings.push(
            Finding::warning("ms.foreign_keys", Side::Target, "TARGET_FOREIGN_KEY", detail)
                .hint("tables are written one after the other, so it may refuse what the source allowed: let it rest")
                .fix(create_table::disable_constraint(&table.target, key)),
        );
    }
    if !existing.referring_keys.is_empty() {
        let keys = existing.referring_keys.join("\", \"");
        let detail = format!("foreign keys \"{keys}\" refer to {}", table.target);
        findings.push(
            Finding::warning("ms.foreign_keys", Side::Target, "TARGET_FOREIGN_KEY", detail).hint(
                "a copy and a TRUNCATE at the source empty the table by TRUNCATE, which such keys forbid: drop them",
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Trigger;
    use crate::fixture;
    use segcdc_model::{PgType, QualifiedName};

    #[test]
    fn what_works_with_consequences_is_told() {
        let table = fixture::table(1, "t", 1, &[("id", PgType::Int4, true)]);
        let existing = ExistingTable {
            object_id: 5,
            name: QualifiedName::new("dbo", "t"),
            kind: "U".to_owned(),
            columns: Vec::new(),
            key: Vec::new(),
            key_name: None,
            triggers: vec![Trigger { name: "audit".to_owned(), instead_of: false }],
            foreign_keys: vec!["to_a".to_owned()],
            referring_keys: vec!["from_b".to_owned()],
            unique_indexes: vec!["by_mail".to_owned()],
            special: None,
            has_rows: false,
        };
        let mut findings = Vec::new();
        helpers(&table, &existing, &mut findings);
        let found: Vec<_> = findings.iter().map(|found| (found.code.as_str(), &*found.fix_sql)).collect();
        assert_eq!(
            found,
            [
                ("TARGET_TRIGGER", &["DISABLE TRIGGER [audit] ON [dbo].[t]".to_owned()][..]),
                ("TARGET_UNIQUE_INDEX", &[]),
                ("TARGET_FOREIGN_KEY", &["ALTER TABLE [dbo].[t] NOCHECK CONSTRAINT [to_a]".to_owned()]),
                ("TARGET_FOREIGN_KEY", &[]),
            ]
        );
        assert!(
            findings.iter().all(|finding| finding.severity == Severity::Warning && !finding.hint.is_empty())
        );
    }
}
