//! Pure planning: source tables and transactions in, target tables and apply plans out
