//! Tables by name: from the catalog in PostgreSQL, kept until a catalog changes.

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_tds::ColumnType;
use tokio_postgres::Row;

use super::Session;
use super::flow::Frame;
use crate::answer::SqlError;
use crate::sql::ast::ObjectName;
use crate::sql::collation::Collate;
use crate::sql::physical;
use crate::sql::system;
use crate::sql::table::{Column, Index, Table, fold, same_name};
use crate::sql::translate::Names;

/// What a translation sees of a session.
pub(super) struct Sight<'a> {
    pub(super) session: &'a Session,
    pub(super) frame: &'a Frame,
}

// === impl Sight ===

impl Names for Sight<'_> {
    fn table(&self, name: &ObjectName) -> Option<Arc<Table>> {
        if name.is_variable() {
            return self.frame.table(name);
        }
        self.session.known_table(name)
    }

    fn variable(&self, name: &str) -> Option<ColumnType> {
        self.frame.variable_type(name)
    }

    fn database(&self) -> &str {
        &self.session.database.name
    }

    fn databases(&self) -> String {
        self.session.engine.databases.rows()
    }

    fn identity_insert(&self, table: &Table) -> bool {
        self.session.options.identity_insert == Some(table.object_id)
    }
}

// === impl Session ===

impl Session {
    /// A table that has been looked up before.
    fn known_table(&self, name: &ObjectName) -> Option<Arc<Table>> {
        if name.is_temporary() {
            return self.temporary.get(&fold(&name.name)).cloned();
        }
        if !self.is_here(name) {
            return None;
        }
        let key = Self::table_key(name);
        if let Some(view) = system::view(&key.0, &name.name) {
            return Some(view);
        }
        self.tables.get(&key).cloned().flatten()
    }

    /// Whether a name is of the current database, or of a view that is the same in all.
    fn is_here(&self, name: &ObjectName) -> bool {
        let Some(database) = &name.database else { return true };
        let is_system = name
            .schema
            .as_deref()
            .is_some_and(|schema| same_name(schema, "sys") || same_name(schema, "INFORMATION_SCHEMA"));
        same_name(database, &self.database.name) || (is_system && same_name(database, "master"))
    }

    /// Looks tables up that are not known yet.
    pub(super) async fn look_up(&mut self, names: &[ObjectName]) -> Result<(), SqlError> {
        for name in names {
            if name.is_temporary() || !self.is_here(name) {
                continue;
            }
            let key = Self::table_key(name);
            if self.tables.contains_key(&key) || system::view(&key.0, &name.name).is_some() {
                continue;
            }
            let schema = name.schema.as_deref().filter(|schema| !schema.is_empty()).unwrap_or("dbo");
            let table = self.load_table(schema, &name.name).await?;
            self.tables.insert(key, table.map(Arc::new));
        }
        Ok(())
    }

    /// The table of this name; `None` when there is none.
    pub(super) async fn find_table(&mut self, name: &ObjectName) -> Result<Option<Arc<Table>>, SqlError> {
        self.versions();
        self.look_up(std::slice::from_ref(name)).await?;
        Ok(self.known_table(name))
    }

    async fn load_table(&mut self, schema: &str, name: &str) -> Result<Option<Table>, SqlError> {
        let found = self
            .catalog(
                "SELECT o.object_id, tsql.text_of(s.name), tsql.text_of(o.name) FROM tsql.objects o \
                 JOIN tsql.schemas s ON s.schema_id = o.schema_id WHERE s.name = $1 AND o.name = $2 AND o.type = 'U'",
                &[&schema, &name],
            )
            .await?;
        let Some(row) = found.first() else { return Ok(None) };
        let object_id: i32 = field(row, 0)?;
        let columns = self.load_columns(object_id).await?;
        let indexes = self.load_indexes(object_id).await?;
        Ok(Some(Table {
            object_id,
            schema: field(row, 1)?,
            name: field(row, 2)?,
            relation: format!("u.t{object_id}"),
            columns,
            indexes,
            system: false,
        }))
    }

