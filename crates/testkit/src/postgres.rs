//! [`PostgresCluster`]: a private PostgreSQL server on loopback.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::port::free_port;
use crate::{locale, scratch};

/// The superuser of each cluster; loopback connections are trusted.
pub const SUPERUSER: &str = "postgres";
/// How long a server may take to come up; recovery after an immediate stop is the slowest case.
const START_LIMIT: Duration = Duration::from_secs(180);
/// How long a server may take to go down.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How a cluster is to be made.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Data directory; a temporary one, removed at the end, when `None`. An existing cluster is used as it is.
    pub data_dir: Option<PathBuf>,
    /// Whether commits wait for the disk. Off for speed; on where a crash of the server is part of the test.
    pub fsync: bool,
    /// `initdb --encoding`.
    pub encoding: String,
    /// `initdb --locale`.
    pub locale: String,
    /// Further `name = value` settings, which win over the built-in ones.
    pub settings: Vec<(String, String)>,
    /// Directory of `postgres` and `initdb`; see [`bin_dir`] when `None`.
    pub bin_dir: Option<PathBuf>,
    /// Locales for the server alone, as [`locale::make`] makes them, beside those that are part of the C library.
    pub locales: Vec<String>,
    /// Whether the cluster needs a system identifier of its own. Others may share theirs: they are copies.
    pub own_identity: bool,
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Ends all sessions, writes a checkpoint, goes down.
    Fast,
    /// As a crash: no checkpoint, recovery at the next start.
    Immediate,
}

/// A running private server. Dropping it stops the server by its process id.
#[derive(Debug)]
pub struct PostgresCluster {
    bin_dir: PathBuf,
    data_dir: PathBuf,
    port: u16,
    settings: Vec<(String, String)>,
    locales: Option<TempDir>,
    owner: Option<(u32, u32)>,
    child: Option<Child>,
    // Declared last so that it is removed after the server has stopped.
    _temporary: Option<TempDir>,
}

/// A copy of a cluster's data directory, removed when it is dropped.
#[derive(Debug)]
pub struct ClusterCopy {
    temporary: TempDir,
    bin_dir: PathBuf,
    settings: Vec<(String, String)>,
}

/// Names the PostgreSQL that sources are.
pub(crate) const BIN_VARIABLE: &str = "SEGCDC_TEST_PG_BIN";

/// The newest installed PostgreSQL, or what `SEGCDC_TEST_PG_BIN` names.
pub fn bin_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os(BIN_VARIABLE) {
        return Ok(PathBuf::from(dir));
    }
    installed_bin_dir().context(
        "no PostgreSQL server found under /usr/lib/postgresql; run `apt-get install postgresql`, or name the folder \
         of its binaries in SEGCDC_TEST_PG_BIN",
    )
}

/// The newest installed PostgreSQL, whatever the variable says.
pub(crate) fn installed_bin_dir() -> Option<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = installed
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("postgres").exists())
        .max();
    newest.map(|(_, bin)| bin)
}

// === impl PostgresOptions ===

impl Default for PostgresOptions {
    fn default() -> Self {
        PostgresOptions {
            data_dir: None,
            fsync: false,
            encoding: "UTF8".to_owned(),
            locale: "C.UTF-8".to_owned(),
            settings: Vec::new(),
            bin_dir: None,
            locales: Vec::new(),
            own_identity: false,
        }
    }
}

