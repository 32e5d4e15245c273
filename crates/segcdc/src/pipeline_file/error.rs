//! [`FileError`]: what is wrong with a pipeline file, and [`one_error`], all of that as one error.

use segcdc_model::{Disposition, Fault};

use super::place::Place;
use crate::error::CliError;

/// What is wrong with a pipeline file. Messages name keys and places, and never a value that may be secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// A pipeline file is missing, no file, not to be read, larger than 1 MiB or not UTF-8.
    #[error("the pipeline file {file} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says, or what is wrong.
        reason: String,
    },
    /// A pipeline file is no YAML, or YAML that it must not be: several documents, tags, merge keys, or aliases that unfold to
    /// too much.
    #[error("{place}: {reason}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong.
        reason: String,
    },
    /// A key of a pipeline file that means nothing.
    #[error("{place}: there is no key \"{key}\"{section}{meant}")]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// In which section, with a word in front.
        section: String,
        /// What may have been meant, as the rest of the sentence.
        meant: String,
    },
    /// A key is given twice in a pipeline file.
    #[error("{place}: the key \"{key}\" is given a second time; first in line {first}")]
    DuplicateKey {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// Line of the first.
        first: usize,
    },
    /// A value of a pipeline file that its key does not take.
    #[error("{place}: {key}: {reason}")]
    Value {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A reference of a pipeline file to a variable that is not set, or that cannot be understood.
    #[error("{place}: {key}: {reason}")]
    Reference {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A pipeline file holds a password itself.
    #[error("{place}: {key} holds a secret in the clear")]
    SecretInClear {
        /// Where.
        place: Place,
        /// The key.
        key: String,
    },
    /// The file that a pipeline file names for a password cannot be read, or is empty.
    #[error("{place}: {key}: {reason}")]
    SecretFile {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A pipeline file of a version that this program does not know.
    #[error("{place}: this program reads pipeline files of version 1, and not of version \"{version}\"")]
    Version {
        /// Where.
        place: Place,
        /// What the file says.
        version: String,
    },
    /// What has a code of its own on the command line too: a rule, a pattern.
    #[error("{place}: {key}: {}", .error.message)]
    Other {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// What is wrong.
        error: CliError,
    },
}

// === impl Fault for FileError ===

impl Fault for FileError {
    fn code(&self) -> &'static str {
        match self {
            FileError::Unreadable { .. } => "CONFIG_UNREADABLE",
            FileError::Syntax { .. } => "CONFIG_SYNTAX",
            FileError::UnknownKey { .. } => "CONFIG_UNKNOWN_KEY",
            FileError::DuplicateKey { .. } => "CONFIG_DUPLICATE_KEY",
            FileError::Value { .. } => "CONFIG_VALUE",
            FileError::Reference { .. } => "CONFIG_REFERENCE",
            FileError::SecretInClear { .. } => "CONFIG_SECRET_IN_CLEAR",
            FileError::SecretFile { .. } => "CONFIG_SECRET_FILE",
            FileError::Version { .. } => "CONFIG_VERSION",
            // Replaced by the code of its own, see `one_error`.
            FileError::Other { .. } => "CONFIG_VALUE",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            FileError::Unreadable { .. }
            | FileError::Syntax { .. }
            | FileError::UnknownKey { .. }
            | FileError::DuplicateKey { .. }
            | FileError::Value { .. }
            | FileError::Reference { .. }
            | FileError::SecretInClear { .. }
            | FileError::SecretFile { .. }
            | FileError::Version { .. }
            | FileError::Other { .. } => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            FileError::Unreadable { .. } => "give -f the path of a file, or - for standard input".to_owned(),
            FileError::Syntax { .. } => {
                "indent with blanks, not with tabs, and put what has special characters in quotes".to_owned()
            }
            FileError::UnknownKey { .. } => "all keys: docs/reference/pipeline-yaml.md".to_owned(),
            FileError::DuplicateKey { .. } => "leave one of both".to_owned(),
            FileError::Value { .. } | FileError::Other { .. } => {
                "what each key takes: docs/reference/pipeline-yaml.md".to_owned()
            }
            FileError::Reference { .. } => {
                "set the variable, or write ${NAME:-what counts without it}; $${ stands for ${ itself".to_owned()
            }
            FileError::SecretInClear { .. } => {
                "write ${NAME} for it and set that variable, or take password_file; a file like this one is passed around"
                    .to_owned()
            }
            FileError::SecretFile { .. } => {
                "give the path of a file with the password alone; paths are relative to the pipeline file".to_owned()
            }
            FileError::Version { .. } => "take a newer segcdc, or version: 1".to_owned(),
        }
    }
}

/// All that is wrong, at once. `None` when nothing is.
pub(crate) fn one_error(file: &str, problems: Vec<FileError>) -> Option<CliError> {
    let count = problems.len();
    let mut errors = problems.into_iter().map(|problem| {
        let own = match &problem {
            FileError::Other { error, .. } => Some(error.clone()),
            _ => None,
        };
        let mut shown = CliError::from(problem);
        if let Some(own) = own {
            shown.code.clone_from(&own.code);
            shown.hint.clone_from(&own.hint);
            shown.exit = own.exit;
        }
        shown
    });
    let mut first = errors.next()?;
    if count > 1 {
        let rest = errors.map(|error| format!("{} [{}]", error.message, error.code));
        let all: Vec<String> =
            std::iter::once(format!("{} [{}]", first.message, first.code)).chain(rest).collect();
        first.message = format!("{file} has {count} problems");
        first.causes = all;
    }
    Some(first)
}
