//! [`measure`]: batches of so many changes, applied in one request and through staging: on the sandbox, into the null sink, and
//! into the null sink from further away.
//!
//! ```text
//! keys   0 ......... POOL ........ 2 POOL ........ 3 POOL ...
//!        '- updated -' '- deleted -' '- inserted, and deleted later ->
//! ```
//!
//! Four changes are an INSERT, two UPDATEs and a DELETE, each of another row, so that nothing is folded and every statement finds
//! its row.

use std::sync::Arc;

use anyhow::{Context, Result};
use segcdc_model::{
    Change, Checkpoint, Lineage, Lsn, OldTuple, Relation, RelationColumn, TablePhase, Transaction, Tuple,
};
use segcdc_plan::{ApplyPlan, Naming, OpenLetters, TableEntry, TablePlan, TableSet, plan, table_plan};
use segcdc_postgres::{Pattern, SourceConfig, catalog, session};
use segcdc_sqlserver::apply::{MAX_DIRECT_ROWS, apply_direct, apply_staged};
use segcdc_sqlserver::{ExistingRows, NewPipeline, Target, TargetConfig};
use tokio::time::Instant;

use super::Ground;
use super::chart::{Chart, Curve, draw};
use super::distance::Distance;
use super::markdown::{cell, table};
use crate::narrator::grouped;
use crate::spread::Spread;

/// Changes a batch: around the limit of one request closely, and up to what a batch of the engine holds.
const SIZES: [usize; 11] = [1, 4, 10, 16, 32, 64, 100, 200, 400, 1000, 20_000];
/// Changes that are applied for one figure, where that makes neither too few batches nor too many.
const CHANGES: usize = 2000;
/// Batches of one figure, at least and at most.
const BATCHES: (usize, usize) = (3, 100);
/// Rows of each kind: more than the largest batch changes.
const POOL: usize = 20_000;
/// The table, and its database at the source.
const NAME: &str = "batches";
/// How much faster a way has to be to be called so.
const CLEARLY: f64 = 1.05;

/// What was measured, by targets.
#[derive(Debug)]
pub(super) struct Batches {
    sandbox: Vec<Line>,
    sink: Vec<Line>,
    /// The null sink again, but further away.
    away: Vec<Line>,
}

/// One size on one target: changes a second, one of each round.
#[derive(Debug, Clone, Default)]
struct Line {
    size: usize,
    /// Empty when the changes do not fit into one request.
    direct: Vec<f64>,
    staged: Vec<f64>,
}

/// How a batch is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Staged,
}

/// A pipeline's table in a target, and the changes that come next.
struct Bench {
    target: Target,
    checkpoint: Checkpoint,
    tables: TableSet,
    relation: Arc<Relation>,
    /// Changes that were made.
    made: usize,
}

/// Measures on all targets.
pub(super) async fn measure(ground: &Ground<'_>, rounds: u32) -> Result<Batches> {
    ground.source.execute("postgres", &format!("CREATE DATABASE {NAME}")).await?;
    let create = format!(
        "CREATE TABLE {NAME} (id bigint PRIMARY KEY, account integer NOT NULL, amount numeric(12, 2), at timestamp)"
    );
    ground.source.execute(NAME, &create).await?;
    let config = SourceConfig::parse(&ground.source.url(NAME))?;
    let session = session::connect(&config).await?;
    let found = catalog::tables(&session, &[Pattern::parse(NAME)?]).await?;
    let plan = Arc::new(table_plan(found.first().context("the table is there")?, &Naming::new("dbo"))?);
    let mut sandbox = Bench::start(ground.sandbox.url(), &plan).await?;
    let mut sink = Bench::start(&ground.sink.database(NAME).await?, &plan).await?;
    let distance = Distance::to(ground.sink.server().port()).await?;
    let (near, far) = (format!(":{}/", ground.sink.server().port()), format!(":{}/", distance.port()));
    let away = ground.sink.database(&format!("{NAME}_away")).await?.replacen(&near, &far, 1);
    let mut away = Bench::start(&away, &plan).await?;
    let lines = || SIZES.map(|size| Line { size, ..Line::default() }).to_vec();
    let mut batches = Batches { sandbox: lines(), sink: lines(), away: lines() };
    for round in 1..=rounds {
        ground
            .narrator
            .step(&format!("Batches of 1 to {} changes, round {round} of {rounds}", grouped(20_000)));
        let all = [
            (&mut sandbox, &mut batches.sandbox),
            (&mut sink, &mut batches.sink),
            (&mut away, &mut batches.away),
        ];
        for (bench, lines) in all {
            for line in lines {
                bench.measure(line, round).await?;
            }
        }
    }
    Ok(batches)
}

