//! Every T-SQL statement as it is sent, for review against the T-SQL manual.

use std::sync::Arc;

use segcdc_model::{Checkpoint, Lineage, Lsn, PgType, QualifiedName, TablePhase};
use segcdc_plan::{Action, ChangeKind, Outcome, TablePlan, TargetMode};
use segcdc_sqlserver::sql::state::Totals;
use segcdc_sqlserver::sql::{letter_changes, letters, schema_changes};
use segcdc_sqlserver::{Lag, LetterFilter, NewPipeline, TableProgress, TableState, sql};

use crate::documents::plan;
use crate::fixture;

/// Every type once.
fn types() -> Arc<TablePlan> {
    let columns = [
        ("id", PgType::Int8, true),
        ("flag", PgType::Bool, true),
        ("small", PgType::Int2, false),
        ("normal", PgType::Int4, false),
        ("float4", PgType::Float4, false),
        ("float8", PgType::Float8, false),
        ("money", PgType::Numeric { bounds: Some((12, 2)) }, false),
        ("any", PgType::Numeric { bounds: None }, false),
        ("text", PgType::Text, false),
        ("varchar", PgType::Varchar { length: Some(10) }, false),
        ("char", PgType::Char { length: 3 }, false),
        ("bytes", PgType::Bytea, false),
        ("uuid", PgType::Uuid, false),
        ("json", PgType::Jsonb, false),
        ("date", PgType::Date, false),
        ("time", PgType::Time, false),
        ("timestamp", PgType::Timestamp, false),
        ("timestamptz", PgType::TimestampTz, false),
        ("oid", PgType::Oid, false),
        ("other", PgType::Other, false),
    ];
    fixture::table(1, "types", 1, &columns)
}

/// Names that hold everything that quoting has to survive, and a key of text and bytes.
pub(crate) fn hostile() -> Arc<TablePlan> {
    let columns = [
        ("k]ey' --", PgType::Text, true),
        ("\"b\" 🦀", PgType::Bytea, true),
        ("n", PgType::Int4, true),
        ("; DROP TABLE x", PgType::Text, false),
    ];
    fixture::table(2, "we]ird\"; 'table' 🦀", 3, &columns)
}

/// A table without a key.
pub(crate) fn bag() -> Arc<TablePlan> {
    let columns = [
        ("a", PgType::Int4, false),
        ("t]", PgType::Text, false),
        ("b", PgType::Bytea, false),
        ("f", PgType::Float8, true),
    ];
    fixture::table(3, "bag", 0, &columns)
}

/// Columns whose types were asked for, without a key.
fn asked() -> Arc<TablePlan> {
    let columns = [
        ("n", PgType::Numeric { bounds: None }, false),
        ("utf8", PgType::Varchar { length: Some(10) }, true),
        ("short", PgType::Text, false),
        ("bytes", PgType::Bytea, false),
        ("utc", PgType::TimestampTz, false),
        ("ms", PgType::Timestamp, false),
        ("wide", PgType::Int4, false),
        ("long", PgType::Text, false),
        ("tiny", PgType::Int2, false),
        ("s", PgType::Time, false),
    ];
    let types = [
        "n=decimal(28,6)",
        "utf8=varchar(40)",
        "short=nvarchar(100)",
        "bytes=varbinary(16)",
        "utc=datetime2(6)",
        "ms=datetime2(3)",
        "wide=bigint",
        "long=varchar(max)",
        "tiny=tinyint",
        "s=time(0)",
    ];
    let rules = segcdc_plan::RuleTexts {
        types: types.map(|rule| format!("public.asked.{rule}")).to_vec(),
        values: vec!["halt".to_owned()],
        ..segcdc_plan::RuleTexts::default()
    };
    let naming = segcdc_plan::Naming::new("dbo").with_rules(segcdc_plan::Rules::parse(&rules).unwrap());
    Arc::new(segcdc_plan::table_plan(&fixture::source(4, "asked", 0, &columns), &naming).unwrap())
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        pipeline: "it's".to_owned(),
        epoch: 3,
        batch_seq: 41,
        applied_lsn: Lsn::new(0x16_B374_D848),
        lineage: Lineage {
            system_identifier: "7312345678901234567".to_owned(),
            timeline: 2,
            database_oid: 16384,
            slot: "segcdc_it's".to_owned(),
            publication: "p".to_owned(),
            publication_oid: 16400,
        },
    }
}

