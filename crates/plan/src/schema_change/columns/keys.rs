//! By which columns rows are found: what the stream sends of old rows, and the key of the target table. Pure.
//!
//! ```text
//! replica identity   what the stream says of it             what it cannot say
//! DEFAULT            the columns of the primary key         in which order
//! USING INDEX        the columns of the index               in which order
//! FULL               that rows are sent whole               the primary key: the catalog's, once it is not ahead
//! NOTHING            that nothing is sent                   -
//! ```
//!
//! The target finds a row by columns that the stream sends of it, or the table halts: that is checked with each change
//! ([`crate::bind::Binding::identity_covers_key`]), whatever is decided here.

use segcdc_model::{MssqlType, ReplicaIdentity, SourceIndex, SourceTable};

use super::{Columns, Follow, Step, changed, policy};
use crate::error::PlanError;
use crate::key::{self, Identity};
use crate::known_table::{SentIdentity, TargetColumn};
use crate::rules::ChangeKind;
use crate::schema_change::retype::has_room;
use crate::schema_change::{Action, Described};
use crate::table_plan::{ColumnPlan, TableKey, TablePlan};

/// A key of the target table that is made anew.
pub(super) struct Rekey {
    kind: ChangeKind,
    what: String,
    /// Numbers of the columns of the new one; none where there is to be none.
    key: Vec<i16>,
    /// What its columns become, and those of the old one.
    alters: Vec<Action>,
}

/// How rows are found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum FoundBy {
    /// By these columns, ascending.
    Columns(Vec<i16>),
    /// By all that they have.
    WholeRow,
    /// Rows are only added.
    AppendOnly,
    /// By nothing.
    Nothing,
}

// === impl Columns ===

