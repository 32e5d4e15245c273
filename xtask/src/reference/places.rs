//! The places of a crate at which codes are said otherwise than by an error: findings of preflight, errors of commands,
//! notes of `status`. A function or closure that is given a code, a detail or a hint says it for those that call it.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Result, bail, ensure};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};

use super::form::{Form, Kind, Said};
use super::literals::literals;
use super::placeholder;
use super::scope::{Scope, Value};
use super::syntax::{Parsed, documentation, first_paragraph, is_test};

/// The functions that everything else is said by: kind, name, and where code, detail, check and hint are.
const FUNCTIONS: [(&str, Kind, [Option<usize>; 4]); 4] = [
    ("Finding::warning", Kind::Warning, [Some(2), Some(3), Some(0), None]),
    ("Finding::failure", Kind::Failure, [Some(2), Some(3), Some(0), None]),
    ("CliError::usage", Kind::Usage, [Some(0), Some(1), None, Some(2)]),
    ("CliError::runtime", Kind::Runtime, [Some(0), Some(1), None, None]),
];

/// The structures that are filled in where something is said.
const STRUCTURES: [(&str, Kind); 5] = [
    ("LeftOut", Kind::LeftOut),
    ("StatusNote", Kind::Note),
    ("NotCompared", Kind::NotCompared),
    ("Known", Kind::Trace),
    ("Cause", Kind::Trace),
];

/// How the documentation of a constant begins that is a code and is kept before it is said; a line `- Do:` may follow.
const CODE_OF: &str = "Code of ";

/// How many functions deep a code is followed; more are a circle.
const MOST_PASSES: usize = 8;

/// What functions say for their callers, by their names: `file: name`, or `Type::name` for the whole crate.
type Speakers = BTreeMap<String, Vec<(usize, Form)>>;

/// What a crate says.
///
/// # Errors
/// When a code is said in a way that cannot be followed.
pub(super) fn collect(files: &[Parsed], constants: &BTreeMap<String, String>) -> Result<Said> {
    let mut speakers = Speakers::new();
    for _ in 0..MOST_PASSES {
        let mut found = Speakers::new();
        let mut said = Said::default();
        let mut untold = Vec::new();
        for file in files {
            let mut collector = Collector::new(file, constants, &speakers);
            collector.visit_file(&file.tree);
            for form in &collector.forms {
                form.write(&mut said);
            }
            untold.append(&mut collector.untold);
            found.append(&mut collector.found);
        }
        // What a function says may be said by another function.
        if found == speakers {
            ensure!(untold.is_empty(), "codes that cannot be told: {}", untold.join(", "));
            return Ok(said);
        }
        speakers = found;
    }
    bail!("functions say codes for each other in a circle")
}

/// Looks at one file.
struct Collector<'a> {
    path: &'a str,
    scope: Scope<'a>,
    /// What is known of functions so far.
    speakers: &'a Speakers,
    /// The type whose `impl` it is in.
    owner: Option<String>,
    /// The functions and closures that it is in; `None` for one without a name.
    functions: Vec<Option<String>>,
    /// The name that the next closure is bound to.
    bound: Option<String>,
    /// The places, in order.
    forms: Vec<Form>,
    /// What functions say for their callers.
    found: Speakers,
    /// Places whose code cannot be told.
    untold: Vec<String>,
}

// === impl Collector ===

impl<'a> Collector<'a> {
    fn new(file: &'a Parsed, constants: &'a BTreeMap<String, String>, speakers: &'a Speakers) -> Self {
        let of_file = placeholder::constants([&file.tree]);
        Collector {
            path: &file.path,
            scope: Scope::new(constants, of_file),
            speakers,
            owner: None,
            functions: Vec::new(),
            bound: None,
            forms: Vec::new(),
            found: Speakers::new(),
            untold: Vec::new(),
        }
    }

    /// Notes a place.
    fn say(&mut self, form: Form) {
        let is_free = matches!(form.code, Value::Parameter { depth, .. }
            if self.functions.get(depth).is_none_or(Option::is_none));
        if form.codes().is_none() || is_free {
            let function = self.functions.iter().rev().flatten().next();
            let function = function.map_or("a constant", String::as_str);
            self.untold.push(format!("{} in {function}", self.path));
        }
        if form.code != Value::Delegated {
            self.forms.push(form);
        }
    }

