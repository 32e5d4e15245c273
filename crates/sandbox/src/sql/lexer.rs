//! T-SQL text into tokens, each with its line.

use crate::answer::SqlError;

/// Longest identifier, in UTF-16 units (T-SQL manual, "Database identifiers").
const MAX_IDENTIFIER: usize = 128;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    /// A word: a keyword, or a name that needs no delimiters.
    Word(String),
    /// `[name]` or `"name"`: a name whatever it spells.
    Quoted(String),
    /// `@name` or `@@NAME`, with the at signs.
    Variable(String),
    /// Digits without a point.
    Integer(String),
    /// Digits with a point.
    Decimal(String),
    /// Digits with an exponent.
    Float(String),
    /// `'text'`; `national` for `N'text'`.
    Text {
        /// Its value.
        value: String,
        /// With the N.
        national: bool,
    },
    /// `0x` and hexadecimal digits.
    Binary(Vec<u8>),
    /// An operator or punctuation.
    Symbol(&'static str),
    /// Behind the last token.
    End,
}

/// A token and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: TokenKind,
    /// Line of the batch, from 1.
    pub(crate) line: i32,
    /// Where it begins in the text, in bytes.
    pub(crate) start: usize,
}

/// Symbols, longer ones before their beginnings.
const SYMBOLS: [&str; 33] = [
    "<>", "!=", "<=", ">=", "!<", "!>", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "::", "(", ")", ",",
    ";", ".", "=", "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "~", ":",
];

// === impl TokenKind ===

impl TokenKind {
    /// The token as error messages show it.
    pub(crate) fn shown(&self) -> String {
        match self {
            TokenKind::Word(text)
            | TokenKind::Quoted(text)
            | TokenKind::Variable(text)
            | TokenKind::Integer(text)
            | TokenKind::Decimal(text)
            | TokenKind::Float(text) => text.clone(),
            TokenKind::Text { value, .. } => value.clone(),
            TokenKind::Binary(_) => "0x".to_owned(),
            TokenKind::Symbol(symbol) => (*symbol).to_owned(),
            TokenKind::End => String::new(),
        }
    }
}

/// Splits a batch.
///
/// # Errors
/// 103 for too long a name, 105 for a text without an end, 113 for a comment without one, 102 for an unknown character.
pub(crate) fn tokens(sql: &str) -> Result<Vec<Token>, SqlError> {
    let mut lexer = Lexer { rest: sql, line: 1, length: sql.len() };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks()?;
        let (line, start) = (lexer.line, lexer.length - lexer.rest.len());
        let kind = lexer.next()?;
        let end = kind == TokenKind::End;
        tokens.push(Token { kind, line, start });
        if end {
            return Ok(tokens);
        }
    }
}

/// The rest of a batch.
struct Lexer<'a> {
    rest: &'a str,
    line: i32,
    length: usize,
}

// === impl Lexer ===

