//! [`ConnectCluster`]: a real Apache Kafka broker and a real Kafka Connect worker with Debezium's connectors.
//!
//! ```text
//! tests/connect/pom.xml --Maven, once--> .cache/connect/{lib,plugins}
//! ConnectCluster: broker (KRaft, one node)  <--  worker (distributed)  <-- REST -- test
//! ```
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use segcdc_testkit::connect::{ConnectCluster, ConnectOptions};
//! let mut connect = ConnectCluster::start(ConnectOptions::default()).await?; // until REST answers
//! let plugins = connect.rest().get("/connector-plugins").await?.json()?;
//! let file = connect.secrets_dir().join("shop.properties"); // `${file:<path>:key}` in a connector
//! std::fs::write(file, "password=secret\n")?;
//! connect.kill_worker()?; // as a crash
//! connect.start_worker().await?; // on the same ports and data
//! # Ok(()) }
//! ```
//!
//! - The worker is found at [`ConnectCluster::url`], the broker at [`ConnectCluster::bootstrap`]; ports stay the same over
//!   restarts. Both listen on 127.0.0.1 without TLS or passwords; the broker has listeners with each, and with both, beside
//!   it.
//! - The provider `file` reads no other directory than that of [`ConnectCluster::secrets_dir`].
//! - Connectors may override client settings (`connector.client.config.override.policy=All`); the providers `file`,
//!   `directory` and `env` are there; JSON with schemas is the converter unless a connector says otherwise; exactly-once
//!   source support is on, so that sinks read `read_committed`.
//! - [`shared()`] is one for all tests of a program that do not harm it; what one of them leaves is removed.
//! - What is on disk goes away with the cluster, but stays, with the logs, when the test fails: a line says where.
//! - Both processes end with the test, also when it is killed: see `connect/java.rs`.
//! - Nothing is downloaded when `.cache/connect` is there; `SEGCDC_TEST_SKIP_CONNECT=reason` lets tests skip themselves on a
//!   machine that cannot have it, see [`skipped`].

mod java;
mod records;
mod rest;
mod settings;
mod shared;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::connect::java::{JavaProcess, Program};
use crate::connect::settings::{Addresses, broker_properties, logging_properties, worker_properties};
use crate::port::free_port;
use crate::scratch;
use crate::wait::until;

pub use crate::connect::java::Jvm;
pub use crate::connect::rest::{Answer, Rest};
pub use crate::connect::shared::{Guest, shared};

/// How long the broker or the worker may take to come up; 4 and 10 s on a quiet machine.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How often a start is tried before its failure counts: another process may have taken a port.
const START_TRIES: u32 = 3;
/// Says why tests with Kafka are to be skipped.
const SKIP_VARIABLE: &str = "SEGCDC_TEST_SKIP_CONNECT";
/// Names the installation instead of `.cache/connect`.
const HOME_VARIABLE: &str = "SEGCDC_TEST_CONNECT_HOME";

/// How broker and worker are to be started.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Heap of the broker, MiB.
    pub broker_heap_mib: u32,
    /// Heap of the worker, MiB; connectors live in it.
    pub worker_heap_mib: u32,
    /// How Java runs both.
    pub jvm: Jvm,
    /// Further `name=value` lines of the worker, which win over the built-in ones.
    pub worker_settings: Vec<(String, String)>,
    /// Variables of the worker's environment, for `${env:NAME}`.
    pub worker_environment: Vec<(String, String)>,
}

/// A running broker with a worker. Dropping it kills both by their process ids.
#[derive(Debug)]
pub struct ConnectCluster {
    options: ConnectOptions,
    home: PathBuf,
    dir: PathBuf,
    addresses: Addresses,
    worker: Option<JavaProcess>,
    broker: Option<JavaProcess>,
    // Declared last so that it is removed after the processes have ended.
    temporary: Option<TempDir>,
}

/// Why tests with Kafka are skipped on this machine, if they are.
pub fn skipped() -> Option<String> {
    std::env::var(SKIP_VARIABLE).ok().filter(|reason| !reason.is_empty())
}

// === impl ConnectOptions ===

