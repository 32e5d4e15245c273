//! Random values of every kind of type that PostgreSQL has, as SQL expressions.
//!
//! [`entries`] is the list: a new type is a line of one of the modules below. A strategy for a type covers what PostgreSQL
//! takes, unless it is asked for what SQL Server can hold too. Types that have to be made first are those of
//! `tests/matrix/setup.sql`; each row of `docs/reference/types.md` and each type of `tests/matrix/types.txt` has a strategy.

mod composed;
mod extensions;
mod numbers;
mod system;
mod texts;
mod times;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Which values of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All that PostgreSQL takes.
    All,
    /// Those that the type's target holds.
    Representable,
}

/// A type, and the strategy for its values.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its row of `docs/reference/types.md`.
    pub row: &'static str,
    /// As in CREATE TABLE.
    pub pg_type: &'static str,
    /// What the server must have, in the words of `tests/matrix/types.txt`; empty for nothing.
    pub needs: &'static str,
    /// Expressions of values.
    pub strategy: fn(Span) -> BoxedStrategy<String>,
    /// The values that the target holds, as a condition on the column `$`; empty for all of them. For values of
    /// [`Span::All`].
    pub held: &'static str,
}

/// All types that have a strategy.
pub fn entries() -> Vec<Entry> {
    [
        numbers::ENTRIES,
        texts::ENTRIES,
        times::ENTRIES,
        composed::ENTRIES,
        system::ENTRIES,
        extensions::ENTRIES,
    ]
    .concat()
}

/// What draws values: always the same ones from the same seed.
pub fn runner(seed: u64) -> TestRunner {
    let mut bytes = seed.to_le_bytes().to_vec();
    bytes.resize(32, 0);
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

// === impl Entry ===

impl Entry {
    /// A type that every server has, and of which the target holds all values.
    const fn new(
        row: &'static str,
        pg_type: &'static str,
        strategy: fn(Span) -> BoxedStrategy<String>,
    ) -> Self {
        Entry { row, pg_type, needs: "", strategy, held: "" }
    }

    /// The same, where not every server has it.
    const fn needs(self, needs: &'static str) -> Self {
        Entry { needs, ..self }
    }

    /// The same, where the target does not hold all values.
    const fn held(self, held: &'static str) -> Self {
        Entry { held, ..self }
    }
}

/// A literal of anything that needs no escaping.
fn quoted(value: impl std::fmt::Display) -> String {
    format!("'{value}'")
}

/// A literal of any text.
fn literal(text: impl AsRef<str>) -> String {
    format!("'{}'", text.as_ref().replace('\'', "''"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Numbers, and for all of them some others.
fn with(span: Span, usual: BoxedStrategy<String>, special: &'static [&'static str]) -> BoxedStrategy<String> {
    match span {
        Span::Representable => usual,
        Span::All => prop_oneof![9 => usual, 1 => proptest::sample::select(special).prop_map(quoted)].boxed(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// A file of the repository.
    fn read(name: &str) -> String {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
    }

    /// The type without length, precision or scale.
    fn plain(pg_type: &str) -> String {
        let (word, rest) = pg_type.split_once('(').unwrap_or((pg_type, ""));
        let rest = rest.split_once(')').map_or("", |(_, rest)| rest);
        format!("{word}{rest}").trim().to_owned()
    }

    #[test]
    fn each_published_row_has_a_strategy() {
        let page = read("docs/reference/types.md");
        let table = page.split("|---|---|---|---|---|\n").nth(1).unwrap();
        let rows: BTreeSet<&str> = table
            .lines()
            .take_while(|line| line.starts_with("| "))
            .filter_map(|line| line.split('|').nth(1).map(str::trim))
            .collect();
        assert!(rows.len() > 40, "the page was not understood: {rows:?}");
        let covered: BTreeSet<&str> = entries().iter().map(|entry| entry.row).collect();
        assert_eq!(rows, covered);
    }

    #[test]
    fn each_type_with_edge_values_has_a_strategy() {
        let list = read("tests/matrix/types.txt");
        let listed: BTreeSet<(&str, String)> = list
            .lines()
            .filter_map(|line| line.strip_prefix('[')?.split_once("] "))
            .map(|(row, pg_type)| (row, plain(pg_type)))
            .collect();
        assert!(listed.len() > 80, "the list was not understood");
        let all = entries();
        let covered: BTreeSet<_> = all.iter().map(|entry| (entry.row, plain(entry.pg_type))).collect();
        let missing: Vec<_> = listed.difference(&covered).collect();
        assert!(missing.is_empty(), "without random values: {missing:?}");
        let unproven: Vec<_> = covered.difference(&listed).collect();
        assert!(unproven.is_empty(), "without edge values: {unproven:?}");
    }

    #[test]
    fn values_of_one_seed_are_the_same() {
        let draw = |seed| {
            let mut runner = runner(seed);
            let values = entries();
            let values = values
                .iter()
                .map(|entry| (entry.strategy)(Span::All).new_tree(&mut runner).unwrap().current());
            values.collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
