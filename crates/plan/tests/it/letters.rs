//! Rows that are set aside: rules by example, and random histories against a model that knows nothing of plans.

use std::collections::BTreeMap;

use proptest::prelude::*;
use segcdc_model::{Fault, PgType, ReplicaIdentity};
use segcdc_naive::source::{Source, seed};
use segcdc_plan::{
    ApplyPlan, DeadLetter, Held, LetterChange, Naming, OpenLetters, PlanError, RuleTexts, Rules, TableKey,
    TablePlan, TableSet, ValuePolicy, plan, plan_part, table_plan,
};

use crate::fixture::{Cell, Stream, TestTable, cells, spell, transaction};
use crate::interpreter::{Row, Target, compared, key_of};

const NUMERIC: PgType = PgType::Numeric { bounds: None };

/// `(c1 integer primary key, c2 numeric, c3 text)`, and its rows set aside where they do not fit.
fn keyed(identity: ReplicaIdentity) -> TestTable {
    TestTable::new(1, identity, 1, &[PgType::Int4, NUMERIC, PgType::Text]).on_value("set_aside")
}

#[test]
fn policies_count_where_they_can_be() {
    let columns = [PgType::Int4, NUMERIC, PgType::Date, PgType::Text];
    let mut table = TestTable::new(1, ReplicaIdentity::Default, 1, &columns);
    table.source.columns[1].not_null = true;
    let policies = |rule: &str| {
        let rules = RuleTexts { values: vec![rule.to_owned()], ..RuleTexts::default() };
        let naming = Naming::new("dbo").with_rules(Rules::parse(&rules).unwrap());
        let words =
            |plan: TablePlan| plan.columns.iter().map(|column| column.policy.word()).collect::<Vec<_>>();
        table_plan(&table.source, &naming).map(words).map(|words| words.join(" "))
    };
    let check = |rule, expected: &str| assert_eq!(policies(rule).as_deref(), Ok(expected), "{rule}");
    check("halt", "halt halt halt halt");
    check("text", "halt text text halt");
    check("null", "halt halt null halt");
    check("clamp", "halt clamp clamp halt");
    check("numeric=clamp", "halt clamp halt halt");
    check("public.t1=set_aside", "set_aside set_aside set_aside set_aside");
    check("public.t1.c1=set_aside", "set_aside halt halt halt");
    check("public.t1.c3=null", "halt halt null halt");
    for (rule, column, reason) in [
        ("public.t1.c1=clamp", "\"c1\"", "part of the key"),
        ("public.t1.c1=null", "\"c1\"", "part of the key"),
        ("public.t1.c2=null", "\"c2\"", "NOT NULL"),
        ("public.t1.c4=clamp", "\"c4\"", "no nearest"),
    ] {
        let error = policies(rule).unwrap_err();
        assert_eq!(error.code(), "POLICY_IMPOSSIBLE", "{rule}");
        let message = error.to_string();
        assert!(message.contains(column) && message.contains(reason), "{message}");
    }
}

/// What happens to letters, in a compact spelling.
fn letters(plan: &ApplyPlan) -> Vec<String> {
    let letter = |word: &str, letter: &DeadLetter| {
        let held = match &letter.held {
            Held::Nothing => "no row".to_owned(),
            Held::Behind(columns) => format!("behind {}", columns.join(" ")),
        };
        format!(
            "{word} {} at {} for {} of {}: {}, {held}",
            letter.key.texts.join("|"),
            letter.lsn,
            letter.code,
            letter.column,
            letter.payload
        )
    };
    let spelled = plan.letters.iter().map(|change| match change {
        LetterChange::Open(opened) => letter("open", opened),
        LetterChange::Renew(renewed) => letter("renew", renewed),
        LetterChange::Close { key, rows, lsn, end, .. } => {
            format!("close {} of {} at {lsn}: {}", rows, key.texts.join("|"), end.word())
        }
        LetterChange::CloseAll { lsn, .. } => format!("close all at {lsn}"),
    });
    let uses = plan.uses.iter().map(|used| format!("{} {} of {}", used.count, used.policy, used.column));
    spelled.chain(uses).collect()
}

/// Batches, each a transaction, one after the other: what becomes of rows and letters in each.
struct Story {
    set: TableSet,
    lsn: u64,
}

impl Story {
    fn new(table: &TestTable) -> Self {
        Story { set: [table.entry()].into_iter().collect(), lsn: 0 }
    }

