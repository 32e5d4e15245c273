//! A hand-over that dies in every one of its steps, in both directions, while rows are written.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use segcdc_engine_kafka_connect::{
    ConnectError, FullLoad, MigrationStep, load, plan_to_connect, plan_to_native, prepare, to_connect,
    to_native,
};
use segcdc_engine_native::{EngineConfig, EngineKind, Progress, Removal, down, run};
use segcdc_model::Fault;
use segcdc_plan::{RuleTexts, Rules};
use segcdc_postgres::Pattern;
use segcdc_testkit::connect;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::rig::{NAME, Rig, becomes};

const TABLES: &str = "
    CREATE TABLE orders (id bigserial PRIMARY KEY, note text);
    INSERT INTO orders (note) SELECT 'note ' || g FROM generate_series(1, 500) g;
    CREATE TABLE items (id int PRIMARY KEY, n bigint NOT NULL);
    INSERT INTO items SELECT g, 0 FROM generate_series(1, 50) g;";

/// Several rows of two tables, some of them new.
const TRANSACTION: &str =
    "BEGIN; INSERT INTO orders (note) VALUES ('a'), ('b'); UPDATE items SET n = n + 1 WHERE id <= 5;
    INSERT INTO orders (note) VALUES ('c'); DELETE FROM orders WHERE id % 7 = 0 AND id > 500; COMMIT";

/// One that is almost always open: a cut that does not wait for it falls into its middle.
const LONG_TRANSACTION: &str = "BEGIN; INSERT INTO orders (note) VALUES ('begun'); UPDATE items SET n = n + 1 WHERE id = 40;
    SELECT pg_sleep(0.1); INSERT INTO orders (note) VALUES ('ended'); UPDATE items SET n = n + 1 WHERE id = 41; COMMIT";

/// Dies in each step once: at its first wait, which is in its middle.
struct Deaths {
    seen: Mutex<BTreeSet<String>>,
    dies: Notify,
}

// === impl Deaths ===

impl Deaths {
    fn new() -> Self {
        Deaths { seen: Mutex::new(BTreeSet::new()), dies: Notify::new() }
    }

