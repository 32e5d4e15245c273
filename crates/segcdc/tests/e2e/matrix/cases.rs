//! [`Case`]: a block of `tests/matrix/types.txt`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use segcdc_postgres::{Pattern, SourceConfig, catalog, session};
use segcdc_testkit::PostgresCluster;
use segcdc_testkit::values::{self, Entry};
use tokio_postgres::Client;

/// Extensions that are part of PostgreSQL: a server without one of them is not whole.
const CONTRIB: [&str; 6] = ["citext", "cube", "hstore", "isn", "ltree", "seg"];

/// A type and its edge values.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The row of the published page.
    pub(crate) row: String,
    /// As in CREATE TABLE.
    pub(crate) pg_type: String,
    /// Expressions of values that arrive.
    pub(crate) values: Vec<String>,
    /// Expressions of values that are refused.
    pub(crate) refused: Vec<String>,
    /// What the server must have.
    conditions: Vec<Condition>,
    /// Whether the product decodes the type's binary form.
    pub(crate) has_binary_form: bool,
}

/// What the server must have for a case.
#[derive(Debug, Clone)]
enum Condition {
    Since(u32),
    Extension(String),
    Xml,
}

/// The statements for a table with one column a case.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    cases: &'a [Case],
}

/// Reads `types.txt`, makes what its types need in `database`, and returns the cases that the server can show.
pub(crate) async fn prepare(source: &PostgresCluster, database: &str) -> Result<Vec<Case>> {
    prepare_some(source, database, listed("types.txt")?).await
}

/// As [`prepare`], of some cases.
pub(super) async fn prepare_some(
    source: &PostgresCluster,
    database: &str,
    cases: Vec<Case>,
) -> Result<Vec<Case>> {
    let client = source.connect(database).await?;
    set_up(&client).await?;
    let mut shown = Vec::new();
    for case in cases {
        match lacking(&client, &case.conditions).await? {
            Some(lacking) => eprintln!("skipped, the server has not {lacking}: {}", case.pg_type),
            None => shown.push(case),
        }
    }
    find_binary_forms(source, database, &mut shown).await?;
    Ok(shown)
}

/// Makes what the types of random values need in `database`, and returns those that the server has.
pub(super) async fn random(source: &PostgresCluster, database: &str) -> Result<Vec<Entry>> {
    random_some(source, database, values::entries()).await
}

/// As [`random`], of some types.
pub(super) async fn random_some(
    source: &PostgresCluster,
    database: &str,
    entries: Vec<Entry>,
) -> Result<Vec<Entry>> {
    let client = source.connect(database).await?;
    set_up(&client).await?;
    let mut shown = Vec::new();
    for entry in entries {
        let needs = Some(entry.needs).filter(|needs| !needs.is_empty());
        let conditions = needs.map(Condition::parse).into_iter().collect::<Result<Vec<_>>>()?;
        match lacking(&client, &conditions).await? {
            Some(lacking) => eprintln!("skipped, the server has not {lacking}: {}", entry.pg_type),
            None => shown.push(entry),
        }
    }
    Ok(shown)
}

/// The blocks of a list.
pub(super) fn listed(name: &str) -> Result<Vec<Case>> {
    parse(&fs::read_to_string(folder()?.join(name))?)
}

/// Makes what the types of cases without conditions need in `database`, and asks which have a binary form.
pub(super) async fn make(source: &PostgresCluster, database: &str, cases: &mut [Case]) -> Result<()> {
    set_up(&source.connect(database).await?).await?;
    find_binary_forms(source, database, cases).await
}

/// Makes what the types need, unless it is there.
async fn set_up(client: &Client) -> Result<()> {
    let is_there: bool = client.query_one("SELECT to_regnamespace('matrix') IS NOT NULL", &[]).await?.get(0);
    if !is_there {
        client.batch_execute(&fs::read_to_string(folder()?.join("setup.sql"))?).await?;
    }
    Ok(())
}

/// `tests/matrix` of the repository.
fn folder() -> Result<PathBuf> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the crate lies in crates/")?;
    Ok(root.join("tests/matrix"))
}

/// Leaves out values of megabytes, where they show nothing that they have not shown: those with a repetition of 100,000
/// and more.
pub(crate) fn leave_out_large(cases: &mut [Case]) {
    let is_large = |value: &str| {
        value
            .split(|c: char| !c.is_ascii_digit())
            .any(|digits| digits.len() >= 6 && digits.ends_with("00000"))
            && value.contains("repeat(")
    };
    for case in cases {
        case.values.retain(|value| !is_large(value));
    }
}

/// Reads the blocks.
fn parse(text: &str) -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix('[') {
            let (row, pg_type) = head.split_once("] ").with_context(|| format!("no type: {line}"))?;
            cases.push(Case {
                row: row.to_owned(),
                pg_type: pg_type.to_owned(),
                values: Vec::new(),
                refused: Vec::new(),
                conditions: Vec::new(),
                has_binary_form: false,
            });
            continue;
        }
        let case = cases.last_mut().with_context(|| format!("in no block: {line}"))?;
        if let Some(condition) = line.strip_prefix('@') {
            case.conditions.push(Condition::parse(condition)?);
        } else if let Some(refused) = line.strip_prefix("! ") {
            case.refused.push(refused.to_owned());
        } else {
            case.values.push(line.to_owned());
        }
    }
    for case in &cases {
        ensure!(!case.values.is_empty(), "{} has no values", case.pg_type);
    }
    Ok(cases)
}

