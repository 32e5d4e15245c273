//! [`Workspace`]: the repository as the checks see it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use walkdir::WalkDir;

/// The repository: where it is and which crates it has.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// The members, by name.
    pub(crate) crates: BTreeMap<String, Crate>,
}

/// One member of the workspace.
#[derive(Debug)]
pub(crate) struct Crate {
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// What its code needs to run, by name of the package.
    pub(crate) dependencies: Vec<String>,
    /// What only its tests need.
    pub(crate) dev_dependencies: Vec<String>,
    /// Features of others that it switches on, outside of its tests: `package/feature`.
    pub(crate) enabled: Vec<String>,
}

/// One Rust file under a crate's `src`.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Its path relative to the workspace.
    pub(crate) path: String,
    /// The module it is: `["pgoutput", "decode"]` for `src/pgoutput/decode.rs`; empty for `lib.rs` and `main.rs`.
    pub(crate) module: Vec<String>,
    /// What is in it.
    pub(crate) text: String,
}

/// The part of `cargo metadata` that is looked at.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// A package of `cargo metadata`.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
    features: BTreeMap<String, Vec<String>>,
}

/// A dependency of `cargo metadata`.
#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    features: Vec<String>,
}

// === impl Workspace ===

impl Workspace {
    /// The workspace that `manifest_dir`, the folder of this crate, belongs to.
    pub(crate) fn open(manifest_dir: &Path) -> Result<Self> {
        let root = manifest_dir.parent().context("xtask lies in the workspace")?.to_owned();
        let output = Command::new("cargo")
            .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
            .current_dir(&root)
            .output()
            .context("could not run cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
        let crates = metadata.packages.into_iter().map(|package| {
            let dir = package.manifest_path.parent().context("a manifest lies in a folder")?.to_owned();
            let (dev, rest): (Vec<_>, Vec<_>) =
                package.dependencies.into_iter().partition(|edge| edge.kind.as_deref() == Some("dev"));
            let of_edges = rest
                .iter()
                .flat_map(|edge| edge.features.iter().map(move |feature| format!("{}/{feature}", edge.name)));
            let enabled = of_edges.chain(package.features.into_values().flatten()).collect();
            let names = |edges: Vec<Dependency>| edges.into_iter().map(|edge| edge.name).collect();
            Ok((
                package.name,
                Crate { dir, enabled, dependencies: names(rest), dev_dependencies: names(dev) },
            ))
        });
        let crates = crates.collect::<Result<_>>()?;
        Ok(Workspace { root, crates })
    }

    /// The Rust files of one crate's `src`, in order of their paths. Files of unit tests are among them.
    pub(crate) fn sources(&self, member: &Crate) -> Result<Vec<SourceFile>> {
        let src = member.dir.join("src");
        let mut files = Vec::new();
        for entry in WalkDir::new(&src).sort_by_file_name() {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == "rs") {
                let relative = entry.path().strip_prefix(&src)?;
                files.push(SourceFile {
                    path: self.relative(entry.path()),
                    module: module_of(relative),
                    text: fs::read_to_string(entry.path())?,
                });
            }
        }
        Ok(files)
    }

    /// All files under version control, and new ones that are not ignored.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let output = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output()
            .context("could not run git ls-files")?;
        ensure!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
        let listed = String::from_utf8(output.stdout)?;
        Ok(listed.lines().map(|line| self.root.join(line)).filter(|path| path.is_file()).collect())
    }

    /// A path relative to the workspace, for people.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

// === impl SourceFile ===

impl SourceFile {
    /// The module of the crate that the file belongs to, empty for the crate's root file.
    pub(crate) fn top_module(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }

    /// Whether the file holds nothing but tests.
    pub(crate) fn is_test(&self) -> bool {
        self.module.iter().any(|part| part == "tests" || part == "test")
    }

    /// The file without comment lines and without what follows its first `#[cfg(test)]`, by which tests begin.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, line)| !line.trim_start().starts_with("#[cfg(test)]"))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(index, line)| (index + 1, line))
    }
}

/// The module that a file relative to `src` is.
fn module_of(relative: &Path) -> Vec<String> {
    let mut module: Vec<String> =
        relative.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if let [only] = module.as_slice()
        && (only == "lib" || only == "main")
    {
        module.clear();
    }
    module
}
