//! A worker whose REST interface answers wrongly, at each step of a pipeline's life: what passes is waited out, what does
//! not is named, and the same call afterwards goes on from there.
//!
//! One pipeline stands still at a step while every fault is tried there, then is let past it through faults that pass. So
//! the whole table costs one worker and one pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use segcdc_engine_kafka_connect::rest::Patience;
use segcdc_engine_kafka_connect::{
    ConnectError, ConnectUrl, FullLoad, HttpConfig, Prepared, Rest, deploy, load, prepare, remove,
};
use segcdc_engine_native::{Progress, Removal};
use segcdc_model::Fault as _;
use segcdc_testkit::connect;
use segcdc_testkit::http_proxy::{Fault, HttpProxy, Trouble};
use tokio::net::TcpListener;

use crate::rig::{Rig, becomes};

const TABLES: &str = "CREATE TABLE item (id int PRIMARY KEY, v text);
    INSERT INTO item SELECT g, 'item ' || g FROM generate_series(1, 20) g;";

const SOURCE: &str = "segcdc_shop_source";
const SINK: &str = "segcdc_shop_sink_dbo";

/// How long a hasty client waits for an answer, at first: a quiet worker needs a tenth of it.
const SHORT: Duration = Duration::from_millis(400);

/// How long it waits where the answer is the worker's own, damaged on its way: no busy worker takes that long.
const LONG: Duration = Duration::from_secs(20);

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Prepare,
    Deploy,
    Remove,
}

/// A request that a call makes, and what brings the worker back to before it.
struct Step {
    call: Call,
    method: &'static str,
    path_end: &'static str,
    undo: Undo,
    /// The answer has a body that is read.
    is_read: bool,
    /// What becomes of an error 500 that does not end: some steps take it for "not yet".
    on_500: &'static str,
}

