//! PRELOGIN: what the client wants encrypted, and what the server answers ([MS-TDS] 2.2.6.5).

use segcdc_tds::reader::{DecodeError, Reader};
use segcdc_tds::types::{encryption, prelogin_option};

use crate::decode::type_info::malformed;
use crate::server::SERVER_VERSION;

/// How much the server wants encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Policy {
    /// It cannot: clients that insist are disappointed.
    Unsupported,
    /// As the client wants; at least its login if it can.
    Optional,
    /// All, for every client.
    Required,
}

/// What is encrypted in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encrypted {
    /// Nothing.
    Nothing,
    /// The LOGIN7 message only.
    LoginOnly,
    /// Everything.
    All,
}

/// The client's encryption byte.
pub fn decode(payload: &[u8]) -> Result<u8, DecodeError> {
    let mut reader = Reader::new(payload);
    let mut wanted = encryption::NOT_SUPPORTED;
    loop {
        let token = reader.u8()?;
        if token == prelogin_option::TERMINATOR {
            return Ok(wanted);
        }
        let offset = usize::from(u16::from_be_bytes(reader.array()?));
        let length = usize::from(u16::from_be_bytes(reader.array()?));
        let Some(data) = payload.get(offset..offset + length) else {
            return malformed("a PRELOGIN option outside of the message");
        };
        if let (prelogin_option::ENCRYPTION, [byte, ..]) = (token, data) {
            wanted = *byte;
        }
    }
}

/// What to answer, and what follows.
pub fn agree(policy: Policy, wanted: u8) -> (u8, Encrypted) {
    match (policy, wanted) {
        (Policy::Unsupported, _) => (encryption::NOT_SUPPORTED, Encrypted::Nothing),
        (_, encryption::ON | encryption::REQUIRED) => (encryption::ON, Encrypted::All),
        (Policy::Required, _) => (encryption::REQUIRED, Encrypted::All),
        (Policy::Optional, encryption::NOT_SUPPORTED) => (encryption::NOT_SUPPORTED, Encrypted::Nothing),
        (Policy::Optional, _) => (encryption::OFF, Encrypted::LoginOnly),
    }
}

/// The server's PRELOGIN.
pub fn encode(answer: u8) -> Vec<u8> {
    let [high, low] = SERVER_VERSION.2.to_be_bytes();
    let version = [SERVER_VERSION.0, SERVER_VERSION.1, high, low, 0, 0];
    let options: [(u8, &[u8]); 5] = [
        (prelogin_option::VERSION, &version),
        (prelogin_option::ENCRYPTION, &[answer]),
        (prelogin_option::INSTANCE, &[0]),
        (prelogin_option::THREAD_ID, &[]),
        (prelogin_option::MARS, &[0]),
    ];
    let (mut out, mut data) = (Vec::new(), Vec::new());
    let head = options.len() * 5 + 1;
    for (token, value) in options {
        out.push(token);
        for number in [head + data.len(), value.len()] {
            let number = u16::try_from(number).expect("five short options fit a u16");
            out.extend_from_slice(&number.to_be_bytes());
        }
        data.extend_from_slice(value);
    }
    out.push(prelogin_option::TERMINATOR);
    out.extend_from_slice(&data);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_client_understands_the_answer() {
        let answer = segcdc_tds::prelogin::decode(&encode(encryption::OFF)).unwrap();
        assert_eq!((answer.version, answer.encryption), (SERVER_VERSION, encryption::OFF));
    }

    #[test]
    fn encryption_is_what_both_want() {
        let check = |policy, wanted, expected| assert_eq!(agree(policy, wanted), expected);
        check(Policy::Optional, encryption::OFF, (encryption::OFF, Encrypted::LoginOnly));
        check(Policy::Optional, encryption::ON, (encryption::ON, Encrypted::All));
        check(Policy::Optional, encryption::NOT_SUPPORTED, (encryption::NOT_SUPPORTED, Encrypted::Nothing));
        check(Policy::Required, encryption::OFF, (encryption::REQUIRED, Encrypted::All));
        check(Policy::Unsupported, encryption::ON, (encryption::NOT_SUPPORTED, Encrypted::Nothing));
    }
}
