//! Private certificate authorities, and a server that shows their certificates.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

use crate::fixture::Source;

/// A private authority.
pub(crate) struct Authority {
    /// PEM file with its certificate.
    pub(crate) file: PathBuf,
    /// PEM file with its key.
    pub(crate) key_file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM files.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn make(dir: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let (file, key_file) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        write_key(&key_file, &key);
        Authority { file, key_file, issuer: Issuer::new(params, key) }
    }

    /// A certificate for a name.
    pub(crate) fn issue(&self, dir: &Path, name: &str) -> Issued {
        self.issue_with(dir, name, name, |_| {})
    }

    /// A certificate for a name that is changed before it is signed, in files of another name.
    pub(crate) fn issue_with(
        &self,
        dir: &Path,
        file: &str,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let issued =
            Issued { certificate: dir.join(format!("{file}.crt")), key: dir.join(format!("{file}.key")) };
        fs::write(&issued.certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        write_key(&issued.key, &key);
        issued
    }

    /// Writes a list that withdraws these serial numbers.
    pub(crate) fn revoke(&self, dir: &Path, serials: &[u64]) -> PathBuf {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2126, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let file = dir.join(format!("revoked-{}.pem", serials.len()));
        fs::write(&file, list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
        file
    }
}

/// Runs OpenSSL in a folder, as people make certificates by hand.
pub(crate) fn openssl(dir: &Path, arguments: &[&str]) {
    let done = Command::new("openssl").args(arguments).current_dir(dir).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A certificate that signs itself, by a signature that names no hash function.
pub(crate) fn ed25519(dir: &Path, name: &str) -> Issued {
    let (subject, names) = (format!("/CN={name}"), format!("subjectAltName=DNS:{name}"));
    openssl(dir, &["genpkey", "-algorithm", "ed25519", "-out", "ed25519.key"]);
    openssl(
        dir,
        &[
            "req",
            "-x509",
            "-new",
            "-key",
            "ed25519.key",
            "-days",
            "2",
            "-subj",
            &subject,
            "-addext",
            &names,
            "-out",
            "ed25519.crt",
        ],
    );
    close(&dir.join("ed25519.key"));
    Issued { certificate: dir.join("ed25519.crt"), key: dir.join("ed25519.key") }
}

/// A key, closed to others.
fn write_key(file: &Path, key: &KeyPair) {
    fs::write(file, key.serialize_pem()).unwrap();
    close(file);
}

/// Takes the rights of others away.
pub(crate) fn close(file: &Path) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A file of the server: its own, and nobody else's.
pub(crate) fn give_to_server(source: &Source, path: &Path) {
    let owner = fs::metadata(source.cluster.data_dir()).unwrap();
    close(path);
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
}

/// Has the server show this certificate from its next reload on.
pub(crate) fn install(source: &Source, issued: &Issued) {
    let data = source.cluster.data_dir();
    for (from, to) in [(&issued.certificate, "server.crt"), (&issued.key, "server.key")] {
        fs::copy(from, data.join(to)).unwrap();
        give_to_server(source, &data.join(to));
    }
}
