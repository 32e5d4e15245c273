//! [`EngineConfig`]: one pipeline, as its user asks for it.

use std::time::Duration;

use segcdc_model::QualifiedName;
use segcdc_plan::{BatchLimits, MaskSalt, Rules};
use segcdc_postgres::{Pattern, SourceConfig};
use segcdc_sqlserver::TargetConfig;

use crate::engine_kind::EngineKind;
use crate::throttle::Throttle;
use crate::wal::WalLimit;

/// How many readers copy at once when nothing else is asked for. Each holds one session and, through its snapshot,
/// holds back vacuum at the source.
pub const DEFAULT_READERS: usize = 4;

/// Memory of received changes that wait to be applied, bytes.
pub const DEFAULT_QUEUE_BYTES: usize = 32 << 20;

/// Time between two heartbeats and two advances of an idle checkpoint.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(10);

/// How long making the slot may wait for transactions that are open at the source.
pub const DEFAULT_SLOT_PATIENCE: Duration = Duration::from_secs(300);

/// What is copied before changes are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SnapshotMode {
    /// All tables, then their changes.
    #[default]
    Initial,
    /// Nothing: the target's tables are taken as equal to the source's at the moment when the slot is made.
    None,
    /// All tables, and then stop: changes are not followed.
    Only,
}

/// What a run does when the changes that it needs are gone, so that the target's tables cannot go on from what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recover {
    /// Stops, and says why.
    #[default]
    Stop,
    /// Makes a new slot, and loads the tables again from its snapshot.
    Copy,
    /// Makes a new slot, compares the tables with its snapshot, and writes what differs. Tables that are to be copied for
    /// another reason are compared too.
    Repair,
}

/// How a transaction that is too large for memory becomes visible in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LargeTransactions {
    /// As a whole, in one target transaction, which the target's log has to hold.
    #[default]
    Atomic,
    /// Part by part, each in a target transaction of its own: readers see it by half meanwhile. It is applied once all the
    /// same, whenever the process ends.
    Chunked,
}

/// Bounds of what is held in memory.
///
/// At its highest, the engine holds one queue, one batch being planned and one being encoded for the target, transactions
/// that are not complete, and the readers' rows: `queue_bytes`, 2 × [`BatchLimits::max_bytes`], a few times `open_bytes`,
/// and a few MiB a reader. The defaults stay below 256 MiB, however large a transaction is: one that does not fit into
/// `open_bytes` goes to disk, and is planned and applied in parts of that size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Received changes that wait to be applied, bytes.
    pub queue_bytes: usize,
    /// Changes of transactions that are not complete, bytes; what is beyond it is kept on disk.
    pub open_bytes: usize,
}

/// How trouble that may pass by itself is waited out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Pause before the first new attempt.
    pub first_pause: Duration,
    /// Longest pause; each pause doubles and is varied by chance.
    pub longest_pause: Duration,
    /// Attempts in a row without any progress before the engine gives up; `None` never does.
    pub max_attempts: Option<u32>,
}

/// One pipeline, as its user asks for it.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// PostgreSQL.
    pub source: SourceConfig,
    /// SQL Server.
    pub target: TargetConfig,
    /// The pipeline's name: the key of its state in the target.
    pub name: String,
    /// Who runs it: a pipeline of another engine is refused. Another engine than [`EngineKind::Native`] builds on
    /// [`crate::preflight()`], and on [`crate::run()`] to have its tables copied ([`EngineConfig::until_loaded`]).
    pub engine: EngineKind,
    /// Tables; empty means all. Ignored for a pipeline that exists: its tables are those of its state.
    pub patterns: Vec<Pattern>,
    /// Tables that are not replicated though `patterns` mean them. Ignored for a pipeline that exists.
    pub exclude: Vec<Pattern>,
    /// What the user says about tables and columns. For a pipeline that exists, a kind of rules of which nothing is said
    /// here stays as its state has it.
    pub rules: Rules,
    /// What hashes of masked columns are made with. It is stored nowhere: of a pipeline with such columns it has to be given each
    /// time, and be the same.
    pub mask_salt: Option<MaskSalt>,
    /// What is copied first.
    pub snapshot: SnapshotMode,
    /// A publication that exists and is used; one is made when there is none. A given one is never dropped.
    pub publication: Option<String>,
    /// A slot that exists and is used; one is made when there is none. A given one is never dropped.
    pub slot: Option<String>,
    /// Stop once everything is applied that had committed when [`crate::run()`] was called.
    pub until_caught_up: bool,
    /// Stop once every table is copied and all of them are as of the checkpoint: then whoever follows from the checkpoint
    /// on misses nothing and gets nothing twice. Copied from the snapshot of a new slot in one go, that is the slot's
    /// consistent point, and nothing is followed at all.
    pub until_loaded: bool,
    /// Readers that copy at once, at least one.
    pub readers: usize,
    /// What a copy may take from the source in a second; `None` for what source and target give.
    pub throttle: Option<Throttle>,
    /// When a batch is full.
    pub batch: BatchLimits,
    /// Bounds of memory.
    pub memory: MemoryLimits,
    /// How a transaction that is too large for memory becomes visible.
    pub large_transactions: LargeTransactions,
    /// How trouble is waited out.
    pub retry: RetryPolicy,
    /// Time between two heartbeats, and between two advances of an idle checkpoint.
    pub heartbeat: Duration,
    /// How long making the slot may wait for transactions that are open at the source.
    pub slot_patience: Duration,
    /// How much WAL the source may keep for the pipeline.
    pub wal: WalLimit,
    /// What is done when the slot is gone or lost, or has let go of what the target has not.
    pub recover: Recover,
}

// === impl MemoryLimits ===

impl Default for MemoryLimits {
    fn default() -> Self {
        MemoryLimits { queue_bytes: DEFAULT_QUEUE_BYTES, open_bytes: segcdc_postgres::DEFAULT_OPEN_BYTES }
    }
}

// === impl RetryPolicy ===

impl Default for RetryPolicy {
    /// From 200 ms to 30 s, without an end.
    fn default() -> Self {
        RetryPolicy {
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(30),
            max_attempts: None,
        }
    }
}

// === impl EngineConfig ===

impl EngineConfig {
    /// A pipeline of all tables with everything else at its default.
    pub fn new(source: SourceConfig, target: TargetConfig, name: impl Into<String>) -> Self {
        EngineConfig {
            source,
            target,
            name: name.into(),
            engine: EngineKind::default(),
            patterns: Vec::new(),
            exclude: Vec::new(),
            rules: Rules::default(),
            mask_salt: None,
            snapshot: SnapshotMode::default(),
            publication: None,
            slot: None,
            until_caught_up: false,
            until_loaded: false,
            readers: DEFAULT_READERS,
            throttle: None,
            batch: BatchLimits::default(),
            memory: MemoryLimits::default(),
            large_transactions: LargeTransactions::default(),
            retry: RetryPolicy::default(),
            heartbeat: DEFAULT_HEARTBEAT,
            slot_patience: DEFAULT_SLOT_PATIENCE,
            wal: WalLimit::default(),
            recover: Recover::default(),
        }
    }
    /// Whether a table is not replicated though the patterns mean it.
    pub(crate) fn excludes(&self, table: &QualifiedName) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(table))
    }
}
