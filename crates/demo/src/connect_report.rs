//! [`ConnectReport`]: what `segcdc up --engine kafka-connect` says of itself, one JSON object a line.

use serde_json::Value;

use crate::report::Report;

/// What it has said so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ConnectReport {
    /// Steps of the set-up, as words of the program: `create_slot`.
    pub(crate) steps: Vec<String>,
    /// Tables that are carried, at the source.
    pub(crate) tables: usize,
    /// Tables that are not, and the code of the reason.
    pub(crate) left_out: Vec<(String, String)>,
    /// Connectors and their states.
    pub(crate) connectors: Vec<(String, String)>,
    /// Up to where the target has everything; `None` while tables are copied.
    pub(crate) applied_lsn: Option<String>,
}

// === impl ConnectReport ===

impl ConnectReport {
    /// Whether there are connectors, and all of them run.
    pub(crate) fn runs(&self) -> bool {
        !self.connectors.is_empty() && self.connectors.iter().all(|(_, state)| state == "RUNNING")
    }

    fn take(&mut self, value: &Value) -> Option<()> {
        let text = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let list = |name: &str| value.get(name).and_then(Value::as_array).into_iter().flatten();
        match value.get("event")?.as_str()? {
            "plan" => {
                self.tables = list("tables").count();
                let left_out = list("left_out")
                    .filter_map(|table| Some((text(table.get("table")?, "name")?, text(table, "code")?)));
                self.left_out = left_out.collect();
            }
            "step" => self.steps.push(text(value, "step")?),
            "status" => {
                self.connectors = list("connectors")
                    .filter_map(|connector| Some((text(connector, "name")?, text(connector, "state")?)))
                    .collect();
                self.applied_lsn = text(value, "applied_lsn");
            }
            _ => {}
        }
        Some(())
    }
}

impl Report for ConnectReport {
    fn absorb(&mut self, line: &str) {
        if let Ok(value) = serde_json::from_str(line) {
            self.take(&value);
        }
    }

    fn describe(&self) -> Option<String> {
        if self.connectors.is_empty() {
            return self.steps.last().map(|step| format!("segcdc  {}", step.replace('_', " ")));
        }
        let states = self.connectors.iter().map(|(name, state)| format!("{name} {state}"));
        let target = match &self.applied_lsn {
            Some(lsn) => format!("target at {lsn}"),
            None => "the copy is not over".to_owned(),
        };
        Some(format!("segcdc  {}; {target}", states.collect::<Vec<_>>().join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_add_up_to_a_report() {
        let mut report = ConnectReport::default();
        for line in [
            r#"{"event":"plan","tables":[{}],"left_out":[{"table":{"schema":"public","name":"h"},"code":"CONNECT_NO_KEY"}]}"#,
            r#"{"event":"step","step":"create_slot"}"#,
            "talk",
        ] {
            report.absorb(line);
        }
        assert_eq!(report.describe().as_deref(), Some("segcdc  create slot"));
        assert_eq!((report.tables, report.left_out.len()), (1, 1));
        report
            .absorb(r#"{"event":"status","connectors":[{"name":"a","state":"RUNNING"}],"applied_lsn":null}"#);
        assert_eq!(report.describe().as_deref(), Some("segcdc  a RUNNING; the copy is not over"));
        report.absorb(
            r#"{"event":"status","connectors":[{"name":"a","state":"RUNNING"}],"applied_lsn":"0/1"}"#,
        );
        assert_eq!(report.describe().as_deref(), Some("segcdc  a RUNNING; target at 0/1"));
        assert!(report.runs() && !ConnectReport::default().runs());
        let waits = r#"{"event":"status","connectors":[{"name":"a","state":"RUNNING"},{"name":"b","state":"UNASSIGNED"}]}"#;
        report.absorb(waits);
        assert!(!report.runs());
    }
}
