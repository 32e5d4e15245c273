//! ALTER TABLE and sp_rename.

use std::sync::Arc;

use super::Session;
use super::flow::Frame;
use super::lookup::{Sight, field};
use super::make_table::column_sql;
use crate::answer::SqlError;
use crate::sql::ast::{AlterTable, ColumnDefinition, Constraint, ObjectName};
use crate::sql::physical;
use crate::sql::table::{Table, same_name};
use crate::sql::translate;

// === impl Session ===

impl Session {
    /// ALTER TABLE; the caller has begun what undoes it. Returns the table as it is then.
    pub(super) async fn alter_table(
        &mut self,
        table: &Table,
        change: &AlterTable,
        frame: &Frame,
    ) -> Result<Table, SqlError> {
        match change {
            AlterTable::Nothing => Ok(table.clone()),
            AlterTable::Add(columns, constraints) => self.add(table, columns, constraints, frame).await,
            AlterTable::DropConstraint(names, if_exists) => {
                let mut changed = table.clone();
                for name in names {
                    changed = self.drop_constraint(&changed, name, *if_exists).await?;
                }
                Ok(changed)
            }
            AlterTable::DropColumn(names, if_exists) => {
                let mut changed = table.clone();
                for name in names {
                    changed = self.drop_column(&changed, name, *if_exists).await?;
                }
                Ok(changed)
            }
            AlterTable::AlterColumn(definition) => self.alter_column(table, definition, frame).await,
        }
    }

    async fn add(
        &mut self,
        table: &Table,
        columns: &[ColumnDefinition],
        constraints: &[Constraint],
        frame: &Frame,
    ) -> Result<Table, SqlError> {
        let mut changed = table.clone();
        for definition in columns {
            // Ids of dropped columns are not used again.
            let rows = self
                .catalog(
                    "SELECT coalesce(max(attnum), 0)::int4 FROM pg_attribute WHERE attrelid = to_regclass($1)::oid",
                    &[&changed.relation],
                )
                .await?;
            let column_id = rows.first().map_or(Ok(0), |row| field::<i32>(row, 0))? + 1;
            let column = self.column(&changed, definition, column_id, frame)?;
            let sql = column_sql(&column, definition);
            self.client
                .batch_execute(&format!("ALTER TABLE {} ADD COLUMN {sql}", table.relation))
                .await
                .map_err(|error| match error.code() {
                    Some(&tokio_postgres::error::SqlState::NOT_NULL_VIOLATION) => {
                        not_null_column(&changed, &column.name)
                    }
                    _ => self.postgres_error(&error, None),
                })?;
            if table.object_id > 0 {
                self.record_column(&changed, &column, definition).await?;
            }
            changed.columns.push(column);
        }
        for constraint in constraints {
            changed = self.add_constraint(&changed, constraint, frame).await?;
        }
        Ok(changed)
    }

    async fn drop_constraint(
        &mut self,
        table: &Table,
        name: &str,
        if_exists: bool,
    ) -> Result<Table, SqlError> {
        let found = self
            .catalog(
                "SELECT o.object_id, tsql.text_of(o.type), c.column_id, c.physical FROM tsql.objects o \
                 LEFT JOIN tsql.constraints c ON c.object_id = o.object_id WHERE o.parent_object_id = $1 AND o.name = $2",
                &[&table.object_id, &name],
            )
            .await?;
        let Some(row) = found.first() else {
            if if_exists {
                return Ok(table.clone());
            }
            return Err(SqlError::new(3728, 16, format!("'{name}' is not a constraint.")));
        };
        let (id, kind): (i32, String) = (field(row, 0)?, field(row, 1)?);
        let (column_id, physical): (Option<i32>, Option<String>) = (field(row, 2)?, field(row, 3)?);
        let mut changed = table.clone();
        match kind.trim() {
            "PK" | "UQ" => {
                if let Some(index) = table.indexes.iter().find(|index| same_name(&index.name, name)) {
                    changed = self.remove_index(table, index).await?;
                }
            }
            "D" => {
                let physical = format!("c{}", column_id.unwrap_or_default());
                self.own(&format!("ALTER TABLE {} ALTER COLUMN {physical} DROP DEFAULT", table.relation))
                    .await?;
                self.catalog(
                    "UPDATE tsql.columns SET default_object_id = 0, default_sql = NULL WHERE object_id = $1 AND column_id = $2",
                    &[&table.object_id, &column_id.unwrap_or_default()],
                )
                .await?;
            }
            _ => {
                let physical = physical.unwrap_or_default();
                self.own(&format!("ALTER TABLE {} DROP CONSTRAINT {physical}", table.relation)).await?;
            }
        }
        self.catalog("DELETE FROM tsql.objects WHERE object_id = $1", &[&id]).await?;
        Ok(changed)
    }

