//! What a new description of a table means, case by case.

use segcdc_model::{
    Attribute, CatalogTable, Fault, Lsn, PgType, Relation, RelationColumn, ReplicaIdentity, SourceColumn,
};
use segcdc_plan::{Decision, Described, KnownTable, Naming, PlanError, Step, TablePlan, decide, table_plan};

use crate::fixture::TestTable;

/// Columns of a catalog in a compact spelling: `name`, `name:type`, a question mark behind it for one that allows NULL, `*` for
/// a default, `=value` for what older rows have; `-` for one that was dropped.
fn catalog(columns: &[&str], filenode: u32) -> CatalogTable {
    let base = TestTable::new(1, ReplicaIdentity::Default, 0, &[]).source;
    let mut table = base;
    let mut attributes = Vec::new();
    for (attnum, spelled) in (1..).zip(columns) {
        let (name, missing) = spelled.split_once('=').map_or((*spelled, None), |(n, v)| (n, Some(v)));
        let (name, has_default) = name.strip_suffix('*').map_or((name, missing.is_some()), |n| (n, true));
        let (name, nullable) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
        let (name, type_oid, pg_type) = match name.split_once(':') {
            Some((name, "bigint")) => (name, 20, PgType::Int8),
            Some((name, "text")) => (name, 25, PgType::Text),
            Some((_, other)) => panic!("{other}"),
            None => (name, 23, PgType::Int4),
        };
        let is_dropped = name == "-";
        attributes.push(Attribute {
            attnum,
            is_dropped,
            type_oid: if is_dropped { 0 } else { type_oid },
            type_modifier: -1,
            has_default,
            missing: missing.map(str::to_owned),
        });
        if !is_dropped {
            table.columns.push(SourceColumn {
                name: name.to_owned(),
                attnum,
                pg_type,
                type_name: "whatever".to_owned(),
                not_null: !nullable,
                generated: false,
            });
        }
    }
    table.primary_key = vec![0];
    CatalogTable { table, attributes, filenode, read_at: Lsn::new(9), oldest_xid: 9 }
}

/// A description in the spelling of [`catalog`], as far as the stream has it.
fn relation(columns: &[&str]) -> Relation {
    let described = catalog(columns, 0);
    let columns = described.table.columns.iter().map(|column| RelationColumn {
        key: column.attnum == 1,
        name: column.name.clone(),
        type_oid: described.attribute(column.attnum).unwrap().type_oid,
        type_modifier: -1,
    });
    Relation {
        oid: 1,
        name: described.table.name.clone(),
        replica_identity: ReplicaIdentity::Default,
        columns: columns.collect(),
    }
}

fn naming() -> Naming {
    Naming::new("dbo")
}

/// A table that was copied when the catalog was so.
fn known(columns: &[&str]) -> (KnownTable, TablePlan) {
    let catalog = catalog(columns, 7);
    let plan = table_plan(&catalog.table, &naming()).unwrap();
    (KnownTable::new(&catalog, &plan), plan)
}

fn decided(before: &[&str], sent: &[&str], now: &CatalogTable) -> Result<Decision, PlanError> {
    let (known, plan) = known(before);
    let relation = relation(sent);
    decide(Described { known: &known, plan: &plan, relation: &relation, catalog: now }, &naming())
}

/// The decision in a compact spelling.
fn spelled(before: &[&str], sent: &[&str], now: &CatalogTable) -> String {
    match decided(before, sent, now) {
        Ok(Decision::Same(_)) => "same".to_owned(),
        Ok(Decision::Change(change)) => {
            let steps = change.steps.iter().map(|step| match step {
                Step::AddColumn { column, existing } => {
                    let column = &change.plan.columns[*column];
                    assert!(column.nullable, "rows of before the default may have NULL");
                    let existing = existing.as_deref().unwrap_or("NULL");
                    format!("add {} {} = {existing}", column.name, column.mssql_type)
                }
            });
            steps.collect::<Vec<_>>().join(", ")
        }
        Err(error) => {
            assert_eq!((error.code(), error.table_oid()), ("SCHEMA_CHANGED", Some(1)), "{error}");
            let text = error.to_string();
            text.strip_prefix("public.t1 was changed at the source: ").unwrap().to_owned()
        }
    }
}

