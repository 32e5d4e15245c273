//! The source of a simulation: it commits what its history says, when it says, and sends it by a connection that breaks.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use segcdc_model::{
    CatalogTable, Change, Checkpoint, Lineage, Lsn, QualifiedName, Relation, SourceTable, SpilledChanges,
    Transaction,
};
use segcdc_plan::TableSet;
use segcdc_postgres::{OpenSummary, SourceError, StreamEvent, heartbeat};
use segcdc_sqlserver::SlotWatch;
use tokio::time::{Instant, sleep, sleep_until};

use super::chance::Chance;
use super::history::Commit;
use super::world::{Shared, Trouble, World, step};
use crate::error::EngineError;
use crate::ports::{SourcePort, StreamPort};
use crate::source_clock::SourceClock;

/// A session.
pub(super) struct SimSource {
    world: Shared,
}

/// What the slot sends.
pub(super) struct SimStream {
    world: Shared,
    /// By which connection.
    connection: u64,
    /// Place of the next transaction in the history.
    next: usize,
    /// Up to where everything has been handed out.
    told: Lsn,
    acknowledged: Lsn,
    keepalive: Instant,
    /// When a message came that others have come with.
    burst: Option<Instant>,
    /// End of the last transaction that came on disk.
    large: Lsn,
}

/// Changes on a disk that may lose them.
#[derive(Debug)]
struct Disk {
    parts: Vec<Vec<Change>>,
    relations: Vec<Arc<Relation>>,
    /// The part that cannot be read.
    damaged: Option<usize>,
}

/// What the stream has to say now.
enum Due {
    Transaction,
    Keepalive,
    Nothing { until: Instant },
}

// === impl SimSource ===

impl SimSource {
    /// A new session.
    pub(super) fn connect(world: &Shared) -> Self {
        SimSource { world: Shared::clone(world) }
    }

    async fn request(&self) -> Result<(), SourceError> {
        step(&self.world).await;
        match self.world.borrow_mut().happens(Trouble::SourceLost, 40) {
            true => Err(lost()),
            false => Ok(()),
        }
    }
}

impl SourcePort for SimSource {
    type Watch = ();

    async fn emit_heartbeat(&self) -> Result<Lsn, SourceError> {
        self.request().await?;
        Ok(self.world.borrow().history.end)
    }

    async fn read_clock(&self) -> Result<SourceClock, SourceError> {
        self.request().await?;
        let mut world = self.world.borrow_mut();
        let jump = if world.happens(Trouble::ClockJump, 4) { world.chance.below(u64::MAX) } else { 0 };
        Ok(SourceClock::says(i64::from_ne_bytes(jump.to_ne_bytes())))
    }

    async fn look(
        &self,
        (): &mut (),
        _checkpoint: &Checkpoint,
        _tables: &TableSet,
    ) -> Result<Vec<(u32, EngineError)>, EngineError> {
        self.request().await?;
        Ok(Vec::new())
    }

    async fn table_in_detail(&self, _oid: u32) -> Result<Option<CatalogTable>, SourceError> {
        unreachable!("the tables of a simulation are not altered")
    }

    async fn unpublish(&self, _: &str, _: u32, _: &QualifiedName) -> Result<String, EngineError> {
        unreachable!("nothing is asked of a table of a simulation")
    }

    async fn new_tables(
        &self,
        _: &(dyn Fn(u32, &QualifiedName) -> bool + Sync),
    ) -> Result<Vec<SourceTable>, SourceError> {
        unreachable!("no table of a simulation is new")
    }

    async fn look_at_rest(
        &self,
        _lineage: &Lineage,
        _limit_bytes: Option<u64>,
    ) -> Result<Option<SlotWatch>, EngineError> {
        self.request().await?;
        Ok(None)
    }
}

// === impl SimStream ===

