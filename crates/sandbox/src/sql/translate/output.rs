//! OUTPUT: what a change returns of the rows before and after.

use super::query::{out_column, output_sql};
use super::{Plan, ScopeTable, Translator, Value};
use crate::answer::SqlError;
use crate::sql::ast::{Output, SelectItem};
use crate::sql::table::same_name;

/// Rows that OUTPUT can name.
pub(super) struct Images {
    /// `inserted`
    pub(super) inserted: Option<ScopeTable>,
    /// `deleted`
    pub(super) deleted: Option<ScopeTable>,
    /// Other tables of FROM.
    pub(super) others: Vec<ScopeTable>,
}

/// A translated OUTPUT.
pub(super) struct Returning {
    /// ` RETURNING ..`, or nothing.
    pub(super) sql: String,
    /// Its columns.
    pub(super) columns: Vec<(String, Value)>,
}

// === impl Translator ===

impl Translator<'_> {
    /// RETURNING for an OUTPUT.
    pub(super) fn returning(
        &mut self,
        output: Option<&Output>,
        images: Images,
    ) -> Result<Option<Returning>, SqlError> {
        let Some(output) = output else { return Ok(None) };
        let mut scope = Vec::new();
        for (name, image) in [("inserted", images.inserted), ("deleted", images.deleted)] {
            if let Some(image) = image {
                scope.push(ScopeTable { name: name.to_owned(), schema: None, ..image });
            }
        }
        scope.extend(images.others);
        self.scopes.push(scope);
        let columns = self.output_items(&output.items);
        self.scopes.pop();
        let columns = columns?;
        let list: Vec<String> = columns.iter().map(|(_, value)| output_sql(value)).collect();
        Ok(Some(Returning { sql: format!(" RETURNING {}", list.join(", ")), columns }))
    }

    fn output_items(&mut self, items: &[SelectItem]) -> Result<Vec<(String, Value)>, SqlError> {
        let mut columns = Vec::new();
        for item in items {
            columns.extend(self.items(std::slice::from_ref(item))?);
        }
        Ok(columns)
    }

    /// The plan of a change with its OUTPUT, which goes to the client or into a table.
    pub(super) fn change_plan(
        mut self,
        sql: String,
        command: u16,
        output: Option<&Output>,
        returning: Option<Returning>,
    ) -> Result<Plan, SqlError> {
        let Some(returning) = returning else {
            let plan = self.into_plan(sql, None);
            return Ok(Plan { command, ..plan });
        };
        let sql = format!("{sql}{}", returning.sql);
        if let Some(into) = output.and_then(|output| output.into.as_ref()) {
            let table = self.table(into)?;
            let list: Vec<String> = table
                .columns
                .iter()
                .filter(|column| !column.identity)
                .take(returning.columns.len())
                .map(|column| column.physical.clone())
                .collect();
            let names = super::from::column_list(list.len());
            let inner: Vec<String> = (1..=list.len()).map(|number| format!("c{number}")).collect();
            let sql = format!(
                "WITH changed{names} AS ({sql}) INSERT INTO {} ({}) SELECT {} FROM changed",
                table.relation,
                list.join(", "),
                inner.join(", ")
            );
            let plan = self.into_plan(sql, None);
            return Ok(Plan { command, ..plan });
        }
        let columns = returning.columns.iter().map(|(name, value)| out_column(name, value)).collect();
        let plan = self.into_plan(sql, Some(columns));
        Ok(Plan { command, is_output: true, ..plan })
    }
}

/// Whether an OUTPUT names a column of `deleted`.
pub(super) fn names_deleted(output: Option<&Output>) -> bool {
    output.is_some_and(|output| {
        output.items.iter().any(|item| match item {
            SelectItem::Star(qualifier) => qualifier.as_ref().is_none_or(|name| same_name(name, "deleted")),
            SelectItem::Value(value, _) | SelectItem::Assign(_, value) => mentions(value, "deleted"),
        })
    })
}

/// Whether an expression has a column qualified with `name`: OUTPUT has no subqueries, so that its text tells.
fn mentions(value: &crate::sql::ast::Expr, name: &str) -> bool {
    format!("{value:?}").to_lowercase().contains(&format!("column([\"{name}\""))
}
