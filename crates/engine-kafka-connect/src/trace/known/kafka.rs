//! What the worker and the brokers say.

use super::Known;

/// What narrower texts are, stands first.
pub(super) const KAFKA: &[Known] = &[
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
        parts: &["SaslAuthenticationException"],
        code: "KAFKA_AUTHENTICATION",
        detail: "the brokers refuse the worker's login",
        advice: "check sasl.jaas.config of the worker, with the prefixes producer., consumer. and admin. too",
        may_pass: true,
    },
    Known {
        parts: &["SslAuthenticationException"],
        code: "KAFKA_AUTHENTICATION",
        detail: "TLS between worker and brokers failed",
        advice: "check the trust store and key store of the worker, with the prefixes producer., consumer. and admin. too",
        may_pass: true,
    },
    Known {
        parts: &["AuthorizationException"],
        code: "KAFKA_AUTHORIZATION",
        detail: "the worker's principal may not use a topic, a group or a transactional id",
        advice: "give it READ, WRITE, CREATE and DESCRIBE on the pipeline's topics, and READ on the groups connect-*",
        may_pass: true,
    },
    Known {
        parts: &["KafkaStorageException"],
        code: "KAFKA_STORAGE",
        detail: "a broker cannot write to its disk: it is full or broken",
        advice: "make room on the disk of the broker, and start it again",
        may_pass: true,
    },
    Known {
        parts: &["not present in metadata after"],
        code: "KAFKA_TOPIC_MISSING",
        detail: "a topic is not there, and the worker may not make it",
        advice: "set topic.creation.enable=true at the workers, and allow CREATE to their principal",
        may_pass: true,
    },
    Known {
        parts: &["Expiring ", "record(s) for"],
        code: "KAFKA_UNREACHABLE",
        detail: "the brokers did not take messages in time",
        advice: "check that they run, have room, and enough replicas in sync",
        may_pass: true,
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
        parts: &["replication factor", "larger than available brokers"],
        code: "KAFKA_REPLICATION",
        detail: "the Kafka cluster has fewer brokers than copies of each topic are wanted",
        advice: "give --kafka-replication with a smaller number",
        may_pass: false,
    },
];
