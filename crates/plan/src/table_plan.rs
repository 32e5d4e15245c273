//! [`TablePlan`]: the target table that a source table becomes.

use std::borrow::Cow;
use std::collections::HashMap;

use segcdc_model::{ArrayElement, MssqlType, PgType, QualifiedName, ReplicaIdentity, SourceTable, TableKind};

use crate::column_choice;
use crate::column_mask::ColumnMask;
use crate::error::PlanError;
use crate::key;
use crate::mask_salt::MaskSalt;
use crate::rules::{Constant, Mask, OnChange, OnRefused, Rules, TargetMode, ValuePolicy};
use crate::target_name;
use crate::type_map;

use self::planned_column::Place;

mod constant_column;
mod mask_choice;
mod mode_choice;
mod planned_column;

/// Columns that an ordinary SQL Server table may have.
const MAX_COLUMNS: usize = 1024;

/// Columns that a table's staging table has beside a copy of all columns and of the key.
const STAGING_COLUMNS: usize = 2;

/// Schemas of the target that belong to the server or to the product, lower case.
const RESERVED_SCHEMAS: [&str; 3] = ["sys", "information_schema", "segcdc"];

/// What stands for the place in the source's columns of a column that the source has not.
pub const NO_SOURCE: usize = usize::MAX;

/// How names of the source become names of the target, and what the user says about tables and columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The target schema for the source's `public`, usually `dbo`; other schemas keep their name.
    pub default_schema: String,
    /// What the user says.
    pub rules: Rules,
    /// What hashes of masked columns are made with, if anybody said.
    pub salt: Option<MaskSalt>,
}

/// What was decided of the columns of a table when they were first seen, and stays, whatever they are called later.
#[derive(Debug, Clone, Default)]
pub struct Decided<'a> {
    /// Numbers of the columns that are not replicated.
    pub left_out: Vec<i16>,
    /// The masks of columns, by number; the rules say those of others.
    pub masks: Vec<(i16, Option<Mask>)>,
    /// The columns that only the target has; `None` for those that the rules say.
    pub constants: Option<&'a [Constant]>,
    /// How rows are kept; `None` for what the rules say.
    pub mode: Option<TargetMode>,
}

/// A wanted target table and where its columns come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePlan {
    /// The table as the source's catalog described it when the plan was made; columns
    /// whose text is wanted ([`ColumnPlan::as_text`]) as [`PgType::Other`], so that their values are asked for as text.
    pub source: SourceTable,
    /// Schema and name in the target.
    pub target: QualifiedName,
    /// Columns in the target's order. Columns that the stream does not carry (stored generated ones) are left out.
    pub columns: Vec<ColumnPlan>,
    /// What identifies a row.
    pub key: TableKey,
    /// How rows are kept.
    pub mode: TargetMode,
    /// SQL condition of the source that rows have to meet; `None` for all rows.
    pub filter: Option<String>,
    /// How many rows may be set aside.
    pub letter_limit: u64,
    /// What becomes of rows that the target's table refuses.
    pub on_refused: OnRefused,
}

/// One column of a [`TablePlan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPlan {
    /// Index into the source table's columns; [`NO_SOURCE`] for a constant.
    pub source_index: usize,
    /// Name in the source; of a constant its own.
    pub source_name: String,
    /// Name in the target: the same, unless a rule says another.
    pub name: String,
    /// Type in the source; [`PgType::Other`] where the user wants the text; of what stands for it, where it is masked.
    pub pg_type: PgType,
    /// Type in the target.
    pub mssql_type: MssqlType,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// What becomes of values that the target's type cannot hold.
    pub policy: ValuePolicy,
    /// The values of whatever type are asked for as the text that PostgreSQL prints.
    pub as_text: bool,
    /// It is an array that becomes JSON, and what its elements become.
    pub array: Option<ArrayElement>,
    /// How its values are masked.
    pub mask: Option<ColumnMask>,
    /// The value that every row has, of a column that only the target has.
    pub constant: Option<String>,
    /// Bytes that a large value may have at the target; `None` where it is sent in pieces, see [`TablePlan::bound_large`].
    pub most_large_bytes: Option<u64>,
}

/// What identifies a row of the target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableKey {
    /// Indices into the plan's columns, in key order: the primary key, or the replica identity index.
    Columns(Vec<usize>),
    /// No key and REPLICA IDENTITY FULL: rows are matched by their whole content, one at a time.
    WholeRow,
    /// Rows are only added, because the user says so; and what becomes of other changes.
    AppendOnly(OnChange),
    /// Nothing identifies a row: only INSERT and TRUNCATE can be applied.
    Unidentified,
}

