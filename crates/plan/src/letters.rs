//! What a batch or a copy notes beside the rows: dead letters, and how often a value policy was used.
//!
//! A dead letter is a row of the source that is kept out of its target table, because a value of it has no place there
//! and the user wants such rows set aside. A key has at most one open letter; it is renewed while the row stays as bad,
//! and closed when a version of the row arrives that fits, or the row goes away.
//!
//! ```text
//! INSERT k=1, bad      open      no row in the target, every column behind
//! UPDATE k=1, bad      renew     newest version, code and payload
//! UPDATE k=1, good     close     the row goes in
//!
//! UPDATE k=2, bad      open      the last good version stays in the target, the columns of the UPDATE are behind
//! UPDATE k=2, good     close     if it carries all columns that are behind
//! DELETE k=2           close     the last good version is removed
//! TRUNCATE             close all
//! ```
//!
//! Whoever applies a plan writes these in the target transaction that holds the rows, so that both are there or neither:
//! in the order of the list, each statement touching as many letters as it says.

use std::collections::HashMap;

use segcdc_model::{Field, Lsn, PgType, QualifiedName, Value, hex};
use sha2::{Digest, Sha256};

use crate::canonical;
use crate::convert::{self, ValueError};
use crate::row_image::RowImage;
use crate::spelling::{self, Spelling};
use crate::table_plan::TablePlan;

mod content;

/// Bytes of a payload from which on values are named by their length: a thousand letters of wide rows are to stay within
/// the memory of a batch.
const MAX_PAYLOAD: usize = 32 * 1024;

/// Digest of a letter's key: SHA-256 of what tells the key from any other of its table, however long it is.
pub type KeyDigest = [u8; 32];

/// What identifies a dead letter's row at the source.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LetterKey {
    /// Equal for equal keys; of the whole content for a table without a key.
    pub digest: KeyDigest,
    /// Canonical texts of the key's columns, in key order, each cut after [`MAX_KEY_TEXT`] characters; empty for a table
    /// without a key.
    pub texts: Vec<String>,
}

/// Characters of a key's text that are kept to be shown.
pub const MAX_KEY_TEXT: usize = 200;

/// A row that is kept out of its target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// OID of the source table.
    pub oid: u32,
    /// The source table.
    pub table: QualifiedName,
    /// The row's key.
    pub key: LetterKey,
    /// Commit end of the source transaction that last touched the row; of a copied row the position of the copy.
    pub lsn: Lsn,
    /// Why, as an error's code: `VALUE_UNREPRESENTABLE`, `KEY_TOO_LONG`, `CONSTRAINT_VIOLATION` and so on.
    pub code: String,
    /// The first column whose value has no place; empty for a row that the target refuses.
    pub column: String,
    /// The row as a JSON object of column names and PostgreSQL's texts, as far as it is known: a column that the stream did
    /// not send is missing, and of a long value only its length is kept. The one place of the product that holds a row's
    /// values outside of its target table.
    pub payload: String,
    /// Where the target's table stands.
    pub held: Held,
}

/// What the target's table holds of a row that is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// No row.
    Nothing,
    /// The last good version; these columns, by name, are behind the source.
    Behind(Vec<String>),
}

/// Why a letter is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterEnd {
    /// A version of the row arrived that fits.
    Healed,
    /// The row was deleted, or has another key now.
    Deleted,
    /// The table was emptied.
    Truncated,
    /// It was asked for, and the row fits by the rules of now.
    Replayed,
}

/// What becomes of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterChange {
    /// A new one: one row more.
    Open(DeadLetter),
    /// The open letter of this key takes on everything of this one: changes one row.
    Renew(DeadLetter),
    /// Closes open letters of one key.
    Close {
        /// OID of the source table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// The key.
        key: LetterKey,
        /// How many: 1, but for a table without a key, where equal rows have a letter each.
        rows: u64,
        /// Commit end of the source transaction that closes them.
        lsn: Lsn,
        /// Why.
        end: LetterEnd,
    },
    /// Closes all open letters of a table as [`LetterEnd::Truncated`], however many there are.
    CloseAll {
        /// OID of the source table.
        oid: u32,
        /// The source table.
        table: QualifiedName,
        /// Commit end of the source transaction that closes them.
        lsn: Lsn,
    },
}

