//! SELECT.

use segcdc_tds::{Collation, ColumnType};

use super::compare::{comparable, incomparable, orderable, postgres_collation};
use super::through::{is_updatable, same_values};
use super::{Label, Plan, Scope, Translator, Value, unsupported};
use crate::answer::{OutColumn, SqlError};
use crate::sql::ast::{Expr, Literal, OrderItem, Query, QueryBody, Select, SelectItem, TableSource};
use crate::sql::collation::Collate;
use crate::sql::physical::{self, Family};
use crate::sql::table::same_name;

/// A translated query.
#[derive(Debug, Clone)]
pub(crate) struct QueryResult {
    /// PostgreSQL's SQL.
    pub(crate) sql: String,
    /// Name and facts of its columns; their SQL means nothing outside.
    pub(crate) columns: Vec<(String, Value)>,
}

/// ORDER BY, OFFSET and FETCH, which belong to a query but see the tables of its only SELECT.
#[derive(Clone, Copy)]
struct Tail<'q> {
    order: &'q [OrderItem],
    offset: Option<&'q Expr>,
    fetch: Option<&'q Expr>,
}

// === impl Translator ===

impl Translator<'_> {
    /// A SELECT statement.
    pub(super) fn select_plan(mut self, query: &Query) -> Result<Plan, SqlError> {
        if let QueryBody::Select(select) = &query.body {
            if select.into.is_some() {
                return Err(unsupported("SELECT INTO"));
            }
            let assigned = select.items.iter().any(|item| matches!(item, SelectItem::Assign(..)));
            if assigned {
                return self.assign_plan(query, select);
            }
        }
        let result = self.query(query)?;
        let columns = result.columns.iter().map(|(name, value)| out_column(name, value)).collect();
        Ok(self.into_plan(result.sql, Some(columns)))
    }

    /// `SELECT @a = x, @b = y FROM ..`
    fn assign_plan(mut self, query: &Query, select: &Select) -> Result<Plan, SqlError> {
        let mut select = select.clone();
        let mut assign = Vec::new();
        let mut types = Vec::new();
        for item in &mut select.items {
            let SelectItem::Assign(name, value) = item else {
                let message = "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval operations.";
                return Err(SqlError::new(141, 15, message));
            };
            let column_type = self.names.variable(&name.to_lowercase());
            let column_type = column_type.ok_or_else(|| {
                SqlError::new(137, 15, format!("Must declare the scalar variable \"{name}\"."))
            })?;
            assign.push(name.to_lowercase());
            types.push(column_type);
            let value = Box::new(value.clone());
            *item =
                SelectItem::Value(Expr::Cast { value, to: column_type, style: None, attempt: false }, None);
        }
        let query = Query { body: QueryBody::Select(Box::new(select)), ..query.clone() };
        let result = self.query(&query)?;
        let columns = types.iter().map(|column_type| OutColumn::new("", *column_type)).collect();
        let plan = self.into_plan(result.sql, Some(columns));
        Ok(Plan { assign, ..plan })
    }

    /// Any query.
    pub(super) fn query(&mut self, query: &Query) -> Result<QueryResult, SqlError> {
        let outer = self.common.len();
        let with = self.with(&query.with)?;
        let tail = Tail { order: &query.order, offset: query.offset.as_ref(), fetch: query.fetch.as_ref() };
        let mut result = self.body(&query.body, tail)?;
        self.common.truncate(outer);
        result.sql = format!("{with}{}", result.sql);
        Ok(result)
    }

    /// `WITH ..` with a blank behind it; the tables stay in reach.
    pub(super) fn with(&mut self, tables: &[crate::sql::ast::CommonTable]) -> Result<String, SqlError> {
        let mut parts = Vec::new();
        for table in tables {
            let hidden = std::mem::take(&mut self.scopes);
            let result = self.query(&table.query);
            self.scopes = hidden;
            let result = result?;
            let relation = self.new_alias();
            let mut columns = Vec::new();
            for (index, (name, value)) in result.columns.into_iter().enumerate() {
                columns.push((table.columns.get(index).cloned().unwrap_or(name), value));
            }
            let list = super::from::column_list(columns.len());
            parts.push(format!("{relation}{list} AS ({})", result.sql));
            self.common.push((table.name.clone(), relation, columns));
        }
        Ok(if parts.is_empty() { String::new() } else { format!("WITH {} ", parts.join(", ")) })
    }

    fn body(&mut self, body: &QueryBody, tail: Tail<'_>) -> Result<QueryResult, SqlError> {
        match body {
            QueryBody::Select(select) => self.select(select, tail),
            QueryBody::Nested(query) => {
                let result = self.query(query)?;
                let sql = format!("({}){}", result.sql, self.output_tail(tail, &result.columns)?);
                Ok(QueryResult { sql, ..result })
            }
            QueryBody::Combine(operator, left, right) => {
                let none = Tail { order: &[], offset: None, fetch: None };
                let (left, right) = (self.body(left, none)?, self.body(right, none)?);
                self.combine(operator, left, right, tail)
            }
        }
    }

    fn combine(
        &mut self,
        operator: &str,
        left: QueryResult,
        right: QueryResult,
        tail: Tail<'_>,
    ) -> Result<QueryResult, SqlError> {
        if left.columns.len() != right.columns.len() {
            let message = "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.";
            return Err(SqlError::new(205, 16, message));
        }
        let (left_alias, right_alias) = (self.new_alias(), self.new_alias());
        let mut columns = Vec::new();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (index, ((name, a), (_, b))) in left.columns.iter().zip(&right.columns).enumerate() {
            let a = super::from::inner_value(a, &left_alias, index);
            let b = super::from::inner_value(b, &right_alias, index);
            if operator != "UNION ALL" && (a.family() == Family::Json || b.family() == Family::Json) {
                let message = "The data type json cannot be used as an operand to the UNION, INTERSECT or EXCEPT operators because it is not comparable.";
                return Err(SqlError::new(5335, 16, message));
            }
            if operator != "UNION ALL" && matches!(a.family(), Family::Binary | Family::Offset) {
                return Err(unsupported("a set operation on binary or datetimeoffset columns"));
            }
            let (texts, value) = self.alike(&[a, b], operator)?;
            let mut texts = texts.into_iter();
            first.push(texts.next().unwrap_or_default());
            second.push(texts.next().unwrap_or_default());
            columns.push((name.clone(), value));
        }
        let list = super::from::column_list(columns.len());
        let sql = format!(
            "SELECT {} FROM ({}) AS {left_alias}{list} {operator} SELECT {} FROM ({}) AS {right_alias}{list}",
            first.join(", "),
            left.sql,
            second.join(", "),
            right.sql
        );
        let tail = self.output_tail(tail, &columns)?;
        Ok(QueryResult { sql: format!("{sql}{tail}"), columns })
    }

    /// ORDER BY that sees output columns only.
    fn output_tail(&mut self, tail: Tail<'_>, columns: &[(String, Value)]) -> Result<String, SqlError> {
        let mut order = Vec::new();
        for item in tail.order {
            let position = output_position(&item.value, columns).ok_or_else(|| {
                SqlError::new(104, 16, "ORDER BY items must appear in the select list if the statement contains a UNION, INTERSECT or EXCEPT operator.")
            })?;
            order.push(format!("{position}{}", direction(item.descending, true)));
        }
        let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
        Ok(format!("{order}{}", self.limits(None, tail)?))
    }

    fn select(&mut self, select: &Select, tail: Tail<'_>) -> Result<QueryResult, SqlError> {
        let place = std::mem::take(&mut self.wants_place);
        if place && !is_updatable(select) {
            return Err(unsupported("a change through a query that is not of single rows of one table"));
        }
        let mut scope = Scope::new();
        let from = self.source_list(&select.from, &mut scope)?;
        let locked: Vec<String> =
            select.from.iter().flat_map(|source| locked_aliases(source, &scope)).collect();
        self.scopes.push(scope);
        let shared = self.share_literals;
        self.share_literals |= !select.group.is_empty();
        let places = self.scopes.last().and_then(|scope| scope.first()).filter(|_| place);
        let place = places.map(|table| format!(", {}.ctid", table.alias));
        let result = self.select_inside(select, tail, &from, &locked, place.as_deref());
        self.share_literals = shared;
        self.scopes.pop();
        result
    }

    fn select_inside(
        &mut self,
        select: &Select,
        tail: Tail<'_>,
        from: &str,
        locked: &[String],
        place: Option<&str>,
    ) -> Result<QueryResult, SqlError> {
        let columns = self.items(&select.items)?;
        let list: Vec<String> = columns.iter().map(|(_, value)| output_sql(value)).collect();
        let mut sql = "SELECT ".to_owned();
        if select.distinct {
            if columns.iter().any(|(_, value)| value.family() == Family::Json) {
                let message =
                    "The json data type cannot be selected as DISTINCT because it is not comparable.";
                return Err(SqlError::new(421, 16, message));
            }
            sql.push_str(&distinct(&columns));
        }
        sql.push_str(&list.join(", "));
        sql.push_str(place.unwrap_or_default());
        if !from.is_empty() {
            sql.push_str(&format!(" FROM {from}"));
        }
        if let Some(filter) = &select.filter {
            sql.push_str(&format!(" WHERE {}", self.predicate(filter)?));
        }
        if !select.group.is_empty() {
            sql.push_str(&format!(" GROUP BY {}", self.group(&select.group)?));
        }
        if let Some(having) = &select.having {
            sql.push_str(&format!(" HAVING {}", self.predicate(having)?));
        }
        let mut order = Vec::new();
        for item in tail.order {
            order.push(self.order_item(item, &columns)?);
        }
        if !order.is_empty() {
            sql.push_str(&format!(" ORDER BY {}", order.join(", ")));
        }
        sql.push_str(&self.limits(select.top.as_ref(), tail)?);
        let by_row = select.group.is_empty() && !select.distinct && !has_aggregate(&select.items);
        if by_row && !locked.is_empty() {
            sql.push_str(&format!(" FOR UPDATE OF {}", locked.join(", ")));
        } else {
            // Rows of a group cannot be locked one by one.
            let tables =
                self.scopes.last().into_iter().flatten().filter(|table| locked.contains(&table.alias));
            let relations: Vec<String> =
                tables.filter_map(|table| Some(table.table.as_ref()?.relation.clone())).collect();
            self.locks.extend(relations);
        }
        Ok(QueryResult { sql, columns })
    }

    fn group(&mut self, group: &[Expr]) -> Result<String, SqlError> {
        let mut items = Vec::new();
        for item in group {
            let value = self.value(item)?;
            if value.family() == Family::Json {
                return Err(incomparable(2));
            }
            if matches!(value.family(), Family::Binary | Family::Offset) {
                return Err(unsupported("GROUP BY of a binary or datetimeoffset column"));
            }
            items.push(value.sql);
        }
        Ok(items.join(", "))
    }

    /// The columns of a SELECT list.
    pub(super) fn items(&mut self, items: &[SelectItem]) -> Result<Vec<(String, Value)>, SqlError> {
        let mut columns = Vec::new();
        for item in items {
            match item {
                SelectItem::Star(qualifier) => columns.extend(self.star(qualifier.as_deref())?),
                SelectItem::Value(expr, alias) => {
                    let value = self.value(expr)?;
                    let name = alias.clone().or_else(|| match expr {
                        Expr::Column(parts) => parts.last().cloned(),
                        _ => None,
                    });
                    columns.push((name.unwrap_or_default(), value));
                }
                SelectItem::Assign(..) => return Err(unsupported("an assignment in a subquery")),
            }
        }
        Ok(columns)
    }

    fn order_item(&mut self, item: &OrderItem, columns: &[(String, Value)]) -> Result<String, SqlError> {
        if let Some(position) = output_position(&item.value, columns) {
            let value = columns.get(position - 1).map(|(_, value)| value);
            let nullable = value.is_none_or(|value| value.nullable);
            let needs_form = value.is_some_and(|value| {
                matches!(value.family(), Family::Binary | Family::Offset | Family::Uuid | Family::Json)
            });
            if !needs_form {
                return Ok(format!("{position}{}", direction(item.descending, nullable)));
            }
        }
        let value = match output_position(&item.value, columns).and_then(|position| columns.get(position - 1))
        {
            Some((_, value)) => value.clone(),
            None => self.value(&item.value)?,
        };
        self.order_value(&value, item.descending)
    }

    /// A value of ORDER BY with its direction.
    pub(super) fn order_value(&self, value: &Value, descending: bool) -> Result<String, SqlError> {
        if value.family() == Family::Json {
            return Err(incomparable(2));
        }
        let sql = orderable(&value.sql, value.column_type);
        let collate = match (&value.label, value.family()) {
            (Label::Default | Label::Explicit(_), Family::Text) => {
                format!(" COLLATE {}", postgres_collation(&value.label))
            }
            _ => String::new(),
        };
        Ok(format!("({sql}){collate}{}", direction(descending, value.nullable)))
    }

    /// LIMIT and OFFSET.
    fn limits(&mut self, top: Option<&Expr>, tail: Tail<'_>) -> Result<String, SqlError> {
        let mut sql = String::new();
        for (word, value) in [("LIMIT", top.or(tail.fetch)), ("OFFSET", tail.offset)] {
            let Some(value) = value else { continue };
            let count = self.row_count(value)?;
            sql.push_str(&format!(" {word} {count}"));
        }
        Ok(sql)
    }

    /// A number of rows: of TOP, OFFSET and FETCH.
    pub(super) fn row_count(&mut self, value: &Expr) -> Result<String, SqlError> {
        let value = self.value(value)?;
        if value.family() != Family::Integer {
            return Err(SqlError::new(
                1060,
                15,
                "The number of rows provided for a TOP or FETCH clauses row count parameter must be an integer.",
            ));
        }
        Ok(format!("({})::int8", value.sql))
    }

    pub(super) fn scalar_subquery(&mut self, query: &Query) -> Result<Value, SqlError> {
        let result = self.query(query)?;
        let [(_, value)] = result.columns.as_slice() else {
            let message = "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.";
            return Err(SqlError::new(116, 16, message));
        };
        let value = Value {
            sql: format!("({})", result.sql),
            nullable: true,
            simple: false,
            column: None,
            ..value.clone()
        };
        Ok(value)
    }

    pub(super) fn exists(&mut self, query: &Query) -> Result<String, SqlError> {
        if let Some(same) = same_values(query) {
            return self.predicate(&same?);
        }
        Ok(format!("EXISTS ({})", self.query(query)?.sql))
    }

    pub(super) fn in_query(
        &mut self,
        value: &Expr,
        query: &Query,
        negated: bool,
    ) -> Result<String, SqlError> {
        let left = self.value(value)?;
        let result = self.query(query)?;
        let [(_, inner)] = result.columns.as_slice() else {
            let message = "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.";
            return Err(SqlError::new(116, 16, message));
        };
        let alias = self.new_alias();
        let inner = super::from::inner_value(inner, &alias, 0);
        let same = left.column_type == inner.column_type || left.family() == inner.family();
        if same && !matches!(left.family(), Family::Text | Family::Binary | Family::Offset) {
            let word = if negated { "NOT IN" } else { "IN" };
            return Ok(format!("({} {word} ({}))", left.sql, result.sql));
        }
        // The comparison in the form that pads and collates; `= ANY` keeps the meaning of NULL.
        let (a, b) = self.unify(&left, &inner, "equal to")?;
        let label = super::compare::common_label(&left.label, &inner.label, "equal to")?;
        let collate = match a.family() {
            Family::Text => format!(" COLLATE {}", postgres_collation(&label)),
            _ => String::new(),
        };
        let (a, b) = (comparable(&a.sql, a.column_type), comparable(&b.sql, b.column_type));
        let not = if negated { "NOT " } else { "" };
        Ok(format!(
            "({not}(({a}){collate} = ANY (SELECT {b}{collate} FROM ({}) AS {alias} (c1))))",
            result.sql
        ))
    }
}

