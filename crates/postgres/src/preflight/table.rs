//! Whether the stream can carry the tables, and whether publishing them would break the application.
//!
//! PostgreSQL refuses UPDATE and DELETE of a published table without a replica identity ("cannot update table ...
//! because it does not have a replica identity and publishes updates"). Such tables are left out.

use segcdc_model::{Finding, QualifiedName, ReplicaIdentity, Side, SourceTable, TableKind};

use super::{PreflightRequest, Purpose, alter_table, listed};
use crate::error::{Operation, SourceError};
use crate::session::Session;

/// First version that publishes generated columns, and refuses them in a replica identity where it does not.
const GENERATED_VERSION: u32 = 180_000;

/// A partition whose replica identity does not serve its root.
#[derive(Debug, Clone)]
pub(super) struct UnfitPartition {
    root: QualifiedName,
    leaf: QualifiedName,
    /// The root's.
    identity: ReplicaIdentity,
}

/// A table that others inherit from, and which.
#[derive(Debug, Clone)]
pub(super) struct Parent {
    table: QualifiedName,
    child: QualifiedName,
}

/// Why the stream cannot carry a table of this kind.
pub(super) fn kind_problem(table: &SourceTable) -> Option<&'static str> {
    match table.kind {
        TableKind::Ordinary | TableKind::Partitioned | TableKind::Partition => None,
        TableKind::Unlogged => Some("unlogged: its changes are not in the WAL"),
        TableKind::Temporary => Some("temporary: its changes are not in the WAL"),
        TableKind::Foreign => Some("foreign: its changes happen on another server"),
        TableKind::View | TableKind::MaterializedView => Some("a view: name the tables behind it"),
    }
}

/// Whether the stream tells which row an UPDATE or DELETE means.
pub(super) fn has_identity(table: &SourceTable) -> bool {
    match table.replica_identity {
        ReplicaIdentity::Default => !table.primary_key.is_empty(),
        ReplicaIdentity::Index => !table.identity_index.is_empty(),
        ReplicaIdentity::Full => true,
        ReplicaIdentity::Nothing => false,
    }
}

/// Partitions whose rows the stream could not name in the way that it announces for their root: what is sent of an old
/// row is decided by the partition, how it is to be read is announced by the root.
pub(super) async fn read_partitions(
    session: &Session,
    request: &PreflightRequest,
) -> Result<Vec<UnfitPartition>, SourceError> {
    let mut unfit = Vec::new();
    for root in request.streamable().filter(|table| table.kind == TableKind::Partitioned) {
        let fit = match root.replica_identity {
            ReplicaIdentity::Default => "c.relreplident IN ('d', 'f')",
            ReplicaIdentity::Index => "c.relreplident IN ('i', 'f')",
            ReplicaIdentity::Full | ReplicaIdentity::Nothing => "c.relreplident = 'f'",
        };
        let sql = format!(
            "SELECT n.nspname, c.relname FROM pg_partition_tree({}) t JOIN pg_class c ON c.oid = t.relid \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.isleaf AND NOT ({fit}) ORDER BY 1, 2",
            root.oid
        );
        for mut row in session.rows(Operation::Query, &sql).await? {
            let leaf = QualifiedName::new(row.text()?, row.text()?);
            unfit.push(UnfitPartition { root: root.name.clone(), leaf, identity: root.replica_identity });
        }
    }
    Ok(unfit)
}

/// Tables that others inherit from, which are no partitions.
pub(super) async fn read_parents(
    session: &Session,
    request: &PreflightRequest,
) -> Result<Vec<Parent>, SourceError> {
    let ordinary = request.streamable().filter(|table| table.kind != TableKind::Partitioned);
    let oids: Vec<String> = ordinary.map(|table| table.oid.to_string()).collect();
    if oids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT pn.nspname, p.relname, cn.nspname, c.relname FROM pg_inherits i \
         JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace \
         JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace \
         WHERE i.inhparent IN ({}) ORDER BY 1, 2, 3, 4",
        oids.join(",")
    );
    let rows = session.rows(Operation::Query, &sql).await?;
    rows.into_iter()
        .map(|mut row| {
            let table = QualifiedName::new(row.text()?, row.text()?);
            Ok(Parent { table, child: QualifiedName::new(row.text()?, row.text()?) })
        })
        .collect()
}

