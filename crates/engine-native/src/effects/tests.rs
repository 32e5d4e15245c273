use segcdc_model::{PgType, ReplicaIdentity, SourceColumn, TableKind};

use super::*;

fn name(table: &str) -> QualifiedName {
    QualifiedName::new("public", table)
}

fn table(oid: u32, table: &str) -> SourceTable {
    let column = |name: &str, attnum, pg_type, not_null| SourceColumn {
        name: name.to_owned(),
        attnum,
        pg_type,
        type_name: String::new(),
        not_null,
        generated: false,
    };
    SourceTable {
        oid,
        name: name(table),
        kind: TableKind::Ordinary,
        columns: vec![column("id", 1, PgType::Int4, true), column("note", 2, PgType::Text, false)],
        primary_key: vec![0],
        replica_identity: ReplicaIdentity::Full,
        identity_index: Vec::new(),
        indexes: Vec::new(),
        estimated_rows: 0,
        size_bytes: 0,
        heap_pages: 0,
        row_security: false,
        owner: "u".to_owned(),
    }
}

/// What comes of one kind of rules: `stored` was there, `given` is.
fn of_rules(set: fn(&mut RuleTexts, Vec<String>), stored: &[&str], given: &[&str]) -> Vec<Effect> {
    let rules = |texts: &[&str]| {
        let mut all = RuleTexts::default();
        set(&mut all, texts.iter().map(|text| (*text).to_owned()).collect());
        Rules::parse(&all).unwrap()
    };
    decide(&Facts {
        stored: &rules(stored),
        given: &rules(given),
        default_schema: "dbo",
        in_use: &[table(1, "orders"), table(2, "items")],
        known: &[name("orders"), name("items")],
        meant: None,
        names: [("source.publication", None, "p"), ("source.slot", Some("s"), "s")],
    })
}

/// Checks the one effect of a kind of rules.
fn check(
    set: fn(&mut RuleTexts, Vec<String>),
    (stored, given): (&[&str], &[&str]),
    (setting, effect, tables): (&'static str, EffectKind, &[&str]),
) {
    let tables = tables.iter().map(|table| name(table)).collect();
    assert_eq!(of_rules(set, stored, given), [Effect { setting, effect, tables }], "{stored:?} {given:?}");
}

#[test]
fn each_kind_of_rules_does_what_its_change_needs() {
    use EffectKind::{Recopy, Restart};
    check(|t, v| t.types = v, (&[], &["public.orders.id=bigint"]), ("types", Recopy, &["orders"]));
    check(|t, v| t.types = v, (&["int=bigint"], &["public.orders.id=bigint"]), ("types", Recopy, &["items"]));
    check(|t, v| t.types = v, (&["int=bigint"], &["public.*.id=bigint"]), ("types", Restart, &[]));
    check(|t, v| t.renames = v, (&[], &["public.items=Items2"]), ("rename", Recopy, &["items"]));
    check(
        |t, v| t.renames = v,
        (&["public.items.note=n"], &["public.items.note=m"]),
        ("rename", Recopy, &["items"]),
    );
    check(|t, v| t.values = v, (&[], &["set_aside"]), ("on_value", Restart, &[]));
    check(|t, v| t.values = v, (&["null"], &["clamp"]), ("on_value", Restart, &[]));
    check(|t, v| t.refused = v, (&[], &["public.orders=set_aside"]), ("on_refused", Restart, &[]));
    check(|t, v| t.letter_limits = v, (&["10"], &["public.orders=20"]), ("dead_letter_limit", Restart, &[]));
    check(|t, v| t.changes = v, (&[], &["halt"]), ("on_schema_change", Restart, &[]));
    check(|t, v| t.pick_up = v, (&[], &["public.*"]), ("tables.pick_up_new", Restart, &[]));
    check(|t, v| t.columns = v, (&[], &["public.orders=(id)"]), ("columns.include", Recopy, &["orders"]));
    check(
        |t, v| t.exclude_columns = v,
        (&[], &["public.*.note"]),
        ("columns.exclude", Recopy, &["orders", "items"]),
    );
    check(|t, v| t.exclude_columns = v, (&[], &["public.*.password"]), ("columns.exclude", Restart, &[]));
    check(|t, v| t.filters = v, (&[], &["public.orders: id > 1"]), ("where", Recopy, &["orders"]));
    check(|t, v| t.masks = v, (&[], &["public.orders.note=hash"]), ("masks", Recopy, &["orders"]));
    // Of one type, and of other values.
    let cut = ["public.*.note=truncate:3", "public.*.note=truncate:4", "public.*.no=hash"];
    check(|t, v| t.masks = v, (&cut[..1], &cut[1..2]), ("masks", Recopy, &["orders", "items"]));
    check(|t, v| t.masks = v, (&cut[..1], &[cut[0], cut[2]]), ("masks", Restart, &[]));
    let sites = ["public.items.site:int=1", "public.items.site:int=2"];
    check(|t, v| t.constants = v, (&sites[..1], &sites[1..]), ("constants", Recopy, &["items"]));
    check(|t, v| t.append_only = v, (&[], &["public.orders=ignore"]), ("append_only", Recopy, &["orders"]));
    check(
        |t, v| t.append_only = v,
        (&["public.orders=ignore"], &["public.orders=halt"]),
        ("append_only", Restart, &[]),
    );
    // A table that could not be planned any more cannot keep its target table.
    check(|t, v| t.keys = v, (&[], &["public.orders=no_such_index"]), ("keys", Recopy, &["orders"]));
}

#[test]
fn what_is_as_it_was_and_what_is_not_given_does_nothing() {
    assert_eq!(of_rules(|t, v| t.types = v, &["int=bigint"], &["int=bigint"]), []);
    assert_eq!(of_rules(|t, v| t.types = v, &["int=bigint"], &[]), []);
    assert_eq!(of_rules(|t, v| t.values = v, &[], &[]), []);
}

#[test]
fn tables_come_and_go_beside_the_others() {
    let facts = |meant: &Meant| {
        decide(&Facts {
            stored: &Rules::default(),
            given: &Rules::default(),
            default_schema: "dbo",
            in_use: &[],
            known: &[name("a"), name("b"), name("c")],
            meant: Some(meant),
            names: [("source.publication", Some("q"), "p"), ("source.slot", None, "s")],
        })
    };
    let publication =
        Effect { setting: "source.publication", effect: EffectKind::Nothing, tables: Vec::new() };
    // c cannot be planned at the moment, and is meant all the same.
    let meant = Meant { replicable: vec![name("a"), name("new")], others: vec![name("c"), name("view")] };
    let expected = [
        Effect { setting: "tables.include", effect: EffectKind::Add, tables: vec![name("new")] },
        Effect { setting: "tables.exclude", effect: EffectKind::Remove, tables: vec![name("b")] },
        publication.clone(),
    ];
    assert_eq!(facts(&meant), expected);
    let meant = Meant { replicable: vec![name("a"), name("b"), name("c")], others: Vec::new() };
    assert_eq!(facts(&meant), [publication]);
}