/// How a step is undone, behind the proxy's back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undo {
    /// It changes nothing, or may be done twice.
    Nothing,
    DeleteConnector(&'static str),
    ForgetOffsets(&'static str),
    /// Gives the connector another configuration.
    Drift(&'static str),
}

const fn step(call: Call, method: &'static str, path_end: &'static str, undo: Undo) -> Step {
    Step { call, method, path_end, undo, is_read: true, on_500: "CONNECT_ERROR" }
}

const fn order(call: Call, method: &'static str, path_end: &'static str) -> Step {
    Step { is_read: false, ..step(call, method, path_end, Undo::Nothing) }
}

/// The steps in the order of a pipeline's life. A connector's name is the end of its path.
const STEPS: &[Step] = &[
    step(Call::Prepare, "GET", "/", Undo::Nothing),
    step(Call::Prepare, "GET", "/connector-plugins", Undo::Nothing),
    step(Call::Prepare, "GET", "PostgresConnector/config", Undo::Nothing),
    step(Call::Prepare, "PUT", "PostgresConnector/config/validate", Undo::Nothing),
    step(Call::Deploy, "GET", "/segcdc_shop_source/config", Undo::Nothing),
    step(Call::Deploy, "PUT", "JdbcSinkConnector/config/validate", Undo::Nothing),
    step(Call::Deploy, "POST", "/connectors", Undo::DeleteConnector(SINK)),
    step(Call::Deploy, "POST", "/connectors", Undo::DeleteConnector(SOURCE)),
    step(Call::Deploy, "PATCH", "/segcdc_shop_source/offsets", Undo::ForgetOffsets(SOURCE)),
    order(Call::Deploy, "PUT", "/segcdc_shop_source/resume"),
    step(Call::Deploy, "GET", "/segcdc_shop_source/topics", Undo::Nothing),
    // The sink may be told to begin before the brokers know its topic: that is left to `run`.
    Step {
        on_500: "",
        ..step(Call::Deploy, "PATCH", "/segcdc_shop_sink_dbo/offsets", Undo::ForgetOffsets(SINK))
    },
    order(Call::Deploy, "PUT", "/segcdc_shop_sink_dbo/resume"),
    step(Call::Deploy, "GET", "/segcdc_shop_sink_dbo/status", Undo::Nothing),
    step(Call::Deploy, "PUT", "/segcdc_shop_sink_dbo/config", Undo::Drift(SINK)),
    step(Call::Deploy, "PUT", "/segcdc_shop_source/config", Undo::Drift(SOURCE)),
    order(Call::Remove, "PUT", "/segcdc_shop_source/stop"),
    step(Call::Remove, "DELETE", "/segcdc_shop_source/offsets", Undo::Nothing),
    order(Call::Remove, "DELETE", "/connectors/segcdc_shop_source"),
];

/// Everything of a test.
struct Stage {
    rig: Rig,
    proxy: HttpProxy,
    prepared: Option<Prepared>,
    elsewhere: String,
    visits: Arc<AtomicUsize>,
}

/// How long the client waits in a case.
#[derive(Clone, Copy)]
enum Pace {
    /// Gives up after one more attempt, and on an answer that takes so long.
    Hasty(Duration),
    /// As the product does, with shorter pauses.
    Patient,
}

// === impl Stage ===

impl Stage {
    async fn start() -> Stage {
        let mut rig = Rig::start(TABLES).await;
        rig.config.full_load = FullLoad::Native;
        let worker = ConnectUrl::parse(&rig.cluster.url()).unwrap().port;
        let proxy = HttpProxy::start(worker).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let elsewhere = format!("http://{}/connectors", listener.local_addr().unwrap());
        let visits = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&visits);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Stage { rig, proxy, prepared: None, elsewhere, visits }
    }

    fn client(&self, pace: Pace) -> Rest {
        let http = HttpConfig::new(ConnectUrl::parse(&self.proxy.url()).unwrap());
        let ms = Duration::from_millis;
        let pauses = Patience { first_pause: ms(20), longest_pause: ms(100), ..Patience::default() };
        match pace {
            Pace::Hasty(timeout) => {
                let http = HttpConfig { timeout, ..http };
                Rest::new(http).unwrap().with_patience(Patience {
                    rebalance: ms(30),
                    outage: ms(30),
                    error: ms(30),
                    ..pauses
                })
            }
            Pace::Patient => Rest::new(http).unwrap().with_patience(pauses),
        }
    }

    async fn call(&mut self, call: Call, pace: Pace) -> Result<(), ConnectError> {
        let rest = self.client(pace);
        // Otherwise a fault of the first answer counts as a wrong URL.
        rest.connectors().await?;
        match (call, &self.prepared) {
            (Call::Prepare, _) | (_, None) => {
                self.prepared = Some(Box::pin(prepare(&self.rig.config, &rest)).await?);
            }
            (Call::Deploy, Some(prepared)) => {
                Box::pin(deploy(&self.rig.config, &rest, prepared, &mut |_| {})).await?;
            }
            (Call::Remove, _) => {
                Box::pin(remove(&self.rig.config, &rest, Removal::Drop)).await?;
            }
        }
        Ok(())
    }

    /// The code that a call ends with; empty for success. It is made again until it has come to the fault: a busy worker
    /// may be too slow for the hasty client before that.
    async fn code(&mut self, step: &Step, mut pace: Pace, troubles: Vec<Trouble>) -> &'static str {
        self.proxy.arm(troubles);
        let before = self.proxy.met();
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let outcome = self.call(step.call, pace).await;
            if self.proxy.met() == before && Instant::now() < end {
                if let Pace::Hasty(timeout) = &mut pace {
                    *timeout *= 2;
                }
                continue;
            }
            assert_ne!(self.proxy.met(), before, "{} {} was not asked for", step.method, step.path_end);
            self.proxy.arm(Vec::new());
            let Err(error) = outcome else { return "" };
            let text = format!("{error} {}", segcdc_model::fault::chain(&error));
            assert!(!error.hint().is_empty() && !text.contains("<html>"), "{text}");
            return error.code();
        }
    }

    /// Brings the worker back to before a step, as soon as it lets that be done: it may be busy with what a fault has left.
    async fn undo(&self, undo: Undo) {
        becomes("a step is undone", || async {
            let undone = self.try_undo(undo).await;
            if let Err(error) = &undone {
                println!("{undo:?}: {error}");
            }
            undone.is_ok()
        })
        .await;
    }

    async fn try_undo(&self, undo: Undo) -> Result<(), ConnectError> {
        let rest = &self.rig.rest;
        match undo {
            Undo::Nothing => Ok(()),
            Undo::DeleteConnector(connector) => rest.delete(connector).await.map(drop),
            Undo::ForgetOffsets(connector) => rest.delete_offsets(connector).await,
            Undo::Drift(connector) => {
                let mut found = rest.config(connector).await?.unwrap();
                found.insert("errors.log.enable".to_owned(), "false".to_owned());
                rest.put_config(connector, &found).await
            }
        }
    }
}

/// A fault that does not end.
fn always(step: &Step, fault: Fault) -> Trouble {
    Trouble { faults: vec![fault], for_ever: true, ..passing(step, Vec::new()) }
}

/// Faults one after another, and then none.
fn passing(step: &Step, faults: Vec<Fault>) -> Trouble {
    Trouble { method: step.method, path_end: step.path_end.to_owned(), faults, for_ever: false }
}