// === impl Naming ===

impl Naming {
    /// Names as they are, and no rules.
    pub fn new(default_schema: impl Into<String>) -> Self {
        Naming { default_schema: default_schema.into(), rules: Rules::default(), salt: None }
    }

    /// The same with rules.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Naming { rules, ..self }
    }

    /// The same with what hashes are made with.
    #[must_use]
    pub fn with_salt(self, salt: Option<MaskSalt>) -> Self {
        Naming { salt, ..self }
    }
}

// === impl TableKey ===

impl TableKey {
    /// The key's columns; empty for a table without a key.
    pub fn columns(&self) -> &[usize] {
        match self {
            TableKey::Columns(columns) => columns,
            TableKey::WholeRow | TableKey::AppendOnly(_) | TableKey::Unidentified => &[],
        }
    }
}

// === impl ColumnPlan ===

impl ColumnPlan {
    /// The type of the values that the source sends, masked or not.
    pub fn sent_type(&self) -> &PgType {
        self.mask.as_ref().map_or(&self.pg_type, |mask| &mask.pg_type)
    }

    /// What its type refuses of the source's values, for people; `None` when it holds them all.
    pub fn refuses(&self, in_key: bool) -> Option<Cow<'static, str>> {
        match (self.array, self.mssql_type) {
            (Some(_), MssqlType::Json) => {
                let (arrays, documents) = (type_map::ARRAY_LOSS, type_map::DOCUMENT_LOSS);
                return Some(format!("{arrays}, and {documents} are refused").into());
            }
            (Some(_), _) => return Some(format!("{} are refused", type_map::ARRAY_LOSS).into()),
            (None, _) => {}
        }
        type_map::narrowing(&self.pg_type, &self.mssql_type, in_key)
    }
}

// === impl TablePlan ===

impl TablePlan {
    /// The column that says when a row was deleted, of a table that keeps such rows.
    pub fn marker(&self) -> Option<&'static str> {
        self.mode.marker()
    }

    /// The key's columns as indices into `columns`; empty for a table without a key.
    pub fn key_columns(&self) -> &[usize] {
        self.key.columns()
    }

    /// Indices into the source table's columns of the planned ones, in their order: what a copy asks for.
    pub fn source_columns(&self) -> Vec<usize> {
        let sent = self.columns.iter().filter(|column| column.constant.is_none());
        sent.map(|column| column.source_index).collect()
    }

    /// The columns that only the target has.
    pub(crate) fn constants(&self) -> Vec<Constant> {
        let constant = |column: &ColumnPlan| {
            let (name, mssql_type) = (column.name.clone(), column.mssql_type);
            Some(Constant { name, mssql_type, value: column.constant.clone()? })
        };
        self.columns.iter().filter_map(constant).collect()
    }

    /// Whether a column of the key is masked, so that rows cannot be asked for by what the target holds of it.
    pub fn has_masked_key(&self) -> bool {
        let mut key = self.key_columns().iter().filter_map(|index| self.columns.get(*index));
        key.any(|column| column.mask.is_some())
    }

    /// Bounds the bytes of large values, for a target that takes them as a whole only.
    pub fn bound_large(&mut self, most_bytes: Option<u64>) {
        for column in &mut self.columns {
            column.most_large_bytes = most_bytes;
        }
    }

    /// The place of the column with this number in the source, if it is planned.
    pub fn index_of_attnum(&self, attnum: i16) -> Option<usize> {
        let is_it = |column: &ColumnPlan| {
            self.source.columns.get(column.source_index).is_some_and(|source| source.attnum == attnum)
        };
        self.columns.iter().position(is_it)
    }

    /// The column with this number in the source, if it is planned.
    pub fn of_attnum(&self, attnum: i16) -> Option<&ColumnPlan> {
        self.columns.get(self.index_of_attnum(attnum)?)
    }

    /// Whether the column with this number is part of the key.
    pub fn of_attnum_in_key(&self, attnum: i16) -> bool {
        self.index_of_attnum(attnum).is_some_and(|column| self.is_key(column))
    }

    /// The column list that a publication of the table may have, by names at the source; `None` where it has to send all
    /// columns.
    ///
    /// PostgreSQL refuses the application's UPDATE and DELETE when the replica identity is not in the list, and with
    /// REPLICA IDENTITY FULL whatever is listed (CREATE PUBLICATION, "Notes"). Partitions may have FULL where their root
    /// has not.
    pub fn column_list(&self, rules: &Rules) -> Option<Vec<String>> {
        let source = &self.source;
        rules.columns(&source.name)?;
        let identity = match source.replica_identity {
            ReplicaIdentity::Default => &source.primary_key,
            ReplicaIdentity::Index => &source.identity_index,
            ReplicaIdentity::Full | ReplicaIdentity::Nothing => return None,
        };
        let is_planned = |index: &usize| self.columns.iter().any(|column| column.source_index == *index);
        let can = identity.iter().all(is_planned) && source.kind != TableKind::Partitioned;
        let sent = self.columns.iter().filter(|column| column.constant.is_none());
        can.then(|| sent.map(|column| column.source_name.clone()).collect())
    }

    /// Whether `column` is part of the key.
    pub fn is_key(&self, column: usize) -> bool {
        self.key_columns().contains(&column)
    }
}

