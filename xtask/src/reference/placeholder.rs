//! What a message fills in, as a reader of a page sees it: `{table}` is ‹table›, and a constant is its value.

use std::collections::BTreeMap;

use syn::parse::Parser;
use syn::punctuated::Punctuated;

use super::syntax::literal;

/// What stands for a value of which nothing can be told.
const SOMETHING: &str = "…";

/// The text of a macro's format string, with a name for each value that it fills in; `None` for a macro without one.
pub(super) fn message(call: &syn::Macro) -> Option<String> {
    let parser = Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
    let expressions = parser.parse2(call.tokens.clone()).ok()?;
    // `write!` has a place to write to in front.
    let mut arguments = expressions.iter().skip_while(|argument| literal(argument).is_none());
    let format = literal(arguments.next()?)?;
    Some(readable(&format, &arguments.map(name_of).collect::<Vec<_>>()))
}

/// The values of a crate's constants that a message may name: numbers, texts, and lists of texts. A name that has two
/// values has none.
pub(super) fn constants<'f>(files: impl IntoIterator<Item = &'f syn::File>) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    for item in files.into_iter().flat_map(|file| &file.items) {
        if let syn::Item::Const(constant) = item
            && let Some(value) = value_of(&constant.expr)
        {
            let known = found.entry(constant.ident.to_string()).or_insert_with(|| Some(value.clone()));
            if known.as_ref() != Some(&value) {
                *known = None;
            }
        }
    }
    found.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A text with the values of the constants that it names.
pub(super) fn resolve(text: &str, constants: &BTreeMap<String, String>) -> String {
    let mut parts = text.split('‹');
    let mut resolved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('›').and_then(|(name, rest)| Some((constants.get(name)?, rest))) {
            Some((value, rest)) => resolved.extend([value, rest]),
            None => resolved.extend(["‹", part]),
        }
    }
    resolved
}

/// A format string with names for its placeholders; `arguments` are those behind it, in order.
fn readable(format: &str, arguments: &[String]) -> String {
    let mut text = String::with_capacity(format.len());
    let mut positional = arguments.iter();
    let mut rest = format;
    while let Some((before, behind)) = rest.find(['{', '}']).and_then(|brace| rest.split_at_checked(brace)) {
        text.push_str(before);
        if let Some(after) = behind.strip_prefix("{{") {
            text.push('{');
            rest = after;
            continue;
        }
        if let Some(after) = behind.strip_prefix("}}") {
            text.push('}');
            rest = after;
            continue;
        }
        let inside = behind.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        // No other brace compiles.
        let Some((placeholder, after)) = inside else {
            rest = behind;
            break;
        };
        let name = placeholder.split(':').next().unwrap_or_default();
        let shown = match name.parse::<usize>() {
            Ok(index) => arguments.get(index).cloned(),
            Err(_) if name.is_empty() => positional.next().cloned(),
            Err(_) => Some(words(name)),
        };
        text.push_str(&format!("‹{}›", shown.as_deref().unwrap_or(SOMETHING)));
        rest = after;
    }
    text.push_str(rest);
    text
}

/// An identifier in words; a constant's stays as it is.
fn words(identifier: &str) -> String {
    let is_constant = identifier.chars().all(|char| !char.is_lowercase());
    if is_constant { identifier.to_owned() } else { identifier.replace('_', " ") }
}

/// What a value that a message fills in is called: the variable or field that it is made from.
fn name_of(expression: &syn::Expr) -> String {
    match expression {
        syn::Expr::Path(path) => path
            .path
            .segments
            .last()
            .map_or_else(|| SOMETHING.to_owned(), |last| words(&last.ident.to_string())),
        syn::Expr::Field(field) => match &field.member {
            syn::Member::Named(name) => words(&name.to_string()),
            syn::Member::Unnamed(_) => name_of(&field.base),
        },
        syn::Expr::MethodCall(call) => name_of(&call.receiver),
        syn::Expr::Call(call) => call.args.first().map_or_else(|| name_of(&call.func), name_of),
        syn::Expr::Reference(reference) => name_of(&reference.expr),
        syn::Expr::Unary(unary) => name_of(&unary.expr),
        syn::Expr::Paren(inner) => name_of(&inner.expr),
        syn::Expr::Index(index) => name_of(&index.expr),
        _ => SOMETHING.to_owned(),
    }
}

/// The value of a constant's expression, as a message prints it.
fn value_of(expression: &syn::Expr) -> Option<String> {
    match expression {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(number), .. }) => {
            Some(number.base10_digits().to_owned())
        }
        syn::Expr::Reference(reference) => value_of(&reference.expr),
        syn::Expr::Array(list) => {
            let texts: Option<Vec<String>> = list.elems.iter().map(literal).collect();
            texts.filter(|texts| !texts.is_empty()).map(|texts| texts.join(", "))
        }
        other => literal(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, expected: &str) {
        let syn::Expr::Macro(call) = syn::parse_str(code).unwrap() else { panic!("{code} is no macro") };
        assert_eq!(message(&call.mac).as_deref(), Some(expected), "{code}");
    }

    #[test]
    fn placeholders_are_named_after_what_they_show() {
        check(r#"format!("rename {table}, then {slot_name:?}")"#, "rename ‹table›, then ‹slot name›");
        check(r#"format!("chmod 600 {} ({})", path.display(), self.link.user)"#, "chmod 600 ‹path› (‹user›)");
        check(
            r#"format!("-in {0} -out {0}.plain {1}", path.display(), readable(*mended))"#,
            "-in ‹path› -out ‹path›.plain ‹mended›",
        );
        check(
            r#"format!("takes {ROW_BYTES} of {}", super::parameter::KNOWN.join(", "))"#,
            "takes ‹ROW_BYTES› of ‹KNOWN›",
        );
        check(r#"write!(out, "{{plain}} {}", if a { 1 } else { 2 })"#, "{plain} ‹…›");
        check(r#"format!("nothing")"#, "nothing");
    }

    #[test]
    fn constants_are_shown_by_their_values() {
        let file = syn::parse_file(
            r#"
            const ROW_BYTES: usize = 8_060;
            const KNOWN: [&str; 2] = ["host", "port"];
            const TWICE: u8 = 1;
            const COMPUTED: usize = 1 << 20;
            "#,
        );
        let other = syn::parse_file("const TWICE: u8 = 2;");
        let constants = constants(&[file.unwrap(), other.unwrap()]);
        let text = "takes ‹ROW_BYTES›, known are ‹KNOWN›; ‹TWICE› and ‹COMPUTED› of ‹table›";
        assert_eq!(
            resolve(text, &constants),
            "takes 8060, known are host, port; ‹TWICE› and ‹COMPUTED› of ‹table›"
        );
    }
}
