//! When a difference stands.
//!
//! One window is: source, position P, the target has applied P, target, source again. A target that holds what the
//! source held before or holds after the window is equal: it has applied P, so an old row cannot be in it by lateness.
//! If nothing changed at the source in between, the target had to hold just that. That the source *looks* the same both times is not enough: rows that
//! swap values, or are deleted and made again, come back to what they were. A row is therefore known by its version
//! (`xmin` and `ctid`, which no later version shares), and what has no version, an absent row or a number of rows, has to
//! show the same difference in more windows in a row.

use crate::verify::fingerprint::RowHash;

/// Windows in a row in which a difference has to show when the source's row had the same version all along.
const CONFIRMATIONS: u32 = 2;

/// The same when all that is known is that the source looked the same.
const CONFIRMATIONS_BY_LOOKS: u32 = 4;

/// What is known about the source within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It certainly did not change.
    Proven,
    /// It looked the same both times.
    Looks,
    /// It changed.
    None,
}

/// A row as one look found it: a hash for each column. `None` where there is no such row.
pub(crate) type SeenRow = Option<Vec<RowHash>>;

/// What one window saw: of a key a [`SeenRow`], of a content how many rows have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window<S> {
    /// The source before the target.
    pub(crate) source_before: S,
    /// The target.
    pub(crate) target: S,
    /// The source after the target.
    pub(crate) source_after: S,
    /// What is known beyond these looks; a source that looks different has changed whatever this says.
    pub(crate) rest: Rest,
}

/// Something that is looked at until something can be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate<S> {
    windows_left: u32,
    /// The last stable difference, and in how many windows in a row it showed.
    standing: Option<(S, S, u32)>,
}

/// What can be said of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict<S> {
    /// Look again.
    Again,
    /// The same on both sides.
    Equal,
    /// Not the same on both sides.
    Differs {
        /// At the source.
        source: S,
        /// At the target.
        target: S,
    },
    /// It changed in each window.
    Unstable,
}

/// What is the matter with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowDifference {
    /// The source has it, the target has not.
    Missing,
    /// The target has it, the source has not, or has it once and the target several times.
    Extra,
    /// Both have it; these columns differ.
    Columns(Vec<usize>),
}

// === impl Candidate ===

impl<S: PartialEq> Candidate<S> {
    /// Something to look at in so many windows at most.
    pub(crate) fn new(max_windows: u32) -> Self {
        Candidate { windows_left: max_windows, standing: None }
    }

    /// Takes in one more window.
    pub(crate) fn judge(&mut self, window: Window<S>) -> Verdict<S> {
        self.windows_left = self.windows_left.saturating_sub(1);
        if window.target == window.source_before || window.target == window.source_after {
            return Verdict::Equal;
        }
        if window.rest == Rest::None || window.source_before != window.source_after {
            self.standing = None;
            return self.again();
        }
        let (source, target) = (window.source_after, window.target);
        let shown = match self.standing.take() {
            Some((old_source, old_target, shown)) if old_source == source && old_target == target => {
                shown + 1
            }
            Some(_) | None => 1,
        };
        let needed = match window.rest {
            Rest::Proven => CONFIRMATIONS,
            Rest::Looks | Rest::None => CONFIRMATIONS_BY_LOOKS,
        };
        if shown >= needed {
            return Verdict::Differs { source, target };
        }
        self.standing = Some((source, target, shown));
        self.again()
    }

    fn again(&self) -> Verdict<S> {
        if self.windows_left == 0 { Verdict::Unstable } else { Verdict::Again }
    }
}

// === impl RowDifference ===

