//! A server, a schema of its own for each test, and rows to put into it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use segcdc_model::{
    Change, Checkpoint, Field, Lineage, Lsn, OldTuple, Relation, RelationColumn, ReplicaIdentity, TablePhase,
    Transaction, Tuple, TupleBuilder,
};
use segcdc_plan::{
    ApplyPlan, Naming, OpenLetters, TableEntry, TablePlan, TableSet, canonical, plan, table_plan,
};
use segcdc_sqlserver::{
    ExistingRows, LoadProgress, Loader, NewPipeline, Selection, Target, TargetConfig, TargetError, WritePath,
    rows,
};
use segcdc_testkit::Sandbox;
use tokio::sync::OnceCell;

use crate::fixture::{self, Column};

/// One server for all tests of this process.
static SERVER: OnceCell<(String, Option<Sandbox>)> = OnceCell::const_new();

/// Numbers the tests, and with them their schemas and pipelines.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A row as canonical texts, `None` for NULL.
pub(crate) type Row = Vec<Option<String>>;

/// A schema and a pipeline of one test.
pub(crate) struct Rig {
    pub(crate) config: TargetConfig,
    pub(crate) target: Target,
    pub(crate) schema: String,
    pub(crate) pipeline: String,
    pub(crate) checkpoint: Checkpoint,
}

/// The URL of the server.
pub(crate) async fn url() -> &'static str {
    let started = SERVER.get_or_init(|| async { Sandbox::target_url().await.expect("a server") }).await;
    &started.0
}

impl Rig {
    /// Connects, and creates the pipeline's state.
    pub(crate) async fn new() -> Self {
        Self::with(None).await
    }

    /// As [`Rig::new`], with rows written in this way.
    pub(crate) async fn with(path: Option<WritePath>) -> Self {
        let mut config = TargetConfig::parse(url().await).expect("the server's URL");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("{}_{number}", std::process::id());
        let (schema, pipeline) = (format!("t{unique}"), format!("pipeline {unique}"));
        config.default_schema.clone_from(&schema);
        let mut target = match path {
            Some(path) => Target::connect_with(&config, path).await.unwrap(),
            None => Target::connect(&config).await.unwrap(),
        };
        target.ensure_state_schema().await.unwrap();
        let checkpoint = target.create_pipeline(&new_pipeline(&pipeline)).await.unwrap();
        Rig { config, target, schema, pipeline, checkpoint }
    }

