//! Variables that begin with `SEGCDC_` and mean nothing: most often a typing mistake in one that does; and those that options name.

use std::ffi::OsString;

use clap::CommandFactory;
use segcdc_control::spelling::nearest;

use crate::arguments::{Arguments, MASK_SALT};

/// What all our variables begin with.
const PREFIX: &str = "SEGCDC_";

/// What tests and development builds use; of no interest to users.
const DEVELOPMENT: [&str; 3] = ["SEGCDC_TEST_", "SEGCDC_PG_", "SEGCDC_DEV_"];

/// A variable that an option names.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// A warning for each variable that begins as ours do and is none.
pub(crate) fn unknown(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let known = known();
    let ours = names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with(PREFIX));
    ours.filter(|name| !known.contains(name) && !DEVELOPMENT.iter().any(|prefix| name.starts_with(prefix)))
        .map(|name| match nearest(&name, known.iter().map(String::as_str)) {
            Some(near) => format!("the variable {name} is not known and has no effect; did you mean {near}?"),
            None => format!("the variable {name} is not known and has no effect"),
        })
        .collect()
}

/// The variables of all options.
fn known() -> Vec<String> {
    // One that is read without being an option's.
    let mut known = vec![MASK_SALT.to_owned()];
    collect(&Arguments::command(), &mut known);
    known
}

/// Adds the variables of a command and of those below it.
fn collect(command: &clap::Command, known: &mut Vec<String>) {
    let variables = command.get_arguments().filter_map(|option| option.get_env()?.to_str());
    known.extend(variables.map(str::to_owned));
    for below in command.get_subcommands() {
        collect(below, known);
    }
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
        // Of commands below commands: `table resync --by`, `deadletter list --closed`.
        check("SEGCDC_BY", &[]);
        check("SEGCDC_CLOSED", &[]);
        check("SEGCDC_MASK_SALT", &[]);
        check("SEGCDC_TEST_SQLSERVER_URL", &[]);
        check("PATH", &[]);
        check(
            "SEGCDC_SUORCE_URL",
            &[
                "the variable SEGCDC_SUORCE_URL is not known and has no effect; did you mean SEGCDC_SOURCE_URL?",
            ],
        );
        check(
            "SEGCDC_MASTERKEY",
            &[
                "the variable SEGCDC_MASTERKEY is not known and has no effect; did you mean SEGCDC_MASTER_KEY?",
            ],
        );
        check(
            "SEGCDC_SOMETHING_ELSE",
            &["the variable SEGCDC_SOMETHING_ELSE is not known and has no effect"],
        );
    }
}
