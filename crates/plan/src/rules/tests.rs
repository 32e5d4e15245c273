use super::*;
use segcdc_model::PgType;

fn column(name: &str, type_name: &str, pg_type: PgType) -> SourceColumn {
    let type_name = type_name.to_owned();
    SourceColumn { name: name.to_owned(), attnum: 1, pg_type, type_name, not_null: false, generated: false }
}

fn values(texts: &[&str]) -> Rules {
    let values = texts.iter().map(|text| (*text).to_owned()).collect();
    Rules::parse(&RuleTexts { values, ..RuleTexts::default() }).unwrap()
}

fn renames(texts: &[&str]) -> Result<Rules, RuleError> {
    let renames = texts.iter().map(|text| (*text).to_owned()).collect();
    Rules::parse(&RuleTexts { renames, ..RuleTexts::default() })
}

#[test]
fn the_most_specific_rule_counts_and_of_equals_the_later_one() {
    let table = QualifiedName::new("public", "orders");
    let total = column("total", "numeric(10,2)", PgType::Numeric { bounds: Some((10, 2)) });
    let check = |texts: &[&str], expected: Option<ValuePolicy>| {
        let rules = values(texts);
        assert_eq!(rules.value_policy(&table, &total).map(|rule| rule.says), expected, "{texts:?}");
    };
    check(&[], None);
    check(&["null"], Some(ValuePolicy::Null));
    check(&["null", "clamp"], Some(ValuePolicy::Clamp));
    check(&["numeric=text", "null"], Some(ValuePolicy::Text));
    check(&["numeric(10,2)=text"], Some(ValuePolicy::Text));
    check(&["numeric(10,3)=text"], None);
    check(&["decimal=text"], Some(ValuePolicy::Text));
    check(&["float8=text"], None);
    check(&["public.orders=set_aside", "numeric=text"], Some(ValuePolicy::SetAside));
    check(&["public.orders=set_aside", "public.*=text"], Some(ValuePolicy::SetAside));
    check(&["public.*=text", "*.orders=halt"], Some(ValuePolicy::Halt));
    check(&["public.orders.total=clamp", "public.orders=null"], Some(ValuePolicy::Clamp));
    check(&["public.orders.total=clamp", "public.orders.*=null"], Some(ValuePolicy::Clamp));
    check(&["public.orders.*=null", "public.orders=clamp"], Some(ValuePolicy::Null));
    check(&["public.orders.Total=clamp"], None);
    check(&[" public.orders.total = clamp "], Some(ValuePolicy::Clamp));
}

#[test]
fn types_have_several_names() {
    let table = QualifiedName::new("public", "t");
    let at = column("at", "timestamp(3) with time zone", PgType::TimestampTz);
    let check = |text: &str, expected: bool| {
        assert_eq!(values(&[text]).value_policy(&table, &at).is_some(), expected, "{text}");
    };
    check("timestamptz=text", true);
    check("timestamp with time zone=text", true);
    check("timestamp(3) with time zone=text", true);
    check("timestamp(6) with time zone=text", false);
    check("timestamp=text", false);
    check("timestamp*=text", true);
}

#[test]
fn names_may_hold_anything() {
    let table = QualifiedName::new("my schema", "a.b");
    let odd = column("x=\"y\",*", "text", PgType::Text);
    let rules = values(&["\"my schema\".\"a.b\".\"x=\"\"y\"\",*\"=text"]);
    assert_eq!(rules.value_policy(&table, &odd).map(|rule| rule.says), Some(ValuePolicy::Text));
    let other = column("x=\"y\",z", "text", PgType::Text);
    assert_eq!(rules.value_policy(&table, &other), None);
}

#[test]
fn names_of_tables_and_columns_are_apart() {
    let rules = renames(&["public.orders=dbo.\"Orders 2\"", "public.orders.\"Id\"=Id2", "sales.*=all"]);
    let rules = rules.unwrap();
    let orders = QualifiedName::new("public", "orders");
    let name = |schema: Option<&str>, name: &str| NewName {
        schema: schema.map(str::to_owned),
        name: name.to_owned(),
    };
    assert_eq!(rules.table_name(&orders).map(|rule| &rule.says), Some(&name(Some("dbo"), "Orders 2")));
    let id = column("Id", "integer", PgType::Int4);
    assert_eq!(rules.column_name(&orders, &id).map(|rule| &rule.says), Some(&name(None, "Id2")));
    assert_eq!(rules.column_name(&orders, &column("id", "integer", PgType::Int4)), None);
    for wrong in ["numeric=x", "x", "public.t=a.b.c", "public.t.c=a.b", "public.t=x*", "public.t=", "a..b=c"]
    {
        assert_eq!(renames(&[wrong]).unwrap_err().code(), "RULE_INVALID", "{wrong}");
    }
}

