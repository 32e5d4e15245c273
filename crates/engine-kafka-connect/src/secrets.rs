//! [`Secrets`]: how the worker gets the passwords. A connector's configuration only ever holds placeholders.
//!
//! | given | what the configuration holds | who writes it |
//! |---|---|---|
//! | `file:/run/segcdc/shop.properties` | `${file:/run/segcdc/shop.properties:source.password}` | segcdc, mode 0600, on a disk that it shares with the worker |
//! | `read:/run/secrets/shop.properties` | the same | the operator, with the keys `source.password` and `target.password` |
//! | `env:SHOP` | `${env:SHOP_SOURCE_PASSWORD}` | the operator, in the worker's environment |
//!
//! `segcdc.check` beside the two keys, and `SHOP_CHECK` beside the two variables, hold no secret: by them the worker shows
//! that it fills placeholders in.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use segcdc_model::Secret;
use serde::{Deserialize, Serialize};

use crate::error::ConnectError;

/// Key of the source's password in the file.
const SOURCE_KEY: &str = "source.password";
/// Key of the target's password in the file.
const TARGET_KEY: &str = "target.password";

/// Key of a value in the file that is no secret, and proves that the worker reads this very file.
const CHECK_KEY: &str = "segcdc.check";

/// How the worker gets the passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Secrets {
    /// From a file that we write, and remove with the pipeline.
    File {
        /// Where, the same path for us and for the worker.
        path: PathBuf,
    },
    /// From a file that is there at the worker.
    Read {
        /// Where, for the worker.
        path: PathBuf,
    },
    /// From variables of the worker.
    Env {
        /// What their names begin with.
        prefix: String,
    },
}

// === impl Secrets ===

impl Secrets {
    /// Reads `file:/path`, `read:/path` or `env:PREFIX`.
    ///
    /// # Errors
    /// `CONNECT_SECRETS_FORM`.
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        let bad = || {
            // What is given is no secret, but somebody may have pasted one.
            let given = text.split(':').next().unwrap_or_default();
            ConnectError::SecretsForm { given: given.chars().filter(|c| !c.is_control()).take(20).collect() }
        };
        let (kind, rest) = text.trim().split_once(':').ok_or_else(bad)?;
        let path = || {
            // `:` separates path and key in a placeholder, `}` ends it.
            let usable = rest.starts_with('/') && !rest.contains([':', '}', '$']) && !rest.contains("..");
            usable.then(|| PathBuf::from(rest)).ok_or_else(bad)
        };
        match kind {
            "file" => Ok(Secrets::File { path: path()? }),
            "read" => Ok(Secrets::Read { path: path()? }),
            "env" => {
                let starts = rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                let usable = starts && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                usable.then(|| Secrets::Env { prefix: rest.to_owned() }).ok_or_else(bad)
            }
            _ => Err(bad()),
        }
    }

    /// The name of the worker's configuration provider.
    pub fn provider(&self) -> &'static str {
        match self {
            Secrets::File { .. } | Secrets::Read { .. } => "file",
            Secrets::Env { .. } => "env",
        }
    }

    /// What stands for the source's password.
    pub fn source_password(&self) -> String {
        self.placeholder(SOURCE_KEY, "SOURCE_PASSWORD")
    }

    /// What stands for the target's password.
    pub fn target_password(&self) -> String {
        self.placeholder(TARGET_KEY, "TARGET_PASSWORD")
    }

    /// Writes the passwords where the worker reads them, if that is ours to do. An old file is replaced as a whole.
    ///
    /// # Errors
    /// `CONNECT_SECRETS_FILE`.
    pub fn write(&self, source: &Secret<String>, target: &Secret<String>) -> Result<(), ConnectError> {
        let Secrets::File { path } = self else { return Ok(()) };
        let (source, target) = (escape(source.expose()), escape(target.expose()));
        // Another one each time: the worker may have an older file at the same path of another disk.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let text = format!("{SOURCE_KEY}={source}\n{TARGET_KEY}={target}\n{CHECK_KEY}={now:x}\n");
        replace(path, text.as_bytes()).map_err(|cause| ConnectError::SecretsFile {
            path: path.clone(),
            what: "written",
            cause,
        })
    }

    /// What stands for something that is no secret, and shows that the worker fills placeholders in.
    pub fn check_placeholder(&self) -> String {
        self.placeholder(CHECK_KEY, "CHECK")
    }

    /// A placeholder, and what the worker has to put in its place: `None` where we do not know what it reads.
    ///
    /// # Errors
    /// `CONNECT_SECRETS_FILE`.
    pub fn check(&self) -> Result<Option<(String, String)>, ConnectError> {
        let Secrets::File { path } = self else { return Ok(None) };
        let text = fs::read_to_string(path).map_err(|cause| ConnectError::SecretsFile {
            path: path.clone(),
            what: "read",
            cause,
        })?;
        let value = text.lines().find_map(|line| line.strip_prefix(CHECK_KEY)?.strip_prefix('='));
        Ok(value.map(|value| (self.check_placeholder(), value.to_owned())))
    }

    /// Removes what [`Secrets::write`] wrote.
    ///
    /// # Errors
    /// `CONNECT_SECRETS_FILE`.
    pub fn remove(&self) -> Result<(), ConnectError> {
        let Secrets::File { path } = self else { return Ok(()) };
        match fs::remove_file(path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(cause) => Err(ConnectError::SecretsFile { path: path.clone(), what: "removed", cause }),
        }
    }

    fn placeholder(&self, key: &str, variable: &str) -> String {
        match self {
            Secrets::File { path } | Secrets::Read { path } => format!("${{file:{}:{key}}}", path.display()),
            Secrets::Env { prefix } => format!("${{env:{prefix}_{variable}}}"),
        }
    }
}

