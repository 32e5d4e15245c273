//! [`Narrator`]: what the demo prints. Plain lines that are readable in a log; a little colour on a terminal.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two lines of progress where they cannot be drawn over each other.
const LINE_PERIOD: Duration = Duration::from_millis(500);

/// Prints what happens, with the time since the demo began.
#[derive(Debug)]
pub(crate) struct Narrator {
    begun: Instant,
    colour: bool,
    live: Mutex<Live>,
}

/// The line of progress.
#[derive(Debug, Default)]
struct Live {
    /// What it says; empty when something else was printed since.
    shown: String,
    /// When it was last printed.
    at: Option<Instant>,
}

// === impl Narrator ===

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]
impl Narrator {
    /// A narrator whose clock begins now.
    pub(crate) fn new() -> Self {
        Narrator { begun: Instant::now(), colour: std::io::stdout().is_terminal(), live: Mutex::default() }
    }

    /// Progress: drawn over the last one on a terminal, a line now and then elsewhere.
    pub(crate) fn live(&self, text: &str) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.shown == text {
            return;
        }
        if self.colour {
            print!("\r\x1b[K          {text}");
            std::io::stdout().flush().ok();
        } else if live.at.is_none_or(|at| at.elapsed() >= LINE_PERIOD) {
            println!("          {text}");
            live.at = Some(Instant::now());
        }
        live.shown = text.to_owned();
    }

    /// Leaves the line of progress as it is, and goes on below.
    fn settle(&self) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if self.colour && !live.shown.is_empty() {
            println!();
        }
        *live = Live::default();
    }

    /// The next step.
    pub(crate) fn step(&self, text: &str) {
        self.settle();
        println!(
            "\n{}",
            self.paint("1;36", &format!("[{:>5.1} s] {text}", self.begun.elapsed().as_secs_f64()))
        );
    }

    /// Something about the current step.
    pub(crate) fn tell(&self, text: &str) {
        self.settle();
        println!("          {text}");
    }

    /// A command as a person would type it.
    pub(crate) fn command(&self, text: &str) {
        self.settle();
        println!("          {}", self.paint("1", &format!("$ {text}")));
    }

    /// Text as it is, a table say.
    pub(crate) fn print(&self, text: &str) {
        self.settle();
        println!("{text}");
    }

    /// The good end.
    pub(crate) fn succeed(&self, text: &str) {
        self.settle();
        println!("\n{}", self.paint("1;32", text));
    }

    /// The bad end.
    pub(crate) fn fail(&self, text: &str) {
        self.settle();
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

/// A number with a comma after each three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1234), "1,234");
        assert_eq!(grouped(123_456), "123,456");
        assert_eq!(grouped(1_000_000), "1,000,000");
    }
}
