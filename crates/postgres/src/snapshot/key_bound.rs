//! [`key_bound`]: where a range of so many rows of a table ends, by the first column of its key.

use segcdc_model::SourceTable;

use crate::error::SourceError;
use crate::quote;
use crate::session::Session;
use crate::snapshot::request::{column, source};

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub struct KeyBound<'a> {
    /// The table.
    pub table: &'a SourceTable,
    /// Index of a column of the table, an integer (`smallint`, `int`, `bigint`) that an index begins with.
    pub column: usize,
    /// Rows of the value `after` and below are not counted; `None` counts from the first row on.
    pub after: Option<i64>,
    /// Rows that are counted.
    pub rows: u64,
    /// SQL condition that rows must meet, as [`super::CopyRequest::filter`].
    pub filter: Option<&'a str>,
}

/// The value of the row behind so many rows in the order of the column; `None` when there are no more than that.
///
/// It is above `after`, and several rows may have it: of a column that tells rows apart only together with others.
///
/// # Errors
/// `TABLE_NOT_FOUND`, and the server's.
pub async fn key_bound(session: &Session, bound: KeyBound<'_>) -> Result<Option<i64>, SourceError> {
    let rows = session.query_text(&sql(bound)?).await?;
    let value = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
    Ok(value.and_then(|value| value.parse().ok()))
}

fn sql(bound: KeyBound<'_>) -> Result<String, SourceError> {
    let name = quote::identifier(&column(bound.table, bound.column)?.name)?;
    let mut conditions: Vec<String> =
        bound.after.map(|after| format!("{name} > {after}")).into_iter().collect();
    conditions.extend(bound.filter.map(|filter| format!("({filter})")));
    let mut sql = format!("SELECT {name} FROM {}", source(bound.table)?);
    if !conditions.is_empty() {
        sql.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
    }
    sql.push_str(&format!(" ORDER BY {name} OFFSET {} LIMIT 1", bound.rows));
    Ok(sql)
}

/// The condition that rows have a value of the column in `from..to`; `None` for all rows.
///
/// # Errors
/// `TABLE_NOT_FOUND` for a column that the table has not.
pub fn key_range_filter(
    table: &SourceTable,
    at: usize,
    from: Option<i64>,
    to: Option<i64>,
) -> Result<Option<String>, SourceError> {
    let name = quote::identifier(&column(table, at)?.name)?;
    let from = from.map(|from| format!("{name} >= {from}"));
    let to = to.map(|to| format!("{name} < {to}"));
    let bounds: Vec<String> = from.into_iter().chain(to).collect();
    Ok((!bounds.is_empty()).then(|| bounds.join(" AND ")))
}

#[cfg(test)]
mod tests {
    use segcdc_model::{PgType, QualifiedName, ReplicaIdentity, SourceColumn, TableKind};

    use super::*;

    fn table(kind: TableKind) -> SourceTable {
        let column = SourceColumn {
            name: "Id".to_owned(),
            attnum: 1,
            pg_type: PgType::Int8,
            type_name: String::new(),
            not_null: true,
            generated: false,
        };
        SourceTable {
            oid: 1,
            name: QualifiedName::new("public", "t"),
            kind,
            columns: vec![column],
            primary_key: vec![0],
            replica_identity: ReplicaIdentity::Default,
            identity_index: Vec::new(),
            indexes: Vec::new(),
            estimated_rows: 0,
            size_bytes: 0,
            heap_pages: 0,
            row_security: false,
            owner: String::new(),
        }
    }

    #[test]
    fn a_bound_counts_rows_in_the_order_of_the_key() {
        let check = |kind, after, filter, expected: &str| {
            let table = table(kind);
            let bound = KeyBound { table: &table, column: 0, after, rows: 500, filter };
            assert_eq!(sql(bound).unwrap(), expected);
        };
        check(
            TableKind::Ordinary,
            None,
            None,
            r#"SELECT "Id" FROM ONLY "public"."t" ORDER BY "Id" OFFSET 500 LIMIT 1"#,
        );
        check(
            TableKind::Partitioned,
            Some(-7),
            Some("a > 1 OR b"),
            r#"SELECT "Id" FROM "public"."t" WHERE "Id" > -7 AND (a > 1 OR b) ORDER BY "Id" OFFSET 500 LIMIT 1"#,
        );
    }

    #[test]
    fn a_range_has_one_bound_two_or_none() {
        let check = |from, to, expected: Option<&str>| {
            let filter = key_range_filter(&table(TableKind::Ordinary), 0, from, to).unwrap();
            assert_eq!(filter.as_deref(), expected);
        };
        check(None, None, None);
        check(None, Some(5), Some(r#""Id" < 5"#));
        check(Some(5), None, Some(r#""Id" >= 5"#));
        check(Some(-5), Some(5), Some(r#""Id" >= -5 AND "Id" < 5"#));
        let unknown = key_range_filter(&table(TableKind::Ordinary), 1, None, None);
        assert!(matches!(unknown, Err(SourceError::TableNotFound { .. })));
    }
}
