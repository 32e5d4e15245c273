//! WAL that the source keeps for a pipeline: how much, how fast it grows, and when that ends badly. Pure.
//!
//! Two limits count: `max_slot_wal_keep_size`, behind which the source invalidates the slot, and the pipeline's own, behind
//! which it raises an alarm or gives the slot up before the source's disk is full.

use segcdc_model::Lsn;
use serde::Serialize;

use crate::note::StatusNote;

/// Time between two samples below which a rate would say nothing, microseconds.
const SHORTEST_SPAN_US: i64 = 500_000;

/// What the server may still take before it is said that its limit is near, bytes; of a small limit a fifth.
const NARROW_BYTES: u64 = 1 << 30;

/// A forecast below this is worth an alarm, seconds.
const NEAR_SECONDS: u64 = 3600;

/// The code of what is said of a limit that is reached, and of tables that are copied again because the slot was given up.
pub(crate) const REACHED: &str = "WAL_LIMIT_REACHED";

/// What a pipeline does when its slot keeps more WAL than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WalPolicy {
    /// Say so, and go on.
    #[default]
    Alert,
    /// Drop the slot and stop; the next run copies the tables again.
    GiveUp,
}

/// How much WAL the source may keep for a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WalLimit {
    /// The limit, bytes; `None` leaves it to the source's `max_slot_wal_keep_size`.
    pub max_retained_bytes: Option<u64>,
    /// What is done behind it.
    pub policy: WalPolicy,
}

/// A slot's WAL at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalSample {
    /// The source's clock, microseconds.
    pub(crate) at_us: i64,
    /// How far the source had written.
    pub(crate) source_lsn: Lsn,
    /// What the slot kept, bytes.
    pub(crate) retained_bytes: u64,
}

/// What limits a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct WalLimits {
    /// `max_slot_wal_keep_size`, bytes; `None` for no limit.
    pub(crate) server: Option<u64>,
    /// What can still be written before the server may invalidate the slot, bytes.
    pub(crate) server_left: Option<i64>,
    /// The pipeline's own limit, bytes.
    pub(crate) own: Option<u64>,
}

/// What is to be expected of the WAL that a slot keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct WalForecast {
    /// What the slot may keep at most, bytes: the lower of the source's limit and the pipeline's. `None` without both.
    pub limit_bytes: Option<u64>,
    /// What is left of it, bytes.
    pub left_bytes: Option<u64>,
    /// WAL that the source writes a second, of all databases, bytes. `None` when it was not looked at before.
    pub written_per_second: Option<u64>,
    /// By how much what the slot keeps grows a second, bytes; negative when it shrinks.
    pub growth_per_second: Option<i64>,
    /// When the limit is reached if that goes on, seconds; `None` when nothing grows, or without a limit.
    pub limit_in_seconds: Option<u64>,
    /// How long the pipeline could stand still from now on before the limit is reached, seconds.
    pub outage_seconds: Option<u64>,
}

/// The WAL that a running pipeline's slot keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotWal {
    /// The slot.
    pub slot: String,
    /// WAL that it keeps, bytes.
    pub retained_bytes: u64,
    /// What is to be expected.
    #[serde(flatten)]
    pub forecast: WalForecast,
    /// What a person should know.
    pub alerts: Vec<StatusNote>,
}

/// What is to be expected, from what was seen before and what is seen now.
pub(crate) fn forecast(before: Option<WalSample>, now: WalSample, limits: WalLimits) -> WalForecast {
    let own_left = limits.own.map(|own| own.saturating_sub(now.retained_bytes));
    let server_left = limits.server_left.map(|left| u64::try_from(left).unwrap_or(0));
    let left_bytes = [own_left, server_left].into_iter().flatten().min();
    let span_us = before.map(|before| now.at_us.saturating_sub(before.at_us));
    let span_us = span_us.filter(|span| *span >= SHORTEST_SPAN_US);
    let a_second = |bytes: i128, span_us: i64| bytes.saturating_mul(1_000_000) / i128::from(span_us);
    let rates = before.zip(span_us).map(|(before, span_us)| {
        let written = i128::from(now.source_lsn.bytes_since(before.source_lsn));
        let growth = i128::from(now.retained_bytes) - i128::from(before.retained_bytes);
        (a_second(written, span_us), a_second(growth, span_us))
    });
    let written_per_second = rates.map(|(written, _)| u64::try_from(written).unwrap_or(u64::MAX));
    let growth_per_second = rates.map(|(_, growth)| i64::try_from(growth).unwrap_or(i64::MAX));
    let until =
        |rate: Option<u64>| left_bytes.zip(rate.filter(|rate| *rate > 0)).map(|(left, rate)| left / rate);
    WalForecast {
        limit_bytes: [limits.own, limits.server].into_iter().flatten().min(),
        left_bytes,
        written_per_second,
        growth_per_second,
        limit_in_seconds: until(growth_per_second.and_then(|growth| u64::try_from(growth).ok())),
        outage_seconds: until(written_per_second),
    }
}

