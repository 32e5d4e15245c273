//! [`Ledger`]: which rows of a table's net effect are set aside, and what is noted of rows and values.
//!
//! It is asked when netting is over, once for each key with what the batch left of its row; the answer depends on the
//! table's open letters and on nothing that was decided before for another key.

use std::collections::BTreeMap;

use segcdc_model::{Field, Lsn};

use crate::apply_plan::TableChanges;
use crate::convert::ValueError;
use crate::error::PlanError;
use crate::fit::{Fitted, Misfit};
use crate::letters::{self, Held, LetterChange, LetterEnd, LetterKey, OpenLetters, PolicyUse};
use crate::refusals::RefusedKeys;
use crate::row_image::RowImage;
use crate::rules::ValuePolicy;
use crate::table_plan::TablePlan;

/// What a table's net effect notes beside its rows.
pub(crate) struct Ledger<'a> {
    table: &'a TablePlan,
    /// Open letters when the batch begins, unless it has emptied the table.
    open: &'a OpenLetters,
    /// Open letters when the batch begins: what the target lacks of the rows that it has then.
    at_start: &'a OpenLetters,
    /// The columns whose values may set their row aside.
    aside: Vec<usize>,
    /// Rows that the target was seen to refuse.
    refused: Option<&'a RefusedKeys>,
    changes: Vec<LetterChange>,
    /// Rows set aside, by the column that is to blame.
    aside_uses: BTreeMap<usize, u64>,
    opened: u64,
    closed: u64,
}

/// What becomes of a row that keeps its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The columns that were sent are written.
    Update,
    /// The target gets the row for the first time.
    Insert,
    /// The target stays as it is.
    Aside,
}

/// Why a row is set aside.
struct Blame {
    column: usize,
    code: &'static str,
}

/// What is noted of a table.
pub(crate) struct Notes {
    pub(crate) letters: Vec<LetterChange>,
    pub(crate) uses: Vec<PolicyUse>,
}

// === impl Ledger ===

impl<'a> Ledger<'a> {
    /// Nothing noted yet. `truncated` is where the batch emptied the table last.
    pub(crate) fn new(table: &'a TablePlan, open: &'a OpenLetters, truncated: Option<Lsn>) -> Self {
        let aside = columns_with(table, |policy| policy == ValuePolicy::SetAside);
        let mut ledger = Ledger {
            table,
            open,
            at_start: open,
            aside,
            refused: None,
            changes: Vec::new(),
            aside_uses: BTreeMap::new(),
            opened: 0,
            closed: 0,
        };
        if let Some(lsn) = truncated {
            if !open.is_empty() {
                let (oid, table) = (table.source.oid, table.source.name.clone());
                ledger.changes.push(LetterChange::CloseAll { oid, table, lsn });
            }
            ledger.open = OpenLetters::NONE;
        }
        ledger
    }

    /// The same with rows that the target was seen to refuse.
    pub(crate) fn refusing(self, refused: Option<&'a RefusedKeys>) -> Self {
        Ledger { refused, ..self }
    }

    /// A row that is gone for good; returns whether the target has a version of it to remove.
    pub(crate) fn gone(&mut self, key: &RowImage, lsn: Lsn) -> Result<bool, PlanError> {
        let Some((letter, held)) = self.held_at_start(key)? else { return Ok(true) };
        // Where the batch has emptied the table all letters of then are closed.
        if self.open.get(&letter.digest).is_some() {
            self.close(letter, 1, lsn, LetterEnd::Deleted);
        }
        Ok(held.in_target())
    }

    /// Whether the target has a version of the row that had this key when the batch began.
    pub(crate) fn is_in_target(&self, key: &RowImage) -> Result<bool, PlanError> {
        Ok(self.held_at_start(key)?.is_none_or(|(_, held)| held.in_target()))
    }

    /// A row that keeps its key.
    pub(crate) fn kept(&mut self, image: &RowImage, others: &[usize], lsn: Lsn) -> Result<Kept, PlanError> {
        let is_sent = |column: &&usize| image.field(**column) != Field::UnchangedToast;
        let blame = self.blame(image)?;
        let Some((key, held)) = self.held(image)? else {
            let Some(blame) = blame else { return Ok(Kept::Update) };
            let sent: Vec<usize> = others.iter().filter(is_sent).copied().collect();
            let held = Held::Behind(self.names(&sent));
            self.set_aside(image, &blame, lsn, held, false)?;
            return Ok(Kept::Aside);
        };
        // A version that fits heals the row if it brings everything that the target lacks.
        let lacking: Vec<usize> = match &held {
            Held::Nothing => others.to_vec(),
            Held::Behind(names) => {
                others.iter().copied().filter(|column| self.is_named(*column, names)).collect()
            }
        };
        let unknown = lacking.iter().find(|column| !is_sent(column)).copied();
        let unknown = unknown.map(|column| Blame { column, code: NOT_SENT });
        if let Some(blame) = blame.or(unknown) {
            let held = match held {
                Held::Nothing => Held::Nothing,
                Held::Behind(names) => {
                    let behind = |column: &&usize| is_sent(column) || self.is_named(**column, &names);
                    let behind: Vec<usize> = others.iter().filter(behind).copied().collect();
                    Held::Behind(self.names(&behind))
                }
            };
            self.set_aside(image, &blame, lsn, held, true)?;
            return Ok(Kept::Aside);
        }
        self.close(key, 1, lsn, LetterEnd::Healed);
        Ok(if held.in_target() { Kept::Update } else { Kept::Insert })
    }