fn check(before: &[&str], sent: &[&str], now: &[&str], expected: &str) {
    assert_eq!(spelled(before, sent, &catalog(now, 7)), expected, "{before:?} {sent:?} {now:?}");
}

const UNTOLD: &str = "which of its columns were renamed, dropped or added cannot be told for certain";

#[test]
fn described_again_as_it_was_is_the_same() {
    check(&["id", "a?"], &["id", "a"], &["id", "a?"], "same");
    // The catalog is ahead: nothing of that has come in the stream yet.
    check(&["id", "a?"], &["id", "a"], &["id", "a?", "b?=5"], "same");
    check(&["id", "a?"], &["id", "a"], &["id", "-"], "same");
    check(&["id", "a?", "b?"], &["id", "a", "b"], &["id", "-", "b?", "c?"], "same");
    check(&["id", "a?"], &["id", "a"], &["id", "renamed?"], "same");
    check(&["id", "a?"], &["id", "a"], &["id", "a:bigint?"], "same");
}

#[test]
fn added_columns_are_told_with_what_rows_have_in_them() {
    check(&["id", "a?"], &["id", "a", "b"], &["id", "a?", "b?"], "add b int = NULL");
    check(&["id"], &["id", "b"], &["id", "b?=5"], "add b int = 5");
    check(&["id"], &["id", "b:text"], &["id", "b:text?="], "add b nvarchar(max) = ");
    // NOT NULL at the source; rows between this one and a SET NOT NULL later may have none.
    check(&["id"], &["id", "b"], &["id", "b=5"], "add b int = 5");
    // SET DEFAULT after the column was added writes no row.
    check(&["id"], &["id", "b"], &["id", "b?*"], "add b int = NULL");
    check(&["id"], &["id", "b", "c"], &["id", "b?=1", "c?"], "add b int = 1, add c int = NULL");
    // Behind a dropped one, which the table had before it was copied.
    check(&["id", "-", "a?"], &["id", "a", "b"], &["id", "-", "a?", "b?"], "add b int = NULL");
}

#[test]
fn of_several_additions_those_that_are_described_are_made() {
    let now = ["id", "b?=1", "c?=2", "d?=3"];
    check(&["id"], &["id"], &now, "same");
    check(&["id"], &["id", "b"], &now, "add b int = 1");
    check(&["id"], &["id", "b", "c"], &now, "add b int = 1, add c int = 2");
    check(&["id", "b?"], &["id", "b", "c", "d"], &now, "add c int = 2, add d int = 3");
    // One of them is gone again: which of both is described cannot be told.
    check(&["id"], &["id", "c"], &["id", "-", "c?"], UNTOLD);
    check(&["id"], &["id", "b", "c"], &["id", "-", "c?"], "column \"b\" was added, and changed again since");
}

#[test]
fn rows_that_were_written_anew_halt_the_table() {
    let rewritten = "column \"b\" was added and the rows were written anew, which the stream does not show";
    assert_eq!(spelled(&["id"], &["id", "b"], &catalog(&["id", "b?*"], 8)), rewritten);
    // VACUUM FULL behind it has made them forget what they had.
    assert_eq!(spelled(&["id"], &["id", "b"], &catalog(&["id", "b?"], 8)), rewritten);
    // What is still known counts.
    assert_eq!(spelled(&["id"], &["id", "b"], &catalog(&["id", "b?=5"], 8)), "add b int = 5");
    // A partition root has no file.
    assert_eq!(spelled(&["id"], &["id", "b"], &catalog(&["id", "b?*"], 0)), rewritten);
}

