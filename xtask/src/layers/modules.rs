//! Circles between the top-level modules of a crate. Cargo keeps direction between crates; inside one, this does.
//!
//! A module knows another if its code outside tests names a path into it: `crate::b::X`, `super::b` from a top-level
//! file, or `crate::X` where the crate's root re-exports `X` from `b`. The root file itself knows all and is left out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use syn::visit::{self, Visit};

use crate::Complaint;
use crate::source::{SourceFile, Workspace};

/// Which top-level module knows which others.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Edges that are left out: the two modules are halves of one thing, and apart for their length only.
const HALVES: &[(&str, &str, &str)] = &[
    ("segcdc", "progress", "commands"),
    ("segcdc-engine-native", "apply_loop", "run"),
    ("segcdc-engine-native", "provision", "preflight"),
    ("segcdc-engine-native", "startup", "provision"),
    ("segcdc-plan", "key", "table_plan"),
    ("segcdc-postgres", "sqlstate", "error"),
    ("segcdc-postgres", "replication", "stream"),
    ("segcdc-postgres", "tls", "socket"),
    ("segcdc-sqlserver", "sql", "state"),
    ("segcdc-tds", "bulk", "connection"),
    ("segcdc-tds", "row_encoder", "bulk"),
];

/// Looks for circles in every crate.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for (name, member) in &workspace.crates {
        let mut graph = graph_of(&workspace.sources(member)?)?;
        for (_, from, to) in HALVES.iter().filter(|(of, ..)| of == name) {
            graph.entry((*from).to_owned()).or_default().remove(*to);
        }
        if let Some(circle) = find_circle(&graph) {
            complaints.push(Complaint::new(name, format!("modules in a circle: {}", circle.join(" > "))));
        }
    }
    Ok(complaints)
}

/// What the files of one crate say.
fn graph_of(files: &[SourceFile]) -> Result<Graph> {
    let modules: BTreeSet<&str> =
        files.iter().map(SourceFile::top_module).filter(|module| !module.is_empty()).collect();
    let mut exports = BTreeMap::new();
    for file in files.iter().filter(|file| file.module.is_empty()) {
        let parsed = parse(file)?;
        for item in &parsed.items {
            if let syn::Item::Use(item) = item {
                let mut paths = Vec::new();
                flatten(&item.tree, &mut Vec::new(), &mut paths);
                for path in paths {
                    let path: Vec<&str> =
                        path.iter().map(String::as_str).skip_while(|part| *part == "crate").collect();
                    if let [module, .., last] = path.as_slice() {
                        exports.insert((*last).to_owned(), (*module).to_owned());
                    }
                }
            }
        }
    }
    let mut graph = Graph::new();
    for file in files.iter().filter(|file| !file.module.is_empty() && !file.is_test()) {
        let mut collector = PathCollector { depth: file.module.len(), names: BTreeSet::new() };
        collector.visit_file(&parse(file)?);
        let known = graph.entry(file.top_module().to_owned()).or_default();
        for name in collector.names {
            let module = exports.get(&name).unwrap_or(&name);
            if module != file.top_module() && modules.contains(module.as_str()) {
                known.insert(module.clone());
            }
        }
    }
    Ok(graph)
}

/// The syntax tree of a file.
fn parse(file: &SourceFile) -> Result<syn::File> {
    syn::parse_file(&file.text).with_context(|| format!("could not parse {}", file.path))
}

/// Gathers the first names after `crate::`, or after as many `super::` as lead to the crate's root.
struct PathCollector {
    /// How many `super::` lead to the root.
    depth: usize,
    /// What was found.
    names: BTreeSet<String>,
}

// === impl PathCollector ===

impl PathCollector {
    /// Takes the first name under the crate's root out of a path, if the path goes through the root.
    fn collect(&mut self, path: &[String]) {
        let supers = path.iter().take_while(|part| *part == "super").count();
        let under_root = match path.first().map(String::as_str) {
            Some("crate") => path.get(1),
            Some("super") if supers == self.depth => path.get(supers),
            _ => None,
        };
        self.names.extend(under_root.cloned());
    }
}

impl<'ast> Visit<'ast> for PathCollector {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if is_for_tests(&module.attrs) {
            return;
        }
        self.depth += 1;
        visit::visit_item_mod(self, module);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if is_for_tests(&item.attrs) {
            return;
        }
        let mut paths = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut paths);
        for path in &paths {
            self.collect(path);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.collect(&parts);
        visit::visit_path(self, path);
    }
}

/// Whether an item exists in tests only.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

/// Every full path of a `use` tree.
fn flatten(tree: &syn::UseTree, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let mut finish = |last: Option<String>| {
        paths.push(prefix.iter().cloned().chain(last).collect());
    };
    match tree {
        syn::UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, paths);
            prefix.pop();
        }
        syn::UseTree::Name(name) => finish(Some(name.ident.to_string())),
        syn::UseTree::Rename(rename) => finish(Some(rename.ident.to_string())),
        syn::UseTree::Glob(_) => finish(None),
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, prefix, paths);
            }
        }
    }
}

/// Some circle of the graph, its first module repeated at the end.
fn find_circle(graph: &Graph) -> Option<Vec<String>> {
    graph.keys().find_map(|start| walk(graph, start, &mut vec![start.clone()], &mut BTreeSet::new()))
}

/// A way from the end of `trail` back to `start`, never through what `seen` has.
fn walk(
    graph: &Graph,
    start: &str,
    trail: &mut Vec<String>,
    seen: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    let here = trail.last()?.clone();
    for next in graph.get(&here).into_iter().flatten() {
        trail.push(next.clone());
        if next == start {
            return Some(trail.clone());
        }
        if seen.insert(next.clone())
            && let Some(circle) = walk(graph, start, trail, seen)
        {
            return Some(circle);
        }
        trail.pop();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circle among these files, each named by its module.
    fn circle_of(files: &[(&str, &str)]) -> Option<String> {
        let files: Vec<SourceFile> = files
            .iter()
            .map(|(path, text)| SourceFile {
                path: (*path).to_owned(),
                module: path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect(),
                text: (*text).to_owned(),
            })
            .collect();
        find_circle(&graph_of(&files).unwrap()).map(|circle| circle.join(" > "))
    }

    #[test]
    fn two_modules_that_know_each_other_are_a_circle() {
        let files = [("a", "use crate::b::X;"), ("b", "fn f() { crate::a::g() }")];
        assert_eq!(circle_of(&files).as_deref(), Some("a > b > a"));
    }

    #[test]
    fn a_circle_through_a_re_export_is_found() {
        let files =
            [("lib", "pub use b::X;"), ("a", "use crate::X;"), ("b/inner", "use super::super::a::Y;")];
        assert_eq!(circle_of(&files).as_deref(), Some("a > b > a"));
    }

    #[test]
    fn what_only_tests_know_is_no_edge() {
        let files = [("a", "use crate::b::X;"), ("b", "#[cfg(test)] mod tests { use crate::a::Y; }")];
        assert_eq!(circle_of(&files), None);
    }

    #[test]
    fn a_chain_is_no_circle() {
        let files = [("a", "use crate::{b, c::Z};"), ("b", "use super::c;"), ("c", "use std::fmt;")];
        assert_eq!(circle_of(&files), None);
    }
}
