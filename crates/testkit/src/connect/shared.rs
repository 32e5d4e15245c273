//! [`shared`]: one cluster for the tests of a program that need one at the same time, or one behind the other.
//!
//! Most of what a short test with Kafka costs is the start of two Java programs, and their first minute, in which they
//! compile themselves. Pipelines have names of their own, so that they do not meet in one cluster.

use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Mutex;

use super::{ConnectCluster, ConnectOptions};

/// What is there. A test that starts it keeps others waiting meanwhile.
static SHARED: Mutex<Weak<ConnectCluster>> = Mutex::const_new(Weak::new());

/// The cluster that other tests of this program use too; started if there is none, ended when nobody holds it any more.
/// Whoever kills parts of a cluster, or counts all that is in it, starts one of its own.
pub async fn shared() -> Result<Arc<ConnectCluster>> {
    let mut shared = SHARED.lock().await;
    if let Some(cluster) = shared.upgrade() {
        return Ok(cluster);
    }
    let options = ConnectOptions::impatient(Duration::from_secs(1));
    let cluster = Arc::new(ConnectCluster::start(options).await?);
    *shared = Arc::downgrade(&cluster);
    Ok(cluster)
}
