//! Random changes of tables between random changes of their rows, in random transactions.
//!
//! One line of the output names the seed; `SEGCDC_DDL_SEED` begins with it, `SEGCDC_DDL_TRANSACTIONS` makes it longer.

use std::time::{SystemTime, UNIX_EPOCH};

use segcdc_engine_native::{VerifyOptions, resync, verify};
use segcdc_model::TablePhase;
use segcdc_model::mutant::{Mutant, plant};
use segcdc_plan::{RuleTexts, Rules};

use crate::rig::Rig;

/// Transactions of a usual run.
const TRANSACTIONS: u64 = 40;

/// Transactions between two comparisons.
const COMPARED_AFTER: u64 = 4;

/// What may be said of a table that halts: that nobody can know what became of its columns, the catalog being ahead.
const UNTOLD: [&str; 2] = ["cannot be told for certain", "since"];

/// A number in the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Chance that depends on its seed alone (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }
}

/// One table of the source, as far as statements about it need to know.
#[derive(Clone)]
struct Table {
    name: String,
    /// Names of its columns beside the two that may be its key.
    columns: Vec<String>,
    /// Whether the key is of both columns.
    wide_key: bool,
    /// Columns and names that were made so far: none is used twice.
    made: u32,
    /// Length of its columns at most.
    length: u32,
}

impl Table {
    fn new(name: &str) -> Self {
        Table { name: name.to_owned(), columns: vec!["a".to_owned()], wide_key: false, made: 0, length: 20 }
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}{}", self.made)
    }

    /// A statement that changes the table.
    fn alter(&mut self, random: &mut Chance) -> String {
        let name = self.name.clone();
        let which = (!self.columns.is_empty()).then(|| random.below(self.columns.len()));
        match (random.below(9), which) {
            (0 | 1, _) => {
                let column = self.fresh("n");
                let default = if random.below(2) == 0 { "" } else { " DEFAULT 'given'" };
                self.columns.push(column.clone());
                format!("ALTER TABLE {name} ADD COLUMN {column} varchar(20){default}")
            }
            (2, Some(at)) if self.columns.len() > 1 => {
                let column = self.columns.remove(at);
                format!("ALTER TABLE {name} DROP COLUMN {column}")
            }
            (3, Some(at)) => {
                let to = self.fresh("r");
                let from = std::mem::replace(&mut self.columns[at], to.clone());
                format!("ALTER TABLE {name} RENAME COLUMN {from} TO {to}")
            }
            (4, Some(at)) => {
                // A narrower one has all rows written anew, and nothing tells what older rows had then.
                self.length += 5;
                let (column, length) = (&self.columns[at], self.length);
                format!("ALTER TABLE {name} ALTER COLUMN {column} TYPE varchar({length})")
            }
            (5, _) => {
                self.wide_key = !self.wide_key;
                let key = if self.wide_key { "id, part" } else { "id" };
                format!(
                    "ALTER TABLE {name} DROP CONSTRAINT {name}_key; ALTER TABLE {name} ADD CONSTRAINT {name}_key PRIMARY KEY ({key})"
                )
            }
            (6, _) => {
                let to = format!("{}_x", name.split('_').next().unwrap_or("t"));
                let to = if to == name { name.trim_end_matches("_x").to_owned() } else { to };
                self.name.clone_from(&to);
                format!(
                    "ALTER TABLE {name} RENAME TO {to}; ALTER TABLE {to} RENAME CONSTRAINT {name}_key TO {to}_key"
                )
            }
            (7, Some(at)) => {
                let column = &self.columns[at];
                format!(
                    "UPDATE {name} SET {column} = '' WHERE {column} IS NULL; ALTER TABLE {name} ALTER COLUMN {column} SET NOT NULL; ALTER TABLE {name} ALTER COLUMN {column} DROP NOT NULL"
                )
            }
            _ => format!(
                "ALTER TABLE {name} REPLICA IDENTITY {}",
                if random.below(2) == 0 { "FULL" } else { "DEFAULT" }
            ),
        }
    }

    /// A statement that changes rows.
    fn write(&self, random: &mut Chance, n: u64) -> String {
        let (name, id) = (&self.name, random.below(60) + 1);
        let set = match self.columns.get(random.below(self.columns.len())) {
            Some(column) => format!("{column} = 'v{n}'"),
            None => "part = part".to_owned(),
        };
        match random.below(6) {
            0 => format!("DELETE FROM {name} WHERE id = {id}"),
            1 => format!("UPDATE {name} SET id = 1000 + {n} WHERE id = {id}"),
            2 | 3 => format!("UPDATE {name} SET {set} WHERE id % 7 = {id} % 7"),
            _ => format!("INSERT INTO {name} (id, part) VALUES ({n} + 5000, {id})"),
        }
    }
}

