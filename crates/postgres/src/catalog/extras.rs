//! What tables have beside rows and key: indexes, foreign keys, defaults with their sequences, checks.

use std::collections::HashMap;

use segcdc_model::{
    ColumnDefault, ExtraIndex, ForeignKey, QualifiedName, ReferenceAction, SequenceState, TableExtras,
};

use crate::error::{Operation, SourceError};
use crate::quote;
use crate::session::{Row, Session};
use crate::wire::protocol;

/// Indexes but for those of exclusion constraints. `indoption` has bit 0 for DESC (manual, "pg_index"); the
/// column `indnullsnotdistinct` is asked for by way of JSON, because PostgreSQL 14 has none.
const INDEXES: &str = "SELECT i.indrelid, c.relname, i.indisunique, \
     coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false), a.amname, \
     array_to_string((i.indkey::int2[])[0:i.indnkeyatts - 1], ' '), array_to_string(i.indoption::int2[], ' '), \
     array_to_string((i.indkey::int2[])[i.indnkeyatts:], ' '), pg_get_expr(i.indpred, i.indrelid) \
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam \
     WHERE NOT i.indisexclusion AND i.indisvalid AND i.indrelid IN";

/// Foreign keys, those that partitions have from their root left out. `confdelsetcols` is there since PostgreSQL 15.
const FOREIGN_KEYS: &str = "SELECT c.conrelid, c.conname, array_to_string(c.conkey, ' '), c.confrelid, \
     array_to_string(c.confkey, ' '), c.confdeltype, c.confupdtype, c.convalidated, \
     to_jsonb(c) ->> 'confdelsetcols' IS NOT NULL \
     FROM pg_constraint c WHERE c.contype = 'f' AND c.conparentid = 0 AND c.conrelid IN";

/// Defaults, generated columns left out, and the sequence that each depends on or owns.
const DEFAULTS: &str = "SELECT a.attrelid, a.attnum, coalesce(pg_get_expr(d.adbin, d.adrelid), ''), \
     s.schemaname, s.sequencename, s.increment_by, s.min_value, s.max_value, s.cycle, \
     has_sequence_privilege(owned.oid, 'SELECT') \
     FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     LEFT JOIN LATERAL (SELECT coalesce( \
       (SELECT p.refobjid FROM pg_depend p JOIN pg_class q ON q.oid = p.refobjid AND q.relkind = 'S' \
         WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass LIMIT 1), \
       (SELECT p.objid FROM pg_depend p JOIN pg_class q ON q.oid = p.objid AND q.relkind = 'S' \
         WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass AND p.deptype = 'i' \
         AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum LIMIT 1)) AS oid) AS owned ON true \
     LEFT JOIN pg_class sc ON sc.oid = owned.oid LEFT JOIN pg_namespace sn ON sn.oid = sc.relnamespace \
     LEFT JOIN pg_sequences s ON s.schemaname = sn.nspname AND s.sequencename = sc.relname \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
     AND (d.oid IS NOT NULL OR a.attidentity <> '') AND a.attrelid IN";

/// CHECK and exclusion constraints.
const CHECKS: &str = "SELECT c.conrelid, c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint c \
     WHERE c.contype IN ('c', 'x') AND c.conrelid IN";

/// Reads what [`super::extras()`] promises.
pub(super) async fn read(session: &Session, oids: &[u32]) -> Result<HashMap<u32, TableExtras>, SourceError> {
    let mut found: HashMap<u32, TableExtras> =
        oids.iter().map(|oid| (*oid, TableExtras::default())).collect();
    if oids.is_empty() {
        return Ok(found);
    }
    let list = oids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let ask = async |sql: &str, order: &str| {
        session.rows(Operation::Query, &format!("{sql} ({list}) ORDER BY 1, {order}")).await
    };
    for mut row in ask(INDEXES, "2").await? {
        let table = row.value()?;
        let index = index(&mut row)?;
        found.entry(table).or_default().indexes.push(index);
    }
    for mut row in ask(FOREIGN_KEYS, "2").await? {
        let table = row.value()?;
        let key = foreign_key(&mut row)?;
        found.entry(table).or_default().foreign_keys.push(key);
    }
    for mut row in ask(DEFAULTS, "2").await? {
        let table = row.value()?;
        let default = default(session, &mut row).await?;
        found.entry(table).or_default().defaults.push(default);
    }
    for mut row in ask(CHECKS, "2").await? {
        let table = row.value()?;
        let check = (row.text()?, row.text()?);
        found.entry(table).or_default().checks.push(check);
    }
    Ok(found)
}