/// The first condition that the server does not meet. Makes the extensions that it can have.
async fn lacking(client: &Client, conditions: &[Condition]) -> Result<Option<String>> {
    for condition in conditions {
        let (what, met) = match condition {
            Condition::Since(version) => {
                let found: String = client.query_one("SHOW server_version_num", &[]).await?.get(0);
                (format!("version {version}"), found.parse::<u32>()? >= *version)
            }
            Condition::Extension(name) => {
                let create = format!("CREATE EXTENSION IF NOT EXISTS {name} SCHEMA public");
                let made = client.batch_execute(&create).await;
                let is_whole = made.is_ok() || !CONTRIB.contains(&name.as_str());
                ensure!(
                    is_whole,
                    "the server has not {name}, which is part of PostgreSQL (postgresql-contrib)"
                );
                (format!("the extension {name}"), made.is_ok())
            }
            Condition::Xml => ("xml".to_owned(), client.batch_execute("SELECT '<a/>'::xml").await.is_ok()),
        };
        if !met {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

/// Asks the product which types it decodes from their binary form.
async fn find_binary_forms(source: &PostgresCluster, database: &str, cases: &mut [Case]) -> Result<()> {
    let client = source.connect(database).await?;
    client.batch_execute(&Columns::new(cases).create("matrix_probe")).await?;
    let session = session::connect(&SourceConfig::parse(&source.url(database))?).await?;
    let table = catalog::tables(&session, &[Pattern::parse("matrix_probe")?]).await?.pop();
    let table = table.context("the probe is not there")?;
    for (case, column) in cases.iter_mut().zip(table.columns.iter().skip(1)) {
        case.has_binary_form = column.pg_type.has_exact_binary_form();
    }
    client.batch_execute("DROP TABLE matrix_probe").await?;
    Ok(())
}

// === impl Case ===

impl Case {
    /// Whether its type is of this extension.
    pub(super) fn is_of(&self, extension: &str) -> bool {
        self.conditions
            .iter()
            .any(|condition| matches!(condition, Condition::Extension(name) if name == extension))
    }
}

// === impl Condition ===

impl Condition {
    /// Reads one: `since 150000`, `extension hstore`, `needs xml`.
    fn parse(text: &str) -> Result<Self> {
        Ok(match text.split_once(' ') {
            Some(("since", version)) => Condition::Since(version.parse()?),
            Some(("extension", name)) => Condition::Extension(name.to_owned()),
            Some(("needs", "xml")) => Condition::Xml,
            _ => bail!("unknown condition: {text}"),
        })
    }
}

// === impl Columns ===

impl<'a> Columns<'a> {
    /// A column for each case.
    pub(super) fn new(cases: &'a [Case]) -> Self {
        Columns { cases }
    }

    /// CREATE TABLE.
    pub(super) fn create(&self, table: &str) -> String {
        let columns = self.cases.iter().enumerate();
        let columns = columns.map(|(index, case)| format!("c{index} {}", case.pg_type)).collect::<Vec<_>>();
        format!("CREATE TABLE {table} (id int PRIMARY KEY, {})", columns.join(", "))
    }

    /// A row for each value, NULL where a type has no more, and one of nothing but NULLs.
    pub(super) fn fill(&self, table: &str, first_id: usize) -> String {
        let rows = (0..=self.rows()).map(|row| {
            let value = |case: &Case| match case.values.get(row) {
                Some(value) => format!("CAST({value} AS {})", case.pg_type),
                None => "NULL".to_owned(),
            };
            let values = self.cases.iter().map(value).collect::<Vec<_>>().join(", ");
            format!("INSERT INTO {table} VALUES ({}, {values})", first_id + row)
        });
        rows.collect::<Vec<_>>().join("; ")
    }

    /// An UPDATE that gives each row the values of the next.
    pub(super) fn rotate(&self, table: &str) -> String {
        let set = (0..self.cases.len()).map(|index| format!("c{index} = n.c{index}")).collect::<Vec<_>>();
        format!(
            "UPDATE {table} t SET {} FROM {table} n WHERE n.id = (t.id + 1) % {}",
            set.join(", "),
            self.rows() + 1
        )
    }

    /// An UPDATE that gives every enum a label; nothing where there are none.
    pub(super) fn use_label(&self, table: &str, label: &str) -> String {
        let enums = self.cases.iter().enumerate().filter(|(_, case)| case.row == "enums");
        let set = enums.map(|(index, _)| format!("c{index} = '{label}'")).collect::<Vec<_>>();
        if set.is_empty() {
            return String::new();
        }
        format!("UPDATE {table} SET {} WHERE id = 1000", set.join(", "))
    }

    /// Rows that have a value.
    fn rows(&self) -> usize {
        self.cases.iter().map(|case| case.values.len()).max().unwrap_or(0)
    }
}
