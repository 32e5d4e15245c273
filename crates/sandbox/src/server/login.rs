//! LOGIN7 and its answer ([MS-TDS] 2.2.6.4, 2.2.7.14).

use segcdc_tds::packet::{DEFAULT_PACKET_SIZE, MAX_PACKET_SIZE, MIN_PACKET_SIZE};
use segcdc_tds::reader::{DecodeError, Reader, utf16};
use segcdc_tds::types::{done_status, env_change, feature_id, tds_version, token_id};

use crate::answer::SqlError;
use crate::decode::type_info::malformed;
use crate::encode::token;
use crate::engine::{LoginRequest, Session};
use crate::server::{GREETING, PROGRAM_NAME, Route, SERVER_VERSION};

/// Where the (offset, length) pairs begin.
const PAIRS_AT: usize = 36;

/// OptionFlags3: a feature list follows.
const EXTENSION: u8 = 0x10;

/// TDS 7.2: the first version whose tokens this server speaks.
const TDS_7_2: u32 = 0x7209_0002;

/// Number of the greeting, of the range that is free for applications.
const GREETING_NUMBER: i32 = 50_000;

/// The language of all messages.
const LANGUAGE: &str = "us_english";

/// Places of the (offset, length) pairs.
mod pair {
    /// The client's machine.
    pub(super) const HOST: usize = 0;
    /// Login.
    pub(super) const USER: usize = 1;
    /// Password, obscured.
    pub(super) const PASSWORD: usize = 2;
    /// The application.
    pub(super) const APPLICATION: usize = 3;
    /// Pointer to the feature list.
    pub(super) const EXTENSION: usize = 5;
    /// Database.
    pub(super) const DATABASE: usize = 8;
}

/// A decoded LOGIN7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login7 {
    /// Version that the client wants.
    pub tds_version: u32,
    /// What the engine must know.
    pub request: LoginRequest,
    /// Ids of the features that the client wants.
    pub features: Vec<u8>,
    /// Length of the SSPI token: not zero when integrated authentication is wanted.
    pub integrated: bool,
}

/// Reads LOGIN7.
pub fn decode(payload: &[u8], spid: u16) -> Result<Login7, DecodeError> {
    let mut reader = Reader::new(payload);
    reader.u32()?;
    let tds_version = reader.u32()?;
    let packet_size = match reader.u32()? {
        0 => DEFAULT_PACKET_SIZE,
        wanted => wanted.clamp(MIN_PACKET_SIZE, MAX_PACKET_SIZE),
    };
    reader.take(12)?; // client version, process id, connection id
    let [_flags1, flags2, _type_flags, flags3] = reader.array()?;
    let request = LoginRequest {
        user: text(payload, pair::USER)?,
        password: password(payload)?,
        database: text(payload, pair::DATABASE)?,
        application: text(payload, pair::APPLICATION)?,
        host: text(payload, pair::HOST)?,
        packet_size,
        spid,
    };
    let features = if flags3 & EXTENSION == 0 { Vec::new() } else { features(payload)? };
    Ok(Login7 { tds_version, request, features, integrated: flags2 & 0x80 != 0 })
}

/// Bytes of the text at a pair.
fn bytes_at(payload: &[u8], index: usize, unit: usize) -> Result<&[u8], DecodeError> {
    let mut pairs = Reader::new(payload);
    pairs.take(PAIRS_AT + index * 4)?;
    let (offset, length) = (usize::from(pairs.u16()?), usize::from(pairs.u16()?) * unit);
    match payload.get(offset..offset + length) {
        Some(bytes) => Ok(bytes),
        None => malformed("a text of LOGIN7 lies outside of it"),
    }
}

/// A text.
fn text(payload: &[u8], index: usize) -> Result<String, DecodeError> {
    bytes_at(payload, index, 2).map(utf16)
}

/// The password: XOR 0xA5, then nibbles swapped.
fn password(payload: &[u8]) -> Result<String, DecodeError> {
    let obscured = bytes_at(payload, pair::PASSWORD, 2)?;
    let clear: Vec<u8> = obscured.iter().map(|byte| (byte ^ 0xA5).rotate_left(4)).collect();
    Ok(utf16(&clear))
}

