//! Codes of errors: every `impl` with a method `code` that gives variants, or the whole type, their literals, together with
//! the documentation and the same type's `disposition` and `hint`.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use syn::visit::{self, Visit};

use super::Entry;
use super::literals::literals;
use super::syntax::{Parsed, arms_of, first_paragraph, inner_of, is_code, variants_of};

/// The codes of one crate, whose constants are given too.
///
/// # Errors
/// When a method `code` answers something that cannot be told.
pub(super) fn collect(files: &[Parsed], constants: &BTreeMap<String, String>) -> Result<Vec<Entry>> {
    let mut documentation = BTreeMap::new();
    let mut methods: BTreeMap<String, Methods> = BTreeMap::new();
    for item in files.iter().flat_map(|file| &file.tree.items) {
        match item {
            syn::Item::Enum(item) => {
                documentation.insert((item.ident.to_string(), String::new()), first_paragraph(&item.attrs));
                for variant in &item.variants {
                    let key = (item.ident.to_string(), variant.ident.to_string());
                    documentation.insert(key, first_paragraph(&variant.attrs));
                }
            }
            syn::Item::Struct(item) => {
                documentation.insert((item.ident.to_string(), String::new()), first_paragraph(&item.attrs));
            }
            syn::Item::Impl(item) => {
                if let Some(name) = type_name(&item.self_ty) {
                    methods.entry(name).or_default().read(item, constants);
                }
            }
            _ => {}
        }
    }
    let mut entries = Vec::new();
    for (name, methods) in &methods {
        ensure!(!methods.is_untold, "a code of {name} cannot be told");
        for (case, code) in &methods.codes {
            let of_variant = || documentation.get(&(name.clone(), case.variant.clone()));
            let of_inner = case.inner.as_ref().and_then(|inner| documentation.get(inner));
            entries.push(Entry {
                code: code.clone(),
                meaning: of_inner.or_else(of_variant).cloned().unwrap_or_default(),
                reaction: of_case(&methods.dispositions, case),
                fix: of_case(&methods.hints, case),
            });
        }
    }
    Ok(entries)
}

/// A variant, or those of its values that an arm means by what is in them or by a guard. Without a name, the whole type.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    /// Its name.
    variant: String,
    /// The type and the variant of what is in it, where the arm names them.
    inner: Option<(String, String)>,
    /// Whether the arm has a guard.
    guarded: bool,
}

/// What one type says about its variants.
#[derive(Default)]
struct Methods {
    /// Codes.
    codes: Vec<(Case, String)>,
    /// Reactions.
    dispositions: BTreeMap<Case, String>,
    /// Hints.
    hints: BTreeMap<Case, String>,
    /// Whether there is a code that cannot be told.
    is_untold: bool,
}

/// What is said about a case, or else about its variant.
fn of_case(texts: &BTreeMap<Case, String>, case: &Case) -> String {
    let unguarded = Case { guarded: false, ..case.clone() };
    let whole = Case { inner: None, ..unguarded.clone() };
    let text = [case, &unguarded, &whole].into_iter().find_map(|case| texts.get(case));
    text.cloned().unwrap_or_default()
}

/// A hint for a page. Where it names a flag, the words are easier to read than its name.
fn readable(hint: &str) -> String {
    hint.replace("‹flag›", "with the flag --rename that the message prints")
}

// === impl Methods ===

impl Methods {
    /// Reads one `impl` block.
    fn read(&mut self, block: &syn::ItemImpl, constants: &BTreeMap<String, String>) {
        for item in &block.items {
            let syn::ImplItem::Fn(function) = item else { continue };
            let name = function.sig.ident.to_string();
            if name == "code" && !is_text(&function.sig.output) {
                continue;
            }
            let arms = arms_of(function);
            if let ([], Some(syn::Stmt::Expr(body, None))) = (arms.as_slice(), function.block.stmts.last()) {
                self.read_arm(&name, Case::default(), body, constants);
            }
            for arm in arms {
                let inner = inner_of(&arm.pat);
                for variant in variants_of(&arm.pat) {
                    let case = Case { variant, inner: inner.clone(), guarded: arm.guard.is_some() };
                    self.read_arm(&name, case, &arm.body, constants);
                }
            }
        }
    }

