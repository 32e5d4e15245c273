//! What a name stands for where an expression stands: a text, a parameter, a code that an error has, or findings that it
//! holds.

use std::collections::BTreeMap;
use std::ops::Range;

use syn::visit::{self, Visit};

use super::placeholder;
use super::syntax::literal;

/// Methods that change how a text is held and not what it says.
const SAME: &[&str] = &["as_ref", "as_str", "clone", "into", "to_owned", "to_string"];

/// What can be told of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// It is one of these texts.
    Texts(Vec<String>),
    /// It is the parameter of this number of the function or closure that is this deep.
    Parameter {
        /// How many functions and closures stand around that one.
        depth: usize,
        /// Which parameter.
        index: usize,
    },
    /// It is what an error or a finding says of itself.
    Delegated,
    /// Nothing.
    Unknown,
}

/// A name that is known.
#[derive(Debug, Clone)]
struct Binding {
    value: Value,
    /// The numbers of the places that are in it.
    places: Vec<Range<usize>>,
}

/// The names that are known at one place, those of inner blocks last.
pub(super) struct Scope<'a> {
    /// Those of the whole crate.
    constants: &'a BTreeMap<String, String>,
    levels: Vec<BTreeMap<String, Binding>>,
}

// === impl Scope ===

impl<'a> Scope<'a> {
    /// The names of a crate, with those of one of its files before them.
    pub(super) fn new(constants: &'a BTreeMap<String, String>, of_file: BTreeMap<String, String>) -> Self {
        let value = |text| Binding { value: Value::Texts(vec![text]), places: Vec::new() };
        let file = of_file.into_iter().map(|(name, text)| (name, value(text))).collect();
        Scope { constants, levels: vec![file] }
    }

    /// A block begins.
    pub(super) fn enter(&mut self) {
        self.levels.push(BTreeMap::new());
    }

    /// A block ends.
    pub(super) fn leave(&mut self) {
        self.levels.pop();
    }

    /// A name stands for a value from here on, and for what was found at these places.
    pub(super) fn bind(&mut self, name: String, value: Value, places: Vec<Range<usize>>) {
        if let Some(level) = self.levels.last_mut() {
            level.insert(name, Binding { value, places });
        }
    }

    /// Binds the names of a pattern to what an expression is.
    pub(super) fn bind_pattern(
        &mut self,
        pattern: &syn::Pat,
        expression: &syn::Expr,
        places: &[Range<usize>],
    ) {
        match pattern {
            syn::Pat::Type(typed) => self.bind_pattern(&typed.pat, expression, places),
            syn::Pat::Ident(name) => {
                let value = self.value(expression);
                self.bind(name.ident.to_string(), value, places.to_vec());
            }
            syn::Pat::Tuple(names) => {
                let tails = tails(expression);
                for (index, name) in names.elems.iter().enumerate() {
                    let parts = tails.iter().filter_map(|tail| match tail {
                        syn::Expr::Tuple(values) => values.elems.get(index),
                        _ => None,
                    });
                    let value = self.joined(parts);
                    if let syn::Pat::Ident(name) = name {
                        self.bind(name.ident.to_string(), value, Vec::new());
                    }
                }
            }
            _ => {}
        }
    }

    /// What an expression is.
    pub(super) fn value(&self, expression: &syn::Expr) -> Value {
        let tails = tails(expression);
        self.joined(tails.into_iter())
    }

    /// The places that are in the variable at the root of a chain of methods.
    pub(super) fn places_of(&self, expression: &syn::Expr) -> Vec<Range<usize>> {
        match expression {
            syn::Expr::MethodCall(call) => self.places_of(&call.receiver),
            syn::Expr::Field(field) => self.places_of(&field.base),
            syn::Expr::Path(path) => path
                .path
                .get_ident()
                .and_then(|name| self.binding(&name.to_string()))
                .map_or_else(Vec::new, |binding| binding.places.clone()),
            _ => Vec::new(),
        }
    }

