//! The few expressions of PostgreSQL that have the same meaning in T-SQL. Whatever is not known for certain is left to a person.

use segcdc_model::MssqlType;

use crate::quote;

/// The server's local time.
pub(super) const LOCAL_TIME: &str = "SYSDATETIME()";

/// The server's local day.
pub(super) const LOCAL_DAY: &str = "CAST(SYSDATETIME() AS date)";

/// `now()` as it is stored, at +00:00.
const NOW: &str = "TODATETIMEOFFSET(SYSUTCDATETIME(), 0)";

/// A default, as `pg_get_expr` prints it, for a column of a type. Empty for NULL, `None` for what is not known.
pub(super) fn translate(expression: &str, mssql_type: MssqlType) -> Option<String> {
    let expression = bare(expression);
    if expression.eq_ignore_ascii_case("NULL") {
        return Some(String::new());
    }
    match mssql_type {
        MssqlType::Bit => match expression {
            "true" => Some("1".to_owned()),
            "false" => Some("0".to_owned()),
            _ => None,
        },
        MssqlType::TinyInt
        | MssqlType::SmallInt
        | MssqlType::Int
        | MssqlType::BigInt
        | MssqlType::Real
        | MssqlType::Float
        | MssqlType::Decimal { .. } => {
            let number = literal(expression).unwrap_or_else(|| expression.to_owned());
            is_number(&number).then_some(number)
        }
        MssqlType::NVarChar { .. } | MssqlType::VarChar { .. } => {
            literal(expression).map(|text| quote::text(&text))
        }
        MssqlType::UniqueIdentifier => match expression {
            "gen_random_uuid()" | "uuid_generate_v4()" => Some("NEWID()".to_owned()),
            _ => literal(expression).map(|text| quote::text(&text)),
        },
        MssqlType::DateTimeOffset { .. } => is_now(expression).then(|| NOW.to_owned()),
        MssqlType::DateTime2 { .. } => {
            (is_now(expression) || expression == "LOCALTIMESTAMP").then(|| LOCAL_TIME.to_owned())
        }
        MssqlType::Date if expression == "CURRENT_DATE" || is_now(expression) => Some(LOCAL_DAY.to_owned()),
        MssqlType::Date => literal(expression).filter(|text| is_iso_day(text)).map(|text| quote::text(&text)),
        MssqlType::VarBinary { .. } | MssqlType::Time { .. } | MssqlType::Json => None,
    }
}

/// Whether a default is the next number of a sequence and nothing else.
pub(super) fn is_nextval(expression: &str) -> bool {
    let name = expression.strip_prefix("nextval('").and_then(|rest| rest.strip_suffix("'::regclass)"));
    // A quote that does not stand twice would end the name: that is more than a name.
    name.is_some_and(|name| !name.replace("''", "").contains('\''))
}

/// The condition of an index, as `pg_get_expr` prints it: columns that are NULL or not, joined by AND. `known` gives the
/// name of a source column at the target.
pub(super) fn filter(predicate: &str, known: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut parts = Vec::new();
    for part in bare(predicate).split(" AND ") {
        let part = bare(part);
        let (column, test) = match part.strip_suffix(" IS NOT NULL") {
            Some(column) => (column, "IS NOT NULL"),
            None => (part.strip_suffix(" IS NULL")?, "IS NULL"),
        };
        parts.push(format!("{} {test}", quote::name(&known(&identifier(column)?)?)));
    }
    Some(parts.join(" AND "))
}

/// A column's name, as PostgreSQL quotes it where it has to.
fn identifier(text: &str) -> Option<String> {
    match text.strip_prefix('"') {
        Some(quoted) => {
            let name = quoted.strip_suffix('"')?;
            // A quote that does not stand twice would end the name: that is more than a name.
            let unpaired = name.replace("\"\"", "").contains('"');
            (!unpaired).then(|| name.replace("\"\"", "\""))
        }
        None => {
            let plain = |character: char| character.is_alphanumeric() || matches!(character, '_' | '$');
            (!text.is_empty() && text.chars().all(plain)).then(|| text.to_owned())
        }
    }
}

/// An expression without the parentheses around all of it.
fn bare(expression: &str) -> &str {
    let mut expression = expression.trim();
    while let Some(inner) = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        let mut depth = 0_i32;
        // The first one must not be closed before the end.
        if inner.chars().any(|character| {
            depth += i32::from(character == '(') - i32::from(character == ')');
            depth < 0
        }) {
            break;
        }
        expression = inner.trim();
    }
    expression
}