impl SimStream {
    /// Has the slot send from a position on.
    pub(super) async fn start(world: &Shared, from: Lsn) -> Result<Self, SourceError> {
        step(world).await;
        let mut here = world.borrow_mut();
        if here.happens(Trouble::SourceLost, 20) {
            return Err(lost());
        }
        here.connection += 1;
        // PostgreSQL begins no earlier than at what was acknowledged, whatever it is asked for.
        let confirmed = here.confirmed;
        let begin = if here.happens(Trouble::SentAgain, 3) { confirmed } else { confirmed.max(from) };
        let commits = &here.history.commits;
        let next = commits.iter().position(|commit| commit.transaction.end_lsn > begin);
        let next = next.unwrap_or(commits.len());
        let connection = here.connection;
        here.tell(|| format!("the stream begins behind {begin}, asked for {from}"));
        let (world, keepalive) = (Shared::clone(world), Instant::now());
        let (told, acknowledged, large) = (from, from, Lsn::ZERO);
        Ok(SimStream { world, connection, next, told, acknowledged, keepalive, burst: None, large })
    }

    /// What there is to be said.
    fn due(&self) -> Due {
        let world = self.world.borrow();
        let now = Instant::now();
        let commit = world.history.commits.get(self.next).map(|commit| world.born + commit.at);
        match commit {
            Some(at) if at <= now => Due::Transaction,
            _ if self.keepalive <= now => Due::Keepalive,
            Some(at) => Due::Nothing { until: at.min(self.keepalive) },
            None => Due::Nothing { until: self.keepalive },
        }
    }

    /// Hands the next transaction out, if nothing comes between.
    fn transaction(&mut self) -> Result<StreamEvent, SourceError> {
        let mut guard = self.world.borrow_mut();
        let World { chance, history, .. } = &mut *guard;
        let commit = history.commits.get(self.next);
        let commit = commit.ok_or_else(lost)?;
        let is_large = commit.is_large && !chance.one_in(4);
        let mut transaction = if is_large { spilled(commit, chance) } else { commit.transaction.clone() };
        let (xid, end) = (transaction.xid, transaction.end_lsn);
        if guard.happens(Trouble::SourceLost, 40) {
            return Err(lost());
        }
        if guard.happens(Trouble::SourceRestarted, 40) {
            guard.confirmed = guard.confirmed_on_disk;
            return Err(lost());
        }
        if is_large {
            if guard.happens(Trouble::DiskFull, 8) {
                let cause = io::Error::from(io::ErrorKind::StorageFull);
                return Err(SourceError::Spill { directory: PathBuf::from("the simulation"), cause });
            }
            if guard.happens(Trouble::DiskDamaged, 8) {
                damage(&mut transaction, &mut guard.chance);
            }
        }
        self.next += 1;
        self.told = self.told.max(end);
        if is_large {
            self.large = end;
        }
        let is_quiet = guard.database.checkpoint.applied_lsn >= self.large;
        self.burst = (is_quiet && guard.chance.one_in(2)).then(Instant::now);
        guard
            .tell(|| format!("transaction {xid} comes, to {end}{}", if is_large { ", on disk" } else { "" }));
        Ok(StreamEvent::Transaction(transaction))
    }

    /// What a keepalive says; `None` for nothing new.
    fn keepalive(&mut self) -> Option<StreamEvent> {
        let mut world = self.world.borrow_mut();
        let ms = 5 + world.chance.below(60);
        self.keepalive = Instant::now() + Duration::from_millis(ms);
        let commits = &world.history.commits;
        let sent = self.next.checked_sub(1).and_then(|last| commits.get(last));
        let sent = sent.map_or(self.told, |commit| commit.transaction.end_lsn);
        // In front of the next commit there is WAL of others.
        let most = commits.get(self.next).map_or(world.history.end, |next| next.transaction.commit_lsn);
        let spread = most.bytes_since(sent);
        let mut wal_end = match self.next == commits.len() {
            true => most,
            false => Lsn::new(sent.as_u64() + world.chance.below(spread + 1)),
        };
        if world.happens(Trouble::OldKeepalive, 6) {
            wal_end = Lsn::new(wal_end.as_u64().saturating_sub(world.chance.below(200)));
        }
        if world.chance.one_in(8) {
            return Some(StreamEvent::Message { prefix: heartbeat::BARRIER.to_owned(), lsn: wal_end });
        }
        // The reader of the stream hands out news only.
        if wal_end <= self.told {
            return None;
        }
        self.told = wal_end;
        world.tell(|| format!("idle to {wal_end}"));
        Some(StreamEvent::Idle { wal_end })
    }
}

