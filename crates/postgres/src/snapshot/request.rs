//! [`CopyRequest`]: what is to be copied, and the SQL for it.

use segcdc_model::{PgType, SourceColumn, SourceTable, TableKind};

use super::range::CopyRange;
use crate::error::SourceError;
use crate::quote;
use crate::replication::FieldForm;

/// What to copy.
#[derive(Debug, Clone, Copy)]
pub struct CopyRequest<'a> {
    /// Name of an exported snapshot; `None` copies what is there now.
    pub snapshot: Option<&'a str>,
    /// The table.
    pub table: &'a SourceTable,
    /// Indices into `table.columns`, in the order in which tuples shall have them.
    pub columns: &'a [usize],
    /// Which part.
    pub range: CopyRange,
    /// Indices into `table.columns` to order the rows by, text by its bytes; empty for no order.
    pub order_by: &'a [usize],
    /// SQL condition that rows must meet, `None` for all rows. Made by [`key_filter`], or of what [`crate::quote`]
    /// returns and nothing else.
    pub filter: Option<&'a str>,
}

// === impl CopyRequest ===

impl<'a> CopyRequest<'a> {
    /// Everything in the table: all columns, no order, what is there now.
    pub fn new(table: &'a SourceTable, columns: &'a [usize]) -> Self {
        let (range, order_by) = (CopyRange::Whole, &[]);
        CopyRequest { snapshot: None, table, columns, range, order_by, filter: None }
    }

    /// The forms in which the fields of the rows come.
    pub(super) fn forms(&self) -> Result<Vec<FieldForm>, SourceError> {
        self.columns.iter().map(|&index| Ok(form(&column(self.table, index)?.pg_type))).collect()
    }

    /// The COPY statement.
    pub(super) fn copy_sql(&self) -> Result<String, SourceError> {
        let columns = self.columns.iter().map(|&index| selected(column(self.table, index)?));
        let columns = columns.collect::<Result<Vec<_>, _>>()?.join(", ");
        let mut conditions = Vec::new();
        if let CopyRange::Pages { from, to } = self.range {
            conditions.push(format!("ctid >= '({from},0)'::tid"));
            conditions.extend(to.map(|to| format!("ctid < '({to},0)'::tid")));
        }
        conditions.extend(self.filter.map(|filter| format!("({filter})")));
        let mut sql = format!("COPY (SELECT {columns} FROM {}", source(self.table)?);
        if !conditions.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&conditions.join(" AND "));
        }
        if !self.order_by.is_empty() {
            let order = self.order_by.iter().map(|&index| ordering(column(self.table, index)?));
            sql.push_str(" ORDER BY ");
            sql.push_str(&order.collect::<Result<Vec<_>, _>>()?.join(", "));
        }
        sql.push_str(") TO STDOUT (FORMAT binary)");
        Ok(sql)
    }
}

/// The condition that a row has one of the given keys: each key has one value per column of `columns` (indices into
/// `table.columns`), in the form in which PostgreSQL reads a value of the column's type. No keys, no rows.
pub fn key_filter(
    table: &SourceTable,
    columns: &[usize],
    keys: &[Vec<String>],
) -> Result<String, SourceError> {
    if keys.is_empty() || columns.is_empty() {
        return Ok("false".to_owned());
    }
    let names = columns.iter().map(|&index| compared(column(table, index)?));
    let names = names.collect::<Result<Vec<_>, _>>()?.join(", ");
    let mut members = Vec::with_capacity(keys.len());
    for key in keys {
        if key.len() != columns.len() {
            return Err(not_found(table));
        }
        members.push(format!("({})", quote::literal_list(key.iter().map(String::as_str))?));
    }
    Ok(format!("({names}) IN ({})", members.join(", ")))
}

/// The table behind FROM. Rows of a partition root are those of its partitions; rows of tables that inherit are not
/// rows of their parent, because the stream sends them as their own table's.
pub(crate) fn source(table: &SourceTable) -> Result<String, SourceError> {
    let only = if table.kind == TableKind::Partitioned { "" } else { "ONLY " };
    Ok(format!("{only}{}", quote::qualified(&table.name)?))
}

/// The column at an index.
pub(super) fn column(table: &SourceTable, index: usize) -> Result<&SourceColumn, SourceError> {
    table.columns.get(index).ok_or_else(|| not_found(table))
}

/// The table has not what was asked for.
fn not_found(table: &SourceTable) -> SourceError {
    SourceError::TableNotFound { table: table.name.to_string() }
}

/// The form in which a field of a type comes.
fn form(pg_type: &PgType) -> FieldForm {
    if pg_type.has_exact_binary_form() { FieldForm::Binary } else { FieldForm::Text }
}

/// The expression that is selected for a column.
fn selected(column: &SourceColumn) -> Result<String, SourceError> {
    let name = quote::identifier(&column.name)?;
    Ok(match form(&column.pg_type) {
        FieldForm::Binary => name,
        // concat prints by the output function. It takes NULL for the empty text, and `IS NULL` would hold for a
        // composite value of nothing but NULLs, which is a value.
        FieldForm::Text => format!("CASE WHEN {name} IS DISTINCT FROM NULL THEN {} END", printed(&name)),
    })
}

