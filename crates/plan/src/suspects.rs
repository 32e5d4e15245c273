//! [`Suspects`]: the changes of a table of a plan, one of which the target refuses; what is tried to find which, and what is
//! said of those that were found.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use segcdc_model::{Lsn, QualifiedName, Transaction, hex};

use crate::apply_plan::{ApplyPlan, MarkGroup, TableChanges, UpdateGroup};
use crate::bisection::{End, Refusal};
use crate::letters::{self, KeyDigest, LetterChange};
use crate::plan::plan_with;
use crate::refusals::Refusals;
use crate::row_image::RowImage;
use crate::table_plan::TablePlan;
use crate::table_set::{TableEntry, TableSet};

/// Changes that an error names.
const NAMED: usize = 5;

/// Digits of a key's digest that an error shows: enough to tell keys apart.
const DIGITS: usize = 16;

/// The changes of one table of a plan, in the order in which they take effect.
#[derive(Debug)]
pub struct Suspects {
    oid: u32,
    table: QualifiedName,
    /// The place of the table among those of the plan.
    at: usize,
    changes: Vec<Suspect>,
}

/// A change that is tried as a whole.
#[derive(Debug)]
struct Suspect {
    kind: Kind,
    key: KeyDigest,
    /// One; more where rows of a table without a key are equal.
    places: Vec<Place>,
}

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Delete,
    Update,
    Insert,
}

/// Where a row stands in [`TableChanges`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Delete(usize),
    UnkeyedDelete(usize),
    /// Group and row.
    Update(usize, usize),
    /// Group and row.
    Mark(usize, usize),
    Insert(usize),
}

/// Which changes of a table the target refuses, for people. It has no value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedChanges {
    /// The source table.
    pub table: QualifiedName,
    /// Changes of the table in the batch.
    pub changes: usize,
    /// Those that are refused.
    pub refused: Vec<RefusedChange>,
    /// Whether there may be more of them.
    pub may_be_more: bool,
    /// Whether their rows can be kept out of the target instead.
    pub can_be_set_aside: bool,
}

/// One refused change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedChange {
    /// `DELETE`, `UPDATE` or `INSERT`.
    pub kind: &'static str,
    /// The key's digest, as dead letters have it.
    pub key: KeyDigest,
    /// Commit end of the source transaction that last touched the row, where that is known.
    pub lsn: Option<Lsn>,
    /// The code of the target's error.
    pub code: &'static str,
}

// === impl Suspects ===

impl Suspects {
    /// The changes of the table with this OID; `None` when the plan has none, or a key cannot be told.
    pub fn of(plan: &ApplyPlan, oid: u32) -> Option<Self> {
        let at = plan.tables.iter().position(|changes| changes.table.source.oid == oid)?;
        let changes = plan.tables.get(at)?;
        let table = &*changes.table;
        let mut gathered = Gathered { table, changes: Vec::new(), known: HashMap::new() };
        for (index, image) in changes.deletes.iter().enumerate() {
            gathered.add(Kind::Delete, image, Place::Delete(index))?;
        }
        for (index, image) in changes.unkeyed_deletes.iter().enumerate() {
            gathered.add(Kind::Delete, image, Place::UnkeyedDelete(index))?;
        }
        for (group, update) in changes.updates.iter().enumerate() {
            for (index, image) in update.rows.iter().enumerate() {
                gathered.add(Kind::Update, image, Place::Update(group, index))?;
            }
        }
        for (group, marks) in changes.marks.iter().enumerate() {
            for (index, row) in marks.rows.iter().enumerate() {
                gathered.add(Kind::Delete, &row.image, Place::Mark(group, index))?;
            }
        }
        for (index, row) in changes.inserts.iter().enumerate() {
            gathered.add(Kind::Insert, &row.image, Place::Insert(index))?;
        }
        let name = table.source.name.clone();
        Some(Suspects { oid, table: name, at, changes: gathered.changes })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What is applied to try some of them: these alone, behind what the plan does to the tables in front of theirs.
    pub fn trial(&self, plan: &ApplyPlan, chosen: &[usize]) -> ApplyPlan {
        let places = chosen.iter().filter_map(|change| self.changes.get(*change));
        let places: HashSet<Place> = places.flat_map(|change| change.places.iter().copied()).collect();
        let mut tables: Vec<TableChanges> = plan.tables.iter().take(self.at).cloned().collect();
        tables.extend(plan.tables.get(self.at).map(|changes| only(changes, &places)));
        tables.retain(|changes| !changes.is_empty());
        ApplyPlan { tables, letters: Vec::new(), uses: Vec::new(), ..plan.clone() }
    }

    /// The rows to be set aside; `None` when one of the changes cannot be: a DELETE, or one whose refusal tells of more than
    /// its row.
    pub fn refusals(&self, refused: &[(usize, Refusal)]) -> Option<Refusals> {
        let mut refusals = Refusals::new();
        for (change, refusal) in refused {
            let change = self.changes.get(*change)?;
            if change.kind == Kind::Delete || !refusal.of_the_row {
                return None;
            }
            refusals.insert(self.oid, change.key, refusal.code);
        }
        Some(refusals)
    }

    /// What is said of refused changes. `entry` is their table's, `batch` what was planned.
    pub fn describe(
        &self,
        (end, refused): (End, &[(usize, Refusal)]),
        batch: &[Transaction],
        entry: &TableEntry,
    ) -> RefusedChanges {
        let positions = self.positions(refused, batch, entry);
        let named = refused.iter().filter_map(|(change, refusal)| {
            let change = self.changes.get(*change)?;
            let is_written = change.kind != Kind::Delete;
            let lsn = positions.get(&change.key).copied().filter(|_| is_written);
            Some(RefusedChange { kind: change.kind.word(), key: change.key, lsn, code: refusal.code })
        });
        RefusedChanges {
            table: self.table.clone(),
            changes: self.changes.len(),
            refused: named.collect(),
            may_be_more: end == End::Most,
            can_be_set_aside: self.refusals(refused).is_some(),
        }
    }

    /// Where the rows were touched last: what their letters would say.
    fn positions(
        &self,
        refused: &[(usize, Refusal)],
        batch: &[Transaction],
        entry: &TableEntry,
    ) -> HashMap<KeyDigest, Lsn> {
        let mut refusals = Refusals::new();
        for (change, refusal) in refused {
            if let Some(change) = self.changes.get(*change) {
                refusals.insert(self.oid, change.key, refusal.code);
            }
        }
        let plan = Arc::new(TablePlan { letter_limit: u64::MAX, ..(*entry.plan).clone() });
        let alone: TableSet = [TableEntry { plan, ..entry.clone() }].into_iter().collect();
        let letters = plan_with(batch, &alone, &refusals).map(|plan| plan.letters).unwrap_or_default();
        let positions = letters.into_iter().filter_map(|change| match change {
            LetterChange::Open(letter) | LetterChange::Renew(letter) => Some((letter.key.digest, letter.lsn)),
            LetterChange::Close { .. } | LetterChange::CloseAll { .. } => None,
        });
        positions.collect()
    }
}

/// Changes as they are gathered.
struct Gathered<'p> {
    table: &'p TablePlan,
    changes: Vec<Suspect>,
    known: HashMap<(Kind, KeyDigest), usize>,
}

