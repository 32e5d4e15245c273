//! What a new description of a table means, case by case.

use segcdc_model::{
    Attribute, CatalogTable, Fault, Lsn, PgType, Relation, RelationColumn, ReplicaIdentity, SourceColumn,
};
use segcdc_plan::{
    Action, Decision, Described, KnownTable, Naming, Outcome, PlanError, RuleTexts, Rules, SchemaChange,
    Step, TablePlan, TargetMode, decide, table_plan,
};

use crate::fixture::TestTable;

/// A type by its short name: OID, modifier, and what it is.
fn pg_type(name: &str) -> (u32, i32, PgType) {
    let number = |prefix: &str| name.strip_prefix(prefix).and_then(|digits| digits.parse::<i32>().ok());
    if let Some(length) = number("varchar") {
        return (1043, length + 4, PgType::Varchar { length: u32::try_from(length).ok() });
    }
    if let Some(digits) = number("numeric") {
        let bounds = (u16::try_from(digits).unwrap(), 2);
        return (1700, (digits << 16 | 2) + 4, PgType::Numeric { bounds: Some(bounds) });
    }
    match name {
        "int" => (23, -1, PgType::Int4),
        "bigint" => (20, -1, PgType::Int8),
        "text" => (25, -1, PgType::Text),
        "timestamp3" => (1114, 3, PgType::Timestamp),
        "timestamp" => (1114, -1, PgType::Timestamp),
        other => panic!("{other}"),
    }
}

/// Columns of a catalog in a compact spelling: `name`, `name:type`, a question mark behind it for one that allows NULL, `*` for
/// a default, `=value` for what older rows have; `-` for one that was dropped.
pub(crate) fn catalog(columns: &[&str], filenode: u32) -> CatalogTable {
    let base = TestTable::new(1, ReplicaIdentity::Default, 0, &[]).source;
    let mut table = base;
    let mut attributes = Vec::new();
    for (attnum, spelled) in (1..).zip(columns) {
        let (name, missing) = spelled.split_once('=').map_or((*spelled, None), |(n, v)| (n, Some(v)));
        let (name, has_default) = name.strip_suffix('*').map_or((name, missing.is_some()), |n| (n, true));
        let (name, nullable) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
        let (name, type_name) = name.split_once(':').unwrap_or((name, "int"));
        let (type_oid, type_modifier, pg_type) = pg_type(type_name);
        let is_dropped = name == "-";
        attributes.push(Attribute {
            attnum,
            is_dropped,
            type_oid: if is_dropped { 0 } else { type_oid },
            type_modifier,
            has_default,
            missing: missing.map(str::to_owned),
        });
        if !is_dropped {
            table.columns.push(SourceColumn {
                name: name.to_owned(),
                attnum,
                pg_type,
                type_name: type_name.to_owned(),
                not_null: !nullable,
                generated: false,
            });
        }
    }
    table.primary_key = vec![0];
    CatalogTable { table, attributes, filenode, read_at: Lsn::new(9), oldest_xid: 9 }
}

/// A description in the spelling of [`catalog`], as far as the stream has it.
pub(crate) fn relation(columns: &[&str]) -> Relation {
    let described = catalog(columns, 0);
    let columns = described.table.columns.iter().map(|column| RelationColumn {
        key: column.attnum == 1,
        name: column.name.clone(),
        type_oid: described.attribute(column.attnum).unwrap().type_oid,
        type_modifier: described.attribute(column.attnum).unwrap().type_modifier,
    });
    Relation {
        oid: 1,
        name: described.table.name.clone(),
        replica_identity: ReplicaIdentity::Default,
        columns: columns.collect(),
    }
}

pub(crate) fn naming() -> Naming {
    Naming::new("dbo")
}

/// A table that was copied when the catalog was so.
fn known(columns: &[&str]) -> (KnownTable, TablePlan) {
    let catalog = catalog(columns, 7);
    let plan = table_plan(&catalog.table, &naming()).unwrap();
    (KnownTable::new(&catalog, &plan), plan)
}

/// What is sent, where it is sent, what the catalog says, and the rules.
struct Sent<'a> {
    relation: &'a Relation,
    at: u64,
    now: &'a CatalogTable,
    rules: &'a [&'a str],
}

fn decided((known, plan): (&KnownTable, &TablePlan), sent: Sent<'_>) -> Result<Decision, PlanError> {
    let changes = sent.rules.iter().map(|rule| (*rule).to_owned()).collect();
    let rules = Rules::parse(&RuleTexts { changes, ..RuleTexts::default() }).unwrap();
    let (relation, catalog, at) = (sent.relation, sent.now, Lsn::new(sent.at));
    decide(Described { known, plan, relation, catalog, at, has_letters: false }, &naming().with_rules(rules))
}

