//! [`Binding`]: where the stream carries each planned column.

use std::borrow::Cow;
use std::sync::Arc;

use segcdc_model::mutant::{Mutant, is_planted};
use segcdc_model::{ArrayElement, Field, OldTuple, PgType, Relation, RelationColumn, Tuple};

use crate::error::PlanError;
use crate::json_array;
use crate::rewriter::{self, Rewriter};
use crate::table_plan::TablePlan;

/// Which field of a tuple each column of a [`TablePlan`] is. Valid for the tuples of one [`Relation`], or of one COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    table: Arc<TablePlan>,
    /// Field index of each planned column.
    fields: Box<[usize]>,
    /// Whether each planned column is part of the replica identity.
    identity: Box<[bool]>,
    /// Whether the stream identifies old rows by at least the planned key.
    identity_covers_key: bool,
    /// What tuples become before they are read by this; `None` where they stay as they are.
    rewriter: Option<Rewriter>,
}

// === impl Binding ===

impl Binding {
    /// The binding of tuples whose fields are the planned columns, in their order: what COPY of exactly these columns
    /// gives, rewritten by [`Rewriter::in_order`] already. All columns count as replica identity.
    pub fn in_order(table: &Arc<TablePlan>) -> Self {
        Binding {
            table: Arc::clone(table),
            fields: (0..table.columns.len()).collect(),
            identity: vec![true; table.columns.len()].into(),
            identity_covers_key: true,
            rewriter: None,
        }
    }

    /// The row of a tuple that the stream sent: what [`Binding::field`] reads. Has to be asked for each of them first.
    ///
    /// # Errors
    /// [`PlanError::Value`] for a value that cannot be masked.
    pub fn rewritten<'t>(&self, tuple: &'t Tuple) -> Result<Cow<'t, Tuple>, PlanError> {
        rewriter::rewritten(self.rewriter.as_ref(), &self.table, tuple)
    }

    /// The same of an old row.
    ///
    /// # Errors
    /// As [`Binding::rewritten`].
    pub fn rewritten_old<'t>(&self, old: &'t OldTuple) -> Result<Cow<'t, OldTuple>, PlanError> {
        if self.rewriter.is_none() {
            return Ok(Cow::Borrowed(old));
        }
        Ok(Cow::Owned(match old {
            OldTuple::Full(tuple) => OldTuple::Full(self.rewritten(tuple)?.into_owned()),
            OldTuple::Key(tuple) => OldTuple::Key(self.rewritten(tuple)?.into_owned()),
        }))
    }

    /// The planned table.
    pub fn table(&self) -> &Arc<TablePlan> {
        &self.table
    }

    /// The field of a planned column. A tuple that is too short, which only a fault of the stream's decoder makes,
    /// reads as not sent, never as NULL.
    pub fn field<'a>(&self, tuple: &'a Tuple, column: usize) -> Field<'a> {
        let field = self.fields.get(column).and_then(|index| tuple.get(*index));
        match field.unwrap_or(Field::UnchangedToast) {
            Field::UnchangedToast if is_planted(Mutant::ToastAsNull) => Field::Null,
            field => field,
        }
    }

    /// Whether a planned column is part of the replica identity.
    pub fn in_identity(&self, column: usize) -> bool {
        self.identity.get(column).copied().unwrap_or(false)
    }

    /// Whether old rows are identified by at least the planned key.
    pub fn identity_covers_key(&self) -> bool {
        self.identity_covers_key
    }
}