    /// A closing bracket for names, or nothing where the server's parser does not know it, which is said.
    pub(crate) async fn bracket(&self) -> &'static str {
        let mut connection = segcdc_tds::Connection::connect(&self.config.to_tds()).await.unwrap();
        match connection.batch(segcdc_sqlserver::sql::session::CLOSING_BRACKET).await {
            Ok(_) => "]",
            Err(segcdc_tds::Error::Server(_)) => {
                eprintln!("skipped: names with a closing bracket, which this server's parser refuses");
                ""
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A second session.
    pub(crate) async fn session(&self) -> Target {
        Target::connect_with(&self.config, self.target.write_path()).await.unwrap()
    }

    /// A table of the rig's schema whose key is its first `key` columns.
    pub(crate) fn table(&self, oid: u32, name: &str, key: usize, columns: &[Column<'_>]) -> Arc<TablePlan> {
        let naming = Naming::new(self.schema.clone());
        Arc::new(table_plan(&fixture::source(oid, name, key, columns), &naming).unwrap())
    }

    /// Creates the target of a table, with its key.
    pub(crate) async fn create(&mut self, table: &Arc<TablePlan>) {
        self.target.prepare_table(table, ExistingRows::Refuse).await.unwrap();
        self.target.build_key(table).await.unwrap();
    }

    /// Loads rows into a table.
    pub(crate) async fn load(&mut self, table: &Arc<TablePlan>, rows: &[Tuple]) -> Result<u64, TargetError> {
        let progress = Arc::new(LoadProgress::default());
        let mut loader = Loader::begin(&mut self.target, table, Arc::clone(&progress)).await?;
        for row in rows {
            if let Err(error) = loader.push(row).await {
                loader.abort().await.unwrap();
                return Err(error);
            }
        }
        let loaded = loader.finish().await?;
        assert_eq!(progress.rows(), loaded);
        Ok(loaded)
    }

    /// The rows of a table, sorted.
    pub(crate) async fn rows(&mut self, table: &TablePlan) -> Vec<Row> {
        self.select(table, Selection::All).await.unwrap()
    }

    /// Some rows of a table, sorted.
    pub(crate) async fn select(
        &mut self,
        table: &TablePlan,
        selection: Selection<'_>,
    ) -> Result<Vec<Row>, TargetError> {
        let mut found = Vec::new();
        let mut take = |row: &segcdc_sqlserver::CanonicalRow| {
            found.push(row.iter().map(|field| field.map(str::to_owned)).collect::<Row>());
        };
        let counted = rows::read(&mut self.target, table, selection, &mut take).await?;
        assert_eq!(counted, found.len() as u64);
        found.sort();
        Ok(found)
    }

    /// The stored checkpoint.
    pub(crate) async fn stored(&mut self) -> Checkpoint {
        self.target.load_state(&self.pipeline).await.unwrap().unwrap().checkpoint
    }
}

pub(crate) fn new_pipeline(name: &str) -> NewPipeline {
    NewPipeline {
        pipeline: name.to_owned(),
        owner: "tests".to_owned(),
        lineage: Lineage {
            system_identifier: "7312345678901234567".to_owned(),
            timeline: 1,
            database_oid: 16384,
            slot: "slot".to_owned(),
            publication: "publication".to_owned(),
            publication_oid: 0,
        },
        slot_is_ours: true,
        publication_is_ours: true,
        start_lsn: Lsn::ZERO,
        spec: None,
    }
}

/// Runs SQL beside the product, as somebody else would.
pub(crate) async fn meddle(config: &TargetConfig, sql: &str) {
    let mut connection = segcdc_tds::Connection::connect(&config.to_tds()).await.unwrap();
    connection.batch(sql).await.unwrap();
}

/// A field of a row of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Unchanged,
    Text(String),
}

/// Fields separated by `|`, `~` for NULL, `^` for unchanged TOAST.
pub(crate) fn tuple(row: &str) -> Tuple {
    let cells: Vec<Cell> = row
        .split('|')
        .map(|field| match field {
            "~" => Cell::Null,
            "^" => Cell::Unchanged,
            text => Cell::Text(text.to_owned()),
        })
        .collect();
    tuple_of(&cells)
}

/// A row of the stream, in text form.
pub(crate) fn tuple_of(cells: &[Cell]) -> Tuple {
    let mut buffer = Vec::new();
    for cell in cells {
        if let Cell::Text(text) = cell {
            buffer.extend_from_slice(text.as_bytes());
        }
    }
    let mut builder = TupleBuilder::new(buffer.into(), cells.len());
    let mut start = 0;
    for cell in cells {
        match cell {
            Cell::Null => builder.null(),
            Cell::Unchanged => builder.unchanged_toast(),
            Cell::Text(text) => {
                builder.text(start, text.len());
                start += text.len();
            }
        }
    }
    builder.build()
}

/// The canonical texts of rows in the form of [`tuple`], sorted.
pub(crate) fn canonical_rows(table: &TablePlan, rows: &[&str]) -> Vec<Row> {
    let mut rows: Vec<Row> = rows.iter().map(|row| canonical_row(table, &tuple(row))).collect();
    rows.sort();
    rows
}

/// The canonical texts of a row of the source.
pub(crate) fn canonical_row(table: &TablePlan, row: &Tuple) -> Row {
    let texts =
        table.columns.iter().zip(row.fields()).map(|(column, field): (_, Field<'_>)| {
            canonical::canonical_text(&column.pg_type, field).unwrap()
        });
    texts.collect()
}

/// Spells the changes of one table as the stream does.
pub(crate) struct Stream {
    pub(crate) table: Arc<TablePlan>,
    relation: Arc<Relation>,
}

impl Stream {
    pub(crate) fn new(table: &Arc<TablePlan>) -> Self {
        let source = &table.source;
        let is_full = source.replica_identity == ReplicaIdentity::Full;
        let columns = source.columns.iter().enumerate().map(|(index, column)| RelationColumn {
            key: is_full || source.primary_key.contains(&index),
            name: column.name.clone(),
            // An OID that is no built-in type's: the planned type is taken.
            type_oid: 70_000,
            type_modifier: -1,
        });
        let relation = Relation {
            oid: source.oid,
            name: source.name.clone(),
            replica_identity: source.replica_identity,
            columns: columns.collect(),
        };
        Stream { table: Arc::clone(table), relation: Arc::new(relation) }
    }

    pub(crate) fn insert(&self, new: &str) -> Change {
        self.insert_tuple(tuple(new))
    }

    pub(crate) fn insert_tuple(&self, new: Tuple) -> Change {
        Change::Insert { relation: Arc::clone(&self.relation), new }
    }

    pub(crate) fn update(&self, new: &str) -> Change {
        Change::Update { relation: Arc::clone(&self.relation), old: None, new: tuple(new) }
    }

    /// An update that changes the key.
    pub(crate) fn rekey(&self, old: &str, new: &str) -> Change {
        let old = Some(OldTuple::Key(tuple(old)));
        Change::Update { relation: Arc::clone(&self.relation), old, new: tuple(new) }
    }

    pub(crate) fn update_full(&self, old: &str, new: &str) -> Change {
        let old = Some(OldTuple::Full(tuple(old)));
        Change::Update { relation: Arc::clone(&self.relation), old, new: tuple(new) }
    }

    pub(crate) fn delete(&self, old: &str) -> Change {
        Change::Delete { relation: Arc::clone(&self.relation), old: OldTuple::Key(tuple(old)) }
    }

    pub(crate) fn delete_full(&self, old: &str) -> Change {
        Change::Delete { relation: Arc::clone(&self.relation), old: OldTuple::Full(tuple(old)) }
    }

    pub(crate) fn truncate(&self) -> Change {
        Change::Truncate { relations: vec![Arc::clone(&self.relation)] }
    }
}

/// Plans one transaction over these tables, whose commit time is its end.
pub(crate) fn plan_one(streams: &[&Stream], end_lsn: u64, changes: Vec<Change>) -> ApplyPlan {
    let entry = |stream: &&Stream| TableEntry {
        plan: Arc::clone(&stream.table),
        sync_lsn: Lsn::ZERO,
        phase: TablePhase::Streaming,
        letters: OpenLetters::new(),
        known: None,
    };
    let set: TableSet = streams.iter().map(entry).collect();
    let transaction = Transaction {
        xid: 1,
        commit_lsn: Lsn::new(end_lsn - 1),
        end_lsn: Lsn::new(end_lsn),
        commit_time_us: i64::try_from(end_lsn).unwrap(),
        spilled: None,
        changes,
        memory_bytes: 0,
        large_bytes: 0,
    };
    plan(&[transaction], &set).unwrap()
}
