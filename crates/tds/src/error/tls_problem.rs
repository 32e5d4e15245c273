//! [`TlsProblem`]: why a TLS handshake failed, as finely as its user can act on it.

use std::io;

use rustls::{CertificateError, Error};

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsProblem {
    /// No trusted authority has signed the target's certificate.
    Untrusted,
    /// The target's certificate is for another name.
    HostMismatch,
    /// The target's certificate has expired, or is not valid yet.
    Expired,
    /// The TLS handshake with the target failed: a certificate that cannot be checked, or no common version.
    Other,
}

// === impl TlsProblem ===

impl TlsProblem {
    /// The problem that a handshake's error tells.
    pub(super) fn of(cause: &io::Error) -> Self {
        match cause.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(problem)) => match problem {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsProblem::Untrusted,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    TlsProblem::HostMismatch
                }
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => TlsProblem::Expired,
                _ => TlsProblem::Other,
            },
            _ => TlsProblem::Other,
        }
    }

    /// The stable code.
    pub(super) fn code(self) -> &'static str {
        match self {
            TlsProblem::Untrusted => "TARGET_TLS_UNTRUSTED",
            TlsProblem::HostMismatch => "TARGET_TLS_HOST_MISMATCH",
            TlsProblem::Expired => "TARGET_TLS_EXPIRED",
            TlsProblem::Other => "TARGET_TLS_FAILED",
        }
    }

    /// What a person can do.
    pub(super) fn hint(self) -> &'static str {
        match self {
            TlsProblem::Untrusted => {
                "give the certificate of the authority, or the server's own, with ca_file; trust_server_certificate=true \
                 accepts any certificate, an impostor's too"
            }
            TlsProblem::HostMismatch => {
                "give the name that the certificate carries with host_name_in_certificate"
            }
            TlsProblem::Expired => "renew the server's certificate, and check the clocks of both machines",
            TlsProblem::Other => {
                "give the authority's certificate with ca_file, the certificate's name with \
                 host_name_in_certificate, or accept any certificate with trust_server_certificate=true"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_code() {
        let check = |error: Error, code: &str| {
            let cause = io::Error::new(io::ErrorKind::InvalidData, error);
            assert_eq!(TlsProblem::of(&cause).code(), code, "{cause}");
        };
        check(CertificateError::UnknownIssuer.into(), "TARGET_TLS_UNTRUSTED");
        check(CertificateError::NotValidForName.into(), "TARGET_TLS_HOST_MISMATCH");
        check(CertificateError::Expired.into(), "TARGET_TLS_EXPIRED");
        check(CertificateError::NotValidYet.into(), "TARGET_TLS_EXPIRED");
        check(CertificateError::BadEncoding.into(), "TARGET_TLS_FAILED");
        assert_eq!(TlsProblem::of(&io::ErrorKind::TimedOut.into()), TlsProblem::Other);
    }
}
