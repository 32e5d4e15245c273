//! What a target gets once people use it instead of the source: printed for a person, never run.

use segcdc_model::{QualifiedName, ReferenceAction, SequenceState};

use crate::quote;

/// A sequence that goes on where the source's stands.
pub fn create_sequence(name: &QualifiedName, next: i64, state: &SequenceState) -> String {
    format!(
        "CREATE SEQUENCE {} AS bigint START WITH {next} INCREMENT BY {} MINVALUE {} MAXVALUE {}{}",
        quote::qualified(name),
        state.increment,
        state.least,
        state.most,
        if state.cycles { " CYCLE" } else { "" }
    )
}

/// The next number of a sequence, as an expression.
pub fn next_value(name: &QualifiedName) -> String {
    format!("NEXT VALUE FOR {}", quote::qualified(name))
}

/// A default; `expression` is T-SQL.
pub fn add_default(table: &QualifiedName, name: &str, column: &str, expression: &str) -> String {
    format!(
        "ALTER TABLE {} ADD CONSTRAINT {} DEFAULT ({expression}) FOR {}",
        quote::qualified(table),
        quote::name(name),
        quote::name(column)
    )
}

/// An index; `key` tells which columns are descending, `filter` is T-SQL.
pub fn create_index(
    table: &QualifiedName,
    name: &str,
    unique: bool,
    (key, included): (&[(&str, bool)], &[&str]),
    filter: Option<&str>,
) -> String {
    let key: Vec<String> = key
        .iter()
        .map(|(column, descends)| format!("{}{}", quote::name(column), if *descends { " DESC" } else { "" }))
        .collect();
    let mut sql = format!(
        "CREATE {}INDEX {} ON {} ({})",
        if unique { "UNIQUE " } else { "" },
        quote::name(name),
        quote::qualified(table),
        key.join(", ")
    );
    if !included.is_empty() {
        sql.push_str(&format!(" INCLUDE ({})", columns(included)));
    }
    if let Some(filter) = filter {
        sql.push_str(&format!(" WHERE {filter}"));
    }
    sql
}

/// A foreign key; the rows that are there are checked unless the source never checked them.
pub fn add_foreign_key(
    table: &QualifiedName,
    name: &str,
    (from, to): (&[&str], &[&str]),
    referred: &QualifiedName,
    (on_delete, on_update): (ReferenceAction, ReferenceAction),
    check: bool,
) -> String {
    format!(
        "ALTER TABLE {} WITH {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){}{}",
        quote::qualified(table),
        if check { "CHECK" } else { "NOCHECK" },
        quote::name(name),
        columns(from),
        quote::qualified(referred),
        columns(to),
        action("DELETE", on_delete),
        action("UPDATE", on_update)
    )
}

/// Columns that have a value, as the filter of an index.
pub fn all_have_values(columns: &[&str]) -> String {
    let columns: Vec<String> =
        columns.iter().map(|column| format!("{} IS NOT NULL", quote::name(column))).collect();
    columns.join(" AND ")
}

fn columns(names: &[&str]) -> String {
    names.iter().map(|name| quote::name(name)).collect::<Vec<_>>().join(", ")
}

fn action(event: &str, action: ReferenceAction) -> String {
    let words = match action {
        ReferenceAction::Refuse => return String::new(),
        ReferenceAction::Cascade => "CASCADE",
        ReferenceAction::SetNull => "SET NULL",
        ReferenceAction::SetDefault => "SET DEFAULT",
    };
    format!(" ON {event} {words}")
}
