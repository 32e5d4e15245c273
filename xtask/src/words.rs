//! Words that have no place in what is published: paths of one machine, and talk about how the work is organised.

use std::fs;

use anyhow::Result;

use crate::Complaint;
use crate::source::Workspace;

/// What must not be found, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("/wor", "k/"), "a path of one machine"),
    (concat!("/home", "/"), "a path of one machine"),
    (concat!("issue", " #"), "say what holds, not where it was talked about"),
    (concat!("CONTRACT", ".md"), "not a file of this repository"),
    (concat!("XX", "X:"), "write why it is so, or a TODO with a number"),
    (concat!("FIX", "ME"), "write why it is so, or a TODO with a number"),
    (concat!("TO", "DO:"), "a TODO has a number: TODO(#12):"),
];

/// Reads every file under version control; what is not text is passed over.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for path in workspace.files()? {
        if let Ok(text) = String::from_utf8(fs::read(&path)?) {
            complaints.extend(forbidden_in(&workspace.relative(&path), &text));
        }
    }
    Ok(complaints)
}

/// The forbidden words of one file.
fn forbidden_in(path: &str, text: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (word, reason) in FORBIDDEN.iter().filter(|(word, _)| line.contains(word)) {
            complaints.push(Complaint::new(format!("{path}:{}", index + 1), format!("\"{word}\": {reason}")));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_machine_is_found_with_its_line() {
        let text = format!("first\nsee {}x\n", FORBIDDEN[0].0);
        assert_eq!(forbidden_in("a.md", &text)[0].place, "a.md:2");
    }

    #[test]
    fn a_numbered_todo_is_allowed() {
        assert_eq!(forbidden_in("a.rs", &format!("// {}(#12): x", concat!("TO", "DO"))), []);
    }
}
