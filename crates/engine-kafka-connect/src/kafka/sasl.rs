//! How a broker is told who asks: the messages of PLAIN (RFC 4616) and SCRAM (RFC 5802), without a connection.
//!
//! By SCRAM neither the password nor anything that could be used in its place is sent, and the broker proves that it knows
//! the password too. Kafka takes names and passwords as they are in UTF-8, without normalization.

use std::num::NonZeroU32;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use segcdc_model::Secret;

/// Fewest rounds that a broker may ask for, as Kafka's own clients have it: fewer make a stolen exchange easy to guess from.
const MIN_ROUNDS: u32 = 4_096;

/// Most rounds: a second of work. Brokers ask for 4,096 to 16,384.
const MAX_ROUNDS: u32 = 1_000_000;

/// Random bytes of ours in an exchange.
const NONCE_BYTES: usize = 24;

/// By which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself.
    Plain,
    /// A proof, by SHA-256.
    ScramSha256,
    /// A proof, by SHA-512.
    ScramSha512,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// By which mechanism that is shown.
    pub mechanism: Mechanism,
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret<String>,
}

/// An exchange by SCRAM that has begun.
pub(super) struct Scram<'a> {
    sasl: &'a Sasl,
    hash: Hash,
    nonce: String,
}

/// What was sent as proof, and what the broker has to prove in turn.
pub(super) struct Proved {
    /// The message to send.
    pub(super) message: String,
    key: hmac::Key,
    signed: String,
}

/// A hash in the forms that SCRAM needs.
#[derive(Clone, Copy)]
struct Hash {
    digest: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
    stretch: pbkdf2::Algorithm,
}

// === impl Mechanism ===

impl Mechanism {
    /// The name by which brokers know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    /// The hash of a mechanism that has one.
    fn hash(self) -> Option<Hash> {
        match self {
            Mechanism::Plain => None,
            Mechanism::ScramSha256 => Some(Hash {
                digest: &digest::SHA256,
                hmac: hmac::HMAC_SHA256,
                stretch: pbkdf2::PBKDF2_HMAC_SHA256,
            }),
            Mechanism::ScramSha512 => Some(Hash {
                digest: &digest::SHA512,
                hmac: hmac::HMAC_SHA512,
                stretch: pbkdf2::PBKDF2_HMAC_SHA512,
            }),
        }
    }
}

// === impl Sasl ===

impl Sasl {
    /// The one message of PLAIN.
    pub(super) fn plain(&self) -> Vec<u8> {
        format!("\0{}\0{}", self.user, self.password.expose()).into_bytes()
    }

    /// Begins an exchange by SCRAM; `None` for another mechanism, and when the system has no random numbers.
    pub(super) fn scram(&self) -> Option<Scram<'_>> {
        let mut bytes = [0; NONCE_BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        self.scram_with(BASE64_STANDARD.encode(bytes))
    }

    fn scram_with(&self, nonce: String) -> Option<Scram<'_>> {
        Some(Scram { sasl: self, hash: self.mechanism.hash()?, nonce })
    }
}

// === impl Scram ===

impl Scram<'_> {
    /// The first message, for no other name and without a channel to bind to.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare())
    }

    /// The first message without its head, as it is signed.
    fn bare(&self) -> String {
        let user = self.sasl.user.replace('=', "=3D").replace(',', "=2C");
        format!("n={user},r={}", self.nonce)
    }

    /// Answers the broker's first message; `None` for one that cannot be one.
    pub(super) fn prove(&self, challenge: &str) -> Option<Proved> {
        let mut parts = challenge.split(',');
        let nonce = parts.next()?.strip_prefix("r=")?;
        let salt = BASE64_STANDARD.decode(parts.next()?.strip_prefix("s=")?).ok()?;
        let rounds: u32 = parts.next()?.strip_prefix("i=")?.parse().ok()?;
        let is_ours = nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce);
        if !is_ours || salt.is_empty() || !(MIN_ROUNDS..=MAX_ROUNDS).contains(&rounds) {
            return None;
        }
        let mut salted = vec![0; self.hash.digest.output_len()];
        let password = self.sasl.password.expose().as_bytes();
        pbkdf2::derive(self.hash.stretch, NonZeroU32::new(rounds)?, &salt, password, &mut salted);
        let salted = hmac::Key::new(self.hash.hmac, &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest, client_key.as_ref());
        // "biws" is the head of the first message.
        let unproved = format!("c=biws,r={nonce}");
        let signed = format!("{},{challenge},{unproved}", self.bare());
        let signature = hmac::sign(&hmac::Key::new(self.hash.hmac, stored_key.as_ref()), signed.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let server_key = hmac::sign(&salted, b"Server Key");
        Some(Proved {
            message: format!("{unproved},p={}", BASE64_STANDARD.encode(proof)),
            key: hmac::Key::new(self.hash.hmac, server_key.as_ref()),
            signed,
        })
    }
}

