//! `numeric`: text, and groups of four decimal digits.
//!
//! ```text
//! binary:  groups u16 | weight i16 | sign u16 | display scale u16 | groups x u16 (0 to 9999)
//! value  = sum of group[i] * 10000^(weight - i)
//! ```
//!
//! Both forms give the same [`Value::Decimal`]: the digits that PostgreSQL displays, except that zeros behind the
//! point which would be the 39th digit or more are dropped, since they change nothing.

use segcdc_model::{Field, Value};
use smallvec::SmallVec;

use super::digits_u64;

/// Digits that the magnitude and the scale may have.
const MAX_DIGITS: usize = 38;

/// `sign` of the binary form (`src/backend/utils/adt/numeric.c`).
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Decimal digits of a group.
const GROUP_DIGITS: i32 = 4;

/// Decodes the text form; `None` when PostgreSQL does not print such text.
pub(super) fn from_text(bytes: &[u8]) -> Option<Value<'static>> {
    if let b"NaN" | b"Infinity" | b"-Infinity" = bytes {
        return Some(Value::NumericOutOfRange);
    }
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(point) => {
            let (whole, fraction) = digits.split_at_checked(point)?;
            (whole, fraction.get(1..).filter(|fraction| !fraction.is_empty())?)
        }
        None => (digits, &[][..]),
    };
    if whole.is_empty() {
        return None;
    }
    let zeros = whole.iter().take_while(|byte| **byte == b'0').count();
    let whole = whole.get(zeros..)?;
    let Some(room) = MAX_DIGITS.checked_sub(whole.len()) else {
        return all_digits(whole, fraction).then_some(Value::NumericOutOfRange);
    };
    let (kept, dropped) = fraction.split_at(fraction.len().min(room));
    if dropped.iter().any(|byte| *byte != b'0') {
        return all_digits(whole, fraction).then_some(Value::NumericOutOfRange);
    }
    let magnitude = if whole.len() + kept.len() <= 19 {
        u128::from(digits_u64(whole)? * 10_u64.pow(u32::try_from(kept.len()).ok()?) + digits_u64(kept)?)
    } else {
        append_digits(append_digits(0, whole)?, kept)?
    };
    decimal(negative, magnitude, kept.len())
}

/// Decodes the binary form; `None` when PostgreSQL does not send such bytes.
pub(super) fn from_binary(bytes: &[u8]) -> Option<Value<'static>> {
    let [n0, n1, w0, w1, s0, s1, d0, d1, groups @ ..] = bytes else { return None };
    let count = usize::from(u16::from_be_bytes([*n0, *n1]));
    let mut weight = i32::from(i16::from_be_bytes([*w0, *w1]));
    let display_scale = usize::from(u16::from_be_bytes([*d0, *d1]));
    let (groups, rest) = groups.as_chunks::<2>();
    if groups.len() != count || !rest.is_empty() {
        return None;
    }
    if groups.iter().any(|group| u16::from_be_bytes(*group) > 9999) {
        return None;
    }
    let negative = match u16::from_be_bytes([*s0, *s1]) {
        POSITIVE => false,
        NEGATIVE => true,
        NAN | INFINITY | NEGATIVE_INFINITY => return Some(Value::NumericOutOfRange),
        _ => return None,
    };
    // PostgreSQL strips zero groups at both ends; this does not depend on it.
    let leading = groups.iter().take_while(|group| **group == [0, 0]).count();
    weight -= i32::try_from(leading).ok()?;
    let end = groups.iter().rposition(|group| *group != [0, 0]).map_or(0, |last| last + 1);
    let Some(groups @ [first, ..]) = groups.get(leading..end) else {
        return decimal(false, 0, display_scale.min(MAX_DIGITS));
    };
    let whole_digits = whole_digits(weight, u16::from_be_bytes(*first));
    let Some(room) = MAX_DIGITS.checked_sub(whole_digits) else { return Some(Value::NumericOutOfRange) };
    let scale = display_scale.min(room);
    match scaled(groups, weight, i32::try_from(scale).ok()?) {
        Some(magnitude) => decimal(negative, magnitude, scale),
        // Digits behind the scale: displayed ones are too many for the target, others must not exist.
        None if display_scale > scale => Some(Value::NumericOutOfRange),
        None => None,
    }
}

/// How far a number reaches, as far as it matters for what cannot hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumericExtent {
    /// NaN; and what is no number at all, of which as little can be said.
    NotANumber,
    /// An infinity.
    Infinite { negative: bool },
    /// A number with so many digits before the point, zeros at the front not counted.
    Finite { negative: bool, whole_digits: usize },
}

/// The extent of a numeric in either form.
pub(crate) fn extent(field: Field<'_>) -> NumericExtent {
    match field {
        Field::Text(b"Infinity") => NumericExtent::Infinite { negative: false },
        Field::Text(b"-Infinity") => NumericExtent::Infinite { negative: true },
        Field::Text([b'-', digits @ ..]) => text_extent(true, digits),
        Field::Text(digits) => text_extent(false, digits),
        Field::Binary([_, _, w0, w1, s0, s1, _, _, groups @ ..]) => {
            let negative = match u16::from_be_bytes([*s0, *s1]) {
                INFINITY => return NumericExtent::Infinite { negative: false },
                NEGATIVE_INFINITY => return NumericExtent::Infinite { negative: true },
                POSITIVE => false,
                NEGATIVE => true,
                _ => return NumericExtent::NotANumber,
            };
            // The weight of the first group that is not zero.
            let (groups, _) = groups.as_chunks::<2>();
            let leading = groups.iter().take_while(|group| **group == [0, 0]).count();
            let first = groups.get(leading).map_or(0, |group| u16::from_be_bytes(*group));
            let weight =
                i32::from(i16::from_be_bytes([*w0, *w1])) - i32::try_from(leading).unwrap_or(i32::MAX);
            NumericExtent::Finite { negative, whole_digits: whole_digits(weight, first) }
        }
        Field::Binary(_) | Field::Null | Field::UnchangedToast | Field::Large(_) => NumericExtent::NotANumber,
    }
}

