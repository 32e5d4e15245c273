//! What a description means that names old rows otherwise than before, case by case.

use segcdc_model::{CatalogTable, PgType, Relation, ReplicaIdentity, SourceIndex};
use segcdc_plan::{
    Decision, Described, KnownTable, Naming, PlanError, RuleTexts, Rules, TablePlan, decide, table_plan,
};

use crate::schema_changes::{catalog, naming, relation, spelled};

/// The columns of all tables here.
const COLUMNS: [&str; 4] = ["id", "b", "c:text", "d:text"];

/// By what old rows are named: `pk 1 2`, `index 2`, `full`, `full 1` (with a primary key), `nothing`, `nothing 1`.
fn named(by: &str, mut table: CatalogTable) -> CatalogTable {
    let mut words = by.split(' ');
    let identity = match words.next().unwrap() {
        "pk" => ReplicaIdentity::Default,
        "index" => ReplicaIdentity::Index,
        "full" => ReplicaIdentity::Full,
        "nothing" => ReplicaIdentity::Nothing,
        other => panic!("{other}"),
    };
    let place = |number: &str| {
        let number: i16 = number.parse().unwrap();
        table.table.columns.iter().position(|column| column.attnum == number).unwrap()
    };
    let columns: Vec<usize> = words.map(place).collect();
    table.table.replica_identity = identity;
    table.table.primary_key = Vec::new();
    match identity {
        ReplicaIdentity::Index => table.table.identity_index = columns,
        _ => table.table.primary_key = columns,
    }
    table
}

/// As the stream describes such a table.
fn described(by: &str, columns: &[&str]) -> Relation {
    let table = named(by, catalog(columns, 7)).table;
    let mut relation = relation(columns);
    relation.replica_identity = table.replica_identity;
    for (index, column) in relation.columns.iter_mut().enumerate() {
        column.key = match table.replica_identity {
            ReplicaIdentity::Default => table.primary_key.contains(&index),
            ReplicaIdentity::Index => table.identity_index.contains(&index),
            ReplicaIdentity::Full => true,
            ReplicaIdentity::Nothing => false,
        };
    }
    relation
}

/// A table that is followed, by rules.
struct Table {
    known: KnownTable,
    plan: TablePlan,
    naming: Naming,
    has_letters: bool,
}

impl Table {
    fn new(by: &str, rules: &[&str]) -> Self {
        Self::of(by, &COLUMNS, rules)
    }

    fn of(by: &str, columns: &[&str], rules: &[&str]) -> Self {
        let changes = rules.iter().map(|rule| (*rule).to_owned()).collect();
        let rules = Rules::parse(&RuleTexts { changes, ..RuleTexts::default() }).unwrap();
        let (naming, catalog) = (naming().with_rules(rules), named(by, catalog(columns, 7)));
        let plan = table_plan(&catalog.table, &naming).unwrap();
        Table { known: KnownTable::new(&catalog, &plan), plan, naming, has_letters: false }
    }

    /// What a description means, and what is known then.
    fn sees(&mut self, sent: &Relation, now: &CatalogTable) -> Result<Decision, PlanError> {
        let (known, plan, has_letters) = (&self.known, &self.plan, self.has_letters);
        let at = segcdc_model::Lsn::new(5);
        let decided =
            decide(Described { known, plan, relation: sent, catalog: now, at, has_letters }, &self.naming)?;
        match decided.clone() {
            Decision::Same(known) => self.known = *known,
            Decision::Change(change) => {
                (self.known, self.plan) = (change.known, change.plan);
                // A process that begins again plans the same of it.
                assert_eq!(self.known.plan(&self.naming, &self.plan.target).unwrap(), self.plan);
            }
        }
        Ok(decided)
    }

