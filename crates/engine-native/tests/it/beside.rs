//! Tables that are copied beside the stream, while others of them give trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use segcdc_engine_native::{Choice, SnapshotMode, Wish, ask, resync};
use segcdc_model::TablePhase;
use segcdc_sqlserver::TableState;
use segcdc_testkit::until;
use tokio::task::JoinHandle;

use crate::rig::{PATIENCE, Rig};

/// What the state says of a table.
async fn table(rig: &Rig, name: &str) -> TableState {
    let state = rig.state().await.unwrap();
    state.tables.into_iter().find(|table| table.source.name == name).unwrap()
}

/// Waits until the state says this of a table.
async fn until_state(rig: &Rig, what: &str, name: &str, condition: impl Fn(&TableState) -> bool) {
    let seen = until(what, PATIENCE, async || condition(&table(rig, name).await).then_some(())).await;
    if let Err(error) = seen {
        panic!("{error}: {:?}", rig.state().await.unwrap().tables);
    }
}

/// Sessions that truncate `often` and fill it again without a pause: there is always one that waits for the table's lock, and so
/// a reader never gets it before the table has a new file.
struct Truncating {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Truncating {
    async fn start(rig: &Rig) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for session in 0..4 {
            let client = rig.servers.postgres.connect(&rig.name).await.unwrap();
            let told = Arc::clone(&stop);
            tasks.push(tokio::spawn(async move {
                let mut n = 0;
                while !told.load(Ordering::Relaxed) {
                    n += 1;
                    let sql = format!(
                        "BEGIN; TRUNCATE often; INSERT INTO often SELECT i, {n} * 10 + {session} FROM generate_series(1, 20) i; \
                         UPDATE steady SET n = n + 1; COMMIT"
                    );
                    client.batch_execute(&sql).await.unwrap();
                }
            }));
        }
        Truncating { stop, tasks }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_rewritten_again_and_again_is_named_and_keeps_no_other_from_being_copied() {
    let mut rig = Rig::shared(
        "beside_rewritten",
        "CREATE TABLE steady (id int PRIMARY KEY, n bigint NOT NULL); INSERT INTO steady VALUES (1, 0);
         CREATE TABLE large (id int PRIMARY KEY, filler text);
         INSERT INTO large SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, 20000) n; ANALYZE large;
         CREATE TABLE often (id int PRIMARY KEY, n bigint NOT NULL); INSERT INTO often VALUES (1, 0)",
    )
    .await;
    // The large table comes first, then the other one, as of the same snapshot.
    rig.config.readers = 1;
    rig.catch_up().await.unwrap();
    resync(&rig.config, &["large".parse().unwrap(), "often".parse().unwrap()]).await.unwrap();
    let truncating = Truncating::start(&rig).await;
    let running = rig.start();
    until_state(&rig, "it is named", "often", |table| {
        table.phase == TablePhase::Queued
            && table.error.as_ref().is_some_and(|(code, _)| code == "TABLE_REWRITTEN")
    })
    .await;
    assert_eq!(table(&rig, "large").await.phase, TablePhase::Streaming);
    let seen = rig.target_rows("steady").await;
    until("the others go on", PATIENCE, async || (rig.target_rows("steady").await != seen).then_some(()))
        .await
        .unwrap();
    truncating.stop().await;
    running.until_streaming().await;
    assert_eq!(table(&rig, "often").await.error, None);
    rig.sql("UPDATE often SET n = 0 WHERE id = 1; DELETE FROM large WHERE id = 1").await;
    rig.settle(&running).await;
    rig.assert_equal(&["steady", "large", "often"]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_rewritten_all_the_time_can_be_removed() {
    let rig = Rig::shared(
        "beside_removed",
        "CREATE TABLE steady (id int PRIMARY KEY, n bigint NOT NULL); INSERT INTO steady VALUES (1, 0);
         CREATE TABLE often (id int PRIMARY KEY, n bigint NOT NULL); INSERT INTO often VALUES (1, 0)",
    )
    .await;
    rig.catch_up().await.unwrap();
    resync(&rig.config, &["often".parse().unwrap()]).await.unwrap();
    let truncating = Truncating::start(&rig).await;
    let running = rig.start();
    until_state(&rig, "it is named", "often", |table| table.error.is_some()).await;
    let meant = ["often".parse().unwrap()];
    ask(&rig.config, Wish::Remove { drop_target: true }, Choice::Matching(&meant)).await.unwrap();
    until("it is removed", PATIENCE, async || (rig.state().await.unwrap().tables.len() == 1).then_some(()))
        .await
        .unwrap();
    truncating.stop().await;
    rig.settle(&running).await;
    rig.assert_equal(&["steady"]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_copy_what_is_set_aside_stays_so() {
    let mut rig = Rig::shared(
        "beside_none",
        "CREATE TABLE good (id int PRIMARY KEY, n int); CREATE TABLE bad (id int PRIMARY KEY, n numeric)",
    )
    .await;
    rig.config.snapshot = SnapshotMode::None;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql("INSERT INTO bad VALUES (1, 'NaN')").await;
    rig.settle(&running).await;
    running.stop().await;
    assert_eq!(table(&rig, "bad").await.phase, TablePhase::Quarantined);
    resync(&rig.config, &["good".parse().unwrap()]).await.unwrap();
    let running = rig.start();
    running.until_streaming().await;
    assert_eq!(table(&rig, "good").await.phase, TablePhase::Streaming);
    assert_eq!(
        table(&rig, "bad").await.phase,
        TablePhase::Quarantined,
        "its rows are not those of the source"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_copy_a_table_that_is_added_is_copied_all_the_same() {
    let mut rig = Rig::shared("beside_none_add", "CREATE TABLE first (id int PRIMARY KEY, n int)").await;
    rig.config.snapshot = SnapshotMode::None;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql(
        "CREATE TABLE late (id int PRIMARY KEY, filler text);
         INSERT INTO late SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 60000) n; ANALYZE late",
    )
    .await;
    let meant = ["late".parse().unwrap()];
    ask(&rig.config, Wish::Add, Choice::Matching(&meant)).await.unwrap();
    running.until("rows are being copied", |snapshot| snapshot.copied.rows > 0).await;
    assert_ne!(table(&rig, "late").await.phase, TablePhase::Streaming);
    running.kill().await;
    let running = rig.start();
    running.until_streaming().await;
    rig.sql("INSERT INTO late VALUES (900000, 'new'); INSERT INTO first VALUES (1, 1)").await;
    rig.settle(&running).await;
    rig.assert_equal(&["first", "late"]).await;
    running.stop().await;
}
