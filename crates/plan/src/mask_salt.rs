//! [`MaskSalt`]: the secret that hashes of masked columns are made with.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use segcdc_model::{Secret, hex};
use sha2::Sha256;

/// Bytes that a salt has at least: a shorter one could be found by trying.
pub const LEAST_SALT_BYTES: usize = 16;

/// What a digest of a salt is made of, so that none is the hash of a value that anybody has.
const DIGESTED: &[u8] = b"segcdc: this salt and no other\0";

/// The secret that hashes of masked columns are made with. It never prints.
#[derive(Clone)]
pub struct MaskSalt {
    key: Secret<Arc<[u8]>>,
    /// The state of the HMAC behind the key, so that the key is taken in once.
    keyed: Hmac<Sha256>,
}

// === impl MaskSalt ===

impl MaskSalt {
    /// The salt of these bytes; `None` for fewer than [`LEAST_SALT_BYTES`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < LEAST_SALT_BYTES {
            return None;
        }
        let keyed = Hmac::new_from_slice(bytes).ok()?;
        Some(MaskSalt { key: Secret::new(Arc::from(bytes)), keyed })
    }

    /// By what the salt is known again, in hexadecimal digits; it does not tell the salt.
    pub fn digest(&self) -> String {
        let mut mac = self.begin();
        mac.update(DIGESTED);
        hex(&mac.finalize().into_bytes())
    }

    /// An HMAC-SHA-256 of nothing yet.
    pub(crate) fn begin(&self) -> Hmac<Sha256> {
        self.keyed.clone()
    }
}

impl PartialEq for MaskSalt {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for MaskSalt {}

impl fmt::Debug for MaskSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_never_prints_and_is_known_again() {
        let salt = MaskSalt::new(b"a salt of some bytes").unwrap();
        assert_eq!(format!("{salt:?}"), "***");
        assert_eq!(salt, MaskSalt::new(b"a salt of some bytes").unwrap());
        let other = MaskSalt::new(b"b salt of some bytes").unwrap();
        assert_ne!((salt.digest(), salt.clone()), (other.digest(), other));
        assert_eq!(salt.digest().len(), 64);
        assert_eq!(MaskSalt::new(b"fifteen bytes ."), None);
    }
}
