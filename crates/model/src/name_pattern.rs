//! [`NamePattern`]: which names a user means; and [`parse_dotted`], names as a user writes them.

use std::fmt;

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

/// A name with `*` and `?` as wildcards. Case matters, as PostgreSQL keeps names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(Vec<Glob>);

/// Reads names between dots. In double quotes, dots and wildcards stand for themselves, and a quote is doubled. `None` for
/// what is no such list: an empty name, a quote without its other half, a NUL.
pub fn parse_dotted(text: &str) -> Option<Vec<NamePattern>> {
    let mut parts = vec![Vec::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let part = parts.last_mut()?;
        match (quoted, character) {
            (true, '"') if characters.peek() == Some(&'"') => {
                characters.next();
                part.push(Glob::Literal('"'));
            }
            (_, '"') => quoted = !quoted,
            (_, '\0') => return None,
            (true, character) => part.push(Glob::Literal(character)),
            (false, '.') => parts.push(Vec::new()),
            (false, '*') => part.push(Glob::Any),
            (false, '?') => part.push(Glob::One),
            (false, character) => part.push(Glob::Literal(character)),
        }
    }
    if quoted || parts.iter().any(Vec::is_empty) {
        return None;
    }
    Some(parts.into_iter().map(NamePattern).collect())
}

// === impl NamePattern ===

impl NamePattern {
    /// The pattern that means this name and no other, whatever characters it has.
    pub fn exactly(name: &str) -> Self {
        NamePattern(name.chars().map(Glob::Literal).collect())
    }

    /// Whether the whole name fits. One pass over it for each star at most, never exponential.
    pub fn matches(&self, name: &str) -> bool {
        let pattern = &self.0;
        let text: Vec<char> = name.chars().collect();
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

    /// The one name that the pattern means, when it has no wildcard.
    pub fn literal(&self) -> Option<String> {
        let literal = |glob: &Glob| match glob {
            Glob::Literal(character) => Some(*character),
            Glob::Any | Glob::One => None,
        };
        self.0.iter().map(literal).collect()
    }
}

/// As [`parse_dotted`] reads it: quoted where a character would mean something else.
impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |character: char| {
            !character.is_whitespace()
                && !matches!(character, '"' | '.' | '*' | '?' | '=' | ':' | ',' | '(' | ')')
        };
        // A name without wildcards is quoted as a whole, as people do.
        let all = self.literal().is_some_and(|name| !name.chars().all(plain));
        let quote = |glob: &Glob| match glob {
            Glob::Literal(character) => all || !plain(*character),
            Glob::Any | Glob::One => false,
        };
        let mut quoted = false;
        for glob in &self.0 {
            // A wildcard has to stand outside of quotes, and what looks like one inside of them.
            if quote(glob) != quoted {
                quoted = !quoted;
                f.write_str("\"")?;
            }
            match glob {
                Glob::Any => f.write_str("*")?,
                Glob::One => f.write_str("?")?,
                Glob::Literal('"') => f.write_str("\"\"")?,
                Glob::Literal(character) => write!(f, "{character}")?,
            }
        }
        if quoted { f.write_str("\"") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn malformed_names_are_refused() {
        for text in ["", ".", "a.", ".a", "\"a", "a.\"\"", "a\0"] {
            assert_eq!(parse_dotted(text), None, "{text:?} was accepted");
        }
    }

    #[test]
    fn only_patterns_without_wildcards_are_literal() {
        let literals = |text| {
            parse_dotted(text).unwrap().iter().map(NamePattern::literal).collect::<Option<Vec<String>>>()
        };
        assert_eq!(literals("s.\"t*\""), Some(vec!["s".to_owned(), "t*".to_owned()]));
        assert_eq!(literals("s.t*"), None);
        assert_eq!(literals("\"a\"\"b.c\""), Some(vec!["a\"b.c".to_owned()]));
    }

    proptest! {
        #[test]
        fn globs_agree_with_a_naive_matcher(pattern in "[ab*?]{1,8}", text in "[ab]{0,8}") {
            fn naive(pattern: &[char], text: &[char]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some(('*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
                    Some(('?', rest)) => !text.is_empty() && naive(rest, &text[1..]),
                    Some((first, rest)) => text.first() == Some(first) && naive(rest, &text[1..]),
                }
            }
            let expected = naive(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(parse_dotted(&pattern).unwrap()[0].matches(&text), expected);
        }

        #[test]
        fn patterns_are_read_as_they_are_written(text in "[ab*?\".=:, ]{1,8}") {
            if let Some(parts) = parse_dotted(&text) {
                let written = parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
                prop_assert_eq!(parse_dotted(&written), Some(parts));
            }
            let exact = NamePattern::exactly(&text);
            prop_assert_eq!(parse_dotted(&exact.to_string()), Some(vec![exact]));
        }
    }
}