    /// The same, in a compact spelling.
    fn check(&mut self, sent: &str, now: &str, expected: &str) {
        let (sent, catalog) = (described(sent, &COLUMNS), named(now, catalog(&COLUMNS, 7)));
        let found = match self.sees(&sent, &catalog) {
            Err(PlanError::ReplicaIdentityChanged { detail, .. }) => format!("lost: {detail}"),
            found => spelled(found),
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn a_key_of_other_columns_is_made_anew() {
    let mut table = Table::new("pk 1", &[]);
    table.check("pk 1", "pk 1", "same");
    table.check("pk 1 2", "pk 1 2", "drop key, add key");
    assert_eq!(table.plan.key_columns(), [0, 1]);
    table.check("pk 1 2", "pk 1 2", "same");
    // In the order of the catalog, as far as it says the same columns.
    table.check("pk 2", "pk 3", "drop key, add key");
    table.check("pk 1 2", "pk 2 1", "drop key, add key");
    assert_eq!(table.plan.key_columns(), [1, 0]);
}

#[test]
fn columns_have_the_types_that_a_key_can_have() {
    let mut table = Table::new("pk 1", &[]);
    let enters = "drop key, alter c nvarchar(450) NOT NULL, add key";
    table.check("pk 3", "pk 3", enters);
    let shares = "drop key, alter c nvarchar(225) NOT NULL, alter d nvarchar(225) NOT NULL, add key";
    table.check("pk 3 4", "pk 3 4", shares);
    table.check(
        "pk 4",
        "pk 4",
        "drop key, alter c nvarchar(max) NOT NULL, alter d nvarchar(450) NOT NULL, add key",
    );
}

#[test]
fn between_two_keys_rows_are_only_added() {
    let mut table = Table::new("pk 1", &[]);
    table.check("pk", "pk 2", "drop key");
    assert_eq!(table.plan.key_columns(), [] as [usize; 0]);
    table.check("pk 2", "pk 2", "add key");
    table.check("index", "pk 2", "drop key");
}

#[test]
fn a_table_without_identity_goes_on_as_it_is_wished() {
    let lost = "lost: old rows are named by nothing and were by (\"id\"): PostgreSQL refuses UPDATE and DELETE of it";
    Table::new("pk 1", &[]).check("pk", "pk", lost);
    let nothing =
        "lost: the replica identity was DEFAULT and is NOTHING: PostgreSQL refuses UPDATE and DELETE of it";
    Table::new("pk 1", &[]).check("nothing", "nothing 1", nothing);
    let mut table = Table::new("pk 1", &["drop-identity=apply"]);
    table.check("nothing", "nothing 1", "drop-identity: nothing");
    assert_eq!(table.plan.key_columns(), [0], "rows are what they were");
    table.check("nothing", "nothing 1", "same");
    table.check("pk 1", "pk 1", "change-identity: nothing");
    table.check("pk", "pk", "drop key");
    let mut table = Table::new("pk 1", &["drop-identity=ignore"]);
    table.check("pk", "pk", "ignore drop-identity");
    assert_eq!(table.plan.key_columns(), [0]);
    table.check("pk", "pk", "same");
    table.check("pk 1", "pk 1", "change-key: nothing");
}

#[test]
fn another_identity_with_the_same_columns_is_only_recorded() {
    let mut table = Table::new("pk 1", &[]);
    table.check("full 1", "full 1", "change-identity: nothing");
    table.check("full 1", "full 1", "same");
    table.check("pk 1", "pk 1", "change-identity: nothing");
    table.check("index 1", "index 1", "change-identity: nothing");
    table.check("index 2", "index 2", "drop key, add key");
}

#[test]
fn of_whole_rows_the_catalog_says_the_key_once_it_is_not_ahead() {
    let mut table = Table::new("full 1", &[]);
    table.check("full 1", "full 2", "drop key, add key");
    assert_eq!(table.plan.key_columns(), [1]);
    table.check("full", "full", "drop key");
    table.check("full 1", "full 1", "add key");
    // The catalog has a column that is not described yet: it may have the key later too.
    let ahead = [&COLUMNS[..], &["e"]].concat();
    let now = named("full 2", catalog(&ahead, 7));
    assert_eq!(spelled(table.sees(&described("full 1", &COLUMNS), &now)), "same");
}

#[test]
fn what_is_ignored_leaves_the_key_as_it_is() {
    let mut table = Table::new("pk 1", &["ignore"]);
    table.check("pk 2", "pk 2", "ignore change-key");
    table.check("pk 2", "pk 2", "same");
    assert_eq!(table.plan.key_columns(), [0]);
    table.check("full 2", "full 2", "ignore change-identity");
    table.check("full 2", "full 2", "same");
    table.check("pk 1", "pk 1", "change-identity: nothing");
    let halted = "old rows are named by (\"b\") and were by (\"id\")";
    Table::new("pk 1", &["change-key=halt"]).check("pk 2", "pk 2", halted);
    Table::new("pk 1", &["change-key=halt-all"]).check("pk 2", "pk 2", halted);
}

#[test]
fn rows_that_are_set_aside_keep_their_key() {
    let mut table = Table::new("pk 1", &[]);
    table.has_letters = true;
    let kept = "old rows are named by (\"b\") and were by (\"id\"), and rows of it are set aside by the key that they had";
    table.check("pk 2", "pk 2", kept);
    table.check("full 1", "full 1", "change-identity: nothing");
}

#[test]
fn a_column_of_the_key_may_go_with_it() {
    let now = ["-", "b", "c:text", "d:text", "e"];
    let mut table = Table::new("pk 1", &["drop-column=apply"]);
    let (sent, catalog_now) = (described("pk 2", &now), named("pk 2", catalog(&now, 7)));
    assert_eq!(spelled(table.sees(&sent, &catalog_now)), "drop key, drop id, add e int = NULL, add key");
    let mut table = Table::new("pk 1", &["change-key=ignore"]);
    assert_eq!(spelled(table.sees(&sent, &catalog_now)), "column \"id\" of its key was dropped");
}

#[test]
fn a_chosen_index_stays_the_key_as_long_as_it_is_sent() {
    let mut table = Table::new("full", &[]);
    let by_b = SourceIndex { name: "by_b".to_owned(), columns: vec![1], flaw: None };
    let keys = vec!["public.t1=by_b".to_owned()];
    let rules = Rules::parse(&RuleTexts { keys, ..RuleTexts::default() }).unwrap();
    table.naming = naming().with_rules(rules);
    let mut now = named("full", catalog(&COLUMNS, 7));
    now.table.indexes = vec![by_b];
    table.plan = table_plan(&now.table, &table.naming).unwrap();
    table.known = KnownTable::new(&now, &table.plan);
    assert_eq!(table.plan.key_columns(), [1]);
    // A primary key is none of its business.
    now.table.primary_key = vec![0];
    assert_eq!(spelled(table.sees(&described("full 1", &COLUMNS), &now)), "same");
    now = named("pk 1", now);
    let halted = spelled_end(table.sees(&described("pk 1", &COLUMNS), &now));
    assert!(halted.contains("is not what PostgreSQL names old rows by"), "{halted}");
    assert_eq!(PgType::Int4, table.plan.columns[1].pg_type);
}

/// What an error says.
fn spelled_end(found: Result<Decision, PlanError>) -> String {
    found.expect_err("it cannot go on").to_string()
}
