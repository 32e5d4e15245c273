//! [`TlsProblem`]: why a TLS handshake failed, as finely as its user can act on it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};
use segcdc_model::Disposition;

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TlsProblem {
    /// No trusted authority has signed the server's certificate.
    Untrusted,
    /// The server's certificate is for another name.
    HostMismatch,
    /// The server's certificate, or one above it, has expired.
    Expired,
    /// The server's certificate is not valid yet: one of the clocks is wrong.
    NotYetValid,
    /// The server's certificate is in the list of revoked ones.
    Revoked,
    /// No current list of revoked certificates covers the server's certificate.
    RevocationUnknown,
    /// The server's certificate has a form that cannot be checked.
    CertificateUnsupported,
    /// The server refuses the client's certificate, or wants one and got none.
    ClientCertificateRefused,
    /// The TLS handshake failed: no common version or cipher, or something in between.
    Other,
}

// === impl TlsProblem ===

impl TlsProblem {
    /// The problem that a handshake's error tells.
    pub(super) fn of(cause: &io::Error) -> Self {
        match cause.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(problem)) => Self::of_certificate(problem),
            Some(Error::AlertReceived(
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::DecryptError
                | AlertDescription::CertificateRequired,
            )) => TlsProblem::ClientCertificateRefused,
            _ => TlsProblem::Other,
        }
    }

    fn of_certificate(problem: &CertificateError) -> Self {
        match problem {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsProblem::Untrusted,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsProblem::HostMismatch
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsProblem::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsProblem::NotYetValid
            }
            CertificateError::Revoked => TlsProblem::Revoked,
            CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => TlsProblem::RevocationUnknown,
            _ => TlsProblem::CertificateUnsupported,
        }
    }

    /// The stable code.
    pub(super) fn code(self) -> &'static str {
        match self {
            TlsProblem::Untrusted => "TLS_UNTRUSTED",
            TlsProblem::HostMismatch => "TLS_HOST_MISMATCH",
            TlsProblem::Expired => "TLS_EXPIRED",
            TlsProblem::NotYetValid => "TLS_NOT_YET_VALID",
            TlsProblem::Revoked => "TLS_REVOKED",
            TlsProblem::RevocationUnknown => "TLS_REVOCATION_UNKNOWN",
            TlsProblem::CertificateUnsupported => "TLS_CERTIFICATE_UNSUPPORTED",
            TlsProblem::ClientCertificateRefused => "TLS_CLIENT_CERTIFICATE_REFUSED",
            TlsProblem::Other => "TLS_FAILED",
        }
    }

    /// What is to be done.
    pub(super) fn disposition(self) -> Disposition {
        match self {
            TlsProblem::Untrusted
            | TlsProblem::HostMismatch
            | TlsProblem::Expired
            | TlsProblem::NotYetValid
            | TlsProblem::Revoked
            | TlsProblem::RevocationUnknown
            | TlsProblem::CertificateUnsupported
            | TlsProblem::ClientCertificateRefused
            | TlsProblem::Other => Disposition::Halt,
        }
    }

    /// What a person can do.
    pub(super) fn hint(self) -> &'static str {
        match self {
            TlsProblem::Untrusted => {
                "give the certificate of the authority that signed the server's with sslrootcert=FILE"
            }
            TlsProblem::HostMismatch => {
                "give the host by a name that the certificate's subjectAltName has (its common name is not looked at), with \
                 hostaddr=ADDRESS if the DNS does not know it; or sslmode=verify-ca, which does not compare the name"
            }
            TlsProblem::Expired => {
                "renew the server's certificate, then SELECT pg_reload_conf(); and check this machine's clock"
            }
            TlsProblem::NotYetValid => {
                "check the clocks of this machine and of the one that made the certificate"
            }
            TlsProblem::Revoked => {
                "give the server a new certificate: this one was withdrawn by its authority"
            }
            TlsProblem::RevocationUnknown => {
                "give in sslcrl a current list of each authority of the chain, or leave sslcrl away"
            }
            TlsProblem::CertificateUnsupported => {
                "give a self-signed certificate itself with sslrootcert=FILE; else issue the server's anew: version 3, not an \
                 authority's own, for server authentication, with subjectAltName, signed with RSA of 2048 bits and more, ECDSA \
                 or Ed25519, and SHA-256 and up"
            }
            TlsProblem::ClientCertificateRefused => {
                "give with sslcert and sslkey a current certificate that an authority of the server's ssl_ca_file has signed"
            }
            TlsProblem::Other => {
                "check that nothing in between ends or inspects TLS, and that the server has TLS 1.2 or 1.3"
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
        check(CertificateError::UnknownIssuer.into(), "TLS_UNTRUSTED");
        check(CertificateError::NotValidForName.into(), "TLS_HOST_MISMATCH");
        check(CertificateError::Expired.into(), "TLS_EXPIRED");
        check(CertificateError::NotValidYet.into(), "TLS_NOT_YET_VALID");
        check(CertificateError::Revoked.into(), "TLS_REVOKED");
        check(CertificateError::UnknownRevocationStatus.into(), "TLS_REVOCATION_UNKNOWN");
        check(CertificateError::BadEncoding.into(), "TLS_CERTIFICATE_UNSUPPORTED");
        check(Error::AlertReceived(AlertDescription::CertificateRequired), "TLS_CLIENT_CERTIFICATE_REFUSED");
        check(Error::AlertReceived(AlertDescription::ProtocolVersion), "TLS_FAILED");
        check(Error::DecryptError, "TLS_FAILED");
        assert_eq!(TlsProblem::of(&io::ErrorKind::TimedOut.into()), TlsProblem::Other);
    }
}
