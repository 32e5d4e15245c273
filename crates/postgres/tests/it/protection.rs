//! TLS, certificates of both sides, channel binding; each by an ordinary session and by one that replicates.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use segcdc_model::{CertificateCheck, Disposition, Fault};
use segcdc_postgres::{Replication, Session, SourceConfig, SourceError, session};
use segcdc_testkit::PostgresOptions;
use tempfile::TempDir;

use crate::authority::{Authority, Issued, close, ed25519, give_to_server, install, openssl};
use crate::fixture::{PATIENCE, Source, ask, chain};

/// Who may come in how. The first line that fits counts.
const RULES: &str = "\
    host       all  postgres   127.0.0.1/32  trust\n\
    local      all  all        scram-sha-256\n\
    hostssl    all  tls_only   all  scram-sha-256\n\
    hostnossl  all  tls_only   all  reject\n\
    hostnossl  all  bare_only  all  scram-sha-256\n\
    hostssl    all  bare_only  all  reject\n\
    hostssl    all  holder     all  cert\n\
    hostssl    all  named      all  scram-sha-256 clientcert=verify-full\n\
    host       all  old        all  md5\n\
    host       all  clear      all  password\n\
    host       all  all        all  scram-sha-256\n";

const ROLES: &str = "CREATE ROLE scram LOGIN REPLICATION PASSWORD 'secret'; \
    CREATE ROLE tls_only LOGIN REPLICATION PASSWORD 'secret'; CREATE ROLE bare_only LOGIN REPLICATION PASSWORD 'secret'; \
    CREATE ROLE holder LOGIN REPLICATION; CREATE ROLE named LOGIN REPLICATION PASSWORD 'secret'; \
    CREATE ROLE clear LOGIN REPLICATION PASSWORD 'secret'; \
    SET password_encryption = 'md5'; CREATE ROLE old LOGIN REPLICATION PASSWORD 'secret'";

/// A server with TLS, and the authority that signed its certificate, which is for `localhost`.
struct Guarded {
    source: Source,
    ours: Authority,
    files: TempDir,
}

impl Guarded {
    /// `None` where this build of PostgreSQL has no TLS.
    async fn start(name: &str) -> Option<Guarded> {
        let source = Source::private(name, PostgresOptions::default(), ROLES).await;
        if source.session.query_text("ALTER SYSTEM SET ssl = on").await.is_err() {
            eprintln!("skipped: this build of PostgreSQL has no TLS");
            return None;
        }
        let files = tempfile::tempdir().unwrap();
        let ours = Authority::make(files.path(), "ours");
        install(&source, &ours.issue(files.path(), "localhost"));
        let data = source.cluster.data_dir();
        fs::copy(&ours.file, data.join("root.crt")).unwrap();
        fs::write(data.join("pg_hba.conf"), RULES).unwrap();
        for file in ["root.crt", "pg_hba.conf"] {
            give_to_server(&source, &data.join(file));
        }
        source.session.query_text("ALTER SYSTEM SET ssl_ca_file = 'root.crt'").await.unwrap();
        let guarded = Guarded { source, ours, files };
        guarded.reload().await;
        let tls = async || guarded.connect("localhost", "tls_only:secret", "sslmode=require").await.ok();
        segcdc_testkit::until("TLS is offered", PATIENCE, tls).await.unwrap();
        Some(guarded)
    }

    fn dir(&self) -> &Path {
        self.files.path()
    }

    async fn reload(&self) {
        self.source.session.query_text("SELECT pg_reload_conf()").await.unwrap();
    }

    /// Has the server show this certificate; returns once it does.
    async fn show(&self, issued: &Issued) {
        install(&self.source, issued);
        self.reload().await;
        let port = self.source.cluster.port();
        let shown = fs::read(&issued.certificate).unwrap();
        let wanted = CertificateDer::from_pem_slice(&shown).unwrap();
        let now = async || (certificate_of(port).await.as_deref() == Some(wanted.as_ref())).then_some(());
        let log =
            || fs::read_to_string(self.source.cluster.data_dir().join("server.log")).unwrap_or_default();
        let shown = segcdc_testkit::until("the certificate is shown", PATIENCE, now).await;
        shown.unwrap_or_else(|error| panic!("{error}; the server's log:\n{}", log()));
    }

