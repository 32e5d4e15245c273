//! Scalar functions.

use segcdc_tds::{ColumnType, Datum, Len};

use super::aggregate::wrong_arguments;
use super::convert::Purpose;
use super::{Global, Translator, Value};
use crate::answer::SqlError;
use crate::sql::ast::{Expr, Function};
use crate::sql::collation::DEFAULT_NAME;
use crate::sql::physical::{self, Family};

/// `sysname`
const NAME: ColumnType = ColumnType::NVarChar(Len::Limited(128));

// === impl Translator ===

impl Translator<'_> {
    /// A call (195: no such function).
    pub(super) fn function(&mut self, function: &Function) -> Result<Value, SqlError> {
        if let Some(value) = self.aggregate(function)? {
            return Ok(value);
        }
        if let Some(value) = self.clock(function)? {
            return Ok(value);
        }
        let mut arguments = Vec::new();
        if function.name == "IIF" {
            return self.iif(function);
        }
        for argument in &function.arguments {
            arguments.push(self.value(argument)?);
        }
        if let Some(value) = self.session_function(&function.name) {
            return Ok(value);
        }
        if let Some(value) = self.catalog_function(&function.name, &arguments)? {
            return Ok(value);
        }
        if let Some(value) = self.text_function(&function.name, &arguments)? {
            return Ok(value);
        }
        if let Some(value) = self.value_function(&function.name, &arguments)? {
            return Ok(value);
        }
        let message =
            format!("'{}' is not a recognized built-in function name.", function.name.to_lowercase());
        Err(SqlError::new(195, 15, message).with_state(10))
    }

    fn iif(&mut self, function: &Function) -> Result<Value, SqlError> {
        let [condition, then, otherwise] = function.arguments.as_slice() else {
            return Err(wrong_arguments("IIF", 3));
        };
        let branches = vec![(condition.clone(), then.clone())];
        self.value(&Expr::Case(None, branches, Some(Box::new(otherwise.clone()))))
    }

    fn session_function(&mut self, name: &str) -> Option<Value> {
        let (global, column_type) = match name {
            "XACT_STATE" => (Global::TransactionState, ColumnType::SmallInt),
            "SCOPE_IDENTITY" => (Global::Identity, ColumnType::Decimal { precision: 38, scale: 0 }),
            "ERROR_NUMBER" => (Global::ErrorNumber, ColumnType::Int),
            "ERROR_MESSAGE" => (Global::ErrorMessage, ColumnType::NVarChar(Len::Limited(4000))),
            "ERROR_SEVERITY" => (Global::ErrorSeverity, ColumnType::Int),
            "ERROR_STATE" => (Global::ErrorState, ColumnType::Int),
            "ERROR_LINE" => (Global::ErrorLine, ColumnType::Int),
            "SUSER_SNAME" | "SUSER_NAME" | "ORIGINAL_LOGIN" | "SYSTEM_USER" => (Global::User, NAME),
            "HOST_NAME" => (Global::Host, NAME),
            "APP_NAME" | "PROGRAM_NAME" => (Global::Application, NAME),
            "USER_NAME" | "CURRENT_USER" | "SESSION_USER" | "USER" => {
                let text = self.literal(Datum::Text("dbo".to_owned()), NAME);
                return Some(Value::new(text, NAME).not_null());
            }
            _ => return None,
        };
        Some(self.global(global, column_type))
    }

    /// Functions that ask the catalog.
    fn catalog_function(&mut self, name: &str, arguments: &[Value]) -> Result<Option<Value>, SqlError> {
        let text = |index: usize| arguments.get(index).map(|value| value.sql.as_str());
        let argument = |index: usize| text(index).ok_or_else(|| wrong_arguments(name, index + 1));
        let value = match (name, arguments) {
            ("DB_NAME", []) => self.global(Global::Database, NAME),
            ("DB_ID", []) => Value::new("5::int2", ColumnType::SmallInt),
            ("DB_ID", [value]) => Value::new(
                format!(
                    "(SELECT d.database_id FROM {} AS d WHERE d.name = {} COLLATE tsql.ci_as)",
                    self.names.databases(),
                    value.sql
                ),
                ColumnType::SmallInt,
            ),
            ("OBJECT_ID", _) => {
                let kind = text(1).unwrap_or("NULL");
                let sql = format!("tsql.object_id({}, {kind}::bpchar)", argument(0)?);
                Value::new(sql, ColumnType::Int)
            }
            ("OBJECT_NAME", _) => Value::new(format!("tsql.object_name({})", argument(0)?), NAME),
            ("OBJECT_SCHEMA_NAME", _) => {
                Value::new(format!("tsql.object_schema_name({})", argument(0)?), NAME)
            }
            ("SCHEMA_ID", []) => Value::new("1::int4", ColumnType::Int),
            ("SCHEMA_ID", _) => Value::new(format!("tsql.schema_id({})", argument(0)?), ColumnType::Int),
            ("SCHEMA_NAME", []) => {
                let dbo = self.literal(Datum::Text("dbo".to_owned()), NAME);
                Value::new(dbo, NAME)
            }
            ("SCHEMA_NAME", _) => Value::new(format!("tsql.schema_name({})", argument(0)?), NAME),
            ("COL_NAME", _) => {
                Value::new(format!("tsql.column_name({}, {})", argument(0)?, argument(1)?), NAME)
            }
            ("TYPE_NAME", _) => Value::new(format!("tsql.type_name({})", argument(0)?), NAME),
            ("HAS_PERMS_BY_NAME", [_, _, ..]) => {
                // The only login of the sandbox may do everything with what exists.
                let sql =
                    format!("tsql.has_permission(({})::bpchar, ({})::bpchar)", argument(0)?, argument(1)?);
                Value::new(sql, ColumnType::Int)
            }
            ("HAS_DBACCESS" | "IS_MEMBER" | "IS_SRVROLEMEMBER" | "IS_ROLEMEMBER", _) => {
                Value::new("1::int4", ColumnType::Int).not_null()
            }
            ("SERVERPROPERTY", _) => {
                Value::new(format!("tsql.server_property({})", argument(0)?), ColumnType::SqlVariant)
            }
            ("DATABASEPROPERTYEX", _) => {
                let collation = super::text::quote(DEFAULT_NAME);
                let sql = format!("tsql.database_property({}, {collation})", argument(1)?);
                Value::new(sql, ColumnType::SqlVariant)
            }
            ("COLLATIONPROPERTY", _) => {
                Value::new(format!("tsql.collation_property({})", argument(1)?), ColumnType::SqlVariant)
            }
            ("OBJECTPROPERTY" | "OBJECTPROPERTYEX", _) => Value::new(
                format!("tsql.object_property({}, {})", argument(0)?, argument(1)?),
                ColumnType::Int,
            ),
            ("COLUMNPROPERTY", _) => {
                let sql =
                    format!("tsql.column_property({}, {}, {})", argument(0)?, argument(1)?, argument(2)?);
                Value::new(sql, ColumnType::Int)
            }
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    fn value_function(&mut self, name: &str, arguments: &[Value]) -> Result<Option<Value>, SqlError> {
        let value = match (name, arguments) {
            ("ISNULL", [first, second]) => {
                // The type of the first, unlike COALESCE.
                let column_type = if first.is_null { second.column_type } else { first.column_type };
                let (a, b) = (
                    self.convert(first, column_type, Purpose::Implicit)?,
                    self.convert(second, column_type, Purpose::Variable)?,
                );
                let value = Value::new(format!("coalesce({a}, {b})"), column_type);
                let label = if first.is_null { second.label.clone() } else { first.label.clone() };
                Value { nullable: first.nullable && second.nullable, ..value.labelled(label) }
            }
            ("COALESCE", [_, ..]) => {
                let (parts, value) = self.alike(arguments, "COALESCE")?;
                let nullable = arguments.iter().all(|argument| argument.nullable || argument.is_null);
                Value { sql: format!("coalesce({})", parts.join(", ")), nullable, ..value }
            }
            ("NULLIF", [first, second]) => {
                let same = self.compare("=", first, second)?;
                let sql = format!("(CASE WHEN {same} THEN NULL ELSE {} END)", first.sql);
                Value { sql, nullable: true, simple: false, column: None, ..first.clone() }
            }
            ("ABS" | "FLOOR" | "CEILING" | "SIGN", [first]) => {
                let word = if name == "CEILING" { "ceil".to_owned() } else { name.to_lowercase() };
                let cast = physical::column_sql(first.column_type);
                Value::new(format!("{word}({})::{cast}", first.sql), first.column_type)
            }
            ("ROUND", [first, digits, ..]) => {
                let cast = physical::column_sql(first.column_type);
                Value::new(
                    format!("round(({})::numeric, ({})::int4)::{cast}", first.sql, digits.sql),
                    first.column_type,
                )
            }
            ("SQRT" | "EXP" | "LOG" | "POWER", [first, ..]) => {
                let word = if name == "LOG" { "ln".to_owned() } else { name.to_lowercase() };
                let list: Vec<String> =
                    arguments.iter().map(|value| format!("({})::float8", value.sql)).collect();
                let is_power = name == "POWER";
                let column_type = if is_power { first.column_type } else { ColumnType::Float };
                let cast = physical::column_sql(column_type);
                Value::new(format!("{word}({})::{cast}", list.join(", ")), column_type)
            }
            ("NEWID", []) => Value::new("gen_random_uuid()", ColumnType::UniqueIdentifier).not_null(),
            ("HASHBYTES", [algorithm, value]) => {
                let bytes = match value.family() {
                    Family::Binary => value.sql.clone(),
                    _ => self.convert(value, ColumnType::VarBinary(Len::Max), Purpose::Cast(0))?,
                };
                let sql = format!("tsql.hash_bytes({}, {bytes})", algorithm.sql);
                Value::new(sql, ColumnType::VarBinary(Len::Limited(8000)))
            }
            ("CHECKSUM" | "BINARY_CHECKSUM", _) => return Ok(None),
            ("IS_NUMERIC" | "ISNUMERIC", [value]) => {
                Value::new(format!("tsql.is_numeric(({})::text)", value.sql), ColumnType::Int)
            }
            _ => return Ok(None),
        };
        Ok(Some(value))
    }
}
