//! Rows of both sides, all of them or by key.

use std::collections::{HashMap, HashSet};

use segcdc_model::{Disposition, Fault, Field, TableKind, Tuple};
use segcdc_plan::{Rewriter, TablePlan, ValueError, canonical};
use segcdc_postgres::snapshot::{self, key_filter};
use segcdc_postgres::{CopyRequest, Session, SourceConfig, SourceError, quote};
use segcdc_sqlserver::{CanonicalRow, Selection, Target, TargetError, rows};

use crate::error::EngineError;
use crate::throttle::Account;
use crate::verify::NotCompared;
use crate::verify::fingerprint::{self, Fingerprinter, RowHash};

/// Keys in one question to a server.
const KEYS_AT_ONCE: usize = 100;

/// Keys of rows that are written in one target transaction. Their rows are in memory as a whole, each below 1 MiB but for
/// what is kept on disk, and the pipeline waits meanwhile.
pub(crate) const KEYS_IN_TRANSACTION: usize = 64;

/// Canonical texts of a key's columns, in key order.
pub(crate) type Key = Vec<String>;

/// A row of the source.
#[derive(Debug, Clone)]
pub(crate) struct SourceRow {
    /// Its fields, in the plan's column order.
    pub(crate) tuple: Tuple,
    /// Hash of each column.
    pub(crate) columns: Vec<RowHash>,
}

/// Why a table's comparison ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// This table cannot be compared; others can.
    Table(NotCompared),
    /// Nothing can be compared any more.
    All(EngineError),
    /// The part has more rows than the memory holds.
    TooMany,
}

// === impl Stop ===

impl Stop {
    /// Whether the same can be tried again.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Stop::All(error) if error.disposition() == Disposition::Retry)
    }

    /// This table cannot be compared, or repaired.
    pub(crate) fn table(code: &str, detail: String) -> Self {
        Stop::Table(NotCompared { code: code.to_owned(), detail })
    }
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        let concerns_table =
            error.disposition() == Disposition::HaltTable || error.code() == "PERMISSION_DENIED";
        if concerns_table {
            return Stop::table(error.code(), segcdc_model::fault::chain(&error));
        }
        Stop::All(error.into())
    }
}

impl From<TargetError> for Stop {
    fn from(error: TargetError) -> Self {
        let concerns_table = error.disposition() == Disposition::HaltTable
            || matches!(error.code(), "TARGET_SCHEMA_DRIFT" | "TARGET_PERMISSION");
        if concerns_table {
            return Stop::table(error.code(), segcdc_model::fault::chain(&error));
        }
        Stop::All(error.into())
    }
}

impl From<ValueError> for Stop {
    fn from(error: ValueError) -> Self {
        Stop::table(error.code(), error.to_string())
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Stop::All(error)
    }
}

/// Which rows of the source are read, and how fast.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SourceRows<'a> {
    /// Exported snapshot to read from; `None` for what is there now.
    pub(crate) snapshot: Option<&'a str>,
    /// Condition; `None` for all that are replicated.
    pub(crate) filter: Option<&'a str>,
    /// Who else is read for, where the pace is bounded.
    pub(crate) pace: Option<&'a Account>,
}

/// Reads rows of the source as they are written, masked and with constants, with their fields in the plan's column order: those of a [`source_filter`], or
/// all that are replicated.
///
/// # Errors
/// The source's, and what `on_row` returns.
pub(crate) async fn source_rows(
    config: &SourceConfig,
    table: &TablePlan,
    rows: SourceRows<'_>,
    on_row: &mut (dyn FnMut(&Tuple) -> Result<(), Stop> + Send),
) -> Result<(), Stop> {
    let columns = table.source_columns();
    let rewriter = Rewriter::in_order(table);
    let filter = rows.filter.or(table.filter.as_deref());
    let request =
        CopyRequest { snapshot: rows.snapshot, filter, ..CopyRequest::new(&table.source, &columns) };
    let mut stream = snapshot::copy(config, request).await?;
    loop {
        let batch = stream.next_batch().await?;
        if batch.is_empty() {
            return Ok(());
        }
        if let Some(pace) = rows.pace {
            let bytes = batch.iter().map(|row| row.memory_bytes() as u64 + row.large_bytes()).sum();
            pace.pass(batch.len() as u64, bytes).await;
        }
        for row in &batch {
            match &rewriter {
                None => on_row(row)?,
                Some(rewriter) => on_row(&rewriter.rewrite(row).map_err(|(_, error)| error)?)?,
            }
        }
    }
}

