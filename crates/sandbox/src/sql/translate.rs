//! A parsed statement into one of PostgreSQL's, with every type and collation known.
//!
//! Literals and variables become parameters, so that nothing of a client is ever spliced into SQL, and so that
//! statements that differ only in values share one prepared statement.

mod aggregate;
mod clock;
mod compare;
mod convert;
mod expression;
mod from;
mod function;
mod merge;
mod modify;
mod output;
mod query;
mod string;
#[cfg(test)]
mod tests;
mod text;
mod through;
mod update;

use std::collections::HashMap;
use std::sync::Arc;

use segcdc_tds::{ColumnType, Datum, Len};

pub(crate) use convert::Purpose;
pub(crate) use text::decimal_text;

use crate::answer::{OutColumn, SqlError};
use crate::sql::ast::{Expr, ObjectName, Statement, StatementKind};
use crate::sql::collation::Collate;
use crate::sql::physical;
use crate::sql::table::{Column, Table};

/// Parameters that PostgreSQL takes.
const MAX_PARAMETERS: usize = 65_000;

/// Finds tables by name.
pub(crate) trait Names {
    /// The table; `None` when there is none.
    fn table(&self, name: &ObjectName) -> Option<Arc<Table>>;
    /// Type of a variable, with the at sign; `None` when it is not declared.
    fn variable(&self, name: &str) -> Option<ColumnType>;
    /// Name of the current database.
    fn database(&self) -> &str;
    /// Rows of `sys.databases`, as a FROM item; see [`crate::sql::system`].
    fn databases(&self) -> String;
    /// Whether IDENTITY_INSERT is ON for the table.
    fn identity_insert(&self, table: &Table) -> bool;
}

/// A statement that PostgreSQL can run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// PostgreSQL's SQL.
    pub(crate) sql: String,
    /// Its parameters, `$1` first.
    pub(crate) slots: Vec<Slot>,
    /// Columns of its rows; `None` when it returns none.
    pub(crate) columns: Option<Vec<OutColumn>>,
    /// Variables that the columns of the last row are assigned to, instead of being returned.
    pub(crate) assign: Vec<String>,
    /// For DONE.
    pub(crate) command: u16,
    /// The table that it writes, for messages.
    pub(crate) target: Option<Arc<Table>>,
    /// The rows that `columns` are for come from OUTPUT: their number is the count of the statement.
    pub(crate) is_output: bool,
    /// What locks tables as a whole before: for HOLDLOCK of a MERGE, and for UPDLOCK of an aggregate.
    pub(crate) lock: Option<String>,
    /// Its rows are those of user tables, not of the catalog: SNAPSHOT may refuse it.
    pub(crate) reads_data: bool,
}

/// What a parameter's value is at run time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Slot {
    /// A variable, with the at sign.
    Variable(String, ColumnType),
    /// A literal.
    Literal(Datum, ColumnType),
    /// A function of the session, such as `@@TRANCOUNT`.
    Global(Global, ColumnType),
}

/// Functions whose value the session knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Global {
    /// `@@ROWCOUNT`
    RowCount,
    /// `@@TRANCOUNT`
    TransactionCount,
    /// `XACT_STATE()`
    TransactionState,
    /// `@@ERROR`
    Error,
    /// `@@SPID`
    Spid,
    /// `SCOPE_IDENTITY()` and `@@IDENTITY`
    Identity,
    /// `ERROR_NUMBER()`
    ErrorNumber,
    /// `ERROR_MESSAGE()`
    ErrorMessage,
    /// `ERROR_SEVERITY()`
    ErrorSeverity,
    /// `ERROR_STATE()`
    ErrorState,
    /// `ERROR_LINE()`
    ErrorLine,
    /// `@@LOCK_TIMEOUT`
    LockTimeout,
    /// `@@OPTIONS`
    Options,
    /// `DB_NAME()`
    Database,
    /// `SUSER_SNAME()` and its like
    User,
    /// `HOST_NAME()`
    Host,
    /// `APP_NAME()`
    Application,
}

/// Where the collation of a text comes from (T-SQL manual, "Collation precedence").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Label {
    /// Not a text.
    None,
    /// A literal or variable: gives way to anything.
    Default,
    /// A column.
    Implicit(Collate),
    /// COLLATE
    Explicit(Collate),
}

