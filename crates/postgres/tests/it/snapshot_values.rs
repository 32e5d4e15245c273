//! What fields of COPY and of the stream hold, for every kind of type, beside what PostgreSQL itself says.

use std::collections::BTreeMap;

use segcdc_model::{Change, Field, Tuple};
use segcdc_postgres::snapshot::copy;
use segcdc_postgres::{CopyRequest, Replication, SourceConfig};

use crate::fixture::{Source, drain, next_transaction};

/// A type, the function that makes its binary form (none where it has to come as text), and values.
type Case = (&'static str, Option<&'static str>, &'static [&'static str]);

/// No value holds `|` or a line end, which psql puts between fields and rows.
const CASES: [Case; 40] = [
    ("boolean", Some("boolsend"), &["true", "false"]),
    ("smallint", Some("int2send"), &["-32768", "32767"]),
    ("integer", Some("int4send"), &["-2147483648", "2147483647"]),
    ("bigint", Some("int8send"), &["-9223372036854775808", "0"]),
    ("oid", Some("oidsend"), &["4294967295"]),
    ("real", Some("float4send"), &["-1.17549435e-38", "NaN", "0.1"]),
    ("double precision", Some("float8send"), &["2.2250738585072014e-308", "-Infinity", "0.1"]),
    ("numeric", Some("numeric_send"), &["NaN", "Infinity", "-0.000000000000000000000000000000000000001"]),
    ("numeric(20,4)", Some("numeric_send"), &["9999999999999999.9999", "-1.5"]),
    ("text", Some("textsend"), &["", "grün 😀 \\ ''"]),
    ("varchar(20)", Some("varcharsend"), &["a  "]),
    ("char(5)", Some("bpcharsend"), &["a", ""]),
    ("bpchar", Some("bpcharsend"), &["a  "]),
    ("name", Some("namesend"), &["a_name"]),
    ("citext", Some("citextsend"), &["Case"]),
    ("bytea", Some("byteasend"), &["\\x", "\\x00ff5c27"]),
    ("uuid", Some("uuid_send"), &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("json", Some("json_send"), &["{\"a\" :  1, \"a\": 2}"]),
    ("jsonb", Some("jsonb_send"), &["{\"b\": 1, \"a\": [null]}"]),
    ("date", Some("date_send"), &["4713-01-01 BC", "infinity", "5874897-12-31"]),
    ("time", Some("time_send"), &["24:00:00", "00:00:00.000001"]),
    ("timestamp", Some("timestamp_send"), &["294276-12-31 23:59:59.999999", "-infinity"]),
    ("timestamptz", Some("timestamptz_send"), &["2024-03-31 02:30:00.5+02", "0044-03-15 12:00+00 BC"]),
    ("mood", Some("enum_send"), &["so so", "good"]),
    ("positive", Some("int4send"), &["7"]),
    ("inet", None, &["10.0.0.1", "10.0.0.1/8", "::1"]),
    ("cidr", None, &["10.0.0.0/8", "10.0.0.1/32"]),
    ("macaddr", None, &["08:00:2b:01:02:03"]),
    ("interval", None, &["1 year -2 days 03:04:05.000006"]),
    ("timetz", None, &["12:34:56.7-03:30"]),
    ("money", Some("cash_send"), &["-1234567.89"]),
    ("bit(1)", Some("bit_send"), &["0", "1"]),
    ("bit varying", None, &["0101"]),
    ("int4range", None, &["[1,5)", "empty"]),
    ("timestamptz[]", None, &["{{\"2024-01-01 00:00:00+00\",NULL}}", "{}"]),
    ("inet[]", None, &["{10.0.0.1}"]),
    ("pair", None, &["(,)", "(1,\"a b\")"]),
    ("xml", None, &["<a b=\"c\">ü</a>"]),
    ("\"char\"", None, &["x"]),
    ("regclass", None, &["pg_catalog.pg_class", "public.everything"]),
];

/// Settings that would change what values look like, what our SQL means, or end a session.
const HOSTILE: [(&str, &str); 23] = [
    ("DateStyle", "German, DMY"),
    ("IntervalStyle", "sql_standard"),
    ("TimeZone", "Asia/Kolkata"),
    ("extra_float_digits", "-15"),
    ("bytea_output", "escape"),
    ("client_encoding", "LATIN1"),
    ("lc_monetary", "POSIX"),
    ("xmlbinary", "hex"),
    ("xmloption", "document"),
    ("search_path", "hidden, public"),
    ("quote_all_identifiers", "on"),
    ("standard_conforming_strings", "off"),
    ("escape_string_warning", "on"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "serializable"),
    ("row_security", "on"),
    ("statement_timeout", "1"),
    ("lock_timeout", "1"),
    ("idle_in_transaction_session_timeout", "1"),
    ("idle_session_timeout", "1"),
    ("client_min_messages", "debug1"),
    ("transform_null_equals", "on"),
    ("array_nulls", "off"),
];

/// The cases that the server can show: some builds have no xml.
async fn cases(source: &Source) -> Vec<&'static Case> {
    let has_xml = source.session.query_text("SELECT '<a/>'::xml").await.is_ok();
    CASES.iter().filter(|(pg_type, ..)| has_xml || *pg_type != "xml").collect()
}