/// Lives through so many transactions of a seed. Returns how often nobody could tell what became of a table.
///
/// # Errors
/// What is not as it is to be, with all statements.
async fn live(name: &str, seed: u64, transactions: u64) -> Result<u64, String> {
    let mut random = Chance(seed);
    let make = |name: &str| {
        format!(
            "CREATE TABLE {name} (id int, part int NOT NULL DEFAULT 0, a varchar(20), CONSTRAINT {name}_key PRIMARY KEY (id));
             INSERT INTO {name} SELECT n, n % 3, 'a' || n FROM generate_series(1, 60) n;"
        )
    };
    let mut rig = Rig::shared(name, &[make("t"), make("u")].concat()).await;
    let changes = vec!["apply".to_owned()];
    rig.config.rules = Rules::parse(&RuleTexts { changes, ..RuleTexts::default() }).unwrap();
    rig.catch_up().await.unwrap();
    let mut tables = [Table::new("t"), Table::new("u")];
    let mut told = Vec::new();
    let mut untold = 0;
    for n in 1..=transactions {
        let before = tables.clone();
        let mut statements = vec!["BEGIN".to_owned()];
        for _ in 0..random.below(7) + 1 {
            let table = &mut tables[random.below(2)];
            let number = n * 10 + statements.len() as u64;
            let alters = random.below(3) == 0;
            statements.push(if alters { table.alter(&mut random) } else { table.write(&mut random, number) });
        }
        let is_undone = random.below(10) == 0;
        statements.push(if is_undone { "ROLLBACK" } else { "COMMIT" }.to_owned());
        if is_undone {
            tables = before;
        }
        let sql = statements.join("; ");
        rig.sql(&sql).await;
        told.push(sql);
        if n % COMPARED_AFTER > 0 && n < transactions {
            continue;
        }
        // A change of a table shows with the next row behind it.
        for Table { name, .. } in &tables {
            rig.sql(&format!("INSERT INTO {name} (id) VALUES ({n} + 100000)")).await;
        }
        rig.catch_up().await.unwrap();
        let state = rig.state().await.unwrap();
        for halted in state.tables.iter().filter(|table| table.phase != TablePhase::Streaming) {
            let (code, detail) = halted.error.clone().unwrap();
            let is_untold = code == "SCHEMA_CHANGED" && UNTOLD.iter().any(|words| detail.contains(words));
            if !is_untold {
                return Err(format!("{halted:?}\n{}", told.join("\n")));
            }
            println!("{name}: {detail}");
            untold += 1;
            resync(&rig.config, &[format!("public.{}", halted.source.name).parse().unwrap()]).await.unwrap();
        }
        rig.catch_up().await.unwrap();
        let options = VerifyOptions {
            patterns: Vec::new(),
            limit: 9,
            memory_bytes: 8 << 20,
            ..VerifyOptions::default()
        };
        let report = verify(&rig.config, &options, &mut |_| {}).await.unwrap();
        if !report.is_equal() || report.tables.len() != 2 {
            return Err(format!("{report:#?}\n{}", told.join("\n")));
        }
    }
    Ok(untold)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_changes_of_tables_between_rows_give_the_rows_of_the_source() {
    let seed = number("SEGCDC_DDL_SEED").unwrap_or_else(now);
    let transactions = number("SEGCDC_DDL_TRANSACTIONS").unwrap_or(TRANSACTIONS);
    println!("SEGCDC_DDL_SEED={seed}");
    let untold = live("random_ddl", seed, transactions).await;
    let untold = untold.unwrap_or_else(|what| panic!("SEGCDC_DDL_SEED={seed}: {what}"));
    println!("{transactions} transactions; tables that nobody could tell: {untold}");
    assert!(untold <= transactions / 8, "SEGCDC_DDL_SEED={seed}: {untold} times nobody could tell");
}

/// The net holds: a value that is forgotten is found.
#[tokio::test]
async fn a_planted_mistake_is_found() {
    plant(Some(Mutant::AddedAsNull));
    let lived = live("random_ddl_mutant", 1, TRANSACTIONS).await;
    plant(None);
    let what = lived.expect_err("rows lack what the source gave them");
    assert!(what.contains("different: "), "{what}");
}

/// A seed by the clock.
fn now() -> u64 {
    u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos())
}
