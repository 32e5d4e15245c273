//! Rows that the target refuses: which parts of a plan are tried, and how it is planned without them.

use std::sync::Arc;

use segcdc_model::{Lsn, PgType, ReplicaIdentity};
use segcdc_plan::{
    ApplyPlan, Bisection, Held, LetterChange, OpenLetters, Refusal, Refusals, Suspects, TablePlan, TableSet,
    plan, plan_with,
};

use crate::fixture::{Stream, TestTable, spell, transaction};

const REFUSAL: Refusal = Refusal { code: "CONSTRAINT_VIOLATION", may_depend: true, of_the_row: true };

fn set(table: &TestTable) -> TableSet {
    [table.entry()].into_iter().collect()
}

/// Searches a target that refuses the changes whose spelling has one of these words; the places of those at fault.
fn search(planned: &ApplyPlan, refused: &[&str]) -> (Suspects, Vec<(usize, Refusal)>) {
    let suspects = Suspects::of(planned, 1).unwrap();
    let mut bisection = Bisection::new(suspects.len(), REFUSAL, 100);
    while let Some(chosen) = bisection.trial() {
        let trial = suspects.trial(planned, &chosen);
        assert_eq!((trial.letters.len(), trial.end_lsn), (0, planned.end_lsn));
        let is_refused = spell(&trial).iter().any(|row| refused.contains(&row.as_str()));
        bisection.answer(is_refused.then_some(REFUSAL));
    }
    (suspects, bisection.end().unwrap().1)
}

/// Letters that a plan opens or renews: key, code, column, position, and whether the target has a version of the row.
fn letters(planned: &ApplyPlan) -> Vec<(String, String, String, Lsn, bool)> {
    let of = |change: &LetterChange| match change {
        LetterChange::Open(letter) | LetterChange::Renew(letter) => Some((
            letter.key.texts.join("|"),
            letter.code.clone(),
            letter.column.clone(),
            letter.lsn,
            letter.held != Held::Nothing,
        )),
        LetterChange::Close { .. } | LetterChange::CloseAll { .. } => None,
    };
    planned.letters.iter().filter_map(of).collect()
}

#[test]
fn refused_rows_are_set_aside_and_the_rest_is_planned() {
    let table = TestTable::keyed(ReplicaIdentity::Default);
    let (stream, set) = (Stream::new(&table), set(&table));
    let batch = [
        transaction(16, vec![stream.insert("1|a|~"), stream.insert("2|bad|~"), stream.delete("3|~|~")]),
        transaction(32, vec![stream.update("4|bad|^"), stream.update("5|e|f"), stream.insert("6|g|~")]),
    ];
    let planned = plan(&batch, &set).unwrap();
    let (suspects, refused) = search(&planned, &["insert 2|bad|~", "update 4|bad|^ set [1]"]);
    let described = suspects.describe((segcdc_plan::End::Complete, &refused), &batch, set.get(1).unwrap());
    let text = described.to_string();
    assert!(
        text.starts_with("2 of 6 changes of public.t1 in the batch are refused: UPDATE at 0/20 of key hash "),
        "{text}"
    );
    assert!(
        text.contains(", INSERT at 0/10 of key hash ") && text.contains("(CONSTRAINT_VIOLATION)"),
        "{text}"
    );
    assert!(!text.contains("bad"), "{text}");

    let refusals = suspects.refusals(&refused).unwrap();
    let again = plan_with(&batch, &set, &refusals).unwrap();
    assert_eq!(spell(&again), ["delete 3", "update 5|e|f set [1, 2]", "insert 1|a|~", "insert 6|g|~"]);
    let letter = |key: &str, lsn, in_target| {
        (key.to_owned(), "CONSTRAINT_VIOLATION".to_owned(), String::new(), Lsn::new(lsn), in_target)
    };
    assert_eq!(letters(&again), [letter("2", 16, false), letter("4", 32, true)]);
    let uses: Vec<_> =
        again.uses.iter().map(|used| (used.column.as_str(), used.policy, used.count)).collect();
    assert_eq!(uses, [("*", "set_aside", 2)]);
    assert_eq!((again.end_lsn, again.transactions, again.changes), (planned.end_lsn, 2, 6));

    // A version that is taken heals the row; the refusal was of its batch.
    let mut set = set;
    set.note_letters(&again.letters);
    let healed =
        plan(&[transaction(48, vec![stream.update("2|good|x"), stream.update("4|y|^")])], &set).unwrap();
    assert_eq!(spell(&healed), ["update 4|y|^ set [1]", "insert 2|good|x"]);
    assert_eq!(healed.letters.len(), 2);
}

