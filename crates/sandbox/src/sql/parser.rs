//! Recursive descent over the tokens of a batch. What is not one of the families of STATEMENTS.md is error 102 or 156
//! near the first token that does not fit.

mod definition;
mod expression;
mod flow;
mod modify;
mod query;
mod statement;
mod type_name;

use crate::answer::SqlError;
use crate::sql::ast::{Batch, ObjectName};
use crate::sql::lexer::{self, Token, TokenKind};

/// Words that cannot be an alias or a column without delimiters (T-SQL manual, "Reserved keywords"), as far as they
/// begin or go on a clause.
const RESERVED: &[&str] = &[
    "ADD",
    "ALL",
    "ALTER",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "BEGIN",
    "BETWEEN",
    "BREAK",
    "BY",
    "CASE",
    "CHECK",
    "COLLATE",
    "COMMIT",
    "CONSTRAINT",
    "CONTINUE",
    "CONVERT",
    "CREATE",
    "CROSS",
    "DATABASE",
    "DECLARE",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "ESCAPE",
    "EXCEPT",
    "EXEC",
    "EXECUTE",
    "EXISTS",
    "FETCH",
    "FOR",
    "FOREIGN",
    "FROM",
    "FULL",
    "GOTO",
    "GRANT",
    "GROUP",
    "HAVING",
    "HOLDLOCK",
    "IDENTITY_INSERT",
    "IF",
    "IN",
    "INDEX",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "LEFT",
    "LIKE",
    "MERGE",
    "NOT",
    "NULL",
    "OF",
    "ON",
    "OPTION",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PRIMARY",
    "PRINT",
    "PROC",
    "PROCEDURE",
    "RAISERROR",
    "REFERENCES",
    "RETURN",
    "REVOKE",
    "RIGHT",
    "ROLLBACK",
    "SAVE",
    "SELECT",
    "SET",
    "SOME",
    "TABLE",
    "THEN",
    "TO",
    "TOP",
    "TRAN",
    "TRANSACTION",
    "TRIGGER",
    "TRUNCATE",
    "UNION",
    "UNIQUE",
    "UPDATE",
    "USE",
    "VALUES",
    "VIEW",
    "WAITFOR",
    "WHEN",
    "WHERE",
    "WHILE",
    "WITH",
];

/// How deep expressions, queries and blocks may nest before the parser gives up (SQL Server: 191, or 8631 for stack).
const MAX_DEPTH: usize = 120;

/// How many operators may follow one another without parentheses: each is one level of the tree.
const MAX_CHAIN: usize = 200;

/// A place in the tokens of a batch.
pub(crate) struct Parser<'a> {
    sql: &'a str,
    tokens: Vec<Token>,
    position: usize,
    /// Tables named by the statement being parsed.
    tables: Vec<ObjectName>,
    /// Statements begun so far.
    statements: usize,
    depth: usize,
}

/// Parses a batch.
///
/// # Errors
/// 102, 156 and the lexer's.
pub(crate) fn parse(sql: &str) -> Result<Batch, SqlError> {
    let tokens = lexer::tokens(sql)?;
    let mut parser = Parser { sql, tokens, position: 0, tables: Vec::new(), statements: 0, depth: 0 };
    let mut statements = Vec::new();
    loop {
        while parser.eat_symbol(";") {}
        if *parser.peek() == TokenKind::End {
            return Ok(Batch { statements, count: parser.statements });
        }
        statements.push(parser.statement()?);
    }
}

// === impl Parser ===

