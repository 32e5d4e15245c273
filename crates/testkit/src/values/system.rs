//! Addresses, text search, geometry, and the types of PostgreSQL's own catalog.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::texts::text;
use super::{Entry, hex, literal, quoted};

/// See [`super::entries`].
pub(super) const ENTRIES: &[Entry] = &[
    Entry::new("network addresses", "inet", |_| inet()),
    Entry::new("network addresses", "cidr", |_| {
        inet().prop_map(|inet| format!("network(inet {inet})")).boxed()
    }),
    Entry::new("network addresses", "macaddr", |_| {
        any::<[u8; 6]>().prop_map(|bytes| quoted(hex(&bytes))).boxed()
    }),
    Entry::new("network addresses", "macaddr8", |_| {
        any::<[u8; 8]>().prop_map(|bytes| quoted(hex(&bytes))).boxed()
    }),
    Entry::new("text search", "tsvector", |_| {
        (text(0..60), proptest::char::range('A', 'D'))
            .prop_map(|(text, weight)| format!("setweight(to_tsvector('simple', {text}), '{weight}')"))
            .boxed()
    }),
    Entry::new("text search", "tsquery", |_| tsquery()),
    Entry::new("geometric types", "point", |_| {
        (any::<f64>(), any::<f64>()).prop_map(|(x, y)| quoted(format!("({x:e},{y:e})"))).boxed()
    }),
    Entry::new("geometric types", "line", |_| {
        // Not both of the first two may be zero.
        (1e-5..1e10_f64, coordinate(), coordinate())
            .prop_map(|(a, b, c)| quoted(format!("{{{a:e},{b},{c}}}")))
            .boxed()
    }),
    Entry::new("geometric types", "lseg", |_| points(2).prop_map(|ends| quoted(format!("[{ends}]"))).boxed()),
    Entry::new("geometric types", "box", |_| points(2).prop_map(quoted).boxed()),
    Entry::new("geometric types", "path", |_| {
        (any::<bool>(), (1..6_usize).prop_flat_map(points))
            .prop_map(|(open, points)| {
                quoted(if open { format!("[{points}]") } else { format!("({points})") })
            })
            .boxed()
    }),
    Entry::new("geometric types", "polygon", |_| {
        (1..6_usize).prop_flat_map(points).prop_map(|points| quoted(format!("({points})"))).boxed()
    }),
    Entry::new("geometric types", "circle", |_| {
        (points(1), 0.0..1e300_f64)
            .prop_map(|(point, radius)| quoted(format!("<{point},{radius:e}>")))
            .boxed()
    }),
    // What is beyond ASCII is printed as a byte that is no text by servers before 16.
    Entry::new("system types", "\"char\"", |_| {
        prop_oneof![9 => (1..128_u8).prop_map(|code| format!("chr({code})")), 1 => Just("''".to_owned())]
            .boxed()
    }),
    Entry::new("system types", "pg_lsn", |_| {
        any::<u64>().prop_map(|lsn| quoted(format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF))).boxed()
    }),
    Entry::new("system types", "xid", |_| any::<u32>().prop_map(quoted).boxed()),
    Entry::new("system types", "xid8", |_| any::<u64>().prop_map(quoted).boxed()),
    Entry::new("system types", "cid", |_| any::<u32>().prop_map(quoted).boxed()),
    Entry::new("system types", "tid", |_| {
        (any::<u32>(), any::<u16>()).prop_map(|(block, item)| quoted(format!("({block},{item})"))).boxed()
    }),
    Entry::new("system types", "txid_snapshot", |_| transactions()),
    Entry::new("system types", "pg_snapshot", |_| transactions()),
    Entry::new("system types", "jsonpath", |_| {
        let key = || "[ a-zäß🦀]{0,8}";
        (key(), any::<i32>(), key(), any::<bool>())
            .prop_map(|(key, number, text, lax)| {
                let mode = if lax { "lax" } else { "strict" };
                literal(format!("{mode} $.\"{key}\"[*] ? (@.a >= {number} || @.\"b\" like_regex \"{text}\")"))
            })
            .boxed()
    }),
    Entry::new("system types", "regclass", |_| {
        named(&["pg_catalog.pg_class", "matrix.ordinary", "pg_class_oid_index"])
    }),
    Entry::new("system types", "regtype", |_| named(&["integer", "matrix.mood", "timestamptz[]"])),
    Entry::new("system types", "regproc", |_| named(&["pg_catalog.now", "matrix.opaque_in"])),
    Entry::new("system types", "regrole", |_| named(&["\"Odd Role\"", "postgres"])),
    Entry::new("system types", "oidvector", |_| vector(any::<u32>().boxed())),
    Entry::new("system types", "int2vector", |_| vector(any::<i16>().boxed())),
];

