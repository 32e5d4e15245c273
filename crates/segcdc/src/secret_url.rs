//! URLs with passwords: where they come from, and how they are kept out of sight.
//!
//! A command line can be read by every user of the machine for as long as the process lives. A URL with a password in
//! it is therefore moved into the environment, which only its owner can read, and the process executes itself again.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::error::CliError;

/// The flags that take a URL, a user and password, or keys, and the variables that do the same.
pub(crate) const URL_FLAGS: [(&str, &str); 5] = [
    ("--source", "SEGCDC_SOURCE_URL"),
    ("--target", "SEGCDC_TARGET_URL"),
    ("--connect-auth", AUTHS[0]),
    ("--kafka-auth", AUTHS[1]),
    ("--master-key", MASTER_KEY),
];

/// The variables of a user and password that are no URL.
const AUTHS: [&str; 2] = ["SEGCDC_CONNECT_AUTH", "SEGCDC_KAFKA_AUTH"];

/// The variable of master keys, which are secret whatever they look like.
const MASTER_KEY: &str = "SEGCDC_MASTER_KEY";

/// Longest URL that is read from a file or standard input, bytes.
const MAX_URL_BYTES: u64 = 16 * 1024;

/// A command line without the URLs that have a password.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hidden {
    /// Arguments that are left, without the program's name.
    pub(crate) arguments: Vec<OsString>,
    /// Variables to set.
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

/// Takes URLs with a password out of a command line; `None` when there is none. A URL that is given twice stays, so
/// that it is refused as such.
pub(crate) fn hide(arguments: &[OsString]) -> Option<Hidden> {
    let mut hidden = Hidden { arguments: Vec::new(), variables: Vec::new() };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (flag, value, taken) = match split_flag(argument) {
            Some((variable, Some(value))) => (variable, value, vec![argument.clone()]),
            Some((variable, None)) => match rest.next() {
                Some(value) => (variable, value.clone(), vec![argument.clone(), value.clone()]),
                None => {
                    hidden.arguments.push(argument.clone());
                    continue;
                }
            },
            None => {
                hidden.arguments.push(argument.clone());
                continue;
            }
        };
        let known = hidden.variables.iter().any(|(variable, _)| *variable == flag);
        if has_password(flag, &value) && !known {
            hidden.variables.push((flag, value));
        } else {
            hidden.arguments.extend(taken);
        }
    }
    (!hidden.variables.is_empty()).then_some(hidden)
}

/// Executes this program again with the URLs in the environment. Returns only if that fails.
pub(crate) fn execute_again(hidden: Hidden) -> CliError {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            return CliError::runtime("EXECUTE_AGAIN", "this program's file cannot be found", &error);
        }
    };
    let error = Command::new(program).args(hidden.arguments).envs(hidden.variables).exec();
    CliError::runtime("EXECUTE_AGAIN", "this program cannot be executed again to hide a password", &error)
}

/// Replaces the password of each URL in a text by `***`. For texts that repeat the command line.
pub(crate) fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || c == '\'').unwrap_or(after.len());
        let (url, behind) = after.split_at_checked(end).unwrap_or((after, ""));
        rest = behind;
        match url.rsplit_once('@') {
            Some((user, host)) => {
                out.push_str(user.split(':').next().unwrap_or_default());
                out.push_str(":***@");
                out.push_str(host);
            }
            None => out.push_str(url),
        }
    }
    out.push_str(rest);
    out
}

/// The URL that a value of `--source` or `--target` means: itself, a file's content (`@file`), or a line of standard
/// input (`-`).
///
/// # Errors
/// When the file or standard input cannot be read or is empty.
pub(crate) fn resolve(flag: &str, value: &str, input: &mut dyn BufRead) -> Result<String, CliError> {
    let unreadable = |place: &str, error: &io::Error| {
        let message = format!("the URL of {flag} cannot be read from {place}");
        CliError::usage("URL_FILE", message, "").because(error)
    };
    let (text, place) = if value == "-" {
        let mut line = String::new();
        let mut limited = io::Read::take(&mut *input, MAX_URL_BYTES);
        limited.read_line(&mut line).map_err(|error| unreadable("standard input", &error))?;
        (line, "standard input".to_owned())
    } else if let Some(path) = value.strip_prefix('@') {
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| io::Read::read_to_string(&mut io::Read::take(file, MAX_URL_BYTES), &mut text))
            .map_err(|error| unreadable(path, &error))?;
        (text, path.to_owned())
    } else {
        (value.to_owned(), "the command line".to_owned())
    };
    if text.len() as u64 == MAX_URL_BYTES {
        let message = format!("the URL of {flag} from {place} is {MAX_URL_BYTES} bytes long or longer");
        return Err(CliError::usage("URL_FILE", message, "give one URL, on a line of its own"));
    }
    let url = text.trim();
    if url.is_empty() {
        let message = format!("the URL of {flag} from {place} is empty");
        return Err(CliError::usage("URL_MISSING", message, "give one URL, on a line of its own"));
    }
    Ok(url.to_owned())
}

