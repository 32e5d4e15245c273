//! How a table that is there already differs from the wanted one. Pure.

use std::fmt;

use segcdc_model::{MssqlType, QualifiedName};
use segcdc_plan::rules::DELETED_AT_TYPE;
use segcdc_plan::{ColumnPlan, TablePlan, target_name};

use crate::catalog::{ExistingColumn, ExistingTable, Special};
use crate::sql::create_table::KEY_COLLATION;

/// What the catalog of Babelfish shows for a column that was created with any binary collation, ours among them. No
/// collation of SQL Server has such a name.
const BABELFISH_KEY_COLLATION: &str = "bbf_unicode_bin2";

/// Why a table that is there cannot be used. `Display` is a clause that follows "the table is there already, but".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Another table, whose name the database's collation holds equal.
    OtherName {
        /// The name that it has.
        found: QualifiedName,
    },
    /// A view, a synonym or the like has the name.
    NotATable {
        /// `sys.objects.type`
        kind: String,
    },
    /// A table with which less can be done than with others.
    Special {
        /// What it is.
        special: Special,
    },
    /// A wanted column is missing.
    Missing {
        /// The column.
        column: String,
        /// Its type.
        wanted: String,
    },
    /// A column has another type.
    Type {
        /// The column.
        column: String,
        /// The type that it has.
        found: String,
        /// The type that it should have.
        wanted: String,
    },
    /// A column does not allow NULL, and the source's does.
    NotNull {
        /// The column.
        column: String,
    },
    /// A key column allows NULL.
    NullableKey {
        /// The column.
        column: String,
    },
    /// A column that the server fills itself.
    NotWritable {
        /// The column.
        column: String,
        /// `an IDENTITY column`, `computed` or the like.
        why: &'static str,
    },
    /// A column that the source does not have, and that every row must give a value.
    Extra {
        /// The column.
        column: String,
    },
    /// A key column whose collation holds different keys equal.
    Collation {
        /// The column.
        column: String,
        /// The collation that it has.
        found: String,
    },
    /// A varchar column whose collation is not UTF-8.
    CodePage {
        /// The column.
        column: String,
        /// The collation that it has.
        found: String,
    },
    /// The primary key has other columns.
    Key {
        /// Its columns.
        found: Vec<String>,
        /// The wanted columns; empty when the table must not have a key.
        wanted: Vec<String>,
    },
    /// A trigger that acts instead of INSERT, UPDATE or DELETE.
    InsteadOfTrigger {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::OtherName { found } => {
                write!(f, "it is {found}, which is the same name to the collation of the database")
            }
            Difference::NotATable { kind } => write!(f, "it is not a table (type {kind})"),
            Difference::Special { special: Special::MemoryOptimized } => write!(f, "it is memory-optimised"),
            Difference::Special { special: Special::SystemVersioned } => {
                write!(f, "it is system-versioned: the server keeps its history")
            }
            Difference::Special { special: Special::History } => {
                write!(f, "it holds the history of another table")
            }
            Difference::Missing { column, wanted } => write!(f, "column \"{column}\" ({wanted}) is missing"),
            Difference::Type { column, found, wanted } => {
                write!(f, "column \"{column}\" is {found} and should be {wanted}")
            }
            Difference::NotNull { column } => {
                write!(f, "column \"{column}\" is NOT NULL, which it is not at the source")
            }
            Difference::NullableKey { column } => write!(f, "key column \"{column}\" allows NULL"),
            Difference::NotWritable { column, why } => write!(f, "column \"{column}\" is {why}"),
            Difference::Extra { column } => {
                write!(f, "column \"{column}\" is NOT NULL without a default, and not at the source")
            }
            Difference::Collation { column, found } => {
                write!(f, "key column \"{column}\" has collation {found} and should have {KEY_COLLATION}")
            }
            Difference::CodePage { column, found } => {
                write!(f, "column \"{column}\" has collation {found}, whose varchar is not UTF-8")
            }
            Difference::Key { found, wanted } if wanted.is_empty() => {
                write!(f, "it has a primary key ({}), which the source has not", found.join(", "))
            }
            Difference::Key { found, wanted } => {
                write!(f, "its primary key is ({}) and should be ({})", found.join(", "), wanted.join(", "))
            }
            Difference::InsteadOfTrigger { name } => {
                write!(f, "trigger \"{name}\" acts instead of the statements")
            }
        }
    }
}

