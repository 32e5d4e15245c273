//! Preflight findings, for people.

use std::fmt::Write;

use segcdc_model::{Finding, Severity, Side};

use crate::paint::Paint;
use crate::text::plural;

/// How much of the findings is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Problems, and one line about the rest.
    Problems,
    /// All.
    All,
}

/// Whether any finding keeps the pipeline from starting.
pub(crate) fn has_failure(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Failure)
}

/// The findings as text, worst last so that it stands next to the prompt, and a summary line.
pub(crate) fn render(findings: &[Finding], detail: Detail, paint: Paint) -> String {
    let mut shown: Vec<_> =
        findings.iter().filter(|f| detail == Detail::All || f.severity != Severity::Ok).collect();
    shown.sort_by_key(|finding| finding.severity);
    let mut text = String::new();
    for finding in shown {
        write_finding(finding, paint, &mut text);
    }
    let number = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let (passed, warnings, failures) =
        (number(Severity::Ok), number(Severity::Warning), number(Severity::Failure));
    // Writing to a String cannot fail.
    let _infallible =
        write!(text, "Checks: {passed} passed, {}, {failures} failed", plural(warnings, "warning"));
    text
}

fn write_finding(finding: &Finding, paint: Paint, text: &mut String) {
    let sign = match finding.severity {
        Severity::Ok => paint.green("[OK]"),
        Severity::Warning => paint.yellow("[WARN]"),
        Severity::Failure => paint.red("[FAIL]"),
    };
    let side = match finding.side {
        Side::Source => "source",
        Side::Target => "target",
    };
    let code =
        if finding.code.is_empty() { String::new() } else { paint.dim(&format!(" [{}]", finding.code)) };
    let _infallible =
        writeln!(text, "{sign} {side} {}: {}{code}", paint.bold(&finding.check), finding.detail);
    if !finding.hint.is_empty() {
        let _infallible = writeln!(text, "  {} {}", paint.dim("hint"), finding.hint);
    }
    for sql in &finding.fix_sql {
        let _infallible = writeln!(text, "  {}  {sql}", paint.dim("fix"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::failure("pg.wal_level", Side::Source, "WAL_LEVEL", "wal_level is \"replica\"")
                .hint("set it, then restart PostgreSQL")
                .fix("ALTER SYSTEM SET wal_level = 'logical';"),
            Finding::ok("pg.version", Side::Source, "PostgreSQL 15.18"),
            Finding::warning(
                "pg.slot_wal",
                Side::Source,
                "SLOT_WAL_UNLIMITED",
                "max_slot_wal_keep_size is -1",
            ),
        ]
    }

    #[test]
    fn problems_come_with_their_fix() {
        insta::assert_snapshot!("findings_problems", render(&findings(), Detail::Problems, Paint::Plain));
    }

    #[test]
    fn all_findings_can_be_seen() {
        insta::assert_snapshot!("findings_all", render(&findings(), Detail::All, Paint::Plain));
        assert!(has_failure(&findings()));
    }
}
