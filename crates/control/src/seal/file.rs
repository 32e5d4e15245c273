//! Master keys from a file that nobody else may read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use segcdc_model::Secret;

use super::{KeyError, Keyring};

/// Longest key file, bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Bits of a file's mode that let others than its owner in.
const OTHERS: u32 = 0o077;

/// Why a key file gives no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("the key file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Others may read it.
    #[error("the key file {} has mode {mode:o}: others than its owner can read it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It does not hold keys.
    #[error("the master keys cannot be used")]
    Keys(#[from] KeyError),
}

// === impl KeyFileError ===

impl KeyFileError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            KeyFileError::Unreadable { .. } => "MASTER_KEY_FILE",
            KeyFileError::Open { .. } => "MASTER_KEY_READABLE",
            KeyFileError::Keys(error) => error.code(),
        }
    }

    /// What to do.
    pub fn hint(&self) -> String {
        match self {
            KeyFileError::Unreadable { .. } => {
                "Name a file that this user can read; of a store that has secrets it has to be the file that it was made with.".to_owned()
            }
            KeyFileError::Open { path, .. } => format!("Run `chmod 600 {}`.", path.display()),
            KeyFileError::Keys(error) => error.hint(),
        }
    }
}

/// Reads the master keys from a file.
///
/// # Errors
/// [`KeyFileError::Unreadable`] when it cannot be read, [`KeyFileError::Open`] when others may read it,
/// [`KeyFileError::Keys`] when it does not hold keys.
pub fn read_key_file(path: &Path) -> Result<Keyring, KeyFileError> {
    let failed = |cause| KeyFileError::Unreadable { path: path.to_owned(), cause };
    let mut file = File::open(path).map_err(failed)?;
    // Asked of the open file, not of the path, which may name another one by now.
    let mode = file.metadata().map_err(failed)?.mode();
    if mode & OTHERS != 0 {
        return Err(KeyFileError::Open { path: path.to_owned(), mode: mode & 0o7777 });
    }
    let mut text = String::new();
    file.by_ref().take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(Keyring::parse(&Secret::new(text))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        fs::write(&path, Keyring::generate_line("k1").unwrap().expose()).unwrap();
        for (mode, taken) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o660, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = read_key_file(&path);
            assert_eq!(read.is_ok(), taken, "{mode:o}: {read:?}");
        }
        let error = read_key_file(&folder.path().join("other")).unwrap_err();
        assert!(matches!(error, KeyFileError::Unreadable { .. }));
    }
}
