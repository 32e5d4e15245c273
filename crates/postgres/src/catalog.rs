//! What the source's catalog says: identity, tables, positions.

use std::collections::HashMap;

use segcdc_model::{CatalogTable, Lsn, QualifiedName, SourceTable, TableExtras};

use crate::error::{Operation, SourceError};
use crate::quote;
use crate::session::Session;

mod attributes;
mod extras;
mod money;
mod partitions;
mod pattern;
mod tables;
mod types;

pub use partitions::{Partitions, partitions, untold_change};
pub use pattern::Pattern;

/// Who the source is, and how far its WAL reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceIdentity {
    /// `system_identifier` of the cluster, as decimal text.
    pub system_identifier: String,
    /// Timeline of the last checkpoint.
    pub timeline: u32,
    /// OID of the database.
    pub database_oid: u32,
    /// Name of the database.
    pub database: String,
    /// `server_version_num`, 150018 for 15.18.
    pub server_version_num: u32,
    /// How far the WAL is on disk; on a standby, how far it was replayed.
    pub flush_lsn: Lsn,
    /// Whether the server is a standby.
    pub in_recovery: bool,
    /// `server_encoding`
    pub server_encoding: String,
    /// The role that the session has.
    pub user: String,
}

/// Position expressions that exist on primaries only must not be evaluated on a standby.
const FLUSH_LSN: &str =
    "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END";

/// Who the server is.
pub async fn identity(session: &Session) -> Result<SourceIdentity, SourceError> {
    let sql = format!(
        "SELECT s.system_identifier, c.timeline_id, d.oid, d.datname, current_setting('server_version_num'), \
         coalesce(({FLUSH_LSN}), '0/0'), pg_is_in_recovery(), current_setting('server_encoding'), current_user \
         FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d WHERE d.datname = current_database()"
    );
    let mut row = session.row(Operation::Identify, &sql).await?;
    Ok(SourceIdentity {
        system_identifier: row.text()?,
        timeline: row.value()?,
        database_oid: row.value()?,
        database: row.text()?,
        server_version_num: row.value()?,
        flush_lsn: row.lsn()?,
        in_recovery: row.flag()?,
        server_encoding: row.text()?,
        user: row.text()?,
    })
}

/// How far the server has written WAL: everything that has committed before the call lies at or below it. On a standby,
/// how far it was replayed: everything that can be seen there lies at or below it.
pub async fn current_lsn(session: &Session) -> Result<Lsn, SourceError> {
    // The insert position, not the write position: with synchronous_commit = off a commit may not be written yet.
    let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END";
    session.row(Operation::Query, sql).await?.lsn()
}

/// The tables that match any of the patterns (all tables when there is none), ordered by name.
///
/// System schemas never match. What a wildcard finds are tables, partition roots, and, so that they can be warned of,
/// unlogged and foreign tables and views; single partitions and temporary tables are found by their full name only.
pub async fn tables(session: &Session, patterns: &[Pattern]) -> Result<Vec<SourceTable>, SourceError> {
    let oids = tables::matching(session, patterns).await?;
    tables::read(session, &oids).await
}

/// The partitioned tables above each of these tables, by OID; tables that are no partitions are left out.
pub async fn ancestors(session: &Session, oids: &[u32]) -> Result<HashMap<u32, Vec<u32>>, SourceError> {
    let mut found: HashMap<u32, Vec<u32>> = HashMap::new();
    if oids.is_empty() {
        return Ok(found);
    }
    let list = oids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let sql = format!(
        "SELECT c.oid, a.relid::oid FROM pg_class c CROSS JOIN LATERAL pg_partition_ancestors(c.oid) AS a(relid) \
         WHERE c.oid IN ({list}) AND c.relispartition AND a.relid <> c.oid"
    );
    for mut row in session.rows(Operation::Query, &sql).await? {
        let (oid, ancestor) = (row.value()?, row.value()?);
        found.entry(oid).or_default().push(ancestor);
    }
    Ok(found)
}

/// Those of these tables that have REPLICA IDENTITY NOTHING.
pub async fn without_identity(session: &Session, oids: &[u32]) -> Result<Vec<u32>, SourceError> {
    if oids.is_empty() {
        return Ok(Vec::new());
    }
    let list = oids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let sql = format!("SELECT c.oid FROM pg_class c WHERE c.oid IN ({list}) AND c.relreplident = 'n'");
    session.rows(Operation::Query, &sql).await?.into_iter().map(|mut row| row.value()).collect()
}

/// OID and name of every table that can be replicated as a whole: partitions, temporary ones and those of the system are left out.
///
/// # Errors
/// As any question.
pub async fn all_names(session: &Session) -> Result<Vec<(u32, QualifiedName)>, SourceError> {
    let sql = "SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition \
         AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' ORDER BY n.nspname, c.relname";
    let mut found = Vec::new();
    for mut row in session.rows(Operation::Query, sql).await? {
        found.push((row.value()?, QualifiedName::new(row.text()?, row.text()?)));
    }
    Ok(found)
}

/// The OIDs of the tables that have these names now; names that no table has are left out.
///
/// # Errors
/// As any question.
pub async fn named(
    session: &Session,
    names: &[&QualifiedName],
) -> Result<HashMap<QualifiedName, u32>, SourceError> {
    let mut found = HashMap::new();
    if names.is_empty() {
        return Ok(found);
    }
    let pair = |name: &&QualifiedName| -> Result<String, SourceError> {
        Ok(format!("({}, {})", quote::literal(&name.schema)?, quote::literal(&name.name)?))
    };
    let pairs = names.iter().map(pair).collect::<Result<Vec<_>, _>>()?;
    let sql = format!(
        "SELECT n.nspname, c.relname, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND (n.nspname, c.relname) IN ({})",
        pairs.join(", ")
    );
    for mut row in session.rows(Operation::Query, &sql).await? {
        let name = QualifiedName::new(row.text()?, row.text()?);
        found.insert(name, row.value()?);
    }
    Ok(found)
}

/// The tables with these OIDs that still exist, ordered by name.
pub async fn tables_by_oid(session: &Session, oids: &[u32]) -> Result<Vec<SourceTable>, SourceError> {
    tables::read(session, oids).await
}

/// The table with this OID, `None` when it was dropped.
pub async fn table(session: &Session, oid: u32) -> Result<Option<SourceTable>, SourceError> {
    Ok(tables::read(session, &[oid]).await?.pop())
}

/// What these tables have beside rows and key; those that are gone are left out. Sequences stand where they stand now.
pub async fn extras(session: &Session, oids: &[u32]) -> Result<HashMap<u32, TableExtras>, SourceError> {
    extras::read(session, oids).await
}

/// The table with this OID with all columns that it ever had, as one snapshot sees them: that of the name given, or one of
/// now. `None` when it was dropped.
pub async fn table_in_detail(
    session: &Session,
    oid: u32,
    snapshot: Option<&str>,
) -> Result<Option<CatalogTable>, SourceError> {
    attributes::read(session, oid, snapshot).await
}
