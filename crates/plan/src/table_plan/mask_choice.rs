//! How the columns of a table are masked, by what the user says. Pure.

use segcdc_model::{Length, MssqlType, PgType, QualifiedName, SourceColumn, SourceTable};

use super::{Decided, Naming};
use crate::column_mask::{ColumnMask, HASH_DIGITS, REDACTED};
use crate::error::PlanError;
use crate::rules::{Mask, Rules};

/// The type of what stands for a hashed value.
pub(crate) fn hash_type() -> PgType {
    PgType::Varchar { length: Some(HASH_DIGITS.into()) }
}

/// Checks that the masks name columns that there are: one that is called otherwise now would go out as it is.
///
/// # Errors
/// [`PlanError::MaskImpossible`].
pub(crate) fn check_names(source: &SourceTable, rules: &Rules) -> Result<(), PlanError> {
    let Some((column, mask)) = rules.masked_in_vain(source) else { return Ok(()) };
    let detail = "it is no column of the table";
    Err(PlanError::MaskImpossible { table: source.name.clone(), column, mask, detail })
}

/// The mask of a column: the one that was decided before, or the one of the rules. A rule for several columns counts for all of
/// them or none: a column that cannot have its mask is refused, and never written as it is.
///
/// # Errors
/// [`PlanError::MaskImpossible`].
pub(crate) fn decide(
    table: &QualifiedName,
    column: &SourceColumn,
    identifies: bool,
    naming: &Naming,
    decided: &Decided<'_>,
) -> Result<Option<ColumnMask>, PlanError> {
    let before = decided.masks.iter().find(|(attnum, _)| *attnum == column.attnum);
    let mask = before.map_or_else(|| naming.rules.mask(table, column), |(_, mask)| *mask);
    let Some(mask) = mask else { return Ok(None) };
    let is_text = is_text(&column.pg_type);
    let impossible = match mask {
        Mask::Hash => None,
        Mask::Redact | Mask::Truncate(_) if identifies => {
            Some("it identifies rows, and two of them could become one")
        }
        Mask::Truncate(_) if !is_text => Some("only text has first characters"),
        Mask::Redact if !is_text && column.not_null => {
            Some("it is NOT NULL and no text, so that nothing can stand for its values")
        }
        Mask::Redact | Mask::Truncate(_) => None,
    };
    if let Some(detail) = impossible {
        let (table, column) = (table.clone(), column.name.clone());
        return Err(PlanError::MaskImpossible { table, column, mask, detail });
    }
    Ok(Some(ColumnMask {
        mask,
        pg_type: column.pg_type.clone(),
        salt: naming.salt.clone().filter(|_| mask == Mask::Hash),
        redacted: is_text.then_some(REDACTED),
    }))
}

// === impl ColumnMask ===

impl ColumnMask {
    /// The same for a column of this type in the target, which may hold less than all of what stands for a value.
    pub(crate) fn in_column(self, mssql_type: &MssqlType) -> Self {
        let room = match mssql_type {
            MssqlType::NVarChar { length: Length::Limited(length), .. }
            | MssqlType::VarChar { length: Length::Limited(length) } => usize::from(*length),
            _ => REDACTED.len(),
        };
        let redacted = self.redacted.map(|text| text.get(..room).unwrap_or(text));
        ColumnMask { redacted, ..self }
    }
}

/// Whether a type is one of characters.
fn is_text(pg_type: &PgType) -> bool {
    matches!(pg_type, PgType::Text | PgType::Varchar { .. } | PgType::Char { .. } | PgType::Name)
}
