//! Comparisons: common types, collations, padding.

use segcdc_tds::ColumnType;

use super::convert::Purpose;
use super::{Label, Translator, Value};
use crate::answer::SqlError;
use crate::sql::collation::Collate;
use crate::sql::physical::{self, Family};

/// Rank in the order of type precedence; the lower one is converted to the higher one (T-SQL manual, "Data type
/// precedence").
fn rank(column_type: ColumnType) -> u8 {
    match column_type {
        ColumnType::SqlVariant => 40,
        ColumnType::Xml | ColumnType::Json => 39,
        ColumnType::DateTimeOffset(_) => 38,
        ColumnType::DateTime2(_) => 37,
        ColumnType::DateTime => 36,
        ColumnType::SmallDateTime => 35,
        ColumnType::Date => 34,
        ColumnType::Time(_) => 33,
        ColumnType::Float => 32,
        ColumnType::Real => 31,
        ColumnType::Decimal { .. } => 30,
        ColumnType::Money => 29,
        ColumnType::SmallMoney => 28,
        ColumnType::BigInt => 27,
        ColumnType::Int => 26,
        ColumnType::SmallInt => 25,
        ColumnType::TinyInt => 24,
        ColumnType::Bit => 23,
        ColumnType::NText => 22,
        ColumnType::Text => 21,
        ColumnType::Image => 20,
        ColumnType::UniqueIdentifier => 19,
        ColumnType::NVarChar(_) => 18,
        ColumnType::NChar(_) => 17,
        ColumnType::VarChar(_) => 16,
        ColumnType::Char(_) => 15,
        ColumnType::VarBinary(_) => 14,
        ColumnType::Binary(_) => 13,
    }
}

/// The type that two values have in common: of higher precedence, and wide enough for both.
pub(super) fn common_type(left: ColumnType, right: ColumnType) -> ColumnType {
    let (high, low) = if rank(left) >= rank(right) { (left, right) } else { (right, left) };
    match (high, low) {
        (ColumnType::Decimal { .. }, _) => widest_decimal(high, low),
        (ColumnType::DateTime2(a), ColumnType::DateTime2(b)) => ColumnType::DateTime2(a.max(b)),
        (ColumnType::DateTime2(a), ColumnType::DateTime) => ColumnType::DateTime2(a.max(3)),
        (ColumnType::DateTimeOffset(a), ColumnType::DateTimeOffset(b) | ColumnType::DateTime2(b)) => {
            ColumnType::DateTimeOffset(a.max(b))
        }
        (ColumnType::Time(a), ColumnType::Time(b)) => ColumnType::Time(a.max(b)),
        _ => widest_string(high, low),
    }
}

fn widest_decimal(high: ColumnType, low: ColumnType) -> ColumnType {
    let (Some((p1, s1)), Some((p2, s2))) = (physical::digits(high), physical::digits(low)) else {
        return high;
    };
    let scale = s1.max(s2);
    let precision = (p1 - s1).max(p2.saturating_sub(s2)).saturating_add(scale).min(38);
    ColumnType::Decimal { precision, scale: scale.min(precision) }
}

fn widest_string(high: ColumnType, low: ColumnType) -> ColumnType {
    use segcdc_tds::Len;
    if physical::family(high) != physical::family(low) {
        return high;
    }
    let length = match (physical::limit(high), physical::limit(low)) {
        (Some(a), Some(b)) => Len::Limited(a.max(b)),
        _ => Len::Max,
    };
    match (high, length) {
        (ColumnType::NVarChar(_), _) => ColumnType::NVarChar(length),
        (ColumnType::VarChar(_), _) => ColumnType::VarChar(length),
        (ColumnType::VarBinary(_), _) => ColumnType::VarBinary(length),
        (ColumnType::NChar(_), Len::Limited(units)) => ColumnType::NChar(units),
        (ColumnType::Char(_), Len::Limited(units)) => ColumnType::Char(units),
        (ColumnType::Binary(_), Len::Limited(units)) => ColumnType::Binary(units),
        (ColumnType::NChar(_), Len::Max) => ColumnType::NVarChar(length),
        (ColumnType::Char(_), Len::Max) => ColumnType::VarChar(length),
        (ColumnType::Binary(_), Len::Max) => ColumnType::VarBinary(length),
        _ => high,
    }
}

/// The collation of two texts together (468: they have different ones).
pub(super) fn common_label(left: &Label, right: &Label, operation: &str) -> Result<Label, SqlError> {
    let conflict = |a: &Collate, b: &Collate| {
        let message = format!(
            "Cannot resolve the collation conflict between \"{}\" and \"{}\" in the {operation} operation.",
            b.name, a.name
        );
        SqlError::new(468, 16, message).with_state(9)
    };
    match (left, right) {
        (Label::Explicit(a), Label::Explicit(b)) if a != b => Err(conflict(a, b)),
        (Label::Explicit(_), _) => Ok(left.clone()),
        (_, Label::Explicit(_)) => Ok(right.clone()),
        (Label::Implicit(a), Label::Implicit(b)) if a != b => Err(conflict(a, b)),
        (Label::Implicit(_), _) => Ok(left.clone()),
        (_, Label::Implicit(_)) => Ok(right.clone()),
        (Label::Default, _) | (_, Label::Default) => Ok(Label::Default),
        (Label::None, Label::None) => Ok(Label::None),
    }
}

