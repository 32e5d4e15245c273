//! Tokens that a program or a browser shows: made by chance, stored as a hash.
//!
//! They have 256 random bits, so a plain SHA-256 is enough to store them by (OWASP ASVS 5.0, 6.5.2); slow hashing is for
//! what people choose. An API token carries the id of its row, so that it is found without a scan of hashes.

use ring::rand::{SecureRandom, SystemRandom};
use segcdc_model::{Secret, hex};
use sha2::{Digest, Sha256};

use crate::crypto::CryptoError;
use crate::id::TokenId;

/// What an API token begins with: secret scanners look for it.
pub const API_PREFIX: &str = "segcdc_pat_";

/// Random bytes in a token.
const BYTES: usize = 32;

/// A token that has just been made. It is shown once and cannot be had again.
#[derive(Debug)]
pub struct NewToken {
    /// What is shown.
    pub token: Secret<String>,
    /// What is stored.
    pub hash: String,
}

/// A token of a browser session or of the first set-up.
pub fn session() -> Result<NewToken, CryptoError> {
    let token = random_hex()?;
    Ok(NewToken { hash: hash(&token), token: Secret::new(token) })
}

/// An API token of the row `id`.
pub fn api(id: TokenId) -> Result<NewToken, CryptoError> {
    let token = format!("{API_PREFIX}{}_{}", id.text().replace('-', ""), random_hex()?);
    Ok(NewToken { hash: hash(&token), token: Secret::new(token) })
}

/// The row that an API token speaks of; `None` for what is no such token. The hash still has to be compared.
pub fn row_of(token: &str) -> Option<TokenId> {
    let (id, secret) = token.strip_prefix(API_PREFIX)?.split_once('_')?;
    if secret.len() != 2 * BYTES {
        return None;
    }
    let id = uuid::Uuid::try_parse(id).ok().filter(|parsed| parsed.simple().to_string() == id)?;
    id.hyphenated().to_string().parse().ok()
}

/// What is stored of a token.
pub fn hash(token: &str) -> String {
    hash_bytes(token.as_bytes())
}

/// SHA-256 of anything, hexadecimal.
pub(crate) fn hash_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Whether a token is the one whose hash is stored. The time that this takes says nothing about the token: it compares
/// hashes, of which nobody can choose a prefix.
pub fn is(token: &str, stored: &str) -> bool {
    hash(token) == stored
}

/// 64 hexadecimal digits by chance.
fn random_hex() -> Result<String, CryptoError> {
    let mut bytes = [0_u8; BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_nothing| CryptoError::NoRandomness)?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_token_says_which_row_it_is_of_and_proves_it() {
        let id = TokenId::generate();
        let made = api(id).unwrap();
        assert_eq!(row_of(made.token.expose()), Some(id));
        assert!(is(made.token.expose(), &made.hash));
        assert!(!is(&format!("{}0", made.token.expose()), &made.hash));
        assert!(!made.hash.contains(made.token.expose().rsplit('_').next().unwrap()));
    }

    #[test]
    fn what_is_no_token_is_of_no_row() {
        let good = api(TokenId::generate()).unwrap();
        let good = good.token.expose();
        for bad in [
            "",
            "segcdc_pat_",
            "x",
            good.split_at(1).1,
            good.split_at(good.len() - 1).0,
            &good.to_uppercase(),
            &good.replace("pat", "tok"),
        ] {
            assert_eq!(row_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_two_are_alike_and_none_prints() {
        let (one, other) = (session().unwrap(), session().unwrap());
        assert_ne!(one.token.expose(), other.token.expose());
        assert!(!format!("{one:?}").contains(one.token.expose().as_str()));
    }
}