/// Reads the source's rows with these keys, as of an exported snapshot if there is one. Of a masked key the source cannot be
/// asked: all of its rows are read then, and most of them passed over.
async fn rows_by_key(
    config: &SourceConfig,
    table: &TablePlan,
    (snapshot, keys): (Option<&str>, &[Key]),
    on_row: &mut (dyn FnMut(Key, &Tuple) -> Result<(), Stop> + Send),
) -> Result<(), Stop> {
    let is_masked = table.has_masked_key();
    let wanted: HashSet<&Key> = if is_masked { keys.iter().collect() } else { HashSet::new() };
    let filter = if is_masked { None } else { Some(source_filter(table, keys)?) };
    let rows = SourceRows { snapshot, filter: filter.as_deref(), pace: None };
    source_rows(config, table, rows, &mut |row| {
        let key = complete(fingerprint::source_texts(table, table.key_columns(), row)?);
        match key.filter(|key| !is_masked || wanted.contains(key)) {
            Some(key) => on_row(key, row),
            None => Ok(()),
        }
    })
    .await
}

/// Reads rows of the target.
///
/// # Errors
/// The target's, and what `on_row` returned first; rows behind it are read and ignored.
pub(crate) async fn target_rows(
    target: &mut Target,
    table: &TablePlan,
    selection: Selection<'_>,
    on_row: &mut (dyn FnMut(&CanonicalRow) -> Result<(), Stop> + Send),
) -> Result<(), Stop> {
    let mut outcome = Ok(());
    let mut until_error = |row: &CanonicalRow| {
        if outcome.is_ok() {
            outcome = on_row(row);
        }
    };
    rows::read(target, table, selection, &mut until_error).await?;
    outcome
}

/// Hashes of the columns of the source's rows with these keys, by key.
///
/// # Errors
/// The source's.
pub(crate) async fn source_by_key(
    config: &SourceConfig,
    table: &TablePlan,
    keys: &[Key],
) -> Result<HashMap<Key, Vec<RowHash>>, Stop> {
    let mut found = HashMap::with_capacity(keys.len());
    let mut fingerprinter = Fingerprinter::new(table);
    let at_once = if table.has_masked_key() { usize::MAX } else { KEYS_AT_ONCE };
    for chunk in keys.chunks(at_once) {
        rows_by_key(config, table, (None, chunk), &mut |key, row| {
            fingerprinter.source(row)?;
            found.insert(key, fingerprinter.columns());
            Ok(())
        })
        .await?;
    }
    Ok(found)
}

/// The source's rows with these keys as of an exported snapshot, by key.
///
/// # Errors
/// The source's.
pub(crate) async fn snapshot_rows(
    config: &SourceConfig,
    table: &TablePlan,
    snapshot: &str,
    keys: &[Key],
) -> Result<HashMap<Key, SourceRow>, Stop> {
    let mut fingerprinter = Fingerprinter::new(table);
    let mut rows = HashMap::with_capacity(keys.len());
    rows_by_key(config, table, (Some(snapshot), keys), &mut |key, tuple| {
        fingerprinter.source(tuple)?;
        rows.insert(key, SourceRow { tuple: tuple.clone(), columns: fingerprinter.columns() });
        Ok(())
    })
    .await?;
    Ok(rows)
}

/// Versions of the source's rows with these keys: no other version of a row, before or after, has the same. None where the key is
/// masked, since the source cannot be asked for such rows: what is known then is how they look.
///
/// # Errors
/// The source's.
pub(crate) async fn source_versions(
    source: &Session,
    table: &TablePlan,
    keys: &[Key],
) -> Result<HashMap<Key, String>, Stop> {
    if table.has_masked_key() {
        return Ok(HashMap::new());
    }
    let mut names = Vec::with_capacity(table.key_columns().len());
    let mut types = Vec::with_capacity(table.key_columns().len());
    for column in table.key_columns().iter().filter_map(|index| table.columns.get(*index)) {
        names.push(quote::identifier(&column.source_name)?);
        types.push(&column.pg_type);
    }
    let only = if table.source.kind == TableKind::Partitioned { "" } else { "ONLY " };
    let select = format!(
        "SELECT tableoid::text || ' ' || xmin::text || ' ' || ctid::text, {} FROM {only}{} WHERE ",
        names.join(", "),
        quote::qualified(&table.source.name)?
    );
    let mut found = HashMap::with_capacity(keys.len());
    for chunk in keys.chunks(KEYS_AT_ONCE) {
        let filter = source_filter(table, chunk)?;
        for row in source.query_text(&format!("{select}{filter}")).await? {
            let mut fields = row.into_iter();
            let Some(version) = fields.next().flatten() else { continue };
            let texts = fields.zip(&types).map(|(text, pg_type)| {
                let field = text.as_ref().map_or(Field::Null, |text| Field::Text(text.as_bytes()));
                canonical::canonical_text(pg_type, field)
            });
            if let Some(key) = complete(texts.collect::<Result<_, _>>()?) {
                found.insert(key, version);
            }
        }
    }
    Ok(found)
}

