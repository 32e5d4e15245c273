//! Random names: a table whose names the target can have arrives under them; any other is refused by name before anything
//! is made, and the rule that is offered for it works.
//!
//! `SEGCDC_SEED=7` draws the same names again, `SEGCDC_NAMES=200` makes so many tables.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use segcdc_testkit::values::runner;
use serde_json::Value;

use super::super::independent::Pair;
use super::super::product::Finished;
use super::super::stage::{DATABASE, Stage};
use super::quoted;

/// Tables of a run, unless `SEGCDC_NAMES` says how many.
const TABLES: usize = 40;

/// How often rules that were offered may have to be added: a table with several names alike needs one after the other.
const ROUNDS: usize = 60;

/// Longest name of PostgreSQL, bytes.
const MAX_BYTES: usize = 63;

/// Columns that every table of PostgreSQL has.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"];

/// Names that mean something to one of the servers, or to the product.
const WORDS: &[&str] = &[
    "select",
    "FROM",
    "table",
    "Order",
    "group",
    "key",
    "null",
    "default",
    "user",
    "index",
    "dbo",
    "sys",
    "guest",
    "segcdc",
    "INFORMATION_SCHEMA",
    "db_owner",
    "sysobjects",
    "SysColumns",
    "#t",
    "##t",
    "#",
    "@t",
    "$action",
    "inserted",
    "deleted",
    "pipeline",
    "t",
    "s",
    "id",
    "Id",
    "id_2",
    "rowguid",
    "timestamp",
    "%%physloc%%",
    " ",
    "  ",
    "\t",
    "\u{a0}",
    "\u{3000}",
    "\u{200b}",
    "\u{1}",
    "[dbo].[t]",
    "a.b",
    "\"",
    "]",
    "[",
    "'",
    "--",
    "/*",
    "*/",
    ";",
    "\\",
    "public",
];

/// Characters that mean something, look like others, or have no shape.
const CHARACTERS: &[char] = &[
    ' ',
    '.',
    '[',
    ']',
    '"',
    '\'',
    '`',
    '\\',
    ';',
    '%',
    '@',
    '#',
    '$',
    '*',
    '=',
    ',',
    '\t',
    '\n',
    '\r',
    '\u{1}',
    '\u{7f}',
    '\u{85}',
    '\u{a0}',
    '\u{ad}',
    'İ',
    'ı',
    'i',
    'I',
    'ß',
    'ẞ',
    'é',
    'e',
    '\u{301}',
    '\u{327}',
    '\u{200b}',
    '\u{200d}',
    '\u{202e}',
    '\u{2066}',
    '\u{feff}',
    '\u{3000}',
    '\u{fe0f}',
    'Å',
    'Å',
    'ﬀ',
    'Ａ',
    'ア',
    'ｱ',
    'あ',
    '①',
    '１',
    '1',
    'Ω',
    'Ω',
    '日',
    '한',
    '\u{1112}',
    '\u{1161}',
    'א',
    '\u{5b0}',
    'م',
    '🦀',
    '👩',
    '\u{1f1e9}',
    '\u{e000}',
    '\u{ffff}',
    '\u{10ffff}',
];

/// A column: its name, and its type's.
type Column = (String, String);

/// A table with its columns, the first of which is an integer that numbers its rows.
#[derive(Debug)]
struct Table {
    schema: String,
    name: String,
    columns: Vec<Column>,
    /// Without one, rows are found by their whole content.
    has_key: bool,
}

/// Any name that PostgreSQL takes.
fn name() -> BoxedStrategy<String> {
    let character = prop_oneof![
        2 => any::<char>().prop_filter("PostgreSQL has no NUL", |character| *character != '\0'),
        4 => proptest::char::range(' ', '~'),
        4 => select(CHARACTERS),
    ];
    let short = proptest::collection::vec(character.clone(), 1..12);
    let long = proptest::collection::vec(character, MAX_BYTES);
    prop_oneof![
        3 => select(WORDS).prop_map(str::to_owned),
        5 => short.prop_map(|name| cut(&String::from_iter(name))),
        2 => long.prop_map(|name| cut(&String::from_iter(name))),
    ]
    .boxed()
}

