//! [`MssqlType`]: what a target column holds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The length of a variable-length target type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Length {
    /// At most this many UTF-16 units (nvarchar, 1 to 4000) or bytes (varbinary and varchar, 1 to 8000).
    Limited(u16),
    /// `max`: up to 2 GB.
    Max,
}

/// The T-SQL type of a target column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MssqlType {
    /// `bit`
    Bit,
    /// `tinyint`: 0 to 255.
    TinyInt,
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
    /// `varchar(n)` or `varchar(max)` with a UTF-8 collation, `Latin1_General_100_CI_AS_SC_UTF8`; never in a key.
    VarChar {
        /// Bytes of UTF-8, 1 to 8000.
        length: Length,
    },
    /// `varbinary(n)` or `varbinary(max)`
    VarBinary {
        /// Bytes.
        length: Length,
    },
    /// `date`
    Date,
    /// `time(scale)`
    Time {
        /// Digits of a second's fraction, 0 to 7.
        scale: u8,
    },
    /// `datetime2(scale)`
    DateTime2 {
        /// Digits of a second's fraction, 0 to 7.
        scale: u8,
    },
    /// `datetimeoffset(scale)`, always written at +00:00.
    DateTimeOffset {
        /// Digits of a second's fraction, 0 to 7.
        scale: u8,
    },
    /// `uniqueidentifier`
    UniqueIdentifier,
    /// `json`, the type of SQL Server 2025 and Azure: a document and not its text; never in a key.
    Json,
}

// === impl MssqlType ===

impl MssqlType {
    /// `time` with the microseconds that PostgreSQL has.
    pub const TIME: MssqlType = MssqlType::Time { scale: 6 };
    /// `datetime2` with the microseconds that PostgreSQL has.
    pub const DATETIME2: MssqlType = MssqlType::DateTime2 { scale: 6 };
    /// `datetimeoffset` with the microseconds that PostgreSQL has.
    pub const DATETIMEOFFSET: MssqlType = MssqlType::DateTimeOffset { scale: 6 };
}

/// The type as T-SQL spells it, without a COLLATE clause.
impl fmt::Display for MssqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MssqlType::Bit => f.write_str("bit"),
            MssqlType::TinyInt => f.write_str("tinyint"),
            MssqlType::SmallInt => f.write_str("smallint"),
            MssqlType::Int => f.write_str("int"),
            MssqlType::BigInt => f.write_str("bigint"),
            MssqlType::Real => f.write_str("real"),
            MssqlType::Float => f.write_str("float"),
            MssqlType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            MssqlType::NVarChar { length, .. } => write!(f, "nvarchar({length})"),
            MssqlType::VarChar { length } => write!(f, "varchar({length})"),
            MssqlType::VarBinary { length } => write!(f, "varbinary({length})"),
            MssqlType::Date => f.write_str("date"),
            MssqlType::Time { scale } => write!(f, "time({scale})"),
            MssqlType::DateTime2 { scale } => write!(f, "datetime2({scale})"),
            MssqlType::DateTimeOffset { scale } => write!(f, "datetimeoffset({scale})"),
            MssqlType::UniqueIdentifier => f.write_str("uniqueidentifier"),
            MssqlType::Json => f.write_str("json"),
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
