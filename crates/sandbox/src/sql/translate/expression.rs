//! Values and conditions.

use segcdc_tds::{ColumnType, Datum};

use super::compare::{common_label, common_type, postgres_collation};
use super::convert::{Purpose, text_type};
use super::{Label, Translator, Value, invalid_column, unsupported};
use crate::answer::SqlError;
use crate::sql::ast::{Expr, Literal};
use crate::sql::collation::Collate;
use crate::sql::physical::{self, Family};
use crate::sql::table::same_name;

// === impl Translator ===

impl Translator<'_> {
    /// An expression as a value.
    pub(super) fn value(&mut self, expr: &Expr) -> Result<Value, SqlError> {
        match expr {
            Expr::Column(parts) => self.column(parts),
            Expr::Variable(name) => self.variable(name),
            Expr::Literal(literal) => self.literal_value(literal),
            Expr::Unary(operator, value) => self.unary(operator, value),
            Expr::Binary(operator, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.arithmetic(operator, &left, &right)
            }
            Expr::Case(operand, branches, otherwise) => {
                self.case(operand.as_deref(), branches, otherwise.as_deref())
            }
            Expr::Cast { value, to, style, attempt } => self.cast(value, *to, style.as_deref(), *attempt),
            Expr::Function(function) => self.function(function),
            Expr::Subquery(query) => self.scalar_subquery(query),
            Expr::Collate(value, name) => {
                let value = self.value(value)?;
                let collate = Collate::by_name(name)?;
                if value.family() != Family::Text {
                    let message = format!(
                        "Expression type {} is invalid for COLLATE clause.",
                        physical::type_word(value.column_type)
                    );
                    return Err(SqlError::new(447, 16, message));
                }
                let sql = format!("(({}) COLLATE {})", value.sql, collate.postgres());
                let value = Value { sql, simple: false, ..value };
                Ok(value.labelled(Label::Explicit(collate)))
            }
            Expr::Default => Err(SqlError::new(156, 15, "Incorrect syntax near the keyword 'DEFAULT'.")),
            Expr::Compare(..)
            | Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_)
            | Expr::IsNull(..)
            | Expr::In(..)
            | Expr::InQuery(..)
            | Expr::Between(..)
            | Expr::Like(..)
            | Expr::Exists(_) => Err(SqlError::new(102, 15, "Incorrect syntax near '='.")),
        }
    }

    /// An expression as a condition.
    pub(super) fn predicate(&mut self, expr: &Expr) -> Result<String, SqlError> {
        match expr {
            Expr::Compare(operator, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.compare(operator, &left, &right)
            }
            Expr::And(all) => self.joined(all, " AND "),
            Expr::Or(all) => self.joined(all, " OR "),
            Expr::Not(inner) => Ok(format!("(NOT {})", self.predicate(inner)?)),
            Expr::IsNull(value, negated) => {
                let value = self.value(value)?;
                let sql = if value.is_null { "NULL::int4" } else { value.sql.as_str() };
                Ok(format!("({sql} IS {}NULL)", if *negated { "NOT " } else { "" }))
            }
            Expr::In(value, list, negated) => {
                let value = self.value(value)?;
                let items = list.iter().map(|item| self.value(item)).collect::<Result<Vec<_>, _>>()?;
                self.in_list(&value, &items, *negated)
            }
            Expr::InQuery(value, query, negated) => self.in_query(value, query, *negated),
            Expr::Between(value, low, high, negated) => {
                let (value, low, high) = (self.value(value)?, self.value(low)?, self.value(high)?);
                let (from, to) = (self.compare(">=", &value, &low)?, self.compare("<=", &value, &high)?);
                Ok(format!("({}({from} AND {to}))", if *negated { "NOT " } else { "" }))
            }
            Expr::Like(value, pattern, escape, negated) => {
                self.like(value, pattern, escape.as_deref(), *negated)
            }
            Expr::Exists(query) => self.exists(query),
            other => {
                // A bare value is no condition in T-SQL.
                self.value(other)?;
                let message = "An expression of non-boolean type specified in a context where a condition is expected, near ';'.";
                Err(SqlError::new(4145, 15, message))
            }
        }
    }

    fn in_list(&mut self, value: &Value, items: &[Value], negated: bool) -> Result<String, SqlError> {
        let not = if negated { "NOT " } else { "" };
        let is_direct =
            matches!(value.family(), Family::Integer | Family::Date | Family::DateTime | Family::Uuid);
        if is_direct && items.iter().all(|item| item.family() == value.family() && !item.is_null) {
            // As a list, so that an index serves it.
            let list: Vec<&str> = items.iter().map(|item| item.sql.as_str()).collect();
            return Ok(format!("({not}({} IN ({})))", value.sql, list.join(", ")));
        }
        let any = items.iter().map(|item| self.compare("=", value, item)).collect::<Result<Vec<_>, _>>()?;
        Ok(format!("({not}({}))", any.join(" OR ")))
    }

    fn joined(&mut self, all: &[Expr], word: &str) -> Result<String, SqlError> {
        let parts = all.iter().map(|part| self.predicate(part)).collect::<Result<Vec<_>, _>>()?;
        Ok(format!("({})", parts.join(word)))
    }

    /// A column by its name and up to three qualifiers.
    fn column(&mut self, parts: &[String]) -> Result<Value, SqlError> {
        let Some((name, qualifiers)) = parts.split_last() else { return Err(invalid_column("")) };
        for scope in self.scopes.iter().rev() {
            let mut found: Option<&Value> = None;
            let mut table_found = false;
            for table in scope {
                let is_meant = match qualifiers {
                    [] => true,
                    [alias] => same_name(&table.name, alias),
                    [.., schema, alias] => {
                        same_name(&table.name, alias)
                            && table.schema.as_ref().is_some_and(|found| same_name(found, schema))
                    }
                };
                table_found |= is_meant;
                let columns = table.columns.iter().filter(|(column, _)| is_meant && same_name(column, name));
                for (_, value) in columns {
                    if found.is_some() {
                        return Err(SqlError::new(209, 16, format!("Ambiguous column name '{name}'.")));
                    }
                    found = Some(value);
                }
            }
            if let Some(value) = found {
                return Ok(value.clone());
            }
            if table_found && !qualifiers.is_empty() {
                return Err(invalid_column(name));
            }
        }
        if qualifiers.is_empty() {
            return Err(invalid_column(name));
        }
        let message = format!("The multi-part identifier \"{}\" could not be bound.", parts.join("."));
        Err(SqlError::new(4104, 16, message))
    }

    fn literal_value(&mut self, literal: &Literal) -> Result<Value, SqlError> {
        let (datum, column_type) = match literal {
            Literal::Null => {
                let null = Value::new("NULL", ColumnType::Int);
                return Ok(Value { is_null: true, ..null });
            }
            Literal::Integer(digits) => match digits.parse::<i64>() {
                Ok(value) if i32::try_from(value).is_ok() => (Datum::Int(value), ColumnType::Int),
                Ok(value) => (Datum::Int(value), ColumnType::BigInt),
                Err(_) => decimal(digits)?,
            },
            Literal::Decimal(digits) => decimal(digits)?,
            Literal::Float(digits) => {
                let value = digits.parse::<f64>().ok().filter(|value| value.is_finite());
                let value = value.ok_or_else(|| {
                    let message =
                        format!("The floating point value '{digits}' is out of the range of computer representation (8 bytes).");
                    SqlError::new(168, 15, message)
                })?;
                (Datum::Float(value), ColumnType::Float)
            }
            Literal::Text(text, national) => {
                let units = text.encode_utf16().count();
                (Datum::Text(text.clone()), text_type(*national, units))
            }
            Literal::Binary(bytes) => {
                let length = u16::try_from(bytes.len()).ok().filter(|length| *length <= 8000);
                let length =
                    length.map_or(segcdc_tds::Len::Max, |length| segcdc_tds::Len::Limited(length.max(1)));
                (Datum::Bytes(bytes.clone()), ColumnType::VarBinary(length))
            }
        };
        let value = Value::new(self.literal(datum, column_type), column_type).not_null();
        Ok(Value { simple: true, ..value })
    }

    fn unary(&mut self, operator: &str, expr: &Expr) -> Result<Value, SqlError> {
        // A negative literal is one literal: -2147483648 is an int.
        if let (
            "-",
            Expr::Literal(
                literal @ (Literal::Integer(digits) | Literal::Decimal(digits) | Literal::Float(digits)),
            ),
        ) = (operator, expr)
        {
            let digits = format!("-{digits}");
            return self.literal_value(&match literal {
                Literal::Integer(_) => Literal::Integer(digits),
                Literal::Decimal(_) => Literal::Decimal(digits),
                _ => Literal::Float(digits),
            });
        }
        let value = self.value(expr)?;
        if operator == "+" {
            return Ok(value);
        }
        let is_number = matches!(value.family(), Family::Integer | Family::Decimal | Family::Float);
        if !is_number || (operator == "~" && value.family() != Family::Integer) {
            let message = format!(
                "Operand data type {} is invalid for {} operator.",
                physical::type_word(value.column_type),
                if operator == "~" { "'~'" } else { "minus" }
            );
            return Err(SqlError::new(8117, 16, message));
        }
        Ok(Value {
            nullable: value.nullable,
            ..Value::new(format!("({operator} {})", value.sql), value.column_type)
        })
    }

    /// `left operator right` of numbers, texts, binaries and dates.
    pub(super) fn arithmetic(
        &mut self,
        operator: &str,
        left: &Value,
        right: &Value,
    ) -> Result<Value, SqlError> {
        let (a, b) = self.unify(left, right, "add")?;
        let nullable = a.nullable || b.nullable || left.is_null || right.is_null;
        let column_type = a.column_type;
        let result = match (a.family(), operator) {
            (Family::Text, "+") => return self.concatenate(left, right),
            (Family::Binary, "+") => Value::new(format!("({} || {})", a.sql, b.sql), column_type),
            (Family::Integer, "+" | "-" | "*" | "/" | "%" | "&" | "|") => {
                let word = physical::value_sql(column_type);
                let sql = format!("(({})::{word} {operator} ({})::{word})", a.sql, b.sql);
                let is_tiny = matches!(column_type, ColumnType::TinyInt);
                Value::new(
                    if is_tiny { format!("tsql.to_tinyint({sql}::numeric)") } else { sql },
                    column_type,
                )
            }
            (Family::Integer, "^") => Value::new(format!("({} # {})", a.sql, b.sql), column_type),
            (Family::Decimal, _) => decimal_arithmetic(operator, left, right),
            (Family::Float, "+" | "-" | "*" | "/") => {
                Value::new(format!("({}::float8 {operator} {}::float8)", a.sql, b.sql), ColumnType::Float)
            }
            _ => {
                let message = format!(
                    "Operand data type {} is invalid for {} operator.",
                    physical::type_word(column_type),
                    operation_name(operator)
                );
                return Err(SqlError::new(8117, 16, message));
            }
        };
        Ok(Value { nullable, ..result })
    }

    /// Text `+`.
    fn concatenate(&mut self, left: &Value, right: &Value) -> Result<Value, SqlError> {
        let label = common_label(&left.label, &right.label, "add")?;
        let national = physical::is_national(left.column_type) || physical::is_national(right.column_type);
        let units = |value: &Value| physical::limit(value.column_type).map_or(usize::MAX / 2, usize::from);
        let column_type = text_type(national, units(left).saturating_add(units(right)));
        let (a, b) = (self.plain(left)?, self.plain(right)?);
        let sql = format!("(({a} || {b})::bpchar COLLATE {})", postgres_collation(&label));
        Ok(Value {
            nullable: left.nullable || right.nullable,
            ..Value::new(sql, column_type).labelled(label)
        })
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        branches: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
    ) -> Result<Value, SqlError> {
        let operand = operand.map(|operand| self.value(operand)).transpose()?;
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        for (when, then) in branches {
            let condition = match &operand {
                Some(operand) => {
                    let when = self.value(when)?;
                    self.compare("=", operand, &when)?
                }
                None => self.predicate(when)?,
            };
            conditions.push(condition);
            values.push(self.value(then)?);
        }
        if let Some(otherwise) = otherwise {
            values.push(self.value(otherwise)?);
        }
        let (converted, result) = self.alike(&values, "CASE")?;
        let mut sql = "CASE".to_owned();
        let mut converted = converted.into_iter();
        for (condition, value) in conditions.iter().zip(converted.by_ref()) {
            sql.push_str(&format!(" WHEN {condition} THEN {value}"));
        }
        if let Some(value) = converted.next() {
            sql.push_str(&format!(" ELSE {value}"));
        }
        let nullable = otherwise.is_none() || result.nullable;
        Ok(Value { sql: format!("({sql} END)"), nullable, ..result })
    }

    /// Values of the branches of CASE, COALESCE and the like, in their common type.
    pub(super) fn alike(
        &mut self,
        values: &[Value],
        operation: &str,
    ) -> Result<(Vec<String>, Value), SqlError> {
        let typed = values.iter().filter(|value| !value.is_null);
        let column_type = typed.map(|value| value.column_type).reduce(common_type).unwrap_or(ColumnType::Int);
        let mut label = Label::None;
        for value in values {
            label = common_label(&label, &value.label, operation)?;
        }
        let is_text = physical::family(column_type) == Family::Text;
        let mut converted = values
            .iter()
            .map(|value| self.convert(value, column_type, Purpose::Implicit))
            .collect::<Result<Vec<_>, _>>()?;
        let alike = values.iter().all(|value| value.simple && value.label == label);
        if is_text && !alike {
            let collate = postgres_collation(&label);
            converted = converted.iter().map(|sql| format!("(({sql}) COLLATE {collate})")).collect();
        }
        let nullable = values.iter().any(|value| value.nullable || value.is_null);
        let result = Value { nullable, ..Value::new("", column_type) };
        Ok((converted, result.labelled(if is_text { label } else { Label::None })))
    }

    fn cast(
        &mut self,
        expr: &Expr,
        to: ColumnType,
        style: Option<&Expr>,
        attempt: bool,
    ) -> Result<Value, SqlError> {
        let value = self.value(expr)?;
        let style = match style {
            None => 0,
            Some(Expr::Literal(Literal::Integer(digits))) => digits.parse().unwrap_or(-1),
            Some(_) => return Err(unsupported("CONVERT with a style that is not a literal")),
        };
        let sql = if attempt && value.family() == Family::Text && physical::family(to) != Family::Text {
            format!(
                "tsql.attempt({}, '{}', '{}')::{}",
                value.sql,
                to,
                physical::family_word(to),
                physical::value_sql(to)
            )
        } else {
            self.convert(&value, to, Purpose::Cast(style))?
        };
        let result = Value { nullable: value.nullable || attempt, ..Value::new(sql, to) };
        let label = match (result.family(), value.family()) {
            (Family::Text, Family::Text) => value.label,
            (Family::Text, _) => Label::Default,
            _ => Label::None,
        };
        Ok(result.labelled(label))
    }

    fn like(
        &mut self,
        value: &Expr,
        pattern: &Expr,
        escape: Option<&Expr>,
        negated: bool,
    ) -> Result<String, SqlError> {
        let (value, pattern) = (self.value(value)?, self.value(pattern)?);
        let label = common_label(&value.label, &pattern.label, "like")?;
        let national = text_type(true, usize::MAX);
        let (a, b) = (
            self.convert(&value, national, Purpose::Implicit)?,
            self.convert(&pattern, national, Purpose::Implicit)?,
        );
        let escape = match escape {
            Some(escape) => {
                let escape = self.value(escape)?;
                format!("tsql.text_of({}) COLLATE \"C\"", escape.sql)
            }
            None => "NULL::text".to_owned(),
        };
        let is_exact = matches!(postgres_collation(&label), "\"C\"" | "tsql.cs_as");
        let not = if negated { "NOT " } else { "" };
        let (a, b) = (format!("({a}) COLLATE \"C\""), format!("({b}) COLLATE \"C\""));
        Ok(format!("({not}tsql.matches({a}, {b}, {escape}, {is_exact}))"))
    }
}

