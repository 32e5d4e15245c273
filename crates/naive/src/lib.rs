//! A naive model of replicated tables: what the planner's plans and the engine's lives are compared with. Development only:
//! nothing of it is in the shipped binary.
//!
//! - [`fixture`]: tables, relations and changes
//! - [`source`]: a table of a source, and what the stream says of its changes
//! - [`interpreter`]: the tables of a target, and what a plan does to them
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "whoever gives the model what it does not know has to learn it at once"
)]

pub mod fixture;
pub mod interpreter;
pub mod source;