impl PostgresOptions {
    /// Adds one setting.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

// === impl PostgresCluster ===

impl PostgresCluster {
    /// Makes a cluster and starts its server; returns when it accepts connections.
    pub async fn start(options: PostgresOptions) -> Result<Self> {
        let bin_dir = options.bin_dir.clone().map_or_else(bin_dir, Ok)?;
        let (data_dir, temporary) = match options.data_dir.clone() {
            Some(dir) => (dir, None),
            None => {
                let temporary = scratch::temp_dir("segcdc-pg-")?;
                (temporary.path().join("data"), Some(temporary))
            }
        };
        let owner = server_owner()?;
        prepare_dir(&data_dir, temporary.as_ref().map(TempDir::path), owner)?;
        if !data_dir.join("PG_VERSION").exists() {
            make_cluster(&bin_dir, &data_dir, &options, owner)?;
        }
        let durability = if options.fsync { "on" } else { "off" };
        let mut settings: Vec<(String, String)> = [
            ("listen_addresses", "127.0.0.1"),
            ("wal_level", "logical"),
            ("max_wal_senders", "20"),
            ("max_replication_slots", "20"),
            ("max_connections", "100"),
            ("fsync", durability),
            ("synchronous_commit", durability),
            ("full_page_writes", durability),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        settings.extend(options.settings);
        let locales = locale::make(&options.locales)?;
        let port = free_port()?;
        let mut cluster = PostgresCluster {
            bin_dir,
            data_dir,
            port,
            settings,
            locales,
            owner,
            child: None,
            _temporary: temporary,
        };
        cluster.start_server().await?;
        Ok(cluster)
    }

    /// The port on 127.0.0.1; it stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id of the server; `None` when it is down.
    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The data directory, which also holds the socket and `server.log`.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The directory of the server's programs.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// A URL for `database` as the superuser, without TLS.
    pub fn url(&self, database: &str) -> String {
        self.url_as(SUPERUSER, database)
    }

    /// A URL for `database` as `user`, without TLS.
    pub fn url_as(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// A session as the superuser.
    pub async fn connect(&self, database: &str) -> Result<Client> {
        connect(self.port, database).await
    }

    /// Runs statements as the superuser in a session of their own.
    pub async fn execute(&self, database: &str, sql: &str) -> Result<()> {
        self.connect(database)
            .await?
            .batch_execute(sql)
            .await
            .with_context(|| format!("could not run: {sql}"))
    }

    /// Runs one command through the real psql, unaligned and without headers; returns what it printed.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = Command::new(self.client_program("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", SUPERUSER]);
        let output = command.args(["-p", &self.port.to_string(), "-d", database, "-c", sql]).output()?;
        ensure!(output.status.success(), "psql failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A client program: beside the server, else from the search path (some server packages ship none).
    pub fn client_program(&self, name: &str) -> PathBuf {
        let beside = self.bin_dir.join(name);
        if beside.exists() { beside } else { PathBuf::from(name) }
    }

    /// Stops the server; does nothing when it is down.
    pub fn stop(&mut self, mode: StopMode) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let signal = match mode {
            StopMode::Fast => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
        };
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("impossible process id")?;
        // The server may have gone by itself; then there is nothing to signal.
        kill_process(id, signal).ok();
        let deadline = Instant::now() + STOP_LIMIT;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
                bail!("PostgreSQL with process id {} did not stop in {STOP_LIMIT:?}", child.id());
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Starts the server again after [`PostgresCluster::stop`].
    pub async fn start_server(&mut self) -> Result<()> {
        let log_path = self.data_dir.join("server.log");
        let log = fs::OpenOptions::new().create(true).append(true).open(&log_path)?;
        let mut command = as_owner(Command::new(self.bin_dir.join("postgres")), self.owner);
        command
            .arg("-D")
            .arg(&self.data_dir)
            .args(["-p", &self.port.to_string()])
            .arg("-k")
            .arg(&self.data_dir);
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        if let Some(locales) = &self.locales {
            command.env("LOCPATH", locales.path());
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = self.child.insert(command.spawn().context("could not start postgres")?);
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if connect(self.port, "postgres").await.is_ok() {
                return Ok(());
            }
            if let Some(status) = child.try_wait()? {
                self.child = None;
                bail!("postgres ended with {status}; its log:\n{}", fs::read_to_string(&log_path)?);
            }
            ensure!(Instant::now() < deadline, "postgres did not accept connections in {START_LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Copies the data directory of a server that is down, replication slots included, as a snapshot of its disk does.
    pub fn copy(&self) -> Result<ClusterCopy> {
        ensure!(self.child.is_none(), "a server has to be down to be copied");
        let temporary = scratch::temp_dir("segcdc-pg-")?;
        let data_dir = temporary.path().join("data");
        prepare_dir(&data_dir, Some(temporary.path()), self.owner)?;
        let copied = Command::new("cp").arg("-a").arg(self.data_dir.join(".")).arg(&data_dir).status()?;
        ensure!(copied.success(), "could not copy {}", self.data_dir.display());
        Ok(ClusterCopy { temporary, bin_dir: self.bin_dir.clone(), settings: self.settings.clone() })
    }

    /// Makes the server a standby of `primary`, which it is a copy of, for its next start: without replication slots, as
    /// `pg_basebackup` makes it.
    pub fn follow(&mut self, primary: &PostgresCluster, application_name: &str) -> Result<()> {
        ensure!(self.child.is_none(), "a server has to be down to become a standby");
        for slot in fs::read_dir(self.data_dir.join("pg_replslot"))? {
            fs::remove_dir_all(slot?.path())?;
        }
        let signal = self.data_dir.join("standby.signal");
        fs::write(&signal, "")?;
        if let Some((user, group)) = self.owner {
            chown(&signal, Some(user), Some(group))?;
        }
        let address = format!(
            "host=127.0.0.1 port={} user={SUPERUSER} dbname=postgres application_name={application_name}",
            primary.port
        );
        self.set("primary_conninfo", &address);
        self.set("hot_standby_feedback", "on");
        Ok(())
    }

    /// Sets or changes a setting for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Has the server listen on another port from its next start on, as an address does that moves to another machine.
    pub fn set_port(&mut self, port: u16) {
        self.port = port;
    }

    /// Stops and starts the server.
    pub async fn restart(&mut self, mode: StopMode) -> Result<()> {
        self.stop(mode)?;
        self.start_server().await
    }
}

// === impl ClusterCopy ===

impl ClusterCopy {
    /// A server on the copy, with the settings of the original and a port of its own. It is down.
    pub fn into_cluster(self) -> Result<PostgresCluster> {
        let ClusterCopy { temporary, bin_dir, settings } = self;
        Ok(PostgresCluster {
            bin_dir,
            data_dir: temporary.path().join("data"),
            port: free_port()?,
            settings,
            locales: None,
            owner: server_owner()?,
            child: None,
            _temporary: Some(temporary),
        })
    }
}

impl Drop for PostgresCluster {
    fn drop(&mut self) {
        // A test that failed leaves nothing worth a checkpoint.
        self.stop(StopMode::Immediate).ok();
    }
}

async fn connect(port: u16, database: &str) -> Result<Client> {
    let config = format!("host=127.0.0.1 port={port} user={SUPERUSER} dbname={database}");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Whom the server runs as: PostgreSQL refuses to run as root.
fn server_owner() -> Result<Option<(u32, u32)>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd")?;
    let ids = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some("postgres")).then_some(())?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    ids.map(Some).context("PostgreSQL does not run as root, and there is no user \"postgres\" to run it as")
}

/// Makes a cluster: a copy of one that was made before in the same way, else by `initdb`.
fn make_cluster(
    bin_dir: &Path,
    data_dir: &Path,
    options: &PostgresOptions,
    owner: Option<(u32, u32)>,
) -> Result<()> {
    let PostgresOptions { encoding, locale, .. } = options;
    let initdb = |dir: &Path| {
        prepare_dir(dir, dir.parent(), owner)?;
        let mut initdb = as_owner(Command::new(bin_dir.join("initdb")), owner);
        initdb.arg("--pgdata").arg(dir);
        initdb.args(["--username", SUPERUSER, "--auth", "trust", "--no-sync"]);
        let output = initdb
            .args(["--encoding", encoding, "--locale", locale])
            .output()
            .context("could not run initdb")?;
        ensure!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    if options.own_identity {
        return initdb(data_dir);
    }
    let version = Command::new(bin_dir.join("postgres")).arg("--version").output()?;
    let version: String = String::from_utf8_lossy(&version.stdout)
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    if scratch::copy_cluster(&format!("{version}-{encoding}-{locale}"), data_dir, initdb)? {
        return Ok(());
    }
    initdb(data_dir)
}

fn as_owner(mut command: Command, owner: Option<(u32, u32)>) -> Command {
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    // The caller's directory may be closed to the server's user.
    command.current_dir("/");
    command
}

fn prepare_dir(data_dir: &Path, parent: Option<&Path>, owner: Option<(u32, u32)>) -> Result<()> {
    fs::create_dir_all(data_dir)?;
    fs::set_permissions(data_dir, fs::Permissions::from_mode(0o700))?;
    if let Some((user, group)) = owner {
        for dir in parent.into_iter().chain([data_dir]) {
            chown(dir, Some(user), Some(group))?;
        }
    }
    Ok(())
}
