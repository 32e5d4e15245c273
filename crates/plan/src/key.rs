//! Which columns identify a row in the target, and when two keys are the same key.

use segcdc_model::{
    Field, IndexFlaw, Length, MssqlType, PgType, ReplicaIdentity, SourceIndex, SourceTable, Value,
};
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use crate::convert::{self, ValueError};
use crate::error::PlanError;
use crate::rules::{KeyChoice, OnChange, Rules};
use crate::table_plan::{ColumnPlan, TableKey};
use crate::type_map;

/// Columns of a SQL Server index key.
const MAX_KEY_COLUMNS: usize = 32;

/// Bytes from which on a value is known by its digest. At or below what any value has that is kept outside of memory.
const LONG_CONTENT_BYTES: usize = 64 * 1024;

/// What identifies a row, in terms of the source's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Indices into the source table's columns, in key order.
    Columns(Vec<usize>),
    /// The whole content.
    WholeRow,
    /// Nothing has to: rows are only added.
    AppendOnly(OnChange),
    /// Nothing does.
    Unidentified,
}

/// The bytes of a key, equal for keys that PostgreSQL holds equal. Most keys fit without an allocation.
pub(crate) type KeyBytes = SmallVec<[u8; 32]>;

// === impl Identity ===

impl Identity {
    /// The identifying columns of the source table; empty when there are none.
    pub(crate) fn source_columns(&self) -> &[usize] {
        match self {
            Identity::Columns(columns) => columns,
            Identity::WholeRow | Identity::AppendOnly(_) | Identity::Unidentified => &[],
        }
    }

    /// The same in terms of planned columns, which hold all identifying ones.
    pub(crate) fn in_plan(&self, columns: &[ColumnPlan]) -> TableKey {
        match self {
            Identity::Columns(key) => TableKey::Columns(
                key.iter()
                    .filter_map(|index| columns.iter().position(|column| column.source_index == *index))
                    .collect(),
            ),
            Identity::WholeRow => TableKey::WholeRow,
            Identity::AppendOnly(on_change) => TableKey::AppendOnly(*on_change),
            Identity::Unidentified => TableKey::Unidentified,
        }
    }
}

/// Chooses what identifies a row: the columns by which the stream names old rows, since only they are always sent.
pub(crate) fn choose(source: &SourceTable) -> Identity {
    let has_primary_key = !source.primary_key.is_empty();
    match source.replica_identity {
        ReplicaIdentity::Index if !source.identity_index.is_empty() => {
            Identity::Columns(source.identity_index.clone())
        }
        ReplicaIdentity::Default | ReplicaIdentity::Full if has_primary_key => {
            Identity::Columns(source.primary_key.clone())
        }
        ReplicaIdentity::Full => Identity::WholeRow,
        // An index that was dropped leaves nothing behind, not even the primary key.
        ReplicaIdentity::Index | ReplicaIdentity::Default | ReplicaIdentity::Nothing => {
            Identity::Unidentified
        }
    }
}

/// The columns that the stream names old rows by; none where it sends them whole, or not at all.
pub(crate) fn identity_columns(source: &SourceTable) -> &[usize] {
    match source.replica_identity {
        ReplicaIdentity::Default => &source.primary_key,
        ReplicaIdentity::Index => &source.identity_index,
        ReplicaIdentity::Full | ReplicaIdentity::Nothing => &[],
    }
}

/// What identifies a row, by the user's choice where there is one.
///
/// A table that is to grow only needs a replica identity all the same: without one PostgreSQL refuses the application's
/// UPDATE and DELETE, and with one they are seen here.
///
/// # Errors
/// [`PlanError::KeyUnusable`].
pub(crate) fn identify(source: &SourceTable, rules: &Rules) -> Result<Identity, PlanError> {
    let by_itself = choose(source);
    let identity = match (rules.append_only(&source.name), rules.key(&source.name)) {
        (Some(_), Some(rule)) => {
            return Err(PlanError::KeyUnusable {
                table: source.name.clone(),
                key: rule.text.clone(),
                reason: "is not asked for: --append-only says that rows are only added",
                identity: None,
            });
        }
        (Some(_), None) if by_itself == Identity::Unidentified => Identity::Unidentified,
        (Some(on_change), None) => Identity::AppendOnly(on_change),
        (None, Some(rule)) => choose_as_wished(source, &rule.says)?,
        (None, None) => by_itself,
    };
    check_sent(source, &identity)?;
    Ok(identity)
}

