//! [`KafkaError`]: what can go wrong between us and the brokers.

use std::io;

use segcdc_model::{Disposition, Fault};

/// Why brokers cannot be asked, or refuse what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// A bootstrap address cannot be read.
    #[error("\"{address}\" is no address of a Kafka broker")]
    BootstrapInvalid {
        /// What was given.
        address: String,
    },
    /// No broker can be reached.
    #[error("no Kafka broker of {addresses} can be reached")]
    Unreachable {
        /// The addresses.
        addresses: String,
        /// What the system says about the last of them.
        #[source]
        cause: io::Error,
    },
    /// The listener of the brokers wants TLS or SASL, and neither was given.
    #[error("the listener {address} of Kafka wants {wants}")]
    Secured {
        /// Host and port.
        address: String,
        /// `TLS`, or `SASL` with its mechanisms.
        wants: String,
    },
    /// TLS with a broker failed.
    #[error("TLS with {address} failed: {detail}")]
    Tls {
        /// Host and port.
        address: String,
        /// What failed.
        detail: String,
    },
    /// The listener does not know the SASL mechanism.
    #[error("the listener {address} of Kafka does not take SASL {mechanism}; it takes {offered}")]
    Mechanism {
        /// Host and port.
        address: String,
        /// The mechanism.
        mechanism: &'static str,
        /// Those that it knows.
        offered: String,
    },
    /// The broker refuses user and password.
    #[error("the broker {address} refuses user \"{user}\" by {mechanism}")]
    Auth {
        /// Host and port.
        address: String,
        /// The user.
        user: String,
        /// The mechanism.
        mechanism: &'static str,
    },
    /// The broker does not prove that it knows the password.
    #[error("what answers at {address} does not prove by {mechanism} that it is the broker")]
    Impostor {
        /// Host and port.
        address: String,
        /// The mechanism.
        mechanism: &'static str,
    },
    /// A broker refused something.
    #[error("Kafka refuses to {what}: error {number}")]
    Refused {
        /// What was asked for.
        what: String,
        /// The error number of the Kafka protocol.
        number: i16,
    },
    /// A broker answered something that cannot be read.
    #[error("a Kafka broker's answer cannot be read while asking to {what}")]
    Protocol {
        /// What was asked for.
        what: &'static str,
    },
}

// === impl KafkaError ===

impl Fault for KafkaError {
    fn code(&self) -> &'static str {
        match self {
            KafkaError::BootstrapInvalid { .. } => "KAFKA_BOOTSTRAP",
            KafkaError::Unreachable { .. } => "KAFKA_UNREACHABLE",
            KafkaError::Secured { .. } => "KAFKA_LISTENER_SECURED",
            KafkaError::Tls { .. } => "KAFKA_TLS",
            KafkaError::Mechanism { .. } => "KAFKA_SASL_MECHANISM",
            KafkaError::Auth { .. } => "KAFKA_AUTH",
            KafkaError::Impostor { .. } => "KAFKA_IMPOSTOR",
            KafkaError::Refused { .. } => "KAFKA_REFUSED",
            KafkaError::Protocol { .. } => "KAFKA_PROTOCOL",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            KafkaError::Unreachable { .. } => Disposition::Retry,
            KafkaError::BootstrapInvalid { .. }
            | KafkaError::Secured { .. }
            | KafkaError::Tls { .. }
            | KafkaError::Mechanism { .. }
            | KafkaError::Auth { .. }
            | KafkaError::Impostor { .. }
            | KafkaError::Refused { .. }
            | KafkaError::Protocol { .. } => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            KafkaError::BootstrapInvalid { .. } => "give --kafka-bootstrap host:port, several with commas",
            KafkaError::Unreachable { .. } => "check --kafka-bootstrap, and that the brokers run and listen there",
            KafkaError::Secured { .. } => {
                "give --kafka-auth for SASL, --kafka-tls or --kafka-ca-file for TLS, or no --kafka-bootstrap: \
                 docs/guides/kafka-connect.md, Brokers with TLS and SASL"
            }
            KafkaError::Tls { .. } => {
                "check that the listener speaks TLS and its certificate names the host, and give its authority with \
                 --kafka-ca-file when it is not one of the system's; some want --kafka-cert-file and --kafka-key-file"
            }
            KafkaError::Mechanism { .. } => {
                "give one that it takes with --kafka-sasl; a listener that takes none wants no --kafka-auth"
            }
            KafkaError::Auth { .. } => {
                "check user and password of --kafka-auth, and that the brokers have them for this mechanism"
            }
            KafkaError::Impostor { .. } => "check --kafka-bootstrap and who answers there; the password was not sent",
            KafkaError::Refused { .. } => {
                "look the number up in the Kafka protocol's table of errors; the principal needs DESCRIBE and DELETE on \
                 topics, and DESCRIBE on the cluster and groups"
            }
            KafkaError::Protocol { .. } => "check that --kafka-bootstrap is a listener of a Kafka broker",
        }
        .to_owned()
    }
}
