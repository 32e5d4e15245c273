use proptest::prelude::*;
use segcdc_model::{
    Fault, Field, MssqlType, PgType, QualifiedName, ReplicaIdentity, SourceColumn, SourceTable, TableKind,
};

use crate::PlanError;
use crate::canonical;
use crate::fit::{Fitted, fit};
use crate::rules::{RuleTexts, Rules, ValuePolicy};
use crate::table_plan::{ColumnPlan, Naming, TablePlan, table_plan};

/// A table of one column beside its key, which is that column if `in_key`.
fn source(pg_type: PgType, type_name: &str, in_key: bool) -> SourceTable {
    let column = |name: &str, attnum, pg_type, type_name: &str, not_null| SourceColumn {
        name: name.to_owned(),
        attnum,
        pg_type,
        type_name: type_name.to_owned(),
        not_null,
        generated: false,
    };
    SourceTable {
        oid: 1,
        name: QualifiedName::new("public", "t"),
        kind: TableKind::Ordinary,
        columns: vec![
            column("c", 1, pg_type, type_name, in_key),
            column("id", 2, PgType::Int4, "integer", true),
        ],
        primary_key: vec![usize::from(!in_key)],
        replica_identity: ReplicaIdentity::Default,
        identity_index: Vec::new(),
        indexes: Vec::new(),
        estimated_rows: 0,
        size_bytes: 0,
        heap_pages: 0,
        row_security: false,
        owner: "owner".to_owned(),
    }
}

fn planned(source: &SourceTable, types: &[&str], values: &[&str]) -> Result<TablePlan, PlanError> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let texts = RuleTexts { types: owned(types), values: owned(values), ..RuleTexts::default() };
    table_plan(source, &Naming::new("dbo").with_rules(Rules::parse(&texts).unwrap()))
}

/// The type that a column gets, or the code of the refusal.
fn outcome((pg_type, type_name, in_key): (PgType, &str, bool), types: &[&str], values: &[&str]) -> String {
    match planned(&source(pg_type, type_name, in_key), types, values) {
        Ok(plan) => plan.columns[0].mssql_type.to_string(),
        Err(error) => error.code().to_owned(),
    }
}

const NUMERIC: PgType = PgType::Numeric { bounds: None };

const fn numeric(precision: u16, scale: i16) -> PgType {
    PgType::Numeric { bounds: Some((precision, scale)) }
}

/// No refusal; a loss that needs a policy; what cannot be.
const WIDE: &str = "";
const NARROW: &str = "TYPE_NARROWS";
const NEVER: &str = "TYPE_IMPOSSIBLE";

/// Checks what types become: source type and its name, target type, refusal.
fn check_pairs(pairs: &[(PgType, &str, &str, &str)]) {
    for (pg_type, type_name, target, refused) in pairs {
        let rule = format!("public.t.c={target}");
        let column = (pg_type.clone(), *type_name, false);
        let meant = if *target == "datetime2" { "datetime2(6)" } else { target };
        let found = outcome(column.clone(), &[&rule], &[]);
        assert_eq!(found, if *refused == WIDE { meant } else { refused }, "{type_name} as {target}");
        // With a policy, what narrows is possible, and what is impossible stays so.
        let found = outcome(column, &[&rule], &["public.t.c=set_aside"]);
        assert_eq!(
            found,
            if *refused == NEVER { NEVER } else { meant },
            "{type_name} as {target}, with a policy"
        );
    }
}

