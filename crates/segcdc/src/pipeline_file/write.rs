//! From what is said of a pipeline to a file that says it: the other way round than [`super::read`].
//!
//! Passwords do not come into the file: a reference to a variable stands for them, and its name is told.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::quote::quoted;
use super::secrets;
use super::settings::{DEFAULT, Form, Rules, SETTINGS, Setting};
use crate::arguments::Given;

/// A file, and the variables that have to be set for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// The file.
    pub(crate) yaml: String,
    /// Names of variables that hold what is secret.
    pub(crate) variables: Vec<&'static str>,
}

/// A value of a mapping or list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    List(Vec<String>),
    Map(Vec<(String, String)>),
}

/// Writes a file, with its keys in the order of the reference page.
pub(crate) fn write(given: &[Given]) -> Written {
    let mut file = Written { yaml: "version: 1\n".to_owned(), variables: Vec::new() };
    let mut sections: BTreeSet<&str> = BTreeSet::new();
    for setting in &SETTINGS {
        let Some(given) = given.iter().find(|given| given.path == setting.path && !given.values.is_empty())
        else {
            continue;
        };
        let (section, key) = setting.path.split_once('.').unwrap_or(("", setting.path));
        if !section.is_empty() && sections.insert(section) {
            file.line(0, &format!("{section}:"));
        }
        let depth = usize::from(!section.is_empty());
        file.setting(setting, depth, key, &given.values);
    }
    file
}

// === impl Written ===

impl Written {
    fn line(&mut self, depth: usize, text: &str) {
        // Writing to a String cannot fail.
        let _infallible = writeln!(self.yaml, "{:indent$}{text}", "", indent = depth * 2);
    }

    fn setting(&mut self, setting: &Setting, depth: usize, key: &str, values: &[String]) {
        let first = values.first().map(String::as_str).unwrap_or_default();
        match setting.form {
            Form::Url => self.url(setting, depth, first),
            Form::Secret => {
                let text = match first.starts_with('@') {
                    true => scalar(first),
                    false => self.reference(variable(setting.path)),
                };
                self.line(depth, &format!("{key}: {text}"));
            }
            Form::List => self.list(depth, key, values),
            Form::Rules(form) => {
                self.line(depth, &format!("{key}:"));
                for (name, value) in entries(form, values) {
                    self.entry(depth + 1, &name, &value);
                }
            }
            Form::Text | Form::Choice | Form::Number(..) | Form::Flag | Form::Path => {
                self.line(depth, &format!("{key}: {}", scalar(first)));
            }
        }
    }

    fn list(&mut self, depth: usize, key: &str, items: &[String]) {
        self.line(depth, &format!("{key}:"));
        items.iter().for_each(|item| self.line(depth + 1, &format!("- {}", scalar(item))));
    }

    fn entry(&mut self, depth: usize, name: &str, value: &Value) {
        let name = quoted(name);
        match value {
            Value::Text(text) => self.line(depth, &format!("{name}: {}", scalar(text))),
            Value::List(items) => self.list(depth, &name, items),
            Value::Map(entries) => {
                self.line(depth, &format!("{name}:"));
                for (name, text) in entries {
                    self.line(depth + 1, &format!("{}: {}", quoted(name), scalar(text)));
                }
            }
        }
    }

    /// A URL without its password, which a variable holds; or a variable for all of it, where more of it is secret.
    fn url(&mut self, setting: &Setting, depth: usize, url: &str) {
        let whole = variable(setting.path);
        let (bare, had_password) = secrets::without_password(url);
        if url == "-" || secrets::in_clear(&bare) {
            let text = self.reference(whole);
            return self.line(depth, &format!("url: {text}"));
        }
        self.line(depth, &format!("url: {}", scalar(&bare)));
        if had_password {
            let text = self.reference(password_variable(setting.path));
            self.line(depth, &format!("password: {text}"));
        }
    }

