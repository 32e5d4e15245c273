//! Types that are made of others: arrays, composites, ranges, domains.

use proptest::prelude::*;

use super::numbers::{double, number};
use super::texts::{bytes, json, mood, text, uuid};
use super::times::{LAST_DATE, date, days, instant, interval, moment};
use super::{Entry, Span, literal, quoted, with};

/// See [`super::entries`].
pub(super) const ENTRIES: &[Entry] = &[
    Entry::new("arrays", "integer[]", |_| array(any::<i32>().prop_map(quoted).boxed(), "integer")),
    Entry::new("arrays", "text[]", |_| array(text(0..20), "text")),
    Entry::new("arrays", "timestamptz[]", |_| {
        array(with(Span::All, instant(Span::All), &["infinity", "-infinity"]), "timestamptz")
    }),
    Entry::new("arrays", "bytea[]", |_| array(bytes(), "bytea")),
    Entry::new("arrays", "double precision[]", |_| {
        let numbers = double().prop_map(quoted).boxed();
        array(with(Span::All, numbers, &["NaN", "Infinity", "-Infinity"]), "double precision")
    }),
    Entry::new("arrays", "numeric[]", |_| array(with(Span::All, number(60, 60), &["NaN"]), "numeric")),
    Entry::new("arrays", "inet[]", |_| array(super::system::inet(), "inet")),
    Entry::new("arrays", "jsonb[]", |_| array(json().prop_map(literal).boxed(), "jsonb")),
    Entry::new("arrays", "matrix.mood[]", |_| array(mood(), "matrix.mood")),
    Entry::new("arrays", "matrix.pair[]", |_| array(pair(), "matrix.pair")),
    Entry::new("domains over arrays", "matrix.numbers", |_| {
        array(any::<i32>().prop_map(quoted).boxed(), "integer")
    }),
    Entry::new("composite types", "matrix.pair", |_| pair()),
    Entry::new("composite types", "matrix.nested", |_| {
        let days = array(days(Span::All, LAST_DATE).prop_map(date).boxed(), "date");
        (or_null(pair()), or_null(days), or_null(interval()))
            .prop_map(|(pair, days, span)| format!("ROW({pair}, {days}, {span})::matrix.nested"))
            .boxed()
    }),
    Entry::new("ranges and multiranges", "int4range", |_| {
        // The last number has none behind it, which a range up to and with it would need.
        range((-i32::MAX..i32::MAX).prop_map(quoted).boxed(), "integer", "int4range")
    }),
    Entry::new("ranges and multiranges", "int8range", |_| int8range()),
    Entry::new("ranges and multiranges", "numrange", |_| range(number(40, 20), "numeric", "numrange")),
    Entry::new("ranges and multiranges", "tsrange", |_| {
        range(with(Span::All, moment(Span::All), &["infinity", "-infinity"]), "timestamp", "tsrange")
    }),
    Entry::new("ranges and multiranges", "tstzrange", |_| {
        range(with(Span::All, instant(Span::All), &["infinity", "-infinity"]), "timestamptz", "tstzrange")
    }),
    Entry::new("ranges and multiranges", "daterange", |_| {
        let days = days(Span::All, LAST_DATE - 2).prop_map(date).boxed();
        range(with(Span::All, days, &["infinity", "-infinity"]), "date", "daterange")
    }),
    Entry::new("ranges and multiranges", "matrix.text_range", |_| {
        range(text(0..10), "text COLLATE \"C\"", "matrix.text_range")
    }),
    Entry::new("ranges and multiranges", "int8multirange", |_| {
        proptest::collection::vec(int8range(), 0..5)
            .prop_map(|ranges| format!("int8multirange({})", ranges.join(", ")))
            .boxed()
    }),
    Entry::new("domains", "matrix.price", |span| with(span, number(10, 2), &["NaN"])).held("$ <> 'NaN'"),
    Entry::new("domains", "matrix.label", |_| text(0..11)),
    Entry::new("domains", "matrix.positive", |_| (1..=i16::MAX).prop_map(quoted).boxed()),
    Entry::new("domains", "matrix.flag", |_| any::<bool>().prop_map(quoted).boxed()),
    Entry::new("domains", "matrix.day", |span| {
        with(span, days(span, LAST_DATE).prop_map(date).boxed(), &["infinity", "-infinity"])
    })
    .held("isfinite($) AND $ >= '0001-01-01' AND $ <= '9999-12-31'"),
    Entry::new("domains", "matrix.token", |_| uuid()),
    Entry::new("domains", "matrix.blob", |_| bytes()),
    Entry::new("domains", "matrix.feeling", |_| mood()),
    Entry::new("domains", "matrix.nothing_more", |_| text(0..40)),
];