/// Makes the table, and a role whose settings are hostile.
fn setup(cases: &[&Case]) -> String {
    let columns = cases.iter().enumerate().map(|(index, (pg_type, ..))| format!("c{index} {pg_type}"));
    let columns = columns.collect::<Vec<_>>().join(", ");
    // Names that our own SQL would hit if it did not say which ones it means.
    let mut sql = format!(
        "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('so so', 'good'); \
         CREATE DOMAIN positive AS int CHECK (value > 0); CREATE TYPE pair AS (a int, b text); \
         CREATE TABLE everything (row_number int PRIMARY KEY, {columns}); \
         CREATE SCHEMA hidden; CREATE TABLE hidden.pg_class (oid oid, relfilenode oid); \
         CREATE FUNCTION hidden.concat(VARIADIC \"any\") RETURNS text LANGUAGE internal AS 'text_concat_ws'; \
         CREATE ROLE hostile LOGIN SUPERUSER REPLICATION; "
    );
    for (name, value) in HOSTILE {
        let value = if name == "search_path" { value.to_owned() } else { format!("'{value}'") };
        sql.push_str(&format!(
            "ALTER ROLE hostile SET {name} = {value}; ALTER ROLE hostile IN DATABASE everything SET {name} = {value}; "
        ));
    }
    sql
}

/// Fills the table: row after row until every type has shown all its values, NULL where it has no more.
fn fill(cases: &[&Case]) -> String {
    let rows = cases.iter().map(|(_, _, values)| values.len()).max().unwrap_or(0) + 1;
    let row = |number: usize| {
        let values = cases
            .iter()
            .map(|(_, _, values)| values.get(number).map_or("NULL".to_owned(), |value| format!("'{value}'")));
        format!("({number}, {})", values.collect::<Vec<_>>().join(", "))
    };
    format!("INSERT INTO everything VALUES {}", (0..rows).map(row).collect::<Vec<_>>().join(", "))
}

/// The rows by their number, as COPY gives them.
async fn copied(source: &Source, config: &SourceConfig) -> BTreeMap<usize, Tuple> {
    let table = source.table("everything").await;
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    let mut rows = copy(config, CopyRequest::new(&table, &columns)).await.unwrap();
    let rows = drain(&mut rows).await;
    rows.into_iter().map(|row| (usize::try_from(crate::fixture::int(row.get(0))).unwrap(), row)).collect()
}

/// What psql prints for a list of expressions, row by row.
fn printed(source: &Source, expressions: &str) -> Vec<Vec<String>> {
    let sql = format!(
        "SET TimeZone = 'UTC'; SET search_path = pg_catalog; \
         SELECT {expressions} FROM public.everything ORDER BY row_number"
    );
    let text = source.cluster.psql(&source.name, &sql).unwrap();
    text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

#[tokio::test]
async fn fields_are_what_postgresql_says_whatever_the_role_has_set() {
    let source = Source::shared("everything", "").await;
    let cases = cases(&source).await;
    source.run(&setup(&cases)).await;
    source.publish().await;
    let hostile = source.config_of("hostile");
    let mut replication = Replication::connect(&hostile).await.unwrap();
    let slot =
        replication.create_slot("everything", segcdc_postgres::SlotSnapshot::None, true).await.unwrap();
    let mut stream = replication.start("everything", slot.consistent_point, &["everything"]).await.unwrap();
    source.run(&fill(&cases)).await;

    let rows = copied(&source, &hostile).await;
    assert_eq!(rows, copied(&source, &source.config).await, "the role's settings change nothing");
    let all = |expression: &dyn Fn(usize, &Case) -> String| {
        let list = cases.iter().enumerate().map(|(index, case)| expression(index, case));
        printed(&source, &list.collect::<Vec<_>>().join(", "))
    };
    let texts = all(&|index, _| format!("c{index}"));
    let nulls = all(&|index, _| format!("c{index} IS NOT DISTINCT FROM NULL"));
    let hex = all(&|index, (_, send, _)| match send {
        Some(send) => format!("encode({}{send}(c{index}), 'hex')", schema_of(send)),
        None => "''".to_owned(),
    });
    let changes = next_transaction(&mut stream).await.changes;
    assert_eq!((rows.len(), changes.len()), (texts.len(), texts.len()));
    for (number, change) in changes.iter().enumerate() {
        let Change::Insert { new: streamed, .. } = change else { panic!("not an insert") };
        for (index, (pg_type, send, _)) in cases.iter().enumerate() {
            let context = format!("row {number}, {pg_type}");
            let text = texts[number][index].as_bytes();
            let (field, streamed) = (rows[&number].get(index + 1), streamed.get(index + 1));
            if nulls[number][index] == "t" {
                assert_eq!((field, streamed), (Some(Field::Null), Some(Field::Null)), "{context}");
                continue;
            }
            assert_eq!(streamed, Some(Field::Text(text)), "{context}");
            let sent = unhex(&hex[number][index]);
            let expected = if send.is_some() { Field::Binary(&sent) } else { Field::Text(text) };
            assert_eq!(field, Some(expected), "{context}");
        }
    }
    stream.close().await.unwrap();
}

/// Where a function lives.
fn schema_of(function: &str) -> &'static str {
    if function == "citextsend" { "public." } else { "" }
}

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.as_bytes().chunks(2).map(byte).collect()
}