    /// Reads one arm of one of the three methods.
    fn read_arm(&mut self, method: &str, case: Case, body: &syn::Expr, constants: &BTreeMap<String, String>) {
        match method {
            "code" => {
                let mut codes = Codes { constants, found: Vec::new(), is_asked: false };
                codes.visit_expr(body);
                self.is_untold |= codes.found.is_empty() && !codes.is_asked;
                self.codes.extend(codes.found.into_iter().map(|code| (case.clone(), code)));
            }
            "hint" => {
                // An arm may choose among shorter texts for what its message fills in.
                let hints = literals(body).into_iter().filter(|hint| hint.contains(' '));
                if let Some(hint) =
                    hints.reduce(|longest, hint| if hint.len() > longest.len() { hint } else { longest })
                {
                    self.hints.insert(case, readable(&hint));
                }
            }
            "disposition" => {
                if let syn::Expr::Path(path) = body
                    && let Some(last) = path.path.segments.last()
                {
                    self.dispositions.insert(case, reaction(&last.ident.to_string()).to_owned());
                }
            }
            _ => {}
        }
    }
}

/// Collects the codes of an arm.
struct Codes<'a> {
    /// The crate's constants.
    constants: &'a BTreeMap<String, String>,
    /// What was found.
    found: Vec<String>,
    /// Whether something else is asked for a code.
    is_asked: bool,
}

impl<'ast> Visit<'ast> for Codes<'_> {
    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.found.extend(Some(text.value()).filter(|text| is_code(text)));
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        let last = path.path.segments.last().map(|segment| segment.ident.to_string());
        // A field of the variant that is called so.
        self.is_asked |= path.path.is_ident("code");
        let text = last.and_then(|name| self.constants.get(&name));
        self.found.extend(text.filter(|text| is_code(text)).cloned());
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        self.is_asked = true;
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.is_asked = true;
        visit::visit_expr_method_call(self, call);
    }

    fn visit_member(&mut self, member: &'ast syn::Member) {
        self.is_asked |= matches!(member, syn::Member::Named(name) if name == "code");
    }
}

/// Whether a function returns a text.
fn is_text(output: &syn::ReturnType) -> bool {
    let syn::ReturnType::Type(_, output) = output else { return false };
    matches!(output.as_ref(), syn::Type::Reference(text)
        if matches!(text.elem.as_ref(), syn::Type::Path(path) if path.path.is_ident("str")))
}

/// What a disposition means, in words.
fn reaction(disposition: &str) -> &'static str {
    match disposition {
        "Retry" => "tries again, with back-off",
        "HaltTable" => "halts the table; the others go on",
        "Halt" => "halts the pipeline",
        _ => "",
    }
}

