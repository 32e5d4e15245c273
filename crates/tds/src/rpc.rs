//! Remote procedure calls: `sp_executesql` with its parameters ([MS-TDS] 2.2.6.6).

use std::fmt::Write as _;

use crate::batch::put_all_headers;
use crate::error::EncodeError;
use crate::type_info::{put_type_info, sent_as};
use crate::types::{Collation, ColumnType, DECIMAL_LEN, Len, MAX_MARKER, PLP_UNKNOWN_LENGTH, procedure_id};

/// UTF-16 units of the largest nvarchar that is not `max`.
const SHORT_UNITS: u16 = 4_000;

/// Bytes of the largest varbinary that is not `max`.
const SHORT_BYTES: u16 = 8_000;

/// Digits of a [`Parameter::Decimal`].
const DECIMAL_PRECISION: u8 = 38;

/// A parameter of `sp_executesql`, named `@P1` and up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Parameter<'a> {
    /// `bit`
    Bit(Option<bool>),
    /// `int`
    Int(Option<i32>),
    /// `bigint`
    BigInt(Option<i64>),
    /// `float`, finite
    Float(Option<f64>),
    /// `nvarchar(4000)`, or `nvarchar(max)` when longer
    NVarChar(Option<&'a str>),
    /// `varbinary(8000)`, or `varbinary(max)` when longer
    VarBinary(Option<&'a [u8]>),
    /// `decimal(38,scale)`
    Decimal {
        /// Whether it is negative, and its digits, below 10^38.
        value: Option<(bool, u128)>,
        /// Digits behind the point, 0 to 38.
        scale: u8,
    },
    /// A value as [`crate::RowEncoder`] wrote it for a column of this type.
    Encoded {
        /// Type of the column.
        column_type: &'a ColumnType,
        /// Collation of the column, for character types.
        collation: Collation,
        /// Bytes of one of [`crate::RowEncoder::value_ranges`].
        value: &'a [u8],
    },
}

/// The payload of a call of `sp_executesql`. `collation` is the database's, for character parameters.
pub fn encode_execute_sql(
    sql: &str,
    parameters: &[Parameter<'_>],
    transaction: u64,
    collation: Collation,
) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(sql.len().saturating_mul(2).saturating_add(256));
    put_all_headers(&mut out, transaction);
    out.extend_from_slice(&u16::MAX.to_le_bytes());
    out.extend_from_slice(&procedure_id::EXECUTE_SQL.to_le_bytes());
    out.extend_from_slice(&0u16.to_le_bytes());
    put(&mut out, "", Parameter::NVarChar(Some(sql)), collation, 0)?;
    if !parameters.is_empty() {
        put(&mut out, "", Parameter::NVarChar(Some(&declarations(parameters))), collation, 0)?;
    }
    for (index, parameter) in parameters.iter().enumerate() {
        put(&mut out, &format!("@P{}", index + 1), *parameter, collation, index)?;
    }
    Ok(out)
}

/// `@P1 int,@P2 nvarchar(4000)`
fn declarations(parameters: &[Parameter<'_>]) -> String {
    let mut text = String::new();
    for (index, parameter) in parameters.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let column_type = sent_as(parameter.column_type());
        write!(text, "{separator}@P{} {column_type}", index + 1).expect("writing to a String never fails");
    }
    text
}

/// Appends name, flags, type and value of one parameter.
fn put(
    out: &mut Vec<u8>,
    name: &str,
    parameter: Parameter<'_>,
    collation: Collation,
    index: usize,
) -> Result<(), EncodeError> {
    out.push(
        u8::try_from(name.encode_utf16().count()).map_err(|_| EncodeError::OutOfRange { column: index })?,
    );
    out.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
    out.push(0);
    let collation = match parameter {
        Parameter::Encoded { collation, .. } => collation,
        _ => collation,
    };
    let column_type = parameter.column_type();
    put_type_info(out, column_type, collation);
    let is_plp = column_type.is_plp();
    match parameter {
        Parameter::Bit(value) => put_short(out, value.map(|value| [u8::from(value)]).as_ref()),
        Parameter::Int(value) => put_short(out, value.map(i32::to_le_bytes).as_ref()),
        Parameter::BigInt(value) => put_short(out, value.map(i64::to_le_bytes).as_ref()),
        Parameter::Float(Some(value)) if !value.is_finite() => {
            return Err(EncodeError::NotFinite { column: index });
        }
        Parameter::Float(value) => put_short(out, value.map(f64::to_le_bytes).as_ref()),
        Parameter::NVarChar(None) | Parameter::VarBinary(None) => {
            out.extend_from_slice(&MAX_MARKER.to_le_bytes())
        }
        Parameter::NVarChar(Some(text)) => {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            put_long(out, &bytes, is_plp, index)?;
        }
        Parameter::VarBinary(Some(bytes)) => put_long(out, bytes, is_plp, index)?,
        Parameter::Decimal { value: None, .. } => out.push(0),
        Parameter::Decimal { value: Some((negative, magnitude)), scale } => {
            if scale > DECIMAL_PRECISION || magnitude >= 10u128.pow(u32::from(DECIMAL_PRECISION)) {
                return Err(EncodeError::OutOfRange { column: index });
            }
            out.extend_from_slice(&[DECIMAL_LEN, u8::from(!negative)]);
            out.extend_from_slice(&magnitude.to_le_bytes());
        }
        Parameter::Encoded { value, .. } => out.extend_from_slice(value),
    }
    Ok(())
}

/// A value behind a 1-byte length; nothing is NULL.
fn put_short<const N: usize>(out: &mut Vec<u8>, value: Option<&[u8; N]>) {
    let bytes: &[u8] = value.map_or(&[], |value| value);
    out.push(u8::try_from(bytes.len()).expect("numbers are at most 8 bytes"));
    out.extend_from_slice(bytes);
}

/// A value behind a 2-byte length, or in one piece.
fn put_long(out: &mut Vec<u8>, bytes: &[u8], is_plp: bool, index: usize) -> Result<(), EncodeError> {
    let too_long = EncodeError::TooLong { column: index, length: bytes.len(), limit: i32::MAX as usize };
    if is_plp {
        let length = i32::try_from(bytes.len()).map_err(|_| too_long)?;
        out.extend_from_slice(&PLP_UNKNOWN_LENGTH.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(&0u32.to_le_bytes());
    } else {
        let length = u16::try_from(bytes.len()).map_err(|_| too_long)?;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(bytes);
    }
    Ok(())
}

// === impl Parameter ===

impl Parameter<'_> {
    /// The type that it is declared and sent as.
    pub fn column_type(&self) -> ColumnType {
        match self {
            Parameter::Bit(_) => ColumnType::Bit,
            Parameter::Int(_) => ColumnType::Int,
            Parameter::BigInt(_) => ColumnType::BigInt,
            Parameter::Float(_) => ColumnType::Float,
            Parameter::NVarChar(text) => {
                let units = text.map_or(0, |text| text.encode_utf16().count());
                let fits = units <= usize::from(SHORT_UNITS);
                ColumnType::NVarChar(if fits { Len::Limited(SHORT_UNITS) } else { Len::Max })
            }
            Parameter::VarBinary(bytes) => {
                let fits = bytes.is_none_or(|bytes| bytes.len() <= usize::from(SHORT_BYTES));
                ColumnType::VarBinary(if fits { Len::Limited(SHORT_BYTES) } else { Len::Max })
            }
            Parameter::Decimal { scale, .. } => {
                ColumnType::Decimal { precision: DECIMAL_PRECISION, scale: *scale }
            }
            Parameter::Encoded { column_type, .. } => **column_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datum::Datum;
    use crate::reader::Reader;
    use crate::type_info::TypeInfo;
    use crate::value;
    use proptest::prelude::*;

    /// Names and values of the parameters behind the procedure id.
    fn read_back(payload: &[u8]) -> Vec<(String, ColumnType, Datum)> {
        let mut reader = Reader::new(&payload[28..]);
        let mut parameters = Vec::new();
        while !reader.is_empty() {
            let name = reader.b_varchar().unwrap();
            assert_eq!(reader.u8(), Ok(0));
            let info = TypeInfo::decode(&mut reader).unwrap();
            let frame = value::frame(info.layout, &mut reader).unwrap();
            parameters.push((name, info.column_type, value::decode(&info, frame).unwrap()));
        }
        parameters
    }

    /// Encodes one parameter and reads it back.
    fn round_trip(parameter: Parameter<'_>) -> Datum {
        let payload = encode_execute_sql("x", &[parameter], 0, Collation::default()).unwrap();
        let parameters = read_back(&payload);
        assert_eq!(parameters.len(), 3);
        assert_eq!(parameters[2].0, "@P1");
        assert_eq!(parameters[1].2, Datum::Text(format!("@P1 {}", parameters[2].1)));
        parameters[2].2.clone()
    }

    #[test]
    fn statement_without_parameters_has_no_declarations() {
        let payload = encode_execute_sql("select 1", &[], 0, Collation::default()).unwrap();
        assert_eq!(payload[22..28], [0xFF, 0xFF, 10, 0, 0, 0]);
        let text = ColumnType::NVarChar(Len::Limited(4000));
        assert_eq!(read_back(&payload), [(String::new(), text, Datum::Text("select 1".to_owned()))]);
    }

    #[test]
    fn nulls_of_every_kind_round_trip() {
        let null = [
            Parameter::Bit(None),
            Parameter::Int(None),
            Parameter::BigInt(None),
            Parameter::Float(None),
            Parameter::NVarChar(None),
            Parameter::VarBinary(None),
            Parameter::Decimal { value: None, scale: 3 },
            Parameter::Encoded {
                column_type: &ColumnType::NVarChar(Len::Max),
                collation: Collation::default(),
                value: &crate::types::PLP_NULL.to_le_bytes(),
            },
        ];
        for parameter in null {
            assert_eq!(round_trip(parameter), Datum::Null, "{parameter:?}");
        }
    }

    #[test]
    fn what_the_server_cannot_hold_is_refused() {
        let refused = |parameter| encode_execute_sql("", &[parameter], 0, Collation::default()).unwrap_err();
        assert_eq!(refused(Parameter::Float(Some(f64::NAN))), EncodeError::NotFinite { column: 0 });
        let big = Parameter::Decimal { value: Some((false, 10u128.pow(38))), scale: 0 };
        assert_eq!(refused(big), EncodeError::OutOfRange { column: 0 });
    }

    proptest! {
        #[test]
        fn values_round_trip(
            int in any::<i32>(), bigint in any::<i64>(), float in -1e300f64..1e300, bit in any::<bool>(),
            text in "\\PC{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..40), repeat in 1usize..400,
            negative in any::<bool>(), magnitude in 1u128..10u128.pow(38), scale in 0u8..=38,
        ) {
            prop_assert_eq!(round_trip(Parameter::Int(Some(int))), Datum::Int(i64::from(int)));
            prop_assert_eq!(round_trip(Parameter::BigInt(Some(bigint))), Datum::Int(bigint));
            prop_assert_eq!(round_trip(Parameter::Float(Some(float))), Datum::Float(float));
            prop_assert_eq!(round_trip(Parameter::Bit(Some(bit))), Datum::Bit(bit));
            let text = text.repeat(repeat);
            prop_assert_eq!(round_trip(Parameter::NVarChar(Some(&text))), Datum::Text(text.clone()));
            let bytes = bytes.repeat(repeat);
            prop_assert_eq!(round_trip(Parameter::VarBinary(Some(&bytes))), Datum::Bytes(bytes.clone()));
            let decimal = Parameter::Decimal { value: Some((negative, magnitude)), scale };
            prop_assert_eq!(round_trip(decimal), Datum::Decimal { negative, magnitude, precision: 38, scale });
        }
    }
}