/// Writes a file beside the wanted one and puts it in its place; the worker never sees half of it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // One that was left behind may have another mode.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    if let Ok(old) = fs::metadata(path) {
        // Whoever made the first one readable for the worker's user wants the next one to be so too.
        fs::set_permissions(&beside, old.permissions())?;
    }
    fs::rename(&beside, path)
}

/// A value in a Java properties file, by `java.util.Properties`: what is not plain is written as `\uXXXX`.
fn escape(value: &str) -> String {
    let mut text = String::new();
    for unit in value.encode_utf16() {
        match u8::try_from(unit).map(char::from) {
            Ok(plain) if plain.is_ascii_alphanumeric() || "-_.,;/@%+*()[]{}<>|&^~?$'\"".contains(plain) => {
                text.push(plain);
            }
            _ => text.push_str(&format!("\\u{unit:04X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use segcdc_model::Fault;
    use std::os::unix::fs::PermissionsExt;

    /// Reads a value as `java.util.Properties` would.
    fn read(text: &str) -> Option<String> {
        let mut units = Vec::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            if character == '\\' {
                if rest.next() != Some('u') {
                    return None;
                }
                let digits: String = rest.by_ref().take(4).collect();
                units.push(u16::from_str_radix(&digits, 16).ok()?);
            } else if character.is_ascii() && !"#!=: \t\r\n\u{c}".contains(character) {
                units.push(u16::try_from(u32::from(character)).ok()?);
            } else {
                return None;
            }
        }
        String::from_utf16(&units).ok()
    }

    #[test]
    fn each_form_has_its_placeholders() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Secrets::parse(text).unwrap().source_password(), expected);
        };
        check("file:/run/x.properties", "${file:/run/x.properties:source.password}");
        check("read:/run/x.properties", "${file:/run/x.properties:source.password}");
        check("env:SHOP", "${env:SHOP_SOURCE_PASSWORD}");
        assert_eq!(Secrets::parse("env:S").unwrap().target_password(), "${env:S_TARGET_PASSWORD}");
        assert_eq!(Secrets::parse("env:S").unwrap().check_placeholder(), "${env:S_CHECK}");
    }

    #[test]
    fn what_cannot_be_a_placeholder_is_refused_without_repeating_it() {
        for text in [
            "",
            "sekret",
            "vault:sekret",
            "file:sekret",
            "file:/run/sekret:x",
            "file:/run/sekret}",
            "file:/run/../sekret",
            "env:",
            "env:9sekret",
            "env:a-sekret",
        ] {
            let error = Secrets::parse(text).unwrap_err();
            assert_eq!(error.code(), "CONNECT_SECRETS_FORM", "{text}");
            assert!(text == "sekret" || !error.to_string().contains("sekret"), "{error}");
        }
    }

    #[test]
    fn the_file_is_for_its_owner_and_goes_away_again() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::File { path: folder.path().join("shop.properties") };
        let secret = |text: &str| Secret::new(text.to_owned());
        secrets.write(&secret("a b#ü"), &secret("x")).unwrap();
        let Secrets::File { path } = &secrets else { panic!("it is a file") };
        let text = fs::read_to_string(path).unwrap();
        let (placeholder, value) = secrets.check().unwrap().unwrap();
        assert_eq!(
            text,
            format!("source.password=a\\u0020b\\u0023\\u00FC\ntarget.password=x\nsegcdc.check={value}\n")
        );
        assert_eq!(placeholder, format!("${{file:{}:segcdc.check}}", path.display()));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        // The operator lets the worker's group read it, and the next writing keeps that.
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
        secrets.write(&secret("y"), &secret("z")).unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_ne!(secrets.check().unwrap().unwrap().1, value);
        secrets.remove().unwrap();
        secrets.remove().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // There is nothing to read any more, and no folder to write into.
        assert_eq!(secrets.check().unwrap_err().code(), "CONNECT_SECRETS_FILE");
        drop(folder);
        let refused = secrets.write(&secret("y"), &secret("z")).unwrap_err();
        assert_eq!(refused.code(), "CONNECT_SECRETS_FILE");
    }

    proptest! {
        #[test]
        fn every_password_survives_the_file(password in any::<String>()) {
            prop_assert_eq!(read(&escape(&password)), Some(password));
        }
    }
}
