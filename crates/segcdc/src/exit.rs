//! [`Exit`]: what the process tells whoever started it.

/// The exit codes. They are documented and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done as asked.
    Ok,
    /// 1: something failed while it ran.
    Runtime,
    /// 2: the command line, a URL or a setting is wrong, or the servers are not fit for what was asked.
    Usage,
    /// 3: source or target cannot be reached.
    Unreachable,
    /// 4: source or target does not let us in.
    Authentication,
    /// 5: source and target differ.
    Differences,
    /// 130: stopped by SIGINT.
    Interrupted,
    /// 143: stopped by SIGTERM.
    Terminated,
}

/// Codes of errors that say that a server cannot be reached, or that what answers is not it.
const UNREACHABLE: [&str; 39] = [
    "SOURCE_UNREACHABLE",
    "SOURCE_CONNECT_TIMEOUT",
    "SOURCE_CONNECTION_LOST",
    "SOURCE_SILENT",
    "SOURCE_RESTARTING",
    "SOURCE_TOO_MANY_CONNECTIONS",
    "TLS_NOT_OFFERED",
    "TLS_FAILED",
    "TLS_UNTRUSTED",
    "TLS_HOST_MISMATCH",
    "TLS_EXPIRED",
    "TLS_NOT_YET_VALID",
    "TLS_REVOKED",
    "TLS_REVOCATION_UNKNOWN",
    "TLS_CERTIFICATE_UNSUPPORTED",
    "TLS_CLIENT_CERTIFICATE_REFUSED",
    "TLS_DIRECT_REFUSED",
    "SOURCE_ROLE",
    "SOURCE_NO_HOST",
    "PROTOCOL_MISMATCH",
    "TARGET_UNREACHABLE",
    "TARGET_TLS_FAILED",
    "TARGET_TLS_UNTRUSTED",
    "TARGET_TLS_HOST_MISMATCH",
    "TARGET_TLS_EXPIRED",
    "TARGET_STRICT_REFUSED",
    "TARGET_INSTANCE",
    "TARGET_ROUTING",
    "TARGET_ENCRYPTION_REFUSED",
    "TARGET_PROTOCOL",
    "TARGET_CONNECTION_LOST",
    "TARGET_TIMEOUT",
    "TARGET_CONNECTION_CLOSED",
    "CONNECT_UNREACHABLE",
    "CONNECT_TIMEOUT",
    "CONNECT_TLS",
    "KAFKA_TLS",
    "CONNECT_ANSWER_TOO_LARGE",
    "KAFKA_UNREACHABLE",
];