/// How often a policy decided what became of a value, or of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyUse {
    /// OID of the source table.
    pub oid: u32,
    /// The source table.
    pub table: QualifiedName,
    /// The column; of changes that were left out `UPDATE`, `DELETE` or `TRUNCATE`, of rows that the target refuses `*`.
    pub column: String,
    /// The policy, as it is written in a rule: that of [`ValuePolicy::Null`](crate::ValuePolicy::Null),
    /// [`ValuePolicy::Clamp`](crate::ValuePolicy::Clamp), [`ValuePolicy::SetAside`](crate::ValuePolicy::SetAside) or
    /// [`OnChange::Ignore`](crate::OnChange::Ignore).
    pub policy: &'static str,
    /// Values that were replaced, rows that were set aside or stayed so, or changes that were left out. In what a batch
    /// adds, never 0.
    pub count: u64,
}

/// The open letters of one table, as planning needs them: by key digest, what the target's table holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenLetters {
    by_key: HashMap<KeyDigest, OpenLetter, foldhash::fast::FixedState>,
    letters: u64,
}

/// The open letters of one digest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenLetter {
    held: Held,
    /// One, but for a table without a key.
    count: u64,
}

// === impl Held ===

impl Held {
    /// Whether the target's table has a version of the row.
    pub fn in_target(&self) -> bool {
        matches!(self, Held::Behind(_))
    }
}

// === impl LetterEnd ===

impl LetterEnd {
    /// The word that is stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            LetterEnd::Healed => "healed",
            LetterEnd::Deleted => "deleted",
            LetterEnd::Truncated => "truncated",
            LetterEnd::Replayed => "replayed",
        }
    }

    /// The end of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [LetterEnd::Healed, LetterEnd::Deleted, LetterEnd::Truncated, LetterEnd::Replayed]
            .into_iter()
            .find(|end| end.word() == word)
    }
}

// === impl LetterChange ===

impl LetterChange {
    /// OID of the source table.
    pub fn oid(&self) -> u32 {
        match self {
            LetterChange::Open(letter) | LetterChange::Renew(letter) => letter.oid,
            LetterChange::Close { oid, .. } | LetterChange::CloseAll { oid, .. } => *oid,
        }
    }
}

// === impl OpenLetters ===

impl OpenLetters {
    /// Letters of a table that has none.
    pub(crate) const NONE: &'static OpenLetters =
        &OpenLetters { by_key: HashMap::with_hasher(foldhash::fast::FixedState::with_seed(0)), letters: 0 };

    /// No letters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the open letter of a key, or gives it another content.
    pub fn insert(&mut self, key: KeyDigest, held: Held) {
        if self.by_key.insert(key, OpenLetter { held, count: 1 }).is_none() {
            self.letters += 1;
        }
    }

    /// Adds a letter of a table without a key: one row of this content.
    pub fn add_unkeyed(&mut self, content: KeyDigest) {
        self.letters += 1;
        self.by_key.entry(content).or_insert(OpenLetter { held: Held::Nothing, count: 0 }).count += 1;
    }

    /// What the target's table holds of the row with this key; `None` when it has no open letter.
    pub fn get(&self, key: &KeyDigest) -> Option<&Held> {
        self.by_key.get(key).map(|letter| &letter.held)
    }

    /// Number of letters with this key, or content.
    pub fn count(&self, key: &KeyDigest) -> u64 {
        self.by_key.get(key).map_or(0, |letter| letter.count)
    }

    /// Number of letters.
    pub fn len(&self) -> u64 {
        self.letters
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.letters == 0
    }

