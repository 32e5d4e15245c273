//! [`Lsn`]: a byte position in the source's write-ahead log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A WAL position in bytes, printed as PostgreSQL prints `pg_lsn`: two hexadecimal halves, `16/B374D848`.
///
/// The only positions that the product stores or acknowledges are commit *end* positions and idle WAL ends.
/// Row positions inside a transaction are neither unique nor monotonic and are never kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Lsn(u64);

/// The text is not two hexadecimal halves of at most eight digits around one slash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an LSN; an LSN looks like 16/B374D848")]
pub struct LsnParseError(String);

// === impl Lsn ===

impl Lsn {
    /// The invalid position: PostgreSQL sends it for "none".
    pub const ZERO: Lsn = Lsn(0);

    /// The position `bytes` bytes from the start of the WAL.
    pub const fn new(bytes: u64) -> Self {
        Lsn(bytes)
    }

    /// The position as a number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Bytes from `earlier` to `self`; 0 when `earlier` is not earlier.
    pub const fn bytes_since(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Lsn {
    type Err = LsnParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || LsnParseError(text.to_owned());
        let half = |digits: &str| {
            let all_hex = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            if all_hex { u64::from_str_radix(digits, 16).map_err(|_| bad()) } else { Err(bad()) }
        };
        let (high, low) = text.split_once('/').ok_or_else(bad)?;
        Ok(Lsn((half(high)? << 32) | half(low)?))
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> String {
        lsn.to_string()
    }
}

impl TryFrom<String> for Lsn {
    type Error = LsnParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn malformed_positions_are_refused() {
        for text in ["", "/", "0", "ZZ/1", "16/B374D848 ", "1/123456789", "1/2/3", "+1/0", "-1/0"] {
            assert!(text.parse::<Lsn>().is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn text_form_round_trips(bytes in any::<u64>()) {
            let lsn = Lsn::new(bytes);
            prop_assert_eq!(lsn.to_string().parse::<Lsn>(), Ok(lsn));
        }
    }
}
