//! A real PgBouncer in the path: whatever it is told to let through, it is named.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use segcdc_model::{Disposition, Fault, Severity};
use segcdc_postgres::{SourceConfig, preflight, session};
use segcdc_testkit::free_port;
use tempfile::TempDir;

use crate::fixture::{PATIENCE, Source, ask, problems, with_code};

/// Every setting that a session asks for, as an administrator lists what clients are not to be refused for.
const IGNORED: &str = "extra_float_digits, IntervalStyle, bytea_output, xmlbinary, search_path, quote_all_identifiers, \
    default_transaction_read_only, default_transaction_isolation, default_transaction_deferrable, row_security, \
    statement_timeout, lock_timeout, idle_in_transaction_session_timeout, idle_session_timeout, jit, client_min_messages, \
    synchronous_commit";

/// A running PgBouncer; dropping it ends it by its process id.
struct Pooler {
    child: Child,
    port: u16,
    _files: TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The program: of the system, or of the checkout's cache.
fn program() -> Option<PathBuf> {
    let cached = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/pgbouncer/usr/sbin/pgbouncer");
    [PathBuf::from("/usr/sbin/pgbouncer"), cached].into_iter().find(|path| path.is_file())
}

impl Pooler {
    /// In front of a server; `None` where there is no PgBouncer.
    async fn start(source: &Source, mode: &str, ignored: &str) -> Option<Pooler> {
        let Some(program) = program() else {
            eprintln!("skipped: there is no PgBouncer; scripts/setup.sh test gets one");
            return None;
        };
        let files = tempfile::tempdir().unwrap();
        fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = free_port().unwrap();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\nauth_file =\npool_mode = {mode}\nignore_startup_parameters = {ignored}\n\
             [users]\n",
            source.cluster.port()
        );
        let settings = settings.replace("* = host=127.0.0.1", "* = user=postgres host=127.0.0.1");
        let file = files.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        let mut command = Command::new(program);
        // It refuses to run as root, as PostgreSQL does.
        let owner = fs::metadata(source.cluster.data_dir()).unwrap();
        let (user, group) =
            (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
        chown(&file, Some(user), Some(group)).unwrap();
        let null = Stdio::null;
        let child = command.arg("-q").arg(&file).uid(user).gid(group).current_dir("/").stdin(null());
        let child = child.stdout(null()).stderr(null()).spawn().unwrap();
        let pooler = Pooler { child, port, _files: files };
        let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok();
        segcdc_testkit::until("PgBouncer listens", PATIENCE, listens).await.unwrap();
        Some(pooler)
    }

    fn config(&self, source: &Source) -> SourceConfig {
        let (port, name) = (self.port, &source.name);
        SourceConfig::parse(&format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode=disable")).unwrap()
    }
}

#[tokio::test]
async fn pgbouncer_is_named_however_it_is_set_up() {
    let source = Source::shared("pooled_by_pgbouncer", "CREATE TABLE a (id int PRIMARY KEY)").await;
    for mode in ["session", "transaction"] {
        // As it comes: it does not know what our sessions ask for.
        let Some(pooler) = Pooler::start(&source, mode, "").await else { return };
        let error = session::connect(&pooler.config(&source)).await.unwrap_err();
        let expected = ("REPLICATION_CONNECTION_REFUSED", Disposition::Halt);
        assert_eq!((error.code(), error.disposition()), expected, "{mode}: {error:?}");
        assert!(error.hint().contains("pooler"), "{}", error.hint());
        // Told to ignore it, it lets in sessions that have it not: worse, and not to be noticed by their user.
        let pooler = Pooler::start(&source, mode, IGNORED).await.unwrap();
        let error = session::connect(&pooler.config(&source)).await.unwrap_err();
        assert_eq!(
            (error.code(), error.disposition()),
            ("POOLER_SETTINGS", Disposition::Halt),
            "{mode}: {error:?}"
        );
        let finding = preflight::check_replication(&pooler.config(&source)).await;
        assert_eq!(finding.severity, Severity::Failure, "{finding:?}");
        assert!(finding.hint.contains("directly") || finding.hint.contains("itself"), "{finding:?}");
    }
}

#[tokio::test]
async fn pgbouncer_whose_database_has_our_settings_is_noticed_all_the_same() {
    let source = Source::shared("pgbouncer_set", "CREATE TABLE a (id int PRIMARY KEY)").await;
    let Some(pooler) = Pooler::start(&source, "session", IGNORED).await else { return };
    for (setting, value) in [
        ("extra_float_digits", "3"),
        ("xmlbinary", "base64"),
        ("search_path", "pg_catalog"),
        ("row_security", "off"),
        ("jit", "off"),
        ("client_min_messages", "warning"),
        ("synchronous_commit", "on"),
    ] {
        source.run(&format!("ALTER DATABASE pgbouncer_set SET {setting} = '{value}'")).await;
    }
    let through = session::connect(&pooler.config(&source)).await.unwrap();
    assert_eq!(ask(&through, "SELECT current_database()").await, "pgbouncer_set");
    let request = source.request(&["a"]).await;
    let found = problems(&through, &request).await;
    assert_eq!(with_code(&found, "POOLER").unwrap().severity, Severity::Warning);
}
