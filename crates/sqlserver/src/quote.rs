//! The only place that writes names and text literals into T-SQL. Total: any name that a server can hold comes back
//! unchanged from the server's own parser.

use std::fmt::Write as _;

use segcdc_model::QualifiedName;

/// Longest identifier of SQL Server, in UTF-16 units.
pub const MAX_NAME_UNITS: usize = 128;

/// A name as a delimited identifier: `[na]]me]`.
pub fn name(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// A two-part name.
pub fn qualified(table: &QualifiedName) -> String {
    format!("{}.{}", name(&table.schema), name(&table.name))
}

/// A text as a national character literal: `N'it''s'`.
pub fn text(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

/// Bytes as a binary literal: `0x0AFF`.
pub fn bytes(bytes: &[u8]) -> String {
    let mut literal = String::with_capacity(2 + 2 * bytes.len());
    literal.push_str("0x");
    for byte in bytes {
        // Writing to a String cannot fail.
        let _infallible = write!(literal, "{byte:02X}");
    }
    literal
}

/// Whether SQL Server can have an object of this name.
pub fn is_possible_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('\0') && name.encode_utf16().count() <= MAX_NAME_UNITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What T-SQL's lexer makes of a delimited token, and what is left behind it.
    fn lex(token: &str, open: &str, close: char) -> Option<(String, String)> {
        let mut rest = token.strip_prefix(open)?.chars().peekable();
        let mut value = String::new();
        while let Some(char) = rest.next() {
            if char != close {
                value.push(char);
            } else if rest.peek() == Some(&close) {
                rest.next();
                value.push(close);
            } else {
                return Some((value, rest.collect()));
            }
        }
        None
    }

    proptest! {
        #[test]
        fn any_name_is_one_token(raw in any::<String>()) {
            prop_assert_eq!(lex(&name(&raw), "[", ']'), Some((raw, String::new())));
        }

        #[test]
        fn any_text_is_one_token(raw in any::<String>()) {
            prop_assert_eq!(lex(&text(&raw), "N'", '\''), Some((raw, String::new())));
        }
    }

    #[test]
    fn bytes_are_two_digits_each() {
        assert_eq!(bytes(&[]), "0x");
        assert_eq!(bytes(&[0, 10, 255]), "0x000AFF");
    }

    #[test]
    fn length_is_counted_in_utf16_units() {
        assert!(is_possible_name(&"a".repeat(128)));
        assert!(!is_possible_name(&"🦀".repeat(65)));
        assert!(!is_possible_name(""));
        assert!(!is_possible_name("a\0b"));
    }
}
