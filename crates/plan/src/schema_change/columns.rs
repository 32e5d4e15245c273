//! [`Columns`]: what became of each column of a table, and what the target does about it. Pure.

use segcdc_model::mutant::{Mutant, is_planted};
use segcdc_model::{MssqlType, PgType, QualifiedName, RelationColumn, SourceColumn, SourceTable};

use super::renames::ordered;
use super::retype::{Typed, keeps_values, widens};
use super::{Action, Described, Follow, Step, changed, policy};
use crate::error::PlanError;
use crate::known_table::{KnownColumn, KnownTable, TargetColumn};
use crate::rules::{ChangeKind, ChangePolicy, Mask};
use crate::schema_change::columns::keys::Rekey;
use crate::table_plan::{ColumnPlan, Naming, TablePlan, table_plan_as};
use crate::target_name::{fold, free};

mod catalog;
mod keys;
mod nullability;

/// The columns of a table that was described.
pub(super) struct Columns<'a> {
    described: Described<'a>,
    naming: &'a Naming,
    /// Number and description of each.
    sent: &'a [(i16, &'a RelationColumn)],
    /// The table behind the change, as far as its source goes.
    source: SourceTable,
    steps: Steps,
    /// What becomes of the target's key, if anything does.
    rekey: Option<Rekey>,
}

/// Steps by what they have to wait for.
#[derive(Default)]
struct Steps {
    first: Vec<Step>,
    drops: Vec<Step>,
    renames: Vec<Step>,
    alters: Vec<Step>,
    adds: Vec<Step>,
}

// === impl Columns ===