#[test]
fn which_numbers_may_become_what() {
    let (wide, narrow, never) = (WIDE, NARROW, NEVER);
    check_pairs(&[
        (PgType::Int4, "integer", "bigint", wide),
        (PgType::Int4, "integer", "smallint", narrow),
        (PgType::Int8, "bigint", "int", narrow),
        (PgType::Oid, "oid", "int", narrow),
        (PgType::Int8, "bigint", "decimal(19,0)", wide),
        (PgType::Int8, "bigint", "decimal(20,2)", narrow),
        (PgType::Int2, "smallint", "decimal(5,0)", wide),
        (PgType::Int4, "integer", "float", never),
        (PgType::Int4, "integer", "nvarchar(11)", wide),
        (PgType::Int4, "integer", "nvarchar(10)", narrow),
        (NUMERIC, "numeric", "decimal(28,6)", narrow),
        (NUMERIC, "numeric", "decimal(38,18)", wide),
        (numeric(12, 2), "numeric(12,2)", "decimal(28,6)", wide),
        (numeric(12, 2), "numeric(12,2)", "decimal(11,2)", narrow),
        (numeric(12, 2), "numeric(12,2)", "decimal(11,1)", narrow),
        (numeric(3, 5), "numeric(3,5)", "decimal(5,5)", wide),
        (numeric(5, -3), "numeric(5,-3)", "decimal(8,0)", wide),
        (numeric(5, -3), "numeric(5,-3)", "decimal(7,0)", narrow),
        (numeric(50, 10), "numeric(50,10)", "decimal(38,10)", wide),
        (numeric(50, 10), "numeric(50,10)", "decimal(38,9)", narrow),
        (numeric(9, 0), "numeric(9,0)", "int", wide),
        (numeric(10, 0), "numeric(10,0)", "int", narrow),
        (numeric(18, 0), "numeric(18,0)", "bigint", wide),
        (numeric(6, -3), "numeric(6,-3)", "int", wide),
        (numeric(9, 1), "numeric(9,1)", "bigint", narrow),
        (NUMERIC, "numeric", "float", never),
        (NUMERIC, "numeric", "nvarchar(max)", wide),
        (NUMERIC, "numeric", "nvarchar(4000)", narrow),
        (PgType::Money { fraction_digits: 2 }, "money", "decimal(19,2)", wide),
        (PgType::Money { fraction_digits: 2 }, "money", "decimal(19,4)", narrow),
        (PgType::Money { fraction_digits: 2 }, "money", "bigint", never),
        (PgType::Float4, "real", "float", wide),
        (PgType::Float8, "double precision", "real", never),
        (PgType::Float8, "double precision", "decimal(38,10)", never),
        (PgType::Float8, "double precision", "nvarchar(24)", wide),
    ]);
}

#[test]
fn which_texts_times_and_bytes_may_become_what() {
    let (wide, narrow, never) = (WIDE, NARROW, NEVER);
    let varchar = |length| PgType::Varchar { length: Some(length) };
    check_pairs(&[
        (PgType::Text, "text", "nvarchar(100)", narrow),
        (varchar(40), "character varying(40)", "nvarchar(80)", wide),
        (varchar(40), "character varying(40)", "nvarchar(79)", narrow),
        (varchar(40), "character varying(40)", "nvarchar(max)", wide),
        (PgType::Enum, "mood", "nvarchar(63)", wide),
        (PgType::Jsonb, "jsonb", "nvarchar(4000)", narrow),
        (PgType::Text, "text", "int", never),
        (PgType::Text, "text", "varchar(100)", narrow),
        (varchar(10), "character varying(10)", "varchar(40)", wide),
        (varchar(10), "character varying(10)", "varchar(39)", narrow),
        (PgType::Enum, "mood", "varchar(63)", wide),
        (PgType::Int4, "integer", "varchar(11)", wide),
        (PgType::Uuid, "uuid", "varchar(35)", narrow),
        (PgType::Bytea, "bytea", "varchar(40)", narrow),
        (PgType::Int4, "integer", "json_array", never),
        (PgType::Other, "box[]", "json_array", never),
        (PgType::Other, "mood[]", "json_array", never),
        (PgType::Other, "numbers", "json_array", never),
        (PgType::Bytea, "bytea", "varbinary(max)", wide),
        (PgType::Bytea, "bytea", "varbinary(8000)", narrow),
        (PgType::Bytea, "bytea", "nvarchar(max)", wide),
        (PgType::Date, "date", "datetime2(0)", wide),
        (PgType::Date, "date", "datetimeoffset(0)", never),
        (PgType::Date, "date", "nvarchar(13)", wide),
        (PgType::Timestamp, "timestamp without time zone", "datetime2(7)", wide),
        (PgType::Timestamp, "timestamp without time zone", "datetime2(5)", narrow),
        (PgType::Timestamp, "timestamp(3) without time zone", "datetime2(3)", wide),
        (PgType::Timestamp, "timestamp without time zone", "datetimeoffset(6)", never),
        (PgType::TimestampTz, "timestamp with time zone", "datetime2", wide),
        (PgType::TimestampTz, "timestamp(0) with time zone", "datetime2(0)", wide),
        (PgType::TimestampTz, "timestamp with time zone", "datetimeoffset(3)", narrow),
        (PgType::Uuid, "uuid", "nvarchar(36)", wide),
        (PgType::Uuid, "uuid", "varbinary(16)", never),
        (PgType::Bool, "boolean", "int", never),
        (PgType::Bool, "boolean", "nvarchar(1)", wide),
    ]);
}

