//! `docs/reference/types.md`, generated from the type map. With `SEGCDC_WRITE_PAGES` set, the test writes it.
//!
//! Nothing stands on the page that is not proven: each of its rows has a block of values in `tests/matrix/types.txt`, and a
//! strategy for random ones in the test kit, which the end-to-end tests send through the whole product.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use segcdc_model::{MssqlType, PgType, QualifiedName, ReplicaIdentity, SourceColumn, SourceTable, TableKind};
use segcdc_plan::target_type::CHOICES;
use segcdc_plan::type_map::{can_clamp, map, narrowing};
use segcdc_plan::{Naming, RuleTexts, Rules, table_plan};

/// What stands above the table.
const HEAD: &str = "\
# Types

<!-- Generated from the type map by `cargo xtask reference --write`. Do not edit. -->

Each PostgreSQL type, the SQL Server type that the target's column gets, and what that type cannot hold. A value that does
not fit halts its table and names the column, unless a policy says otherwise (`--on-value`, see
[values that do not fit](../guides/values-that-do-not-fit.md)); it is never rounded, and never another value silently. The last
column names the policies that mean something for the type. Domains count as their base type.
Key columns of text get a binary collation, for which different text is different. `timestamptz` is written as the
instant in UTC, at offset +00:00. Character lengths are in UTF-16 units at the target, two for each of the source's
characters. Zeros at the end of a number's fraction are no part of it: `1.50` and `1.5` are the same number, and arrive
with the digits that the target's scale shows.

Every row is proven value by value, by the copy and by the stream: `tests/matrix/types.txt` lists the values at the edges, and
`crates/testkit/src/values.rs` draws random ones.

| PostgreSQL | SQL Server | in a key | refused | policies |
|---|---|---|---|---|
";

/// What stands below the table.
const FOOT: &str = "
`clamp` takes infinities and whatever lies beyond the range to its end. NaN has no nearest value, nor have digits behind the point
that the column does not keep: they halt the table under `clamp`, and are concerned by `null` and `set_aside`. `null` and `set_aside`
also take text that is not UTF-8, of a source whose encoding cannot tell.

Text is the exact text that PostgreSQL prints under pinned settings: `DateStyle` ISO, `IntervalStyle` postgres,
`TimeZone` UTC, `bytea_output` hex, shortest exact floats, names with their schema. No setting of a role, a database or
the server changes it.

`money` has as many digits behind the point as the `lc_monetary` of the database gives it (two for `C` and most others, none
for yen); `ALTER DATABASE ... SET lc_monetary` changes what its stored values mean, here as in PostgreSQL.

Labels of enums, and names in `regclass` and its like, are text as of the moment at which the row was written. Renaming the
label or the table changes what PostgreSQL prints for rows that nobody touched, and no change of them is sent: `verify` finds
such rows, and `table resync` copies them again.

Floating-point numbers arrive bit by bit, -0 and subnormal numbers too. SQL Server's manual gives the range of `float`
without subnormal numbers (below 2.23E-308, for `real` below 1.18E-38); servers store them, but read a literal of one as 0.
";

/// What stands above the table of types that can be asked for.
const ASKED: &str = "
## Other types