impl<'a> Columns<'a> {
    /// The columns, each by its number.
    ///
    /// # Errors
    /// [`PlanError::SchemaChanged`] when what a column is cannot be known any more.
    pub(super) fn new(
        described: Described<'a>,
        naming: &'a Naming,
        sent: &'a [(i16, &'a RelationColumn)],
    ) -> Result<Self, PlanError> {
        let Described { known, relation, .. } = described;
        let (source, steps) = (known.source.clone(), Steps::default());
        let mut columns = Columns { described, naming, sent, source, steps, rekey: None };
        let found = sent.iter().map(|(attnum, sent)| match known.column(*attnum) {
            Some(before) => columns.as_sent(before, sent),
            None => columns.added(*attnum, sent),
        });
        let found = found.collect::<Result<Vec<_>, _>>()?;
        columns.source = columns.table_of(found);
        columns.source.name.clone_from(&relation.name);
        Ok(columns)
    }

    /// What is known of the table behind the change, whose target table is `target` then, its plan, and the steps to it.
    ///
    /// # Errors
    /// As [`super::decide`].
    pub(super) fn follow(
        mut self,
        target: QualifiedName,
        steps: &mut Vec<Step>,
    ) -> Result<(KnownTable, TablePlan), PlanError> {
        let Described { known, plan, catalog, .. } = self.described;
        let sent_identity = self.identify()?;
        let mut kept = known.kept.clone();
        for gone in
            known.columns.iter().filter(|column| self.sent.iter().all(|(sent, _)| *sent != column.attnum))
        {
            kept.extend(self.dropped(gone)?);
        }
        let left_out = self.left_out()?;
        let wished = table_plan_as(&self.source, self.naming, &known.decided(left_out.clone()))?;
        let mut columns = Vec::with_capacity(self.sent.len());
        for (attnum, sent) in self.sent {
            let (attnum, wished) = (*attnum, wished.of_attnum(*attnum));
            columns.push(match known.column(attnum) {
                Some(before) => self.kept_on(before, sent, wished)?,
                None => {
                    let mut target = wished.map(nullable);
                    if let Some((target, wished)) = target.as_mut().zip(wished) {
                        self.fit_key(attnum, target, wished);
                    }
                    KnownColumn { target, ..as_described(attnum, sent) }
                }
            });
        }
        self.make_way(&columns, &mut kept)?;
        let last = self.sent.last().map_or(0, |(attnum, _)| *attnum);
        let filenode = if self.is_ahead() { known.filenode } else { catalog.filenode };
        let behind = KnownTable {
            source: std::mem::replace(&mut self.source, known.source.clone()),
            columns,
            last_attnum: last.max(known.last_attnum),
            filenode,
            kept,
            sent_identity,
            ..known.clone()
        };
        let plan = TablePlan { target, ..behind.plan(self.naming, &plan.target)? };
        self.add(&plan, &left_out)?;
        let Steps { first, drops, renames, alters, adds } = self.steps;
        let last = self.rekey.and_then(|rekey| rekey.last_step(&plan));
        let others = drops.into_iter().chain(ordered(renames)).chain(alters).chain(adds);
        steps.extend(first.into_iter().chain(others).chain(last));
        Ok((behind, plan))
    }

    /// A column that was known, with the name and type that are sent.
    fn as_sent(&self, before: &KnownColumn, sent: &RelationColumn) -> Result<SourceColumn, PlanError> {
        let source = self.source_column(before.attnum)?;
        let mut column = SourceColumn { name: sent.name.clone(), ..source.clone() };
        if is_of_type(before, sent) {
            let now = self
                .attribute(before.attnum)
                .filter(|now| (now.type_oid, now.type_modifier) == (sent.type_oid, sent.type_modifier));
            if let Some(live) = now.and_then(|_| self.live(before.attnum)) {
                // Types have names too, which may change.
                column.type_name.clone_from(&live.type_name);
            }
            return Ok(column);
        }
        // Of one type, with another length or the like, what the catalog says now does for the values of then.
        let live = self.live(before.attnum).filter(|_| self.is_of_oid(before.attnum, sent));
        let live = live.ok_or_else(|| {
            changed(
                self.described.known,
                format!("column \"{}\" has another type, and was changed again since", sent.name),
            )
        })?;
        (column.pg_type, column.type_name) = (live.pg_type.clone(), live.type_name.clone());
        Ok(column)
    }

    /// A new column.
    fn added(&self, attnum: i16, sent: &RelationColumn) -> Result<SourceColumn, PlanError> {
        let name = sent.name.clone();
        if self.is_gone(attnum) {
            // Nothing tells its type any more. It is not written.
            let (pg_type, type_name) = (PgType::Other, String::new());
            return Ok(SourceColumn { name, attnum, pg_type, type_name, not_null: false, generated: false });
        }
        let live = self.live(attnum).filter(|_| self.is_of_oid(attnum, sent));
        let live = live.ok_or_else(|| {
            changed(self.described.known, format!("column \"{name}\" was added, and has another type since"))
        })?;
        // The target's takes NULL, whatever the source's does; what is to follow it there is found with the next description.
        let rules = &self.naming.rules;
        let follows = rules.on_schema_change(&self.described.relation.name, ChangeKind::SetNotNull)
            == ChangePolicy::Apply;
        Ok(SourceColumn { name, not_null: live.not_null && !follows, ..live.clone() })
    }

    /// A column that the source has no more; returns the name of the target's, if that stays.
    fn dropped(&mut self, gone: &KnownColumn) -> Result<Option<String>, PlanError> {
        let Described { known, plan, .. } = self.described;
        let Some(target) = &gone.target else { return Ok(None) };
        if plan.of_attnum_in_key(gone.attnum) && self.rekey.is_none() {
            return Err(changed(known, format!("column \"{}\" of its key was dropped", gone.name)));
        }
        let what = format!("column \"{}\" was dropped", gone.name);
        let kind = ChangeKind::DropColumn;
        let name = target.name.clone();
        match policy(self.described, self.naming, kind, &what)? {
            Follow::Yes => {
                self.steps.drops.push(Step::applied(kind, what, vec![Action::DropColumn { name }]));
                Ok(None)
            }
            Follow::Not => {
                let column = TargetColumn { nullable: true, ..target.clone() };
                let actions = if target.nullable { Vec::new() } else { vec![Action::AlterColumn { column }] };
                let what = format!("{what}; the target keeps what rows have in [{name}], new ones have NULL");
                self.steps.drops.push(Step::ignored(kind, what, actions));
                Ok(Some(name))
            }
        }
    }

    /// Numbers of the columns that are not written: those that were not, and new ones that are not to be.
    fn left_out(&mut self) -> Result<Vec<i16>, PlanError> {
        let known = self.described.known;
        let not_written = known.columns.iter().filter(|column| column.target.is_none());
        let mut left_out: Vec<i16> = not_written.map(|column| column.attnum).collect();
        for (attnum, sent) in self.new_columns() {
            let (kind, mut what) = self.addition(attnum, &sent.name);
            let mut follow = policy(self.described, self.naming, kind, &what)?;
            if self.is_gone(attnum) {
                what.push_str("; it was dropped since, and is not made");
                follow = Follow::Not;
            } else if let Some(option) = self.unwanted(attnum) {
                what.push_str(&format!("; {option} leaves it out"));
                follow = Follow::Not;
            }
            if let Follow::Not = follow {
                self.steps.adds.push(Step::ignored(kind, what, Vec::new()));
                left_out.push(attnum);
            }
        }
        Ok(left_out)
    }

    /// The steps that add the new columns.
    fn add(&mut self, plan: &TablePlan, left_out: &[i16]) -> Result<(), PlanError> {
        for (attnum, _) in self.new_columns() {
            let Some(at) = plan.index_of_attnum(attnum) else { continue };
            let Some(column) = plan.columns.get(at).filter(|_| !left_out.contains(&attnum)) else { continue };
            let existing = self.attribute(attnum).and_then(|attribute| attribute.missing.clone());
            let existing = existing.filter(|_| !is_planted(Mutant::AddedAsNull));
            let existing = self.masked(column, existing)?;
            let (kind, what) = self.addition(attnum, &column.source_name);
            let rows = match &existing {
                Some(_) => "the value that the source gave them",
                None => "NULL",
            };
            let what = format!("{what} as {}; rows that were there have {rows}", column.mssql_type);
            self.steps.adds.push(Step::applied(kind, what, vec![Action::AddColumn { column: at, existing }]));
        }
        Ok(())
    }

    /// What rows that were there get in a new column.
    fn masked(&self, column: &ColumnPlan, existing: Option<String>) -> Result<Option<String>, PlanError> {
        let Some((mask, text)) = column.mask.as_ref().zip(existing.as_ref()) else { return Ok(existing) };
        mask.of_text(text).map_err(|source| PlanError::Value {
            oid: self.source.oid,
            table: self.source.name.clone(),
            column: column.source_name.clone(),
            source,
        })
    }

    /// The new columns.
    fn new_columns(&self) -> Vec<(i16, &'a RelationColumn)> {
        let known = self.described.known;
        self.sent.iter().filter(|(attnum, _)| known.column(*attnum).is_none()).copied().collect()
    }

    /// The option that leaves a new column out.
    fn unwanted(&self, attnum: i16) -> Option<&'static str> {
        let column = self.source_column(attnum).ok()?;
        self.naming.rules.leaves_out(&self.source.name, column)
    }

    /// What kind of change a new column is, and the beginning of what is said of it.
    fn addition(&self, attnum: i16, name: &str) -> (ChangeKind, String) {
        let has_value = self.attribute(attnum).is_some_and(|attribute| attribute.missing.is_some());
        // A default that has to be computed for each row makes PostgreSQL write the rows anew, into another file. So does
        // VACUUM FULL, behind which nothing tells any more what rows had.
        if has_value || !self.is_rewritten() {
            return (ChangeKind::AddColumn, format!("column \"{name}\" was added"));
        }
        let what = format!(
            "column \"{name}\" was added and the rows were written anew, which the stream does not show"
        );
        (ChangeKind::RewriteColumn, what)
    }

    /// A column that was known and is there still.
    fn kept_on(
        &mut self,
        before: &KnownColumn,
        sent: &RelationColumn,
        wished: Option<&ColumnPlan>,
    ) -> Result<KnownColumn, PlanError> {
        let mut column = KnownColumn { not_null_at: before.not_null_at, ..as_described(before.attnum, sent) };
        let Some((mut target, wished)) = before.target.clone().zip(wished) else {
            self.source_not_null(before.attnum);
            return Ok(column);
        };
        self.check_mask(before, sent, &target)?;
        if before.name != sent.name {
            self.renamed(&before.name, sent, &mut target, wished)?;
        }
        if !is_of_type(before, sent) {
            self.retyped(before, sent, &mut target, wished)?;
        }
        self.nullability(&mut column, &mut target)?;
        self.fit_key(before.attnum, &mut target, wished);
        column.target = Some(target);
        Ok(column)
    }

    /// Checks that a masked column is so by the rules under the name that it and its table have now: the next copy goes by them.
    fn check_mask(
        &self,
        before: &KnownColumn,
        sent: &RelationColumn,
        target: &TargetColumn,
    ) -> Result<(), PlanError> {
        let Some(mask) = target.mask else { return Ok(()) };
        let (table, column) = (&self.described.relation.name, self.source_column(before.attnum)?);
        if self.naming.rules.mask(table, column) == Some(mask) {
            return Ok(());
        }
        let detail = format!(
            "column \"{}\" has the mask {mask} and is \"{}\" of {table} now, which no --mask says of that name",
            before.name, sent.name
        );
        Err(changed(self.described.known, detail))
    }

    fn renamed(
        &mut self,
        before: &str,
        sent: &RelationColumn,
        target: &mut TargetColumn,
        wished: &ColumnPlan,
    ) -> Result<(), PlanError> {
        let kind = ChangeKind::RenameColumn;
        let what = format!("column \"{before}\" was renamed to \"{}\"", sent.name);
        let step = match policy(self.described, self.naming, kind, &what)? {
            Follow::Not => Step::ignored(kind, what, Vec::new()),
            Follow::Yes if target.name == wished.name => Step::applied(kind, what, Vec::new()),
            Follow::Yes => {
                let to = wished.name.clone();
                let from = std::mem::replace(&mut target.name, to.clone());
                Step::applied(kind, what, vec![Action::RenameColumn { from, to }])
            }
        };
        self.steps.renames.push(step);
        Ok(())
    }

    fn retyped(
        &mut self,
        before: &KnownColumn,
        sent: &RelationColumn,
        target: &mut TargetColumn,
        wished: &ColumnPlan,
    ) -> Result<(), PlanError> {
        let Described { known, plan, .. } = self.described;
        let old = self.source_before(before.attnum)?;
        let new = self.source_column(before.attnum)?;
        let is_rewritten = self.is_rewritten();
        let mut what = format!("column \"{}\" was {} and is {}", sent.name, old.type_name, new.type_name);
        let kind = if is_rewritten { ChangeKind::RewriteColumn } else { ChangeKind::ChangeType };
        if is_rewritten {
            what.push_str("; rows were written anew, which the stream does not show");
        }
        let step = match policy(self.described, self.naming, kind, &what)? {
            Follow::Not => Step::ignored(kind, what, Vec::new()),
            Follow::Yes => {
                let from = Typed {
                    pg_type: &old.pg_type,
                    type_oid: before.type_oid,
                    type_modifier: before.type_modifier,
                };
                let to = Typed {
                    pg_type: &new.pg_type,
                    type_oid: sent.type_oid,
                    type_modifier: sent.type_modifier,
                };
                let is_of_kind = plan.of_attnum(before.attnum).is_some_and(|planned| {
                    (planned.as_text, planned.array) == (wished.as_text, wished.array)
                });
                // What rows have is the hash of what the old type spelled.
                let is_respelled = target.mask == Some(Mask::Hash)
                    && matches!((&old.pg_type, &new.pg_type), (PgType::Float4, PgType::Float8));
                if !is_of_kind || is_respelled || !keeps_values(from, to, is_rewritten) {
                    return Err(changed(
                        known,
                        format!("{what}, and values that rows have got by that are not known"),
                    ));
                }
                let (has, gets) = (target.mssql_type, wished.mssql_type);
                if !widens(has, gets) && !widens(gets, has) {
                    return Err(changed(
                        known,
                        format!("{what}, and {has} cannot become {gets} with all rows"),
                    ));
                }
                let actions = self.retype(before.attnum, target, gets);
                what.push_str(&match actions.as_slice() {
                    [] => format!("; the target's {has} holds it"),
                    _ => format!("; the target's column is {gets} now"),
                });
                Step::applied(kind, what, actions)
            }
        };
        self.steps.alters.push(step);
        Ok(())
    }

    /// Gives a target column a wider type; nothing for one that is not wider.
    fn retype(&self, attnum: i16, target: &mut TargetColumn, to: MssqlType) -> Vec<Action> {
        if widens(to, target.mssql_type) {
            return Vec::new();
        }
        target.mssql_type = to;
        let alter = Action::AlterColumn { column: target.clone() };
        match self.described.plan.of_attnum_in_key(attnum) && self.rekey.is_none() {
            true => vec![Action::DropKey, alter, Action::AddKey],
            false => vec![alter],
        }
    }

    /// Gives columns that the target keeps other names, where theirs are those of columns behind the change.
    ///
    /// # Errors
    /// [`PlanError::SchemaChanged`] when two columns behind the change have one name.
    fn make_way(&mut self, columns: &[KnownColumn], kept: &mut [String]) -> Result<(), PlanError> {
        let names: Vec<&str> = columns
            .iter()
            .filter_map(|column| column.target.as_ref())
            .map(|target| target.name.as_str())
            .collect();
        let is_taken = |name: &str| names.iter().any(|taken| fold(taken) == fold(name));
        for (at, name) in names.iter().enumerate() {
            if names.iter().skip(at + 1).any(|other| fold(other) == fold(name)) {
                let detail = format!("two of its columns would be called [{name}] in the target");
                return Err(changed(self.described.known, detail));
            }
        }
        for at in 0..kept.len() {
            let Some(from) = kept.get(at).filter(|name| is_taken(name)).cloned() else { continue };
            let is_kept = |name: &str| kept.iter().any(|kept| fold(kept) == fold(name));
            let to = free(&format!("{from}_dropped"), |name| is_taken(name) || is_kept(name));
            let what = format!(
                "[{from}], which the source has no more, is called [{to}] from here on, since another column is called so"
            );
            if let Some(name) = kept.get_mut(at) {
                name.clone_from(&to);
            }
            let actions = vec![Action::RenameColumn { from, to }];
            self.steps.renames.push(Step::ignored(ChangeKind::DropColumn, what, actions));
        }
        Ok(())
    }
}

/// A column as it is described, which no column of the target is known for.
fn as_described(attnum: i16, sent: &RelationColumn) -> KnownColumn {
    KnownColumn {
        attnum,
        name: sent.name.clone(),
        type_oid: sent.type_oid,
        type_modifier: sent.type_modifier,
        target: None,
        not_null_at: None,
    }
}

/// The column that was planned; rows that are there already may have NULL, whatever the source says of new ones.
fn nullable(column: &ColumnPlan) -> TargetColumn {
    TargetColumn { nullable: true, ..TargetColumn::of(column) }
}

fn is_of_type(known: &KnownColumn, sent: &RelationColumn) -> bool {
    (known.type_oid, known.type_modifier) == (sent.type_oid, sent.type_modifier)
}
