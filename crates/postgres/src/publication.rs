//! Publications: which tables the stream carries.

use std::collections::HashMap;

use segcdc_model::QualifiedName;

use crate::error::{Operation, SourceError};
use crate::quote;
use crate::session::Session;

/// A publication as the catalog describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// `pg_publication.oid`: one that was dropped and made again has another.
    pub oid: u32,
    /// Name.
    pub name: String,
    /// Role that owns it.
    pub owner: String,
    /// FOR ALL TABLES
    pub all_tables: bool,
    /// Publishes INSERT.
    pub insert: bool,
    /// Publishes UPDATE.
    pub update: bool,
    /// Publishes DELETE.
    pub delete: bool,
    /// Publishes TRUNCATE.
    pub truncate: bool,
    /// `publish_via_partition_root`: changes of partitions come as changes of their root.
    pub via_root: bool,
    /// The published tables, those of FOR ALL TABLES and FOR TABLES IN SCHEMA included, ordered by name. Partitions
    /// are replaced by their root if `via_root`, and roots by their partitions if not.
    pub tables: Vec<PublishedTable>,
}

/// A table of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedTable {
    /// `pg_class.oid`
    pub oid: u32,
    /// Name.
    pub name: QualifiedName,
    /// Names of the published columns; `None` when there is no column list.
    pub columns: Option<Vec<String>>,
    /// SQL of the row filter.
    pub row_filter: Option<String>,
}

/// First version with column lists and row filters.
const COLUMN_LIST_VERSION: u32 = 150_000;

/// The publication, `None` when there is none of this name.
pub async fn inspect(session: &Session, name: &str) -> Result<Option<Publication>, SourceError> {
    let literal = quote::literal(name)?;
    let sql = format!(
        "SELECT p.oid, p.pubname, pg_get_userbyid(p.pubowner), p.puballtables, p.pubinsert, p.pubupdate, \
         p.pubdelete, p.pubtruncate, p.pubviaroot, current_setting('server_version_num') \
         FROM pg_publication p WHERE p.pubname = {literal}"
    );
    let Some(mut row) = session.rows(Operation::Query, &sql).await?.pop() else { return Ok(None) };
    let mut publication = Publication {
        oid: row.value()?,
        name: row.text()?,
        owner: row.text()?,
        all_tables: row.flag()?,
        insert: row.flag()?,
        update: row.flag()?,
        delete: row.flag()?,
        truncate: row.flag()?,
        via_root: row.flag()?,
        tables: Vec::new(),
    };
    let version: u32 = row.value()?;
    publication.tables = tables(session, &literal, version).await?;
    Ok(Some(publication))
}

/// The tables of a publication.
async fn tables(session: &Session, name: &str, version: u32) -> Result<Vec<PublishedTable>, SourceError> {
    let (attrs, filter) = if version >= COLUMN_LIST_VERSION {
        ("array_to_string(r.prattrs::int2[], ' ')", "pg_get_expr(r.prqual, r.prrelid)")
    } else {
        ("NULL", "NULL")
    };
    let sql = format!(
        "SELECT c.oid, n.nspname, c.relname, {attrs}, {filter} FROM pg_publication p \
         JOIN LATERAL pg_get_publication_tables(p.pubname::text) t ON true JOIN pg_class c ON c.oid = t.relid \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid \
         WHERE p.pubname = {name} ORDER BY n.nspname, c.relname"
    );
    let mut tables = Vec::new();
    let mut lists: Vec<(usize, Vec<i16>)> = Vec::new();
    for mut row in session.rows(Operation::Query, &sql).await? {
        let oid = row.value()?;
        let name = QualifiedName::new(row.text()?, row.text()?);
        let attnums = row.numbers::<i16>()?;
        if !attnums.is_empty() {
            lists.push((tables.len(), attnums));
        }
        tables.push(PublishedTable { oid, name, columns: None, row_filter: row.optional()? });
    }
    if lists.is_empty() {
        return Ok(tables);
    }
    let names = column_names(session, &tables).await?;
    for (index, attnums) in lists {
        let Some(table) = tables.get_mut(index) else { continue };
        let name = |attnum| names.get(&(table.oid, attnum)).cloned();
        table.columns = Some(attnums.into_iter().filter_map(name).collect());
    }
    Ok(tables)
}

/// Column names by table and column number.
async fn column_names(
    session: &Session,
    tables: &[PublishedTable],
) -> Result<HashMap<(u32, i16), String>, SourceError> {
    let oids = tables.iter().map(|table| table.oid.to_string()).collect::<Vec<_>>().join(",");
    let sql = format!(
        "SELECT attrelid, attnum, attname FROM pg_attribute \
         WHERE attnum > 0 AND NOT attisdropped AND attrelid IN ({oids})"
    );
    let rows = session.rows(Operation::Query, &sql).await?;
    rows.into_iter().map(|mut row| Ok(((row.value()?, row.value()?), row.text()?))).collect()
}

/// A table as a publication is to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTable {
    /// Name.
    pub name: QualifiedName,
    /// The columns that are to be sent, from PostgreSQL 15 on; `None` for all, now and later.
    pub columns: Option<Vec<String>>,
    /// SQL condition of the rows that are to be sent, from PostgreSQL 15 on; `None` for all.
    pub filter: Option<String>,
}

/// Whether the server can be told which columns and rows to send: from PostgreSQL 15 on.
pub async fn has_lists_and_filters(session: &Session) -> Result<bool, SourceError> {
    let sql = "SELECT current_setting('server_version_num')";
    let version: u32 = session.row(Operation::Query, sql).await?.value()?;
    Ok(version >= COLUMN_LIST_VERSION)
}

