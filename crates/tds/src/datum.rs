//! [`Datum`]: one value as a server returned it.

/// A value, exact: nothing passes through a float but `real` and `float`.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    /// NULL of any type.
    Null,
    /// `bit`
    Bit(bool),
    /// `tinyint` to `bigint`
    Int(i64),
    /// `real`
    Real(f32),
    /// `float`
    Float(f64),
    /// `decimal`, `money` and `smallmoney` (scale 4): `magnitude` * 10^-`scale`.
    Decimal {
        /// Below zero.
        negative: bool,
        /// All digits.
        magnitude: u128,
        /// Digits that the type holds.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// Character types and `xml` (without a byte order mark). Lone surrogates arrive as U+FFFD.
    Text(String),
    /// `binary`, `varbinary`, `image`
    Bytes(Vec<u8>),
    /// `date`: days since 0001-01-01.
    Date(u32),
    /// `time`
    Time {
        /// Units of 10^-`scale` seconds since midnight.
        ticks: u64,
        /// 0 to 7.
        scale: u8,
    },
    /// `datetime2`; also `smalldatetime` (scale 0) and `datetime` (scale 3, rounded as the server prints it).
    DateTime2 {
        /// Days since 0001-01-01.
        days: u32,
        /// Units of 10^-`scale` seconds since midnight.
        ticks: u64,
        /// 0 to 7.
        scale: u8,
    },
    /// `datetimeoffset`: `days` and `ticks` are UTC.
    DateTimeOffset {
        /// Days since 0001-01-01.
        days: u32,
        /// Units of 10^-`scale` seconds since midnight.
        ticks: u64,
        /// 0 to 7.
        scale: u8,
        /// Where the value was written: minutes east of UTC, -840 to 840.
        offset_minutes: i16,
    },
    /// `uniqueidentifier`, bytes in the order in which they are printed.
    Uuid([u8; 16]),
    /// A value of `nvarchar(max)` or `varbinary(max)` that was handed on in parts, see [`crate::RowHandler`].
    Long {
        /// Bytes as they were sent: two for each UTF-16 unit.
        byte_len: u64,
    },
}

// === impl Datum ===

impl Datum {
    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    /// The number, of an integer or bit.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Datum::Int(value) => Some(*value),
            Datum::Bit(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// The text, of a character type.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Datum::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, of a binary type.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Datum::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Turns a uniqueidentifier between wire order and printed order: the first three groups are little-endian on the wire.
/// It is its own inverse.
pub fn swap_uuid(bytes: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, tail @ ..] = bytes;
    let [i, j, k, l, m, n, o, p] = tail;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_groups_are_little_endian_on_the_wire() {
        let printed: [u8; 16] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let wire = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        assert_eq!(swap_uuid(printed), wire);
        assert_eq!(swap_uuid(wire), printed);
    }
}
