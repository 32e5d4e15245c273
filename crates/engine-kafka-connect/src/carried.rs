//! [`carried`]: which values this route carries as they are.
//!
//! Debezium reads a column into a type of Kafka Connect, and the JDBC sink writes that. Where what arrives is not what
//! the source prints, or a value could be changed on the way without anybody being told, the table is refused: the native
//! engine carries it. What remains is listed with what its values can still run into.

use segcdc_model::{PgType, SourceColumn};
use segcdc_plan::type_map;

use crate::exception::{self, Exception};

/// What becomes of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// As they are.
    Exactly,
    /// As they are, but for these.
    Except(&'static [Exception]),
    /// Not at all, or changed.
    Refused(&'static str),
}

/// Types that travel as the text that PostgreSQL prints.
const AS_TEXT: &[&str] = &[
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "daterange",
    "tsvector",
];

/// What becomes of a column's values.
pub fn carried(column: &SourceColumn) -> Carried {
    match &column.pg_type {
        PgType::Bool
        | PgType::Int2
        | PgType::Int4
        | PgType::Int8
        | PgType::Oid
        | PgType::Text
        | PgType::Varchar { .. }
        | PgType::Char { .. }
        | PgType::Bytea
        | PgType::Uuid
        | PgType::Json
        | PgType::Jsonb
        | PgType::Enum => Carried::Exactly,
        PgType::Name => Carried::Refused("name: Debezium reads it as NULL from the stream"),
        PgType::Float4 | PgType::Float8 => Carried::Except(exception::FLOAT),
        PgType::Numeric { bounds: Some((precision, scale)) } => numeric(*precision, *scale),
        PgType::Numeric { bounds: None } => Carried::Refused(
            "numeric without bounds: SQL Server would round digits behind the 18th of a value without an error",
        ),
        PgType::Date => Carried::Except(exception::DATE),
        PgType::Time => Carried::Except(exception::TIME),
        PgType::Timestamp => Carried::Except(exception::TIMESTAMP),
        PgType::TimestampTz => Carried::Except(exception::TIMESTAMPTZ),
        PgType::Bit => Carried::Exactly,
        PgType::Money { .. } | PgType::MoneyOfUnknownDigits => {
            Carried::Refused("money: Debezium assumes two digits behind the point, whatever the locale says")
        }
        PgType::Other => other(&column.type_name),
    }
}

/// Whether values of the column can be so large that PostgreSQL leaves them out of an UPDATE that does not touch them.
pub fn can_be_toasted(column: &SourceColumn) -> bool {
    match &column.pg_type {
        PgType::Text
        | PgType::Varchar { .. }
        | PgType::Char { .. }
        | PgType::Bytea
        | PgType::Json
        | PgType::Jsonb
        | PgType::Numeric { .. }
        | PgType::Other => true,
        PgType::Bool
        | PgType::Int2
        | PgType::Int4
        | PgType::Int8
        | PgType::Float4
        | PgType::Float8
        | PgType::Name
        | PgType::Uuid
        | PgType::Date
        | PgType::Time
        | PgType::Timestamp
        | PgType::TimestampTz
        | PgType::Enum
        | PgType::Bit
        | PgType::Money { .. }
        | PgType::MoneyOfUnknownDigits
        | PgType::Oid => false,
    }
}

fn numeric(precision: u16, scale: i16) -> Carried {
    match type_map::exact_decimal(precision, scale) {
        true => Carried::Except(exception::NUMERIC),
        false => {
            Carried::Refused("numeric that needs more than 38 digits: SQL Server would round some values")
        }
    }
}

fn other(type_name: &str) -> Carried {
    let base = type_name.split('(').next().unwrap_or(type_name).trim();
    if base.ends_with("[]") {
        return Carried::Refused("arrays: the JDBC sink cannot write them into SQL Server");
    }
    if AS_TEXT.contains(&base) {
        return Carried::Exactly;
    }
    if base.starts_with("interval") {
        return Carried::Refused("interval: Debezium writes another text than PostgreSQL");
    }
    Carried::Refused(match base {
        "time with time zone" => "time with time zone: Debezium converts it to UTC",
        "time" if type_name.ends_with("with time zone") => "time with time zone: Debezium converts it to UTC",
        "bit" | "bit varying" => "bit strings: the JDBC sink changes those of more than 32 bits",
        "tstzrange" => "tstzrange: its text depends on the session's time zone",
        "xml" => "xml: the JDBC sink binds it as another type",
        "point" => "geometry: the JDBC sink changes its form and its type",
        _ => "a type that Debezium leaves out of its messages without notice, or writes in another form",
    })
}

/// The row of the page that a column belongs to.
pub fn row(column: &SourceColumn) -> &'static str {
    match &column.pg_type {
        PgType::Bool => "boolean",
        PgType::Int2 => "smallint",
        PgType::Int4 => "integer",
        PgType::Int8 => "bigint",
        PgType::Float4 => "real",
        PgType::Float8 => "double precision",
        PgType::Numeric { bounds: Some((precision, scale)) } => {
            match type_map::exact_decimal(*precision, *scale) {
                true => "numeric(p,s) of up to 38 digits",
                false => "numeric(p,s) of more digits",
            }
        }
        PgType::Numeric { bounds: None } => "numeric",
        PgType::Text => "text, citext",
        PgType::Varchar { .. } => "varchar(n), varchar",
        PgType::Char { .. } => "char(n), bpchar",
        PgType::Name => "name",
        PgType::Bytea => "bytea",
        PgType::Uuid => "uuid",
        PgType::Json => "json",
        PgType::Jsonb => "jsonb",
        PgType::Date => "date",
        PgType::Time => "time",
        PgType::Timestamp => "timestamp",
        PgType::TimestampTz => "timestamptz",
        PgType::Enum => "enums",
        PgType::Oid => "oid",
        PgType::Bit => "bit(1)",
        PgType::Money { .. } | PgType::MoneyOfUnknownDigits => "money",
        PgType::Other => row_of_other(&column.type_name),
    }
}

