use hmac::Mac;
use proptest::prelude::*;
use segcdc_model::{
    Field, PgType, QualifiedName, ReplicaIdentity, SourceColumn, SourceTable, TableKind, Value, hex,
};

use super::*;
use crate::column_mask::REDACTED;
use crate::convert::decode;
use crate::kept_value::kept;
use crate::mask_salt::MaskSalt;
use crate::rules::{Mask, RuleTexts, Rules};
use crate::table_plan::{Naming, table_plan};

/// The key of test case 3 of RFC 4231.
const SALT: &[u8] = &[0xAA; 20];

fn mask(mask: Mask, pg_type: PgType) -> ColumnMask {
    let salt = MaskSalt::new(SALT);
    ColumnMask { mask, pg_type, salt, redacted: Some(REDACTED) }
}

/// What a field becomes.
fn written(mask: &ColumnMask, field: Field<'_>) -> Result<String, ValueError> {
    let mut out = Vec::new();
    mask.write(field, &mut out).map(|_| String::from_utf8(out).unwrap())
}

fn hash(pg_type: PgType, field: Field<'_>) -> String {
    written(&mask(Mask::Hash, pg_type), field).unwrap()
}

#[test]
fn hashes_are_those_of_rfc_4231() {
    let expected = "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe";
    let bytes = [0xDD_u8; 50];
    // Test case 3 is of bytes that are no text.
    let mac = MaskSalt::new(SALT).unwrap().begin().chain_update(bytes);
    assert_eq!(hex(&mac.finalize().into_bytes()), expected);
    // Test case 6: a key of 131 bytes, and text.
    let salt = MaskSalt::new(&[0xAA; 131]);
    let text = b"Test Using Larger Than Block-Size Key - Hash Key First";
    let mask = ColumnMask { salt, ..mask(Mask::Hash, PgType::Text) };
    let expected = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
    assert_eq!(written(&mask, Field::Text(text)).unwrap(), expected);
}

#[test]
fn equal_values_have_equal_hashes() {
    let number = || PgType::Numeric { bounds: None };
    let text = |pg_type, text: &'static str| hash(pg_type, Field::Text(text.as_bytes()));
    assert_eq!(text(number(), "1.50"), text(number(), "1.5"));
    assert_eq!(text(number(), "7"), text(PgType::Int4, "7"));
    assert_eq!(text(PgType::Int8, "7"), hash(PgType::Int4, Field::Binary(&7_i32.to_be_bytes())));
    assert_eq!(text(PgType::Float8, "-0"), text(PgType::Float8, "0"));
    assert_eq!(text(PgType::Char { length: 5 }, "ab   "), text(PgType::Text, "ab"));
    assert_ne!(text(PgType::Text, "ab "), text(PgType::Text, "ab"));
    assert_ne!(text(PgType::Text, ""), text(PgType::Text, "0"));
    // Beyond what a decimal holds, numbers are still told apart.
    let long = "1234567890123456789012345678901234567890";
    assert_eq!(text(number(), long), text(number(), "1234567890123456789012345678901234567890.00"));
    assert_ne!(text(number(), long), text(number(), "2234567890123456789012345678901234567890"));
    assert_eq!(hash(PgType::Jsonb, Field::Binary(b"\x01{}")), text(PgType::Jsonb, "{}"));
}

#[test]
fn without_a_salt_nothing_is_written() {
    let mask = ColumnMask { salt: None, ..mask(Mask::Hash, PgType::Text) };
    assert_eq!(written(&mask, Field::Text(b"a")), Err(ValueError::NoSalt));
    assert_eq!(segcdc_model::Fault::code(&ValueError::NoSalt), "MASK_SALT_MISSING");
}

#[test]
fn what_cannot_be_read_is_an_error_and_not_handed_on() {
    let hash = mask(Mask::Hash, PgType::Text);
    assert_eq!(written(&hash, Field::Text(b"\xff")), Err(ValueError::NotUtf8));
    assert_eq!(written(&hash, Field::Large(&kept(false, b"abc", false))), Err(ValueError::Unreadable));
    let truncate = mask(Mask::Truncate(2), PgType::Text);
    assert_eq!(written(&truncate, Field::Text(b"a\xff")), Err(ValueError::NotUtf8));
    assert_eq!(written(&truncate, Field::Large(&kept(false, b"abc", false))), Err(ValueError::Unreadable));
}

