//! From the command line, the environment and the file that they name to [`Arguments`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::OsStr;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};
use segcdc_engine_kafka_connect::overrides;

use super::error::{FileError, one_error};
use super::read::{Assignment, Read, folder, read};
use super::settings::{Form, SETTINGS, Setting, of_path};
use super::{document, load};
use crate::arguments::{Arguments, Command as Wanted, Given, Global, RuleArguments};
use crate::error::CliError;
use crate::settings;

/// What is wanted.
#[derive(Debug)]
pub(crate) struct Understood {
    /// All arguments.
    pub(crate) arguments: Arguments,
    /// What of the file does not count, because a flag or a variable says otherwise.
    pub(crate) notes: Vec<String>,
}

/// Why the arguments are not understood.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The command line is wrong, or help was asked for.
    CommandLine(clap::Error),
    /// The file is.
    File(Box<CliError>, Box<Global>),
}

/// Reads the command line, and the pipeline file that it names with `-f`.
///
/// # Errors
/// What cannot be understood.
pub(crate) fn understand(
    words: &[OsString],
    input: &mut dyn std::io::Read,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Understood, Unread> {
    let command = Arguments::command();
    let matches = command.clone().try_get_matches_from(words).map_err(Unread::CommandLine)?;
    let arguments = Arguments::from_arg_matches(&matches).map_err(Unread::CommandLine)?;
    let (names, leaf) = leaf(&matches);
    let Ok(Some(file)) = leaf.try_get_one::<PathBuf>("file") else {
        return Ok(Understood { arguments: with_given(arguments, leaf, &[]), notes: Vec::new() });
    };
    let wrong = |error: CliError| Unread::File(Box::new(error), Box::new(arguments.global.clone()));
    let assignments = assignments(file, input, variable, &command).map_err(wrong)?;
    let notes =
        assignments.iter().filter_map(|assignment| note(assignment, leaf, &command, &names)).collect();
    let with_file = with_defaults(command, &names, &assignments);
    let read = with_file.try_get_matches_from(words).map_err(Unread::CommandLine)?;
    let arguments = Arguments::from_arg_matches(&read).map_err(Unread::CommandLine)?;
    Ok(Understood { arguments: with_given(arguments, leaf, &assignments), notes })
}

/// Tells the command that writes files what is given; others need not know by whom.
fn with_given(mut arguments: Arguments, leaf: &ArgMatches, assignments: &[Assignment]) -> Arguments {
    if let Wanted::Export(export) = &mut arguments.command {
        export.given = SETTINGS.iter().filter_map(|setting| given(setting, leaf, assignments)).collect();
    }
    arguments
}

/// What a flag or a variable says of a setting, or else the file.
fn given(setting: &Setting, leaf: &ArgMatches, assignments: &[Assignment]) -> Option<Given> {
    let is_given = matches!(
        leaf.value_source(setting.argument),
        Some(ValueSource::CommandLine | ValueSource::EnvVariable)
    );
    let values = if is_given {
        let raw = leaf.try_get_raw(setting.argument).ok()??;
        raw.flat_map(|value| setting.apart(&value.to_string_lossy())).collect()
    } else {
        let of_file = assignments.iter().find(|assignment| assignment.path == setting.path)?;
        of_file.values.iter().flat_map(|said| setting.apart(&said.text)).collect()
    };
    Some(Given { path: setting.path, values })
}

/// What a file says.
fn assignments(
    file: &Path,
    input: &mut dyn std::io::Read,
    variable: &dyn Fn(&str) -> Option<String>,
    command: &Command,
) -> Result<Vec<Assignment>, CliError> {
    let shown = load::shown(file);
    let Read { assignments, mut problems } = match load::text(file, input) {
        Err(problem) => Read { assignments: Vec::new(), problems: vec![problem] },
        Ok(text) => match document::read(&shown, &text) {
            Err(problems) => Read { assignments: Vec::new(), problems },
            Ok(node) => read(&node, &folder(file), variable),
        },
    };
    for assignment in &assignments {
        problems.extend(wrong_values(assignment, command));
    }
    match one_error(&shown, problems) {
        Some(error) => Err(error),
        None => Ok(assignments),
    }
}

/// The names of the subcommands, and the matches of the last one.
fn leaf(matches: &ArgMatches) -> (Vec<String>, &ArgMatches) {
    let (mut names, mut leaf) = (Vec::new(), matches);
    while let Some((name, below)) = leaf.subcommand() {
        names.push(name.to_owned());
        leaf = below;
    }
    (names, leaf)
}

/// What is wrong with the values, by the same checks that flags go through.
fn wrong_values(assignment: &Assignment, command: &Command) -> Vec<FileError> {
    let (path, argument) = (assignment.path, assignment.argument);
    let is_flag = of_path(path).is_some_and(|setting| setting.form == Form::Flag);
    let Some(up) = command.find_subcommand("up").filter(|_| !is_flag) else { return Vec::new() };
    let long = up.get_arguments().find(|known| known.get_id() == argument).and_then(|known| known.get_long());
    let long = long.unwrap_or_default();
    let mut problems = Vec::new();
    for said in &assignment.values {
        let (place, key) = (said.place.clone(), path.to_owned());
        let words = [format!("--{long}={}", said.text)];
        let refused = up.clone().no_binary_name(true).try_get_matches_from(words).err();
        let is_about_it = |error: &clap::Error| {
            matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue)
        };
        if let Some(error) = refused.filter(is_about_it) {
            problems.push(FileError::Value { place, key, reason: reason(&error) });
        } else if let Some(error) = wrong_rule(argument, &said.text) {
            problems.push(FileError::Other { place, key, error });
        }
    }
    problems
}

