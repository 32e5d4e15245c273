//! [`TlsFacts`]: how the way to a server is protected, as its handshake agreed on it.

/// What is checked of a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateCheck {
    /// Nothing: whoever answers is taken for the server.
    Nothing,
    /// That an authority that is trusted has signed it, and its time.
    Authority,
    /// The same, and that it is for the server's name.
    AuthorityAndName,
}

/// What is known of a session under TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// Version of the protocol, like `TLSv1.3`.
    pub version: String,
    /// The cipher suite, as IANA calls it.
    pub cipher: String,
    /// What was checked of the certificate.
    pub check: CertificateCheck,
    /// The server's own certificate, DER; `None` where it showed none. Its contents are the server's words.
    pub certificate: Option<Vec<u8>>,
}

// === impl CertificateCheck ===

impl CertificateCheck {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            CertificateCheck::Nothing => "nothing",
            CertificateCheck::Authority => "authority",
            CertificateCheck::AuthorityAndName => "authority_and_name",
        }
    }
}

// === impl TlsFacts ===

impl TlsFacts {
    /// Facts with the names that rustls has for version and suite: `TLSv1_3`, `TLS13_AES_128_GCM_SHA256`. A version or
    /// suite without a name is `unknown`.
    pub fn named(
        (version, cipher): (Option<&str>, Option<&str>),
        check: CertificateCheck,
        certificate: Option<&[u8]>,
    ) -> Self {
        let cipher = cipher.unwrap_or("unknown");
        TlsFacts {
            version: version.unwrap_or("unknown").replace('_', "."),
            cipher: match cipher.strip_prefix("TLS13_") {
                Some(suite) => format!("TLS_{suite}"),
                None => cipher.to_owned(),
            },
            check,
            certificate: certificate.map(<[u8]>::to_vec),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_iana() {
        let facts = |version, cipher| {
            let facts = TlsFacts::named((version, cipher), CertificateCheck::Nothing, None);
            (facts.version, facts.cipher)
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            facts(Some("TLSv1_3"), Some("TLS13_AES_256_GCM_SHA384")),
            pair("TLSv1.3", "TLS_AES_256_GCM_SHA384")
        );
        let suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
        assert_eq!(facts(Some("TLSv1_2"), Some(suite)), pair("TLSv1.2", suite));
        assert_eq!(facts(None, None), pair("unknown", "unknown"));
    }
}
