//! [`Signals`]: ctrl-C and SIGTERM. The first asks for an orderly end, the second ends at once.

use std::io;
use std::sync::{Arc, OnceLock};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// The signals that end a process.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    /// Cancelled by the first.
    pub(crate) first: CancellationToken,
    /// Cancelled by the second.
    pub(crate) second: CancellationToken,
    which: Arc<OnceLock<Exit>>,
}

// === impl Signals ===

impl Signals {
    /// Begins to listen, on a task of the current runtime.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(crate) fn listen() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let signals = Signals {
            first: CancellationToken::new(),
            second: CancellationToken::new(),
            which: Arc::new(OnceLock::new()),
        };
        tokio::spawn(signals.clone().receive(interrupt, terminate));
        Ok(signals)
    }

    /// What the process ends with because of the first signal.
    pub(crate) fn exit(&self) -> Exit {
        self.which.get().copied().unwrap_or(Exit::Terminated)
    }

    async fn receive(self, mut interrupt: Signal, mut terminate: Signal) {
        loop {
            let exit = tokio::select! {
                received = interrupt.recv() => received.map(|()| Exit::Interrupted),
                received = terminate.recv() => received.map(|()| Exit::Terminated),
            };
            let Some(exit) = exit else { return };
            if self.first.is_cancelled() {
                self.second.cancel();
            } else {
                // Set once: a second signal of the other kind does not change what the first asked for.
                self.which.get_or_init(|| exit);
                self.first.cancel();
            }
        }
    }
}
