//! Reading [`SourceTable`]s.

use std::collections::HashMap;

use segcdc_model::{
    IndexFlaw, PgType, QualifiedName, ReplicaIdentity, SourceColumn, SourceIndex, SourceTable, TableKind,
};

use super::types::{CatalogType, pg_type};
use super::{Pattern, money};
use crate::error::{Operation, SourceError};
use crate::session::{Row, Session};
use crate::wire::protocol;

/// Everything that has a name like a table's, outside of system schemas (names that begin with `pg_` are reserved), and whether
/// a wildcard does not mean it: partitions, and tables that are the matter of one session.
const CANDIDATES: &str = "SELECT c.oid, n.nspname, c.relname, c.relispartition OR c.relpersistence = 't' \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND (n.nspname !~ '^pg_' OR c.relpersistence = 't') \
     AND n.nspname <> 'information_schema'";

/// Tables by OID. Sizes and row estimates of a partition root are those of its partitions; a table that is not a heap
/// has no pages that ctid ranges could name. A key that is deferrable or invalid is no key: PostgreSQL does not take
/// it as a replica identity.
pub(super) const TABLES: &str = "SELECT c.oid, n.nspname, c.relname, \
     CASE WHEN c.relpersistence = 't' THEN 't' WHEN c.relkind IN ('v', 'm') THEN c.relkind \
       WHEN c.relkind = 'f' THEN 'f' WHEN c.relpersistence = 'u' THEN 'u' \
       WHEN c.relkind = 'p' THEN 'p' WHEN c.relispartition THEN 'l' ELSE 'r' END, \
     c.relreplident, \
     (SELECT sum(greatest(l.reltuples, 0))::numeric(20, 0) FROM pg_class l WHERE l.oid = ANY (leaves.oids)), \
     (SELECT sum(coalesce(pg_table_size(leaf), 0)) FROM unnest(leaves.oids) AS leaf), \
     CASE WHEN a.amname = 'heap' AND c.relkind = 'r' \
       THEN coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::int8 ELSE 0 END, \
     c.relrowsecurity, pg_get_userbyid(c.relowner), \
     (SELECT array_to_string((i.indkey::int2[])[0:i.indnkeyatts - 1], ' ') FROM pg_index i \
       WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate AND i.indisvalid), \
     (SELECT array_to_string((i.indkey::int2[])[0:i.indnkeyatts - 1], ' ') FROM pg_index i \
       WHERE i.indrelid = c.oid AND i.indisreplident AND c.relreplident = 'i') \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam \
     CROSS JOIN LATERAL (SELECT array(SELECT c.oid WHERE c.relkind <> 'p' UNION ALL \
       SELECT t.relid FROM pg_partition_tree(c.oid) t WHERE c.relkind = 'p' AND t.isleaf) AS oids) AS leaves \
     WHERE";

/// Live columns of the tables, domains resolved down to what they stand for.
pub(super) const COLUMNS: &str = "WITH RECURSIVE domain(oid, base, modifier) AS ( \
       SELECT t.oid, t.typbasetype, t.typtypmod FROM pg_type t WHERE t.typtype = 'd' \
       UNION ALL SELECT d.oid, t.typbasetype, CASE WHEN d.modifier >= 0 THEN d.modifier ELSE t.typtypmod END \
       FROM domain d JOIN pg_type t ON t.oid = d.base WHERE t.typtype = 'd') \
     SELECT a.attrelid, a.attnum, a.attname, t.oid, coalesce(d.modifier, a.atttypmod), t.typtype = 'e', \
       EXISTS (SELECT FROM pg_depend p JOIN pg_extension e ON e.oid = p.refobjid \
         WHERE p.classid = 'pg_type'::regclass AND p.objid = t.oid AND p.deptype = 'e' \
         AND p.refclassid = 'pg_extension'::regclass AND e.extname = 'citext' AND t.typname = 'citext'), \
       format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> '' \
     FROM pg_attribute a \
     LEFT JOIN domain d ON d.oid = a.atttypid \
       AND NOT EXISTS (SELECT FROM pg_type b WHERE b.oid = d.base AND b.typtype = 'd') \
     JOIN pg_type t ON t.oid = coalesce(d.base, a.atttypid) \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN ";

/// Indexes of the tables, with what PostgreSQL looks at before it takes one as a replica identity.
pub(super) const INDEXES: &str = "SELECT i.indrelid, c.relname, \
     array_to_string(array_remove((i.indkey::int2[])[0:i.indnkeyatts - 1], 0::int2), ' '), \
     CASE WHEN NOT i.indisunique THEN 'n' WHEN i.indpred IS NOT NULL THEN 'p' WHEN i.indexprs IS NOT NULL THEN 'e' \
       WHEN NOT i.indimmediate THEN 'd' WHEN NOT i.indisvalid THEN 'i' ELSE '' END \
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid IN ";

/// OIDs of the tables that the patterns mean.
pub(super) async fn matching(session: &Session, patterns: &[Pattern]) -> Result<Vec<u32>, SourceError> {
    let mut oids = Vec::new();
    for mut row in session.rows(Operation::Query, CANDIDATES).await? {
        let oid = row.value()?;
        let name = QualifiedName::new(row.text()?, row.text()?);
        let only_by_name = row.flag()?;
        let named = patterns.iter().any(|pattern| pattern.literal().as_ref() == Some(&name));
        let found = patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(&name));
        if named || (found && !only_by_name) {
            oids.push(oid);
        }
    }
    Ok(oids)
}