/// A step in a compact spelling.
fn spelled_step(change: &SchemaChange, step: &Step) -> String {
    let actions = step.actions.iter().map(|action| match action {
        Action::RenameTable { from, to } => format!("rename {from} to {to}"),
        Action::DropColumn { name } => format!("drop {name}"),
        Action::RenameColumn { from, to } => format!("rename {from} to {to}"),
        Action::DropKey => "drop key".to_owned(),
        Action::AddKey => "add key".to_owned(),
        Action::AlterColumn { column } => {
            let null = if column.nullable { "NULL" } else { "NOT NULL" };
            format!("alter {} {} {null}", column.name, column.mssql_type)
        }
        Action::AddColumn { column, existing } => {
            let column = &change.plan.columns[*column];
            assert!(column.nullable, "rows of before the default may have NULL");
            format!("add {} {} = {}", column.name, column.mssql_type, existing.as_deref().unwrap_or("NULL"))
        }
    });
    let actions = actions.collect::<Vec<_>>().join(", ");
    match (step.outcome, actions.as_str()) {
        (Outcome::Ignored, "") => format!("ignore {}", step.kind),
        (Outcome::Ignored, actions) => format!("ignore {}: {actions}", step.kind),
        (Outcome::Applied, "") => format!("{}: nothing", step.kind),
        (Outcome::Applied, actions) => actions.to_owned(),
    }
}

/// The decision in a compact spelling.
pub(crate) fn spelled(decided: Result<Decision, PlanError>) -> String {
    match decided {
        Ok(Decision::Same(_)) => "same".to_owned(),
        Ok(Decision::Change(change)) => {
            let steps = change.steps.iter().map(|step| spelled_step(&change, step));
            steps.collect::<Vec<_>>().join(", ")
        }
        Err(PlanError::SchemaChangeHalted { detail, .. }) => detail,
        Err(error) => {
            assert_eq!((error.code(), error.table_oid()), ("SCHEMA_CHANGED", Some(1)), "{error}");
            let text = error.to_string();
            text.strip_prefix("public.t1 was changed at the source: ").unwrap().to_owned()
        }
    }
}

/// Checks what is decided, with the file as it was, and by some rules.
fn check_by(rules: &[&str], before: &[&str], sent: &[&str], now: &[&str], expected: &str) {
    check_in(rules, before, sent, (now, 7), expected);
}

fn check_in(rules: &[&str], before: &[&str], sent: &[&str], now: (&[&str], u32), expected: &str) {
    let (known, plan) = known(before);
    let (relation, now) = (relation(sent), catalog(now.0, now.1));
    let found = decided((&known, &plan), Sent { relation: &relation, at: 5, now: &now, rules });
    assert_eq!(spelled(found), expected, "{before:?} {sent:?} {now:?}");
}

fn check(before: &[&str], sent: &[&str], now: &[&str], expected: &str) {
    check_by(&[], before, sent, now, expected);
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
    // Under a name that it has lost meanwhile; the other columns tell.
    let now = ["id", "b?", "-", "a?", "c:bigint?", "-"];
    let added = "add c_new bigint = NULL";
    check(&["id", "b?", "d?", "a?"], &["id", "b", "d", "a", "c_new:bigint"], &now, added);
    // One of them is gone again: which of both is described cannot be told.
    check(&["id"], &["id", "c"], &["id", "-", "c?"], UNTOLD);
    check(&["id"], &["id", "b", "c"], &["id", "-", "c?"], "ignore add-column, add c int = NULL");
    check(&["id"], &["id", "b:varchar10"], &["id", "b:varchar20?"], "add b nvarchar(40) = NULL");
    let error = "column \"b\" was added, and has another type since";
    check(&["id"], &["id", "b"], &["id", "b:bigint?"], error);
}

const REWRITTEN: &str =
    "column \"b\" was added and the rows were written anew, which the stream does not show";

