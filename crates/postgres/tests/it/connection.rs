//! Logging in and TLS.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use segcdc_model::{Disposition, Fault};
use segcdc_postgres::{Replication, Session, SourceConfig, SourceError, session};
use segcdc_testkit::PostgresOptions;

use crate::fixture::{PATIENCE, Source, ask};

/// Who may come in how. The first line that fits counts.
const RULES: &str = "\
    host    all          postgres  127.0.0.1/32  trust\n\
    host    replication  scram     all           scram-sha-256\n\
    host    all          scram     all           scram-sha-256\n\
    host    all          old       all           md5\n\
    host    all          clear     all           password\n";

/// A private authority.
struct Authority {
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn make(dir: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let file = dir.join(format!("{name}.pem"));
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { file, issuer: Issuer::new(params, key) }
    }

    /// Writes a certificate and its key for a name.
    fn issue(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let (file, key_file) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        fs::write(&file, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        (file, key_file)
    }
}

/// A file of the server: its own, and nobody else's.
fn give_to_server(source: &Source, path: &Path) {
    let owner = fs::metadata(source.cluster.data_dir()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
}

/// Lets [`RULES`] count, behind further ones. The role `scram` must be there.
async fn guard(source: &Source, further: &str) {
    let rules = source.cluster.data_dir().join("pg_hba.conf");
    fs::write(&rules, format!("{further}\n{RULES}")).unwrap();
    give_to_server(source, &rules);
    source.session.query_text("SELECT pg_reload_conf()").await.unwrap();
    let guarded = async || connect(source, "scram", "").await.is_err().then_some(());
    segcdc_testkit::until("the rules count", PATIENCE, guarded).await.unwrap();
}

/// A session over 127.0.0.1 or localhost; `login` is what stands before the `@`.
async fn connect(source: &Source, login: &str, parameters: &str) -> Result<Session, SourceError> {
    connect_to(source, "127.0.0.1", login, parameters).await
}

async fn connect_to(
    source: &Source,
    host: &str,
    login: &str,
    parameters: &str,
) -> Result<Session, SourceError> {
    session::connect(&config(source, host, login, parameters)).await
}

fn config(source: &Source, host: &str, login: &str, parameters: &str) -> SourceConfig {
    let (port, database) = (source.cluster.port(), &source.name);
    let parameters = if parameters.is_empty() { "sslmode=disable" } else { parameters };
    SourceConfig::parse(&format!("postgres://{login}@{host}:{port}/{database}?{parameters}")).unwrap()
}

#[tokio::test]
async fn passwords_are_proven_or_refused() {
    let setup = "CREATE ROLE scram LOGIN REPLICATION PASSWORD 'p@ss/ wörd'; CREATE ROLE clear LOGIN PASSWORD 'x'; \
         SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'old'";
    let source = Source::private("passwords", PostgresOptions::default(), setup).await;
    guard(&source, "").await;
    let right = "scram:p%40ss%2F%20w%C3%B6rd";
    let session = connect(&source, right, "").await.unwrap();
    assert_eq!(ask(&session, "SELECT current_user").await, "scram");
    Replication::connect(&config(&source, "127.0.0.1", right, "")).await.unwrap().close().await;
    connect(&source, "old:old", "").await.unwrap().close().await;
    for (login, code) in [
        ("scram:wrong", "AUTH_FAILED"),
        ("old:wrong", "AUTH_FAILED"),
        ("stranger:x", "AUTH_FAILED"),
        ("scram", "AUTH_PASSWORD_MISSING"),
        ("clear:x", "AUTH_METHOD_UNSUPPORTED"),
    ] {
        let error = connect(&source, login, "").await.unwrap_err();
        assert_eq!((error.code(), error.disposition()), (code, Disposition::Halt), "{login}: {error}");
        let text = crate::fixture::chain(&error);
        assert!(!text.contains("wrong") && !format!("{error:?}").contains("wrong"), "{text}");
    }
    let error = Replication::connect(&config(&source, "127.0.0.1", "old:old", "")).await.unwrap_err();
    let expected = ("PERMISSION_REPLICATION", Disposition::Halt);
    assert_eq!((error.code(), error.disposition()), expected, "let in, but not to replicate: {error}");
}

#[tokio::test]
async fn certificates_are_checked_as_strictly_as_asked() {
    let setup = "CREATE ROLE scram LOGIN PASSWORD 'secret'; CREATE ROLE holder LOGIN; \
         CREATE ROLE clear LOGIN PASSWORD 'x'";
    let source = Source::private("certificates", PostgresOptions::default(), setup).await;
    if source.session.query_text("ALTER SYSTEM SET ssl = on").await.is_err() {
        eprintln!("skipped: this build of PostgreSQL has no TLS");
        return;
    }
    let files = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::make(files.path(), "ours"), Authority::make(files.path(), "theirs"));
    let (certificate, key) = ours.issue(files.path(), "localhost");
    let (holder, holder_key) = ours.issue(files.path(), "holder");
    let data = source.cluster.data_dir();
    for (from, to) in [(&certificate, "server.crt"), (&key, "server.key"), (&ours.file, "root.crt")] {
        fs::copy(from, data.join(to)).unwrap();
        give_to_server(&source, &data.join(to));
    }
    source.session.query_text("ALTER SYSTEM SET ssl_ca_file = 'root.crt'").await.unwrap();
    guard(&source, "hostssl all holder all cert").await;
    let require = async || connect(&source, "scram:secret", "sslmode=require").await.ok();
    let session = segcdc_testkit::until("TLS is offered", PATIENCE, require).await.unwrap();
    assert_eq!(ask(&session, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").await, "t");

    let (ours, theirs) = (ours.file.display(), theirs.file.display());
    let full = format!("sslmode=verify-full&sslrootcert={ours}");
    connect_to(&source, "localhost", "scram:secret", &full).await.unwrap();
    // A password in clear is sent where nobody can read it.
    connect_to(&source, "localhost", "clear:x", &full).await.unwrap();
    let ca = format!("sslmode=verify-ca&sslrootcert={ours}");
    connect(&source, "scram:secret", &ca).await.unwrap();
    // As libpq: an authority that is given is checked whatever the mode.
    let given = format!("sslmode=require&sslrootcert={theirs}");
    let strangers = format!("sslmode=verify-full&sslrootcert={theirs}");
    for (host, parameters) in [
        ("127.0.0.1", full.as_str()),
        ("localhost", strangers.as_str()),
        ("127.0.0.1", given.as_str()),
        ("localhost", "sslmode=verify-full"),
    ] {
        let error = connect_to(&source, host, "scram:secret", parameters).await.unwrap_err();
        assert_eq!(
            (error.code(), error.disposition()),
            ("TLS_FAILED", Disposition::Halt),
            "{host} {parameters}"
        );
    }

    let error = connect_to(&source, "localhost", "holder", &full).await.unwrap_err();
    assert_eq!(error.code(), "AUTH_FAILED", "no certificate, no entry: {error}");
    let with = format!("{full}&sslcert={}&sslkey={}", holder.display(), holder_key.display());
    let session = connect_to(&source, "localhost", "holder", &with).await.unwrap();
    assert_eq!(ask(&session, "SELECT current_user").await, "holder");
}

#[tokio::test]
async fn server_without_tls_is_refused_unless_told() {
    let source = Source::shared("without_tls", "").await;
    let error = connect(&source, "postgres", "sslmode=require").await.unwrap_err();
    assert_eq!((error.code(), error.disposition()), ("TLS_NOT_OFFERED", Disposition::Halt));
    let error = connect(&source, "postgres", "sslmode=require&sslrootcert=/no/such/file").await.unwrap_err();
    assert_eq!(error.code(), "CA_INVALID");
    let error = connect_to(&source, "127.0.0.1", "postgres", "sslmode=disable&connect_timeout=5").await;
    assert!(error.is_ok());
    let missing = SourceConfig::parse(&source.cluster.url("no_such_database")).unwrap();
    assert_eq!(session::connect(&missing).await.unwrap_err().code(), "DATABASE_MISSING");
}