// === impl Bench ===

impl Bench {
    /// Makes state and table, and fills the table.
    async fn start(target_url: &str, plan: &Arc<TablePlan>) -> Result<Self> {
        let mut target = Target::connect(&TargetConfig::parse(target_url)?).await?;
        target.ensure_state_schema().await?;
        let checkpoint = target.create_pipeline(&new_pipeline()).await?;
        target.prepare_table(plan, ExistingRows::Refuse).await?;
        target.build_key(plan).await?;
        let mut tables = TableSet::new();
        tables.insert(TableEntry {
            plan: Arc::clone(plan),
            sync_lsn: Lsn::ZERO,
            phase: TablePhase::Streaming,
            letters: OpenLetters::new(),
            known: None,
        });
        let relation = Arc::new(relation(plan));
        let mut bench = Bench { target, checkpoint, tables, relation, made: 0 };
        let insert = |id| Change::Insert { relation: Arc::clone(&bench.relation), new: row(id, id) };
        let fill = (0..2 * POOL).map(insert).collect();
        let fill = bench.plan(fill)?;
        bench.checkpoint = apply_staged(&mut bench.target, &fill, &bench.checkpoint).await?;
        Ok(bench)
    }

    /// Adds one figure of each way to a line, the other way first each time.
    async fn measure(&mut self, line: &mut Line, round: u32) -> Result<()> {
        let ways = [Way::Direct, Way::Staged];
        let ways = if round.is_multiple_of(2) { [ways[1], ways[0]] } else { ways };
        for way in ways {
            let rate = self.rate(line.size, way).await?;
            match way {
                Way::Direct => line.direct.extend(rate),
                Way::Staged => line.staged.extend(rate),
            }
        }
        Ok(())
    }

    /// Changes a second; `None` when this way cannot take so many.
    #[expect(clippy::cast_precision_loss, reason = "counts, far below 2^52")]
    async fn rate(&mut self, size: usize, way: Way) -> Result<Option<f64>> {
        let batches = (CHANGES / size).clamp(BATCHES.0, BATCHES.1);
        let mut seconds = 0.0;
        for _ in 0..batches {
            let made = self.made;
            let changes = (0..size).map(|_| self.next()).collect();
            let plan = self.plan(changes)?;
            let begun = Instant::now();
            self.checkpoint = match way {
                Way::Staged => apply_staged(&mut self.target, &plan, &self.checkpoint).await?,
                Way::Direct => match apply_direct(&mut self.target, &plan, &self.checkpoint).await? {
                    Some(checkpoint) => checkpoint,
                    None => {
                        self.made = made;
                        return Ok(None);
                    }
                },
            };
            seconds += begun.elapsed().as_secs_f64();
        }
        Ok(Some((batches * size) as f64 / seconds))
    }

    /// The plan of one transaction.
    fn plan(&self, changes: Vec<Change>) -> Result<ApplyPlan> {
        let end_lsn = Lsn::new(self.checkpoint.applied_lsn.as_u64() + 100);
        let transaction = Transaction {
            xid: 1,
            commit_lsn: end_lsn,
            end_lsn,
            commit_time_us: 0,
            spilled: None,
            changes,
            memory_bytes: 0,
            large_bytes: 0,
        };
        Ok(plan(&[transaction], &self.tables)?)
    }

    /// The next change.
    fn next(&mut self) -> Change {
        self.made += 1;
        change(&self.relation, self.made - 1)
    }
}

/// The change with this number.
fn change(relation: &Arc<Relation>, number: usize) -> Change {
    let relation = Arc::clone(relation);
    let (turn, kind) = (number / 4, number % 4);
    match kind {
        0 => Change::Insert { relation, new: row(2 * POOL + turn, number) },
        1 | 2 => {
            let id = (2 * turn + kind - 1) % POOL;
            Change::Update { relation, old: None, new: row(id, number) }
        }
        _ => {
            let id = (POOL + turn).to_string();
            let key = Tuple::from_texts([Some(id.as_str()), None, None, None]);
            Change::Delete { relation, old: OldTuple::Key(key) }
        }
    }
}

/// A row, as the stream sends it in text form.
fn row(id: usize, amount: usize) -> Tuple {
    let (key, account, amount) =
        (id.to_string(), (id % 10_000).to_string(), format!("{}.25", amount % 100_000));
    Tuple::from_texts([Some(key.as_str()), Some(&account), Some(&amount), Some("2026-01-02 03:04:05.678901")])
}

