//! Types of extensions. What PostgreSQL itself does not bring is on a server of its own, see [`crate::extension_server`].

use proptest::prelude::*;

use super::composed::array;
use super::numbers::single;
use super::texts::text;
use super::{Entry, quoted};

/// See [`super::entries`].
pub(super) const ENTRIES: &[Entry] = &[
    Entry::new("types of extensions", "hstore", |_| {
        let value = prop_oneof![4 => text(0..15), 1 => Just("NULL".to_owned())];
        proptest::collection::vec((text(0..8), value), 0..5)
            .prop_map(|pairs| {
                let (keys, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
                format!("hstore(ARRAY[{}]::text[], ARRAY[{}]::text[])", keys.join(", "), values.join(", "))
            })
            .boxed()
    })
    .needs("extension hstore"),
    Entry::new("types of extensions", "ltree", |_| {
        proptest::collection::vec("[A-Za-z0-9_]{1,20}", 0..7)
            .prop_map(|labels| quoted(labels.join(".")))
            .boxed()
    })
    .needs("extension ltree"),
    Entry::new("types of extensions", "lquery", |_| {
        let label = "!?[a-z]{1,5}(\\|[A-Z]{1,5})?[@*%]{0,1}";
        let level = prop_oneof![label, "\\*(\\{[0-5],[6-9]\\})?"];
        proptest::collection::vec(level, 1..5).prop_map(|levels| quoted(levels.join("."))).boxed()
    })
    .needs("extension ltree"),
    Entry::new("types of extensions", "cube", |_| {
        let numbers = || proptest::collection::vec((-1e300..1e300_f64).prop_map(|n| format!("{n:e}")), 1..5);
        (numbers(), numbers(), any::<bool>())
            .prop_map(|(one, other, is_point)| {
                // Both corners have as many sides.
                let (one, other): (Vec<String>, Vec<String>) = one.into_iter().zip(other).unzip();
                let (one, other) = (one.join(","), other.join(","));
                quoted(if is_point { format!("({one})") } else { format!("({one}),({other})") })
            })
            .boxed()
    })
    .needs("extension cube"),
    Entry::new("types of extensions", "isbn", |_| {
        // The tenth digit makes the sum of all, each times its place from behind, a multiple of eleven.
        proptest::collection::vec(0..10_u32, 9)
            .prop_map(|digits| {
                let sum: u32 = digits.iter().zip((2..=10).rev()).map(|(digit, place)| digit * place).sum();
                let check = (11 - sum % 11) % 11;
                let check = if check == 10 { "X".to_owned() } else { check.to_string() };
                let digits: String = digits.iter().map(ToString::to_string).collect();
                quoted(digits + &check)
            })
            .boxed()
    })
    .needs("extension isn"),
    Entry::new("types of extensions", "seg", |_| {
        (-9999..9999_i32, 0..9999_i32, 0..3_usize, proptest::sample::select(&["", "~", "<", ">"][..]))
            .prop_map(|(from, length, digits, certainty)| {
                let number = |value: i32| format!("{:.digits$}", f64::from(value) / 100.0);
                quoted(if length % 3 == 0 {
                    format!("{certainty}{}", number(from))
                } else {
                    format!("{certainty}{} .. {}", number(from), number(from + length))
                })
            })
            .boxed()
    })
    .needs("extension seg"),
    Entry::new("types of extensions", "matrix.opaque", |_| text(0..60)),
    Entry::new("types of extensions", "vector(3)", |_| {
        proptest::collection::vec(single(), 3)
            .prop_map(|numbers| quoted(format!("[{}]", numbers.join(","))))
            .boxed()
    })
    .needs("extension vector"),
    Entry::new("types of extensions", "vector[]", |_| {
        let vector = proptest::collection::vec(single(), 2);
        array(vector.prop_map(|numbers| quoted(format!("[{}]", numbers.join(",")))).boxed(), "vector")
    })
    .needs("extension vector"),
    Entry::new("types of extensions", "halfvec(5)", |_| {
        proptest::collection::vec(-60_000_i32..60_000, 5)
            .prop_map(|numbers| {
                let numbers = numbers.iter().map(|number| (f64::from(*number) / 7.0).to_string());
                quoted(format!("[{}]", numbers.collect::<Vec<_>>().join(",")))
            })
            .boxed()
    })
    .needs("extension vector"),
    Entry::new("types of extensions", "sparsevec(1000)", |_| {
        proptest::collection::btree_map(1..=1000_u32, single(), 0..6)
            .prop_map(|elements| {
                let elements = elements.iter().map(|(index, value)| format!("{index}:{value}"));
                quoted(format!("{{{}}}/1000", elements.collect::<Vec<_>>().join(",")))
            })
            .boxed()
    })
    .needs("extension vector"),
    Entry::new("types of extensions", "geometry", |_| {
        (proptest::collection::vec((-1e10..1e10_f64, -1e10..1e10_f64), 3..6), 0..3_u8)
            .prop_map(|(points, kind)| {
                let points = points.iter().map(|(x, y)| format!("{x:e} {y:e}")).collect::<Vec<_>>();
                quoted(match kind {
                    0 => format!("SRID=4326;LINESTRING({})", points.join(",")),
                    1 => format!(
                        "POLYGON(({points},{}))",
                        points.first().cloned().unwrap_or_default(),
                        points = points.join(",")
                    ),
                    _ => format!("SRID=3857;MULTIPOINT({})", points.join(",")),
                })
            })
            .boxed()
    })
    .needs("extension postgis"),
    Entry::new("types of extensions", "geography", |_| {
        (-180.0..180.0_f64, -90.0..90.0_f64)
            .prop_map(|(longitude, latitude)| quoted(format!("POINT({longitude:e} {latitude:e})")))
            .boxed()
    })
    .needs("extension postgis"),
    Entry::new("types of extensions", "geometry[]", |_| {
        let point = (-1e10..1e10_f64, -1e10..1e10_f64);
        array(point.prop_map(|(x, y)| quoted(format!("SRID=4326;POINT({x:e} {y:e})"))).boxed(), "geometry")
    })
    .needs("extension postgis"),
    Entry::new("types of extensions", "box2d", |_| boxes("BOX", 2)).needs("extension postgis"),
    Entry::new("types of extensions", "box3d", |_| boxes("BOX3D", 3)).needs("extension postgis"),
];

/// Boxes of PostGIS by two corners.
fn boxes(word: &'static str, dimensions: usize) -> BoxedStrategy<String> {
    let corner =
        proptest::collection::vec((-1_000_000..1_000_000_i32).prop_map(|n| f64::from(n) / 8.0), dimensions);
    let corner = corner.prop_map(|sides| sides.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    (corner.clone(), corner).prop_map(move |(one, other)| quoted(format!("{word}({one},{other})"))).boxed()
}