#[test]
fn keys_keep_the_text_by_which_rows_are_found() {
    let varchar = PgType::Varchar { length: Some(10) };
    for (pg_type, type_name, target, expected) in [
        (PgType::Int4, "integer", "bigint", "bigint"),
        (PgType::Int8, "bigint", "int", "TYPE_NARROWS"),
        (PgType::Int4, "integer", "decimal(10,0)", "TYPE_IMPOSSIBLE"),
        (numeric(9, 0), "numeric(9,0)", "int", "TYPE_IMPOSSIBLE"),
        (numeric(9, 0), "numeric(9,0)", "decimal(12,2)", "decimal(12,2)"),
        (PgType::TimestampTz, "timestamp with time zone", "datetime2", "TYPE_IMPOSSIBLE"),
        (PgType::TimestampTz, "timestamp with time zone", "datetimeoffset(7)", "datetimeoffset(7)"),
        (PgType::Date, "date", "datetime2", "TYPE_IMPOSSIBLE"),
        (PgType::Float4, "real", "float", "TYPE_IMPOSSIBLE"),
        (varchar.clone(), "character varying(10)", "nvarchar(30)", "nvarchar(30)"),
        (varchar, "character varying(10)", "nvarchar(451)", "TYPE_IMPOSSIBLE"),
        (PgType::Text, "text", "nvarchar(max)", "TYPE_IMPOSSIBLE"),
        (PgType::Text, "text", "nvarchar(450)", "nvarchar(450)"),
        (PgType::Text, "text", "nvarchar(100)", "TYPE_NARROWS"),
        (PgType::Varchar { length: Some(10) }, "character varying(10)", "varchar(40)", "TYPE_IMPOSSIBLE"),
        (PgType::Int4, "integer", "varchar(11)", "TYPE_IMPOSSIBLE"),
        (PgType::Other, "integer[]", "json_array", "TYPE_IMPOSSIBLE"),
        (PgType::Bytea, "bytea", "varbinary(901)", "TYPE_IMPOSSIBLE"),
        (PgType::Bytea, "bytea", "varbinary(16)", "TYPE_NARROWS"),
        (PgType::Int4, "integer", "nvarchar(11)", "nvarchar(11)"),
    ] {
        let rule = format!("public.t.c={target}");
        assert_eq!(outcome((pg_type, type_name, true), &[&rule], &[]), expected, "{type_name} as {target}");
    }
    // A rule for a type leaves alone the keys that it is impossible for.
    let key = (PgType::TimestampTz, "timestamp with time zone", true);
    assert_eq!(outcome(key, &["timestamptz=datetime2"], &[]), "datetimeoffset(6)");
    // A key's text is told apart by its code units.
    let plan = planned(&source(PgType::Text, "text", true), &["public.t.c=nvarchar(450)"], &[]).unwrap();
    assert!(matches!(plan.columns[0].mssql_type, MssqlType::NVarChar { binary_collation: true, .. }));
}

#[test]
fn rules_for_many_columns_count_where_they_can() {
    let text = || (PgType::Text, "text", false);
    assert_eq!(outcome(text(), &["public.t=decimal(28,6)"], &[]), "nvarchar(max)");
    assert_eq!(outcome(text(), &["public.t.*=decimal(28,6)"], &[]), "TYPE_IMPOSSIBLE");
    assert_eq!(outcome(text(), &["text=decimal(28,6)"], &[]), "TYPE_IMPOSSIBLE");
    let number = || (NUMERIC, "numeric", false);
    assert_eq!(outcome(number(), &["public.t=decimal(28,6)"], &[]), "TYPE_NARROWS");
    assert_eq!(outcome(number(), &["numeric=decimal(28,6)"], &["halt"]), "decimal(28,6)");
    assert_eq!(
        outcome(number(), &["numeric=decimal(28,6)", "public.t.c=decimal(38,18)"], &[]),
        "decimal(38,18)"
    );
}

