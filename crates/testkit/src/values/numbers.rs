//! Numbers and truth values.

use proptest::prelude::*;

use super::{Entry, Span, quoted, with};

/// See [`super::entries`].
pub(super) const ENTRIES: &[Entry] = &[
    Entry::new("boolean", "boolean", |_| any::<bool>().prop_map(|value| value.to_string()).boxed()),
    Entry::new("smallint", "smallint", |_| any::<i16>().prop_map(quoted).boxed()),
    Entry::new("integer", "integer", |_| any::<i32>().prop_map(quoted).boxed()),
    Entry::new("bigint", "bigint", |_| any::<i64>().prop_map(quoted).boxed()),
    Entry::new("oid", "oid", |_| any::<u32>().prop_map(quoted).boxed()),
    Entry::new("real", "real", |span| with(span, single().prop_map(quoted).boxed(), SPECIAL))
        .held("$ NOT IN ('NaN', 'Infinity', '-Infinity')"),
    Entry::new("double precision", "double precision", |span| {
        with(span, double().prop_map(quoted).boxed(), SPECIAL)
    })
    .held("$ NOT IN ('NaN', 'Infinity', '-Infinity')"),
    Entry::new("numeric", "numeric", |span| match span {
        Span::Representable => number(20, 18),
        Span::All => {
            let numbers = prop_oneof![number(20, 18), number(60, 60), number(1, 300), number(2000, 0)];
            // The infinities are of PostgreSQL 14 and later.
            with(span, numbers.boxed(), SPECIAL)
        }
    })
    .held("$ NOT IN ('NaN', 'Infinity', '-Infinity') AND abs($) < 1e20 AND min_scale($) <= 18"),
    Entry::new("numeric(12,2)", "numeric(12,2)", |span| with(span, number(10, 2), &["NaN"]))
        .held("$ <> 'NaN'"),
    Entry::new("numeric(38,10)", "numeric(38,10)", |span| with(span, number(28, 10), &["NaN"]))
        .held("$ <> 'NaN'"),
    Entry::new("numeric(5,-3)", "numeric(5,-3)", |span| {
        // More would be rounded up to nine digits.
        with(span, (-99_999_499..=99_999_499_i32).prop_map(quoted).boxed(), &["NaN"])
    })
    .needs("since 150000")
    .held("$ <> 'NaN'"),
    Entry::new("numeric(3,5)", "numeric(3,5)", |span| {
        let number = (-999..=999_i32).prop_map(|number| quoted(f64::from(number) / 100_000.0)).boxed();
        with(span, number, &["NaN"])
    })
    .needs("since 150000")
    .held("$ <> 'NaN'"),
    Entry::new("numeric(50,10)", "numeric(50,10)", |span| match span {
        Span::Representable => number(28, 10),
        Span::All => with(span, number(40, 10), &["NaN"]),
    })
    .held("$ <> 'NaN' AND abs($) < 1e28"),
    Entry::new("numeric(50,10)", "numeric(60,30)", |span| match span {
        Span::Representable => number(8, 30),
        Span::All => with(span, number(30, 30), &["NaN"]),
    })
    .held("$ <> 'NaN' AND abs($) < 1e8"),
    Entry::new("numeric(50,10)", "numeric(1000,0)", |span| match span {
        Span::Representable => number(38, 0),
        Span::All => with(span, number(999, 0), &["NaN"]),
    })
    .held("$ <> 'NaN' AND abs($) < 1e38"),
    Entry::new("money", "money", |_| any::<i64>().prop_map(cents).boxed()),
    Entry::new("bit(1)", "bit(1)", |_| any::<bool>().prop_map(|bit| format!("B'{}'", u8::from(bit))).boxed()),
];

/// What numbers can be beside numbers.
const SPECIAL: &[&str] = &["NaN", "Infinity", "-Infinity"];

/// The shortest text of any finite float.
pub(super) fn single() -> impl Strategy<Value = String> + Clone {
    any::<u32>()
        .prop_map(f32::from_bits)
        .prop_filter("finite", |value| value.is_finite())
        .prop_map(|value| format!("{value:e}"))
}

/// The shortest text of any finite double.
pub(super) fn double() -> impl Strategy<Value = String> + Clone {
    any::<u64>()
        .prop_map(f64::from_bits)
        .prop_filter("finite", |value| value.is_finite())
        .prop_map(|value| format!("{value:e}"))
}

/// A decimal number with at most so many digits before and behind the point.
pub(super) fn number(whole: usize, fraction: usize) -> BoxedStrategy<String> {
    let digits = |most: usize| {
        let digit = proptest::char::range('0', '9');
        prop_oneof![
            proptest::collection::vec(digit, 0..=most)
                .prop_map(|digits| digits.into_iter().collect::<String>()),
            (0..=most).prop_map(|count| "9".repeat(count)),
            (0..=most).prop_map(|count| "0".repeat(count)),
        ]
    };
    (any::<bool>(), digits(whole), digits(fraction))
        .prop_map(|(negative, whole, fraction)| {
            let point = if fraction.is_empty() { "" } else { "." };
            format!("'{}0{whole}{point}{fraction}'", if negative { "-" } else { "" })
        })
        .boxed()
}

/// Money of so many cents.
fn cents(cents: i64) -> String {
    let (sign, cents) = (if cents < 0 { "-" } else { "" }, cents.unsigned_abs());
    format!("'{sign}{}.{:02}'", cents / 100, cents % 100)
}
