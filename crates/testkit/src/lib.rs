//! Test servers and conditions to wait on. Development only: nothing of it is in the shipped binary.
//!
//! - [`postgres`]: a private PostgreSQL cluster with its own data directory, port and socket
//! - [`extension_server`]: PostgreSQL servers that have pgvector, or PostGIS
//! - [`sandbox`]: the sandbox, a stand-in for SQL Server, as a process
//! - [`connect`]: a Kafka broker and a Kafka Connect worker with Debezium's connectors
//! - [`network`]: a network of its own for one process, whose cable can be pulled
//! - [`proxy`]: a TCP proxy that breaks connections on purpose
//! - [`http_proxy`]: an HTTP proxy that answers wrongly on purpose
//! - [`scratch`]: where temporary clusters live
//! - [`small_disk`]: a file system that is full soon
//! - [`values`]: random values of every kind of type
//! - [`wait`]: conditions with a deadline, instead of sleeps
//! - [`locale`]: locales that the machine does not have
//! - [`port`]: free loopback ports

pub mod connect;
pub mod extension_server;
pub mod http_proxy;
pub mod locale;
pub mod network;
pub mod port;
pub mod postgres;
pub mod proxy;
pub mod sandbox;
pub mod scratch;
pub mod small_disk;
pub mod values;
pub mod wait;

pub use connect::{ConnectCluster, ConnectOptions};
pub use extension_server::{ExtensionServer, PGVECTOR, POSTGIS};
pub use http_proxy::{Fault, HttpProxy, Trouble};
pub use network::Network;
pub use port::free_port;
pub use postgres::{ClusterCopy, PostgresCluster, PostgresOptions, StopMode};
pub use proxy::{Direction, Proxy, Rule, Then, When};
pub use sandbox::{Sandbox, SandboxOptions};
pub use wait::until;