fn or_null(values: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop_oneof![4 => values, 1 => Just("NULL".to_owned())].boxed()
}

/// An array of no, one, two or three dimensions, with NULLs, and with bounds that do not begin at 1.
pub(super) fn array(elements: BoxedStrategy<String>, of: &'static str) -> BoxedStrategy<String> {
    // How long it is in each of its dimensions.
    let shape = prop_oneof![
        4 => proptest::collection::vec(0..6_usize, 1),
        1 => proptest::collection::vec(1..4_usize, 2),
        1 => proptest::collection::vec(1..3_usize, 3),
    ];
    let bounds = proptest::collection::vec(-5..5_i32, 3);
    (
        shape,
        proptest::collection::vec(or_null(elements), 9),
        prop_oneof![3 => Just(None), 1 => bounds.prop_map(Some)],
    )
        .prop_map(move |(shape, elements, lower)| {
            let mut elements = elements.iter().cycle();
            let array = format!("{}::{of}[]", nested(&shape, &mut elements));
            let Some(lower) = lower else { return array };
            let bounds = shape.iter().zip(lower).map(|(length, lower)| {
                format!("[{lower}:{}]", lower + i32::try_from(*length).unwrap_or(1) - 1)
            });
            // An empty array has no bounds.
            let bounds = if shape.contains(&0) { String::new() } else { bounds.collect::<String>() + "=" };
            format!("('{bounds}' || ({array})::text)::{of}[]")
        })
        .boxed()
}

/// The constructor of an array of this shape.
fn nested<'a>(shape: &[usize], elements: &mut impl Iterator<Item = &'a String>) -> String {
    match shape {
        [length, rest @ ..] => {
            let parts: Vec<String> = (0..*length).map(|_| nested(rest, elements)).collect();
            format!("ARRAY[{}]", parts.join(", "))
        }
        [] => elements.next().cloned().unwrap_or_default(),
    }
}

/// A value of `matrix.pair`.
fn pair() -> BoxedStrategy<String> {
    (or_null(any::<i32>().prop_map(quoted).boxed()), or_null(text(0..10)))
        .prop_map(|(a, b)| format!("ROW({a}, {b})::matrix.pair"))
        .boxed()
}

/// A range between two values in their order, or without one or both ends; equal ends give an empty one at times.
fn range(bounds: BoxedStrategy<String>, of: &'static str, name: &'static str) -> BoxedStrategy<String> {
    let bound = || prop_oneof![5 => bounds.clone().prop_map(Some), 1 => Just(None)];
    let kinds = proptest::sample::select(&["[)", "(]", "()", "[]"][..]);
    (bound(), bound(), kinds, 0..8_u8)
        .prop_map(move |(one, other, kind, same)| {
            let other = if same == 0 { one.clone() } else { other };
            let cast = |bound: &String| match of.split_once(" COLLATE ") {
                Some((of, collation)) => format!("CAST({bound} AS {of}) COLLATE {collation}"),
                None => format!("CAST({bound} AS {of})"),
            };
            match (one.as_ref().map(cast), other.as_ref().map(cast)) {
                (Some(one), Some(other)) => {
                    format!("{name}(LEAST({one}, {other}), GREATEST({one}, {other}), '{kind}')")
                }
                (one, other) => {
                    let bound = |bound: Option<String>| bound.unwrap_or("NULL".to_owned());
                    format!("{name}({}, {}, '{kind}')", bound(one), bound(other))
                }
            }
        })
        .boxed()
}

fn int8range() -> BoxedStrategy<String> {
    range((-i64::MAX..i64::MAX).prop_map(quoted).boxed(), "bigint", "int8range")
}
