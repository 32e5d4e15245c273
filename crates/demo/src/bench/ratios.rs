//! [`Row`]: one thing that is measured, beside what bounds it and what is wanted of it; [`losses`]: what became worse.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::spread::{Spread, number};

/// What is wanted of a [`Row`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goal {
    /// Nothing: it is shown to judge others by.
    None,
    /// At least this share of its limit.
    Share(f64),
    /// At least so many.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
}

/// What was measured in all rounds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// What it is called where ratios are stored.
    pub(super) key: &'static str,
    /// What it is, for people.
    pub(super) name: String,
    pub(super) unit: &'static str,
    /// One of each round.
    pub(super) values: Vec<f64>,
    /// What bounds it, measured in the same rounds.
    pub(super) limit: Option<Limit>,
    pub(super) goal: Goal,
}

/// What bounds a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Limit {
    pub(super) name: &'static str,
    pub(super) values: Vec<f64>,
}

/// All rows, in their order.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Row>);

/// A ratio that was better once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Loss {
    /// Of which row.
    pub(super) key: String,
    /// As it is stored.
    pub(super) stored: Spread,
    /// As it was found.
    pub(super) found: Spread,
}

// === impl Row ===

impl Row {
    /// Its shares of its limit, round by round.
    fn shares(&self) -> Option<Spread> {
        let limit = self.limit.as_ref()?;
        let shares: Vec<f64> =
            self.values.iter().zip(&limit.values).map(|(value, limit)| value / limit.max(1e-9)).collect();
        Spread::of(&shares)
    }

    /// Whether it is as wanted; `None` when nothing is.
    fn is_met(&self) -> Option<bool> {
        let median = Spread::of(&self.values)?.median;
        match self.goal {
            Goal::None => None,
            Goal::Share(least) => Some(self.shares()?.median >= least),
            Goal::AtLeast(least) => Some(median >= least),
            Goal::AtMost(most) => Some(median <= most),
        }
    }

    /// What is wanted, and whether it is so.
    fn verdict(&self) -> String {
        let wanted = match self.goal {
            Goal::None => return "–".to_owned(),
            Goal::Share(least) => format!("at least {least:.1} of it"),
            Goal::AtLeast(least) => format!("at least {}", number(least)),
            Goal::AtMost(most) => format!("at most {}", number(most)),
        };
        match self.is_met() {
            Some(true) => format!("{wanted}: met"),
            Some(false) => format!("{wanted}: **missed**"),
            None => wanted,
        }
    }

    /// Name, value, limit, share and verdict.
    fn cells(&self) -> [String; 5] {
        let show = |values: &[f64]| Spread::of(values).map_or_else(|| "–".to_owned(), Spread::show);
        let limit = self.limit.as_ref();
        [
            format!("{}, {}", self.name, self.unit),
            show(&self.values),
            limit.map_or_else(|| "–".to_owned(), |limit| format!("{}: {}", limit.name, show(&limit.values))),
            self.shares().map_or_else(|| "–".to_owned(), Spread::show),
            self.verdict(),
        ]
    }
}

// === impl Rows ===

