//! Tables that were rewritten after the snapshot.
//!
//! An ALTER TABLE that rewrites a table is not MVCC-safe (PostgreSQL manual, "Caveats" of concurrency control): a
//! snapshot from before sees the new file as empty, without an error. TRUNCATE does the same, but is in the stream,
//! which so ends at the same rows; VACUUM FULL and CLUSTER keep what snapshots see. So a new file together with new
//! columns means that a copy would silently be empty.

use segcdc_model::SourceTable;

use super::request::source;
use crate::error::{Operation, SourceError};
use crate::quote;
use crate::wire::{Column, Wire, protocol};

/// Makes sure that the open transaction, which has imported a snapshot, sees the table with this OID and its rows.
/// The table stays locked against rewriting until the transaction ends.
pub(super) async fn refuse_rewritten(
    wire: &mut Wire,
    table: &SourceTable,
    has_snapshot: bool,
) -> Result<(), SourceError> {
    let (source, oid) = (source(table)?, table.oid);
    // What functions say of a table is true now; what a query reads from the catalog is true as of the snapshot.
    let sql = format!(
        "LOCK TABLE {source} IN ACCESS SHARE MODE; \
         SELECT to_regclass({name})::oid, coalesce((SELECT bool_or(pg_relation_filenode(c.oid) \
             IS DISTINCT FROM nullif(c.relfilenode, 0)) \
           FROM pg_class c WHERE c.oid = {oid} OR c.oid IN (SELECT relid FROM pg_partition_tree({oid}))), true)",
        name = quote::literal(&quote::qualified(&table.name)?)?,
    );
    let mut rows = wire.query(Operation::Copy, &sql).await?.into_iter();
    let row = rows.next().ok_or_else(|| protocol("a row is missing"))?;
    let [found, new_file] = row.as_slice() else { return Err(protocol("a row has too few fields")) };
    if found.as_deref() != Some(oid.to_string().as_str()) {
        return Err(SourceError::TableNotFound { table: table.name.to_string() });
    }
    if !has_snapshot || new_file.as_deref() == Some("f") {
        return Ok(());
    }
    let then = wire.query(Operation::Copy, &columns_sql(oid)).await?;
    let now = wire.describe(Operation::Copy, &format!("SELECT * FROM {source} LIMIT 0")).await?;
    if then.iter().map(column).eq(now.into_iter().map(Some)) {
        Ok(())
    } else {
        Err(SourceError::TableRewritten { table: table.name.to_string() })
    }
}

/// The columns of a table as the snapshot sees them.
fn columns_sql(oid: u32) -> String {
    format!(
        "SELECT attname, atttypid, atttypmod FROM pg_attribute \
         WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
}

/// A row of [`columns_sql`].
fn column(row: &Vec<Option<String>>) -> Option<Column> {
    let [name, type_oid, type_modifier] = row.as_slice() else { return None };
    Some(Column {
        name: name.clone()?,
        type_oid: type_oid.as_deref()?.parse().ok()?,
        type_modifier: type_modifier.as_deref()?.parse().ok()?,
    })
}
