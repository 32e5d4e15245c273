//! What the catalog says of the columns of a table, which may be ahead of the stream. Pure.

use segcdc_model::{Attribute, RelationColumn, SourceColumn, SourceIndex, SourceTable};

use super::Columns;
use crate::error::PlanError;
use crate::schema_change::{Described, changed};

// === impl Columns ===

impl<'a> Columns<'a> {
    /// Whether a column was dropped since.
    pub(super) fn is_gone(&self, attnum: i16) -> bool {
        self.attribute(attnum).is_some_and(|attribute| attribute.is_dropped)
    }

    /// Whether a column has the type that is sent, as far as its length and the like do not count.
    pub(super) fn is_of_oid(&self, attnum: i16, sent: &RelationColumn) -> bool {
        self.attribute(attnum).is_some_and(|attribute| attribute.type_oid == sent.type_oid)
    }

    /// The table with these columns.
    pub(super) fn table_of(&self, mut columns: Vec<SourceColumn>) -> SourceTable {
        let Described { known, catalog, .. } = self.described;
        columns.extend(catalog.table.columns.iter().filter(|column| column.generated).cloned());
        columns.sort_by_key(|column| column.attnum);
        columns.dedup_by_key(|column| column.attnum);
        let index = |before: &usize| {
            let attnum = known.source.columns.get(*before)?.attnum;
            columns.iter().position(|column| column.attnum == attnum)
        };
        let primary_key = known.source.primary_key.iter().filter_map(index).collect();
        let identity_index = known.source.identity_index.iter().filter_map(index).collect();
        let indexes = known.source.indexes.iter().filter_map(|before| {
            let columns = before.columns.iter().map(index).collect::<Option<Vec<_>>>()?;
            Some(SourceIndex { columns, ..before.clone() })
        });
        let indexes = indexes.collect();
        SourceTable { columns, primary_key, identity_index, indexes, ..known.source.clone() }
    }

    /// Whether the source has written the rows anew since the table was last seen.
    pub(super) fn is_rewritten(&self) -> bool {
        self.described.catalog.filenode != self.described.known.filenode
    }

    /// Whether the catalog has columns that are not described, or has not those that are: the table was changed since, and
    /// what else the catalog says of it need not have been so yet.
    pub(super) fn is_ahead(&self) -> bool {
        let Described { known, catalog, .. } = self.described;
        let is_as_sent = |(attnum, sent): &(i16, &RelationColumn)| {
            let types = self.attribute(*attnum).map(|now| (now.type_oid, now.type_modifier));
            self.live(*attnum).is_some_and(|live| live.name == sent.name)
                && types == Some((sent.type_oid, sent.type_modifier))
        };
        let is_missing = |attnum: i16| {
            attnum > known.last_attnum
                && !self.live(attnum).is_some_and(|live| live.generated)
                && self.sent.iter().all(|(sent, _)| *sent != attnum)
        };
        !self.sent.iter().all(is_as_sent)
            || catalog.attributes.iter().any(|attribute| is_missing(attribute.attnum))
    }

    /// What the catalog says of a column, if it is there.
    pub(super) fn live(&self, attnum: i16) -> Option<&'a SourceColumn> {
        self.described.catalog.live(attnum)
    }

    /// The column in the catalog, dropped or not.
    pub(super) fn attribute(&self, attnum: i16) -> Option<&'a Attribute> {
        self.described.catalog.attribute(attnum)
    }

    /// A column as it was known.
    pub(super) fn source_before(&self, attnum: i16) -> Result<&'a SourceColumn, PlanError> {
        column_of(&self.described.known.source, attnum).ok_or_else(|| self.unknown(attnum))
    }

    /// A column as it is behind the change.
    pub(super) fn source_column(&self, attnum: i16) -> Result<&SourceColumn, PlanError> {
        column_of(&self.source, attnum).ok_or_else(|| self.unknown(attnum))
    }

    pub(super) fn unknown(&self, attnum: i16) -> PlanError {
        changed(self.described.known, format!("column {attnum} is not known"))
    }
}

fn column_of(table: &SourceTable, attnum: i16) -> Option<&SourceColumn> {
    table.columns.iter().find(|column| column.attnum == attnum)
}