#[test]
fn rows_that_were_written_anew_halt_the_table() {
    check_in(&[], &["id"], &["id", "b"], (&["id", "b?*"], 8), REWRITTEN);
    // VACUUM FULL behind it has made them forget what they had.
    check_in(&[], &["id"], &["id", "b"], (&["id", "b?"], 8), REWRITTEN);
    // What is still known counts.
    check_in(&[], &["id"], &["id", "b"], (&["id", "b?=5"], 8), "add b int = 5");
    let rule = "rewrite-column=apply";
    check_in(&[rule], &["id"], &["id", "b"], (&["id", "b?*"], 8), "add b int = NULL");
    check_in(&["rewrite-column=ignore"], &["id"], &["id", "b"], (&["id", "b?*"], 8), "ignore rewrite-column");
}

#[test]
fn rows_that_are_written_anew_behind_a_description_are_told_when_it_comes() {
    let (known, plan) = known(&["id"]);
    let now = catalog(&["id", "b?*"], 8);
    let described = |known: &KnownTable, sent: &[&str]| {
        decided((known, &plan), Sent { relation: &relation(sent), at: 5, now: &now, rules: &[] })
    };
    // The catalog has another file already, which the table had not yet here.
    let Ok(Decision::Same(known)) = described(&known, &["id"]) else { panic!("nothing was changed") };
    assert_eq!(known.filenode, 7);
    assert_eq!(spelled(described(&known, &["id", "b"])), REWRITTEN);
}

