//! The edges between crates. A new edge is a decision: it is added here, with a note in `docs/decisions`.

use crate::Complaint;
use crate::source::Workspace;

/// What one crate may know.
struct Layer {
    /// The crate.
    name: &'static str,
    /// The crates of ours that its code may import.
    may_import: &'static [&'static str],
    /// Crates of others that it must never import: what would take away what the crate promises.
    never: &'static [&'static str],
}

/// Runtimes and drivers: what makes a crate do I/O.
const IO: &[&str] = &["tokio", "tokio-postgres", "tokio-rustls", "socket2", "rustix", "tracing"];
/// Drivers of a database.
const DRIVERS: &[&str] = &["tokio-postgres", "postgres-protocol", "segcdc-tds"];

/// The crates, lowest first. Lower never imports higher. Tests may also use [`TEST_ONLY`].
const LAYERS: &[Layer] = &[
    Layer { name: "segcdc-model", may_import: &[], never: IO },
    Layer { name: "segcdc-tds", may_import: &[], never: &["tokio-postgres"] },
    Layer { name: "segcdc-plan", may_import: &["segcdc-model"], never: IO },
    Layer {
        name: "segcdc-postgres",
        may_import: &["segcdc-model"],
        never: &["segcdc-tds", "tokio-postgres"],
    },
    Layer {
        name: "segcdc-sqlserver",
        may_import: &["segcdc-model", "segcdc-plan", "segcdc-tds"],
        never: &["tokio-postgres"],
    },
    Layer {
        name: "segcdc-engine-native",
        may_import: &["segcdc-model", "segcdc-plan", "segcdc-postgres", "segcdc-sqlserver"],
        never: DRIVERS,
    },
    Layer {
        name: "segcdc-engine-kafka-connect",
        may_import: &[
            "segcdc-model",
            "segcdc-plan",
            "segcdc-postgres",
            "segcdc-sqlserver",
            "segcdc-engine-native",
        ],
        never: DRIVERS,
    },
    // It knows engines as a trait only, and no HTTP.
    Layer {
        name: "segcdc-control",
        may_import: &["segcdc-model"],
        never: &["tokio-postgres", "postgres-protocol", "segcdc-tds", "axum", "hyper"],
    },
    // Thin: what it does is a use case of control.
    Layer {
        name: "segcdc-api",
        may_import: &["segcdc-model", "segcdc-control"],
        never: &["tokio-postgres", "postgres-protocol", "segcdc-tds", "sqlx", "rustix"],
    },
    Layer {
        name: "segcdc",
        may_import: &[
            "segcdc-model",
            "segcdc-control",
            "segcdc-api",
            "segcdc-plan",
            "segcdc-postgres",
            "segcdc-sqlserver",
            "segcdc-engine-native",
            "segcdc-engine-kafka-connect",
        ],
        never: DRIVERS,
    },
    // Development only from here on: nothing above may need one of them to run.
    Layer { name: "segcdc-testkit", may_import: &[], never: &[] },
    Layer { name: "segcdc-naive", may_import: &["segcdc-model", "segcdc-plan"], never: IO },
    Layer { name: "segcdc-sandbox", may_import: &["segcdc-tds", "segcdc-testkit"], never: &[] },
    // It drives the program and asks the target by the wire protocol when rows are visible. To measure parts of the native
    // engine alone it also calls what the engine calls: the stream reader, the plan of a table, the loader.
    Layer {
        name: "segcdc-demo",
        may_import: &[
            "segcdc-model",
            "segcdc-plan",
            "segcdc-postgres",
            "segcdc-sqlserver",
            "segcdc-tds",
            "segcdc-testkit",
        ],
        never: &[],
    },
    Layer { name: "xtask", may_import: &[], never: &[] },
];

/// Crates that the tests of every crate may use.
const TEST_ONLY: &[&str] = &["segcdc-testkit", "segcdc-naive", "segcdc-sandbox", "segcdc-tds"];

/// Compares the manifests with [`LAYERS`].
pub(crate) fn check(workspace: &Workspace) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (name, member) in &workspace.crates {
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
            complaints.push(Complaint::new(name, "this crate has no place among the layers yet"));
            continue;
        };
        for edge in &member.dependencies {
            let forbidden = layer.never.contains(&edge.as_str());
            let unknown = is_ours(edge) && !layer.may_import.contains(&edge.as_str());
            if forbidden || unknown {
                complaints.push(Complaint::new(name, format!("must not depend on {edge}")));
            }
        }
        if member.enabled.iter().any(|feature| feature.ends_with("/mutants")) {
            complaints.push(Complaint::new(
                name,
                "mistakes are planted by tests only, not by a build without them",
            ));
        }
        for edge in member.dev_dependencies.iter().filter(|edge| is_ours(edge)) {
            let known = layer.may_import.contains(&edge.as_str()) || TEST_ONLY.contains(&edge.as_str());
            if !known {
                complaints.push(Complaint::new(name, format!("its tests must not depend on {edge}")));
            }
        }
    }
    complaints
}

/// Whether a package is a member of this workspace.
fn is_ours(package: &str) -> bool {
    LAYERS.iter().any(|layer| layer.name == package)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;
    use crate::source::Crate;

    /// What is said about one crate with these dependencies.
    fn check_one(name: &str, dependencies: &[&str], dev_dependencies: &[&str]) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let member = Crate {
            dir: PathBuf::new(),
            dependencies: owned(dependencies),
            dev_dependencies: owned(dev_dependencies),
            enabled: Vec::new(),
        };
        let workspace =
            Workspace { root: PathBuf::new(), crates: BTreeMap::from([(name.to_owned(), member)]) };
        check(&workspace).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_edge_upwards_is_found() {
        assert_eq!(
            check_one("segcdc-plan", &["segcdc-model", "segcdc-postgres"], &[]),
            ["segcdc-plan: must not depend on segcdc-postgres"]
        );
    }

    #[test]
    fn a_runtime_in_a_pure_crate_is_found() {
        assert_eq!(check_one("segcdc-plan", &["tokio"], &[]), ["segcdc-plan: must not depend on tokio"]);
    }

    #[test]
    fn test_servers_are_for_tests_only() {
        assert_eq!(check_one("segcdc-sqlserver", &[], &["segcdc-testkit"]), [""; 0]);
        assert_eq!(
            check_one("segcdc-sqlserver", &["segcdc-testkit"], &[]),
            ["segcdc-sqlserver: must not depend on segcdc-testkit"]
        );
    }

    #[test]
    fn a_new_crate_must_be_placed() {
        assert_eq!(check_one("segcdc-new", &[], &[]).len(), 1);
    }

    #[test]
    fn a_mistake_outside_of_tests_is_found() {
        let member = Crate {
            dir: PathBuf::new(),
            dependencies: Vec::new(),
            dev_dependencies: Vec::new(),
            enabled: vec!["segcdc-model/mutants".to_owned()],
        };
        let crates = BTreeMap::from([("segcdc".to_owned(), member)]);
        assert_eq!(check(&Workspace { root: PathBuf::new(), crates }).len(), 1);
    }
}
