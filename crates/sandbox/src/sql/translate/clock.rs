//! Date and time functions.

use segcdc_tds::{ColumnType, Datum, Len};

use super::aggregate::wrong_arguments;
use super::convert::Purpose;
use super::{Translator, Value};
use crate::answer::SqlError;
use crate::sql::ast::{Expr, Function, Literal};
use crate::sql::physical::{DAY_TICKS, Family};

/// Months or units of 100 ns in a part of a date.
#[derive(Clone, Copy)]
enum Part {
    Months(i64),
    Ticks(i64),
}

fn part(name: &str) -> Result<Part, SqlError> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "year" | "yy" | "yyyy" => Part::Months(12),
        "quarter" | "qq" | "q" => Part::Months(3),
        "month" | "mm" | "m" => Part::Months(1),
        "week" | "wk" | "ww" => Part::Ticks(7 * DAY_TICKS),
        "day" | "dd" | "d" | "dayofyear" | "dy" | "y" | "weekday" | "dw" => Part::Ticks(DAY_TICKS),
        "hour" | "hh" => Part::Ticks(DAY_TICKS / 24),
        "minute" | "mi" | "n" => Part::Ticks(600_000_000),
        "second" | "ss" | "s" => Part::Ticks(10_000_000),
        "millisecond" | "ms" => Part::Ticks(10_000),
        "microsecond" | "mcs" => Part::Ticks(10),
        other => {
            let message = format!("'{other}' is not a recognized datepart option.");
            return Err(SqlError::new(155, 15, message));
        }
    })
}

// === impl Translator ===

impl Translator<'_> {
    /// A date or time function; `None` for any other function.
    pub(super) fn clock(&mut self, function: &Function) -> Result<Option<Value>, SqlError> {
        let value = match function.name.as_str() {
            "SYSUTCDATETIME" => Value::new("tsql.utc_now()", ColumnType::DateTime2(7)).not_null(),
            // The sandbox's clock is UTC.
            "SYSDATETIME" => Value::new("tsql.utc_now()", ColumnType::DateTime2(7)).not_null(),
            "GETDATE" | "GETUTCDATE" | "CURRENT_TIMESTAMP" => {
                Value::new("tsql.round_datetime(tsql.utc_now())", ColumnType::DateTime).not_null()
            }
            "SYSDATETIMEOFFSET" => {
                Value::new("ARRAY[tsql.utc_now(), 0::int8]", ColumnType::DateTimeOffset(7)).not_null()
            }
            "CURRENT_TIMEZONE" => Value::new(
                "'(UTC) Coordinated Universal Time'::bpchar",
                ColumnType::VarChar(Len::Limited(128)),
            )
            .not_null(),
            "DATEADD" => self.date_add(function)?,
            "DATEDIFF" | "DATEDIFF_BIG" => self.date_difference(function)?,
            "DATEPART" => self.date_part(function)?,
            "YEAR" | "MONTH" | "DAY" => {
                let [value] = function.arguments.as_slice() else {
                    return Err(wrong_arguments(&function.name, 1));
                };
                self.part_of(&function.name.to_lowercase(), value)?
            }
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    fn part_name(function: &Function) -> Result<&str, SqlError> {
        match function.arguments.first() {
            Some(Expr::Literal(Literal::Text(name, _))) => Ok(name),
            _ => Err(wrong_arguments(&function.name, 3)),
        }
    }

    /// The argument as datetime2(7).
    fn ticks(&mut self, expr: &Expr) -> Result<Value, SqlError> {
        let value = self.value(expr)?;
        let sql = self.convert(&value, ColumnType::DateTime2(7), Purpose::Implicit)?;
        Ok(Value { nullable: value.nullable, ..Value::new(sql, ColumnType::DateTime2(7)) })
    }

    fn date_add(&mut self, function: &Function) -> Result<Value, SqlError> {
        let part = part(Self::part_name(function)?)?;
        let [_, count, value] = function.arguments.as_slice() else {
            return Err(wrong_arguments("DATEADD", 3));
        };
        let count = self.value(count)?;
        let count = self.convert(&count, ColumnType::BigInt, Purpose::Implicit)?;
        let value = self.value(value)?;
        let result = match value.family() {
            Family::Text => ColumnType::DateTime,
            _ => value.column_type,
        };
        if value.family() == Family::Offset {
            let sql = match part {
                Part::Ticks(ticks) => format!("tsql.add_ticks(({0})[1], {count} * {ticks})", value.sql),
                Part::Months(months) => format!("tsql.add_months(({0})[1], {count} * {months})", value.sql),
            };
            return Ok(Value::new(format!("ARRAY[{sql}, ({})[2]]", value.sql), result));
        }
        let ticks = self.convert(&value, ColumnType::DateTime2(7), Purpose::Implicit)?;
        let sql = match part {
            Part::Ticks(ticks_each) => format!("tsql.add_ticks({ticks}, {count} * {ticks_each})"),
            Part::Months(months) => format!("tsql.add_months({ticks}, {count} * {months})"),
        };
        let sum = Value::new(sql, ColumnType::DateTime2(7));
        let sql = self.convert(&sum, result, Purpose::Implicit)?;
        Ok(Value::new(sql, result))
    }

    /// Boundaries crossed, not time passed.
    fn date_difference(&mut self, function: &Function) -> Result<Value, SqlError> {
        let part = part(Self::part_name(function)?)?;
        let [_, from, to] = function.arguments.as_slice() else { return Err(wrong_arguments("DATEDIFF", 3)) };
        let (from, to) = (self.ticks(from)?, self.ticks(to)?);
        let sql = match part {
            Part::Ticks(ticks) => format!("(({}) / {ticks} - ({}) / {ticks})", to.sql, from.sql),
            Part::Months(months) => {
                format!("(tsql.months_of({}) / {months} - tsql.months_of({}) / {months})", to.sql, from.sql)
            }
        };
        let column_type = if function.name == "DATEDIFF_BIG" { ColumnType::BigInt } else { ColumnType::Int };
        Ok(Value::new(format!("({sql})::{}", crate::sql::physical::value_sql(column_type)), column_type))
    }

    fn date_part(&mut self, function: &Function) -> Result<Value, SqlError> {
        let name = Self::part_name(function)?.to_lowercase();
        let [_, value] = function.arguments.as_slice() else { return Err(wrong_arguments("DATEPART", 2)) };
        part(&name)?;
        self.part_of(&name, value)
    }

    fn part_of(&mut self, name: &str, value: &Expr) -> Result<Value, SqlError> {
        let value = self.ticks(value)?;
        let name = self.literal(Datum::Text(name.to_owned()), ColumnType::VarChar(Len::Limited(20)));
        let sql = format!("tsql.date_part({name}, {})", value.sql);
        Ok(Value { nullable: value.nullable, ..Value::new(sql, ColumnType::Int) })
    }
}
