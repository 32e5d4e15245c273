//! Where temporary clusters live, and how they are made quickly.
//!
//! A test run makes dozens of clusters; `initdb` and the disk would take most of its time. So clusters go to memory
//! where there is plenty, and are copies of one that `initdb` made once. Neither is needed: without memory to spare
//! the system's temporary directory serves, and without a usable copy `initdb` does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// A file system in memory, where Linux has one.
const MEMORY_DIR: &str = "/dev/shm";

/// Free space that it must have to be used, bytes: a full load and the write-ahead logs of both sides fit several
/// times.
const MEMORY_NEEDED: u64 = 6 << 30;

/// Names the directory for temporary clusters instead.
const VARIABLE: &str = "SEGCDC_TEST_TMP";

/// A new temporary directory, removed when it is dropped.
pub fn temp_dir(prefix: &str) -> Result<TempDir> {
    let parent = parent();
    let made = tempfile::Builder::new().prefix(prefix).tempdir_in(&parent);
    made.with_context(|| format!("could not make a directory in {}", parent.display()))
}

/// Copies the cluster that `initdb` makes with these arguments into `data_dir`, which must not exist or be empty;
/// false when there is no such copy yet and none could be kept.
///
/// `make` runs `initdb` into the directory that it gets. The copy is kept in memory, under a name that says what it
/// was made from, until the machine restarts.
pub fn copy_cluster(name: &str, data_dir: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<bool> {
    let parent = parent();
    if parent != Path::new(MEMORY_DIR) {
        return Ok(false);
    }
    let user = rustix::process::geteuid().as_raw();
    let template = parent.join(format!("segcdc-initdb-{user}-{name}"));
    if !template.exists() {
        let made = temp_dir("segcdc-initdb-")?;
        let cluster = made.path().join("data");
        make(&cluster)?;
        // Whoever renames first wins; the others' clusters are the same and go away.
        if fs::rename(&cluster, &template).is_err() {
            ensure!(template.exists(), "could not keep a cluster as {}", template.display());
        }
    }
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::symlink_metadata(&template)?);
    ensure!(owner == user || user == 0, "{} belongs to somebody else; remove it", template.display());
    let copied = Command::new("cp").arg("-a").arg(template.join(".")).arg(data_dir).status()?;
    ensure!(copied.success(), "could not copy {} to {}", template.display(), data_dir.display());
    Ok(true)
}

fn parent() -> PathBuf {
    if let Some(dir) = std::env::var_os(VARIABLE) {
        return PathBuf::from(dir);
    }
    let memory = Path::new(MEMORY_DIR);
    let free = rustix::fs::statvfs(memory).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    if free >= MEMORY_NEEDED { memory.to_owned() } else { std::env::temp_dir() }
}
