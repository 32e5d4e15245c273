//! PRELOGIN: versions and encryption are agreed on before the login ([MS-TDS] 2.2.6.5).
//!
//! ```text
//! option token (1) | offset (2, BE) | length (2, BE)   ... repeated ...   0xFF   then the options' data
//! ```

use crate::config::Encryption;
use crate::error::Error;
use crate::reader::Reader;
use crate::types::{encryption, prelogin_option};

/// Version that this client claims: what a server shows is of no consequence.
const CLIENT_VERSION: [u8; 6] = [0, 1, 0, 0, 0, 0];

/// What a server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreloginAnswer {
    /// Version of the server program: major, minor, build.
    pub version: (u8, u8, u16),
    /// A byte of [`encryption`].
    pub encryption: u8,
}

/// What is to be encrypted, once both sides have spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreed {
    /// Everything.
    All,
    /// The LOGIN7 message only.
    LoginOnly,
    /// Nothing.
    Nothing,
}

/// The client's PRELOGIN.
pub fn encode(wanted: Encryption) -> Vec<u8> {
    let encryption = match wanted {
        // The channel is encrypted already; Microsoft's drivers say "not supported" then.
        Encryption::Strict => encryption::NOT_SUPPORTED,
        Encryption::Required => encryption::ON,
        Encryption::Off => encryption::OFF,
    };
    let options: [(u8, &[u8]); 5] = [
        (prelogin_option::VERSION, &CLIENT_VERSION),
        (prelogin_option::ENCRYPTION, &[encryption]),
        (prelogin_option::INSTANCE, &[0]),
        (prelogin_option::THREAD_ID, &[0, 0, 0, 0]),
        (prelogin_option::MARS, &[0]),
    ];
    let mut offset = options.len() * 5 + 1;
    let (mut out, mut data) = (Vec::new(), Vec::new());
    for (token, value) in options {
        out.push(token);
        for number in [offset, value.len()] {
            let number = u16::try_from(number).expect("five short options fit a u16");
            out.extend_from_slice(&number.to_be_bytes());
        }
        data.extend_from_slice(value);
        offset += value.len();
    }
    out.push(prelogin_option::TERMINATOR);
    out.extend_from_slice(&data);
    out
}

/// Reads the server's PRELOGIN.
pub fn decode(payload: &[u8]) -> Result<PreloginAnswer, Error> {
    let short = |_| Error::protocol("PRELOGIN answer ends too early");
    let mut reader = Reader::new(payload);
    let mut answer = PreloginAnswer { version: (0, 0, 0), encryption: encryption::NOT_SUPPORTED };
    loop {
        let token = reader.u8().map_err(short)?;
        if token == prelogin_option::TERMINATOR {
            return Ok(answer);
        }
        let offset = usize::from(u16::from_be_bytes(reader.array().map_err(short)?));
        let length = usize::from(u16::from_be_bytes(reader.array().map_err(short)?));
        let data = payload.get(offset..offset.saturating_add(length));
        let data = data.ok_or_else(|| Error::protocol("PRELOGIN option lies outside of the message"))?;
        match (token, data) {
            (prelogin_option::VERSION, [major, minor, high, low, ..]) => {
                answer.version = (*major, *minor, u16::from_be_bytes([*high, *low]));
            }
            (prelogin_option::ENCRYPTION, [byte, ..]) => answer.encryption = *byte,
            _ => {}
        }
    }
}

/// What follows from both sides' wishes; `None` when they exclude each other.
pub fn agree(wanted: Encryption, answered: u8) -> Option<Agreed> {
    match (wanted, answered) {
        (Encryption::Strict, _) => Some(Agreed::All),
        (_, encryption::ON | encryption::REQUIRED) => Some(Agreed::All),
        (Encryption::Required, _) => None,
        (Encryption::Off, encryption::OFF) => Some(Agreed::LoginOnly),
        (Encryption::Off, encryption::NOT_SUPPORTED) => Some(Agreed::Nothing),
        (Encryption::Off, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn own_message_is_understood() {
        let answer = decode(&encode(Encryption::Required)).unwrap();
        assert_eq!(answer, PreloginAnswer { version: (0, 1, 0), encryption: encryption::ON });
    }

    #[test]
    fn required_encryption_is_never_talked_down() {
        for answered in [encryption::OFF, encryption::NOT_SUPPORTED, 4, 0xFF] {
            assert_eq!(agree(Encryption::Required, answered), None);
        }
        assert_eq!(agree(Encryption::Required, encryption::ON), Some(Agreed::All));
        assert_eq!(agree(Encryption::Required, encryption::REQUIRED), Some(Agreed::All));
    }

    #[test]
    fn login_is_encrypted_whenever_the_server_can() {
        assert_eq!(agree(Encryption::Off, encryption::OFF), Some(Agreed::LoginOnly));
        assert_eq!(agree(Encryption::Off, encryption::REQUIRED), Some(Agreed::All));
        assert_eq!(agree(Encryption::Off, encryption::NOT_SUPPORTED), Some(Agreed::Nothing));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _decoded = decode(&bytes);
        }
    }
}