impl ConnectOptions {
    /// Impatience for tests: progress is stored this often instead of every minute, and the tasks of a worker that is gone
    /// are missed after six seconds instead of 45.
    pub fn impatient(flush: Duration) -> Self {
        let settings = [
            ("offset.flush.interval.ms", flush.as_millis().to_string()),
            ("consumer.session.timeout.ms", "6000".to_owned()),
            ("consumer.heartbeat.interval.ms", "2000".to_owned()),
        ];
        let worker_settings = settings.map(|(name, value)| (name.to_owned(), value)).into();
        ConnectOptions { worker_settings, ..ConnectOptions::default() }
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            broker_heap_mib: 256,
            worker_heap_mib: 512,
            jvm: Jvm::QuickToStart,
            worker_settings: Vec::new(),
            worker_environment: Vec::new(),
        }
    }
}

// === impl ConnectCluster ===

impl ConnectCluster {
    /// Starts a broker and a worker with empty disks; returns when the worker's REST interface answers.
    pub async fn start(options: ConnectOptions) -> Result<Self> {
        let home = tokio::task::spawn_blocking(home).await??;
        let mut tries = START_TRIES;
        loop {
            match Self::start_once(options.clone(), home.clone()).await {
                Ok(cluster) => return Ok(cluster),
                Err(error) if tries <= 1 => return Err(error),
                Err(_) => tries -= 1,
            }
        }
    }

