//! [`Finding`]: what one preflight check found.

use serde::{Deserialize, Serialize};

/// Which server a finding speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// PostgreSQL.
    Source,
    /// SQL Server.
    Target,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, but a person should know.
    Warning,
    /// The pipeline cannot start.
    Failure,
}

/// The outcome of one named check, with the SQL that fixes it where there is some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable name of the check, `pg.wal_level`.
    pub check: String,
    /// The server.
    pub side: Side,
    /// How bad.
    pub severity: Severity,
    /// Stable error code of a warning or failure, `WAL_LEVEL`; empty when all is well.
    pub code: String,
    /// What was found and what is needed, on which named thing.
    pub detail: String,
    /// What to do about it; empty when all is well.
    pub hint: String,
    /// SQL statements to run on that server, by whom if it matters; empty when none helps.
    pub fix_sql: Vec<String>,
}

// === impl Finding ===

impl Finding {
    /// A check that passed.
    pub fn ok(check: &str, side: Side, detail: impl Into<String>) -> Self {
        Self::new(check, side, Severity::Ok, "", detail)
    }

    /// Something that a person should know.
    pub fn warning(check: &str, side: Side, code: &str, detail: impl Into<String>) -> Self {
        Self::new(check, side, Severity::Warning, code, detail)
    }

    /// Something that must be mended first.
    pub fn failure(check: &str, side: Side, code: &str, detail: impl Into<String>) -> Self {
        Self::new(check, side, Severity::Failure, code, detail)
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Adds an SQL statement that mends it.
    pub fn fix(mut self, sql: impl Into<String>) -> Self {
        self.fix_sql.push(sql.into());
        self
    }

    fn new(check: &str, side: Side, severity: Severity, code: &str, detail: impl Into<String>) -> Self {
        Finding {
            check: check.to_owned(),
            side,
            severity,
            code: code.to_owned(),
            detail: detail.into(),
            hint: String::new(),
            fix_sql: Vec::new(),
        }
    }
}
