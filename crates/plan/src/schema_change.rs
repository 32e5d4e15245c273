//! [`decide`]: what a new description of a table means for its target table. Pure.
//!
//! ```text
//! KnownTable   what the table was at the checkpoint          --+
//! Relation     what the stream says it is now                  +--> Decision: the same, or steps and the table behind them
//! CatalogTable what the source's catalog says at this moment --+
//! Rules        what the user wants done about each kind of it --+
//! ```
//!
//! The stream does not say what rows have in a new column that were there before it: PostgreSQL does not write them
//! again. The catalog does ([`segcdc_model::Attribute::missing`]). Where PostgreSQL did write all rows again, their values
//! are in no stream, and the table is halted unless its user says otherwise.
//!
//! - `columns`: what became of each column
//! - `columns::keys`: by which columns rows are found
//! - `retype`: whether rows and target can keep what they have when a column has another type
//! - `renames`: in which order columns get other names

use segcdc_model::{CatalogTable, Lsn, QualifiedName, Relation};

use crate::attnums::assign;
use crate::error::PlanError;
use crate::known_table::{KnownTable, TargetColumn};
use crate::rules::{ChangeKind, ChangePolicy};
use crate::schema_change::columns::Columns;
use crate::table_plan::{Naming, TablePlan};

mod columns;
mod renames;
mod retype;

/// What a description means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The table is what it was, and this is known of it now.
    Same(Box<KnownTable>),
    /// The target table has to follow.
    Change(Box<SchemaChange>),
}

/// What has to be done before changes that come with a description can be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaChange {
    /// The table behind it.
    pub known: KnownTable,
    /// Its plan.
    pub plan: TablePlan,
    /// What was changed, and what is to be done about it, in this order.
    pub steps: Vec<Step>,
}

/// One change of a source table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What kind of change it is.
    pub kind: ChangeKind,
    /// Whether the target follows it.
    pub outcome: Outcome,
    /// What was changed, for people. Holds names and types, no value.
    pub what: String,
    /// What is to be done to the target table, in this order.
    pub actions: Vec<Action>,
}

/// Whether a target table follows a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It does.
    Applied,
    /// It stays as it is, as far as rows can go on.
    Ignored,
}

/// One thing that is to be done to a target table. Columns have the names that they have at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The table gets another name, and what was made with it.
    RenameTable {
        /// The name that it has.
        from: QualifiedName,
        /// The name that it gets.
        to: QualifiedName,
    },
    /// A column is dropped.
    DropColumn {
        /// Its name.
        name: String,
    },
    /// A column gets another name.
    RenameColumn {
        /// The name that it has.
        from: String,
        /// The name that it gets.
        to: String,
    },
    /// The key is dropped, because one of its columns is to change.
    DropKey,
    /// A column gets this type, and takes NULL or not.
    AlterColumn {
        /// The column behind it.
        column: TargetColumn,
    },
    /// The key of the plan behind the change is made.
    AddKey,
    /// A column is added.
    AddColumn {
        /// The column: its place in the plan behind the change.
        column: usize,
        /// What rows have in it that are there already, as PostgreSQL prints it; `None` for NULL.
        existing: Option<String>,
    },
}

/// What is known when a description is looked into.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    /// The table as of the stream's position.
    pub known: &'a KnownTable,
    /// Its plan.
    pub plan: &'a TablePlan,
    /// What the stream says.
    pub relation: &'a Relation,
    /// What the catalog says.
    pub catalog: &'a CatalogTable,
    /// Commit end of the transaction that it comes in.
    pub at: Lsn,
    /// Whether rows of it are set aside, each by its key.
    pub has_letters: bool,
}

// === impl Outcome ===

impl Outcome {
    /// The word of the state and of `status`.
    pub const fn word(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Ignored => "ignored",
        }
    }
}

// === impl Step ===

impl Step {
    /// A step that the target follows.
    fn applied(kind: ChangeKind, what: String, actions: Vec<Action>) -> Self {
        Step { kind, outcome: Outcome::Applied, what, actions }
    }

    /// A step that the target does not follow.
    fn ignored(kind: ChangeKind, what: String, actions: Vec<Action>) -> Self {
        Step { kind, outcome: Outcome::Ignored, what, actions }
    }
}