/// The text that PostgreSQL prints for a binary form; `None` when it is none.
pub(crate) fn print(bytes: &[u8]) -> Option<String> {
    let [_, _, w0, w1, s0, s1, d0, d1, groups @ ..] = bytes else { return None };
    let (groups, rest) = groups.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let sign = match u16::from_be_bytes([*s0, *s1]) {
        POSITIVE => "",
        NEGATIVE => "-",
        NAN => return Some("NaN".to_owned()),
        INFINITY => return Some("Infinity".to_owned()),
        NEGATIVE_INFINITY => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let weight = i32::from(i16::from_be_bytes([*w0, *w1]));
    let scale = usize::from(u16::from_be_bytes([*d0, *d1]));
    let group = |index: i32| {
        let bytes = usize::try_from(index).ok().and_then(|index| groups.get(index));
        format!("{:04}", bytes.map_or(0, |bytes| u16::from_be_bytes(*bytes)))
    };
    let whole: String = (0..=weight).map(group).collect();
    let whole = whole.trim_start_matches('0');
    let fraction_groups = i32::try_from(scale.div_ceil(4)).ok()?;
    // Group k is worth 10000^(weight - k); in front of the first one there are zeros.
    let fraction: String = (1..=fraction_groups).map(|place| group(weight + place)).collect();
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(match fraction.get(..scale) {
        Some(fraction) if !fraction.is_empty() => format!("{sign}{whole}.{fraction}"),
        _ => format!("{sign}{whole}"),
    })
}

fn text_extent(negative: bool, digits: &[u8]) -> NumericExtent {
    let whole = digits.split(|byte| *byte == b'.').next().unwrap_or_default();
    if !whole.iter().all(u8::is_ascii_digit) {
        return NumericExtent::NotANumber;
    }
    let zeros = whole.iter().take_while(|byte| **byte == b'0').count();
    NumericExtent::Finite { negative, whole_digits: whole.len() - zeros }
}

/// A text form without what does not change the value: zeros behind the point.
pub(crate) fn trim_text(bytes: &[u8]) -> &[u8] {
    if !bytes.contains(&b'.') {
        return bytes;
    }
    let end = bytes.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1);
    let trimmed = bytes.get(..end).unwrap_or_default();
    trimmed.strip_suffix(b".").unwrap_or(trimmed)
}

/// A binary form without what does not change the value: the display scale.
pub(crate) fn without_display_scale(bytes: &[u8]) -> SmallVec<[u8; 32]> {
    let mut copy = SmallVec::from_slice(bytes);
    if let Some(scale) = copy.get_mut(6..8) {
        scale.fill(0);
    }
    copy
}

/// A finite value; zero has no sign.
fn decimal(negative: bool, magnitude: u128, scale: usize) -> Option<Value<'static>> {
    let scale = u8::try_from(scale).ok()?;
    Some(Value::Decimal { negative: negative && magnitude != 0, magnitude, scale })
}

/// Decimal digits before the point.
fn whole_digits(weight: i32, first: u16) -> usize {
    let in_first = first.checked_ilog10().map_or(0, |log| log + 1);
    match u32::try_from(weight) {
        Ok(weight) => usize::try_from(weight * 4 + in_first).unwrap_or(usize::MAX),
        Err(_) => 0,
    }
}

/// `groups * 10^scale` as an integer; `None` when it is not one, or too large.
fn scaled(groups: &[[u8; 2]], weight: i32, scale: i32) -> Option<u128> {
    let (last, leading) = groups.split_last()?;
    let mut magnitude = 0_u128;
    for group in leading {
        magnitude = magnitude.checked_mul(10_000)? + u128::from(u16::from_be_bytes(*group));
    }
    let last = u16::from_be_bytes(*last);
    // Exponent of ten that the last group's unit has once the scale is applied.
    let unit = (weight + 1 - i32::try_from(groups.len()).ok()?) * GROUP_DIGITS + scale;
    match u32::try_from(unit) {
        Ok(unit) => {
            let magnitude = magnitude.checked_mul(10_000)? + u128::from(last);
            magnitude.checked_mul(10_u128.checked_pow(unit)?)
        }
        Err(_) if unit > -GROUP_DIGITS => {
            let divisor = 10_u16.pow(unit.unsigned_abs());
            if !last.is_multiple_of(divisor) {
                return None;
            }
            let digits = 10_u128.pow(u32::try_from(GROUP_DIGITS + unit).ok()?);
            magnitude.checked_mul(digits)?.checked_add(u128::from(last / divisor))
        }
        Err(_) => None,
    }
}

/// Appends decimal digits to a number; `None` when one is not a digit. Together they are at most 38.
fn append_digits(mut number: u128, digits: &[u8]) -> Option<u128> {
    // 64-bit arithmetic is several times faster than 128-bit, so it does as much as it can hold.
    for chunk in digits.chunks(19) {
        let shift = 10_u128.pow(u32::try_from(chunk.len()).ok()?);
        number = number.checked_mul(shift)?.checked_add(u128::from(digits_u64(chunk)?))?;
    }
    Some(number)
}

fn all_digits(whole: &[u8], fraction: &[u8]) -> bool {
    whole.iter().chain(fraction).all(u8::is_ascii_digit)
}