/// Codes of errors in what the user gave us, and of servers that are not fit for it.
const USAGE: [&str; 110] = [
    "RULE_INVALID",
    "MASK_SALT_MISSING",
    "MASK_SALT_CHANGED",
    "MASK_SALT_INVALID",
    "CONFIG_UNREADABLE",
    "CONFIG_SYNTAX",
    "CONFIG_UNKNOWN_KEY",
    "CONFIG_DUPLICATE_KEY",
    "CONFIG_VALUE",
    "CONFIG_REFERENCE",
    "CONFIG_SECRET_IN_CLEAR",
    "CONFIG_SECRET_FILE",
    "CONFIG_VERSION",
    "URL_SCHEME",
    "URL_INCOMPLETE",
    "URL_ENCODING",
    "URL_MISSING",
    "URL_FILE",
    "URL_PARAMETER_UNKNOWN",
    "URL_PARAMETER_DUPLICATE",
    "URL_PARAMETER_VALUE",
    "URL_PARAMETER_UNSUPPORTED",
    "CLIENT_KEY_ENCRYPTED",
    "CLIENT_KEY_PERMISSIONS",
    "PASSWORD_FILE",
    "POOLER_SETTINGS",
    "TARGET_URL_INVALID",
    "HOST_INVALID",
    "HOST_NOT_ALLOWED",
    "PORT_RANGE",
    "NAME_TOO_LONG",
    "NAME_INVALID",
    "CLIENT_CERTIFICATE_INCOMPLETE",
    "CA_INVALID",
    "CA_MISSING",
    "TARGET_CA_FILE",
    "DATABASE_INVALID",
    "DATABASE_MISSING",
    "UNKNOWN_FIELD",
    "DUPLICATE_KEY",
    "ENUM",
    "SLOT_NAME",
    "TABLE_PATTERN",
    "NO_TABLES_MATCHED",
    "NO_TABLES",
    "DUPLICATE_MAPPING",
    "CONFIRMATION_REQUIRED",
    "OUTPUT_FORMAT",
    "PREFLIGHT_FAILED",
    "STATE_MISSING",
    "WAL_LEVEL",
    "NO_FREE_SLOTS",
    "SOURCE_VERSION_UNSUPPORTED",
    "SOURCE_IS_STANDBY",
    "PERMISSION_REPLICATION",
    "REPLICATION_CONNECTION_REFUSED",
    "PERMISSION_SELECT",
    "PUBLICATION_MISSING",
    "SLOT_MISSING",
    "SLOT_WRONG_PLUGIN",
    "SLOT_WRONG_DATABASE",
    "TARGET_TABLE_NOT_EMPTY",
    "TARGET_TABLE_MISMATCH",
    "NO_REPLICA_IDENTITY",
    "PERMISSION_PUBLICATION",
    "PIPELINE_NAME",
    "PIPELINE_CONFLICT",
    "PUBLICATION_EXISTS",
    "SLOT_EXISTS",
    "SLOT_WITH_SNAPSHOT",
    "SLOT_NOT_OURS",
    "WAL_LIMIT_WITH_ENGINE",
    "LARGE_TRANSACTIONS_WITH_ENGINE",
    "LOG_LEVEL",
    "ENGINE_MISMATCH",
    "CONNECT_URL",
    "CONNECT_URL_MISSING",
    "CONNECT_UNSUPPORTED",
    "CONNECT_SECRETS_MISSING",
    "CONNECT_SECRETS_FORM",
    "CONNECT_WORKER_VERSION",
    "CONNECTOR_PLUGIN_MISSING",
    "CONNECTOR_PLUGIN_VERSION",
    "CONNECTOR_CONFIG_INVALID",
    "CONNECTOR_EXISTS",
    "PROPERTY_NOT_ALLOWED",
    "PLACEHOLDER_NOT_ALLOWED",
    "PROPERTY_VALUE",
    "KAFKA_BOOTSTRAP",
    "KAFKA_LISTENER_SECURED",
    "KAFKA_SASL_MECHANISM",
    "MIGRATE_REFUSED",
    "MIGRATION_UNFINISHED",
    "PUBLIC_URL",
    "MASTER_KEY_FILE",
    "MASTER_KEY_READABLE",
    "MASTER_KEY_MISSING",
    "MASTER_KEY_FORM",
    "MASTER_KEY_LENGTH",
    "MASTER_KEY_WEAK",
    "MASTER_KEY_TWICE",
    "MASTER_KEY_UNKNOWN",
    "MASTER_KEY_COMMAND",
    "SECRET_DAMAGED",
    "STORE_FOLDER",
    "STORE_IN_USE",
    "STORE_NOT_A_DATABASE",
    "STORE_NEWER",
    "STORE_MIGRATION",
    "STORE_REFUSED",
];

// === impl Exit ===

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Runtime => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Authentication => 4,
            Exit::Differences => 5,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }

    /// The exit of an error by its stable code.
    pub(crate) fn of_error(code: &str) -> Self {
        let is_refused = matches!(code, "TARGET_LOGIN_FAILED" | "CONNECT_AUTH" | "KAFKA_AUTH");
        if code.starts_with("AUTH_") || is_refused {
            Exit::Authentication
        } else if UNREACHABLE.contains(&code) {
            Exit::Unreachable
        } else if USAGE.contains(&code) {
            Exit::Usage
        } else {
            Exit::Runtime
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_exit() {
        let check = |code: &str, expected: u8| assert_eq!(Exit::of_error(code).code(), expected, "{code}");
        check("AUTH_FAILED", 4);
        check("AUTH_PASSWORD_MISSING", 4);
        check("KAFKA_AUTH", 4);
        check("SOURCE_UNREACHABLE", 3);
        check("TARGET_UNREACHABLE", 3);
        check("PORT_RANGE", 2);
        check("CONFIRMATION_REQUIRED", 2);
        check("TARGET_TABLE_NOT_EMPTY", 2);
        check("TARGET_TABLE_MISMATCH", 2);
        check("REPLICATION_CONNECTION_REFUSED", 2);
        check("STORE_MIGRATION", 2);
        check("STORE_REFUSED", 2);
        check("TARGET_DIVERGED", 1);
        check("anything new", 1);
    }
}
