//! Cursors: where the next part of a list begins. They are opaque, so that what is in them can change.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::problem::ApiError;

/// The form of a cursor.
const VERSION: &str = "1:";

/// Longest cursor, bytes.
const MAX_BYTES: usize = 1024;

/// The cursor of a key.
pub(crate) fn seal(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{VERSION}{key}"))
}

/// The key of a cursor. It is a key of the store as it was handed out, and is only ever compared with.
///
/// # Errors
/// `QUERY_INVALID` for what was never handed out.
pub(crate) fn open(cursor: &str) -> Result<String, ApiError> {
    let bytes = (cursor.len() <= MAX_BYTES).then(|| URL_SAFE_NO_PAD.decode(cursor).ok()).flatten();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let key = text.as_deref().and_then(|text| text.strip_prefix(VERSION)).filter(|key| !key.contains('\0'));
    key.map(str::to_owned)
        .ok_or_else(|| ApiError::Query { reason: "cursor is none that this server gave".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_its_key_and_others_are_refused() {
        for key in ["", "orders", "müller ❤", "1:1:"] {
            assert_eq!(open(&seal(key)).unwrap(), key);
        }
        for bad in [
            "",
            "garbage",
            "!!!",
            &URL_SAFE_NO_PAD.encode("2:x"),
            &URL_SAFE_NO_PAD.encode("1:\0"),
            &"A".repeat(4000),
        ] {
            assert!(open(bad).is_err(), "{bad}");
        }
    }
}