/// Hashes of the columns of the target's rows with these keys, by key. Several rows of one key, which a table without a
/// unique index can have, come as one row with more columns.
///
/// # Errors
/// The target's.
pub(crate) async fn target_by_key(
    target: &mut Target,
    table: &TablePlan,
    keys: &[Key],
) -> Result<HashMap<Key, Vec<RowHash>>, Stop> {
    let mut found: HashMap<Key, Vec<RowHash>> = HashMap::with_capacity(keys.len());
    let mut fingerprinter = Fingerprinter::new(table);
    for chunk in keys.chunks(KEYS_AT_ONCE) {
        let mut on_row = |row: &CanonicalRow| {
            fingerprinter.target(row);
            if let Some(key) = complete(fingerprint::target_texts(table.key_columns(), row)) {
                found.entry(key).or_default().extend(fingerprinter.columns());
            }
        };
        rows::read(target, table, Selection::Keys(chunk), &mut on_row).await?;
    }
    Ok(found)
}

/// The key without its Options: no column of a key is NULL.
pub(crate) fn complete(key: Vec<Option<String>>) -> Option<Key> {
    key.into_iter().collect()
}

/// The condition that a row of the source is replicated and has one of these keys.
///
/// # Errors
/// For a key of another number of columns.
pub(crate) fn source_filter(table: &TablePlan, keys: &[Key]) -> Result<String, SourceError> {
    let literals: Vec<Key> = keys.iter().map(|key| literals(table, key)).collect();
    let keys = key_filter(&table.source, &source_key(table), &literals)?;
    Ok(match &table.filter {
        Some(filter) => format!("({keys}) AND ({filter})"),
        None => keys,
    })
}

/// The key's columns as indices into the source table's columns.
fn source_key(table: &TablePlan) -> Vec<usize> {
    let columns = table.key_columns().iter();
    columns.filter_map(|index| Some(table.columns.get(*index)?.source_index)).collect()
}

/// A key in the form in which PostgreSQL reads it.
pub(crate) fn literals(table: &TablePlan, key: &Key) -> Key {
    let columns = table.key_columns().iter().map(|index| table.columns.get(*index));
    let literal = |(column, text): (Option<&segcdc_plan::ColumnPlan>, &String)| match column {
        Some(column) => canonical::source_text(&column.pg_type, text).into_owned(),
        None => text.clone(),
    };
    columns.zip(key).map(literal).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use segcdc_model::{PgType, QualifiedName, ReplicaIdentity, SourceColumn, SourceTable};
    use segcdc_plan::{Naming, table_plan};

    use super::*;

    /// A table whose key is (id, hash).
    pub(crate) fn table() -> TablePlan {
        let column = |name: &str, attnum, pg_type| SourceColumn {
            name: name.to_owned(),
            attnum,
            pg_type,
            type_name: String::new(),
            not_null: true,
            generated: false,
        };
        let source = SourceTable {
            oid: 1,
            name: QualifiedName::new("public", "t"),
            kind: TableKind::Ordinary,
            columns: vec![
                column("note", 1, PgType::Text),
                column("hash", 2, PgType::Bytea),
                column("id", 4, PgType::Int4),
            ],
            primary_key: vec![2, 1],
            replica_identity: ReplicaIdentity::Default,
            identity_index: Vec::new(),
            indexes: Vec::new(),
            estimated_rows: 0,
            size_bytes: 0,
            heap_pages: 0,
            row_security: false,
            owner: String::new(),
        };
        table_plan(&source, &Naming::new("dbo")).unwrap()
    }

    #[test]
    fn keys_are_asked_for_in_the_sources_words() {
        let key = vec!["7".to_owned(), "00ff".to_owned()];
        assert_eq!(literals(&table(), &key), ["7", "\\x00ff"]);
        assert_eq!(source_key(&table()), [2, 1]);
    }

    #[test]
    fn a_key_with_null_is_no_key() {
        assert_eq!(complete(vec![Some("a".to_owned())]), Some(vec!["a".to_owned()]));
        assert_eq!(complete(vec![Some("a".to_owned()), None]), None);
    }

    #[test]
    fn trouble_of_one_table_is_not_that_of_all() {
        let check = |stop: Stop, expected: &str| {
            let found = match &stop {
                Stop::Table(reason) => reason.code.clone(),
                Stop::All(_) if stop.may_pass() => "again".to_owned(),
                Stop::All(_) | Stop::TooMany => "all".to_owned(),
            };
            assert_eq!(found, expected, "{stop:?}");
        };
        let server =
            |number| TargetError::Server { during: "reading".to_owned(), number, detail: String::new() };
        check(SourceError::TableNotFound { table: "t".to_owned() }.into(), "TABLE_NOT_FOUND");
        check(SourceError::NoRootCertificates.into(), "all");
        check(SourceError::PeerSilent { after: std::time::Duration::from_secs(1) }.into(), "again");
        check(server(208).into(), "TARGET_SCHEMA_DRIFT");
        check(server(229).into(), "TARGET_PERMISSION");
        check(server(1205).into(), "again");
        check(server(102).into(), "all");
        check(ValueError::NotUtf8.into(), "VALUE_NOT_UTF8");
    }
}
