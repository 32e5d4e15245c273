//! Changes of the catalog.

use std::sync::Arc;

use super::Session;
use super::flow::Frame;
use super::key::NewIndex;
use super::lookup::{Sight, field};
use crate::answer::{Replies, SqlError};
use crate::sql::ast::{CreateIndex, Definition, ObjectName};
use crate::sql::table::{Table, same_name};
use crate::sql::translate;

// === impl Session ===

impl Session {
    /// Runs one definition, undone alone if it fails.
    pub(super) async fn define(
        &mut self,
        definition: &Definition,
        frame: &Frame,
        _out: &Replies,
    ) -> Result<(), SqlError> {
        match definition {
            Definition::CreateDatabase(name) => {
                self.no_transaction("CREATE DATABASE")?;
                return self.engine.databases.create(name).await;
            }
            Definition::DropDatabase(name, if_exists) => {
                self.no_transaction("DROP DATABASE")?;
                if *if_exists && self.engine.databases.find(name).is_none() {
                    return Ok(());
                }
                return self.engine.databases.drop(name).await;
            }
            Definition::AlterDatabase(name, option, on) => {
                self.no_transaction("ALTER DATABASE")?;
                let name = name.clone().unwrap_or_else(|| self.database.name.clone());
                self.engine.databases.set(&name, *option, *on).await?;
                self.engine.touch();
                return Ok(());
            }
            _ => {}
        }
        if self.transaction.doomed {
            return Err(super::transaction::doomed());
        }
        let guard = self.guard(true, frame.in_try()).await?;
        let result = self.define_guarded(definition, frame).await;
        let is_local = result.as_ref().is_ok_and(|shared| !*shared);
        let released = self.unguard(guard, result.is_ok()).await;
        if !is_local {
            self.tables.clear();
            self.transaction.changed_catalog |= self.transaction.is_open();
            self.engine.touch();
        }
        result?;
        released
    }

    fn no_transaction(&self, what: &str) -> Result<(), SqlError> {
        if self.transaction.is_open() {
            let message = format!("{what} statement not allowed within multi-statement transaction.");
            return Err(SqlError::new(226, 16, message).with_state(6));
        }
        Ok(())
    }

    /// Returns whether other sessions can see the change.
    async fn define_guarded(&mut self, definition: &Definition, frame: &Frame) -> Result<bool, SqlError> {
        match definition {
            Definition::CreateSchema(name) => self.create_schema(name).await?,
            Definition::DropSchema(name, if_exists) => self.drop_schema(name, *if_exists).await?,
            Definition::CreateTable(create) => {
                self.create_table(create, frame).await?;
                return Ok(!create.name.is_temporary());
            }
            Definition::DropTable(names, if_exists) => {
                for name in names {
                    self.drop_table(name, *if_exists).await?;
                }
                return Ok(names.iter().any(|name| !name.is_temporary()));
            }
            Definition::Truncate(name) => {
                self.truncate(name).await?;
                return Ok(false);
            }
            Definition::AlterTable(name, change) => {
                let table = self.existing(name, 4902).await?;
                let changed = self.alter_table(&table, change, frame).await?;
                return Ok(self.finish_change(changed));
            }
            Definition::Transfer(schema, name) => self.transfer(schema, name).await?,
            Definition::CreateIndex(create) => {
                let table = self.existing(&create.table, 1088).await?;
                let new = self.new_index(&table, create, frame)?;
                let changed = self.make_index(&table, &new).await?;
                return Ok(self.finish_change(changed));
            }
            Definition::DropIndex(index, name, if_exists) => {
                let table = self.existing(name, 1088).await?;
                let changed = self.drop_index(&table, index, *if_exists).await?;
                return Ok(self.finish_change(changed));
            }
            Definition::CreateDatabase(_) | Definition::DropDatabase(..) | Definition::AlterDatabase(..) => {}
        }
        Ok(true)
    }

    /// Keeps a changed temporary table; says whether the table is shared.
    fn finish_change(&mut self, changed: Table) -> bool {
        let shared = changed.object_id > 0;
        if !shared {
            self.put_temporary(changed);
        }
        shared
    }

    /// The table (`number`: there is none).
    async fn existing(&mut self, name: &ObjectName, number: i32) -> Result<Arc<Table>, SqlError> {
        let found = self.find_table(name).await?;
        found.filter(|table| !table.system).ok_or_else(|| {
            let message = format!(
                "Cannot find the object \"{name}\" because it does not exist or you do not have permissions."
            );
            SqlError::new(number, 16, message)
        })
    }

