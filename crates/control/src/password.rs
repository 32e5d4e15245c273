//! Passwords of people: which are taken, and how they are kept.
//!
//! argon2id with 19 MiB, two passes and one lane: OWASP's minimum (Password Storage Cheat Sheet; ASVS 5.0 appendix C). A hash
//! that was made with less is made anew at the next login.

use std::collections::HashSet;
use std::sync::LazyLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::rand::{SecureRandom, SystemRandom};
use segcdc_model::Secret;

use crate::crypto::CryptoError;

/// Shortest password, characters (ASVS 5.0, 6.2.1).
pub const MIN_CHARS: usize = 8;

/// Longest password, bytes. It bounds the work of hashing; ASVS asks for at least 64 characters.
pub const MAX_BYTES: usize = 1024;

/// Memory of one hash, KiB.
const MEMORY_KIB: u32 = 19 * 1024;

/// Passes over it.
const PASSES: u32 = 2;

/// Passwords that are tried first by everybody who guesses, lower case, one a line.
const COMMON: &str = include_str!("common-passwords.txt");

/// The same, to look up.
static COMMON_SET: LazyLock<HashSet<&str>> =
    LazyLock::new(|| COMMON.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect());

/// Why a password is not taken. It never repeats the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    /// Fewer than [`MIN_CHARS`] characters.
    #[error("it has fewer than {MIN_CHARS} characters")]
    Short,
    /// More than [`MAX_BYTES`] bytes.
    #[error("it has more than {MAX_BYTES} bytes")]
    Long,
    /// It is the user's name, or the product's, perhaps with a few characters behind.
    #[error("it is made of the user's or the product's name")]
    Name,
    /// On the list of those that are tried first.
    #[error("it is one of the passwords that are tried first")]
    Common,
    /// One character again and again, or a run such as 12345678.
    #[error("it is a run of characters")]
    Run,
}

/// Whether a new password is taken for the user of that name. There is no rule about which kinds of characters it has to
/// have (ASVS 5.0, 6.2.5).
pub fn accept(password: &str, user: &str) -> Result<(), Weak> {
    if password.len() > MAX_BYTES {
        return Err(Weak::Long);
    }
    if password.chars().count() < MIN_CHARS {
        return Err(Weak::Short);
    }
    let lower = password.to_lowercase();
    let plain = lower.trim_end_matches(|c: char| !c.is_alphabetic());
    if [user.to_lowercase().as_str(), "segcdc", "seg cdc"].contains(&plain) || lower == user.to_lowercase() {
        return Err(Weak::Name);
    }
    if COMMON_SET.contains(lower.as_str()) {
        return Err(Weak::Common);
    }
    let codes: Vec<u32> = password.chars().map(u32::from).collect();
    let steps: HashSet<i64> = codes
        .iter()
        .zip(codes.iter().skip(1))
        .map(|(one, next)| i64::from(*next) - i64::from(*one))
        .collect();
    match steps.iter().next() {
        Some(-1..=1) if steps.len() == 1 => Err(Weak::Run),
        _ => Ok(()),
    }
}

/// Hashes a password: tens of milliseconds of a core and 19 MiB. Call it where blocking is allowed, and not often at once.
pub fn hash(password: &Secret<String>) -> Result<String, CryptoError> {
    let mut salt = [0_u8; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_nothing| CryptoError::NoRandomness)?;
    let hash: PasswordHash = argon2()
        .hash_password_with_salt(password.expose().as_bytes(), &salt)
        .map_err(|_reason| CryptoError::Failed)?;
    Ok(hash.to_string())
}

/// Whether a password is the one of a stored hash. A hash that cannot be read belongs to no password. As slow as [`hash`].
pub fn is(password: &Secret<String>, stored: &str) -> bool {
    let Ok(stored) = PasswordHash::new(stored) else { return false };
    argon2().verify_password(password.expose().as_bytes(), &stored).is_ok()
}

/// A hash that no password has. Compared with when there is no such user, so that the answer takes as long.
pub fn nobody() -> &'static str {
    static NOBODY: LazyLock<String> = LazyLock::new(|| {
        let chance = crate::token::session().map(|made| made.token).unwrap_or_default();
        hash(&chance).unwrap_or_default()
    });
    &NOBODY
}

/// Whether a stored hash was made with less than what is used now.
pub fn is_outdated(stored: &str) -> bool {
    PasswordHash::new(stored)
        .ok()
        .and_then(|hash| Params::try_from(&hash).ok())
        .is_none_or(|params| params.m_cost() < MEMORY_KIB || params.t_cost() < PASSES)
}

fn argon2() -> Argon2<'static> {
    // The parameters are constants within the library's bounds; the fallback is its own default, which is the same.
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn weak_passwords_are_refused_and_others_are_not() {
        let cases = [
            ("short12", Err(Weak::Short)),
            ("12345678", Err(Weak::Run)),
            ("aaaaaaaaaa", Err(Weak::Run)),
            ("87654321", Err(Weak::Run)),
            ("Password1", Err(Weak::Common)),
            ("margarete2026", Err(Weak::Name)),
            ("SegCdc123!", Err(Weak::Name)),
            ("ein ganz anderer satz", Ok(())),
            ("😀😀😁😂🤣😃😄😅", Ok(())),
        ];
        for (password, expected) in cases {
            assert_eq!(accept(password, "Margarete"), expected, "{password}");
        }
        assert_eq!(accept(&"x1".repeat(64), "a"), Ok(()), "long ones are good");
        assert_eq!(accept(&"x1".repeat(600), "a"), Err(Weak::Long));
    }

    #[test]
    fn a_hash_is_of_its_password_only() {
        let stored = hash(&secret("ein ganz anderer satz")).unwrap();
        assert!(is(&secret("ein ganz anderer satz"), &stored));
        assert!(!is(&secret("ein ganz anderer Satz"), &stored));
        assert!(!is(&secret(""), nobody()));
        assert!(!is(&secret("x"), "not a hash"));
        assert_ne!(hash(&secret("ein ganz anderer satz")).unwrap(), stored, "each has its own salt");
    }

    #[test]
    fn weaker_hashes_are_outdated() {
        assert!(!is_outdated(&hash(&secret("ein ganz anderer satz")).unwrap()));
        assert!(is_outdated("$argon2id$v=19$m=4096,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA"));
        assert!(is_outdated("not a hash"));
    }
}