#[test]
fn malformed_rules_are_refused() {
    for text in ["", "nul", "NULL", "public.t=", "public.t=nul", "=null", "a.b.c.d=null", "\"a=null"] {
        let texts = RuleTexts { values: vec![text.to_owned()], ..RuleTexts::default() };
        assert!(Rules::parse(&texts).is_err(), "{text:?} was accepted");
    }
    for text in ["decimal(28,6)", "public.t.c=", "=int"] {
        let texts = RuleTexts { types: vec![text.to_owned()], ..RuleTexts::default() };
        assert!(Rules::parse(&texts).is_err(), "{text:?} was accepted");
    }
}

#[test]
fn a_kind_that_is_not_given_stays_as_it_was() {
    let stored = RuleTexts {
        values: vec!["null".to_owned()],
        types: vec!["timestamptz=datetime2".to_owned()],
        renames: vec!["public.a=b".to_owned()],
        keys: vec!["public.a=\"a b\"".to_owned(), "public.b=(x, \"y,z\")".to_owned()],
        append_only: vec!["public.c".to_owned(), "public.\"d=e\" = ignore".to_owned()],
        modes: vec!["soft-delete".to_owned(), "public.\"d=e\" = mirror".to_owned()],
        changes: vec!["halt".to_owned(), "public.\"d:e\":drop-column = apply".to_owned()],
        columns: vec!["public.a=(id, \"b,c\")".to_owned()],
        exclude_columns: vec!["public.*.secret".to_owned(), "public.b.\"x.y\"".to_owned()],
        masks: vec!["public.*.secret=hash".to_owned(), "public.b.\"x.y\" = truncate:4".to_owned()],
        constants: vec!["public.*.region=eu, west".to_owned(), "public.\"d:e\".\"n=\" : int = 7".to_owned()],
        refused: vec!["set_aside".to_owned(), "public.\"d=e\" = halt".to_owned()],
        letter_limits: vec!["0".to_owned(), "public.\"d=e\" = 7".to_owned()],
        filters: vec!["public.a:x > 1".to_owned(), "public.\"b:c\" : \"d:e\" IN ('f', 'g:h')".to_owned()],
        pick_up: vec!["public.*".to_owned(), "!public.\"d=e\"".to_owned()],
    };
    let stored = Rules::parse(&stored).unwrap();
    assert_eq!(Rules::default().over(&stored), stored);
    let over = values(&["halt"]).over(&stored);
    assert_eq!(over.texts().values, ["halt"]);
    assert_eq!(over.types, stored.types);
    assert_eq!(Rules::parse(&over.texts()).unwrap(), over);
}

#[test]
fn new_tables_are_taken_in_by_patterns() {
    let rules = |include: &[&str], exclude: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let pick_up = pick_up::texts(&owned(include), &owned(exclude));
        Rules::parse(&RuleTexts { pick_up, ..RuleTexts::default() })
    };
    let takes = |include: &[&str], exclude: &[&str], table: &str| {
        rules(include, exclude).unwrap().picks_up(&QualifiedName::new("public", table))
    };
    assert!(takes(&["public.*"], &["public.log_*"], "orders"));
    assert!(!takes(&["public.*"], &["public.log_*"], "log_1"));
    assert!(!takes(&["other.*", "public.a"], &[], "orders"));
    assert!(takes(&[], &[], "orders"));
    let none = vec![pick_up::NONE.to_owned()];
    let none = Rules::parse(&RuleTexts { pick_up: none, ..RuleTexts::default() }).unwrap();
    assert!(!none.picks_up_any() && !none.is_empty() && !Rules::default().picks_up_any());
    for wrong in ["", "!", "orders", "public.a.b"] {
        let error = rules(&[wrong], &[]).unwrap_err();
        assert_eq!((error.code(), error.option), ("RULE_INVALID", "--pick-up-new-tables"), "{wrong}");
    }
}

