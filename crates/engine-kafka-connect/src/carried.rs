//! [`carried`]: which values this route carries as they are.
//!
//! Debezium reads a column into a type of Kafka Connect, and the JDBC sink writes that. Where what arrives is not what
//! the source prints, or a value could be changed on the way without anybody being told, the table is refused: the native
//! engine carries it. What remains is listed with what its values can still run into.

use segcdc_model::{PgType, SourceColumn};

/// What becomes of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// As they are.
    Exactly,
    /// As they are, but for some that stop the pipeline or arrive changed.
    With(&'static str),
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
    "ltree",
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
        | PgType::Name
        | PgType::Bytea
        | PgType::Uuid
        | PgType::Json
        | PgType::Jsonb
        | PgType::Enum => Carried::Exactly,
        PgType::Float4 | PgType::Float8 => {
            Carried::With("NaN and infinities stop the pipeline (SQL Server error 8023)")
        }
        PgType::Numeric { bounds: Some((precision, scale)) } => numeric(*precision, *scale),
        PgType::Numeric { bounds: None } => Carried::Refused(
            "numeric without bounds: SQL Server would round digits behind the 18th of a value without an error",
        ),
        PgType::Date => {
            Carried::With("infinities and years outside of 1 to 9999 arrive changed or stop the pipeline")
        }
        PgType::Time => Carried::With("24:00:00 arrives as another time or stops the pipeline"),
        PgType::Timestamp | PgType::TimestampTz => Carried::With(
            "infinity arrives as 9999-12-31 23:59:59 and -infinity as 0001-01-01, without notice; other years outside of 1 to \
             9999 stop the pipeline",
        ),
        PgType::Bit => Carried::Exactly,
        PgType::Money { .. } => {
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
        | PgType::Oid => false,
    }
}

fn numeric(precision: u16, scale: i16) -> Carried {
    if scale < 0 || precision > 38 || scale.unsigned_abs() > precision {
        Carried::Refused("numeric with more than 38 digits, a negative scale, or more places than digits")
    } else {
        Carried::With("NaN stops the pipeline: Debezium refuses it")
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
    Carried::Refused(match base {
        "interval" => "interval: Debezium writes another text than PostgreSQL",
        "time with time zone" => "time with time zone: Debezium converts it to UTC",
        "bit" | "bit varying" | "bit varying, n above 1" => {
            "bit strings: the JDBC sink changes those of more than 32 bits"
        }
        "tstzrange" => "tstzrange: its text depends on the session's time zone",
        "hstore" => "hstore: Debezium writes it as JSON",
        "xml" => "xml: the JDBC sink binds it as another type",
        "point" | "geometry" | "geography" => "geometry: the JDBC sink changes its form and its type",
        _ => "a type that Debezium leaves out of its messages without notice",
    })
}

/// The types of the page, in its order.
pub fn documented() -> Vec<(&'static str, Carried)> {
    let column = |pg_type: PgType, type_name: &str| SourceColumn {
        name: "c".to_owned(),
        attnum: 1,
        pg_type,
        type_name: type_name.to_owned(),
        not_null: false,
        generated: false,
    };
    let known = [
        ("boolean", PgType::Bool),
        ("smallint", PgType::Int2),
        ("integer", PgType::Int4),
        ("bigint", PgType::Int8),
        ("real", PgType::Float4),
        ("double precision", PgType::Float8),
        ("numeric(p,s), p up to 38", PgType::Numeric { bounds: Some((38, 2)) }),
        ("numeric(p,s), p above 38", PgType::Numeric { bounds: Some((39, 2)) }),
        ("numeric", PgType::Numeric { bounds: None }),
        ("text, citext", PgType::Text),
        ("varchar(n), varchar", PgType::Varchar { length: None }),
        ("char(n)", PgType::Char { length: 1 }),
        ("name", PgType::Name),
        ("bytea", PgType::Bytea),
        ("uuid", PgType::Uuid),
        ("json", PgType::Json),
        ("jsonb", PgType::Jsonb),
        ("date", PgType::Date),
        ("time", PgType::Time),
        ("timestamp", PgType::Timestamp),
        ("timestamptz", PgType::TimestampTz),
        ("an enum", PgType::Enum),
        ("oid", PgType::Oid),
        ("bit, bit(1)", PgType::Bit),
        ("money", PgType::Money { fraction_digits: 2 }),
    ];
    let rest = [
        "time with time zone",
        "interval",
        "bit(n), n above 1",
        "bit varying",
        "inet",
        "cidr",
        "macaddr",
        "macaddr8",
        "int4range",
        "int8range",
        "numrange",
        "daterange",
        "tsrange",
        "tstzrange",
        "tsvector",
        "ltree",
        "hstore",
        "xml",
        "point",
        "geometry",
        "integer[]",
        "any other type",
    ];
    known
        .into_iter()
        .map(|(name, pg_type)| (name, carried(&column(pg_type, name))))
        .chain(rest.into_iter().map(|name| (name, carried(&column(PgType::Other, name)))))
        .collect()
}

#[cfg(test)]
mod tests {
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
[the native engine's page](types.md); it is made by segcdc. A table with a column of a type that is refused is left out, with the
column's name. What stands behind a comma happens to single values, of which this route cannot set one aside.

This page rests on the sources of Debezium 3.6. Unlike the native engine's page it is not proven value by value: run
`segcdc verify`, which compares every value.

| PostgreSQL | |
|---|---|
";

    #[test]
    fn the_page_of_types_is_current() {
        let mut page = HEAD.to_owned();
        for (name, carried) in documented() {
            let text = match carried {
                Carried::Exactly => "carried exactly".to_owned(),
                Carried::With(exception) => format!("carried exactly, but {exception}"),
                Carried::Refused(reason) => format!("**refused**: {reason}"),
            };
            page.push_str(&format!("| `{name}` | {text} |\n"));
        }
        if std::env::var_os("SEGCDC_WRITE_PAGES").is_some() {
            std::fs::write(PAGE, &page).unwrap();
        }
        assert_eq!(std::fs::read_to_string(PAGE).unwrap(), page, "run `cargo xtask reference --write`");
    }

    #[test]
    fn what_could_change_on_its_way_is_refused() {
        let refused = |pg_type: PgType, type_name: &str| {
            matches!(carried(&column(pg_type, type_name)), Carried::Refused(_))
        };
        assert!(refused(PgType::Numeric { bounds: None }, "numeric"));
        assert!(refused(PgType::Numeric { bounds: Some((39, 0)) }, "numeric(39,0)"));
        assert!(refused(PgType::Numeric { bounds: Some((5, -2)) }, "numeric(5,-2)"));
        assert!(refused(PgType::Numeric { bounds: Some((2, 5)) }, "numeric(2,5)"));
        for name in ["interval", "interval(3)", "integer[]", "bit(40)", "my_composite", "xml", "box"] {
            assert!(refused(PgType::Other, name), "{name}");
        }
        for name in ["inet", "int4range", "ltree"] {
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