fn state() -> TableState {
    TableState {
        source_oid: 1,
        source: QualifiedName::new("public", "we]ird'"),
        target: QualifiedName::new("dbo", "we]ird'"),
        shape: "abc".to_owned(),
        phase: TablePhase::Quarantined,
        sync_lsn: Lsn::new(7),
        rows_copied: 8,
        bytes_copied: 9,
        estimated_rows: 10,
        table_is_ours: true,
        error: Some(("VALUE_TOO_LONG".to_owned(), "it's too long".to_owned())),
    }
}

/// One statement a paragraph.
pub(crate) fn paragraphs(statements: &[String]) -> String {
    statements.join("\n\n")
}

#[test]
fn types_that_are_asked_for() {
    let plan = asked();
    let statements = [
        sql::create_table::create_table(&plan),
        sql::create_table::add_column(&plan.target, &plan.columns[1]),
        sql::staging::create(1, &plan),
        sql::apply::delete_equal(1, &plan, 0, 2),
        sql::apply::delete_numbered(1, &plan),
        sql::apply::insert(1, &plan),
        sql::rows::select(&plan, None),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn documents() {
    let of = |oid, key| plan(&segcdc_plan::Naming::new("dbo"), oid, "documents", key);
    let (keyed, bag) = (of(5, 1), of(6, 0));
    let statements = [
        sql::create_table::create_table(&keyed),
        sql::form::create_load(1, &keyed),
        sql::form::store_load(1, &keyed),
        sql::staging::create(2, &keyed),
        sql::apply::fill(2, &keyed, 0, &[1]),
        sql::apply::update(2, &keyed, 0, &[1, 2]),
        sql::apply::insert(2, &keyed),
        sql::apply::delete_equal(3, &bag, 0, 2),
        sql::apply::delete_numbered(3, &bag),
        sql::rows::select(&keyed, None),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn definition_of_tables() {
    let plans = [types(), hostile(), bag()];
    let mut statements = vec![sql::create_table::create_schema("we]ird 🦀")];
    for plan in &plans {
        statements.push(sql::create_table::create_table(plan));
        statements.extend(sql::create_table::add_key(plan));
        statements.push(sql::create_table::truncate(plan));
    }
    statements.push(sql::create_table::drop_key(&plans[1]));
    statements.push(sql::create_table::drop_table(&plans[1].target));
    statements.push(sql::create_table::add_column(&plans[1].target, &plans[1].columns[3]));
    let column = &plans[1].columns[3];
    let alter = sql::create_table::alter_column;
    statements.push(alter(&plans[1].target, &column.name, column.mssql_type, column.nullable));
    statements.push(sql::create_table::disable_trigger(&plans[1].target, "t]"));
    statements.push(sql::create_table::disable_constraint(&plans[1].target, "f]"));
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn staging_tables() {
    let statements = [
        sql::staging::create(1, &types()),
        sql::staging::create(2, &hostile()),
        sql::staging::create(3, &bag()),
        sql::staging::truncate(3),
        sql::staging::drop(3),
        sql::staging::insert_values("[#s1]", &["op".to_owned(), "c]1".to_owned()], 2),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn effects_of_staged_rows() {
    let (types, hostile, bag) = (types(), hostile(), bag());
    let statements = [
        sql::apply::fill(1, &types, 0, &[8, 11]),
        sql::apply::delete(1, &types),
        sql::apply::update(1, &types, 2, &[1, 8]),
        sql::apply::insert(1, &types),
        sql::apply::fill(2, &hostile, 1, &[3]),
        sql::apply::delete(2, &hostile),
        sql::apply::update(2, &hostile, 0, &[3]),
        sql::apply::insert(2, &hostile),
        sql::apply::delete_equal(3, &bag, 5, 2),
        sql::apply::delete_numbered(3, &bag),
        sql::apply::NUMBERED_PROBE.to_owned(),
        sql::apply::insert(3, &bag),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn effects_of_single_rows() {
    let (types, hostile, bag) = (types(), hostile(), bag());
    let key = [(0, Some(9)), (1, Some(10)), (2, Some(11))];
    let statements = [
        sql::direct::delete(&types, &[(0, Some(9))]),
        sql::direct::update(&types, &[(1, Some(10)), (8, Some(11))], None, &[(0, Some(9))]),
        sql::direct::delete(&hostile, &key),
        sql::direct::update(&hostile, &[(3, Some(12))], None, &key),
        sql::direct::insert(&hostile, 2, 9),
        sql::direct::delete_equal(&bag, 2, &[(0, None), (1, Some(9)), (2, Some(10)), (3, Some(11))]),
        sql::direct::FENCE.to_owned(),
        sql::direct::FINISH.to_owned(),
        sql::direct::expect_rows(3, sql::direct::MISCOUNTED),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn tables_in_which_deleted_rows_stay() {
    let kept = |table: &TablePlan| TablePlan { mode: TargetMode::SoftDelete, ..table.clone() };
    let (hostile, pair) =
        (kept(&hostile()), kept(&fixture::table(5, "only key", 1, &[("id", PgType::Int4, true)])));
    let key = [(0, Some(9)), (1, Some(10)), (2, Some(11))];
    let mut statements = vec![
        sql::create_table::create_table(&hostile),
        sql::mark::add(&hostile.target, hostile.marker().unwrap()),
        sql::staging::create(2, &hostile),
        sql::apply::fill(2, &hostile, 1, &[3]),
        sql::apply::delete(2, &hostile),
        sql::apply::update(2, &hostile, 0, &[3]),
        sql::apply::mark(2, &hostile, 0, &[]),
        sql::apply::mark(2, &hostile, 1, &[3]),
        sql::mark::mark_all(&hostile, 762_526_230_000_001).unwrap(),
        sql::apply::clear(2, &hostile).unwrap(),
        sql::apply::make_room(2, &hostile).unwrap(),
        sql::apply::insert(2, &hostile),
        sql::direct::delete(&hostile, &key),
        sql::direct::update(&hostile, &[(3, Some(12))], None, &key),
        sql::direct::update(&hostile, &[], Some(12), &key),
        sql::direct::update(&hostile, &[(3, Some(12))], Some(13), &key),
        sql::direct::make_room(&hostile, &key).unwrap(),
        sql::direct::insert(&hostile, 2, 9),
        sql::rows::select(&hostile, None),
        sql::rows::count(&hostile, Some("[n] >= 1")),
    ];
    statements.extend(sql::shadow::merge(&hostile));
    statements.extend(sql::shadow::merge(&pair));
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn state_of_pipelines() {
    let checkpoint = checkpoint();
    let new = NewPipeline {
        pipeline: "it's".to_owned(),
        owner: "host 🦀".to_owned(),
        lineage: checkpoint.lineage.clone(),
        slot_is_ours: true,
        publication_is_ours: false,
        start_lsn: Lsn::ZERO,
        spec: Some("{\"a\":\"it's\"}".to_owned()),
    };
    let progress = TableProgress { source_oid: 1, rows_copied: 2, bytes_copied: 3 };
    let totals = Totals { commit_time_us: Some(-5), transactions: 2, changes: 9 };
    let statements = [
        sql::state::CREATE_PIPELINE.to_owned(),
        sql::state::CREATE_PIPELINE_TABLE.to_owned(),
        sql::state::SELECT_NAMES.to_owned(),
        sql::state::SELECT_NEWEST_LAYOUT.to_owned(),
        sql::state::insert_pipeline(&new),
        sql::state::select_pipeline("it's"),
        sql::state::select_pipeline_locked("it's"),
        sql::state::select_tables("it's"),
        sql::state::take_over("it's", "host"),
        sql::state::fence(&checkpoint),
        sql::state::hold(&checkpoint),
        sql::state::finish(&checkpoint, Lsn::new(5), &totals),
        sql::state::advance(&checkpoint, Lsn::new(5), &totals),
        sql::state::advance(&checkpoint, Lsn::new(5), &Totals::default()),
        sql::state::set_lineage(&checkpoint, &checkpoint.lineage, Lsn::new(5)),
        sql::state::hand_over(&checkpoint, &checkpoint.lineage, Lsn::new(5), ""),
        sql::state::set_ownership(&checkpoint, true, false),
        sql::state::set_spec(&checkpoint, "it's"),
        sql::state::set_lag(&checkpoint, &Lag { source_lsn: Lsn::new(6), lag_us: 7 }),
        sql::state::delete_table("it's", 1),
        sql::state::insert_table("it's", &state()),
        sql::state::insert_table("p", &TableState { error: None, ..state() }),
        sql::state::set_phase("it's", 1, TablePhase::Quarantined, Some(("CODE", "it's"))),
        sql::state::set_phase("p", 1, TablePhase::Queued, None),
        sql::state::set_progress("it's", &progress),
        sql::state::finish_copy("it's", &progress, Lsn::new(4)),
        sql::state::remove("it's"),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

/// A table that has changed in every way that a target can follow.
fn changed() -> segcdc_plan::SchemaChange {
    let plan = hostile();
    let table = |schema: &str, name: &str| QualifiedName::new(schema, name);
    let text = |name: &str| name.to_owned();
    let target = plan.target.clone();
    let column = |nullable| segcdc_plan::TargetColumn {
        name: text("k]ey' --"),
        mssql_type: plan.columns[0].mssql_type,
        nullable,
        mask: None,
    };
    let actions = vec![
        Action::RenameTable { from: table("it's", "o]ld"), to: target.clone() },
        Action::RenameTable { from: table("dbo", "o]ld"), to: target.clone() },
        Action::DropColumn { name: text("it's]") },
        Action::RenameColumn { from: text("it's]"), to: text("n]ew'") },
        Action::DropKey,
        Action::AlterColumn { column: column(false) },
        Action::AlterColumn { column: column(true) },
        Action::AddKey,
        Action::AddColumn { column: 3, existing: None },
        Action::AddColumn { column: 2, existing: Some(text("5")) },
    ];
    let (kind, outcome, what) = (ChangeKind::AddColumn, Outcome::Applied, text("it's column \"n\""));
    let steps = vec![segcdc_plan::Step { kind, outcome, what, actions }];
    segcdc_plan::SchemaChange { known: fixture::known(&plan), plan: (*plan).clone(), steps }
}

#[test]
fn changes_of_tables() {
    let change = changed();
    let recorded = schema_changes::Recorded {
        source_oid: 2,
        source: &change.plan.source.name,
        lsn: Lsn::new(99),
        kind: "add-column",
        outcome: "applied",
        what: &change.steps[0].what,
        statements: "it's".to_owned(),
    };
    let nothing = schema_changes::Recorded { statements: String::new(), ..recorded.clone() };
    let mut statements = vec![
        schema_changes::KNOWN_TABLE.1.to_owned(),
        schema_changes::SCHEMA_CHANGE.1.to_owned(),
        schema_changes::select_known("it's"),
        schema_changes::forget("it's", 2),
        schema_changes::insert_known("it's", 2, "{\"a\":\"it's\"}"),
        schema_changes::update_known("it's", 2, "{\"a\":\"it's\"}"),
        schema_changes::update_table("it's", &change.plan, &change.plan.source.name, "abc"),
        schema_changes::record("it's", &recorded),
        schema_changes::record("p", &nothing),
        schema_changes::select_changes("it's", 5),
        schema_changes::select_records("it's", &["new-table", "remove-table"]),
    ];
    for action in &change.steps[0].actions {
        let made = schema_changes::statements(&change, action);
        statements.extend(made.into_iter().map(|statement| statement.sql));
    }
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn what_was_seen_of_slots() {
    let seen = segcdc_sqlserver::SlotWatch {
        slot: "segcdc_p_g1".to_owned(),
        timeline: 2,
        restart_lsn: Lsn::new(3),
        seen_at_us: 4,
        source_lsn: Lsn::new(5),
        retained_bytes: 6,
        limit_bytes: None,
    };
    let limited = segcdc_sqlserver::SlotWatch { limit_bytes: Some(7), ..seen.clone() };
    let statements = [
        sql::slot_watch::CREATE_SLOT_WATCH.to_owned(),
        sql::slot_watch::select("it's"),
        sql::slot_watch::update("it's", 1, &seen),
        sql::slot_watch::insert_where_missing("it's", 1, &limited),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn how_far_large_transactions_are() {
    let large = segcdc_sqlserver::LargeTransaction {
        xid: 2,
        is_complete: true,
        changes: 3,
        disk_bytes: 4,
        applied: 5,
        part: 6,
        parts: 7,
        elapsed_ms: 8,
    };
    let statements = [
        sql::large_transaction::CREATE_LARGE_TRANSACTION.to_owned(),
        sql::large_transaction::select("it's"),
        sql::large_transaction::update("it's", 1, &large),
        sql::large_transaction::insert_where_missing("it's", 1, &large),
        sql::large_transaction::delete("it's", 1),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn how_much_of_a_transaction_is_applied() {
    let partial = segcdc_sqlserver::PartialTransaction { xid: 2, end_lsn: Lsn::new(3), changes: 4 };
    let statements = [
        sql::partial_transaction::CREATE_PARTIAL_TRANSACTION.to_owned(),
        sql::partial_transaction::select("it's"),
        sql::partial_transaction::update("it's", &partial),
        sql::partial_transaction::insert_where_missing("it's", &partial),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn dead_letters_and_counters() {
    let filter = LetterFilter {
        tables: Some(vec![1, 2]),
        code: Some("VALUE_TOO_LONG".to_owned()),
        with_closed: false,
        after: 17,
    };
    let all = LetterFilter { with_closed: true, ..LetterFilter::default() };
    let statements = [
        letters::CREATE_DEAD_LETTER.to_owned(),
        letters::CREATE_POLICY_USE.to_owned(),
        letters::select_letters("it's", &filter, 100),
        letters::select_letters("it's", &all, 5),
        letters::select_letters("p", &LetterFilter { tables: Some(Vec::new()), ..all }, 5),
        letters::select_letter("it's", 17),
        letters::count_letters("it's"),
        letters::select_open_keys("it's", 1, 17, 5000),
        letters::select_policy_uses("it's"),
        letter_changes::create_staging(),
        letter_changes::open_staged("it's", 0, true),
        letter_changes::open_staged("it's", 1, false),
        letter_changes::renew_staged("it's", 2),
        letter_changes::discard("it's", 17),
        letter_changes::close_staged("it's", 3, "healed"),
        letter_changes::close_equal("it's", 1, &[0xAB; 32], 2, 99, "deleted"),
        letter_changes::close_all("it's", 1, 99, "truncated"),
        letter_changes::DROP_STAGING.to_owned(),
        letter_changes::make_counter("it's", 1, "c'", "null"),
        letter_changes::add_to_counter("it's", 1, "c'", "null", 7),
        letter_changes::forget_counters("it's", 1),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn single_letters_and_counters() {
    let statements = [
        letter_changes::open_single(9, true),
        letter_changes::open_single(9, false),
        letter_changes::renew_single(9),
        letter_changes::close_single(9, 1, "healed"),
        letter_changes::close_all_single(9, "truncated"),
        letter_changes::make_counter_single(9),
        letter_changes::add_to_counter_single(9),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn questions_to_the_catalog() {
    let hostile = hostile();
    let statements = [
        sql::session::OPTIONS.to_owned(),
        sql::session::BEGIN.to_owned(),
        sql::session::COMMIT.to_owned(),
        sql::session::ROLLBACK_IF_OPEN.to_owned(),
        sql::session::times(3),
        sql::session::CLOSING_BRACKET.to_owned(),
        sql::session::alike(&[(0, "dbo", "it's"), (0, "a]b", "①"), (1, "", "é")]),
        sql::session::SERVER.to_owned(),
        sql::session::DATABASE.to_owned(),
        sql::session::DATABASE_RIGHTS.to_owned(),
        sql::session::schema_rights("we]ird'"),
        sql::session::table_rights(&hostile.target),
        sql::catalog::object(&hostile.target),
        sql::catalog::columns(&[5]),
        sql::catalog::any_row(&hostile.target),
        sql::catalog::triggers(&[5, 6]),
        sql::catalog::schema("we]ird'"),
        sql::catalog::primary_keys(&[5, 6]),
        sql::catalog::foreign_keys(&[5, 6]),
        sql::catalog::referring_keys(&[5, 6]),
    ];
    insta::assert_snapshot!(paragraphs(&statements));
}

#[test]
fn reading_rows_back() {
    let (types, hostile) = (types(), hostile());
    let range = sql::rows::key_in_range(&types, Some(-5), Some(10));
    let list = sql::rows::key_in_list(&hostile, 2);
    let statements = [
        sql::rows::select(&hostile, None),
        sql::rows::select(&types, range.as_deref()),
        sql::rows::select(&hostile, Some(&list)),
        sql::rows::count(&hostile, None),
        sql::rows::count(&types, sql::rows::key_in_range(&types, None, Some(10)).as_deref()),
    ];
    assert_eq!(sql::rows::key_in_range(&types, None, None), None);
    insta::assert_snapshot!(paragraphs(&statements));
}