#[test]
fn limits_of_letters_are_of_all_tables_or_of_some() {
    let limits = |texts: &[&str]| {
        let letter_limits = texts.iter().map(|text| (*text).to_owned()).collect();
        Rules::parse(&RuleTexts { letter_limits, ..RuleTexts::default() })
    };
    let of = |texts: &[&str], table: &str| {
        limits(texts).unwrap().letter_limit(&QualifiedName::new("public", table))
    };
    assert_eq!(of(&[], "a"), 1000);
    assert_eq!((of(&["0"], "a"), of(&["0", "7"], "a")), (0, 7));
    let some = ["5", "public.a=0", "public.*=9"];
    assert_eq!((of(&some, "a"), of(&some, "b")), (0, 9));
    assert_eq!(of(&["public.x=0", "10000"], "a"), 10_000);
    for wrong in
        ["", "-1", "+1", "1.5", "10001", "many", "public.a", "public.a=", "public.a.b=1", "integer=1", "=1"]
    {
        let error = limits(&[wrong]).unwrap_err();
        assert_eq!((error.code(), error.option), ("RULE_INVALID", "--dead-letter-limit"), "{wrong}");
    }
}

#[test]
fn what_becomes_of_refused_rows_is_said_of_all_tables_or_of_some() {
    let rules = |texts: &[&str]| {
        let refused = texts.iter().map(|text| (*text).to_owned()).collect();
        Rules::parse(&RuleTexts { refused, ..RuleTexts::default() })
    };
    let of = |texts: &[&str], table: &str| {
        rules(texts).unwrap().on_refused(&QualifiedName::new("public", table)).word()
    };
    assert_eq!((of(&[], "a"), of(&["set_aside"], "a")), ("halt", "set_aside"));
    let some = ["public.a=set_aside", "public.*=halt", "set_aside"];
    assert_eq!((of(&some, "a"), of(&some, "b")), ("set_aside", "halt"));
    for wrong in ["", "null", "clamp", "public.a", "public.a=", "public.a.b=halt", "integer=halt", "=halt"] {
        let error = rules(&[wrong]).unwrap_err();
        assert_eq!((error.code(), error.option), ("RULE_INVALID", "--on-refused"), "{wrong}");
    }
}

#[test]
fn the_most_specific_rule_for_a_kind_of_change_counts() {
    let orders = QualifiedName::new("public", "or:ders");
    let changes = |texts: &[&str]| {
        let changes = texts.iter().map(|text| (*text).to_owned()).collect();
        Rules::parse(&RuleTexts { changes, ..RuleTexts::default() })
    };
    let check = |texts: &[&str], expected: ChangePolicy| {
        let found = changes(texts).unwrap().on_schema_change(&orders, ChangeKind::DropColumn);
        assert_eq!(found, expected, "{texts:?}");
    };
    check(&[], ChangePolicy::Ignore);
    check(&["halt"], ChangePolicy::Halt);
    check(&["drop-column=halt-all", "halt"], ChangePolicy::HaltAll);
    check(&["add-column=halt-all"], ChangePolicy::Ignore);
    check(&["public.\"or:ders\":apply", "drop-column=halt"], ChangePolicy::Apply);
    check(&["public.\"or:ders\" : drop-column = halt", "public.*:apply"], ChangePolicy::Halt);
    check(&["public.other:apply"], ChangePolicy::Ignore);
    check(&["halt", "apply"], ChangePolicy::Apply);
    for wrong in
        ["", "stop", "drop=apply", "public:halt", "a.b.c:halt", "public.t:", "public.t=halt", "a.b:c.d:halt"]
    {
        assert_eq!(changes(&[wrong]).unwrap_err().code(), "RULE_INVALID", "{wrong}");
    }
}

#[test]
fn rules_that_mean_nothing_are_found() {
    let source = SourceTable {
        oid: 1,
        name: QualifiedName::new("public", "orders"),
        kind: segcdc_model::TableKind::Ordinary,
        columns: vec![column("total", "numeric", PgType::Numeric { bounds: None })],
        primary_key: Vec::new(),
        replica_identity: segcdc_model::ReplicaIdentity::Full,
        identity_index: Vec::new(),
        indexes: Vec::new(),
        estimated_rows: 0,
        size_bytes: 0,
        heap_pages: 0,
        row_security: false,
        owner: String::new(),
    };
    let left_out = QualifiedName::new("public", "log");
    let check = |text: &str, expected: Option<bool>| {
        let unused = values(&[text]).unused(&[&source], &[&left_out]);
        assert_eq!(unused.first().map(|(_, literal)| *literal), expected, "{text}");
    };
    check("null", None);
    check("public.orders=null", None);
    check("public.orders.total=null", None);
    check("public.log.anything=null", None);
    check("numeric=null", None);
    check("numerc=null", Some(false));
    check("public.order=null", Some(true));
    check("public.orders.Total=null", Some(true));
    check("public.x*=null", Some(false));
}

