//! When a difference stands.
//!
//! One window is: source row, position P, the target has applied P, target row, source row again. If the source row
//! was the same both times, the target had to hold it, unless it changed and changed back in between. A difference
//! therefore has to show in two windows with the same source row; equality needs one.

use crate::verify::fingerprint::RowHash;

/// Windows in which one key is looked at before it is called unstable.
pub(crate) const MAX_WINDOWS: u32 = 12;

/// Windows in which a difference has to show.
const CONFIRMATIONS: u32 = 2;

/// A row as one look found it: a hash for each column. `None` where there is no such row.
pub(crate) type Seen = Option<Vec<RowHash>>;

/// What one window saw of a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Window {
    /// The source before the target.
    pub(crate) source_before: Seen,
    /// The target.
    pub(crate) target: Seen,
    /// The source after the target.
    pub(crate) source_after: Seen,
}

/// A key that is looked at until something can be said of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Candidate {
    windows: u32,
    /// The last stable difference, and in how many windows in a row it showed.
    standing: Option<(Seen, Seen, u32)>,
}

/// What can be said of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Look again.
    Again,
    /// The same on both sides, or on neither.
    Equal,
    /// The source has it, the target has not.
    Missing,
    /// The target has it, the source has not.
    Extra,
    /// Both have it; these columns differ.
    Different(Vec<usize>),
    /// It changed in each window.
    Unstable,
}

// === impl Candidate ===

impl Candidate {
    /// Takes in one more window.
    pub(crate) fn judge(&mut self, window: Window) -> Verdict {
        self.windows += 1;
        if window.source_before != window.source_after {
            self.standing = None;
            return self.again();
        }
        let (source, target) = (window.source_after, window.target);
        if source == target {
            return Verdict::Equal;
        }
        let before = self.standing.take();
        let shown = match before {
            Some((old_source, old_target, shown)) if old_source == source && old_target == target => {
                shown + 1
            }
            Some(_) | None => 1,
        };
        if shown >= CONFIRMATIONS {
            return classify(&source, &target);
        }
        self.standing = Some((source, target, shown));
        self.again()
    }

    fn again(&self) -> Verdict {
        if self.windows >= MAX_WINDOWS { Verdict::Unstable } else { Verdict::Again }
    }
}

/// What is the matter with two looks that are not the same.
fn classify(source: &Seen, target: &Seen) -> Verdict {
    match (source, target) {
        (None, None) => Verdict::Equal,
        (Some(_), None) => Verdict::Missing,
        (None, Some(_)) => Verdict::Extra,
        (Some(source), Some(target)) => Verdict::Different(
            (0..source.len().max(target.len()))
                .filter(|&column| source.get(column) != target.get(column))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(columns: &[u128]) -> Seen {
        (!columns.is_empty()).then(|| columns.iter().map(|hash| RowHash(*hash)).collect())
    }

    /// Verdicts after each window of (source before, target, source after); an empty row is no row.
    fn check(windows: &[[&[u128]; 3]], expected: &[Verdict]) {
        let mut candidate = Candidate::default();
        let verdicts: Vec<_> = windows
            .iter()
            .map(|[before, target, after]| {
                candidate.judge(Window {
                    source_before: seen(before),
                    target: seen(target),
                    source_after: seen(after),
                })
            })
            .collect();
        assert_eq!(verdicts, expected, "{windows:?}");
    }

    #[test]
    fn equal_rows_need_one_stable_window() {
        check(&[[&[1, 2], &[1, 2], &[1, 2]]], &[Verdict::Equal]);
        check(&[[&[], &[], &[]]], &[Verdict::Equal]);
    }

    #[test]
    fn differences_stand_when_two_windows_agree() {
        check(&[[&[1], &[], &[1]], [&[1], &[], &[1]]], &[Verdict::Again, Verdict::Missing]);
        check(&[[&[], &[1], &[]], [&[], &[1], &[]]], &[Verdict::Again, Verdict::Extra]);
        check(
            &[[&[1, 2, 3], &[1, 9, 8], &[1, 2, 3]], [&[1, 2, 3], &[1, 9, 8], &[1, 2, 3]]],
            &[Verdict::Again, Verdict::Different(vec![1, 2])],
        );
    }

    #[test]
    fn rows_on_the_move_are_looked_at_again() {
        // The row changed while the target was read; later both are the same.
        check(&[[&[1], &[1], &[2]], [&[2], &[2], &[2]]], &[Verdict::Again, Verdict::Equal]);
        // It changed and changed back: one window sees a difference, the next does not.
        check(&[[&[1], &[2], &[1]], [&[1], &[1], &[1]]], &[Verdict::Again, Verdict::Equal]);
        // Another difference than before has to be confirmed anew.
        check(
            &[[&[1], &[3], &[1]], [&[2], &[3], &[2]], [&[2], &[3], &[2]]],
            &[Verdict::Again, Verdict::Again, Verdict::Different(vec![0])],
        );
        // An unstable window in between takes nothing for granted.
        check(
            &[[&[1], &[], &[1]], [&[1], &[], &[2]], [&[1], &[], &[1]], [&[1], &[], &[1]]],
            &[Verdict::Again, Verdict::Again, Verdict::Again, Verdict::Missing],
        );
    }

    #[test]
    fn a_row_that_never_rests_is_unstable() {
        let mut candidate = Candidate::default();
        let window = Window { source_before: seen(&[1]), target: seen(&[1]), source_after: seen(&[2]) };
        for _ in 1..MAX_WINDOWS {
            assert_eq!(candidate.judge(window.clone()), Verdict::Again);
        }
        assert_eq!(candidate.judge(window), Verdict::Unstable);
    }
}
