//! The page of commands, from the golden files of what `--help` prints.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What the golden files of the help texts are named by.
const PREFIX: &str = "segcdc__arguments__tests__help_";

/// What stands above the commands.
const HEAD: &str = "\
# Command line

<!-- Generated from the golden files of the help texts by `cargo xtask reference --write`. Do not edit. -->
";

/// The commands in the order in which they are used; others follow by name.
const ORDER: [&str; 8] = ["segcdc", "up", "status", "slot", "plan", "doctor", "verify", "down"];

/// The page, from the golden files in `dir`; `None` while there are none.
pub(super) fn page(dir: &Path) -> Result<Option<String>> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(None) };
    let mut texts = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_golden = path.extension().is_some_and(|extension| extension == "snap");
        if let Some(name) = stem.strip_prefix(PREFIX).filter(|_| is_golden) {
            texts.push((name.to_owned(), body(&fs::read_to_string(&path)?)?));
        }
    }
    let rank = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
    texts.sort_by(|(a, _), (b, _)| (rank(a), a).cmp(&(rank(b), b)));
    if texts.is_empty() {
        return Ok(None);
    }
    let mut page = HEAD.to_owned();
    for (name, text) in texts {
        let title = if name == "segcdc" { name } else { format!("segcdc {name}") };
        page.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", text.trim_end()));
    }
    Ok(Some(page))
}

/// A golden file without its header, and without blanks at the ends of lines.
fn body(text: &str) -> Result<String> {
    let (_, body) = text
        .strip_prefix("---\n")
        .and_then(|rest| rest.split_once("\n---\n"))
        .context("a golden file has a header")?;
    Ok(body.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_golden_file_is_left_out() {
        assert_eq!(body("---\nsource: a\n---\nUsage: x \n\n  y\n").unwrap(), "Usage: x\n\n  y");
        assert!(body("Usage").is_err());
    }
}
