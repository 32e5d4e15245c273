//! The one place where names and literals become SQL. Total: any name that PostgreSQL can hold comes out as itself.

use segcdc_model::QualifiedName;
use segcdc_model::given::is_slot_name;

use crate::error::SourceError;

/// An identifier in double quotes.
pub fn identifier(name: &str) -> Result<String, SourceError> {
    if name.is_empty() || name.contains('\0') {
        return Err(SourceError::InvalidName { what: "source" });
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// A schema-qualified name.
pub fn qualified(name: &QualifiedName) -> Result<String, SourceError> {
    Ok(format!("{}.{}", identifier(&name.schema)?, identifier(&name.name)?))
}

/// Several schema-qualified names, separated by commas.
pub fn qualified_list(names: &[QualifiedName]) -> Result<String, SourceError> {
    Ok(names.iter().map(qualified).collect::<Result<Vec<_>, _>>()?.join(", "))
}

/// A string literal. Sessions pin `standard_conforming_strings`, so a backslash is only a backslash.
pub fn literal(text: &str) -> Result<String, SourceError> {
    if text.contains('\0') {
        return Err(SourceError::InvalidName { what: "source" });
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

/// Several string literals, separated by commas.
pub fn literal_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<String, SourceError> {
    Ok(texts.into_iter().map(literal).collect::<Result<Vec<_>, _>>()?.join(", "))
}

/// The value of pgoutput's option `publication_names`: a list of identifiers inside of a literal.
pub fn publication_names(names: &[&str]) -> Result<String, SourceError> {
    let names = names.iter().map(|name| identifier(name)).collect::<Result<Vec<_>, _>>()?;
    literal(&names.join(","))
}

/// A slot name in double quotes, checked against PostgreSQL's rule for slot names
/// (`ReplicationSlotValidateName`: lower-case letters, digits, underscores) and against the reserved prefix.
pub fn slot_name(name: &str) -> Result<String, SourceError> {
    if is_slot_name(name) {
        identifier(name)
    } else {
        Err(SourceError::SlotName { name: name.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slot_names_follow_the_rule() {
        for name in ["a", "segcdc_1", &"s".repeat(63)] {
            assert_eq!(slot_name(name).unwrap(), format!("\"{name}\""));
        }
        for name in ["", "My-Slot", "A", "a b", "ü", "a\"", "a;b", "pg_x", &"s".repeat(64)] {
            assert!(slot_name(name).is_err(), "{name:?} was accepted");
        }
    }

    #[test]
    fn quotes_are_doubled_at_each_layer() {
        assert_eq!(identifier("a\"b").unwrap(), "\"a\"\"b\"");
        assert_eq!(literal("it's \\").unwrap(), "'it''s \\'");
        assert_eq!(publication_names(&["a\"b", "it's, c"]).unwrap(), "'\"a\"\"b\",\"it''s, c\"'");
        let name = QualifiedName::new("s.x", "t\"; DROP TABLE u; --");
        assert_eq!(qualified(&name).unwrap(), "\"s.x\".\"t\"\"; DROP TABLE u; --\"");
    }

    #[test]
    fn names_that_cannot_exist_are_refused() {
        assert!(identifier("").is_err());
        assert!(identifier("a\0b").is_err());
        assert!(literal("a\0b").is_err());
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back_as_itself(name in "[^\0]{1,80}") {
            let quoted = identifier(&name).unwrap();
            let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
            prop_assert!(!inner.replace("\"\"", "").contains('"'));
            prop_assert_eq!(inner.replace("\"\"", "\""), name);
        }
    }
}
