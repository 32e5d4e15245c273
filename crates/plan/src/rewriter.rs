//! [`Rewriter`]: what a row of the source becomes before anything else looks at it: masked values, and constant ones.
//!
//! ```text
//! stream   Tuple --Binding::rewritten--+
//! copy     Tuple --Rewriter::in_order--+--> Tuple --> net change, keys, staging, letters, comparison
//! verify   Tuple --Rewriter::in_order--+
//! ```
//!
//! Whoever reads rows of the source rewrites them first, so that a value which is masked is nowhere behind: not in a key, not
//! in a staging table, not in a dead letter, not in a hash that is compared. Behind it a masked column is one of the type that
//! its mask makes ([`ColumnMask`]), and a constant one a column like others.

use std::borrow::Cow;

use bytes::Bytes;
use segcdc_model::{Field, LargeValue, Tuple, TupleBuilder};
use smallvec::SmallVec;

use crate::column_mask::ColumnMask;
use crate::convert::ValueError;
use crate::error::PlanError;
use crate::table_plan::TablePlan;

/// Fields that most rows have at most.
const USUAL_FIELDS: usize = 16;

/// Rewrites the rows of one table, of one description of the stream or of one COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewriter {
    /// Of each field that is masked, its column in the plan and how.
    masks: Box<[Option<(usize, ColumnMask)>]>,
    /// Fields that the source sends.
    sent: usize,
    /// Texts of the fields behind these.
    constants: Box<[String]>,
}

/// What a field becomes.
enum Written {
    Null,
    UnchangedToast,
    Text(usize, usize),
    Binary(usize, usize),
    Large(LargeValue),
}

// === impl Rewriter ===

impl Rewriter {
    /// For rows whose fields are the planned columns of the source, in their order: what COPY of exactly these gives.
    /// `None` where rows stay as they are.
    pub fn in_order(table: &TablePlan) -> Option<Self> {
        let sent = table.columns.iter().filter(|column| column.constant.is_none()).count();
        Rewriter::new(table, sent, Some)
    }

    /// For rows of `sent` fields, where `field_of` says which a planned column of the source is.
    pub(crate) fn new(
        table: &TablePlan,
        sent: usize,
        field_of: impl Fn(usize) -> Option<usize>,
    ) -> Option<Self> {
        let mut masks: Vec<Option<(usize, ColumnMask)>> = vec![None; sent];
        for (index, column) in table.columns.iter().enumerate() {
            let Some(mask) = &column.mask else { continue };
            if let Some(field) = field_of(index).and_then(|field| masks.get_mut(field)) {
                *field = Some((index, mask.clone()));
            }
        }
        let constants: Box<[String]> =
            table.columns.iter().filter_map(|column| column.constant.clone()).collect();
        if constants.is_empty() && masks.iter().all(Option::is_none) {
            return None;
        }
        Some(Rewriter { masks: masks.into(), sent, constants })
    }

    /// The row as it is to be seen. One that is shorter than what the source sends, which only a fault of the stream's decoder
    /// makes, keeps what it lacks as not sent.
    ///
    /// # Errors
    /// The column whose value cannot be masked, and why. The value goes nowhere then.
    pub fn rewrite(&self, tuple: &Tuple) -> Result<Tuple, (usize, ValueError)> {
        let mut bytes: Vec<u8> = Vec::with_capacity(tuple.memory_bytes());
        let mut fields: SmallVec<[Written; USUAL_FIELDS]> = SmallVec::new();
        let add = |bytes: &mut Vec<u8>, added: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(added);
            (start, added.len())
        };
        for index in 0..self.sent {
            let field = tuple.get(index).unwrap_or(Field::UnchangedToast);
            let mask = self.masks.get(index).and_then(Option::as_ref);
            fields.push(match (field, mask) {
                (Field::Null, _) => Written::Null,
                (Field::UnchangedToast, _) => Written::UnchangedToast,
                (field, Some((column, mask))) => {
                    let start = bytes.len();
                    match mask.write(field, &mut bytes).map_err(|error| (*column, error))? {
                        true => Written::Text(start, bytes.len() - start),
                        false => Written::Null,
                    }
                }
                (Field::Text(text), None) => {
                    let (start, length) = add(&mut bytes, text);
                    Written::Text(start, length)
                }
                (Field::Binary(value), None) => {
                    let (start, length) = add(&mut bytes, value);
                    Written::Binary(start, length)
                }
                (Field::Large(value), None) => Written::Large(value.clone()),
            });
        }
        for constant in &self.constants {
            let (start, length) = add(&mut bytes, constant.as_bytes());
            fields.push(Written::Text(start, length));
        }
        let mut builder = TupleBuilder::new(Bytes::from(bytes), fields.len());
        for field in fields {
            match field {
                Written::Null => builder.null(),
                Written::UnchangedToast => builder.unchanged_toast(),
                Written::Text(start, length) => builder.text(start, length),
                Written::Binary(start, length) => builder.binary(start, length),
                Written::Large(value) => builder.large(value),
            }
        }
        Ok(builder.build())
    }
}

/// The row as it is to be seen, by `rewriter` if there is one.
///
/// # Errors
/// [`PlanError::Value`].
pub(crate) fn rewritten<'t>(
    rewriter: Option<&Rewriter>,
    table: &TablePlan,
    tuple: &'t Tuple,
) -> Result<Cow<'t, Tuple>, PlanError> {
    let Some(rewriter) = rewriter else { return Ok(Cow::Borrowed(tuple)) };
    rewriter.rewrite(tuple).map(Cow::Owned).map_err(|(column, source)| PlanError::Value {
        oid: table.source.oid,
        table: table.source.name.clone(),
        column: table.columns.get(column).map(|column| column.source_name.clone()).unwrap_or_default(),
        source,
    })
}

#[cfg(test)]
mod tests;
