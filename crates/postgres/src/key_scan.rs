//! Reading whole tables for keys that the target cannot tell apart or cannot hold.
//!
//! SQL Server ignores blanks at the end of text and zero bytes at the end of binary values when it compares, under every
//! collation (T-SQL manual, "varchar" and "binary": ANSI padding), and a key has room for 900 bytes. No catalog tells
//! whether a table's rows are hit by either; only its rows do.
//!
//! ```text
//! first   one pass:   rows whose key ends in a blank or a zero byte, rows whose key is too long
//! then    only where the first pass found ends that are ignored: how many keys are one key without them
//! ```
//!
//! A pass reads every row of the table once, as a `SELECT count(*)` does, and holds back vacuum while it lasts.

use segcdc_model::{Finding, Side, SourceColumn, SourceTable, TableKind};

use crate::error::{Operation, SourceError};
use crate::quote;
use crate::session::Session;

/// How the target keeps a column of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// As text of at most so many UTF-16 units; blanks at the end do not count in comparisons.
    Text {
        /// UTF-16 units.
        units: u16,
    },
    /// As at most so many bytes; zero bytes at the end do not count in comparisons.
    Bytes {
        /// Bytes.
        bytes: u16,
    },
    /// In a type of fixed size that compares as the source's type does.
    Exact,
}

/// A table whose keys are to be looked at.
#[derive(Debug, Clone)]
pub struct KeyScan<'t> {
    /// The table.
    pub table: &'t SourceTable,
    /// The columns of its key, as indices into the table's, and how the target keeps them.
    pub columns: Vec<(usize, KeyForm)>,
    /// SQL condition of the rows that are looked at; `None` for all.
    pub filter: Option<&'t str>,
}

/// What the rows of a table say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    rows: u64,
    /// Groups of keys that are one key to the target, and the rows in them.
    alike: (u64, u64),
    /// For each column of the key, the rows whose value is too long.
    too_long: Vec<u64>,
}

/// Looks at the keys of a table's rows; nothing is changed and no key is repeated. A table without a key column of text or
/// bytes has nothing to be looked for, and is not read.
///
/// # Errors
/// When the table cannot be read.
pub async fn scan(session: &Session, scan: &KeyScan<'_>) -> Result<Vec<Finding>, SourceError> {
    if scan.columns.iter().all(|(_, form)| *form == KeyForm::Exact) {
        return Ok(Vec::new());
    }
    let mut row = session.row(Operation::Query, &scan.first_pass()?).await?;
    let (rows, padded): (u64, u64) = (row.value()?, row.value()?);
    let too_long = scan.columns.iter().map(|_| row.value()).collect::<Result<_, _>>()?;
    let mut alike = (0, 0);
    if padded > 0 {
        let mut row = session.row(Operation::Query, &scan.count_alike()?).await?;
        alike = (row.value()?, row.value()?);
    }
    scan.judge(&Facts { rows, alike, too_long })
}

// === impl KeyScan ===

