//! The bytes of a pipeline file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::FileError;

/// Largest file: a thousand tables with a rule for each of ten columns.
const MAX_BYTES: u64 = 1 << 20;

/// Largest file with a password.
const MAX_SECRET_BYTES: u64 = 16 * 1024;

/// How a file is named in messages.
pub(super) fn shown(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// Reads a pipeline file; `-` is standard input.
///
/// # Errors
/// [`FileError::Unreadable`].
pub(super) fn text(path: &Path, input: &mut dyn Read) -> Result<String, FileError> {
    let unreadable = |reason: String| FileError::Unreadable { file: shown(path), reason };
    let mut bytes = Vec::new();
    let outcome = if path == Path::new("-") {
        input.take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    let count = outcome.map_err(|error| unreadable(error.to_string()))?;
    if u64::try_from(count).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(unreadable("it is larger than 1 MiB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        unreadable(format!("it is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
    })
}

/// Reads a password: the file without the line end behind it.
///
/// # Errors
/// Why not.
pub(super) fn secret(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let shown = path.display();
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET_BYTES).read_to_string(&mut text))
        .map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if text.len() as u64 == MAX_SECRET_BYTES {
        return Err(format!("{shown} has {MAX_SECRET_BYTES} bytes or more, which no password has"));
    }
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() { Err(format!("{shown} is empty")) } else { Ok(text.to_owned()) }
}