/// Everything that keeps `existing` from being used as the target of `wanted`; empty when it fits.
pub fn differences(existing: &ExistingTable, wanted: &TablePlan) -> Vec<Difference> {
    // How the schema is spelled does not matter: the database found the table in the one that it holds to be the wanted one, and
    // would make the wanted table in it, too.
    if target_name::fold(&existing.name.name) != target_name::fold(&wanted.target.name) {
        return vec![Difference::OtherName { found: existing.name.clone() }];
    }
    if !existing.kind.eq_ignore_ascii_case("U") {
        return vec![Difference::NotATable { kind: existing.kind.clone() }];
    }
    if let Some(special) = existing.special {
        return vec![Difference::Special { special }];
    }
    let mut differences = Vec::new();
    for (index, column) in wanted.columns.iter().enumerate() {
        match existing.columns.iter().find(|found| found.name.to_lowercase() == column.name.to_lowercase()) {
            Some(found) => compare_column(found, column, wanted.is_key(index), &mut differences),
            None => differences.push(Difference::Missing {
                column: column.name.clone(),
                wanted: column.mssql_type.to_string(),
            }),
        }
    }
    if let Some(marker) = wanted.marker() {
        match existing.columns.iter().find(|found| found.name.to_lowercase() == marker.to_lowercase()) {
            Some(found) => compare_marker(found, marker, &mut differences),
            None => differences
                .push(Difference::Missing { column: marker.to_owned(), wanted: DELETED_AT_TYPE.to_string() }),
        }
    }
    let planned = |name: &str| {
        wanted.marker().is_some_and(|marker| marker.eq_ignore_ascii_case(name))
            || wanted.columns.iter().any(|column| column.name.to_lowercase() == name.to_lowercase())
    };
    for column in existing.columns.iter().filter(|column| !planned(&column.name)) {
        let fills_itself = column.computed || column.identity || column.has_default;
        if !column.nullable && !fills_itself {
            differences.push(Difference::Extra { column: column.name.clone() });
        }
    }
    let key = wanted.key_columns().iter().filter_map(|index| wanted.columns.get(*index));
    let key: Vec<String> = key.map(|column| column.name.clone()).collect();
    let folded = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>();
    if !existing.key.is_empty() && folded(&existing.key) != folded(&key) {
        differences.push(Difference::Key { found: existing.key.clone(), wanted: key });
    }
    for trigger in existing.triggers.iter().filter(|trigger| trigger.instead_of) {
        differences.push(Difference::InsteadOfTrigger { name: trigger.name.clone() });
    }
    differences
}

/// The column of the mark: only what is written to it is in it.
fn compare_marker(found: &ExistingColumn, marker: &str, out: &mut Vec<Difference>) {
    let column = || marker.to_owned();
    for (is_so, why) in [
        (found.computed, "computed"),
        (found.identity, "an IDENTITY column"),
        (found.has_default, "filled by a default, which would mark rows as deleted"),
        (!found.nullable, "NOT NULL, and rows that are not deleted have NULL in it"),
    ] {
        if is_so {
            out.push(Difference::NotWritable { column: column(), why });
        }
    }
    let (found_type, wanted_type) = (found.type_text(), DELETED_AT_TYPE.to_string());
    if found_type != wanted_type {
        out.push(Difference::Type { column: column(), found: found_type, wanted: wanted_type });
    }
}

