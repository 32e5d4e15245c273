//! A real PgBouncer in the path: whatever it is told to let through, it is named.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use segcdc_model::{Disposition, Fault, Severity};
use segcdc_postgres::{Replication, SlotSnapshot, SourceConfig, preflight, session};
use segcdc_testkit::free_port;
use tempfile::TempDir;

use crate::fixture::{PATIENCE, Source, ask, next_transaction, problems, with_code};

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

/// The first version that lets replication through.
const REPLICATION_VERSION: (u32, u32) = (1, 23);

/// A program, and its version.
#[derive(Debug)]
struct Program {
    path: PathBuf,
    version: (u32, u32),
}

/// The programs of the system and of the checkout's cache, one of each version; none, and said so, where there are none.
fn programs() -> Vec<Program> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache");
    let places = [
        PathBuf::from("/usr/sbin/pgbouncer"),
        cache.join("pgbouncer/usr/sbin/pgbouncer"),
        cache.join("pgbouncer-newer/pgbouncer"),
    ];
    let mut programs: Vec<Program> = places.into_iter().filter_map(Program::at).collect();
    programs.dedup_by_key(|program| program.version);
    if programs.is_empty() {
        eprintln!("skipped: there is no PgBouncer; scripts/setup.sh test gets one");
    }
    programs
}

impl Program {
    fn at(path: PathBuf) -> Option<Program> {
        let said = Command::new(&path).arg("--version").output().ok()?;
        let text = String::from_utf8(said.stdout).ok()?;
        let mut numbers = text.strip_prefix("PgBouncer ")?.split('.').map(str::parse);
        let version = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Program { path, version })
    }
}

impl Pooler {
    /// In front of a server.
    async fn start(program: &Program, source: &Source, mode: &str, ignored: &str) -> Pooler {
        let files = tempfile::tempdir().unwrap();
        fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = free_port().unwrap();
        // As root it becomes another user itself, once it has loaded what that user may not see.
        let owner = fs::metadata(source.cluster.data_dir()).unwrap();
        let r#become = if fs::metadata("/proc/self").unwrap().uid() == 0 { "user = postgres" } else { "" };
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\nauth_file =\npool_mode = {mode}\nignore_startup_parameters = {ignored}\n\
             {become}\n[users]\n",
            source.cluster.port()
        );
        let settings = settings.replace("* = host=127.0.0.1", "* = user=postgres host=127.0.0.1");
        let file = files.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        let (mut command, null) = (Command::new(&program.path), Stdio::null);
        let child = command.arg("-q").arg(&file).current_dir("/").stdin(null());
        let child = child.stdout(null()).stderr(null()).spawn().unwrap();
        let pooler = Pooler { child, port, _files: files };
        let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok();
        segcdc_testkit::until("PgBouncer listens", PATIENCE, listens).await.unwrap();
        pooler
    }

    fn config(&self, source: &Source) -> SourceConfig {
        let (port, name) = (self.port, &source.name);
        SourceConfig::parse(&format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode=disable")).unwrap()
    }
}

#[tokio::test]
async fn pgbouncer_is_named_however_it_is_set_up() {
    let source = Source::shared("pooled_by_pgbouncer", "CREATE TABLE a (id int PRIMARY KEY)").await;
    let programs = programs();
    let modes = programs.iter().flat_map(|program| ["session", "transaction"].map(|mode| (program, mode)));
    for (program, mode) in modes {
        // As it comes: it does not know what our sessions ask for.
        let pooler = Pooler::start(program, &source, mode, "").await;
        let error = session::connect(&pooler.config(&source)).await.unwrap_err();
        let expected = ("REPLICATION_CONNECTION_REFUSED", Disposition::Halt);
        assert_eq!((error.code(), error.disposition()), expected, "{mode}: {error:?}");
        assert!(error.hint().contains("pooler"), "{}", error.hint());
        let finding = preflight::check_replication(&pooler.config(&source)).await;
        let is_let_through = finding.severity == Severity::Ok;
        assert_eq!(is_let_through, program.version >= REPLICATION_VERSION, "{finding:?}");
        // Told to ignore it, it lets in sessions that have it not: worse, and not to be noticed by their user.
        let pooler = Pooler::start(program, &source, mode, IGNORED).await;
        let error = session::connect(&pooler.config(&source)).await.unwrap_err();
        assert_eq!(
            (error.code(), error.disposition()),
            ("POOLER_SETTINGS", Disposition::Halt),
            "{mode}: {error:?}"
        );
        let ignored = preflight::check_replication(&pooler.config(&source)).await;
        assert_eq!(ignored.severity, Severity::Failure, "{ignored:?}");
        assert!(ignored.hint.contains("directly") || ignored.hint.contains("itself"), "{ignored:?}");
    }
}

/// What the product would need beside it, an ordinary session, is refused by name; see above.
#[tokio::test]
async fn newer_pgbouncer_lets_a_slot_be_made_and_followed() {
    let source = Source::shared("followed_by_pgbouncer", "CREATE TABLE a (id int PRIMARY KEY)").await;
    source.publish().await;
    for program in programs().iter().filter(|program| program.version >= REPLICATION_VERSION) {
        for mode in ["session", "transaction"] {
            let pooler = Pooler::start(program, &source, mode, "").await;
            let config = pooler.config(&source);
            let mut replication = Replication::connect(&config).await.unwrap();
            let slot = replication.create_slot("pooled", SlotSnapshot::None, false).await.unwrap();
            source.run("INSERT INTO a VALUES (1)").await;
            let mut stream =
                replication.start("pooled", slot.consistent_point, &[&source.name]).await.unwrap();
            let first = next_transaction(&mut stream).await;
            assert_eq!(first.changes.len(), 1);
            stream.acknowledge(first.end_lsn);
            source.run("DELETE FROM a").await;
            let second = next_transaction(&mut stream).await;
            assert!(second.end_lsn > first.end_lsn);
            stream.close().await.unwrap();
            let dropped =
                async || Replication::connect(&source.config).await.ok()?.drop_slot("pooled").await.ok();
            segcdc_testkit::until("the slot is free", PATIENCE, dropped).await.unwrap();
        }
    }
}

#[tokio::test]
async fn pgbouncer_whose_database_has_our_settings_is_noticed_all_the_same() {
    let source = Source::shared("pgbouncer_set", "CREATE TABLE a (id int PRIMARY KEY)").await;
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
    let request = source.request(&["a"]).await;
    for program in programs() {
        let pooler = Pooler::start(&program, &source, "session", IGNORED).await;
        let through = session::connect(&pooler.config(&source)).await.unwrap();
        assert_eq!(ask(&through, "SELECT current_database()").await, "pgbouncer_set");
        let found = problems(&through, &request).await;
        assert_eq!(with_code(&found, "POOLER").unwrap().severity, Severity::Warning, "{program:?}");
    }
}
