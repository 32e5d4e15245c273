//! Reading Rust: the few questions that the generators ask of a syntax tree.

use anyhow::{Context, Result};
use syn::visit::Visit;

use crate::source::SourceFile;

/// A file as the generators see it.
pub(super) struct Parsed {
    /// Its path relative to the workspace.
    pub(super) path: String,
    /// Its syntax tree.
    pub(super) tree: syn::File,
}

/// A crate's files, tests left out.
pub(super) fn parse_all(files: &[SourceFile]) -> Result<Vec<Parsed>> {
    let parsed = files.iter().filter(|file| !file.is_test()).map(|file| {
        let tree = syn::parse_file(&file.text).with_context(|| format!("could not parse {}", file.path))?;
        Ok(Parsed { path: file.path.clone(), tree })
    });
    parsed.collect()
}

/// Whether an item is compiled for tests only.
pub(super) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        syn::Meta::NameValue(_) | syn::Meta::Path(_) => false,
    })
}

/// The lines of an item's documentation.
pub(super) fn documentation(attributes: &[syn::Attribute]) -> Vec<String> {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => literal(&pair.value),
        syn::Meta::NameValue(_) | syn::Meta::Path(_) | syn::Meta::List(_) => None,
    });
    lines.map(|line| line.trim().to_owned()).collect()
}

/// The documentation of an item up to its first empty line, in one line.
pub(super) fn first_paragraph(attributes: &[syn::Attribute]) -> String {
    let lines = documentation(attributes);
    let paragraph: Vec<String> = lines.into_iter().take_while(|line| !line.is_empty()).collect();
    paragraph.join(" ")
}

/// The text of an expression that is a string literal.
pub(super) fn literal(expression: &syn::Expr) -> Option<String> {
    match expression {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

/// The arms of the first `match` of a function.
pub(super) fn arms_of(function: &syn::ImplItemFn) -> Vec<syn::Arm> {
    let mut finder = MatchFinder::default();
    finder.visit_block(&function.block);
    finder.arms
}

/// Finds the first `match`.
#[derive(Default)]
struct MatchFinder {
    /// Its arms; empty until it is found.
    arms: Vec<syn::Arm>,
}

impl<'ast> Visit<'ast> for MatchFinder {
    fn visit_expr_match(&mut self, found: &'ast syn::ExprMatch) {
        if self.arms.is_empty() {
            self.arms = found.arms.clone();
        }
    }
}

/// The names of the variants that a pattern stands for: the last part of each path in it.
pub(super) fn variants_of(pattern: &syn::Pat) -> Vec<String> {
    let last = |path: &syn::Path| path.segments.last().map(|segment| segment.ident.to_string());
    match pattern {
        syn::Pat::Or(or) => or.cases.iter().flat_map(variants_of).collect(),
        syn::Pat::Path(path) => last(&path.path).into_iter().collect(),
        syn::Pat::Struct(pattern) => last(&pattern.path).into_iter().collect(),
        syn::Pat::TupleStruct(pattern) => last(&pattern.path).into_iter().collect(),
        syn::Pat::Reference(reference) => variants_of(&reference.pat),
        syn::Pat::Paren(inner) => variants_of(&inner.pat),
        _ => Vec::new(),
    }
}

/// The type and the variant in a variant, where a pattern names them: `F` and `X` of `E::A(F::X)`.
pub(super) fn inner_of(pattern: &syn::Pat) -> Option<(String, String)> {
    let syn::Pat::TupleStruct(outer) = pattern else { return None };
    let path = match outer.elems.first()? {
        syn::Pat::Path(path) => &path.path,
        syn::Pat::Struct(pattern) => &pattern.path,
        syn::Pat::TupleStruct(pattern) => &pattern.path,
        _ => return None,
    };
    let mut names = path.segments.iter().rev().map(|segment| segment.ident.to_string());
    let (variant, named) = (names.next()?, names.next()?);
    Some((named, variant))
}

/// Whether a text is written like a code: `SLOT_LOST`.
pub(crate) fn is_code(text: &str) -> bool {
    text.len() > 3
        && !text.ends_with('_')
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.chars().all(|char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_')
}
