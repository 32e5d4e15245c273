//! The native engine: the life of one pipeline.
//!
//! ```text
//!            preflight            provision             table_sync           apply_loop
//! config --> may it start? --> state, publication, --> copy all tables --> catch up, follow
//!                              tables, slot                                     |
//!                ^                                                              | trouble that may pass
//!                +---- startup: is all as the checkpoint says? <--- retry ------+
//! ```
//!
//! What is true at any moment is in the target: one state row a pipeline and one a table, written in the same
//! transactions as the data. A process that dies leaves nothing that the next one needs.
//!
//! - [`config`], [`progress`], [`error`]: what goes in, what is seen, what can go wrong
//! - [`mod@preflight`], [`mod@run`], [`mod@status`], [`mod@down`]: the four things that an engine does
//! - `provision`, `startup`: how a pipeline comes to be, and what must hold before it goes on
//! - `table_sync`, `apply_loop`: copying and following; `beside`: copying while the others are followed
//! - [`wish`], [`transactions`]: what a person asks of single tables meanwhile, and of single transactions
//! - `examine`: what a description of a table in the stream means
//! - `known`: what tables were when they were copied, and are at the checkpoint
//! - `rules_in_force`: what the user says of tables and columns, now and before; `stored`: the same, for whoever writes it down
//! - `ports`: what the apply loop does to the outside
//! - `claim`, `quarantine`, `retry`: when it is still ours, what is set aside, what is waited out
//! - `wal`, `slot_view`, `slot_watch`: the WAL that the source keeps meanwhile, and when that is too much
//! - [`engine_kind`], [`heartbeat_row`]: pipelines that another engine runs, and how far such a one has come
//! - [`dead_letters`]: the rows that are set aside, for people
//! - [`mod@key_scan`]: whether the target can tell the keys of the rows apart
//! - [`mod@verify`]: whether both sides hold the same rows

pub mod config;
pub mod copy_estimate;
pub mod dead_letters;
pub mod down;
pub mod effects;
pub mod engine_kind;
pub mod error;
pub mod heartbeat_row;
pub mod key_scan;
pub mod names;
pub mod post_load;
pub mod preflight;
pub mod progress;
pub mod resync;
pub mod run;
pub mod status;
pub mod transactions;
pub mod verify;
pub mod wish;

mod apply_loop;
mod beside;
mod claim;
mod context;
mod examine;
mod failpoint;
mod give_up;
mod known;
#[cfg(test)]
mod lifecycle;
mod note;
mod ports;
mod provision;
mod published;
mod quarantine;
mod retry;
mod rules_in_force;
mod shape;
mod slot_view;
mod slot_watch;
mod source_clock;
mod startup;
mod stored;
mod table_sync;
mod target_shape;
mod throttle;
mod wal;

pub use config::{EngineConfig, LargeTransactions, MemoryLimits, Recover, RetryPolicy, SnapshotMode};
pub use copy_estimate::{CopyEstimate, XminAge, copy_estimate};
pub use dead_letters::{DeadLetterError, DeadLetterList, DeadLetterQuery, DeadLetterReport};
pub use down::{DownReport, Removal, Thing, down};
pub use effects::{Effect, EffectKind, effects};
pub use engine_kind::EngineKind;
pub use error::{EngineError, RulesError, Unreadable};
pub use heartbeat_row::HeartbeatRow;
pub use key_scan::scan_keys;
pub use note::StatusNote;
pub use post_load::post_load;
pub use preflight::{LeftOut, PlannedSql, Preflight, preflight};
pub use progress::{Activity, LatencySummary, Progress, ProgressSnapshot, TableProgress};
pub use resync::{ResyncReport, ResyncedTable, resync};
pub use run::{Outcome, run};
pub use segcdc_sqlserver::post_load::{PostKind, PostLoad, PostNote, PostStatement};
pub use shape::queued as table_state;
pub use status::{
    Health, LargeReport, PipelineStateWord, PolicyUseReport, SchemaChangeReport, SlotReport, StatusReport,
    TableReport, slot, status,
};
pub use stored::{StoredSettings, stored_settings};
pub use throttle::Throttle;
pub use verify::replay::{ReplayReport, ReplayedTable, replay};
pub use verify::{
    RepairMode, RepairReport, RepairedRows, SavedVerify, TableVerdict, VerifyBy, VerifyEvent, VerifyOptions,
    VerifyProgress, VerifyReport, verify,
};
pub use wal::{SlotWal, WalForecast, WalLimit, WalPolicy};
pub use wish::{
    Choice, ListedTable, Wish, WishReport, WishedTable, ask, is_running, list as list_tables, wait,
};