    fn config(&self, host: &str, login: &str, parameters: &str) -> SourceConfig {
        let (port, name) = (self.source.cluster.port(), &self.source.name);
        SourceConfig::parse(&format!("postgres://{login}@{host}:{port}/{name}?{parameters}")).unwrap()
    }

    /// Both kinds of session; the ordinary one is returned. They fail alike.
    async fn connect(&self, host: &str, login: &str, parameters: &str) -> Result<Session, SourceError> {
        let config = self.config(host, login, parameters);
        let ordinary = session::connect(&config).await;
        match Replication::connect(&config).await {
            Ok(replication) => replication.close().await,
            Err(error) => {
                let expected = ordinary.as_ref().map(|_| "").map_err(Fault::code);
                assert_eq!(Err(error.code()), expected, "{}", chain(&error));
            }
        }
        ordinary
    }

    /// Whether the session has TLS.
    async fn has_tls(&self, login: &str, parameters: &str) -> bool {
        let session = self.connect("localhost", login, parameters).await.unwrap();
        ask(&session, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").await == "t"
    }

    /// The connection fails with this code, which halts.
    async fn refuses(&self, host: &str, login: &str, parameters: &str, code: &str) {
        let error = self.connect(host, login, parameters).await.unwrap_err();
        let found = (error.code(), error.disposition());
        assert_eq!(found, (code, Disposition::Halt), "{host} {login} {parameters}: {}", chain(&error));
        assert!(!error.hint().is_empty());
    }
}

/// The certificate that the server shows, seen by OpenSSL.
async fn certificate_of(port: u16) -> Option<Vec<u8>> {
    let output = Command::new("openssl")
        .args(["s_client", "-starttls", "postgres", "-connect", &format!("127.0.0.1:{port}")])
        .stdin(std::process::Stdio::null())
        .output()
        .ok()?;
    let found = CertificateDer::from_pem_slice(&output.stdout).ok()?;
    Some(found.as_ref().to_vec())
}

#[tokio::test]
async fn modes_mean_what_libpq_means_by_them() {
    let Some(guarded) = Guarded::start("modes").await else { return };
    for (login, mode, tls) in [
        ("scram:secret", "disable", false),
        ("scram:secret", "allow", false),
        ("scram:secret", "prefer", true),
        ("scram:secret", "require", true),
        ("tls_only:secret", "allow", true),
        ("bare_only:secret", "prefer", false),
    ] {
        assert_eq!(guarded.has_tls(login, &format!("sslmode={mode}")).await, tls, "{login} {mode}");
    }
    guarded.refuses("localhost", "tls_only:secret", "sslmode=disable", "AUTH_FAILED").await;
    guarded.refuses("localhost", "bare_only:secret", "sslmode=require", "AUTH_FAILED").await;
    guarded.refuses("localhost", "scram:wrong", "sslmode=prefer", "AUTH_FAILED").await;
    let without = Source::shared("modes_without_tls", "").await;
    for (mode, fits) in [("allow", true), ("prefer", true), ("require", false)] {
        let port = without.cluster.port();
        let url = format!("postgres://postgres@127.0.0.1:{port}/modes_without_tls?sslmode={mode}");
        let session = session::connect(&SourceConfig::parse(&url).unwrap()).await;
        assert_eq!(session.is_ok(), fits, "{mode}");
    }
}

#[tokio::test]
async fn servers_certificate_is_checked_and_each_fault_is_named() {
    let Some(guarded) = Guarded::start("certificates").await else { return };
    let dir = guarded.dir();
    let theirs = Authority::make(dir, "theirs");
    let (ours, theirs) = (guarded.ours.file.display().to_string(), theirs.file.display().to_string());
    let full = format!("sslmode=verify-full&sslrootcert={ours}");
    let login = "scram:secret";
    guarded.connect("localhost", login, &full).await.unwrap();
    guarded.connect("localhost", login, &format!("{full}&hostaddr=127.0.0.1")).await.unwrap();
    // A password in clear is sent where nobody can read it.
    guarded.connect("localhost", "clear:secret", &full).await.unwrap();
    let ca = format!("sslmode=verify-ca&sslrootcert={ours}");
    guarded.connect("127.0.0.1", login, &ca).await.unwrap();
    guarded.refuses("127.0.0.1", login, &full, "TLS_HOST_MISMATCH").await;
    guarded.refuses("localhost", login, "sslmode=verify-full", "TLS_UNTRUSTED").await;
    let strangers = format!("sslmode=verify-full&sslrootcert={theirs}");
    guarded.refuses("localhost", login, &strangers, "TLS_UNTRUSTED").await;
    // As libpq: an authority that is given is checked whatever the mode.
    for mode in ["require", "prefer"] {
        let given = format!("sslmode={mode}&sslrootcert={theirs}&channel_binding=disable");
        if mode == "require" {
            guarded.refuses("127.0.0.1", login, &given, "TLS_UNTRUSTED").await;
        } else {
            assert!(!guarded.has_tls(login, &given).await, "prefer is content without TLS");
        }
    }

    // A new certificate counts from the server's reload on; nothing of ours has to be started again.
    let expired = guarded.ours.issue_with(dir, "expired", "localhost", |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    guarded.show(&expired).await;
    guarded.refuses("localhost", login, &full, "TLS_EXPIRED").await;
    guarded.refuses("localhost", login, &ca, "TLS_EXPIRED").await;
    let future = guarded.ours.issue_with(dir, "future", "localhost", |params| {
        params.not_before = rcgen::date_time_ymd(2125, 1, 1);
        params.not_after = rcgen::date_time_ymd(2126, 1, 1);
    });
    guarded.show(&future).await;
    guarded.refuses("localhost", login, &full, "TLS_NOT_YET_VALID").await;
    let web = guarded.ours.issue_with(dir, "mail", "localhost", |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::EmailProtection];
    });
    guarded.show(&web).await;
    guarded.refuses("localhost", login, &full, "TLS_CERTIFICATE_UNSUPPORTED").await;
    // What many make by hand: one certificate that is authority and server.
    let own = Issued { certificate: guarded.ours.file.clone(), key: guarded.ours.key_file.clone() };
    guarded.show(&own).await;
    guarded.connect("localhost", login, &full).await.unwrap();
    guarded.refuses("127.0.0.1", login, &full, "TLS_HOST_MISMATCH").await;
    guarded.refuses("localhost", login, &strangers, "TLS_CERTIFICATE_UNSUPPORTED").await;
}

