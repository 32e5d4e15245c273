//! [`Rules`]: whom the source lets in, changed while it runs.

use std::path::PathBuf;

use crate::rig::{Rig, becomes};

/// Rules by which the pipeline's role has to give its password.
pub(crate) const PASSWORD: &str = "host all cdc all scram-sha-256\nhost replication cdc all scram-sha-256";

/// The file that says who may come in.
pub(crate) struct Rules {
    path: PathBuf,
    known: String,
}

// === impl Rules ===

impl Rules {
    /// As they are.
    pub(crate) fn read(rig: &Rig) -> Self {
        let path = rig.postgres.data_dir().join("pg_hba.conf");
        let known = std::fs::read_to_string(&path).unwrap();
        Rules { path, known }
    }

    /// Puts lines before those that were there.
    pub(crate) async fn set(&self, rig: &Rig, first: &str) {
        self.replace(rig, &format!("{first}\n{}", self.known)).await;
    }

    /// Lets nobody in but by these lines.
    pub(crate) async fn replace(&self, rig: &Rig, lines: &str) {
        std::fs::write(&self.path, lines).unwrap();
        reload(rig).await;
    }
}

/// Has the server read its files again, and waits until it has.
pub(crate) async fn reload(rig: &Rig) {
    let question = || rig.postgres.psql("postgres", "SELECT pg_conf_load_time()").unwrap();
    let before = question();
    rig.postgres.execute("postgres", "SELECT pg_reload_conf()").await.unwrap();
    becomes("the files are read", || async { question() != before }).await;
}
