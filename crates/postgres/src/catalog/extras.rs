//! What tables have beside rows and key: indexes, foreign keys, defaults with their sequences, checks.

use std::collections::HashMap;

use segcdc_model::{
    ColumnDefault, ExtraIndex, ForeignKey, QualifiedName, ReferenceAction, SequenceState, TableExtras,
};

use crate::error::{Operation, SourceError};
use crate::session::{Row, Session};
use crate::wire::protocol;

/// Indexes but for those of primary keys and exclusion constraints. `indoption` has bit 0 for DESC (manual, "pg_index"); the
/// column `indnullsnotdistinct` is asked for by way of JSON, because PostgreSQL 14 has none.
const INDEXES: &str = "SELECT i.indrelid, c.relname, i.indisunique, \
     coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false), a.amname, \
     array_to_string((i.indkey::int2[])[0:i.indnkeyatts - 1], ' '), array_to_string(i.indoption::int2[], ' '), \
     array_to_string((i.indkey::int2[])[i.indnkeyatts:], ' '), pg_get_expr(i.indpred, i.indrelid) \
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam \
     WHERE NOT i.indisprimary AND NOT i.indisexclusion AND i.indisvalid AND i.indrelid IN";

/// Foreign keys, those that partitions have from their root left out.
const FOREIGN_KEYS: &str = "SELECT c.conrelid, c.conname, array_to_string(c.conkey, ' '), c.confrelid, \
     array_to_string(c.confkey, ' '), c.confdeltype, c.confupdtype, c.convalidated \
     FROM pg_constraint c WHERE c.contype = 'f' AND c.conparentid = 0 AND c.conrelid IN";

/// Defaults, generated columns left out, and the sequence that each depends on or owns.
const DEFAULTS: &str = "SELECT a.attrelid, a.attnum, coalesce(pg_get_expr(d.adbin, d.adrelid), ''), \
     s.schemaname, s.sequencename, s.start_value, s.last_value, s.increment_by, s.min_value, s.max_value, s.cycle, \
     has_sequence_privilege(owned.oid, 'SELECT, USAGE') \
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

/// CHECK constraints.
const CHECKS: &str = "SELECT c.conrelid, c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint c \
     WHERE c.contype = 'c' AND c.conrelid IN";

/// Reads what [`super::extras`] promises.
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
        let default = default(&mut row)?;
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
fn default(row: &mut Row) -> Result<ColumnDefault, SourceError> {
    let (attnum, expression) = (row.value()?, row.text()?);
    let (schema, name) = (row.optional_value::<String>()?, row.optional_value::<String>()?);
    let (start, last) = (row.optional_value::<i64>()?, row.optional_value::<i64>()?);
    let (increment, least, most) =
        (row.optional_value::<i64>()?, row.optional_value()?, row.optional_value()?);
    let (cycles, is_readable) = (row.optional_value::<String>()?, row.optional_value::<String>()?);
    let sequence = match (schema, name, start, increment, least, most) {
        (Some(schema), Some(name), Some(start), Some(increment), Some(least), Some(most)) => {
            // Without a last value it was never asked for a number, or this role may not know.
            let next = match last {
                Some(last) => Some(last.saturating_add(increment)),
                None => (is_readable.as_deref() == Some("t")).then_some(start),
            };
            let (name, cycles) = (QualifiedName::new(schema, name), cycles.as_deref() == Some("t"));
            Some(SequenceState { name, next, increment, least, most, cycles })
        }
        _ => None,
    };
    Ok(ColumnDefault { attnum, expression, sequence })
}