impl StreamPort for SimStream {
    /// Everything takes time, but what comes in one burst. So nothing comes while the clock stands still because a thread
    /// reads a large transaction, and it does not matter how fast that thread is.
    async fn next(&mut self) -> Result<StreamEvent, SourceError> {
        if self.burst != Some(Instant::now()) {
            sleep(Duration::from_millis(1)).await;
        }
        loop {
            if self.world.borrow().connection != self.connection {
                return Err(lost());
            }
            match self.due() {
                Due::Nothing { until } => sleep_until(until).await,
                Due::Transaction => {
                    step(&self.world).await;
                    let event = self.transaction();
                    if event.is_err() {
                        // Whatever comes now comes by another connection.
                        self.world.borrow_mut().connection += 1;
                    }
                    return event;
                }
                Due::Keepalive => {
                    step(&self.world).await;
                    if let Some(event) = self.keepalive() {
                        return Ok(event);
                    }
                }
            }
        }
    }

    fn acknowledge(&mut self, lsn: Lsn) {
        if lsn > self.acknowledged {
            self.acknowledged = lsn;
            self.world.borrow_mut().acknowledge(self.connection, lsn);
        }
    }

    fn acknowledged(&self) -> Lsn {
        self.acknowledged
    }

    fn server_wal_end(&self) -> Lsn {
        self.told
    }

    fn largest_open(&self) -> Option<OpenSummary> {
        None
    }

    async fn close(self) -> Result<(), SourceError> {
        step(&self.world).await;
        Ok(())
    }
}

/// A transaction whose first changes are on disk, in parts that end where statements do.
fn spilled(commit: &Commit, chance: &mut Chance) -> Transaction {
    let mut transaction = commit.transaction.clone();
    let changes = std::mem::take(&mut transaction.changes);
    let mut parts = vec![Vec::new()];
    let mut before = 0;
    for (count, _) in &commit.statements {
        let statement = changes.get(before..*count).unwrap_or_default().to_vec();
        before = *count;
        match parts.last_mut() {
            Some(part) if part.is_empty() || !chance.one_in(3) => part.extend(statement),
            _ => parts.push(statement),
        }
    }
    transaction.changes = if chance.one_in(3) { Vec::new() } else { parts.pop().unwrap_or_default() };
    let relations = changes.iter().flat_map(Change::relations).cloned().collect();
    transaction.spilled = Some(SpilledChanges::new(Arc::new(Disk { parts, relations, damaged: None })));
    transaction
}

/// Damages a part.
fn damage(transaction: &mut Transaction, chance: &mut Chance) {
    let Some(spilled) = &transaction.spilled else { return };
    let store = spilled.store();
    let parts: Vec<Vec<Change>> = (0..store.parts()).map(|part| store.read_part(part).unwrap()).collect();
    let damaged = Some(chance.place(parts.len()));
    let relations = store.relations().to_vec();
    transaction.spilled = Some(SpilledChanges::new(Arc::new(Disk { parts, relations, damaged })));
}

// === impl Disk ===

impl segcdc_model::ChangeStore for Disk {
    fn parts(&self) -> usize {
        self.parts.len()
    }

    fn read_part(&self, index: usize) -> io::Result<Vec<Change>> {
        match self.damaged {
            Some(damaged) if damaged == index => Err(io::Error::from(io::ErrorKind::InvalidData)),
            _ => Ok(self.parts.get(index).cloned().unwrap_or_default()),
        }
    }

    fn relations(&self) -> &[Arc<Relation>] {
        &self.relations
    }

    fn changes(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }

    fn bytes(&self) -> u64 {
        self.changes()
    }
}

/// The connection is gone.
fn lost() -> SourceError {
    SourceError::ConnectionLost { cause: io::Error::from(io::ErrorKind::ConnectionReset) }
}