#[tokio::test]
async fn withdrawn_certificate_is_refused() {
    let Some(guarded) = Guarded::start("revoked").await else { return };
    let dir = guarded.dir();
    let seven = guarded.ours.issue_with(dir, "seven", "localhost", |params| {
        params.serial_number = Some(rcgen::SerialNumber::from(7));
    });
    guarded.show(&seven).await;
    let full = format!("sslmode=verify-full&sslrootcert={}", guarded.ours.file.display());
    let with = |list: &Path| format!("{full}&sslcrl={}", list.display());
    let login = "scram:secret";
    guarded.connect("localhost", login, &with(&guarded.ours.revoke(dir, &[8]))).await.unwrap();
    guarded.refuses("localhost", login, &with(&guarded.ours.revoke(dir, &[7, 8])), "TLS_REVOKED").await;
    let strangers = Authority::make(dir, "strangers").revoke(dir, &[]);
    guarded.refuses("localhost", login, &with(&strangers), "TLS_REVOCATION_UNKNOWN").await;
    guarded.refuses("localhost", login, &with(&guarded.ours.file), "CA_INVALID").await;
}

#[tokio::test]
async fn client_shows_its_certificate_with_every_form_of_key() {
    let Some(guarded) = Guarded::start("clients").await else { return };
    let dir = guarded.dir();
    let full = format!("sslmode=verify-full&sslrootcert={}", guarded.ours.file.display());
    let with = |certificate: &Path, key: &Path| {
        format!("{full}&sslcert={}&sslkey={}", certificate.display(), key.display())
    };
    let holder = guarded.ours.issue(dir, "holder");
    let named = guarded.ours.issue(dir, "named");
    let good = with(&holder.certificate, &holder.key);
    let session = guarded.connect("localhost", "holder", &good).await.unwrap();
    assert_eq!(ask(&session, "SELECT current_user").await, "holder");
    guarded.connect("localhost", "named:secret", &with(&named.certificate, &named.key)).await.unwrap();
    // clientcert=verify-full: the name has to be the role's, and the password is asked for all the same.
    guarded.refuses("localhost", "named:secret", &good, "AUTH_FAILED").await;
    guarded.refuses("localhost", "named:secret", &full, "AUTH_FAILED").await;
    guarded.refuses("localhost", "holder", &full, "AUTH_FAILED").await;
    let stranger = Authority::make(dir, "strangers").issue_with(dir, "stranger", "holder", |_| {});
    let strange = with(&stranger.certificate, &stranger.key);
    guarded.refuses("localhost", "holder", &strange, "TLS_CLIENT_CERTIFICATE_REFUSED").await;
    let other = with(&holder.certificate, &named.key);
    guarded.refuses("localhost", "holder", &other, "CA_INVALID").await;

    let openssl = |arguments: &[&str]| openssl(dir, arguments);
    openssl(&["ec", "-in", "holder.key", "-out", "sec1.key"]);
    assert!(fs::read_to_string(dir.join("sec1.key")).unwrap().contains("BEGIN EC PRIVATE KEY"));
    openssl(&["genrsa", "-traditional", "-out", "pkcs1.key", "2048"]);
    assert!(fs::read_to_string(dir.join("pkcs1.key")).unwrap().contains("BEGIN RSA PRIVATE KEY"));
    openssl(&["req", "-new", "-key", "pkcs1.key", "-subj", "/CN=holder", "-out", "pkcs1.csr"]);
    fs::write(dir.join("v3.cnf"), "basicConstraints=CA:FALSE\n").unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        "pkcs1.csr",
        "-CA",
        "ours.pem",
        "-CAkey",
        "ours.key",
        "-set_serial",
        "9",
        "-days",
        "2",
        "-extfile",
        "v3.cnf",
        "-out",
        "pkcs1.crt",
    ]);
    for (certificate, key) in [("holder.crt", "sec1.key"), ("pkcs1.crt", "pkcs1.key")] {
        close(&dir.join(key));
        let with = with(&dir.join(certificate), &dir.join(key));
        guarded.connect("localhost", "holder", &with).await.unwrap();
    }

    openssl(&["pkey", "-in", "holder.key", "-aes256", "-passout", "pass:x", "-out", "locked.key"]);
    openssl(&[
        "rsa",
        "-in",
        "pkcs1.key",
        "-traditional",
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
        "old-locked.key",
    ]);
    for key in ["locked.key", "old-locked.key"] {
        close(&dir.join(key));
        guarded
            .refuses(
                "localhost",
                "holder",
                &with(&holder.certificate, &dir.join(key)),
                "CLIENT_KEY_ENCRYPTED",
            )
            .await;
    }
    fs::set_permissions(&holder.key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    guarded.refuses("localhost", "holder", &good, "CLIENT_KEY_PERMISSIONS").await;
}

