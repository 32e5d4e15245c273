//! The heart of the control plane: tenants own connections, connections make pipelines, and reconciling makes true
//! what is desired.
//!
//! ```text
//!  API, CLI --> service (use cases, rights) --> store (SQLite or PostgreSQL)
//!                                                 |
//!              reconcile: observe --> decide (pure) --> execute --> dyn Engine
//! ```
//!
//! It knows no HTTP and cannot name an engine: engines are seen as a trait, which the binary implements for both.
//!
//! - [`id`], [`name`], [`spelling`]: how things are told apart, and which one was meant
//! - [`access`]: who may do what
//! - [`password`], [`token`]: how people and programs prove who they are
//! - [`seal`]: how credentials are kept
//! - [`crypto`]: what hashing, chance and encryption can fail of
//! - [`lifecycle`]: desired and observed states of a pipeline, one table of transitions
//! - [`field`], [`connection`]: what may be in the fields of a request, and of a connection
//! - [`service`]: the use cases
//! - [`engine`], [`pipeline_spec`], [`report`]: engines as they are seen from here, and what they are asked
//! - [`reconcile`]: what is desired becomes true
//! - [`events`]: what has happened, for those who watch
//! - [`store`]: what is persisted, tenant by tenant
//! - [`error`]: what can go wrong

pub mod access;
pub mod clock;
pub mod connection;
pub mod crypto;
pub mod engine;
pub mod error;
pub mod events;
pub mod field;
pub mod id;
pub mod lifecycle;
pub mod name;
pub mod password;
pub mod pipeline_spec;
pub mod reconcile;
pub mod report;
pub mod seal;
pub mod service;
pub mod spelling;
pub mod store;
pub mod token;

pub use error::ControlError;
pub use reconcile::Reconciler;
pub use service::{Actor, Control};
