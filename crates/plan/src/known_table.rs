//! [`KnownTable`]: a table as the stream has shown it up to a position, and what its target table has for it.
//!
//! The source's catalog tells what a table is now; the stream may still carry what it was. So what was known at the
//! checkpoint is stored with the checkpoint, and the next change of the table is judged against that.

use std::sync::Arc;

use segcdc_model::{CatalogTable, Lsn, MssqlType, QualifiedName, Relation, ReplicaIdentity, SourceTable};
use serde::{Deserialize, Serialize};

use crate::error::PlanError;
use crate::key;
use crate::rules::{Constant, Mask, TargetMode};
use crate::table_plan::{ColumnPlan, Decided, Naming, TablePlan, table_plan_as};

/// Version of what is stored. A later one is refused.
pub const VERSION: u32 = 1;

/// A table as it was at a position of the stream. Stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownTable {
    /// [`VERSION`]
    pub version: u32,
    /// The table as the catalog would have described it then.
    pub source: SourceTable,
    /// Its columns that the stream carries, by `attnum`.
    pub columns: Vec<KnownColumn>,
    /// The highest number that a column of the table had had.
    pub last_attnum: i16,
    /// Its file when it was last seen in this shape; 0 for none.
    pub filenode: u32,
    /// Columns of the target table that the source has no more, by their names there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// The columns that only the target has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constants: Vec<Constant>,
    /// How the target table keeps rows.
    #[serde(default, skip_serializing_if = "TargetMode::is_usual")]
    pub mode: TargetMode,
    /// How the stream names old rows, where that is not what [`KnownTable::source`] says: the target was not to follow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_identity: Option<SentIdentity>,
}

/// How the stream names old rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentIdentity {
    /// What it sends of them.
    pub identity: ReplicaIdentity,
    /// Numbers of the columns that it sends, ascending; none where it sends whole rows, or nothing.
    pub columns: Vec<i16>,
}

/// A column that the stream carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownColumn {
    /// `pg_attribute.attnum`
    pub attnum: i16,
    /// Its name at the source.
    pub name: String,
    /// Type OID, as the stream sends it.
    pub type_oid: u32,
    /// Type modifier.
    pub type_modifier: i32,
    /// The column of the target table; `None` for one that is not written.
    pub target: Option<TargetColumn>,
    /// How far the source had written when its catalog was first seen to say that the column takes no NULL any more, which
    /// the target's is to follow: rows up to there may have some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_null_at: Option<Lsn>,
}

/// A column of a target table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub mssql_type: MssqlType,
    /// Whether it allows NULL.
    pub nullable: bool,
    /// What stands in it for the source's values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
}

/// What is known of a table whose changes are applied, and which descriptions of the stream were found to say just that.
#[derive(Debug, Clone)]
pub struct Known {
    /// The table.
    pub table: Arc<KnownTable>,
    /// The descriptions: a change that comes with another one has to be looked into first.
    pub admitted: Vec<Arc<Relation>>,
}

// === impl KnownTable ===

impl KnownTable {
    /// The table of the catalog, of which `plan` was made.
    pub fn new(catalog: &CatalogTable, plan: &TablePlan) -> Self {
        let columns = catalog.table.columns.iter().filter_map(|column| {
            let attribute = catalog.attribute(column.attnum)?;
            let target = plan.of_attnum(column.attnum).map(TargetColumn::of);
            (target.is_some() || !column.generated).then(|| KnownColumn {
                attnum: column.attnum,
                name: column.name.clone(),
                type_oid: attribute.type_oid,
                type_modifier: attribute.type_modifier,
                target,
                not_null_at: None,
            })
        });
        KnownTable {
            version: VERSION,
            source: catalog.table.clone(),
            columns: columns.collect(),
            last_attnum: catalog.last_attnum(),
            filenode: catalog.filenode,
            kept: Vec::new(),
            constants: plan.constants(),
            mode: plan.mode,
            sent_identity: None,
        }
    }

    /// How the stream has named old rows so far.
    pub(crate) fn sent_identity(&self) -> SentIdentity {
        self.sent_identity.clone().unwrap_or_else(|| SentIdentity::of(&self.source))
    }

    /// The plan of the table, whose target table is `target`.
    ///
    /// # Errors
    /// As [`crate::table_plan()`].
    pub fn plan(&self, naming: &Naming, target: &QualifiedName) -> Result<TablePlan, PlanError> {
        let mut plan = table_plan_as(&self.source, naming, &self.decided(self.left_out()))?;
        plan.target.clone_from(target);
        let TablePlan { source, columns, .. } = &mut plan;
        for column in columns {
            let attnum = source.columns.get(column.source_index).map(|source| source.attnum);
            let known = attnum.and_then(|attnum| self.column(attnum)).and_then(|known| known.target.as_ref());
            if let Some(TargetColumn { name, mssql_type, nullable, .. }) = known {
                column.name.clone_from(name);
                (column.mssql_type, column.nullable) = (*mssql_type, *nullable);
            }
        }
        Ok(plan)
    }

    /// The column with this number.
    pub fn column(&self, attnum: i16) -> Option<&KnownColumn> {
        self.columns.iter().find(|column| column.attnum == attnum)
    }

    /// Whether a description says of names and types what is known.
    pub fn is_described_by(&self, relation: &Relation) -> bool {
        let same = |(known, sent): (&KnownColumn, &segcdc_model::RelationColumn)| {
            known.name == sent.name
                && known.type_oid == sent.type_oid
                && known.type_modifier == sent.type_modifier
        };
        self.columns.len() == relation.columns.len() && self.columns.iter().zip(&relation.columns).all(same)
    }

    /// What was decided of its columns, of which these are not written.
    pub(crate) fn decided(&self, left_out: Vec<i16>) -> Decided<'_> {
        let mask = |column: &KnownColumn| Some((column.attnum, column.target.as_ref()?.mask));
        Decided {
            left_out,
            masks: self.columns.iter().filter_map(mask).collect(),
            constants: Some(&self.constants),
            mode: Some(self.mode),
        }
    }

    /// Numbers of the columns that are not written.
    fn left_out(&self) -> Vec<i16> {
        self.columns.iter().filter(|column| column.target.is_none()).map(|column| column.attnum).collect()
    }
}

// === impl SentIdentity ===

impl SentIdentity {
    /// How the stream names old rows of a table that is so.
    pub(crate) fn of(source: &SourceTable) -> Self {
        let number = |index: &usize| source.columns.get(*index).map(|column| column.attnum);
        let mut columns: Vec<i16> = key::identity_columns(source).iter().filter_map(number).collect();
        columns.sort_unstable();
        SentIdentity { identity: source.replica_identity, columns }
    }
}

// === impl TargetColumn ===

impl TargetColumn {
    /// The column that was planned.
    pub fn of(column: &ColumnPlan) -> Self {
        let ColumnPlan { name, mssql_type, nullable, mask, .. } = column;
        TargetColumn {
            name: name.clone(),
            mssql_type: *mssql_type,
            nullable: *nullable,
            mask: mask.as_ref().map(|mask| mask.mask),
        }
    }
}

// === impl Known ===

impl Known {
    /// A table of which no description has come yet.
    pub fn new(table: KnownTable) -> Self {
        Known { table: Arc::new(table), admitted: Vec::new() }
    }

    /// Whether a description was looked into.
    pub fn admits(&self, relation: &Arc<Relation>) -> bool {
        self.admitted.iter().any(|admitted| Arc::ptr_eq(admitted, relation))
    }
}
