//! [`Pattern`]: which tables a user means.

use std::fmt;
use std::str::FromStr;

use segcdc_model::QualifiedName;
use segcdc_model::name_pattern::{NamePattern, parse_dotted};

use crate::error::SourceError;

/// `schema.table` with `*` and `?` as wildcards; `table` alone means `public.table`.
///
/// Case matters, as PostgreSQL keeps names. In double quotes, dots and wildcards stand for themselves, and a quote is
/// doubled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    schema: NamePattern,
    table: NamePattern,
}

// === impl Pattern ===

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Pattern, SourceError> {
        let bad = || SourceError::Pattern { pattern: text.chars().take(200).collect() };
        let parts = parse_dotted(text).ok_or_else(bad)?;
        let mut parts = parts.into_iter();
        let (schema, table) = match (parts.next(), parts.next(), parts.next()) {
            (Some(table), None, None) => (NamePattern::exactly("public"), table),
            (Some(schema), Some(table), None) => (schema, table),
            _ => return Err(bad()),
        };
        Ok(Pattern { text: text.to_owned(), schema, table })
    }

    /// Whether the pattern means this table.
    pub fn matches(&self, name: &QualifiedName) -> bool {
        self.schema.matches(&name.schema) && self.table.matches(&name.name)
    }

    /// The one name that the pattern means, when it has no wildcard.
    pub fn literal(&self) -> Option<QualifiedName> {
        Some(QualifiedName::new(self.schema.literal()?, self.table.literal()?))
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