    /// What one of several expressions is.
    fn joined<'e>(&self, expressions: impl Iterator<Item = &'e syn::Expr>) -> Value {
        let mut joined = Value::Unknown;
        for value in expressions.map(|expression| self.of_one(expression)) {
            joined = match (joined, value) {
                (Value::Texts(mut texts), Value::Texts(more)) => {
                    texts.extend(more);
                    Value::Texts(texts)
                }
                // What is said itself counts for more than what something else says.
                (texts @ Value::Texts(_), _) | (_, texts @ Value::Texts(_)) => texts,
                (Value::Unknown, value) | (value, _) => value,
            };
        }
        joined
    }

    /// What an expression without branches is.
    fn of_one(&self, expression: &syn::Expr) -> Value {
        match expression {
            syn::Expr::Path(path) => self.named(&path.path),
            syn::Expr::Reference(reference) => self.value(&reference.expr),
            syn::Expr::Macro(call) => {
                placeholder::message(&call.mac).map_or(Value::Unknown, |text| Value::Texts(vec![text]))
            }
            syn::Expr::MethodCall(call) if SAME.iter().any(|same| call.method == same) => {
                self.value(&call.receiver)
            }
            other => match literal(other) {
                Some(text) => Value::Texts(vec![text]),
                None if is_delegated(other) => Value::Delegated,
                None => Value::Unknown,
            },
        }
    }

    /// What a path is: a variable or a constant.
    fn named(&self, path: &syn::Path) -> Value {
        let Some(last) = path.segments.last().map(|segment| segment.ident.to_string()) else {
            return Value::Unknown;
        };
        let variable = if path.segments.len() == 1 { self.binding(&last) } else { None };
        match (variable, self.constants.get(&last)) {
            (Some(binding), _) => binding.value.clone(),
            (None, Some(text)) => Value::Texts(vec![text.clone()]),
            (None, None) => Value::Unknown,
        }
    }

    fn binding(&self, name: &str) -> Option<&Binding> {
        self.levels.iter().rev().find_map(|level| level.get(name))
    }
}

/// The expressions of which one is what a whole expression is: itself, or the ends of its branches.
fn tails(expression: &syn::Expr) -> Vec<&syn::Expr> {
    match expression {
        syn::Expr::Paren(inner) => tails(&inner.expr),
        syn::Expr::Group(inner) => tails(&inner.expr),
        syn::Expr::Block(block) => tails_of(&block.block),
        syn::Expr::Match(choice) => choice.arms.iter().flat_map(|arm| tails(&arm.body)).collect(),
        syn::Expr::If(choice) => {
            let others = choice.else_branch.as_ref().map_or_else(Vec::new, |(_, branch)| tails(branch));
            tails_of(&choice.then_branch).into_iter().chain(others).collect()
        }
        other => vec![other],
    }
}

/// The same of a block.
fn tails_of(block: &syn::Block) -> Vec<&syn::Expr> {
    match block.stmts.last() {
        Some(syn::Stmt::Expr(expression, None)) => tails(expression),
        _ => Vec::new(),
    }
}

/// Whether an expression asks something else for its code, or reads one that was said before.
fn is_delegated(expression: &syn::Expr) -> bool {
    let mut finder = CodeFinder(false);
    finder.visit_expr(expression);
    finder.0
}

/// Finds `.code()` and `.code`.
struct CodeFinder(bool);

impl<'ast> Visit<'ast> for CodeFinder {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.0 |= call.method == "code";
        visit::visit_expr_method_call(self, call);
    }

    fn visit_member(&mut self, member: &'ast syn::Member) {
        self.0 |= matches!(member, syn::Member::Named(name) if name == "code");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_what_was_bound_last() {
        let constants = BTreeMap::from([("LOST".to_owned(), "SLOT_LOST".to_owned())]);
        let mut scope = Scope::new(&constants, BTreeMap::new());
        let expression = |text: &str| syn::parse_str::<syn::Expr>(text).unwrap();
        let block: syn::Block = syn::parse_str(
            r#"{
                let code = "A_CODE";
                let (hint, check) = if a { ("one".to_owned(), B) } else { (format!("two {x}"), B) };
                let other = error.code();
            }"#,
        )
        .unwrap();
        scope.enter();
        for statement in &block.stmts {
            let syn::Stmt::Local(local) = statement else { panic!("only let stands there") };
            scope.bind_pattern(&local.pat, &local.init.as_ref().unwrap().expr, &[]);
        }
        let texts = |texts: &[&str]| Value::Texts(texts.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(scope.value(&expression("code")), texts(&["A_CODE"]));
        assert_eq!(scope.value(&expression("hint")), texts(&["one", "two ‹x›"]));
        assert_eq!(scope.value(&expression("check")), Value::Unknown);
        assert_eq!(scope.value(&expression("other")), Value::Delegated);
        assert_eq!(scope.value(&expression("wal::LOST.to_owned()")), texts(&["SLOT_LOST"]));
        assert_eq!(scope.value(&expression("&found.code")), Value::Delegated);
        let chosen = expression(r#"if one { &found.code } else { "SEVERAL" }"#);
        assert_eq!(scope.value(&chosen), texts(&["SEVERAL"]));
        scope.leave();
        assert_eq!(scope.value(&expression("code")), Value::Unknown);
    }
}
