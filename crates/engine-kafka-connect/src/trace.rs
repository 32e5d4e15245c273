//! [`cause`]: what a task's stack trace means, and what to do about it.
//!
//! A trace is the only thing that a worker says about a failed task. It can hold values of rows, so it is never shown:
//! it is looked up in a table, and of one that is not in the table only the classes of its exceptions are named.

use serde::Serialize;

/// Longest trace that is looked at, bytes. Causes stand at its beginning and behind each "Caused by".
const MAX_TRACE: usize = 64 << 10;

/// Classes of exceptions that are named of an unknown trace.
const MAX_CLASSES: usize = 4;

/// Why a task failed, likely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Stable code.
    pub code: &'static str,
    /// What is the matter, without a value of a row.
    pub detail: String,
    /// What to do.
    pub advice: &'static str,
    /// Whether starting the task again may help.
    pub may_pass: bool,
}

/// One known trace.
struct Known {
    /// All of these are in it.
    parts: &'static [&'static str],
    code: &'static str,
    detail: &'static str,
    advice: &'static str,
    may_pass: bool,
}

/// The known traces; the first that fits counts, so what is narrower stands first.
const KNOWN: &[Known] = &[
    Known {
        parts: &["this is no longer available on the server"],
        code: "SLOT_LOST",
        detail: "the source no longer has the changes behind the connector's position: the slot was dropped or invalidated",
        advice: "remove the pipeline with `segcdc down --drop`, empty the target's tables, and make it anew",
        may_pass: false,
    },
    Known {
        parts: &["Publication autocreation is disabled"],
        code: "PUBLICATION_MISSING",
        detail: "the publication is gone",
        advice: "stop the pipeline and make it anew: what was committed meanwhile was not published",
        may_pass: false,
    },
    Known {
        parts: &["must be superuser or replication role to start walsender"],
        code: "PERMISSION_REPLICATION",
        detail: "the source's role may not replicate",
        advice: "run ALTER ROLE ... REPLICATION at the source",
        may_pass: false,
    },
    Known {
        parts: &["replication slot", "is active for PID"],
        code: "SLOT_IN_USE",
        detail: "another process reads the slot",
        advice: "wait until the source has noticed that the old reader is gone, or end it with pg_terminate_backend",
        may_pass: true,
    },
    Known {
        parts: &["password authentication failed"],
        code: "AUTH_FAILED",
        detail: "the source refuses the password that the worker has",
        advice: "check what the worker reads for ${...}: the file or variables of --connect-secrets",
        may_pass: true,
    },
    Known {
        parts: &["Login failed for user"],
        code: "TARGET_LOGIN_FAILED",
        detail: "the target refuses the login of the sink",
        advice: "check what the worker reads for ${...}: the file or variables of --connect-secrets",
        may_pass: true,
    },
    Known {
        parts: &["Got a special value (NaN/Infinity)"],
        code: "VALUE_NAN",
        detail: "a numeric column holds NaN or infinity, which Debezium does not carry",
        advice: "change the value at the source, or use the native engine, which has policies for such values",
        may_pass: false,
    },
    Known {
        parts: &["deadlocked on lock resources"],
        code: "TARGET_DEADLOCK",
        detail: "the sink was chosen as the victim of a deadlock (1205)",
        advice: "find what else writes the target's tables; the task is started again",
        may_pass: true,
    },
    Known {
        parts: &["Error converting data type nvarchar to numeric"],
        code: "VALUE_NO_NUMBER",
        detail: "a numeric column holds NaN or infinity, which SQL Server has not (8114)",
        advice: "make the pipeline anew without the value: the message that holds it stays in Kafka; a CHECK constraint keeps it out",
        may_pass: false,
    },
    Known {
        parts: &["One or more values is out of range of values for the"],
        code: "VALUE_OUT_OF_RANGE",
        detail: "a date or timestamp is infinite, or its year is above 9999",
        advice: "make the pipeline anew without the value: the message that holds it stays in Kafka; a CHECK constraint keeps it out",
        may_pass: false,
    },
    Known {
        parts: &["Invalid value for NanoOfDay"],
        code: "VALUE_OUT_OF_RANGE",
        detail: "a time is 24:00:00, which is none for the sink",
        advice: "make the pipeline anew without the value: the message that holds it stays in Kafka; a CHECK constraint keeps it out",
        may_pass: false,
    },
    Known {
        parts: &["TypeRegistry", "getArray"],
        code: "CONNECT_TYPE_UNREADABLE",
        detail: "the database has a domain over an enum, or an enum without labels, of which Debezium cannot read the labels",
        advice: "`segcdc plan` names the type: drop it, give it a label, or use the native engine",
        may_pass: false,
    },
    Known {
        parts: &["Arithmetic overflow error"],
        code: "VALUE_OVERFLOW",
        detail: "a value does not fit into its column (8115)",
        advice: "compare the tables of both sides; the target's column is narrower than the source's",
        may_pass: false,
    },
    Known {
        parts: &["String or binary data would be truncated"],
        code: "VALUE_TOO_LONG",
        detail: "a value is longer than its column (2628)",
        advice: "compare the tables of both sides; the target's column is shorter than the source's",
        may_pass: false,
    },
    Known {
        parts: &["The supplied value is not a valid instance of data type"],
        code: "VALUE_NAN",
        detail: "a floating-point column holds NaN or infinity (8023)",
        advice: "change the value at the source, or use the native engine",
        may_pass: false,
    },
    Known {
        parts: &["Invalid object name"],
        code: "TARGET_TABLE_MISSING",
        detail: "a table of the target is gone (208)",
        advice: "make the pipeline anew; its tables are made with it",
        may_pass: false,
    },
    Known {
        parts: &["Could not find table"],
        code: "TARGET_TABLE_MISSING",
        detail: "a table of the target is gone, or the sink's login may not see it",
        advice: "check that the table is there, and that the login may SELECT, INSERT, UPDATE and DELETE",
        may_pass: false,
    },
    Known {
        parts: &["permission was denied on the object"],
        code: "TARGET_PERMISSION",
        detail: "the sink's login may not write a table (229)",
        advice: "grant SELECT, INSERT, UPDATE and DELETE on the target's schema",
        may_pass: false,
    },
    Known {
        parts: &["Could not read properties from file"],
        code: "CONNECT_SECRETS_PROVIDER",
        detail: "the worker cannot read the file with the passwords",
        advice: "check that the file is there for the worker, that its user may read it, and config.providers.file.param.allowed.paths",
        may_pass: true,
    },
    Known {
        parts: &["OutOfMemoryError"],
        code: "CONNECT_MEMORY",
        detail: "the worker has no memory left",
        advice: "give the worker more (KAFKA_HEAP_OPTS), or lower source.max.queue.size.in.bytes with --connect-property",
        may_pass: true,
    },
    Known {
        parts: &["RecordTooLargeException"],
        code: "KAFKA_RECORD_TOO_LARGE",
        detail: "a row is larger than Kafka takes",
        advice: "raise max.request.size of the worker's producers and max.message.bytes of the topic",
        may_pass: false,
    },
    Known {
        parts: &["OffsetOutOfRangeException"],
        code: "KAFKA_RETENTION",
        detail: "Kafka has deleted messages that the sink had not read: the retention was shorter than its pause",
        advice: "make the pipeline anew: the rows of those messages are lost to it; a longer retention is \
                 source.topic.creation.default.retention.ms with --connect-property",
        may_pass: false,
    },
    Known {
        parts: &["NoOffsetForPartitionException"],
        code: "KAFKA_PROGRESS_LOST",
        detail: "Kafka no longer knows how far the sink had come: its consumer group's offsets are gone",
        advice: "make the pipeline anew; offsets.retention.minutes of the brokers has to be longer than any pause",
        may_pass: false,
    },
    Known {
        parts: &["NoClassDefFoundError"],
        code: "CONNECTOR_PLUGIN_BROKEN",
        detail: "the plugin's folder lacks a library",
        advice: "install the plugin again from its archive at every worker, and restart the workers",
        may_pass: false,
    },
    Known {
        parts: &["ClassNotFoundException"],
        code: "CONNECTOR_PLUGIN_BROKEN",
        detail: "the plugin's folder lacks a library",
        advice: "install the plugin again from its archive at every worker, and restart the workers",
        may_pass: false,
    },
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
    Known {
        parts: &["replication factor", "larger than available brokers"],
        code: "KAFKA_REPLICATION",
        detail: "the Kafka cluster has fewer brokers than copies of each topic are wanted",
        advice: "give --kafka-replication with a smaller number",
        may_pass: false,
    },
];

