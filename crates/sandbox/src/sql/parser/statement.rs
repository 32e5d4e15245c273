//! Which statement begins here, and session options.

use super::Parser;
use crate::answer::SqlError;
use crate::sql::ast::{Isolation, SetOption, Statement, StatementKind};
use crate::sql::lexer::TokenKind;

/// Options that must be ON, because the sandbox knows no other behaviour.
const ALWAYS_ON: &[&str] = &[
    "ANSI_NULLS",
    "QUOTED_IDENTIFIER",
    "ANSI_WARNINGS",
    "ANSI_PADDING",
    "ARITHABORT",
    "CONCAT_NULL_YIELDS_NULL",
    "ANSI_NULL_DFLT_ON",
    "ANSI_DEFAULTS",
];

/// Options that must be OFF.
const ALWAYS_OFF: &[&str] = &["NUMERIC_ROUNDABORT", "ANSI_NULL_DFLT_OFF", "NOEXEC", "PARSEONLY"];

/// Options that change nothing that the sandbox shows; anything may follow them.
const IGNORED: &[&str] = &[
    "TEXTSIZE",
    "LANGUAGE",
    "DATEFORMAT",
    "DATEFIRST",
    "DEADLOCK_PRIORITY",
    "CONTEXT_INFO",
    "STATISTICS",
    "QUERY_GOVERNOR_COST_LIMIT",
    "CURSOR_CLOSE_ON_COMMIT",
];

// === impl Parser ===

