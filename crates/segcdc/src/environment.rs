//! Variables that begin with `SEGCDC_` and mean nothing: most often a typing mistake in one that does.

use std::ffi::OsString;

use clap::CommandFactory;

use crate::arguments::Arguments;

/// What all our variables begin with.
const PREFIX: &str = "SEGCDC_";

/// What tests and development builds use; of no interest to users.
const DEVELOPMENT: [&str; 3] = ["SEGCDC_TEST_", "SEGCDC_PG_", "SEGCDC_DEV_"];

/// A warning for each variable that begins as ours do and is none.
pub(crate) fn unknown(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let known = known();
    let ours = names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with(PREFIX));
    ours.filter(|name| !known.contains(name) && !DEVELOPMENT.iter().any(|prefix| name.starts_with(prefix)))
        .map(|name| match nearest(&name, &known) {
            Some(near) => format!("the variable {name} is not known and has no effect; did you mean {near}?"),
            None => format!("the variable {name} is not known and has no effect"),
        })
        .collect()
}

/// The variables of all options.
fn known() -> Vec<String> {
    let command = Arguments::command();
    let options = command.get_subcommands().flat_map(|command| command.get_arguments());
    let all = command.get_arguments().chain(options);
    all.filter_map(|option| Some(option.get_env()?.to_str()?.to_owned())).collect()
}

/// The known name with the fewest changes to it, when these are few.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a String> {
    let near = known.iter().map(|known| (distance(name, known), known)).min()?;
    (near.0 <= 3).then_some(near.1)
}

/// Characters to insert, remove or replace to make one text the other (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, character) in left.chars().enumerate() {
        let mut before = index;
        let mut next = vec![index + 1];
        for (other, above) in right.iter().zip(row.iter().skip(1)) {
            let replaced = before + usize::from(*other != character);
            let beside = next.last().copied().unwrap_or(0);
            next.push(replaced.min(above + 1).min(beside + 1));
            before = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_named() {
        let check = |name: &str, expected: &[&str]| {
            assert_eq!(unknown([OsString::from(name)].into_iter()), expected);
        };
        check("SEGCDC_SOURCE_URL", &[]);
        check("SEGCDC_OUTPUT", &[]);
        check("SEGCDC_TEST_SQLSERVER_URL", &[]);
        check("PATH", &[]);
        check(
            "SEGCDC_SUORCE_URL",
            &[
                "the variable SEGCDC_SUORCE_URL is not known and has no effect; did you mean SEGCDC_SOURCE_URL?",
            ],
        );
        check("SEGCDC_MASTERKEY", &["the variable SEGCDC_MASTERKEY is not known and has no effect"]);
    }

    #[test]
    fn distances_count_changes() {
        let check = |left, right, expected| assert_eq!(distance(left, right), expected, "{left} {right}");
        check("", "abc", 3);
        check("abc", "abc", 0);
        check("kitten", "sitting", 3);
    }
}