    /// Takes over what a batch, once committed, did to the letters of this table; `keyed` is whether the table has a key.
    pub fn apply(&mut self, change: &LetterChange, keyed: bool) {
        match change {
            LetterChange::Open(letter) if !keyed => self.add_unkeyed(letter.key.digest),
            LetterChange::Open(letter) | LetterChange::Renew(letter) => {
                self.insert(letter.key.digest, letter.held.clone());
            }
            LetterChange::Close { key, rows, .. } => self.remove(&key.digest, *rows),
            LetterChange::CloseAll { .. } => *self = OpenLetters::default(),
        }
    }

    fn remove(&mut self, key: &KeyDigest, rows: u64) {
        let Some(letter) = self.by_key.get_mut(key) else { return };
        let removed = letter.count.min(rows);
        letter.count -= removed;
        self.letters -= removed;
        if letter.count == 0 {
            self.by_key.remove(key);
        }
    }
}

/// The key of a row as letters name it.
///
/// # Errors
/// The column whose field was not sent or is not of its type, and why.
pub fn key_of(table: &TablePlan, image: &RowImage) -> Result<LetterKey, (usize, ValueError)> {
    if table.key_columns().is_empty() {
        return Ok(LetterKey { digest: content::digest(table, image)?, texts: Vec::new() });
    }
    let texts =
        table.key_columns().iter().map(|column| Ok(key_text(table, image, *column)?.unwrap_or_default()));
    Ok(key_of_texts(table, texts.collect::<Result<Vec<String>, _>>()?))
}

/// The key of a row of a table with a key, from the canonical texts of the key's columns, in key order.
pub fn key_of_texts(table: &TablePlan, texts: Vec<String>) -> LetterKey {
    let mut hasher = Sha256::new();
    for (text, column) in texts.iter().zip(table.key_columns()) {
        let text = match table.columns.get(*column).map(|column| &column.pg_type) {
            // Both zeros are one key, and blanks at the end of char(n) are no part of it.
            Some(PgType::Float4 | PgType::Float8) if text == "-0e0" => "0e0",
            Some(PgType::Char { .. }) => text.trim_end_matches(' '),
            _ => text,
        };
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    let shown = texts.into_iter().map(|text| match text.char_indices().nth(MAX_KEY_TEXT) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    });
    LetterKey { digest: hasher.finalize().into(), texts: shown.collect() }
}

/// The letter of a row that is set aside because of a column, with the code that says why.
///
/// # Errors
/// As [`key_of`].
pub fn of_row(
    table: &TablePlan,
    image: &RowImage,
    (column, code): (usize, &str),
    lsn: Lsn,
    held: Held,
) -> Result<DeadLetter, (usize, ValueError)> {
    Ok(DeadLetter {
        oid: table.source.oid,
        table: table.source.name.clone(),
        key: key_of(table, image)?,
        lsn,
        code: code.to_owned(),
        column: table.columns.get(column).map(|column| column.source_name.clone()).unwrap_or_default(),
        payload: payload(table, image),
        held,
    })
}

/// The canonical text of a key's field, alike for keys that are equal; `None` for NULL.
fn key_text(
    table: &TablePlan,
    image: &RowImage,
    column: usize,
) -> Result<Option<String>, (usize, ValueError)> {
    let Some(plan) = table.columns.get(column) else { return Ok(None) };
    let field = image.field(column);
    let value = match convert::decode(&plan.pg_type, field) {
        Ok(value) => value,
        // It can have a letter because of that.
        Err(ValueError::NotUtf8) => return Ok(Some(bytes_text(field))),
        Err(error) => return Err((column, error)),
    };
    Ok(match value {
        Value::Null => None,
        Value::NumericOutOfRange => match spelling::spell(&plan.pg_type, field) {
            Spelling::Text(text) => {
                let trimmed = convert::trim_numeric_text(text.as_bytes());
                Some(String::from_utf8_lossy(trimmed).into_owned())
            }
            _ => Some(bytes_text(field)),
        },
        value => {
            let mut text = String::new();
            canonical::write_text(&value, &mut text);
            Some(text)
        }
    })
}

