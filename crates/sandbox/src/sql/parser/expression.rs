//! Expressions and conditions.

use super::type_name::Unsized;
use super::{Parser, is_reserved};
use crate::answer::SqlError;
use crate::sql::ast::{Expr, Function, Literal, OrderItem, Window};
use crate::sql::lexer::TokenKind;

/// Reserved words that begin a function call all the same.
const CALLABLE: &[&str] = &["LEFT", "RIGHT"];

/// Functions without parentheses.
const BARE_FUNCTIONS: &[&str] = &["CURRENT_TIMESTAMP", "CURRENT_USER", "SESSION_USER", "SYSTEM_USER", "USER"];

// === impl Parser ===

impl Parser<'_> {
    /// A condition, or an expression where no condition is due: the binder tells them apart.
    pub(super) fn condition(&mut self) -> Result<Expr, SqlError> {
        self.nested(|parser| {
            let mut all = vec![parser.conjunction()?];
            while parser.eat_word("OR") {
                all.push(parser.conjunction()?);
            }
            Ok(if all.len() > 1 { Expr::Or(all) } else { all.remove(0) })
        })
    }

    fn conjunction(&mut self) -> Result<Expr, SqlError> {
        let mut all = vec![self.negation()?];
        while self.eat_word("AND") {
            all.push(self.negation()?);
        }
        Ok(if all.len() > 1 { Expr::And(all) } else { all.remove(0) })
    }

    fn negation(&mut self) -> Result<Expr, SqlError> {
        if self.eat_word("NOT") {
            return self.nested(|parser| Ok(Expr::Not(Box::new(parser.negation()?))));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expr, SqlError> {
        if self.is_word("EXISTS") && self.is_symbol_at(1, "(") {
            self.bump();
            self.expect_symbol("(")?;
            let query = self.query()?;
            self.expect_symbol(")")?;
            return Ok(Expr::Exists(Box::new(query)));
        }
        let left = self.expression()?;
        if let TokenKind::Symbol(symbol) = self.peek() {
            let operator = match *symbol {
                "=" => "=",
                "<>" | "!=" => "<>",
                "<" => "<",
                "<=" | "!>" => "<=",
                ">" => ">",
                ">=" | "!<" => ">=",
                _ => return Ok(left),
            };
            self.bump();
            let right = self.expression()?;
            return Ok(Expr::Compare(operator, Box::new(left), Box::new(right)));
        }
        if self.eat_word("IS") {
            let negated = self.eat_word("NOT");
            self.expect_word("NULL")?;
            return Ok(Expr::IsNull(Box::new(left), negated));
        }
        let negated = self.is_word("NOT");
        let ahead = usize::from(negated);
        if !["IN", "BETWEEN", "LIKE"].iter().any(|word| self.is_word_at(ahead, word)) {
            return Ok(left);
        }
        if negated {
            self.bump();
        }
        self.predicate(left, negated)
    }

    /// IN, BETWEEN or LIKE behind `left`.
    fn predicate(&mut self, left: Expr, negated: bool) -> Result<Expr, SqlError> {
        let left = Box::new(left);
        if self.eat_word("BETWEEN") {
            let low = self.expression()?;
            self.expect_word("AND")?;
            let high = self.expression()?;
            return Ok(Expr::Between(left, Box::new(low), Box::new(high), negated));
        }
        if self.eat_word("LIKE") {
            let pattern = self.expression()?;
            let escape = match self.eat_word("ESCAPE") {
                true => Some(Box::new(self.expression()?)),
                false => None,
            };
            return Ok(Expr::Like(left, Box::new(pattern), escape, negated));
        }
        self.expect_word("IN")?;
        self.expect_symbol("(")?;
        let found = if self.is_query() {
            Expr::InQuery(left, Box::new(self.query()?), negated)
        } else {
            Expr::In(left, self.separated(Self::expression)?, negated)
        };
        self.expect_symbol(")")?;
        Ok(found)
    }

    /// `+ - & | ^` over `* / %` over unary operators.
    pub(super) fn expression(&mut self) -> Result<Expr, SqlError> {
        self.nested(|parser| {
            let mut left = parser.product()?;
            let mut chain = 0;
            loop {
                parser.count_chain(&mut chain)?;
                let operator = match parser.peek() {
                    TokenKind::Symbol(found @ ("+" | "-" | "&" | "|" | "^")) => *found,
                    _ => return Ok(left),
                };
                parser.bump();
                let right = parser.product()?;
                left = Expr::Binary(operator, Box::new(left), Box::new(right));
            }
        })
    }

    fn product(&mut self) -> Result<Expr, SqlError> {
        let mut left = self.unary()?;
        let mut chain = 0;
        loop {
            self.count_chain(&mut chain)?;
            let operator = match self.peek() {
                TokenKind::Symbol(found @ ("*" | "/" | "%")) => *found,
                _ => return Ok(left),
            };
            self.bump();
            let right = self.unary()?;
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
    }

    fn unary(&mut self) -> Result<Expr, SqlError> {
        let operator = match self.peek() {
            TokenKind::Symbol(found @ ("-" | "+" | "~")) => *found,
            _ => return self.collated(),
        };
        self.bump();
        self.nested(|parser| Ok(Expr::Unary(operator, Box::new(parser.unary()?))))
    }

    fn collated(&mut self) -> Result<Expr, SqlError> {
        let mut value = self.primary()?;
        let mut chain = 0;
        while self.eat_word("COLLATE") {
            self.count_chain(&mut chain)?;
            value = Expr::Collate(Box::new(value), self.name()?);
        }
        Ok(value)
    }

    fn primary(&mut self) -> Result<Expr, SqlError> {
        let literal = match self.peek() {
            TokenKind::Integer(digits) => Some(Literal::Integer(digits.clone())),
            TokenKind::Decimal(digits) => Some(Literal::Decimal(digits.clone())),
            TokenKind::Float(digits) => Some(Literal::Float(digits.clone())),
            TokenKind::Text { value, national } => Some(Literal::Text(value.clone(), *national)),
            TokenKind::Binary(bytes) => Some(Literal::Binary(bytes.clone())),
            TokenKind::Word(word) if word.eq_ignore_ascii_case("NULL") => Some(Literal::Null),
            _ => None,
        };
        if let Some(literal) = literal {
            self.bump();
            return Ok(Expr::Literal(literal));
        }
        match self.peek() {
            TokenKind::Variable(name) => {
                let name = name.clone();
                self.bump();
                Ok(Expr::Variable(name))
            }
            TokenKind::Symbol("(") => self.parentheses(),
            TokenKind::Word(word) => {
                let word = word.to_ascii_uppercase();
                self.word(&word)
            }
            TokenKind::Quoted(_) => self.column(),
            _ => Err(self.unexpected()),
        }
    }

    fn parentheses(&mut self) -> Result<Expr, SqlError> {
        self.expect_symbol("(")?;
        let inner = if self.is_query() { Expr::Subquery(Box::new(self.query()?)) } else { self.condition()? };
        self.expect_symbol(")")?;
        Ok(inner)
    }

    /// What begins with a word: CASE, CAST, a function or a column.
    fn word(&mut self, word: &str) -> Result<Expr, SqlError> {
        match word {
            "CASE" => return self.case(),
            "DEFAULT" => {
                self.bump();
                return Ok(Expr::Default);
            }
            "CAST" | "TRY_CAST" if self.is_symbol_at(1, "(") => return self.cast(word == "TRY_CAST"),
            "CONVERT" | "TRY_CONVERT" if self.is_symbol_at(1, "(") => {
                return self.convert(word == "TRY_CONVERT");
            }
            _ => {}
        }
        if BARE_FUNCTIONS.contains(&word) && !self.is_symbol_at(1, ".") {
            self.bump();
            return Ok(Expr::Function(Box::new(Function {
                name: word.to_owned(),
                arguments: Vec::new(),
                star: false,
                distinct: false,
                over: None,
            })));
        }
        if self.is_symbol_at(1, "(") && (!is_reserved(word) || CALLABLE.contains(&word)) {
            return self.function(word);
        }
        self.column()
    }

    fn column(&mut self) -> Result<Expr, SqlError> {
        let mut parts = vec![self.name()?];
        while self.is_symbol(".") && !self.is_symbol_at(1, "*") {
            self.bump();
            parts.push(self.name()?);
        }
        Ok(Expr::Column(parts))
    }

    fn case(&mut self) -> Result<Expr, SqlError> {
        self.expect_word("CASE")?;
        let operand = if self.is_word("WHEN") { None } else { Some(Box::new(self.expression()?)) };
        let mut branches = Vec::new();
        while self.eat_word("WHEN") {
            let when = self.condition()?;
            self.expect_word("THEN")?;
            branches.push((when, self.expression()?));
        }
        let otherwise = if self.eat_word("ELSE") { Some(Box::new(self.expression()?)) } else { None };
        if branches.is_empty() {
            return Err(self.unexpected());
        }
        self.expect_word("END")?;
        Ok(Expr::Case(operand, branches, otherwise))
    }

    fn cast(&mut self, attempt: bool) -> Result<Expr, SqlError> {
        self.bump();
        self.expect_symbol("(")?;
        let value = Box::new(self.expression()?);
        self.expect_word("AS")?;
        let to = self.type_name(Unsized::Cast)?;
        self.expect_symbol(")")?;
        Ok(Expr::Cast { value, to, style: None, attempt })
    }

    fn convert(&mut self, attempt: bool) -> Result<Expr, SqlError> {
        self.bump();
        self.expect_symbol("(")?;
        let to = self.type_name(Unsized::Cast)?;
        self.expect_symbol(",")?;
        let value = Box::new(self.expression()?);
        let style = if self.eat_symbol(",") { Some(Box::new(self.expression()?)) } else { None };
        self.expect_symbol(")")?;
        Ok(Expr::Cast { value, to, style, attempt })
    }

    fn function(&mut self, word: &str) -> Result<Expr, SqlError> {
        self.bump();
        self.expect_symbol("(")?;
        let mut function = Function {
            name: word.to_owned(),
            arguments: Vec::new(),
            star: false,
            distinct: false,
            over: None,
        };
        if self.eat_symbol("*") {
            function.star = true;
        } else if !self.is_symbol(")") {
            function.distinct = self.eat_word("DISTINCT");
            if matches!(word, "DATEADD" | "DATEDIFF" | "DATEDIFF_BIG" | "DATEPART" | "DATENAME") {
                // The first argument is a word, not a column.
                let part = self.name()?;
                function.arguments.push(Expr::Literal(Literal::Text(part, false)));
                while self.eat_symbol(",") {
                    function.arguments.push(self.expression()?);
                }
            } else if word == "IIF" {
                function.arguments = self.separated(Self::condition)?;
            } else {
                function.arguments = self.separated(Self::expression)?;
            }
        }
        self.expect_symbol(")")?;
        if self.eat_word("OVER") {
            function.over = Some(self.window()?);
        }
        Ok(Expr::Function(Box::new(function)))
    }

    fn window(&mut self) -> Result<Window, SqlError> {
        self.expect_symbol("(")?;
        let mut window = Window { partition: Vec::new(), order: Vec::new() };
        if self.eat_words(&["PARTITION", "BY"]) {
            window.partition = self.separated(Self::expression)?;
        }
        if self.eat_words(&["ORDER", "BY"]) {
            window.order = self.separated(Self::order_item)?;
        }
        self.expect_symbol(")")?;
        Ok(window)
    }

    /// `expression [ASC|DESC]`
    pub(super) fn order_item(&mut self) -> Result<OrderItem, SqlError> {
        let value = self.expression()?;
        let descending = self.eat_word("DESC");
        if !descending {
            self.eat_word("ASC");
        }
        Ok(OrderItem { value, descending })
    }
}
