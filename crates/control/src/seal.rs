//! Envelope encryption of credentials, bound to where they are kept.
//!
//! Each secret has a data key of its own (AES-256-GCM), which is sealed by a master key from outside the store. Both
//! ciphertexts authenticate the tenant, the object and the field that they belong to, so that one that is moved to another
//! row does not open. Rotation seals data keys anew and never touches the secret's own ciphertext.
//!
//! Sources: OWASP Cryptographic Storage Cheat Sheet (keys apart from data, envelope encryption); ASVS 5.0, 11.2.1, 11.3.2,
//! 13.3.1; NIST SP 800-38D 8.3 (random 96-bit nonces: at most 2^32 with one key, which a master key that seals one data key
//! a secret does not come near).

mod file;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use segcdc_model::Secret;
use zeroize::{Zeroize, Zeroizing};

use crate::crypto::CryptoError;

pub use file::{KeyFileError, read_key_file};

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// The form of a sealed text.
const VERSION: &str = "v1";

/// Longest id of a master key, characters.
const MAX_KEY_ID: usize = 32;

/// What a sealed secret belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The tenant's id, or a word for what belongs to none.
    pub tenant: &'a str,
    /// The object's id.
    pub object: &'a str,
    /// The field in it.
    pub field: &'a str,
}

/// Why a text is no ring of master keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No key at all.
    #[error("there is no key in it")]
    Missing,
    /// A line that is not `id base64`.
    #[error("line {line} is not an id, a blank and a key")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// Not base64.
    #[error("the key {id} is not base64")]
    Encoding {
        /// The key's id.
        id: String,
    },
    /// Not 32 bytes.
    #[error("the key {id} has {bytes} bytes, {KEY_BYTES} are needed")]
    Length {
        /// The key's id.
        id: String,
        /// What it has.
        bytes: usize,
    },
    /// Every byte is the same: nobody made it by chance.
    #[error("all bytes of the key {id} are the same")]
    Constant {
        /// The key's id.
        id: String,
    },
    /// Two keys with one id.
    #[error("the id {id} stands twice")]
    Twice {
        /// The id.
        id: String,
    },
}

/// Why a sealed text does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed by a master key that is not here.
    #[error("it was sealed with the key {id}, which is not among the master keys")]
    UnknownKey {
        /// The key's id.
        id: String,
    },
    /// It is not what was sealed for this place with this key: changed, moved, or of another key with the same id.
    #[error("it does not open: it was changed, moved, or sealed with another key of the same id")]
    Forged,
    /// Not the form of a sealed text.
    #[error("it is not a sealed secret")]
    Form,
}

/// Why a seal could not be made anew with the current master key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotateError {
    /// The old one does not open.
    #[error(transparent)]
    Open(#[from] SealError),
    /// The new one could not be made.
    #[error(transparent)]
    Seal(#[from] CryptoError),
}

/// The master keys: the first one seals, all of them open.
pub struct Keyring(Vec<MasterKey>);

struct MasterKey {
    id: String,
    key: LessSafeKey,
}

// === impl KeyError ===

impl KeyError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            KeyError::Missing => "MASTER_KEY_MISSING",
            KeyError::Line { .. } | KeyError::Encoding { .. } => "MASTER_KEY_FORM",
            KeyError::Length { .. } => "MASTER_KEY_LENGTH",
            KeyError::Constant { .. } => "MASTER_KEY_WEAK",
            KeyError::Twice { .. } => "MASTER_KEY_TWICE",
        }
    }

    /// What to do.
    pub fn hint(&self) -> String {
        match self {
            KeyError::Twice { .. } => "Give each key an id of its own.",
            KeyError::Missing
            | KeyError::Line { .. }
            | KeyError::Encoding { .. }
            | KeyError::Length { .. }
            | KeyError::Constant { .. } => {
                "A key is a line with an id, a blank and 32 random bytes as base64: echo \"k1 $(head -c 32 /dev/urandom | base64)\"."
            }
        }
        .to_owned()
    }
}

// === impl SealError ===

impl SealError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            SealError::UnknownKey { .. } => "MASTER_KEY_UNKNOWN",
            SealError::Forged | SealError::Form => "SECRET_DAMAGED",
        }
    }

    /// What to do.
    pub fn hint(&self) -> String {
        match self {
            SealError::UnknownKey { id } => {
                format!("Add the key {id} to the master keys below the first one: the first seals, all of them open.")
            }
            SealError::Forged | SealError::Form => {
                "Bring back the master key that this store was made with; or set the password of the connection again.".to_owned()
            }
        }
    }
}

// === impl Keyring ===

