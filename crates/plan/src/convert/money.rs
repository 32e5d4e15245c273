//! `money`: a 64-bit number of the smallest unit.
//!
//! How many digits of it stand behind the point is no part of the value: PostgreSQL takes it from `lc_monetary` whenever
//! it prints one (`src/backend/utils/adt/cash.c`). Sessions pin `lc_monetary` to `C`, which always prints two, so the
//! text here is a spelling of the units, whatever the database means by them:
//!
//! ```text
//! -$1,234.56     -123456 units: -1234.56 where the database's lc_monetary has two digits, -123456 where it has none
//! ```

use segcdc_model::Value;

/// Digits behind the point under `lc_monetary = C`.
const PINNED_DIGITS: usize = 2;

/// Digits between two commas under `lc_monetary = C`.
const GROUP_DIGITS: usize = 3;

/// The value of a number of units.
pub(crate) fn of_units(units: i64, fraction_digits: u8) -> Value<'static> {
    Value::Decimal {
        negative: units < 0,
        magnitude: u128::from(units.unsigned_abs()),
        scale: fraction_digits,
    }
}

/// Decodes the text form; `None` when PostgreSQL does not print such text under the pinned settings.
pub(super) fn from_text(bytes: &[u8], fraction_digits: u8) -> Option<Value<'static>> {
    let (negative, bytes) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let bytes = bytes.strip_prefix(b"$")?;
    let (whole, fraction) = bytes.split_at_checked(bytes.len().checked_sub(PINNED_DIGITS + 1)?)?;
    let fraction = fraction.strip_prefix(b".")?;
    let mut groups = whole.split(|byte| *byte == b',');
    let first = groups.next().filter(|first| (1..=GROUP_DIGITS).contains(&first.len()))?;
    let mut units = append(0, first)?;
    for group in groups {
        units = append(units, Some(group).filter(|group| group.len() == GROUP_DIGITS)?)?;
    }
    let units = append(units, fraction)?;
    let units = if negative { -units } else { units };
    Some(of_units(i64::try_from(units).ok()?, fraction_digits))
}

/// What PostgreSQL prints, and reads, under the pinned settings for a decimal number of `fraction_digits` digits at
/// most; `None` for text that is none, or too large.
pub(crate) fn print(decimal: &str, fraction_digits: u8) -> Option<String> {
    let (negative, digits) = match decimal.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, decimal),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let missing = usize::from(fraction_digits).checked_sub(fraction.len())?;
    let mut units = append(append(0, whole.as_bytes())?, fraction.as_bytes())?;
    for _ in 0..missing {
        units = units.checked_mul(10)?;
    }
    let (mut whole, cents) = ((units / 100).to_string(), units % 100);
    let mut at = whole.len();
    while at > GROUP_DIGITS {
        at -= GROUP_DIGITS;
        whole.insert(at, ',');
    }
    Some(format!("{}${whole}.{cents:02}", if negative { "-" } else { "" }))
}

/// Appends decimal digits to a number.
fn append(number: i128, digits: &[u8]) -> Option<i128> {
    digits.iter().try_fold(number, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(i128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::canonical;

    #[test]
    fn only_what_the_pinned_settings_print_is_read() {
        let check = |text: &str, units: Option<i64>| {
            let expected = units.map(|units| of_units(units, 2));
            assert_eq!(from_text(text.as_bytes(), 2), expected, "{text}");
        };
        check("$0.00", Some(0));
        check("-$0.01", Some(-1));
        check("$1,234.56", Some(123_456));
        check("-$92,233,720,368,547,758.08", Some(i64::MIN));
        check("$92,233,720,368,547,758.07", Some(i64::MAX));
        for text in [
            "",
            "$",
            "1.00",
            "$1",
            "$1.0",
            "$1.000",
            "$.00",
            "$1234.00",
            "$1,23.00",
            "$,123.00",
            "($1.00)",
            "\u{a5}100",
            "1.234,56 \u{20ac}",
            "$-1.00",
            "$92,233,720,368,547,758.08",
            "$a.00",
            "--$1.00",
            "$1,,234.00",
        ] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(units in any::<i64>(), fraction_digits in 0_u8..=10) {
            let value = of_units(units, fraction_digits);
            let mut text = String::new();
            canonical::write_text(&value, &mut text);
            let printed = print(&text, fraction_digits).unwrap();
            prop_assert_eq!(from_text(printed.as_bytes(), fraction_digits), Some(value), "{}", printed);
        }
    }
}