    async fn create_schema(&mut self, name: &str) -> Result<(), SqlError> {
        let found = self.catalog("SELECT 1 FROM tsql.schemas WHERE name = $1", &[&name]).await?;
        if !found.is_empty() {
            let message = format!("There is already an object named '{name}' in the database.");
            return Err(SqlError::new(2714, 16, message).with_state(6));
        }
        self.catalog("INSERT INTO tsql.schemas (name) VALUES ($1)", &[&name]).await?;
        Ok(())
    }

    async fn drop_schema(&mut self, name: &str, if_exists: bool) -> Result<(), SqlError> {
        let found = self.catalog("SELECT schema_id FROM tsql.schemas WHERE name = $1", &[&name]).await?;
        let Some(row) = found.first() else {
            if if_exists {
                return Ok(());
            }
            let message = format!(
                "Cannot drop the schema '{name}', because it does not exist or you do not have permission."
            );
            return Err(SqlError::new(15151, 16, message));
        };
        let id: i32 = field(row, 0)?;
        let inside = self
            .catalog("SELECT tsql.text_of(name) FROM tsql.objects WHERE schema_id = $1 LIMIT 1", &[&id])
            .await?;
        if let Some(row) = inside.first() {
            let object: String = field(row, 0)?;
            let message =
                format!("Cannot drop schema '{name}' because it is being referenced by object '{object}'.");
            return Err(SqlError::new(3729, 16, message));
        }
        self.catalog("DELETE FROM tsql.schemas WHERE schema_id = $1", &[&id]).await?;
        Ok(())
    }

    async fn drop_table(&mut self, name: &ObjectName, if_exists: bool) -> Result<(), SqlError> {
        let Some(table) = self.find_table(name).await?.filter(|table| !table.system) else {
            if if_exists {
                return Ok(());
            }
            let message = format!(
                "Cannot drop the table '{name}', because it does not exist or you do not have permission."
            );
            return Err(SqlError::new(3701, 11, message).with_state(5));
        };
        let dropped = self.client.batch_execute(&format!("DROP TABLE {}", table.relation)).await;
        if let Err(error) = dropped {
            if error.code() == Some(&tokio_postgres::error::SqlState::DEPENDENT_OBJECTS_STILL_EXIST) {
                let message = format!(
                    "Could not drop object '{name}' because it is referenced by a FOREIGN KEY constraint."
                );
                return Err(SqlError::new(3726, 16, message));
            }
            return Err(self.postgres_error(&error, Some(&table)));
        }
        if table.object_id < 0 {
            self.remove_temporary(&table.name);
            return Ok(());
        }
        self.catalog(
            "DELETE FROM tsql.objects WHERE $1 IN (object_id, parent_object_id)",
            &[&table.object_id],
        )
        .await?;
        self.tables.clear();
        Ok(())
    }

    async fn truncate(&mut self, name: &ObjectName) -> Result<(), SqlError> {
        let table = self.existing(name, 4701).await?;
        if self.truncate_discarded(&table) {
            return Ok(());
        }
        let emptied =
            self.client.batch_execute(&format!("TRUNCATE TABLE {} RESTART IDENTITY", table.relation)).await;
        emptied.map_err(|error| {
            if error.code() == Some(&tokio_postgres::error::SqlState::FEATURE_NOT_SUPPORTED) {
                let message = format!(
                    "Cannot truncate table '{name}' because it is being referenced by a FOREIGN KEY constraint."
                );
                return SqlError::new(4712, 16, message);
            }
            self.postgres_error(&error, Some(&table))
        })
    }

    fn new_index(
        &self,
        table: &Arc<Table>,
        create: &CreateIndex,
        frame: &Frame,
    ) -> Result<NewIndex, SqlError> {
        let filter = match &create.filter {
            Some(filter) => Some(translate::translate_check(&Sight { session: self, frame }, filter, table)?),
            None => None,
        };
        Ok(NewIndex {
            name: create.name.clone(),
            unique: create.unique,
            primary: false,
            constraint: false,
            clustered: create.clustered,
            columns: create.columns.clone(),
            included: create.included.clone(),
            filter,
        })
    }

    async fn drop_index(&mut self, table: &Table, name: &str, if_exists: bool) -> Result<Table, SqlError> {
        match table.indexes.iter().find(|index| same_name(&index.name, name)) {
            Some(index) if index.constraint => {
                let message = format!(
                    "An explicit DROP INDEX is not allowed on index '{}.{name}'. It is being used for PRIMARY KEY constraint \
                     enforcement.",
                    table.shown()
                );
                Err(SqlError::new(3723, 16, message).with_state(4))
            }
            Some(index) => self.remove_index(table, index).await,
            None if if_exists => Ok(table.clone()),
            None => {
                let message = format!(
                    "Cannot drop the index '{}.{name}', because it does not exist or you do not have permission.",
                    table.shown()
                );
                Err(SqlError::new(3701, 11, message).with_state(7))
            }
        }
    }
}
