//! CREATE TABLE, ADD COLUMN and the other constraints.

use std::sync::Arc;

use segcdc_tds::ColumnType;

use super::Session;
use super::flow::Frame;
use super::key::NewIndex;
use super::lookup::{Sight, field};
use crate::answer::SqlError;
use crate::sql::ast::{ColumnDefinition, Constraint, ConstraintKind, CreateTable, ObjectName};
use crate::sql::collation::Collate;
use crate::sql::physical::{self, Family};
use crate::sql::table::{Column, Table, same_name};
use crate::sql::translate;

/// Most columns of a table.
const MAX_COLUMNS: usize = 1024;

// === impl Session ===

impl Session {
    /// CREATE TABLE; the caller has begun what undoes it.
    pub(super) async fn create_table(&mut self, create: &CreateTable, frame: &Frame) -> Result<(), SqlError> {
        let name = &create.name;
        if self.find_table(name).await?.is_some() || self.object_exists(name).await? {
            let message = format!("There is already an object named '{}' in the database.", name.name);
            return Err(SqlError::new(2714, 16, message).with_state(6));
        }
        let mut table = self.new_table(name).await?;
        if create.columns.len() > MAX_COLUMNS {
            let message = format!(
                "CREATE TABLE failed because column '' in table '{}' exceeds the maximum of {MAX_COLUMNS} columns.",
                name.name
            );
            return Err(SqlError::new(1702, 16, message));
        }
        let keyed = primary_columns(&create.constraints);
        for (definition, column_id) in create.columns.iter().zip(1..) {
            let mut column = self.column(&table, definition, column_id, frame)?;
            let in_key = keyed.iter().any(|name| same_name(name, &column.name));
            if in_key && definition.nullable == Some(true) {
                let message = format!(
                    "Cannot define PRIMARY KEY constraint on nullable column in table '{}'.",
                    table.name
                );
                return Err(SqlError::new(8111, 16, message));
            }
            column.nullable &= !in_key;
            table.columns.push(column);
        }
        let columns: Vec<String> = table
            .columns
            .iter()
            .zip(&create.columns)
            .map(|(column, definition)| column_sql(column, definition))
            .collect();
        let temporary = if name.is_temporary() { "TEMP " } else { "" };
        // A temporary table's name must not have a schema when it is made.
        let relation = table.relation.trim_start_matches("pg_temp.");
        self.own(&format!("CREATE {temporary}TABLE {relation} ({})", columns.join(", "))).await?;
        if !name.is_temporary() {
            self.record_table(&table, &create.columns).await?;
        }
        for constraint in &create.constraints {
            table = self.add_constraint(&table, constraint, frame).await?;
        }
        if name.is_temporary() {
            self.put_temporary(table);
        }
        Ok(())
    }

    /// A table without columns, its id and schema found (2760: no such schema).
    async fn new_table(&mut self, name: &ObjectName) -> Result<Table, SqlError> {
        let mut table = Table {
            object_id: 0,
            schema: "dbo".to_owned(),
            name: name.name.clone(),
            relation: String::new(),
            columns: Vec::new(),
            indexes: Vec::new(),
            system: false,
        };
        if name.is_temporary() {
            if name.name.starts_with("##") {
                return Err(translate::unsupported("a global temporary table"));
            }
            self.temporary_ids += 1;
            table.object_id = -1000 - self.temporary_ids;
            table.relation = format!("pg_temp.s{}", self.temporary_ids);
            return Ok(table);
        }
        let schema = name.schema.as_deref().unwrap_or("dbo");
        let found =
            self.catalog("SELECT tsql.text_of(name) FROM tsql.schemas WHERE name = $1", &[&schema]).await?;
        let Some(row) = found.first() else {
            let message = format!(
                "The specified schema name \"{schema}\" either does not exist or you do not have permission to use it."
            );
            return Err(SqlError::new(2760, 16, message));
        };
        table.schema = field(row, 0)?;
        let rows = self.catalog("SELECT nextval('tsql.object_ids')::int4", &[]).await?;
        table.object_id = rows.first().map_or(Ok(0), |row| field(row, 0))?;
        table.relation = format!("u.t{}", table.object_id);
        Ok(table)
    }

