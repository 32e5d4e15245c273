//! Observers of a pipeline: they read both servers while it runs and is broken, and check what they see at once.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use segcdc_sqlserver::TargetConfig;
use segcdc_tds::{Connection, Datum, Error as TdsError};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::sync::CancellationToken;

use super::invariants::{Reading, Readings, StateChange, StateHistory, StateRow, Violation, acknowledged};
use super::stage::{self, DATABASE, Stage, live_sql, target_table};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(15);

/// What the state row's trigger writes to, in the sandbox's own PostgreSQL.
const AUDIT: &str = "
    CREATE TABLE IF NOT EXISTS public.segcdc_audit (
      position bigserial PRIMARY KEY, xid text DEFAULT pg_current_xact_id()::text, pipeline text, old_epoch int8, old_owner text, old_batch int8, old_lsn int8,
      epoch int8, owner text, batch int8, lsn int8);
    CREATE OR REPLACE FUNCTION public.segcdc_audit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'INSERT' THEN
        INSERT INTO public.segcdc_audit (pipeline, epoch, owner, batch, lsn)
          VALUES (NEW.{pipeline}::text, NEW.{epoch}, NEW.{owner}::text, NEW.{batch_seq}, NEW.{applied_lsn});
      ELSIF (OLD.{epoch}, OLD.{owner}::text, OLD.{batch_seq}, OLD.{applied_lsn})
         IS DISTINCT FROM (NEW.{epoch}, NEW.{owner}::text, NEW.{batch_seq}, NEW.{applied_lsn}) THEN
        INSERT INTO public.segcdc_audit (pipeline, old_epoch, old_owner, old_batch, old_lsn, epoch, owner, batch, lsn)
          VALUES (NEW.{pipeline}::text, OLD.{epoch}, OLD.{owner}::text, OLD.{batch_seq}, OLD.{applied_lsn},
                  NEW.{epoch}, NEW.{owner}::text, NEW.{batch_seq}, NEW.{applied_lsn});
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER segcdc_audit AFTER INSERT OR UPDATE ON {table}
      FOR EACH ROW EXECUTE FUNCTION public.segcdc_audit();";

/// Observers at work.
#[derive(Debug)]
pub(crate) struct Observers {
    stop: CancellationToken,
    reader: JoinHandle<Result<Reader>>,
    positions: JoinHandle<Result<Positions>>,
}

/// What they saw, and found in order.
#[derive(Debug)]
pub(crate) struct Observed {
    /// Readings of the workload's tables in the target.
    pub(crate) readings: Readings,
    /// Looks at slot and checkpoint.
    pub(crate) looks: u64,
}

// === impl Observers ===

impl Observers {
    /// Starts reading.
    pub(crate) fn start(stage: &Stage) -> Self {
        let stop = CancellationToken::new();
        let target = &stage.target;
        let reader = Reader::new(target, &stage.name);
        let positions = Positions::new(stage.source.port(), &stage.name);
        let reader = tokio::spawn(observe(target.clone(), stop.clone(), reader));
        let positions = tokio::spawn(observe(target.clone(), stop.clone(), positions));
        Observers { stop, reader, positions }
    }

    /// Fails with what an observer has found so far, without waiting for one that is still content.
    pub(crate) async fn ensure_content(&mut self) -> Result<()> {
        if self.reader.is_finished() {
            (&mut self.reader).await??;
            bail!("the reader ended by itself");
        }
        if self.positions.is_finished() {
            (&mut self.positions).await??;
            bail!("the observer of the positions ended by itself");
        }
        Ok(())
    }

    /// Stops reading; fails with the first violation that was seen.
    pub(crate) async fn stop(self) -> Result<Observed> {
        self.stop.cancel();
        Ok(Observed { readings: self.reader.await??.readings, looks: self.positions.await??.looks })
    }
}

/// Something that looks at the target again and again.
trait Look: Send {
    /// Looks once. The outer error is the session's, and ends it or passes; the inner one is a violation.
    fn look(
        &mut self,
        connection: &mut Connection,
    ) -> impl Future<Output = Result<Result<(), Violation>, TdsError>> + Send;
}

/// I4, I5, I6: reads the workload's tables in one statement.
#[derive(Debug)]
struct Reader {
    sql: String,
    live: String,
    is_live: bool,
    readings: Readings,
}