/// Finds each planned column in the stream's shape of the table.
///
/// A changed length, precision or scale is accepted: the encoder refuses each value that does not fit, and the others
/// go on. A changed name of the table is accepted too: its OID is its identity.
///
/// # Errors
/// [`PlanError::SchemaChanged`] when a planned column is missing or has another type, or when the stream carries a
/// column that the plan does not know, whose values would be lost.
pub fn bind(table: &Arc<TablePlan>, relation: &Relation) -> Result<Binding, PlanError> {
    let changed = |detail: String| PlanError::SchemaChanged {
        oid: table.source.oid,
        table: table.source.name.clone(),
        detail,
    };
    let mut fields = Vec::with_capacity(table.columns.len());
    let mut identity = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        if column.constant.is_some() {
            // Behind all that is sent.
            let behind = fields.iter().filter(|field| **field >= relation.columns.len()).count();
            fields.push(relation.columns.len() + behind);
            identity.push(false);
            continue;
        }
        let found = relation.columns.iter().enumerate().find(|(_, sent)| sent.name == column.source_name);
        let Some((index, sent)) = found else {
            return Err(changed(format!("column \"{}\" is not sent any more", column.source_name)));
        };
        // Every type has a text, which is all that is asked of such a column.
        let any_type = column.as_text;
        let other_elements = column.array.is_some_and(|element| {
            json_array::element_of_oid(sent.type_oid).unwrap_or(ArrayElement::Text) != element
        });
        if other_elements || !any_type && !may_carry(sent, column.sent_type()) {
            return Err(changed(format!("column \"{}\" has another type", column.source_name)));
        }
        fields.push(index);
        identity.push(sent.key);
    }
    if let Some(extra) = relation.columns.iter().find(|sent| !is_known(table, &sent.name)) {
        return Err(changed(format!("column \"{}\" was added", extra.name)));
    }
    let covers = |column: &usize| identity.get(*column).copied().unwrap_or(false);
    let identity_covers_key = table.key_columns().iter().all(covers);
    let rewriter = Rewriter::new(table, relation.columns.len(), |column| fields.get(column).copied());
    Ok(Binding {
        table: Arc::clone(table),
        fields: fields.into(),
        identity: identity.into(),
        identity_covers_key,
        rewriter,
    })
}

/// Whether the plan has the column, or has left it out on purpose.
fn is_known(table: &TablePlan, name: &str) -> bool {
    // Planned or left out.
    table.source.columns.iter().any(|column| column.name == name)
}

/// Whether a column of the stream can be of the planned type. Only OIDs that every server shares say something:
/// domains, enums and extension types have numbers of their own.
fn may_carry(sent: &RelationColumn, planned: &PgType) -> bool {
    match sent.type_oid {
        16 => matches!(planned, PgType::Bool),
        17 => matches!(planned, PgType::Bytea),
        19 => matches!(planned, PgType::Name),
        20 => matches!(planned, PgType::Int8),
        21 => matches!(planned, PgType::Int2),
        23 => matches!(planned, PgType::Int4),
        25 => matches!(planned, PgType::Text),
        26 => matches!(planned, PgType::Oid),
        114 => matches!(planned, PgType::Json),
        700 => matches!(planned, PgType::Float4),
        701 => matches!(planned, PgType::Float8),
        // Without a length, char and varchar may be planned as text.
        1042 => matches!(planned, PgType::Char { .. } | PgType::Text),
        1043 => matches!(planned, PgType::Varchar { .. } | PgType::Text),
        1082 => matches!(planned, PgType::Date),
        1083 => matches!(planned, PgType::Time),
        1114 => matches!(planned, PgType::Timestamp),
        1184 => matches!(planned, PgType::TimestampTz),
        790 => matches!(planned, PgType::Money { .. }),
        1560 => matches!(planned, PgType::Bit | PgType::Other),
        1700 => matches!(planned, PgType::Numeric { .. }),
        2950 => matches!(planned, PgType::Uuid),
        3802 => matches!(planned, PgType::Jsonb),
        // Intervals, arrays and the like are planned as text; another built-in type is not what an enum, a domain
        // or an extension type has become.
        _ => !(is_scalar(planned) && sent.type_oid < FIRST_GENERATED_OID),
    }
}

/// OIDs below it are assigned by hand in the source of PostgreSQL (`FirstGenbkiObjectId`) and the same everywhere.
const FIRST_GENERATED_OID: u32 = 10_000;

/// Whether the type has a built-in OID of its own in the list above.
fn is_scalar(planned: &PgType) -> bool {
    !matches!(planned, PgType::Other | PgType::Enum | PgType::Text)
}
