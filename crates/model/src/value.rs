//! [`Value`]: one decoded datum on its way from the source's encoding to the target's.

use crate::large::LargeRef;

/// A datum, borrowed from the buffer in which the source sent it.
///
/// The variants are the meeting points of both type systems: each holds every value of the PostgreSQL types that
/// map to it, so decoding never loses anything; whether the target column can hold it is the encoder's question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// `boolean`
    Bool(bool),
    /// Integers of up to 64 bits, and `oid`.
    Int(i64),
    /// `real`
    Float4(f32),
    /// `double precision`, NaN and infinities included.
    Float8(f64),
    /// A finite `numeric` of at most 38 significant digits: (-1 if negative) * magnitude / 10^scale.
    Decimal {
        /// Sign; false for zero.
        negative: bool,
        /// Below 10^38.
        magnitude: u128,
        /// Digits behind the point as PostgreSQL displays them, 0 to 38.
        scale: u8,
    },
    /// A `numeric` that [`Value::Decimal`] cannot hold: NaN, infinities, more than 38 digits.
    NumericOutOfRange,
    /// Text in UTF-8.
    Text(&'a str),
    /// `bytea`
    Bytes(&'a [u8]),
    /// Bytes in PostgreSQL's hexadecimal text form, without the `\x`; twice as many digits as bytes, checked.
    HexBytes(&'a str),
    /// 16 bytes in the order in which the UUID is printed.
    Uuid([u8; 16]),
    /// Days since 2000-01-01, proleptic Gregorian. `i32::MIN` and `i32::MAX` are the infinities.
    Date(i32),
    /// Microseconds since midnight, 0 to 86,400,000,000 (24:00:00) inclusive.
    Time(i64),
    /// Microseconds since 2000-01-01 00:00:00 without a zone. `i64::MIN` and `i64::MAX` are the infinities.
    Timestamp(i64),
    /// Microseconds since 2000-01-01 00:00:00 UTC. `i64::MIN` and `i64::MAX` are the infinities.
    TimestampTz(i64),
    /// An array, for a column that holds JSON: its text as PostgreSQL prints it.
    Array {
        /// The text.
        text: &'a str,
        /// What its elements are.
        element: ArrayElement,
    },
    /// A JSON document, for a column of the type `json`: it is written in the normal form of `segcdc_plan::json_document`.
    Document {
        /// The text as PostgreSQL prints it: JSON, or an array.
        text: &'a str,
        /// What the elements of an array are; `None` for JSON.
        array: Option<ArrayElement>,
    },
    /// Text or bytes that are kept outside of memory.
    Large(LargeRef<'a>),
}

/// What the elements of an array become in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayElement {
    /// true and false.
    Bool,
    /// Numbers.
    Number,
    /// JSON, as it is.
    Json,
    /// Strings.
    Text,
}
