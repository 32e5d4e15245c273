//! Conversions between types: CAST, CONVERT, assignment to columns and variables, and the implicit ones.

use segcdc_tds::{ColumnType, Len};

use super::{Label, Translator, Value, text};
use crate::answer::SqlError;
use crate::sql::physical::{self, DAY_TICKS, Family, MINUTE_TICKS};

/// What a conversion is for: decides what happens to what does not fit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// Within an expression: text keeps its length.
    Implicit,
    /// CAST and CONVERT with a style: text is cut.
    Cast(i64),
    /// SET and DECLARE: text is cut.
    Variable,
    /// A column of a table: text that is too long is error 2628, which names them.
    Column {
        /// Table, as messages show it.
        table: &'a str,
        /// Column.
        column: &'a str,
        /// Its varchar is UTF-8.
        utf8: bool,
    },
}

// === impl Translator ===

impl Translator<'_> {
    /// `value` as `to`.
    ///
    /// # Errors
    /// 206 and 529: there is no such conversion.
    pub(super) fn convert(
        &mut self,
        value: &Value,
        to: ColumnType,
        purpose: Purpose<'_>,
    ) -> Result<String, SqlError> {
        if value.is_null {
            return Ok(format!("NULL::{}", physical::value_sql(to)));
        }
        let sql = value.sql.as_str();
        let from = value.column_type;
        let family = physical::family(to);
        let converted = match family {
            Family::Integer => to_integer(sql, from, to),
            Family::Decimal => to_decimal(sql, from, to),
            Family::Float => to_float(sql, from, to),
            Family::Text => return self.convert_to_text(value, to, purpose),
            Family::Binary => return self.convert_to_binary(value, to, purpose),
            Family::Date | Family::Time | Family::DateTime | Family::Offset => to_temporal(sql, from, to),
            Family::Uuid => match physical::family(from) {
                Family::Uuid => Some(sql.to_owned()),
                Family::Text => Some(format!("tsql.text_to_uuid({sql})")),
                _ => None,
            },
            Family::Json => match from {
                ColumnType::Json => Some(sql.to_owned()),
                ColumnType::NVarChar(_)
                | ColumnType::NChar(_)
                | ColumnType::VarChar(_)
                | ColumnType::Char(_) => Some(format!("tsql.json_of({sql})")),
                _ => None,
            },
        };
        converted.ok_or_else(|| no_conversion(from, to, purpose))
    }

    fn convert_to_text(
        &mut self,
        value: &Value,
        to: ColumnType,
        purpose: Purpose<'_>,
    ) -> Result<String, SqlError> {
        let from = value.column_type;
        if from == ColumnType::Json {
            return document_text(value, to, purpose);
        }
        let is_text = physical::family(from) == Family::Text;
        let style = if let Purpose::Cast(style) = purpose { style } else { 0 };
        let mut sql = if is_text { value.sql.clone() } else { self.text_form(value, to, style)? };
        let mut simple = is_text && value.simple;
        let utf8 = matches!(purpose, Purpose::Column { utf8: true, .. }) && !physical::is_national(to);
        let is_implicit = matches!(purpose, Purpose::Implicit);
        if physical::is_national(from) && !physical::is_national(to) && !is_implicit && !utf8 {
            // Code page 1252 has no other characters: they become question marks, silently, as on SQL Server.
            sql = format!("tsql.to_code_page({sql})");
            simple = false;
        }
        let Some(limit) = physical::limit(to) else { return Ok(sql) };
        let fixed = matches!(to, ColumnType::NChar(_) | ColumnType::Char(_));
        let measure = match (physical::is_national(to), utf8) {
            (true, _) => "units",
            (false, false) => "bytes",
            (false, true) => "utf8",
        };
        // A varchar of another collation may have the same length, and more bytes in UTF-8.
        let fits = is_text
            && (!utf8 || matches!(&value.label, Label::Implicit(from) if from.utf8))
            && physical::is_national(from) == physical::is_national(to)
            && physical::limit(from).is_some_and(|longest| longest <= limit);
        let fitted = match purpose {
            Purpose::Implicit => return Ok(sql),
            _ if fits => sql,
            Purpose::Cast(_) | Purpose::Variable => format!("tsql.cut_{measure}({sql}, {limit})"),
            Purpose::Column { table, column, .. } => {
                let (table, column) = (text::quote(table), text::quote(column));
                let checked = format!("tsql.fit_{measure}({sql}, {limit}, {table}, {column})");
                if simple {
                    format!("CASE WHEN octet_length({sql}) <= {limit} THEN {sql} ELSE {checked} END")
                } else {
                    checked
                }
            }
        };
        let padded_already = from == to;
        let padded = if physical::is_national(to) { "units" } else { "bytes" };
        Ok(if fixed && !padded_already { format!("tsql.pad_{padded}({fitted}, {limit})") } else { fitted })
    }

    /// A value of another family as text.
    fn text_form(&mut self, value: &Value, to: ColumnType, style: i64) -> Result<String, SqlError> {
        let (sql, from) = (&value.sql, value.column_type);
        Ok(match (physical::family(from), from) {
            (Family::Float, _) => format!("tsql.float_to_text({sql}::float8, {style})"),
            (Family::Decimal, ColumnType::Money | ColumnType::SmallMoney) if style == 0 => {
                format!("round({sql}, 2)::text::bpchar")
            }
            (Family::Integer | Family::Decimal, _) => format!("({sql})::text::bpchar"),
            (Family::Uuid, _) => format!("upper(({sql})::text)::bpchar"),
            (Family::Date, _) => format!("tsql.date_to_text({sql}, {style})"),
            (Family::Time, ColumnType::Time(scale)) => format!("tsql.time_to_text({sql}, {scale})"),
            (Family::DateTime, ColumnType::DateTime2(scale)) => {
                format!("tsql.ticks_to_text({sql}, {scale}, {})", style_or(style, 121))
            }
            (Family::DateTime, ColumnType::DateTime) => format!("tsql.ticks_to_text({sql}, 3, {style})"),
            (Family::DateTime, _) => format!("tsql.ticks_to_text({sql}, 0, {style})"),
            (Family::Offset, ColumnType::DateTimeOffset(scale)) => {
                format!("tsql.offset_to_text({sql}, {scale}, {style})")
            }
            (Family::Binary, _) if matches!(style, 1 | 2) => {
                let prefix = if style == 1 { "'0x' || " } else { "" };
                format!("({prefix}upper(encode({sql}, 'hex')))::bpchar")
            }
            (Family::Binary, _) => {
                let national = physical::is_national(to);
                format!("tsql.binary_to_text({sql}, {national})")
            }
            _ => return Err(no_conversion(from, to, Purpose::Cast(style))),
        })
    }

    fn convert_to_binary(
        &mut self,
        value: &Value,
        to: ColumnType,
        purpose: Purpose<'_>,
    ) -> Result<String, SqlError> {
        let (sql, from) = (&value.sql, value.column_type);
        let bytes = match (physical::family(from), purpose) {
            (Family::Binary, _) => sql.clone(),
            (Family::Text, Purpose::Cast(style @ (1 | 2))) => format!("tsql.hex_to_binary({sql}, {style})"),
            (Family::Text, Purpose::Cast(_)) => {
                format!("tsql.text_to_binary({sql}, {})", physical::is_national(from))
            }
            (Family::Integer, Purpose::Cast(_) | Purpose::Implicit | Purpose::Variable) => {
                format!("int8send(({sql})::int8)")
            }
            (Family::Uuid, Purpose::Cast(_)) => format!("tsql.uuid_to_binary({sql})"),
            (Family::Float, Purpose::Cast(_)) if from == ColumnType::Real => format!("float4send({sql})"),
            (Family::Float, Purpose::Cast(_)) => format!("float8send({sql})"),
            _ => return Err(no_conversion(from, to, purpose)),
        };
        let Some(limit) = physical::limit(to) else { return Ok(bytes) };
        let is_integer = physical::family(from) == Family::Integer;
        let fits = physical::limit(from).is_some_and(|longest| longest <= limit);
        let fitted = match purpose {
            Purpose::Implicit if !is_integer => return Ok(bytes),
            // Integers keep their last bytes.
            _ if is_integer => {
                let width = physical::catalog_numbers(from).0.unsigned_abs().min(limit);
                format!("substr({bytes}, {})", 9 - width.min(8))
            }
            _ if fits => bytes,
            Purpose::Column { table, column, .. } => {
                format!("tsql.fit_binary({bytes}, {limit}, {}, {})", text::quote(table), text::quote(column))
            }
            _ => format!("substr({bytes}, 1, {limit})"),
        };
        let is_fixed = matches!(to, ColumnType::Binary(_)) && from != to;
        Ok(match (is_fixed, is_integer) {
            (false, _) => fitted,
            (true, true) => format!("tsql.pad_binary_left({fitted}, {limit})"),
            (true, false) => format!("tsql.pad_binary({fitted}, {limit})"),
        })
    }
}

