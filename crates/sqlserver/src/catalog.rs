//! What the target's catalog says of tables.

use std::collections::HashMap;

use segcdc_model::QualifiedName;
use segcdc_tds::Datum;

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;

/// What is being done, for errors.
const DURING: &str = "reading the catalog";

/// Tables that are asked for in one request: a pipeline may have thousands, and each request costs the way to the server and
/// back. The texts of so many questions take some ten kilobytes.
pub const AT_ONCE: usize = 50;

/// A column as `sys.columns` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingColumn {
    /// Name.
    pub name: String,
    /// `sys.types.name`.
    pub type_name: String,
    /// Bytes; -1 for max.
    pub max_length: i64,
    /// Digits of a decimal.
    pub precision: i64,
    /// Digits behind the point, or of a second.
    pub scale: i64,
    /// NULL is allowed.
    pub nullable: bool,
    /// Collation of text.
    pub collation: Option<String>,
    /// IDENTITY.
    pub identity: bool,
    /// Computed: cannot be written.
    pub computed: bool,
    /// It has a default for rows that do not name it.
    pub has_default: bool,
}

/// A table or other object of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingTable {
    /// `sys.objects.object_id`
    pub object_id: i64,
    /// Schema and name as they are spelled there: the database's collation holds more names equal than we do.
    pub name: QualifiedName,
    /// `sys.objects.type`, `U` for a table.
    pub kind: String,
    /// Columns in order.
    pub columns: Vec<ExistingColumn>,
    /// Columns of its primary key, in key order; empty without one.
    pub key: Vec<String>,
    /// Name of its primary key.
    pub key_name: Option<String>,
    /// Its enabled triggers.
    pub triggers: Vec<Trigger>,
    /// Names of its foreign keys that are enforced.
    pub foreign_keys: Vec<String>,
    /// Names of foreign keys that refer to it.
    pub referring_keys: Vec<String>,
    /// Names of its unique indexes and constraints beside the primary key.
    pub unique_indexes: Vec<String>,
    /// What it is beside a table, if the server lets less be done with it than with others.
    pub special: Option<Special>,
    /// Whether it holds rows.
    pub has_rows: bool,
}

/// A table with which less can be done than with others: no TRUNCATE, and for some no writing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Its rows are kept in memory.
    MemoryOptimized,
    /// The server keeps the versions of its rows in another table.
    SystemVersioned,
    /// It holds the versions of another table's rows.
    History,
}

// === impl Special ===

impl Special {
    /// By the fields of `sys.tables`.
    fn read(is_memory_optimized: bool, temporal_type: i64) -> Option<Self> {
        match (is_memory_optimized, temporal_type) {
            (true, _) => Some(Special::MemoryOptimized),
            (false, 2) => Some(Special::SystemVersioned),
            (false, 1) => Some(Special::History),
            (false, _) => None,
        }
    }
}

/// An enabled trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Name.
    pub name: String,
    /// It replaces the statement, so that rows need not arrive.
    pub instead_of: bool,
}

// === impl ExistingColumn ===

impl ExistingColumn {
    /// The type as T-SQL spells it, in the form of [`segcdc_model::MssqlType`].
    pub fn type_text(&self) -> String {
        let name = self.type_name.to_lowercase();
        let length = |bytes_per_unit: i64| match self.max_length {
            -1 => "max".to_owned(),
            bytes => (bytes / bytes_per_unit).to_string(),
        };
        match name.as_str() {
            "decimal" | "numeric" => format!("decimal({},{})", self.precision, self.scale),
            "nvarchar" | "nchar" => format!("{name}({})", length(2)),
            "varchar" | "char" | "varbinary" | "binary" => format!("{name}({})", length(1)),
            "time" | "datetime2" | "datetimeoffset" => format!("{name}({})", self.scale),
            _ => name,
        }
    }
}

// === impl ExistingTable ===

impl ExistingTable {
    /// Whether it is a table of its users, and not a view or another object.
    fn is_table(&self) -> bool {
        self.kind.eq_ignore_ascii_case("U")
    }
}

// === impl Target ===

impl Target {
    /// The object of this name; `None` when there is none.
    ///
    /// # Errors
    /// The server's.
    pub async fn existing_table(
        &mut self,
        table: &QualifiedName,
    ) -> Result<Option<ExistingTable>, TargetError> {
        Ok(self.existing_tables(&[table]).await?.pop().flatten())
    }

    /// The objects of these names, in their order; `None` for a name that there is none of. Costs three requests for
    /// every [`AT_ONCE`] tables.
    ///
    /// # Errors
    /// The server's.
    pub async fn existing_tables(
        &mut self,
        tables: &[&QualifiedName],
    ) -> Result<Vec<Option<ExistingTable>>, TargetError> {
        let mut found = Vec::with_capacity(tables.len());
        for tables in tables.chunks(AT_ONCE) {
            found.extend(self.read_tables(tables).await?);
        }
        Ok(found)
    }

