//! Tables that have a new file since the snapshot.
//!
//! A new file is one that a snapshot from before cannot be trusted with (PostgreSQL manual, "Caveats" of concurrency
//! control):
//!
//! ```text
//! TRUNCATE, ALTER TABLE   the snapshot sees no rows, though the changes between it and the new file still come in the
//!                         stream: they would be applied to rows that were never copied
//! VACUUM FULL, CLUSTER    the snapshot sees its rows at other places: ranges that were read before and after it
//!                         overlap and leave out
//! ```
//!
//! So such a table is copied from a newer snapshot.

use segcdc_model::SourceTable;

use super::request::source;
use crate::error::{Operation, SourceError};
use crate::quote;
use crate::wire::{Wire, protocol};

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
    if has_snapshot && new_file.as_deref() != Some("f") {
        return Err(SourceError::TableRewritten { table: table.name.to_string() });
    }
    Ok(())
}