#[test]
fn texts_are_cut_between_characters() {
    let check = |characters, text: &str, expected: &str| {
        let mask = mask(Mask::Truncate(characters), PgType::Text);
        assert_eq!(written(&mask, Field::Text(text.as_bytes())).as_deref(), Ok(expected));
        assert_eq!(
            written(&mask, Field::Large(&kept(false, text.as_bytes(), true))).as_deref(),
            Ok(expected)
        );
    };
    check(3, "abcdef", "abc");
    check(3, "ab", "ab");
    check(1, "\u{1F980}\u{1F980}", "\u{1F980}");
    check(2, "e\u{301}x", "e\u{301}");
    check(4, &"\u{20AC}".repeat(9), &"\u{20AC}".repeat(4));
}

/// `(id integer primary key, name text, born date, note text)`
fn source() -> SourceTable {
    let column = |name: &str, attnum, pg_type, not_null| SourceColumn {
        name: name.to_owned(),
        attnum,
        pg_type,
        type_name: "x".to_owned(),
        not_null,
        generated: false,
    };
    SourceTable {
        oid: 1,
        name: QualifiedName::new("public", "t"),
        kind: TableKind::Ordinary,
        columns: vec![
            column("id", 1, PgType::Int4, true),
            column("name", 2, PgType::Text, true),
            column("born", 3, PgType::Date, false),
            column("note", 4, PgType::Text, false),
        ],
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

fn planned(masks: &[&str], constants: &[&str]) -> Result<TablePlan, PlanError> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let texts = RuleTexts { masks: owned(masks), constants: owned(constants), ..RuleTexts::default() };
    let naming = Naming::new("dbo").with_rules(Rules::parse(&texts).unwrap()).with_salt(MaskSalt::new(SALT));
    table_plan(&source(), &naming)
}

#[test]
fn rows_are_masked_and_constants_stand_behind() {
    let masks =
        ["public.*.id=hash", "public.t.name=truncate:2", "public.t.born=redact", "public.t.note=redact"];
    let plan = planned(&masks, &["public.*.region=eu"]).unwrap();
    let types: Vec<String> = plan.columns.iter().map(|column| column.mssql_type.to_string()).collect();
    assert_eq!(types, ["nvarchar(64)", "nvarchar(max)", "date", "nvarchar(max)", "nvarchar(100)"]);
    let rewriter = Rewriter::in_order(&plan).unwrap();
    let row = Tuple::from_texts([Some("7"), Some("secret"), Some("2000-01-01"), Some("secret")]);
    let row = rewriter.rewrite(&row).unwrap();
    let values: Vec<_> = plan
        .columns
        .iter()
        .zip(row.fields())
        .map(|(column, field)| decode(&column.pg_type, field).unwrap())
        .collect();
    let id = hash(PgType::Int4, Field::Text(b"7"));
    assert_eq!(
        values,
        [Value::Text(&id), Value::Text("se"), Value::Null, Value::Text("***"), Value::Text("eu")]
    );
    let row = rewriter.rewrite(&Tuple::from_texts([Some("7"), None, None, None])).unwrap();
    assert_eq!(row.get(1), Some(Field::Null), "NULL stays NULL");
    assert_eq!(
        rewriter.rewrite(&Tuple::from_texts([Some("7")])).unwrap().get(3),
        Some(Field::UnchangedToast)
    );
    assert_eq!(Rewriter::in_order(&planned(&[], &[]).unwrap()), None);
}

#[test]
fn hashes_have_the_type_that_is_asked_for_if_it_has_room() {
    use segcdc_model::Fault;
    let typed = |target: &str| {
        let texts = RuleTexts {
            masks: vec!["public.t.born=hash".to_owned()],
            types: vec![format!("public.t.born={target}")],
            values: vec!["set_aside".to_owned()],
            ..RuleTexts::default()
        };
        let naming = Naming::new("dbo").with_rules(Rules::parse(&texts).unwrap());
        let plan = table_plan(&source(), &naming).map_err(|error| error.code())?;
        Ok(plan.columns[2].mssql_type.to_string())
    };
    for target in ["nvarchar(64)", "nvarchar(max)", "varchar(64)", "varchar(200)"] {
        assert_eq!(typed(target), Ok(target.to_owned()));
    }
    assert_eq!((typed("varchar(63)"), typed("nvarchar(63)")), (Err("TYPE_NARROWS"), Err("TYPE_NARROWS")));
    assert_eq!((typed("nvarchar(20)"), typed("int")), (Err("TYPE_NARROWS"), Err("TYPE_IMPOSSIBLE")));
}

#[test]
fn what_cannot_be_masked_is_refused_by_name() {
    use segcdc_model::Fault;
    let check = |rule: &str, reason: &str| {
        let error = planned(&[rule], &[]).unwrap_err();
        assert_eq!(error.code(), "MASK_IMPOSSIBLE", "{rule}");
        assert!(error.to_string().contains(reason) && !error.hint().is_empty(), "{error}");
    };
    check("public.t.id=redact", "\"id\" of public.t cannot have the mask redact: it identifies rows");
    check("public.*.*=truncate:3", "it identifies rows");
    check("public.t.born=truncate:3", "only text");
    check("public.t.nmae=hash", "no column of the table");
    assert!(planned(&["public.*.nmae=hash"], &[]).is_ok(), "a pattern may mean nothing in a table");
}

#[test]
fn constants_that_cannot_be_are_refused_by_name() {
    use segcdc_model::Fault;
    let check = |rules: &[&str], reason: &str| {
        let error = planned(&[], rules).unwrap_err();
        assert_eq!(error.code(), "CONSTANT_IMPOSSIBLE", "{rules:?}");
        assert!(error.to_string().contains(reason) && !error.hint().is_empty(), "{error}");
    };
    check(&["public.t.NAME=x"], "constant column \"NAME\": another column of the target has that name");
    check(&["public.t.a=x", "public.t.A=y"], "another column");
    let plan = planned(&[], &["public.*.a=x", "public.t.a:decimal(5,2)=7.5", "public.other.b=1"]).unwrap();
    let column = plan.columns.last().unwrap();
    assert_eq!((plan.columns.len(), column.mssql_type.to_string().as_str()), (5, "decimal(5,2)"));
    assert_eq!((column.nullable, plan.source_columns()), (false, vec![0, 1, 2, 3]));
}

proptest! {
    /// A text that is cut is the beginning of itself, of so many characters, and no half of a pair is left over.
    #[test]
    fn cut_texts_are_whole_characters(text in "[a\u{E9}\u{20AC}\u{1F980}\u{301}]{0,12}", characters in 1_u16..14) {
        let mask = mask(Mask::Truncate(characters), PgType::Text);
        let cut = written(&mask, Field::Text(text.as_bytes())).unwrap();
        prop_assert!(text.starts_with(&cut));
        prop_assert_eq!(cut.chars().count(), text.chars().count().min(usize::from(characters)));
        let units: Vec<u16> = cut.encode_utf16().collect();
        prop_assert_eq!(String::from_utf16(&units).unwrap(), cut.clone());
        prop_assert_eq!(written(&mask, Field::Large(&kept(false, text.as_bytes(), true))).unwrap(), cut);
    }

    /// A value has one hash, held or kept elsewhere, as text or binary.
    #[test]
    fn a_value_has_one_hash(text in "[a-f\u{20AC}]{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let of_text = hash(PgType::Text, Field::Text(text.as_bytes()));
        prop_assert_eq!(&hash(PgType::Text, Field::Large(&kept(false, text.as_bytes(), true))), &of_text);
        let digits = format!("\\x{}", hex(&bytes));
        let of_bytes = hash(PgType::Bytea, Field::Binary(&bytes));
        prop_assert_eq!(&hash(PgType::Bytea, Field::Text(digits.as_bytes())), &of_bytes);
        prop_assert_eq!(&hash(PgType::Bytea, Field::Large(&kept(true, &bytes, true))), &of_bytes);
        prop_assert_eq!(hash(PgType::Text, Field::Text(hex(&bytes).as_bytes())), of_bytes);
    }
}
