//! [`Form`]: one place of the source at which a code is said, as far as the place itself tells.

use super::Entry;
use super::scope::Value;
use super::syntax::is_code;

/// What says the code, which is the table of the page that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `Finding::warning`.
    Warning,
    /// `Finding::failure`.
    Failure,
    /// `LeftOut`, a table that preflight leaves out.
    LeftOut,
    /// `CliError::usage`.
    Usage,
    /// `CliError::runtime`.
    Runtime,
    /// `StatusNote`.
    Note,
    /// `NotCompared`, a table that is left out of a comparison.
    NotCompared,
    /// `Known` and `Cause`, what the stack trace of a connector's task means.
    Trace,
}

/// The tables of the page behind that of errors.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// What preflight finds.
    pub(super) checks: Vec<Entry>,
    /// What commands end with.
    pub(super) commands: Vec<Entry>,
    /// What `status` and `verify` say.
    pub(super) reports: Vec<Entry>,
}

/// A place, or a function that says for its callers what its parameters say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    /// Who says it.
    pub(super) kind: Kind,
    /// The code.
    pub(super) code: Value,
    /// The name of the check; nothing outside preflight.
    pub(super) check: Value,
    /// What is the matter.
    pub(super) detail: Value,
    /// What to do about it, by all branches.
    pub(super) hints: Vec<Value>,
}

// === impl Form ===

impl Form {
    /// The form of a call of what has this form, when the function is so deep.
    pub(super) fn called(&self, depth: usize, argument: impl Fn(usize) -> Value) -> Form {
        let given = |value: &Value| match value {
            Value::Parameter { depth: of, index } if *of == depth => argument(*index),
            value => value.clone(),
        };
        Form {
            kind: self.kind,
            code: given(&self.code),
            check: given(&self.check),
            detail: given(&self.detail),
            hints: self.hints.iter().map(given).collect(),
        }
    }

    /// Whether a part of it is a parameter of the function that is so deep.
    pub(super) fn has_parameter(&self, depth: usize) -> bool {
        let parts = [&self.code, &self.check, &self.detail].into_iter().chain(&self.hints);
        parts.into_iter().any(|part| matches!(part, Value::Parameter { depth: of, .. } if *of == depth))
    }

    /// The codes that are said here; `None` when a code is said and cannot be told.
    pub(super) fn codes(&self) -> Option<Vec<&String>> {
        match &self.code {
            Value::Texts(texts) if texts.iter().all(|text| is_code(text)) => Some(texts.iter().collect()),
            Value::Texts(_) | Value::Unknown => None,
            Value::Delegated | Value::Parameter { .. } => Some(Vec::new()),
        }
    }

    /// Its rows, in the table that they belong to.
    pub(super) fn write(&self, said: &mut Said) {
        let details = texts(&self.detail);
        let checks = texts(&self.check);
        let hints: Vec<&str> = self.hints.iter().flat_map(texts).collect();
        let table = match self.kind {
            Kind::Warning | Kind::Failure | Kind::LeftOut => &mut said.checks,
            Kind::Usage | Kind::Runtime => &mut said.commands,
            Kind::Note | Kind::NotCompared | Kind::Trace => &mut said.reports,
        };
        for code in self.codes().unwrap_or_default() {
            let meanings = checks.iter().map(|check| format!("check `{check}`"));
            let meanings: Vec<String> =
                meanings.chain(details.iter().map(|detail| (*detail).to_owned())).collect();
            for row in 0..meanings.len().max(hints.len()).max(1) {
                table.push(Entry {
                    code: code.clone(),
                    meaning: meanings.get(row).cloned().unwrap_or_default(),
                    reaction: self.kind.reaction().to_owned(),
                    fix: hints.get(row).copied().unwrap_or_default().to_owned(),
                });
            }
        }
    }
}

/// The texts that are known of a part.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Texts(texts) => texts.iter().map(String::as_str).collect(),
        Value::Parameter { .. } | Value::Delegated | Value::Unknown => Vec::new(),
    }
}

// === impl Kind ===

impl Kind {
    /// The third column of its table.
    const fn reaction(self) -> &'static str {
        match self {
            Kind::Warning => "warns",
            Kind::Failure => "does not start",
            Kind::LeftOut => "leaves the table out",
            Kind::Usage => "2",
            Kind::Runtime => "1",
            Kind::Note => "`segcdc status`",
            Kind::NotCompared => "`segcdc verify`, of a table that it leaves out",
            Kind::Trace => "`segcdc status`, of a connector's task that failed",
        }
    }
}