/// What it means.
pub(super) fn judge(
    request: &PreflightRequest,
    unfit: &[UnfitPartition],
    parents: &[Parent],
) -> Result<Vec<Finding>, SourceError> {
    let mut findings = vec![any(request)];
    findings.extend(kinds(request)?);
    findings.extend(identities(request)?);
    findings.extend(partitions(unfit)?);
    findings.extend(partition_changes(request));
    findings.extend(inheritance(request, parents));
    Ok(findings)
}

fn any(request: &PreflightRequest) -> Finding {
    let (found, usable) = (request.tables.len(), request.streamable().count());
    if usable > 0 {
        return Finding::ok("pg.tables", Side::Source, format!("{usable} of {found} tables can be streamed"));
    }
    let detail = if found == 0 {
        "no table was found".to_owned()
    } else {
        format!("none of the {found} tables can be streamed")
    };
    Finding::failure("pg.tables", Side::Source, "NO_TABLES_MATCHED", detail)
        .hint("check --tables and the database in the source URL; names are compared with their case")
}

fn kinds(request: &PreflightRequest) -> Result<Vec<Finding>, SourceError> {
    let mut findings = Vec::new();
    for table in &request.tables {
        let Some(problem) = kind_problem(table) else { continue };
        let detail = format!("{} is left out: it is {problem}", table.name);
        let mut finding = Finding::warning("pg.table_kind", Side::Source, "TABLE_NOT_STREAMABLE", detail);
        finding = if table.kind == TableKind::Unlogged {
            finding
                .hint("make it a logged table, which rewrites it under an exclusive lock")
                .fix(alter_table(&table.name, "SET LOGGED")?)
        } else {
            finding.hint("leave it out of --tables")
        };
        findings.push(finding);
    }
    if findings.is_empty() {
        let detail = "all tables are of a kind that can be streamed";
        findings.push(Finding::ok("pg.table_kind", Side::Source, detail));
    }
    Ok(findings)
}

fn identities(request: &PreflightRequest) -> Result<Vec<Finding>, SourceError> {
    let mut findings = Vec::new();
    for table in request.tables.iter().filter(|table| kind_problem(table).is_none() && !has_identity(table)) {
        let has_key = !table.primary_key.is_empty();
        let why = match (table.replica_identity, has_key) {
            (ReplicaIdentity::Nothing, _) => "its replica identity is NOTHING",
            (ReplicaIdentity::Index, _) => "the index of its replica identity is gone",
            (ReplicaIdentity::Default | ReplicaIdentity::Full, _) => "it has no primary key",
        };
        let detail = format!(
            "{} is left out: {why}, so the server would refuse UPDATE and DELETE of it once it is published",
            table.name
        );
        let (action, hint) = if has_key {
            ("REPLICA IDENTITY DEFAULT", "identify its rows by the primary key")
        } else {
            (
                "REPLICA IDENTITY FULL",
                "add a primary key, or let whole rows be written to the WAL, which makes UPDATE and DELETE of \
                 large tables slower in the target",
            )
        };
        findings.push(
            Finding::warning("pg.replica_identity", Side::Source, "NO_REPLICA_IDENTITY", detail)
                .hint(hint)
                .fix(alter_table(&table.name, action)?),
        );
    }
    if findings.is_empty() {
        let detail = "the rows of all tables can be identified";
        findings.push(Finding::ok("pg.replica_identity", Side::Source, detail));
    }
    Ok(findings)
}