    /// `http://127.0.0.1:port` of the worker's REST interface.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.addresses.rest)
    }

    /// A client of it.
    pub fn rest(&self) -> Rest {
        Rest::new(self.addresses.rest)
    }

    /// `127.0.0.1:port` of the broker.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.addresses.broker)
    }

    /// `127.0.0.1:port` of the broker's listener that wants SASL (PLAIN, SCRAM-SHA-256).
    pub fn sasl_bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.addresses.sasl)
    }

    /// `127.0.0.1:port` of the broker's listener that wants TLS, with [`ConnectCluster::client_certificate`].
    pub fn tls_bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.addresses.tls)
    }

    /// `127.0.0.1:port` of the broker's listener that wants TLS, and SASL in it (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512).
    pub fn sasl_tls_bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.addresses.sasl_tls)
    }

    /// User and password of the listeners with SASL.
    pub fn broker_user(&self) -> [&'static str; 2] {
        settings::USER
    }

    /// PEM file of the certificate of the listeners with TLS, which is its own authority.
    pub fn broker_certificate(&self) -> PathBuf {
        self.dir.join(settings::BROKER_CERTIFICATE)
    }

    /// PEM files of the certificate that the broker trusts, and of its key.
    pub fn client_certificate(&self) -> [PathBuf; 2] {
        settings::CLIENT.map(|name| self.dir.join(name))
    }

    /// A directory for files that connectors read by `${file:path:key}` or `${directory:path:name}`.
    pub fn secrets_dir(&self) -> PathBuf {
        self.dir.join("secrets")
    }

    /// Name of the file that is Microsoft's driver in the JDBC sink's folder; empty when there is none.
    pub fn jdbc_driver(&self) -> Result<String> {
        let folder = self.home.join("plugins").join("debezium-connector-jdbc");
        for entry in std::fs::read_dir(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".jar").filter(|name| name.starts_with("mssql-jdbc")) {
                return Ok(name.to_owned());
            }
        }
        Ok(String::new())
    }

    /// What the worker has logged since the start of the cluster.
    pub fn worker_log(&self) -> String {
        std::fs::read_to_string(self.dir.join("worker.log")).unwrap_or_default()
    }

    /// What the broker has logged since the start of the cluster.
    pub fn broker_log(&self) -> String {
        std::fs::read_to_string(self.dir.join("broker.log")).unwrap_or_default()
    }

    /// The values of all messages that a topic of one partition holds at this moment, in their order.
    pub async fn messages(&self, topic: &str) -> Result<Vec<String>> {
        self.reader("Messages.java", include_str!("connect/Messages.java"), &[topic]).await
    }

    /// Every record of every topic at this moment, those of the broker and of the worker included, as "topic, tab, bytes":
    /// what somebody finds who may read all of the cluster.
    pub async fn records(&self) -> Result<Vec<String>> {
        self.reader("Records.java", include_str!("connect/Records.java"), &[]).await
    }

    /// Runs a small program of ours that reads topics; returns its lines.
    async fn reader(&self, name: &str, source: &str, arguments: &[&str]) -> Result<Vec<String>> {
        let reader = self.dir.join(name);
        std::fs::write(&reader, source)?;
        let mut command = Command::new("java");
        command.arg("-cp").arg(format!("{}/lib/*", self.home.display())).arg("-Xmx256m").arg(&reader);
        command.arg(self.bootstrap()).args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Memory that broker and worker have at this moment, bytes resident; zero for one that is down.
    pub fn resident_bytes(&self) -> (u64, u64) {
        let of = |process: &Option<JavaProcess>| process.as_ref().map_or(0, JavaProcess::resident_bytes);
        (of(&self.broker), of(&self.worker))
    }

    /// Process ids of broker and worker; those that are down are left out.
    pub fn process_ids(&self) -> Vec<u32> {
        [&self.broker, &self.worker].into_iter().flatten().map(JavaProcess::id).collect()
    }

    /// Ends the worker as a crash does.
    pub fn kill_worker(&mut self) -> Result<()> {
        self.worker.take().map_or(Ok(()), JavaProcess::kill)
    }

    /// Ends the worker in order: connectors commit what they have done.
    pub fn stop_worker(&mut self) -> Result<()> {
        self.worker.take().map_or(Ok(()), JavaProcess::stop)
    }

    /// Starts the worker again; returns when its REST interface answers.
    pub async fn start_worker(&mut self) -> Result<()> {
        if self.worker.is_none() {
            let program = Program {
                main: "org.apache.kafka.connect.cli.ConnectDistributed",
                arguments: vec![self.dir.join("worker.properties")],
                heap_mib: self.options.worker_heap_mib,
                jvm: self.options.jvm,
                logs: true,
                environment: &self.options.worker_environment,
            };
            self.worker = Some(program.spawn(&self.home, &self.dir, "worker")?);
        }
        let rest = self.rest();
        let worker = self.worker.as_mut().context("the worker was just started")?;
        worker
            .wait_until("the worker's REST interface answers", START_LIMIT, || async {
                rest.get("/connectors").await.is_ok_and(|answer| answer.status == 200)
            })
            .await
    }

    /// Ends the broker as a crash does.
    pub fn kill_broker(&mut self) -> Result<()> {
        self.broker.take().map_or(Ok(()), JavaProcess::kill)
    }

    /// Ends the broker in order.
    pub fn stop_broker(&mut self) -> Result<()> {
        self.broker.take().map_or(Ok(()), JavaProcess::stop)
    }

    /// Starts the broker again; returns when it accepts connections.
    pub async fn start_broker(&mut self) -> Result<()> {
        if self.broker.is_none() {
            let program = Program {
                main: "kafka.Kafka",
                arguments: vec![self.dir.join("broker.properties")],
                heap_mib: self.options.broker_heap_mib,
                jvm: self.options.jvm,
                logs: true,
                environment: &[],
            };
            self.broker = Some(program.spawn(&self.home, &self.dir, "broker")?);
        }
        let port = self.addresses.broker;
        let broker = self.broker.as_mut().context("the broker was just started")?;
        broker
            .wait_until("the broker accepts connections", START_LIMIT, || async move {
                tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
            })
            .await
    }

    /// Has the broker delete what a topic of one partition holds, as it does by itself when the retention is over. Returns
    /// the offset of the first message that is left, or that comes next.
    pub async fn delete_records(&self, topic: &str) -> Result<i64> {
        records::delete(self.addresses.broker, topic).await
    }

    /// Partitions of a topic, as the broker has them on its disk.
    pub fn partitions(&self, topic: &str) -> usize {
        let entries = std::fs::read_dir(self.dir.join("broker")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.rsplit_once('-').is_some_and(|(of, _)| of == topic)).count()
    }

    /// Waits until a connector and `tasks` tasks of it run; fails at once when one has failed, with its trace.
    pub async fn until_running(&self, connector: &str, tasks: usize, limit: Duration) -> Result<()> {
        let path = format!("/connectors/{connector}/status");
        let what = format!("connector {connector} runs with {tasks} tasks");
        let found = until(&what, limit, || async {
            let status = self.rest().get(&path).await.ok()?.json().ok()?;
            let of_tasks = status.get("tasks")?.as_array()?;
            let of_connector = status.get("connector")?;
            let is =
                |part: &serde_json::Value, state: &str| part.get("state").is_some_and(|found| found == state);
            if let Some(trace) =
                std::iter::once(of_connector).chain(of_tasks).find(|part| is(part, "FAILED")).map(|part| {
                    part.get("trace").and_then(|trace| trace.as_str()).unwrap_or("no trace").to_owned()
                })
            {
                return Some(Err(trace));
            }
            let running = of_tasks.iter().filter(|task| is(task, "RUNNING")).count();
            (is(of_connector, "RUNNING") && running == tasks).then_some(Ok(()))
        });
        if let Err(trace) = found.await? {
            bail!("connector {connector} has failed: {trace}");
        }
        Ok(())
    }

    async fn start_once(options: ConnectOptions, home: PathBuf) -> Result<Self> {
        let temporary = scratch::temp_dir("segcdc-connect-")?;
        let dir = temporary.path().to_owned();
        std::fs::create_dir(dir.join("secrets"))?;
        let addresses = Addresses {
            broker: free_port()?,
            controller: free_port()?,
            rest: free_port()?,
            sasl: free_port()?,
            tls: free_port()?,
            sasl_tls: free_port()?,
        };
        make_certificates(&dir)?;
        let mut worker = worker_properties(&addresses, &home.join("plugins"), &dir.join("secrets"));
        for (name, value) in &options.worker_settings {
            worker.push_str(&format!("{name}={value}\n"));
        }
        std::fs::write(dir.join("broker.properties"), broker_properties(&addresses, &dir.join("broker")))?;
        std::fs::write(dir.join("worker.properties"), worker)?;
        std::fs::write(dir.join("log4j2.properties"), logging_properties())?;
        let mut cluster = ConnectCluster {
            options,
            home,
            dir,
            addresses,
            worker: None,
            broker: None,
            temporary: Some(temporary),
        };
        cluster.format()?;
        cluster.start_broker().await?;
        cluster.start_worker().await?;
        Ok(cluster)
    }

    /// Writes what a broker's disk must hold before its first start.
    fn format(&self) -> Result<()> {
        let [name, password] = settings::USER;
        let user =
            |mechanism| ["--add-scram".to_owned(), format!("{mechanism}=[name={name},password={password}]")];
        let program = Program {
            main: "kafka.tools.StorageTool",
            arguments: ["format", "--standalone", "--cluster-id", settings::CLUSTER_ID]
                .map(str::to_owned)
                .into_iter()
                .chain(["SCRAM-SHA-256", "SCRAM-SHA-512"].into_iter().flat_map(user))
                .chain(["--config".to_owned()])
                .map(PathBuf::from)
                .chain([self.dir.join("broker.properties")])
                .collect(),
            heap_mib: self.options.broker_heap_mib,
            jvm: Jvm::QuickToStart,
            logs: true,
            environment: &[],
        };
        program.run(&self.home, &self.dir, "format").map(drop)
    }
}

