//! [`World`]: both servers, and what goes wrong with them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use segcdc_model::{Checkpoint, Lineage, Lsn};
use segcdc_naive::interpreter::Target as Tables;
use segcdc_sqlserver::{PartialTransaction, TargetError};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::chance::Chance;
use super::history::{History, Rows, START, sorted};

/// A world that everybody in it shares.
pub(super) type Shared = Rc<RefCell<World>>;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The process dies between two steps.
    Killed,
    /// The connection to the source breaks.
    SourceLost,
    /// The source crashes; its slot is back where it was on disk.
    SourceRestarted,
    /// The source sends again what it was told not to send.
    SentAgain,
    /// The connection to the target breaks before anything is committed.
    TargetLost,
    /// It breaks behind the commit, before the answer.
    AnswerLost,
    /// It breaks before the commit, and nobody knows.
    RequestLost,
    /// Error 1205.
    Deadlock,
    /// Error 1222.
    LockTimeout,
    /// Another process takes the pipeline over, and this one does not know.
    TakenOver,
    /// The disk has no room for what is too large for memory.
    DiskFull,
    /// What was written there cannot be read back.
    DiskDamaged,
    /// A keepalive says less than one before it.
    OldKeepalive,
    /// The source's clock jumps.
    ClockJump,
    /// The target is an older backup of itself.
    TargetRestored,
    /// The slot was dropped and made again.
    SlotMadeAgain,
}

/// How many kinds of trouble there are.
pub(super) const TROUBLES: usize = Trouble::SlotMadeAgain as usize + 1;

/// What the target holds.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) tables: Tables,
    pub(super) checkpoint: Checkpoint,
    pub(super) partial: Option<PartialTransaction>,
}

/// Both servers.
pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) history: History,
    /// When the life began.
    pub(super) born: Instant,
    /// What is committed in the target.
    pub(super) database: Database,
    /// What was committed before, now and then.
    pub(super) backups: Vec<Database>,
    /// A target transaction is open, and holds the row of the pipeline.
    pub(super) is_open: bool,
    /// What the slot has let go of.
    pub(super) confirmed: Lsn,
    /// What it has let go of after a crash.
    pub(super) confirmed_on_disk: Lsn,
    /// The connection that the source sends by.
    pub(super) connection: u64,
    /// Nothing goes wrong any more.
    pub(super) is_calm: bool,
    /// Steps of the process that runs, and the one that it does not survive.
    steps: u64,
    pub(super) killed_at: Option<u64>,
    /// The process is dead as soon as nobody polls it any more.
    pub(super) is_dying: bool,
    pub(super) death: Arc<Notify>,
    /// The process that runs may find that the pipeline is another one's.
    pub(super) may_be_fenced: bool,
    /// What must never happen, and has.
    pub(super) violation: Option<String>,
    /// How often what went wrong.
    pub(super) troubles: [u64; TROUBLES],
    /// Commits of the target, idle advances included.
    pub(super) commits: u64,
    /// What has happened, if somebody wants to know.
    log: Option<Vec<String>>,
}

// === impl World ===

impl World {
    /// That of a seed. With `is_told`, what happens is kept for people.
    pub(super) fn new(seed: u64, is_told: bool) -> Self {
        let mut chance = Chance::new(seed);
        let history = History::new(&mut chance);
        let lineage = Lineage {
            system_identifier: "7".to_owned(),
            timeline: 1,
            database_oid: 5,
            slot: "s".to_owned(),
            publication: "p".to_owned(),
            publication_oid: 9,
        };
        let checkpoint =
            Checkpoint { pipeline: "p".to_owned(), epoch: 1, batch_seq: 0, applied_lsn: START, lineage };
        let mut world = World {
            chance,
            history,
            born: Instant::now(),
            database: Database { tables: Tables::default(), checkpoint, partial: None },
            backups: Vec::new(),
            is_open: false,
            confirmed: START,
            confirmed_on_disk: START,
            connection: 0,
            is_calm: false,
            steps: 0,
            killed_at: None,
            is_dying: false,
            death: Arc::new(Notify::new()),
            may_be_fenced: false,
            violation: None,
            troubles: [0; TROUBLES],
            commits: 0,
            log: is_told.then(Vec::new),
        };
        let rows = world.history.rows_at(START, None).unwrap();
        world.put_rows(rows);
        world
    }

    /// A process begins.
    pub(super) fn begin(&mut self, is_calm: bool) {
        self.is_calm = is_calm;
        self.steps = 0;
        self.is_dying = false;
        self.death = Arc::new(Notify::new());
        self.killed_at = (!is_calm && self.chance.one_in(2)).then(|| 1 + self.chance.below(50));
        self.is_open = false;
        self.tell(|| format!("a process begins{}", if is_calm { ", undisturbed" } else { "" }));
    }