impl Parser<'_> {
    /// One statement, with the semicolon behind it.
    pub(super) fn statement(&mut self) -> Result<Statement, SqlError> {
        let id = self.statements;
        self.statements += 1;
        let line = self.line();
        let outer = std::mem::take(&mut self.tables);
        let kind = self.nested(Self::statement_kind);
        let tables = std::mem::replace(&mut self.tables, outer);
        self.eat_symbol(";");
        Ok(Statement { id, line, kind: kind?, tables })
    }

    fn statement_kind(&mut self) -> Result<StatementKind, SqlError> {
        let TokenKind::Word(word) = self.peek() else {
            if self.is_query() {
                return Ok(StatementKind::Select(Box::new(self.query()?)));
            }
            // A procedure's name alone executes it, at the beginning of a batch only.
            if self.position == 0 && matches!(self.peek(), TokenKind::Quoted(_)) {
                return self.execute_procedure();
            }
            return Err(self.unexpected());
        };
        let word = word.to_ascii_uppercase();
        match word.as_str() {
            "SELECT" => Ok(StatementKind::Select(Box::new(self.query()?))),
            "WITH" => self.with(),
            "INSERT" => self.insert(Vec::new()),
            "UPDATE" => self.update(Vec::new()),
            "DELETE" => self.delete(Vec::new()),
            "MERGE" => self.merge(),
            "SET" => self.set(),
            "DECLARE" => self.declare(),
            "CREATE" | "DROP" | "ALTER" | "TRUNCATE" => self.definition(),
            "BEGIN" | "COMMIT" | "ROLLBACK" | "SAVE" | "IF" | "WHILE" | "THROW" | "RAISERROR" | "PRINT"
            | "RETURN" | "BREAK" | "CONTINUE" | "EXEC" | "EXECUTE" | "USE" => self.flow(&word),
            _ if self.position == 0 && self.is_name() => self.execute_procedure(),
            _ => Err(self.unexpected()),
        }
    }

    fn with(&mut self) -> Result<StatementKind, SqlError> {
        let with = self.common_tables()?;
        if self.is_word("INSERT") {
            self.insert(with)
        } else if self.is_word("UPDATE") {
            self.update(with)
        } else if self.is_word("DELETE") {
            self.delete(with)
        } else {
            Ok(StatementKind::Select(Box::new(self.query_behind(with)?)))
        }
    }

    fn set(&mut self) -> Result<StatementKind, SqlError> {
        self.expect_word("SET")?;
        if let TokenKind::Variable(name) = self.peek() {
            let variable = name.clone();
            self.bump();
            let operator = match self.bump() {
                TokenKind::Symbol("=") => None,
                TokenKind::Symbol("+=") => Some("+"),
                TokenKind::Symbol("-=") => Some("-"),
                TokenKind::Symbol("*=") => Some("*"),
                TokenKind::Symbol("/=") => Some("/"),
                _ => {
                    self.position -= 1;
                    return Err(self.unexpected());
                }
            };
            let value = self.expression()?;
            let value = match operator {
                Some(operator) => crate::sql::ast::Expr::Binary(
                    operator,
                    Box::new(crate::sql::ast::Expr::Variable(variable.clone())),
                    Box::new(value),
                ),
                None => value,
            };
            return Ok(StatementKind::Assign { variable, value });
        }
        let option = self.set_option()?;
        Ok(StatementKind::SetOption(option))
    }

    fn set_option(&mut self) -> Result<SetOption, SqlError> {
        if self.eat_words(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
            return self.isolation().map(SetOption::Isolation);
        }
        if self.eat_word("IDENTITY_INSERT") {
            let table = self.table_name()?;
            return Ok(SetOption::IdentityInsert(table, self.on_or_off()?));
        }
        // Several options may share one ON or OFF.
        let mut names = Vec::new();
        loop {
            let TokenKind::Word(word) = self.peek() else { return Err(self.unexpected()) };
            names.push(word.to_ascii_uppercase());
            self.bump();
            if !self.eat_symbol(",") {
                break;
            }
        }
        let name = names.first().map(String::as_str).unwrap_or_default();
        if names.len() > 1 || ALWAYS_ON.contains(&name) || ALWAYS_OFF.contains(&name) {
            return self.fixed_options(&names);
        }
        match name {
            "XACT_ABORT" => Ok(SetOption::XactAbort(self.on_or_off()?)),
            "NOCOUNT" => Ok(SetOption::NoCount(self.on_or_off()?)),
            "FMTONLY" => Ok(SetOption::FormatOnly(self.on_or_off()?)),
            "IMPLICIT_TRANSACTIONS" => Ok(SetOption::ImplicitTransactions(self.on_or_off()?)),
            "CURSOR_CLOSE_ON_COMMIT" => {
                // There are no cursors.
                self.on_or_off()?;
                Ok(SetOption::Accepted)
            }
            "ROWCOUNT" => Ok(SetOption::RowCount(u64::try_from(self.integer()?).unwrap_or_default())),
            "LOCK_TIMEOUT" => Ok(SetOption::LockTimeout(self.integer()?)),
            _ if IGNORED.contains(&name) => {
                // A value, and for STATISTICS a word and ON or OFF.
                self.eat_symbol("-");
                self.bump();
                if name == "STATISTICS" {
                    self.on_or_off()?;
                }
                Ok(SetOption::Accepted)
            }
            other => {
                let message = format!("'{other}' is not a recognized SET option.");
                Err(SqlError::new(195, 15, message).at_line(self.line()))
            }
        }
    }

    /// Options that have one value here: the other one is refused rather than ignored.
    fn fixed_options(&mut self, names: &[String]) -> Result<SetOption, SqlError> {
        let line = self.line();
        let on = self.on_or_off()?;
        for name in names {
            let name = name.as_str();
            let wrong = (ALWAYS_ON.contains(&name) && !on) || (ALWAYS_OFF.contains(&name) && on);
            let known = ALWAYS_ON.contains(&name) || ALWAYS_OFF.contains(&name);
            if wrong || !known {
                let value = if on { "ON" } else { "OFF" };
                let message =
                    format!("SET {name} {value} is not supported by the sandbox, which is not SQL Server.");
                return Err(SqlError::new(195, 15, message).at_line(line));
            }
        }
        Ok(SetOption::Accepted)
    }

    fn isolation(&mut self) -> Result<Isolation, SqlError> {
        if self.eat_words(&["READ", "UNCOMMITTED"]) {
            return Ok(Isolation::ReadUncommitted);
        }
        if self.eat_words(&["READ", "COMMITTED"]) {
            return Ok(Isolation::ReadCommitted);
        }
        if self.eat_words(&["REPEATABLE", "READ"]) {
            return Ok(Isolation::RepeatableRead);
        }
        if self.eat_word("SERIALIZABLE") {
            return Ok(Isolation::Serializable);
        }
        self.expect_word("SNAPSHOT")?;
        Ok(Isolation::Snapshot)
    }
}
