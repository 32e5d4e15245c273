//! Nothing but tests: see `tests/connect.rs`.
