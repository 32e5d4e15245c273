//! T-SQL through a session on a private PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod definitions;
mod documents;
mod harness;
mod product;
mod sessions;
mod statements;
mod transactions;
mod values;
