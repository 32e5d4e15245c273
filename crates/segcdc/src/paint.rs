//! [`Paint`]: colour where a person looks at a terminal, none elsewhere.

use std::io::IsTerminal;

/// Whether text gets colour, and signs beyond ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// No escape sequences, ASCII signs.
    Plain,
    /// ANSI colours.
    Colour,
}

// === impl Paint ===

impl Paint {
    /// Colour when the stream is a terminal and the user has not set `NO_COLOR`.
    pub(crate) fn of(stream: &impl IsTerminal, no_color: bool) -> Self {
        if stream.is_terminal() && !no_color { Paint::Colour } else { Paint::Plain }
    }

    /// For what failed.
    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// For what a person should know.
    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// For what is well.
    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// For what matters most.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// For what matters least.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Paint::Plain => text.to_owned(),
            Paint::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}
