//! Which rows are staged and which statements follow, in the order of a plan's list. Pure.

use segcdc_plan::{LetterChange, LetterEnd, PolicyUse};

use super::values::{Field, is_keyed, of_key, of_letter};
use crate::sql::letter_changes as sql;

/// A statement, and the rows that it must change; `None` for any number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sql: String,
    /// What it does, for the error.
    pub(super) what: &'static str,
    /// OID of the source table.
    pub(super) oid: u32,
    pub(super) rows: Option<u64>,
}

/// Changes of letters and counters as statements.
#[derive(Debug, Default)]
pub(super) struct Steps<'c> {
    /// Changes that are staged, and the group of each.
    pub(super) staged: Vec<(usize, &'c LetterChange)>,
    pub(super) statements: Vec<Statement>,
}

/// What one statement can do for many rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open { keyed: bool },
    Renew,
    Close(LetterEnd),
}

// === impl Steps ===

impl<'c> Steps<'c> {
    /// Changes of the same kind and table that follow each other become one statement.
    pub(super) fn new(pipeline: &str, changes: &'c [LetterChange], uses: &[PolicyUse]) -> Self {
        let mut steps = Steps::default();
        let mut groups = 0;
        let mut rest = changes;
        while let Some(first) = rest.first() {
            let Some(kind) = Kind::of(first) else {
                steps.statements.extend(single(pipeline, first));
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            let oid = first.oid();
            let is_same = |change: &&LetterChange| change.oid() == oid && Kind::of(change) == Some(kind);
            let same = rest.iter().take_while(is_same).count();
            let (run, behind) = rest.split_at(same);
            steps.staged.extend(run.iter().map(|change| (groups, change)));
            steps.statements.push(kind.statement(pipeline, oid, groups, same as u64));
            groups += 1;
            rest = behind;
        }
        steps.statements.extend(uses.iter().flat_map(|used| count(pipeline, used)));
        steps
    }
}

// === impl Kind ===

impl Kind {
    /// `None` for a change that needs a statement of its own.
    fn of(change: &LetterChange) -> Option<Self> {
        match change {
            LetterChange::Open(letter) => Some(Kind::Open { keyed: is_keyed(&letter.key) }),
            LetterChange::Renew(_) => Some(Kind::Renew),
            LetterChange::Close { key, end, .. } if is_keyed(key) => Some(Kind::Close(*end)),
            LetterChange::Close { .. } | LetterChange::CloseAll { .. } => None,
        }
    }

    fn statement(self, pipeline: &str, oid: u32, group: usize, rows: u64) -> Statement {
        let (sql, what) = match self {
            Kind::Open { keyed } => (sql::open_staged(pipeline, group, keyed), "opening letters"),
            Kind::Renew => (sql::renew_staged(pipeline, group), "renewing letters"),
            Kind::Close(end) => (sql::close_staged(pipeline, group, end.word()), "closing letters"),
        };
        Statement { sql, what, oid, rows: Some(rows) }
    }
}

/// The statement of a change that is not staged.
fn single(pipeline: &str, change: &LetterChange) -> Option<Statement> {
    match change {
        LetterChange::Open(_) | LetterChange::Renew(_) => None,
        LetterChange::Close { oid, key, rows, lsn, end, .. } => Some(Statement {
            sql: sql::close_equal(pipeline, *oid, &key.digest, *rows, lsn.as_u64(), end.word()),
            what: "closing letters",
            oid: *oid,
            rows: Some(*rows),
        }),
        LetterChange::CloseAll { oid, lsn, .. } => Some(Statement {
            sql: sql::close_all(pipeline, *oid, lsn.as_u64(), LetterEnd::Truncated.word()),
            what: "closing letters",
            oid: *oid,
            rows: None,
        }),
    }
}

/// Adds to one counter, which is made first where it is missing.
fn count(pipeline: &str, used: &PolicyUse) -> [Statement; 2] {
    let (column, policy) = (used.column.as_str(), used.policy);
    let make = sql::make_counter(pipeline, used.oid, column, policy);
    let add = sql::add_to_counter(pipeline, used.oid, column, policy, used.count);
    let (what, oid) = ("counting uses of policies", used.oid);
    [Statement { sql: make, what, oid, rows: None }, Statement { sql: add, what, oid, rows: Some(1) }]
}

/// The values of a staged change.
pub(super) fn values(change: &LetterChange) -> Vec<Field> {
    let mut values = match change {
        LetterChange::Open(letter) | LetterChange::Renew(letter) => of_letter(letter).to_vec(),
        LetterChange::Close { oid, key, lsn, .. } => {
            let [oid, digest, lsn] = of_key(*oid, key, *lsn);
            vec![oid, digest, Field::Null, Field::Null, Field::Null, lsn]
        }
        LetterChange::CloseAll { .. } => Vec::new(),
    };
    values.resize(sql::VALUES.len(), Field::Null);
    values
}
