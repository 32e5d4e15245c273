//! The rules that hints offer for names that the target cannot have: they work.

use proptest::prelude::*;
use segcdc_model::{Fault, PgType, QualifiedName, ReplicaIdentity, SourceColumn, SourceTable, TableKind};
use segcdc_plan::{Naming, PlanError, RuleTexts, Rules, TablePlan, table_plan};

/// Names of which several cannot be, each for a reason of its own.
fn name() -> impl Strategy<Value = String> {
    let words = [
        "t",
        "#t",
        "##",
        "#",
        " ",
        "\u{1}",
        "sys",
        "SEGCDC",
        "information_schema",
        "sysobjects",
        "Id",
        "id",
        "ID ",
        "ｉｄ",
        "id_2",
        "a.b",
        "it's",
        "\"",
        "dbo",
        "public",
    ];
    prop_oneof![3 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => "[^\0]{1,12}"]
}

fn source(schema: &str, name: &str, columns: &[String]) -> SourceTable {
    let column = |(index, name): (usize, &String)| SourceColumn {
        name: name.clone(),
        attnum: i16::try_from(index + 1).unwrap(),
        pg_type: PgType::Int4,
        type_name: "integer".to_owned(),
        not_null: true,
        generated: false,
    };
    SourceTable {
        oid: 1,
        name: QualifiedName::new(schema, name),
        kind: TableKind::Ordinary,
        columns: columns.iter().enumerate().map(column).collect(),
        primary_key: vec![0],
        replica_identity: ReplicaIdentity::Default,
        identity_index: Vec::new(),
        indexes: Vec::new(),
        estimated_rows: 0,
        size_bytes: 0,
        heap_pages: 0,
        row_security: false,
        owner: String::new(),
    }
}

fn planned(source: &SourceTable, renames: &[String]) -> Result<TablePlan, PlanError> {
    let texts = RuleTexts { renames: renames.to_vec(), ..RuleTexts::default() };
    table_plan(source, &Naming::new("dbo").with_rules(Rules::parse(&texts).unwrap()))
}

/// What a shell makes of the `--rename '...'` of a hint.
fn offered(hint: &str) -> Option<String> {
    let (_, rule) = hint.split_once("--rename '")?;
    let rule = rule.replace("'\\''", "\0");
    Some(rule.split_once('\'')?.0.replace('\0', "'"))
}

proptest! {
    #[test]
    fn a_rule_that_is_offered_is_enough(
        schema in name(), table in name(), columns in prop::collection::btree_set(name(), 1..5), rule in prop::option::of(name()),
    ) {
        let source = source(&schema, &table, &columns.into_iter().collect::<Vec<_>>());
        let name = segcdc_plan::rules::rename_table(&source.name, Some("sys"), rule.as_deref().unwrap_or_default());
        // A rule of the user's, which may be what cannot be.
        let mut rules: Vec<String> = rule.iter().filter_map(|_| offered(&name)).collect();
        let plan = loop {
            let error = match planned(&source, &rules) {
                Ok(plan) => break plan,
                Err(error) => error,
            };
            let rule = offered(&error.hint());
            prop_assert!(rule.is_some(), "nothing is offered: {error}: {}", error.hint());
            let rule = rule.unwrap();
            prop_assert!(!rules.contains(&rule), "{rule} does not work: {error}; {rules:?}");
            rules.push(rule);
        };
        prop_assert!(plan.target.schema != "sys");
        // A column is renamed once at most, a table twice: its schema, and its name.
        prop_assert!(rules.len() <= 3 + plan.columns.len(), "{rules:?}");
    }
}