    /// Looks into a function or closure.
    fn function<'p>(
        &mut self,
        name: Option<String>,
        parameters: impl Iterator<Item = &'p syn::Pat>,
        look: impl FnOnce(&mut Self),
    ) {
        let (depth, first) = (self.functions.len(), self.forms.len());
        self.scope.enter();
        for (index, pattern) in parameters.enumerate() {
            let pattern = match pattern {
                syn::Pat::Type(typed) => &typed.pat,
                other => other,
            };
            match pattern {
                syn::Pat::Ident(name) => {
                    let parameter = Value::Parameter { depth, index };
                    self.scope.bind(name.ident.to_string(), parameter, Vec::new());
                }
                // A code and what belongs to it, which were kept since they were said.
                syn::Pat::Tuple(_) => self.scope.bind("code".to_owned(), Value::Delegated, Vec::new()),
                _ => {}
            }
        }
        self.functions.push(name.clone());
        look(self);
        self.functions.pop();
        self.scope.leave();
        if let Some(name) = name {
            let own = self.forms.iter().skip(first).filter(|form| form.has_parameter(depth));
            let own: Vec<(usize, Form)> = own.map(|form| (depth, form.clone())).collect();
            if !own.is_empty() {
                self.found.entry(self.key(&name)).or_default().extend(own);
            }
        }
    }

    /// What a function of this name is found by.
    fn key(&self, name: &str) -> String {
        let is_of_type = name.contains("::");
        if is_of_type { name.to_owned() } else { format!("{}: {name}", self.path) }
    }

    /// The forms of a call of a function with these arguments.
    fn called(&self, path: &syn::Path, arguments: &[&syn::Expr]) -> Vec<Form> {
        let mut names = path.segments.iter().rev().map(|segment| segment.ident.to_string());
        let Some(last) = names.next() else { return Vec::new() };
        let name = match (names.next(), &self.owner) {
            (Some(of), Some(owner)) if of == "Self" => format!("{owner}::{last}"),
            (Some(of), _) => format!("{of}::{last}"),
            (None, _) => last,
        };
        let argument =
            |index: usize| arguments.get(index).map_or(Value::Unknown, |argument| self.part(argument));
        if let Some((_, kind, parts)) = FUNCTIONS.iter().find(|(function, ..)| *function == name) {
            let [code, detail, check, hint] = parts.map(|part| part.map_or(Value::Unknown, &argument));
            return vec![Form { kind: *kind, code, check, detail, hints: vec![hint] }];
        }
        let known = self.speakers.get(&self.key(&name)).into_iter().flatten();
        known.map(|(depth, form)| form.called(*depth, argument)).collect()
    }

    /// A part of what is said; where nothing else can be told, the first text in it.
    fn part(&self, expression: &syn::Expr) -> Value {
        match self.scope.value(expression) {
            Value::Unknown => literals(expression)
                .into_iter()
                .next()
                .map_or(Value::Unknown, |text| Value::Texts(vec![text])),
            value => value,
        }
    }

    /// Adds a hint to places.
    fn advise(&mut self, places: &[Range<usize>], hint: &syn::Expr) {
        let hint = self.part(hint);
        for place in places {
            for form in self.forms.iter_mut().take(place.end).skip(place.start) {
                form.hints.push(hint.clone());
            }
        }
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        let name = match block.self_ty.as_ref() {
            syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        let outer = std::mem::replace(&mut self.owner, name);
        visit::visit_item_impl(self, block);
        self.owner = outer;
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_test(&function.attrs) {
            let name = Some(function.sig.ident.to_string());
            let parameters = patterns(&function.sig);
            self.function(name, parameters, |this| visit::visit_block(this, &function.block));
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        let name = self.owner.as_ref().map(|owner| format!("{owner}::{}", function.sig.ident));
        let is_known = FUNCTIONS.iter().any(|(known, ..)| name.as_deref() == Some(known));
        if !is_known && !is_test(&function.attrs) {
            let parameters = patterns(&function.sig);
            self.function(name, parameters, |this| visit::visit_block(this, &function.block));
        }
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        let name = self.bound.take();
        self.function(name, closure.inputs.iter(), |this| visit::visit_expr(this, &closure.body));
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.scope.enter();
        visit::visit_block(self, block);
        self.scope.leave();
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let parser = Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
        for expression in parser.parse2(call.tokens.clone()).into_iter().flatten() {
            self.visit_expr(&expression);
        }
    }

    fn visit_item_const(&mut self, constant: &'ast syn::ItemConst) {
        visit::visit_item_const(self, constant);
        let value = self.scope.value(&constant.expr);
        let paragraph = first_paragraph(&constant.attrs);
        if let Some(meaning) = paragraph.strip_prefix(CODE_OF) {
            let advice = documentation(&constant.attrs);
            let advice = advice.iter().find_map(|line| line.strip_prefix("- Do: ")).unwrap_or_default();
            let text = |text: &str| Value::Texts(vec![text.trim_end_matches('.').to_owned()]);
            self.say(Form {
                kind: Kind::Note,
                code: value.clone(),
                check: Value::Unknown,
                detail: text(meaning),
                hints: vec![text(advice)],
            });
        }
        if value != Value::Unknown {
            self.scope.bind(constant.ident.to_string(), value, Vec::new());
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let Some(init) = &local.init else { return };
        let first = self.forms.len();
        if let (syn::Pat::Ident(name), syn::Expr::Closure(_)) = (&local.pat, init.expr.as_ref()) {
            self.bound = Some(name.ident.to_string());
        }
        visit::visit_local(self, local);
        let mut places = self.scope.places_of(&init.expr);
        places.push(first..self.forms.len());
        self.scope.bind_pattern(&local.pat, &init.expr, &places);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        visit::visit_expr_call(self, call);
        if let syn::Expr::Path(path) = call.func.as_ref() {
            let arguments: Vec<&syn::Expr> = call.args.iter().collect();
            for form in self.called(&path.path, &arguments) {
                self.say(form);
            }
        }
    }

    fn visit_expr_struct(&mut self, filled: &'ast syn::ExprStruct) {
        visit::visit_expr_struct(self, filled);
        let name = filled.path.segments.last().map(|segment| segment.ident.to_string());
        let known = STRUCTURES.iter().find(|(structure, _)| name.as_deref() == Some(structure));
        let Some((_, kind)) = known else { return };
        let part = |name: &str| {
            let is_it =
                |field: &&syn::FieldValue| matches!(&field.member, syn::Member::Named(it) if it == name);
            filled.fields.iter().find(is_it).map(|field| self.part(&field.expr))
        };
        let Some(code) = part("code") else { return };
        let detail = part("detail").unwrap_or(Value::Unknown);
        let hints = part("hint").or_else(|| part("advice")).into_iter().collect();
        self.say(Form { kind: *kind, code, check: Value::Unknown, detail, hints });
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let first = self.forms.len();
        visit::visit_expr_method_call(self, call);
        if call.method == "hint"
            && let Some(hint) = call.args.first()
        {
            let mut places = self.scope.places_of(&call.receiver);
            places.push(first..self.forms.len());
            self.advise(&places, hint);
        }
    }

    fn visit_expr_assign(&mut self, assignment: &'ast syn::ExprAssign) {
        visit::visit_expr_assign(self, assignment);
        if let syn::Expr::Field(field) = assignment.left.as_ref()
            && matches!(&field.member, syn::Member::Named(name) if name == "hint")
        {
            let places = self.scope.places_of(&field.base);
            self.advise(&places, &assignment.right);
        }
    }
}

/// The patterns of a function's parameters.
fn patterns(signature: &syn::Signature) -> impl Iterator<Item = &syn::Pat> {
    signature.inputs.iter().filter_map(|input| match input {
        syn::FnArg::Typed(typed) => Some(typed.pat.as_ref()),
        syn::FnArg::Receiver(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::*;

    fn collected(text: &str) -> Result<Said> {
        let file = Parsed { path: "a.rs".to_owned(), tree: syn::parse_file(text).unwrap() };
        let constants = placeholder::constants([&file.tree]);
        collect(&[file], &constants)
    }

    /// The rows of one table: code, meaning, reaction, fix.
    fn rows(entries: &[Entry]) -> Vec<[&str; 4]> {
        let row = |entry: &'static Entry| {
            [&entry.code, &entry.meaning, &entry.reaction, &entry.fix].map(String::as_str)
        };
        entries.to_vec().leak().iter().map(row).collect()
    }

    fn check_findings(text: &str, expected: &[[&str; 4]]) {
        assert_eq!(rows(&collected(text).unwrap().checks), expected, "{text}");
    }

    #[test]
    fn a_finding_is_joined_with_its_check_and_its_hint() {
        let expected = [
            ["WAL_LEVEL", "check `pg.wal_level`", "does not start", "set it"],
            ["WAL_LEVEL", "it is ‹x›", "does not start", ""],
        ];
        check_findings(
            r#"fn f() -> Finding {
                Finding::failure("pg.wal_level", Side::Source, "WAL_LEVEL", format!("it is {x}")).hint("set it").fix("S")
            }"#,
            &expected,
        );
        check_findings(
            r#"
            const CHECK: &str = "pg.wal_level";
            const CODE: &str = "WAL_LEVEL";
            fn f() -> Finding {
                let detail = format!("it is {x}");
                let mut finding = Finding::failure(CHECK, Side::Source, CODE, detail);
                finding = finding.hint(if a { "set it" } else { hint() });
                finding
            }"#,
            &expected,
        );
        check_findings(
            r#"fn f() {
                let (check, code) = ("pg.wal_level", "WAL_LEVEL");
                let hint = "set it";
                let again = |code, detail: String| Finding::failure(check, Side::Source, code, detail).hint(hint);
                again("WAL_LEVEL", format!("it is {x}"))
            }"#,
            &expected,
        );
    }

    #[test]
    fn what_a_function_is_given_is_said_by_its_callers() {
        let said = collected(
            r#"
            fn refused(flag: &str, code: &str) -> CliError { CliError::usage(code, format!("{flag} is wrong"), "mend it") }
            fn form() -> CliError { refused("--a", "A_FORM") }
            fn other(code: &str) -> CliError { refused("--b", code) }
            fn bind() -> CliError {
                let mut failed = CliError::runtime("BIND_FAILED", "no port", &error);
                failed.hint = "give another".to_owned();
                failed
            }
            impl Stop { fn table(code: &str, detail: String) -> Self { Stop(NotCompared { code: code.to_owned(), detail }) } }
            fn stop() { other("B_FORM"); vec![Stop::table("COPYING", "it is copied".to_owned())] }
            /// Code of a table that rests.
            ///
            /// - Do: let it go on.
            const PAUSED: &str = "TABLE_PAUSED";
            const KNOWN: &[Known] = &[Known { parts: &["x"], code: "SLOT_LOST", detail: "gone", advice: "wait" }];
            "#,
        )
        .unwrap();
        assert_eq!(
            rows(&said.commands),
            [
                ["A_FORM", "‹flag› is wrong", "2", "mend it"],
                ["BIND_FAILED", "no port", "1", "give another"],
                ["B_FORM", "‹flag› is wrong", "2", "mend it"],
            ]
        );
        assert_eq!(
            rows(&said.reports),
            [
                ["COPYING", "it is copied", "`segcdc verify`, of a table that it leaves out", ""],
                ["TABLE_PAUSED", "a table that rests", "`segcdc status`", "let it go on"],
                ["SLOT_LOST", "gone", "`segcdc status`, of a connector's task that failed", "wait"],
            ]
        );
    }

    #[test]
    fn a_code_that_cannot_be_told_is_an_error() {
        let fails = |text: &str| collected(text).unwrap_err().to_string();
        let note = |code: &str| format!("fn f() {{ StatusNote {{ code: {code}, detail, hint }} }}");
        assert_eq!(fails(&note("made(1)")), "codes that cannot be told: a.rs in f");
        assert_eq!(fails(&note("\"no code\".to_owned()")), "codes that cannot be told: a.rs in f");
        assert_eq!(fails("fn f() { map(|code| CliError::usage(code, m, h)) }"), fails(&note("1")));
        // What an error says of itself stands with the error.
        assert_eq!(collected(&note("error.code().to_owned()")).unwrap(), Said::default());
        assert_eq!(collected(&note("cause.code")).unwrap(), Said::default());
    }
}
