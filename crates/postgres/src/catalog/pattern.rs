//! [`Pattern`]: which tables a user means.

use std::fmt;
use std::str::FromStr;

use segcdc_model::QualifiedName;

use crate::error::SourceError;

/// One character of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Glob {
    /// `*`: any number of characters.
    Any,
    /// `?`: one character.
    One,
    /// The character itself.
    Literal(char),
}

/// `schema.table` with `*` and `?` as wildcards; `table` alone means `public.table`.
///
/// Case matters, as PostgreSQL keeps names. In double quotes, dots and wildcards stand for themselves, and a quote is
/// doubled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    schema: Vec<Glob>,
    table: Vec<Glob>,
}

// === impl Pattern ===

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Pattern, SourceError> {
        let bad = || SourceError::Pattern { pattern: text.chars().take(200).collect() };
        let mut parts = vec![Vec::new()];
        let mut quoted = false;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let part = parts.last_mut().ok_or_else(bad)?;
            match (quoted, character) {
                (true, '"') if characters.peek() == Some(&'"') => {
                    characters.next();
                    part.push(Glob::Literal('"'));
                }
                (_, '"') => quoted = !quoted,
                (_, '\0') => return Err(bad()),
                (true, character) => part.push(Glob::Literal(character)),
                (false, '.') => parts.push(Vec::new()),
                (false, '*') => part.push(Glob::Any),
                (false, '?') => part.push(Glob::One),
                (false, character) => part.push(Glob::Literal(character)),
            }
        }
        if quoted || parts.iter().any(Vec::is_empty) {
            return Err(bad());
        }
        let mut parts = parts.into_iter();
        let (schema, table) = match (parts.next(), parts.next(), parts.next()) {
            (Some(table), None, None) => ("public".chars().map(Glob::Literal).collect(), table),
            (Some(schema), Some(table), None) => (schema, table),
            _ => return Err(bad()),
        };
        Ok(Pattern { text: text.to_owned(), schema, table })
    }

    /// Whether the pattern means this table.
    pub fn matches(&self, name: &QualifiedName) -> bool {
        glob_matches(&self.schema, &name.schema) && glob_matches(&self.table, &name.name)
    }

    /// The one name that the pattern means, when it has no wildcard.
    pub fn literal(&self) -> Option<QualifiedName> {
        let literal = |part: &[Glob]| {
            part.iter()
                .map(|glob| match glob {
                    Glob::Literal(character) => Some(*character),
                    Glob::Any | Glob::One => None,
                })
                .collect::<Option<String>>()
        };
        Some(QualifiedName::new(literal(&self.schema)?, literal(&self.table)?))
    }
}

impl FromStr for Pattern {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Pattern::parse(text)
    }
}

/// The pattern as it was written.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether the whole text fits. One pass over the text for each star at most, never exponential.
fn glob_matches(pattern: &[Glob], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where to go on when what follows the last star does not fit: behind that star, one character later.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(&character) = text.get(at_text) {
        match pattern.get(at_pattern) {
            Some(Glob::Any) => {
                at_pattern += 1;
                retry = Some((at_pattern, at_text));
            }
            Some(Glob::One) => (at_pattern, at_text) = (at_pattern + 1, at_text + 1),
            Some(Glob::Literal(wanted)) if *wanted == character => {
                (at_pattern, at_text) = (at_pattern + 1, at_text + 1);
            }
            _ => match retry {
                Some((pattern_again, text_again)) => {
                    (at_pattern, at_text) = (pattern_again, text_again + 1);
                    retry = Some((pattern_again, text_again + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(at_pattern..).unwrap_or_default().iter().all(|glob| *glob == Glob::Any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_mean_what_they_say() {
        let check = |pattern: &str, schema: &str, name: &str, expected: bool| {
            let matches = Pattern::parse(pattern).unwrap().matches(&QualifiedName::new(schema, name));
            assert_eq!(matches, expected, "{pattern} {schema}.{name}");
        };
        check("public.*", "public", "orders", true);
        check("public.*", "sales", "orders", false);
        check("orders", "public", "orders", true);
        check("orders", "sales", "orders", false);
        check("*.o*s", "sales", "orders", true);
        check("*.o*s", "sales", "order", false);
        check("s?les.*", "sales", "x", true);
        check("Orders", "public", "orders", false);
        check("\"my.schema\".\"t*\"", "my.schema", "t*", true);
        check("\"my.schema\".\"t*\"", "my.schema", "tx", false);
        check("\"a\"\"b\".t", "a\"b", "t", true);
        check("*a*b*c", "public", "xaybzc", true);
        check("größe_?", "public", "größe_ä", true);
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for text in ["", ".", "a.", ".a", "a.b.c", "\"a", "a.\"\"", "a\0"] {
            assert!(Pattern::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn only_patterns_without_wildcards_are_literal() {
        let literal = |text| Pattern::parse(text).unwrap().literal();
        assert_eq!(literal("s.\"t*\""), Some(QualifiedName::new("s", "t*")));
        assert_eq!(literal("s.t*"), None);
        assert_eq!(literal("t"), Some(QualifiedName::new("public", "t")));
    }

    proptest! {
        #[test]
        fn globs_agree_with_a_naive_matcher(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            fn naive(pattern: &[char], text: &[char]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some(('*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
                    Some(('?', rest)) => !text.is_empty() && naive(rest, &text[1..]),
                    Some((first, rest)) => text.first() == Some(first) && naive(rest, &text[1..]),
                }
            }
            let expected = naive(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            let globs: Vec<_> = pattern.chars().map(|c| match c {
                '*' => Glob::Any,
                '?' => Glob::One,
                c => Glob::Literal(c),
            }).collect();
            prop_assert_eq!(glob_matches(&globs, &text), expected);
        }
    }
}