/// The statement that makes a publication of these tables. Partitioned tables are published as their root, so that
/// the target needs one table for them.
pub fn create_sql<T: Clone + Into<WantedTable>>(name: &str, tables: &[T]) -> Result<String, SourceError> {
    let name = quote::identifier(name)?;
    let tables = if tables.is_empty() { String::new() } else { format!(" FOR TABLE {}", listed(tables)?) };
    Ok(format!("CREATE PUBLICATION {name}{tables} WITH (publish_via_partition_root = true)"))
}

/// Makes a publication of these tables. The role must own the tables and have CREATE on the database.
pub async fn create<T: Clone + Into<WantedTable>>(
    session: &Session,
    name: &str,
    tables: &[T],
) -> Result<Publication, SourceError> {
    session.execute(Operation::Publication, &create_sql(name, tables)?).await?;
    let made = inspect(session, name).await?;
    made.ok_or_else(|| crate::wire::protocol("a publication is gone right after it was made"))
}

/// The statement that adds tables to a publication.
pub fn add_tables_sql<T: Clone + Into<WantedTable>>(name: &str, tables: &[T]) -> Result<String, SourceError> {
    Ok(format!("ALTER PUBLICATION {} ADD TABLE {}", quote::identifier(name)?, listed(tables)?))
}

/// The statement that takes tables out of a publication.
pub fn drop_tables_sql(name: &str, tables: &[QualifiedName]) -> Result<String, SourceError> {
    let names = tables.iter().map(quote::qualified).collect::<Result<Vec<_>, _>>()?.join(", ONLY ");
    Ok(format!("ALTER PUBLICATION {} DROP TABLE ONLY {names}", quote::identifier(name)?))
}

/// Adds tables to a publication.
pub async fn add_tables<T: Clone + Into<WantedTable>>(
    session: &Session,
    name: &str,
    tables: &[T],
) -> Result<(), SourceError> {
    session.execute(Operation::Publication, &add_tables_sql(name, tables)?).await
}

/// Takes tables out of a publication.
pub async fn drop_tables(session: &Session, name: &str, tables: &[QualifiedName]) -> Result<(), SourceError> {
    session.execute(Operation::Publication, &drop_tables_sql(name, tables)?).await
}

/// Has a publication send of tables that it has what is wanted now, all of it at once or nothing.
pub async fn replace_tables(
    session: &Session,
    name: &str,
    tables: &[WantedTable],
) -> Result<(), SourceError> {
    let names: Vec<QualifiedName> = tables.iter().map(|table| table.name.clone()).collect();
    let (drop, add) = (drop_tables_sql(name, &names)?, add_tables_sql(name, tables)?);
    // One request of several statements is one transaction.
    session.execute(Operation::Publication, &format!("{drop}; {add}")).await
}

/// Drops a publication, if it is there. Never before its slot: the slot could not be read any more.
pub async fn drop(session: &Session, name: &str) -> Result<(), SourceError> {
    let sql = format!("DROP PUBLICATION IF EXISTS {}", quote::identifier(name)?);
    session.execute(Operation::Publication, &sql).await
}

/// Tables behind FOR TABLE or ADD TABLE.
fn listed<T: Clone + Into<WantedTable>>(tables: &[T]) -> Result<String, SourceError> {
    let tables = tables.iter().map(|table| {
        let WantedTable { name, columns, filter } = table.clone().into();
        // ONLY: children by inheritance are tables of their own and are named when they are wanted. It means
        // nothing for a partition root.
        let mut sql = format!("ONLY {}", quote::qualified(&name)?);
        if let Some(columns) = columns {
            let columns =
                columns.iter().map(|column| quote::identifier(column)).collect::<Result<Vec<_>, _>>()?;
            sql.push_str(&format!(" ({})", columns.join(", ")));
        }
        if let Some(filter) = filter {
            sql.push_str(&format!(" WHERE ({filter})"));
        }
        Ok(sql)
    });
    Ok(tables.collect::<Result<Vec<_>, SourceError>>()?.join(", "))
}

// === impl WantedTable ===

impl From<QualifiedName> for WantedTable {
    /// The whole table.
    fn from(name: QualifiedName) -> Self {
        WantedTable { name, columns: None, filter: None }
    }
}

// === impl PublishedTable ===

impl PublishedTable {
    /// Whether just what is wanted of the table is sent. False for one with a condition, which the server prints in words of its
    /// own.
    pub fn is(&self, wanted: &WantedTable) -> bool {
        let sorted = |columns: &Option<Vec<String>>| {
            columns.clone().map(|mut columns| {
                columns.sort_unstable();
                columns
            })
        };
        let is_whole = self.row_filter.is_none() && wanted.filter.is_none();
        is_whole && sorted(&self.columns) == sorted(&wanted.columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let tables = [QualifiedName::new("public", "a\"b"), QualifiedName::new("S", "c")];
        assert_eq!(
            create_sql("p q", &tables).unwrap(),
            "CREATE PUBLICATION \"p q\" FOR TABLE ONLY \"public\".\"a\"\"b\", ONLY \"S\".\"c\" \
             WITH (publish_via_partition_root = true)"
        );
    }

    #[test]
    fn columns_and_conditions_are_listed() {
        let name = QualifiedName::new("public", "t");
        let columns = Some(vec!["id".to_owned(), "a\"b".to_owned()]);
        let filter = Some("a = 'b'".to_owned());
        let tables = [WantedTable { columns, filter, name }, QualifiedName::new("public", "u").into()];
        assert_eq!(
            add_tables_sql("p", &tables).unwrap(),
            "ALTER PUBLICATION \"p\" ADD TABLE ONLY \"public\".\"t\" (\"id\", \"a\"\"b\") WHERE (a = 'b'), ONLY \"public\".\"u\""
        );
    }
}