    /// Whether anything else has this name.
    pub(super) async fn object_exists(&mut self, name: &ObjectName) -> Result<bool, SqlError> {
        if name.is_temporary() {
            return Ok(false);
        }
        let schema = name.schema.as_deref().unwrap_or("dbo");
        let rows = self
            .catalog(
                "SELECT 1 FROM tsql.objects o JOIN tsql.schemas s ON s.schema_id = o.schema_id WHERE s.name = $1 AND o.name = $2",
                &[&schema, &name.name],
            )
            .await?;
        Ok(!rows.is_empty())
    }

    /// A new column (2705: named twice).
    pub(super) fn column(
        &self,
        table: &Table,
        definition: &ColumnDefinition,
        column_id: i32,
        frame: &Frame,
    ) -> Result<Column, SqlError> {
        if table.column(&definition.name).is_some() {
            return Err(named_twice(&table.name, &definition.name));
        }
        let is_text = physical::family(definition.column_type) == Family::Text
            && definition.column_type != ColumnType::Xml;
        let collation = match (&definition.collation, is_text) {
            (Some(name), true) => Some(Collate::by_name(name)?),
            (None, true) => Some(Collate::database_default()),
            (Some(_), false) => {
                let message = format!(
                    "Expression type {} is invalid for COLLATE clause.",
                    physical::type_word(definition.column_type)
                );
                return Err(SqlError::new(447, 16, message));
            }
            (None, false) => None,
        };
        let default = match &definition.default {
            Some(default) => {
                let sight = Sight { session: self, frame };
                Some(translate::translate_default(&sight, &default.value, definition.column_type)?)
            }
            None => None,
        };
        Ok(Column {
            column_id,
            name: definition.name.clone(),
            physical: format!("c{column_id}"),
            column_type: definition.column_type,
            collation,
            nullable: definition.nullable.unwrap_or(true) && definition.identity.is_none(),
            identity: definition.identity.is_some(),
            default,
        })
    }

    async fn record_table(
        &mut self,
        table: &Table,
        definitions: &[ColumnDefinition],
    ) -> Result<(), SqlError> {
        self.catalog(
            "INSERT INTO tsql.objects (object_id, schema_id, name, type) \
             SELECT $1, schema_id, $3, 'U' FROM tsql.schemas WHERE name = $2",
            &[&table.object_id, &table.schema, &table.name],
        )
        .await?;
        for (column, definition) in table.columns.iter().zip(definitions) {
            self.record_column(table, column, definition).await?;
        }
        Ok(())
    }