impl Keyring {
    /// Reads keys: a line each, an id (letters, digits, `-`, `_`), a blank, 32 bytes as base64. Blank lines and lines that
    /// begin with `#` are left out. The first key seals.
    pub fn parse(text: &Secret<String>) -> Result<Self, KeyError> {
        let mut keys: Vec<MasterKey> = Vec::new();
        for (index, line) in text.expose().lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = KeyError::Line { line: index + 1 };
            let (id, encoded) = line.split_once([' ', '\t']).ok_or_else(|| bad.clone())?;
            if id.len() > MAX_KEY_ID || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            {
                return Err(bad);
            }
            if keys.iter().any(|known| known.id == id) {
                return Err(KeyError::Twice { id: id.to_owned() });
            }
            keys.push(MasterKey { id: id.to_owned(), key: key_of(id, encoded.trim())? });
        }
        if keys.is_empty() { Err(KeyError::Missing) } else { Ok(Keyring(keys)) }
    }

    /// A line with a new key, as [`Keyring::parse`] reads it.
    pub fn generate_line(id: &str) -> Result<Secret<String>, CryptoError> {
        let key = random::<KEY_BYTES>()?;
        Ok(Secret::new(format!("{id} {}\n", STANDARD.encode(key.as_slice()))))
    }

    /// The id of the key that seals.
    pub fn current(&self) -> &str {
        self.0.first().map_or("", |key| key.id.as_str())
    }

    /// Seals a secret for a place.
    pub fn seal(&self, secret: &Secret<String>, place: Place<'_>) -> Result<String, CryptoError> {
        let data_key = random::<KEY_BYTES>()?;
        let body = encrypt(&aes(data_key.as_slice())?, place.aad("data", ""), secret.expose().as_bytes())?;
        let wrapped = self.wrap(data_key.as_slice(), place)?;
        Ok(format!("{VERSION}.{wrapped}.{}", STANDARD.encode(body)))
    }

    /// Opens what was sealed for that place.
    pub fn open(&self, sealed: &str, place: Place<'_>) -> Result<Secret<String>, SealError> {
        let parts = Parts::of(sealed)?;
        let data_key = self.unwrap(&parts, place)?;
        let key = aes(data_key.as_slice()).map_err(|_length| SealError::Form)?;
        let plain = decrypt(&key, place.aad("data", ""), parts.body)?;
        match String::from_utf8(plain.to_vec()) {
            Ok(text) => Ok(Secret::new(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(SealError::Forged)
            }
        }
    }

    /// The same secret with its data key sealed by the current master key; `None` when it is already.
    pub fn rotate(&self, sealed: &str, place: Place<'_>) -> Result<Option<String>, RotateError> {
        let parts = Parts::of(sealed)?;
        if parts.key_id == self.current() {
            return Ok(None);
        }
        let data_key = self.unwrap(&parts, place)?;
        let wrapped = self.wrap(&data_key, place)?;
        Ok(Some(format!("{VERSION}.{wrapped}.{}", parts.body)))
    }

    /// `id.base64` of a data key under the current master key.
    fn wrap(&self, data_key: &[u8], place: Place<'_>) -> Result<String, CryptoError> {
        let master = self.0.first().ok_or(CryptoError::Failed)?;
        let wrapped = encrypt(&master.key, place.aad("key", &master.id), data_key)?;
        Ok(format!("{}.{}", master.id, STANDARD.encode(wrapped)))
    }

    fn unwrap(&self, parts: &Parts<'_>, place: Place<'_>) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let master = self
            .0
            .iter()
            .find(|key| key.id == parts.key_id)
            .ok_or_else(|| SealError::UnknownKey { id: parts.key_id.to_owned() })?;
        decrypt(&master.key, place.aad("key", &master.id), parts.key)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

// === impl Place ===

impl Place<'_> {
    /// What both ciphertexts authenticate: every part with its length before it, so that no two places read the same.
    fn aad(self, layer: &str, key_id: &str) -> Aad<Vec<u8>> {
        let mut bytes = Vec::new();
        for part in [VERSION, layer, key_id, self.tenant, self.object, self.field] {
            bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        Aad::from(bytes)
    }
}

/// The parts of `v1.<master key's id>.<data key>.<secret>`.
struct Parts<'a> {
    key_id: &'a str,
    key: &'a str,
    body: &'a str,
}

// === impl Parts ===

impl<'a> Parts<'a> {
    fn of(sealed: &'a str) -> Result<Self, SealError> {
        let mut parts = sealed.split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(VERSION), Some(key_id), Some(key), Some(body), None) => Ok(Parts { key_id, key, body }),
            _ => Err(SealError::Form),
        }
    }
}

fn key_of(id: &str, encoded: &str) -> Result<LessSafeKey, KeyError> {
    let bytes = STANDARD.decode(encoded).map_err(|_reason| KeyError::Encoding { id: id.to_owned() })?;
    let bytes = Zeroizing::new(bytes);
    let length = || KeyError::Length { id: id.to_owned(), bytes: bytes.len() };
    let first = bytes.first().copied().ok_or_else(length)?;
    let key = aes(&bytes).map_err(|_length| length())?;
    if bytes.iter().all(|&byte| byte == first) {
        return Err(KeyError::Constant { id: id.to_owned() });
    }
    Ok(key)
}

fn aes(bytes: &[u8]) -> Result<LessSafeKey, CryptoError> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).map_err(|_length| CryptoError::Failed)?))
}

/// Nonce, ciphertext and tag.
fn encrypt(key: &LessSafeKey, aad: Aad<Vec<u8>>, plain: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let nonce = random::<NONCE_LEN>()?;
    let mut body = plain.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(*nonce), aad, &mut body)
        .map_err(|_too_long| CryptoError::Failed)?;
    let mut out = nonce.to_vec();
    out.extend_from_slice(&body);
    Ok(out)
}

fn decrypt(key: &LessSafeKey, aad: Aad<Vec<u8>>, encoded: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let bytes = STANDARD.decode(encoded).map_err(|_reason| SealError::Form)?;
    let (nonce, body) = bytes.split_at_checked(NONCE_LEN).ok_or(SealError::Form)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_length| SealError::Form)?;
    let mut body = Zeroizing::new(body.to_vec());
    let plain = key.open_in_place(nonce, aad, &mut body).map_err(|_reason| SealError::Forged)?.len();
    body.truncate(plain);
    Ok(body)
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, CryptoError> {
    let mut bytes = Zeroizing::new([0_u8; N]);
    SystemRandom::new().fill(bytes.as_mut_slice()).map_err(|_nothing| CryptoError::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
