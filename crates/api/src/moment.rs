//! Moments as RFC 3339 writes them, in UTC, to a millisecond.

use segcdc_control::clock::Millis;

/// Days from 0000-03-01 to 1970-01-01, in the calendar that is used today for all times.
const DAYS_BEFORE: i64 = 719_468;

/// Days of 400 years.
const ERA: i64 = 146_097;

/// A moment as a text: `2026-11-03T10:11:12.345Z`.
pub(crate) fn text(at: Millis) -> String {
    let (days, ms) = (at.0.div_euclid(86_400_000), at.0.rem_euclid(86_400_000));
    // Years are counted from March, so that the day that some of them have more is their last.
    let shifted = days.saturating_add(DAYS_BEFORE);
    let (era, day) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        let check = |ms: i64, expected: &str| assert_eq!(text(Millis(ms)), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_399_999, "2000-02-28T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(951_868_800_000, "2000-03-01T00:00:00.000Z");
        check(1_795_775_472_345, "2026-11-27T10:31:12.345Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
        check(-1, "1969-12-31T23:59:59.999Z");
    }
}
