//! CREATE, DROP, ALTER, TRUNCATE.

use super::Parser;
use super::type_name::Unsized;
use crate::answer::SqlError;
use crate::sql::ast::{
    AlterTable, ColumnDefinition, Constraint, ConstraintKind, CreateIndex, CreateTable, DatabaseOption,
    DefaultValue, Definition, Expr, StatementKind,
};
use crate::sql::lexer::TokenKind;

// === impl Parser ===

impl Parser<'_> {
    /// The statements that change the catalog.
    pub(super) fn definition(&mut self) -> Result<StatementKind, SqlError> {
        let definition = if self.eat_word("CREATE") {
            self.create()?
        } else if self.eat_word("DROP") {
            self.drop()?
        } else if self.eat_word("ALTER") {
            self.alter()?
        } else {
            self.expect_word("TRUNCATE")?;
            self.expect_word("TABLE")?;
            Definition::Truncate(self.table_name()?)
        };
        Ok(StatementKind::Definition(definition))
    }

    fn create(&mut self) -> Result<Definition, SqlError> {
        if self.eat_word("TABLE") {
            return self.create_table();
        }
        if self.eat_word("SCHEMA") {
            let name = self.name()?;
            if self.eat_word("AUTHORIZATION") {
                self.name()?;
            }
            return Ok(Definition::CreateSchema(name));
        }
        if self.eat_word("DATABASE") {
            let name = self.name()?;
            if self.eat_word("COLLATE") {
                self.name()?;
            }
            return Ok(Definition::CreateDatabase(name));
        }
        let unique = self.eat_word("UNIQUE");
        let clustered = self.eat_one_of(&["CLUSTERED", "NONCLUSTERED"]) == Some("CLUSTERED");
        self.expect_word("INDEX")?;
        let name = self.name()?;
        self.expect_word("ON")?;
        let table = self.table_name()?;
        let columns = self.key_columns()?;
        let included = if self.eat_word("INCLUDE") { self.names_in_parentheses()? } else { Vec::new() };
        let filter = if self.eat_word("WHERE") { Some(self.condition()?) } else { None };
        self.index_options()?;
        let index = CreateIndex { name, table, unique, clustered, columns, included, filter };
        Ok(Definition::CreateIndex(Box::new(index)))
    }

    /// `WITH (..)` and `ON filegroup` behind an index or table.
    fn index_options(&mut self) -> Result<(), SqlError> {
        if self.is_word("WITH") && self.is_symbol_at(1, "(") {
            self.bump();
            self.skip_parentheses()?;
        }
        if self.is_word("ON") && matches!(self.peek_at(1), TokenKind::Quoted(_)) {
            self.bump();
            self.name()?;
        }
        Ok(())
    }

    /// `(column [ASC|DESC], ..)`
    fn key_columns(&mut self) -> Result<Vec<(String, bool)>, SqlError> {
        self.expect_symbol("(")?;
        let columns = self.separated(|parser| {
            let name = parser.name()?;
            let descending = parser.eat_word("DESC");
            if !descending {
                parser.eat_word("ASC");
            }
            Ok((name, descending))
        })?;
        self.expect_symbol(")")?;
        Ok(columns)
    }

    fn create_table(&mut self) -> Result<Definition, SqlError> {
        let name = self.table_name()?;
        let (columns, constraints) = self.table_parts()?;
        self.index_options()?;
        if self.is_word("TEXTIMAGE_ON") {
            self.bump();
            self.name()?;
        }
        Ok(Definition::CreateTable(Box::new(CreateTable { name, columns, constraints })))
    }

    /// `(column, constraint, ..)` of a table.
    pub(super) fn table_parts(&mut self) -> Result<(Vec<ColumnDefinition>, Vec<Constraint>), SqlError> {
        self.expect_symbol("(")?;
        let (mut columns, mut constraints) = (Vec::new(), Vec::new());
        loop {
            if let Some(constraint) = self.table_constraint()? {
                constraints.push(constraint);
            } else {
                columns.push(self.column_definition(&mut constraints)?);
            }
            if !self.eat_symbol(",") || self.is_symbol(")") {
                break;
            }
        }
        self.expect_symbol(")")?;
        Ok((columns, constraints))
    }

    /// A constraint of a table, if one begins here.
    fn table_constraint(&mut self) -> Result<Option<Constraint>, SqlError> {
        let name = if self.eat_word("CONSTRAINT") { Some(self.name()?) } else { None };
        if let Some(kind) = self.key_kind()? {
            return Ok(Some(Constraint { name, kind }));
        }
        let kind = if self.is_word("CHECK") && self.is_symbol_at(1, "(") {
            let (value, text) = self.check()?;
            ConstraintKind::Check(value, text)
        } else if self.eat_words(&["FOREIGN", "KEY"]) {
            let columns = self.names_in_parentheses()?;
            self.references(columns)?
        } else if self.is_word("DEFAULT") {
            let (value, text) = self.default_value()?;
            self.expect_word("FOR")?;
            let column = self.name()?;
            ConstraintKind::Default { column, value, text }
        } else if name.is_some() {
            return Err(self.unexpected());
        } else {
            return Ok(None);
        };
        Ok(Some(Constraint { name, kind }))
    }

    /// `PRIMARY KEY [CLUSTERED] (..)` or `UNIQUE (..)`; of a column without the parentheses.
    fn key_kind(&mut self) -> Result<Option<ConstraintKind>, SqlError> {
        let primary = if self.eat_words(&["PRIMARY", "KEY"]) {
            true
        } else if self.eat_word("UNIQUE") {
            false
        } else {
            return Ok(None);
        };
        let clustered = match self.eat_one_of(&["CLUSTERED", "NONCLUSTERED"]) {
            Some(word) => word == "CLUSTERED",
            None => primary,
        };
        let columns = if self.is_symbol("(") { self.key_columns()? } else { Vec::new() };
        self.index_options()?;
        Ok(Some(ConstraintKind::Key { primary, clustered, columns }))
    }

    fn check(&mut self) -> Result<(Expr, String), SqlError> {
        self.expect_word("CHECK")?;
        let start = self.start();
        self.expect_symbol("(")?;
        let value = self.condition()?;
        self.expect_symbol(")")?;
        Ok((value, self.text_since(start)))
    }

    fn default_value(&mut self) -> Result<(Expr, String), SqlError> {
        self.expect_word("DEFAULT")?;
        let start = self.start();
        let value = self.expression()?;
        Ok((value, self.text_since(start)))
    }

    /// The text from `start` to the next token.
    fn text_since(&self, start: usize) -> String {
        self.sql.get(start..self.start()).unwrap_or_default().trim().to_owned()
    }

    fn references(&mut self, columns: Vec<String>) -> Result<ConstraintKind, SqlError> {
        self.expect_word("REFERENCES")?;
        let table = self.table_name()?;
        let referenced = if self.is_symbol("(") { self.names_in_parentheses()? } else { Vec::new() };
        while self.eat_word("ON") {
            // Only the default is supported: an action would change rows behind the client's back.
            if self.eat_one_of(&["DELETE", "UPDATE"]).is_none() || !self.eat_words(&["NO", "ACTION"]) {
                return Err(self.unexpected());
            }
        }
        Ok(ConstraintKind::Foreign { columns, table, referenced })
    }

    /// A column with its constraints, which go into `constraints`.
    fn column_definition(&mut self, constraints: &mut Vec<Constraint>) -> Result<ColumnDefinition, SqlError> {
        let name = self.name()?;
        let column_type = self.type_name(Unsized::Declared)?;
        let mut column = ColumnDefinition {
            name,
            column_type,
            collation: None,
            nullable: None,
            identity: None,
            default: None,
        };
        loop {
            if self.eat_word("COLLATE") {
                column.collation = Some(self.name()?);
            } else if self.eat_words(&["NOT", "NULL"]) {
                column.nullable = Some(false);
            } else if self.eat_word("NULL") {
                column.nullable = Some(true);
            } else if self.eat_word("IDENTITY") {
                column.identity = Some(self.identity()?);
            } else if !self.column_constraint(&mut column, constraints)? {
                return Ok(column);
            }
        }
    }

    fn identity(&mut self) -> Result<(i64, i64), SqlError> {
        if !self.eat_symbol("(") {
            return Ok((1, 1));
        }
        let seed = self.integer()?;
        self.expect_symbol(",")?;
        let increment = self.integer()?;
        self.expect_symbol(")")?;
        Ok((seed, increment))
    }

    /// One constraint of a column; false when none begins here.
    fn column_constraint(
        &mut self,
        column: &mut ColumnDefinition,
        constraints: &mut Vec<Constraint>,
    ) -> Result<bool, SqlError> {
        let name = if self.eat_word("CONSTRAINT") { Some(self.name()?) } else { None };
        let kind = if let Some(kind) = self.key_kind()? {
            match kind {
                ConstraintKind::Key { primary, clustered, columns } if columns.is_empty() => {
                    let columns = vec![(column.name.clone(), false)];
                    ConstraintKind::Key { primary, clustered, columns }
                }
                other => other,
            }
        } else if self.is_word("CHECK") {
            let (value, text) = self.check()?;
            ConstraintKind::Check(value, text)
        } else if self.is_word("DEFAULT") {
            let (value, text) = self.default_value()?;
            column.default = Some(DefaultValue { name, value, text });
            return Ok(true);
        } else if self.is_word("REFERENCES") {
            self.references(vec![column.name.clone()])?
        } else if name.is_some() {
            return Err(self.unexpected());
        } else {
            return Ok(false);
        };
        constraints.push(Constraint { name, kind });
        Ok(true)
    }

    fn drop(&mut self) -> Result<Definition, SqlError> {
        let what =
            self.eat_one_of(&["TABLE", "SCHEMA", "DATABASE", "INDEX"]).ok_or_else(|| self.unexpected())?;
        let if_exists = self.eat_words(&["IF", "EXISTS"]);
        match what {
            "TABLE" => Ok(Definition::DropTable(self.separated(Self::table_name)?, if_exists)),
            "SCHEMA" => Ok(Definition::DropSchema(self.name()?, if_exists)),
            "DATABASE" => Ok(Definition::DropDatabase(self.name()?, if_exists)),
            _ => {
                let name = self.name()?;
                self.expect_word("ON")?;
                Ok(Definition::DropIndex(name, self.table_name()?, if_exists))
            }
        }
    }

    fn alter(&mut self) -> Result<Definition, SqlError> {
        if self.eat_word("DATABASE") {
            return self.alter_database();
        }
        if self.eat_word("SCHEMA") {
            let schema = self.name()?;
            self.expect_word("TRANSFER")?;
            return Ok(Definition::Transfer(schema, self.table_name()?));
        }
        self.expect_word("TABLE")?;
        let table = self.table_name()?;
        if self.eat_word("WITH") && self.eat_one_of(&["CHECK", "NOCHECK"]).is_none() {
            return Err(self.unexpected());
        }
        if self.eat_words(&["ALTER", "COLUMN"]) {
            let mut constraints = Vec::new();
            let column = self.column_definition(&mut constraints)?;
            if !constraints.is_empty() || column.default.is_some() || column.identity.is_some() {
                return Err(self.unexpected());
            }
            return Ok(Definition::AlterTable(table, AlterTable::AlterColumn(column)));
        }
        if self.eat_word("DROP") {
            let constraint = match self.eat_one_of(&["CONSTRAINT", "COLUMN"]) {
                Some(word) => word == "CONSTRAINT",
                None => true,
            };
            let if_exists = self.eat_words(&["IF", "EXISTS"]);
            let names = self.separated(Self::name)?;
            let change = if constraint {
                AlterTable::DropConstraint(names, if_exists)
            } else {
                AlterTable::DropColumn(names, if_exists)
            };
            return Ok(Definition::AlterTable(table, change));
        }
        if self.eat_word("SET") {
            self.skip_parentheses()?;
            return Ok(Definition::AlterTable(table, AlterTable::Nothing));
        }
        self.expect_word("ADD")?;
        let (mut columns, mut constraints) = (Vec::new(), Vec::new());
        loop {
            if let Some(constraint) = self.table_constraint()? {
                constraints.push(constraint);
            } else {
                columns.push(self.column_definition(&mut constraints)?);
            }
            if !self.eat_symbol(",") {
                break;
            }
        }
        Ok(Definition::AlterTable(table, AlterTable::Add(columns, constraints)))
    }

    fn alter_database(&mut self) -> Result<Definition, SqlError> {
        let name = if self.eat_word("CURRENT") { None } else { Some(self.name()?) };
        self.expect_word("SET")?;
        let options = [
            "ALLOW_SNAPSHOT_ISOLATION",
            "READ_COMMITTED_SNAPSHOT",
            "DELAYED_DURABILITY",
            "READ_ONLY",
            "READ_WRITE",
        ];
        let option = self.eat_one_of(&options).ok_or_else(|| self.unexpected())?;
        let (option, on) = match option {
            "ALLOW_SNAPSHOT_ISOLATION" => (DatabaseOption::AllowSnapshotIsolation, self.on_or_off()?),
            "READ_COMMITTED_SNAPSHOT" => (DatabaseOption::ReadCommittedSnapshot, self.on_or_off()?),
            "DELAYED_DURABILITY" => {
                self.expect_symbol("=")?;
                let word =
                    self.eat_one_of(&["FORCED", "ALLOWED", "DISABLED"]).ok_or_else(|| self.unexpected())?;
                (DatabaseOption::DelayedDurability, word == "FORCED")
            }
            other => (DatabaseOption::ReadOnly, other == "READ_ONLY"),
        };
        if self.eat_word("WITH") && !self.eat_words(&["ROLLBACK", "IMMEDIATE"]) {
            self.expect_word("NO_WAIT")?;
        }
        Ok(Definition::AlterDatabase(name, option, on))
    }
}
