use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};

use super::super::{document, read};
use super::*;

fn given(path: &'static str, values: &[&str]) -> Given {
    Given { path, values: values.iter().map(|value| (*value).to_owned()).collect() }
}

/// What a file says, with passwords that are their variables' names.
fn read_again(yaml: &str) -> Vec<Given> {
    let node = document::read("p.yaml", yaml).unwrap_or_else(|error| unreachable!("{error:?}\n{yaml}"));
    let found = read::read(&node, Path::new("/"), &|name| Some(name.to_owned()));
    assert!(found.problems.is_empty(), "{:?}\n{yaml}", found.problems);
    let of = |assignment: read::Assignment| Given {
        path: assignment.path,
        values: assignment.values.into_iter().map(|said| said.text).collect(),
    };
    found.assignments.into_iter().map(of).collect()
}

#[test]
fn a_file_says_what_was_said() {
    let said = [
        given("name", &["null"]),
        given("source.url", &["postgres://app@db1/shop?sslmode=verify-full"]),
        given("target.url", &["@/run/url"]),
        given("tables.include", &["public.*", "a.\"B c\"", "- x", "${x}"]),
        given("columns.include", &["public.orders=(id, \"a,b\")"]),
        given("where", &["public.\"a:b\": region = 'EU' AND x <> ': #'"]),
        given("keys", &["public.log=log_id", "public.visit=(site, number)"]),
        given("append_only", &["public.log=halt"]),
        given("on_value", &["halt", "public.orders.total=set_aside", "timestamptz=null"]),
        given(
            "on_schema_change",
            &["drop-column=apply", "public.orders:change-type=halt", "public.orders:apply"],
        ),
        given("copy.readers", &["8"]),
        given("spill.directory", &["/var/spill dir"]),
    ];
    let written = write(&said);
    insta::assert_snapshot!(written.yaml);
    assert_eq!(written.variables, [""; 0]);
    assert_eq!(read_again(&written.yaml), said);
}

#[test]
fn no_password_is_written() {
    let secret = "pa%20ss:w@rd";
    for (path, value, expected, variable) in [
        (
            "source.url",
            "postgres://app:pa%20ss:w@rd@h:5432/d?x=y",
            "url: postgres://app@h:5432/d?x=y\n  password: ${SOURCE_PASSWORD}",
            "SOURCE_PASSWORD",
        ),
        (
            "target.url",
            "sqlserver://app:pa%20ss:w@rd@h/d",
            "url: sqlserver://app@h/d\n  password: ${TARGET_PASSWORD}",
            "TARGET_PASSWORD",
        ),
        ("source.url", "postgres://app@h/d?sslpassword=pa%20ss:w@rd", "url: ${SOURCE_URL}", "SOURCE_URL"),
        ("target.url", "-", "url: ${TARGET_URL}", "TARGET_URL"),
        ("kafka_connect.auth", "me:pa%20ss:w@rd", "auth: ${CONNECT_AUTH}", "CONNECT_AUTH"),
        ("kafka.auth", "me:pa%20ss:w@rd", "auth: ${KAFKA_AUTH}", "KAFKA_AUTH"),
    ] {
        let written = write(&[given(path, &[value])]);
        assert!(written.yaml.contains(expected) && !written.yaml.contains(secret), "{}", written.yaml);
        assert_eq!(written.variables, [variable]);
        assert_eq!(read_again(&written.yaml).len(), 1);
    }
}

#[test]
fn the_later_of_two_rules_about_the_same_is_written() {
    let rules = [
        "public.t:add-column=ignore",
        "public.t:halt",
        "public.t:add-column=apply",
        "add-column=halt",
        "halt",
        "apply",
    ];
    let again = read_again(&write(&[given("on_schema_change", &rules)]).yaml);
    let expected = ["public.t:halt", "public.t:add-column=apply", "add-column=halt", "apply"];
    assert_eq!(again, [given("on_schema_change", &expected)]);
    let again = read_again(&write(&[given("append_only", &["a.b", "a.c=ignore", "a.c"])]).yaml);
    assert_eq!(again, [given("append_only", &["a.b=halt", "a.c=halt"])]);
}

/// A name as rules have it, in quotes where it has other characters.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_]{1,4}", "[a-z*?]{1,3}", "[ -!#-~é🦀\\t]{1,6}".prop_map(|text| format!("\"{text}\""))]
}

fn text() -> impl Strategy<Value = String> {
    "[!-~é][ -~é\\t\\n]{0,10}[!-~é]"
}

fn rules(path: &'static str) -> impl Strategy<Value = Given> {
    let rule = (name(), name(), text(), vec(name(), 1..3)).prop_map(move |(schema, table, says, names)| {
        let table = format!("{schema}.{table}");
        match path {
            "where" => format!("{table}: {says}"),
            "columns.include" => format!("{table}=({})", names.join(", ")),
            _ => format!("{table}={says}"),
        }
    });
    vec(rule, 1..4).prop_map(move |mut values| {
        let mut seen = BTreeSet::new();
        let sign = if path == "where" { ':' } else { '=' };
        values.retain(|rule| seen.insert(split(rule, sign).map(|(name, _)| name.to_owned())));
        Given { path, values }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever was said, the file that is written of it says the same.
    #[test]
    fn what_is_written_is_read_again(
        name in text(),
        tables in vec(text(), 1..4),
        columns in rules("columns.include"),
        filters in rules("where"),
        renames in rules("rename"),
        spill in "/[ -~é]{0,10}",
    ) {
        let said = vec![
            Given { path: "name", values: vec![name] },
            Given { path: "tables.include", values: tables },
            columns,
            filters,
            renames,
            Given { path: "spill.directory", values: vec![spill] },
        ];
        let written = write(&said);
        prop_assert_eq!(read_again(&written.yaml), said, "{}", written.yaml);
    }
}