/// The identity that the user wants by a unique index.
///
/// # Errors
/// [`PlanError::KeyUnusable`] when there is no such index, it cannot identify rows, or the stream does not send its
/// columns of old rows.
fn choose_as_wished(source: &SourceTable, wish: &KeyChoice) -> Result<Identity, PlanError> {
    let unusable = |key: String, reason, index: Option<&SourceIndex>| PlanError::KeyUnusable {
        table: source.name.clone(),
        key,
        reason,
        identity: index.map(|index| index.name.clone()),
    };
    let sorted = |columns: &[usize]| {
        let mut columns = columns.to_vec();
        columns.sort_unstable();
        columns
    };
    let index = match wish {
        KeyChoice::Index(name) => {
            let index = source.indexes.iter().find(|index| index.name == *name);
            let index = index.ok_or_else(|| unusable(name.clone(), "is no index of the table", None))?;
            if let Some(flaw) = index.flaw {
                return Err(unusable(name.clone(), flaw.reason(), None));
            }
            index
        }
        KeyChoice::Columns(names) => {
            let key = names.join(", ");
            let position = |name: &String| source.columns.iter().position(|column| column.name == *name);
            let columns: Option<Vec<usize>> = names.iter().map(position).collect();
            let columns =
                columns.ok_or_else(|| unusable(key.clone(), "are not all columns of the table", None))?;
            let of_columns = |index: &&SourceIndex| sorted(&index.columns) == sorted(&columns);
            let mut indexes = source.indexes.iter().filter(of_columns);
            let index = indexes.clone().find(|index| index.flaw.is_none()).or_else(|| indexes.next());
            match index {
                None => return Err(unusable(key, "have no unique index of their own", None)),
                Some(SourceIndex { flaw: Some(flaw), .. }) => return Err(unusable(key, flaw.reason(), None)),
                Some(index) => index,
            }
        }
    };
    let sent = match source.replica_identity {
        ReplicaIdentity::Full => true,
        ReplicaIdentity::Default => sorted(&source.primary_key) == sorted(&index.columns),
        ReplicaIdentity::Index => sorted(&source.identity_index) == sorted(&index.columns),
        ReplicaIdentity::Nothing => false,
    };
    if !sent {
        let reason = "is not what PostgreSQL names old rows by: the key of a changed row would not be known";
        return Err(unusable(index.name.clone(), reason, Some(index)));
    }
    Ok(Identity::Columns(index.columns.clone()))
}

/// Refuses a key with a column that the stream does not carry.
///
/// # Errors
/// [`PlanError::KeyUnusable`] naming the column.
fn check_sent(source: &SourceTable, identity: &Identity) -> Result<(), PlanError> {
    let mut columns = identity.source_columns().iter().filter_map(|index| source.columns.get(*index));
    match columns.find(|column| column.generated) {
        None => Ok(()),
        Some(column) => Err(PlanError::KeyUnusable {
            table: source.name.clone(),
            key: format!("the key with \"{}\"", column.name),
            reason: IndexFlaw::Generated.reason(),
            identity: None,
        }),
    }
}

/// Gives the key's columns of variable length their share of the 900 bytes of an index key. Columns that need less than
/// an equal share leave the rest to the others.
///
/// # Errors
/// [`PlanError::KeyTooWide`] when there are too many columns.
pub(crate) fn fit_width(
    source: &SourceTable,
    columns: &mut [ColumnPlan],
    key: &[usize],
) -> Result<(), PlanError> {
    let too_wide = |detail| PlanError::KeyTooWide { table: source.name.clone(), detail };
    if key.len() > MAX_KEY_COLUMNS {
        return Err(too_wide(format!("{} columns, SQL Server takes {MAX_KEY_COLUMNS}", key.len())));
    }
    let mut room = type_map::KEY_BYTES;
    let mut variable = Vec::new();
    for index in key {
        let Some(column) = columns.get(*index) else { continue };
        let wanted = type_map::key_bytes(&column.mssql_type);
        if matches!(column.mssql_type, MssqlType::NVarChar { .. } | MssqlType::VarBinary { .. }) {
            variable.push((wanted, *index));
        } else {
            room = room.saturating_sub(wanted);
        }
    }
    variable.sort_unstable();
    for (served, (wanted, index)) in variable.iter().enumerate() {
        let left = u16::try_from(variable.len() - served).unwrap_or(u16::MAX).max(1);
        let share = room / left;
        let Some(column) = columns.get_mut(*index) else { continue };
        let given = limit(&mut column.mssql_type, (*wanted).min(share));
        if given == 0 {
            return Err(too_wide(format!("no room for column \"{}\" in 900 bytes", column.source_name)));
        }
        room -= given;
    }
    Ok(())
}