// === impl Reader ===

impl Reader {
    fn new(target: &TargetConfig, pipeline: &str) -> Self {
        let table = |name: &str| target_table(target, name);
        let sql = format!(
            "SELECT (SELECT SUM([balance]) FROM {}) + (SELECT SUM([balance]) FROM {}), \
             (SELECT MAX([marker]) FROM {}), (SELECT MAX([marker]) FROM {}), (SELECT MAX([n]) FROM {}), \
             (SELECT COUNT(*) FROM {})",
            table("account_a"),
            table("account_b"),
            table("marker_left"),
            table("marker_right"),
            table("counter"),
            table("slow"),
        );
        Reader { sql, live: live_sql(pipeline), is_live: false, readings: Readings::default() }
    }
}

impl Look for Reader {
    async fn look(&mut self, connection: &mut Connection) -> Result<Result<(), Violation>, TdsError> {
        if !self.is_live {
            self.is_live = numbers(connection, &self.live).await?.is_some_and(|numbers| numbers == [1]);
            return Ok(Ok(()));
        }
        Ok(match numbers(connection, &self.sql).await?.as_deref() {
            Some(&[balance, left, right, counter, slow_rows]) => {
                self.readings.push(Reading { balance, left, right, counter, slow_rows })
            }
            other => Err(Violation(format!("I4: a table is empty: {other:?}"))),
        })
    }
}

/// I1: the slot's position first, then the checkpoint's.
#[derive(Debug)]
struct Positions {
    source: Config,
    client: Option<Client>,
    pipeline: String,
    looks: u64,
}

// === impl Positions ===

impl Positions {
    fn new(source_port: u16, pipeline: &str) -> Self {
        let mut source = Config::new();
        source.host("127.0.0.1").port(source_port).user("postgres").dbname(DATABASE);
        Positions { source, client: None, pipeline: pipeline.to_owned(), looks: 0 }
    }

    /// What the slot has let go of; `None` when the source or the slot is away.
    async fn confirmed(&mut self, slot: &str) -> Option<u64> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.client = session(&self.source).await;
        }
        let sql =
            "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name = $1";
        let row = self.client.as_ref()?.query_opt(sql, &[&slot]).await.ok()??;
        row.get::<_, Option<i64>>(0).and_then(|lsn| u64::try_from(lsn).ok())
    }
}

impl Look for Positions {
    async fn look(&mut self, connection: &mut Connection) -> Result<Result<(), Violation>, TdsError> {
        let Some(before) = stage::state(connection, &self.pipeline).await? else { return Ok(Ok(())) };
        let Some(confirmed) = self.confirmed(&before.slot).await else { return Ok(Ok(())) };
        let Some(after) = stage::state(connection, &self.pipeline).await? else { return Ok(Ok(())) };
        // A pipeline that is being set up has no position yet, and its slot may have been made again.
        if after.slot != before.slot || after.applied_lsn == 0 {
            return Ok(Ok(()));
        }
        self.looks += 1;
        Ok(acknowledged(confirmed, after.applied_lsn))
    }
}

/// Looks again and again, in a new session whenever one was lost; ends with the first violation.
async fn observe<L: Look>(target: TargetConfig, stop: CancellationToken, mut observer: L) -> Result<L> {
    let mut refused = None;
    while !stop.is_cancelled() {
        if let Ok(mut connection) = Connection::connect(&target.to_tds()).await {
            while !stop.is_cancelled() && connection.is_usable() {
                match observer.look(&mut connection).await {
                    Ok(verdict) => verdict?,
                    // The state's tables do not exist before the pipeline does.
                    Err(error) => refused = Some(error),
                }
                pause(&stop).await;
            }
        }
        pause(&stop).await;
    }
    if let Some(error) = refused {
        eprintln!("an observer's last refusal was: {error}");
    }
    Ok(observer)
}

/// The numbers of the first row; `None` without one, or with a NULL in it.
async fn numbers(connection: &mut Connection, sql: &str) -> Result<Option<Vec<i64>>, TdsError> {
    let response = connection.batch(sql).await?;
    Ok(response.first_row().and_then(|row| row.iter().map(whole_number).collect()))
}