/// Plans the target table of `source`.
///
/// # Errors
/// When the table cannot be streamed, or SQL Server cannot have such a table; the cases of [`PlanError`] say which.
pub fn table_plan(source: &SourceTable, naming: &Naming) -> Result<TablePlan, PlanError> {
    let left_out = column_choice::left_out(source, &naming.rules)?;
    mask_choice::check_names(source, &naming.rules)?;
    table_plan_as(source, naming, &Decided { left_out, ..Decided::default() })
}

/// The table as it was decided, whatever the rules say of columns that are replicated: what was decided of a column when it
/// was first seen stays, whatever it is called later.
///
/// # Errors
/// As [`table_plan()`].
pub fn table_plan_as(
    source: &SourceTable,
    naming: &Naming,
    decided: &Decided<'_>,
) -> Result<TablePlan, PlanError> {
    check_kind(source)?;
    let target = target_of(&source.name, naming)?;
    if let Some(reason) = target_name::trouble(&target) {
        return Err(PlanError::TargetName { table: source.name.clone(), target: Box::new(target), reason });
    }
    let identity = key::identify(source, &naming.rules)?;
    let old_rows = key::identity_columns(source).to_vec();
    let mut source = source.clone();
    let mut columns: Vec<ColumnPlan> = Vec::with_capacity(source.columns.len());
    for (source_index, column) in source.columns.iter_mut().enumerate() {
        let in_key = identity.source_columns().contains(&source_index);
        if decided.left_out.contains(&column.attnum) {
            column_choice::check_not_in_key(&source.name, column, in_key)?;
            continue;
        }
        if column.generated && !in_key {
            continue;
        }
        if column.pg_type == PgType::MoneyOfUnknownDigits {
            return Err(PlanError::MoneyLocale { table: source.name.clone(), column: column.name.clone() });
        }
        let place = Place { table: &source.name, source_index, in_key };
        let identifies = in_key || old_rows.contains(&source_index);
        let mask = mask_choice::decide(place.table, column, identifies, naming, decided)?;
        columns.push(match mask {
            Some(mask) if mask.mask == Mask::Hash => planned_column::hashed(place, column, mask, naming)?,
            mask => planned_column::planned(place, column, mask, naming)?,
        });
    }
    let constants = match decided.constants {
        Some(constants) => constants.iter().collect(),
        None => naming.rules.constants(&source.name),
    };
    constant_column::add(&source.name, &constants, &mut columns)?;
    let source = &source;
    let mode = decided.mode.unwrap_or_else(|| naming.rules.mode(&source.name));
    mode_choice::check(source, mode, &identity, &columns)?;
    let more = usize::from(mode.marker().is_some());
    check_columns(source, &columns, identity.source_columns().len() + more)?;
    let key = identity.in_plan(&columns);
    key::fit_width(source, &mut columns, key.columns())?;
    let filter = naming.rules.filter(&source.name).map(|filter| filter.sql().to_owned());
    let letter_limit = naming.rules.letter_limit(&source.name);
    let on_refused = naming.rules.on_refused(&source.name);
    Ok(TablePlan { source: source.clone(), target, columns, key, mode, filter, letter_limit, on_refused })
}

/// Checks that no two plans have the same target table, however the target's collation compares names.
///
/// # Errors
/// [`PlanError::TargetNameClash`] naming both source tables.
pub fn check_targets<'a>(plans: impl IntoIterator<Item = &'a TablePlan>) -> Result<(), PlanError> {
    check_target_names(plans.into_iter().map(|plan| (&plan.source.name, &plan.target)))
}