/// Whether the pipeline's own limit is reached.
pub(crate) fn is_reached(retained_bytes: u64, own: Option<u64>) -> bool {
    own.is_some_and(|own| retained_bytes > own)
}

/// What a person should know of a slot's WAL, worst first.
pub(crate) fn alerts(
    slot: &str,
    retained_bytes: u64,
    limits: WalLimits,
    forecast: &WalForecast,
) -> Vec<StatusNote> {
    let mut notes = Vec::new();
    let near = forecast.limit_in_seconds.filter(|seconds| *seconds < NEAR_SECONDS);
    let when = near.map_or(String::new(), |seconds| {
        format!(", which takes {} minutes if it goes on growing as it does", seconds / 60)
    });
    if let Some(own) = limits.own {
        let used =
            format!("the slot \"{slot}\" holds back {} of {} MiB of WAL", retained_bytes >> 20, own >> 20);
        if is_reached(retained_bytes, limits.own) {
            notes.push(note(
                REACHED,
                format!("{used} that --max-retained-wal allows"),
                "see why the target does not keep up, and look at the free space of the source's pg_wal",
            ));
        } else if retained_bytes > own / 5 * 4 || (near.is_some() && forecast.limit_bytes == limits.own) {
            notes.push(note(
                "WAL_LIMIT_NEAR",
                format!("{used} that --max-retained-wal allows{when}"),
                "see why the target does not keep up, or raise the limit if the source's disk can spare it",
            ));
        }
    }
    if let Some(left) = limits.server_left {
        let narrow = limits.server.map_or(NARROW_BYTES, |limit| NARROW_BYTES.min(limit / 5));
        let is_narrow = u64::try_from(left).is_ok_and(|left| left < narrow) || left < 0;
        if is_narrow || (near.is_some() && forecast.limit_bytes == limits.server) {
            notes.push(note(
                "SLOT_AT_RISK",
                format!("after {left} more bytes of WAL the source may give the slot \"{slot}\" up{when}"),
                "start the pipeline, or raise max_slot_wal_keep_size at the source",
            ));
        }
    }
    notes
}

