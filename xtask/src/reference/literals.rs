//! The texts in an expression.

use syn::visit::{self, Visit};

use super::placeholder;

/// Every string literal in an expression in order, format strings with names for what they fill in among them.
pub(super) fn literals(expression: &syn::Expr) -> Vec<String> {
    let mut collector = Literals::default();
    collector.visit_expr(expression);
    collector.found
}

/// Collects string literals.
#[derive(Default)]
struct Literals {
    /// What was found.
    found: Vec<String>,
}

impl<'ast> Visit<'ast> for Literals {
    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.found.push(text.value());
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.found.extend(placeholder::message(call));
        visit::visit_macro(self, call);
    }
}
