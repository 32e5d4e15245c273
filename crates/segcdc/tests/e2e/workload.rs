//! A seeded workload in which every transaction leaves marks that a reader of the target can check.
//!
//! | table | what a transaction does to it | what must hold in the target at every commit |
//! |---|---|---|
//! | `account_a`, `account_b` | money moves between rows of both | the sum over both is constant (I4) |
//! | `marker_left`, `marker_right` | both get the transaction's number | both are equal (I5) |
//! | `counter` | raised by one, last of all | never decreases (I6) |
//! | `ledger` (no key, FULL) | one row, sometimes twice the same, sometimes one removed | row multiset equal at the end (I4) |
//! | `doc` | updated beside its TOASTed text, which is rarely touched | text equal at the end |
//! | `ring` | keys change and swap places | rows equal at the end |
//! | `scratch` | filled, changed, truncated | rows equal at the end |
//! | `slow` | long transactions, interleaved with the others, add and remove whole sets | only whole sets (I5) |
//! | `left_out` (no key, no identity) | written by transactions that are empty for a pipeline | is not replicated |

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use segcdc_testkit::until;
use tokio_postgres::{Client, Error};

/// Accounts in each of the two account tables.
pub(crate) const ACCOUNTS: i32 = 50;
/// Balance of each account at the start.
pub(crate) const START_BALANCE: i64 = 1_000;
/// Keys of `ring` at the start.
const RING: i32 = 12;
/// Rows of `doc`.
const DOCS: i32 = 20;

/// Rows that a long transaction adds; what is visible of `slow` is a multiple of it.
pub(crate) const SLOW_ROWS: i64 = 60;
/// Statements over which they are spread.
const SLOW_PARTS: i64 = 3;
/// Sets that stay in `slow`.
const SLOW_SETS: i64 = 8;
/// How long a long transaction waits for another one to commit in between; when all others pause, it goes on.
const SLOW_PAUSE: Duration = Duration::from_millis(300);

/// All tables of the workload that are replicated, in the source's spelling.
pub(crate) const TABLES: [&str; 10] = [
    "account_a",
    "account_b",
    "marker_left",
    "marker_right",
    "counter",
    "ledger",
    "doc",
    "ring",
    "scratch",
    "slow",
];

/// Changes a row and no value.
pub(crate) const TOUCH: &str = "UPDATE counter SET n = n";

/// What both account tables hold together, at every commit.
pub(crate) const fn total_balance() -> i64 {
    2 * ACCOUNTS as i64 * START_BALANCE
}

/// Creates and fills the tables.
pub(crate) async fn create(client: &Client) -> Result<(), Error> {
    client
        .batch_execute(&format!(
            "CREATE TABLE account_a (id int PRIMARY KEY, balance bigint NOT NULL);
             CREATE TABLE account_b (id int PRIMARY KEY, balance bigint NOT NULL);
             CREATE TABLE marker_left (id int PRIMARY KEY, marker bigint NOT NULL);
             CREATE TABLE marker_right (id int PRIMARY KEY, marker bigint NOT NULL);
             CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL);
             CREATE TABLE ledger (entry bigint NOT NULL, note text);
             ALTER TABLE ledger REPLICA IDENTITY FULL;
             CREATE TABLE doc (id int PRIMARY KEY, revision int NOT NULL, title text, body text);
             ALTER TABLE doc ALTER COLUMN body SET STORAGE EXTERNAL;
             CREATE TABLE ring (k int PRIMARY KEY, v text NOT NULL, padding text);
             ALTER TABLE ring ALTER COLUMN padding SET STORAGE EXTERNAL;
             CREATE TABLE scratch (id int PRIMARY KEY, v int);
             CREATE TABLE slow (id bigint PRIMARY KEY, v text NOT NULL);
             CREATE TABLE left_out (v int);
             INSERT INTO account_a SELECT i, {START_BALANCE} FROM generate_series(1, {ACCOUNTS}) i;
             INSERT INTO account_b SELECT i, {START_BALANCE} FROM generate_series(1, {ACCOUNTS}) i;
             INSERT INTO marker_left VALUES (1, 0);
             INSERT INTO marker_right VALUES (1, 0);
             INSERT INTO counter VALUES (1, 0);
             INSERT INTO doc SELECT i, 0, 'title ' || i, repeat(md5(i::text), 200)
               FROM generate_series(1, {DOCS}) i;
             INSERT INTO ring SELECT i, 'v' || i, repeat(md5(i::text), 150) FROM generate_series(1, {RING}) i;
             INSERT INTO scratch SELECT i, i FROM generate_series(1, 30) i;"
        ))
        .await
}

