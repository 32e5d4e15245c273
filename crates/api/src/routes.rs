//! The resources, one file each.

pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod connections;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod me;
pub(crate) mod metrics;
pub(crate) mod operations;
pub(crate) mod pipelines;
pub(crate) mod probes;
pub(crate) mod setup;
pub(crate) mod tables;
pub(crate) mod tenants;
pub(crate) mod tokens;
pub(crate) mod users;