impl<'a> Lexer<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn peek_second(&self) -> Option<char> {
        self.rest.chars().nth(1)
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let char = chars.next()?;
        self.rest = chars.as_str();
        if char == '\n' {
            self.line = self.line.saturating_add(1);
        }
        Some(char)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|char: char| !wanted(char)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn error(&self, number: i32, message: String) -> SqlError {
        SqlError::new(number, 15, message).at_line(self.line)
    }

    fn skip_blanks(&mut self) -> Result<(), SqlError> {
        loop {
            if self.rest.starts_with("--") {
                self.take_while(|char| char != '\n');
            } else if self.rest.starts_with("/*") {
                self.skip_comment()?;
            } else if self.peek().is_some_and(|char| char.is_whitespace() || char == '\u{FEFF}') {
                self.bump();
            } else {
                return Ok(());
            }
        }
    }

    /// Comments nest in T-SQL.
    fn skip_comment(&mut self) -> Result<(), SqlError> {
        let mut depth = 0_u32;
        loop {
            if let Some(rest) = self.rest.strip_prefix("/*") {
                self.rest = rest;
                depth += 1;
            } else if let Some(rest) = self.rest.strip_prefix("*/") {
                self.rest = rest;
                depth -= 1;
                if depth == 0 {
                    return Ok(());
                }
            } else if self.bump().is_none() {
                return Err(self.error(113, "Missing end comment mark '*/'.".to_owned()));
            }
        }
    }

    fn next(&mut self) -> Result<TokenKind, SqlError> {
        let Some(char) = self.peek() else { return Ok(TokenKind::End) };
        match char {
            '\'' => Ok(TokenKind::Text { value: self.delimited('\'')?, national: false }),
            'N' | 'n' if self.peek_second() == Some('\'') => {
                self.bump();
                Ok(TokenKind::Text { value: self.delimited('\'')?, national: true })
            }
            '[' => self.identifier(']').map(TokenKind::Quoted),
            '"' => self.identifier('"').map(TokenKind::Quoted),
            '@' => {
                let word = self.take_while(is_word);
                Ok(TokenKind::Variable(word.to_owned()))
            }
            '0' if matches!(self.peek_second(), Some('x' | 'X')) => Ok(self.binary()),
            '0'..='9' => Ok(self.number()),
            '.' if self.peek_second().is_some_and(|char| char.is_ascii_digit()) => Ok(self.number()),
            _ if is_word(char) => {
                let word = self.take_while(is_word);
                if word.encode_utf16().count() > MAX_IDENTIFIER {
                    return Err(self.too_long(word));
                }
                Ok(TokenKind::Word(word.to_owned()))
            }
            _ => self.symbol(char),
        }
    }

    fn symbol(&mut self, char: char) -> Result<TokenKind, SqlError> {
        for symbol in SYMBOLS {
            if let Some(rest) = self.rest.strip_prefix(symbol) {
                self.rest = rest;
                return Ok(TokenKind::Symbol(symbol));
            }
        }
        Err(self.error(102, format!("Incorrect syntax near '{char}'.")))
    }

    /// The text up to `close`, which is doubled within.
    fn delimited(&mut self, close: char) -> Result<String, SqlError> {
        let line = self.line;
        self.bump();
        let mut value = String::new();
        while let Some(char) = self.bump() {
            if char != close {
                value.push(char);
            } else if self.peek() == Some(close) {
                self.bump();
                value.push(close);
            } else {
                return Ok(value);
            }
        }
        let shown: String = value.chars().take(64).collect();
        let message = format!("Unclosed quotation mark after the character string '{shown}'.");
        Err(SqlError::new(105, 15, message).at_line(line))
    }

    fn identifier(&mut self, close: char) -> Result<String, SqlError> {
        let name = self.delimited(close)?;
        if name.encode_utf16().count() > MAX_IDENTIFIER {
            return Err(self.too_long(&name));
        }
        Ok(name)
    }

    fn too_long(&self, name: &str) -> SqlError {
        let start: String = name.chars().take(MAX_IDENTIFIER).collect();
        let message = format!(
            "The identifier that starts with '{start}' is too long. Maximum length is {MAX_IDENTIFIER}."
        );
        self.error(103, message)
    }

    /// An odd digit counts as the lower half of a first byte.
    fn binary(&mut self) -> TokenKind {
        self.bump();
        self.bump();
        let mut digits: Vec<u8> = self
            .take_while(|char| char.is_ascii_hexdigit())
            .chars()
            .filter_map(|char| char.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        if digits.len() % 2 == 1 {
            digits.insert(0, 0);
        }
        let pairs = digits.chunks_exact(2);
        TokenKind::Binary(pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
    }

    fn number(&mut self) -> TokenKind {
        let text = self.rest;
        self.take_while(|char| char.is_ascii_digit());
        let mut is_decimal = false;
        if self.peek() == Some('.') {
            is_decimal = true;
            self.bump();
            self.take_while(|char| char.is_ascii_digit());
        }
        let mut is_float = false;
        if matches!(self.peek(), Some('e' | 'E')) {
            is_float = true;
            self.bump();
            if matches!(self.peek(), Some('+' | '-')) {
                self.bump();
            }
            self.take_while(|char| char.is_ascii_digit());
        }
        let length = text.len() - self.rest.len();
        let text = text.get(..length).unwrap_or_default().to_owned();
        match (is_float, is_decimal) {
            (true, _) => TokenKind::Float(text),
            (false, true) => TokenKind::Decimal(text),
            (false, false) => TokenKind::Integer(text),
        }
    }
}

/// Characters of names that need no delimiters. `@`, `#` and `$` included: what may begin one is not checked.
fn is_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '@' | '#' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<TokenKind> {
        tokens(sql).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn names_texts_and_numbers_are_told_apart() {
        use TokenKind::*;
        let expected = vec![
            Word("SELECT".into()),
            Quoted("a]b".into()),
            Symbol("."),
            Quoted("c\"d".into()),
            Symbol(","),
            Text { value: "it's".into(), national: true },
            Symbol(","),
            Integer("1".into()),
            Symbol(","),
            Decimal("1.50".into()),
            Symbol(","),
            Float("1e-3".into()),
            Symbol(","),
            Binary(vec![0x0A, 0xBC]),
            Symbol(","),
            Variable("@@ROWCOUNT".into()),
            Word("#s1".into()),
            End,
        ];
        assert_eq!(
            kinds("SELECT [a]]b].\"c\"\"d\", N'it''s', 1, 1.50, 1e-3, 0xABC, @@ROWCOUNT #s1 -- x"),
            expected
        );
    }

    #[test]
    fn comments_nest_and_lines_are_counted() {
        let tokens = tokens("/* a /* b */ \n */ SELECT\n'x\ny' 1").unwrap();
        let lines: Vec<i32> = tokens.iter().map(|token| token.line).collect();
        assert_eq!(lines, [2, 3, 4, 4]);
    }

    #[test]
    fn what_has_no_end_is_an_error_with_its_number() {
        let check = |sql: &str, number: i32| assert_eq!(tokens(sql).unwrap_err().number, number, "{sql}");
        check("SELECT 'abc", 105);
        check("SELECT /* abc", 113);
        check("SELECT ?", 102);
        check(&format!("SELECT [{}]", "a".repeat(129)), 103);
    }
}
