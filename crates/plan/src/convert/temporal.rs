//! Dates and times in PostgreSQL's ISO style.
//!
//! ```text
//! date         0044-03-15 BC          infinity   -infinity
//! time         23:59:59.5             24:00:00
//! timestamp    2024-02-29 12:00:00.000001        294276-12-31 23:59:59
//! timestamptz  2024-02-29 12:00:00+00            0001-01-01 00:00:00+00 BC
//! ```
//!
//! Calendar arithmetic is the proleptic Gregorian one of PostgreSQL, in days since 2000-01-01; there is no year 0.

/// Microseconds of a day.
pub(super) const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

const MICROSECONDS_PER_SECOND: i64 = 1_000_000;

/// Days from 0000-03-01 to 2000-01-01.
const DAYS_TO_2000: i64 = 730_425;

/// Parses a date; days since 2000-01-01.
pub(super) fn date(bytes: &[u8]) -> Option<i32> {
    match bytes {
        b"infinity" => return Some(i32::MAX),
        b"-infinity" => return Some(i32::MIN),
        _ => {}
    }
    let (bytes, era) = split_era(bytes);
    let mut cursor = Cursor(bytes);
    let days = i32::try_from(cursor.date(era)?).ok()?;
    (cursor.is_at_end() && days != i32::MIN && days != i32::MAX).then_some(days)
}

/// Parses a time of day; microseconds since midnight, 24:00:00 included.
pub(super) fn time(bytes: &[u8]) -> Option<i64> {
    let mut cursor = Cursor(bytes);
    let time = cursor.time()?;
    cursor.is_at_end().then_some(time)
}

/// Parses a timestamp without a zone; microseconds since 2000-01-01.
pub(super) fn timestamp(bytes: &[u8]) -> Option<i64> {
    match infinity(bytes) {
        None => finite_timestamp(bytes, Zone::Absent),
        infinity => infinity,
    }
}

/// Parses a timestamp with its offset from UTC; microseconds since 2000-01-01 00:00:00 UTC.
pub(super) fn timestamp_tz(bytes: &[u8]) -> Option<i64> {
    match infinity(bytes) {
        None => finite_timestamp(bytes, Zone::Present),
        infinity => infinity,
    }
}

/// Days since 2000-01-01 of a date of the proleptic Gregorian calendar in astronomical years (1 BC is 0).
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, which puts the leap day at their end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - DAYS_TO_2000
}

/// Whether a timestamp ends in an offset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    Absent,
    Present,
}

/// Before or after the year 1.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Era {
    Common,
    BeforeCommon,
}

fn infinity(bytes: &[u8]) -> Option<i64> {
    match bytes {
        b"infinity" => Some(i64::MAX),
        b"-infinity" => Some(i64::MIN),
        _ => None,
    }
}

fn split_era(bytes: &[u8]) -> (&[u8], Era) {
    match bytes.strip_suffix(b" BC") {
        Some(bytes) => (bytes, Era::BeforeCommon),
        None => (bytes, Era::Common),
    }
}

fn finite_timestamp(bytes: &[u8], zone: Zone) -> Option<i64> {
    let (bytes, era) = split_era(bytes);
    let mut cursor = Cursor(bytes);
    let days = cursor.date(era)?;
    cursor.literal(b' ')?;
    let time = cursor.time().filter(|time| *time < MICROSECONDS_PER_DAY)?;
    let offset = if zone == Zone::Present { cursor.offset()? } else { 0 };
    let local = days.checked_mul(MICROSECONDS_PER_DAY)?.checked_add(time)?;
    let instant = local.checked_sub(offset)?;
    // The ends of the range mean the infinities.
    (cursor.is_at_end() && instant != i64::MIN && instant != i64::MAX).then_some(instant)
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn literal(&mut self, expected: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        (*first == expected).then_some(())
    }

    /// Whether the next byte is `expected`, which is then read.
    fn skip(&mut self, expected: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == expected => {
                self.0 = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Between `min` and `max` digits, as many as there are; also how many.
    fn number(&mut self, min: usize, max: usize) -> Option<(i64, usize)> {
        let mut number = 0_i64;
        let mut count = 0;
        while let Some((byte, rest)) = self.0.split_first() {
            if !byte.is_ascii_digit() {
                break;
            }
            count += 1;
            if count > max {
                return None;
            }
            number = number * 10 + i64::from(byte - b'0');
            self.0 = rest;
        }
        (count >= min).then_some((number, count))
    }

    fn two_digits(&mut self) -> Option<i64> {
        let [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] = self.0 else { return None };
        self.0 = rest;
        Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    }

    /// `YYYY-MM-DD` with four to seven digits of year; days since 2000-01-01.
    fn date(&mut self, era: Era) -> Option<i64> {
        let (year, _) = self.number(4, 7)?;
        self.literal(b'-')?;
        let month = self.two_digits()?;
        self.literal(b'-')?;
        let day = self.two_digits()?;
        if year == 0 {
            return None;
        }
        let year = if era == Era::BeforeCommon { 1 - year } else { year };
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let month_days = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            _ => return None,
        };
        (1..=month_days).contains(&day).then(|| days(year, month, day))
    }

    /// `HH:MM:SS` with up to six decimals; microseconds.
    fn time(&mut self) -> Option<i64> {
        let hours = self.two_digits()?;
        self.literal(b':')?;
        let minutes = self.two_digits().filter(|minutes| *minutes < 60)?;
        self.literal(b':')?;
        let seconds = self.two_digits().filter(|seconds| *seconds < 60)?;
        let mut time = ((hours * 60 + minutes) * 60 + seconds) * MICROSECONDS_PER_SECOND;
        if self.skip(b'.') {
            let (fraction, count) = self.number(1, 6)?;
            time += fraction * 10_i64.pow(6 - u32::try_from(count).ok()?);
        }
        (time <= MICROSECONDS_PER_DAY).then_some(time)
    }

    /// `+HH`, `-HH:MM` or `+HH:MM:SS`; microseconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        let west = match self.skip(b'-') {
            true => true,
            false => {
                self.literal(b'+')?;
                false
            }
        };
        let mut seconds = self.two_digits().filter(|hours| *hours < 24)? * 3600;
        if self.skip(b':') {
            seconds += self.two_digits().filter(|minutes| *minutes < 60)? * 60;
            if self.skip(b':') {
                seconds += self.two_digits().filter(|seconds| *seconds < 60)?;
            }
        }
        let offset = seconds * MICROSECONDS_PER_SECOND;
        Some(if west { -offset } else { offset })
    }
}
