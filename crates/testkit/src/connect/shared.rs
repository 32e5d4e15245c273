//! [`shared`]: one cluster for the tests of a program that need one at the same time, or one behind the other.
//!
//! Most of what a short test with Kafka costs is the start of two Java programs, and their first minute, in which they
//! compile themselves. Pipelines have names of their own, so that they do not meet in one cluster.

use std::sync::{Arc, Weak};

use anyhow::Result;
use tokio::sync::Mutex;

use super::{ConnectCluster, ConnectOptions};

/// What is there. A test that starts it keeps others waiting meanwhile.
static SHARED: Mutex<Weak<ConnectCluster>> = Mutex::const_new(Weak::new());

/// Impatience for tests: progress is stored every second instead of every minute, and the consumer of a task that is gone is
/// missed after six seconds instead of 45.
const SETTINGS: [(&str, &str); 3] = [
    ("offset.flush.interval.ms", "1000"),
    ("consumer.session.timeout.ms", "6000"),
    ("consumer.heartbeat.interval.ms", "2000"),
];

/// The cluster that other tests of this program use too; started if there is none, ended when nobody holds it any more.
/// Whoever kills parts of a cluster, or counts all that is in it, starts one of its own.
pub async fn shared() -> Result<Arc<ConnectCluster>> {
    let mut shared = SHARED.lock().await;
    if let Some(cluster) = shared.upgrade() {
        return Ok(cluster);
    }
    let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let options = ConnectOptions { worker_settings: settings, ..ConnectOptions::default() };
    let cluster = Arc::new(ConnectCluster::start(options).await?);
    *shared = Arc::downgrade(&cluster);
    Ok(cluster)
}
