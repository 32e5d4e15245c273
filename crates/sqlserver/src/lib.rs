//! The target: SQL Server. Check it, prepare it, load it, apply to it.
//!
//! ```text
//! TargetConfig --connect--> Target --+-- preflight::check      findings, nothing changed
//!                                    +-- tables               schemas, tables, keys
//!                                    +-- state                pipelines, checkpoint, fence, what source tables were
//!                                    +-- loader               snapshot rows, bulk load
//!                                    +-- apply                one batch: fence, staging, effects, checkpoint, COMMIT
//!                                    +-- letters              dead letters and counted uses of policies
//!                                    +-- rows                 read back, for verification
//! ```
//!
//! The invariant of [`mod@apply`]: data and checkpoint commit in one transaction that began by proving that this process
//! still owns the pipeline. Every statement's row count equals what was staged for it, or nothing is committed.

pub mod apply;
pub mod catalog;
pub mod config;
pub mod dialect;
pub mod encode;
pub mod error;
#[cfg(test)]
mod fixture;
mod large;
pub mod letters;
pub mod loader;
pub mod post_load;
pub mod preflight;
pub mod quote;
pub mod rows;
pub mod session;
mod sink;
pub mod sql;
pub mod state;
pub mod tables;
mod time_probe;

pub use apply::{Alteration, PartsApply, RepairApply, Settled, apply, settle};
pub use config::{ConfigError, TargetConfig};
pub use error::{RefusedValue, TargetError, disposition_of};
pub use letters::{CountedUse, Letter, LetterCount, LetterFilter};
pub use loader::{LoadNotes, LoadProgress, Loader};
pub use post_load::PostLoad;
pub use preflight::PreflightRequest;
pub use rows::{CanonicalRow, Selection};
pub use session::{Target, WritePath};
pub use sql::shadow::name_of as shadow_name;
pub use state::{
    Lag, LargeTransaction, NewPipeline, PartialTransaction, PipelineState, RecordedChange, Replacement,
    SaidOfLarge, SkipWish, SkippedTransaction, SlotWatch, TableProgress, TableState, TableWish, WishOutcome,
    check_fence,
};
pub use tables::{Difference, ExistingRows, Prepared};
