//! [`decide`]: what a new description of a table means for its target table. Pure.
//!
//! ```text
//! KnownTable   what the table was at the checkpoint          --+
//! Relation     what the stream says it is now                  +--> Decision: the same, or steps and the table behind them
//! CatalogTable what the source's catalog says at this moment --+
//! ```
//!
//! The stream does not say what rows have in a new column that were there before it: PostgreSQL does not write them
//! again. The catalog does ([`segcdc_model::Attribute::missing`]). Where PostgreSQL did write all rows again, their values
//! are in no stream, and the table is halted.

use segcdc_model::{CatalogTable, Relation, RelationColumn, SourceColumn, SourceIndex, SourceTable};

use crate::attnums::assign;
use crate::error::PlanError;
use crate::known_table::{KnownColumn, KnownTable, TargetColumn};
use crate::table_plan::{Naming, TablePlan, table_plan_without};

/// What a description means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The table is what it was, and this is known of it now.
    Same(Box<KnownTable>),
    /// The target table has to follow.
    Change(Box<SchemaChange>),
}

/// What has to be done before changes that come with a description can be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaChange {
    /// The table behind it.
    pub known: KnownTable,
    /// Its plan.
    pub plan: TablePlan,
    /// What is to be done, in this order.
    pub steps: Vec<Step>,
}

/// One thing that is to be done to a target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A column is added.
    AddColumn {
        /// The column: its place in the plan behind the change.
        column: usize,
        /// What rows have in it that are there already, as PostgreSQL prints it; `None` for NULL.
        existing: Option<String>,
    },
}

/// What is known when a description is looked into.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    /// The table as of the stream's position.
    pub known: &'a KnownTable,
    /// Its plan.
    pub plan: &'a TablePlan,
    /// What the stream says.
    pub relation: &'a Relation,
    /// What the catalog says.
    pub catalog: &'a CatalogTable,
}

/// A described column that is known, or is new.
enum Column<'a> {
    Known(&'a KnownColumn),
    New,
}

// === impl Step ===

impl Step {
    /// What kind of change it follows.
    pub fn kind(&self) -> &'static str {
        match self {
            Step::AddColumn { .. } => "add-column",
        }
    }

    /// What was changed, for people. Holds names and types, no value.
    pub fn describe(&self, change: &SchemaChange) -> String {
        match self {
            Step::AddColumn { column, existing } => {
                let Some(column) = change.plan.columns.get(*column) else { return String::new() };
                let rows = if existing.is_some() { "the value that the source gave them" } else { "NULL" };
                let (name, mssql_type) = (&column.source_name, column.mssql_type);
                format!("column \"{name}\" was added as {mssql_type}; rows that were there have {rows}")
            }
        }
    }
}

/// Decides what a description means.
///
/// # Errors
/// [`PlanError::SchemaChanged`] where the target table cannot follow, and what keeps the new table from being planned.
pub fn decide(described: Described<'_>, naming: &Naming) -> Result<Decision, PlanError> {
    let Described { known, plan, relation, catalog } = described;
    let changed = |detail: String| changed(known, detail);
    let assignment = assign(known, relation, catalog).ok_or_else(|| {
        changed("which of its columns were renamed, dropped or added cannot be told for certain".to_owned())
    })?;
    let described: Vec<(i16, &RelationColumn)> =
        assignment.attnums.iter().copied().zip(&relation.columns).collect();
    if let Some(gone) = known.columns.iter().find(|column| !assignment.attnums.contains(&column.attnum)) {
        return Err(changed(format!("column \"{}\" was dropped", gone.name)));
    }
    let mut source_columns = Vec::with_capacity(described.len());
    for (attnum, sent) in &described {
        match column_of(known, *attnum) {
            Column::Known(column) => source_columns.push(unchanged(known, column, sent, catalog)?),
            Column::New => source_columns.push(added(known, *attnum, sent, catalog)?),
        }
    }
    let mut after = KnownTable {
        source: source_behind(known, source_columns, catalog),
        last_attnum: assignment.attnums.last().copied().unwrap_or(0).max(known.last_attnum),
        filenode: if is_ahead(known, &described, catalog) { known.filenode } else { catalog.filenode },
        ..known.clone()
    };
    let new: Vec<i16> = described
        .iter()
        .map(|(attnum, _)| *attnum)
        .filter(|attnum| matches!(column_of(known, *attnum), Column::New))
        .collect();
    if new.is_empty() {
        return Ok(Decision::Same(Box::new(after)));
    }
    let left_out: Vec<i16> =
        known.columns.iter().filter(|column| column.target.is_none()).map(|column| column.attnum).collect();
    let wished = table_plan_without(&after.source, naming, &left_out)?;
    for (attnum, sent) in described.iter().filter(|(attnum, _)| new.contains(attnum)) {
        let target = planned(&wished, *attnum).map(TargetColumn::of);
        after.columns.push(KnownColumn {
            attnum: *attnum,
            name: sent.name.clone(),
            type_oid: sent.type_oid,
            type_modifier: sent.type_modifier,
            target,
        });
    }
    let plan = after.plan(naming, &plan.target)?;
    let mut steps = Vec::with_capacity(new.len());
    for attnum in new {
        let index = plan.columns.iter().position(|column| {
            plan.source.columns.get(column.source_index).is_some_and(|source| source.attnum == attnum)
        });
        if let Some(column) = index {
            steps.push(Step::AddColumn { column, existing: existing(known, attnum, catalog)? });
        }
    }
    Ok(Decision::Change(Box::new(SchemaChange { known: after, plan, steps })))
}

