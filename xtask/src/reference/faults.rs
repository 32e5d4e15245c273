//! Codes of errors: every `impl` with a method `code` that matches variants to literals, together with the variants'
//! documentation and the same type's `disposition` and `hint`.

use std::collections::BTreeMap;

use super::Entry;
use super::literals::literals;
use super::syntax::{arms_of, first_paragraph, is_code, literal, variants_of};

/// The codes of one crate.
pub(super) fn collect(files: &[syn::File]) -> Vec<Entry> {
    let mut documentation = BTreeMap::new();
    let mut methods: BTreeMap<String, Methods> = BTreeMap::new();
    for item in files.iter().flat_map(|file| &file.items) {
        match item {
            syn::Item::Enum(item) => {
                for variant in &item.variants {
                    let key = (item.ident.to_string(), variant.ident.to_string());
                    documentation.insert(key, first_paragraph(&variant.attrs));
                }
            }
            syn::Item::Impl(item) => {
                if let Some(name) = type_name(&item.self_ty) {
                    methods.entry(name).or_default().read(item);
                }
            }
            _ => {}
        }
    }
    methods
        .iter()
        .flat_map(|(name, methods)| {
            methods.codes.iter().map(|(case, code)| {
                let key = (name.clone(), case.variant.clone());
                Entry {
                    code: code.clone(),
                    meaning: documentation.get(&key).cloned().unwrap_or_default(),
                    reaction: of_case(&methods.dispositions, case),
                    fix: of_case(&methods.hints, case),
                }
            })
        })
        .collect()
}

/// A variant, or those of its values of which an arm's guard is true.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    /// Its name.
    variant: String,
    /// Whether the arm has a guard.
    guarded: bool,
}

/// What one type says about its variants.
#[derive(Default)]
struct Methods {
    /// Codes, in order of the variants' names.
    codes: BTreeMap<Case, String>,
    /// Reactions.
    dispositions: BTreeMap<Case, String>,
    /// Hints.
    hints: BTreeMap<Case, String>,
}

/// What is said about a case, or else about its variant.
fn of_case(texts: &BTreeMap<Case, String>, case: &Case) -> String {
    let whole = Case { guarded: false, ..case.clone() };
    texts.get(case).or_else(|| texts.get(&whole)).cloned().unwrap_or_default()
}

/// A hint for a page. Where it names a flag, the words are easier to read than its name.
fn readable(hint: &str) -> String {
    hint.replace("‹flag›", "with the flag --rename that the message prints")
}

// === impl Methods ===

impl Methods {
    /// Reads one `impl` block.
    fn read(&mut self, block: &syn::ItemImpl) {
        for item in &block.items {
            let syn::ImplItem::Fn(function) = item else { continue };
            for arm in arms_of(function) {
                for variant in variants_of(&arm.pat) {
                    let case = Case { variant, guarded: arm.guard.is_some() };
                    self.read_arm(&function.sig.ident.to_string(), case, &arm.body);
                }
            }
        }
    }

    /// Reads one arm of one of the three methods.
    fn read_arm(&mut self, method: &str, case: Case, body: &syn::Expr) {
        match method {
            "code" => {
                if let Some(code) = literal(body).filter(|code| is_code(code)) {
                    self.codes.insert(case, code);
                }
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
        assert_eq!(collect(&[syn::parse_file(text).unwrap()]), [entry, guarded]);
    }
}