#[test]
fn columns_are_chosen_by_lists_and_by_what_is_left_out() {
    let table = |name| QualifiedName::new("public", name);
    let texts = RuleTexts {
        columns: vec!["public.a=(id, \"B\")".to_owned()],
        exclude_columns: vec!["public.*.secret".to_owned(), "public.a.id".to_owned()],
        ..RuleTexts::default()
    };
    let rules = Rules::parse(&texts).unwrap();
    let left_out = |name, of| rules.leaves_out(&table(name), &column(of, "text", PgType::Text));
    assert_eq!(left_out("a", "B"), None);
    assert_eq!(left_out("a", "b"), Some("--columns"));
    assert_eq!(left_out("a", "id"), Some("--exclude-columns"), "what is left out is left out");
    assert_eq!((left_out("b", "secret"), left_out("b", "b")), (Some("--exclude-columns"), None));
    for wrong in [
        "",
        "public.a",
        "public.a=",
        "public.a=()",
        "public.a=id",
        "public.*=(id)",
        "public.a=(i*)",
        "a.b.c=(id)",
    ] {
        let texts = RuleTexts { columns: vec![wrong.to_owned()], ..RuleTexts::default() };
        assert_eq!(Rules::parse(&texts).unwrap_err().code(), "RULE_INVALID", "{wrong}");
    }
    for wrong in ["", "secret", "public.secret", "public.a.b.c", "public.a.\"b"] {
        let texts = RuleTexts { exclude_columns: vec![wrong.to_owned()], ..RuleTexts::default() };
        assert_eq!(Rules::parse(&texts).unwrap_err().code(), "RULE_INVALID", "{wrong}");
    }
}

#[test]
fn masks_and_constants_are_of_columns() {
    let rules = |masks: &[&str], constants: &[&str]| {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let texts = RuleTexts { masks: owned(masks), constants: owned(constants), ..RuleTexts::default() };
        Rules::parse(&texts)
    };
    let table = QualifiedName::new("public", "people");
    let email = column("email", "text", PgType::Text);
    let of = |masks: &[&str]| rules(masks, &[]).unwrap().mask(&table, &email).map(|mask| mask.to_string());
    assert_eq!(of(&["public.*.email=hash"]).as_deref(), Some("hash"));
    assert_eq!(of(&["public.people.email=redact", "public.*.*=hash"]).as_deref(), Some("redact"));
    assert_eq!(of(&["public.other.email=hash"]), None);
    assert!(
        rules(&["a.b.c=hash"], &[]).unwrap().hashes() && !rules(&["a.b.c=redact"], &[]).unwrap().hashes()
    );
    for wrong in ["", "hash", "public.people=hash", "text=hash", "a.b.c=", "a.b.c=md5", "a.b.c=truncate:0"] {
        let error = rules(&[wrong], &[]).unwrap_err();
        assert_eq!((error.code(), error.option), ("RULE_INVALID", "--mask"), "{wrong}");
    }
    let constants = ["public.*.a=1", "public.people.a:int=2", "public.people.b=x", "sales.*.c=y"];
    let found = rules(&[], &constants).unwrap();
    let values: Vec<&str> = found.constants(&table).iter().map(|constant| constant.value.as_str()).collect();
    assert_eq!(values, ["2", "x"]);
    for wrong in ["", "a.b.c", "a.b=1", "a.b.*=1", "a.b.c:json=1", "a.b.c:=1"] {
        let error = rules(&[], &[wrong]).unwrap_err();
        assert_eq!((error.code(), error.option), ("RULE_INVALID", "--constant"), "{wrong}");
    }
}

#[test]
fn modes_are_of_all_tables_or_of_some() {
    let modes = |texts: &[&str]| {
        let modes = texts.iter().map(|text| (*text).to_owned()).collect();
        Rules::parse(&RuleTexts { modes, ..RuleTexts::default() })
    };
    let of = |texts: &[&str], table: &str| modes(texts).unwrap().mode(&QualifiedName::new("public", table));
    assert_eq!(of(&[], "a"), TargetMode::Mirror);
    assert_eq!(of(&["soft-delete"], "a"), TargetMode::SoftDelete);
    assert_eq!(of(&["public.*=soft-delete", "public.a=mirror"], "a"), TargetMode::Mirror);
    assert_eq!(of(&["public.a=mirror", "public.*=soft-delete"], "b"), TargetMode::SoftDelete);
    for wrong in
        ["", "soft_delete", "append", "public.a=", "a=mirror", "public.a.b=mirror", "public.a=Mirror"]
    {
        let error = modes(&[wrong]).unwrap_err();
        assert_eq!((error.code(), error.option), ("RULE_INVALID", "--mode"), "{wrong}");
    }
}
