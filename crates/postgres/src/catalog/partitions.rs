//! Which partitions a table has, and what it means when that changes.
//!
//! ATTACH and DETACH are not in the logical stream. A partition that is made empty under its table, as
//! `CREATE TABLE .. PARTITION OF` does, is followed like the others. One that had rows before it was attached brings rows
//! that were never sent as its table's, and one that is detached or dropped takes rows with it that nobody deletes.

use std::collections::BTreeMap;

use segcdc_model::QualifiedName;

use crate::error::{Operation, SourceError};
use crate::quote;
use crate::session::Session;

/// The partitions with rows of partitioned tables, by the OIDs of table and partition.
pub type Partitions = BTreeMap<u32, BTreeMap<u32, QualifiedName>>;

/// The partitions with rows (leaves of the partition tree) of these partitioned tables.
pub async fn partitions(session: &Session, tables: &[u32]) -> Result<Partitions, SourceError> {
    let mut found: Partitions = tables.iter().map(|oid| (*oid, BTreeMap::new())).collect();
    if tables.is_empty() {
        return Ok(found);
    }
    let list = tables.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let sql = format!(
        "SELECT r.oid, c.oid, n.nspname, c.relname FROM unnest(ARRAY[{list}]::oid[]) AS r(oid) \
         CROSS JOIN LATERAL pg_partition_tree(r.oid) AS t JOIN pg_class c ON c.oid = t.relid \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.isleaf AND c.relkind <> 'p'"
    );
    for mut row in session.rows(Operation::Query, &sql).await? {
        let (table, leaf) = (row.value()?, row.value()?);
        let name = QualifiedName::new(row.text()?, row.text()?);
        found.entry(table).or_default().insert(leaf, name);
    }
    Ok(found)
}

/// What has happened to the partitions of the table `name` that the stream does not tell, if anything.
///
/// # Errors
/// The source's. What has happened is no error here.
pub async fn untold_change(
    session: &Session,
    name: &QualifiedName,
    before: &BTreeMap<u32, QualifiedName>,
    now: &BTreeMap<u32, QualifiedName>,
) -> Result<Option<SourceError>, SourceError> {
    let changed = |detail| SourceError::PartitionsChanged(name.to_string(), detail);
    if let Some((_, gone)) = before.iter().find(|(leaf, _)| !now.contains_key(leaf)) {
        return Ok(Some(changed(format!(
            "{gone} was detached or dropped, and its rows are still in the target"
        ))));
    }
    for (leaf, added) in now.iter().filter(|(leaf, _)| !before.contains_key(leaf)) {
        if had_rows(session, name, *leaf, added).await? {
            let detail =
                format!("{added} was attached with rows that were there before, which the target lacks");
            return Ok(Some(changed(detail)));
        }
    }
    Ok(None)
}

/// Whether a partition has rows that were written before it was attached: by an older transaction, or by an earlier
/// command of the same one. ATTACH waits for whoever writes to the table, so that nothing of it commits later.
///
/// Without the right to read the partition it is read through its table.
async fn had_rows(
    session: &Session,
    table: &QualifiedName,
    leaf: u32,
    name: &QualifiedName,
) -> Result<bool, SourceError> {
    let sql = format!("SELECT has_table_privilege({leaf}::oid, 'SELECT')");
    let may_read = session.row(Operation::Query, &sql).await?.flag()?;
    let from = match may_read {
        true => format!("ONLY {}", quote::qualified(name)?),
        false => quote::qualified(table)?,
    };
    // The edge that came last makes the rows visible; a deeper partition tree has several.
    let sql = format!(
        "SELECT EXISTS (SELECT FROM {from} AS l, (SELECT i.xmin, i.cmin FROM pg_inherits i \
         WHERE i.inhrelid = {leaf} OR i.inhrelid IN (SELECT a.relid FROM pg_partition_ancestors({leaf}) AS a(relid)) \
         ORDER BY age(i.xmin) LIMIT 1) AS i WHERE l.tableoid = {leaf} AND (age(l.xmin) > age(i.xmin) \
         OR l.xmin = i.xmin AND l.cmin::text::int8 <= i.cmin::text::int8))"
    );
    session.row(Operation::Query, &sql).await?.flag()
}
