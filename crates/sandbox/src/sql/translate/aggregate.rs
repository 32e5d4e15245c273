//! Aggregates and window functions.

use segcdc_tds::ColumnType;

use super::compare::{comparable, incomparable, orderable, postgres_collation};
use super::{Label, Translator, Value, unsupported};
use crate::answer::SqlError;
use crate::sql::ast::{Function, Window};
use crate::sql::physical::{self, Family};

/// The aggregates that the sandbox knows.
const AGGREGATES: &[&str] = &["COUNT", "COUNT_BIG", "SUM", "AVG", "MIN", "MAX", "STRING_AGG", "CHECKSUM_AGG"];

/// Whether a function of this name is an aggregate.
pub(super) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name)
}

// === impl Translator ===

impl Translator<'_> {
    /// An aggregate or window function; `None` for any other function.
    pub(super) fn aggregate(&mut self, function: &Function) -> Result<Option<Value>, SqlError> {
        let value = match function.name.as_str() {
            "COUNT" => self.count(function, ColumnType::Int)?,
            "COUNT_BIG" => self.count(function, ColumnType::BigInt)?,
            "SUM" | "AVG" => self.sum(function)?,
            "MIN" | "MAX" => self.extreme(function)?,
            "ROW_NUMBER" | "RANK" | "DENSE_RANK" => {
                Value::new(format!("{}()", function.name.to_lowercase()), ColumnType::BigInt).not_null()
            }
            _ => return Ok(None),
        };
        let Some(window) = &function.over else { return Ok(Some(value)) };
        let over = self.window(window)?;
        Ok(Some(Value { sql: format!("({} OVER ({over}))", value.sql), ..value }))
    }

    fn window(&mut self, window: &Window) -> Result<String, SqlError> {
        let mut parts = Vec::new();
        if !window.partition.is_empty() {
            let mut keys = Vec::new();
            for key in &window.partition {
                let key = self.value(key)?;
                if key.family() == Family::Json {
                    return Err(incomparable(2));
                }
                let collate = match key.family() {
                    Family::Text => format!(" COLLATE {}", postgres_collation(&key.label)),
                    _ => String::new(),
                };
                keys.push(format!("({}){collate}", comparable(&key.sql, key.column_type)));
            }
            parts.push(format!("PARTITION BY {}", keys.join(", ")));
        }
        if !window.order.is_empty() {
            let mut keys = Vec::new();
            for item in &window.order {
                let value = self.value(&item.value)?;
                keys.push(self.order_value(&value, item.descending)?);
            }
            parts.push(format!("ORDER BY {}", keys.join(", ")));
        }
        Ok(parts.join(" "))
    }

    fn count(&mut self, function: &Function, column_type: ColumnType) -> Result<Value, SqlError> {
        if function.star {
            return Ok(Value::new("count(*)", column_type).not_null());
        }
        let [argument] = function.arguments.as_slice() else {
            return Err(wrong_arguments(&function.name, 1));
        };
        let value = self.value(argument)?;
        let sql = match function.distinct {
            true if value.family() == Family::Json => return Err(no_operand(value.column_type, "count")),
            true if value.family() == Family::Text => {
                format!("count(DISTINCT {} COLLATE {})", value.sql, postgres_collation(&value.label))
            }
            true => format!("count(DISTINCT {})", comparable(&value.sql, value.column_type)),
            false => format!("count({})", value.sql),
        };
        Ok(Value::new(sql, column_type).not_null())
    }

    fn sum(&mut self, function: &Function) -> Result<Value, SqlError> {
        let [argument] = function.arguments.as_slice() else {
            return Err(wrong_arguments(&function.name, 1));
        };
        let value = self.value(argument)?;
        let result = match value.column_type {
            ColumnType::TinyInt | ColumnType::SmallInt | ColumnType::Int => ColumnType::Int,
            ColumnType::BigInt => ColumnType::BigInt,
            ColumnType::Decimal { scale, .. } if function.name == "AVG" => {
                ColumnType::Decimal { precision: 38, scale: scale.max(6) }
            }
            ColumnType::Decimal { scale, .. } => ColumnType::Decimal { precision: 38, scale },
            ColumnType::Money | ColumnType::SmallMoney => ColumnType::Money,
            ColumnType::Real | ColumnType::Float => ColumnType::Float,
            other => return Err(no_operand(other, &function.name.to_lowercase())),
        };
        let distinct = if function.distinct { "DISTINCT " } else { "" };
        let word = function.name.to_lowercase();
        let sql = match (function.name.as_str(), physical::family(result)) {
            // Integer averages are cut, not rounded.
            ("AVG", Family::Integer) => format!("trunc(avg({distinct}{}))", value.sql),
            _ => format!("{word}({distinct}{})", value.sql),
        };
        Ok(Value::new(sql, result))
    }

    fn extreme(&mut self, function: &Function) -> Result<Value, SqlError> {
        let [argument] = function.arguments.as_slice() else {
            return Err(wrong_arguments(&function.name, 1));
        };
        let value = self.value(argument)?;
        let word = function.name.to_lowercase();
        let sql = match value.family() {
            Family::Text => {
                let collate = match &value.label {
                    Label::Implicit(_) => String::new(),
                    other => format!(" COLLATE {}", postgres_collation(other)),
                };
                format!("{word}({}{collate})", value.sql)
            }
            Family::Json => return Err(no_operand(value.column_type, &word)),
            Family::Binary => return Err(unsupported("MIN or MAX of a binary column")),
            Family::Uuid | Family::Offset => {
                let order = if word == "min" { "" } else { " DESC" };
                let key = orderable(&value.sql, value.column_type);
                format!(
                    "(array_agg({} ORDER BY {key}{order}) FILTER (WHERE {} IS NOT NULL))[1]",
                    value.sql, value.sql
                )
            }
            _ => format!("{word}({})", value.sql),
        };
        Ok(Value { sql, nullable: true, simple: false, column: None, ..value })
    }
}

/// 8117
fn no_operand(column_type: ColumnType, word: &str) -> SqlError {
    let message =
        format!("Operand data type {} is invalid for {word} operator.", physical::type_word(column_type));
    SqlError::new(8117, 16, message)
}

/// 174
pub(super) fn wrong_arguments(name: &str, count: usize) -> SqlError {
    let message = format!("The {} function requires {count} argument(s).", name.to_lowercase());
    SqlError::new(174, 15, message)
}
