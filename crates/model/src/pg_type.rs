//! [`PgType`]: what a source column holds, as far as the product understands it.

use serde::{Deserialize, Serialize};

/// The type of a source column, domains resolved to their base type.
///
/// Everything that is not listed travels as the exact text that PostgreSQL prints, see [`PgType::Other`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PgType {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric(p,s)`, or unconstrained `numeric` when `bounds` is `None`.
    Numeric {
        /// Precision 1 to 1000 and scale -1000 to 1000.
        bounds: Option<(u16, i16)>,
    },
    /// `text`, `citext` and other text without a length.
    Text,
    /// `varchar(n)`: at most `length` code points; `None` when declared without a length.
    Varchar {
        /// Code points.
        length: Option<u32>,
    },
    /// `char(n)`: exactly `length` code points, blank padded.
    Char {
        /// Code points.
        length: u32,
    },
    /// `name`: at most 63 bytes.
    Name,
    /// `bytea`
    Bytea,
    /// `uuid`
    Uuid,
    /// `json`: exact text kept.
    Json,
    /// `jsonb`: normalised by PostgreSQL.
    Jsonb,
    /// `date`
    Date,
    /// `time without time zone`, microseconds.
    Time,
    /// `timestamp without time zone`, microseconds.
    Timestamp,
    /// `timestamp with time zone`, microseconds, an instant in UTC.
    TimestampTz,
    /// An enum: its label is the value.
    Enum,
    /// `bit(1)`; other lengths are [`PgType::Other`].
    Bit,
    /// `money`: a whole number of the smallest unit, of which the database's `lc_monetary` says how many make one.
    Money {
        /// Digits behind the point that the database's `lc_monetary` has, 0 to 10.
        fraction_digits: u8,
    },
    /// `money` of which our own role's `lc_monetary` hides how many digits it has: such a column cannot be replicated.
    MoneyOfUnknownDigits,
    /// `oid`: an unsigned 32-bit number.
    Oid,
    /// Any other type (arrays, ranges, intervals, geometric, network, extension types): its text form.
    Other,
}

impl PgType {
    /// Whether values of this type can be asked for in PostgreSQL's binary form and decoded exactly.
    /// What cannot is cast to text at the source.
    pub fn has_exact_binary_form(&self) -> bool {
        !matches!(self, PgType::Other)
    }
}
