//! Where the master keys come from: a file, the environment, a command, or a file that is made at the first start.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use segcdc_control::ControlError;
use segcdc_control::seal::{Keyring, read_key_file};
use segcdc_model::Secret;
use tokio::process::Command;

use crate::arguments::ServeArguments;
use crate::console::Console;
use crate::error::CliError;

/// The file that is made when nothing else is said.
const FILE: &str = "master.key";

/// Id of the first key.
const FIRST: &str = "k1";

/// How long the command may take: a key management service is asked over a network.
const PATIENCE: Duration = Duration::from_secs(30);

/// The master keys. A file is made only for a store that is new: another key would open nothing of an old one.
///
/// # Errors
/// `MASTER_KEY_*`.
pub(super) async fn find(
    arguments: &ServeArguments,
    is_new: bool,
    console: Console,
) -> Result<Keyring, CliError> {
    if let Some(path) = &arguments.master_key_file {
        return Ok(read_key_file(path).map_err(ControlError::from)?);
    }
    if let Some(text) = &arguments.master_key {
        return Ok(Keyring::parse(&Secret::new(text.clone())).map_err(ControlError::from)?);
    }
    if let Some(command) = &arguments.master_key_command {
        let text = run(command).await?;
        return Ok(Keyring::parse(&text).map_err(ControlError::from)?);
    }
    let path = arguments.data_dir.join(FILE);
    if is_new && !path.exists() {
        make(&path)?;
        console.talk(&format!(
            "A master key was made: {}. Keep a copy of it apart from the data: without it, no stored password can be read.",
            path.display()
        ));
    }
    Ok(read_key_file(&path).map_err(ControlError::from)?)
}

/// Makes a key file that only its owner can read; one that is there is left alone.
fn make(path: &Path) -> Result<(), CliError> {
    let line = Keyring::generate_line(FIRST).map_err(ControlError::from)?;
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
            file.write_all(line.expose().as_bytes())?;
            file.sync_all()
        });
    written.map_err(|error| {
        let message = format!("the master key {} cannot be written", path.display());
        let mut failed = CliError::runtime("MASTER_KEY_FILE", message, &error);
        failed.hint = "give a --data-dir that this user may write, or keys by --master-key-file".to_owned();
        failed
    })
}

/// What a command prints.
async fn run(command: &str) -> Result<Secret<String>, CliError> {
    let failed = |message: &str| {
        CliError::usage("MASTER_KEY_COMMAND", message, "run the command by hand and see what it says")
    };
    let child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, child)
        .await
        .map_err(|_elapsed| failed("the command of --master-key-command does not end"))?
        .map_err(|error| failed("the command of --master-key-command cannot be run").because(&error))?;
    if !output.status.success() {
        return Err(failed("the command of --master-key-command failed"));
    }
    let text = String::from_utf8(output.stdout)
        .map_err(|_form| failed("the command of --master-key-command does not print text"))?;
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_that_is_made_is_its_owners_alone_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_key_file(&path).unwrap().current(), FIRST);
        let before = std::fs::read(&path).unwrap();
        assert!(make(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[tokio::test]
    async fn a_command_prints_keys_or_is_named() {
        let printed = run("printf 'k1 %s' x").await.unwrap();
        assert_eq!(printed.expose(), "k1 x");
        for bad in ["exit 1", "no-such-command-here"] {
            assert_eq!(run(bad).await.unwrap_err().code, "MASTER_KEY_COMMAND", "{bad}");
        }
    }
}
