//! `docs/reference/types.md`, generated from the type map. With `SEGCDC_WRITE_PAGES` set, the test writes it.

use std::fmt::Write;
use std::path::Path;

use segcdc_model::{PgType, SourceColumn};
use segcdc_plan::type_map::{map, narrowing};

/// What stands above the table.
const HEAD: &str = "\
# Types

<!-- Generated from the type map by `cargo xtask reference --write`. Do not edit. -->

Each PostgreSQL type, the SQL Server type that the target's column gets, and what that type cannot hold. A value that does
not fit halts its table and names the column; it is never rounded, cut or clamped. Domains count as their base type.
Key columns of text get a binary collation, for which different text is different. `timestamptz` is written as the
instant in UTC, at offset +00:00. Character lengths are in UTF-16 units at the target, two for each of the source's
characters.

| PostgreSQL | SQL Server | in a key | refused |
|---|---|---|---|
";

/// The types, as a person writes them.
fn types() -> Vec<(&'static str, PgType)> {
    vec![
        ("boolean", PgType::Bool),
        ("smallint", PgType::Int2),
        ("integer", PgType::Int4),
        ("bigint", PgType::Int8),
        ("real", PgType::Float4),
        ("double precision", PgType::Float8),
        ("numeric", PgType::Numeric { bounds: None }),
        ("numeric(12,2)", PgType::Numeric { bounds: Some((12, 2)) }),
        ("numeric(38,10)", PgType::Numeric { bounds: Some((38, 10)) }),
        ("numeric(50,10)", PgType::Numeric { bounds: Some((50, 10)) }),
        ("text, citext", PgType::Text),
        ("varchar(40)", PgType::Varchar { length: Some(40) }),
        ("varchar(3000)", PgType::Varchar { length: Some(3000) }),
        ("varchar", PgType::Varchar { length: None }),
        ("char(5)", PgType::Char { length: 5 }),
        ("name", PgType::Name),
        ("enums", PgType::Enum),
        ("bytea", PgType::Bytea),
        ("uuid", PgType::Uuid),
        ("json", PgType::Json),
        ("jsonb", PgType::Jsonb),
        ("date", PgType::Date),
        ("time", PgType::Time),
        ("timestamp", PgType::Timestamp),
        ("timestamptz", PgType::TimestampTz),
        ("oid", PgType::Oid),
        ("all others: arrays, ranges, interval, timetz, money, xml, inet, geometric, …", PgType::Other),
    ]
}

/// The page as it should be.
fn page() -> String {
    let mut page = HEAD.to_owned();
    for (name, pg_type) in types() {
        let column = SourceColumn {
            name: "c".to_owned(),
            attnum: 1,
            pg_type: pg_type.clone(),
            type_name: name.to_owned(),
            not_null: true,
            generated: false,
        };
        let (plain, key) = (map(&column, false), map(&column, true));
        let in_key = if plain == key { "the same".to_owned() } else { format!("`{key}`") };
        let refused = [narrowing(&pg_type, &plain), narrowing(&pg_type, &key)];
        let refused = refused.map(|text| {
            text.map(|text| text.trim_end_matches(" are refused").trim_end_matches(" is refused"))
        });
        let refused = match refused {
            [None, None] => "nothing".to_owned(),
            [None, Some(text)] => format!("in a key: {text}"),
            [Some(text), _] => text.to_owned(),
        };
        writeln!(page, "| {name} | `{plain}` | {in_key} | {refused} |").expect("a String takes any text");
    }
    page.push_str("\nTypes of the last line arrive as the exact text that PostgreSQL prints for them.\n");
    page
}

#[test]
fn the_published_type_matrix_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/types.md");
    if std::env::var_os("SEGCDC_WRITE_PAGES").is_some() {
        std::fs::write(&path, page()).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page(), "docs/reference/types.md is not current; run `cargo xtask reference --write`");
}
