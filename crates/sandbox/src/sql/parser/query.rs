//! SELECT and what stands in FROM.

use super::Parser;
use crate::answer::SqlError;
use crate::sql::ast::{CommonTable, Expr, Query, QueryBody, Select, SelectItem, TableSource};
use crate::sql::lexer::TokenKind;

// === impl Parser ===

impl Parser<'_> {
    /// Whether a query begins here, in parentheses or not.
    pub(super) fn is_query(&self) -> bool {
        let mut ahead = 0;
        while self.is_symbol_at(ahead, "(") {
            ahead += 1;
        }
        self.is_word_at(ahead, "SELECT") || (ahead == 0 && self.is_word("WITH"))
    }

    /// `WITH name (columns) AS (query), ..`, or nothing.
    pub(super) fn common_tables(&mut self) -> Result<Vec<CommonTable>, SqlError> {
        if !self.eat_word("WITH") {
            return Ok(Vec::new());
        }
        self.separated(|parser| {
            let name = parser.name()?;
            let columns = if parser.is_symbol("(") { parser.names_in_parentheses()? } else { Vec::new() };
            parser.expect_word("AS")?;
            parser.expect_symbol("(")?;
            let query = parser.query()?;
            parser.expect_symbol(")")?;
            Ok(CommonTable { name, columns, query })
        })
    }

    /// A query with its ORDER BY, OFFSET and OPTION.
    pub(super) fn query(&mut self) -> Result<Query, SqlError> {
        self.nested(|parser| {
            let with = parser.common_tables()?;
            parser.query_behind(with)
        })
    }

    /// The query behind a WITH that has been parsed.
    pub(super) fn query_behind(&mut self, with: Vec<CommonTable>) -> Result<Query, SqlError> {
        let body = self.query_body()?;
        let order = match self.eat_words(&["ORDER", "BY"]) {
            true => self.separated(Self::order_item)?,
            false => Vec::new(),
        };
        let (mut offset, mut fetch) = (None, None);
        if !order.is_empty() && self.eat_word("OFFSET") {
            offset = Some(self.expression()?);
            if self.eat_one_of(&["ROWS", "ROW"]).is_none() {
                return Err(self.unexpected());
            }
            if self.eat_word("FETCH") {
                if self.eat_one_of(&["NEXT", "FIRST"]).is_none() {
                    return Err(self.unexpected());
                }
                fetch = Some(self.expression()?);
                if self.eat_one_of(&["ROWS", "ROW"]).is_none() {
                    return Err(self.unexpected());
                }
                self.expect_word("ONLY")?;
            }
        }
        self.option()?;
        Ok(Query { with, body, order, offset, fetch })
    }

    /// `OPTION (..)`: hints for an optimiser that is not there.
    pub(super) fn option(&mut self) -> Result<(), SqlError> {
        if self.is_word("OPTION") && self.is_symbol_at(1, "(") {
            self.bump();
            self.skip_parentheses()?;
        }
        Ok(())
    }

    /// Skips `( .. )`.
    pub(super) fn skip_parentheses(&mut self) -> Result<(), SqlError> {
        self.expect_symbol("(")?;
        let mut depth = 1_u32;
        while depth > 0 {
            match self.bump() {
                TokenKind::Symbol("(") => depth += 1,
                TokenKind::Symbol(")") => depth -= 1,
                TokenKind::End => return Err(self.unexpected()),
                _ => {}
            }
        }
        Ok(())
    }

    fn query_body(&mut self) -> Result<QueryBody, SqlError> {
        let mut left = self.query_term()?;
        let mut chain = 0;
        loop {
            self.count_chain(&mut chain)?;
            let operator = if self.eat_words(&["UNION", "ALL"]) {
                "UNION ALL"
            } else if self.eat_word("UNION") {
                "UNION"
            } else if self.eat_word("EXCEPT") {
                "EXCEPT"
            } else {
                return Ok(left);
            };
            let right = self.query_term()?;
            left = QueryBody::Combine(operator, Box::new(left), Box::new(right));
        }
    }

    fn query_term(&mut self) -> Result<QueryBody, SqlError> {
        let mut left = self.query_primary()?;
        let mut chain = 0;
        while self.eat_word("INTERSECT") {
            self.count_chain(&mut chain)?;
            let right = self.query_primary()?;
            left = QueryBody::Combine("INTERSECT", Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn query_primary(&mut self) -> Result<QueryBody, SqlError> {
        if self.eat_symbol("(") {
            let query = self.query()?;
            self.expect_symbol(")")?;
            return Ok(QueryBody::Nested(Box::new(query)));
        }
        Ok(QueryBody::Select(Box::new(self.select()?)))
    }

    fn select(&mut self) -> Result<Select, SqlError> {
        self.expect_word("SELECT")?;
        let distinct = self.eat_word("DISTINCT");
        if !distinct {
            self.eat_word("ALL");
        }
        let top = self.top()?;
        let items = self.separated(Self::select_item)?;
        let into = if self.eat_word("INTO") { Some(self.object_name()?) } else { None };
        let from = if self.eat_word("FROM") { self.separated(Self::table_source)? } else { Vec::new() };
        let filter = if self.eat_word("WHERE") { Some(self.condition()?) } else { None };
        let group = match self.eat_words(&["GROUP", "BY"]) {
            true => self.separated(Self::expression)?,
            false => Vec::new(),
        };
        let having = if self.eat_word("HAVING") { Some(self.condition()?) } else { None };
        Ok(Select { distinct, top, items, into, from, filter, group, having })
    }

    /// `TOP (n)`, `TOP n`, or nothing.
    pub(super) fn top(&mut self) -> Result<Option<Expr>, SqlError> {
        if !self.eat_word("TOP") {
            return Ok(None);
        }
        if self.eat_symbol("(") {
            let count = self.expression()?;
            self.expect_symbol(")")?;
            return Ok(Some(count));
        }
        let digits = self.integer()?;
        Ok(Some(Expr::Literal(crate::sql::ast::Literal::Integer(digits.to_string()))))
    }

    /// An item of a SELECT or an OUTPUT.
    pub(super) fn select_item(&mut self) -> Result<SelectItem, SqlError> {
        if self.eat_symbol("*") {
            return Ok(SelectItem::Star(None));
        }
        if self.is_name() && self.is_symbol_at(1, ".") && self.is_symbol_at(2, "*") {
            let name = self.name()?;
            self.bump();
            self.bump();
            return Ok(SelectItem::Star(Some(name)));
        }
        if self.is_symbol_at(1, "=") {
            if let TokenKind::Variable(name) = self.peek() {
                let name = name.clone();
                self.bump();
                self.bump();
                return Ok(SelectItem::Assign(name, self.expression()?));
            }
            if self.is_name() {
                let alias = self.name()?;
                self.bump();
                return Ok(SelectItem::Value(self.expression()?, Some(alias)));
            }
        }
        let value = self.expression()?;
        let alias = self.alias()?;
        Ok(SelectItem::Value(value, alias))
    }

    /// A table with its joins.
    pub(super) fn table_source(&mut self) -> Result<TableSource, SqlError> {
        self.nested(|parser| {
            let mut left = parser.table_primary()?;
            let mut chain = 0;
            loop {
                parser.count_chain(&mut chain)?;
                let kind = if parser.eat_words(&["CROSS", "JOIN"]) {
                    let right = parser.table_primary()?;
                    left = join("CROSS", left, right, None);
                    continue;
                } else if parser.is_word("CROSS") || parser.is_word("OUTER") {
                    return Err(parser.unexpected());
                } else if parser.eat_word("LEFT") {
                    parser.eat_word("OUTER");
                    "LEFT"
                } else if parser.eat_word("RIGHT") {
                    parser.eat_word("OUTER");
                    "RIGHT"
                } else if parser.eat_word("FULL") {
                    parser.eat_word("OUTER");
                    "FULL"
                } else if parser.eat_word("INNER") || parser.is_word("JOIN") {
                    "INNER"
                } else {
                    return Ok(left);
                };
                parser.expect_word("JOIN")?;
                let right = parser.table_primary()?;
                parser.expect_word("ON")?;
                let on = parser.condition()?;
                left = join(kind, left, right, Some(on));
            }
        })
    }

    fn table_primary(&mut self) -> Result<TableSource, SqlError> {
        if self.is_symbol("(") {
            return self.derived();
        }
        let name = self.table_or_variable()?;
        let mut hints = self.table_hints()?;
        let alias = self.alias()?;
        hints.extend(self.table_hints()?);
        Ok(TableSource::Table { name, alias, hints })
    }

    fn derived(&mut self) -> Result<TableSource, SqlError> {
        self.expect_symbol("(")?;
        if self.is_query() {
            let query = Box::new(self.query()?);
            self.expect_symbol(")")?;
            let alias = self.alias()?.ok_or_else(|| self.unexpected())?;
            let columns = if self.is_symbol("(") { self.names_in_parentheses()? } else { Vec::new() };
            return Ok(TableSource::Derived { query, alias, columns });
        }
        if self.eat_word("VALUES") {
            let rows = self.separated(Self::row)?;
            self.expect_symbol(")")?;
            let alias = self.alias()?.ok_or_else(|| self.unexpected())?;
            let columns = self.names_in_parentheses()?;
            return Ok(TableSource::Values { rows, alias, columns });
        }
        let inner = self.table_source()?;
        self.expect_symbol(")")?;
        Ok(inner)
    }

    /// `(expression, ..)`
    pub(super) fn row(&mut self) -> Result<Vec<Expr>, SqlError> {
        self.expect_symbol("(")?;
        let row = self.separated(Self::expression)?;
        self.expect_symbol(")")?;
        Ok(row)
    }

    /// `WITH (hint, ..)`, or nothing.
    pub(super) fn table_hints(&mut self) -> Result<Vec<String>, SqlError> {
        if !(self.is_word("WITH") && self.is_symbol_at(1, "(")) {
            return Ok(Vec::new());
        }
        self.bump();
        self.expect_symbol("(")?;
        let mut hints = Vec::new();
        while !self.eat_symbol(")") {
            match self.bump() {
                TokenKind::Word(word) => hints.push(word.to_ascii_uppercase()),
                TokenKind::Symbol(",") => {}
                _ => {
                    self.position -= 1;
                    return Err(self.unexpected());
                }
            }
            if self.is_symbol("(") {
                self.skip_parentheses()?;
            }
        }
        Ok(hints)
    }
}

fn join(kind: &'static str, left: TableSource, right: TableSource, on: Option<Expr>) -> TableSource {
    TableSource::Join { kind, left: Box::new(left), right: Box::new(right), on }
}