/// The tables with these OIDs that still exist, ordered by name.
pub(super) async fn read(session: &Session, oids: &[u32]) -> Result<Vec<SourceTable>, SourceError> {
    if oids.is_empty() {
        return Ok(Vec::new());
    }
    let list = oids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let columns =
        session.rows(Operation::Query, &format!("{COLUMNS} ({list}) ORDER BY a.attrelid, a.attnum")).await?;
    let sql = format!("{TABLES} c.oid IN ({list}) ORDER BY n.nspname, c.relname");
    let tables = session.rows(Operation::Query, &sql).await?;
    let sql = format!("{INDEXES} ({list}) ORDER BY i.indrelid, c.relname");
    let indexes = session.rows(Operation::Query, &sql).await?;
    described(session, Rows { tables, columns, indexes }).await
}

/// What the catalog says of tables.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Rows of [`TABLES`].
    pub(super) tables: Vec<Row>,
    /// Rows of [`COLUMNS`].
    pub(super) columns: Vec<Row>,
    /// Rows of [`INDEXES`].
    pub(super) indexes: Vec<Row>,
}

/// The tables that rows describe.
pub(super) async fn described(session: &Session, rows: Rows) -> Result<Vec<SourceTable>, SourceError> {
    let mut columns_of: HashMap<u32, Vec<SourceColumn>> = HashMap::new();
    let mut money_digits = None;
    for mut row in rows.columns {
        let oid = row.value()?;
        let mut column = column(&mut row)?;
        if let PgType::Money { .. } = column.pg_type {
            let digits = match money_digits {
                Some(known) => known,
                None => *money_digits.insert(money::fraction_digits(session).await?),
            };
            column.pg_type = digits
                .map_or(PgType::MoneyOfUnknownDigits, |fraction_digits| PgType::Money { fraction_digits });
        }
        columns_of.entry(oid).or_default().push(column);
    }
    let mut indexes_of: HashMap<u32, Vec<SourceIndex>> = HashMap::new();
    for mut row in rows.indexes {
        let oid = row.value()?;
        let columns = columns_of.get(&oid).map(Vec::as_slice).unwrap_or_default();
        let index = index(&mut row, columns)?;
        indexes_of.entry(oid).or_default().push(index);
    }
    rows.tables.into_iter().map(|row| table(row, &mut columns_of, &mut indexes_of)).collect()
}

/// One row of [`COLUMNS`], behind the table's OID.
fn column(row: &mut Row) -> Result<SourceColumn, SourceError> {
    Ok(SourceColumn {
        attnum: row.value()?,
        name: row.text()?,
        pg_type: pg_type(CatalogType {
            oid: row.value()?,
            modifier: row.value()?,
            is_enum: row.flag()?,
            is_citext: row.flag()?,
        }),
        type_name: row.text()?,
        not_null: row.flag()?,
        generated: row.flag()?,
    })
}

/// One row of [`INDEXES`], behind the table's OID.
fn index(row: &mut Row, columns: &[SourceColumn]) -> Result<SourceIndex, SourceError> {
    let name = row.text()?;
    let found = indices(columns, row.numbers()?);
    let any = |what: fn(&SourceColumn) -> bool| found.iter().filter_map(|at| columns.get(*at)).any(what);
    let flaw = match row.text()?.as_str() {
        "n" => Some(IndexFlaw::NotUnique),
        "p" => Some(IndexFlaw::Partial),
        "e" => Some(IndexFlaw::Expression),
        "d" => Some(IndexFlaw::Deferrable),
        "i" => Some(IndexFlaw::Invalid),
        _ if any(|column| column.generated) => Some(IndexFlaw::Generated),
        _ if any(|column| !column.not_null) => Some(IndexFlaw::Nullable),
        _ => None,
    };
    Ok(SourceIndex { name, columns: found, flaw })
}

/// One row of [`TABLES`].
fn table(
    mut row: Row,
    columns_of: &mut HashMap<u32, Vec<SourceColumn>>,
    indexes_of: &mut HashMap<u32, Vec<SourceIndex>>,
) -> Result<SourceTable, SourceError> {
    let oid = row.value()?;
    let columns = columns_of.remove(&oid).unwrap_or_default();
    let name = QualifiedName::new(row.text()?, row.text()?);
    let kind = match row.text()?.as_str() {
        "r" => TableKind::Ordinary,
        "p" => TableKind::Partitioned,
        "l" => TableKind::Partition,
        "u" => TableKind::Unlogged,
        "t" => TableKind::Temporary,
        "f" => TableKind::Foreign,
        "v" => TableKind::View,
        "m" => TableKind::MaterializedView,
        _ => return Err(protocol("a table is of an unknown kind")),
    };
    let replica_identity = match row.text()?.as_str() {
        "d" => ReplicaIdentity::Default,
        "i" => ReplicaIdentity::Index,
        "f" => ReplicaIdentity::Full,
        "n" => ReplicaIdentity::Nothing,
        _ => return Err(protocol("a table has an unknown replica identity")),
    };
    Ok(SourceTable {
        oid,
        name,
        kind,
        replica_identity,
        estimated_rows: row.optional_value()?.unwrap_or(0),
        size_bytes: row.optional_value()?.unwrap_or(0),
        heap_pages: u32::try_from(row.value::<u64>()?).unwrap_or(u32::MAX),
        row_security: row.flag()?,
        owner: row.text()?,
        primary_key: indices(&columns, row.numbers()?),
        identity_index: indices(&columns, row.numbers()?),
        indexes: indexes_of.remove(&oid).unwrap_or_default(),
        columns,
    })
}

/// Column numbers as indices into the live columns.
fn indices(columns: &[SourceColumn], attnums: Vec<i16>) -> Vec<usize> {
    attnums
        .into_iter()
        .filter_map(|attnum| columns.iter().position(|column| column.attnum == attnum))
        .collect()
}
