//! [`RowFilter`]: a condition of the source that rows have to meet.

/// A condition in PostgreSQL's SQL, as its user wrote it: one expression, which cannot end what it is put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFilter(String);

/// What surrounds a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Around {
    Nothing,
    /// A constant.
    Quote,
    /// A name.
    DoubleQuote,
}

// === impl RowFilter ===

impl RowFilter {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it, for people. Whether its names and types are right only the source can tell.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            return Err("it has no condition behind the colon");
        }
        check(text)?;
        Ok(RowFilter(text.to_owned()))
    }

    /// The condition.
    pub fn sql(&self) -> &str {
        &self.0
    }
}

/// Checks that a text between parentheses is one expression, whatever it means: nothing in it ends the expression or the
/// statement, or has the server read on elsewhere.
fn check(text: &str) -> Result<(), &'static str> {
    let (mut around, mut depth) = (Around::Nothing, 0_usize);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        match (around, character) {
            (_, '\0') => return Err("it has a NUL"),
            // What it escapes depends on the kind of the constant and on settings of the server.
            (Around::Nothing | Around::Quote, '\\') => {
                return Err("it has a backslash; write constants without");
            }
            (Around::Nothing, '\'') => around = Around::Quote,
            (Around::Nothing, '"') => around = Around::DoubleQuote,
            // A doubled one ends the constant and begins it again.
            (Around::Quote, '\'') | (Around::DoubleQuote, '"') => around = Around::Nothing,
            (Around::Nothing, ';') => return Err("it has a semicolon; a condition is one expression"),
            (Around::Nothing, '$') => return Err("it has a dollar sign outside of quotes"),
            (Around::Nothing, '-') if next == Some('-') => return Err("it has a comment"),
            (Around::Nothing, '/') if next == Some('*') => return Err("it has a comment"),
            (Around::Nothing, '(') => depth += 1,
            (Around::Nothing, ')') => {
                depth = depth.checked_sub(1).ok_or("it closes a parenthesis that is not open")?;
            }
            _ => {}
        }
    }
    match (around, depth) {
        (Around::Nothing, 0) => Ok(()),
        (Around::Nothing, _) => Err("it leaves a parenthesis open"),
        (Around::Quote | Around::DoubleQuote, _) => Err("it leaves a quote open"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn conditions_are_expressions_and_nothing_else() {
        for text in [
            "region = 'EU'",
            " (a > 1 OR \"b;--\" IS NULL) AND c IN ('x;', '--', '/*', ')', 'it''s') ",
            "a - -1 = 2 / 3",
            "\"back\\slash\" = 1",
        ] {
            assert_eq!(RowFilter::parse(text).unwrap().sql(), text.trim());
        }
        for text in [
            "",
            " ",
            "a; DROP TABLE t",
            "a) OR (b",
            "(a",
            "a)",
            "'a",
            "\"a",
            "a -- b",
            "a /* b",
            "$$a$$ = b",
            "a = $1",
            "E'\\''; DROP TABLE t --'",
            "a\0",
        ] {
            assert!(RowFilter::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        /// Whatever is accepted, the parenthesis around it is closed by the one behind it.
        #[test]
        fn what_is_accepted_ends_where_it_ends(text in "[a'\"();\\-/*$\\\\ ]{0,12}") {
            if RowFilter::parse(&text).is_ok() {
                let around = format!("({text}) AND ({text})");
                prop_assert!(RowFilter::parse(&around).is_ok(), "{}", around);
            }
        }
    }
}