// === impl Proved ===

impl Proved {
    /// Whether the broker's last message proves that it knows the password too.
    pub(super) fn accepts(&self, last: &str) -> bool {
        let signature = last.split(',').next().and_then(|first| first.strip_prefix("v="));
        let signature = signature.and_then(|text| BASE64_STANDARD.decode(text).ok());
        signature.is_some_and(|given| hmac::verify(&self.key, self.signed.as_bytes(), &given).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sasl(mechanism: Mechanism, user: &str, password: &str) -> Sasl {
        Sasl { mechanism, user: user.to_owned(), password: Secret::new(password.to_owned()) }
    }

    /// The exchange of RFC 7677, 3.
    #[test]
    fn the_exchange_of_the_rfc_is_ours() {
        let sasl = sasl(Mechanism::ScramSha256, "user", "pencil");
        let scram = sasl.scram_with("rOprNGfwEbeRWgbNEkqO".to_owned()).unwrap();
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proved = scram.prove(challenge).unwrap();
        assert_eq!(
            proved.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(proved.accepts("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        for other in
            ["", "v=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "e=other-error", "v=AAAA", "v=!"]
        {
            assert!(!proved.accepts(other), "{other}");
        }
    }

    #[test]
    fn challenges_that_weaken_or_none_at_all_are_refused() {
        let sasl = sasl(Mechanism::ScramSha512, "user", "pencil");
        let scram = sasl.scram_with("ours".to_owned()).unwrap();
        assert!(scram.prove("r=oursTheirs,s=QSXCR+Q6sek8bf92,i=4096").is_some());
        for challenge in [
            "",
            "r=ours,s=QSXCR+Q6sek8bf92,i=4096",
            "r=theirs,s=QSXCR+Q6sek8bf92,i=4096",
            "r=oursTheirs,s=,i=4096",
            "r=oursTheirs,s=!,i=4096",
            "r=oursTheirs,s=QSXCR+Q6sek8bf92,i=1",
            "r=oursTheirs,s=QSXCR+Q6sek8bf92,i=4000000000",
            "r=oursTheirs,s=QSXCR+Q6sek8bf92",
            "s=QSXCR+Q6sek8bf92,r=oursTheirs,i=4096",
        ] {
            assert!(scram.prove(challenge).is_none(), "{challenge}");
        }
    }

    #[test]
    fn names_and_passwords_travel_as_they_are() {
        let odd = sasl(Mechanism::ScramSha256, "a=b,c", "p");
        assert_eq!(odd.scram_with("n".to_owned()).unwrap().first(), "n,,n=a=3Db=2Cc,r=n");
        let plain = sasl(Mechanism::Plain, "u", "pä,=");
        assert_eq!(plain.plain(), "\0u\0pä,=".as_bytes());
        assert!(plain.scram().is_none());
        let nonces = [odd.scram().unwrap().nonce, odd.scram().unwrap().nonce];
        assert_ne!(nonces[0], nonces[1]);
    }

    proptest! {
        #[test]
        fn no_message_of_a_broker_breaks_it(text in "\\PC{0,80}") {
            let sasl = sasl(Mechanism::ScramSha256, "user", "pencil");
            let scram = sasl.scram_with("ours".to_owned()).unwrap();
            let _any = scram.prove(&text);
            let proved = scram.prove("r=oursTheirs,s=QSXCR+Q6sek8bf92,i=4096").unwrap();
            prop_assert!(!proved.accepts(&text));
        }
    }
}