/// A name that a collation may hold for the same one.
fn alike(name: &str, way: u8) -> String {
    let other = match way {
        0 => name.to_uppercase(),
        1 => name.to_lowercase(),
        2 => format!("{name} "),
        3 => format!("{name}\u{200b}"),
        4 => name.replace('é', "e\u{301}").replace('Å', "A\u{30a}").replace('한', "\u{1112}\u{1161}\u{11ab}"),
        5 => format!("{name}\u{301}"),
        6 => name
            .chars()
            .map(|c| {
                if c == '1' {
                    '①'
                } else if c.is_ascii_graphic() {
                    wide(c)
                } else {
                    c
                }
            })
            .collect(),
        _ => name.replace('ß', "ss").replace('ﬀ', "ff").replace('ア', "ｱ"),
    };
    cut(&other)
}

/// A character of ASCII in its full width.
fn wide(character: char) -> char {
    char::from_u32(u32::from(character) - 0x21 + 0xFF01).unwrap_or(character)
}

/// What PostgreSQL keeps of a name that is too long.
fn cut(name: &str) -> String {
    let end = (0..=name.len().min(MAX_BYTES)).rev().find(|end| name.is_char_boundary(*end));
    name.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

/// Draws names.
struct Drawer(TestRunner);

impl Drawer {
    fn draw<T: std::fmt::Debug>(&mut self, strategy: impl Strategy<Value = T>) -> Result<T> {
        let tree = strategy.new_tree(&mut self.0).map_err(|reason| anyhow::anyhow!("{reason}"))?;
        Ok(tree.current())
    }

    /// A name that is not among `taken` and that `allowed` allows, in a third of all cases like one that is.
    fn name(&mut self, taken: &BTreeSet<String>, allowed: impl Fn(&str) -> bool) -> Result<String> {
        loop {
            let twin = !taken.is_empty() && self.draw(0..3_u8)? == 0;
            let drawn = if twin {
                let taken: Vec<String> = taken.iter().cloned().collect();
                alike(&self.draw(select(taken))?, self.draw(0..8_u8)?)
            } else {
                self.draw(name())?
            };
            if !drawn.is_empty() && !taken.contains(&drawn) && allowed(&drawn) {
                return Ok(drawn);
            }
        }
    }

    /// Schemas, types and tables, and the statements that make them.
    fn database(&mut self, count: usize) -> Result<(String, Vec<Table>)> {
        let mut sql = String::new();
        let is_free =
            |name: &str| !name.starts_with("pg_") && name != "information_schema" && name != "public";
        let mut schemas = BTreeSet::new();
        for _ in 0..(count / 5).max(3) {
            schemas.insert(self.name(&schemas, is_free)?);
        }
        let mut types = vec!["text".to_owned(), "numeric(20,5)".to_owned(), "timestamptz".to_owned()];
        for schema in &schemas {
            write!(sql, "CREATE SCHEMA {};", quoted(schema))?;
        }
        // Types lie in a schema of their own: in one with tables, each has a type of its name.
        write!(sql, "CREATE SCHEMA {};", quoted("types ]\"'."))?;
        let mut names = BTreeSet::new();
        for _ in 0..4 {
            names.insert(self.name(&names, |_| true)?);
        }
        for name in &names {
            let label = self.draw(self::name())?;
            let (place, label) =
                (format!("{}.{}", quoted("types ]\"'."), quoted(name)), label.replace('\'', "''"));
            write!(sql, "CREATE TYPE {place} AS ENUM ('{label}');")?;
            types.push(place);
        }
        let mut schemas: Vec<String> = schemas.into_iter().collect();
        schemas.push("public".to_owned());
        let (mut tables, mut taken) = (Vec::<Table>::new(), BTreeSet::new());
        for _ in 0..count {
            let table = self.table(&schemas, &types, &taken)?;
            taken.insert(table.name.clone());
            tables.push(table);
        }
        for table in &tables {
            sql.push_str(&table.create());
        }
        Ok((sql, tables))
    }

    fn table(&mut self, schemas: &[String], types: &[String], taken: &BTreeSet<String>) -> Result<Table> {
        let schema = self.draw(select(schemas.to_vec()))?;
        let name = self.name(taken, |_| true)?;
        let mut names = BTreeSet::new();
        let mut columns: Vec<Column> = Vec::new();
        for index in 0..self.draw(2..7_usize)? {
            let column = self.name(&names, |name| !SYSTEM_COLUMNS.contains(&name))?;
            names.insert(column.clone());
            let of = if index == 0 { "int".to_owned() } else { self.draw(select(types.to_vec()))? };
            columns.push((column, of));
        }
        Ok(Table { schema, name, columns, has_key: self.draw(0..8_u8)? > 0 })
    }
}

// === impl Table ===

impl Table {
    /// Its name, quoted.
    fn place(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    /// The name of the column that numbers its rows, quoted.
    fn number(&self) -> String {
        quoted(&self.columns[0].0)
    }

    /// CREATE TABLE, and some rows.
    fn create(&self) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|(name, of)| format!("{} {of}", quoted(name))).collect();
        let key = if self.has_key { format!(", PRIMARY KEY ({})", self.number()) } else { String::new() };
        let identity = if self.has_key { "DEFAULT" } else { "FULL" };
        let place = self.place();
        format!(
            "CREATE TABLE {place} ({}{key}); ALTER TABLE {place} REPLICA IDENTITY {identity}; {}",
            columns.join(", "),
            self.insert(1)
        )
    }

    /// Rows from a number on, with a value in each column.
    fn insert(&self, first: i32) -> String {
        let values: Vec<String> = self.columns[1..]
            .iter()
            .map(|(_, of)| match of.as_str() {
                "text" => "'v ' || i".to_owned(),
                "numeric(20,5)" => "i / 7.0".to_owned(),
                "timestamptz" => "'2024-02-29 12:00:00+00'::timestamptz + i * interval '1 s'".to_owned(),
                of => format!("(enum_range(NULL::{of}))[1]"),
            })
            .collect();
        let values = values.iter().map(|value| format!(", {value}")).collect::<String>();
        format!("INSERT INTO {} SELECT i{values} FROM generate_series({first}, {first} + 4) i;", self.place())
    }

    /// Changes of each kind.
    fn change(&self) -> String {
        let (place, number) = (self.place(), self.number());
        let (last, _) = self.columns.last().expect("a table has columns");
        let last = if self.columns.len() > 1 {
            format!("UPDATE {place} SET {} = NULL WHERE {number} = 2;", quoted(last))
        } else {
            String::new()
        };
        format!(
            "{}{last} UPDATE {place} SET {number} = 100 WHERE {number} = 3; DELETE FROM {place} WHERE {number} = 4;",
            self.insert(10)
        )
    }
}