impl Rows {
    /// Adds one that is complete.
    pub(super) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    /// A table of Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut text =
            "| | segcdc | limit, or yardstick | of it | target |\n|---|---:|---|---:|---|\n".to_owned();
        for [name, value, limit, share, verdict] in self.0.iter().map(Row::cells) {
            text.push_str(&format!("| {name} | {value} | {limit} | {share} | {verdict} |\n"));
        }
        text
    }

    /// Lines for the terminal.
    pub(super) fn plain(&self) -> String {
        let lines = self.0.iter().map(|row| {
            let [name, value, limit, share, verdict] = row.cells();
            let limit = if row.limit.is_some() {
                format!("\n      limit: {limit}; of it {share}")
            } else {
                String::new()
            };
            let verdict =
                if row.goal == Goal::None { String::new() } else { format!("\n      target: {verdict}") };
            format!("  {name}\n      {value}{limit}{}", verdict.replace("**", ""))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Ratios by their keys: what two machines can be compared by.
    pub(super) fn shares(&self) -> BTreeMap<String, Spread> {
        let shares = self.0.iter().filter_map(|row| Some((row.key.to_owned(), row.shares()?)));
        shares.collect()
    }
}

/// Ratios as they are stored.
pub(super) fn to_json(machine: &str, date: &str, shares: &BTreeMap<String, Spread>) -> Value {
    let shares: BTreeMap<&String, Value> =
        shares.iter().map(|(key, spread)| (key, spread.to_json())).collect();
    json!({ "machine": machine, "date": date, "ratios": shares })
}

/// What [`to_json`] wrote.
pub(super) fn from_json(value: &Value) -> BTreeMap<String, Spread> {
    let shares = value.get("ratios").and_then(Value::as_object).into_iter().flatten();
    shares.filter_map(|(key, spread)| Some((key.clone(), Spread::from_json(spread)?))).collect()
}

/// Ratios that are worse than the stored ones by more than the spread of both: the best round of now is below the worst one
/// of then.
pub(super) fn losses(stored: &BTreeMap<String, Spread>, found: &BTreeMap<String, Spread>) -> Vec<Loss> {
    let both = stored.iter().filter_map(|(key, stored)| Some((key, *stored, *found.get(key)?)));
    let lost = both.filter(|(_, stored, found)| found.greatest < stored.least);
    lost.map(|(key, stored, found)| Loss { key: key.clone(), stored, found }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64], limit: Option<&[f64]>, goal: Goal) -> Row {
        let limit = limit.map(|values| Limit { name: "nothing else", values: values.to_vec() });
        Row { key: "copy", name: "copy".to_owned(), unit: "rows/s", values: values.to_vec(), limit, goal }
    }

    #[test]
    fn a_row_is_compared_with_its_limit_round_by_round() {
        let mut rows = Rows::default();
        rows.add(row(&[50.0, 90.0, 80.0], Some(&[100.0, 100.0, 200.0]), Goal::Share(0.4)));
        rows.add(row(&[5.0], None, Goal::AtMost(4.0)));
        rows.add(row(&[5.0], None, Goal::None));
        let text = rows.markdown();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| copy, rows/s | 80.0 (50.0–90.0) | nothing else: 100 (100–200) | 0.50 (0.40–0.90) | at least 0.4 of it: met |",
                "| copy, rows/s | 5.0 (5.0–5.0) | – | – | at most 4.0: **missed** |",
                "| copy, rows/s | 5.0 (5.0–5.0) | – | – | – |",
            ]
        );
        assert!(rows.plain().contains("target: at most 4.0: missed\n"), "{}", rows.plain());
    }

    #[test]
    fn what_is_wanted_is_compared_with_the_median() {
        let check = |goal, met| assert_eq!(row(&[1.0, 2.0, 9.0], Some(&[4.0; 3]), goal).is_met(), met);
        check(Goal::Share(0.5), Some(true));
        check(Goal::Share(0.6), Some(false));
        check(Goal::AtLeast(2.0), Some(true));
        check(Goal::AtLeast(2.1), Some(false));
        check(Goal::AtMost(1.9), Some(false));
        check(Goal::None, None);
        assert_eq!(row(&[], None, Goal::AtLeast(1.0)).is_met(), None);
    }

    #[test]
    fn a_ratio_is_lost_when_the_spreads_do_not_touch() {
        let of = |least, median, greatest| {
            BTreeMap::from([("copy".to_owned(), Spread { least, median, greatest })])
        };
        let stored = of(0.7, 0.8, 0.9);
        assert_eq!(losses(&stored, &of(0.5, 0.6, 0.7)), []);
        let lost = losses(&stored, &of(0.5, 0.6, 0.69));
        assert_eq!(lost.iter().map(|loss| loss.key.as_str()).collect::<Vec<_>>(), ["copy"]);
        assert_eq!(losses(&stored, &BTreeMap::new()), []);
        assert_eq!(from_json(&to_json("m", "d", &stored)), stored);
        assert_eq!(from_json(&json!({"ratios": 7})), BTreeMap::new());
    }
}
