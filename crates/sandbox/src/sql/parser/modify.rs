//! INSERT, UPDATE, DELETE, MERGE, INSERT BULK.

use super::Parser;
use super::type_name::Unsized;
use crate::answer::SqlError;
use crate::sql::ast::{
    BulkInsert, CommonTable, Delete, Expr, Insert, InsertExecute, InsertSource, Merge, MergeAction,
    MergeClause, MergeMatch, Output, StatementKind, TableSource, Update,
};
use crate::sql::lexer::TokenKind;

// === impl Parser ===

impl Parser<'_> {
    /// INSERT or INSERT BULK.
    pub(super) fn insert(&mut self, with: Vec<CommonTable>) -> Result<StatementKind, SqlError> {
        self.expect_word("INSERT")?;
        if self.is_word("BULK") && !self.is_symbol_at(1, "(") && !self.is_symbol_at(1, ".") {
            self.bump();
            return self.bulk().map(StatementKind::BulkInsert);
        }
        self.eat_word("INTO");
        let table = self.table_or_variable()?;
        self.table_hints()?;
        let columns = match self.is_symbol("(") && !self.is_query() {
            true => self.names_in_parentheses()?,
            false => Vec::new(),
        };
        let output = self.output()?;
        let source = if self.eat_word("VALUES") {
            InsertSource::Values(self.separated(Self::row)?)
        } else if self.eat_words(&["DEFAULT", "VALUES"]) {
            InsertSource::Defaults
        } else if self.is_query() {
            InsertSource::Query(Box::new(self.query()?))
        } else if with.is_empty() && output.is_none() && self.eat_one_of(&["EXEC", "EXECUTE"]).is_some() {
            let StatementKind::Execute { procedure, arguments } = self.execute_procedure()? else {
                return Err(self.unexpected());
            };
            let insert = InsertExecute { table, columns, procedure, arguments };
            return Ok(StatementKind::InsertExecute(Box::new(insert)));
        } else {
            return Err(self.unexpected());
        };
        self.option()?;
        Ok(StatementKind::Insert(Box::new(Insert { with, table, columns, output, source })))
    }

    fn output(&mut self) -> Result<Option<Output>, SqlError> {
        if !self.eat_word("OUTPUT") {
            return Ok(None);
        }
        let items = self.separated(Self::select_item)?;
        let into = if self.eat_word("INTO") { Some(self.table_or_variable()?) } else { None };
        Ok(Some(Output { items, into }))
    }

    fn assignments(&mut self) -> Result<Vec<(String, Expr)>, SqlError> {
        self.separated(|parser| {
            let mut column = parser.name()?;
            while parser.eat_symbol(".") {
                column = parser.name()?;
            }
            let operator = match parser.bump() {
                TokenKind::Symbol("=") => None,
                TokenKind::Symbol("+=") => Some("+"),
                TokenKind::Symbol("-=") => Some("-"),
                _ => {
                    parser.position -= 1;
                    return Err(parser.unexpected());
                }
            };
            let value = parser.expression()?;
            let value = match operator {
                Some(operator) => {
                    let old = Expr::Column(vec![column.clone()]);
                    Expr::Binary(operator, Box::new(old), Box::new(value))
                }
                None => value,
            };
            Ok((column, value))
        })
    }

    /// UPDATE
    pub(super) fn update(&mut self, with: Vec<CommonTable>) -> Result<StatementKind, SqlError> {
        self.expect_word("UPDATE")?;
        let top = self.top()?;
        let target = self.table_or_variable()?;
        self.table_hints()?;
        self.expect_word("SET")?;
        let set = self.assignments()?;
        let output = self.output()?;
        let from = if self.eat_word("FROM") { self.separated(Self::table_source)? } else { Vec::new() };
        let filter = if self.eat_word("WHERE") { Some(self.condition()?) } else { None };
        self.option()?;
        Ok(StatementKind::Update(Box::new(Update { with, top, target, set, output, from, filter })))
    }

    /// DELETE
    pub(super) fn delete(&mut self, with: Vec<CommonTable>) -> Result<StatementKind, SqlError> {
        self.expect_word("DELETE")?;
        let top = self.top()?;
        self.eat_word("FROM");
        let target = self.table_or_variable()?;
        self.table_hints()?;
        let output = self.output()?;
        let from = if self.eat_word("FROM") { self.separated(Self::table_source)? } else { Vec::new() };
        let filter = if self.eat_word("WHERE") { Some(self.condition()?) } else { None };
        self.option()?;
        Ok(StatementKind::Delete(Box::new(Delete { with, top, target, output, from, filter })))
    }

    /// MERGE, which must end with a semicolon (10713).
    pub(super) fn merge(&mut self) -> Result<StatementKind, SqlError> {
        self.expect_word("MERGE")?;
        self.eat_word("INTO");
        let target = self.table_or_variable()?;
        self.table_hints()?;
        let alias = if self.is_word("USING") { None } else { self.alias()? };
        self.expect_word("USING")?;
        let source = self.table_source_alone()?;
        self.expect_word("ON")?;
        let on = self.condition()?;
        let mut clauses = Vec::new();
        while self.eat_word("WHEN") {
            clauses.push(self.merge_clause()?);
        }
        let output = self.output()?;
        self.option()?;
        if !self.is_symbol(";") {
            let message = "A MERGE statement must be terminated by a semi-colon (;).";
            return Err(SqlError::new(10713, 15, message).at_line(self.line()));
        }
        Ok(StatementKind::Merge(Box::new(Merge { target, alias, source, on, clauses, output })))
    }

    /// A table without joins: the ON behind it belongs to the MERGE.
    fn table_source_alone(&mut self) -> Result<TableSource, SqlError> {
        let source = self.table_source()?;
        match source {
            TableSource::Join { .. } => Err(self.unexpected()),
            other => Ok(other),
        }
    }

    fn merge_clause(&mut self) -> Result<MergeClause, SqlError> {
        let matched = if self.eat_word("MATCHED") {
            MergeMatch::Matched
        } else {
            self.expect_word("NOT")?;
            self.expect_word("MATCHED")?;
            if self.eat_word("BY") {
                self.expect_word("TARGET")?;
            }
            MergeMatch::NotMatched
        };
        let condition = if self.eat_word("AND") { Some(self.condition()?) } else { None };
        self.expect_word("THEN")?;
        let action = match matched {
            MergeMatch::NotMatched => {
                self.expect_word("INSERT")?;
                let columns = if self.is_symbol("(") { self.names_in_parentheses()? } else { Vec::new() };
                self.expect_word("VALUES")?;
                MergeAction::Insert(columns, self.row()?)
            }
            MergeMatch::Matched if self.eat_word("DELETE") => MergeAction::Delete,
            MergeMatch::Matched => {
                self.expect_word("UPDATE")?;
                self.expect_word("SET")?;
                MergeAction::Update(self.assignments()?)
            }
        };
        Ok(MergeClause { matched, condition, action })
    }

    /// INSERT BULK, behind BULK.
    fn bulk(&mut self) -> Result<BulkInsert, SqlError> {
        let table = self.table_name()?;
        self.expect_symbol("(")?;
        let columns = self.separated(|parser| {
            let name = parser.name()?;
            let column_type = parser.type_name(Unsized::Declared)?;
            let collation = if parser.eat_word("COLLATE") { Some(parser.name()?) } else { None };
            Ok((name, column_type, collation))
        })?;
        self.expect_symbol(")")?;
        let mut bulk =
            BulkInsert { table, columns, keep_nulls: false, check_constraints: false, keep_identity: false };
        if self.eat_word("WITH") {
            self.expect_symbol("(")?;
            self.separated(|parser| parser.bulk_hint(&mut bulk))?;
            self.expect_symbol(")")?;
        }
        Ok(bulk)
    }

    fn bulk_hint(&mut self, bulk: &mut BulkInsert) -> Result<(), SqlError> {
        let TokenKind::Word(word) = self.peek() else { return Err(self.unexpected()) };
        match word.to_ascii_uppercase().as_str() {
            "KEEP_NULLS" => bulk.keep_nulls = true,
            "CHECK_CONSTRAINTS" => bulk.check_constraints = true,
            "KEEP_IDENTITY" | "KEEPIDENTITY" => bulk.keep_identity = true,
            "FIRE_TRIGGERS" | "TABLOCK" => {}
            "ORDER" => {
                self.bump();
                return self.skip_parentheses();
            }
            "ROWS_PER_BATCH" | "KILOBYTES_PER_BATCH" => {
                self.bump();
                self.expect_symbol("=")?;
                self.integer()?;
                return Ok(());
            }
            _ => return Err(self.unexpected()),
        }
        self.bump();
        Ok(())
    }
}