    async fn drop_column(&mut self, table: &Table, name: &str, if_exists: bool) -> Result<Table, SqlError> {
        let Some(column) = table.column(name) else {
            if if_exists {
                return Ok(table.clone());
            }
            let message = format!(
                "ALTER TABLE DROP COLUMN failed because column '{name}' does not exist in table '{}'.",
                table.name
            );
            return Err(SqlError::new(4924, 16, message));
        };
        let used =
            table.indexes.iter().find(|index| index.columns.iter().any(|(id, _)| *id == column.column_id));
        if let Some(index) = used {
            let message = format!(
                "The object '{}' is dependent on column '{name}'. ALTER TABLE DROP COLUMN {name} failed because one or more \
                 objects access this column.",
                index.name
            );
            return Err(SqlError::new(5074, 16, message));
        }
        self.own(&format!("ALTER TABLE {} DROP COLUMN {}", table.relation, column.physical)).await?;
        self.catalog(
            "DELETE FROM tsql.columns WHERE object_id = $1 AND column_id = $2",
            &[&table.object_id, &column.column_id],
        )
        .await?;
        let mut changed = table.clone();
        changed.columns.retain(|other| other.column_id != column.column_id);
        Ok(changed)
    }

    async fn alter_column(
        &mut self,
        table: &Table,
        definition: &ColumnDefinition,
        frame: &Frame,
    ) -> Result<Table, SqlError> {
        let Some(old) = table.column(&definition.name).cloned() else {
            let message = format!(
                "ALTER TABLE ALTER COLUMN failed because column '{}' does not exist in table '{}'.",
                definition.name, table.name
            );
            return Err(SqlError::new(4924, 16, message));
        };
        let without = Table { columns: Vec::new(), ..table.clone() };
        let key = table
            .indexes
            .iter()
            .find(|index| index.primary && index.columns.iter().any(|(id, _)| *id == old.column_id));
        if let Some(key) = key {
            let message = format!(
                "The object '{}' is dependent on column '{}'. ALTER TABLE ALTER COLUMN {} failed because one or more objects \
                 access this column.",
                key.name, old.name, old.name
            );
            return Err(SqlError::new(5074, 16, message));
        }
        let mut new = self.column(&without, definition, old.column_id, frame)?;
        new.default.clone_from(&old.default);
        new.identity = old.identity;
        let shared = Arc::new(table.clone());
        let sight = Sight { session: self, frame };
        let value = translate::translate_column(&sight, &shared, &old, new.column_type)?;
        let collate = new
            .collation
            .as_ref()
            .map_or(String::new(), |collate| format!(" COLLATE {}", collate.postgres()));
        let null = if new.nullable { "DROP" } else { "SET" };
        let sql = format!(
            "ALTER TABLE {} ALTER COLUMN {physical} TYPE {}{collate} USING {value}, ALTER COLUMN {physical} {null} NOT NULL",
            table.relation,
            physical::column_sql(new.column_type),
            physical = old.physical
        );
        self.client.batch_execute(&sql).await.map_err(|error| {
            let error = self.postgres_error(&error, Some(&shared));
            if error.number == 515 {
                SqlError { message: error.message.replace("INSERT", "UPDATE"), ..error }
            } else {
                error
            }
        })?;
        if table.object_id > 0 {
            let (max_length, precision, scale) = physical::catalog_numbers(new.column_type);
            let collation = new.collation.as_ref().map(|collate| collate.name.as_str());
            self.catalog(
                "UPDATE tsql.columns SET user_type_id = $3, max_length = $4, precision = $5, scale = $6, collation_name = $7, \
                 is_nullable = $8 WHERE object_id = $1 AND column_id = $2",
                &[
                    &table.object_id,
                    &new.column_id,
                    &physical::type_id(new.column_type),
                    &max_length,
                    &i16::from(precision),
                    &i16::from(scale),
                    &collation,
                    &i16::from(new.nullable),
                ],
            )
            .await?;
        }
        let mut changed = table.clone();
        for column in &mut changed.columns {
            if column.column_id == new.column_id {
                *column = new.clone();
            }
        }
        Ok(changed)
    }

