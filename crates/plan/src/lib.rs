//! Pure planning: source tables and transactions in, target tables and apply plans out.
//!
//! The promise: the same input gives the same plan; no I/O, no clock, no randomness that shows. Changes of one row
//! are never reordered, and a plan always ends where a source transaction ends.
//!
//! ```text
//! SourceTable --table_plan--> TablePlan --+-- Relation --bind--> Binding
//!                                         |                         |
//! [Transaction] ----------------------- plan() ------------------> ApplyPlan --> SQL Server
//!                                                                     |
//!                             Field --convert::decode--> Value <------+
//! ```
//!
//! - [`rules`]: what a user says about tables and columns
//! - [`type_map`]: PostgreSQL type to T-SQL type, and what is refused where the target holds less
//! - [`target_type`], [`type_override`]: T-SQL types that a user wishes for columns, and whether they can be
//! - [`mod@table_plan`]: the wanted target table
//! - [`mod@rewriter`], [`column_mask`], [`mask_salt`]: values that are masked, and constant ones
//! - `column_choice`: which columns are replicated
//! - [`target_name`]: which names are one name to the target, and which it has not
//! - [`key`]: which columns identify a row, and when two keys are the same key
//! - [`known_table`], [`schema_change`]: what a table was at the checkpoint, and what a new description of it means
//! - [`mod@bind`]: where the stream carries each planned column
//! - [`convert`]: text and binary forms to [`segcdc_model::Value`]
//! - [`mod@fit`]: what a value becomes in its column, the column's policy included
//! - [`json_array`]: arrays as JSON arrays
//! - [`json_document`]: JSON in one form for each value, for columns of the type `json`
//! - [`canonical`]: one text for each value, to compare source and target
//! - [`letters`]: rows that are set aside, and uses of value policies
//! - [`bisection`], [`suspects`], [`refusals`]: which changes of a table the target refuses, and planning without them
//! - [`row_image`]: a row as several changes of it left it
//! - [`mod@plan`]: a batch of transactions to its net effect, an [`ApplyPlan`]
//! - [`batch`]: how many transactions go into one batch
//! - [`acknowledge`]: what may be reported to the slot

pub mod acknowledge;
pub mod apply_plan;
mod attnums;
pub mod batch;
pub mod bind;
pub mod bisection;
pub mod canonical;
mod column_choice;
pub mod column_mask;
pub mod convert;
pub mod error;
pub mod fit;
pub mod json_array;
pub mod json_document;
mod json_string;
#[cfg(test)]
mod kept_value;
pub mod key;
pub mod known_table;
mod ledger;
pub mod letters;
pub mod mask_salt;
mod net_change;
pub mod plan;
pub mod refusals;
pub mod rewriter;
pub mod row_image;
pub mod rules;
pub mod schema_change;
mod spelling;
pub mod suspects;
pub mod table_plan;
pub mod table_set;
pub mod target_name;
pub mod target_type;
pub mod type_map;
pub mod type_override;
mod whole_row;

pub use acknowledge::{Acknowledgement, StreamState, acknowledgeable};
pub use apply_plan::{ApplyPlan, Fill, InsertRow, MarkGroup, MarkedRow, TableChanges, UpdateGroup};
pub use batch::{Batch, BatchLimits};
pub use bind::{Binding, bind};
pub use bisection::{Bisection, End, Refusal};
pub use column_mask::ColumnMask;
pub use convert::{Form, ValueError};
pub use error::PlanError;
pub use fit::{Fitted, Misfit, fit, is_plain};
pub use known_table::{Known, KnownColumn, KnownTable, SentIdentity, TargetColumn};
pub use letters::{DeadLetter, Held, LetterChange, LetterEnd, LetterKey, OpenLetters, PolicyUse};
pub use mask_salt::MaskSalt;
pub use plan::{first_unknown, plan, plan_part, plan_with};
pub use refusals::Refusals;
pub use rewriter::Rewriter;
pub use row_image::RowImage;
pub use rules::{
    ChangeKind, ChangePolicy, KeyChoice, Mask, OnChange, OnRefused, PickUp, RuleTexts, Rules, TargetMode,
    ValuePolicy,
};
pub use schema_change::{Action, Decision, Described, Outcome, SchemaChange, Step, decide};
pub use suspects::{RefusedChange, RefusedChanges, Suspects};
pub use table_plan::{ColumnPlan, Naming, TableKey, TablePlan, table_plan};
pub use table_set::{TableEntry, TableSet};