/// As [`check_targets`], for source tables and their target tables.
///
/// # Errors
/// [`PlanError::TargetNameClash`] naming both source tables.
pub fn check_target_names<'a>(
    tables: impl IntoIterator<Item = (&'a QualifiedName, &'a QualifiedName)>,
) -> Result<(), PlanError> {
    let tables: Vec<_> = tables.into_iter().collect();
    let mut seen: HashMap<(String, String), &QualifiedName> = HashMap::with_capacity(tables.len());
    for (source, target) in &tables {
        if let Some(other) = seen.insert(target_name::folded(target), source) {
            return Err(clash((source, target), other, tables.iter().map(|(_, target)| *target)));
        }
    }
    Ok(())
}

/// The error of two tables whose targets are one name to the target's database, by a collation that this crate does not know.
pub fn targets_alike<'a>(
    plans: impl Iterator<Item = &'a TablePlan> + Clone,
    table: &TablePlan,
    other: &TablePlan,
) -> PlanError {
    let targets = plans.map(|plan| &plan.target);
    clash((&table.source.name, &table.target), &other.source.name, targets)
}

/// The same of two columns of a table, by their place in its plan.
pub fn columns_alike(table: &TablePlan, column: usize, other: usize) -> Option<PlanError> {
    let (column, other) = (table.columns.get(column)?, table.columns.get(other)?);
    Some(column_clash(&table.source, &table.columns, column, &other.source_name))
}

/// The error of a table whose target another one has.
fn clash<'a>(
    (table, target): (&QualifiedName, &QualifiedName),
    other: &QualifiedName,
    targets: impl Iterator<Item = &'a QualifiedName> + Clone,
) -> PlanError {
    let taken = |name: &str| {
        let wanted = target_name::folded(&QualifiedName::new(target.schema.clone(), name));
        targets.clone().any(|target| target_name::folded(target) == wanted)
    };
    PlanError::TargetNameClash {
        table: table.clone(),
        other: Box::new(other.clone()),
        free: target_name::free(&target.name, taken),
        target: Box::new(target.clone()),
    }
}

/// The error of a column whose name another one has.
fn column_clash(source: &SourceTable, columns: &[ColumnPlan], column: &ColumnPlan, other: &str) -> PlanError {
    let taken = |name: &str| {
        let folded = target_name::fold(name);
        columns.iter().any(|column| target_name::fold(&column.name) == folded)
    };
    PlanError::ColumnNameClash {
        table: source.name.clone(),
        column: column.source_name.clone(),
        other: other.to_owned(),
        free: target_name::free(&column.name, taken),
    }
}

/// Refuses relations whose changes do not reach the logical stream.
fn check_kind(source: &SourceTable) -> Result<(), PlanError> {
    match source.kind.not_streamed() {
        None => Ok(()),
        Some(reason) => {
            Err(PlanError::NotStreamable { table: source.name.clone(), kind: source.kind, reason })
        }
    }
}

/// The target's name, unless its schema is not ours to write to.
pub(crate) fn target_of(table: &QualifiedName, naming: &Naming) -> Result<QualifiedName, PlanError> {
    let QualifiedName { schema, name } = table;
    let mapped = if schema == "public" { &naming.default_schema } else { schema };
    let wanted = naming.rules.table_name(table).map(|rule| &rule.says);
    let schema = wanted.and_then(|wanted| wanted.schema.as_ref()).unwrap_or(mapped);
    let name = wanted.map_or(name, |wanted| &wanted.name);
    let target = QualifiedName::new(schema.clone(), name.clone());
    if RESERVED_SCHEMAS.contains(&target_name::fold(schema).as_str()) {
        return Err(PlanError::ReservedSchema { table: table.clone(), target: Box::new(target) });
    }
    Ok(target)
}

/// Checks number and names of the columns against what SQL Server takes, of the staging table too.
fn check_columns(source: &SourceTable, columns: &[ColumnPlan], key_columns: usize) -> Result<(), PlanError> {
    let table = || source.name.clone();
    if columns.is_empty() {
        return Err(PlanError::NoColumns { table: table() });
    }
    let limit = MAX_COLUMNS - STAGING_COLUMNS - key_columns.min(MAX_COLUMNS - STAGING_COLUMNS);
    if columns.len() > limit {
        return Err(PlanError::TooManyColumns { table: table(), columns: columns.len(), limit });
    }
    let mut seen: HashMap<String, &str> = HashMap::with_capacity(columns.len());
    for column in columns {
        if let Some(other) = seen.insert(target_name::fold(&column.name), &column.source_name) {
            return Err(column_clash(source, columns, column, other));
        }
    }
    Ok(())
}
