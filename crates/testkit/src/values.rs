//! Random values of every kind of type that PostgreSQL has, as SQL expressions.
//!
//! [`TYPES`] is the list: a new type is a line. A strategy for a type covers what PostgreSQL takes, unless it is asked for
//! what SQL Server can hold too.

use proptest::prelude::*;

/// Which values of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All that PostgreSQL takes.
    All,
    /// Those that the type's target holds.
    Representable,
}

/// A type, and the strategy for its values.
pub type Entry = (&'static str, fn(Span) -> BoxedStrategy<String>);

/// Types of every kind. Enums and other types that have to be made first are not among them.
pub const TYPES: &[Entry] = &[
    ("boolean", |_| any::<bool>().prop_map(|value| value.to_string()).boxed()),
    ("smallint", |_| any::<i16>().prop_map(quoted).boxed()),
    ("integer", |_| any::<i32>().prop_map(quoted).boxed()),
    ("bigint", |_| any::<i64>().prop_map(quoted).boxed()),
    ("oid", |_| any::<u32>().prop_map(quoted).boxed()),
    ("real", |span| {
        with_specials(span, any::<u32>().prop_map(f32::from_bits).prop_filter_map("finite", finite))
    }),
    ("double precision", |span| {
        let double = any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite());
        with_specials(span, double.prop_map(|value| format!("{value:e}")))
    }),
    ("numeric", |span| match span {
        Span::Representable => number(20, 18),
        Span::All => {
            with_specials(span, prop_oneof![number(20, 18), number(60, 60), number(1, 300), number(2000, 0)])
        }
    }),
    ("numeric(38,10)", |span| with_nan(span, number(28, 10))),
    ("numeric(12,2)", |span| with_nan(span, number(10, 2))),
    ("numeric(60,30)", |span| match span {
        Span::Representable => number(8, 30),
        Span::All => with_nan(span, number(30, 30)),
    }),
    ("money", |_| any::<i64>().prop_map(cents).boxed()),
    ("bit(1)", |_| any::<bool>().prop_map(|bit| format!("B'{}'", u8::from(bit))).boxed()),
    ("text", |_| text(0..200)),
    ("varchar(40)", |_| text(0..41)),
    ("varchar", |_| text(0..60)),
    ("char(5)", |_| text(0..6)),
    ("name", |_| text(0..16)),
    ("bytea", |_| bytes()),
    ("uuid", |_| any::<[u8; 16]>().prop_map(|uuid| quoted(hex(&uuid))).boxed()),
    ("json", |_| json().prop_map(literal).boxed()),
    ("jsonb", |_| json().prop_map(literal).boxed()),
    ("date", |span| infinite(span, days(span, LAST_DATE).prop_map(date))),
    ("time", |span| time(span).prop_map(quoted).boxed()),
    ("timestamp", |span| infinite(span, moment(span))),
    ("timestamptz", |span| {
        infinite(span, moment(span).prop_map(|moment| format!("({moment}) AT TIME ZONE 'UTC'")))
    }),
    ("interval", |_| interval()),
    ("timetz", |_| {
        let zone = (-57_599..=57_599_i32).prop_map(|seconds| format!("INTERVAL '{seconds} s'"));
        (time(Span::All), zone)
            .prop_map(|(time, zone)| format!("timezone({zone}, '{time}+00'::timetz)"))
            .boxed()
    }),
    ("bit varying", |_| "[01]{0,80}".prop_map(|bits| format!("B'{bits}'")).boxed()),
    ("integer[]", |_| array(any::<i32>().prop_map(quoted).boxed(), "integer")),
    ("text[]", |_| array(text(0..20), "text")),
    ("numeric[]", |_| array(number(10, 10), "numeric")),
    ("timestamptz[]", |span| array(moment(span), "timestamptz")),
    ("int4range", |_| range(any::<i32>().prop_map(i64::from), "int4range")),
    ("int8range", |_| range(any::<i64>(), "int8range")),
    ("inet", |_| inet()),
    ("macaddr", |_| any::<[u8; 6]>().prop_map(|bytes| quoted(hex(&bytes))).boxed()),
    ("point", |_| {
        (any::<f64>(), any::<f64>())
            .prop_map(|(x, y)| format!("point('{x:e}'::float8, '{y:e}'::float8)"))
            .boxed()
    }),
    ("pg_lsn", |_| {
        any::<u64>().prop_map(|lsn| quoted(format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF))).boxed()
    }),
    ("tsvector", |_| text(0..60).prop_map(|text| format!("to_tsvector('simple', {text})")).boxed()),
];