#[test]
fn types_and_policies_are_told_together() {
    let number = || (NUMERIC, "numeric", false);
    // Of `text` for a column and another type for it, only one can be.
    let text = ["public.t.c=text"];
    assert_eq!(outcome(number(), &["public.t.c=decimal(28,6)"], &text), "TYPE_IMPOSSIBLE");
    assert_eq!(outcome(number(), &["public.t.c=nvarchar(max)"], &text), "nvarchar(max)");
    // `text` for everything says nothing of a column whose type is asked for.
    assert_eq!(outcome(number(), &["public.t.c=decimal(28,6)"], &["text"]), "TYPE_NARROWS");
    assert_eq!(outcome(number(), &["public.t.c=decimal(38,18)"], &["text"]), "decimal(38,18)");
    let plan =
        planned(&source(NUMERIC, "numeric", false), &["public.t.c=decimal(38,18)"], &["text"]).unwrap();
    assert_eq!((plan.columns[0].policy, plan.columns[0].as_text), (ValuePolicy::Halt, false));
    // A policy for everything is one for what the new type lacks, which the usual one would not.
    let plan = planned(&source(PgType::Int8, "bigint", false), &["public.t.c=int"], &["clamp"]).unwrap();
    assert_eq!(plan.columns[0].policy, ValuePolicy::Clamp);
    // Text that was asked for has no nearest value.
    let printed =
        planned(&source(PgType::Int8, "bigint", false), &["public.t.c=nvarchar(5)"], &["public.t.c=clamp"]);
    assert_eq!(printed.unwrap_err().code(), "POLICY_IMPOSSIBLE");
    let plan = planned(&source(PgType::Int8, "bigint", false), &["public.t.c=nvarchar(20)"], &[]).unwrap();
    assert_eq!((&plan.columns[0].pg_type, plan.columns[0].as_text), (&PgType::Other, true));
    assert_eq!(plan.source.columns[0].pg_type, PgType::Other, "its text is asked for");
}

#[test]
fn refusals_say_what_does_not_fit_and_what_to_do() {
    let narrows =
        planned(&source(NUMERIC, "numeric", false), &["public.t.c=decimal(28,6)"], &[]).unwrap_err();
    assert_eq!(
        narrows.to_string(),
        "decimal(28,6) does not hold all that column \"c\" of public.t can have: numbers with more than 22 digits before \
         or 6 behind the point do not fit"
    );
    assert_eq!(
        narrows.hint(),
        "say what becomes of them: --on-value 'public.t.c=set_aside', or halt (the table), null or clamp; or choose a \
         wider type"
    );
    let never =
        planned(&source(PgType::Float8, "double precision", false), &["public.t.c=real"], &[]).unwrap_err();
    assert_eq!(
        never.to_string(),
        "column \"c\" of public.t (double precision) cannot be real in the target: a double precision can be float or \
         nvarchar(n); real and decimal would round it"
    );
}