    fn batch(&mut self, changes: Vec<segcdc_model::Change>, rows: &[&str], expected: &[&str]) {
        self.lsn += 16;
        let planned = plan(&[transaction(self.lsn, changes)], &self.set).unwrap();
        assert_eq!(spell(&planned), rows);
        assert_eq!(letters(&planned), expected);
        self.set.note_letters(&planned.letters);
    }
}

#[test]
fn a_row_that_never_fitted_goes_in_once_it_does() {
    let table = keyed(ReplicaIdentity::Default);
    let stream = Stream::new(&table);
    let mut story = Story::new(&table);
    let nan = "VALUE_UNREPRESENTABLE of c2";
    story.batch(
        vec![stream.insert("1|NaN|a\"b"), stream.insert("2|2|b")],
        &["insert 2|2|b"],
        &[
            &format!(r#"open 1 at 0/10 for {nan}: {{"c1":"1","c2":"NaN","c3":"a\"b"}}, no row"#),
            "1 set_aside of c2",
        ],
    );
    story.batch(
        vec![stream.update("1|Infinity|~")],
        &[],
        &[
            &format!(r#"renew 1 at 0/20 for {nan}: {{"c1":"1","c2":"Infinity","c3":null}}, no row"#),
            "1 set_aside of c2",
        ],
    );
    // Not all of it comes: nothing that the target has holds the rest.
    story.batch(
        vec![stream.update("1|7|^")],
        &[],
        &[r#"renew 1 at 0/30 for VALUE_NOT_SENT of c3: {"c1":"1","c2":"7"}, no row"#, "1 set_aside of c3"],
    );
    story.batch(vec![stream.update("1|7|c")], &["insert 1|7|c"], &["close 1 of 1 at 0/40: healed"]);
    story.batch(vec![stream.update("1|8|c")], &["update 1|8|c set [1, 2]"], &[]);
}

#[test]
fn the_last_good_version_stays_until_all_that_it_lacks_has_come() {
    let table = keyed(ReplicaIdentity::Default);
    let stream = Stream::new(&table);
    let mut story = Story::new(&table);
    story.batch(vec![stream.insert("1|1|a"), stream.insert("2|1|b")], &["insert 1|1|a", "insert 2|1|b"], &[]);
    story.batch(
        vec![stream.update("1|NaN|^")],
        &[],
        &[
            r#"open 1 at 0/20 for VALUE_UNREPRESENTABLE of c2: {"c1":"1","c2":"NaN"}, behind c2"#,
            "1 set_aside of c2",
        ],
    );
    // The text has not changed, and the target has it.
    story.batch(vec![stream.update("1|3|^")], &["update 1|3|^ set [1]"], &["close 1 of 1 at 0/30: healed"]);
    story.batch(
        vec![stream.update("1|NaN|z")],
        &[],
        &[
            r#"open 1 at 0/40 for VALUE_UNREPRESENTABLE of c2: {"c1":"1","c2":"NaN","c3":"z"}, behind c2 c3"#,
            "1 set_aside of c2",
        ],
    );
    story.batch(
        vec![stream.update("1|3|^")],
        &[],
        &[
            r#"renew 1 at 0/50 for VALUE_NOT_SENT of c3: {"c1":"1","c2":"3"}, behind c2 c3"#,
            "1 set_aside of c3",
        ],
    );
    story.batch(vec![stream.delete("1|~|~")], &["delete 1"], &["close 1 of 1 at 0/60: deleted"]);
    story.batch(vec![stream.update("2|NaN|b"), stream.update("2|2|b")], &["update 2|2|b set [1, 2]"], &[]);
}

#[test]
fn keys_move_and_are_taken_over() {
    let table = keyed(ReplicaIdentity::Default);
    let stream = Stream::new(&table);
    let mut story = Story::new(&table);
    story.batch(
        vec![stream.insert("1|1|a"), stream.insert("2|NaN|b")],
        &["insert 1|1|a"],
        &[
            r#"open 2 at 0/10 for VALUE_UNREPRESENTABLE of c2: {"c1":"2","c2":"NaN","c3":"b"}, no row"#,
            "1 set_aside of c2",
        ],
    );
    // The bad row moves on without its text; what it was is nowhere in the target.
    story.batch(
        vec![stream.rekey("2|~|~", "3|5|^")],
        &[],
        &[
            "close 1 of 2 at 0/20: deleted",
            r#"open 3 at 0/20 for VALUE_NOT_SENT of c3: {"c1":"3","c2":"5"}, no row"#,
            "1 set_aside of c3",
        ],
    );
    // A good row comes to the key of a deleted bad one.
    story.batch(
        vec![stream.delete("3|~|~"), stream.rekey("1|~|~", "3|1|^")],
        &["delete 1", "insert 3|1|^ fill [2] from 1"],
        &["close 1 of 3 at 0/30: healed"],
    );
    story.batch(vec![stream.truncate(), stream.insert("3|2|x")], &["truncate", "insert 3|2|x"], &[]);
}

#[test]
fn truncate_closes_letters_before_new_ones_are_opened() {
    let table = keyed(ReplicaIdentity::Default);
    let stream = Stream::new(&table);
    let mut story = Story::new(&table);
    let opened = |at: &str| {
        format!(
            r#"open 1 at {at} for VALUE_UNREPRESENTABLE of c2: {{"c1":"1","c2":"NaN","c3":null}}, no row"#
        )
    };
    story.batch(vec![stream.insert("1|NaN|~")], &[], &[&opened("0/10"), "1 set_aside of c2"]);
    story.batch(
        vec![stream.truncate(), stream.insert("1|NaN|~")],
        &["truncate"],
        &["close all at 0/20", &opened("0/20"), "1 set_aside of c2"],
    );
    story.batch(vec![stream.truncate()], &["truncate"], &["close all at 0/30"]);
}

#[test]
fn replaced_values_are_counted_once_for_each_that_is_written() {
    let columns = [PgType::Int4, NUMERIC, PgType::Timestamp];
    let table = TestTable::new(1, ReplicaIdentity::Default, 1, &columns).on_value("clamp");
    let stream = Stream::new(&table);
    let mut story = Story::new(&table);
    story.batch(
        vec![stream.insert("1|Infinity|infinity"), stream.insert("2|-Infinity|2024-01-01 00:00:00")],
        &["insert 1|Infinity|infinity", "insert 2|-Infinity|2024-01-01 00:00:00"],
        &["2 clamp of c2", "1 clamp of c3"],
    );
    story.batch(vec![stream.update("1|Infinity|^")], &["update 1|Infinity|^ set [1]"], &["1 clamp of c2"]);
    story.batch(
        vec![stream.update("2|5|^"), stream.delete("1|~|~")],
        &["delete 1", "update 2|5|^ set [1]"],
        &[],
    );
    // A value that the target already has is taken from there, and not counted again.
    story.batch(vec![stream.rekey("2|~|~", "9|5|^")], &["delete 2", "insert 9|5|^ fill [2] from 2"], &[]);
}

#[test]
fn too_many_letters_halt_the_table() {
    let table = keyed(ReplicaIdentity::Default);
    let stream = Stream::new(&table);
    let set: TableSet = [table.entry()].into_iter().collect();
    let inserts = |rows: usize| (0..rows).map(|id| stream.insert(&format!("{id}|NaN|~"))).collect::<Vec<_>>();
    assert!(plan(&[transaction(10, inserts(1000))], &set).is_ok());
    let error = plan(&[transaction(10, inserts(1001))], &set).unwrap_err();
    assert_eq!((error.code(), error.table_oid()), ("DEAD_LETTER_LIMIT", Some(1)));
}

#[test]
fn the_limit_of_letters_is_the_users() {
    let table = keyed(ReplicaIdentity::Default);
    let stream = Stream::new(&table);
    let inserts = |rows: usize| (0..rows).map(|id| stream.insert(&format!("{id}|NaN|~"))).collect::<Vec<_>>();
    let with = |limit: u64| -> TableSet {
        let mut entry = table.entry();
        let plan = TablePlan { letter_limit: limit, ..(*entry.plan).clone() };
        entry.plan = std::sync::Arc::new(plan);
        [entry].into_iter().collect()
    };
    let code = |rows: usize, limit: u64| {
        plan(&[transaction(10, inserts(rows))], &with(limit)).map(drop).map_err(|error| error.code())
    };
    assert_eq!(code(0, 0), Ok(()));
    assert_eq!(code(1, 0), Err("DEAD_LETTER_LIMIT"));
    assert_eq!((code(3, 3), code(4, 3)), (Ok(()), Err("DEAD_LETTER_LIMIT")));
    assert_eq!(code(1001, 1001), Ok(()));
    let error = plan(&[transaction(10, inserts(4))], &with(3)).unwrap_err();
    assert!(error.hint().contains("--dead-letter-limit 'public.t1=30'"), "{}", error.hint());

    // One that was open before stays when the limit has become lower, and may be renewed.
    let mut set = with(1);
    set.note_letters(&plan(&[transaction(10, inserts(1))], &set).unwrap().letters);
    let mut entry = set.get(1).unwrap().clone();
    entry.plan = std::sync::Arc::clone(&with(0).get(1).unwrap().plan);
    set.insert(entry);
    assert!(plan(&[transaction(20, vec![stream.update("0|NaN|x")])], &set).is_ok());
    assert!(plan(&[transaction(20, vec![stream.insert("9|NaN|~")])], &set).is_err());
}

#[test]
fn letters_outlive_the_policy_that_opened_them() {
    let table = keyed(ReplicaIdentity::Default);
    let stream = Stream::new(&table);
    let mut story = Story::new(&table);
    story.batch(
        vec![stream.insert("1|NaN|a")],
        &[],
        &[
            r#"open 1 at 0/10 for VALUE_UNREPRESENTABLE of c2: {"c1":"1","c2":"NaN","c3":"a"}, no row"#,
            "1 set_aside of c2",
        ],
    );
    let mut entry = table.clone().on_value("null").entry();
    entry.letters = story.set.get(1).unwrap().letters.clone();
    story.set.insert(entry);
    story.batch(
        vec![stream.update("1|NaN|b")],
        &["insert 1|NaN|b"],
        &["close 1 of 1 at 0/20: healed", "1 null of c2"],
    );
}

/// Kinds of tables whose rows may not fit.
fn kinds() -> Vec<TestTable> {
    let columns = [PgType::Int4, NUMERIC, PgType::Text];
    let numbers = [NUMERIC, NUMERIC, NUMERIC];
    let mut by_index = TestTable::new(5, ReplicaIdentity::Index, 1, &columns);
    by_index.source.identity_index = vec![2, 1];
    by_index.source.columns[0].not_null = false;
    let kinds = vec![
        TestTable::new(1, ReplicaIdentity::Default, 1, &columns),
        TestTable::new(2, ReplicaIdentity::Full, 1, &numbers),
        TestTable::new(3, ReplicaIdentity::Default, 2, &numbers),
        TestTable::new(4, ReplicaIdentity::Full, 0, &numbers),
        by_index,
        TestTable::new(6, ReplicaIdentity::Default, 0, &columns),
        TestTable::new(7, ReplicaIdentity::Default, 1, &numbers),
        TestTable::new(8, ReplicaIdentity::Default, 1, &numbers).mode("soft-delete"),
    ];
    kinds.into_iter().map(|table| table.on_value("set_aside")).collect()
}

/// What people would want to hold of a table and its letters: rows in the target, and the letters that are open.
#[derive(Default)]
struct World {
    set: TableSet,
    target: Target,
    /// Open letters, with their key's texts; of a table without a key with their payload.
    open: BTreeMap<Vec<String>, Vec<DeadLetter>>,
}

impl World {
    fn apply(&mut self, batch: &[segcdc_model::Transaction]) -> Result<(), TestCaseError> {
        self.take(plan(batch, &self.set))
    }

    /// As [`World::apply`], of a part of a transaction.
    fn apply_part(
        &mut self,
        part: &[segcdc_model::Change],
        whole: &segcdc_model::Transaction,
    ) -> Result<(), TestCaseError> {
        self.take(plan_part(part, whole, &self.set))
    }

    fn take(&mut self, planned: Result<ApplyPlan, PlanError>) -> Result<(), TestCaseError> {
        let planned = planned.map_err(|error| TestCaseError::fail(error.to_string()))?;
        self.target.apply(&planned).map_err(TestCaseError::fail)?;
        for change in &planned.letters {
            self.note(change).map_err(TestCaseError::fail)?;
        }
        let aside =
            planned.letters.iter().filter(|c| matches!(c, LetterChange::Open(_) | LetterChange::Renew(_)));
        let counted: u64 = planned.uses.iter().map(|used| used.count).sum();
        prop_assert_eq!(counted, aside.count() as u64);
        prop_assert!(planned.uses.iter().all(|used| used.policy == ValuePolicy::SetAside.word()));
        self.set.note_letters(&planned.letters);
        Ok(())
    }

    /// As the target's table of letters would take it: each change has to find what it says.
    fn note(&mut self, change: &LetterChange) -> Result<(), String> {
        let place = |key: &segcdc_plan::LetterKey| {
            if key.texts.is_empty() { vec![format!("{:?}", key.digest)] } else { key.texts.clone() }
        };
        let wrong = |what: &str| Err(format!("{what}: {change:?}"));
        match change {
            LetterChange::Open(letter) => {
                let open = self.open.entry(place(&letter.key)).or_default();
                if !open.is_empty() && !letter.key.texts.is_empty() {
                    return wrong("opened twice");
                }
                open.push(letter.clone());
            }
            LetterChange::Renew(letter) => {
                match self.open.get_mut(&place(&letter.key)).map(Vec::as_mut_slice) {
                    Some([open]) => *open = letter.clone(),
                    _ => return wrong("renewed without a letter"),
                }
            }
            LetterChange::Close { key, rows, .. } => {
                let Some(open) = self.open.get_mut(&place(key)) else {
                    return wrong("closed without a letter");
                };
                if (open.len() as u64) < *rows {
                    return wrong("closed more than there are");
                }
                open.truncate(open.len() - usize::try_from(*rows).unwrap());
                if open.is_empty() {
                    self.open.remove(&place(key));
                }
            }
            LetterChange::CloseAll { .. } => self.open.clear(),
        }
        Ok(())
    }

    fn check(&self, source: &Source) -> Result<(), TestCaseError> {
        let table = &source.plan;
        let rows = self.target.tables.get(&table.source.oid).cloned().unwrap_or_default();
        let entry = self.set.get(table.source.oid).unwrap();
        let letters: usize = self.open.values().map(Vec::len).sum();
        prop_assert_eq!(entry.letters.len(), letters as u64, "planning knows of all letters");
        if matches!(table.key, TableKey::Columns(_)) {
            self.check_keyed(source, table, &rows)
        } else {
            self.check_unkeyed(source, &rows)
        }
    }

    fn check_keyed(&self, source: &Source, table: &TablePlan, rows: &[Row]) -> Result<(), TestCaseError> {
        let mut expected_rows = 0;
        for row in &source.rows {
            let found = rows.iter().find(|found| key_of(found, table) == key_of(row, table));
            let Some([letter]) = self.open.get(&key_texts(row, table)).map(Vec::as_slice) else {
                prop_assert!(!is_bad(row), "a row that does not fit has a letter: {row:?}");
                prop_assert_eq!(found, Some(row), "a row without a letter is whole");
                expected_rows += 1;
                continue;
            };
            prop_assert!(is_bad(row) || letter.code == "VALUE_NOT_SENT", "{row:?} {letter:?}");
            prop_assert!(is_bad(row) || !source.is_full(), "what is sent whole heals: {row:?}");
            for (column, value) in payload(letter) {
                let index = table.columns.iter().position(|plan| plan.name == column).unwrap();
                prop_assert_eq!(&value, &row[index], "the payload is the newest version: {:?}", letter);
            }
            match (&letter.held, found) {
                (Held::Nothing, None) => {}
                (Held::Behind(behind), Some(found)) => {
                    expected_rows += 1;
                    prop_assert!(!is_bad(found), "only good versions are in the target");
                    for (index, plan) in table.columns.iter().enumerate() {
                        let is_behind = behind.contains(&plan.name) || table.is_key(index);
                        prop_assert!(is_behind || found[index] == row[index], "{found:?} {row:?} {letter:?}");
                    }
                }
                (held, found) => prop_assert!(false, "{held:?} {found:?}"),
            }
        }
        prop_assert_eq!(rows.len(), expected_rows, "no other rows are in the target");
        prop_assert!(self.open.len() <= source.rows.len());
        Ok(())
    }

    fn check_unkeyed(&self, source: &Source, rows: &[Row]) -> Result<(), TestCaseError> {
        let sorted = |mut rows: Vec<Row>| {
            rows.sort();
            rows
        };
        let (bad, good): (Vec<Row>, Vec<Row>) = source.rows.iter().cloned().partition(is_bad);
        prop_assert_eq!(sorted(rows.to_vec()), sorted(good));
        let letters = self.open.values().flatten();
        let kept: Vec<Row> =
            letters.map(|letter| payload(letter).into_iter().map(|(_, value)| value).collect()).collect();
        prop_assert_eq!(sorted(kept), sorted(bad));
        Ok(())
    }
}

fn is_bad(row: &Row) -> bool {
    row.contains(&Cell::Text("NaN".to_owned()))
}

fn key_texts(row: &Row, table: &TablePlan) -> Vec<String> {
    let text = |column: &usize| match compared(&row[*column], &table.columns[*column].pg_type) {
        Cell::Text(text) => text,
        other => format!("{other:?}"),
    };
    table.key_columns().iter().map(text).collect()
}

/// Columns and values of a payload.
fn payload(letter: &DeadLetter) -> Vec<(String, Cell)> {
    let json: serde_json::Value = serde_json::from_str(&letter.payload).expect("JSON");
    let cell = |value: &serde_json::Value| match value {
        serde_json::Value::Null => Cell::Null,
        value => Cell::Text(value.as_str().expect("a text").to_owned()),
    };
    json.as_object().expect("an object").iter().map(|(name, value)| (name.clone(), cell(value))).collect()
}

#[test]
fn texts_of_payloads_are_json() {
    let table = keyed(ReplicaIdentity::Default);
    let set: TableSet = [table.entry()].into_iter().collect();
    let row = "1|NaN|\u{1}\n\"\\\u{e9}\u{1f980}";
    let planned = plan(&[transaction(16, vec![Stream::new(&table).insert(row)])], &set).unwrap();
    let LetterChange::Open(letter) = &planned.letters[0] else { panic!("{:?}", planned.letters) };
    let values: Vec<Cell> = payload(letter).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, cells(row));
    assert_eq!(OpenLetters::new().len(), 0);
}

#[test]
fn payloads_of_wide_rows_are_bounded() {
    let texts = [PgType::Int4, NUMERIC, PgType::Text, PgType::Text, PgType::Text];
    let table = TestTable::new(1, ReplicaIdentity::Default, 1, &texts).on_value("set_aside");
    let set: TableSet = [table.entry()].into_iter().collect();
    let (half, all) = ("x".repeat(20_000), "y".repeat(70_000));
    let insert = Stream::new(&table).insert(&format!("1|NaN|{half}|{half}|{all}"));
    let planned = plan(&[transaction(16, vec![insert])], &set).unwrap();
    let LetterChange::Open(letter) = &planned.letters[0] else { panic!("{:?}", planned.letters) };
    let expected =
        format!(r#"{{"c1":"1","c2":"NaN","c3":"{half}","c4":{{"bytes":20000}},"c5":{{"bytes":70000}}}}"#);
    assert_eq!(letter.payload, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_batching_keeps_rows_and_letters_in_step(
        kind in 0_usize..8,
        seeds in proptest::collection::vec(seed(), 1..60),
    ) {
        let table = &kinds()[kind];
        let mut source = Source::new(table);
        let world = || World { set: [table.entry()].into_iter().collect(), ..World::default() };
        // The same history in large batches, in batches of one transaction each, and each transaction in parts.
        let (mut batched, mut single, mut parted) = (world(), world(), world());
        let mut parts = vec![Vec::new()];
        let mut changes = Vec::new();
        let mut batch = Vec::new();
        let last = seeds.len() - 1;
        for (index, seed) in seeds.iter().enumerate() {
            let made = source.act(seed);
            if seed.row % 2 == 0 {
                parts.push(Vec::new());
            }
            parts.last_mut().unwrap().extend(made.iter().cloned());
            changes.extend(made);
            if seed.ends_transaction || index == last {
                let lsn = 10 * (index as u64 + 1);
                let transaction = transaction(lsn, std::mem::take(&mut changes));
                for part in std::mem::replace(&mut parts, vec![Vec::new()]) {
                    parted.apply_part(&part, &transaction)?;
                }
                parted.check(&source)?;
                single.apply(std::slice::from_ref(&transaction))?;
                single.check(&source)?;
                batch.push(transaction);
            }
            if !batch.is_empty() && changes.is_empty() && (seed.ends_batch || index == last) {
                batched.apply(&std::mem::take(&mut batch))?;
                batched.check(&source)?;
            }
        }
    }
}
