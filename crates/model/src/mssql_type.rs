//! [`MssqlType`]: what a target column holds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The length of a variable-length target type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Length {
    /// At most this many UTF-16 units (nvarchar, 1 to 4000) or bytes (varbinary, 1 to 8000).
    Limited(u16),
    /// `max`: up to 2 GB.
    Max,
}

/// The T-SQL type of a target column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MssqlType {
    /// `bit`
    Bit,
    /// `smallint`
    SmallInt,
    /// `int`
    Int,
    /// `bigint`
    BigInt,
    /// `real`
    Real,
    /// `float` (53 bits)
    Float,
    /// `decimal(precision,scale)`: precision 1 to 38, scale 0 to precision.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// `nvarchar(n)` or `nvarchar(max)`; `binary_collation` for key columns: `Latin1_General_100_BIN2`.
    NVarChar {
        /// UTF-16 units.
        length: Length,
        /// Whether the column compares by code unit instead of by the database's collation.
        binary_collation: bool,
    },
    /// `varbinary(n)` or `varbinary(max)`
    VarBinary {
        /// Bytes.
        length: Length,
    },
    /// `date`
    Date,
    /// `time(6)`
    Time,
    /// `datetime2(6)`
    DateTime2,
    /// `datetimeoffset(6)`, always written at +00:00.
    DateTimeOffset,
    /// `uniqueidentifier`
    UniqueIdentifier,
}

// === impl MssqlType ===

/// The type as T-SQL spells it, without a COLLATE clause.
impl fmt::Display for MssqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MssqlType::Bit => f.write_str("bit"),
            MssqlType::SmallInt => f.write_str("smallint"),
            MssqlType::Int => f.write_str("int"),
            MssqlType::BigInt => f.write_str("bigint"),
            MssqlType::Real => f.write_str("real"),
            MssqlType::Float => f.write_str("float"),
            MssqlType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            MssqlType::NVarChar { length, .. } => write!(f, "nvarchar({length})"),
            MssqlType::VarBinary { length } => write!(f, "varbinary({length})"),
            MssqlType::Date => f.write_str("date"),
            MssqlType::Time => f.write_str("time(6)"),
            MssqlType::DateTime2 => f.write_str("datetime2(6)"),
            MssqlType::DateTimeOffset => f.write_str("datetimeoffset(6)"),
            MssqlType::UniqueIdentifier => f.write_str("uniqueidentifier"),
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Length::Limited(n) => write!(f, "{n}"),
            Length::Max => f.write_str("max"),
        }
    }
}
