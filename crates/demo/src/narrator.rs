//! [`Narrator`]: what the demo prints. Plain lines that are readable in a log; a little colour on a terminal.

use std::io::IsTerminal;
use std::time::Instant;

/// Prints what happens, with the time since the demo began.
#[derive(Debug)]
pub(crate) struct Narrator {
    begun: Instant,
    colour: bool,
}

// === impl Narrator ===

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]
impl Narrator {
    /// A narrator whose clock begins now.
    pub(crate) fn new() -> Self {
        Narrator { begun: Instant::now(), colour: std::io::stdout().is_terminal() }
    }

    /// The next step.
    pub(crate) fn step(&self, text: &str) {
        println!(
            "\n{}",
            self.paint("1;36", &format!("[{:>5.1} s] {text}", self.begun.elapsed().as_secs_f64()))
        );
    }

    /// Something about the current step.
    pub(crate) fn tell(&self, text: &str) {
        println!("          {text}");
    }

    /// A command as a person would type it.
    pub(crate) fn command(&self, text: &str) {
        println!("          {}", self.paint("1", &format!("$ {text}")));
    }

    /// Text as it is, a table say.
    pub(crate) fn print(&self, text: &str) {
        println!("{text}");
    }

    /// The good end.
    pub(crate) fn succeed(&self, text: &str) {
        println!("\n{}", self.paint("1;32", text));
    }

    /// The bad end.
    pub(crate) fn fail(&self, text: &str) {
        eprintln!("\n{}", self.paint("1;31", text));
    }

    /// Seconds since the demo began.
    pub(crate) fn seconds(&self) -> u64 {
        self.begun.elapsed().as_secs()
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
