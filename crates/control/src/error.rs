//! [`ControlError`]: what can go wrong in the control plane. It knows no HTTP.

use segcdc_model::{Disposition, Fault};

use crate::crypto::CryptoError;
use crate::name::NameError;
use crate::password::Weak;
use crate::seal::{KeyError, KeyFileError, RotateError, SealError};

/// Why a use case of the control plane failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A hash, a token or a seal could not be made.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A key file that gives no keys.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// Master keys that are none.
    #[error("the master keys cannot be used")]
    MasterKey(#[from] KeyError),
    /// A stored secret that does not open.
    #[error("a stored secret cannot be opened")]
    Seal(#[from] SealError),
    /// A name that is none.
    #[error("this cannot be a name")]
    Name(#[from] NameError),
    /// A password that is not taken.
    #[error("this password is not taken")]
    Password(#[from] Weak),
    /// A move that the pipeline's state does not allow.
    #[error(transparent)]
    State(#[from] crate::lifecycle::InvalidState),
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

// === impl Fault for ControlError ===

impl Fault for ControlError {
    fn code(&self) -> &'static str {
        match self {
            ControlError::Crypto(CryptoError::NoRandomness) => "NO_RANDOMNESS",
            ControlError::Crypto(CryptoError::Failed) => "SEAL_FAILED",
            ControlError::KeyFile(KeyFileError::Unreadable { .. }) => "MASTER_KEY_FILE",
            ControlError::KeyFile(KeyFileError::Open { .. }) => "MASTER_KEY_READABLE",
            ControlError::KeyFile(KeyFileError::Keys(error)) | ControlError::MasterKey(error) => {
                match error {
                    KeyError::Missing => "MASTER_KEY_MISSING",
                    KeyError::Line { .. } | KeyError::Encoding { .. } => "MASTER_KEY_FORM",
                    KeyError::Length { .. } => "MASTER_KEY_LENGTH",
                    KeyError::Constant { .. } => "MASTER_KEY_WEAK",
                    KeyError::Twice { .. } => "MASTER_KEY_TWICE",
                }
            }
            ControlError::Seal(error) => match error {
                SealError::UnknownKey { .. } => "MASTER_KEY_UNKNOWN",
                SealError::Forged | SealError::Form => "SECRET_DAMAGED",
            },
            ControlError::Name(_) => "NAME_INVALID",
            ControlError::Password(_) => "PASSWORD_WEAK",
            ControlError::State(_) => "INVALID_STATE",
            ControlError::Store(error) => error.code(),
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            ControlError::Store(error) => error.disposition(),
            _ => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            ControlError::Crypto(CryptoError::NoRandomness) => {
                "Make /dev/urandom readable for this process.".to_owned()
            }
            ControlError::Crypto(CryptoError::Failed) => {
                "Report this with the log: it is a defect of SEG CDC.".to_owned()
            }
            ControlError::KeyFile(KeyFileError::Unreadable { .. }) => {
                "Name a file that this user can read, or make one with `segcdc key new`.".to_owned()
            }
            ControlError::KeyFile(KeyFileError::Open { path, .. }) => format!("Run `chmod 600 {}`.", path.display()),
            ControlError::KeyFile(KeyFileError::Keys(_)) | ControlError::MasterKey(_) => {
                "A key file has one key a line: an id, a blank, 32 random bytes as base64. `segcdc key new` prints one.".to_owned()
            }
            ControlError::Seal(SealError::UnknownKey { id }) => {
                format!("Add the key {id} to the master keys below the first one: the first seals, all of them open.")
            }
            ControlError::Seal(_) => "Set the password of this connection again.".to_owned(),
            ControlError::Name(_) => "Choose another name.".to_owned(),
            ControlError::Password(_) => {
                "Choose one of at least 8 characters that is no common password and no name; 15 and more are recommended.".to_owned()
            }
            ControlError::State(error) => error.hint(),
            ControlError::Store(error) => error.hint(),
        }
    }
}

impl From<RotateError> for ControlError {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Open(error) => ControlError::Seal(error),
            RotateError::Seal(error) => ControlError::Crypto(error),
        }
    }
}