    /// A row that comes to its key, new or from `old_key`; returns whether the target gets it.
    pub(crate) fn arrives(
        &mut self,
        image: &RowImage,
        old_key: Option<&RowImage>,
        others: &[usize],
        lsn: Lsn,
    ) -> Result<bool, PlanError> {
        let mut blame = self.blame(image)?;
        if blame.is_none()
            && let Some(old_key) = old_key
        {
            blame = self.unknown_at(old_key, image, others)?;
        }
        let held = self.held(image)?;
        match (blame, held) {
            (Some(blame), held) => {
                self.set_aside(image, &blame, lsn, Held::Nothing, held.is_some())?;
                Ok(false)
            }
            (None, Some((key, _))) => {
                self.close(key, 1, lsn, LetterEnd::Healed);
                Ok(true)
            }
            (None, None) => Ok(true),
        }
    }

    /// A row that came and went, new or from `old_key`, of a table in which deleted rows stay; returns whether the target gets it.
    /// One that does not fit leaves no letter: it is gone.
    pub(crate) fn leaves_trace(
        &self,
        image: &RowImage,
        old_key: Option<&RowImage>,
        others: &[usize],
    ) -> Result<bool, PlanError> {
        let is_unknown = match old_key {
            Some(old_key) => self.unknown_at(old_key, image, others)?.is_some(),
            None => false,
        };
        Ok(!is_unknown && self.blame(image)?.is_none())
    }

    /// Whether what was sent of a row that is gone can be written to what the target has of it.
    pub(crate) fn can_be_marked_as_sent(&self, image: &RowImage) -> Result<bool, PlanError> {
        Ok(self.held_at_start(image)?.is_none() && self.blame(image)?.is_none())
    }

    /// Rows of one content that are added to a table without a key; returns whether the target gets them.
    pub(crate) fn added(&mut self, image: &RowImage, rows: u64, lsn: Lsn) -> Result<bool, PlanError> {
        let Some(blame) = self.blame(image)? else { return Ok(true) };
        for _ in 0..rows {
            self.set_aside(image, &blame, lsn, Held::Nothing, false)?;
        }
        Ok(false)
    }

    /// Rows of one content that are removed from a table without a key; returns how many of them the target has.
    pub(crate) fn removed(&mut self, image: &RowImage, rows: u64, lsn: Lsn) -> Result<u64, PlanError> {
        if self.open.is_empty() {
            return Ok(rows);
        }
        let key = self.key(image)?;
        let closed = rows.min(self.open.count(&key.digest));
        if closed > 0 {
            self.close(key, closed, lsn, LetterEnd::Deleted);
        }
        Ok(rows - closed)
    }

    /// What is noted, of the values that reach the target too.
    ///
    /// # Errors
    /// [`PlanError::DeadLetterLimit`].
    pub(crate) fn finish(mut self, changes: &TableChanges) -> Result<Notes, PlanError> {
        let open = (self.open.len() + self.opened).saturating_sub(self.closed);
        if self.opened > 0 && open > self.table.letter_limit {
            return Err(PlanError::DeadLetterLimit {
                oid: self.table.source.oid,
                table: self.table.source.name.clone(),
                limit: self.table.letter_limit,
            });
        }
        let mut counts = std::mem::take(&mut self.aside_uses);
        for column in
            columns_with(self.table, |policy| matches!(policy, ValuePolicy::Null | ValuePolicy::Clamp))
        {
            let replaced = self.replaced(changes, column)?;
            if replaced > 0 {
                counts.insert(column, replaced);
            }
        }
        let uses = counts.into_iter().map(|(index, count)| {
            let column = self.table.columns.get(index);
            // A row may be held back by a column that has another policy, or none.
            let policy = match column.map(|column| column.policy) {
                Some(policy @ (ValuePolicy::Null | ValuePolicy::Clamp)) => policy,
                _ => ValuePolicy::SetAside,
            };
            PolicyUse {
                oid: self.table.source.oid,
                table: self.table.source.name.clone(),
                column: column.map_or(WHOLE_ROW, |column| column.source_name.as_str()).to_owned(),
                policy: policy.word(),
                count,
            }
        });
        Ok(Notes { uses: uses.collect(), letters: self.changes })
    }