    /// ALTER SCHEMA TRANSFER: the table and its constraints (15151: no such thing; 15530: the name is taken).
    pub(super) async fn transfer(&mut self, schema: &str, name: &ObjectName) -> Result<(), SqlError> {
        let missing = |what: &str, name: &str| {
            let message = format!(
                "Cannot find the {what} '{name}', because it does not exist or you do not have permission."
            );
            SqlError::new(15151, 16, message)
        };
        let table = self.find_table(name).await?.filter(|table| !table.system && table.object_id > 0);
        let table = table.ok_or_else(|| missing("object", &name.to_string()))?;
        let found = self.catalog("SELECT schema_id FROM tsql.schemas WHERE name = $1", &[&schema]).await?;
        let Some(row) = found.first() else { return Err(missing("schema", schema)) };
        let schema_id: i32 = field(row, 0)?;
        let sql = "UPDATE tsql.objects SET schema_id = $2 WHERE $1 IN (object_id, parent_object_id)";
        let moved = self.catalog(sql, &[&table.object_id, &schema_id]).await;
        moved.map(|_| ()).map_err(|error| match error.number {
            2601 => {
                SqlError::new(15530, 16, format!("The object with name \"{}\" already exists.", table.name))
            }
            _ => error,
        })
    }

    /// sp_rename of a table, a key or a column (15225, 15248: no such thing; 15335: the name is taken).
    pub(super) async fn rename_object(
        &mut self,
        name: &ObjectName,
        column: Option<&str>,
        new: &str,
    ) -> Result<(), SqlError> {
        let table = self.find_table(name).await?.filter(|table| !table.system && table.object_id > 0);
        let key = match &table {
            Some(_) => None,
            None => self.find_key(name).await?,
        };
        if table.is_none() && key.is_none() {
            let message = format!(
                "No item by the name of '{name}' could be found in the current database '{}'.",
                self.database.name
            );
            return Err(SqlError::new(15225, 11, message));
        }
        let guard = self.guard(true, false).await?;
        let result = match (table, column, key) {
            (Some(table), Some(column), _) => self.rename_column(&table, column, new).await,
            (Some(table), None, _) => self.rename_id(table.object_id, new).await,
            (None, _, Some((id, parent))) => self.rename_key(id, parent, &name.name, new).await,
            (None, _, None) => Ok(()),
        };
        let result = result.map_err(|error| match error.number {
            2601 => SqlError::new(15335, 11, format!("Error: The new name '{new}' is already in use as a name and would cause a duplicate that is not permitted.")),
            _ => error,
        });
        self.unguard(guard, result.is_ok()).await?;
        self.tables.clear();
        self.transaction.changed_catalog |= self.transaction.is_open();
        self.engine.touch();
        result
    }

    /// Ids of a key and of its table.
    async fn find_key(&mut self, name: &ObjectName) -> Result<Option<(i32, i32)>, SqlError> {
        let schema = name.schema.clone().unwrap_or_else(|| "dbo".to_owned());
        let sql = "SELECT o.object_id, o.parent_object_id FROM tsql.objects o JOIN tsql.schemas s \
                   ON s.schema_id = o.schema_id WHERE s.name = $1 AND o.name = $2 AND o.type IN ('PK', 'UQ')";
        let found = self.catalog(sql, &[&schema, &name.name]).await?;
        found.first().map(|row| Ok((field(row, 0)?, field(row, 1)?))).transpose()
    }

    async fn rename_id(&mut self, id: i32, new: &str) -> Result<(), SqlError> {
        let sql = "UPDATE tsql.objects SET name = $2 WHERE object_id = $1";
        self.catalog(sql, &[&id, &new]).await.map(|_| ())
    }

    async fn rename_key(&mut self, id: i32, table: i32, old: &str, new: &str) -> Result<(), SqlError> {
        self.rename_id(id, new).await?;
        let sql = "UPDATE tsql.indexes SET name = $3 WHERE object_id = $1 AND name = $2";
        self.catalog(sql, &[&table, &old, &new]).await.map(|_| ())
    }

    async fn rename_column(&mut self, table: &Table, column: &str, new: &str) -> Result<(), SqlError> {
        let found = table.column(column).ok_or_else(|| {
            SqlError::new(
                15248,
                11,
                "Either the parameter @objname is ambiguous or the claimed @objtype (COLUMN) is wrong.",
            )
        })?;
        let sql = "UPDATE tsql.columns SET name = $3 WHERE object_id = $1 AND column_id = $2";
        self.catalog(sql, &[&table.object_id, &found.column_id, &new]).await.map(|_| ())
    }
}

/// 4901
fn not_null_column(table: &Table, column: &str) -> SqlError {
    let message = format!(
        "ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT definition specified, or the \
         column being added is an identity or timestamp column, or alternatively if none of the previous conditions are \
         satisfied the table must be empty to allow addition of this column. Column '{column}' cannot be added to non-empty \
         table '{}' because it does not satisfy these conditions.",
        table.name
    );
    SqlError::new(4901, 16, message)
}