/// The physical form of a column of the SELECT list.
pub(super) fn output_sql(value: &Value) -> String {
    if value.is_null {
        return format!("NULL::{}", physical::value_sql(value.column_type));
    }
    // A column has its type already; everything else is cast, so that what the client is told is what it gets.
    if value.column.is_some() {
        return value.sql.clone();
    }
    match value.column_type {
        ColumnType::Decimal { .. } | ColumnType::Money | ColumnType::SmallMoney => {
            format!("({})::{}", value.sql, physical::column_sql(value.column_type))
        }
        other if value.family() == Family::Text => {
            format!(
                "({})::{} COLLATE {}",
                value.sql,
                physical::value_sql(other),
                postgres_collation(&value.label)
            )
        }
        other => format!("({})::{}", value.sql, physical::value_sql(other)),
    }
}

/// A column for the client.
pub(super) fn out_column(name: &str, value: &Value) -> OutColumn {
    let mut column = OutColumn::new(name, value.column_type);
    if let ColumnType::SqlVariant = value.column_type {
        column.column_type = ColumnType::NVarChar(segcdc_tds::Len::Limited(4000));
    }
    column.collation = match &value.label {
        Label::Implicit(collate) | Label::Explicit(collate) => collate.wire,
        Label::None | Label::Default => Collate::database_default().wire,
    };
    if let ColumnType::Json = value.column_type {
        // As for every client that does not ask for the JSON extension.
        column.column_type = ColumnType::VarChar(segcdc_tds::Len::Max);
        column.collation = Collation::LATIN1_GENERAL_100_BIN2_UTF8;
    }
    column.nullable = value.nullable || value.is_null;
    column.identity = value.column.as_ref().is_some_and(|facts| facts.identity);
    column.computed = value.column.is_none();
    column
}

