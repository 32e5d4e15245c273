//! [`PostLoad`]: indexes, foreign keys, defaults and sequences of the source for the target, for the day on which people
//! use the target instead of the source. Pure.
//!
//! Replication needs none of them, and most would be in its way: it writes tables one after the other, and the source has
//! computed its defaults already. So they are printed as a script, and what T-SQL cannot say in the same way is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use segcdc_model::{
    ColumnDefault, ExtraIndex, ForeignKey, Length, MssqlType, QualifiedName, ReferenceAction, TableExtras,
};
use segcdc_plan::{ColumnPlan, TableKey, TablePlan};
use serde::Serialize;

use crate::quote;
use crate::sql::{mark, post_load as sql};

mod expression;

/// Most columns of an index's key (T-SQL manual, "Maximum capacity specifications").
const MAX_KEY_COLUMNS: usize = 32;

/// The script.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PostLoad {
    /// Statements in the order in which they can run.
    pub statements: Vec<PostStatement>,
    /// What the source has and the script has not, and why.
    pub notes: Vec<PostNote>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostStatement {
    /// What it makes.
    pub kind: PostKind,
    /// The target table.
    pub table: QualifiedName,
    /// T-SQL, without a semicolon.
    pub sql: String,
    /// What a person should know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<&'static str>,
}

/// What a statement makes. Ordered as they have to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PostKind {
    /// A sequence.
    Sequence,
    /// A default.
    Default,
    /// A unique index, which a foreign key may need.
    UniqueIndex,
    /// Another index.
    Index,
    /// A foreign key.
    ForeignKey,
}

/// Something that the script has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostNote {
    /// The source table.
    pub table: QualifiedName,
    /// What it is and why it is not there.
    pub text: String,
}

/// Makes the script for these tables.
pub fn post_load(tables: &[(Arc<TablePlan>, TableExtras)]) -> PostLoad {
    let mut made =
        Maker { tables, sequences: BTreeMap::new(), names: BTreeSet::new(), script: PostLoad::default() };
    for (plan, extras) in tables {
        for column in plan.source.columns.iter().filter(|column| column.generated) {
            made.note(
                plan,
                format!("column \"{}\" is computed there, and is not at the target", column.name),
            );
        }
        extras.defaults.iter().for_each(|default| made.default(plan, default));
        extras.indexes.iter().for_each(|index| made.index(plan, index));
        extras.foreign_keys.iter().for_each(|key| made.foreign_key(plan, key));
        for (name, definition) in &extras.checks {
            made.note(plan, format!("constraint \"{name}\" is to be written in T-SQL by hand: {definition}"));
        }
    }
    made.script.statements.sort_by_key(|statement| statement.kind);
    made.script
}

struct Maker<'a> {
    tables: &'a [(Arc<TablePlan>, TableExtras)],
    /// Sequences that are made, by the names that they have in the target, with those at the source.
    sequences: BTreeMap<QualifiedName, QualifiedName>,
    /// Names of sequences and constraints, which are unique in a schema of the target; in lower case.
    names: BTreeSet<(String, String)>,
    script: PostLoad,
}

// === impl Maker ===