/// A translated expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value {
    /// PostgreSQL's SQL; safe to put into any expression.
    pub(crate) sql: String,
    /// Its type.
    pub(crate) column_type: ColumnType,
    /// Its collation.
    pub(crate) label: Label,
    /// May be NULL.
    pub(crate) nullable: bool,
    /// The literal NULL, which takes any type.
    pub(crate) is_null: bool,
    /// Cheap to write twice.
    pub(crate) simple: bool,
    /// The column that it is, for the names of output columns.
    pub(crate) column: Option<ColumnFacts>,
}

/// What a value inherits from the column that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnFacts {
    /// Its name.
    pub(crate) name: String,
    /// IDENTITY
    pub(crate) identity: bool,
}

/// A table or subquery that names can refer to.
#[derive(Debug, Clone)]
pub(crate) struct ScopeTable {
    /// Alias or name.
    pub(crate) name: String,
    /// Schema, when it is a table without an alias.
    pub(crate) schema: Option<String>,
    /// Its columns: name and value.
    pub(crate) columns: Vec<(String, Value)>,
    /// PostgreSQL's alias.
    pub(crate) alias: String,
    /// The table behind it.
    pub(crate) table: Option<Arc<Table>>,
}

/// A common table expression in reach: name, PostgreSQL's name, columns.
type CommonScope = (String, String, Vec<(String, Value)>);

/// Tables of one SELECT.
pub(crate) type Scope = Vec<ScopeTable>;

/// Translates one statement.
pub(crate) struct Translator<'a> {
    names: &'a dyn Names,
    slots: Vec<Slot>,
    /// Number of each variable's parameter.
    variables: HashMap<String, usize>,
    /// Write literals into the SQL: for DEFAULT and CHECK, which take no parameters.
    inline: bool,
    /// Equal literals share a parameter: PostgreSQL compares GROUP BY with the select list by text.
    share_literals: bool,
    /// Inner scope last.
    scopes: Vec<Scope>,
    /// Common table expressions in reach: name, PostgreSQL's name, columns.
    common: Vec<CommonScope>,
    aliases: usize,
    reads_data: bool,
    /// Tables to lock as a whole before the statement.
    locks: Vec<String>,
    /// The query of FROM whose rows' places are wanted.
    place_of: Option<String>,
    /// The next SELECT is that one.
    wants_place: bool,
}

/// Translates a statement that reads or writes rows.
///
/// # Errors
/// SQL Server's errors of compilation; 208 when a table is missing, which the caller defers to run time.
pub(crate) fn translate(names: &dyn Names, statement: &Statement) -> Result<Plan, SqlError> {
    let translator = Translator::new(names);
    let plan = match &statement.kind {
        StatementKind::Select(query) => translator.select_plan(query),
        StatementKind::Insert(insert) => translator.insert_plan(insert),
        StatementKind::Update(update) => translator.update_plan(update),
        StatementKind::Delete(delete) => translator.delete_plan(delete),
        StatementKind::Merge(merge) => translator.merge_plan(merge),
        _ => Err(unsupported("this statement")),
    };
    plan.map_err(|error| if error.line == 1 { error.at_line(statement.line) } else { error })
}

/// Translates expressions that stand alone: of SET, IF, DECLARE, EXEC. One row with a column for each.
pub(crate) fn translate_values(
    names: &dyn Names,
    values: &[(&Expr, Option<ColumnType>)],
) -> Result<Plan, SqlError> {
    let mut translator = Translator::new(names);
    let mut columns = Vec::new();
    let mut list = Vec::new();
    for (expr, wanted) in values {
        let value = translator.value(expr)?;
        let (sql, column_type) = match wanted {
            Some(wanted) => (translator.convert(&value, *wanted, Purpose::Variable)?, *wanted),
            None => (value.sql.clone(), value.column_type),
        };
        list.push(format!("{sql}::{}", physical::value_sql(column_type)));
        columns.push(OutColumn::new("", column_type));
    }
    Ok(translator.into_plan(format!("SELECT {}", list.join(", ")), Some(columns)))
}

/// Translates a condition: one row with one int2, 1 when it is true.
pub(crate) fn translate_condition(names: &dyn Names, condition: &Expr) -> Result<Plan, SqlError> {
    let mut translator = Translator::new(names);
    let sql = translator.predicate(condition)?;
    let columns = vec![OutColumn::new("", ColumnType::Bit)];
    Ok(translator.into_plan(format!("SELECT coalesce({sql}, false)::int4::int2"), Some(columns)))
}

/// Translates a DEFAULT into PostgreSQL's text, of the column's type.
pub(crate) fn translate_default(
    names: &dyn Names,
    value: &Expr,
    column_type: ColumnType,
) -> Result<String, SqlError> {
    let mut translator = Translator::new(names);
    translator.inline = true;
    let value = translator.value(value)?;
    translator.convert(&value, column_type, Purpose::Variable)
}

