//! What only certain files may do, found by the text that it takes to do it.

use anyhow::Result;

use crate::Complaint;
use crate::source::{SourceFile, Workspace};

/// One thing that only certain files may do.
struct Privilege {
    /// Texts that give it away.
    marks: &'static [&'static str],
    /// The ends of the paths of the files that may.
    holders: &'static [&'static str],
    /// Crates to which it does not apply.
    except: &'static [&'static str],
    /// What to say to others.
    rule: &'static str,
}

/// Development only: these start servers, read test settings and quote for themselves.
const DEVELOPMENT: &[&str] = &["segcdc-testkit", "segcdc-sandbox", "segcdc-demo", "xtask"];

/// The rules.
const PRIVILEGES: &[Privilege] = &[
    Privilege {
        marks: &[r#"']', "]]""#, r#""]", "]]""#, r#"'"', "\"\"""#, r#"'\'', "''""#, r#""'", "''""#],
        // INSERT BULK is part of the protocol, so that the client writes its names.
        holders: &["src/quote.rs", "tds/src/bulk.rs"],
        except: DEVELOPMENT,
        rule: "only quote.rs writes identifiers and literals into SQL",
    },
    Privilege {
        marks: &["env::var", "env::vars", "env::set_var"],
        // Failpoints are compiled into tests' builds only.
        holders: &["segcdc/src/main.rs", "segcdc/src/environment.rs", "engine-native/src/failpoint.rs"],
        except: DEVELOPMENT,
        rule: "only the binary's main.rs reads the environment",
    },
    Privilege {
        marks: &["SystemTime::now", "Instant::now", "std::fs", "std::net", "thread_rng", "rand::rng"],
        holders: &[],
        except: &[
            "segcdc-testkit",
            "segcdc-sandbox",
            "segcdc-demo",
            "xtask",
            "segcdc-tds",
            "segcdc-postgres",
            "segcdc-sqlserver",
            "segcdc-engine-native",
            "segcdc-engine-kafka-connect",
            "segcdc-control",
            "segcdc-api",
            "segcdc",
        ],
        rule: "model and plan do no I/O and ask neither the clock nor chance",
    },
    Privilege {
        marks: &["process::exit"],
        holders: &[],
        except: &["xtask"],
        rule: "main returns an exit code; nothing else ends the process",
    },
];

/// Looks for the marks in the code of every crate, tests left out.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for (name, member) in &workspace.crates {
        for file in workspace.sources(member)?.iter().filter(|file| !file.is_test()) {
            for privilege in PRIVILEGES.iter().filter(|privilege| !privilege.except.contains(&name.as_str()))
            {
                complaints.extend(trespasses(file, privilege));
            }
        }
    }
    Ok(complaints)
}

/// The lines of a file that do what it may not.
fn trespasses(file: &SourceFile, privilege: &Privilege) -> Vec<Complaint> {
    if privilege.holders.iter().any(|holder| file.path.ends_with(holder)) {
        return Vec::new();
    }
    file.code_lines()
        .filter(|(_, line)| privilege.marks.iter().any(|mark| line.contains(mark)))
        .map(|(number, _)| Complaint::new(format!("{}:{number}", file.path), privilege.rule))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the first rule says about a file.
    fn quoting_in(path: &str, text: &str) -> usize {
        let file = SourceFile { path: path.to_owned(), module: Vec::new(), text: text.to_owned() };
        trespasses(&file, &PRIVILEGES[0]).len()
    }

    #[test]
    fn quoting_outside_quote_rs_is_found() {
        let text = "fn f(n: &str) -> String { n.replace(']', \"]]\") }";
        assert_eq!(quoting_in("crates/sqlserver/src/sql/staging.rs", text), 1);
        assert_eq!(quoting_in("crates/sqlserver/src/quote.rs", text), 0);
    }

    #[test]
    fn comments_and_tests_are_left_alone() {
        let text = "// n.replace(']', \"]]\")\n#[cfg(test)]\nmod tests { fn f() { n.replace(']', \"]]\") } }";
        assert_eq!(quoting_in("crates/sqlserver/src/sql/staging.rs", text), 0);
    }
}
