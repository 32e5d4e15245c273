//! The Kafka Connect engine: the same pipeline as connectors in a Kafka Connect cluster.
//!
//! ```text
//!            prepare                 decide          deploy              run
//! config --> both servers, worker --> steps --> one after another --> look after, restart
//!                 |                                                     ^
//!                 v                                                     |
//!  layout, source_connector, sink_connector (pure)          status: worker, slot, heartbeat rows
//! ```
//!
//! What it promises is what this route can: every change arrives at least once, rows converge by their key. A table that
//! the route would change is refused.
//!
//! - [`config`], [`connect_url`], [`secrets`], [`overrides`]: what the user says
//! - [`http`], [`rest`], [`kafka`]: the worker and the brokers
//! - [`plugin`], [`carried`], [`exception`]: what the worker's plugins can and cannot do
//! - [`layout`], [`heartbeat`], [`property`], [`source_connector`], [`sink_connector`]: the pipeline, to the last property
//! - [`mod@prepare`], [`mod@validate`], [`mod@decide`], [`full_load`], [`mod@deploy`], [`mod@run`], [`look_after`], [`mod@status`],
//!   [`mod@steer`], [`mod@remove`], [`mod@reset`]: its life
//! - [`migrate`]: from one engine to the other
//! - [`trace`], [`offset`], `stall`: what the worker says, understood
//! - [`error`]: what can go wrong

mod begin;
pub mod carried;
pub mod config;
pub mod connect_url;
pub mod decide;
pub mod deploy;
pub mod error;
pub mod exception;
pub mod full_load;
pub mod heartbeat;
pub mod http;
pub mod kafka;
pub mod layout;
pub mod look_after;
pub mod migrate;
pub mod offset;
pub mod overrides;
pub mod plugin;
pub mod prepare;
pub mod property;
mod reach;
pub mod remove;
pub mod reset;
pub mod rest;
pub mod run;
pub mod secrets;
pub mod sink_connector;
pub mod source_connector;
mod stall;
pub mod status;
pub mod steer;
mod tls;
pub mod trace;
pub mod validate;
mod values;

pub use config::{ConnectConfig, FullLoad, Leaving, Spec};
pub use connect_url::ConnectUrl;
pub use decide::Step;
pub use deploy::deploy;
pub use error::ConnectError;
pub use full_load::load;
pub use http::{BasicAuth, HttpConfig};
pub use kafka::{Bootstrap, BrokerSecurity, BrokerTls, ClientCertificate, KafkaError, Mechanism, Sasl};
pub use migrate::{MigrationStep, plan_to_connect, plan_to_native, to_connect, to_native};
pub use overrides::Override;
pub use prepare::{ConnectorChanges, Prepared, prepare};
pub use remove::remove;
pub use reset::reset;
pub use rest::Rest;
pub use run::{Round, run};
pub use secrets::Secrets;
pub use status::{ConnectStatus, ConnectorReport, status};
pub use steer::{Order, SteerReport, steer};

#[cfg(test)]
mod generator_tests;