impl Columns<'_> {
    /// Finds out how old rows are named from here on, and whether the target is to find them otherwise. Returns what is to be
    /// stored where the target does not follow.
    ///
    /// # Errors
    /// As [`crate::schema_change::decide`]; [`PlanError::ReplicaIdentityChanged`] for a table of which nothing is sent.
    pub(super) fn identify(&mut self) -> Result<Option<SentIdentity>, PlanError> {
        let Described { known, relation, plan, .. } = self.described;
        let (was, sent) = (known.sent_identity(), self.sent_identity());
        let is_new = was != sent;
        if !is_new && (sent.identity != ReplicaIdentity::Full || known.sent_identity.is_some()) {
            return Ok(known.sent_identity.clone());
        }
        let named = self.named(&sent);
        let before = FoundBy::of_plan(plan);
        let now = key::identify(&named, &self.naming.rules);
        if !is_new && now.as_ref().is_ok_and(|now| FoundBy::of(now, &named) == before) {
            self.source = named;
            return Ok(None);
        }
        let (kind, mut what) = self.change_of(&was, &sent, &named);
        if known.sent_identity.is_some() && sent == SentIdentity::of(&known.source) {
            // The target never left it.
            self.steps.first.push(Step::applied(kind, what, Vec::new()));
            return Ok(None);
        }
        let follow = policy(self.described, self.naming, kind, &what).map_err(|error| match error {
            PlanError::SchemaChangeHalted { oid, all: false, .. } if kind == ChangeKind::DropIdentity => {
                PlanError::ReplicaIdentityChanged { oid, table: relation.name.clone(), detail: what.clone() }
            }
            error => error,
        })?;
        if let Follow::Not = follow {
            what.push_str("; the target finds rows as before");
            self.steps.first.push(Step::ignored(kind, what, Vec::new()));
            return Ok(Some(sent));
        }
        if sent.identity == ReplicaIdentity::Nothing {
            // The rows are those that they were, and so is their key.
            self.steps.first.push(Step::applied(kind, what, Vec::new()));
            return Ok(Some(sent));
        }
        let now = FoundBy::of(&now?, &named);
        self.source = named;
        self.rekey(kind, what, &before, now)?;
        Ok(None)
    }

    /// What kind of change it is that old rows are named so now, and what is said of it.
    fn change_of(
        &self,
        was: &SentIdentity,
        sent: &SentIdentity,
        named: &SourceTable,
    ) -> (ChangeKind, String) {
        let Described { known, catalog, .. } = self.described;
        let is_lost = key::choose(named) == Identity::Unidentified;
        // Between two statements of a transaction a table may have no key for a moment.
        let comes_back = key::choose(&catalog.table) != Identity::Unidentified;
        let is_another = was.identity != sent.identity;
        let kind = match (is_lost && !comes_back, is_another) {
            (true, _) => ChangeKind::DropIdentity,
            (false, true) => ChangeKind::ChangeIdentity,
            (false, false) => ChangeKind::ChangeKey,
        };
        let mut what = match (is_another, sent.identity) {
            (true, _) => {
                format!("the replica identity was {} and is {}", word(was.identity), word(sent.identity))
            }
            (false, ReplicaIdentity::Full) => "the primary key is another one".to_owned(),
            (false, _) => format!(
                "old rows are named by {} and were by {}",
                listed(&self.source, &sent.columns),
                listed(&known.source, &was.columns)
            ),
        };
        if is_lost {
            what.push_str(": PostgreSQL refuses UPDATE and DELETE of it");
        }
        (kind, what)
    }

    /// Has the target find rows otherwise, where that is needed.
    fn rekey(
        &mut self,
        kind: ChangeKind,
        what: String,
        before: &FoundBy,
        now: FoundBy,
    ) -> Result<(), PlanError> {
        if *before == now {
            self.steps.first.push(Step::applied(kind, what, Vec::new()));
            return Ok(());
        }
        let Described { known, has_letters, .. } = self.described;
        if has_letters {
            let detail = format!("{what}, and rows of it are set aside by the key that they had");
            return Err(changed(known, detail));
        }
        let key = match now {
            FoundBy::Columns(key) => key,
            FoundBy::WholeRow | FoundBy::AppendOnly | FoundBy::Nothing => Vec::new(),
        };
        if matches!(before, FoundBy::Columns(_)) {
            let what = format!("{what}; the target's key is dropped");
            self.steps.first.push(Step::applied(kind, what, vec![Action::DropKey]));
        } else if key.is_empty() {
            self.steps.first.push(Step::applied(kind, what.clone(), Vec::new()));
        }
        self.rekey = Some(Rekey { kind, what, key, alters: Vec::new() });
        Ok(())
    }

    /// Gives a column that comes into the key, or leaves it, the type that it has to have there.
    pub(super) fn fit_key(&mut self, attnum: i16, target: &mut TargetColumn, wished: &ColumnPlan) {
        let was = self.described.plan.of_attnum_in_key(attnum);
        let Some(rekey) = &mut self.rekey else { return };
        let is = rekey.key.contains(&attnum);
        let before = target.clone();
        let varies = matches!(
            wished.mssql_type,
            MssqlType::NVarChar { .. } | MssqlType::VarChar { .. } | MssqlType::VarBinary { .. }
        );
        // In a key a column has its share of the room that there is, and a collation that tells all values apart.
        if varies && (is || was && has_room(target.mssql_type, wished.mssql_type)) {
            target.mssql_type = wished.mssql_type;
        }
        target.nullable &= !is;
        if *target != before {
            rekey.alters.push(Action::AlterColumn { column: target.clone() });
        }
    }

    /// Whether a column becomes part of the key.
    pub(super) fn enters_key(&self, attnum: i16) -> bool {
        self.rekey.as_ref().is_some_and(|rekey| rekey.key.contains(&attnum))
    }

    /// Whether a column that was part of the key is so no more.
    pub(super) fn leaves_key(&self, attnum: i16) -> bool {
        self.rekey.as_ref().is_some_and(|rekey| !rekey.key.contains(&attnum))
    }

    /// How the description names old rows.
    fn sent_identity(&self) -> SentIdentity {
        let identity = self.described.relation.replica_identity;
        let columns = match identity {
            ReplicaIdentity::Default | ReplicaIdentity::Index => {
                self.sent.iter().filter(|(_, sent)| sent.key).map(|(attnum, _)| *attnum).collect()
            }
            ReplicaIdentity::Full | ReplicaIdentity::Nothing => Vec::new(),
        };
        SentIdentity { identity, columns }
    }

    /// The table, with what is sent of its old rows.
    fn named(&self, sent: &SentIdentity) -> SourceTable {
        let Described { known, catalog, .. } = self.described;
        let now = &catalog.table;
        let mut named = SourceTable { replica_identity: sent.identity, ..self.source.clone() };
        let ordered = |now_key: &[usize], known_key: &[usize]| {
            let mut orders = [numbers(now, now_key), numbers(&known.source, known_key)].into_iter();
            let same = |order: &Vec<i16>| ascending(order) == sent.columns;
            self.indices(&orders.find(same).unwrap_or_else(|| sent.columns.clone())).unwrap_or_default()
        };
        match sent.identity {
            ReplicaIdentity::Default => {
                named.primary_key = ordered(&now.primary_key, &known.source.primary_key);
            }
            ReplicaIdentity::Index => {
                named.identity_index = ordered(&now.identity_index, &known.source.identity_index);
            }
            ReplicaIdentity::Full => {
                let key = match self.is_ahead() {
                    true => numbers(&known.source, &known.source.primary_key),
                    false => numbers(now, &now.primary_key),
                };
                // Without all of its columns it is no key.
                named.primary_key = self.indices(&key).unwrap_or_default();
            }
            ReplicaIdentity::Nothing => {}
        }
        if !self.is_ahead() {
            let index = |index: &SourceIndex| {
                let columns = self.indices(&numbers(now, &index.columns))?;
                Some(SourceIndex { columns, ..index.clone() })
            };
            named.indexes = now.indexes.iter().filter_map(index).collect();
        }
        named
    }

    /// The places of columns in the table behind the change; `None` when one of them is not there.
    fn indices(&self, numbers: &[i16]) -> Option<Vec<usize>> {
        let index = |number: &i16| self.source.columns.iter().position(|column| column.attnum == *number);
        numbers.iter().map(index).collect()
    }
}