/// Days from 2000-01-01 to 4713-01-01 BC, and to 5874897-12-31.
const FIRST_DATE: i32 = -2_451_507;
const LAST_DATE: i32 = 2_145_031_948;

/// Days from 2000-01-01 to 294276-12-31.
const LAST_TIMESTAMP_DATE: i32 = 106_751_982;

/// Days from 2000-01-01 to 0001-01-01, and to 9999-12-31.
const FIRST_REPRESENTABLE: i32 = -730_119;
const LAST_REPRESENTABLE: i32 = 2_921_939;

/// Microseconds of a day.
const DAY_US: u64 = 86_400_000_000;

/// A literal of anything that needs no escaping.
fn quoted(value: impl std::fmt::Display) -> String {
    format!("'{value}'")
}

/// A literal of any text.
fn literal(text: String) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The shortest text of a finite float.
fn finite(value: f32) -> Option<String> {
    value.is_finite().then(|| format!("{value:e}"))
}

/// Numbers, and for all of them NaN and the infinities.
fn with_specials(span: Span, numbers: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    let numbers = numbers.prop_map(|number| if number.starts_with('\'') { number } else { quoted(number) });
    match span {
        Span::Representable => numbers.boxed(),
        Span::All => {
            let special = prop_oneof![Just("'NaN'"), Just("'Infinity'"), Just("'-Infinity'")];
            prop_oneof![9 => numbers, 1 => special.prop_map(str::to_owned)].boxed()
        }
    }
}

/// Numbers, and for all of them NaN, the one special number that a numeric with bounds can be.
fn with_nan(span: Span, numbers: BoxedStrategy<String>) -> BoxedStrategy<String> {
    match span {
        Span::Representable => numbers,
        Span::All => prop_oneof![9 => numbers, 1 => Just("'NaN'".to_owned())].boxed(),
    }
}

/// Moments, and for all of them the infinities.
fn infinite(span: Span, moments: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    match span {
        Span::Representable => moments.boxed(),
        Span::All => {
            let infinity = prop_oneof![Just("'infinity'"), Just("'-infinity'")];
            prop_oneof![9 => moments, 1 => infinity.prop_map(str::to_owned)].boxed()
        }
    }
}

