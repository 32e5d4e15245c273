//! What a server returned as the [`Value`] that the source's field is decoded to.

use segcdc_model::Value;
use segcdc_tds::Datum;

/// Days from 0001-01-01 to 2000-01-01.
const DAYS_TO_2000: i64 = 730_119;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// The value; `None` for what no column of ours holds, such as a fraction of a microsecond, and for one that came in parts.
pub(super) fn of_datum(datum: &Datum) -> Option<Value<'_>> {
    Some(match datum {
        Datum::Long { .. } => return None,
        Datum::Null => Value::Null,
        Datum::Bit(value) => Value::Bool(*value),
        Datum::Int(value) => Value::Int(*value),
        Datum::Real(value) => Value::Float4(*value),
        Datum::Float(value) => Value::Float8(*value),
        Datum::Decimal { negative, magnitude, scale, .. } => {
            Value::Decimal { negative: *negative, magnitude: *magnitude, scale: *scale }
        }
        Datum::Text(text) => Value::Text(text),
        Datum::Bytes(bytes) => Value::Bytes(bytes),
        Datum::Uuid(bytes) => Value::Uuid(*bytes),
        Datum::Date(days) => Value::Date(i32::try_from(i64::from(*days) - DAYS_TO_2000).ok()?),
        Datum::Time { ticks, scale } => Value::Time(microseconds(*ticks, *scale)?),
        Datum::DateTime2 { days, ticks, scale } => Value::Timestamp(instant(*days, *ticks, *scale)?),
        Datum::DateTimeOffset { days, ticks, scale, .. } => {
            Value::TimestampTz(instant(*days, *ticks, *scale)?)
        }
    })
}

fn instant(days: u32, ticks: u64, scale: u8) -> Option<i64> {
    (i64::from(days) - DAYS_TO_2000).checked_mul(DAY_US)?.checked_add(microseconds(ticks, scale)?)
}

/// Microseconds of units of 10^-scale seconds.
fn microseconds(ticks: u64, scale: u8) -> Option<i64> {
    let ticks = i64::try_from(ticks).ok()?;
    match scale {
        0..=6 => ticks.checked_mul(10_i64.checked_pow(u32::from(6 - scale))?),
        7 if ticks % 10 == 0 => Some(ticks / 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_plan::canonical;

    fn check(datum: Datum, expected: &str) {
        let mut text = String::new();
        canonical::write_text(&of_datum(&datum).unwrap(), &mut text);
        assert_eq!(text, expected, "{datum:?}");
    }

    #[test]
    fn values_have_the_text_of_the_source() {
        check(Datum::Bit(true), "true");
        check(Datum::Int(-5), "-5");
        check(Datum::Float(0.1), "1e-1");
        check(Datum::Decimal { negative: true, magnitude: 1_500, precision: 10, scale: 3 }, "-1.5");
        check(Datum::Text(" x ".to_owned()), " x ");
        check(Datum::Bytes(vec![0, 255]), "00ff");
        check(Datum::Date(0), "0001-01-01");
        check(Datum::Date(3_652_058), "9999-12-31");
        check(Datum::Time { ticks: 86_399_999_999, scale: 6 }, "23:59:59.999999");
        check(Datum::DateTime2 { days: 730_119, ticks: 1, scale: 6 }, "2000-01-01T00:00:00.000001");
        check(
            Datum::DateTimeOffset { days: 730_119, ticks: 10, scale: 7, offset_minutes: 60 },
            "2000-01-01T00:00:00.000001Z",
        );
    }

    #[test]
    fn fractions_of_a_microsecond_are_not_cut() {
        assert_eq!(of_datum(&Datum::Time { ticks: 1, scale: 7 }), None);
    }
}