    async fn load_columns(&mut self, object_id: i32) -> Result<Vec<Column>, SqlError> {
        let rows = self
            .catalog(
                "SELECT column_id, tsql.text_of(name), user_type_id, max_length, precision, scale, \
                 tsql.text_of(collation_name), is_nullable, is_identity, default_sql FROM tsql.columns WHERE object_id = $1 \
                 ORDER BY column_id",
                &[&object_id],
            )
            .await?;
        let mut columns = Vec::new();
        for row in rows {
            let column_id: i32 = field(&row, 0)?;
            let (precision, scale): (i16, i16) = (field(&row, 4)?, field(&row, 5)?);
            let byte = |number: i16| u8::try_from(number).unwrap_or_default();
            let column_type =
                physical::from_catalog(field(&row, 2)?, field(&row, 3)?, byte(precision), byte(scale));
            let collation: Option<String> = field(&row, 6)?;
            columns.push(Column {
                column_id,
                name: field(&row, 1)?,
                physical: format!("c{column_id}"),
                column_type: column_type.ok_or_else(|| damaged("the type of a column"))?,
                collation: collation.map(|name| Collate::by_name(&name)).transpose()?,
                nullable: field::<i16>(&row, 7)? != 0,
                identity: field::<i16>(&row, 8)? != 0,
                default: field(&row, 9)?,
            });
        }
        Ok(columns)
    }

    async fn load_indexes(&mut self, object_id: i32) -> Result<Vec<Index>, SqlError> {
        let rows = self
            .catalog(
                "SELECT i.index_id, tsql.text_of(i.name), i.physical, i.is_unique, i.is_primary_key, i.is_unique_constraint, \
                 c.column_id, c.is_descending_key FROM tsql.indexes i JOIN tsql.index_columns c \
                 ON c.object_id = i.object_id AND c.index_id = i.index_id \
                 WHERE i.object_id = $1 AND c.key_ordinal > 0 ORDER BY i.index_id, c.key_ordinal",
                &[&object_id],
            )
            .await?;
        let mut indexes: Vec<Index> = Vec::new();
        for row in rows {
            let index_id: i32 = field(&row, 0)?;
            if indexes.last().is_none_or(|index| index.index_id != index_id) {
                let primary = field::<i16>(&row, 4)? != 0;
                indexes.push(Index {
                    index_id,
                    name: field(&row, 1)?,
                    physical: field(&row, 2)?,
                    unique: field::<i16>(&row, 3)? != 0,
                    primary,
                    constraint: primary || field::<i16>(&row, 5)? != 0,
                    columns: Vec::new(),
                });
            }
            let column = (field(&row, 6)?, field::<i16>(&row, 7)? != 0);
            if let Some(index) = indexes.last_mut() {
                index.columns.push(column);
            }
        }
        Ok(indexes)
    }

    /// Asks the catalog.
    pub(super) async fn catalog(
        &mut self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<Row>, SqlError> {
        let statement = match self.statements.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let prepared = self.client.prepare(sql).await;
                let statement = prepared.map_err(|error| self.postgres_error(&error, None))?;
                self.statements.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        self.client.query(&statement, params).await.map_err(|error| self.postgres_error(&error, None))
    }

    /// Adds a temporary table, or replaces it.
    pub(super) fn put_temporary(&mut self, table: Table) {
        let mut tables: HashMap<String, Arc<Table>> = (*self.temporary).clone();
        tables.insert(fold(&table.name), Arc::new(table));
        self.replace_temporary(Arc::new(tables));
    }

    /// Forgets a temporary table.
    pub(super) fn remove_temporary(&mut self, name: &str) {
        let mut tables: HashMap<String, Arc<Table>> = (*self.temporary).clone();
        tables.remove(&fold(name));
        self.replace_temporary(Arc::new(tables));
    }
}

/// A field of a row of the catalog.
pub(super) fn field<'r, T: tokio_postgres::types::FromSql<'r>>(
    row: &'r Row,
    index: usize,
) -> Result<T, SqlError> {
    row.try_get(index).map_err(|_| damaged("a field"))
}

fn damaged(what: &str) -> SqlError {
    SqlError::new(8180, 16, format!("the sandbox's catalog is damaged: {what}"))
}
