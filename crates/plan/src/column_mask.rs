//! [`ColumnMask`]: how a column is masked, and what becomes of its values.

use segcdc_model::{Field, PgType, SourceColumn, hex};

use crate::convert::ValueError;
use crate::mask_salt::MaskSalt;
use crate::rules::Mask;
use crate::type_map;

mod value;

/// Hexadecimal digits of a hash.
pub(crate) const HASH_DIGITS: u16 = 64;

/// What stands for a text that is redacted, or as much of it as the column holds.
pub(crate) const REDACTED: &str = "***";

/// How a column of a table is masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnMask {
    /// What stands for its values.
    pub mask: Mask,
    /// Type of the values that the source sends.
    pub pg_type: PgType,
    /// What hashes are made with; `None` where none is known, so that no value can be hashed.
    pub salt: Option<MaskSalt>,
    /// What a redacted value becomes; `None` for NULL.
    pub redacted: Option<&'static str>,
}

// === impl ColumnMask ===

impl ColumnMask {
    /// The column that stands for the masked one, as whoever chooses its target type sees it: of hashes one of as many characters as
    /// take that many bytes at most, since all of theirs take one.
    pub(crate) fn stands_for(&self, column: &SourceColumn) -> SourceColumn {
        match self.mask {
            Mask::Hash => SourceColumn {
                pg_type: PgType::Varchar { length: Some(u32::from(HASH_DIGITS) / type_map::UTF8_BYTES) },
                type_name: format!("character varying({HASH_DIGITS})"),
                ..column.clone()
            },
            Mask::Redact | Mask::Truncate(_) => column.clone(),
        }
    }

    /// What the value with this text becomes, as PostgreSQL prints it; `None` for NULL.
    ///
    /// # Errors
    /// As [`ColumnMask::write`].
    pub(crate) fn of_text(&self, text: &str) -> Result<Option<String>, ValueError> {
        let mut out = Vec::new();
        match self.write(Field::Text(text.as_bytes()), &mut out)? {
            true => String::from_utf8(out).map(Some).map_err(|_| ValueError::NotUtf8),
            false => Ok(None),
        }
    }

    /// Adds the text of what a value becomes, which is neither NULL nor left out by the stream; returns whether it is one at all:
    /// else NULL.
    ///
    /// # Errors
    /// When the value cannot be read, or there is no salt to hash it with.
    pub(crate) fn write(&self, field: Field<'_>, out: &mut Vec<u8>) -> Result<bool, ValueError> {
        match self.mask {
            Mask::Hash => {
                let salt = self.salt.as_ref().ok_or(ValueError::NoSalt)?;
                let digest = value::hashed(&self.pg_type, field, salt.begin())?;
                out.extend_from_slice(hex(&digest).as_bytes());
                Ok(true)
            }
            Mask::Redact => {
                out.extend_from_slice(self.redacted.unwrap_or_default().as_bytes());
                Ok(self.redacted.is_some())
            }
            Mask::Truncate(characters) => {
                value::truncated(field, usize::from(characters), out)?;
                Ok(true)
            }
        }
    }
}