    /// Values of a column that are written and are not the source's.
    fn replaced(&self, changes: &TableChanges, column: usize) -> Result<u64, PlanError> {
        let updated = changes.updates.iter().filter(|group| group.present.contains(&column));
        let updated = updated.flat_map(|group| &group.rows);
        let marked = changes.marks.iter().filter(|group| group.present.contains(&column));
        let marked = marked.flat_map(|group| &group.rows).map(|row| &row.image);
        let sent = |row: &&crate::apply_plan::InsertRow| {
            !row.fill.as_ref().is_some_and(|fill| fill.columns.contains(&column))
        };
        let inserted = changes.inserts.iter().filter(sent).map(|row| &row.image);
        let mut count = 0;
        for image in updated.chain(marked).chain(inserted) {
            let fitted = image.fitted(column).map_err(|source| self.value_error(column, source))?;
            count += u64::from(matches!(fitted, Fitted::Replaced(_)));
        }
        Ok(count)
    }

    /// What keeps a row out of the target, if anything does.
    fn blame(&self, image: &RowImage) -> Result<Option<Blame>, PlanError> {
        for &column in &self.aside {
            if image.field(column) == Field::UnchangedToast {
                continue;
            }
            let fitted = image.fitted(column).map_err(|source| self.value_error(column, source))?;
            if let Fitted::Aside(misfit) = fitted {
                return Ok(Some(Blame { column, code: self.code(column, misfit) }));
            }
        }
        let Some(refused) = self.refused else { return Ok(None) };
        let code = refused.get(&self.key(image)?.digest);
        Ok(code.map(|&code| Blame { column: NO_COLUMN, code }))
    }

    /// A column of a row that moves which neither the stream nor the target's version under its old key has.
    fn unknown_at(
        &self,
        old_key: &RowImage,
        image: &RowImage,
        others: &[usize],
    ) -> Result<Option<Blame>, PlanError> {
        let Some((_, held)) = self.held_at_start(old_key)? else { return Ok(None) };
        let unsent = others.iter().copied().filter(|column| image.field(*column) == Field::UnchangedToast);
        let mut unknown = unsent.filter(|column| match &held {
            Held::Nothing => true,
            Held::Behind(names) => self.is_named(*column, names),
        });
        Ok(unknown.next().map(|column| Blame { column, code: NOT_SENT }))
    }

    fn code(&self, column: usize, misfit: Misfit) -> &'static str {
        misfit.of_key(self.table.is_key(column)).code()
    }

    /// The open letter of a row's key.
    fn held(&self, image: &RowImage) -> Result<Option<(LetterKey, Held)>, PlanError> {
        if self.open.is_empty() {
            return Ok(None);
        }
        let key = self.key(image)?;
        let held = self.open.get(&key.digest).cloned();
        Ok(held.map(|held| (key, held)))
    }

    /// The letter of a row's key that is open when the batch begins.
    fn held_at_start(&self, image: &RowImage) -> Result<Option<(LetterKey, Held)>, PlanError> {
        if self.at_start.is_empty() {
            return Ok(None);
        }
        let key = self.key(image)?;
        let held = self.at_start.get(&key.digest).cloned();
        Ok(held.map(|held| (key, held)))
    }

    fn key(&self, image: &RowImage) -> Result<LetterKey, PlanError> {
        letters::key_of(self.table, image).map_err(|(column, source)| self.value_error(column, source))
    }

    fn set_aside(
        &mut self,
        image: &RowImage,
        blame: &Blame,
        lsn: Lsn,
        held: Held,
        renew: bool,
    ) -> Result<(), PlanError> {
        let letter = letters::of_row(self.table, image, (blame.column, blame.code), lsn, held)
            .map_err(|(column, source)| self.value_error(column, source))?;
        *self.aside_uses.entry(blame.column).or_default() += 1;
        if renew {
            self.changes.push(LetterChange::Renew(letter));
        } else {
            self.opened += 1;
            self.changes.push(LetterChange::Open(letter));
        }
        Ok(())
    }

    fn close(&mut self, key: LetterKey, rows: u64, lsn: Lsn, end: LetterEnd) {
        let (oid, table) = (self.table.source.oid, self.table.source.name.clone());
        self.closed += rows;
        self.changes.push(LetterChange::Close { oid, table, key, rows, lsn, end });
    }

    fn names(&self, columns: &[usize]) -> Vec<String> {
        columns.iter().filter_map(|index| Some(self.table.columns.get(*index)?.source_name.clone())).collect()
    }

    fn is_named(&self, column: usize, names: &[String]) -> bool {
        self.table.columns.get(column).is_some_and(|column| names.contains(&column.source_name))
    }

    fn value_error(&self, column: usize, source: ValueError) -> PlanError {
        PlanError::Value {
            oid: self.table.source.oid,
            table: self.table.source.name.clone(),
            column: self
                .table
                .columns
                .get(column)
                .map(|column| column.source_name.clone())
                .unwrap_or_default(),
            source,
        }
    }
}

/// The column to blame for a row that the target refuses: none of them.
const NO_COLUMN: usize = usize::MAX;

/// What such rows are counted as, in the place of a column.
const WHOLE_ROW: &str = "*";

/// Why a row stays aside that would fit, but of which not all is known.
const NOT_SENT: &str = "VALUE_NOT_SENT";

fn columns_with(table: &TablePlan, wanted: impl Fn(ValuePolicy) -> bool) -> Vec<usize> {
    let columns = table.columns.iter().enumerate().filter(|(_, column)| wanted(column.policy));
    columns.map(|(index, _)| index).collect()
}
