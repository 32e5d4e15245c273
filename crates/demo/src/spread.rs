//! [`Spread`]: what several runs came to; [`number`], [`per_second`]: figures for people.

use serde_json::{Value, json};

/// Least, middle and greatest value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The least one.
    pub(crate) least: f64,
    /// The one in the middle, or between the two in the middle.
    pub(crate) median: f64,
    /// The greatest one.
    pub(crate) greatest: f64,
}

// === impl Spread ===

impl Spread {
    /// `None` without values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Spread { least, median: f64::midpoint(lower, upper), greatest })
    }

    /// The median, and the ends in parentheses.
    pub(crate) fn show(self) -> String {
        let Spread { least, median, greatest } = self;
        format!("{} ({}–{})", number(median), number(least), number(greatest))
    }

    /// As JSON, with three digits behind the point.
    pub(crate) fn to_json(self) -> Value {
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        json!({
            "least": rounded(self.least),
            "median": rounded(self.median),
            "greatest": rounded(self.greatest)
        })
    }

    /// What [`Spread::to_json`] wrote.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let member = |name: &str| value.get(name).and_then(Value::as_f64);
        Some(Spread { least: member("least")?, median: member("median")?, greatest: member("greatest")? })
    }
}

/// Three digits that count, with commas.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a figure for people, far below 2^52"
)]
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value < 0.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value if value < 999.5 => format!("{value:.0}"),
        value => {
            let unit = 10_f64.powi(value.log10().floor() as i32 - 2);
            crate::narrator::grouped(((value / unit).round() * unit).round() as u64)
        }
    }
}

/// So many in so many seconds, a second.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people, far below 2^52"
)]
pub(crate) fn per_second(count: u64, seconds: f64) -> String {
    crate::narrator::grouped((count as f64 / seconds.max(0.001)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let check = |value: f64, shown: &str| assert_eq!(number(value), shown);
        check(0.0, "0.00");
        check(0.126, "0.13");
        check(12.34, "12.3");
        check(99.96, "100");
        check(123.4, "123");
        check(999.6, "1,000");
        check(123_456.0, "123,000");
        check(9_999_999.0, "10,000,000");
    }

    #[test]
    fn a_spread_is_the_middle_and_the_ends() {
        assert_eq!(Spread::of(&[]), None);
        let check = |values: &[f64], shown: &str| assert_eq!(Spread::of(values).unwrap().show(), shown);
        check(&[3.0, 1.0, 2.0], "2.0 (1.0–3.0)");
        check(&[4.0, 1.0, 2.0, 3.0], "2.5 (1.0–4.0)");
        let spread = Spread { least: 0.5, median: 0.75, greatest: 1.25 };
        assert_eq!(Spread::from_json(&spread.to_json()), Some(spread));
        assert_eq!(Spread::from_json(&json!({"least": 1})), None);
    }
}