/// A whole number of any type: a sum of bigint may come as a decimal.
fn whole_number(datum: &Datum) -> Option<i64> {
    match datum {
        Datum::Decimal { negative, magnitude, scale: 0, .. } => {
            let magnitude = i64::try_from(*magnitude).ok()?;
            Some(if *negative { -magnitude } else { magnitude })
        }
        other => other.as_int(),
    }
}

async fn session(config: &Config) -> Option<Client> {
    let (client, connection) = config.connect(NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// Paces an observer; it is nothing that a verdict waits for.
async fn pause(stop: &CancellationToken) {
    tokio::time::timeout(PAUSE, stop.cancelled()).await.ok();
}

/// Records each committed change of the state row, by a trigger behind the sandbox's back.
#[derive(Debug)]
pub(crate) struct Audit;

// === impl Audit ===

impl Audit {
    /// Puts the trigger in place; `None` while the state's table does not exist.
    pub(crate) async fn install(stage: &Stage) -> Result<Option<Audit>> {
        let client = back_door(stage).await?;
        let Some(object) = object_id(&client, "segcdc", "pipeline").await? else { return Ok(None) };
        let mut sql = AUDIT.replace("{table}", &format!("u.t{object}"));
        for name in ["pipeline", "epoch", "owner", "batch_seq", "applied_lsn"] {
            sql = sql.replace(&format!("{{{name}}}"), &physical_column(&client, &object, name).await?);
        }
        client.batch_execute(&sql).await.context("the audit's trigger")?;
        Ok(Some(Audit))
    }

    /// I2, I7: everything that was recorded, checked.
    pub(crate) async fn history(&self, stage: &Stage) -> Result<StateHistory> {
        let client = back_door(stage).await?;
        let rows = client
            .query(
                "SELECT old_epoch, old_owner, old_batch, old_lsn, epoch, owner, batch, lsn, xid FROM public.segcdc_audit \
                 WHERE pipeline = $1 ORDER BY position",
                &[&stage.name],
            )
            .await?;
        // A transaction may change the row several times; only its first and its last word are ever visible.
        let mut changes: Vec<(String, StateChange)> = Vec::new();
        for row in rows {
            let part = |from: usize| -> Option<StateRow> {
                Some(StateRow {
                    epoch: row.get::<_, Option<i64>>(from)?,
                    owner: row.get::<_, Option<String>>(from + 1)?,
                    batch_seq: row.get::<_, Option<i64>>(from + 2)?,
                    applied_lsn: row.get::<_, Option<i64>>(from + 3)?,
                })
            };
            let (xid, after) = (row.get(8), part(4).context("a change without a row")?);
            match changes.last_mut().filter(|(last, _)| *last == xid) {
                Some((_, change)) => change.after = after,
                None => changes.push((xid, StateChange { before: part(0), after })),
            }
        }
        let mut history = StateHistory::default();
        for (_, change) in changes {
            history.push(change)?;
        }
        Ok(history)
    }
}

/// A session with the sandbox's own PostgreSQL, in the database that stands for the target's.
pub(crate) async fn back_door(stage: &Stage) -> Result<Client> {
    let admin = stage.back_door("postgres").await?;
    let physical = "SELECT physical FROM sandbox_databases WHERE name = $1";
    let physical: String = admin.query_one(physical, &[&stage.target.database]).await?.get(0);
    stage.back_door(&physical).await
}

/// The number of a table: the sandbox calls a table `t` and its columns `c`, each with a number behind it. `None` when it is not
/// there.
pub(crate) async fn object_id(back_door: &Client, schema: &str, table: &str) -> Result<Option<String>> {
    let sql = "SELECT o.object_id::text FROM tsql.objects o JOIN tsql.schemas s ON s.schema_id = o.schema_id \
         WHERE s.name::text = $1 AND o.name::text = $2";
    Ok(back_door.query_opt(sql, &[&schema, &table]).await?.map(|row| row.get(0)))
}

/// What the sandbox calls a column of a table.
pub(crate) async fn physical_column(back_door: &Client, object_id: &str, column: &str) -> Result<String> {
    let sql = "SELECT 'c' || column_id FROM tsql.columns WHERE object_id::text = $1 AND name::text = $2";
    Ok(back_door.query_one(sql, &[&object_id, &column]).await?.get(0))
}

/// Runs a future until it is done, or fails with what an observer has found.
pub(crate) async fn watched<T>(
    observers: &mut Observers,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(PAUSE) => observers.ensure_content().await?,
        }
    }
}