`--type 'public.orders.total=decimal(28,6)'` gives a column another type, see
[names and types](../guides/names-and-types.md#other-types). Each value of the source becomes the one that says the same there, or is
refused; it is never rounded. A type that does not hold all that the usual one does is refused (`TYPE_NARROWS`) unless `--on-value`
says what becomes of what does not fit. `tests/matrix/overrides.txt` lists the values by which each row is proven.

| PostgreSQL | can be | in a key |
|---|---|---|
";

/// What stands below it.
const ASKED_FOOT: &str = "
Any type can be `nvarchar(n)`, `nvarchar(max)` or, outside of keys, `varchar(n)` and `varchar(max)`: the text that PostgreSQL prints. A
`varchar(n)` has n bytes of UTF-8, up to 8000, and the collation `Latin1_General_100_CI_AS_SC_UTF8`, which SQL Server has since 2019; `varchar(max)` has
all that an `nvarchar(max)` has. A `tinyint` has no negative numbers: 0 to 255. `json_array` makes an array a JSON array in an `nvarchar(max)`: NULL becomes `null`, arrays of several dimensions arrays
of arrays; numbers stay as PostgreSQL prints them, truth values, json and jsonb become what they are in JSON, all else strings. An
array with a lower bound that is not 1, with NaN or infinity, or of more than 1 MiB of text has no place there; types whose arrays are
known are those of numbers, truth values, text, json, jsonb, bytea, uuid, dates and times, intervals, addresses, bits and xml.
`json` is the type of SQL Server 2025 and of Azure (`TARGET_TYPE_UNKNOWN` where the server has not got it), for `json`, `jsonb` and the same arrays:
the value arrives and its spelling does not, see [names and types](../guides/names-and-types.md#native-json). A `timestamptz` in a `datetime2` is the instant in
UTC; a `date` is its midnight; a `real` is the same number as a `float`. Key columns have at most 900 bytes, `nvarchar(450)` or
`varbinary(900)`, and share them. Not to be had: `xml` (SQL Server does not keep its text), `datetime` and `smalldatetime` (they round),
`money` (`decimal(19,4)` holds the same), `char`, `nchar` and `binary` (they fill up), and a `float` for a `numeric`, which it would
round.
";

/// Said of all types in the text below the table, and no part of its rows.
const SAID_OF_ALL: [&str; 2] = ["nvarchar(max)", "varbinary(max)"];

/// A row of the page: how a person writes the type, and what the product makes of it.
fn rows() -> Vec<(&'static str, PgType)> {
    let other = PgType::Other;
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
        ("numeric(5,-3)", PgType::Numeric { bounds: Some((5, -3)) }),
        ("numeric(3,5)", PgType::Numeric { bounds: Some((3, 5)) }),
        ("numeric(50,10)", PgType::Numeric { bounds: Some((50, 10)) }),
        ("text, citext", PgType::Text),
        ("varchar(40)", PgType::Varchar { length: Some(40) }),
        ("varchar(3000)", PgType::Varchar { length: Some(3000) }),
        ("varchar", PgType::Varchar { length: None }),
        ("char(5)", PgType::Char { length: 5 }),
        ("bpchar", PgType::Text),
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
        ("timetz", other.clone()),
        ("interval", other.clone()),
        ("money", PgType::Money { fraction_digits: 2 }),
        ("bit(1)", PgType::Bit),
        ("bit(n), varbit", other.clone()),
        ("xml", other.clone()),
        ("arrays", other.clone()),
        ("domains over arrays", other.clone()),
        ("composite types", other.clone()),
        ("ranges and multiranges", other.clone()),
        ("network addresses", other.clone()),
        ("text search", other.clone()),
        ("geometric types", other.clone()),
        ("system types", other.clone()),
        ("types of extensions", other),
    ]
}

/// Number of the variants of [`PgType`]; [`variant`] counts them.
const VARIANTS: usize = 24;

/// The number of a type's variant. A new variant has to be numbered here, and then to have a row.
fn variant(pg_type: &PgType) -> usize {
    match pg_type {
        PgType::Bool => 0,
        PgType::Int2 => 1,
        PgType::Int4 => 2,
        PgType::Int8 => 3,
        PgType::Float4 => 4,
        PgType::Float8 => 5,
        PgType::Numeric { .. } => 6,
        PgType::Text => 7,
        PgType::Varchar { .. } => 8,
        PgType::Char { .. } => 9,
        PgType::Name => 10,
        PgType::Bytea => 11,
        PgType::Uuid => 12,
        PgType::Json => 13,
        PgType::Jsonb => 14,
        PgType::Date => 15,
        PgType::Time => 16,
        PgType::Timestamp => 17,
        PgType::TimestampTz => 18,
        PgType::Enum => 19,
        PgType::Oid => 20,
        PgType::Bit => 21,
        // Of unknown digits it becomes nothing: no row.
        PgType::Money { .. } | PgType::MoneyOfUnknownDigits => 22,
        PgType::Other => 23,
    }
}

/// A column of a type.
fn column(name: &str, pg_type: &PgType) -> SourceColumn {
    SourceColumn {
        name: "c".to_owned(),
        attnum: 1,
        pg_type: pg_type.clone(),
        type_name: name.to_owned(),
        not_null: true,
        generated: false,
    }
}

/// One row of the table.
fn row(name: &str, pg_type: &PgType) -> String {
    let column = column(name, pg_type);
    let (plain, key) = (map(&column, false), map(&column, true));
    let in_key = if plain == key { "the same".to_owned() } else { format!("`{key}`") };
    let refused = [narrowing(pg_type, &plain, false), narrowing(pg_type, &key, true)];
    let refused = refused.each_ref().map(|text| {
        text.as_ref().map(|text| text.trim_end_matches(" are refused").trim_end_matches(" is refused"))
    });
    let refused = match refused {
        [None, None] => "nothing".to_owned(),
        [None, Some(text)] => format!("in a key: {text}"),
        [Some(text), _] => text.to_owned(),
    };
    let policies = match (narrowing(pg_type, &plain, false), narrowing(pg_type, &key, true)) {
        (Some(_), _) if can_clamp(pg_type) => {
            "`text`, `null`, `clamp`, `set_aside`; in a key `text`, `set_aside`"
        }
        (Some(_), _) => "`text`, `null`, `set_aside`",
        (None, Some(_)) => "in a key `set_aside`",
        (None, None) => "",
    };
    format!("| {name} | `{plain}` | {in_key} | {refused} | {policies} |")
}

/// The target types that a column can be given, beside what any can; `in_key` as a column of the key.
fn possible(name: &str, pg_type: &PgType, in_key: bool) -> Vec<&'static str> {
    let can = |target: &str| {
        let source = SourceTable {
            oid: 1,
            name: QualifiedName::new("public", "t"),
            kind: TableKind::Ordinary,
            columns: vec![column(name, pg_type)],
            primary_key: if in_key { vec![0] } else { Vec::new() },
            replica_identity: if in_key { ReplicaIdentity::Default } else { ReplicaIdentity::Full },
            identity_index: Vec::new(),
            indexes: Vec::new(),
            estimated_rows: 0,
            size_bytes: 0,
            heap_pages: 0,
            row_security: false,
            owner: String::new(),
        };
        let texts = RuleTexts {
            types: vec![format!("public.t.c={target}")],
            values: vec!["public.t.c=set_aside".to_owned()],
            ..RuleTexts::default()
        };
        let naming = Naming::new("dbo").with_rules(Rules::parse(&texts).expect("the type can be read"));
        table_plan(&source, &naming).is_ok_and(|plan| !plan.columns.iter().any(|column| column.as_text))
    };
    let rows = CHOICES.iter().filter(|(shown, _)| !SAID_OF_ALL.contains(shown));
    rows.filter(|(_, target)| can(target)).map(|(shown, _)| *shown).collect()
}