/// The table as the stream describes it.
fn relation(plan: &TablePlan) -> Relation {
    let source = &plan.source;
    let columns = source.columns.iter().enumerate().map(|(index, column)| RelationColumn {
        key: source.primary_key.contains(&index),
        name: column.name.clone(),
        // No built-in type's: the planned type is taken.
        type_oid: 70_000,
        type_modifier: -1,
    });
    Relation {
        oid: source.oid,
        name: source.name.clone(),
        replica_identity: source.replica_identity,
        columns: columns.collect(),
    }
}

fn new_pipeline() -> NewPipeline {
    NewPipeline {
        pipeline: NAME.to_owned(),
        owner: "bench".to_owned(),
        lineage: Lineage {
            system_identifier: "1".to_owned(),
            timeline: 1,
            database_oid: 1,
            slot: NAME.to_owned(),
            publication: NAME.to_owned(),
            publication_oid: 0,
        },
        slot_is_ours: true,
        publication_is_ours: true,
        start_lsn: Lsn::ZERO,
        spec: None,
    }
}

// === impl Batches ===

impl Batches {
    /// The part of the section, with its picture.
    pub(super) fn section(&self, picture: &str) -> String {
        let head = [
            "changes a batch",
            "sandbox: one request",
            "sandbox: staged",
            "null sink: one request",
            "null sink: staged",
            "further away: one request",
            "further away: staged",
        ];
        let lines = self.sandbox.iter().zip(&self.sink).zip(&self.away).map(|((sandbox, sink), away)| {
            let rates = [sandbox, sink, away].into_iter().flat_map(|line| [&line.direct, &line.staged]);
            let size = grouped(u64::try_from(sandbox.size).unwrap_or_default());
            std::iter::once(size).chain(rates.map(|rates| cell(rates))).collect()
        });
        format!(
            "### Changes a batch

Changes a second by both ways of applying, on one connection, batch after batch: everything in one request, or by a bulk load into a staging
table. The engine takes the first way up to {limit} rows.

{table}
![Changes a second against changes a batch, both ways]({picture})

{sandbox} {sink} {away} {verdict}

- The plans are made before the clock runs; what is measured is encoding, sending, and the target's work.
- Sandbox and null sink are on this machine, where a request takes a fraction of a millisecond to get there and back. Staging takes four requests more for one table. *Further
  away* is the null sink behind a relay that keeps each answer back for one to two milliseconds, as a server in another building does.
- A dash: the values do not fit into one request (2,100 parameters). Of four changes, one is an INSERT, two are UPDATEs, one is a DELETE, of a table of four
  columns; what the engine puts into a batch by itself is what came while the last one was applied.
",
            limit = MAX_DIRECT_ROWS,
            table = table(&head, lines),
            sandbox = said_of("On the sandbox", &self.sandbox),
            sink = said_of("Into the null sink, where each COMMIT takes two milliseconds longer,", &self.sink),
            away = said_of("Further away from it", &self.away),
            verdict = verdict(&[&self.sandbox, &self.sink, &self.away]),
        )
    }

    /// All targets, both ways.
    pub(super) fn picture(&self) -> Result<String> {
        let chart = |title: &str, lines: &[Line]| {
            let curve = |name: &str, values: fn(&Line) -> &[f64]| Curve {
                name: name.to_owned(),
                points: lines
                    .iter()
                    .filter_map(|line| Some((to_f64(line.size), median(values(line))?)))
                    .collect(),
            };
            let curves =
                vec![curve("one request", |line| &line.direct), curve("staged", |line| &line.staged)];
            Chart { title: title.to_owned(), x: "changes a batch", y: "changes/s", is_y_log: true, curves }
        };
        draw(&[
            chart("On the sandbox", &self.sandbox),
            chart("Into the null sink", &self.sink),
            chart("Into the null sink, further away", &self.away),
        ])
    }
}

// === impl Line ===

impl Line {
    /// How many times as fast one request is as staging; `None` when it cannot be.
    fn advantage(&self) -> Option<f64> {
        Some(median(&self.direct)? / median(&self.staged)?)
    }
}