/// What a trace means.
pub fn cause(trace: &str) -> Cause {
    let text = head(trace);
    let known = KNOWN.iter().find(|known| known.parts.iter().all(|part| text.contains(part)));
    match known {
        Some(known) => Cause {
            code: known.code,
            detail: known.detail.to_owned(),
            advice: known.advice,
            may_pass: known.may_pass,
        },
        None => Cause {
            code: "CONNECTOR_TASK_FAILED",
            detail: unknown(text),
            advice: "look at the worker's log, which has the whole trace; the task is started again",
            may_pass: true,
        },
    }
}

/// The beginning of a trace.
fn head(trace: &str) -> &str {
    let mut end = trace.len().min(MAX_TRACE);
    while !trace.is_char_boundary(end) {
        end -= 1;
    }
    trace.get(..end).unwrap_or_default()
}

/// The classes of the exceptions, outermost first: names of the program, and no values.
fn unknown(trace: &str) -> String {
    let lines =
        trace.lines().enumerate().filter_map(|(number, line)| match line.strip_prefix("Caused by: ") {
            Some(line) => Some(line),
            None if number == 0 => Some(line),
            None => None,
        });
    let mut classes: Vec<&str> = Vec::new();
    for line in lines {
        let class = line.split(':').next().unwrap_or_default().trim();
        let plain = class.chars().all(|c| c.is_ascii_alphanumeric() || "._$".contains(c));
        if plain && class.contains('.') && !classes.contains(&class) {
            classes.push(class);
        }
    }
    classes.truncate(MAX_CLASSES);
    if classes.is_empty() {
        return "it failed for an unknown reason".to_owned();
    }
    let names: Vec<&str> =
        classes.iter().map(|class| class.rsplit(['.', '$']).next().unwrap_or(class)).collect();
    format!("it failed with {}", names.join(" because of "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn known_traces_have_their_cause() {
        let check = |trace: &str, code: &str| assert_eq!(cause(trace).code, code, "{trace}");
        let check = |trace: &str, code: &str| {
            check(&format!("org.x.ConnectException: {trace}\n\tat y.z(A.java:1)"), code)
        };
        check(
            "The connector is trying to read change stream starting at PostgresOffsetContext [...], but this is no longer available on the server. Reconfigure",
            "SLOT_LOST",
        );
        check(
            "Publication autocreation is disabled, please create one and restart the connector.",
            "PUBLICATION_MISSING",
        );
        check(
            "x\nCaused by: org.postgresql.util.PSQLException: FATAL: must be superuser or replication role to start walsender",
            "PERMISSION_REPLICATION",
        );
        check("ERROR: replication slot \"a\" is active for PID 7", "SLOT_IN_USE");
        check("FATAL: password authentication failed for user \"u\"", "AUTH_FAILED");
        check("Login failed for user 'u'. ClientConnectionId:1", "TARGET_LOGIN_FAILED");
        check(
            "Got a special value (NaN/Infinity) for Decimal type in column c but current mode does not handle it",
            "VALUE_NAN",
        );
        check(
            "Transaction (Process ID 5) was deadlocked on lock resources with another process",
            "TARGET_DEADLOCK",
        );
        check(
            "String or binary data would be truncated in table 'd', column 'c'. Truncated value: 'secret'.",
            "VALUE_TOO_LONG",
        );
        check(
            "java.lang.NoClassDefFoundError: com/datadoghq/sketch/ddsketch/DDSketches",
            "CONNECTOR_PLUGIN_BROKEN",
        );
        check(
            "Connection to 127.0.0.1:5432 refused. Check that the hostname and port are correct",
            "SOURCE_UNREACHABLE",
        );
        check("something new", "CONNECTOR_TASK_FAILED");
    }

    #[test]
    fn an_unknown_trace_shows_classes_and_no_values() {
        let trace = "org.a.ConnectException: Exiting due to row (42, 'c4nary')\n\tat b.c\nCaused by: com.d.SQLServerException: key (c4nary)\nCaused by: java.x.Inner$Deep: q";
        assert_eq!(
            cause(trace).detail,
            "it failed with ConnectException because of SQLServerException because of Deep"
        );
        assert_eq!(cause("").detail, "it failed for an unknown reason");
    }

    #[test]
    fn every_entry_can_be_reached_and_says_what_to_do() {
        let mut seen = BTreeSet::new();
        for known in KNOWN {
            assert!(!known.advice.is_empty() && !known.detail.is_empty());
            let trace = known.parts.join(" x ");
            let found = cause(&trace);
            assert_eq!((found.code, found.detail.as_str()), (known.code, known.detail), "{trace}");
            assert!(seen.insert(known.parts), "{:?} is there twice", known.parts);
        }
    }

    proptest! {
        #[test]
        fn no_trace_breaks_it_and_nothing_of_it_is_shown(text in "\\PC{0,200}") {
            let found = cause(&format!("a.B: {text} c4nary"));
            prop_assert!(!found.detail.contains("c4nary"));
        }
    }
}
