//! Dates, times and intervals.

use proptest::prelude::*;

use super::{Entry, Span, quoted, with};

/// See [`super::entries`].
pub(super) const ENTRIES: &[Entry] = &[
    Entry::new("date", "date", |span| with(span, days(span, LAST_DATE).prop_map(date).boxed(), INFINITIES))
        .held("isfinite($) AND $ >= '0001-01-01' AND $ <= '9999-12-31'"),
    Entry::new("time", "time", |span| time(span).prop_map(quoted).boxed()).held("$ <> '24:00'"),
    Entry::new("time", "time(0)", |span| {
        let last = match span {
            Span::All => 86_400_u64,
            Span::Representable => 86_399,
        };
        (0..=last).prop_map(|seconds| quoted(clock(seconds * 1_000_000))).boxed()
    })
    .held("$ <> '24:00'"),
    Entry::new("timestamp", "timestamp", |span| with(span, moment(span), INFINITIES))
        .held("isfinite($) AND $ >= '0001-01-01' AND $ < '10000-01-01'"),
    Entry::new("timestamptz", "timestamptz", |span| with(span, instant(span), INFINITIES))
        .held("isfinite($) AND $ >= '0001-01-01 00:00:00+00' AND $ < '10000-01-01 00:00:00+00'"),
    Entry::new("interval", "interval", |_| interval()),
    Entry::new("interval", "interval day to second", |_| interval()),
    Entry::new("timetz", "timetz", |_| {
        let zone = (-57_599..=57_599_i32).prop_map(|seconds| format!("INTERVAL '{seconds} s'"));
        (time(Span::All), zone)
            .prop_map(|(time, zone)| format!("timezone({zone}, '{time}+00'::timetz)"))
            .boxed()
    }),
];

/// What dates and timestamps can be beside finite ones.
const INFINITIES: &[&str] = &["infinity", "-infinity"];

/// Days from 2000-01-01 to 4713-01-01 BC, and to 5874897-12-31.
const FIRST_DATE: i32 = -2_451_507;
pub(super) const LAST_DATE: i32 = 2_145_031_948;

/// Days from 2000-01-01 to 294276-12-31.
const LAST_TIMESTAMP_DATE: i32 = 106_751_982;

/// Days from 2000-01-01 to 0001-01-01, and to 9999-12-31.
const FIRST_REPRESENTABLE: i32 = -730_119;
const LAST_REPRESENTABLE: i32 = 2_921_939;

/// Microseconds of a day.
const DAY_US: u64 = 86_400_000_000;

/// Days since 2000-01-01.
pub(super) fn days(span: Span, last: i32) -> BoxedStrategy<i32> {
    let representable = FIRST_REPRESENTABLE..=LAST_REPRESENTABLE;
    match span {
        Span::Representable => representable.boxed(),
        Span::All => prop_oneof![representable, FIRST_DATE..=last].boxed(),
    }
}

/// A date of so many days since 2000-01-01.
pub(super) fn date(days: i32) -> String {
    format!("DATE '2000-01-01' + ({days})")
}

/// A time of day of so many microseconds.
fn clock(us: u64) -> String {
    let seconds = us / 1_000_000;
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, us % 1_000_000)
}

/// Microseconds of a day as text, and for all of them 24:00:00.
fn time(span: Span) -> BoxedStrategy<String> {
    let last = match span {
        Span::All => DAY_US,
        Span::Representable => DAY_US - 1,
    };
    let us = prop_oneof![0..=last, Just(last), (0..86_400_u64).prop_map(|second| second * 1_000_000)];
    us.prop_map(clock).boxed()
}

/// A timestamp.
pub(super) fn moment(span: Span) -> BoxedStrategy<String> {
    (days(span, LAST_TIMESTAMP_DATE), time(Span::Representable))
        .prop_map(|(days, time)| format!("({}) + TIME '{time}'", date(days)))
        .boxed()
}

/// The timestamp with time zone of a timestamp in UTC.
pub(super) fn instant(span: Span) -> BoxedStrategy<String> {
    moment(span).prop_map(|moment| format!("({moment}) AT TIME ZONE 'UTC'")).boxed()
}

/// Months, days and microseconds, each with a sign of its own.
pub(super) fn interval() -> BoxedStrategy<String> {
    let microseconds = prop_oneof![any::<i32>().prop_map(i64::from), -(1_i64 << 52)..1_i64 << 52];
    (any::<i16>(), any::<i32>(), microseconds)
        .prop_map(|(months, days, us)| {
            // Before version 15 no field of the text may be beyond 32 bits.
            let (sign, us) = (if us < 0 { "-" } else { "" }, us.unsigned_abs());
            let (seconds, us) = (us / 1_000_000, us % 1_000_000);
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            format!("INTERVAL '{months} mons {days} days {sign}{hours}:{minutes:02}:{seconds:02}.{us:06}'")
        })
        .boxed()
}