impl Drop for ConnectCluster {
    fn drop(&mut self) {
        self.worker.take();
        self.broker.take();
        if std::thread::panicking()
            && let Some(temporary) = self.temporary.take()
        {
            let kept = temporary.keep();
            #[expect(clippy::print_stderr, reason = "whoever looks into the failure needs to know")]
            {
                eprintln!("logs of the broker and of the worker are in {}", kept.display());
            }
        }
    }
}

/// What the listeners with TLS show, and what one of them wants to be shown.
fn make_certificates(dir: &Path) -> Result<()> {
    let broker = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let pem = broker.signing_key.serialize_pem() + &broker.cert.pem();
    std::fs::write(dir.join(settings::BROKER_PEM), pem)?;
    std::fs::write(dir.join(settings::BROKER_CERTIFICATE), broker.cert.pem())?;
    let client = rcgen::generate_simple_self_signed(["client".to_owned()])?;
    let [certificate, key] = settings::CLIENT;
    std::fs::write(dir.join(certificate), client.cert.pem())?;
    std::fs::write(dir.join(key), client.signing_key.serialize_pem())?;
    Ok(())
}

/// The installation: as named, else `.cache/connect` of the checkout, fetched if it is not there.
fn home() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(HOME_VARIABLE) {
        return Ok(PathBuf::from(named));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let fetch = root.join("tests/connect/fetch.sh");
    let output =
        Command::new(&fetch).output().with_context(|| format!("could not run {}", fetch.display()))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "{} failed:\n{}{}",
        fetch.display(),
        said(&output.stdout),
        said(&output.stderr)
    );
    Ok(root.join(".cache/connect"))
}