/// What becomes of a text of the source in a column with a policy: the canonical text, `NULL`, or `aside`.
fn becomes(column: &ColumnPlan, text: &str) -> String {
    let spelled = |value| {
        let mut text = String::new();
        canonical::write_text(&value, &mut text);
        if value == segcdc_model::Value::Null { "NULL".to_owned() } else { text }
    };
    match fit(column, Field::Text(text.as_bytes())) {
        Ok(Fitted::Exact(value) | Fitted::Replaced(value)) => spelled(value),
        Ok(Fitted::Aside(_)) => "aside".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

fn column(pg_type: PgType, type_name: &str, target: &str, policy: &str) -> ColumnPlan {
    let (types, values) = (format!("public.t.c={target}"), format!("public.t.c={policy}"));
    planned(&source(pg_type, type_name, false), &[&types], &[&values]).unwrap().columns.swap_remove(0)
}

proptest! {
    /// Whole numbers of a numeric fit an integer type when they are in its range, and nothing else does.
    #[test]
    fn numbers_in_integer_columns_agree_with_a_model(
        whole in "0|[1-9][0-9]{0,24}|922337203685477580[5-9]|214748364[5-9]|3276[5-9]",
        fraction in "|\\.0{1,30}|\\.[0-9]{1,20}|\\.0{20}1{20}",
        negative: bool,
    ) {
        let text = format!("{}{whole}{fraction}", if negative { "-" } else { "" });
        for (target, low, high) in [
            ("smallint", i128::from(i16::MIN), i128::from(i16::MAX)),
            ("int", i32::MIN.into(), i32::MAX.into()),
            ("bigint", i64::MIN.into(), i64::MAX.into()),
        ] {
            let number: i128 = whole.parse().unwrap();
            let number = if negative { -number } else { number };
            let is_whole = fraction.trim_start_matches('.').bytes().all(|digit| digit == b'0');
            let fits = is_whole && (low..=high).contains(&number);
            let with = |policy| becomes(&column(NUMERIC, "numeric", target, policy), &text);
            prop_assert_eq!(with("set_aside"), if fits { number.to_string() } else { "aside".to_owned() }, "{}", &text);
            prop_assert_eq!(with("null"), if fits { number.to_string() } else { "NULL".to_owned() });
            let clamped = with("clamp");
            if fits || (number > high || number < low) && number.unsigned_abs() > 10_u128.pow(20) {
                prop_assert_eq!(clamped, number.clamp(low, high).to_string(), "{}", &text);
            } else if clamped != with("halt") {
                // What is a little beyond has its nearest value too; digits behind the point have none.
                prop_assert_eq!(&clamped, &number.clamp(low, high).to_string());
                prop_assert!(number > high || number < low, "{} became {}", &text, clamped);
            }
        }
    }

    /// An instant is the same in UTC; digits that a shorter fraction does not keep are never dropped.
    #[test]
    fn instants_keep_their_time_in_utc(us in -63_082_281_600_000_000_i64..252_455_616_000_000_000, scale in 0_u8..=7) {
        let target = format!("datetime2({scale})");
        for (pg_type, name) in [
            (PgType::TimestampTz, "timestamp with time zone"), (PgType::Timestamp, "timestamp without time zone"),
        ] {
            for us in [us, us - us.rem_euclid(1_000_000), us - us.rem_euclid(1_000)] {
                let column = column(pg_type.clone(), name, &target, "set_aside");
                let bytes = us.to_be_bytes();
                let found = fit(&column, Field::Binary(&bytes)).unwrap();
                let unit = 10_i64.pow(6_u32.saturating_sub(scale.into()));
                if us.rem_euclid(unit) == 0 {
                    prop_assert_eq!(found, Fitted::Exact(segcdc_model::Value::Timestamp(us)));
                } else {
                    prop_assert_eq!(found, Fitted::Aside(crate::Misfit::TooPrecise));
                }
            }
        }
    }

    /// A real is the same number as a float, and a day begins at midnight.
    #[test]
    fn reals_and_days_stay_what_they_are(bits: u32, days in -730_119_i32..=2_921_939) {
        let real = f32::from_bits(bits);
        let float = column(PgType::Float4, "real", "float", "set_aside");
        let bytes = real.to_be_bytes();
        let found = fit(&float, Field::Binary(&bytes)).unwrap();
        if real.is_finite() {
            prop_assert_eq!(found, Fitted::Exact(segcdc_model::Value::Float8(f64::from(real))));
        } else {
            prop_assert!(matches!(found, Fitted::Aside(_)));
        }
        let at = column(PgType::Date, "date", "datetime2(0)", "set_aside");
        let midnight = Fitted::Exact(segcdc_model::Value::Timestamp(i64::from(days) * 86_400_000_000));
        let bytes = days.to_be_bytes();
        prop_assert_eq!(fit(&at, Field::Binary(&bytes)).unwrap(), midnight);
    }
}

#[test]
fn arrays_become_json_or_are_no_other_value() {
    let array = || (PgType::Other, "integer[]", false);
    assert_eq!(outcome(array(), &["public.t.c=json_array"], &[]), "TYPE_NARROWS", "JSON has no lower bounds");
    assert_eq!(outcome(array(), &["public.t.c=json_array"], &["public.t.c=text"]), "TYPE_NARROWS");
    assert_eq!(outcome(array(), &["\"integer[]\"=json_array"], &["halt"]), "nvarchar(max)");
    assert_eq!(outcome((PgType::Text, "text", false), &["public.t=json_array"], &["halt"]), "nvarchar(max)");
    let with = |policy| column(PgType::Other, "integer[]", "json_array", policy);
    for policy in ["halt", "null", "set_aside"] {
        assert_eq!(becomes(&with(policy), "{{1,NULL},{3,4}}"), "[[1,null],[3,4]]");
    }
    for text in ["[2:3]={1,2}", "{x}"] {
        assert_eq!(becomes(&with("set_aside"), text), "aside", "{text}");
        assert_eq!(becomes(&with("null"), text), "NULL", "{text}");
        assert_eq!(becomes(&with("halt"), text), "(no JSON array)", "handed on, to be refused");
    }
    let clamp = planned(
        &source(PgType::Other, "integer[]", false),
        &["public.t.c=json_array"],
        &["public.t.c=clamp"],
    );
    assert_eq!(clamp.unwrap_err().code(), "POLICY_IMPOSSIBLE");
}

#[test]
fn other_elements_than_planned_are_a_changed_type() {
    let texts = RuleTexts {
        types: vec!["public.t.c=json_array".to_owned()],
        values: vec!["halt".to_owned()],
        ..RuleTexts::default()
    };
    let naming = Naming::new("dbo").with_rules(Rules::parse(&texts).unwrap());
    let plan = std::sync::Arc::new(table_plan(&source(PgType::Other, "integer[]", false), &naming).unwrap());
    let bound = |type_oid| {
        let sent = |name: &str, type_oid, key| segcdc_model::RelationColumn {
            name: name.to_owned(),
            key,
            type_oid,
            type_modifier: -1,
        };
        let relation = segcdc_model::Relation {
            oid: 1,
            name: QualifiedName::new("public", "t"),
            replica_identity: ReplicaIdentity::Default,
            columns: vec![sent("c", type_oid, false), sent("id", 23, true)],
        };
        crate::bind(&plan, &relation).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(bound(1007), Ok(()));
    assert_eq!(bound(1231), Ok(()), "numbers are numbers");
    for other in [1009, 1000, 3807, 25] {
        assert_eq!(bound(other), Err("SCHEMA_CHANGED"), "{other}");
    }
}

#[test]
fn infinities_stay_beyond_the_calendar() {
    let last = "9999-12-31T23:59:59.990000";
    for (pg_type, name) in [(PgType::Date, "date"), (PgType::TimestampTz, "timestamp with time zone")] {
        let with = |policy| column(pg_type.clone(), name, "datetime2(2)", policy);
        assert_eq!(becomes(&with("clamp"), "infinity"), last);
        assert_eq!(becomes(&with("clamp"), "-infinity"), "0001-01-01T00:00:00.000000");
        let far = if pg_type == PgType::Date { "5874897-12-31" } else { "294276-12-31 23:59:59.999999+00" };
        assert_eq!(becomes(&with("clamp"), far), last);
        assert_eq!(becomes(&with("set_aside"), far), "aside");
        assert_eq!(becomes(&with("set_aside"), "infinity"), "aside");
        assert_eq!(becomes(&with("null"), "-infinity"), "NULL");
        assert_eq!(becomes(&with("halt"), "infinity"), "infinity", "handed on, to be refused");
    }
}

#[test]
fn json_becomes_documents_or_is_no_other_value() {
    for (pg_type, name) in [(PgType::Json, "json"), (PgType::Jsonb, "jsonb")] {
        let asked = |in_key| (pg_type.clone(), name, in_key);
        assert_eq!(
            outcome(asked(false), &["public.t.c=json"], &[]),
            "TYPE_NARROWS",
            "not every value has a place"
        );
        assert_eq!(outcome(asked(false), &["public.t.c=json"], &["public.t.c=text"]), "TYPE_IMPOSSIBLE");
        assert_eq!(outcome(asked(false), &["public.t.c=json"], &["public.t.c=clamp"]), "POLICY_IMPOSSIBLE");
        assert_eq!(outcome(asked(false), &["public.t=json"], &["halt"]), "json");
        assert_eq!(
            outcome(asked(true), &["public.t.c=json"], &["halt"]),
            "TYPE_IMPOSSIBLE",
            "no index has it"
        );
        let with = |policy| column(pg_type.clone(), name, "json", policy);
        for policy in ["halt", "null", "set_aside"] {
            assert_eq!(becomes(&with(policy), "{\"b\": 1.50, \"a\": [1e2]}"), "{\"a\":[100],\"b\":1.5}");
        }
        for text in ["1", "[1e300]"] {
            assert_eq!(becomes(&with("set_aside"), text), "aside", "{text}");
            assert_eq!(becomes(&with("null"), text), "NULL", "{text}");
            assert_eq!(becomes(&with("halt"), text), "(no JSON document)", "handed on, to be refused");
        }
    }
    let array = || (PgType::Other, "numeric(10,2)[]", false);
    assert_eq!(outcome(array(), &["public.t.c=json"], &[]), "TYPE_NARROWS");
    assert_eq!(outcome(array(), &["public.t.c=json"], &["halt"]), "json");
    let with = column(PgType::Other, "numeric(10,2)[]", "json", "set_aside");
    assert_eq!(becomes(&with, "{1.50,NULL}"), "[1.5,null]");
    assert_eq!(becomes(&with, "[0:0]={1.50}"), "aside");
    for (pg_type, name) in [(PgType::Text, "text"), (PgType::Other, "box[]"), (PgType::Int4, "integer")] {
        assert_eq!(
            outcome((pg_type, name, false), &["public.t.c=json"], &["halt"]),
            "TYPE_IMPOSSIBLE",
            "{name}"
        );
    }
}

#[test]
fn smaller_times_integers_and_long_varchar_are_asked_for() {
    let time = |name: &'static str| (PgType::Time, name, false);
    assert_eq!(outcome(time("time without time zone"), &["public.t.c=time(3)"], &[]), "TYPE_NARROWS");
    assert_eq!(outcome(time("time(3) without time zone"), &["public.t.c=time(3)"], &[]), "time(3)");
    assert_eq!(outcome(time("time without time zone"), &["public.t.c=time"], &[]), "time(6)");
    assert_eq!(outcome(time("time without time zone"), &["time=time(7)"], &[]), "time(7)");
    let asked = |policy| column(PgType::Time, "time without time zone", "time(3)", policy);
    assert_eq!(becomes(&asked("halt"), "12:00:00.001"), "12:00:00.001000");
    assert_eq!(becomes(&asked("set_aside"), "12:00:00.0005"), "aside");
    assert_eq!(
        becomes(&asked("clamp"), "12:00:00.0005"),
        "12:00:00.000500",
        "never rounded: handed on, to be refused"
    );
    assert_eq!(becomes(&asked("clamp"), "24:00:00"), "23:59:59.999000");
    let small = |in_key| (PgType::Int2, "smallint", in_key);
    assert_eq!(outcome(small(false), &["public.t.c=tinyint"], &[]), "TYPE_NARROWS");
    assert_eq!(outcome(small(true), &["public.t.c=tinyint"], &["halt"]), "tinyint");
    let tiny = |policy| column(PgType::Int2, "smallint", "tinyint", policy);
    for (text, clamped) in [("-1", "0"), ("256", "255"), ("255", "255"), ("0", "0")] {
        assert_eq!(becomes(&tiny("clamp"), text), clamped);
        assert_eq!(becomes(&tiny("null"), text), if text == clamped { text } else { "NULL" });
    }
    let text = |in_key| (PgType::Text, "text", in_key);
    assert_eq!(
        outcome(text(false), &["text=varchar(max)"], &[]),
        "varchar(max)",
        "it holds all that nvarchar(max) does"
    );
    assert_eq!(outcome(text(true), &["public.t.c=varchar(max)"], &["halt"]), "TYPE_IMPOSSIBLE");
}