impl Maker<'_> {
    fn say(&mut self, kind: PostKind, plan: &TablePlan, sql: String, remark: Option<&'static str>) {
        self.script.statements.push(PostStatement { kind, table: plan.target.clone(), sql, remark });
    }

    fn note(&mut self, plan: &TablePlan, text: String) {
        self.script.notes.push(PostNote { table: plan.source.name.clone(), text });
    }

    /// Takes a name in its schema, if nothing that is made has it.
    fn is_free(&mut self, name: &QualifiedName) -> bool {
        self.names.insert((name.schema.to_lowercase(), name.name.to_lowercase()))
    }

    /// The first of these names that is possible and free in the table's schema.
    fn free_name(&mut self, plan: &TablePlan, names: [String; 2]) -> Option<String> {
        let schema = &plan.target.schema;
        names.into_iter().find(|name| {
            quote::is_possible_name(name) && self.is_free(&QualifiedName::new(schema.clone(), name.clone()))
        })
    }

    fn default(&mut self, plan: &TablePlan, default: &ColumnDefault) {
        let Some(column) = column(plan, default.attnum) else { return };
        if column.mask.is_some() {
            let text = format!(
                "the default of column \"{}\" is left out: its values are masked",
                column.source_name
            );
            return self.note(plan, text);
        }
        let is_next = default.expression.is_empty() || expression::is_nextval(&default.expression);
        let expression = match &default.sequence {
            Some(sequence) if is_next => {
                let name = QualifiedName::new(plan.target.schema.clone(), sequence.name.name.clone());
                match (sequence.next, self.sequences.get(&name).cloned()) {
                    (_, Some(made)) if made == sequence.name => {}
                    (_, Some(made)) => {
                        let text = format!(
                            "sequences {made} and {} would have one name at the target",
                            sequence.name
                        );
                        return self.note(plan, text);
                    }
                    (None, None) => {
                        let text = format!("sequence {} cannot be read: grant SELECT on it", sequence.name);
                        return self.note(plan, text);
                    }
                    (Some(next), None) if next < sequence.least || next > sequence.most => {
                        return self.note(plan, format!("sequence {} is used up", sequence.name));
                    }
                    (Some(_), None) if !self.is_free(&name) => {
                        return self
                            .note(plan, format!("the target would have two things of the name {name}"));
                    }
                    (Some(next), None) => {
                        self.sequences.insert(name.clone(), sequence.name.clone());
                        let sql = sql::create_sequence(&name, next, sequence);
                        self.say(PostKind::Sequence, plan, sql, None);
                    }
                }
                sql::next_value(&name)
            }
            _ => match expression::translate(&default.expression, column.mssql_type) {
                Some(expression) if expression.is_empty() => return,
                Some(expression) => expression,
                None => {
                    let (name, expression) = (&column.source_name, &default.expression);
                    let text = format!(
                        "the default of column \"{name}\" is to be written in T-SQL by hand: {expression}"
                    );
                    return self.note(plan, text);
                }
            },
        };
        let local = expression == expression::LOCAL_TIME || expression == expression::LOCAL_DAY;
        let remark = local.then_some("in the time zone of the server");
        let names = [format!("DF_{}_{}", plan.target.name, column.name), format!("DF_{}", column.name)];
        let Some(name) = self.free_name(plan, names) else {
            return self
                .note(plan, format!("the default of column \"{}\" has no free name", column.source_name));
        };
        let sql = sql::add_default(&plan.target, &name, &column.name, &expression);
        self.say(PostKind::Default, plan, sql, remark);
    }

    fn index(&mut self, plan: &TablePlan, index: &ExtraIndex) {
        match index_statement(plan, index) {
            Ok(Some((kind, sql, remark))) => self.say(kind, plan, sql, remark),
            Ok(None) => {}
            Err(why) => self.note(plan, format!("index \"{}\" {why}", index.name)),
        }
    }

    fn foreign_key(&mut self, plan: &TablePlan, key: &ForeignKey) {
        let names = [key.name.clone(), format!("{}_{}", plan.target.name, key.name)];
        let Some(name) = self.free_name(plan, names) else {
            return self.note(plan, format!("foreign key \"{}\" has no free name", key.name));
        };
        match self.foreign_key_statement(plan, key, &name) {
            Ok((sql, remark)) => self.say(PostKind::ForeignKey, plan, sql, remark),
            Err(why) => self.note(plan, format!("foreign key \"{}\" {why}", key.name)),
        }
    }

    fn foreign_key_statement(
        &self,
        plan: &TablePlan,
        key: &ForeignKey,
        name: &str,
    ) -> Result<(String, Option<&'static str>), String> {
        let referred = self.tables.iter().find(|(other, _)| other.source.oid == key.referred);
        let (other, extras) = referred.ok_or("refers to a table that is not replicated")?;
        let (from, to) = (columns(plan, &key.columns)?, columns(other, &key.referred_columns)?);
        for (one, other) in from.iter().zip(&to) {
            if one.mssql_type != other.mssql_type {
                return Err(format!(
                    "needs columns of one type and collation: \"{}\" is {}, and \"{}\" is {}",
                    one.source_name,
                    described(one.mssql_type),
                    other.source_name,
                    described(other.mssql_type)
                ));
            }
        }
        if key.sets_some {
            return Err(
                "sets some of its columns when a row is deleted, which SQL Server does with all or none"
                    .to_owned(),
            );
        }
        let clears = [key.on_delete, key.on_update].contains(&ReferenceAction::SetNull);
        if let Some(fixed) = from.iter().find(|column| clears && !column.nullable) {
            return Err(format!(
                "would set column \"{}\" to NULL, which it does not take",
                fixed.source_name
            ));
        }
        let is_unique = is_key(other, &key.referred_columns)
            || extras.indexes.iter().any(|index| {
                let columns: Vec<i16> = index.key.iter().map(|(attnum, _)| *attnum).collect();
                let made = index_statement(other, index);
                matches!(&made, Ok(Some((PostKind::UniqueIndex, sql, _))) if !sql.contains(" WHERE "))
                    && same_set(&columns, &key.referred_columns)
            });
        if !is_unique {
            return Err("refers to columns without a key or a unique index at the target".to_owned());
        }
        let is_circle = key.referred == plan.source.oid;
        let cascades = [key.on_delete, key.on_update].iter().any(|action| *action != ReferenceAction::Refuse);
        let (actions, remark) = if is_circle && cascades {
            let refuse = ReferenceAction::Refuse;
            ((refuse, refuse), Some("SQL Server has no cascades of a table to itself (error 1785)"))
        } else if cascades {
            ((key.on_delete, key.on_update), Some("refused where cascades reach a table twice (error 1785)"))
        } else {
            ((key.on_delete, key.on_update), None)
        };
        let names = (names(&from), names(&to));
        let names = (&*names.0, &*names.1);
        let sql = sql::add_foreign_key(&plan.target, name, names, &other.target, actions, key.validated);
        Ok((sql, remark))
    }
}

