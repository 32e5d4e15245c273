//! Real traces: each fault is made with real servers, and what the worker says about its failed task has the cause that the
//! table gives it.
//!
//! With `SEGCDC_CAPTURE` set to a directory, the heads of the traces are written there: those in `tests/traces` come
//! from here, and are looked up by every run of the unit tests. `SEGCDC_TEST_PG_BIN` chooses the version of the source.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use segcdc_engine_kafka_connect::overrides;
use segcdc_engine_kafka_connect::plugin::SOURCE_CLASS;
use segcdc_engine_kafka_connect::property::Properties;
use segcdc_engine_kafka_connect::rest::ConnectorWord;
use segcdc_engine_kafka_connect::status::trouble;
use segcdc_engine_kafka_connect::trace::cause;
use segcdc_testkit::connect;

use crate::doors::{PASSWORD, Rules};
use crate::rig::{NAME, Rig, SOURCE_CANARY, TARGET_CANARY, becomes};

mod sink;
mod source;

const SOURCE: &str = "segcdc_shop_source";
const SINK: &str = "segcdc_shop_sink_dbo";

/// How long a connector may take to fail, or to show that it does not.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connector gives up at once instead of after minutes; what it says then is the same.
const HASTE: [&str; 5] = [
    "source.errors.max.retries=0",
    "source.slot.max.retries=1",
    "source.slot.retry.delay.ms=200",
    "sink.flush.max.retries=1",
    "sink.flush.retry.delay.ms=50",
];

/// Everything that was seen.
struct Seen {
    /// What has another cause than it should.
    wrong: Vec<String>,
    /// The source's port, which is another one each time.
    port: String,
    started: Instant,
}

// === impl Seen ===

impl Seen {
    /// Breaks something while the connector is stopped, and looks at what becomes of its next start.
    async fn at_start(
        &mut self,
        rig: &Rig,
        connector: &str,
        breaks: impl AsyncFnOnce(),
        name: &str,
        code: &str,
    ) {
        stopped(rig, connector).await;
        breaks().await;
        rig.rest.resume(connector).await.unwrap();
        self.fails(rig, connector, name, code).await;
    }

    /// The same of what a connector does not fail of: it says RUNNING, and tries again for ever. The worker says the reason
    /// when it validates the configuration.
    async fn tries_again(&mut self, rig: &Rig, breaks: impl AsyncFnOnce(), name: &str, code: &str) {
        const AGAIN: &str = "will re-attempt during polling";
        let tries = || rig.cluster.worker_log().matches(AGAIN).count();
        stopped(rig, SOURCE).await;
        breaks().await;
        let before = tries();
        rig.rest.resume(SOURCE).await.unwrap();
        becomes("the connector tries again", || async { tries() > before }).await;
        let status = rig.rest.status(SOURCE).await.unwrap().unwrap();
        let running = status.tasks.iter().all(|task| task.state == ConnectorWord::Running);
        if !running || status.connector.state != ConnectorWord::Running {
            self.wrong.push(format!("{name} fails: {status:?}"));
        }
        let properties = rig.rest.config(SOURCE).await.unwrap().unwrap();
        let found = rig.rest.validate(SOURCE_CLASS, &properties).await.unwrap();
        let said: Vec<_> = found.errors.into_iter().map(|error| error.message).collect();
        self.judge(name, code, &said.join("\n"));
        let trouble = trouble(&rig.rest, SOURCE).await.map(|cause| cause.code);
        if trouble != Some(code) {
            self.wrong.push(format!("{name}: {trouble:?} instead of {code}"));
        }
    }

    /// Waits for a failure, and looks its cause up.
    async fn fails(&mut self, rig: &Rig, connector: &str, name: &str, code: &str) {
        let Some(trace) = trace(rig, connector).await else {
            let status = rig.rest.status(connector).await;
            return self.wrong.push(format!("{name} does not fail: {status:?}"));
        };
        self.judge(name, code, &trace);
    }