    /// The catalog's row of a column, and of its DEFAULT.
    pub(super) async fn record_column(
        &mut self,
        table: &Table,
        column: &Column,
        definition: &ColumnDefinition,
    ) -> Result<(), SqlError> {
        let (max_length, precision, scale) = physical::catalog_numbers(column.column_type);
        let collation = column.collation.as_ref().map(|collate| collate.name.as_str());
        let (seed, increment) = definition.identity.unzip();
        self.catalog(
            "INSERT INTO tsql.columns (object_id, column_id, name, user_type_id, max_length, precision, scale, \
             collation_name, is_nullable, is_identity, seed, increment, default_sql) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            &[
                &table.object_id,
                &column.column_id,
                &column.name,
                &physical::type_id(column.column_type),
                &max_length,
                &i16::from(precision),
                &i16::from(scale),
                &collation,
                &i16::from(column.nullable),
                &i16::from(column.identity),
                &seed,
                &increment,
                &column.default,
            ],
        )
        .await
        .map_err(|error| match error.number {
            // The catalog's collation holds more names equal than differ by case.
            2601 => named_twice(&table.name, &column.name),
            _ => error,
        })?;
        if let Some(default) = &definition.default {
            let name = default.name.clone().unwrap_or_else(|| format!("DF__{}__{}", table.name, column.name));
            let id = self.record_object(table, &name, "D").await?;
            self.catalog(
                "INSERT INTO tsql.constraints (object_id, definition, column_id, physical) VALUES ($1, $2, $3, '')",
                &[&id, &format!("({})", default.text), &column.column_id],
            )
            .await?;
            self.catalog(
                "UPDATE tsql.columns SET default_object_id = $3 WHERE object_id = $1 AND column_id = $2",
                &[&table.object_id, &column.column_id, &id],
            )
            .await?;
        }
        Ok(())
    }

    /// The catalog's row of a constraint (2714: the name is taken); its id.
    pub(super) async fn record_object(
        &mut self,
        table: &Table,
        name: &str,
        kind: &str,
    ) -> Result<i32, SqlError> {
        let taken = ObjectName { database: None, schema: Some(table.schema.clone()), name: name.to_owned() };
        if self.object_exists(&taken).await? {
            let message = format!("There is already an object named '{name}' in the database.");
            return Err(SqlError::new(2714, 16, message).with_state(5));
        }
        let rows = self
            .catalog(
                "INSERT INTO tsql.objects (schema_id, parent_object_id, name, type) \
                 SELECT schema_id, $1, $3, $4 FROM tsql.schemas WHERE name = $2 RETURNING object_id",
                &[&table.object_id, &table.schema, &name, &kind],
            )
            .await?;
        rows.first().map_or(Ok(0), |row| field(row, 0))
    }

    /// Adds a constraint; the caller has begun what undoes it.
    pub(super) async fn add_constraint(
        &mut self,
        table: &Table,
        constraint: &Constraint,
        frame: &Frame,
    ) -> Result<Table, SqlError> {
        match &constraint.kind {
            ConstraintKind::Key { primary, clustered, columns } => {
                let first = columns.first().map(|(name, _)| name.as_str()).unwrap_or_default();
                let name = constraint.name.clone().unwrap_or_else(|| match primary {
                    true => format!("PK__{}__{:X}", table.name, table.object_id.unsigned_abs()),
                    false => format!("UQ__{}__{first}", table.name),
                });
                if *primary && table.indexes.iter().any(|index| index.primary) {
                    let message = format!("Table '{}' already has a primary key defined on it.", table.name);
                    return Err(SqlError::new(1779, 16, message));
                }
                // Of two clustered ones by default, the second is not.
                let has_clustered = table.indexes.iter().any(|index| index.index_id == 1);
                let new = NewIndex {
                    name: name.clone(),
                    unique: true,
                    primary: *primary,
                    constraint: true,
                    clustered: *clustered && !has_clustered,
                    columns: columns.clone(),
                    included: Vec::new(),
                    filter: None,
                };
                if table.object_id > 0 {
                    self.record_object(table, &name, if *primary { "PK" } else { "UQ" }).await?;
                }
                self.make_index(table, &new).await
            }
            ConstraintKind::Check(condition, text) => {
                let name = constraint
                    .name
                    .clone()
                    .unwrap_or_else(|| format!("CK__{}__{:X}", table.name, text.len()));
                let shared = Arc::new(table.clone());
                let sight = Sight { session: self, frame };
                let sql = translate::translate_check(&sight, condition, &shared)?;
                let physical = quote_name(&name);
                self.own(&format!("ALTER TABLE {} ADD CONSTRAINT {physical} CHECK ({sql})", table.relation))
                    .await?;
                self.record_constraint(table, &name, "C", text, 0).await?;
                Ok(table.clone())
            }
            ConstraintKind::Foreign { columns, table: other, referenced } => {
                self.add_foreign_key(table, constraint.name.as_deref(), (columns, other, referenced)).await?;
                Ok(table.clone())
            }
            ConstraintKind::Default { column, value, text } => {
                self.add_default(table, constraint.name.as_deref(), (column, value, text), frame).await
            }
        }
    }

    async fn record_constraint(
        &mut self,
        table: &Table,
        name: &str,
        kind: &str,
        text: &str,
        referenced: i32,
    ) -> Result<(), SqlError> {
        if table.object_id < 0 {
            return Ok(());
        }
        let id = self.record_object(table, name, kind).await?;
        self.catalog(
            "INSERT INTO tsql.constraints (object_id, definition, referenced_object_id, physical) VALUES ($1, $2, $3, $4)",
            &[&id, &text, &referenced, &quote_name(name)],
        )
        .await?;
        Ok(())
    }

    async fn add_foreign_key(
        &mut self,
        table: &Table,
        name: Option<&str>,
        (columns, other, referenced): (&[String], &ObjectName, &[String]),
    ) -> Result<(), SqlError> {
        let found = self.find_table(other).await?;
        let name = name.map_or_else(|| format!("FK__{}__{}", table.name, other.name), str::to_owned);
        let target = found.ok_or_else(|| {
            let message = format!("Foreign key '{name}' references invalid table '{other}'.");
            SqlError::new(1767, 16, message)
        })?;
        let keyed: Vec<String> = match target.indexes.iter().find(|index| index.primary) {
            Some(index) if referenced.is_empty() => {
                let names = index.columns.iter().filter_map(|(id, _)| target.column_by_id(*id));
                names.map(|column| column.name.clone()).collect()
            }
            _ => referenced.to_vec(),
        };
        let physical = |table: &Table, names: &[String]| -> Result<String, SqlError> {
            let columns = names.iter().map(|name| {
                table.column(name).map(|column| column.physical.clone()).ok_or_else(|| {
                    let message = format!(
                        "Foreign key references invalid column '{name}' in referencing or referenced table '{}'.",
                        table.name
                    );
                    SqlError::new(1769, 16, message)
                })
            });
            Ok(columns.collect::<Result<Vec<_>, _>>()?.join(", "))
        };
        let referenced = physical(&target, &keyed)?;
        // PostgreSQL refers to no deferrable key: one of its own, under a name that any number of references shares.
        let own_key = format!("f{}_{}", target.object_id, referenced.replace(", ", "_"));
        let sql = format!(
            "CREATE UNIQUE INDEX IF NOT EXISTS {own_key} ON {relation} ({referenced}); \
             ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {relation} ({referenced})",
            table.relation,
            quote_name(&name),
            physical(table, columns)?,
            relation = target.relation,
        );
        self.own(&sql).await?;
        self.record_constraint(table, &name, "F", "", target.object_id).await
    }

    async fn add_default(
        &mut self,
        table: &Table,
        name: Option<&str>,
        (column, value, text): (&str, &crate::sql::ast::Expr, &str),
        frame: &Frame,
    ) -> Result<Table, SqlError> {
        let found = table.column(column).ok_or_else(|| translate::invalid_column(column))?;
        let sight = Sight { session: self, frame };
        let default = translate::translate_default(&sight, value, found.column_type)?;
        self.own(&format!(
            "ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {default}",
            table.relation, found.physical
        ))
        .await?;
        let name = name.map_or_else(|| format!("DF__{}__{column}", table.name), str::to_owned);
        if table.object_id > 0 {
            let id = self.record_object(table, &name, "D").await?;
            self.catalog(
                "INSERT INTO tsql.constraints (object_id, definition, column_id, physical) VALUES ($1, $2, $3, '')",
                &[&id, &format!("({text})"), &found.column_id],
            )
            .await?;
            self.catalog(
                "UPDATE tsql.columns SET default_object_id = $3, default_sql = $4 WHERE object_id = $1 AND column_id = $2",
                &[&table.object_id, &found.column_id, &id, &default],
            )
            .await?;
        }
        let mut changed = table.clone();
        for other in &mut changed.columns {
            if other.column_id == found.column_id {
                other.default = Some(default.clone());
            }
        }
        Ok(changed)
    }
}

