//! Changes at the source while a test does something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinHandle;

use crate::rig::Rig;

/// Tables of the workload: keyed rows, an account ledger with two sides, and a log without a key.
pub(crate) const TABLES: &str = "
    CREATE TABLE item (id int PRIMARY KEY, word text, amount bigint NOT NULL);
    CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);
    CREATE TABLE log (line bigint NOT NULL, what text);
    ALTER TABLE log REPLICA IDENTITY FULL;
    INSERT INTO item SELECT n, 'word ' || n, n FROM generate_series(1, 500) n;
    INSERT INTO account SELECT n, 1000 FROM generate_series(1, 20) n;
    INSERT INTO log SELECT n, 'begin' FROM generate_series(1, 50) n;";

/// Names of the tables.
pub(crate) const NAMES: [&str; 3] = ["item", "account", "log"];

/// A client that makes transactions until it is told to stop. Connection losses are ridden out.
pub(crate) struct Workload {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Workload {
    /// Starts it. The changes are the same each time, their timing is not.
    pub(crate) fn start(rig: &Rig) -> Workload {
        let (stop, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count) = (Arc::clone(&stop), Arc::clone(&committed));
        let (servers, name) = (Arc::clone(&rig.servers), rig.name.clone());
        let port = servers.postgres.port();
        drop(servers);
        let task = tokio::spawn(async move {
            let mut number = 0;
            while !told.load(Ordering::Relaxed) {
                let Some(client) = connect(port, &name).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                while !told.load(Ordering::Relaxed) {
                    number += 1;
                    if client.batch_execute(&transaction(number)).await.is_err() {
                        break;
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Workload { stop, committed, task }
    }

    /// Transactions that have committed, at least.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Waits until so many more transactions have committed.
    pub(crate) async fn more(&self, count: u64) {
        let wanted = self.committed() + count;
        let reached = || async { (self.committed() >= wanted).then_some(()) };
        segcdc_testkit::until("the workload goes on", crate::rig::PATIENCE, reached).await.unwrap();
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

async fn connect(port: u16, database: &str) -> Option<tokio_postgres::Client> {
    let config = format!("host=127.0.0.1 port={port} user=postgres dbname={database}");
    let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// One transaction: inserts, updates with and without the key, deletes, a transfer, a log line, sometimes a rollback.
fn transaction(number: u64) -> String {
    let item = number % 700 + 1;
    let (from, to) = (number % 20 + 1, (number * 7 + 3) % 20 + 1);
    let end = if number.is_multiple_of(11) { "ROLLBACK" } else { "COMMIT" };
    let change = match number % 5 {
        0 => format!("DELETE FROM item WHERE id = {item}"),
        1 => format!("UPDATE item SET amount = amount + 1 WHERE id = {item}"),
        2 => format!("UPDATE item SET word = NULL WHERE id = {item}"),
        3 => format!("UPDATE item SET id = id + 100000, word = 'moved' WHERE id = {item}"),
        _ => "DELETE FROM log WHERE ctid = (SELECT ctid FROM log LIMIT 1)".to_owned(),
    };
    format!(
        "BEGIN; INSERT INTO item VALUES ({item}, 'neu {number}', {number}) \
           ON CONFLICT (id) DO UPDATE SET amount = item.amount + 1; {change}; \
         UPDATE account SET balance = balance - 1 WHERE id = {from}; \
         UPDATE account SET balance = balance + 1 WHERE id = {to}; \
         INSERT INTO log VALUES ({line}, 'twice'), ({line}, 'twice'); {end}",
        line = number % 97
    )
}
