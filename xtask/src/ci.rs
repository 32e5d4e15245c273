//! Every check in one run, the quickest first.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::source::Workspace;
use crate::{Complaint, codes, layers, reference, size, words};

/// Where the set-up script puts development tools.
const TOOLS: &str = ".cache/venv/bin";

/// Runs the checks of this program, then the external ones. All run, so that one look shows everything.
#[expect(clippy::print_stdout, reason = "the terminal is this program's only output")]
pub(crate) fn run(workspace: &Workspace) -> Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    let own: [(&str, Vec<Complaint>); 5] = [
        ("layers", layers::check(workspace)?),
        ("size", size::check(workspace)?),
        ("words", words::check(workspace)?),
        ("codes", codes::check(workspace)?),
        ("reference", reference::check(workspace)?),
    ];
    for (name, found) in own {
        println!("check {name}: {}", verdict(found.is_empty()));
        complaints.extend(found);
    }
    for (name, arguments, environment) in EXTERNAL {
        println!("check {name}: cargo {}", arguments.join(" "));
        let begun = Instant::now();
        let passed = succeeds(workspace, arguments, environment)?;
        println!("check {name}: {} ({} s)", verdict(passed), begun.elapsed().as_secs());
        if !passed {
            complaints.push(Complaint::new(*name, "failed, see above"));
        }
    }
    complaints.extend(licences(workspace)?);
    Ok(complaints)
}

/// Name, cargo's arguments, and environment of each external check.
type External = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

/// What cargo checks.
const EXTERNAL: &[External] = &[
    ("format", &["fmt", "--all", "--check"], &[]),
    (
        "clippy",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--locked",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
        &[],
    ),
    (
        "documentation",
        &["doc", "--workspace", "--no-deps", "--document-private-items", "--locked", "--quiet"],
        &[("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links")],
    ),
];

/// Licences, registries and bans by cargo-deny; advisories as well where their database can be had.
#[expect(clippy::print_stdout, reason = "the terminal is this program's only output")]
fn licences(workspace: &Workspace) -> Result<Vec<Complaint>> {
    if !succeeds_silently(workspace, &["deny", "--version"])? {
        return Ok(vec![Complaint::new("licences", "cargo-deny is missing; run scripts/setup.sh check")]);
    }
    let mut complaints = Vec::new();
    let passed =
        succeeds(workspace, &["deny", "--log-level", "error", "check", "bans", "licenses", "sources"], &[])?;
    println!("check licences: {}", verdict(passed));
    if !passed {
        complaints.push(Complaint::new("licences", "failed, see above"));
    }
    if succeeds_silently(workspace, &["deny", "fetch", "db"])? {
        let passed = succeeds(workspace, &["deny", "--log-level", "error", "check", "advisories"], &[])?;
        println!("check advisories: {}", verdict(passed));
        if !passed {
            complaints.push(Complaint::new("advisories", "failed, see above"));
        }
    } else {
        println!("check advisories: skipped, the advisory database cannot be fetched from here");
    }
    Ok(complaints)
}

/// The word for an outcome.
fn verdict(passed: bool) -> &'static str {
    if passed { "ok" } else { "FAILED" }
}

/// Whether cargo ends well; its output is shown.
fn succeeds(workspace: &Workspace, arguments: &[&str], environment: &[(&str, &str)]) -> Result<bool> {
    let mut command = cargo(workspace, arguments);
    command.envs(environment.iter().copied());
    Ok(command.status().context("could not run cargo")?.success())
}

/// Whether cargo ends well; its output is not shown.
fn succeeds_silently(workspace: &Workspace, arguments: &[&str]) -> Result<bool> {
    let mut command = cargo(workspace, arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.status().context("could not run cargo")?.success())
}

/// A cargo command that finds the development tools of the checkout first.
fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(&workspace.root).stdin(Stdio::null());
    command.env("PATH", search_path(workspace));
    command
}

/// The search path with the checkout's own tools in front.
fn search_path(workspace: &Workspace) -> OsString {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let own: PathBuf = workspace.root.join(TOOLS);
    let all = std::iter::once(own).chain(std::env::split_paths(&inherited));
    std::env::join_paths(all).unwrap_or(inherited)
}