fn status(status: u16) -> Fault {
    Fault::Status(status, format!(r#"{{"error_code":{status},"message":"on purpose"}}"#))
}

/// What does not end, and what the call ends with. The server sees nothing of the first ones.
fn lasting(step: &Step, elsewhere: &str) -> Vec<(Fault, &'static str)> {
    let mut faults = vec![
        (status(409), "CONNECT_REBALANCING"),
        (status(500), step.on_500),
        (status(503), "CONNECT_ERROR"),
        (status(401), "CONNECT_AUTH"),
        (Fault::Reset, "CONNECT_UNREACHABLE"),
        (Fault::Silence, "CONNECT_TIMEOUT"),
        (Fault::Html(200), "CONNECT_ERROR"),
        (Fault::Html(404), "CONNECT_ERROR"),
        (Fault::Redirect(elsewhere.to_owned()), "CONNECT_ERROR"),
        (Fault::Huge, "CONNECT_ANSWER_TOO_LARGE"),
    ];
    if step.is_read {
        faults.push((Fault::Cut, "CONNECT_ERROR"));
        // Each new configuration starts tasks, which takes seconds.
        if !matches!(step.undo, Undo::Drift(_)) {
            faults.extend([(Fault::Break, "CONNECT_UNREACHABLE"), (Fault::Drip, "CONNECT_TIMEOUT")]);
        }
    }
    faults
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_survives_every_fault_of_the_worker() {
    if let Some(reason) = connect::skipped() {
        println!("skipped: {reason}");
        return;
    }
    let mut stage = Box::pin(Stage::start()).await;
    let mut wrong = Vec::new();
    let mut cases = 0;
    let started = Instant::now();
    for (index, step) in STEPS.iter().enumerate() {
        let began = Instant::now();
        if index > 0 && STEPS[index - 1].call == Call::Prepare && step.call == Call::Deploy {
            copy(&mut stage).await;
        }
        stage
            .undo(match step.undo {
                Undo::Drift(_) => step.undo,
                _ => Undo::Nothing,
            })
            .await;
        for (fault, expected) in lasting(step, &stage.elsewhere.clone()) {
            let name = format!("{:?} {} {} {fault:?}", step.call, step.method, step.path_end);
            let passed_on = matches!(fault, Fault::Cut | Fault::Break | Fault::Drip);
            let damaged = matches!(fault, Fault::Cut | Fault::Break);
            let pace = Pace::Hasty(if damaged { LONG } else { SHORT });
            let found = stage.code(step, pace, vec![always(step, fault)]).await;
            cases += 1;
            if found != expected {
                wrong.push(format!("{name}: {found}, not {expected}"));
            }
            if passed_on {
                stage.undo(step.undo).await;
            }
        }
        // Past this step, through all that passes, and no further.
        let mut faults = vec![status(409), status(503), Fault::Reset, Fault::LoseAnswer, Fault::WrongType];
        if !step.path_end.ends_with("/validate") {
            faults.splice(1..1, [status(500), status(409), status(500)]);
        }
        let mut troubles = vec![passing(step, faults)];
        let next = STEPS.get(index + 1);
        // A drift is made when its step has come.
        let next = next.filter(|next| next.call == step.call && !matches!(next.undo, Undo::Drift(_)));
        troubles.extend(next.map(|next| always(next, Fault::Html(404))));
        let found = stage.code(step, Pace::Patient, troubles).await;
        cases += 1;
        let expected = if next.is_some() { "CONNECT_ERROR" } else { "" };
        if found != expected {
            wrong.push(format!("{:?} {} {} waited out: {found}", step.call, step.method, step.path_end));
        }
        println!("{:?} {:?} {} {}", began.elapsed(), step.call, step.method, step.path_end);
        if step.call == Call::Deploy && next.is_none() {
            stage.rig.equal("public.item").await;
        }
    }
    println!("{cases} cases in {:?}", started.elapsed());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(stage.visits.load(Ordering::SeqCst), 0, "a redirect was followed");
    nothing_is_left(&stage).await;
}

/// What comes before connectors.
async fn copy(stage: &mut Stage) {
    let rest = stage.client(Pace::Patient);
    let prepared = stage.prepared.take().unwrap();
    let progress = Arc::new(Progress::new(crate::rig::NAME));
    Box::pin(load(&stage.rig.config, &rest, &prepared, progress)).await.unwrap();
    stage.prepared = Some(Box::pin(prepare(&stage.rig.config, &rest)).await.unwrap());
}

async fn nothing_is_left(stage: &Stage) {
    assert_eq!(stage.rig.rest.connectors().await.unwrap(), [""; 0]);
    assert_eq!(stage.rig.text("SELECT count(*)::text FROM pg_replication_slots").await, "0");
    becomes("the topics are gone", || async {
        !stage.rig.cluster.topics().unwrap().iter().any(|topic| topic.contains("segcdc_shop"))
    })
    .await;
}
