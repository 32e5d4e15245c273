//! Whether columns take NULL. Pure.

use super::Columns;
use crate::error::PlanError;
use crate::known_table::{KnownColumn, TargetColumn};
use crate::rules::ChangeKind;
use crate::schema_change::{Action, Described, Follow, Step, policy};

// === impl Columns ===

impl Columns<'_> {
    /// Whether a column takes NULL, which only the catalog tells: now, and maybe not yet.
    pub(super) fn nullability(
        &mut self,
        column: &mut KnownColumn,
        target: &mut TargetColumn,
    ) -> Result<(), PlanError> {
        let Described { catalog, plan, at, .. } = self.described;
        let (attnum, name) = (column.attnum, &column.name);
        let before = self.source_before(attnum)?.not_null;
        let Some(now) = self.live(attnum).map(|live| live.not_null) else { return Ok(()) };
        if self.enters_key(attnum) {
            // The key has no NULL.
            self.source_not_null(attnum);
            return Ok(());
        }
        let in_key = plan.of_attnum_in_key(attnum) && !self.leaves_key(attnum);
        if now || in_key {
            if before || !now || !target.nullable {
                self.source_not_null(attnum);
                return Ok(());
            }
            let (kind, what) = (ChangeKind::SetNotNull, format!("column \"{name}\" takes no NULL any more"));
            match policy(self.described, self.naming, kind, &what)? {
                Follow::Not => {
                    self.steps.alters.push(Step::ignored(kind, what, Vec::new()));
                    self.source_not_null(attnum);
                }
                // Rows up to the position at which the catalog was seen to say so may have NULL.
                Follow::Yes => match column.not_null_at {
                    Some(seen) if at > seen => {
                        self.steps.alters.push(Step::applied(kind, what, take_null(target, false)));
                        self.source_not_null(attnum);
                        column.not_null_at = None;
                    }
                    Some(_) => {}
                    None => column.not_null_at = Some(catalog.read_at),
                },
            }
            return Ok(());
        }
        column.not_null_at = None;
        self.source_not_null(attnum);
        if before && !target.nullable {
            let (kind, what) = (ChangeKind::DropNotNull, format!("column \"{name}\" takes NULL now"));
            let step = match policy(self.described, self.naming, kind, &what)? {
                Follow::Yes => Step::applied(kind, what, take_null(target, true)),
                Follow::Not => Step::ignored(kind, what, Vec::new()),
            };
            self.steps.alters.push(step);
        }
        Ok(())
    }

    /// Takes over from the catalog whether a column takes NULL.
    pub(super) fn source_not_null(&mut self, attnum: i16) {
        let Some(now) = self.live(attnum).map(|live| live.not_null) else { return };
        if let Some(column) = self.source.columns.iter_mut().find(|column| column.attnum == attnum) {
            column.not_null = now;
        }
    }
}

/// Lets a column take NULL, or not any more.
fn take_null(target: &mut TargetColumn, nullable: bool) -> Vec<Action> {
    target.nullable = nullable;
    vec![Action::AlterColumn { column: target.clone() }]
}
