//! The control plane over HTTP. Handlers are thin: what they do is a use case of `segcdc-control`.
//!
//! ```text
//! listen --> frame (request id, time limit, panics, headers, problems)
//!              '--> authenticate (session or token, other sites, tenant)
//!                     '--> idempotent (keys of requests that come twice)
//!                            '--> routes --> segcdc_control::Control
//! ```
//!
//! - [`listen`], `app`: a server's connections, and what its handlers can reach
//! - [`router()`], [`description()`], `document`: all routes, and their description as OpenAPI
//! - `frame`, `authenticate`, `idempotent`: what happens to every request
//! - `problem`: what an error looks like
//! - `body`, `json`, `schema`, `query`, `path`, `reply`, `cursor`, `moment`: requests read, answers written
//! - `metrics`: what is measured
//! - `routes`, `pages`: the resources, and the pages for people

pub mod listen;

mod app;
mod authenticate;
mod body;
mod cursor;
mod document;
mod frame;
mod idempotent;
mod json;
mod metrics;
mod moment;
mod pages;
mod path;
mod problem;
mod query;
mod reply;
mod router;
mod routes;
mod schema;
mod words;

pub use app::Options;
pub use router::{description, router};
