//! Codes of preflight: every `Finding::warning` and `Finding::failure` with a literal code, and the hint that follows.

use syn::visit::{self, Visit};

use super::Entry;
use super::literals::literals;
use super::syntax::{is_code, literal};

/// The codes of one crate's checks.
pub(super) fn collect(files: &[syn::File]) -> Vec<Entry> {
    let mut collector = Collector::default();
    for file in files {
        collector.visit_file(file);
    }
    collector.found
}

/// Collects findings.
#[derive(Default)]
struct Collector {
    /// The hint of the method chain that is being looked at.
    hint: Option<String>,
    /// What was found.
    found: Vec<Entry>,
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let outer = self.hint.clone();
        if call.method == "hint"
            && let Some(argument) = call.args.first()
        {
            self.hint = literals(argument).into_iter().next();
        }
        visit::visit_expr_method_call(self, call);
        self.hint = outer;
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(path) = call.func.as_ref()
            && let Some(severity) = severity_of(&path.path)
            && let (Some(check), Some(code)) =
                (call.args.first().and_then(literal), call.args.iter().nth(2).and_then(literal))
            && is_code(&code)
        {
            let fix = self.hint.clone().unwrap_or_default();
            let (meaning, reaction) = (format!("check `{check}`"), severity.to_owned());
            self.found.push(Entry { code, meaning, reaction, fix });
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }
}

/// What a constructor of `Finding` means for the start of a pipeline.
fn severity_of(path: &syn::Path) -> Option<&'static str> {
    let mut names = path.segments.iter().rev().map(|segment| segment.ident.to_string());
    match (names.next()?.as_str(), names.next()?.as_str()) {
        ("warning", "Finding") => Some("warns"),
        ("failure", "Finding") => Some("does not start"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_joined_with_its_hint() {
        let text = r#"fn f() -> Finding {
            Finding::failure("pg.wal_level", Side::Source, "WAL_LEVEL", format!("is {x}")).hint("set it").fix("S")
        }"#;
        let entry = Entry {
            code: "WAL_LEVEL".to_owned(),
            meaning: "check `pg.wal_level`".to_owned(),
            reaction: "does not start".to_owned(),
            fix: "set it".to_owned(),
        };
        assert_eq!(collect(&[syn::parse_file(text).unwrap()]), [entry]);
    }
}
