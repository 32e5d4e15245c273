//! Reading [`CatalogTable`]s: what tells the columns of a table apart for good.

use segcdc_model::{Attribute, CatalogTable};

use super::tables::{self, Rows};
use crate::error::{Operation, SourceError};
use crate::quote;
use crate::session::{Row, Session};
use crate::wire::protocol;

/// All columns that a table ever had. What rows lack that were there before the column was added is kept as an array of
/// one member; partitions keep it for their root, and count only if all of them say the same.
const ATTRIBUTES: &str = "SELECT a.attnum, a.attisdropped, a.atttypid, a.atttypmod, \
       a.atthasdef AND a.attgenerated = '' OR a.attidentity <> '', \
       CASE WHEN a.atthasmissing THEN array_to_string(a.attmissingval, '') \
         WHEN c.relkind = 'p' AND NOT a.attisdropped THEN (SELECT min(missing) FROM ( \
           SELECT CASE WHEN l.atthasmissing THEN array_to_string(l.attmissingval, '') END AS missing \
           FROM pg_partition_tree(c.oid) t JOIN pg_attribute l ON l.attrelid = t.relid AND l.attname = a.attname \
           WHERE t.isleaf) AS leaves HAVING count(*) = count(missing) AND min(missing) = max(missing)) END \
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attnum > 0 AND a.attrelid = ";

/// Reads one table.
pub(super) async fn read(
    session: &Session,
    oid: u32,
    snapshot: Option<&str>,
) -> Result<Option<CatalogTable>, SourceError> {
    let (operation, snapshot) = match snapshot {
        Some(name) => {
            (Operation::ImportSnapshot, format!("SET TRANSACTION SNAPSHOT {};", quote::literal(name)?))
        }
        None => (Operation::Query, String::new()),
    };
    // One request, so that nothing is left open when its answer is not waited for.
    let sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {snapshot} \
         SELECT 'table', found.* FROM ({tables} c.oid = {oid}) AS found; \
         SELECT 'column', found.* FROM ({columns} ({oid}) ORDER BY a.attnum) AS found; \
         SELECT 'index', found.* FROM ({indexes} ({oid}) ORDER BY c.relname) AS found; \
         SELECT 'attribute', found.* FROM ({ATTRIBUTES} {oid} ORDER BY a.attnum) AS found; \
         SELECT 'place', coalesce((SELECT relfilenode FROM pg_class WHERE oid = {oid}), 0), {position}, \
           pg_snapshot_xmin(pg_current_snapshot())::text::numeric % 4294967296; \
         COMMIT",
        tables = tables::TABLES,
        columns = tables::COLUMNS,
        indexes = tables::INDEXES,
        position = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END",
    );
    let (mut found, mut attributes, mut place) = (Rows::default(), Vec::new(), None);
    for mut row in session.rows(operation, &sql).await? {
        match row.text()?.as_str() {
            "table" => found.tables.push(row),
            "column" => found.columns.push(row),
            "index" => found.indexes.push(row),
            "attribute" => attributes.push(attribute(row)?),
            _ => place = Some(row),
        }
    }
    let mut place = place.ok_or_else(|| protocol("a row is missing"))?;
    let Some(table) = tables::described(session, found).await?.pop() else { return Ok(None) };
    Ok(Some(CatalogTable {
        table,
        attributes,
        filenode: place.value()?,
        read_at: place.lsn()?,
        oldest_xid: place.value()?,
    }))
}

/// One row of [`ATTRIBUTES`].
fn attribute(mut row: Row) -> Result<Attribute, SourceError> {
    Ok(Attribute {
        attnum: row.value()?,
        is_dropped: row.flag()?,
        type_oid: row.value()?,
        type_modifier: row.value()?,
        has_default: row.flag()?,
        missing: row.optional()?,
    })
}