// === impl Gathered ===

impl Gathered<'_> {
    /// Adds a row, to those of its content if there are some.
    fn add(&mut self, kind: Kind, image: &RowImage, place: Place) -> Option<()> {
        let key = letters::key_of(self.table, image).ok()?.digest;
        let at = *self.known.entry((kind, key)).or_insert_with(|| {
            self.changes.push(Suspect { kind, key, places: Vec::new() });
            self.changes.len() - 1
        });
        self.changes.get_mut(at)?.places.push(place);
        Some(())
    }
}

/// What is done to a table, without the rows that are not chosen.
fn only(changes: &TableChanges, chosen: &HashSet<Place>) -> TableChanges {
    fn keep<T: Clone>(rows: &[T], is_chosen: impl Fn(usize) -> bool) -> Vec<T> {
        let rows = rows.iter().enumerate().filter(|(index, _)| is_chosen(*index));
        rows.map(|(_, row)| row.clone()).collect()
    }
    let updates = changes.updates.iter().enumerate().map(|(group, update)| UpdateGroup {
        present: update.present.clone(),
        rows: keep(&update.rows, |index| chosen.contains(&Place::Update(group, index))),
    });
    let marks = changes.marks.iter().enumerate().map(|(group, marks)| MarkGroup {
        present: marks.present.clone(),
        rows: keep(&marks.rows, |index| chosen.contains(&Place::Mark(group, index))),
    });
    TableChanges {
        table: Arc::clone(&changes.table),
        truncate: changes.truncate,
        deletes: keep(&changes.deletes, |index| chosen.contains(&Place::Delete(index))),
        updates: updates.filter(|update| !update.rows.is_empty()).collect(),
        marks: marks.filter(|marks| !marks.rows.is_empty()).collect(),
        all_marked_us: changes.all_marked_us,
        cleared: changes.cleared.clone(),
        inserts: keep(&changes.inserts, |index| chosen.contains(&Place::Insert(index))),
        unkeyed_deletes: keep(&changes.unkeyed_deletes, |index| {
            chosen.contains(&Place::UnkeyedDelete(index))
        }),
    }
}

// === impl Kind ===

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Kind::Delete => "DELETE",
            Kind::Update => "UPDATE",
            Kind::Insert => "INSERT",
        }
    }
}

// === impl RefusedChanges ===

impl fmt::Display for RefusedChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = if self.may_be_more { "at least " } else { "" };
        let (count, all) = (self.refused.len(), self.changes);
        write!(f, "{least}{count} of {all} changes of {} in the batch are refused: ", self.table)?;
        for (index, change) in self.refused.iter().take(NAMED).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{change}")?;
        }
        match count.saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for RefusedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = hex(&self.key);
        let digits = digest.get(..DIGITS).unwrap_or(&digest);
        write!(f, "{}", self.kind)?;
        if let Some(lsn) = self.lsn {
            write!(f, " at {lsn}")?;
        }
        write!(f, " of key hash {digits} ({})", self.code)
    }
}
