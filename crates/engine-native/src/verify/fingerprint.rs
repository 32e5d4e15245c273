//! Hashes of rows: the same for the same values, whichever server they come from.

use std::fmt;
use std::num::ParseIntError;

use segcdc_model::{Field, Tuple};
use segcdc_plan::canonical;
use segcdc_plan::{Fitted, TablePlan, ValueError, fit};
use segcdc_sqlserver::CanonicalRow;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

/// Sets the hash of a value that is set aside apart from that of every value of the target.
const ASIDE_SEED: u64 = 1;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Checksum(u128);

/// Turns rows of one table into fingerprints. Its buffers are used again for each row.
#[derive(Debug)]
pub(crate) struct Fingerprinter<'a> {
    table: &'a TablePlan,
    key: &'a [usize],
    text: String,
    /// Hash of each column of the last row.
    columns: Vec<RowHash>,
    /// Hashes as they are hashed together.
    bytes: Vec<u8>,
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

    /// Adds the rows of another sum.
    pub(crate) fn add_all(&mut self, other: Checksum) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.to_string()
    }
}

impl TryFrom<String> for Checksum {
    type Error = ParseIntError;

    fn try_from(text: String) -> Result<Self, ParseIntError> {
        u128::from_str_radix(&text, 16).map(Checksum)
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
            columns: Vec::with_capacity(table.columns.len()),
            bytes: Vec::new(),
            replaced: 0,
            bad_key: false,
        }
    }

    /// Of a row of the source, as its policies let it into the target. One that would be set aside is taken as it is, and
    /// equals no row of the target.
    ///
    /// # Errors
    /// When a field is not of its column's type, or is kept outside of memory and was damaged there.
    pub(crate) fn source(&mut self, tuple: &Tuple) -> Result<Fingerprint, ValueError> {
        self.columns.clear();
        (self.replaced, self.bad_key) = (0, false);
        for (index, column) in self.table.columns.iter().enumerate() {
            // A row that is too short can only come from a fault of the reader, and must not look like NULL.
            let field = tuple.get(index).unwrap_or(Field::UnchangedToast);
            let hash = match fit(column, field)? {
                Fitted::Exact(value) => canonical::hash(&value, &mut self.text)?,
                Fitted::Replaced(value) => {
                    self.replaced += 1;
                    canonical::hash(&value, &mut self.text)?
                }
                Fitted::Aside(_) => {
                    self.bad_key |= self.key.contains(&index);
                    let bytes = match field {
                        Field::Text(bytes) | Field::Binary(bytes) => bytes,
                        _ => &[],
                    };
                    xxh3_128_with_seed(bytes, ASIDE_SEED)
                }
            };
            self.columns.push(RowHash(hash));
        }
        Ok(self.finish())
    }

    /// Of a row of the target.
    pub(crate) fn target(&mut self, row: &CanonicalRow) -> Fingerprint {
        self.columns.clear();
        self.columns.extend((0..row.len()).map(|index| RowHash(row.hash(index))));
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
        self.columns.clone()
    }

    fn finish(&mut self) -> Fingerprint {
        let row = together(&mut self.bytes, self.columns.iter());
        if self.key.is_empty() {
            return Fingerprint { key: row, row };
        }
        let columns = &self.columns;
        let key = together(&mut self.bytes, self.key.iter().filter_map(|&column| columns.get(column)));
        Fingerprint { key, row }
    }
}

/// One hash of several. `bytes` is overwritten.
fn together<'h>(bytes: &mut Vec<u8>, hashes: impl Iterator<Item = &'h RowHash>) -> RowHash {
    bytes.clear();
    for hash in hashes {
        bytes.extend_from_slice(&hash.0.to_be_bytes());
    }
    RowHash(xxh3_128(bytes))
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

    #[test]
    fn hashes_of_columns_count_by_their_place() {
        let of = |hashes: &[u128]| {
            let hashes: Vec<RowHash> = hashes.iter().copied().map(RowHash).collect();
            together(&mut Vec::new(), hashes.iter())
        };
        assert_ne!(of(&[1, 2]), of(&[2, 1]));
        assert_ne!(of(&[1, 2]), of(&[1, 2, 0]));
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