/// A note.
fn note(code: &str, detail: String, hint: &str) -> StatusNote {
    StatusNote { code: code.to_owned(), detail, hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn sample(seconds: i64, written_mib: u64, retained_mib: u64) -> WalSample {
        WalSample {
            at_us: seconds * 1_000_000,
            source_lsn: Lsn::new(written_mib * MIB),
            retained_bytes: retained_mib * MIB,
        }
    }

    fn limits(server_mib: Option<u64>, left_mib: Option<i64>, own_mib: Option<u64>) -> WalLimits {
        WalLimits {
            server: server_mib.map(|mib| mib * MIB),
            server_left: left_mib.map(|mib| mib << 20),
            own: own_mib.map(|mib| mib * MIB),
        }
    }

    /// What each limit leaves, and when it is reached: `(limit, left, written, growth, limit in, outage)`.
    type Row = (Option<u64>, Option<u64>, Option<u64>, Option<i64>, Option<u64>, Option<u64>);

    #[test]
    fn forecasts_follow_from_two_samples() {
        let check = |before, now, limits, expected: Row| {
            let found = forecast(before, now, limits);
            let mib = |bytes: Option<u64>| bytes.map(|bytes| bytes / MIB);
            let row = (
                mib(found.limit_bytes),
                mib(found.left_bytes),
                mib(found.written_per_second),
                found.growth_per_second.map(|growth| growth >> 20),
                found.limit_in_seconds,
                found.outage_seconds,
            );
            assert_eq!(row, expected, "{before:?} {now:?} {limits:?}");
        };
        let (none, server) = (limits(None, None, None), limits(Some(1000), Some(600), None));
        // Nothing was seen before, or at the same moment.
        check(None, sample(10, 500, 400), none, (None, None, None, None, None, None));
        check(
            Some(sample(10, 400, 0)),
            sample(10, 500, 400),
            server,
            (Some(1000), Some(600), None, None, None, None),
        );
        // A pipeline that stands still: what is kept grows as fast as the source writes.
        let stands = (Some(1000), Some(600), Some(10), Some(10), Some(60), Some(60));
        check(Some(sample(0, 400, 300)), sample(10, 500, 400), server, stands);
        // One that keeps up, and one that catches up.
        let keeps = (Some(1000), Some(600), Some(10), Some(0), None, Some(60));
        check(Some(sample(0, 400, 400)), sample(10, 500, 400), server, keeps);
        let shrinks = (Some(1000), Some(600), Some(10), Some(-20), None, Some(60));
        check(Some(sample(0, 400, 600)), sample(10, 500, 400), server, shrinks);
        // The lower limit counts.
        let own = limits(Some(1000), Some(600), Some(500));
        check(
            Some(sample(0, 400, 300)),
            sample(10, 500, 400),
            own,
            (Some(500), Some(100), Some(10), Some(10), Some(10), Some(10)),
        );
        // Behind the limit nothing is left.
        let behind = limits(Some(300), Some(-100), None);
        let over = (Some(300), Some(0), Some(10), Some(10), Some(0), Some(0));
        check(Some(sample(0, 400, 300)), sample(10, 500, 400), behind, over);
    }

    #[test]
    fn alarms_are_raised_in_time() {
        let check = |growth_mib: Option<i64>, retained_mib: u64, limits: WalLimits, expected: &[&str]| {
            let before = growth_mib.map(|growth| {
                let retained = retained_mib.saturating_sub(u64::try_from(growth * 10).unwrap());
                sample(0, 400, retained)
            });
            let found = forecast(before, sample(10, 500, retained_mib), limits);
            let notes = alerts("s", retained_mib * MIB, limits, &found);
            let codes: Vec<&str> = notes.iter().map(|note| note.code.as_str()).collect();
            assert_eq!(codes, expected, "{growth_mib:?} {retained_mib} {limits:?} {found:?}");
        };
        check(None, 1 << 20, limits(None, None, None), &[]);
        // The server's limit: a gigabyte, or a fifth of a small one, or less than an hour away.
        check(None, 10, limits(Some(64_000), Some(1025), None), &[]);
        check(None, 10, limits(Some(64_000), Some(1023), None), &["SLOT_AT_RISK"]);
        check(None, 10, limits(Some(1000), Some(201), None), &[]);
        check(None, 10, limits(Some(1000), Some(199), None), &["SLOT_AT_RISK"]);
        check(None, 10, limits(Some(1000), Some(-5), None), &["SLOT_AT_RISK"]);
        check(Some(1), 1000, limits(Some(64_000), Some(3601), None), &[]);
        check(Some(1), 1000, limits(Some(64_000), Some(3599), None), &["SLOT_AT_RISK"]);
        // The pipeline's own.
        check(None, 800, limits(None, None, Some(1000)), &[]);
        check(None, 801, limits(None, None, Some(1000)), &["WAL_LIMIT_NEAR"]);
        check(Some(1), 700, limits(None, None, Some(4000)), &["WAL_LIMIT_NEAR"]);
        check(None, 1001, limits(None, None, Some(1000)), &["WAL_LIMIT_REACHED"]);
        check(None, 1001, limits(Some(1100), Some(99), Some(1000)), &["WAL_LIMIT_REACHED", "SLOT_AT_RISK"]);
    }

    proptest! {
        /// Whatever the servers say, clocks that go back included: no panic, and no forecast beyond what is left.
        #[test]
        fn forecasts_are_sound(
            a in any::<(i64, u64, u64)>(), b in any::<(i64, u64, u64)>(), server in any::<Option<u64>>(),
            server_left in any::<Option<i64>>(), own in any::<Option<u64>>(),
        ) {
            let of = |(at_us, source_lsn, retained_bytes)| WalSample {
                at_us, source_lsn: Lsn::new(source_lsn), retained_bytes,
            };
            let limits = WalLimits { server, server_left, own };
            let found = forecast(Some(of(a)), of(b), limits);
            alerts("s", b.2, limits, &found);
            if let (Some(seconds), Some(left), Some(growth)) =
                (found.limit_in_seconds, found.left_bytes, found.growth_per_second)
            {
                prop_assert!(growth > 0);
                prop_assert!(u128::from(seconds) * u128::from(growth.unsigned_abs()) <= u128::from(left));
            }
            prop_assert_eq!(found.left_bytes.is_some(), server_left.is_some() || own.is_some());
        }
    }
}