#[test]
fn emptied_tables_have_another_file_and_are_the_same() {
    let (known, plan) = known(&["id", "a?"]);
    let (now, relation) = (catalog(&["id", "a?"], 8), relation(&["id", "a"]));
    let sent = Sent { relation: &relation, at: 5, now: &now, rules: &[] };
    let Ok(Decision::Same(known)) = decided((&known, &plan), sent) else { panic!("nothing was changed") };
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
fn dropped_columns_stay_in_the_target_unless_they_are_to_go() {
    let dropped = (&["id", "a?"], &["id"], &["id", "-"]);
    let check_dropped =
        |rules: &[&str], expected: &str| check_by(rules, dropped.0, dropped.1, dropped.2, expected);
    check_dropped(&[], "ignore drop-column");
    check_dropped(&["drop-column=apply"], "drop a");
    check_dropped(&["halt", "public.t1:apply"], "drop a");
    check_dropped(&["public.*:drop-column=apply", "public.t1:rename-column=halt"], "drop a");
    check_dropped(&["other.*:drop-column=apply"], "ignore drop-column");
    check_dropped(&["drop-column=halt"], "column \"a\" was dropped");
    // New rows have nothing to put into it.
    check(&["id", "a"], &["id"], &["id", "-"], "ignore drop-column: alter a int NULL");
    let dropped = "column \"id\" of its key was dropped";
    check_by(&["change-key=ignore"], &["id", "a?"], &["a"], &["-", "a?"], dropped);
}

#[test]
fn halting_all_is_not_halting_the_table() {
    let (known, plan) = known(&["id", "a?"]);
    let (now, relation) = (catalog(&["id", "-"], 7), relation(&["id"]));
    let error = |rules: &[&str]| {
        decided((&known, &plan), Sent { relation: &relation, at: 5, now: &now, rules }).unwrap_err()
    };
    use segcdc_model::Disposition::{Halt, HaltTable};
    assert_eq!(error(&["halt-all"]).disposition(), Halt);
    assert_eq!(error(&["halt"]).disposition(), HaltTable);
    let hint = error(&["drop-column=halt-all"]).hint();
    assert!(hint.contains("--on-schema-change 'public.t1:drop-column=apply'"), "{hint}");
}

#[test]
fn renames_are_told_by_numbers() {
    check(&["id", "a?"], &["id", "b"], &["id", "b?"], "rename a to b");
    check_by(&["rename-column=ignore"], &["id", "a?"], &["id", "b"], &["id", "b?"], "ignore rename-column");
    check(&["id", "a?"], &["id2", "b"], &["id2", "b?"], "rename id to id2, rename a to b");
    // Dropped, and another one added: two columns.
    check(&["id", "a?"], &["id", "b"], &["id", "-", "b?"], "ignore drop-column, add b int = NULL");
    check(&["id", "a?"], &["id", "b"], &["id", "-", "b?=3"], "ignore drop-column, add b int = 3");
    // The catalog is further already.
    check(&["id", "a?"], &["id", "b"], &["id", "c?"], "rename a to b");
    check(&["id", "a?"], &["id", "b"], &["id", "-"], "rename a to b");
}

#[test]
fn names_may_move_on_and_go_round() {
    let before = ["id", "a?", "b?"];
    check(&before, &["id", "b", "c"], &["id", "b?", "c?"], "rename b to c, rename a to b");
    check(
        &before,
        &["id", "b", "a"],
        &["id", "b?", "a?"],
        "rename a to segcdc_renamed_0, rename b to segcdc_renamed_1, rename segcdc_renamed_0 to b, \
         rename segcdc_renamed_1 to a",
    );
    // To the target both are one name.
    check(&["id", "a?"], &["id", "A"], &["id", "A?"], "rename a to A");
}

#[test]
fn what_the_target_keeps_makes_way_for_new_columns() {
    let way = "ignore drop-column, ignore drop-column: rename a to a_dropped_2";
    check(&["id", "a?", "b?"], &["id", "a"], &["id", "-", "a?"], &format!("{way}, rename b to a"));
    check(
        &["id", "a?"],
        &["id", "A:text"],
        &["id", "-", "A:text?"],
        &format!("{way}, add A nvarchar(max) = NULL"),
    );
    check_by(
        &["drop-column=apply"],
        &["id", "a?", "b?"],
        &["id", "a"],
        &["id", "-", "a?"],
        "drop a, rename b to a",
    );
    // What was kept before makes way too.
    let (known, plan) = known(&["id", "a?"]);
    let now = catalog(&["id", "-"], 7);
    let sent = Sent { relation: &relation(&["id"]), at: 5, now: &now, rules: &[] };
    let Ok(Decision::Change(change)) = decided((&known, &plan), sent) else { panic!("it was dropped") };
    assert_eq!(change.known.kept, ["a"]);
    let now = catalog(&["id", "-", "a?"], 7);
    let sent = Sent { relation: &relation(&["id", "a"]), at: 5, now: &now, rules: &[] };
    let again = decided((&change.known, &change.plan), sent);
    assert_eq!(spelled(again), "ignore drop-column: rename a to a_dropped_2, add a int = NULL");
}

#[test]
fn types_widen_where_rows_are_left_as_they_are() {
    let check_type = |before: &str, now: &str, expected: &str| {
        let with = |spelled: &str| format!("a:{spelled}?");
        check(&["id", &with(before)], &["id", &with(now)], &["id", &with(now)], expected);
    };
    check_type("varchar10", "varchar20", "alter a nvarchar(40) NULL");
    check_type("varchar10", "text", "alter a nvarchar(max) NULL");
    check_type("numeric10", "numeric12", "alter a decimal(12,2) NULL");
    check_type("timestamp3", "timestamp", "change-type: nothing");
    check_by(
        &["change-type=ignore"],
        &["id", "a:varchar10?"],
        &["id", "a:varchar20"],
        &["id", "a:varchar20?"],
        "ignore change-type",
    );
    // Further already: of one type, so that its values are read in the same way.
    let sent = ["id", "a:varchar20"];
    check(&["id", "a:varchar10?"], &sent, &["id", "a:varchar30?"], "alter a nvarchar(60) NULL");
    let error = "column \"a\" has another type, and was changed again since";
    check(&["id", "a:varchar10?"], &["id", "a:bigint"], &["id", "a?"], error);
    // The key stands in the way.
    check(
        &["id:varchar10"],
        &["id:varchar20"],
        &["id:varchar20"],
        "drop key, alter id nvarchar(40) NOT NULL, add key",
    );
}

#[test]
fn types_of_rows_that_were_written_anew_halt_unless_they_are_trusted() {
    let rewritten = |before: &str, now: &str| {
        format!(
            "column \"a\" was {before} and is {now}; rows were written anew, which the stream does not show"
        )
    };
    let check_type = |rules: &[&str], before: &str, now: &str, expected: &str| {
        let with = |spelled: &str| format!("a:{spelled}?");
        check_in(rules, &["id", &with(before)], &["id", &with(now)], (&["id", &with(now)], 8), expected);
    };
    let trusted = ["rewrite-column=apply"];
    check_type(&[], "int", "bigint", &rewritten("int", "bigint"));
    check_type(&trusted, "int", "bigint", "alter a bigint NULL");
    // A narrower one fits in what the target has.
    check_type(&trusted, "varchar20", "varchar10", "rewrite-column: nothing");
    check_type(&trusted, "bigint", "int", "rewrite-column: nothing");
    let lost = format!("{}, and values that rows have got by that are not known", rewritten("int", "text"));
    check_type(&trusted, "int", "text", &lost);
    let lost = format!(
        "{}, and values that rows have got by that are not known",
        rewritten("timestamp", "timestamp3")
    );
    check_type(&trusted, "timestamp", "timestamp3", &lost);
    check_type(&["rewrite-column=ignore"], "int", "text", "ignore rewrite-column");
    // The key is dropped meanwhile.
    let (before, now) = (["id", "a?"], ["id:bigint", "a?"]);
    let key = "drop key, alter id bigint NOT NULL, add key";
    check_in(&trusted, &before, &["id:bigint", "a"], (&now, 8), key);
}

#[test]
fn null_is_taken_at_once_and_given_up_with_care() {
    check(&["id", "a"], &["id", "a"], &["id", "a?"], "alter a int NULL");
    check_by(&["drop-not-null=ignore"], &["id", "a"], &["id", "a"], &["id", "a?"], "ignore drop-not-null");
    check(&["id", "a?"], &["id", "a"], &["id", "a"], "ignore set-not-null");
    check_by(
        &["set-not-null=halt"],
        &["id", "a?"],
        &["id", "a"],
        &["id", "a"],
        "column \"a\" takes no NULL any more",
    );
    let (known, plan) = known(&["id", "a?"]);
    let (now, relation) = (catalog(&["id", "a"], 7), relation(&["id", "a"]));
    let rules = ["set-not-null=apply"];
    // Rows of before the catalog was read may have NULL yet.
    let Ok(Decision::Same(seen)) =
        decided((&known, &plan), Sent { relation: &relation, at: 5, now: &now, rules: &rules })
    else {
        panic!("it is too early")
    };
    let at = |at| decided((&seen, &plan), Sent { relation: &relation, at, now: &now, rules: &rules });
    assert_eq!(spelled(at(9)), "same");
    assert_eq!(spelled(at(10)), "alter a int NOT NULL");
    // It was taken back meanwhile.
    let now = catalog(&["id", "a?"], 7);
    let again = decided((&seen, &plan), Sent { relation: &relation, at: 10, now: &now, rules: &rules });
    assert_eq!(spelled(again), "same");
}

#[test]
fn once_found_nothing_is_found_again() {
    let (known, plan) = known(&["id", "a?", "b", "c:varchar10?"]);
    let now = catalog(&["id", "a", "b?", "c:varchar20?", "d=4"], 7);
    let relation = relation(&["id", "a", "b", "c:varchar20", "d"]);
    let sent = || Sent { relation: &relation, at: 5, now: &now, rules: &[] };
    let Ok(Decision::Change(change)) = decided((&known, &plan), sent()) else { panic!("it was changed") };
    assert_eq!(change.steps.len(), 4);
    assert_eq!(spelled(decided((&change.known, &change.plan), sent())), "same");
}

#[test]
fn tables_take_their_new_names() {
    let (known, plan) = known(&["id"]);
    let now = catalog(&["id"], 7);
    let renamed = |schema: &str, name: &str, rules: &[&str]| {
        let name = segcdc_model::QualifiedName::new(schema, name);
        let relation = Relation { name, ..relation(&["id"]) };
        let found = decided((&known, &plan), Sent { relation: &relation, at: 5, now: &now, rules });
        let target = match &found {
            Ok(Decision::Change(change)) => change.plan.target.to_string(),
            _ => String::new(),
        };
        (spelled(found), target)
    };
    let check = |(schema, name), rules: &[&str], expected: (&str, &str)| {
        let (steps, target) = renamed(schema, name, rules);
        assert_eq!((steps.as_str(), target.as_str()), expected);
    };
    check(("public", "t2"), &[], ("rename dbo.t1 to dbo.t2", "dbo.t2"));
    check(("s", "t1"), &[], ("rename dbo.t1 to s.t1", "s.t1"));
    check(("s", "t2"), &[], ("rename dbo.t1 to s.t1, rename s.t1 to s.t2", "s.t2"));
    check(("s", "t2"), &["set-schema=ignore"], ("ignore set-schema, rename dbo.t1 to dbo.t2", "dbo.t2"));
    check(("public", "t2"), &["ignore"], ("ignore rename-table", "dbo.t1"));
}

#[test]
fn tables_keep_their_mode_under_a_name_that_says_the_same() {
    let naming = |modes: &[&str]| {
        let modes = modes.iter().map(|mode| (*mode).to_owned()).collect();
        naming().with_rules(Rules::parse(&RuleTexts { modes, ..RuleTexts::default() }).unwrap())
    };
    let now = catalog(&["id", "a?"], 7);
    let plan = table_plan(&now.table, &naming(&["soft-delete"])).unwrap();
    let known = KnownTable::new(&now, &plan);
    let stored = serde_json::to_string(&known).unwrap();
    assert_eq!(serde_json::from_str::<KnownTable>(&stored).unwrap().mode, TargetMode::SoftDelete);
    // What is known counts, whatever the rules say of the name that the table has.
    assert_eq!(known.plan(&naming(&[]), &plan.target).unwrap(), plan);
    let renamed = |name: &str, modes: &[&str]| {
        let name = segcdc_model::QualifiedName::new("public", name);
        let relation = Relation { name, ..relation(&["id", "a?"]) };
        let described = Described {
            known: &known,
            plan: &plan,
            relation: &relation,
            catalog: &now,
            at: Lsn::new(5),
            has_letters: false,
        };
        spelled(decide(described, &naming(modes)))
    };
    assert_eq!(renamed("t2", &["soft-delete"]), "rename dbo.t1 to dbo.t2");
    let refused = "it is public.t2 now, to which --mode gives the mode mirror, and its target table was made for soft-delete";
    assert_eq!(renamed("t2", &["public.t1=soft-delete"]), refused);
    assert_eq!(renamed("t1", &[]), "same");
}

#[test]
fn same_name_and_type_may_be_another_column() {
    // Dropped and added again: the rows have other values, and names do not show it.
    check(&["id", "a?"], &["id", "a"], &["id", "-", "a?"], UNTOLD);
    // Of another type, only one of both can be described.
    check(&["id", "a?"], &["id", "a"], &["id", "-", "a:bigint?"], "same");
    let way = "ignore drop-column, ignore drop-column: rename a to a_dropped_2, add a bigint = NULL";
    check(&["id", "a?"], &["id", "a:bigint"], &["id", "-", "a:bigint?"], way);
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
    let (now, relation) = (catalog(&["id", "a?", "b?=5"], 7), relation(&["id", "a", "b"]));
    let sent = Sent { relation: &relation, at: 5, now: &now, rules: &[] };
    let Ok(Decision::Change(change)) = decided((&known, &plan), sent) else { panic!("it was changed") };
    assert_eq!(change.known.plan(&naming(), &plan.target).unwrap(), change.plan);
    assert_eq!(change.known.columns[..2], known.columns[..]);
    assert_eq!(change.plan.key, plan.key);
}

/// A table of which `secret` and `c` are left out.
fn known_without(columns: &[&str]) -> (KnownTable, TablePlan, Naming) {
    let exclude_columns = vec!["public.*.secret".to_owned(), "public.*.c".to_owned()];
    let rules = Rules::parse(&RuleTexts { exclude_columns, ..RuleTexts::default() }).unwrap();
    let naming = naming().with_rules(rules);
    let catalog = catalog(columns, 7);
    let plan = table_plan(&catalog.table, &naming).unwrap();
    (KnownTable::new(&catalog, &plan), plan, naming)
}

#[test]
fn columns_that_are_left_out_may_be_sent_or_not() {
    let before = ["id", "secret?", "a?"];
    let check = |sent: &[&str], now: &[&str], expected: &str| {
        let (known, plan, naming) = known_without(&before);
        let (relation, catalog) = (relation(sent), catalog(now, 7));
        let described = Described {
            known: &known,
            plan: &plan,
            relation: &relation,
            catalog: &catalog,
            at: Lsn::new(5),
            has_letters: false,
        };
        let decided = decide(described, &naming);
        if let Ok(Decision::Same(known)) = &decided {
            let (sent, known) = (sent.len(), known.columns.len());
            assert_eq!(sent, known, "what is known is what is sent");
        }
        assert_eq!(spelled(decided), expected, "{sent:?} {now:?}");
    };
    check(&["id", "secret", "a"], &before, "same");
    check(&["id", "a"], &before, "same");
    // Renamed, what was left out stays so, and what was not is written on.
    check(&["id", "open", "a"], &["id", "open?", "a?"], "same");
    check(&["id", "open", "c"], &["id", "open?", "c?"], "rename a to c");
    check(&["id", "c"], &["id", "secret?", "c?"], "rename a to c");
    // Added columns are followed, but those that are meant.
    check(&["id", "secret", "a", "b"], &["id", "secret?", "a?", "b?"], "add b int = NULL");
    check(&["id", "secret", "a", "c"], &["id", "secret?", "a?", "c?"], "ignore add-column");
    // Of one that is not in the publication's list nothing is ever seen.
    check(&["id", "a"], &["id", "secret?", "a?", "b?"], "same");
    check(&["id", "secret", "a"], &["id", "secret?", "a?", "c?"], "same");
}
