//! [`CryptoError`]: what chance, hashing and encryption can fail of.

/// Why a hash, a token or a seal could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The machine has no random numbers to give.
    #[error("this machine gives no random numbers")]
    NoRandomness,
    /// Hashing or sealing failed, which only a defect can cause.
    #[error("a hash or a seal could not be computed")]
    Failed,
}