/// Digits with or without a point and sign, as a decimal.
fn decimal(text: &str) -> Result<(Datum, ColumnType), SqlError> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    let kept = all.trim_start_matches('0');
    let too_large = || {
        let message = format!(
            "The number '{text}' is out of the range for numeric representation (maximum precision 38)."
        );
        SqlError::new(1007, 15, message)
    };
    let scale = u8::try_from(fraction.len()).map_err(|_| too_large())?;
    let precision = u8::try_from(kept.len()).map_err(|_| too_large())?.max(scale).max(1);
    if precision > 38 {
        return Err(too_large());
    }
    let magnitude = if kept.is_empty() { 0 } else { kept.parse().map_err(|_| too_large())? };
    Ok((Datum::Decimal { negative, magnitude, precision, scale }, ColumnType::Decimal { precision, scale }))
}

/// Precision and scale of results: T-SQL manual, "Precision, scale, and length".
fn decimal_arithmetic(operator: &str, left: &Value, right: &Value) -> Value {
    let digits = |value: &Value| {
        let (precision, scale) = physical::digits(value.column_type).unwrap_or((38, 10));
        (i32::from(precision), i32::from(scale))
    };
    let ((p1, s1), (p2, s2)) = (digits(left), digits(right));
    let (precision, scale) = match operator {
        "*" => (p1 + p2 + 1, s1 + s2),
        "/" => {
            let scale = 6.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        "%" => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
        _ => ((p1 - s1).max(p2 - s2) + s1.max(s2) + 1, s1.max(s2)),
    };
    let (precision, scale) = if precision > 38 {
        let whole = precision - scale;
        (38, scale.min((38 - whole).max(6)))
    } else {
        (precision, scale)
    };
    let column_type = ColumnType::Decimal {
        precision: u8::try_from(precision).unwrap_or(38),
        scale: u8::try_from(scale).unwrap_or(6),
    };
    let sql = format!("(({})::numeric {operator} ({})::numeric)", left.sql, right.sql);
    Value::new(format!("{sql}::numeric({precision},{scale})"), column_type)
}

fn operation_name(operator: &str) -> &'static str {
    match operator {
        "+" => "add",
        "-" => "subtract",
        "*" => "multiply",
        "/" => "divide",
        "%" => "modulo",
        "&" => "'&'",
        "|" => "'|'",
        _ => "'^'",
    }
}
