//! LOGIN7: user, password, database, options and features ([MS-TDS] 2.2.6.4).
//!
//! ```text
//! 36 bytes fixed | 58 bytes of (offset, length) pairs | the texts | feature list offset (4) ... features 0xFF
//! ```

use crate::config::{Config, Encryption};
use crate::error::Error;
use crate::types::{feature_id, tds_version};

/// Bytes in front of the first text.
const FIXED_LEN: usize = 94;

/// Most UTF-16 units of a name in LOGIN7.
const MAX_UNITS: usize = 128;

/// Name of the client library, shown by `sys.dm_exec_sessions`.
const LIBRARY_NAME: &str = "segcdc-tds";

/// OptionFlags1: INIT_DB_FATAL and SET_LANG_ON, and USE_DB left off; as Microsoft's JDBC driver.
const OPTION_FLAGS_1: u8 = 0x40 | 0x80;

/// OptionFlags2: INIT_LANG_FATAL and ODBC: ANSI defaults on, TEXTSIZE and ROWCOUNT without limit.
const OPTION_FLAGS_2: u8 = 0x01 | 0x02;

/// OptionFlags3: UNKNOWN_COLLATION_HANDLING and EXTENSION: a feature list follows.
const OPTION_FLAGS_3: u8 = 0x08 | 0x10;

/// Who the process is, given from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Name of the client's machine.
    pub host_name: String,
    /// Its process id.
    pub process_id: u32,
}

/// The texts of LOGIN7 and where they are noted.
struct Texts {
    /// Offset and length pairs, from byte 36.
    pairs: Vec<u8>,
    /// The texts themselves.
    data: Vec<u8>,
}

/// The LOGIN7 payload.
pub fn encode(config: &Config, client: &ClientIdentity) -> Result<Vec<u8>, Error> {
    let mut texts = Texts { pairs: Vec::new(), data: Vec::new() };
    texts.put(&clip(&client.host_name))?;
    texts.put(&checked("user", &config.user)?)?;
    texts.put_obscured(&checked("password", &config.password)?)?;
    texts.put(&clip(&config.application_name))?;
    texts.put(&clip(&config.host))?;
    let extension_at = texts.data.len();
    texts.note(extension_at, 4)?;
    texts.data.extend_from_slice(&[0; 4]);
    texts.put(LIBRARY_NAME)?;
    texts.put("")?; // language: the login's default
    texts.put(&checked("database", &config.database)?)?;
    texts.pairs.extend_from_slice(&[0; 6]); // client id
    texts.put("")?; // SSPI
    texts.put("")?; // file to attach
    texts.put("")?; // new password
    texts.pairs.extend_from_slice(&[0; 4]); // long SSPI length

    // The extension is a pointer to the feature list, which lies behind all texts.
    let features_at = length(FIXED_LEN + texts.data.len())?;
    if let Some(pointer) = texts.data.get_mut(extension_at..extension_at + 4) {
        pointer.copy_from_slice(&features_at.to_le_bytes());
    }
    texts.data.push(feature_id::UTF8_SUPPORT);
    texts.data.extend_from_slice(&0u32.to_le_bytes());
    texts.data.push(feature_id::TERMINATOR);

    let version = if config.encryption == Encryption::Strict { tds_version::V8_0 } else { tds_version::V7_4 };
    let mut out = Vec::with_capacity(FIXED_LEN + texts.data.len());
    out.extend_from_slice(&length(FIXED_LEN + texts.data.len())?.to_le_bytes());
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&config.packet_size.to_le_bytes());
    out.extend_from_slice(&[0, 0, 1, 0]); // client program version 0.1
    out.extend_from_slice(&client.process_id.to_le_bytes());
    out.extend_from_slice(&[0; 4]); // connection id
    out.extend_from_slice(&[OPTION_FLAGS_1, OPTION_FLAGS_2, 0, OPTION_FLAGS_3]);
    out.extend_from_slice(&[0; 8]); // time zone and LCID, unused
    out.extend_from_slice(&texts.pairs);
    out.extend_from_slice(&texts.data);
    Ok(out)
}

