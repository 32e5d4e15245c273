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
//! - [`id`], [`name`]: how things are told apart
//! - [`access`]: who may do what
//! - [`password`], [`token`]: how people and programs prove who they are
//! - [`seal`]: how credentials are kept
//! - [`crypto`]: what hashing, chance and encryption can fail of
//! - [`lifecycle`]: desired and observed states of a pipeline, one table of transitions
//! - [`store`]: what is persisted, tenant by tenant
//! - [`error`]: what can go wrong

pub mod access;
pub mod clock;
pub mod crypto;
pub mod error;
pub mod id;
pub mod lifecycle;
pub mod name;
pub mod password;
pub mod seal;
pub mod store;
pub mod token;

pub use error::ControlError;