/// Translates a CHECK on the columns of `table` into PostgreSQL's text.
pub(crate) fn translate_check(
    names: &dyn Names,
    condition: &Expr,
    table: &Arc<Table>,
) -> Result<String, SqlError> {
    let mut translator = Translator::new(names);
    translator.inline = true;
    let scope = translator.scope_of(table, None, "");
    translator.scopes.push(vec![scope]);
    translator.predicate(condition)
}

/// A column as another type, as ALTER COLUMN converts it.
pub(crate) fn translate_column(
    names: &dyn Names,
    table: &Arc<Table>,
    column: &Column,
    to: ColumnType,
) -> Result<String, SqlError> {
    let mut translator = Translator::new(names);
    translator.inline = true;
    let scope = translator.scope_of(table, None, "");
    let value = translator.column_of(&scope, &column.name)?;
    let shown = format!("{}.{}", names.database(), table.shown());
    let utf8 = column.collation.as_ref().is_some_and(|collate| collate.utf8);
    translator.convert(&value, to, Purpose::Column { table: &shown, column: &column.name, utf8 })
}

/// A value of PostgreSQL's as a plan.
pub(crate) fn plain_value(sql: &str, column_type: ColumnType) -> Plan {
    Plan {
        sql: format!("SELECT {sql}::{}", physical::value_sql(column_type)),
        slots: Vec::new(),
        columns: Some(vec![OutColumn::new("", column_type)]),
        assign: Vec::new(),
        command: crate::answer::command::SELECT,
        target: None,
        is_output: false,
        lock: None,
        reads_data: false,
    }
}

/// The sandbox's own refusal of what it could parse: severity 16, with the number of a feature that is not there.
pub(crate) fn unsupported(what: &str) -> SqlError {
    let message = format!("{what} is not supported by the sandbox, which is not SQL Server.");
    SqlError::new(40510, 16, message)
}

// === impl Value ===

impl Value {
    /// A value that is not a text and may be NULL.
    pub(crate) fn new(sql: impl Into<String>, column_type: ColumnType) -> Self {
        let is_text = physical::family(column_type) == physical::Family::Text;
        Value {
            sql: sql.into(),
            column_type,
            label: if is_text { Label::Default } else { Label::None },
            nullable: true,
            is_null: false,
            simple: false,
            column: None,
        }
    }

    /// The same with another collation.
    pub(crate) fn labelled(mut self, label: Label) -> Self {
        self.label = label;
        self
    }

    /// The same, never NULL.
    pub(crate) fn not_null(mut self) -> Self {
        self.nullable = false;
        self
    }

    /// Its family.
    pub(crate) fn family(&self) -> physical::Family {
        physical::family(self.column_type)
    }
}

// === impl Translator ===

impl<'a> Translator<'a> {
    fn new(names: &'a dyn Names) -> Self {
        Translator {
            names,
            slots: Vec::new(),
            variables: HashMap::new(),
            inline: false,
            share_literals: false,
            scopes: Vec::new(),
            common: Vec::new(),
            aliases: 0,
            reads_data: false,
            locks: Vec::new(),
            place_of: None,
            wants_place: false,
        }
    }

