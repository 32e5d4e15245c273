//! [`Measure`]: what a running engine says of itself, one JSON object a line.

use serde_json::Value;

use crate::narrator::grouped;

/// One look at the engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Measure {
    /// `SETUP`, `SNAPSHOT`, `CATCH_UP`, `STREAMING`.
    pub(crate) phase: String,
    /// Rows copied since it began.
    pub(crate) rows_copied: u64,
    /// Changes applied since it began.
    pub(crate) changes_applied: u64,
    /// Source transactions applied since it began.
    pub(crate) transactions_applied: u64,
    /// Time since it began.
    pub(crate) elapsed_ms: u64,
    /// Commit to visible, over all its transactions.
    pub(crate) latency: Latency,
    /// The same, lately.
    pub(crate) latency_recent: Latency,
    /// Rows copied a second, lately.
    pub(crate) rows_per_second: u64,
    /// Changes applied a second, lately.
    pub(crate) changes_per_second: u64,
    /// Tables that are copied already, and all tables.
    pub(crate) tables: (usize, usize),
}

/// Commit at the source to visible in the target.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Latency {
    /// Half of the transactions took at most this.
    pub(crate) p50_ms: f64,
    /// 99 of 100 took at most this.
    pub(crate) p99_ms: f64,
}

// === impl Measure ===

impl Measure {
    /// Reads one line; `None` for a line that is no such object.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let real = |pointer: &str| value.pointer(pointer).and_then(Value::as_f64).unwrap_or_default();
        let latency = |name: &str| Latency {
            p50_ms: real(&format!("/{name}/p50_ms")),
            p99_ms: real(&format!("/{name}/p99_ms")),
        };
        let tables = value.get("tables").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let copied = |table: &&Value| table.get("phase").and_then(Value::as_str) == Some("STREAMING");
        Some(Measure {
            phase: value.get("phase")?.as_str()?.to_owned(),
            rows_copied: number("/copied/rows"),
            changes_applied: number("/applied/changes"),
            transactions_applied: number("/applied/transactions"),
            elapsed_ms: number("/elapsed_ms"),
            latency: latency("latency"),
            latency_recent: latency("latency_recent"),
            rows_per_second: number("/rates/copied_rows_per_second"),
            changes_per_second: number("/rates/changes_per_second"),
            tables: (tables.iter().filter(copied).count(), tables.len()),
        })
    }

    /// One line for people.
    pub(crate) fn describe(&self) -> String {
        let at = self.elapsed_ms / 1000;
        match self.phase.as_str() {
            "STREAMING" | "CATCH_UP" => format!(
                "segcdc {at:>3} s  {}  {} changes applied, {} a second, lag p50 {:.1} ms, p99 {:.1} ms",
                self.phase,
                grouped(self.changes_applied),
                grouped(self.changes_per_second),
                self.latency_recent.p50_ms,
                self.latency_recent.p99_ms
            ),
            phase => format!(
                "segcdc {at:>3} s  {phase}  {} of {} tables, {} rows, {} a second",
                self.tables.0,
                self.tables.1,
                grouped(self.rows_copied),
                grouped(self.rows_per_second)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_is_read_and_others_are_passed_over() {
        let line = r#"{"phase":"STREAMING","copied":{"rows":7},"applied":{"changes":3,"transactions":2},
                       "elapsed_ms":1500,"tables":[{"phase":"STREAMING"},{"phase":"QUEUED"}],"latency":{"count":2,"p50_ms":1.5,"p99_ms":9.0}}"#;
        let measure = Measure {
            phase: "STREAMING".to_owned(),
            rows_copied: 7,
            changes_applied: 3,
            transactions_applied: 2,
            elapsed_ms: 1500,
            latency: Latency { p50_ms: 1.5, p99_ms: 9.0 },
            tables: (1, 2),
            ..Measure::default()
        };
        assert_eq!(Measure::parse(line), Some(measure));
        assert_eq!(Measure::parse("talk"), None);
    }
}