/// The rules that the hints of an answer in JSON offer.
fn offered(answer: &Value, rules: &mut BTreeSet<String>) {
    match answer {
        Value::Array(values) => values.iter().for_each(|value| offered(value, rules)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(hint) if name == "hint" => rules.extend(unquoted(hint)),
                    value => offered(value, rules),
                }
            }
        }
        _ => {}
    }
}

/// What a shell makes of the first `--rename '...'` of a text.
fn unquoted(hint: &str) -> Option<String> {
    let (_, mut rest) = hint.split_once("--rename '")?;
    let mut rule = String::new();
    loop {
        let (part, behind) = rest.split_once('\'')?;
        rule.push_str(part);
        // A quote inside of quotes: they are closed, a quote follows, they are opened again.
        match behind.strip_prefix("\\''") {
            Some(behind) => {
                rule.push('\'');
                rest = behind;
            }
            None => return Some(rule),
        }
    }
}

/// A command with rules.
async fn run(stage: &mut Stage, command: &[&str], rules: &[String]) -> Result<Finished> {
    let rules = rules.iter().map(|rule| format!("--rename={rule}")).collect::<Vec<_>>();
    let arguments: Vec<&str> = command.iter().copied().chain(rules.iter().map(String::as_str)).collect();
    stage.product.run(&arguments).await
}

