use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn normal(text: &str) -> Result<String, DocumentTrouble> {
    let mut out = "before".to_owned();
    let written = write(text, &mut out);
    let document = out.strip_prefix("before").unwrap().to_owned();
    assert!(written.is_ok() || document.is_empty(), "what was refused is taken back");
    written.map(|()| document)
}

#[test]
fn spelling_is_no_part_of_a_document() {
    for (text, expected) in [
        ("{}", "{}"),
        (" [ ] ", "[]"),
        ("[true, false,null , \"\"]", r#"[true,false,null,""]"#),
        (r#"{"bb": 1, "a": {"c": [1 ,2]}, "é": 3}"#, r#"{"a":{"c":[1,2]},"bb":1,"é":3}"#),
        (r#"{"z": 1, "B": 2, "a": 3}"#, r#"{"B":2,"a":3,"z":1}"#),
        (r#"["\u0041\u00e9\u0022\u005c\/\u000a\b\u001F\ud83d\ude00"]"#, "[\"Aé\\\"\\\\/\\n\\b\\u001f😀\"]"),
        (r#"{"\u0061b": 1}"#, r#"{"ab":1}"#),
        ("[1.50, 1.0, 0.10, -0, -0.0, 0e5, 100, -1.5]", "[1.5,1,0.1,0,0,0,100,-1.5]"),
        ("[1e2, 1E+2, 1.5e3, 123e-2, 1e-5, 2.50e1, 0.00012e3]", "[100,100,1500,1.23,0.00001,25,0.12]"),
        (
            "[1e37, 1e-38]",
            "[10000000000000000000000000000000000000,0.00000000000000000000000000000000000001]",
        ),
        ("[12345678901234567890123456789.123456789]", "[12345678901234567890123456789.123456789]"),
        ("[99999999999999999999999999999999999999.00]", "[99999999999999999999999999999999999999]"),
    ] {
        assert_eq!(normal(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_the_type_has_no_place_for_is_refused() {
    use DocumentTrouble::{DuplicateName, Malformed, NoText, Number, Scalar, TooComplex, TooLong};
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let items = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    let names = |count: usize| {
        let members = (0..count).map(|index| format!("{{\"k{index}\":1}}"));
        let halves: Vec<String> = members.collect();
        let (first, second) = halves.split_at(count / 2);
        format!("[[{}],[{}]]", first.join(","), second.join(","))
    };
    let long = |bytes: usize| format!("[\"{}\"]", "x".repeat(bytes - 4));
    for (text, trouble) in [
        ("1".to_owned(), Scalar),
        ("\"a\"".to_owned(), Scalar),
        ("null".to_owned(), Scalar),
        (String::new(), Scalar),
        ("[1e38]".to_owned(), Number),
        ("[1e-39]".to_owned(), Number),
        ("[1e99999999999999999999]".to_owned(), Number),
        ("[123456789012345678901234567890123456789]".to_owned(), Number),
        ("[1.00000000000000000000000000000000000001]".to_owned(), Number),
        (r#"{"a": 1, "b": 2, "a": 1}"#.to_owned(), DuplicateName),
        (r#"[{"a": {"\u0062": 1, "b": 2}}]"#.to_owned(), DuplicateName),
        (deep(129), TooComplex),
        (items(65_536), TooComplex),
        (names(32_769), TooComplex),
        (r#"["\u0000"]"#.to_owned(), NoText),
        (r#"["\ud83d"]"#.to_owned(), NoText),
        (r#"["\ude00x"]"#.to_owned(), NoText),
        (r#"["\ud83d\u0041"]"#.to_owned(), NoText),
        (r#"{"\ud83d": 1}"#.to_owned(), NoText),
        (long(MAX_BYTES + 1), TooLong),
        ("[1,]".to_owned(), Malformed),
        ("[01]".to_owned(), Malformed),
        ("[1] x".to_owned(), Malformed),
        ("{\"a\" 1}".to_owned(), Malformed),
        ("{a: 1}".to_owned(), Malformed),
        ("[\"a\nb\"]".to_owned(), Malformed),
        ("[\"\\x\"]".to_owned(), Malformed),
        ("[\"\\u00é\"]".to_owned(), Malformed),
        ("[\"a".to_owned(), Malformed),
        ("[tru]".to_owned(), Malformed),
        ("{".to_owned(), Malformed),
    ] {
        assert_eq!(normal(&text), Err(trouble), "{}", text.get(..40).unwrap_or(&text));
    }
    for fits in [deep(128), items(65_535), names(32_768), long(MAX_BYTES)] {
        assert_eq!(normal(&fits).as_deref(), Ok(fits.as_str()));
    }
}

#[test]
fn arrays_are_documents_too() {
    let written = |text: &str| {
        let mut out = String::new();
        write_printed(text, Some(ArrayElement::Number), &mut out).map(|()| out)
    };
    assert_eq!(written("{1.50,NULL,1e+20}").as_deref(), Ok("[1.5,null,100000000000000000000]"));
    assert_eq!(written("{1e+300}"), Err(DocumentTrouble::Number));
    assert_eq!(written("[2:2]={1}"), Err(DocumentTrouble::Array));
    assert_eq!(written("{NaN}"), Err(DocumentTrouble::Array));
}

/// A document, and two spellings of it.
fn spelled() -> impl Strategy<Value = (Json, String, String)> {
    let leaf = prop_oneof![
        Just((Json::Null, "null".to_owned(), "null".to_owned())),
        any::<bool>().prop_map(|value| (value.into(), value.to_string(), value.to_string())),
        // As far as a double tells numbers apart, for the witness.
        (-999_999_999_i64..=999_999_999, 0_u8..4).prop_map(|(number, zeros)| {
            let fraction = "0".repeat(zeros.into());
            let plain = if zeros > 0 { format!("{number}.{fraction}") } else { number.to_string() };
            let shifted =
                if number == 0 { "0e-3".to_owned() } else { format!("{number}{fraction}e-{zeros}") };
            (number.into(), plain, shifted)
        }),
        "[a-c\"\\\\/\n\u{1}üß😀 ]{0,6}".prop_map(|text| {
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            (text.clone().into(), Json::from(text).to_string(), format!("\"{escaped}\""))
        }),
    ];
    let nested = leaf.prop_recursive(4, 24, 4, |inner| {
        let array = proptest::collection::vec(inner.clone(), 0..4).prop_map(|elements| {
            let values = elements.iter().map(|(value, ..)| value.clone()).collect();
            let join = |texts: Vec<&str>, between: &str| format!("[{}]", texts.join(between));
            let first = join(elements.iter().map(|(_, first, _)| first.as_str()).collect(), ",");
            let second = join(elements.iter().map(|(.., second)| second.as_str()).collect(), " ,\n ");
            (Json::Array(values), first, second)
        });
        let object = proptest::collection::btree_map("[a-cé]{0,3}", inner, 0..4).prop_map(|members| {
            let values = members.iter().map(|(name, (value, ..))| (name.clone(), value.clone())).collect();
            let member = |name: &String, value: &String| format!("{}: {value}", Json::from(name.as_str()));
            let first: Vec<String> =
                members.iter().map(|(name, (_, first, _))| member(name, first)).collect();
            let second = members.iter().rev().map(|(name, (.., second))| member(name, second));
            let second: Vec<String> = second.collect();
            (Json::Object(values), format!("{{{}}}", first.join(", ")), format!("{{ {} }}", second.join(",")))
        });
        prop_oneof![array, object]
    });
    nested.prop_map(|(value, first, second)| {
        (Json::Array(vec![value]), format!("[{first}]"), format!("[ {second} ]"))
    })
}

proptest! {
    #[test]
    fn one_document_has_one_form_and_others_have_others((value, first, second) in spelled(), (other, text, _) in spelled()) {
        let form = normal(&first).unwrap();
        prop_assert_eq!(normal(&second), Ok(form.clone()), "{}", second);
        prop_assert_eq!(normal(&form), Ok(form.clone()), "its own form");
        prop_assert_eq!(&serde_json::from_str::<Json>(&form).unwrap(), &value, "{}", form);
        prop_assert_eq!(normal(&text).unwrap() == form, other == value, "{} and {}", text, first);
    }

    /// Moving the point and writing an exponent, or adding zeros, changes nothing; another digit does.
    #[test]
    fn numbers_are_told_apart_by_their_value(
        digits in "[1-9][0-9]{0,36}[1-9]", point in -10_i32..48, shift in -60_i32..60, zeros in 0_usize..5,
    ) {
        let places = i32::try_from(digits.len()).unwrap();
        let spell = |digits: &str| format!("[0.{digits}{}e{point}]", "0".repeat(zeros));
        let shifted = format!("[-{digits}.{}e{}]", "0".repeat(zeros + 1), point - places);
        let leading = format!("[{digits}e{}]", point - places);
        let fits = point <= 38 && places - point <= 38;
        let found = normal(&spell(&digits));
        prop_assert_eq!(found.is_ok(), fits, "{}", spell(&digits));
        if let Ok(found) = found {
            prop_assert_eq!(normal(&leading), Ok(found.clone()));
            let negative = format!("[-{}", found.trim_start_matches('['));
            prop_assert_eq!(normal(&shifted), Ok(negative));
            prop_assert!(!found.contains(['e', 'E']));
            let kept: String = found.chars().filter(char::is_ascii_digit).collect();
            prop_assert_eq!(kept.trim_matches('0'), digits.trim_matches('0'));
            if shift != 0 {
                let other = normal(&format!("[{digits}e{}]", point - places + shift));
                prop_assert_ne!(other.as_deref(), Ok(found.as_str()));
            }
        }
    }

    #[test]
    fn any_text_is_a_document_or_refused(text in "[\\[\\]{}\",:\\\\u0-9a-ftrue.eE+\\- ]{0,24}") {
        if let Ok(form) = normal(&text) {
            prop_assert!(serde_json::from_str::<Json>(&form).is_ok(), "{} {}", text, form);
            prop_assert!(serde_json::from_str::<Json>(&text).is_ok(), "{} is no JSON", text);
        }
    }
}
