//! [`Mask`]: what stands in the target for the values of a column.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Characters that [`Mask::Truncate`] keeps at most: those of the longest `nvarchar(n)`.
pub const MOST_TRUNCATED: u16 = 4000;

/// What stands in the target for the values of a column. NULL stays NULL. Stored as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Mask {
    /// The salted HMAC-SHA-256 of the value's canonical text, in hexadecimal digits: equal values have equal ones.
    Hash,
    /// `***` for text, NULL for everything else.
    Redact,
    /// The first characters of a text, 1 to [`MOST_TRUNCATED`] code points.
    Truncate(u16),
}

// === impl Mask ===

impl Mask {
    /// Reads what stands behind the equals sign of `--mask`.
    ///
    /// # Errors
    /// What can stand there, for people.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const CHOICES: &str = "the masks are hash, redact and truncate:N, which keeps 1 to 4000 characters";
        match text.trim() {
            "hash" => Ok(Mask::Hash),
            "redact" => Ok(Mask::Redact),
            other => {
                let digits = other.strip_prefix("truncate:").map(str::trim).ok_or(CHOICES)?;
                let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                let characters = digits.parse().ok().filter(|_| is_number).ok_or(CHOICES)?;
                if (1..=MOST_TRUNCATED).contains(&characters) {
                    Ok(Mask::Truncate(characters))
                } else {
                    Err(CHOICES)
                }
            }
        }
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mask::Hash => f.write_str("hash"),
            Mask::Redact => f.write_str("redact"),
            Mask::Truncate(characters) => write!(f, "truncate:{characters}"),
        }
    }
}

impl From<Mask> for String {
    fn from(mask: Mask) -> String {
        mask.to_string()
    }
}

impl TryFrom<String> for Mask {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Mask::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read_as_they_are_written() {
        for text in ["hash", "redact", "truncate:1", "truncate:4000"] {
            assert_eq!(Mask::parse(text).map(|mask| mask.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(Mask::parse(" truncate: 7 "), Ok(Mask::Truncate(7)));
        let wrong = [
            "",
            "Hash",
            "truncate",
            "truncate:",
            "truncate:0",
            "truncate:4001",
            "truncate:+1",
            "truncate:-1",
        ];
        for text in wrong {
            assert!(Mask::parse(text).is_err(), "{text}");
        }
    }
}