/// An address of either family, with the length of its network.
pub(super) fn inet() -> BoxedStrategy<String> {
    prop_oneof![
        (any::<u32>(), 0..=32_u8)
            .prop_map(|(address, mask)| quoted(format!("{}/{mask}", std::net::Ipv4Addr::from(address)))),
        (any::<u128>(), 0..=128_u8)
            .prop_map(|(address, mask)| quoted(format!("{}/{mask}", std::net::Ipv6Addr::from(address)))),
    ]
    .boxed()
}

/// A query with its operators; words of any characters are what the parser leaves of them.
fn tsquery() -> BoxedStrategy<String> {
    let word = "[ a-zäß🦀'\\\\]{1,8}".prop_map(|word| {
        let word = word.replace('\\', "\\\\").replace('\'', "''");
        format!("{}::tsquery", literal(format!("'{word}'")))
    });
    let weighted =
        "[a-z]{1,5}:\\*?[A-D]{0,2}".prop_map(|word| format!("'{}'::tsquery", word.trim_end_matches(':')));
    let leaf = prop_oneof![
        word,
        weighted,
        text(0..20).prop_map(|text| format!("phraseto_tsquery('simple', {text})"))
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        (inner.clone(), inner, 0..4_u8, 1..100_u16).prop_map(
            |(one, other, operator, distance)| match operator {
                0 => format!("({one} && {other})"),
                1 => format!("({one} || {other})"),
                2 => format!("(!! {one})"),
                _ => format!("tsquery_phrase({one}, {other}, {distance})"),
            },
        )
    })
    .boxed()
}

/// A finite number; PostgreSQL refuses some shapes whose extent would not be finite.
fn coordinate() -> BoxedStrategy<String> {
    prop_oneof![-1e150..1e150_f64, -1000.0..1000.0_f64, Just(0.0), Just(-0.0)]
        .prop_map(|number| format!("{number:e}"))
        .boxed()
}

/// So many points.
fn points(count: usize) -> BoxedStrategy<String> {
    proptest::collection::vec((coordinate(), coordinate()), count)
        .prop_map(|points| points.iter().map(|(x, y)| format!("({x},{y})")).collect::<Vec<_>>().join(","))
        .boxed()
}

/// Which transactions run, as a snapshot says it.
fn transactions() -> BoxedStrategy<String> {
    (1..1_u64 << 50, proptest::collection::vec(0..1000_u64, 0..5))
        .prop_map(|(first, running)| {
            let running: BTreeSet<u64> = running.into_iter().map(|offset| first + offset).collect();
            let list = running.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            quoted(format!("{first}:{}:{list}", first + 1000))
        })
        .boxed()
}

/// Something by its name, or an OID that may be nothing's.
fn named(names: &'static [&'static str]) -> BoxedStrategy<String> {
    let number = any::<u32>().prop_map(|oid| oid.to_string());
    prop_oneof![proptest::sample::select(names).prop_map(literal), number.prop_map(quoted)].boxed()
}

/// Numbers with blanks between them.
fn vector<T: std::fmt::Display + std::fmt::Debug + 'static>(
    numbers: BoxedStrategy<T>,
) -> BoxedStrategy<String> {
    proptest::collection::vec(numbers, 0..10)
        .prop_map(|numbers| quoted(numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")))
        .boxed()
}
