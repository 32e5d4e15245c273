//! Control of flow, transactions, EXEC.

use super::Parser;
use super::type_name::Unsized;
use crate::answer::SqlError;
use crate::sql::ast::{
    Argument, CreateTable, Declaration, Expr, Literal, ObjectName, Statement, StatementKind,
};
use crate::sql::lexer::TokenKind;

// === impl Parser ===

impl Parser<'_> {
    /// The statements that begin with `word`, which is one of those that the caller knows.
    pub(super) fn flow(&mut self, word: &str) -> Result<StatementKind, SqlError> {
        match word {
            "BEGIN" => self.begin(),
            "EXEC" | "EXECUTE" => self.execute(),
            "THROW" => self.throw(),
            "RAISERROR" => self.raiserror(),
            "IF" => {
                self.bump();
                let condition = self.condition()?;
                let then = Box::new(self.statement()?);
                let otherwise = if self.eat_word("ELSE") { Some(Box::new(self.statement()?)) } else { None };
                Ok(StatementKind::If { condition, then, otherwise })
            }
            "WHILE" => {
                self.bump();
                let condition = self.condition()?;
                Ok(StatementKind::While { condition, body: Box::new(self.statement()?) })
            }
            "PRINT" => {
                self.bump();
                Ok(StatementKind::Print(self.expression()?))
            }
            "USE" => {
                self.bump();
                Ok(StatementKind::Use(self.name()?))
            }
            "COMMIT" => {
                self.bump();
                self.transaction_word();
                self.transaction_name();
                Ok(StatementKind::Commit)
            }
            "ROLLBACK" => {
                self.bump();
                self.transaction_word();
                Ok(StatementKind::Rollback(self.transaction_name()))
            }
            "SAVE" => {
                self.bump();
                self.transaction_word();
                let name = self.transaction_name().ok_or_else(|| self.unexpected())?;
                Ok(StatementKind::Save(name))
            }
            "RETURN" => {
                self.bump();
                if matches!(self.peek(), TokenKind::Integer(_)) {
                    self.bump();
                }
                Ok(StatementKind::Return)
            }
            "BREAK" => {
                self.bump();
                Ok(StatementKind::Break)
            }
            _ => {
                self.bump();
                Ok(StatementKind::Continue)
            }
        }
    }

    fn transaction_word(&mut self) {
        let found = self.eat_one_of(&["TRANSACTION", "TRAN"]);
        if found.is_none() {
            self.eat_word("WORK");
        }
    }

    /// A name or a variable that holds one; only names are kept.
    fn transaction_name(&mut self) -> Option<String> {
        // A name on its own line is SQL Server's ambiguity too: it takes the next word when that can be a name.
        if self.is_name() { self.name().ok() } else { None }
    }

    fn begin(&mut self) -> Result<StatementKind, SqlError> {
        self.bump();
        if self.eat_one_of(&["TRANSACTION", "TRAN"]).is_some() {
            self.transaction_name();
            return Ok(StatementKind::Begin);
        }
        if self.eat_word("TRY") {
            let body = self.statements_until(&["END", "TRY"])?;
            self.eat_symbol(";");
            if !self.eat_words(&["BEGIN", "CATCH"]) {
                return Err(self.unexpected());
            }
            let handler = self.statements_until(&["END", "CATCH"])?;
            return Ok(StatementKind::TryCatch { body, handler });
        }
        Ok(StatementKind::Block(self.statements_until(&["END"])?))
    }

    fn statements_until(&mut self, end: &[&str]) -> Result<Vec<Statement>, SqlError> {
        let mut statements = Vec::new();
        loop {
            while self.eat_symbol(";") {}
            if self.eat_words(end) {
                return Ok(statements);
            }
            statements.push(self.statement()?);
        }
    }

    /// `DECLARE @a type = value, @b type`
    pub(super) fn declare(&mut self) -> Result<StatementKind, SqlError> {
        self.bump();
        if let Some(table) = self.table_variable()? {
            return Ok(StatementKind::DeclareTable(Box::new(table)));
        }
        let declarations = self.separated(|parser| {
            let TokenKind::Variable(name) = parser.peek() else { return Err(parser.unexpected()) };
            let name = name.clone();
            parser.bump();
            parser.eat_word("AS");
            let column_type = parser.type_name(Unsized::Declared)?;
            let value = if parser.eat_symbol("=") { Some(parser.expression()?) } else { None };
            Ok(Declaration { name, column_type, value })
        })?;
        Ok(StatementKind::Declare(declarations))
    }

    /// `@t [AS] TABLE (..)`
    fn table_variable(&mut self) -> Result<Option<CreateTable>, SqlError> {
        let TokenKind::Variable(name) = self.peek() else { return Ok(None) };
        let name = ObjectName { database: None, schema: None, name: name.clone() };
        let begun = self.position;
        self.bump();
        self.eat_word("AS");
        if !self.eat_word("TABLE") {
            self.position = begun;
            return Ok(None);
        }
        let (columns, constraints) = self.table_parts()?;
        Ok(Some(CreateTable { name, columns, constraints }))
    }

    fn throw(&mut self) -> Result<StatementKind, SqlError> {
        self.bump();
        if matches!(self.peek(), TokenKind::Symbol(";") | TokenKind::End) || self.is_word("END") {
            return Ok(StatementKind::Throw(None));
        }
        let number = self.expression()?;
        self.expect_symbol(",")?;
        let text = self.expression()?;
        self.expect_symbol(",")?;
        let state = self.expression()?;
        Ok(StatementKind::Throw(Some([number, text, state])))
    }

    fn raiserror(&mut self) -> Result<StatementKind, SqlError> {
        self.bump();
        self.expect_symbol("(")?;
        let arguments = self.separated(Self::expression)?;
        self.expect_symbol(")")?;
        if self.eat_word("WITH") {
            self.separated(Self::name)?;
        }
        Ok(StatementKind::Raiserror { arguments })
    }

    fn execute(&mut self) -> Result<StatementKind, SqlError> {
        self.bump();
        if self.eat_symbol("(") {
            let text = self.expression()?;
            self.expect_symbol(")")?;
            return Ok(StatementKind::ExecuteText(text));
        }
        self.execute_procedure()
    }

    /// `procedure arguments`
    pub(super) fn execute_procedure(&mut self) -> Result<StatementKind, SqlError> {
        let procedure = self.object_name()?.name;
        let mut arguments = Vec::new();
        if !matches!(self.peek(), TokenKind::Symbol(";") | TokenKind::End) && self.begins_argument() {
            arguments = self.separated(Self::argument)?;
        }
        Ok(StatementKind::Execute { procedure, arguments })
    }

    fn begins_argument(&self) -> bool {
        match self.peek() {
            TokenKind::Symbol(symbol) => *symbol == "-",
            TokenKind::Word(word) => !super::is_reserved(word) || word.eq_ignore_ascii_case("NULL"),
            TokenKind::End => false,
            _ => true,
        }
    }

    fn argument(&mut self) -> Result<Argument, SqlError> {
        let name = match self.peek() {
            TokenKind::Variable(name) if self.is_symbol_at(1, "=") => Some(name.clone()),
            _ => None,
        };
        if name.is_some() {
            self.bump();
            self.bump();
        }
        // A bare word is a text, as in `EXEC sp_columns orders`.
        let value = match self.peek() {
            TokenKind::Word(word) if !super::is_reserved(word) => {
                let text = word.clone();
                self.bump();
                Expr::Literal(Literal::Text(text, true))
            }
            TokenKind::Quoted(word) => {
                let text = word.clone();
                self.bump();
                Expr::Literal(Literal::Text(text, true))
            }
            _ => self.expression()?,
        };
        let output = self.eat_one_of(&["OUTPUT", "OUT"]).is_some();
        Ok(Argument { name, value, output })
    }
}
