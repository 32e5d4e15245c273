//! What the target's catalog says of a table.

use segcdc_model::QualifiedName;
use segcdc_tds::Datum;

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;

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
    /// Whether it holds rows.
    pub has_rows: bool,
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
        let during = "reading the catalog";
        let rows = self.query(during, &sql::catalog::object(table)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let object_id = row.first().and_then(Datum::as_int).ok_or_else(|| unfit("the object id"))?;
        let kind = text(row, 1).ok_or_else(|| unfit("the kind of object"))?.trim().to_owned();
        let spelled = |index: usize| text(row, index).ok_or_else(|| unfit("the name of an object"));
        let name = QualifiedName::new(spelled(2)?, spelled(3)?);
        let rows = self.query(during, &sql::catalog::columns(object_id)).await?;
        let columns = rows.iter().map(|row| read_column(row)).collect::<Result<_, _>>()?;
        let mut table_found = ExistingTable {
            object_id,
            name,
            kind,
            columns,
            key: Vec::new(),
            key_name: None,
            triggers: Vec::new(),
            foreign_keys: Vec::new(),
            referring_keys: Vec::new(),
            has_rows: false,
        };
        if table_found.kind.eq_ignore_ascii_case("U") {
            self.read_details(table, &mut table_found).await?;
        }
        Ok(Some(table_found))
    }

    /// What only tables have.
    async fn read_details(
        &mut self,
        name: &QualifiedName,
        table: &mut ExistingTable,
    ) -> Result<(), TargetError> {
        let during = "reading the catalog";
        let names = |rows: Vec<Vec<Datum>>| {
            rows.iter().filter_map(|row| text(row, 0).map(str::to_owned)).collect::<Vec<_>>()
        };
        let rows = self.query(during, &sql::catalog::primary_key(table.object_id)).await?;
        table.key_name = rows.first().and_then(|row| text(row, 1)).map(str::to_owned);
        table.key = names(rows);
        let rows = self.query(during, &sql::catalog::triggers(table.object_id)).await?;
        let trigger = |row: &Vec<Datum>| {
            let instead_of = row.get(1).and_then(Datum::as_int).is_some_and(|instead_of| instead_of != 0);
            Some(Trigger { name: text(row, 0)?.to_owned(), instead_of })
        };
        table.triggers = rows.iter().filter_map(trigger).collect();
        table.foreign_keys = names(self.query(during, &sql::catalog::foreign_keys(table.object_id)).await?);
        table.referring_keys =
            names(self.query(during, &sql::catalog::referring_keys(table.object_id)).await?);
        table.has_rows = !self.query(during, &sql::catalog::any_row(name)).await?.is_empty();
        Ok(())
    }
}

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
    TargetError::Answer { during: "reading the catalog", detail: format!("{what} is missing") }
}