/// What a statement makes, the statement, and what a person should know of it.
type Made = (PostKind, String, Option<&'static str>);

/// The statement of an index, or why there is none; `None` when the table's key is that index.
fn index_statement(plan: &TablePlan, index: &ExtraIndex) -> Result<Option<Made>, String> {
    if !matches!(index.method.as_str(), "btree" | "hash") {
        return Err(format!("is of kind {}, which SQL Server has not", index.method));
    }
    if index.key.iter().any(|(attnum, _)| *attnum == 0) {
        return Err("is of an expression: add a computed column and index that".to_owned());
    }
    let attnums: Vec<i16> = index.key.iter().map(|(attnum, _)| *attnum).collect();
    if index.unique && index.predicate.is_none() && is_key_in_order(plan, &attnums) {
        return Ok(None);
    }
    let (key, included) = (columns(plan, &attnums)?, columns(plan, &index.included)?);
    if key.len() > MAX_KEY_COLUMNS {
        return Err(format!("has more than {MAX_KEY_COLUMNS} columns"));
    }
    if let Some(long) = key.iter().find(|column| is_long(column.mssql_type)) {
        let name = &long.source_name;
        return Err(format!(
            "has column \"{name}\", which is {} and cannot be in a key: give it a length with --type",
            described(long.mssql_type)
        ));
    }
    let nullable: Vec<&str> =
        key.iter().filter(|column| column.nullable).map(|column| column.name.as_str()).collect();
    let mut filters = Vec::new();
    if let Some(predicate) = &index.predicate {
        let column = |name: &str| plan.columns.iter().find(|column| column.source_name == name);
        // What is masked does not meet what is said of the values themselves.
        let known = |name: &str| {
            column(name).filter(|column| column.mask.is_none()).map(|column| column.name.clone())
        };
        let filter = expression::filter(predicate, known);
        filters.push(
            filter.ok_or_else(|| format!("has a condition to be written in T-SQL by hand: {predicate}"))?,
        );
    }
    if index.unique && !index.nulls_are_equal && !nullable.is_empty() {
        filters.push(sql::all_have_values(&nullable));
    }
    if index.unique {
        // A row that was deleted may have what another row has now.
        filters.extend(mark::live(plan, None));
    }
    let filter = (!filters.is_empty()).then(|| filters.join(" AND "));
    let directed: Vec<(&str, bool)> =
        key.iter().zip(&index.key).map(|(column, (_, descends))| (column.name.as_str(), *descends)).collect();
    let included = names(&included);
    let columns = (&*directed, &*included);
    let sql = sql::create_index(&plan.target, &index.name, index.unique, columns, filter.as_deref());
    let is_text = |column: &ColumnPlan| {
        matches!(
            column.mssql_type,
            MssqlType::NVarChar { binary_collation: false, .. } | MssqlType::VarChar { .. }
        )
    };
    let remark = (index.unique && key.iter().any(|column| is_text(column)))
        .then_some("refused where the column's collation holds equal what the source tells apart");
    let kind = if index.unique { PostKind::UniqueIndex } else { PostKind::Index };
    Ok(Some((kind, sql, remark)))
}

/// The target's column of a source column; `None` where it is not replicated.
fn column(plan: &TablePlan, attnum: i16) -> Option<&ColumnPlan> {
    let index = plan.source.columns.iter().position(|column| column.attnum == attnum)?;
    plan.columns.iter().find(|column| column.source_index == index)
}

/// The target's columns of source columns.
fn columns<'a>(plan: &'a TablePlan, attnums: &[i16]) -> Result<Vec<&'a ColumnPlan>, String> {
    let found: Option<Vec<&ColumnPlan>> = attnums.iter().map(|attnum| column(plan, *attnum)).collect();
    found.ok_or_else(|| "has a column that is not replicated".to_owned())
}

