//! Locales that the machine does not have, for one server: what a currency, a month or a message looks like.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::scratch;

/// Where glibc keeps the sources of locales (Debian: package `locales`).
const SOURCES: &str = "/usr/share/i18n/locales";

/// Whether locales can be made here.
pub fn can_make() -> bool {
    Path::new(SOURCES).is_dir() && Command::new("localedef").arg("--version").output().is_ok()
}

/// Makes locales such as `ja_JP.UTF-8` into a directory that a server is given as `LOCPATH`; nothing for no names.
pub fn make(names: &[String]) -> Result<Option<TempDir>> {
    if names.is_empty() {
        return Ok(None);
    }
    let dir = scratch::temp_dir("segcdc-locales-")?;
    // The server runs as another user.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    for name in names {
        let (source, charset) = name.split_once('.').with_context(|| format!("{name} names no charset"))?;
        let mut localedef = Command::new("localedef");
        localedef.args(["--no-archive", "-c", "-i", source, "-f", charset]).arg(dir.path().join(name));
        let output = localedef.output().context("could not run localedef")?;
        // It complains of much, and fails when nothing was written.
        ensure!(dir.path().join(name).is_dir(), "no {name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(Some(dir))
}