/// A decimal number with at most so many digits before and behind the point.
fn number(whole: usize, fraction: usize) -> BoxedStrategy<String> {
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

/// Text of every plane, with what has a meaning somewhere: quotes, backslashes, tabs, blanks at the end.
fn text(length: std::ops::Range<usize>) -> BoxedStrategy<String> {
    let character = prop_oneof![
        4 => any::<char>().prop_filter("PostgreSQL has no NUL", |character| *character != '\0'),
        3 => proptest::char::range(' ', '~'),
        1 => proptest::sample::select(vec!['\'', '"', '\\', '\t', '\n', '\r', ' ', '{', '}', ',', '\u{301}', '\u{1f980}']),
    ];
    proptest::collection::vec(character, length).prop_map(|text| literal(text.into_iter().collect())).boxed()
}

fn bytes() -> BoxedStrategy<String> {
    proptest::collection::vec(any::<u8>(), 0..100)
        .prop_map(|bytes| format!("'\\x{}'::bytea", hex(&bytes)))
        .boxed()
}

/// JSON text with blanks, repeated keys and escapes.
fn json() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][-+]?[0-9]{1,2})?",
        "[ a-zäß🦀]{0,10}".prop_map(|text| format!("\"{text}\"")),
        Just("\"\\ud83e\\udd80 \\n \\\\ \\u00e9\"".to_owned()),
    ];
    let blank = || "[ \n\t]{0,2}";
    leaf.prop_recursive(3, 20, 4, move |inner| {
        let members = proptest::collection::vec((blank(), "[ab]", inner.clone()), 0..4);
        let elements = proptest::collection::vec((blank(), inner), 0..4);
        prop_oneof![
            members.prop_map(|members| {
                let members = members.iter().map(|(blank, key, value)| format!("{blank}\"{key}\" :{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
            elements.prop_map(|elements| {
                let elements = elements.iter().map(|(blank, value)| format!("{blank}{value}"));
                format!("[{}]", elements.collect::<Vec<_>>().join(" ,"))
            }),
        ]
    })
    .boxed()
}

/// Days since 2000-01-01.
fn days(span: Span, last: i32) -> BoxedStrategy<i32> {
    let representable = FIRST_REPRESENTABLE..=LAST_REPRESENTABLE;
    match span {
        Span::Representable => representable.boxed(),
        Span::All => prop_oneof![representable, FIRST_DATE..=last].boxed(),
    }
}

fn date(days: i32) -> String {
    format!("DATE '2000-01-01' + ({days})")
}

/// Microseconds of a day as text, and for all of them 24:00:00.
fn time(span: Span) -> BoxedStrategy<String> {
    let last = match span {
        Span::All => DAY_US,
        Span::Representable => DAY_US - 1,
    };
    let us = prop_oneof![0..=last, Just(last), (0..86_400_u64).prop_map(|second| second * 1_000_000)];
    us.prop_map(|us| {
        let seconds = us / 1_000_000;
        format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, us % 1_000_000)
    })
    .boxed()
}

/// A timestamp.
fn moment(span: Span) -> BoxedStrategy<String> {
    (days(span, LAST_TIMESTAMP_DATE), time(Span::Representable))
        .prop_map(|(days, time)| format!("({}) + TIME '{time}'", date(days)))
        .boxed()
}

fn interval() -> BoxedStrategy<String> {
    let microseconds = prop_oneof![any::<i32>().prop_map(i64::from), -(1_i64 << 52)..1_i64 << 52];
    (any::<i16>(), any::<i32>(), microseconds)
        .prop_map(|(months, days, us)| format!("INTERVAL '{months} mons {days} days {us} us'"))
        .boxed()
}

/// An array of one or two dimensions, with NULLs.
fn array(elements: BoxedStrategy<String>, of: &'static str) -> BoxedStrategy<String> {
    let element = prop_oneof![4 => elements, 1 => Just("NULL".to_owned())];
    proptest::collection::vec(element, 0..6)
        .prop_map(move |elements| {
            let one = format!("ARRAY[{}]::{of}[]", elements.join(", "));
            if elements.len() == 4 { format!("ARRAY[{one}, {one}]") } else { one }
        })
        .boxed()
}

fn range(bounds: impl Strategy<Value = i64> + Clone + 'static, name: &'static str) -> BoxedStrategy<String> {
    let bound = || prop_oneof![5 => bounds.clone().prop_map(Some), 1 => Just(None)];
    (bound(), bound(), proptest::sample::select(vec!["[)", "(]", "()", "[]"]))
        .prop_map(move |(lower, upper, kind)| {
            let (lower, upper) = match (lower, upper) {
                // The last number has none behind it.
                (Some(lower), Some(upper)) => {
                    (Some(lower.min(upper)), Some(upper.max(lower).saturating_sub(1)))
                }
                other => other,
            };
            let (lower, upper) = match (lower, upper) {
                (Some(lower), Some(upper)) if lower > upper => (Some(upper), Some(lower)),
                other => other,
            };
            let bound = |bound: Option<i64>| {
                bound.map_or("NULL".to_owned(), |bound| quoted(bound.clamp(-2_000_000_000, 2_000_000_000)))
            };
            format!("{name}({}, {}, '{kind}')", bound(lower), bound(upper))
        })
        .boxed()
}

fn inet() -> BoxedStrategy<String> {
    prop_oneof![
        (any::<u32>(), 0..=32_u8)
            .prop_map(|(address, mask)| { quoted(format!("{}/{mask}", std::net::Ipv4Addr::from(address))) }),
        (any::<u128>(), 0..=128_u8)
            .prop_map(|(address, mask)| { quoted(format!("{}/{mask}", std::net::Ipv6Addr::from(address))) }),
    ]
    .boxed()
}