#[test]
fn a_refused_delete_cannot_be_set_aside_nor_a_key_that_is_there() {
    let table = TestTable::keyed(ReplicaIdentity::Default);
    let (stream, set) = (Stream::new(&table), set(&table));
    let batch = [transaction(16, vec![stream.delete("3|~|~"), stream.insert("1|a|~")])];
    let planned = plan(&batch, &set).unwrap();
    let (suspects, refused) = search(&planned, &["delete 3"]);
    assert!(suspects.refusals(&refused).is_none());
    let text =
        suspects.describe((segcdc_plan::End::Complete, &refused), &batch, set.get(1).unwrap()).to_string();
    assert!(text.contains("DELETE of key hash"), "{text}");
    let (suspects, mut refused) = search(&planned, &["insert 1|a|~"]);
    assert!(suspects.refusals(&refused).is_some());
    refused[0].1.of_the_row = false;
    assert!(suspects.refusals(&refused).is_none());
}

#[test]
fn equal_rows_of_a_table_without_a_key_are_one_change() {
    let table = TestTable::unkeyed(ReplicaIdentity::Full);
    let (stream, set) = (Stream::new(&table), set(&table));
    let rows = ["1|a", "2|bad", "2|bad", "1|a", "3|c"].map(|row| stream.insert(row));
    let batch = [transaction(16, Vec::from(rows))];
    let planned = plan(&batch, &set).unwrap();
    let (suspects, refused) = search(&planned, &["insert 2|bad"]);
    assert_eq!((suspects.len(), refused.len()), (3, 1));
    let again = plan_with(&batch, &set, &suspects.refusals(&refused).unwrap()).unwrap();
    assert_eq!(spell(&again), ["insert 1|a", "insert 1|a", "insert 3|c"]);
    assert_eq!(letters(&again).len(), 2, "each row has a letter");
}

#[test]
fn too_many_refused_rows_trip_the_limit() {
    let table = TestTable::keyed(ReplicaIdentity::Default);
    let stream = Stream::new(&table);
    let mut entry = table.entry();
    entry.plan = Arc::new(TablePlan { letter_limit: 1, ..(*entry.plan).clone() });
    let set: TableSet = [entry].into_iter().collect();
    let batch = [transaction(16, vec![stream.insert("1|bad|~"), stream.insert("2|bad|~")])];
    let planned = plan(&batch, &set).unwrap();
    let (suspects, refused) = search(&planned, &["insert 1|bad|~", "insert 2|bad|~"]);
    let limited = plan_with(&batch, &set, &suspects.refusals(&refused).unwrap());
    assert_eq!(segcdc_model::Fault::code(&limited.unwrap_err()), "DEAD_LETTER_LIMIT");
    let text = suspects.describe((segcdc_plan::End::Most, &refused), &batch, set.get(1).unwrap()).to_string();
    assert!(text.starts_with("at least 2 of 2 changes") && text.contains("INSERT at 0/10"), "{text}");
}

#[test]
fn no_refusal_changes_nothing() {
    let table = TestTable::new(1, ReplicaIdentity::Default, 1, &[PgType::Int4, PgType::Text]);
    let (stream, set) = (Stream::new(&table), set(&table));
    let batch = [transaction(16, vec![stream.insert("1|a")])];
    let (one, other) = (plan(&batch, &set).unwrap(), plan_with(&batch, &set, &Refusals::new()).unwrap());
    assert_eq!((spell(&one), one.letters), (spell(&other), other.letters));
    let of = |key: u8| {
        let mut refusals = Refusals::new();
        refusals.insert(1, [key; 32], "CONSTRAINT_VIOLATION");
        refusals
    };
    let mut refusals = of(1);
    assert_eq!(
        (refusals.extend(of(1)), refusals.extend(of(2)), refusals.extend(of(2))),
        (false, true, false)
    );
    assert!(Suspects::of(&plan(&batch, &set).unwrap(), 9).is_none(), "a table without a change");
    assert_eq!(set.get(1).unwrap().letters, OpenLetters::new());
}