/// The expression that rows are ordered by for a column.
fn ordering(column: &SourceColumn) -> Result<String, SourceError> {
    let name = quote::identifier(&column.name)?;
    Ok(match column.pg_type {
        // Text, because a type may compare in a way of its own (citext, blank-padded char, the order of an enum).
        PgType::Text
        | PgType::Varchar { .. }
        | PgType::Char { .. }
        | PgType::Name
        | PgType::Json
        | PgType::Jsonb
        | PgType::Enum
        | PgType::Other => format!("{} COLLATE \"C\"", printed(&name)),
        PgType::Bool
        | PgType::Int2
        | PgType::Int4
        | PgType::Int8
        | PgType::Float4
        | PgType::Float8
        | PgType::Numeric { .. }
        | PgType::Money { .. }
        | PgType::MoneyOfUnknownDigits
        | PgType::Bit
        | PgType::Bytea
        | PgType::Uuid
        | PgType::Date
        | PgType::Time
        | PgType::Timestamp
        | PgType::TimestampTz
        | PgType::Oid => name,
    })
}

/// The expression that is compared with a literal for a column: the column, which an index may find, where PostgreSQL's own
/// operator compares it with text of the type's form. What is not PostgreSQL's own, whose type is written with its schema, may
/// have no operator on our search path (extensions), or none for a literal (composites, domains over enums); the registry
/// types take a literal for an OID. Of these the text is compared, which is the same for the same value.
fn compared(column: &SourceColumn) -> Result<String, SourceError> {
    let name = quote::identifier(&column.name)?;
    let is_foreign = column.type_name.contains('.') || column.type_name.starts_with("reg");
    let by_text = is_foreign && matches!(column.pg_type, PgType::Enum | PgType::Other);
    Ok(if by_text { printed(&name) } else { name })
}

/// What the type's output function prints for a value that is not NULL.
fn printed(name: &str) -> String {
    format!("pg_catalog.concat({name})")
}

#[cfg(test)]
mod tests {
    use segcdc_model::{QualifiedName, ReplicaIdentity};

    use super::*;

    fn table(kind: TableKind) -> SourceTable {
        let column = |name: &str, pg_type| SourceColumn {
            name: name.to_owned(),
            attnum: 1,
            pg_type,
            type_name: String::new(),
            not_null: false,
            generated: false,
        };
        SourceTable {
            oid: 1,
            name: QualifiedName::new("S", "t\"x"),
            kind,
            columns: vec![
                column("id", PgType::Int4),
                column("a b", PgType::Text),
                column("ip", PgType::Other),
            ],
            primary_key: Vec::new(),
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
    fn ordinary_tables_are_copied_without_children() {
        let table = table(TableKind::Ordinary);
        let request = CopyRequest {
            range: CopyRange::Pages { from: 3, to: Some(9) },
            order_by: &[1],
            filter: Some("\"id\" = '1'"),
            ..CopyRequest::new(&table, &[2, 0])
        };
        assert_eq!(
            request.copy_sql().unwrap(),
            "COPY (SELECT CASE WHEN \"ip\" IS DISTINCT FROM NULL THEN pg_catalog.concat(\"ip\") END, \"id\" \
             FROM ONLY \"S\".\"t\"\"x\" WHERE ctid >= '(3,0)'::tid AND ctid < '(9,0)'::tid AND (\"id\" = '1') \
             ORDER BY pg_catalog.concat(\"a b\") COLLATE \"C\") TO STDOUT (FORMAT binary)"
        );
        assert_eq!(request.forms().unwrap(), [FieldForm::Text, FieldForm::Binary]);
    }

    #[test]
    fn partition_roots_are_copied_with_their_partitions() {
        let table = table(TableKind::Partitioned);
        let sql = CopyRequest::new(&table, &[0]).copy_sql().unwrap();
        assert_eq!(sql, "COPY (SELECT \"id\" FROM \"S\".\"t\"\"x\") TO STDOUT (FORMAT binary)");
    }

    #[test]
    fn columns_that_are_not_there_are_refused() {
        let table = table(TableKind::Ordinary);
        assert!(CopyRequest::new(&table, &[7]).copy_sql().is_err());
        assert!(key_filter(&table, &[0, 1], &[vec!["1".to_owned()]]).is_err());
    }

    #[test]
    fn keys_become_literals() {
        let table = table(TableKind::Ordinary);
        let keys = [vec!["1".to_owned(), "it's".to_owned()], vec!["2".to_owned(), String::new()]];
        assert_eq!(
            key_filter(&table, &[0, 1], &keys).unwrap(),
            "(\"id\", \"a b\") IN (('1', 'it''s'), ('2', ''))"
        );
        assert_eq!(key_filter(&table, &[0], &[]).unwrap(), "false");
    }

    #[test]
    fn types_without_an_operator_of_postgresql_are_compared_as_text() {
        let check = |pg_type: PgType, type_name: &str, expected: &str| {
            let mut table = table(TableKind::Ordinary);
            table.columns[2].pg_type = pg_type;
            type_name.clone_into(&mut table.columns[2].type_name);
            let filter = key_filter(&table, &[2], &[vec!["x".to_owned()]]).unwrap();
            assert_eq!(filter, format!("({expected}) IN (('x'))"), "{type_name}");
        };
        let by_text = "pg_catalog.concat(\"ip\")";
        check(PgType::Other, "inet", "\"ip\"");
        check(PgType::Other, "time with time zone", "\"ip\"");
        check(PgType::Other, "public.ltree", by_text);
        check(PgType::Other, "matrix.pair[]", by_text);
        check(PgType::Other, "regclass", by_text);
        check(PgType::Enum, "public.mood", by_text);
        check(PgType::Text, "public.email", "\"ip\"");
    }
}