    /// Writes down what happens.
    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        let at = self.born.elapsed().as_millis();
        if let Some(log) = &mut self.log {
            log.push(format!("{at:>6} ms  {}", what()));
        }
    }

    /// What has happened.
    pub(super) fn told(&self) -> String {
        self.log.as_ref().map(|log| log.join("\n")).unwrap_or_default()
    }

    /// Whether something goes wrong, one time in so many.
    pub(super) fn happens(&mut self, trouble: Trouble, times: u64) -> bool {
        let happens = !self.is_calm && self.chance.one_in(times);
        if happens {
            self.note(trouble);
        }
        happens
    }

    fn note(&mut self, trouble: Trouble) {
        self.troubles[trouble as usize] += 1;
        self.tell(|| format!("trouble: {trouble:?}"));
    }

    /// Something that must never happen has: the life is over.
    pub(super) fn complain(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.tell(|| format!("VIOLATION: {what}"));
        self.violation.get_or_insert(what);
        self.die();
    }

    fn die(&mut self) {
        self.is_dying = true;
        self.death.notify_one();
    }

    /// Whether the process is alive for its next step.
    fn take_step(&mut self) -> bool {
        if self.is_dying {
            return false;
        }
        self.steps += 1;
        if self.killed_at == Some(self.steps) {
            self.note(Trouble::Killed);
            self.die();
            return false;
        }
        // An open transaction holds the row that the other one needs.
        if !self.is_open && self.happens(Trouble::TakenOver, 70) {
            self.taken_over();
        }
        true
    }

    /// Another process takes the pipeline over, and may go on with it for a while.
    fn taken_over(&mut self) {
        self.may_be_fenced = true;
        self.connection += 1;
        self.database.checkpoint.epoch += 1;
        if self.chance.one_in(2) {
            let applied = self.database.checkpoint.applied_lsn;
            let ends: Vec<Lsn> =
                self.history.commits.iter().map(|commit| commit.transaction.end_lsn).collect();
            let behind = ends.iter().position(|end| *end > applied).unwrap_or(ends.len());
            if behind < ends.len() {
                let applied = ends[behind + self.chance.place(ends.len() - behind)];
                self.database.checkpoint.applied_lsn = applied;
                self.database.checkpoint.batch_seq += 1 + i64::from(self.chance.small(3));
                let rows = self.history.rows_at(applied, None).unwrap();
                self.put_rows(rows);
                if self.chance.one_in(2) {
                    self.confirmed = applied;
                }
            }
        }
        let checkpoint = position(&self.database.checkpoint);
        self.tell(|| format!("another process has it, {checkpoint}"));
    }

    /// The target commits.
    pub(super) fn commit(&mut self, after: Database) {
        let before = std::mem::replace(&mut self.database, after);
        self.commits += 1;
        self.is_open = false;
        let (old, new) = (&before.checkpoint, &self.database.checkpoint);
        let is_next = new.epoch == old.epoch && new.batch_seq == old.batch_seq + 1;
        let is_taken = new.epoch > old.epoch && new.batch_seq == old.batch_seq;
        if !(is_next || is_taken) || new.applied_lsn < old.applied_lsn {
            let text = format!("the checkpoint went from {} to {}", position(old), position(new));
            self.complain(text);
        }
        let checkpoint = position(&self.database.checkpoint);
        self.tell(|| format!("commit, {checkpoint}"));
        self.check();
        if self.chance.one_in(4) {
            self.backups.push(before);
        }
    }

    /// Takes note of a plan that cannot be carried out: the target is not what the checkpoint says.
    pub(super) fn refused(&mut self, error: TargetError) -> TargetError {
        if let TargetError::Answer { detail, .. } = &error {
            let at = position(&self.database.checkpoint);
            self.complain(format!("a plan does not fit the tables at {at}: {detail}"));
        }
        error
    }

    /// Compares the tables with what the source had at the checkpoint.
    pub(super) fn check(&mut self) {
        let Database { tables, checkpoint, partial } = &self.database;
        let expected = self.history.rows_at(checkpoint.applied_lsn, partial.as_ref());
        let found = self.history.oids().map(|oid| sorted(tables.tables.get(&oid).map_or(&[], Vec::as_slice)));
        match expected {
            Ok(expected) if expected == found => {}
            Ok(expected) => {
                let at = position(checkpoint);
                self.complain(format!(
                    "the tables are not the source's at {at}: {found:?}, not {expected:?}"
                ));
            }
            Err(why) => self.complain(why),
        }
    }

    /// The process says that the source need not send again what is at or below a position.
    pub(super) fn acknowledge(&mut self, connection: u64, lsn: Lsn) {
        if connection != self.connection {
            return;
        }
        let applied = self.database.checkpoint.applied_lsn;
        if lsn > applied {
            self.complain(format!("{lsn} is acknowledged, and the target's checkpoint is {applied}"));
        }
        self.confirmed = self.confirmed.max(lsn);
        if self.chance.one_in(3) {
            self.confirmed_on_disk = self.confirmed;
        }
    }

    /// Puts rows into the target, whoever has written them.
    fn put_rows(&mut self, rows: Rows) {
        self.database.tables.tables = self.history.oids().into_iter().zip(rows).collect();
    }
}

/// The next step of the process, if it lives to see it.
pub(super) async fn step(world: &Shared) {
    let lives = world.borrow_mut().take_step();
    if !lives {
        std::future::pending::<()>().await;
    }
}

/// A checkpoint for people.
fn position(checkpoint: &Checkpoint) -> String {
    format!("{} (epoch {}, batch {})", checkpoint.applied_lsn, checkpoint.epoch, checkpoint.batch_seq)
}