/// A column in CREATE TABLE and ADD COLUMN.
pub(super) fn column_sql(column: &Column, definition: &ColumnDefinition) -> String {
    let mut sql = format!("{} {}", column.physical, physical::column_sql(column.column_type));
    if let Some(collate) = &column.collation {
        sql.push_str(&format!(" COLLATE {}", collate.postgres()));
    } else if column.column_type == ColumnType::Xml {
        sql.push_str(" COLLATE \"C\"");
    }
    if !column.nullable {
        sql.push_str(" NOT NULL");
    }
    if let Some(default) = &column.default {
        sql.push_str(&format!(" DEFAULT {default}"));
    }
    if let Some((seed, increment)) = definition.identity {
        let bound = if increment < 0 {
            format!("MAXVALUE {}", seed.max(-1))
        } else {
            format!("MINVALUE {}", seed.min(1))
        };
        sql.push_str(&format!(
            " GENERATED BY DEFAULT AS IDENTITY (START WITH {seed} INCREMENT BY {increment} {bound})"
        ));
    }
    sql
}

/// A name as PostgreSQL's, cut to what it can hold.
pub(super) fn quote_name(name: &str) -> String {
    let mut cut = name;
    while cut.len() > 63 {
        let end = cut.char_indices().next_back().map_or(0, |(index, _)| index);
        cut = cut.get(..end).unwrap_or_default();
    }
    format!("\"{}\"", cut.replace('"', "\"\""))
}

/// Names of the columns of the PRIMARY KEY.
/// 2705: a column of the name is there already.
fn named_twice(table: &str, column: &str) -> SqlError {
    let message = format!(
        "Column names in each table must be unique. Column name '{column}' in table '{table}' is specified more than once."
    );
    SqlError::new(2705, 16, message).with_state(3)
}

fn primary_columns(constraints: &[Constraint]) -> Vec<String> {
    let keys = constraints.iter().filter_map(|constraint| match &constraint.kind {
        ConstraintKind::Key { primary: true, columns, .. } => Some(columns),
        _ => None,
    });
    keys.flatten().map(|(name, _)| name.clone()).collect()
}