/// The words of the first line of an error of the command line that are not about flags.
fn reason(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let first = text.split("\n\n").next().unwrap_or_default();
    // "invalid value 'x' for '--flag <VALUE>': why", and possible values on lines of their own.
    let (value, behind) = first.split_once(" for '--").unwrap_or((first, ""));
    let why = behind.split_once('\'').map_or("", |(_, why)| why);
    let words: Vec<&str> = why.split_whitespace().collect();
    let why = words.join(" ");
    let why = why.strip_prefix(": ").or(why.strip_prefix(':')).unwrap_or(&why).trim();
    if why.is_empty() { value.to_owned() } else { format!("{value}: {why}") }
}

/// What is wrong with a pattern, a rule or a property.
fn wrong_rule(argument: &str, text: &str) -> Option<CliError> {
    let one = vec![text.to_owned()];
    let rules = match argument {
        "tables" | "exclude" => return settings::patterns(&one).err(),
        "connect_properties" => return overrides::parse(text).err().map(CliError::from),
        "on_value" => RuleArguments { on_value: one, ..RuleArguments::default() },
        "on_refused" => RuleArguments { on_refused: one, ..RuleArguments::default() },
        "dead_letter_limit" => RuleArguments { dead_letter_limit: one, ..RuleArguments::default() },
        "types" => RuleArguments { types: one, ..RuleArguments::default() },
        "rename" => RuleArguments { rename: one, ..RuleArguments::default() },
        "key" => RuleArguments { key: one, ..RuleArguments::default() },
        "append_only" => RuleArguments { append_only: one, ..RuleArguments::default() },
        "mode" => RuleArguments { mode: one, ..RuleArguments::default() },
        "on_schema_change" => RuleArguments { on_schema_change: one, ..RuleArguments::default() },
        "columns" => RuleArguments { columns: one, ..RuleArguments::default() },
        "exclude_columns" => RuleArguments { exclude_columns: one, ..RuleArguments::default() },
        "mask" => RuleArguments { mask: one, ..RuleArguments::default() },
        "constant" => RuleArguments { constant: one, ..RuleArguments::default() },
        "filters" => RuleArguments { filters: one, ..RuleArguments::default() },
        _ => return None,
    };
    settings::rules(&rules).err()
}

/// What is said when a flag or a variable counts instead of the file.
fn note(assignment: &Assignment, leaf: &ArgMatches, command: &Command, names: &[String]) -> Option<String> {
    let id = assignment.argument;
    let subcommand = names.iter().try_fold(command, |command, name| command.find_subcommand(name))?;
    let argument = subcommand.get_arguments().find(|known| known.get_id() == id)?;
    if !concerns(subcommand, id) {
        return None;
    }
    let winner = match leaf.value_source(id)? {
        ValueSource::CommandLine => format!("--{}", argument.get_long()?),
        ValueSource::EnvVariable => argument.get_env()?.to_string_lossy().into_owned(),
        _ => return None,
    };
    Some(format!("{winner} counts, and not {} of {}", assignment.path, assignment.place))
}

/// Whether an argument of a subcommand is the one that the file speaks of: `--tables` of `verify` and others is a selection.
fn concerns(subcommand: &Command, id: &str) -> bool {
    let has = |id: &str| subcommand.get_arguments().any(|argument| argument.get_id() == id);
    has(id) && (id != "tables" || has("exclude"))
}

/// The command with what the file says as defaults of the subcommand's arguments.
fn with_defaults(command: Command, names: &[String], assignments: &[Assignment]) -> Command {
    let Some((name, rest)) = names.split_first() else {
        let concerned: Vec<&Assignment> =
            assignments.iter().filter(|assignment| concerns(&command, assignment.argument)).collect();
        return concerned.into_iter().fold(command, |command, assignment| {
            let values: Vec<OsStr> =
                assignment.values.iter().map(|said| OsStr::from(said.text.clone())).collect();
            let form = of_path(assignment.path).map(|setting| setting.form);
            command.mut_arg(assignment.argument, |argument| match form {
                // A default is shown by help, and this one may be secret.
                Some(Form::Url | Form::Secret) => argument.default_values(values).hide_default_value(true),
                _ => argument.default_values(values),
            })
        });
    };
    command.mut_subcommand(name, |subcommand| with_defaults(subcommand, rest, assignments))
}

#[cfg(test)]
mod tests;