    fn step(&self, step: &MigrationStep) {
        if self.seen.lock().unwrap().insert(step.to_string()) {
            self.dies.notify_one();
        }
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

/// The native engine until everything that was committed is applied.
async fn native(rig: &Rig) -> Result<(), segcdc_engine_native::EngineError> {
    let engine =
        EngineConfig { engine: EngineKind::Native, until_caught_up: true, ..rig.config.engine.clone() };
    Box::pin(run(engine, Arc::new(Progress::new(NAME)), CancellationToken::new())).await.map(drop)
}

async fn all_the_way_to_connect(rig: &Rig) -> usize {
    let deaths = Deaths::new();
    loop {
        let migrating = async {
            let plan = Box::pin(plan_to_connect(&rig.config, &rig.rest)).await?;
            Box::pin(to_connect(&rig.config, &rig.rest, &plan, &mut |step| deaths.step(step))).await
        };
        tokio::select! {
            biased;
            () = deaths.dies.notified() => {}
            end = migrating => {
                end.unwrap();
                break;
            }
        }
    }
    deaths.count()
}

async fn all_the_way_to_native(rig: &Rig) -> usize {
    let deaths = Deaths::new();
    loop {
        let migrating = async {
            let plan = Box::pin(plan_to_native(&rig.config, &rig.rest)).await?;
            match plan.is_done {
                true => Ok(()),
                false => Box::pin(to_native(&rig.config, &rig.rest, &plan, &mut |step| deaths.step(step)))
                    .await
                    .map(drop),
            }
        };
        let end: Result<(), ConnectError> = tokio::select! {
            biased;
            () = deaths.dies.notified() => continue,
            end = migrating => end,
        };
        break end.unwrap();
    }
    deaths.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_that_dies_in_each_of_its_steps_is_finished() {
    if let Some(reason) = connect::skipped() {
        println!("skipped: {reason}");
        return;
    }
    let mut rig = Rig::start(TABLES).await;
    rig.config.full_load = FullLoad::Native;
    native(&rig).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for transaction in [TRANSACTION, LONG_TRANSACTION] {
        let (client, stopped) = (rig.postgres.connect(NAME).await.unwrap(), Arc::clone(&stop));
        writers.push(tokio::spawn(async move {
            let mut written = 0_u32;
            while !stopped.load(Ordering::SeqCst) {
                client.batch_execute(transaction).await.unwrap();
                written += 1;
            }
            written
        }));
    }

    what_cannot_be_carried_is_named(&rig).await;
    let steps = Box::pin(all_the_way_to_connect(&rig)).await;
    assert!(steps >= 10, "{steps} steps");
    assert_eq!(native(&rig).await.unwrap_err().code(), "ENGINE_MISMATCH");
    let steps = Box::pin(all_the_way_to_native(&rig)).await;
    assert_eq!(steps, 7);
    // Exact row counts: one row too many or too few would halt it.
    native(&rig).await.unwrap();
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        assert!(writer.await.unwrap() > 10);
    }
    native(&rig).await.unwrap();
    rig.config.engine.engine = EngineKind::Native;
    rig.equal("public.items").await;
    rig.equal("public.orders").await;
}

/// A pipeline with a table and with rules that connectors do not carry stays what it is.
async fn what_cannot_be_carried_is_named(rig: &Rig) {
    rig.sql("CREATE TABLE odd (id int PRIMARY KEY, n numeric, x float8); INSERT INTO odd VALUES (1, 1.5, 1)")
        .await;
    let mut config = rig.config.clone();
    config.engine.name = "odd".to_owned();
    config.engine.patterns = vec![Pattern::parse("public.odd").unwrap()];
    let values = vec!["public.odd.x=text".to_owned()];
    let rules = Rules::parse(&RuleTexts { values, ..RuleTexts::default() }).unwrap();
    let engine =
        EngineConfig { engine: EngineKind::Native, until_caught_up: true, rules, ..config.engine.clone() };
    Box::pin(run(engine.clone(), Arc::new(Progress::new("odd")), CancellationToken::new())).await.unwrap();
    let error = Box::pin(plan_to_connect(&config, &rig.rest)).await.unwrap_err();
    assert_eq!(error.code(), "MIGRATE_REFUSED");
    let text = error.to_string();
    assert!(text.contains("rules") && text.contains("public.odd") && text.contains("\"n\""), "{text}");
    Box::pin(down(&engine, Removal::Drop)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_cannot_copy_a_table_says_so_and_goes_on_once_it_can() {
    if let Some(reason) = connect::skipped() {
        println!("skipped: {reason}");
        return;
    }
    let sql = "CREATE TABLE good (id int PRIMARY KEY); INSERT INTO good VALUES (1);
               CREATE TABLE bad (id int PRIMARY KEY, x float8); INSERT INTO bad VALUES (2, 2.5);";
    let mut rig = Rig::start(sql).await;
    rig.config.full_load = FullLoad::Native;
    let progress = || Arc::new(Progress::new(NAME));
    let prepared = Box::pin(prepare(&rig.config, &rig.rest)).await.unwrap();
    assert!(prepared.spec.needs_load());
    // Behind the back of preflight, which would leave the table out.
    rig.sql("INSERT INTO bad VALUES (1, 'NaN')").await;
    let error = Box::pin(load(&rig.config, &rig.rest, &prepared, progress())).await.unwrap_err();
    assert_eq!(error.code(), "FULL_LOAD_INCOMPLETE");
    assert!(
        error.to_string().contains("public.bad") && !error.to_string().contains("public.good"),
        "{error}"
    );
    rig.sql("UPDATE bad SET x = 1 WHERE id = 1; INSERT INTO good VALUES (2)").await;
    let prepared = Box::pin(prepare(&rig.config, &rig.rest)).await.unwrap();
    let start = Box::pin(load(&rig.config, &rig.rest, &prepared, progress())).await.unwrap();
    let (prepared, _) = rig.deploy().await;
    assert_eq!(prepared.spec.start_lsn, Some(start));
    rig.sql("INSERT INTO bad VALUES (3, 3)").await;
    rig.equal("public.*").await;
    becomes("the heartbeat has arrived", || async {
        let report = segcdc_engine_kafka_connect::status(&rig.config, &rig.rest).await.unwrap();
        report.applied_lsn.is_some_and(|lsn| lsn > start)
    })
    .await;
}