impl KeyScan<'_> {
    /// Rows, rows with an end that does not count, and for each column the rows that are too long.
    fn first_pass(&self) -> Result<String, SourceError> {
        let columns = self.columns()?;
        let padded: Vec<String> = columns.iter().filter_map(Scanned::has_ignored_end).collect();
        let too_long = columns.iter().map(|column| match column.is_too_long() {
            Some(condition) => format!("count(*) FILTER (WHERE {condition})"),
            None => "0".to_owned(),
        });
        Ok(format!(
            "SELECT count(*), count(*) FILTER (WHERE {}), {} FROM {}",
            padded.join(" OR "),
            too_long.collect::<Vec<_>>().join(", "),
            self.source()?
        ))
    }

    /// Keys that are one key to the target: how many such groups, and how many rows.
    fn count_alike(&self) -> Result<String, SourceError> {
        Ok(format!(
            "SELECT count(*), coalesce(sum(g.n), 0) FROM (SELECT count(*) AS n {}) AS g",
            self.grouped()?
        ))
    }

    /// A statement by which a person sees the rows that are one key to the target.
    fn list_alike(&self) -> Result<String, SourceError> {
        let names: Vec<String> = self.columns()?.into_iter().map(|column| column.name).collect();
        Ok(format!("SELECT array_agg(ROW({}))::text AS keys {}", names.join(", "), self.grouped()?))
    }

    /// A statement by which a person sees the rows whose key is too long.
    fn list_too_long(&self) -> Result<String, SourceError> {
        let columns = self.columns()?;
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let conditions: Vec<String> = columns.iter().filter_map(Scanned::is_too_long).collect();
        Ok(format!("SELECT {} FROM {} WHERE {}", names.join(", "), self.source()?, conditions.join(" OR ")))
    }

    fn grouped(&self) -> Result<String, SourceError> {
        let compared: Vec<String> = self.columns()?.iter().map(Scanned::compared).collect();
        Ok(format!("FROM {} GROUP BY {} HAVING count(*) > 1", self.source()?, compared.join(", ")))
    }

    /// What is read, as the copy reads it.
    fn source(&self) -> Result<String, SourceError> {
        let only = if self.table.kind == TableKind::Partitioned { "" } else { "ONLY " };
        let table = format!("{only}{}", quote::qualified(&self.table.name)?);
        Ok(match self.filter {
            Some(filter) => format!("(SELECT * FROM {table} WHERE ({filter})) AS wanted"),
            None => table,
        })
    }

    fn columns(&self) -> Result<Vec<Scanned>, SourceError> {
        let scanned = self.columns.iter().map(|(index, form)| {
            let missing = || SourceError::TableNotFound { table: self.table.name.to_string() };
            let column: &SourceColumn = self.table.columns.get(*index).ok_or_else(missing)?;
            Ok(Scanned { name: quote::identifier(&column.name)?, form: *form })
        });
        scanned.collect()
    }

    /// What the facts mean.
    fn judge(&self, facts: &Facts) -> Result<Vec<Finding>, SourceError> {
        let table = &self.table.name;
        let mut findings = Vec::new();
        let (groups, rows) = facts.alike;
        if groups > 0 {
            let detail = format!(
                "{rows} rows of {table} have {groups} keys for SQL Server, which ignores blanks at the end of text and zero \
                 bytes at the end of binary values"
            );
            findings.push(
                Finding::warning("pg.key_scan", Side::Source, "KEY_COLLISION", detail)
                    .hint("change one of each two keys at the source, or leave the table out; the statement lists them")
                    .fix(self.list_alike()?),
            );
        }
        for ((index, form), rows) in self.columns.iter().zip(&facts.too_long).filter(|(_, rows)| **rows > 0) {
            let column = self.table.columns.get(*index).map_or("", |column| column.name.as_str());
            let room = match form {
                KeyForm::Text { units } => format!("{units} UTF-16 units"),
                KeyForm::Bytes { bytes } => format!("{bytes} bytes"),
                KeyForm::Exact => continue,
            };
            let detail = format!("{rows} rows of {table} have a longer key column \"{column}\" than {room}");
            findings.push(
                Finding::warning("pg.key_scan", Side::Source, "KEY_TOO_LONG", detail)
                    .hint(
                        "shorten the keys at the source, choose a narrower unique index with REPLICA IDENTITY USING \
                         INDEX, or leave the table out; the statement lists them",
                    )
                    .fix(self.list_too_long()?),
            );
        }
        if findings.is_empty() {
            let detail = format!("all {} keys of {table} fit and are apart for SQL Server", facts.rows);
            findings.push(Finding::ok("pg.key_scan", Side::Source, detail));
        }
        Ok(findings)
    }
}

/// A column of a key, as SQL sees it.
struct Scanned {
    /// Quoted.
    name: String,
    form: KeyForm,
}

// === impl Scanned ===

impl Scanned {
    /// The text that is copied, compared by bytes: the column's own collation may hold different text equal.
    fn printed(&self) -> String {
        format!("pg_catalog.concat({}) COLLATE \"C\"", self.name)
    }

