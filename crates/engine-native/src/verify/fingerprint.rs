//! Hashes of rows: the same for the same values, whichever server they come from.

use std::fmt;

use segcdc_model::{Field, Tuple};
use segcdc_plan::canonical;
use segcdc_plan::{Fitted, TablePlan, ValueError, fit};
use segcdc_sqlserver::CanonicalRow;
use xxhash_rust::xxh3::xxh3_128;

/// What a row is known by: 128 bits, so that two different rows of a table of any size have the same hash by chance
/// about as often as a disk gives back a wrong byte unnoticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RowHash(pub(crate) u128);

/// Hash of the key, and of all columns. Without a key, both are that of all columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Of the key's columns.
    pub(crate) key: RowHash,
    /// Of all columns.
    pub(crate) row: RowHash,
}

/// Sum of row hashes: the same whatever the order of the rows, and two equal rows do not cancel out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Checksum(u128);

/// Turns rows of one table into fingerprints. Its buffers are used again for each row.
#[derive(Debug)]
pub(crate) struct Fingerprinter<'a> {
    table: &'a TablePlan,
    key: &'a [usize],
    text: String,
    row: Vec<u8>,
    key_bytes: Vec<u8>,
    /// Where each field begins in `row`, and the end.
    starts: Vec<usize>,
    /// Values of the source's row that a policy replaces.
    replaced: u64,
    /// A value of the source's key has no place in the target.
    bad_key: bool,
}

// === impl Checksum ===

impl Checksum {
    /// Adds a row.
    pub(crate) fn add(&mut self, row: RowHash) {
        self.0 = self.0.wrapping_add(row.0);
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

// === impl Fingerprinter ===

impl<'a> Fingerprinter<'a> {
    /// For rows of this table, with their fields in the plan's column order.
    pub(crate) fn new(table: &'a TablePlan) -> Self {
        Fingerprinter {
            table,
            key: table.key_columns(),
            text: String::new(),
            row: Vec::new(),
            key_bytes: Vec::new(),
            starts: Vec::with_capacity(table.columns.len() + 1),
            replaced: 0,
            bad_key: false,
        }
    }

    /// Of a row of the source, as its policies let it into the target. One that would be set aside is taken as it is, and
    /// equals no row of the target.
    ///
    /// # Errors
    /// When a field is not of its column's type.
    pub(crate) fn source(&mut self, tuple: &Tuple) -> Result<Fingerprint, ValueError> {
        self.begin();
        for (index, column) in self.table.columns.iter().enumerate() {
            // A row that is too short can only come from a fault of the reader, and must not look like NULL.
            let field = tuple.get(index).unwrap_or(Field::UnchangedToast);
            match fit(column, field)? {
                Fitted::Exact(value) => canonical::write_field(&value, &mut self.text, &mut self.row),
                Fitted::Replaced(value) => {
                    self.replaced += 1;
                    canonical::write_field(&value, &mut self.text, &mut self.row);
                }
                Fitted::Aside(_) => {
                    // No field of the target begins so.
                    self.row.push(b'!');
                    if let Field::Text(bytes) | Field::Binary(bytes) = field {
                        self.row.extend_from_slice(bytes);
                    }
                    self.bad_key |= self.key.contains(&index);
                }
            }
            self.starts.push(self.row.len());
        }
        Ok(self.finish())
    }

    /// Of a row of the target.
    pub(crate) fn target(&mut self, row: &CanonicalRow) -> Fingerprint {
        self.begin();
        for field in row.iter() {
            write_text_field(field, &mut self.row);
            self.starts.push(self.row.len());
        }
        self.finish()
    }

    /// Values of the last row of the source that a policy replaces.
    pub(crate) fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Whether the key of the last row of the source has a value that has no place in the target.
    pub(crate) fn has_bad_key(&self) -> bool {
        self.bad_key
    }

    /// Hash of each column of the row that was last fingerprinted.
    pub(crate) fn columns(&self) -> Vec<RowHash> {
        self.starts
            .windows(2)
            .map(|ends| match ends {
                [from, to] => RowHash(xxh3_128(self.row.get(*from..*to).unwrap_or_default())),
                _ => RowHash(0),
            })
            .collect()
    }

    fn begin(&mut self) {
        (self.replaced, self.bad_key) = (0, false);
        self.row.clear();
        self.key_bytes.clear();
        self.starts.clear();
        self.starts.push(0);
    }

    fn finish(&mut self) -> Fingerprint {
        let row = RowHash(xxh3_128(&self.row));
        if self.key.is_empty() {
            return Fingerprint { key: row, row };
        }
        for &column in self.key {
            let (from, to) = (self.starts.get(column), self.starts.get(column + 1));
            if let (Some(&from), Some(&to)) = (from, to) {
                self.key_bytes.extend_from_slice(self.row.get(from..to).unwrap_or_default());
            }
        }
        Fingerprint { key: RowHash(xxh3_128(&self.key_bytes)), row }
    }
}

/// As [`canonical::write_field`], for a text that is canonical already.
fn write_text_field(field: Option<&str>, out: &mut Vec<u8>) {
    match field {
        None => out.push(b'n'),
        Some(text) => {
            out.push(b'v');
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Canonical texts of the given columns of a row of the source; `None` for NULL.
///
/// # Errors
/// When a field is not of its column's type.
pub(crate) fn source_texts(
    table: &TablePlan,
    columns: &[usize],
    tuple: &Tuple,
) -> Result<Vec<Option<String>>, ValueError> {
    let mut texts = Vec::with_capacity(columns.len());
    for &index in columns {
        let Some(column) = table.columns.get(index) else { continue };
        let field = tuple.get(index).unwrap_or(Field::UnchangedToast);
        texts.push(canonical::canonical_text(&column.pg_type, field)?);
    }
    Ok(texts)
}

/// Canonical texts of the given columns of a row of the target; `None` for NULL.
pub(crate) fn target_texts(columns: &[usize], row: &CanonicalRow) -> Vec<Option<String>> {
    columns.iter().map(|&index| row.get(index).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::Value;

    #[test]
    fn both_sides_write_a_field_alike() {
        let check = |value: Value<'_>, text: Option<&str>| {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            canonical::write_field(&value, &mut String::new(), &mut ours);
            write_text_field(text, &mut theirs);
            assert_eq!(ours, theirs, "{value:?}");
        };
        check(Value::Null, None);
        check(Value::Text(""), Some(""));
        check(Value::Text("a "), Some("a "));
        check(Value::Int(-7), Some("-7"));
        check(Value::Bytes(&[0, 255]), Some("00ff"));
    }

    #[test]
    fn a_checksum_does_not_depend_on_the_order() {
        let sum = |hashes: &[u128]| {
            let mut sum = Checksum::default();
            hashes.iter().for_each(|hash| sum.add(RowHash(*hash)));
            sum
        };
        assert_eq!(sum(&[1, u128::MAX, 3]), sum(&[3, 1, u128::MAX]));
        assert_ne!(sum(&[5, 5]), sum(&[]), "two equal rows count twice");
    }
}
