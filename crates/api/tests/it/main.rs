//! The API over a real store, request by request.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

mod browsers;
mod conventions;
mod description;
mod events;
mod inputs;
mod isolation;
mod matrix;
mod nothing;
mod pipelines;
mod server;
