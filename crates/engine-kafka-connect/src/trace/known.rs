//! [`known`]: what was captured from real workers (`tests/traces`), and messages of PostgreSQL, Kafka, the drivers and SQL
//! Server that are known and have not been provoked here: a golden file lists those.

mod kafka;
mod source;
mod target;

/// One known trace.
pub(super) struct Known {
    /// All of these are in it.
    pub(super) parts: &'static [&'static str],
    /// Stable code.
    pub(super) code: &'static str,
    /// What is the matter.
    pub(super) detail: &'static str,
    /// What to do.
    pub(super) advice: &'static str,
    /// Whether starting the task again may help.
    pub(super) may_pass: bool,
}

/// The known traces; the first that fits counts, so what is narrower stands first.
pub(super) fn known() -> impl Iterator<Item = &'static Known> {
    source::SOURCE.iter().chain(target::TARGET).chain(kafka::KAFKA).chain(WAYS)
}

/// Ways that end nowhere: these words stand in other traces too.
const WAYS: &[Known] = &[
    Known {
        parts: &["The TCP/IP connection to the host"],
        code: "TARGET_UNREACHABLE",
        detail: "the worker cannot reach the target",
        advice: "check host, port and firewall between the worker and the target",
        may_pass: true,
    },
    Known {
        parts: &["Connection to", "refused"],
        code: "SOURCE_UNREACHABLE",
        detail: "the worker cannot reach the source",
        advice: "check host, port and firewall between the worker and the source",
        may_pass: true,
    },
    Known {
        parts: &["The connection attempt failed"],
        code: "SOURCE_UNREACHABLE",
        detail: "the worker cannot reach the source",
        advice: "check host, port and firewall between the worker and the source",
        may_pass: true,
    },
];