fn compare_column(found: &ExistingColumn, wanted: &ColumnPlan, in_key: bool, out: &mut Vec<Difference>) {
    let column = || wanted.name.clone();
    if found.computed {
        out.push(Difference::NotWritable { column: column(), why: "computed" });
    }
    if found.identity {
        out.push(Difference::NotWritable { column: column(), why: "an IDENTITY column" });
    }
    let (found_type, wanted_type) = (found.type_text(), wanted.mssql_type.to_string());
    if found_type != wanted_type {
        out.push(Difference::Type { column: column(), found: found_type, wanted: wanted_type });
    }
    if !found.nullable && wanted.nullable {
        out.push(Difference::NotNull { column: column() });
    }
    if found.nullable && in_key {
        out.push(Difference::NullableKey { column: column() });
    }
    let is_text = matches!(wanted.mssql_type, MssqlType::NVarChar { binary_collation: true, .. });
    let collation = found.collation.as_deref().unwrap_or_default();
    let tells_apart = [KEY_COLLATION, BABELFISH_KEY_COLLATION];
    let is_utf8 = collation.to_ascii_uppercase().ends_with("_UTF8");
    if matches!(wanted.mssql_type, MssqlType::VarChar { .. }) && !is_utf8 {
        out.push(Difference::CodePage { column: column(), found: collation.to_owned() });
    }
    if is_text && !tells_apart.iter().any(|fitting| collation.eq_ignore_ascii_case(fitting)) {
        out.push(Difference::Collation { column: column(), found: collation.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Trigger;
    use crate::fixture;
    use segcdc_model::PgType;

    fn wanted() -> TablePlan {
        let columns =
            [("id", PgType::Int4, true), ("Code", PgType::Text, true), ("note", PgType::Text, false)];
        TablePlan::clone(&fixture::table(1, "t", 2, &columns))
    }

    /// The table that [`wanted`] would have been created as.
    fn existing() -> ExistingTable {
        let column =
            |name: &str, type_name: &str, max_length, nullable, collation: Option<&str>| ExistingColumn {
                name: name.to_owned(),
                type_name: type_name.to_owned(),
                max_length,
                precision: 0,
                scale: 0,
                nullable,
                collation: collation.map(str::to_owned),
                identity: false,
                computed: false,
                has_default: false,
            };
        ExistingTable {
            object_id: 5,
            name: QualifiedName::new("DBO", "T"),
            kind: "U".to_owned(),
            columns: vec![
                column("id", "int", 4, false, None),
                column("code", "nvarchar", 896, false, Some("Latin1_General_100_BIN2")),
                column("note", "nvarchar", -1, true, Some("SQL_Latin1_General_CP1_CI_AS")),
            ],
            key: vec!["id".to_owned(), "code".to_owned()],
            key_name: Some("PK".to_owned()),
            triggers: vec![Trigger { name: "audit".to_owned(), instead_of: false }],
            foreign_keys: Vec::new(),
            referring_keys: Vec::new(),
            unique_indexes: Vec::new(),
            special: None,
            has_rows: false,
        }
    }

    fn check(change: impl FnOnce(&mut ExistingTable), expected: &[&str]) {
        let mut table = existing();
        change(&mut table);
        let found: Vec<String> = differences(&table, &wanted()).iter().map(Difference::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn table_of_the_right_shape_fits() {
        check(|_| (), &[]);
        check(|table| table.key.clear(), &[]);
        check(
            |table| {
                let extra = |name: &str, nullable, has_default| ExistingColumn {
                    name: name.to_owned(),
                    nullable,
                    has_default,
                    ..table.columns[0].clone()
                };
                let extras = [extra("extra", true, false), extra("created_at", false, true)];
                table.columns.extend(extras);
            },
            &[],
        );
    }

    #[test]
    fn schema_may_be_spelled_as_the_database_holds_it_equal() {
        // A schema was there already, or two of the source are one to the database: "ﬀ" and "FF", say.
        check(|table| table.name.schema = "ﬀ".to_owned(), &[]);
    }

    #[test]
    fn binary_collation_may_have_the_name_that_babelfish_gives_it() {
        check(|table| table.columns[1].collation = Some("bbf_unicode_bin2".to_owned()), &[]);
    }

    #[test]
    fn each_difference_is_named() {
        check(
            |table| table.name.name = "t🦀".to_owned(),
            &["it is DBO.t🦀, which is the same name to the collation of the database"],
        );
        check(|table| table.kind = "V".to_owned(), &["it is not a table (type V)"]);
        for (special, expected) in [
            (Special::MemoryOptimized, "it is memory-optimised"),
            (Special::SystemVersioned, "it is system-versioned: the server keeps its history"),
            (Special::History, "it holds the history of another table"),
        ] {
            check(|table| table.special = Some(special), &[expected]);
        }
        check(|table| drop(table.columns.remove(2)), &["column \"note\" (nvarchar(max)) is missing"]);
        check(
            |table| table.columns[0].type_name = "bigint".to_owned(),
            &["column \"id\" is bigint and should be int"],
        );
        check(
            |table| table.columns[1].max_length = 100,
            &["column \"Code\" is nvarchar(50) and should be nvarchar(448)"],
        );
        check(
            |table| table.columns[2].nullable = false,
            &["column \"note\" is NOT NULL, which it is not at the source"],
        );
        check(|table| table.columns[0].nullable = true, &["key column \"id\" allows NULL"]);
        check(|table| table.columns[0].identity = true, &["column \"id\" is an IDENTITY column"]);
        check(|table| table.columns[2].computed = true, &["column \"note\" is computed"]);
        check(
            |table| table.columns[1].collation = Some("Latin1_General_CI_AS".to_owned()),
            &[
                "key column \"Code\" has collation Latin1_General_CI_AS and should have Latin1_General_100_BIN2",
            ],
        );
        check(
            |table| table.key = vec!["id".to_owned()],
            &["its primary key is (id) and should be (id, Code)"],
        );
        check(
            |table| table.triggers[0].instead_of = true,
            &["trigger \"audit\" acts instead of the statements"],
        );
        check(
            |table| {
                let extra = ExistingColumn { name: "extra".to_owned(), ..table.columns[0].clone() };
                table.columns.push(extra);
            },
            &["column \"extra\" is NOT NULL without a default, and not at the source"],
        );
    }
}
