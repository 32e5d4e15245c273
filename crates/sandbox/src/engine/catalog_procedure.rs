//! Procedures of the catalog, as SQL Server has them for ODBC and JDBC: `sp_tables`, `sp_columns_100`, `sp_pkeys`.
//!
//! As in SQL Server they are T-SQL: the texts are in `catalog_procedures`. Columns and their types are those of the T-SQL
//! manual, section "Catalog stored procedures"; tests hold them against mssql-jdbc.

use futures_util::FutureExt;
use segcdc_tds::{ColumnType, Datum, Len};

use super::Session;
use super::flow::{Flow, Frame};
use super::procedure::{Called, Given};
use crate::answer::{Replies, SqlError};

/// A procedure.
#[derive(Debug)]
pub(super) struct CatalogProcedure {
    /// Its names, in lower case.
    names: &'static [&'static str],
    /// Parameters in their order: name, type, default.
    parameters: &'static [(&'static str, ColumnType, Option<i64>)],
    /// How many of them must be given.
    required: usize,
    /// What it does.
    text: &'static str,
}

/// `nvarchar(384)`: a name or a pattern of names.
const PATTERN: ColumnType = ColumnType::NVarChar(Len::Limited(384));
/// `sysname`
const NAME: ColumnType = ColumnType::NVarChar(Len::Limited(128));

/// All of them.
const PROCEDURES: &[CatalogProcedure] = &[
    CatalogProcedure {
        names: &["sp_tables"],
        parameters: &[
            ("@table_name", PATTERN, None),
            ("@table_owner", PATTERN, None),
            ("@table_qualifier", NAME, None),
            ("@table_type", ColumnType::VarChar(Len::Limited(100)), None),
            ("@fUsePattern", ColumnType::Bit, Some(1)),
        ],
        required: 0,
        text: include_str!("catalog_procedures/tables.sql"),
    },
    CatalogProcedure {
        names: &["sp_columns_100"],
        parameters: &[
            ("@table_name", PATTERN, None),
            ("@table_owner", PATTERN, None),
            ("@table_qualifier", NAME, None),
            ("@column_name", PATTERN, None),
            ("@NameScope", ColumnType::Int, Some(0)),
            ("@ODBCVer", ColumnType::Int, Some(2)),
            ("@fUsePattern", ColumnType::Bit, Some(1)),
        ],
        required: 0,
        text: include_str!("catalog_procedures/columns.sql"),
    },
    CatalogProcedure {
        names: &["sp_pkeys"],
        parameters: &[
            ("@table_name", NAME, None),
            ("@table_owner", NAME, None),
            ("@table_qualifier", NAME, None),
        ],
        required: 1,
        text: include_str!("catalog_procedures/primary_keys.sql"),
    },
];

/// The procedure of this name in lower case.
pub(super) fn find(name: &str) -> Option<&'static CatalogProcedure> {
    PROCEDURES.iter().find(|procedure| procedure.names.contains(&name))
}

// === impl Session ===

impl Session {
    /// Calls one (201: an argument is missing; 8144: too many; 8145: no such parameter; 15250: another database).
    pub(super) async fn catalog_procedure(
        &mut self,
        name: &str,
        arguments: Vec<Given>,
        frame: &Frame,
        out: &Replies,
    ) -> Result<Called, SqlError> {
        let Some(procedure) = find(name) else { return Ok((Flow::Next, Vec::new())) };
        let mut inner = frame.nested()?;
        procedure.bind(name, arguments, &mut inner)?;
        let qualifier = inner.value("@table_qualifier").and_then(Datum::as_text);
        if qualifier.is_some_and(|qualifier| !qualifier.eq_ignore_ascii_case(self.database())) {
            let message = "The database name component of the object qualifier must be the name of the current database.";
            return Err(SqlError::new(15250, 16, message));
        }
        // Within a procedure all options are its own.
        let before = (self.options.no_count, self.options.row_limit);
        let flow = self.run_text(procedure.text, &mut inner, out).boxed().await;
        (self.options.no_count, self.options.row_limit) = before;
        Ok((
            match flow? {
                Flow::Caught(error) => Flow::Caught(error),
                _ => Flow::Next,
            },
            Vec::new(),
        ))
    }
}

// === impl CatalogProcedure ===

impl CatalogProcedure {
    /// Declares the parameters with what was given for them.
    fn bind(&self, name: &str, arguments: Vec<Given>, frame: &mut Frame) -> Result<(), SqlError> {
        for (parameter, column_type, default) in self.parameters {
            let value = match (default, column_type) {
                (None, _) => Datum::Null,
                (Some(number), ColumnType::Bit) => Datum::Bit(*number != 0),
                (Some(number), _) => Datum::Int(*number),
            };
            frame.declare(parameter, *column_type, value);
        }
        if arguments.len() > self.parameters.len() {
            let message = format!("Procedure or function {name} has too many arguments specified.");
            return Err(SqlError::new(8144, 16, message));
        }
        let mut given = vec![false; self.parameters.len()];
        for (position, (argument, _, value)) in arguments.into_iter().enumerate() {
            let found = self.parameters.iter().position(|(parameter, ..)| {
                if argument.is_empty() {
                    self.parameters.get(position).is_some_and(|(at, ..)| at == parameter)
                } else {
                    parameter.eq_ignore_ascii_case(&argument)
                }
            });
            let Some((index, (parameter, column_type, _))) =
                found.and_then(|index| Some((index, self.parameters.get(index)?)))
            else {
                let message = format!("{argument} is not a parameter for procedure {name}.");
                return Err(SqlError::new(8145, 16, message));
            };
            let value = match (value, column_type) {
                (Datum::Int(number), ColumnType::Bit) => Datum::Bit(number != 0),
                (Datum::Text(text), ColumnType::Int | ColumnType::Bit) => {
                    let number: i64 = text.trim().parse().map_err(|_| wrong_type(name, parameter))?;
                    if *column_type == ColumnType::Bit { Datum::Bit(number != 0) } else { Datum::Int(number) }
                }
                (value, _) => value,
            };
            frame.set(&parameter.to_lowercase(), value);
            if let Some(given) = given.get_mut(index) {
                *given = true;
            }
        }
        let missing = self.parameters.iter().zip(given).take(self.required).find(|(_, given)| !given);
        if let Some(((parameter, ..), _)) = missing {
            let message = format!(
                "Procedure or function '{name}' expects parameter '{parameter}', which was not supplied."
            );
            return Err(SqlError::new(201, 16, message).with_state(4));
        }
        Ok(())
    }
}

/// 8114
fn wrong_type(procedure: &str, parameter: &str) -> SqlError {
    let message = format!("Error converting data type nvarchar to int ({procedure}, {parameter}).");
    SqlError::new(8114, 16, message)
}
