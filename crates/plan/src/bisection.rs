//! [`Bisection`]: which of many changes of a table a target refuses, by trying parts of them. It only decides; whoever asks it
//! tries each part in a target transaction that is rolled back.
//!
//! ```text
//! 0 1 2 3 4 5 6 7      refused, because of 5
//! -                    taken: what is wrong is wrong with the changes
//! 0 1 2 3              taken
//! 0 1 2 3 4 5          refused, so 6 and 7 are not known yet
//! 0 1 2 3 4            taken, so 5 is at fault: with it the trial before was refused
//! 0 1 2 3 4 . 6 7      taken
//! ```
//!
//! Each trial is of everything that was taken so far and one piece more, so that what is taken in the end was taken together. A
//! change may be refused because another one that it needs comes behind it (a row that frees a unique value, a row that is
//! referred to): those whose refusal may have such a reason are tried once more, until none of them is taken any more.

use std::ops::Range;

/// Why a change is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The code of the target's error.
    pub code: &'static str,
    /// Whether another change of the batch may be what it needs.
    pub may_depend: bool,
    /// Whether the row can be kept out of the target for it; else it tells of more than the row.
    pub of_the_row: bool,
}

/// The state of a search. Changes are numbers from 0 on, in the order in which they take effect.
#[derive(Debug, Clone)]
pub struct Bisection {
    /// Changes that the target takes, all of them together, ascending.
    taken: Vec<usize>,
    /// Changes that it refuses beside those, in the order in which they were found.
    refused: Vec<(usize, Refusal)>,
    /// How many refused ones are looked for.
    most: usize,
    step: Step,
}

/// What is tried next.
#[derive(Debug, Clone)]
enum Step {
    /// No change at all.
    Nothing {
        /// How many there are.
        changes: usize,
        /// Why all of them together were refused.
        refusal: Refusal,
    },
    /// The last of these pieces.
    Pieces(Vec<Piece>),
    /// One that was refused before.
    Again {
        /// Its place among the refused ones.
        place: usize,
        /// Whether one before it was taken since the first one was tried.
        moved: bool,
    },
    /// There is nothing left to try.
    Done(End),
}

/// How a search has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All refused changes are known.
    Complete,
    /// There may be more of them than were looked for.
    Most,
    /// None of the changes is at fault: without any of them it is refused too, or each of them is taken now.
    NotOfChanges,
}

/// Changes that follow each other.
#[derive(Debug, Clone)]
struct Piece {
    changes: Range<usize>,
    /// Why it is refused beside what is taken now; `None` where that is not known.
    refusal: Option<Refusal>,
    /// Why it was refused together with the piece that is tried before it: once that one is taken, it is what is at fault.
    with_front: Option<Refusal>,
}

// === impl Bisection ===

impl Bisection {
    /// A search among so many changes, which were refused together, for at most `most` of them.
    pub fn new(changes: usize, refusal: Refusal, most: usize) -> Self {
        let step = Step::Nothing { changes, refusal };
        Bisection { taken: Vec::new(), refused: Vec::new(), most, step }
    }

    /// The changes to be tried next, together and without the others, ascending; `None` when the search is over.
    pub fn trial(&self) -> Option<Vec<usize>> {
        let mut trial = self.taken.clone();
        match &self.step {
            Step::Nothing { .. } => {}
            Step::Pieces(pieces) => trial.extend(pieces.last()?.changes.clone()),
            Step::Again { place, .. } => trial.push(self.refused.get(*place)?.0),
            Step::Done(_) => return None,
        }
        trial.sort_unstable();
        Some(trial)
    }

    /// What came of the trial: nothing, or why it was refused.
    pub fn answer(&mut self, refusal: Option<Refusal>) {
        let step = std::mem::replace(&mut self.step, Step::Done(End::NotOfChanges));
        self.step = match step {
            Step::Nothing { changes, refusal: of_all } => match refusal {
                Some(_) => Step::Done(End::NotOfChanges),
                None => {
                    Step::Pieces(vec![Piece { changes: 0..changes, refusal: Some(of_all), with_front: None }])
                }
            },
            Step::Pieces(mut pieces) => {
                if let Some(piece) = pieces.pop() {
                    self.learn(&mut pieces, piece, refusal);
                }
                Step::Pieces(pieces)
            }
            Step::Again { place, moved } => match refusal {
                None => {
                    self.taken.push(self.refused.remove(place).0);
                    self.taken.sort_unstable();
                    Step::Again { place, moved: true }
                }
                Some(refusal) => {
                    if let Some(known) = self.refused.get_mut(place) {
                        known.1 = refusal;
                    }
                    Step::Again { place: place + 1, moved }
                }
            },
            done @ Step::Done(_) => done,
        };
        self.settle();
    }