/// The name of a type that is a plain path.
fn type_name(named: &syn::Type) -> Option<String> {
    match named {
        syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_joined_with_its_code_reaction_and_hint() {
        let text = r#"
            /// Errors.
            enum E {
                /// The slot is gone.
                ///
                /// More.
                Lost { slot: String },
                /// Delegates.
                Other(F),
            }
            impl Fault for E {
                fn code(&self) -> &'static str {
                    match self { E::Lost { slot } if new(slot) => "SLOT_NEW", E::Lost { .. } => "SLOT_LOST", E::Other(f) => f.code() }
                }
                fn disposition(&self) -> Disposition {
                    match self {
                        E::Lost { slot } if new(slot) => Disposition::Retry,
                        E::Lost { .. } => Disposition::Halt,
                        E::Other(f) => f.disposition(),
                    }
                }
                fn hint(&self) -> String {
                    match self { E::Lost { slot } => format!("make {slot} again, {flag}"), E::Other(f) => return f.hint() }
                }
            }"#;
        let entry = Entry {
            code: "SLOT_LOST".to_owned(),
            meaning: "The slot is gone.".to_owned(),
            reaction: "halts the pipeline".to_owned(),
            fix: "make ‹slot› again, with the flag --rename that the message prints".to_owned(),
        };
        // What is said about some values of a variant only has a row of its own.
        let reaction = "tries again, with back-off".to_owned();
        let guarded = Entry { code: "SLOT_NEW".to_owned(), reaction, ..entry.clone() };
        assert_eq!(collected(text).unwrap(), [guarded, entry]);
    }

    fn collected(text: &str) -> Result<Vec<Entry>> {
        let file = Parsed { path: "a.rs".to_owned(), tree: syn::parse_file(text).unwrap() };
        let constants = BTreeMap::from([("GONE".to_owned(), "SLOT_GONE".to_owned())]);
        collect(&[file], &constants)
    }

    fn check_codes(arms: &str, expected: &[&str]) {
        let text = format!("impl Fault for E {{ fn code(&self) -> &'static str {{ {arms} }} }}");
        let codes: Vec<String> = collected(&text).unwrap().into_iter().map(|entry| entry.code).collect();
        assert_eq!(codes, expected, "{arms}");
    }

    #[test]
    fn codes_are_found_wherever_an_arm_says_them() {
        check_codes(r#""RULE_INVALID""#, &["RULE_INVALID"]);
        check_codes(r#"match self { E::A => { "A_LONG_LINE" } }"#, &["A_LONG_LINE"]);
        check_codes(r#"match self { E::A(F::X) => "A_ONE", E::A(F::Y) => "A_TWO" }"#, &["A_ONE", "A_TWO"]);
        check_codes(
            r#"match self { E::A { part } => match *part { "host" => "HOST_BAD", _ => wal::GONE } }"#,
            &["HOST_BAD", "SLOT_GONE"],
        );
        check_codes(r#"match self { E::A => self.cause().map_or("ANY_ERROR", F::code) }"#, &["ANY_ERROR"]);
        check_codes("match self { E::A(error) => error.code(), E::B(report) => report.code }", &[]);
        check_codes("match self { E::A { code } => code }", &[]);
    }

    #[test]
    fn what_is_in_a_variant_has_its_own_documentation_and_hint() {
        let text = r#"
            /// What fails.
            enum E {
                /// Arithmetic.
                A(F),
            }
            enum F {
                /// No numbers.
                X,
            }
            impl Fault for E {
                fn code(&self) -> &'static str { match self { E::A(F::X) => "A_ONE" } }
                fn hint(&self) -> String { match self { E::A(F::X) => "get some".to_owned(), E::A(F::Y) => "wait for it".to_owned() } }
                fn disposition(&self) -> Disposition { match self { E::A(_) => Disposition::Halt } }
            }"#;
        let entry = |code: &str, meaning: &str, fix: &str| Entry {
            code: code.to_owned(),
            meaning: meaning.to_owned(),
            reaction: "halts the pipeline".to_owned(),
            fix: fix.to_owned(),
        };
        assert_eq!(collected(text).unwrap(), [entry("A_ONE", "No numbers.", "get some")]);
        let whole = r#"
            /// A rule cannot be read.
            struct E;
            impl Fault for E {
                fn code(&self) -> &'static str { "RULE_INVALID" }
                fn disposition(&self) -> Disposition { Disposition::Halt }
                fn hint(&self) -> String { "write it again".to_owned() }
            }"#;
        let expected = [entry("RULE_INVALID", "A rule cannot be read.", "write it again")];
        assert_eq!(collected(whole).unwrap(), expected);
    }

    #[test]
    fn a_code_that_cannot_be_told_is_an_error() {
        let untold = |arm: &str| {
            let text =
                format!("impl E {{ fn code(&self) -> &'static str {{ match self {{ E::A => {arm} }} }} }}");
            collected(&text).is_err()
        };
        assert!(untold("UNKNOWN_CONSTANT") && untold("\"no code\""));
        assert!(!untold("\"A_CODE\"") && !untold("GONE"));
        // A number is no code of an error.
        assert!(collected("impl E { fn code(self) -> u8 { match self { E::A => 1 } } }").is_ok());
    }
}