/// Limits a type of variable length to `bytes`; returns the bytes that it may take now.
fn limit(mssql_type: &mut MssqlType, bytes: u16) -> u16 {
    match mssql_type {
        MssqlType::NVarChar { length, .. } => {
            *length = Length::Limited(bytes / 2);
            bytes / 2 * 2
        }
        MssqlType::VarBinary { length } => {
            *length = Length::Limited(bytes);
            bytes
        }
        _ => 0,
    }
}

/// Appends the identity of one key field: what PostgreSQL's equality of the type looks at, self-delimiting.
///
/// Where PostgreSQL holds several spellings equal (`1.0` and `1.00`, `0` and `-0`, blanks at the end of `char(n)`),
/// they get the same bytes. For types whose equality is not known here, equal text is equal; a finer identity is
/// harmless, because PostgreSQL reports a change of spelling as a change of key.
///
/// # Errors
/// When the field was not sent or its bytes are not of the type.
pub(crate) fn append_identity(
    pg_type: &PgType,
    field: Field<'_>,
    out: &mut KeyBytes,
) -> Result<(), ValueError> {
    match (pg_type, field) {
        (PgType::Numeric { .. }, _) => append_numeric(pg_type, field, out),
        (PgType::Float4 | PgType::Float8, _) => append_float(pg_type, field, out),
        (PgType::Char { .. }, Field::Text(bytes) | Field::Binary(bytes)) => {
            append_bytes(b'c', trim_blanks(bytes), out);
            Ok(())
        }
        _ => append_content(field, out),
    }
}

/// Appends a field as it was sent. Used for rows that are identified by their whole content, where different
/// spellings are different rows.
///
/// # Errors
/// When the field was not sent.
pub(crate) fn append_content(field: Field<'_>, out: &mut KeyBytes) -> Result<(), ValueError> {
    match field {
        Field::Null => out.push(b'n'),
        Field::UnchangedToast => return Err(ValueError::NotSent),
        Field::Text(bytes) => append_bytes(b't', bytes, out),
        Field::Binary(bytes) => append_bytes(b'b', bytes, out),
        Field::Large(value) => {
            let facts = value.facts();
            let tag = if facts.binary { b'b' } else { b't' };
            append_digest(tag, facts.length, &facts.sha256, out);
        }
    }
    Ok(())
}

/// Appends a tag, a length and the bytes, so that no two lists of fields give the same bytes.
///
/// Long ones are known by their SHA-256: the same value is the same content whether it is kept in memory or outside of
/// it, and is not held a second time.
fn append_bytes(tag: u8, bytes: &[u8], out: &mut KeyBytes) {
    if bytes.len() >= LONG_CONTENT_BYTES {
        return append_digest(tag, bytes.len() as u64, &Sha256::digest(bytes).into(), out);
    }
    out.push(tag);
    out.extend_from_slice(&bytes.len().to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a long value by its digest, under another tag than short ones.
fn append_digest(tag: u8, length: u64, sha256: &[u8; 32], out: &mut KeyBytes) {
    out.push(tag.to_ascii_uppercase());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(sha256);
}

fn append_numeric(pg_type: &PgType, field: Field<'_>, out: &mut KeyBytes) -> Result<(), ValueError> {
    match (convert::decode(pg_type, field)?, field) {
        (Value::Decimal { negative, mut magnitude, mut scale }, _) => {
            while scale > 0 && magnitude.is_multiple_of(10) {
                magnitude /= 10;
                scale -= 1;
            }
            out.extend_from_slice(&[b'd', u8::from(negative), scale]);
            out.extend_from_slice(&magnitude.to_be_bytes());
        }
        // Not representable in the target, which is the encoder's matter; rows still need to be told apart.
        (_, Field::Text(bytes)) => append_bytes(b't', convert::trim_numeric_text(bytes), out),
        (_, Field::Binary(bytes)) => append_bytes(b'b', &convert::without_display_scale(bytes), out),
        (_, Field::Null | Field::UnchangedToast | Field::Large(_)) => return append_content(field, out),
    }
    Ok(())
}

fn append_float(pg_type: &PgType, field: Field<'_>, out: &mut KeyBytes) -> Result<(), ValueError> {
    let value = match convert::decode(pg_type, field)? {
        Value::Float4(value) => f64::from(value),
        Value::Float8(value) => value,
        _ => return append_content(field, out),
    };
    // All NaN are one, and so are both zeros.
    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
    out.push(b'f');
    out.extend_from_slice(&value.to_bits().to_be_bytes());
    Ok(())
}

fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}
