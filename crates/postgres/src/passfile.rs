//! Passwords in a file, in the form of `~/.pgpass` (PostgreSQL manual, "The Password File").

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use segcdc_model::Secret;

use crate::config::{Endpoint, SourceConfig};
use crate::error::{LinkError, SourceError};

/// Permission bits that let others in.
const OTHERS: u32 = 0o077;

/// The configuration, with the password of the file if it has none of its own. It must have one host.
pub(crate) fn with_password(config: &SourceConfig) -> Result<SourceConfig, SourceError> {
    let (None, Some(path)) = (&config.password, &config.password_file) else { return Ok(config.clone()) };
    let text = read(path)?;
    let (hosts, port) = match config.hosts.first() {
        Some(Endpoint::Tcp { host, port, .. }) => (vec![host.clone()], *port),
        Some(Endpoint::Unix { directory, port }) => {
            (vec!["localhost".to_owned(), directory.display().to_string()], *port)
        }
        None => return Ok(config.clone()),
    };
    let port = port.to_string();
    let password = hosts.iter().find_map(|host| find(&text, [host, &port, &config.database, &config.user]));
    Ok(SourceConfig { password: password.map(Secret::new), ..config.clone() })
}

/// The file, which must be closed to others.
fn read(path: &Path) -> Result<String, SourceError> {
    let bad = |problem: String| LinkError::PasswordFile { path: path.to_owned(), problem }.into();
    let metadata = fs::metadata(path).map_err(|error| bad(error.to_string()))?;
    if !metadata.is_file() {
        return Err(bad("it is not a plain file".to_owned()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(bad(format!("others can read it (mode {mode:04o})")));
    }
    fs::read_to_string(path).map_err(|error| bad(error.to_string()))
}

/// The password of the first line whose four fields are these, or `*`.
fn find(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for value in wanted {
            let (field, after) = split(rest)?;
            if field != "*" && unescape(field) != value {
                return None;
            }
            rest = after;
        }
        Some(unescape(rest))
    })
}

/// A field, and what is behind its colon. A backslash takes the meaning from the next character.
fn split(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            '\\' if !escaped => escaped = true,
            ':' if !escaped => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => escaped = false,
        }
    }
    None
}

/// A field without its backslashes.
fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_that_fits_counts() {
        let text = "# comment\n\nbroken\nh:5432:d:u:one\nh:*:d:u:two\n[::1]:1:d:u:no\n\
                    \\:\\:1:*:d:u:six\n*:*:*:u\\:v\\\\:a\\:b\\\\c\n*:*:*:other:with:colons\n";
        let check = |wanted: [&str; 4], expected: Option<&str>| {
            assert_eq!(find(text, wanted).as_deref(), expected, "{wanted:?}");
        };
        check(["h", "5432", "d", "u"], Some("one"));
        check(["h", "5433", "d", "u"], Some("two"));
        check(["h", "5433", "e", "u"], None);
        check(["::1", "9", "d", "u"], Some("six"));
        check(["h", "1", "d", "u:v\\"], Some("a:b\\c"));
        check(["h", "1", "d", "other"], Some("with:colons"));
    }
}