/// Where staging becomes the faster way.
fn said_of(place: &str, lines: &[Line]) -> String {
    let size = |line: &Line| grouped(u64::try_from(line.size).unwrap_or_default());
    let direct = lines.iter().take_while(|line| line.advantage().is_some_and(|times| times >= 1.0)).count();
    let last = direct.checked_sub(1).and_then(|index| lines.get(index));
    match (last, lines.get(direct)) {
        (Some(last), Some(next)) if next.advantage().is_some() => {
            format!(
                "{place} one request is the faster way up to {} changes, staging from {} on.",
                size(last),
                size(next)
            )
        }
        (Some(last), _) => {
            format!("{place} one request is the faster way as far as it goes, up to {} changes.", size(last))
        }
        (None, _) => format!("{place} staging is the faster way for any number of changes."),
    }
}

/// What the targets say of the engine's limit. It is called wrong only where all of them say so.
fn verdict(targets: &[&[Line]]) -> String {
    let limit = MAX_DIRECT_ROWS;
    let at = |lines: &[Line]| lines.iter().find(|line| line.size >= limit).and_then(Line::advantage);
    let above = |lines: &[Line]| lines.iter().find(|line| line.size > limit).and_then(Line::advantage);
    if targets.iter().all(|lines| at(lines).is_some_and(|times| times < 1.0 / CLEARLY)) {
        format!("**The limit of {limit} rows is too high** for all of them.")
    } else if targets.iter().all(|lines| above(lines).is_some_and(|times| times > CLEARLY)) {
        format!("**The limit of {limit} rows is too low** for all of them.")
    } else {
        format!(
            "The limit of {limit} rows stands: it is too high, or too low, for some of them only, or for none."
        )
    }
}

fn median(values: &[f64]) -> Option<f64> {
    Some(Spread::of(values)?.median)
}

#[expect(clippy::cast_precision_loss, reason = "a count, far below 2^52")]
fn to_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(of: &[(usize, f64, f64)]) -> Vec<Line> {
        let line = |&(size, direct, staged): &(usize, f64, f64)| Line {
            size,
            direct: if direct > 0.0 { vec![direct] } else { Vec::new() },
            staged: vec![staged],
        };
        of.iter().map(line).collect()
    }

    #[test]
    fn the_limit_is_called_wrong_only_where_all_targets_say_so() {
        let crossing = lines(&[(1, 9.0, 3.0), (32, 9.0, 8.0), (64, 9.0, 20.0), (1000, 0.0, 99.0)]);
        assert_eq!(
            said_of("Here", &crossing),
            "Here one request is the faster way up to 32 changes, staging from 64 on."
        );
        let low = lines(&[(1, 9.0, 3.0), (32, 9.0, 3.0), (64, 9.0, 3.0), (1000, 0.0, 99.0)]);
        assert_eq!(
            said_of("Here", &low),
            "Here one request is the faster way as far as it goes, up to 64 changes."
        );
        let high = lines(&[(1, 2.0, 3.0), (32, 2.0, 3.0), (64, 2.0, 3.0)]);
        assert!(said_of("Here", &high).ends_with("for any number of changes."));
        assert!(verdict(&[&crossing, &crossing]).contains("stands"));
        assert!(verdict(&[&low, &low, &crossing]).contains("stands"));
        assert!(verdict(&[&low, &low, &low]).contains("too low** for all"));
        assert!(verdict(&[&low, &high]).contains("stands"));
        assert!(verdict(&[&high, &high]).contains("too high** for all"));
    }

    #[test]
    fn a_batch_changes_each_row_once_and_finds_it() {
        let name = segcdc_model::QualifiedName::new("public", NAME);
        let columns = Vec::new();
        let identity = segcdc_model::ReplicaIdentity::Default;
        let relation = Relation { oid: 1, name, replica_identity: identity, columns };
        let mut there: std::collections::BTreeSet<usize> = (0..2 * POOL).collect();
        let key = |row: &Tuple| match row.get(0) {
            Some(segcdc_model::Field::Text(id)) => String::from_utf8_lossy(id).parse::<usize>().unwrap(),
            other => panic!("{other:?}"),
        };
        let relation = Arc::new(relation);
        for turn in 0..5 {
            let mut touched = std::collections::BTreeSet::new();
            for number in turn * POOL..(turn + 1) * POOL {
                let (is_found, id) = match change(&relation, number) {
                    Change::Insert { new, .. } => (there.insert(key(&new)), key(&new)),
                    Change::Update { new, .. } => (there.contains(&key(&new)), key(&new)),
                    Change::Delete { old: OldTuple::Key(old), .. } => (there.remove(&key(&old)), key(&old)),
                    other => panic!("{other:?}"),
                };
                assert!(is_found && touched.insert(id), "{number}");
            }
        }
    }
}
