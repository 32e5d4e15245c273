//! A letter as the values of a row.

use segcdc_model::{Lsn, Value};
use segcdc_plan::{DeadLetter, Held, LetterKey, PolicyUse};
use segcdc_tds::{BulkColumn, Collation, ColumnType, Len};

use crate::sql::letter_changes::VALUES;

/// A value of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    Null,
    Int(i64),
    Bit(bool),
    Bytes([u8; 32]),
    Text(String),
}

/// The types of [`VALUES`].
const TYPES: [ColumnType; VALUES.len()] = [
    ColumnType::BigInt,
    ColumnType::VarBinary(Len::Limited(32)),
    ColumnType::NVarChar(Len::Limited(63)),
    ColumnType::NVarChar(Len::Limited(63)),
    ColumnType::NVarChar(Len::Max),
    ColumnType::BigInt,
    ColumnType::NVarChar(Len::Limited(64)),
    ColumnType::NVarChar(Len::Limited(63)),
    ColumnType::NVarChar(Len::Max),
    ColumnType::Bit,
    ColumnType::NVarChar(Len::Max),
];

// === impl Field ===

impl Field {
    /// As an encoder takes it.
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Field::Null => Value::Null,
            Field::Int(number) => Value::Int(*number),
            Field::Bit(flag) => Value::Bool(*flag),
            Field::Bytes(bytes) => Value::Bytes(bytes),
            Field::Text(text) => Value::Text(text),
        }
    }
}

/// The columns of a letter as they are sent.
pub(crate) fn columns() -> impl Iterator<Item = BulkColumn> {
    VALUES.iter().zip(TYPES).map(|(name, column_type)| column(name, column_type))
}

/// The columns of [`of_key`].
pub(crate) fn key_columns() -> [BulkColumn; 3] {
    [
        column("source_oid", ColumnType::BigInt),
        column("key_hash", ColumnType::VarBinary(Len::Limited(32))),
        column("commit_lsn", ColumnType::BigInt),
    ]
}

/// The columns of [`of_use`].
pub(crate) fn counter_columns() -> [BulkColumn; 4] {
    [
        column("source_oid", ColumnType::BigInt),
        column("source_column", ColumnType::NVarChar(Len::Limited(63))),
        column("policy", ColumnType::NVarChar(Len::Limited(20))),
        column("uses", ColumnType::BigInt),
    ]
}

/// A column of ours.
pub(crate) fn column(name: &str, column_type: ColumnType) -> BulkColumn {
    BulkColumn {
        name: name.to_owned(),
        column_type,
        nullable: true,
        collation: Collation::LATIN1_GENERAL_100_BIN2,
    }
}

/// Everything that a letter says.
pub(crate) fn of_letter(letter: &DeadLetter) -> [Field; VALUES.len()] {
    let text = |text: &str| Field::Text(text.to_owned());
    let behind = match &letter.held {
        Held::Nothing => Field::Null,
        Held::Behind(columns) => Field::Text(json(columns)),
    };
    let [oid, digest, lsn] = of_key(letter.oid, &letter.key, letter.lsn);
    [
        oid,
        digest,
        text(&letter.table.schema),
        text(&letter.table.name),
        Field::Text(json(&letter.key.texts)),
        lsn,
        text(&letter.code),
        if letter.column.is_empty() { Field::Null } else { text(&letter.column) },
        text(&letter.payload),
        Field::Bit(letter.held.in_target()),
        behind,
    ]
}

/// Which letter is meant, and the commit that closes it: what [`VALUES`] begins with, and the LSN.
pub(crate) fn of_key(oid: u32, key: &LetterKey, lsn: Lsn) -> [Field; 3] {
    [Field::Int(i64::from(oid)), Field::Bytes(key.digest), of_lsn(lsn)]
}

/// Which counter is meant, and what is added to it.
pub(crate) fn of_use(used: &PolicyUse) -> [Field; 4] {
    [
        Field::Int(i64::from(used.oid)),
        Field::Text(used.column.clone()),
        Field::Text(used.policy.to_owned()),
        Field::Int(i64::try_from(used.count).unwrap_or(i64::MAX)),
    ]
}

/// An LSN as it is stored.
pub(crate) fn of_lsn(lsn: Lsn) -> Field {
    Field::Int(i64::try_from(lsn.as_u64()).unwrap_or(i64::MAX))
}

/// Whether the row of a letter has a key: then no two open letters have the same.
pub(crate) fn is_keyed(key: &LetterKey) -> bool {
    !key.texts.is_empty()
}

/// Texts as a JSON array.
fn json(texts: &[String]) -> String {
    serde_json::to_string(texts).unwrap_or_default()
}

/// The texts of a JSON array.
pub(super) fn read_texts(json: &str) -> Option<Vec<String>> {
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::QualifiedName;

    #[test]
    fn columns_that_are_behind_come_back() {
        let names = vec!["a\"b".to_owned(), "ü,".to_owned()];
        let letter = DeadLetter {
            oid: 7,
            table: QualifiedName::new("public", "t"),
            key: LetterKey { digest: [1; 32], texts: vec!["1".to_owned()] },
            lsn: Lsn::new(5),
            code: "VALUE_TOO_LONG".to_owned(),
            column: "c".to_owned(),
            payload: "{}".to_owned(),
            held: Held::Behind(names.clone()),
        };
        let values = of_letter(&letter);
        assert_eq!(values[9], Field::Bit(true));
        let Field::Text(json) = &values[10] else { panic!("{:?}", values[10]) };
        assert_eq!(read_texts(json), Some(names));
        let nothing = DeadLetter { held: Held::Nothing, ..letter };
        assert_eq!(of_letter(&nothing)[9..], [Field::Bit(false), Field::Null]);
    }

    #[test]
    fn columns_are_those_of_the_statements() {
        let names: Vec<String> = columns().map(|column| column.name).collect();
        assert_eq!(names, VALUES);
    }
}
