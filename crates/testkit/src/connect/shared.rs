//! [`shared`]: one cluster for the tests of a program that need one at the same time, or one behind the other.
//!
//! Most of what a short test with Kafka costs is the start of two Java programs, and their first minute, in which they
//! compile themselves. Pipelines have names of their own, so that they do not meet in one cluster. What a test leaves when
//! it fails would trouble the others: connectors that try to reach servers which are gone, for ever.

use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::Mutex;

use super::{ConnectCluster, ConnectOptions};
use crate::wait::until;

/// How long the worker may refuse to delete a connector.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is there. A test that starts it keeps others waiting meanwhile.
static SHARED: Mutex<Weak<ConnectCluster>> = Mutex::const_new(Weak::new());

/// A cluster that others use too, as one test sees it. Dropping it removes what the test's pipeline left there, and says so.
#[derive(Debug)]
pub struct Guest {
    cluster: Arc<ConnectCluster>,
    /// What all names of the pipeline begin with.
    mark: String,
}

/// The cluster that other tests of this program use too; started if there is none, ended when nobody holds it any more.
/// `pipeline` is the name of the only one that this test makes. Whoever kills parts of a cluster, or counts all that is in
/// it, starts one of its own.
pub async fn shared(pipeline: &str) -> Result<Guest> {
    let mark = format!("segcdc_{pipeline}");
    let mut shared = SHARED.lock().await;
    if let Some(cluster) = shared.upgrade() {
        return Ok(Guest { cluster, mark });
    }
    let options = ConnectOptions::impatient(Duration::from_secs(1));
    let cluster = Arc::new(ConnectCluster::start(options).await?);
    *shared = Arc::downgrade(&cluster);
    Ok(Guest { cluster, mark })
}

// === impl Guest ===

impl Guest {
    /// Connectors of this test's pipeline that are there.
    async fn connectors(&self) -> Result<Vec<String>> {
        let found = self.rest().get("/connectors").await?.json()?;
        let names = found.as_array().context("a list of connectors")?.iter().filter_map(|name| name.as_str());
        let ours = names.filter(|name| {
            name.strip_prefix(&self.mark).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        });
        Ok(ours.map(str::to_owned).collect())
    }

    /// Removes what is left; the names of all of it. A worker that rebalances refuses for a while.
    async fn clean(&self) -> Result<Vec<String>> {
        let mut left = self.connectors().await?;
        until("no connector is left", PATIENCE, || async {
            let mut gone = true;
            for connector in &left {
                let answer = self.rest().delete(&format!("/connectors/{connector}")).await.ok()?;
                gone &= matches!(answer.status, 204 | 404);
            }
            gone.then_some(())
        })
        .await?;
        // A test that ended well has removed its topics too, and looked for them.
        if !left.is_empty() {
            left.extend(self.delete_topics(&self.mark)?);
        }
        Ok(left)
    }
}

impl Deref for Guest {
    type Target = ConnectCluster;

    fn deref(&self) -> &ConnectCluster {
        &self.cluster
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // On a thread of its own: the test's runtime may be ending.
        let cleaned = std::thread::scope(|scope| {
            let cleaning = scope.spawn(|| {
                tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(self.clean())
            });
            cleaning.join()
        });
        #[expect(clippy::print_stderr, reason = "whoever looks into the failure needs to know")]
        match cleaned {
            Ok(Ok(left)) if left.is_empty() => {}
            Ok(Ok(left)) => {
                eprintln!("{} left in the shared cluster, and is removed: {}", self.mark, left.join(", "))
            }
            Ok(Err(error)) => {
                eprintln!("what {} left in the shared cluster stays there: {error:#}", self.mark)
            }
            Err(_) => eprintln!("what {} left in the shared cluster stays there", self.mark),
        }
    }
}