    /// How the search has ended, and the refused changes with their reasons, ascending; `None` while it goes on.
    pub fn end(&self) -> Option<(End, Vec<(usize, Refusal)>)> {
        let Step::Done(end) = self.step else { return None };
        let mut refused = self.refused.clone();
        refused.sort_unstable_by_key(|(change, _)| *change);
        Some((end, refused))
    }

    /// Takes over what is known of a piece.
    fn learn(&mut self, pieces: &mut Vec<Piece>, piece: Piece, refusal: Option<Refusal>) {
        let behind = pieces.last_mut();
        match refusal {
            Some(refusal) => {
                if let Some(behind) = behind {
                    behind.with_front = None;
                }
                pieces.push(Piece { refusal: Some(refusal), ..piece });
            }
            None => {
                self.taken.extend(piece.changes);
                self.taken.sort_unstable();
                if let Some(behind) = behind {
                    behind.refusal = behind.with_front.take();
                }
            }
        }
    }

    /// Goes on as far as nothing has to be tried.
    fn settle(&mut self) {
        loop {
            let next = match &mut self.step {
                Step::Pieces(pieces) => {
                    if self.refused.len() >= self.most {
                        Step::Done(End::Most)
                    } else if let Some(piece) = pieces.pop_if(|piece| piece.refusal.is_some()) {
                        split(pieces, piece, &mut self.refused);
                        continue;
                    } else if pieces.is_empty() {
                        Step::Again { place: 0, moved: false }
                    } else {
                        return;
                    }
                }
                Step::Again { place, moved } => {
                    let from = self.refused.get(*place..).unwrap_or_default();
                    match from.iter().position(|(_, refusal)| refusal.may_depend) {
                        Some(ahead) => {
                            *place += ahead;
                            return;
                        }
                        None if *moved => Step::Again { place: 0, moved: false },
                        None if self.refused.is_empty() => Step::Done(End::NotOfChanges),
                        None => Step::Done(End::Complete),
                    }
                }
                Step::Nothing { .. } | Step::Done(_) => return,
            };
            self.step = next;
        }
    }
}

