//! [`ProgressFile`]: where a comparison keeps how far it has come.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use segcdc_engine_native::{SavedVerify, VerifyBy};

use crate::error::CliError;

/// A file that says how far a comparison has come. It has keys of rows that differ, so nobody but its owner can read it.
#[derive(Debug)]
pub(super) struct ProgressFile {
    path: PathBuf,
    /// Why it could not be written, the last time.
    trouble: Option<ErrorKind>,
}

// === impl ProgressFile ===

impl ProgressFile {
    /// Opens the file of a comparison, or makes it; returns what another comparison has kept there.
    ///
    /// # Errors
    /// `PROGRESS_FILE_INVALID` when it cannot be read or written, or is no such file; `PROGRESS_FILE_MISMATCH` when it is that of
    /// another comparison.
    pub(super) fn open(
        path: &Path,
        pipeline: &str,
        by: VerifyBy,
    ) -> Result<(Self, Option<SavedVerify>), CliError> {
        let file = ProgressFile { path: path.to_owned(), trouble: None };
        let saved = match fs::read(path) {
            Ok(bytes) => Some(parse(path, &bytes, pipeline, by)?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(invalid(path, "cannot be read").because(&error)),
        };
        if saved.is_none() {
            file.write(&SavedVerify::new(pipeline, by))
                .map_err(|error| invalid(path, "cannot be written").because(&error))?;
        }
        Ok((file, saved.filter(|saved| !saved.is_empty())))
    }

    /// Keeps how far the comparison has come; returns what is to be said when that fails, once for each reason.
    pub(super) fn keep(&mut self, saved: &SavedVerify) -> Option<String> {
        let trouble = self.write(saved).err();
        let kind = trouble.as_ref().map(io::Error::kind);
        let is_new = kind != self.trouble;
        self.trouble = kind;
        let trouble = trouble.filter(|_| is_new)?;
        Some(format!("{} cannot be written, the comparison goes on without: {trouble}", self.path.display()))
    }

    /// Removes the file: the comparison is over.
    pub(super) fn remove(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), error = %error, "the file of the comparison's progress stays");
        }
    }

    /// Replaces the file in one step, so that a death leaves the old one or the new one.
    fn write(&self, saved: &SavedVerify) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(saved)?)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        // The rename itself is durable once its folder is.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

fn parse(path: &Path, bytes: &[u8], pipeline: &str, by: VerifyBy) -> Result<SavedVerify, CliError> {
    let saved: SavedVerify = serde_json::from_slice(bytes)
        .map_err(|error| invalid(path, "is no file of progress").because(&error))?;
    if saved.pipeline == pipeline && saved.by == by {
        return Ok(saved);
    }
    let of = if saved.pipeline == pipeline {
        "with another --by".to_owned()
    } else {
        format!("of the pipeline \"{}\"", saved.pipeline)
    };
    Err(CliError::usage(
        "PROGRESS_FILE_MISMATCH",
        format!("{} keeps the progress of another comparison, {of}", path.display()),
        "name another file, or remove this one to begin anew",
    ))
}

fn invalid(path: &Path, what: &str) -> CliError {
    let message = format!("the file of the comparison's progress, {}, {what}", path.display());
    CliError::usage("PROGRESS_FILE_INVALID", message, "name another file, or remove this one to begin anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_gone_on_with_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verify.json");
        let open = |by| ProgressFile::open(&path, "shop", by);
        let (mut file, saved) = open(VerifyBy::Rows).unwrap();
        assert!(saved.is_none() && path.exists());
        assert_eq!(file.keep(&SavedVerify::new("shop", VerifyBy::Rows)), None);
        assert!(open(VerifyBy::Rows).unwrap().1.is_none(), "nothing was compared");
        assert_eq!(open(VerifyBy::Count).unwrap_err().code, "PROGRESS_FILE_MISMATCH");
        let other = ProgressFile::open(&path, "other", VerifyBy::Rows).unwrap_err();
        assert_eq!(other.code, "PROGRESS_FILE_MISMATCH");
        file.remove();
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_such_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "mine").unwrap();
        let check = |path: &Path| {
            let error = ProgressFile::open(path, "shop", VerifyBy::Rows).unwrap_err();
            assert_eq!(error.code, "PROGRESS_FILE_INVALID", "{error:?}");
        };
        check(&path);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        check(folder.path());
        check(&folder.path().join("missing").join("verify.json"));
    }

    #[test]
    fn trouble_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let saved = SavedVerify::new("shop", VerifyBy::Rows);
        let (mut file, _) = ProgressFile::open(&inner.join("v"), "shop", VerifyBy::Rows).unwrap();
        fs::remove_dir_all(&inner).unwrap();
        assert!(file.keep(&saved).is_some_and(|said| said.contains("goes on without")));
        assert_eq!(file.keep(&saved), None);
        fs::create_dir(&inner).unwrap();
        assert_eq!(file.keep(&saved), None);
    }
}