/// Ids of the feature list.
fn features(payload: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut pointer = Reader::new(bytes_at(payload, pair::EXTENSION, 1)?);
    let offset = usize::try_from(pointer.u32()?).unwrap_or(usize::MAX);
    let mut reader = Reader::new(payload.get(offset..).unwrap_or_default());
    let mut ids = Vec::new();
    loop {
        match reader.u8()? {
            feature_id::TERMINATOR => return Ok(ids),
            id => {
                reader.long_bytes()?;
                ids.push(id);
            }
        }
    }
}

/// Why a login cannot be tried at all.
pub fn refuse(login: &Login7) -> Option<SqlError> {
    if login.integrated {
        let text = "Login failed. The sandbox knows no integrated authentication.";
        return Some(SqlError::new(18452, 14, text));
    }
    if login.tds_version != tds_version::V8_0 && login.tds_version < TDS_7_2 {
        let text = format!("TDS version 0x{:08X} is older than 7.2.", login.tds_version);
        return Some(SqlError::new(17830, 20, text));
    }
    None
}

/// The version that both speak.
fn agreed_version(wanted: u32) -> u32 {
    if wanted == tds_version::V8_0 { wanted } else { wanted.min(tds_version::V7_4) }
}

/// Tokens of a login that succeeded, here or, with a route, to be repeated elsewhere.
pub fn welcome(login: &Login7, session: &Session, route: Option<&Route>) -> Vec<u8> {
    let mut out = Vec::new();
    let database = session.database();
    token::put_env_text(&mut out, env_change::DATABASE, database, "master");
    let changed = format!("Changed database context to '{database}'.");
    put_info(&mut out, 5701, 2, &changed);
    token::put_env_collation(&mut out, session.collation());
    token::put_env_text(&mut out, env_change::LANGUAGE, LANGUAGE, "");
    put_info(&mut out, 5703, 1, &format!("Changed language setting to {LANGUAGE}."));
    put_info(&mut out, GREETING_NUMBER, 1, GREETING);
    token::put_login_ack(&mut out, agreed_version(login.tds_version), PROGRAM_NAME, SERVER_VERSION);
    let (new, old) = (login.request.packet_size.to_string(), DEFAULT_PACKET_SIZE.to_string());
    token::put_env_text(&mut out, env_change::PACKET_SIZE, &new, &old);
    if login.features.contains(&feature_id::UTF8_SUPPORT) {
        token::put_utf8_acknowledgement(&mut out);
    }
    if let Some(Route { host, port }) = route {
        token::put_env_routing(&mut out, host, *port);
    }
    token::put_done(&mut out, token_id::DONE, done_status::FINAL, 0, 0);
    out
}

/// Tokens of a login that failed. A refused database is followed by a refused login, as SQL Server does.
pub fn farewell(error: &SqlError, user: &str) -> Vec<u8> {
    let mut out = Vec::new();
    token::put_message(&mut out, token_id::ERROR, error);
    if error.number == 4060 {
        let login = SqlError::new(18456, 14, format!("Login failed for user '{user}'."));
        token::put_message(&mut out, token_id::ERROR, &login);
    }
    token::put_done(&mut out, token_id::DONE, done_status::ERROR, 0, 0);
    out
}

/// Appends a message of class 0 or 10.
fn put_info(out: &mut Vec<u8>, number: i32, state: u8, text: &str) {
    token::put_message(out, token_id::INFO, &SqlError::new(number, 0, text).with_state(state));
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_tds::login::{ClientIdentity, encode};
    use segcdc_tds::{Config, Encryption};

    #[test]
    fn own_client_is_understood() {
        let config = Config {
            user: "sa".to_owned(),
            password: "p\u{E4}ss\u{1F600}".to_owned(),
            database: "shop".to_owned(),
            packet_size: 8192,
            encryption: Encryption::Required,
            ..Config::default()
        };
        let identity = ClientIdentity { host_name: "me".to_owned(), process_id: 7 };
        let login = decode(&encode(&config, &identity).unwrap(), 60).unwrap();
        let request = &login.request;
        assert_eq!((request.user.as_str(), request.database.as_str()), ("sa", "shop"));
        assert_eq!(
            (request.password.as_str(), request.host.as_str(), request.packet_size),
            ("p\u{E4}ss\u{1F600}", "me", 8192)
        );
        assert_eq!((login.tds_version, login.features), (tds_version::V7_4, vec![feature_id::UTF8_SUPPORT]));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let _decoded = decode(&bytes, 0);
        }
    }
}