#[test]
fn rows_that_are_written_anew_behind_a_description_are_told_when_it_comes() {
    let (known, plan) = known(&["id"]);
    let now = catalog(&["id", "b?*"], 8);
    let described = |known: &KnownTable, sent: &[&str]| {
        let relation = relation(sent);
        decide(Described { known, plan: &plan, relation: &relation, catalog: &now }, &naming())
    };
    // The catalog has another file already, which the table had not yet here.
    let Ok(Decision::Same(known)) = described(&known, &["id"]) else { panic!("nothing was changed") };
    assert_eq!(known.filenode, 7);
    let error = described(&known, &["id", "b"]).unwrap_err();
    assert!(
        error.to_string().ends_with("the rows were written anew, which the stream does not show"),
        "{error}"
    );
}

#[test]
fn emptied_tables_have_another_file_and_are_the_same() {
    let (known, plan) = known(&["id", "a?"]);
    let (now, relation) = (catalog(&["id", "a?"], 8), relation(&["id", "a"]));
    let described = Described { known: &known, plan: &plan, relation: &relation, catalog: &now };
    let Ok(Decision::Same(known)) = decide(described, &naming()) else { panic!("nothing was changed") };
    assert_eq!(known.filenode, 8);
}

#[test]
fn catalogs_show_transactions_that_had_ended() {
    let read_when = |oldest_xid| CatalogTable { oldest_xid, ..catalog(&["id"], 7) };
    assert!(read_when(100).shows(99));
    assert!(!read_when(100).shows(100));
    assert!(!read_when(100).shows(101));
    // Behind the highest number they begin again.
    assert!(read_when(5).shows(u32::MAX - 3));
    assert!(!read_when(u32::MAX - 3).shows(5));
}

#[test]
fn what_a_target_table_cannot_follow_yet_halts_it() {
    check(&["id", "a?"], &["id"], &["id", "-"], "column \"a\" was dropped");
    check(&["id", "a?"], &["id", "b"], &["id", "b?"], "column \"a\" was renamed to \"b\"");
    check(&["id", "a?"], &["id", "a:bigint"], &["id", "a:bigint?"], "column \"a\" has another type");
    check(&["id", "a"], &["id", "a"], &["id", "a?"], "column \"a\" allows NULL now");
}

#[test]
fn same_name_and_type_may_be_another_column() {
    // Dropped and added again: the rows have other values, and names do not show it.
    check(&["id", "a?"], &["id", "a"], &["id", "-", "a?"], UNTOLD);
    // Of another type, only one of both can be described.
    check(&["id", "a?"], &["id", "a"], &["id", "-", "a:bigint?"], "same");
    check(&["id", "a?"], &["id", "a:bigint"], &["id", "-", "a:bigint?"], "column \"a\" was dropped");
}

#[test]
fn what_is_known_survives_being_stored() {
    let (known, plan) = known(&["id", "-", "a?"]);
    let stored = serde_json::to_string(&known).unwrap();
    let read: KnownTable = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, known);
    assert_eq!(read.plan(&naming(), &plan.target).unwrap(), plan);
    assert_eq!((known.last_attnum, known.columns.len()), (3, 2));
}

#[test]
fn planned_again_is_what_was_made() {
    let (known, plan) = known(&["id", "a?"]);
    let Ok(Decision::Change(change)) =
        decided(&["id", "a?"], &["id", "a", "b"], &catalog(&["id", "a?", "b?=5"], 7))
    else {
        panic!("it was changed");
    };
    assert_eq!(change.known.plan(&naming(), &plan.target).unwrap(), change.plan);
    assert_eq!(change.known.columns[..2], known.columns[..]);
    assert_eq!(change.plan.key, plan.key);
    // Described so again, nothing is left to do.
    let relation = relation(&["id", "a", "b"]);
    let now = catalog(&["id", "a?", "b?=5"], 7);
    let described =
        Described { known: &change.known, plan: &change.plan, relation: &relation, catalog: &now };
    assert!(matches!(decide(described, &naming()), Ok(Decision::Same(_))));
}
