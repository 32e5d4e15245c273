//! [`write()`]: the sections of `docs/reference/performance.md`, each written by the command that measured it.
//!
//! A section stands between two comments that name its command, so that a run replaces its own and leaves the others.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What stands above all sections.
const HEAD: &str = "# Performance

What was measured, on one machine, by commands that everybody can run. Each section is written by the command that it names, and
replaced by its next run with `PAGE=docs/reference/performance.md`. Read ratios: both sides of each were measured in the same run, on the same
data. All times were taken on the sandbox, which is not SQL Server; absolute numbers say little about your servers.
";

/// The second section of `make bench`, which stays when only the first one is measured.
pub(crate) const GROWTH: &str = "make bench (growth)";

/// Sections in their order.
const SECTIONS: [&str; 3] = ["make bench", GROWTH, "make bench-peer"];

/// Replaces a command's section of a page, which is made if it is not there.
pub(crate) fn write(path: &Path, command: &str, body: &str) -> Result<()> {
    let page = match fs::read_to_string(path) {
        Ok(page) => page,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => HEAD.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("could not read {}", path.display())),
    };
    let page = replace(&page, command, body);
    fs::write(path, page).with_context(|| format!("could not write {}", path.display()))
}

/// The page with another section of this command; at its place by [`SECTIONS`] when it is new.
fn replace(page: &str, command: &str, body: &str) -> String {
    let section = format!("{}\n{}\n{}\n", begin(command), body.trim(), end(command));
    if let Some((before, rest)) = page.split_once(&begin(command))
        && let Some((_, after)) = rest.split_once(&end(command))
    {
        return format!("{before}{section}{}", after.strip_prefix('\n').unwrap_or(after));
    }
    let later = SECTIONS.iter().skip_while(|name| **name != command).skip(1);
    let next = later.filter_map(|name| page.find(&begin(name))).min();
    let (before, after) = page.split_at(next.unwrap_or(page.len()));
    let gap = if after.is_empty() { "" } else { "\n" };
    format!("{}\n\n{section}{gap}{after}", before.trim_end())
}

fn begin(command: &str) -> String {
    format!("<!-- {command} writes what follows -->")
}

fn end(command: &str) -> String {
    format!("<!-- {command} wrote this -->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_others_stay() {
        let first = replace("# P\n\nText.\n", "make bench-peer", "## B\none\n");
        assert!(first.starts_with("# P\n\nText.\n\n<!-- make bench-peer writes"), "{first}");
        let both = replace(&first, "make bench", "## A\n");
        assert!(both.find("## A") < both.find("## B"), "{both}");
        let all = replace(&both, GROWTH, "## G");
        assert!(all.find("## A") < all.find("## G") && all.find("## G") < all.find("## B"), "{all}");
        assert_eq!(replace(&all, "make bench", "## A\n"), all);
        let again = replace(&both, "make bench-peer", "## B\ntwo");
        assert!(again.contains("two") && !again.contains("one") && again.contains("## A"), "{again}");
        assert_eq!(replace(&again, "make bench", "## A"), again);
        assert_eq!(replace(&again, "make bench-peer", "## B\ntwo"), again);
    }

    #[test]
    fn a_page_is_made_where_there_is_none() {
        let dir = segcdc_testkit::scratch::temp_dir("segcdc-page-").unwrap();
        let path = dir.path().join("performance.md");
        write(&path, "make bench", "body").unwrap();
        let page = fs::read_to_string(&path).unwrap();
        assert!(page.starts_with("# Performance\n") && page.contains("\nbody\n"), "{page}");
        assert!(write(dir.path(), "make bench", "body").is_err());
    }
}
