//! Columns that are left out, and what a publication is to send then.

use segcdc_model::{Fault, PgType, ReplicaIdentity, TableKind};
use segcdc_plan::{Naming, PlanError, RuleTexts, Rules, TablePlan, table_plan};

use crate::fixture::TestTable;

fn rules(columns: &[&str], exclude: &[&str]) -> Rules {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let texts =
        RuleTexts { columns: owned(columns), exclude_columns: owned(exclude), ..RuleTexts::default() };
    Rules::parse(&texts).unwrap()
}

/// `(c1 integer primary key, c2 text, c3 text)`
fn planned(table: &TestTable, rules: &Rules) -> Result<TablePlan, PlanError> {
    table_plan(&table.source, &Naming::new("dbo").with_rules(rules.clone()))
}

fn names(plan: &TablePlan) -> Vec<&str> {
    plan.columns.iter().map(|column| column.name.as_str()).collect()
}

#[test]
fn what_is_left_out_is_not_planned() {
    let table = TestTable::keyed(ReplicaIdentity::Default);
    let plan = planned(&table, &rules(&["public.t1=(c3, c1)"], &[])).unwrap();
    assert_eq!((names(&plan), plan.key_columns()), (vec!["c1", "c3"], &[0][..]));
    let plan = planned(&table, &rules(&[], &["public.*.c2"])).unwrap();
    assert_eq!(names(&plan), ["c1", "c3"]);
    let unkeyed = TestTable::unkeyed(ReplicaIdentity::Full);
    assert_eq!(names(&planned(&unkeyed, &rules(&["public.t1=(c2)"], &[])).unwrap()), ["c2"]);
}

#[test]
fn what_cannot_be_left_out_or_taken_is_refused() {
    let mut table = TestTable::keyed(ReplicaIdentity::Default);
    table.source.columns[2].generated = true;
    let check = |columns: &[&str], exclude: &[&str], reason: &str| {
        let error = planned(&table, &rules(columns, exclude)).unwrap_err();
        assert_eq!(error.code(), "COLUMN_CHOICE_IMPOSSIBLE");
        assert!(error.to_string().contains(reason), "{error}");
    };
    check(&["public.t1=(c2)"], &[], "\"c1\" of public.t1 identifies rows");
    check(&[], &["public.t1.c1"], "\"c1\" of public.t1 identifies rows");
    check(&["public.t1=(c1, c4)"], &[], "\"c4\" of public.t1 is no column");
    check(&["public.t1=(c1, c3)"], &[], "\"c3\" of public.t1 is generated");
}

#[test]
fn the_publication_lists_columns_only_where_the_application_can_go_on() {
    let list = |table: &TestTable, rules: &Rules| planned(table, rules).unwrap().column_list(rules);
    let chosen = rules(&["public.t1=(c3, c1)"], &[]);
    let mut table = TestTable::keyed(ReplicaIdentity::Default);
    assert_eq!(list(&table, &chosen), Some(vec!["c1".to_owned(), "c3".to_owned()]));
    assert_eq!(list(&table, &rules(&[], &["public.t1.c2"])), None, "later columns are wanted too");
    table.source.kind = TableKind::Partitioned;
    assert_eq!(list(&table, &chosen), None, "a partition may have REPLICA IDENTITY FULL");
    assert_eq!(list(&TestTable::keyed(ReplicaIdentity::Full), &chosen), None);
    // Rows are only added here, but the application's UPDATE has to name them all the same.
    let append = Rules { append_only: rules_of_append(), ..chosen };
    let without_key = Rules { columns: rules(&["public.t1=(c3)"], &[]).columns, ..append.clone() };
    let table = TestTable::new(1, ReplicaIdentity::Default, 1, &[PgType::Int4, PgType::Text, PgType::Text]);
    assert_eq!(list(&table, &without_key), None);
    assert_eq!(list(&table, &append), Some(vec!["c1".to_owned(), "c3".to_owned()]));
}

fn rules_of_append() -> Vec<segcdc_plan::rules::Rule<segcdc_plan::OnChange>> {
    let texts = RuleTexts { append_only: vec!["public.t1".to_owned()], ..RuleTexts::default() };
    Rules::parse(&texts).unwrap().append_only
}