/// Rows of types that have no kind of their own, with a type that belongs there.
const OTHER_ROWS: &[(&str, &str)] = &[
    ("timetz", "time with time zone"),
    ("interval", "interval"),
    ("bit(n), varbit", "bit(2)"),
    ("inet", "inet"),
    ("cidr", "cidr"),
    ("macaddr", "macaddr"),
    ("macaddr8", "macaddr8"),
    ("int4range", "int4range"),
    ("int8range", "int8range"),
    ("numrange", "numrange"),
    ("daterange", "daterange"),
    ("tsrange", "tsrange"),
    ("tstzrange", "tstzrange"),
    ("tsvector", "tsvector"),
    ("xml", "xml"),
    ("point", "point"),
    ("arrays", "integer[]"),
    ("any other type", "tsquery"),
];

fn row_of_other(type_name: &str) -> &'static str {
    let base = type_name.split('(').next().unwrap_or(type_name).trim();
    let name = match base {
        _ if base.ends_with("[]") => "arrays",
        _ if type_name.starts_with("time") && type_name.ends_with("with time zone") => "timetz",
        "bit" | "bit varying" => "bit(n), varbit",
        _ if base.starts_with("interval") => "interval",
        _ => base,
    };
    OTHER_ROWS.iter().find(|(row, _)| *row == name).map_or("any other type", |(row, _)| row)
}

