//! What the database user may do.
//!
//! A table that is created in a schema of somebody else belongs to that somebody, so that CREATE TABLE alone is not
//! enough: rows need rights on the schema. A schema of our own gives us everything in it.

use segcdc_model::{Finding, QualifiedName, Side};
use segcdc_plan::TablePlan;
use segcdc_tds::Datum;

use super::Names;
use crate::catalog;
use crate::error::TargetError;
use crate::quote;
use crate::session::Target;
use crate::sql;
use crate::sql::session::RIGHTS;

/// What is being done, for errors.
const DURING: &str = "asking for the login's rights";

/// Checks the rights in schemas that something is to be created in, and the right to create those that are missing.
pub(super) async fn check_schemas(
    target: &mut Target,
    schemas: &[&str],
    names: &Names,
    findings: &mut Vec<Finding>,
) -> Result<(), TargetError> {
    let mut missing = Vec::new();
    for schema in schemas {
        if target.query(DURING, &sql::catalog::schema(schema)).await?.is_empty() {
            missing.push(*schema);
            continue;
        }
        let row = target.query(DURING, &sql::session::schema_rights(schema)).await?;
        findings.push(schema_rights(schema, &flags(&row), names));
    }
    let allowed = flags(&target.query(DURING, sql::session::DATABASE_RIGHTS).await?);
    findings.push(create_schema(&missing, allowed.get(1).copied().unwrap_or(false), names));
    Ok(())
}

/// Checks the right to create tables.
pub(super) async fn check_create_table(
    target: &mut Target,
    names: &Names,
    findings: &mut Vec<Finding>,
) -> Result<(), TargetError> {
    let allowed = flags(&target.query(DURING, sql::session::DATABASE_RIGHTS).await?);
    findings.push(create_table(allowed.first().copied().unwrap_or(false), names));
    Ok(())
}

/// Checks the rights on tables that are there, however they were granted.
pub(super) async fn check_tables(
    target: &mut Target,
    tables: &[&TablePlan],
    names: &Names,
    findings: &mut Vec<Finding>,
) -> Result<(), TargetError> {
    for tables in tables.chunks(catalog::AT_ONCE) {
        let questions = tables.iter().map(|table| sql::session::table_rights(&table.target));
        let rows = target.query_each(DURING, questions).await?;
        let of_table =
            |(table, rows): (&&TablePlan, &Vec<Vec<Datum>>)| table_rights(&table.target, &flags(rows), names);
        findings.extend(tables.iter().zip(&rows).map(of_table));
    }
    Ok(())
}

fn create_table(allowed: bool, names: &Names) -> Finding {
    let check = "ms.create_table";
    if allowed {
        return Finding::ok(check, Side::Target, "tables can be created");
    }
    let detail = format!("user {} may not create tables in database {}", names.user, names.database);
    Finding::failure(check, Side::Target, "TARGET_PERMISSION", detail)
        .hint("have a database owner grant it")
        .fix(format!("GRANT CREATE TABLE TO {}", quote::name(&names.user)))
}

fn create_schema(missing: &[&str], allowed: bool, names: &Names) -> Finding {
    let check = "ms.create_schema";
    if missing.is_empty() {
        return Finding::ok(check, Side::Target, "all schemas are there");
    }
    if allowed {
        return Finding::ok(check, Side::Target, format!("to be created: {}", missing.join(", ")));
    }
    let detail = format!("user {} may not create the schemas {}", names.user, missing.join(", "));
    let finding = Finding::failure(check, Side::Target, "TARGET_PERMISSION", detail)
        .hint("have a database owner create them for the user, or grant CREATE SCHEMA");
    missing.iter().fold(finding, |finding, schema| {
        let user = quote::name(&names.user);
        finding.fix(format!("CREATE SCHEMA {} AUTHORIZATION {user}", quote::name(schema)))
    })
}

fn schema_rights(schema: &str, allowed: &[bool], names: &Names) -> Finding {
    let securable = format!("SCHEMA::{}", quote::name(schema));
    rights("ms.schema_rights", &format!("schema {schema}"), &securable, allowed, names)
}

fn table_rights(table: &QualifiedName, allowed: &[bool], names: &Names) -> Finding {
    rights("ms.table_rights", &table.to_string(), &quote::qualified(table), allowed, names)
}

/// Names the rights that are missing on something.
fn rights(check: &str, what: &str, securable: &str, allowed: &[bool], names: &Names) -> Finding {
    let missing =
        RIGHTS.iter().enumerate().filter(|(index, _)| !allowed.get(*index).copied().unwrap_or(false));
    let missing: Vec<&str> = missing.map(|(_, right)| *right).collect();
    if missing.is_empty() {
        return Finding::ok(check, Side::Target, format!("rows of {what} can be written"));
    }
    let detail = format!("user {} has no {} in {what}", names.user, missing.join(", "));
    Finding::failure(check, Side::Target, "TARGET_PERMISSION", detail)
        .hint("have a database owner grant it")
        .fix(format!("GRANT {} ON {securable} TO {}", missing.join(", "), quote::name(&names.user)))
}

/// The flags of a row of `HAS_PERMS_BY_NAME`, which is NULL for what does not exist.
fn flags(rows: &[Vec<Datum>]) -> Vec<bool> {
    let row = rows.first().map(Vec::as_slice).unwrap_or_default();
    row.iter().map(|datum| datum.as_int() == Some(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::Severity;

    fn names() -> Names {
        Names { database: "db".to_owned(), user: "o'r]eilly".to_owned(), utf8: true, json: true }
    }

    #[test]
    fn missing_rights_are_named_with_their_grant() {
        let finding = schema_rights("s]", &[true, false, true, false], &names());
        assert_eq!(finding.severity, Severity::Failure);
        assert_eq!(finding.fix_sql, ["GRANT INSERT, DELETE, ALTER ON SCHEMA::[s]]] TO [o'r]]eilly]"]);
        assert_eq!(schema_rights("s", &[true; 5], &names()).severity, Severity::Ok);
        let finding =
            table_rights(&QualifiedName::new("dbo", "t'"), &[true, true, true, true, false], &names());
        assert_eq!(finding.fix_sql, ["GRANT ALTER ON [dbo].[t'] TO [o'r]]eilly]"]);
        assert_eq!(create_table(false, &names()).fix_sql, ["GRANT CREATE TABLE TO [o'r]]eilly]"]);
    }

    #[test]
    fn schemas_that_are_there_need_no_right_to_create_them() {
        assert_eq!(create_schema(&[], false, &names()).severity, Severity::Ok);
        assert_eq!(create_schema(&["a"], true, &names()).severity, Severity::Ok);
        let finding = create_schema(&["a", "b"], false, &names());
        assert_eq!(finding.severity, Severity::Failure);
        assert_eq!(
            finding.fix_sql,
            ["CREATE SCHEMA [a] AUTHORIZATION [o'r]]eilly]", "CREATE SCHEMA [b] AUTHORIZATION [o'r]]eilly]"]
        );
    }

    #[test]
    fn unknown_permissions_count_as_missing() {
        assert_eq!(flags(&[vec![Datum::Int(1), Datum::Null, Datum::Int(0)]]), [true, false, false]);
        assert!(flags(&[]).is_empty());
    }
}
