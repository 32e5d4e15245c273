//! Starting the program and looking at its end.

use std::io::Write;
use std::process::{Command, Stdio};

/// How a run of the program ended.
pub(crate) struct Ended {
    /// Its exit code; `None` when a signal killed it.
    pub(crate) code: Option<i32>,
    /// Data.
    pub(crate) stdout: String,
    /// Talk.
    pub(crate) stderr: String,
}

/// The program, with no variable of ours that the caller of the tests has set.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segcdc"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEGCDC_") {
            command.env_remove(name);
        }
    }
    command
}

// === impl Ended ===

impl Ended {
    /// Runs a command with `input` on its standard input.
    pub(crate) fn of(mut command: Command, input: &str) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program was built before its tests");
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).ok();
        }
        let output = child.wait_with_output().expect("a child can be waited for");
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Its data as JSON; null when it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_default()
    }
}