/// The collation that PostgreSQL is to use for a text with this label.
pub(super) fn postgres_collation(label: &Label) -> &'static str {
    match label {
        Label::Implicit(collate) | Label::Explicit(collate) => collate.postgres(),
        Label::None | Label::Default => "tsql.ci_as",
    }
}

/// What PostgreSQL compares in the place of a value of this type.
pub(super) fn comparable(sql: &str, column_type: ColumnType) -> String {
    match physical::family(column_type) {
        Family::Binary => format!("rtrim({sql}, '\\x00'::bytea)"),
        Family::Offset => format!("({sql})[1]"),
        _ => sql.to_owned(),
    }
}

/// As [`comparable`], for order: uniqueidentifier compares its last six bytes first.
pub(super) fn orderable(sql: &str, column_type: ColumnType) -> String {
    match physical::family(column_type) {
        Family::Uuid => format!("tsql.guid_order({sql})"),
        _ => comparable(sql, column_type),
    }
}

/// A column with a collation of its own, or a parameter.
fn is_bare(value: &Value) -> bool {
    value.is_null
        || (value.simple && (matches!(value.label, Label::Implicit(_)) || value.sql.starts_with('$')))
}

/// 13636: two documents are compared; 402: a document with something else.
fn refuse_documents(operator: &str, left: &Value, right: &Value) -> Result<(), SqlError> {
    let is_document = |value: &Value| !value.is_null && value.family() == Family::Json;
    let other = match (is_document(left), is_document(right)) {
        (false, false) => return Ok(()),
        (true, false) if !right.is_null => (left, right),
        (false, true) if !left.is_null => (left, right),
        _ => return Err(incomparable(1)),
    };
    let message = format!(
        "The data types {} and {} are incompatible in the {} operator.",
        other.0.column_type,
        other.1.column_type,
        operation(operator)
    );
    Err(SqlError::new(402, 16, message))
}

/// 13636: documents have no order.
pub(super) fn incomparable(state: u8) -> SqlError {
    let message = "The json data type cannot be compared or sorted, except when using the IS NULL operator.";
    SqlError::new(13636, 16, message).with_state(state)
}

fn operation(operator: &str) -> &'static str {
    match operator {
        "=" => "equal to",
        "<>" => "not equal to",
        "<" => "less than",
        "<=" => "less than or equal to",
        ">" => "greater than",
        _ => "greater than or equal to",
    }
}

// === impl Translator ===

impl Translator<'_> {
    /// `left operator right`
    pub(super) fn compare(
        &mut self,
        operator: &str,
        left: &Value,
        right: &Value,
    ) -> Result<String, SqlError> {
        refuse_documents(operator, left, right)?;
        let (left, right) = self.unify(left, right, operation(operator))?;
        let column_type = left.column_type;
        if column_type == ColumnType::Xml {
            let message = format!(
                "The data types xml and xml are incompatible in the {} operator.",
                operation(operator)
            );
            return Err(SqlError::new(402, 16, message));
        }
        let form = if matches!(operator, "=" | "<>") { comparable } else { orderable };
        let (a, b) = (form(&left.sql, column_type), form(&right.sql, column_type));
        if left.family() != Family::Text {
            return Ok(format!("({a} {operator} {b})"));
        }
        let label = common_label(&left.label, &right.label, operation(operator))?;
        // The collation of a column beside a column or parameter is what PostgreSQL takes by itself.
        if matches!(label, Label::Implicit(_)) && is_bare(&left) && is_bare(&right) {
            return Ok(format!("({a} {operator} {b})"));
        }
        let collate = postgres_collation(&label);
        Ok(format!("(({a}) COLLATE {collate} {operator} ({b}) COLLATE {collate})"))
    }

    /// Both values in their common type, texts without their lengths being cut.
    pub(super) fn unify(
        &mut self,
        left: &Value,
        right: &Value,
        operation: &str,
    ) -> Result<(Value, Value), SqlError> {
        if left.is_null && right.is_null {
            let null = Value::new("NULL::int4", ColumnType::Int);
            return Ok((null.clone(), null));
        }
        if left.is_null {
            return Ok((self.null_of(right), right.clone()));
        }
        if right.is_null {
            return Ok((left.clone(), self.null_of(left)));
        }
        let column_type = common_type(left.column_type, right.column_type);
        if left.family() == right.family() {
            common_label(&left.label, &right.label, operation)?;
            let retype = |value: &Value| Value { column_type, ..value.clone() };
            return Ok((retype(left), retype(right)));
        }
        let mut convert = |value: &Value| -> Result<Value, SqlError> {
            if value.family() == physical::family(column_type) {
                return Ok(Value { column_type, ..value.clone() });
            }
            let sql = self.convert(value, column_type, Purpose::Implicit)?;
            Ok(Value { nullable: value.nullable, ..Value::new(sql, column_type) })
        };
        Ok((convert(left)?, convert(right)?))
    }

    fn null_of(&self, other: &Value) -> Value {
        let sql = format!("NULL::{}", physical::value_sql(other.column_type));
        Value { is_null: true, ..Value::new(sql, other.column_type) }
    }
}
