//! [`Dialect`]: how values are sent to a server, where servers differ.

use segcdc_tds::{Collation, ColumnType};

/// How a time of day is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeForm {
    /// With the digits that the column has, microseconds at most.
    #[default]
    Exact,
    /// As `time(7)`, half a microsecond behind the value, for a server that cuts.
    MidMicrosecond,
}

/// How values are sent to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The database's collation, for columns that name none.
    pub collation: Collation,
    /// How a time of day is sent.
    pub time: TimeForm,
}

// === impl Dialect ===

impl Dialect {
    /// SQL Server's, with this collation.
    pub fn new(collation: Collation) -> Self {
        Dialect { collation, time: TimeForm::default() }
    }
}

/// The type that times of day for a column of so many digits are sent as.
pub(crate) fn time_type(time: TimeForm, scale: u8) -> ColumnType {
    match time {
        // The seventh digit of a column would always be zero.
        TimeForm::Exact => ColumnType::Time(scale.min(6)),
        TimeForm::MidMicrosecond => ColumnType::Time(7),
    }
}