/// One writer session with its own seeded sequence of transactions.
pub(crate) struct Writer {
    random: StdRng,
    committed: u64,
}

// === impl Writer ===

impl Writer {
    /// A writer that makes the same decisions for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Writer { random: StdRng::seed_from_u64(seed), committed: 0 }
    }

    /// Transactions that this writer committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed
    }

    /// Makes one transaction, now and then one that is empty for a pipeline.
    pub(crate) async fn step(&mut self, client: &mut Client) -> Result<(), Error> {
        if self.random.random_bool(0.08) {
            return self.empty(client).await;
        }
        let mut sql = vec!["BEGIN".to_owned()];
        // The counter's row is locked first, so that writers take turns and no deadlock can arise; it is raised last.
        sql.push("SELECT 1 FROM counter WHERE id = 1 FOR UPDATE".to_owned());
        self.transfer(&mut sql);
        match self.random.random_range(0..9) {
            0 => self.ring(&mut sql),
            1 | 2 => self.doc(&mut sql),
            3 => self.scratch(&mut sql),
            4 => self.savepoint(&mut sql),
            5 | 6 => self.ledger(&mut sql),
            _ => {}
        }
        sql.push(
            "UPDATE marker_left SET marker = (SELECT n + 1 FROM counter); \
             UPDATE marker_right SET marker = (SELECT n + 1 FROM counter); \
             UPDATE counter SET n = n + 1"
                .to_owned(),
        );
        sql.push("COMMIT".to_owned());
        client.batch_execute(&sql.join(";\n")).await?;
        self.committed += 1;
        Ok(())
    }

    /// Transactions of which a pipeline sees nothing: without a change, of another table, rolled back.
    async fn empty(&mut self, client: &mut Client) -> Result<(), Error> {
        let sql = match self.random.random_range(0..3) {
            0 => "BEGIN; SELECT pg_current_xact_id(); COMMIT",
            1 => "INSERT INTO left_out VALUES (1); UPDATE left_out SET v = 2; DELETE FROM left_out",
            _ => "BEGIN; UPDATE account_a SET balance = 0 WHERE id = 1; ROLLBACK",
        };
        client.batch_execute(sql).await
    }

    /// Makes one long transaction: parts of it lie between the transactions of other writers, and a part of it is
    /// rolled back.
    pub(crate) async fn slow_step(&mut self, client: &mut Client) -> Result<(), Error> {
        let transaction = client.transaction().await?;
        let newest: i64 = transaction.query_one("SELECT coalesce(max(id), -1) FROM slow", &[]).await?.get(0);
        let first = newest + 1;
        for part in 0..SLOW_PARTS {
            let from = first + part * SLOW_ROWS / SLOW_PARTS;
            let to = first + (part + 1) * SLOW_ROWS / SLOW_PARTS - 1;
            let insert = format!(
                "INSERT INTO slow SELECT i, repeat('{part}', 300) FROM generate_series({from}, {to}) i"
            );
            transaction
                .batch_execute(&format!("SAVEPOINT s; {insert}; ROLLBACK TO s; {insert}; RELEASE s"))
                .await?;
            let seen: i64 = transaction.query_one("SELECT n FROM counter", &[]).await?.get(0);
            let moved = || async {
                let row = transaction.query_one("SELECT n FROM counter", &[]).await;
                row.ok().filter(|row| row.get::<_, i64>(0) != seen)
            };
            until("another writer commits", SLOW_PAUSE, moved).await.ok();
        }
        if self.random.random_bool(0.5) {
            transaction.batch_execute(&format!("UPDATE slow SET v = v || '!' WHERE id >= {first}")).await?;
        }
        let gone = first - (SLOW_SETS - 1) * SLOW_ROWS;
        transaction.batch_execute(&format!("DELETE FROM slow WHERE id < {gone}")).await?;
        transaction.commit().await?;
        self.committed += 1;
        Ok(())
    }

    fn transfer(&mut self, sql: &mut Vec<String>) {
        let tables = ["account_a", "account_b"];
        let amount = self.random.random_range(1..100);
        for (sign, table) in [('-', self.random.random_range(0..2)), ('+', self.random.random_range(0..2))] {
            let id = self.random.random_range(1..=ACCOUNTS);
            let Some(table) = tables.get(table) else { continue };
            sql.push(format!("UPDATE {table} SET balance = balance {sign} {amount} WHERE id = {id}"));
        }
    }

    fn ring(&mut self, sql: &mut Vec<String>) {
        let a = self.random.random_range(1..=RING);
        let b = self.random.random_range(1..=RING);
        match self.random.random_range(0..3) {
            // Two rows swap keys through a third one; the TOASTed padding is not sent with them.
            0 if a != b => {
                sql.push(format!("UPDATE ring SET k = -1 WHERE k = {a}"));
                sql.push(format!("UPDATE ring SET k = {a} WHERE k = {b}"));
                sql.push(format!("UPDATE ring SET k = {b} WHERE k = -1"));
            }
            1 => {
                sql.push(format!("DELETE FROM ring WHERE k = {a}"));
                sql.push(format!("INSERT INTO ring VALUES ({a}, 'again', repeat('x{a}', 1500))"));
            }
            _ => {
                sql.push(format!("UPDATE ring SET k = 1000 + k WHERE k = {a}"));
                sql.push(format!("UPDATE ring SET v = v || '.' WHERE k = 1000 + {a} AND length(v) < 200"));
                sql.push(format!("UPDATE ring SET k = k - 1000 WHERE k = 1000 + {a}"));
            }
        }
    }

    fn doc(&mut self, sql: &mut Vec<String>) {
        let id = self.random.random_range(1..=DOCS);
        sql.push(format!("UPDATE doc SET revision = revision + 1 WHERE id = {id}"));
        if self.random.random_bool(0.2) {
            let piece = self.random.random_range(0..1_000_000);
            sql.push(format!("UPDATE doc SET body = repeat(md5('{piece}'), 180) WHERE id = {id}"));
            sql.push(format!("UPDATE doc SET title = 'Ťitle 🦀 {piece} ' WHERE id = {id}"));
        }
    }

    fn scratch(&mut self, sql: &mut Vec<String>) {
        if self.random.random_bool(0.4) {
            sql.push("INSERT INTO scratch SELECT max(id) + 1, 7 FROM scratch HAVING count(*) > 0".to_owned());
            sql.push("TRUNCATE scratch".to_owned());
        }
        sql.push(
            "INSERT INTO scratch SELECT i, 0 FROM generate_series(1, 20) i ON CONFLICT (id) DO UPDATE \
             SET v = scratch.v + 1"
                .to_owned(),
        );
        sql.push(format!("DELETE FROM scratch WHERE id = {}", self.random.random_range(1..=20)));
    }

    fn savepoint(&mut self, sql: &mut Vec<String>) {
        sql.push("SAVEPOINT s".to_owned());
        sql.push("UPDATE account_a SET balance = balance + 1000000".to_owned());
        sql.push("INSERT INTO ledger VALUES (-1, 'rolled back')".to_owned());
        sql.push("ROLLBACK TO s".to_owned());
    }

    fn ledger(&mut self, sql: &mut Vec<String>) {
        let entry = self.random.random_range(0..40);
        let note = if self.random.random_bool(0.3) { "NULL".to_owned() } else { format!("'note {entry}'") };
        sql.push(format!("INSERT INTO ledger VALUES ({entry}, {note})"));
        match self.random.random_range(0..4) {
            0 => sql.push(format!("INSERT INTO ledger VALUES ({entry}, {note})")),
            1 => sql.push(format!(
                "DELETE FROM ledger WHERE ctid = (SELECT ctid FROM ledger WHERE entry = {entry} LIMIT 1)"
            )),
            2 => sql.push(format!(
                "UPDATE ledger SET note = coalesce(note, '') || '+' \
                 WHERE ctid = (SELECT ctid FROM ledger WHERE entry = {entry} LIMIT 1)"
            )),
            _ => {}
        }
    }
}
