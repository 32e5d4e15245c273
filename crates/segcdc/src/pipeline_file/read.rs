//! From nodes to assignments: what each key of the file says about which argument.

use std::path::{Path, PathBuf};

use segcdc_control::spelling::nearest;

use super::document::{Content, Key, Node};
use super::error::FileError;
use super::place::Place;
use super::settings::{self, Form, Setting, VERSION};
use super::{load, references, rule_form, secrets};

/// What a key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The key's path.
    pub(super) path: &'static str,
    /// The argument's id.
    pub(super) argument: &'static str,
    /// Its values: one, or those of a list.
    pub(super) values: Vec<Said>,
    /// Where the key stands.
    pub(super) place: Place,
}

/// One value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// As the argument takes it.
    pub(super) text: String,
    /// Where it stands.
    pub(super) place: Place,
}

/// What a file says, and all that is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// What it says.
    pub(super) assignments: Vec<Assignment>,
    /// What is wrong.
    pub(super) problems: Vec<FileError>,
}

/// Reads nodes. `folder` is what paths are relative to.
pub(super) fn read(node: &Node, folder: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Read {
    let mut reader = Reader { folder, variable, read: Read::default(), passwords: Vec::new() };
    match &node.content {
        Content::Map(entries) => reader.section("", entries),
        Content::Scalar(..) | Content::List(_) => {
            reader.wrong(&node.place, "the file", "keys with values are expected");
        }
    }
    reader.passwords_into_urls();
    reader.certificates();
    reader.read
}

/// A password that the file says where to get.
struct Password {
    /// `source` or `target`.
    section: &'static str,
    place: Place,
    text: String,
}

struct Reader<'a> {
    folder: &'a Path,
    variable: &'a dyn Fn(&str) -> Option<String>,
    read: Read,
    passwords: Vec<Password>,
}