/// Decides what a description means.
///
/// # Errors
/// [`PlanError::SchemaChanged`] where the target table cannot follow, [`PlanError::SchemaChangeHalted`] where it is not to,
/// and what keeps the new table from being planned.
pub fn decide(described: Described<'_>, naming: &Naming) -> Result<Decision, PlanError> {
    let Described { known, relation, catalog, .. } = described;
    let assignment = assign(known, relation, catalog).ok_or_else(|| {
        let detail = "which of its columns were renamed, dropped or added cannot be told for certain";
        changed(known, detail.to_owned())
    })?;
    // Generated columns have no place in the target, published or not.
    let is_generated = |attnum: i16| {
        known.column(attnum).is_none() && catalog.live(attnum).is_some_and(|live| live.generated)
    };
    let sent = assignment.attnums.iter().copied().zip(&relation.columns);
    let sent: Vec<_> = sent.filter(|(attnum, _)| !is_generated(*attnum)).collect();
    let mut steps = Vec::new();
    check_mode(described, naming)?;
    let target = follow_name(described, naming, &mut steps)?;
    let columns = Columns::new(described, naming, &sent)?;
    let (known, plan) = columns.follow(target, &mut steps)?;
    if steps.is_empty() {
        return Ok(Decision::Same(Box::new(known)));
    }
    Ok(Decision::Change(Box::new(SchemaChange { known, plan, steps })))
}

/// Checks that rows are kept alike by the rules under the name that the table has now: the next copy goes by them.
fn check_mode(described: Described<'_>, naming: &Naming) -> Result<(), PlanError> {
    let Described { known, relation, .. } = described;
    let (name, mode) = (&relation.name, known.mode);
    let asked = naming.rules.mode(name);
    if known.source.name == *name || asked == mode {
        return Ok(());
    }
    let detail = format!(
        "it is {name} now, to which --mode gives the mode {asked}, and its target table was made for {mode}"
    );
    Err(changed(known, detail))
}

/// What becomes of the target table's name; returns the one that it has behind that.
fn follow_name(
    described: Described<'_>,
    naming: &Naming,
    steps: &mut Vec<Step>,
) -> Result<QualifiedName, PlanError> {
    let Described { known, plan, relation, .. } = described;
    let (before, now) = (&known.source.name, &relation.name);
    let mut target = plan.target.clone();
    if before == now {
        return Ok(target);
    }
    let wished = crate::table_plan::target_of(now, naming)?;
    let moves = [
        (ChangeKind::SetSchema, before.schema != now.schema, "was moved to schema", &now.schema),
        (ChangeKind::RenameTable, before.name != now.name, "was renamed to", &now.name),
    ];
    for (kind, _, verb, name) in moves.into_iter().filter(|(_, is_changed, ..)| *is_changed) {
        let what = format!("the table {before} {verb} \"{name}\"");
        match policy(described, naming, kind, &what)? {
            Follow::Not => steps.push(Step::ignored(kind, what, Vec::new())),
            Follow::Yes => {
                let from = target.clone();
                match kind {
                    ChangeKind::SetSchema => target.schema.clone_from(&wished.schema),
                    _ => target.name.clone_from(&wished.name),
                }
                let actions = if from == target {
                    Vec::new()
                } else {
                    vec![Action::RenameTable { from, to: target.clone() }]
                };
                steps.push(Step::applied(kind, what, actions));
            }
        }
    }
    Ok(target)
}

/// Whether the target is to follow.
enum Follow {
    Yes,
    Not,
}

/// What the user wants done about a kind of change.
///
/// # Errors
/// [`PlanError::SchemaChangeHalted`].
fn policy(
    described: Described<'_>,
    naming: &Naming,
    kind: ChangeKind,
    what: &str,
) -> Result<Follow, PlanError> {
    let SourceName { oid, table } = SourceName::of(described);
    let halted =
        |all| PlanError::SchemaChangeHalted { oid, table: table.clone(), kind, detail: what.to_owned(), all };
    match naming.rules.on_schema_change(table, kind) {
        ChangePolicy::Apply => Ok(Follow::Yes),
        ChangePolicy::Ignore => Ok(Follow::Not),
        ChangePolicy::Halt => Err(halted(false)),
        ChangePolicy::HaltAll => Err(halted(true)),
    }
}

/// What a table is called in rules and errors: as it is called now.
struct SourceName<'a> {
    oid: u32,
    table: &'a QualifiedName,
}

// === impl SourceName ===

impl<'a> SourceName<'a> {
    fn of(described: Described<'a>) -> Self {
        SourceName { oid: described.known.source.oid, table: &described.relation.name }
    }
}

/// The table cannot follow.
fn changed(known: &KnownTable, detail: String) -> PlanError {
    PlanError::SchemaChanged { oid: known.source.oid, table: known.source.name.clone(), detail }
}