    /// The value without what the target ignores.
    fn compared(&self) -> String {
        match self.form {
            KeyForm::Text { .. } => format!("rtrim({}, ' ')", self.printed()),
            KeyForm::Bytes { .. } => format!("rtrim({}, '\\x00'::bytea)", self.name),
            KeyForm::Exact => self.name.clone(),
        }
    }

    /// Whether the value ends with something that the target ignores.
    fn has_ignored_end(&self) -> Option<String> {
        match self.form {
            KeyForm::Text { .. } => Some(format!("right({}, 1) = ' '", self.printed())),
            KeyForm::Bytes { .. } => {
                let name = &self.name;
                Some(format!(
                    "CASE WHEN octet_length({name}) > 0 THEN get_byte({name}, octet_length({name}) - 1) = 0 END"
                ))
            }
            KeyForm::Exact => None,
        }
    }

    /// Whether the value is longer than the target's column. UTF-16 needs a unit for each character and another one for
    /// those beyond the basic plane, which are those of four bytes; it never needs more units than UTF-8 needs bytes.
    fn is_too_long(&self) -> Option<String> {
        match self.form {
            KeyForm::Text { units } => {
                let text = self.printed();
                let bytes = format!("convert_to({text}, 'UTF8')");
                Some(format!(
                    "CASE WHEN octet_length({bytes}) > {units} THEN length({text}) \
                     + (SELECT count(*) FROM generate_series(0, octet_length({bytes}) - 1) AS i \
                     WHERE get_byte({bytes}, i) >= 240) > {units} ELSE false END"
                ))
            }
            KeyForm::Bytes { bytes } => Some(format!("octet_length({}) > {bytes}", self.name)),
            KeyForm::Exact => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use segcdc_model::{PgType, QualifiedName, ReplicaIdentity, Severity};

    use super::*;

    fn table() -> SourceTable {
        let column = |name: &str| SourceColumn {
            name: name.to_owned(),
            attnum: 1,
            pg_type: PgType::Text,
            type_name: String::new(),
            not_null: true,
            generated: false,
        };
        SourceTable {
            oid: 1,
            name: QualifiedName::new("s", "t"),
            kind: TableKind::Ordinary,
            columns: vec![column("id"), column("code"), column("raw")],
            primary_key: vec![0, 1, 2],
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
    fn each_trouble_is_named_with_its_numbers() {
        let table = table();
        let columns =
            vec![(0, KeyForm::Exact), (1, KeyForm::Text { units: 40 }), (2, KeyForm::Bytes { bytes: 8 })];
        let scan = KeyScan { table: &table, columns, filter: None };
        let check = |alike, too_long: [u64; 3], expected: &[(Severity, &str, &str)]| {
            let facts = Facts { rows: 9, alike, too_long: too_long.into() };
            let findings = scan.judge(&facts).unwrap();
            let found: Vec<_> = findings.iter().map(|f| (f.severity, f.code.as_str(), &*f.detail)).collect();
            assert_eq!(found, expected);
            assert!(findings.iter().all(|f| f.fix_sql.is_empty() == (f.severity == Severity::Ok)));
        };
        check((0, 0), [0, 0, 0], &[(Severity::Ok, "", "all 9 keys of s.t fit and are apart for SQL Server")]);
        let alike = "5 rows of s.t have 2 keys for SQL Server, which ignores blanks at the end of text and zero bytes \
                     at the end of binary values";
        check((2, 5), [0, 0, 0], &[(Severity::Warning, "KEY_COLLISION", alike)]);
        let (text, bytes) = (
            "3 rows of s.t have a longer key column \"code\" than 40 UTF-16 units",
            "1 rows of s.t have a longer key column \"raw\" than 8 bytes",
        );
        let long = |detail| (Severity::Warning, "KEY_TOO_LONG", detail);
        check((0, 0), [0, 3, 1], &[long(text), long(bytes)]);
    }
}