/// Plans, and adds the rules that are offered for what is refused, until nothing is; returns the plan.
async fn plan(stage: &mut Stage, rules: &mut Vec<String>) -> Result<Value> {
    for _ in 0..ROUNDS {
        let planned = run(stage, &["plan", "-o", "json"], rules).await?;
        let report: Value = serde_json::from_str(&planned.stdout).with_context(|| planned.to_string())?;
        let left_out = report["left_out"].as_array().cloned().unwrap_or_default();
        for left in &left_out {
            ensure!(left["table"]["name"].is_string() && left["code"].is_string(), "{left}");
            ensure!(left["hint"].as_str().and_then(unquoted).is_some(), "no rule is offered: {left}");
        }
        let mut new = BTreeSet::new();
        offered(&report, &mut new);
        if planned.status.success() && left_out.is_empty() {
            return Ok(report);
        }
        let before = rules.len();
        for rule in new {
            ensure!(!rules.contains(&rule), "the rule that was offered does not work: {rule}: {planned}");
            rules.push(rule);
        }
        ensure!(rules.len() > before, "refused, and no rule is offered: {planned}");
    }
    anyhow::bail!("after {ROUNDS} rounds names are refused still: {rules:#?}")
}

/// Source and target of each table of a plan.
fn places(plan: &Value) -> Result<Vec<[String; 4]>> {
    let tables = plan["tables"].as_array().context("tables")?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a name");
    tables
        .iter()
        .map(|table| {
            let (source, target) = (&table["source"], &table["target"]);
            Ok([
                text(&source["schema"])?,
                text(&source["name"])?,
                text(&target["schema"])?,
                text(&target["name"])?,
            ])
        })
        .collect()
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

async fn run_names(seed: u64, count: usize) -> Result<()> {
    let mut drawer = Drawer(runner(seed));
    let (create, tables) = drawer.database(count)?;
    let mut stage = Stage::start("random_names").await?;
    stage.source.execute(DATABASE, &create).await?;
    let mut rules = Vec::new();
    let planned = plan(&mut stage, &mut rules).await?;
    let places = places(&planned)?;
    ensure!(places.len() == tables.len(), "{} of {} tables are planned", places.len(), tables.len());
    eprintln!("random names: {} tables, {} rules", tables.len(), rules.len());
    let pairs: Vec<Pair<'_>> =
        places.iter().map(|[a, b, c, d]| [a.as_str(), b.as_str(), c.as_str(), d.as_str()]).collect();

    let up = run(&mut stage, &["up", "--yes", "--until-caught-up"], &rules).await?;
    ensure!(up.status.success(), "what preflight took was refused: {up}\n{rules:#?}");
    let copied = stage.compare_pairs(&pairs).await?;
    ensure!(copied.equal, "by the copy: {copied:#?}");
    // Half of the tables in one transaction, the others in one each.
    let (together, alone) = tables.split_at(tables.len() / 2);
    let together: String = together.iter().map(Table::change).collect();
    let client = stage.source().await?;
    client.batch_execute(&format!("BEGIN; {together} COMMIT")).await?;
    for table in alone {
        client.batch_execute(&table.change()).await?;
    }
    stage.product.succeed(&["up", "--yes", "--until-caught-up"]).await?;
    let streamed = stage.compare_pairs(&pairs).await?;
    ensure!(streamed.equal, "by the stream: {streamed:#?}");
    let verify = stage.product.succeed(&["verify"]).await?;
    ensure!(verify.stdout.contains("differences: 0"), "{verify}");
    stage.remove().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_names_work_or_are_refused_with_a_rule_that_works() -> Result<()> {
    let seed = number("SEGCDC_SEED").unwrap_or_else(rand::random);
    let count = number("SEGCDC_NAMES").map_or(Ok(TABLES), usize::try_from)?;
    let again = format!("random names: SEGCDC_SEED={seed} SEGCDC_NAMES={count}");
    eprintln!("{again}");
    run_names(seed, count).await.context(again)
}
