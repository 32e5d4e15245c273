//! The sandbox's own certificate authority and server certificate, made once and kept in the data directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Names that the certificate carries.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The certificate chain and key of the server, and where its authority is.
#[derive(Debug)]
pub struct Certificates {
    /// PEM file of the authority, for clients to trust.
    pub ca_file: PathBuf,
    /// The server's certificate, then the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The server's key.
    pub key: PrivateKeyDer<'static>,
}

// === impl Certificates ===

impl Certificates {
    /// Those in `dir`; made first if there are none.
    pub fn load_or_make(dir: &Path) -> Result<Self> {
        let (ca_file, server_file, key_file) =
            (dir.join("ca.pem"), dir.join("server.pem"), dir.join("server.key"));
        if !(ca_file.exists() && server_file.exists() && key_file.exists()) {
            fs::create_dir_all(dir)?;
            make(&ca_file, &server_file, &key_file).context("could not make certificates")?;
        }
        let read = |path: &Path| CertificateDer::from_pem_file(path).context(path.display().to_string());
        let key = PrivateKeyDer::from_pem_file(&key_file).context(key_file.display().to_string())?;
        Ok(Certificates { chain: vec![read(&server_file)?, read(&ca_file)?], key, ca_file })
    }
}

/// Writes an authority, and a certificate signed by it.
fn make(ca_file: &Path, server_file: &Path, key_file: &Path) -> Result<()> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "SEG CDC sandbox authority (development only)");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;

    let mut server = CertificateParams::new(NAMES.map(str::to_owned))?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.use_authority_key_identifier_extension = true;
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &Issuer::new(authority, authority_key))?;

    fs::write(key_file, server_key.serialize_pem())?;
    fs::write(server_file, certificate.pem())?;
    fs::write(ca_file, authority_certificate.pem())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_survive_a_restart() {
        let dir = std::env::temp_dir().join(format!("segcdc-certificates-{}", uuid::Uuid::new_v4()));
        let first = Certificates::load_or_make(&dir).unwrap();
        let second = Certificates::load_or_make(&dir).unwrap();
        assert_eq!(first.chain, second.chain);
        fs::remove_dir_all(&dir).unwrap();
    }
}