/// A refused piece becomes two, or a refused change.
fn split(pieces: &mut Vec<Piece>, piece: Piece, refused: &mut Vec<(usize, Refusal)>) {
    let Piece { changes, refusal, .. } = piece;
    match changes.len() {
        0 => {}
        1 => refused.extend(refusal.map(|refusal| (changes.start, refusal))),
        length => {
            let middle = changes.start + length / 2;
            pieces.push(Piece { changes: middle..changes.end, refusal: None, with_front: refusal });
            pieces.push(Piece { changes: changes.start..middle, refusal: None, with_front: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const REFUSAL: Refusal = Refusal { code: "CONSTRAINT_VIOLATION", may_depend: true, of_the_row: true };

    /// Searches a target that takes a set of changes or not. The end, what was refused, and how many trials that took.
    fn search(changes: usize, most: usize, takes: impl Fn(&[usize]) -> bool) -> (End, Vec<usize>, usize) {
        let mut bisection = Bisection::new(changes, REFUSAL, most);
        let mut trials = 0;
        while let Some(trial) = bisection.trial() {
            assert!(trial.is_sorted() && trial.iter().all(|change| *change < changes), "{trial:?}");
            trials += 1;
            assert!(trials < 10_000, "it does not end");
            bisection.answer((!takes(&trial)).then_some(REFUSAL));
        }
        let (end, refused) = bisection.end().unwrap();
        (end, refused.into_iter().map(|(change, _)| change).collect(), trials)
    }

    /// One change after the other, as long as any of them is taken: what is refused by a search that takes its time.
    fn naive(changes: usize, takes: impl Fn(&[usize]) -> bool) -> Vec<usize> {
        let mut taken: Vec<usize> = Vec::new();
        let mut refused: Vec<usize> = (0..changes).collect();
        loop {
            let before = refused.len();
            refused.retain(|change| {
                let mut trial = taken.clone();
                trial.push(*change);
                trial.sort_unstable();
                let is_taken = takes(&trial);
                if is_taken {
                    taken = trial;
                }
                !is_taken
            });
            if refused.len() == before {
                return refused;
            }
        }
    }

    #[test]
    fn one_bad_change_is_found_by_halves() {
        for changes in [1, 2, 3, 8, 1000] {
            for bad in [0, changes / 2, changes - 1] {
                let (end, refused, trials) = search(changes, 10, |trial| !trial.contains(&bad));
                assert_eq!((end, refused), (End::Complete, vec![bad]), "{bad} of {changes}");
                // None, two for each halving at most, and the one once more.
                let halvings = usize::try_from(changes.next_power_of_two().ilog2()).unwrap();
                assert!(trials <= 2 + 2 * halvings, "{trials} trials for {bad} of {changes}");
            }
        }
    }

    #[test]
    fn what_is_not_the_changes_fault_is_not_laid_to_them() {
        assert_eq!(search(5, 10, |_| false), (End::NotOfChanges, Vec::new(), 1));
        let (end, refused, _) = search(5, 10, |_| true);
        assert_eq!((end, refused), (End::NotOfChanges, Vec::new()), "it was refused once, and is no more");
    }

    #[test]
    fn no_more_are_looked_for_than_asked() {
        let (end, refused, trials) = search(1000, 3, |trial| trial.iter().all(|change| change % 2 == 0));
        assert_eq!((end, refused), (End::Most, vec![1, 3, 5]));
        assert!(trials < 40, "{trials}");
        assert_eq!(search(2, 1, |trial| trial.is_empty()).0, End::Most);
    }

    #[test]
    fn one_that_needs_another_behind_it_is_taken_after_all() {
        // 1 needs 6, 2 needs 1, and 4 is bad.
        let takes = |trial: &[usize]| {
            let has = |change: usize| trial.contains(&change);
            !has(4) && (!has(1) || has(6)) && (!has(2) || has(1))
        };
        assert_eq!(search(8, 10, takes).1, [4]);
    }

    proptest! {
        /// Rows that are wrong by themselves, and rows of which only the first of some can be there: the same as by trying
        /// one after the other.
        #[test]
        fn a_search_by_halves_finds_what_a_naive_one_finds(
            changes in 1_usize..60,
            bad in prop::collection::btree_set(0_usize..60, 0..6),
            clashes in prop::collection::vec((0_usize..60, 0_usize..60), 0..5),
        ) {
            let takes = |trial: &[usize]| {
                let has = |change: &usize| trial.contains(change);
                !bad.iter().any(has) && !clashes.iter().any(|(one, other)| one != other && has(one) && has(other))
            };
            let all: Vec<usize> = (0..changes).collect();
            prop_assume!(!takes(&all));
            let (end, refused, _) = search(changes, changes, takes);
            let expected = naive(changes, takes);
            prop_assert_eq!(&refused, &expected);
            let is_whole = refused.len() == changes;
            prop_assert_eq!(end, if is_whole { End::Most } else { End::Complete });
        }

        /// The same where rows need others, in front of them or behind.
        #[test]
        fn what_is_taken_is_taken_together_and_nothing_can_be_added(
            changes in 1_usize..40,
            bad in prop::collection::btree_set(0_usize..40, 0..4),
            needs in prop::collection::vec((0_usize..40, 0_usize..40), 0..12),
            clashes in prop::collection::vec((0_usize..40, 0_usize..40), 0..3),
        ) {
            let takes = |trial: &[usize]| {
                let has = |change: &usize| trial.contains(change);
                !bad.iter().any(has)
                    && needs.iter().all(|(one, needed)| !has(one) || *needed >= changes || has(needed))
                    && !clashes.iter().any(|(one, other)| one != other && has(one) && has(other))
            };
            let all: Vec<usize> = (0..changes).collect();
            prop_assume!(!takes(&all));
            let (_, refused, _) = search(changes, changes + 1, takes);
            let refused: BTreeSet<usize> = refused.into_iter().collect();
            let taken: Vec<usize> = all.iter().copied().filter(|change| !refused.contains(change)).collect();
            prop_assert!(takes(&taken), "{taken:?}");
            for change in &refused {
                let mut more = taken.clone();
                more.push(*change);
                more.sort_unstable();
                prop_assert!(!takes(&more), "{change} could be added to {taken:?}");
            }
            if clashes.is_empty() && !refused.is_empty() {
                let slow: BTreeSet<usize> = naive(changes, takes).into_iter().collect();
                prop_assert!(refused.is_subset(&slow), "{refused:?} is more than {slow:?}");
            }
        }
    }
}