/// JSON as text, by CAST and CONVERT only, and never cut.
fn document_text(value: &Value, to: ColumnType, purpose: Purpose<'_>) -> Result<String, SqlError> {
    if matches!(to, ColumnType::Xml | ColumnType::SqlVariant) {
        return Err(no_conversion(ColumnType::Json, to, purpose));
    }
    if !matches!(purpose, Purpose::Cast(_)) {
        let message = format!(
            "Implicit conversion from data type json to {} is not allowed. Use the CONVERT function to run this query.",
            physical::type_word(to)
        );
        return Err(SqlError::new(257, 16, message));
    }
    let (sql, national) = (&value.sql, physical::is_national(to));
    let limit = physical::limit(to).map_or("NULL".to_owned(), |limit| limit.to_string());
    let text = format!("tsql.json_to_text({sql}, {limit}, {national})");
    Ok(match to {
        ColumnType::NChar(units) => format!("tsql.pad_units({text}, {units})"),
        ColumnType::Char(bytes) => format!("tsql.pad_bytes({text}, {bytes})"),
        _ => text,
    })
}

/// The style that stands for "none given".
fn style_or(style: i64, default: i64) -> i64 {
    if style == 0 { default } else { style }
}

fn to_integer(sql: &str, from: ColumnType, to: ColumnType) -> Option<String> {
    let wide = match physical::family(from) {
        Family::Integer if narrower(from, to) => {
            return Some(if physical::value_sql(from) == physical::value_sql(to) {
                sql.to_owned()
            } else {
                format!("({sql})::{}", physical::value_sql(to))
            });
        }
        Family::Integer => format!("({sql})::int8"),
        Family::Decimal => format!("trunc({sql})"),
        Family::Float => format!("trunc(({sql})::float8)"),
        Family::Text if to == ColumnType::Bit => return Some(format!("tsql.text_to_bit({sql})")),
        Family::Text => format!("tsql.text_to_integer({sql}, '{}')", physical::type_word(to)),
        Family::Binary => format!("tsql.binary_to_integer({sql})"),
        _ => return None,
    };
    Some(match to {
        ColumnType::Bit => format!("({wide} <> 0)::int4::int2"),
        ColumnType::TinyInt => format!("tsql.to_tinyint(({wide})::numeric)"),
        _ => format!("({wide})::{}", physical::value_sql(to)),
    })
}

