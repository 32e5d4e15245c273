//! [`Measure`]: what a running engine says of itself, one JSON object a line.

use serde_json::Value;

use crate::narrator::grouped;
use crate::report::Report;

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
    /// Its tables, in its order.
    pub(crate) tables: Vec<TableMeasure>,
}

/// How far the copy of one table is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TableMeasure {
    /// Name at the source.
    pub(crate) name: String,
    /// Whether it is copied whole.
    pub(crate) copied: bool,
    /// Rows copied.
    pub(crate) rows: u64,
    /// Rows that the source's statistics promise.
    pub(crate) estimated_rows: u64,
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
            tables: tables.iter().map(TableMeasure::read).collect(),
        })
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
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
            phase => format!("segcdc {at:>3} s  {phase}  {}", self.describe_copy()),
        }
    }

    /// The table that has most to go, the speed, the time left, and how many tables are done.
    fn describe_copy(&self) -> String {
        let done = self.tables.iter().filter(|table| table.copied).count();
        let tables = format!("{done} of {} tables done", self.tables.len());
        let unfinished = self.tables.iter().filter(|table| !table.copied);
        let Some(table) = unfinished.max_by_key(|table| table.left()) else { return tables };
        let left: u64 = self.tables.iter().map(TableMeasure::left).sum();
        // The first look comes before there is a speed of late.
        let average = self.rows_copied.saturating_mul(1000).checked_div(self.elapsed_ms).unwrap_or(0);
        let speed = if self.rows_per_second > 0 { self.rows_per_second } else { average };
        let time = match left.checked_div(speed) {
            Some(seconds) => format!(", {} rows a second, {seconds} s left", grouped(speed)),
            None => String::new(),
        };
        format!("{}{time}; {tables}", table.describe())
    }
}

impl Report for Measure {
    fn absorb(&mut self, line: &str) {
        if let Some(measure) = Measure::parse(line) {
            *self = measure;
        }
    }

    fn describe(&self) -> Option<String> {
        (!self.phase.is_empty()).then(|| self.line())
    }
}

// === impl TableMeasure ===

impl TableMeasure {
    /// Reads one member of `tables`.
    fn read(value: &Value) -> Self {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        TableMeasure {
            name: format!("{}.{}", text("/source/schema"), text("/source/name")),
            copied: text("/phase") == "STREAMING",
            rows: number("/rows_copied"),
            estimated_rows: number("/estimated_rows"),
        }
    }

    /// Rows to go, as far as the estimate knows.
    fn left(&self) -> u64 {
        if self.copied { 0 } else { self.estimated_rows.saturating_sub(self.rows) }
    }

    /// Rows and percent. An estimate may be short: the end is 100 %, and not before.
    pub(crate) fn describe(&self) -> String {
        let (rows, name) = (grouped(self.rows), &self.name);
        if self.copied {
            return format!("{name}: {rows} rows (100 %)");
        }
        let percent = self.rows.saturating_mul(100).checked_div(self.estimated_rows).unwrap_or(0).min(99);
        format!("{name}: {rows} of about {} rows ({percent} %)", grouped(self.estimated_rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_is_read_and_others_are_passed_over() {
        let line = r#"{"phase":"STREAMING","copied":{"rows":7},"applied":{"changes":3,"transactions":2},
                       "elapsed_ms":1500,"tables":[{"phase":"STREAMING","source":{"schema":"public","name":"a"},"rows_copied":5,"estimated_rows":4},
                         {"phase":"COPYING","source":{"schema":"public","name":"b"},"rows_copied":2,"estimated_rows":8}],"latency":{"count":2,"p50_ms":1.5,"p99_ms":9.0}}"#;
        let measure = Measure {
            phase: "STREAMING".to_owned(),
            rows_copied: 7,
            changes_applied: 3,
            transactions_applied: 2,
            elapsed_ms: 1500,
            latency: Latency { p50_ms: 1.5, p99_ms: 9.0 },
            tables: vec![
                TableMeasure { name: "public.a".to_owned(), copied: true, rows: 5, estimated_rows: 4 },
                TableMeasure { name: "public.b".to_owned(), copied: false, rows: 2, estimated_rows: 8 },
            ],
            ..Measure::default()
        };
        let described: Vec<_> = measure.tables.iter().map(TableMeasure::describe).collect();
        assert_eq!(described, ["public.a: 5 rows (100 %)", "public.b: 2 of about 8 rows (25 %)"]);
        let copying = Measure { rows_per_second: 3, ..measure.clone() };
        let expected = "public.b: 2 of about 8 rows (25 %), 3 rows a second, 2 s left; 1 of 2 tables done";
        assert_eq!(copying.describe_copy(), expected);
        assert_eq!(Measure::parse(line), Some(measure));
        assert_eq!(Measure::parse("talk"), None);
    }
}