fn names<'a>(columns: &[&'a ColumnPlan]) -> Vec<&'a str> {
    columns.iter().map(|column| column.name.as_str()).collect()
}

/// `pg_attribute.attnum` of the columns of the table's key at the target.
fn key_attnums(plan: &TablePlan) -> Option<Vec<i16>> {
    let TableKey::Columns(key) = &plan.key else { return None };
    let attnum =
        |index: &usize| Some(plan.source.columns.get(plan.columns.get(*index)?.source_index)?.attnum);
    key.iter().map(attnum).collect()
}

fn is_key_in_order(plan: &TablePlan, attnums: &[i16]) -> bool {
    key_attnums(plan).is_some_and(|key| key == attnums)
}

fn is_key(plan: &TablePlan, attnums: &[i16]) -> bool {
    key_attnums(plan).is_some_and(|key| same_set(&key, attnums))
}

fn same_set(one: &[i16], other: &[i16]) -> bool {
    one.len() == other.len() && one.iter().all(|attnum| other.contains(attnum))
}

/// Whether no index can have such a column in its key.
fn is_long(mssql_type: MssqlType) -> bool {
    match mssql_type {
        MssqlType::NVarChar { length, .. }
        | MssqlType::VarChar { length }
        | MssqlType::VarBinary { length } => length == Length::Max,
        MssqlType::Json => true,
        _ => false,
    }
}

/// A type with what tells two of its kind apart.
fn described(mssql_type: MssqlType) -> String {
    match mssql_type {
        MssqlType::NVarChar { binary_collation: true, .. } => format!("{mssql_type} of a binary collation"),
        _ => mssql_type.to_string(),
    }
}

#[cfg(test)]
mod tests;