/// A number of bytes for the wire.
fn length(bytes: usize) -> Result<u32, Error> {
    u32::try_from(bytes).map_err(|_| Error::protocol("LOGIN7 is too long"))
}

/// A text that only informs, cut to what fits.
fn clip(text: &str) -> String {
    text.chars().take(MAX_UNITS / 2).collect()
}

/// A text that matters, refused when it does not fit.
fn checked(what: &str, text: &str) -> Result<String, Error> {
    if text.encode_utf16().count() > MAX_UNITS {
        return Err(Error::protocol(format!("the {what} is longer than {MAX_UNITS} characters")));
    }
    Ok(text.to_owned())
}

/// Obscures UTF-16 as LOGIN7 wants the password: nibbles swapped, then XOR 0xA5. This is no encryption.
pub fn obscure(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).map(|byte| byte.rotate_left(4) ^ 0xA5).collect()
}

// === impl Texts ===

impl Texts {
    /// Appends a text.
    fn put(&mut self, text: &str) -> Result<(), Error> {
        self.note(self.data.len(), text.encode_utf16().count())?;
        self.data.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        Ok(())
    }

    /// Appends the password.
    fn put_obscured(&mut self, text: &str) -> Result<(), Error> {
        self.note(self.data.len(), text.encode_utf16().count())?;
        self.data.extend_from_slice(&obscure(text));
        Ok(())
    }

    /// Notes that a text of this length (in units) begins `at` bytes into the texts.
    fn note(&mut self, at: usize, units: usize) -> Result<(), Error> {
        for number in [FIXED_LEN + at, units] {
            let number = u16::try_from(number).map_err(|_| Error::protocol("LOGIN7 is too long"))?;
            self.pairs.extend_from_slice(&number.to_le_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text at pair `index` of a LOGIN7.
    fn text(login: &[u8], index: usize) -> String {
        let pair = &login[36 + index * 4..];
        let at = usize::from(u16::from_le_bytes([pair[0], pair[1]]));
        let units = usize::from(u16::from_le_bytes([pair[2], pair[3]]));
        crate::reader::utf16(&login[at..at + units * 2])
    }

    fn login(config: &Config) -> Vec<u8> {
        encode(config, &ClientIdentity { host_name: "me".to_owned(), process_id: 7 }).unwrap()
    }

    #[test]
    fn texts_are_where_the_pairs_say() {
        let config = Config {
            user: "sa".to_owned(),
            password: "p\u{E4}ss".to_owned(),
            database: "shop".to_owned(),
            ..Config::default()
        };
        let login = login(&config);
        assert_eq!(u32::from_le_bytes(login[..4].try_into().unwrap()) as usize, login.len());
        assert_eq!(["me", "sa"], [text(&login, 0), text(&login, 1)].map(|text| text.leak() as &str));
        assert_eq!(text(&login, 8), "shop");
        let password = &login[36 + 8..][..4];
        let at = usize::from(u16::from_le_bytes([password[0], password[1]]));
        assert_eq!(&login[at..at + 8], obscure("p\u{E4}ss"));
        assert_eq!(login[at], 0xA2, "p is 0x70, swapped 0x07, XOR 0xA5");
    }

    #[test]
    fn extension_points_to_the_feature_list() {
        let login = login(&Config::default());
        let pair = &login[36 + 5 * 4..];
        let at = usize::from(u16::from_le_bytes([pair[0], pair[1]]));
        let features = u32::from_le_bytes(login[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(login[features..], [0x0A, 0, 0, 0, 0, 0xFF]);
    }

    #[test]
    fn password_that_does_not_fit_is_refused_without_being_told() {
        let config = Config { password: "s".repeat(129), ..Config::default() };
        let refused =
            encode(&config, &ClientIdentity { host_name: String::new(), process_id: 0 }).unwrap_err();
        assert!(!refused.to_string().contains("sss"));
    }
}