// === impl Rekey ===

impl Rekey {
    /// The step that makes the key; `None` where nothing is left to do.
    pub(super) fn last_step(self, plan: &TablePlan) -> Option<Step> {
        let Rekey { kind, what, mut alters, .. } = self;
        let has_key = !plan.key_columns().is_empty();
        if has_key {
            alters.push(Action::AddKey);
        }
        let made = if has_key { "the target's key is made anew" } else { "its columns are as all others" };
        (!alters.is_empty()).then(|| Step::applied(kind, format!("{what}; {made}"), alters))
    }
}

// === impl FoundBy ===

impl FoundBy {
    /// By a plan.
    fn of_plan(plan: &TablePlan) -> Self {
        match &plan.key {
            TableKey::Columns(columns) => {
                let source = |index: &usize| plan.columns.get(*index).map(|column| column.source_index);
                let columns: Vec<usize> = columns.iter().filter_map(source).collect();
                FoundBy::Columns(ascending(&numbers(&plan.source, &columns)))
            }
            TableKey::WholeRow => FoundBy::WholeRow,
            TableKey::AppendOnly(_) => FoundBy::AppendOnly,
            TableKey::Unidentified => FoundBy::Nothing,
        }
    }

    /// By what identifies rows of a table.
    fn of(identity: &Identity, source: &SourceTable) -> Self {
        match identity {
            Identity::Columns(columns) => FoundBy::Columns(ascending(&numbers(source, columns))),
            Identity::WholeRow => FoundBy::WholeRow,
            Identity::AppendOnly(_) => FoundBy::AppendOnly,
            Identity::Unidentified => FoundBy::Nothing,
        }
    }
}

/// Numbers of columns, by their places.
fn numbers(source: &SourceTable, indices: &[usize]) -> Vec<i16> {
    indices.iter().filter_map(|index| Some(source.columns.get(*index)?.attnum)).collect()
}

/// The same, in the order of the columns.
fn ascending(numbers: &[i16]) -> Vec<i16> {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers
}

/// Names of columns, for people.
fn listed(source: &SourceTable, numbers: &[i16]) -> String {
    let name = |number: &i16| source.columns.iter().find(|column| column.attnum == *number);
    let names = numbers.iter().filter_map(name).map(|column| format!("\"{}\"", column.name));
    match names.collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => "nothing".to_owned(),
        names => format!("({names})"),
    }
}

/// What `ALTER TABLE ... REPLICA IDENTITY` calls it.
fn word(identity: ReplicaIdentity) -> &'static str {
    match identity {
        ReplicaIdentity::Default => "DEFAULT",
        ReplicaIdentity::Index => "USING INDEX",
        ReplicaIdentity::Full => "FULL",
        ReplicaIdentity::Nothing => "NOTHING",
    }
}
