//! [`RefusedValue`]: why a value was not sent.

use segcdc_model::fault::Fault;
use segcdc_plan::ValueError;
use segcdc_tds::EncodeError;

/// Why a value was not sent. Never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedValue {
    /// The source's bytes cannot be read.
    #[error("{0}")]
    Unreadable(#[from] ValueError),
    /// The target's type has no such value.
    #[error("{0} has no place in the target's type")]
    Unrepresentable(&'static str),
    /// Longer than the column.
    #[error("the value has a length of {length}, the column of {limit}")]
    TooLong {
        /// UTF-16 units or bytes.
        length: usize,
        /// The column's.
        limit: usize,
    },
    /// Longer than the share that the plan gives a key column of the 900 bytes of an index; with all columns within their
    /// shares, the whole key is within the 900 bytes.
    #[error("the key value has a length of {length}, an index has room for {limit}")]
    KeyTooLong {
        /// UTF-16 units or bytes.
        length: usize,
        /// The column's.
        limit: usize,
    },
    /// A large value, where the target takes no bulk loads.
    #[error("the value has {length} bytes, and without bulk loads a parameter may have {limit}")]
    TooLargeForInsert {
        /// Bytes at the target.
        length: u64,
        /// What is sent in one parameter.
        limit: u64,
    },
    /// A decimal that would have to be rounded.
    #[error("the number has more digits than the target's type keeps")]
    Inexact,
    /// NULL for a NOT NULL column.
    #[error("NULL where the target does not allow it")]
    Null,
}

// === impl RefusedValue ===

impl RefusedValue {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            RefusedValue::Unreadable(error) => error.code(),
            RefusedValue::Unrepresentable(_) | RefusedValue::Inexact => "VALUE_UNREPRESENTABLE",
            RefusedValue::TooLong { .. } => "VALUE_TOO_LONG",
            RefusedValue::KeyTooLong { .. } => "KEY_TOO_LONG",
            RefusedValue::TooLargeForInsert { .. } => "VALUE_TOO_LARGE",
            RefusedValue::Null => "VALUE_NULL",
        }
    }
}

impl RefusedValue {
    /// The same of a key column, whose length is limited by the index.
    pub(super) fn of_key(self) -> Self {
        match self {
            RefusedValue::TooLong { length, limit } => RefusedValue::KeyTooLong { length, limit },
            other => other,
        }
    }
}

impl From<EncodeError> for RefusedValue {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::TooLong { length, limit, .. } => RefusedValue::TooLong { length, limit },
            EncodeError::OutOfRange { .. } => RefusedValue::Unrepresentable("the value"),
            EncodeError::Inexact { .. } => RefusedValue::Inexact,
            EncodeError::NotFinite { .. } => RefusedValue::Unrepresentable("NaN or infinity"),
            EncodeError::NotNullable { .. } => RefusedValue::Null,
            EncodeError::WrongKind { .. } | EncodeError::ColumnCount { .. } => {
                RefusedValue::Unrepresentable("a value of another kind")
            }
        }
    }
}