impl RowDifference {
    /// What is the matter with a row that is not the same on both sides.
    pub(crate) fn between(source: &SeenRow, target: &SeenRow) -> Self {
        match (source, target) {
            (_, None) => RowDifference::Missing,
            (None, Some(_)) => RowDifference::Extra,
            (Some(source), Some(target)) if target.len() > source.len() => RowDifference::Extra,
            (Some(source), Some(target)) => RowDifference::Columns(
                (0..source.len()).filter(|&column| source.get(column) != target.get(column)).collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows that a candidate of these tests has.
    const WINDOWS: u32 = 5;

    /// Verdicts after each window of (source before, target, source after), of a source that is proven to rest.
    fn check(windows: &[[u32; 3]], expected: &[Verdict<u32>]) {
        check_with(Rest::Proven, windows, expected);
    }

    fn check_with(rest: Rest, windows: &[[u32; 3]], expected: &[Verdict<u32>]) {
        let mut candidate = Candidate::new(WINDOWS);
        let verdicts: Vec<_> = windows
            .iter()
            .map(|&[source_before, target, source_after]| {
                candidate.judge(Window { source_before, target, source_after, rest })
            })
            .collect();
        assert_eq!(verdicts, expected, "{windows:?}");
    }

    fn differs(source: u32, target: u32) -> Verdict<u32> {
        Verdict::Differs { source, target }
    }

    #[test]
    fn equality_needs_one_stable_window() {
        check(&[[1, 1, 1]], &[Verdict::Equal]);
        check(&[[0, 0, 0]], &[Verdict::Equal]);
    }

    #[test]
    fn differences_stand_when_two_windows_agree() {
        check(&[[1, 0, 1], [1, 0, 1]], &[Verdict::Again, differs(1, 0)]);
        check(&[[0, 7, 0], [0, 7, 0]], &[Verdict::Again, differs(0, 7)]);
    }

    #[test]
    fn looks_have_to_agree_more_often() {
        let again = || Verdict::Again;
        let windows = [[1, 0, 1]; 4];
        check_with(Rest::Looks, &windows, &[again(), again(), again(), differs(1, 0)]);
        check_with(Rest::Looks, &[[1, 1, 1]], &[Verdict::Equal]);
        // The row came back to what it was, as another version.
        check_with(Rest::None, &windows, &[again(), again(), again(), again()]);
    }

    #[test]
    fn a_target_as_before_or_after_is_equal() {
        check(&[[1, 1, 2]], &[Verdict::Equal]);
        check(&[[1, 2, 2]], &[Verdict::Equal]);
        check_with(Rest::None, &[[1, 1, 1]], &[Verdict::Equal]);
    }

    #[test]
    fn what_is_on_the_move_is_looked_at_again() {
        // The target showed what was there in between.
        check(&[[1, 2, 3], [3, 3, 3]], &[Verdict::Again, Verdict::Equal]);
        // It changed and changed back: one window sees a difference, the next does not.
        check(&[[1, 2, 1], [1, 1, 1]], &[Verdict::Again, Verdict::Equal]);
        // Another difference than before has to be confirmed anew.
        check(&[[1, 3, 1], [2, 3, 2], [2, 3, 2]], &[Verdict::Again, Verdict::Again, differs(2, 3)]);
        check(&[[1, 3, 1], [1, 2, 1], [1, 2, 1]], &[Verdict::Again, Verdict::Again, differs(1, 2)]);
        // An unstable window in between takes nothing for granted.
        check(
            &[[1, 0, 1], [1, 0, 2], [1, 0, 1], [1, 0, 1]],
            &[Verdict::Again, Verdict::Again, Verdict::Again, differs(1, 0)],
        );
    }

    #[test]
    fn what_never_rests_is_unstable() {
        let again = || Verdict::Again;
        let moving = [[1, 9, 2], [2, 9, 3], [3, 9, 4], [4, 9, 5], [5, 9, 6]];
        check(&moving, &[again(), again(), again(), again(), Verdict::Unstable]);
        // One window short of a confirmation.
        let [first, second, third, fourth, _] = moving;
        check(
            &[first, second, third, fourth, [5, 0, 5]],
            &[again(), again(), again(), again(), Verdict::Unstable],
        );
    }

    #[test]
    fn rows_differ_in_three_ways() {
        let row = |columns: &[u128]| -> SeenRow { Some(columns.iter().map(|hash| RowHash(*hash)).collect()) };
        let check = |source: &SeenRow, target: &SeenRow, expected| {
            assert_eq!(RowDifference::between(source, target), expected);
        };
        check(&row(&[1]), &None, RowDifference::Missing);
        check(&None, &row(&[1]), RowDifference::Extra);
        check(&row(&[1, 2, 3]), &row(&[1, 9, 8]), RowDifference::Columns(vec![1, 2]));
        // Two rows of one key in a table without a unique index.
        check(&row(&[1, 2]), &row(&[1, 2, 1, 2]), RowDifference::Extra);
    }
}