/// By two of its neighbours: what OpenSSL says of the certificate, and what the server says of the session.
#[tokio::test]
async fn session_knows_how_it_is_protected() {
    let Some(guarded) = Guarded::start("protected").await else { return };
    let ours = format!("sslrootcert={}", guarded.ours.file.display());
    for (parameters, version, check) in [
        ("sslmode=require".to_owned(), "TLSv1.3", CertificateCheck::Nothing),
        (format!("sslmode=require&{ours}"), "TLSv1.3", CertificateCheck::Authority),
        (format!("sslmode=verify-ca&{ours}"), "TLSv1.3", CertificateCheck::Authority),
        (
            format!("sslmode=verify-full&ssl_max_protocol_version=TLSv1.2&{ours}"),
            "TLSv1.2",
            CertificateCheck::AuthorityAndName,
        ),
    ] {
        let session = guarded.connect("localhost", "scram:secret", &parameters).await.unwrap();
        let facts = session.tls_facts().await.unwrap();
        assert_eq!((facts.version.as_str(), facts.check), (version, check), "{parameters}");
        assert_eq!(facts.certificate, certificate_of(guarded.source.cluster.port()).await);
        let server = "SELECT version || ' ' || cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let server = ask(&session, server).await;
        // OpenSSL calls a suite of TLS 1.2 otherwise: ECDHE-ECDSA-AES256-GCM-SHA384.
        let suite = facts.cipher.replace("TLS_", "").replace("WITH_AES_", "AES").replace('_', "-");
        let name = |text: &str| {
            text.replace(['-', '_'], "").replace("TLS", "").replace(version.trim_start_matches("TLS"), "")
        };
        assert!(name(&server).ends_with(&name(&suite)), "{server}, {}", facts.cipher);
        assert!(server.starts_with(version), "{server}");
    }
}