/// Whether every value of the integer type `from` is one of `to`.
fn narrower(from: ColumnType, to: ColumnType) -> bool {
    let rank = |column_type| match column_type {
        ColumnType::Bit => 0,
        ColumnType::TinyInt => 1,
        ColumnType::SmallInt => 2,
        ColumnType::Int => 3,
        _ => 4,
    };
    rank(from) <= rank(to)
}

fn to_decimal(sql: &str, from: ColumnType, to: ColumnType) -> Option<String> {
    if from == to {
        return Some(sql.to_owned());
    }
    let number = match physical::family(from) {
        Family::Integer | Family::Decimal => sql.to_owned(),
        Family::Float => format!("tsql.float_to_numeric(({sql})::float8)"),
        Family::Text => format!("tsql.text_to_numeric({sql}, '{}')", physical::type_word(to)),
        _ => return None,
    };
    let (precision, scale) = physical::digits(to)?;
    Some(format!("({number})::numeric({precision},{scale})"))
}

fn to_float(sql: &str, from: ColumnType, to: ColumnType) -> Option<String> {
    if from == to {
        return Some(sql.to_owned());
    }
    let target = physical::value_sql(to);
    match physical::family(from) {
        Family::Integer | Family::Decimal | Family::Float => Some(format!("({sql})::{target}")),
        Family::Text => Some(format!("tsql.text_to_float({sql})::{target}")),
        _ => None,
    }
}

