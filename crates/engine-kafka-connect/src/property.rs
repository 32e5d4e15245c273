//! [`Property`] and [`Connector`]: a connector's configuration with the reason for each line of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Property names and values, as Kafka Connect takes them.
pub type Properties = BTreeMap<String, String>;

/// One line of a connector's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// Its value; a placeholder where it is a secret.
    pub value: String,
    /// Why it has this value.
    pub reason: String,
}

/// Whether a connector reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It reads PostgreSQL.
    Source,
    /// It writes SQL Server.
    Sink,
}

/// A connector as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Connector {
    /// Its name in the Connect cluster.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Its Java class.
    pub class: String,
    /// Its configuration, in the order in which it is explained.
    pub properties: Vec<Property>,
}

/// Collects properties, passing over those that the plugin does not have.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    /// What the plugin declares; `None` when it is not known.
    options: Option<&'a BTreeSet<String>>,
    properties: Vec<Property>,
}

// === impl Role ===

impl Role {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Sink => "sink",
        }
    }
}

// === impl Connector ===

impl Connector {
    /// The configuration as the worker takes it.
    pub fn to_properties(&self) -> Properties {
        self.properties.iter().map(|line| (line.name.clone(), line.value.clone())).collect()
    }

    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|line| line.name == name).map(|line| line.value.as_str())
    }

    /// Takes a property out.
    pub(crate) fn remove(&mut self, name: &str) {
        self.properties.retain(|line| line.name != name);
    }
}

// === impl Builder ===

impl<'a> Builder<'a> {
    /// An empty configuration of a plugin with these options.
    pub(crate) fn new(options: Option<&'a BTreeSet<String>>) -> Self {
        Builder { options, properties: Vec::new() }
    }

    /// Adds a property that the set-up cannot do without.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>, reason: &str) -> &mut Self {
        self.properties.push(Property {
            name: name.to_owned(),
            value: value.into(),
            reason: reason.to_owned(),
        });
        self
    }

    /// Adds a property that older versions do not have and then do without.
    pub(crate) fn set_if_known(&mut self, name: &str, value: impl Into<String>, reason: &str) -> &mut Self {
        if self.options.is_none_or(|options| options.contains(name)) {
            self.set(name, value, reason);
        }
        self
    }

    /// The lines.
    pub(crate) fn finish(self) -> Vec<Property> {
        self.properties
    }
}

/// A regular expression that means exactly `text`, for Java, in a list that is separated by commas.
///
/// A comma within a name is written as `\x2C`: Debezium separates lists at commas before it reads the expressions, and
/// passes over blanks around them, so leading and trailing blanks are written as `\x20`.
pub(crate) fn exactly(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => pattern.push(character),
            '.' | '-' | '$' | '(' | ')' | '[' | ']' | '{' | '}' | '+' | '*' | '?' | '^' | '|' | '\\' => {
                pattern.push('\\');
                pattern.push(character);
            }
            other if other.is_ascii() => pattern.push_str(&format!("\\x{:02X}", u32::from(other))),
            other => pattern.push_str(&format!("\\x{{{:X}}}", u32::from(other))),
        }
    }
    pattern
}

/// Several of them as one list.
pub(crate) fn exactly_any<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(exactly).collect::<Vec<_>>().join(",")
}

/// The properties that differ, with what is there and what is wanted.
pub fn differences(found: &Properties, wanted: &Properties) -> Vec<Change> {
    let names: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let changed = names.into_iter().filter(|name| found.get(*name) != wanted.get(*name));
    // The worker adds the connector's own name.
    changed
        .filter(|name| name.as_str() != "name")
        .map(|name| Change {
            name: name.clone(),
            found: found.get(name).map(|value| shown(name, value)),
            wanted: wanted.get(name).cloned(),
        })
        .collect()
}

/// A value that a worker has, as it can be shown: somebody may have put a password there by hand.
fn shown(name: &str, value: &str) -> String {
    let is_secret =
        ["password", "secret", "jaas", "credential", "token"].iter().any(|word| name.contains(word));
    if is_secret && !(value.starts_with("${") && value.ends_with('}')) {
        return "***".to_owned();
    }
    value.to_owned()
}

/// A property that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The property.
    pub name: String,
    /// What the worker has; `None` when it is not set.
    pub found: Option<String>,
    /// What it should be; `None` when it should not be set.
    pub wanted: Option<String>,
}

// === impl Change ===

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        write!(f, "{}: {} -> {}", self.name, value(&self.found), value(&self.wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads what [`exactly`] writes, as Java's `Pattern` would, and gives the text that it means.
    fn meaning(pattern: &str) -> Option<String> {
        let mut text = String::new();
        let mut rest = pattern.chars();
        while let Some(character) = rest.next() {
            if character != '\\' {
                // Whatever means something to Java has to be escaped.
                if ".-$()[]{}+*?^|, #&".contains(character) {
                    return None;
                }
                text.push(character);
                continue;
            }
            match rest.next()? {
                'x' => {
                    let mut digits: String = rest.by_ref().take(2).collect();
                    if let Some(first) = digits.strip_prefix('{') {
                        digits = first.to_owned();
                        digits.extend(rest.by_ref().take_while(|character| *character != '}'));
                    }
                    text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                }
                // A letter behind a backslash is a class or an anchor.
                letter if letter.is_ascii_alphanumeric() => return None,
                other => text.push(other),
            }
        }
        Some(text)
    }

    #[test]
    fn a_name_is_taken_literally() {
        let check = |name: &str, expected: &str| assert_eq!(exactly(name), expected);
        check("public.orders", "public\\.orders");
        check("a,b", "a\\x2Cb");
        check(" a ", "\\x20a\\x20");
        check("x$(y)", "x\\$\\(y\\)");
        check("größe", "gr\\x{F6}\\x{DF}e");
        assert_eq!(exactly_any(["a.b", "c,d"]), "a\\.b,c\\x2Cd");
    }

    proptest! {
        #[test]
        fn every_name_means_itself_and_stays_one_entry(name in "\\PC{0,20}|[ -~]{0,20}") {
            let pattern = exactly(&name);
            prop_assert_eq!(meaning(&pattern), Some(name));
            prop_assert!(!pattern.contains(','));
            prop_assert_eq!(pattern.trim(), &pattern);
        }
    }

    #[test]
    fn differences_are_named() {
        let of = |pairs: &[(&str, &str)]| -> Properties {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let found = of(&[("name", "c"), ("a", "1"), ("b", "2"), ("d", "4")]);
        let wanted = of(&[("a", "1"), ("b", "3"), ("c", "5")]);
        let names: Vec<_> = differences(&found, &wanted).into_iter().map(|change| change.name).collect();
        assert_eq!(names, ["b", "c", "d"]);
        let words: Vec<_> = differences(&found, &wanted).iter().map(ToString::to_string).collect();
        assert_eq!(words, ["b: 2 -> 3", "c: not set -> 5", "d: 4 -> not set"]);
    }

    #[test]
    fn a_password_that_somebody_has_put_there_is_not_shown() {
        let found = |name: &str, value: &str| {
            let found = Properties::from([(name.to_owned(), value.to_owned())]);
            differences(&found, &Properties::new()).pop().and_then(|change| change.found).unwrap()
        };
        assert_eq!(found("database.password", "c4nary"), "***");
        assert_eq!(found("connection.password", "c4nary"), "***");
        assert_eq!(found("producer.override.sasl.jaas.config", "c4nary"), "***");
        assert_eq!(found("database.password", "${file:/a:b}"), "${file:/a:b}");
        assert_eq!(found("batch.size", "7"), "7");
    }
}