impl Reader<'_> {
    /// The entries of a section.
    fn section(&mut self, section: &str, entries: &[(Key, Node)]) {
        for (key, value) in entries {
            let path = if section.is_empty() { key.name.clone() } else { format!("{section}.{}", key.name) };
            if !settings::keys_of(section).contains(&key.name.as_str()) {
                self.unknown(section, key);
            } else if let Some(setting) = settings::of_path(&path) {
                self.setting(setting, key, value);
            } else if settings::is_section(&path) {
                match &value.content {
                    Content::Map(entries) => self.section(&path, entries),
                    content if is_nothing(content) => {}
                    _ => self.wrong(&value.place, &path, "keys with values are expected"),
                }
            } else {
                self.other(&path, key, value);
            }
        }
    }

    /// A key that is no argument.
    fn other(&mut self, path: &str, key: &Key, value: &Node) {
        match path {
            VERSION => {
                if let Some(version) = self.text(path, value).filter(|version| version != "1") {
                    self.read.problems.push(FileError::Version { place: value.place.clone(), version });
                }
            }
            "source.password" | "target.password" => {
                if !matches!(&value.content, Content::Scalar(text, _) if references::is_reference(text)) {
                    let place = value.place.clone();
                    self.read.problems.push(FileError::SecretInClear { place, key: path.to_owned() });
                } else if let Some(text) = self.text(path, value) {
                    self.password(path, &key.place, text);
                }
            }
            _ => {
                let Some(file) = self.text(path, value) else { return };
                match load::secret(&self.folder.join(file)) {
                    Ok(text) => self.password(path, &key.place, text),
                    Err(reason) => {
                        let (place, key) = (value.place.clone(), path.to_owned());
                        self.read.problems.push(FileError::SecretFile { place, key, reason });
                    }
                }
            }
        }
    }

    fn password(&mut self, path: &str, place: &Place, text: String) {
        let section = if path.starts_with("source") { "source" } else { "target" };
        if self.passwords.iter().any(|known| known.section == section) {
            let reason = "password and password_file are both given; leave one of them";
            return self.wrong(place, path, reason);
        }
        self.passwords.push(Password { section, place: place.clone(), text });
    }

    /// A key that is an argument.
    fn setting(&mut self, setting: &'static Setting, key: &Key, value: &Node) {
        let path = setting.path;
        let values = match (setting.form, &value.content) {
            (Form::List | Form::Rules(_), content) if is_nothing(content) => return,
            (Form::List, Content::List(items)) => {
                items.iter().filter_map(|item| self.said(self.text_of(path, item), item)).collect()
            }
            (Form::List, _) => return self.wrong(&value.place, path, "a list is expected: [a, b]"),
            (Form::Rules(form), Content::Map(entries)) => self.rules(path, form, entries),
            (Form::Rules(_), _) => {
                return self.wrong(&value.place, path, "keys with values are expected");
            }
            (form, _) => self.scalar(path, form, value).into_iter().collect::<Vec<Said>>(),
        };
        if !values.is_empty() {
            let (argument, place) = (setting.argument, key.place.clone());
            self.read.assignments.push(Assignment { path, argument, values, place });
        }
    }

    /// What a list's item or a scalar says, or a problem more.
    fn said(&mut self, text: Result<String, FileError>, node: &Node) -> Option<Said> {
        match text {
            Ok(text) => Some(Said { text, place: node.place.clone() }),
            Err(problem) => {
                self.read.problems.push(problem);
                None
            }
        }
    }

    fn rules(&mut self, path: &str, form: settings::Rules, entries: &[(Key, Node)]) -> Vec<Said> {
        let mut said = Vec::new();
        for (key, value) in entries {
            let found = {
                let mut text = |node: &Node| match self.rule_text(path, node) {
                    Ok(text) => Some(text),
                    Err(problem) => {
                        self.read.problems.push(problem);
                        None
                    }
                };
                rule_form::rules(form, key, value, &mut text)
            };
            for rule in found {
                match rule {
                    Ok(text) => said.push(Said { text, place: key.place.clone() }),
                    Err((reason, node)) => {
                        self.wrong(&node.place, &format!("{path}.{}", key.name), reason);
                    }
                }
            }
        }
        said
    }

    /// A value that is no list.
    fn scalar(&mut self, path: &str, form: Form, value: &Node) -> Option<Said> {
        if let Content::Scalar(text, _) = &value.content {
            let in_clear = match form {
                Form::Url => secrets::in_clear(text),
                Form::Secret => !text.starts_with('@') && !references::is_reference(text),
                _ => false,
            };
            if in_clear {
                let (place, key) = (value.place.clone(), path.to_owned());
                self.read.problems.push(FileError::SecretInClear { place, key });
                return None;
            }
        }
        let text = self.text(path, value)?;
        let expected = match form {
            Form::Number(least, most) => {
                let fits = text.parse::<u16>().is_ok_and(|number| (least..=most).contains(&number));
                (!fits).then(|| format!("a whole number from {least} to {most} is expected"))
            }
            Form::Flag => {
                (!matches!(text.as_str(), "true" | "false")).then(|| "true or false is expected".to_owned())
            }
            _ => None,
        };
        if let Some(expected) = expected {
            self.wrong(&value.place, path, &expected);
            return None;
        }
        let text = match form {
            Form::Path => self.folder.join(text).display().to_string(),
            _ => text,
        };
        Some(Said { text, place: value.place.clone() })
    }

    fn text(&mut self, path: &str, node: &Node) -> Option<String> {
        let text = self.text_of(path, node);
        self.said(text, node).map(|said| said.text)
    }

    /// The text of a scalar that is not null, with its references resolved.
    fn text_of(&self, path: &str, node: &Node) -> Result<String, FileError> {
        if let Content::Scalar(text, true) = &node.content
            && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
        {
            let reason = "it has no value; leave the key away, or put what is meant in quotes".to_owned();
            return Err(FileError::Value { place: node.place.clone(), key: path.to_owned(), reason });
        }
        self.rule_text(path, node)
    }

    /// The same for rules, in which null is a word.
    fn rule_text(&self, path: &str, node: &Node) -> Result<String, FileError> {
        let (place, key) = (node.place.clone(), path.to_owned());
        match &node.content {
            Content::Scalar(text, _) => references::resolve(text, self.variable)
                .map_err(|reason| FileError::Reference { place, key, reason }),
            Content::List(_) | Content::Map(_) => {
                Err(FileError::Value { place, key, reason: "a single value is expected".to_owned() })
            }
        }
    }

    /// Brings passwords into their URLs.
    fn passwords_into_urls(&mut self) {
        for Password { section, place, text } in std::mem::take(&mut self.passwords) {
            let path = format!("{section}.password");
            let url = self.read.assignments.iter_mut().find(|known| known.argument == section);
            let Some(said) = url.and_then(|assignment| assignment.values.first_mut()) else {
                // A URL that has a problem is missing here too, and its problem is told.
                if self.read.problems.is_empty() {
                    self.wrong(&place, &path, &format!("there is no {section}.url that it belongs to"));
                }
                continue;
            };
            match secrets::with_password(&said.text, &text) {
                Some(with) => said.text = with,
                None => {
                    let reason = format!("{section}.url has to name a user, and no password of its own");
                    self.wrong(&place, &path, &reason);
                }
            }
        }
    }

    /// A certificate needs its key.
    fn certificates(&mut self) {
        let find = |id: &str| self.read.assignments.iter().find(|known| known.argument == id);
        let missing = match (find("kafka_cert_file"), find("kafka_key_file")) {
            (Some(certificate), None) => {
                Some((certificate.place.clone(), "kafka.cert_file", "kafka.key_file"))
            }
            (None, Some(key)) => Some((key.place.clone(), "kafka.key_file", "kafka.cert_file")),
            _ => None,
        };
        if let Some((place, path, other)) = missing {
            self.wrong(&place, path, &format!("{other} is missing"));
        }
    }

    fn unknown(&mut self, section: &str, key: &Key) {
        let known = settings::keys_of(section);
        let moved = settings::SETTINGS.iter().find(|setting| {
            setting.argument == key.name || setting.path.ends_with(&format!(".{}", key.name))
        });
        let meant = match (nearest(&key.name, known.iter().copied()), moved) {
            (Some(near), _) => format!("; did you mean \"{near}\"?"),
            (None, Some(setting)) => format!("; did you mean \"{}\"?", setting.path.replace('.', ": ")),
            (None, None) => format!("; there are {}", known.join(", ")),
        };
        let section = if section.is_empty() { String::new() } else { format!(" in {section}") };
        let name: String = key.name.chars().filter(|c| !c.is_control()).take(80).collect();
        self.read.problems.push(FileError::UnknownKey {
            place: key.place.clone(),
            key: name,
            section,
            meant,
        });
    }

    fn wrong(&mut self, place: &Place, key: &str, reason: &str) {
        let (place, key) = (place.clone(), key.to_owned());
        self.read.problems.push(FileError::Value { place, key, reason: reason.to_owned() });
    }
}

/// A key without a value.
fn is_nothing(content: &Content) -> bool {
    matches!(content, Content::Scalar(text, true) if text.is_empty())
}

/// What paths of a file are relative to.
pub(super) fn folder(file: &Path) -> PathBuf {
    file.parent().map(Path::to_path_buf).unwrap_or_default()
}

#[cfg(test)]
mod tests;
