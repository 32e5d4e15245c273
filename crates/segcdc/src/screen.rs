//! The drawing on standard error, and how lines get there without tearing it.

use std::io::{self, Write};
use std::sync::OnceLock;

use indicatif::{MultiProgress, ProgressDrawTarget};

/// The one drawing that a process can have.
static SCREEN: OnceLock<MultiProgress> = OnceLock::new();

/// Standard error: a line that is written there moves the drawing out of its way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lines;

/// The drawing, begun by the first call.
pub(crate) fn drawing() -> &'static MultiProgress {
    SCREEN.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)))
}

// === impl Lines ===

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match SCREEN.get() {
            Some(screen) => screen.suspend(|| io::stderr().lock().write(bytes)),
            None => io::stderr().lock().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