/// What is between the quotes of `'it''s'::text`; `None` for anything else.
fn literal(expression: &str) -> Option<String> {
    let rest = expression.strip_prefix('\'')?;
    let mut text = String::new();
    let mut characters = rest.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character != '\'' {
            text.push(character);
        } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
            text.push('\'');
        } else {
            let cast = rest.get(at + 1..)?;
            let of_name = |part: char| {
                part.is_alphanumeric() || matches!(part, '_' | ' ' | '(' | ')' | ',' | '.' | '"')
            };
            let is_cast = cast.strip_prefix("::").is_some_and(|name| name.chars().all(of_name));
            return (cast.is_empty() || is_cast).then_some(text);
        }
    }
    None
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && all_digits(fraction)
}

fn is_now(expression: &str) -> bool {
    matches!(
        expression,
        "now()"
            | "CURRENT_TIMESTAMP"
            | "transaction_timestamp()"
            | "statement_timestamp()"
            | "clock_timestamp()"
            | "LOCALTIMESTAMP"
    )
}

fn is_iso_day(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use segcdc_model::Length;

    const TEXT: MssqlType = MssqlType::NVarChar { length: Length::Max, binary_collation: false };

    #[test]
    fn what_means_the_same_is_translated() {
        for (expression, mssql_type, expected) in [
            ("'it''s'::text", TEXT, Some("N'it''s'")),
            ("''::character varying(10)", TEXT, Some("N''")),
            ("('a'::text || 'b'::text)", TEXT, None),
            ("CURRENT_USER", TEXT, None),
            ("NULL::text", TEXT, None),
            ("NULL", TEXT, Some("")),
            ("0", MssqlType::Int, Some("0")),
            ("(-1)", MssqlType::Int, Some("-1")),
            ("'-1'::integer", MssqlType::Int, Some("-1")),
            ("(1 + 1)", MssqlType::Int, None),
            ("1.50", MssqlType::Decimal { precision: 9, scale: 2 }, Some("1.50")),
            ("'NaN'::numeric", MssqlType::Decimal { precision: 9, scale: 2 }, None),
            ("true", MssqlType::Bit, Some("1")),
            ("gen_random_uuid()", MssqlType::UniqueIdentifier, Some("NEWID()")),
            ("now()", MssqlType::DATETIMEOFFSET, Some("TODATETIMEOFFSET(SYSUTCDATETIME(), 0)")),
            ("(now() + '01:00:00'::interval)", MssqlType::DATETIMEOFFSET, None),
            ("now()", MssqlType::DATETIME2, Some("SYSDATETIME()")),
            ("CURRENT_DATE", MssqlType::Date, Some("CAST(SYSDATETIME() AS date)")),
            ("'2024-02-29'::date", MssqlType::Date, Some("N'2024-02-29'")),
            ("('2024-02-29'::date - 1)", MssqlType::Date, None),
            ("'infinity'::date", MssqlType::Date, None),
            ("'\\x00'::bytea", MssqlType::VarBinary { length: Length::Max }, None),
        ] {
            assert_eq!(translate(expression, mssql_type).as_deref(), expected, "{expression}");
        }
    }

    #[test]
    fn the_next_number_is_told_from_what_is_made_of_it() {
        for (expression, expected) in [
            ("nextval('s'::regclass)", true),
            ("nextval('public.\"it''s\"'::regclass)", true),
            ("('INV-'::text || nextval('s'::regclass))", false),
            ("(nextval('s'::regclass) * 10)", false),
            ("currval('s'::regclass)", false),
            ("nextval('a'::regclass) + nextval('b'::regclass)", false),
        ] {
            assert_eq!(is_nextval(expression), expected, "{expression}");
        }
    }

    #[test]
    fn conditions_of_indexes_are_translated_or_left() {
        let known = |name: &str| matches!(name, "a" | "b c" | "d\"e").then(|| format!("{name}]"));
        for (predicate, expected) in [
            ("(a IS NOT NULL)", Some("[a]]] IS NOT NULL")),
            ("((a IS NULL) AND (\"b c\" IS NOT NULL))", Some("[a]]] IS NULL AND [b c]]] IS NOT NULL")),
            ("(\"d\"\"e\" IS NULL)", Some("[d\"e]]] IS NULL")),
            ("(other IS NULL)", None),
            ("(a > 0)", None),
            ("((a IS NULL) OR (a > 0))", None),
            ("(lower(a) IS NULL)", None),
        ] {
            assert_eq!(filter(predicate, known).as_deref(), expected, "{predicate}");
        }
    }

    proptest! {
        #[test]
        fn any_text_stays_inside_of_its_quotes(text in any::<String>()) {
            let expression = format!("'{}'::text", text.replace('\'', "''"));
            prop_assert_eq!(translate(&expression, TEXT), Some(quote::text(&text)));
        }

        #[test]
        fn nothing_breaks_the_readers(text in any::<String>()) {
            translate(&text, TEXT);
            filter(&text, |name| Some(name.to_owned()));
        }
    }
}