    fn reference(&mut self, name: &'static str) -> String {
        self.variables.push(name);
        format!("${{{name}}}")
    }
}

/// The variable that stands for a secret value as a whole.
fn variable(path: &str) -> &'static str {
    match path {
        "source.url" => "SOURCE_URL",
        "target.url" => "TARGET_URL",
        "kafka_connect.auth" => "CONNECT_AUTH",
        _ => "KAFKA_AUTH",
    }
}

fn password_variable(path: &str) -> &'static str {
    if path == "source.url" { "SOURCE_PASSWORD" } else { "TARGET_PASSWORD" }
}

/// The entries of a mapping that say the rules. Of two rules about the same the later one counts, and is written.
fn entries(form: Rules, rules: &[String]) -> Vec<(String, Value)> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    for rule in rules {
        let (name, value) = entry(form, rule);
        let known = entries.iter_mut().find(|(known, _)| *known == name);
        match (known, value) {
            (Some((_, Value::Map(kinds))), Value::Map(more)) => {
                for (kind, policy) in more {
                    kinds.retain(|(known, _)| *known != kind);
                    kinds.push((kind, policy));
                }
            }
            (Some((_, known)), value) => *known = value,
            (None, value) => entries.push((name, value)),
        }
    }
    entries
}

/// The entry that says a rule.
fn entry(form: Rules, rule: &str) -> (String, Value) {
    let text = |text: &str| Value::Text(text.trim().to_owned());
    match form {
        Rules::Equals | Rules::EqualsOrAll | Rules::CountOrAll => match (split(rule, '='), form) {
            (Some((name, says)), _) => (name.to_owned(), text(says)),
            (None, Rules::EqualsOrAll | Rules::CountOrAll) => (DEFAULT.to_owned(), text(rule)),
            // The policy that a rule has which names none.
            (None, _) => (rule.trim().to_owned(), text("halt")),
        },
        Rules::Constant => match split(rule, '=') {
            Some((name, says)) => (name.to_owned(), text(says)),
            None => (rule.to_owned(), text("")),
        },
        Rules::Condition => match split(rule, ':') {
            Some((name, says)) => (name.to_owned(), text(says)),
            None => (rule.to_owned(), text("")),
        },
        Rules::Columns | Rules::IndexOrColumns => match split(rule, '=') {
            Some((name, says)) => {
                let says = says.trim();
                let columns = says.strip_prefix('(').and_then(|says| says.strip_suffix(')'));
                (name.to_owned(), columns.map_or_else(|| text(says), |columns| Value::List(items(columns))))
            }
            None => (rule.to_owned(), text("")),
        },
        Rules::Changes => match split(rule, ':') {
            Some((table, says)) => {
                let (kind, policy) = split(says, '=').unwrap_or((DEFAULT, says));
                (table.to_owned(), Value::Map(vec![(kind.to_owned(), policy.trim().to_owned())]))
            }
            None => match split(rule, '=') {
                Some((kind, policy)) => (kind.to_owned(), text(policy)),
                None => (DEFAULT.to_owned(), text(rule)),
            },
        },
    }
}

/// What stands before and behind the first such sign that is not inside of double quotes, without blanks around the first.
fn split(text: &str, sign: char) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = text.find(|c: char| {
        quoted ^= c == '"';
        c == sign && !quoted
    })?;
    let (before, behind) = text.split_at_checked(at)?;
    Some((before.trim(), behind.strip_prefix(sign)?))
}

/// The items of a list with commas, which may stand inside of double quotes.
fn items(mut text: &str) -> Vec<String> {
    let mut items = Vec::new();
    while let Some((item, rest)) = split(text, ',') {
        items.push(item.to_owned());
        text = rest;
    }
    items.push(text.trim().to_owned());
    items
}

/// A value, in which dollar signs and braces are what they are; in keys they are always.
fn scalar(text: &str) -> String {
    quoted(&text.replace("${", "$${"))
}

#[cfg(test)]
mod tests;