/// Tables of which whole rows identify themselves and that have generated columns, once a publication of ours has them: from
/// version 18 on the server refuses UPDATE and DELETE of them ("Replica identity must not contain unpublished generated
/// columns"). A publication of the user's is in force already.
pub(super) fn generated_identities(
    request: &PreflightRequest,
    version: u32,
) -> Result<Vec<Finding>, SourceError> {
    if version < GENERATED_VERSION || request.publication.is_some() {
        return Ok(Vec::new());
    }
    let whole_rows = request.streamable().filter(|table| table.replica_identity == ReplicaIdentity::Full);
    let judged = whole_rows.filter_map(|table| {
        let generated = table.columns.iter().find(|column| column.generated)?;
        let detail = format!(
            "{} has whole rows as its replica identity and the generated column {}, which is not published: the server \
             would refuse UPDATE and DELETE of it",
            table.name, generated.name
        );
        let (check, code) = ("pg.replica_identity", "GENERATED_IN_IDENTITY");
        let finding = match request.purpose {
            Purpose::NewPipeline => Finding::failure(check, Side::Source, code, detail),
            Purpose::KnownPipeline => Finding::warning(check, Side::Source, code, detail),
        };
        let finding = finding.hint(
            "identify its rows by its primary key or a unique index; or name a publication of your own that is made WITH \
             (publish_generated_columns = stored), which serves stored ones; or leave the table out of --tables",
        );
        Some(match table.primary_key.is_empty() {
            true => Ok(finding),
            false => alter_table(&table.name, "REPLICA IDENTITY DEFAULT").map(|sql| finding.fix(sql)),
        })
    });
    judged.collect()
}

/// What happens to single partitions and does not reach the stream (PostgreSQL's manual, "CREATE PUBLICATION",
/// `publish_via_partition_root`; ATTACH and DETACH are DDL).
fn partition_changes(request: &PreflightRequest) -> Option<Finding> {
    let roots: Vec<&QualifiedName> = request
        .streamable()
        .filter(|table| table.kind == TableKind::Partitioned)
        .map(|table| &table.name)
        .collect();
    if roots.is_empty() {
        return None;
    }
    let detail = format!(
        "{} are replicated with all their partitions; PostgreSQL does not send a TRUNCATE, ATTACH or DETACH of a single \
         partition that has rows",
        listed(roots)
    );
    Some(Finding::warning("pg.partition_changes", Side::Source, "PARTITION_CHANGES_UNSENT", detail).hint(
        "new partitions that are made empty are followed at once; after a TRUNCATE, ATTACH or DETACH of one with rows, run \
         segcdc table resync for the table, or use DELETE and INSERT instead",
    ))
}

/// A query of a parent at the source has the rows of its children; the stream and the target have them in tables of their own.
fn inheritance(request: &PreflightRequest, parents: &[Parent]) -> Vec<Finding> {
    let wanted: Vec<&QualifiedName> = request.streamable().map(|table| &table.name).collect();
    let groups = parents.chunk_by(|one, other| one.table == other.table);
    let findings = groups.filter_map(|group| {
        let table = &group.first()?.table;
        let missing: Vec<_> =
            group.iter().map(|parent| &parent.child).filter(|child| !wanted.contains(child)).collect();
        let mut detail = format!(
            "{table} is replicated with its own rows; those of the tables that inherit from it are not among them: {}",
            listed(group.iter().map(|parent| &parent.child))
        );
        if !missing.is_empty() {
            detail.push_str(&format!("; not replicated at all: {}", listed(missing)));
        }
        Some(
            Finding::warning("pg.inheritance", Side::Source, "INHERITED_ROWS", detail)
                .hint("replicate all of them, and read them together through a view in the target"),
        )
    });
    findings.collect()
}

fn partitions(unfit: &[UnfitPartition]) -> Result<Vec<Finding>, SourceError> {
    let mut findings: Vec<Finding> = Vec::new();
    for group in unfit.chunk_by(|one, other| one.root == other.root) {
        let Some(first) = group.first() else { continue };
        let detail = format!(
            "partitions of {} have another replica identity than their root: {}",
            first.root,
            listed(group.iter().map(|partition| &partition.leaf))
        );
        let code = "PARTITION_REPLICA_IDENTITY";
        let mut finding = Finding::failure("pg.partition_replica_identity", Side::Source, code, detail).hint(
            "old rows would arrive incomplete, or the server would refuse UPDATE and DELETE; make them alike",
        );
        let action = match first.identity {
            ReplicaIdentity::Default => "REPLICA IDENTITY DEFAULT",
            // The partition's own index has a name of its own; the whole row serves as well.
            ReplicaIdentity::Index | ReplicaIdentity::Full | ReplicaIdentity::Nothing => {
                "REPLICA IDENTITY FULL"
            }
        };
        for partition in group {
            finding = finding.fix(alter_table(&partition.leaf, action)?);
        }
        findings.push(finding);
    }
    Ok(findings)
}