/// Bytes that are no text, so that they can be told apart.
fn bytes_text(field: Field<'_>) -> String {
    match field {
        Field::Text(bytes) | Field::Binary(bytes) => hex(bytes),
        Field::Large(value) => hex(&value.facts().sha256),
        Field::Null | Field::UnchangedToast => String::new(),
    }
}

/// The row as a JSON object: PostgreSQL's texts, `null`, `{"bytes": n}` for a value for which there is no room, `{"hex":
/// "..."}` for bytes that are no text. Columns that were not sent are missing.
fn payload(table: &TablePlan, image: &RowImage) -> String {
    let mut json = String::from("{");
    for (index, column) in table.columns.iter().enumerate() {
        let room = MAX_PAYLOAD.saturating_sub(json.len());
        let too_long = |bytes: usize| bytes > room;
        let value = match spelling::spell(&column.pg_type, image.field(index)) {
            Spelling::Unknown => continue,
            Spelling::Null => "null".to_owned(),
            Spelling::Text(text) if too_long(text.len()) => format!("{{\"bytes\":{}}}", text.len()),
            Spelling::Text(text) => json_text(&text),
            Spelling::Bytes(bytes) if too_long(bytes.len()) => format!("{{\"bytes\":{}}}", bytes.len()),
            Spelling::Bytes(bytes) => format!("{{\"hex\":\"{}\"}}", hex(bytes)),
            Spelling::Long(bytes) => format!("{{\"bytes\":{bytes}}}"),
        };
        let comma = if json.len() > 1 { "," } else { "" };
        json.push_str(&format!("{comma}{}:{value}", json_text(&column.source_name)));
    }
    json.push('}');
    json
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(key: u8, held: Held) -> DeadLetter {
        DeadLetter {
            oid: 1,
            table: QualifiedName::new("public", "t"),
            key: LetterKey { digest: [key; 32], texts: vec![key.to_string()] },
            lsn: Lsn::new(1),
            code: "VALUE_UNREPRESENTABLE".to_owned(),
            column: "c".to_owned(),
            payload: "{}".to_owned(),
            held,
        }
    }

    #[test]
    fn open_letters_follow_what_batches_do() {
        let close = |key: u8, rows| LetterChange::Close {
            oid: 1,
            table: QualifiedName::new("public", "t"),
            key: LetterKey { digest: [key; 32], texts: Vec::new() },
            rows,
            lsn: Lsn::new(2),
            end: LetterEnd::Deleted,
        };
        let mut keyed = OpenLetters::new();
        keyed.apply(&LetterChange::Open(letter(1, Held::Nothing)), true);
        keyed.apply(&LetterChange::Open(letter(2, Held::Nothing)), true);
        keyed.apply(&LetterChange::Renew(letter(2, Held::Behind(vec!["c".to_owned()]))), true);
        assert_eq!(keyed.get(&[2; 32]), Some(&Held::Behind(vec!["c".to_owned()])));
        keyed.apply(&close(1, 1), true);
        assert_eq!((keyed.get(&[1; 32]), keyed.len()), (None, 1));

        let mut bag = OpenLetters::new();
        for _ in 0..3 {
            bag.apply(&LetterChange::Open(letter(1, Held::Nothing)), false);
        }
        bag.apply(&close(1, 2), false);
        assert_eq!(bag.len(), 1);
        let table = QualifiedName::new("public", "t");
        bag.apply(&LetterChange::CloseAll { oid: 1, table, lsn: Lsn::new(3) }, false);
        assert!(bag.is_empty());
    }

    #[test]
    fn words_of_ends_come_back() {
        for end in [LetterEnd::Healed, LetterEnd::Deleted, LetterEnd::Truncated, LetterEnd::Replayed] {
            assert_eq!(LetterEnd::from_word(end.word()), Some(end));
        }
        assert_eq!(LetterEnd::from_word("lost"), None);
    }
}