    /// Looks the cause up of what a worker says, and keeps it if that is wanted. Of several codes any will do, where two
    /// threads of Debezium race for the first word.
    fn judge(&mut self, name: &str, codes: &str, trace: &str) {
        let found = cause(trace);
        let code = codes.split(' ').find(|code| *code == found.code).unwrap_or(codes);
        let head = self.head(trace);
        println!("{:?} {name}: {} {}", self.started.elapsed(), found.code, found.detail);
        if let Some(dir) = std::env::var_os("SEGCDC_CAPTURE") {
            std::fs::write(PathBuf::from(dir).join(format!("{name}.txt")), format!("{code}\n{head}"))
                .unwrap();
        }
        if [SOURCE_CANARY, TARGET_CANARY].iter().any(|canary| trace.contains(canary)) {
            self.wrong.push(format!("{name}: a password is in its trace"));
        }
        if found.code != code {
            self.wrong.push(format!("{name}: {} instead of {code}: {head}", found.code));
        }
    }

    /// Lines of a trace that name exceptions; the frames between them are left out, and what is another each time.
    fn head(&self, trace: &str) -> String {
        let lines =
            trace.lines().enumerate().filter(|(number, line)| *number == 0 || !line.starts_with('\t'));
        let lines: Vec<_> = lines.map(|(_, line)| line.replace(&self.port, "5432")).collect();
        lines.join("\n") + "\n"
    }
}

/// The trace of a connector or a task of it that has failed; `None` if it does not.
async fn trace(rig: &Rig, connector: &str) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(status) = rig.rest.status(connector).await.unwrap() {
            let failed = status.tasks.into_iter().find(|task| task.state == ConnectorWord::Failed);
            if let Some(trace) = failed.and_then(|task| task.trace).or(status.connector.trace) {
                return Some(trace);
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    None
}

/// Stops a connector, and waits until nothing of its tasks is shown any more: a trace that comes later is a new one.
async fn stopped(rig: &Rig, connector: &str) {
    rig.rest.stop(connector).await.unwrap();
    becomes("the connector has no tasks", || async {
        let status = rig.rest.status(connector).await.unwrap();
        status
            .is_some_and(|status| status.connector.state == ConnectorWord::Stopped && status.tasks.is_empty())
    })
    .await;
}

/// Lets a connector run, anew if it has failed.
async fn runs(rig: &Rig, connector: &str) {
    stopped(rig, connector).await;
    rig.rest.resume(connector).await.unwrap();
    becomes("the connector and its task run", || async {
        let status = rig.rest.status(connector).await.unwrap();
        status.is_some_and(|status| {
            status.connector.state == ConnectorWord::Running
                && status.tasks.first().is_some_and(|task| task.state == ConnectorWord::Running)
        })
    })
    .await;
}

/// Changes a connector's configuration.
async fn set(rig: &Rig, connector: &str, change: impl Fn(&mut Properties)) {
    let mut properties = rig.rest.config(connector).await.unwrap().unwrap();
    change(&mut properties);
    rig.rest.put_config(connector, &properties).await.unwrap();
}

#[tokio::test]
#[ignore = "minutes: run it for new versions of the plugins, with SEGCDC_CAPTURE"]
async fn real_traces_have_their_cause() {
    if let Some(reason) = connect::skipped() {
        println!("skipped: {reason}");
        return;
    }
    let tables = "CREATE TABLE item (id int PRIMARY KEY, v text); INSERT INTO item VALUES (1, 'a');
        CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1)";
    let mut rig = Rig::start(tables).await;
    rig.config.overrides = HASTE.map(|text| overrides::parse(text).unwrap()).into();
    let rules = Rules::read(&rig);
    rules.set(&rig, PASSWORD).await;
    rig.deploy().await;
    rig.equal("public.item").await;
    let port = rig.postgres.port().to_string();
    let mut seen = Seen { wrong: Vec::new(), port, started: Instant::now() };
    sink::faults(&rig, &mut seen).await;
    source::faults(&mut rig, &mut seen, &rules).await;
    assert!(seen.wrong.is_empty(), "{}", seen.wrong.join("\n"));
}
