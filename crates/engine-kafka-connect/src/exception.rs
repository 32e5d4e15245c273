//! [`Exception`]: values that do not arrive as they are, although their type does.
//!
//! Every line was seen on a real worker: `crates/segcdc/tests/e2e/kafka_connect/types.rs` sends these values and all
//! others, and fails when one of them does arrive, or arrives in another way than is said here.

/// Values of a type that do not arrive as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exception {
    /// Which, for people.
    pub values: &'static str,
    /// Holds of them in PostgreSQL; `{}` stands for the column.
    pub condition: &'static str,
    /// What happens.
    pub outcome: Outcome,
}

/// What happens to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Another value arrives, and nobody is told.
    Becomes(&'static str),
    /// Another writing of the same value arrives.
    Equals(&'static str),
    /// The sink stops; `status` says this code.
    Stops(&'static str),
}

/// NaN has no JSON; what the converter writes instead is read as zero.
pub(crate) const FLOAT: &[Exception] = &[
    Exception {
        values: "NaN and infinities",
        condition: "{} IN ('NaN', 'Infinity', '-Infinity')",
        outcome: Outcome::Becomes("0"),
    },
    Exception { values: "-0", condition: "{}::text = '-0'", outcome: Outcome::Equals("0") },
];

/// Numbers travel as text, in which NaN can be said; SQL Server refuses it.
pub(crate) const NUMERIC: &[Exception] =
    &[Exception { values: "NaN", condition: "{} = 'NaN'", outcome: Outcome::Stops("VALUE_NO_NUMBER") }];

/// Java's calendar changes from Julian to Gregorian in October 1582, and has no year zero.
pub(crate) const DATE: &[Exception] = &[
    Exception {
        values: "years before 1",
        condition: "{} < '0001-01-01' AND {} <> '-infinity'",
        outcome: Outcome::Becomes("a date of our era"),
    },
    Exception {
        values: "1582-10-05 to 1582-10-14",
        condition: "{} BETWEEN '1582-10-05' AND '1582-10-14'",
        outcome: Outcome::Becomes("a date ten days later"),
    },
    Exception {
        values: "infinities and years above 9999",
        condition: "{} > '9999-12-31' OR {} = '-infinity'",
        outcome: Outcome::Stops("VALUE_OUT_OF_RANGE"),
    },
];

/// A day has no such hour in Java.
pub(crate) const TIME: &[Exception] = &[Exception {
    values: "24:00:00",
    condition: "{} = '24:00:00'",
    outcome: Outcome::Stops("VALUE_OUT_OF_RANGE"),
}];

/// As [`DATE`]; without a time zone the sink's driver counts days as PostgreSQL does.
pub(crate) const TIMESTAMP: &[Exception] = &[
    Exception {
        values: "years before 1",
        condition: "{} < '0001-01-01' AND {} <> '-infinity'",
        outcome: Outcome::Becomes("a moment of our era"),
    },
    Exception {
        values: "infinities and years above 9999",
        condition: "{} >= '10000-01-01' OR {} = '-infinity'",
        outcome: Outcome::Stops("VALUE_OUT_OF_RANGE"),
    },
];

/// With a time zone it counts days before October 1582 by the Julian calendar; Debezium writes infinities as the first
/// and last moment.
pub(crate) const TIMESTAMPTZ: &[Exception] = &[
    Exception {
        values: "moments before 1582-10-15, and -infinity,",
        condition: "{} < '1582-10-15 00:00:00+00'",
        outcome: Outcome::Becomes("a moment up to ten days off, and one of the year 1,"),
    },
    Exception {
        values: "infinity",
        condition: "{} = 'infinity'",
        outcome: Outcome::Becomes("9999-12-31 23:59:59"),
    },
    Exception {
        values: "years above 9999",
        condition: "{} >= '10000-01-01 00:00:00+00' AND {} <> 'infinity'",
        outcome: Outcome::Stops("VALUE_OUT_OF_RANGE"),
    },
];

// === impl Outcome ===

impl Outcome {
    /// Whether the table had better not take part while it holds such a value.
    pub const fn does_harm(self) -> bool {
        !matches!(self, Outcome::Equals(_))
    }
}

impl std::fmt::Display for Exception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let values = self.values;
        match self.outcome {
            Outcome::Becomes(what) => write!(f, "{values} become {what} without notice"),
            Outcome::Equals(what) => write!(f, "{values} arrives as {what}, which is the same number"),
            Outcome::Stops(code) => write!(f, "{values} stop the sink ({code})"),
        }
    }
}