    fn into_plan(self, sql: String, columns: Option<Vec<OutColumn>>) -> Plan {
        let lock = (!self.locks.is_empty())
            .then(|| format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", self.locks.join(", ")));
        Plan {
            sql,
            slots: self.slots,
            columns,
            assign: Vec::new(),
            command: crate::answer::command::SELECT,
            target: None,
            is_output: false,
            lock,
            reads_data: self.reads_data,
        }
    }

    /// A new alias for PostgreSQL.
    fn new_alias(&mut self) -> String {
        self.aliases += 1;
        format!("a{}", self.aliases)
    }

    /// `$n` for a new parameter.
    fn slot(&mut self, slot: Slot) -> String {
        self.slots.push(slot);
        format!("${}", self.slots.len())
    }

    /// A literal: a parameter, or text where no parameter can be.
    fn literal(&mut self, datum: Datum, column_type: ColumnType) -> String {
        if self.inline || self.slots.len() >= MAX_PARAMETERS {
            return text::literal(&datum, column_type);
        }
        let slot = Slot::Literal(datum, column_type);
        if self.share_literals
            && let Some(found) = self.slots.iter().position(|other| *other == slot)
        {
            return format!("${}", found + 1);
        }
        self.slot(slot)
    }

    /// A variable or function of the session.
    fn variable(&mut self, name: &str) -> Result<Value, SqlError> {
        let folded = name.to_lowercase();
        if let Some(value) = self.global_variable(&folded) {
            return Ok(value);
        }
        let Some(column_type) = self.names.variable(&folded) else {
            let message = format!("Must declare the scalar variable \"{name}\".");
            return Err(SqlError::new(137, 15, message).with_state(2));
        };
        let number = match self.variables.get(&folded) {
            Some(number) => *number,
            None => {
                self.slots.push(Slot::Variable(folded.clone(), column_type));
                self.variables.insert(folded, self.slots.len());
                self.slots.len()
            }
        };
        let mut value = Value::new(format!("${number}"), column_type);
        value.simple = true;
        Ok(value)
    }

    fn global_variable(&mut self, folded: &str) -> Option<Value> {
        let (global, column_type) = match folded {
            "@@rowcount" => (Global::RowCount, ColumnType::Int),
            "@@trancount" => (Global::TransactionCount, ColumnType::Int),
            "@@error" => (Global::Error, ColumnType::Int),
            "@@spid" => (Global::Spid, ColumnType::SmallInt),
            "@@identity" => (Global::Identity, ColumnType::Decimal { precision: 38, scale: 0 }),
            "@@lock_timeout" => (Global::LockTimeout, ColumnType::Int),
            "@@options" => (Global::Options, ColumnType::Int),
            _ => return self.constant_variable(folded),
        };
        Some(self.global(global, column_type))
    }

    /// The variables that never change.
    fn constant_variable(&mut self, folded: &str) -> Option<Value> {
        let text = ColumnType::NVarChar(Len::Limited(256));
        let (datum, column_type) = match folded {
            "@@version" => (Datum::Text(crate::sql::system::VERSION.to_owned()), text),
            "@@servername" => (Datum::Text(crate::sql::system::SERVER_NAME.to_owned()), text),
            "@@language" => (Datum::Text("us_english".to_owned()), text),
            "@@textsize" => (Datum::Int(i64::from(i32::MAX)), ColumnType::Int),
            "@@datefirst" => (Datum::Int(7), ColumnType::TinyInt),
            "@@max_precision" => (Datum::Int(38), ColumnType::TinyInt),
            "@@nestlevel" | "@@fetch_status" | "@@dbts" => (Datum::Int(0), ColumnType::Int),
            "@@microsoftversion" => (Datum::Int(0x1000_03E8), ColumnType::Int),
            _ => return None,
        };
        Some(Value::new(self.literal(datum, column_type), column_type).not_null())
    }

    fn global(&mut self, global: Global, column_type: ColumnType) -> Value {
        let sql = self.slot(Slot::Global(global, column_type));
        Value::new(sql, column_type)
    }

    /// The scope entry of a table under `alias`.
    fn scope_of(&self, table: &Arc<Table>, alias: Option<&str>, physical_alias: &str) -> ScopeTable {
        let prefix = if physical_alias.is_empty() { String::new() } else { format!("{physical_alias}.") };
        let columns = table.columns.iter().map(|column| {
            let value = Value {
                sql: format!("{prefix}{}", column.physical),
                column_type: column.column_type,
                label: column.collation.clone().map_or(Label::None, Label::Implicit),
                nullable: column.nullable,
                is_null: false,
                simple: true,
                column: Some(ColumnFacts { name: column.name.clone(), identity: column.identity }),
            };
            (column.name.clone(), value)
        });
        ScopeTable {
            name: alias.unwrap_or(&table.name).to_owned(),
            schema: alias.is_none().then(|| table.schema.clone()),
            columns: columns.collect(),
            alias: physical_alias.to_owned(),
            table: Some(Arc::clone(table)),
        }
    }

    /// The table of this name (208: there is none).
    fn table(&mut self, name: &ObjectName) -> Result<Arc<Table>, SqlError> {
        let table = self.names.table(name).ok_or_else(|| invalid_object(name))?;
        self.reads_data |= !table.system;
        Ok(table)
    }
}

/// 208
pub(crate) fn invalid_object(name: &ObjectName) -> SqlError {
    if name.is_variable() {
        return SqlError::new(1087, 15, format!("Must declare the table variable \"{name}\"."));
    }
    SqlError::new(208, 16, format!("Invalid object name '{name}'."))
}

/// 207
pub(crate) fn invalid_column(name: &str) -> SqlError {
    SqlError::new(207, 16, format!("Invalid column name '{name}'."))
}
