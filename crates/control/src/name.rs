//! [`ResourceName`]: what a person calls a tenant, a user, a connection or a pipeline.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name, characters.
pub const MAX_NAME: usize = 64;

/// A name: 1 to [`MAX_NAME`] letters and digits of any script, and between them blanks and `-`, `_`, `.`, `@`.
///
/// No other character can be in it: no control or formatting character that turns a line around or hides, nothing that
/// a page, a shell or a path reads as its own. Two names that differ only by case are the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceName(String);

/// Why a text is not a name. The text itself is not repeated: it may hold what must not be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing.
    #[error("the name is empty")]
    Empty,
    /// More than [`MAX_NAME`] characters.
    #[error("the name has {0} characters, {MAX_NAME} are allowed")]
    TooLong(usize),
    /// A blank or sign at the beginning or the end.
    #[error("the name must begin and end with a letter or a digit")]
    Edge,
    /// Something else than letters, digits, blanks and `-`, `_`, `.`, `@`.
    #[error("the name has the character U+{0:04X} in it; letters, digits, blanks and - _ . @ are allowed")]
    Character(u32),
}

// === impl ResourceName ===

impl ResourceName {
    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What makes it unique: its lower case, by Unicode and not by the machine's locale.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl FromStr for ResourceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let length = text.chars().count();
        if length == 0 {
            return Err(NameError::Empty);
        }
        if length > MAX_NAME {
            return Err(NameError::TooLong(length));
        }
        let sign = |c: char| matches!(c, ' ' | '-' | '_' | '.' | '@');
        if let Some(other) = text.chars().find(|&c| !c.is_alphanumeric() && !sign(c)) {
            return Err(NameError::Character(other.into()));
        }
        if text.starts_with(sign) || text.ends_with(sign) {
            return Err(NameError::Edge);
        }
        Ok(ResourceName(text.to_owned()))
    }
}

impl TryFrom<String> for ResourceName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ResourceName> for String {
    fn from(name: ResourceName) -> String {
        name.0
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_script_are_names() {
        for name in ["orders", "Orders 2026", "a", "müller.shop", "注文", "x@example.com", "9-to-5"] {
            assert_eq!(name.parse::<ResourceName>().map(String::from), Ok(name.to_owned()));
        }
    }

    #[test]
    fn what_misleads_or_breaks_out_is_refused() {
        let long = "x".repeat(300);
        let cases = [
            ("", NameError::Empty),
            (long.as_str(), NameError::TooLong(300)),
            (" orders", NameError::Edge),
            ("orders ", NameError::Edge),
            ("..", NameError::Edge),
            ("<script>", NameError::Character(u32::from('<'))),
            ("a\u{202E}b", NameError::Character(0x202E)),
            ("a\u{200B}b", NameError::Character(0x200B)),
            ("a\nb", NameError::Character(10)),
            ("a\0b", NameError::Character(0)),
            ("a/b", NameError::Character(u32::from('/'))),
            ("a%2e", NameError::Character(u32::from('%'))),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<ResourceName>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn case_does_not_make_another_name() {
        let key = |name: &str| name.parse::<ResourceName>().unwrap().key();
        assert_eq!(key("Orders"), key("ORDERS"));
        assert_eq!(key("INFO"), "info", "not by the rules of a Turkish locale");
    }
}