    async fn read_tables(
        &mut self,
        names: &[&QualifiedName],
    ) -> Result<Vec<Option<ExistingTable>>, TargetError> {
        let objects = self.query_each(DURING, names.iter().map(|name| sql::catalog::object(name))).await?;
        let mut found: Vec<Option<ExistingTable>> = objects
            .iter()
            .map(|rows| rows.first().map(|row| read_object(row)).transpose())
            .collect::<Result<_, _>>()?;
        let ids: Vec<i64> = found.iter().flatten().map(|table| table.object_id).collect();
        if ids.is_empty() {
            return Ok(found);
        }
        let questions = [
            sql::catalog::columns(&ids),
            sql::catalog::primary_keys(&ids),
            sql::catalog::triggers(&ids),
            sql::catalog::foreign_keys(&ids),
            sql::catalog::referring_keys(&ids),
            sql::catalog::unique_indexes(&ids),
            sql::catalog::kinds(&ids),
        ];
        let details = self.query_each(DURING, questions.into_iter()).await?;
        let mut places: HashMap<i64, Vec<usize>> = HashMap::new();
        for (place, table) in found.iter().enumerate() {
            if let Some(table) = table {
                places.entry(table.object_id).or_default().push(place);
            }
        }
        for (index, (rows, add)) in details.iter().zip(ADD).enumerate() {
            // Views have columns too.
            let of_tables_only = index > 0;
            for row in rows {
                let (id, row) = row.split_first().ok_or_else(|| unfit("the object id"))?;
                let id = id.as_int().ok_or_else(|| unfit("the object id"))?;
                // Two names may be one to the server.
                for place in places.get(&id).into_iter().flatten() {
                    if let Some(Some(table)) = found.get_mut(*place)
                        && (table.is_table() || !of_tables_only)
                    {
                        add(table, row)?;
                    }
                }
            }
        }
        let is_table = |place: &usize| {
            found.get(*place).is_some_and(|found| found.as_ref().is_some_and(ExistingTable::is_table))
        };
        let places: Vec<usize> = (0..found.len()).filter(is_table).collect();
        let questions =
            places.iter().filter_map(|place| names.get(*place)).map(|name| sql::catalog::any_row(name));
        let rows = self.query_each(DURING, questions).await?;
        for (place, rows) in places.into_iter().zip(rows) {
            if let Some(Some(table)) = found.get_mut(place) {
                table.has_rows = !rows.is_empty();
            }
        }
        Ok(found)
    }
}

/// What the row of an object says; the details are empty still.
fn read_object(row: &[Datum]) -> Result<ExistingTable, TargetError> {
    let spelled = |index: usize| text(row, index).ok_or_else(|| unfit("the name of an object"));
    Ok(ExistingTable {
        object_id: row.first().and_then(Datum::as_int).ok_or_else(|| unfit("the object id"))?,
        name: QualifiedName::new(spelled(2)?, spelled(3)?),
        kind: text(row, 1).ok_or_else(|| unfit("the kind of object"))?.trim().to_owned(),
        columns: Vec::new(),
        key: Vec::new(),
        key_name: None,
        triggers: Vec::new(),
        foreign_keys: Vec::new(),
        referring_keys: Vec::new(),
        unique_indexes: Vec::new(),
        special: None,
        has_rows: false,
    })
}

/// Takes a row of the answer to one of the questions of `read_tables`, behind the id of its table.
type Add = fn(&mut ExistingTable, &[Datum]) -> Result<(), TargetError>;

/// One for each question, in their order.
const ADD: [Add; 7] = [
    |table, row| {
        table.columns.push(read_column(row)?);
        Ok(())
    },
    |table, row| {
        table.key.extend(text(row, 0).map(str::to_owned));
        table.key_name = text(row, 1).map(str::to_owned);
        Ok(())
    },
    |table, row| {
        let instead_of = row.get(1).and_then(Datum::as_int).is_some_and(|instead_of| instead_of != 0);
        table.triggers.extend(text(row, 0).map(|name| Trigger { name: name.to_owned(), instead_of }));
        Ok(())
    },
    |table, row| {
        table.foreign_keys.extend(text(row, 0).map(str::to_owned));
        Ok(())
    },
    |table, row| {
        table.referring_keys.extend(text(row, 0).map(str::to_owned));
        Ok(())
    },
    |table, row| {
        table.unique_indexes.extend(text(row, 0).map(str::to_owned));
        Ok(())
    },
    |table, row| {
        let int =
            |index: usize| row.get(index).and_then(Datum::as_int).ok_or_else(|| unfit("the kind of a table"));
        table.special = Special::read(int(0)? != 0, int(1)?);
        Ok(())
    },
];

fn read_column(row: &[Datum]) -> Result<ExistingColumn, TargetError> {
    let int =
        |index: usize| row.get(index).and_then(Datum::as_int).ok_or_else(|| unfit("a number of a column"));
    Ok(ExistingColumn {
        name: text(row, 0).ok_or_else(|| unfit("the name of a column"))?.to_owned(),
        type_name: text(row, 1).ok_or_else(|| unfit("the type of a column"))?.to_owned(),
        max_length: int(2)?,
        precision: int(3)?,
        scale: int(4)?,
        nullable: int(5)? != 0,
        collation: text(row, 6).map(str::to_owned),
        identity: int(7)? != 0,
        computed: int(8)? != 0,
        has_default: int(9)? != 0,
    })
}

fn text(row: &[Datum], index: usize) -> Option<&str> {
    row.get(index).and_then(Datum::as_text)
}

fn unfit(what: &str) -> TargetError {
    TargetError::Answer { during: DURING, detail: format!("{what} is missing") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_tables_are_told_apart() {
        assert_eq!(Special::read(false, 0), None);
        assert_eq!(Special::read(true, 0), Some(Special::MemoryOptimized));
        assert_eq!(Special::read(true, 2), Some(Special::MemoryOptimized));
        assert_eq!(Special::read(false, 2), Some(Special::SystemVersioned));
        assert_eq!(Special::read(false, 1), Some(Special::History));
    }
}
