//! [`SmallDisk`]: a file system that is full soon.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

/// A file system of its own, in memory, unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallDisk(tempfile::TempDir);

// === impl SmallDisk ===

impl SmallDisk {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Mounts one of a size like `4m`; `None` where that is not allowed, which is said.
    ///
    /// # Errors
    /// When there can be no temporary directory.
    #[expect(clippy::print_stderr, reason = "a test says what it leaves out")]
    pub fn mount(size: &str) -> Result<Option<Self>> {
        let disk = SmallDisk(tempfile::tempdir()?);
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "segcdc"], disk.0.path());
        if !mounted {
            eprintln!("skipped: this user may not mount a small file system, so no disk can be full");
        }
        Ok(mounted.then_some(disk))
    }

    /// Gives it another size.
    ///
    /// # Errors
    /// When what it holds does not fit.
    pub fn resize(&self, size: &str) -> Result<()> {
        ensure!(mount(&["-o", &format!("remount,size={size}")], self.0.path()), "remount");
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still have a file open.
        let _not_mounted = Command::new("umount").args(["-q", "-l"]).arg(self.0.path()).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    let status = Command::new("mount").args(arguments).arg(at).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