/// The variable of a URL flag, and the value behind its `=`.
fn split_flag(argument: &OsStr) -> Option<(&'static str, Option<OsString>)> {
    URL_FLAGS.iter().find_map(|(flag, variable)| {
        let rest = argument.as_bytes().strip_prefix(flag.as_bytes())?;
        match rest {
            [] => Some((*variable, None)),
            [b'=', value @ ..] => Some((*variable, Some(OsStr::from_bytes(value).to_owned()))),
            _ => None,
        }
    })
}

/// Whether a value has a password in it: in front of the `@`, or as a parameter; or is user and password itself.
fn has_password(variable: &str, value: &OsStr) -> bool {
    let text = value.to_string_lossy();
    if AUTHS.contains(&variable) {
        return !text.starts_with('@') && text != "-";
    }
    if variable == MASTER_KEY {
        return true;
    }
    let Some((_, rest)) = text.split_once("://") else { return false };
    let in_user = rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    in_user || text.contains("password=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn urls_with_a_password_leave_the_command_line() {
        let given = arguments(&[
            "up",
            "--source",
            "postgres://u:p@h/d",
            "--target=sqlserver://u:q@h/d",
            "--tables",
            "a",
        ]);
        let hidden = hide(&given).unwrap();
        assert_eq!(hidden.arguments, arguments(&["up", "--tables", "a"]));
        assert_eq!(
            hidden.variables,
            [
                ("SEGCDC_SOURCE_URL", OsString::from("postgres://u:p@h/d")),
                ("SEGCDC_TARGET_URL", OsString::from("sqlserver://u:q@h/d")),
            ]
        );
    }

    #[test]
    fn user_and_password_of_workers_and_brokers_leave_it_too() {
        let hidden = hide(&arguments(&["status", "--connect-auth", "u:p"])).unwrap();
        assert_eq!(hidden.arguments, arguments(&["status"]));
        assert_eq!(hidden.variables, [("SEGCDC_CONNECT_AUTH", OsString::from("u:p"))]);
        assert_eq!(hide(&arguments(&["status", "--connect-auth", "@file"])), None);
        let hidden = hide(&arguments(&["down", "--kafka-auth=u:p", "--drop"])).unwrap();
        assert_eq!(hidden.arguments, arguments(&["down", "--drop"]));
        assert_eq!(hidden.variables, [("SEGCDC_KAFKA_AUTH", OsString::from("u:p"))]);
    }

    #[test]
    fn master_keys_leave_it_too_and_files_of_them_do_not() {
        let hidden = hide(&arguments(&["serve", "--master-key=k1 x", "--master-key-file", "f"])).unwrap();
        assert_eq!(hidden.arguments, arguments(&["serve", "--master-key-file", "f"]));
        assert_eq!(hidden.variables, [("SEGCDC_MASTER_KEY", OsString::from("k1 x"))]);
    }

    #[test]
    fn other_command_lines_stay_as_they_are() {
        for words in [
            &["up", "--source", "postgres://u@h/d"][..],
            &["up", "--source", "@file", "--target", "-"],
            &["up", "--source"],
            &["up", "--sources", "postgres://u:p@h/d"],
            &["version"],
            &[],
        ] {
            assert_eq!(hide(&arguments(words)), None, "{words:?}");
        }
    }

    #[test]
    fn a_url_given_twice_is_left_to_be_refused() {
        let hidden = hide(&arguments(&["--source", "a://u:p@h", "--source", "a://u:p@h"])).unwrap();
        assert_eq!(hidden.arguments, arguments(&["--source", "a://u:p@h"]));
    }

    #[test]
    fn passwords_are_not_repeated() {
        let check = |text: &str, expected: &str| assert_eq!(redact(text), expected);
        check(
            "unexpected argument 'postgres://u:p@ss@h/d' found",
            "unexpected argument 'postgres://u:***@h/d' found",
        );
        check("a://h/d b://x:y@z", "a://h/d b://x:***@z");
        check("nothing here: a@b", "nothing here: a@b");
    }

    #[test]
    fn urls_come_from_files_and_standard_input() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "postgres://u:p@h/d\n").unwrap();
        let at = format!("@{}", file.path().display());
        let mut input = io::Cursor::new("sqlserver://a\npostgres://b\n");
        let mut read = |value: &str| resolve("--source", value, &mut input);
        assert_eq!(read(&at).unwrap(), "postgres://u:p@h/d");
        assert_eq!(read("-").unwrap(), "sqlserver://a");
        assert_eq!(read("-").unwrap(), "postgres://b");
        assert_eq!(read("-").unwrap_err().code, "URL_MISSING");
        assert_eq!(read("@/no/such/file").unwrap_err().code, "URL_FILE");
    }
}