/// One row of [`INDEXES`], behind the table's OID.
fn index(row: &mut Row) -> Result<ExtraIndex, SourceError> {
    let name = row.text()?;
    let (unique, nulls_are_equal, method) = (row.flag()?, row.flag()?, row.text()?);
    let (columns, options) = (row.numbers::<i16>()?, row.numbers::<i16>()?);
    let key = columns.into_iter().zip(options).map(|(column, option)| (column, option & 1 == 1)).collect();
    let (included, predicate) = (row.numbers()?, row.optional_value()?);
    Ok(ExtraIndex { name, unique, nulls_are_equal, method, key, included, predicate })
}

/// One row of [`FOREIGN_KEYS`], behind the table's OID.
fn foreign_key(row: &mut Row) -> Result<ForeignKey, SourceError> {
    Ok(ForeignKey {
        name: row.text()?,
        columns: row.numbers()?,
        referred: row.value()?,
        referred_columns: row.numbers()?,
        on_delete: action(&row.text()?)?,
        on_update: action(&row.text()?)?,
        validated: row.flag()?,
        sets_some: row.flag()?,
    })
}

/// `pg_constraint.confdeltype` and `confupdtype`.
fn action(letter: &str) -> Result<ReferenceAction, SourceError> {
    match letter {
        "a" | "r" => Ok(ReferenceAction::Refuse),
        "c" => Ok(ReferenceAction::Cascade),
        "n" => Ok(ReferenceAction::SetNull),
        "d" => Ok(ReferenceAction::SetDefault),
        _ => Err(protocol("a foreign key has an unknown action")),
    }
}

/// One row of [`DEFAULTS`], behind the table's OID.
async fn default(session: &Session, row: &mut Row) -> Result<ColumnDefault, SourceError> {
    let (attnum, expression) = (row.value()?, row.text()?);
    let (schema, name) = (row.optional_value::<String>()?, row.optional_value::<String>()?);
    let (increment, least, most) =
        (row.optional_value::<i64>()?, row.optional_value()?, row.optional_value()?);
    let (cycles, is_readable) = (row.optional_value::<String>()?, row.optional_value::<String>()?);
    let is_true = |flag: Option<String>| flag.as_deref() == Some("t");
    let sequence = match (schema, name, increment, least, most) {
        (Some(schema), Some(name), Some(increment), Some(least), Some(most)) => {
            let name = QualifiedName::new(schema, name);
            let cycles = is_true(cycles);
            let mut state = SequenceState { name, next: None, increment, least, most, cycles };
            if is_true(is_readable) {
                state.next = next(session, &state).await?;
            }
            Some(state)
        }
        _ => None,
    };
    Ok(ColumnDefault { attnum, expression, sequence })
}

/// The number that a sequence gives next. `pg_sequences` does not tell what RESTART and `setval` have set and nobody has asked
/// for yet; the sequence itself does (manual, "CREATE SEQUENCE").
async fn next(session: &Session, state: &SequenceState) -> Result<Option<i64>, SourceError> {
    let sql = format!("SELECT last_value, is_called FROM {}", quote::qualified(&state.name)?);
    let Some(mut row) = session.rows(Operation::Query, &sql).await?.pop() else { return Ok(None) };
    let (last, is_called): (i64, bool) = (row.value()?, row.flag()?);
    if !is_called {
        return Ok(Some(last));
    }
    let next = last.checked_add(state.increment);
    Ok(match next.filter(|next| (state.least..=state.most).contains(next)) {
        None if state.cycles && state.increment > 0 => Some(state.least),
        None if state.cycles => Some(state.most),
        // One that is used up gives nothing more, and that is told by a number beyond its bounds.
        None => Some(next.unwrap_or(last)),
        within => within,
    })
}