/// What rows have in a new column that were there before it.
fn existing(known: &KnownTable, attnum: i16, catalog: &CatalogTable) -> Result<Option<String>, PlanError> {
    let Some(attribute) = catalog.attribute(attnum) else { return Ok(None) };
    if let Some(missing) = &attribute.missing {
        return Ok(Some(missing.clone()));
    }
    // A default that has to be computed for each row makes PostgreSQL write the rows anew, into another file. So does
    // VACUUM FULL, behind which nothing tells any more what rows had.
    let is_rewritten = catalog.filenode != known.filenode;
    let is_partitioned = catalog.filenode == 0;
    if is_rewritten || (is_partitioned && attribute.has_default) {
        let column = catalog.table.columns.iter().find(|column| column.attnum == attnum);
        let name = column.map_or("", |column| column.name.as_str());
        return Err(changed(
            known,
            format!(
                "column \"{name}\" was added and the rows were written anew, which the stream does not show"
            ),
        ));
    }
    Ok(None)
}

/// A column that was known, if it is what it was.
fn unchanged(
    known: &KnownTable,
    column: &KnownColumn,
    sent: &RelationColumn,
    catalog: &CatalogTable,
) -> Result<SourceColumn, PlanError> {
    if column.name != sent.name {
        return Err(changed(known, format!("column \"{}\" was renamed to \"{}\"", column.name, sent.name)));
    }
    if (column.type_oid, column.type_modifier) != (sent.type_oid, sent.type_modifier) {
        return Err(changed(known, format!("column \"{}\" has another type", column.name)));
    }
    let live = catalog.table.columns.iter().find(|live| live.attnum == column.attnum);
    if live.is_some_and(|live| !live.not_null)
        && column.target.as_ref().is_some_and(|target| !target.nullable)
    {
        return Err(changed(known, format!("column \"{}\" allows NULL now", column.name)));
    }
    let source = known.source.columns.iter().find(|source| source.attnum == column.attnum);
    source.cloned().ok_or_else(|| changed(known, format!("column \"{}\" is not known", column.name)))
}

/// A new column.
fn added(
    known: &KnownTable,
    attnum: i16,
    sent: &RelationColumn,
    catalog: &CatalogTable,
) -> Result<SourceColumn, PlanError> {
    let live = catalog.table.columns.iter().find(|live| live.attnum == attnum);
    let type_is_sent = catalog.attribute(attnum).is_some_and(|attribute| {
        (attribute.type_oid, attribute.type_modifier) == (sent.type_oid, sent.type_modifier)
    });
    match live.filter(|_| type_is_sent) {
        // Rows between this position and a later SET NOT NULL may have NULL.
        Some(live) => Ok(SourceColumn { name: sent.name.clone(), not_null: false, ..live.clone() }),
        None => Err(changed(known, format!("column \"{}\" was added, and changed again since", sent.name))),
    }
}

/// Whether the catalog has columns that are not described, or has not those that are: the table was changed since, and what
/// else the catalog says of it need not have been so yet.
fn is_ahead(known: &KnownTable, described: &[(i16, &RelationColumn)], catalog: &CatalogTable) -> bool {
    let is_as_sent = |(attnum, sent): &(i16, &RelationColumn)| {
        let live = catalog.table.columns.iter().find(|live| live.attnum == *attnum);
        let types = catalog.attribute(*attnum).map(|now| (now.type_oid, now.type_modifier));
        live.is_some_and(|live| live.name == sent.name) && types == Some((sent.type_oid, sent.type_modifier))
    };
    let is_missing = |attnum: i16| {
        let is_generated = catalog.table.columns.iter().any(|live| live.attnum == attnum && live.generated);
        attnum > known.last_attnum && !is_generated && described.iter().all(|(sent, _)| *sent != attnum)
    };
    !described.iter().all(is_as_sent)
        || catalog.attributes.iter().any(|attribute| is_missing(attribute.attnum))
}

/// The table with these columns.
fn source_behind(known: &KnownTable, mut columns: Vec<SourceColumn>, catalog: &CatalogTable) -> SourceTable {
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

/// Whether a column is known.
fn column_of(known: &KnownTable, attnum: i16) -> Column<'_> {
    known.column(attnum).map_or(Column::New, Column::Known)
}

/// The planned column of a number.
fn planned(plan: &TablePlan, attnum: i16) -> Option<&crate::table_plan::ColumnPlan> {
    plan.columns.iter().find(|column| {
        plan.source.columns.get(column.source_index).is_some_and(|source| source.attnum == attnum)
    })
}

/// The table cannot follow.
fn changed(known: &KnownTable, detail: String) -> PlanError {
    PlanError::SchemaChanged { oid: known.source.oid, table: known.source.name.clone(), detail }
}