/// Units of 100 ns in one step of the last digit that a type keeps.
fn step(column_type: ColumnType) -> i64 {
    match column_type {
        ColumnType::Time(scale) | ColumnType::DateTime2(scale) | ColumnType::DateTimeOffset(scale) => {
            10_i64.pow(u32::from(7 - scale.min(7)))
        }
        ColumnType::SmallDateTime => MINUTE_TICKS,
        _ => 1,
    }
}

fn to_temporal(sql: &str, from: ColumnType, to: ColumnType) -> Option<String> {
    use Family::{Date, DateTime, Offset, Text, Time};
    let (source, target) = (physical::family(from), physical::family(to));
    if source == Text {
        return Some(match target {
            Date => format!("tsql.text_to_date({sql})"),
            Time => rounded(&format!("tsql.text_to_time({sql})"), to),
            DateTime => rounded(&format!("tsql.text_to_ticks({sql})"), to),
            _ => format!("tsql.round_offset(tsql.text_to_offset({sql}), {})", step(to)),
        });
    }
    let needs_rounding = match (from, to) {
        (a, b) if source == target => step(b) > step(a) || b == ColumnType::DateTime && a != b,
        _ => step(to) > 1 || to == ColumnType::DateTime,
    };
    let round = |sql: String| if needs_rounding { rounded(&sql, to) } else { sql };
    Some(match (source, target) {
        (Date, Date) => sql.to_owned(),
        (Time, Time) | (DateTime, DateTime) => round(sql.to_owned()),
        (Offset, Offset) if needs_rounding => format!("tsql.round_offset({sql}, {})", step(to)),
        (Offset, Offset) => sql.to_owned(),
        (Date, DateTime) => format!("(({sql})::int8 * {DAY_TICKS})"),
        (Date, Offset) => format!("ARRAY[({sql})::int8 * {DAY_TICKS}, 0::int8]"),
        (DateTime, Date) => format!("(({sql}) / {DAY_TICKS})::int4"),
        (DateTime, Time) => round(format!("(({sql}) % {DAY_TICKS})")),
        (DateTime, Offset) => format!("ARRAY[{sql}, 0::int8]"),
        (Time, DateTime) => round(format!("({sql} + 599266080000000000)")),
        (Offset, DateTime) => round(format!("tsql.local_ticks({sql})")),
        (Offset, Date) => format!("(tsql.local_ticks({sql}) / {DAY_TICKS})::int4"),
        (Offset, Time) => round(format!("(tsql.local_ticks({sql}) % {DAY_TICKS})")),
        _ => return None,
    })
}

/// Rounded to the digits that the type keeps; 1/300 of a second for datetime.
fn rounded(sql: &str, to: ColumnType) -> String {
    match to {
        ColumnType::DateTime => format!("tsql.round_datetime({sql})"),
        ColumnType::Time(7) | ColumnType::DateTime2(7) => sql.to_owned(),
        _ => format!("tsql.round_ticks({sql}, {})", step(to)),
    }
}

fn no_conversion(from: ColumnType, to: ColumnType, purpose: Purpose<'_>) -> SqlError {
    let (from, to) = (physical::type_word(from), physical::type_word(to));
    match purpose {
        Purpose::Cast(_) => {
            let message = format!("Explicit conversion from data type {from} to {to} is not allowed.");
            SqlError::new(529, 16, message)
        }
        _ => {
            let message = format!("Operand type clash: {from} is incompatible with {to}");
            SqlError::new(206, 16, message).with_state(2)
        }
    }
}

/// The type that a text of `units` units has.
pub(super) fn text_type(national: bool, units: usize) -> ColumnType {
    let limit = if national { 4000 } else { 8000 };
    let length = u16::try_from(units).ok().filter(|units| *units <= limit);
    let length = length.map_or(Len::Max, |units| Len::Limited(units.max(1)));
    if national { ColumnType::NVarChar(length) } else { ColumnType::VarChar(length) }
}