/// Whether a type is the only one that a column can have.
fn is_usual(targets: &[&str], pg_type: &PgType) -> bool {
    let word = |text: &str| text.split('(').next().unwrap_or_default().to_owned();
    let usual = word(&map(&column("c", pg_type), false).to_string());
    !matches!(map(&column("c", pg_type), false), MssqlType::NVarChar { .. } | MssqlType::VarBinary { .. })
        && targets
            .iter()
            .all(|target| word(target) == usual && !target.contains("(n)") && !target.contains("(p,s)"))
}

/// The rows of the table of types that can be asked for: one for each variant that can have another.
fn asked_rows() -> Vec<(&'static str, Vec<&'static str>, Vec<&'static str>)> {
    let mut seen = BTreeSet::new();
    let rows = rows().into_iter().filter(|(_, pg_type)| seen.insert(variant(pg_type)));
    let rows = rows.map(|(name, pg_type)| {
        let shown = match pg_type {
            PgType::Other => "all others",
            PgType::Numeric { .. } => "numeric",
            PgType::Varchar { .. } => "varchar",
            PgType::Char { .. } => "char",
            _ => name,
        };
        ((shown, possible(name, &pg_type, false), possible(name, &pg_type, true)), pg_type)
    });
    rows.filter(|((_, targets, _), pg_type)| !is_usual(targets, pg_type)).map(|(row, _)| row).collect()
}