/// The rows of the page, in its order, each with a column that belongs there.
pub fn documented() -> Vec<(&'static str, SourceColumn)> {
    let numeric = |precision, scale| PgType::Numeric { bounds: Some((precision, scale)) };
    let known = [
        PgType::Bool,
        PgType::Int2,
        PgType::Int4,
        PgType::Int8,
        PgType::Float4,
        PgType::Float8,
        numeric(38, 2),
        numeric(39, 2),
        PgType::Numeric { bounds: None },
        PgType::Text,
        PgType::Varchar { length: None },
        PgType::Char { length: 1 },
        PgType::Name,
        PgType::Bytea,
        PgType::Uuid,
        PgType::Json,
        PgType::Jsonb,
        PgType::Date,
        PgType::Time,
        PgType::Timestamp,
        PgType::TimestampTz,
        PgType::Enum,
        PgType::Oid,
        PgType::Bit,
        PgType::Money { fraction_digits: 2 },
    ];
    let known = known.into_iter().map(|pg_type| (pg_type, ""));
    let others = OTHER_ROWS.iter().map(|(_, type_name)| (PgType::Other, *type_name));
    let columns = known.chain(others).map(|(pg_type, type_name)| SourceColumn {
        name: "c".to_owned(),
        attnum: 1,
        pg_type,
        type_name: type_name.to_owned(),
        not_null: false,
        generated: false,
    });
    columns.map(|column| (row(&column), column)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn column(pg_type: PgType, type_name: &str) -> SourceColumn {
        SourceColumn {
            name: "c".to_owned(),
            attnum: 1,
            pg_type,
            type_name: type_name.to_owned(),
            not_null: false,
            generated: false,
        }
    }

    /// Where the page of types lies.
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/types-kafka-connect.md");

    /// What stands above the table.
    const HEAD: &str = "\
# Types on Kafka Connect

<!-- Generated from the code by `cargo xtask reference --write`. Do not edit. -->

What becomes of a PostgreSQL type on the way through Debezium, Kafka and the JDBC sink. The target's column has the type of
[the native engine's page](types.md); it is made by segcdc.

- A table with a column of a type that is **refused** is left out, with the column's name (`CONNECT_TYPE_UNSUPPORTED`).
- Single values that do not arrive as they are stand behind *but*. A table that holds one is left out, with the column's name
  (`CONNECT_VALUE_UNSUPPORTED`). One that is written later is not noticed by this route where it says so: run `segcdc verify`, or keep
  it out with a CHECK constraint at the source.

Proven with Debezium 3.6, value by value, by the copy and by the stream, against the development sandbox, with Microsoft's
driver: what stands here as exact arrives, and what does not, does not.

| PostgreSQL | |
|---|---|
";

    #[test]
    fn the_page_of_types_is_current() {
        let mut page = HEAD.to_owned();
        for (row, column) in documented() {
            let text = match carried(&column) {
                Carried::Exactly => "carried exactly".to_owned(),
                Carried::Except(exceptions) => {
                    let exceptions: Vec<String> = exceptions.iter().map(ToString::to_string).collect();
                    format!("carried exactly, but {}", exceptions.join("; "))
                }
                Carried::Refused(reason) => format!("**refused**: {reason}"),
            };
            page.push_str(&format!("| `{row}` | {text} |\n"));
        }
        if std::env::var_os("SEGCDC_WRITE_PAGES").is_some() {
            std::fs::write(PAGE, &page).unwrap();
        }
        assert_eq!(std::fs::read_to_string(PAGE).unwrap(), page, "run `cargo xtask reference --write`");
    }

    #[test]
    fn every_row_is_there_once() {
        let rows: Vec<&str> = documented().into_iter().map(|(row, _)| row).collect();
        let distinct: BTreeSet<&str> = rows.iter().copied().collect();
        assert_eq!(rows.len(), distinct.len(), "{rows:?}");
        for (row, _) in OTHER_ROWS {
            assert!(distinct.contains(row), "{row}");
        }
    }

    #[test]
    fn what_could_change_on_its_way_is_refused() {
        let refused = |pg_type: PgType, type_name: &str| {
            matches!(carried(&column(pg_type, type_name)), Carried::Refused(_))
        };
        assert!(refused(PgType::Numeric { bounds: None }, "numeric"));
        assert!(refused(PgType::Numeric { bounds: Some((39, 0)) }, "numeric(39,0)"));
        assert!(refused(PgType::Name, "name"));
        assert!(!refused(PgType::Numeric { bounds: Some((5, -2)) }, "numeric(5,-2)"));
        assert!(!refused(PgType::Numeric { bounds: Some((2, 5)) }, "numeric(2,5)"));
        for name in
            ["interval", "interval(3)", "integer[]", "bit(40)", "my_composite", "xml", "box", "public.ltree"]
        {
            assert!(refused(PgType::Other, name), "{name}");
        }
        for name in ["inet", "int4range"] {
            assert!(!refused(PgType::Other, name), "{name}");
        }
        assert!(!refused(PgType::Numeric { bounds: Some((38, 10)) }, "numeric(38,10)"));
    }

    #[test]
    fn only_values_of_any_length_can_be_left_out() {
        assert!(can_be_toasted(&column(PgType::Varchar { length: Some(10) }, "varchar(10)")));
        assert!(can_be_toasted(&column(PgType::Jsonb, "jsonb")));
        assert!(!can_be_toasted(&column(PgType::Name, "name")));
        assert!(!can_be_toasted(&column(PgType::Int8, "bigint")));
    }
}
