//! Errors as the control plane keeps them, and those that only a server has.

use std::net::IpAddr;
use std::path::PathBuf;

use segcdc_control::report::{ErrorReport, Trouble};
use segcdc_model::{Disposition, Fault};

use crate::error::CliError;
use crate::exit::Exit;

/// Why a server does not connect to where a connection leads.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    /// The name of a host is not known.
    #[error("the host {host} is not known")]
    HostUnknown {
        /// The host.
        host: String,
        /// What the resolver says.
        #[source]
        cause: std::io::Error,
    },
    /// The name of a host could not be looked up in time.
    #[error("the host {host} could not be looked up in time")]
    HostSlow {
        /// The host.
        host: String,
    },
    /// An address that this server does not connect to.
    #[error("the host {host} has the address {address}, to which this server does not connect")]
    HostNotAllowed {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// An authority's certificate could not be put where it is read.
    #[error("the certificate {} cannot be written", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

// === impl Fault for ServeError ===

impl Fault for ServeError {
    fn code(&self) -> &'static str {
        match self {
            ServeError::HostUnknown { .. } | ServeError::HostSlow { .. } => "HOST_UNKNOWN",
            ServeError::HostNotAllowed { .. } => "HOST_NOT_ALLOWED",
            ServeError::CaFile { .. } => "STORE_FOLDER",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            ServeError::HostUnknown { .. } | ServeError::HostSlow { .. } => Disposition::Retry,
            ServeError::HostNotAllowed { .. } | ServeError::CaFile { .. } => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            ServeError::HostUnknown { .. } | ServeError::HostSlow { .. } => {
                "check the host of the connection, and that the server's machine can look it up"
            }
            ServeError::HostNotAllowed { .. } => {
                "ask who runs this server: --allow-network names the networks that it connects to"
            }
            ServeError::CaFile { .. } => "see whether the data folder's disk is full or read-only",
        }
        .to_owned()
    }
}

/// What a fault says of itself, and whose trouble it is.
pub(super) fn report(fault: &dyn Fault) -> ErrorReport {
    ErrorReport::of(fault, trouble(Exit::of_error(fault.code())))
}

/// An error of a command.
pub(super) fn report_of(error: &CliError) -> ErrorReport {
    ErrorReport {
        code: error.code.clone(),
        message: error.message.clone(),
        causes: error.causes.clone().into(),
        hint: error.hint.clone(),
        fix_sql: error.fix_sql.clone(),
        trouble: trouble(error.exit),
        may_pass: error.exit == Exit::Unreachable,
    }
}

/// Whose trouble it is, by what a command would end with.
const fn trouble(exit: Exit) -> Trouble {
    match exit {
        Exit::Unreachable => Trouble::Unreachable,
        Exit::Authentication => Trouble::Refused,
        Exit::Usage => Trouble::Unfit,
        Exit::Ok | Exit::Runtime | Exit::Differences | Exit::Interrupted | Exit::Terminated => {
            Trouble::Failed
        }
    }
}