/// The table of types that can be asked for.
fn asked() -> String {
    let list =
        |targets: &[&str]| targets.iter().map(|target| format!("`{target}`")).collect::<Vec<_>>().join(", ");
    let rows = asked_rows().into_iter().map(|(name, plain, key)| {
        let in_key = if plain == key { "the same".to_owned() } else { list(&key) };
        format!("| {name} | {} | {in_key} |\n", list(&plain))
    });
    format!("{ASKED}{}{ASKED_FOOT}", rows.collect::<String>())
}

/// The page as it should be.
fn page() -> String {
    let mut page = HEAD.to_owned();
    for (name, pg_type) in rows() {
        writeln!(page, "{}", row(name, &pg_type)).expect("a String takes any text");
    }
    page.push_str("| domains | as their base type | | | |\n");
    page.push_str(FOOT);
    page.push_str(&asked());
    page
}

/// A file of the repository.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

#[test]
fn the_published_type_matrix_is_current() {
    let path = path("docs/reference/types.md");
    if std::env::var_os("SEGCDC_WRITE_PAGES").is_some() {
        std::fs::write(&path, page()).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page(), "docs/reference/types.md is not current; run `cargo xtask reference --write`");
}

/// The rows that `types.txt` has values for, and whether some are refused.
fn proven() -> BTreeMap<String, bool> {
    let text = std::fs::read_to_string(path("tests/matrix/types.txt")).expect("the list of values is there");
    let mut rows = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some((row, _)) = line.strip_prefix('[').and_then(|line| line.split_once("] ")) {
            row.clone_into(&mut current);
            rows.entry(current.clone()).or_insert(false);
        } else if line.starts_with("! ") {
            rows.insert(current.clone(), true);
        }
    }
    rows
}

#[test]
fn each_published_row_is_proven_and_each_proof_is_published() {
    let refuses = |pg_type: &PgType, name: &str| {
        narrowing(pg_type, &map(&column(name, pg_type), false), false).is_some()
    };
    let mut published: BTreeMap<String, bool> =
        rows().iter().map(|(name, pg_type)| ((*name).to_owned(), refuses(pg_type, name))).collect();
    published.insert("domains".to_owned(), true);
    assert_eq!(published, proven(), "each row, and whether values of it are refused");
}

#[test]
fn each_type_that_can_be_asked_for_is_proven() {
    let text =
        std::fs::read_to_string(path("tests/matrix/overrides.txt")).expect("the list of values is there");
    let word = |text: &str| text.split('(').next().unwrap_or_default().to_owned();
    let proven: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("] "))
        .filter_map(|(target, column)| Some((word(column.split_once(" | ")?.0), word(target))))
        .map(|(source, target)| (if source == "matrix.mood" { "enums".to_owned() } else { source }, target))
        .collect();
    let mut missing = Vec::new();
    for (name, targets, _) in asked_rows() {
        // One of the names of a row.
        let source = word(name.split(',').next().unwrap_or(name));
        let usual = rows().into_iter().find(|(row, _)| row.starts_with(name)).map(|(_, pg_type)| pg_type);
        let usual = usual.map(|pg_type| map(&column("c", &pg_type), false).to_string());
        for target in targets {
            let differs = usual.as_deref() != Some(target);
            if differs && name != "all others" && !proven.contains(&(source.clone(), word(target))) {
                missing.push((source.clone(), target));
            }
        }
    }
    assert!(missing.is_empty(), "without values: {missing:?}");
}

#[test]
fn each_type_that_the_product_knows_is_published() {
    let published: BTreeSet<usize> = rows().iter().map(|(_, pg_type)| variant(pg_type)).collect();
    assert_eq!(published, (0..VARIANTS).collect());
}
