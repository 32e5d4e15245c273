//! [`RowImage`]: a row as several changes of it left it.

use std::sync::Arc;

use segcdc_model::{Field, Tuple, Value};
use smallvec::{SmallVec, smallvec};

use crate::bind::Binding;
use crate::convert::{self, ValueError};
use crate::fit::{Fitted, fit, is_plain};
use crate::table_plan::ColumnPlan;

/// A row, as tuples on top of each other: a field that a newer tuple does not carry (unchanged TOAST) shows through
/// from an older one. Nothing is copied out of the buffers in which the source sent it.
///
/// Columns are indices into the plan's columns.
#[derive(Debug, Clone)]
pub struct RowImage {
    /// Newest first, never empty; each but the first carries a column that those before it lack.
    layers: SmallVec<[Layer; 1]>,
}

/// One tuple of a [`RowImage`].
#[derive(Debug, Clone)]
struct Layer {
    binding: Arc<Binding>,
    tuple: Tuple,
    extent: Extent,
}

/// Which fields of a tuple mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All of them.
    Whole,
    /// Only those of the replica identity; the others are NULL on the wire.
    Identity,
}

// === impl RowImage ===

impl RowImage {
    /// A row of one tuple.
    pub fn new(binding: Arc<Binding>, tuple: Tuple) -> Self {
        RowImage { layers: smallvec![Layer { binding, tuple, extent: Extent::Whole }] }
    }

    /// A row of which only the replica identity was sent.
    pub fn identity(binding: Arc<Binding>, tuple: Tuple) -> Self {
        RowImage { layers: smallvec![Layer { binding, tuple, extent: Extent::Identity }] }
    }

    /// The field of a planned column; [`Field::UnchangedToast`] when no tuple carries it.
    pub fn field(&self, column: usize) -> Field<'_> {
        for layer in &self.layers {
            let field = layer.field(column);
            if field != Field::UnchangedToast {
                return field;
            }
        }
        Field::UnchangedToast
    }

    /// The value of a planned column as its policy lets it into the target. One for which the row would have to be set
    /// aside comes as it is: rows that are written have none.
    ///
    /// # Errors
    /// When no tuple carries the column, or its bytes are not of the column's type.
    pub fn value(&self, column: usize) -> Result<Value<'_>, ValueError> {
        let plan = self.column(column).ok_or(ValueError::NotSent)?;
        let field = self.field(column);
        if is_plain(plan) {
            return convert::decode(&plan.pg_type, field);
        }
        match fit(plan, field)?.value() {
            Some(value) => Ok(value),
            None => convert::decode(&plan.pg_type, field),
        }
    }

    /// What becomes of a planned column.
    ///
    /// # Errors
    /// As [`fit`].
    pub fn fitted(&self, column: usize) -> Result<Fitted<'_>, ValueError> {
        fit(self.column(column).ok_or(ValueError::NotSent)?, self.field(column))
    }

    fn column(&self, column: usize) -> Option<&ColumnPlan> {
        self.layers.first().and_then(|layer| layer.binding.table().columns.get(column))
    }

    /// Puts the tuples of `below` under this row's; those that add nothing are dropped, so that a row that changes
    /// a thousand times in a batch does not hold a thousand tuples.
    pub(crate) fn lay_over(&mut self, below: &RowImage) {
        let columns = self.layers.first().map_or(0, |layer| layer.binding.table().columns.len());
        let mut missing: SmallVec<[usize; 8]> =
            (0..columns).filter(|column| self.field(*column) == Field::UnchangedToast).collect();
        for layer in &below.layers {
            if missing.is_empty() {
                return;
            }
            let before = missing.len();
            missing.retain(|column| layer.field(*column) == Field::UnchangedToast);
            if missing.len() < before {
                self.layers.push(layer.clone());
            }
        }
    }

    /// Whether the row equals a row that was sent whole, in every column that is known of it.
    pub(crate) fn agrees_with(&self, whole: &RowImage, columns: usize) -> bool {
        (0..columns).all(|column| {
            let field = self.field(column);
            field == Field::UnchangedToast || field == whole.field(column)
        })
    }

    /// Number of tuples that the row is made of.
    #[cfg(test)]
    pub(crate) fn layer_count(&self) -> usize {
        self.layers.len()
    }
}

// === impl Layer ===

impl Layer {
    /// The field of a planned column as far as this tuple carries it.
    fn field(&self, column: usize) -> Field<'_> {
        if self.extent == Extent::Identity && !self.binding.in_identity(column) {
            return Field::UnchangedToast;
        }
        self.binding.field(&self.tuple, column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table_plan::{Naming, table_plan};
    use bytes::Bytes;
    use segcdc_model::{
        PgType, QualifiedName, ReplicaIdentity, SourceColumn, SourceTable, TableKind, TupleBuilder,
    };

    fn binding(columns: i16) -> Arc<Binding> {
        let source = SourceTable {
            oid: 1,
            name: QualifiedName::new("public", "t"),
            kind: TableKind::Ordinary,
            columns: (1..=columns)
                .map(|attnum| SourceColumn {
                    name: format!("c{attnum}"),
                    attnum,
                    pg_type: PgType::Text,
                    type_name: "text".to_owned(),
                    not_null: false,
                    generated: false,
                })
                .collect(),
            primary_key: Vec::new(),
            replica_identity: ReplicaIdentity::Full,
            identity_index: Vec::new(),
            indexes: Vec::new(),
            estimated_rows: 0,
            size_bytes: 0,
            heap_pages: 0,
            row_security: false,
            owner: "owner".to_owned(),
        };
        let plan = table_plan(&source, &Naming::new("dbo")).unwrap();
        Arc::new(Binding::in_order(&Arc::new(plan)))
    }

    /// A row of one-letter texts, `^` for a field that was not sent.
    fn image(binding: &Arc<Binding>, fields: &'static str) -> RowImage {
        let mut builder = TupleBuilder::new(Bytes::from_static(fields.as_bytes()), fields.len());
        for (index, field) in fields.bytes().enumerate() {
            if field == b'^' { builder.unchanged_toast() } else { builder.text(index, 1) }
        }
        RowImage::new(Arc::clone(binding), builder.build())
    }

    #[test]
    fn newer_tuples_hide_older_ones() {
        let binding = binding(3);
        let mut row = image(&binding, "a^^");
        row.lay_over(&image(&binding, "xb^"));
        assert_eq!(row.field(0), Field::Text(b"a"));
        assert_eq!(row.value(1), Ok(Value::Text("b")));
        assert_eq!(row.field(2), Field::UnchangedToast);
        assert_eq!(row.value(2), Err(ValueError::NotSent));
        assert_eq!(row.value(3), Err(ValueError::NotSent));
    }

    #[test]
    fn tuples_that_add_nothing_are_dropped() {
        let binding = binding(3);
        let mut row = image(&binding, "ab^");
        for _ in 0..1000 {
            let mut newer = image(&binding, "xy^");
            newer.lay_over(&row);
            row = newer;
        }
        assert_eq!(row.layer_count(), 1);
        let mut newer = image(&binding, "^z^");
        newer.lay_over(&row);
        assert_eq!(newer.layer_count(), 2);
    }

    #[test]
    fn short_tuples_read_as_not_sent() {
        let row = image(&binding(3), "ab");
        assert_eq!(row.field(2), Field::UnchangedToast);
    }
}
