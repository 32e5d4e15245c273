//! [`Skips`]: transactions that a person wants not to be applied, looked for in what comes.
//!
//! A transaction is known by the position behind its COMMIT record. One that has come and is asked for is handed out alone; a
//! position that is passed without one that ends there is not carried out, whatever comes.

use std::collections::BTreeSet;

use segcdc_model::Lsn;

/// What is asked for and has not come.
#[derive(Debug, Clone, Default)]
pub(super) struct Skips {
    asked: BTreeSet<Lsn>,
    passed: Vec<Passed>,
}

/// A position at which no transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    /// The position that was asked for.
    pub(super) asked: Lsn,
    /// The end of the transaction that came instead; `None` when there was none up to somewhere behind it.
    pub(super) next: Option<Lsn>,
}

// === impl Skips ===

impl Skips {
    /// Of positions behind the checkpoint.
    pub(super) fn new(asked: BTreeSet<Lsn>) -> Self {
        Skips { asked, passed: Vec::new() }
    }

    /// A transaction that ends here has come. Whether it is not to be applied.
    pub(super) fn pass(&mut self, end_lsn: Lsn) -> bool {
        self.let_go(end_lsn, Some(end_lsn));
        self.asked.remove(&end_lsn)
    }

    /// Nothing more is to come up to and with a position.
    pub(super) fn pass_idle(&mut self, wal_end: Lsn) {
        if self.asked.remove(&wal_end) {
            self.passed.push(Passed { asked: wal_end, next: None });
        }
        self.let_go(wal_end, None);
    }

    /// What was passed since the last call.
    pub(super) fn take_passed(&mut self) -> Vec<Passed> {
        std::mem::take(&mut self.passed)
    }

    /// What is below a position will not come.
    fn let_go(&mut self, position: Lsn, next: Option<Lsn>) {
        while let Some(asked) = self.asked.first().copied().filter(|asked| *asked < position) {
            self.asked.remove(&asked);
            self.passed.push(Passed { asked, next });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(asked: u64, next: Option<u64>) -> Passed {
        Passed { asked: Lsn::new(asked), next: next.map(Lsn::new) }
    }

    #[test]
    fn only_what_ends_there_is_skipped() {
        let mut skips = Skips::new([200, 250, 300, 400].map(Lsn::new).into());
        assert!(!skips.pass(Lsn::new(199)));
        assert!(skips.pass(Lsn::new(200)));
        assert!(!skips.pass(Lsn::new(200)), "once");
        assert_eq!(skips.take_passed(), []);
        assert!(
            skips.pass(Lsn::new(300)),
            "what lies before it is not found, which does not keep it from being"
        );
        assert_eq!(skips.take_passed(), [passed(250, Some(300))]);
        assert!(!skips.pass(Lsn::new(401)));
        assert_eq!(skips.take_passed(), [passed(400, Some(401))]);
        assert_eq!(skips.take_passed(), []);
    }

    #[test]
    fn an_idle_source_has_nothing_that_ends_there() {
        let mut skips = Skips::new([200, 300, 400].map(Lsn::new).into());
        skips.pass_idle(Lsn::new(199));
        assert_eq!(skips.take_passed(), []);
        skips.pass_idle(Lsn::new(300));
        let mut found = skips.take_passed();
        found.sort_by_key(|passed| passed.asked);
        assert_eq!(found, [passed(200, None), passed(300, None)]);
        assert!(skips.pass(Lsn::new(400)));
    }
}