#[tokio::test]
async fn proof_of_the_password_is_bound_to_tls_where_asked() {
    let Some(guarded) = Guarded::start("binding").await else { return };
    let dir = guarded.dir();
    let full = format!("sslmode=verify-full&sslrootcert={}", guarded.ours.file.display());
    let must = format!("{full}&channel_binding=require");
    for binding in ["disable", "prefer", "require"] {
        let parameters = format!("{full}&channel_binding={binding}");
        let session = guarded.connect("localhost", "scram:secret", &parameters).await.unwrap();
        assert_eq!(session.is_channel_bound().await, Some(binding != "disable"), "{binding}");
    }
    let trusted = guarded.connect("127.0.0.1", "postgres", "sslmode=disable").await.unwrap();
    assert_eq!((trusted.is_channel_bound().await, trusted.tls_facts().await), (None, None));
    guarded.refuses("localhost", "scram:wrong", &must, "AUTH_FAILED").await;
    let holder = guarded.ours.issue(dir, "holder");
    let with = format!("{must}&sslcert={}&sslkey={}", holder.certificate.display(), holder.key.display());
    for (login, parameters) in [("old:secret", &must), ("clear:secret", &must), ("holder", &with)] {
        guarded.refuses("localhost", login, parameters, "AUTH_CHANNEL_BINDING").await;
    }
    let port = guarded.source.cluster.port();
    let url = format!(
        "postgres://scram:secret@/binding?channel_binding=require&host={}&port={port}",
        guarded.source.cluster.data_dir().display()
    );
    let error = session::connect(&SourceConfig::parse(&url).unwrap()).await.unwrap_err();
    assert_eq!(error.code(), "AUTH_CHANNEL_BINDING", "no TLS, nothing to bind to: {error}");
    assert!(error.to_string().contains("no TLS"), "{error}");

    // RFC 5929 defines nothing for this kind of signature.
    let strange = ed25519(dir, "localhost");
    guarded.show(&strange).await;
    let pinned = format!("sslmode=verify-full&sslrootcert={}", strange.certificate.display());
    guarded.connect("localhost", "scram:secret", &pinned).await.unwrap();
    let must = format!("{pinned}&channel_binding=require");
    guarded.refuses("localhost", "scram:secret", &must, "AUTH_CHANNEL_BINDING").await;
}

#[tokio::test]
async fn version_of_tls_and_its_beginning_are_as_asked() {
    let Some(guarded) = Guarded::start("versions").await else { return };
    let full = format!("sslmode=verify-full&sslrootcert={}", guarded.ours.file.display());
    for (parameter, expected) in [
        ("ssl_max_protocol_version=TLSv1.2", "TLSv1.2"),
        ("ssl_min_protocol_version=TLSv1.3", "TLSv1.3"),
        ("ssl_sni=0", "TLSv1.3"),
    ] {
        let parameters = format!("{full}&{parameter}");
        let session = guarded.connect("localhost", "scram:secret", &parameters).await.unwrap();
        let sql = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        assert_eq!(ask(&session, sql).await, expected, "{parameter}");
    }
    let version: u32 =
        guarded.source.ask("SELECT current_setting('server_version_num')").await.parse().unwrap();
    let direct = format!("{full}&sslnegotiation=direct");
    let outcome = guarded.connect("localhost", "scram:secret", &direct).await;
    if version >= 170_000 {
        outcome.unwrap();
        // What binds the proof is the same certificate.
        guarded
            .connect("localhost", "scram:secret", &format!("{direct}&channel_binding=require"))
            .await
            .unwrap();
    } else {
        let error = outcome.unwrap_err();
        assert_eq!(
            (error.code(), error.disposition()),
            ("TLS_DIRECT_REFUSED", Disposition::Retry),
            "{error}"
        );
    }
}