impl Parser<'_> {
    fn peek(&self) -> &TokenKind {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &TokenKind {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens.get((self.position + ahead).min(last)).map_or(&TokenKind::End, |token| &token.kind)
    }

    fn line(&self) -> i32 {
        self.tokens.get(self.position).map_or(1, |token| token.line)
    }

    /// Where the next token begins in the text.
    fn start(&self) -> usize {
        self.tokens.get(self.position).map_or(self.sql.len(), |token| token.start)
    }

    fn bump(&mut self) -> TokenKind {
        let kind = self.peek().clone();
        if kind != TokenKind::End {
            self.position += 1;
        }
        kind
    }

    /// The error for the next token: it does not belong there.
    fn unexpected(&self) -> SqlError {
        let token = self.peek();
        let line = self.line();
        match token {
            TokenKind::Word(word) if is_reserved(word) => {
                let message = format!("Incorrect syntax near the keyword '{word}'.");
                SqlError::new(156, 15, message).at_line(line)
            }
            // SQL Server points at the last token when the text ends too soon.
            TokenKind::End => {
                let before = self.position.checked_sub(1).and_then(|index| self.tokens.get(index));
                let shown = before.map_or(String::new(), |token| token.kind.shown());
                SqlError::new(102, 15, format!("Incorrect syntax near '{shown}'.")).at_line(line)
            }
            other => {
                SqlError::new(102, 15, format!("Incorrect syntax near '{}'.", other.shown())).at_line(line)
            }
        }
    }

    fn is_word(&self, word: &str) -> bool {
        self.is_word_at(0, word)
    }

    fn is_word_at(&self, ahead: usize, word: &str) -> bool {
        matches!(self.peek_at(ahead), TokenKind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.position += 1;
        }
        found
    }

    /// Eats all of `words` or nothing.
    fn eat_words(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(ahead, word)| self.is_word_at(ahead, word));
        if found {
            self.position += words.len();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<(), SqlError> {
        if self.eat_word(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// The upper-cased next word, eaten when it is one of `words`.
    fn eat_one_of(&mut self, words: &[&'static str]) -> Option<&'static str> {
        let found = words.iter().find(|word| self.is_word(word)).copied();
        if found.is_some() {
            self.position += 1;
        }
        found
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        self.is_symbol_at(0, symbol)
    }

    fn is_symbol_at(&self, ahead: usize, symbol: &str) -> bool {
        matches!(self.peek_at(ahead), TokenKind::Symbol(found) if *found == symbol)
    }

    fn eat_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.position += 1;
        }
        found
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), SqlError> {
        if self.eat_symbol(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// The next token as a name, eaten.
    fn name(&mut self) -> Result<String, SqlError> {
        match self.peek() {
            TokenKind::Quoted(name) => {
                let name = name.clone();
                self.position += 1;
                Ok(name)
            }
            TokenKind::Word(word) if !is_reserved(word) => {
                let word = word.clone();
                self.position += 1;
                Ok(word)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Whether the next token can be a name.
    fn is_name(&self) -> bool {
        match self.peek() {
            TokenKind::Quoted(_) => true,
            TokenKind::Word(word) => !is_reserved(word),
            _ => false,
        }
    }

    /// `[AS] name`, or nothing.
    fn alias(&mut self) -> Result<Option<String>, SqlError> {
        if self.eat_word("AS") {
            if let TokenKind::Text { value, .. } = self.peek() {
                let value = value.clone();
                self.position += 1;
                return Ok(Some(value));
            }
            return self.name().map(Some);
        }
        if self.is_name() { self.name().map(Some) } else { Ok(None) }
    }

    /// A name of up to three parts; middle parts may be empty (`db..t`).
    fn object_name(&mut self) -> Result<ObjectName, SqlError> {
        let mut parts = vec![Some(self.name()?)];
        while self.eat_symbol(".") {
            parts.push(if self.is_symbol(".") { None } else { Some(self.name()?) });
        }
        if parts.len() > 3 {
            return Err(self.unexpected());
        }
        let name = parts.pop().flatten().unwrap_or_default();
        let schema = parts.pop().flatten();
        let database = parts.pop().flatten();
        Ok(ObjectName { database, schema, name })
    }

    /// As [`Parser::object_name`], of a table that the statement uses.
    fn table_name(&mut self) -> Result<ObjectName, SqlError> {
        let name = self.object_name()?;
        self.tables.push(name.clone());
        Ok(name)
    }

    /// A table, or a variable that is one.
    fn table_or_variable(&mut self) -> Result<ObjectName, SqlError> {
        let TokenKind::Variable(name) = self.peek() else { return self.table_name() };
        let name = ObjectName { database: None, schema: None, name: name.clone() };
        self.bump();
        self.tables.push(name.clone());
        Ok(name)
    }

    /// `(name, name, ..)`
    fn names_in_parentheses(&mut self) -> Result<Vec<String>, SqlError> {
        self.expect_symbol("(")?;
        let names = self.separated(Self::name)?;
        self.expect_symbol(")")?;
        Ok(names)
    }

    /// One or more, separated by commas.
    fn separated<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, SqlError>,
    ) -> Result<Vec<T>, SqlError> {
        let mut items = vec![item(self)?];
        while self.eat_symbol(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// An integer literal, signed, eaten.
    fn integer(&mut self) -> Result<i64, SqlError> {
        let negative = self.eat_symbol("-");
        let TokenKind::Integer(digits) = self.peek() else { return Err(self.unexpected()) };
        let Ok(value) = digits.parse::<i64>() else { return Err(self.unexpected()) };
        self.position += 1;
        Ok(if negative { -value } else { value })
    }

    /// ON (true) or OFF.
    fn on_or_off(&mut self) -> Result<bool, SqlError> {
        if self.eat_word("ON") {
            return Ok(true);
        }
        self.expect_word("OFF")?;
        Ok(false)
    }

    /// 191
    fn too_deep(&self) -> SqlError {
        let message = "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries.";
        SqlError::new(191, 15, message).at_line(self.line())
    }

    /// Counts an operator of a chain.
    fn count_chain(&self, length: &mut usize) -> Result<(), SqlError> {
        *length += 1;
        if *length > MAX_CHAIN { Err(self.too_deep()) } else { Ok(()) }
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, SqlError>) -> Result<T, SqlError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }
}

fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Words and symbols that statements are made of.
    const PIECES: &[&str] = &[
        "SELECT", "INSERT", "INTO", "UPDATE", "DELETE", "MERGE", "USING", "FROM", "WHERE", "SET", "VALUES",
        "CREATE", "TABLE", "ALTER", "ADD", "DROP", "COLUMN", "INDEX", "ON", "IF", "ELSE", "BEGIN", "END",
        "TRY", "CATCH", "TRAN", "EXEC", "DECLARE", "@x", "int", "nvarchar", "(", ")", ",", ";", ".", "=",
        "+", "-", "*", "N'a'", "1", "1.5", "0x0F", "[a]]b]", "t", "AS", "NOT", "NULL", "IN", "LIKE",
        "BETWEEN", "AND", "OR", "CASE", "WHEN", "THEN", "TOP", "WITH", "ORDER", "BY", "GROUP", "PRIMARY",
        "KEY", "OUTPUT", "BULK", "MATCHED", "UNION", "OFFSET", "ROWS", "COLLATE", "CAST", "DEFAULT",
    ];

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(sql in any::<String>()) {
            let _parsed = parse(&sql);
        }

        #[test]
        fn any_pieces_are_parsed_or_refused(pieces in proptest::collection::vec(0..PIECES.len(), 0..40)) {
            let words: Vec<&str> = pieces.iter().map(|piece| PIECES[*piece]).collect();
            if let Err(error) = parse(&words.join(" ")) {
                prop_assert!(error.class >= 15);
            }
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
        assert_eq!(parse(&deep).unwrap_err().number, 191);
        let blocks = "BEGIN ".repeat(5000);
        assert_eq!(parse(&blocks).unwrap_err().number, 191);
        let minus = format!("SELECT {}1", "- ".repeat(5000));
        assert_eq!(parse(&minus).unwrap_err().number, 191);
        let sum = format!("SELECT {}1", "1 + ".repeat(5000));
        assert_eq!(parse(&sum).unwrap_err().number, 191);
        let union = format!("{}SELECT 1", "SELECT 1 UNION ALL ".repeat(5000));
        assert_eq!(parse(&union).unwrap_err().number, 191);
        let joins = format!("SELECT 1 FROM t{}", " CROSS JOIN t".repeat(5000));
        assert_eq!(parse(&joins).unwrap_err().number, 191);
    }

    #[test]
    fn errors_name_the_token_and_its_line() {
        let check = |sql: &str, number: i32, line: i32, message: &str| {
            let error = parse(sql).unwrap_err();
            assert_eq!((error.number, error.line, error.message.as_str()), (number, line, message), "{sql}");
        };
        check("SELECT 1\nFROM WHERE", 156, 2, "Incorrect syntax near the keyword 'WHERE'.");
        check("SELECT 1 +", 102, 1, "Incorrect syntax near '+'.");
        check("CREATE VIEW v AS SELECT 1", 156, 1, "Incorrect syntax near the keyword 'VIEW'.");
        check("SELECT a b c FROM t", 102, 1, "Incorrect syntax near 'c'.");
        check("DECLARE @x nothing", 2715, 1, "Cannot find data type nothing.");
    }
}