/// The position of an output column that ORDER BY means: by number, or by name.
fn output_position(expr: &Expr, columns: &[(String, Value)]) -> Option<usize> {
    match expr {
        Expr::Literal(Literal::Integer(digits)) => {
            digits.parse().ok().filter(|position| (1..=columns.len()).contains(position))
        }
        Expr::Column(parts) => {
            let [name] = parts.as_slice() else { return None };
            columns.iter().position(|(column, _)| same_name(column, name)).map(|index| index + 1)
        }
        _ => None,
    }
}

/// SQL Server sorts NULL below everything. Not said of columns without NULL, so that their index serves the order.
fn direction(descending: bool, nullable: bool) -> &'static str {
    match (descending, nullable) {
        (false, false) => "",
        (true, false) => " DESC",
        (false, true) => " NULLS FIRST",
        (true, true) => " DESC NULLS LAST",
    }
}

/// DISTINCT, through the comparable form where PostgreSQL would tell more apart than SQL Server.
fn distinct(columns: &[(String, Value)]) -> String {
    let special = columns.iter().any(|(_, value)| matches!(value.family(), Family::Binary | Family::Offset));
    if !special {
        return "DISTINCT ".to_owned();
    }
    let keys: Vec<String> =
        columns.iter().map(|(_, value)| comparable(&output_sql(value), value.column_type)).collect();
    format!("DISTINCT ON ({}) ", keys.join(", "))
}

/// Aliases of the tables with UPDLOCK or XLOCK.
fn locked_aliases(source: &TableSource, scope: &Scope) -> Vec<String> {
    match source {
        TableSource::Table { name, alias, hints } => {
            let locks = hints.iter().any(|hint| matches!(hint.as_str(), "UPDLOCK" | "XLOCK" | "TABLOCKX"));
            let shown = alias.as_ref().unwrap_or(&name.name);
            let table = scope.iter().find(|table| {
                same_name(&table.name, shown) && table.table.as_ref().is_some_and(|table| !table.system)
            });
            table.filter(|_| locks).map(|table| table.alias.clone()).into_iter().collect()
        }
        TableSource::Join { left, right, .. } => {
            let mut aliases = locked_aliases(left, scope);
            aliases.extend(locked_aliases(right, scope));
            aliases
        }
        TableSource::Derived { .. } | TableSource::Values { .. } => Vec::new(),
    }
}

fn has_aggregate(items: &[SelectItem]) -> bool {
    items.iter().any(|item| match item {
        SelectItem::Value(Expr::Function(function), _) => super::aggregate::is_aggregate(&function.name),
        _ => false,
    })
}
