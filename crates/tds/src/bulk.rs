//! INSERT BULK: the statement, the column metadata, the rows.
//!
//! ```text
//! SQL batch   INSERT BULK [dbo].[t] ([a] INT , [b] NVARCHAR(50) ) with (KEEP_NULLS, TABLOCK)
//! bulk load   COLMETADATA | ROW ROW ROW ... | DONE          (one message, as many packets as it takes)
//! ```
//!
//! Column metadata is the caller's, from its catalog: no query in front of each load, as other drivers do. Spelling of
//! statement and metadata follows Microsoft's JDBC driver; `tests/witness` compares them.

use std::fmt::Write as _;
use std::io;

use crate::connection::Connection;
use crate::error::Error;
use crate::plp::LongValue;
use crate::row_encoder::RowEncoder;
use crate::type_info::{put_type_info, sent_as};
use crate::types::{Collation, ColumnType, column_flag, token_id};

/// A column of the target, as the server's catalog describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkColumn {
    /// Name, unquoted.
    pub name: String,
    /// Type, exactly: the server does not convert.
    pub column_type: ColumnType,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Collation of a character type; ignored for others.
    pub collation: Collation,
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortOrder {
    /// ASC
    Ascending,
    /// DESC
    Descending,
}

/// Hints of an INSERT BULK.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BulkOptions {
    /// TABLOCK: one bulk update lock instead of row locks.
    pub table_lock: bool,
    /// KEEP_NULLS: NULL stays NULL where the column has a default.
    pub keep_nulls: bool,
    /// CHECK_CONSTRAINTS
    pub check_constraints: bool,
    /// FIRE_TRIGGERS
    pub fire_triggers: bool,
    /// ORDER(...): the rows come sorted so, by column name (unquoted).
    pub order: Vec<(String, SortOrder)>,
}

/// Where a bulk load goes.
#[derive(Debug, Clone, Copy)]
pub struct BulkTarget<'a> {
    /// Table name, already quoted: `[dbo].[orders]`, `[#stage]`.
    pub table: &'a str,
    /// Columns to fill, in the order of the rows.
    pub columns: &'a [BulkColumn],
    /// Hints.
    pub options: &'a BulkOptions,
}

/// A bulk load in progress. Dropped before [`BulkLoad::finish`], it leaves the connection unusable until
/// [`Connection::cancel`].
#[derive(Debug)]
pub struct BulkLoad<'c> {
    connection: &'c mut Connection,
    /// Columns that rows must have.
    column_count: usize,
    /// Rows sent.
    rows: u64,
}

// === impl BulkLoad ===

impl<'c> BulkLoad<'c> {
    /// The load of a connection that has just sent the column metadata.
    pub(crate) fn new(connection: &'c mut Connection, column_count: usize) -> Self {
        BulkLoad { connection, column_count, rows: 0 }
    }

    /// Sends the finished rows and clears the encoder.
    ///
    /// An `Io` error is replaced by what the server said before it hung up, if it said something.
    pub async fn send(&mut self, rows: &mut RowEncoder) -> Result<(), Error> {
        if rows.column_count() != self.column_count {
            let (expected, found) = (self.column_count, rows.column_count());
            return Err(crate::EncodeError::ColumnCount { expected, found }.into());
        }
        let encoded = rows.encoded();
        let mut sent = 0;
        for (at, value) in rows.long_values() {
            self.connection.bulk_send(encoded.get(sent..*at).unwrap_or_default()).await?;
            send_long(self.connection, &**value).await?;
            sent = *at;
        }
        self.connection.bulk_send(encoded.get(sent..).unwrap_or_default()).await?;
        self.rows += rows.row_count();
        rows.clear();
        Ok(())
    }

    /// Rows sent so far.
    pub fn rows_sent(&self) -> u64 {
        self.rows
    }

    /// Ends the load and returns the server's row count. On return without error the rows are in the table, or in the
    /// transaction if one is open.
    pub async fn finish(self) -> Result<u64, Error> {
        self.connection.bulk_finish().await
    }

    /// As [`BulkLoad::finish`], with the connection for what comes next.
    pub async fn finish_and_go_on(self) -> Result<(u64, &'c mut Connection), Error> {
        let rows = self.connection.bulk_finish().await?;
        Ok((rows, self.connection))
    }

    /// Gives the load up: the server undoes it, the connection stays usable.
    pub async fn abort(self) -> Result<(), Error> {
        self.connection.cancel().await
    }
}

/// Sends the pieces of a value.
async fn send_long(connection: &mut Connection, value: &dyn LongValue) -> Result<(), Error> {
    let failed = |source| Error::LongValue { source };
    let mut reader = value.read();
    let mut piece = Vec::new();
    let mut sent = 0;
    loop {
        piece.clear();
        piece.extend_from_slice(&[0; 4]);
        reader.read_piece(&mut piece).map_err(failed)?;
        let length = piece.len() - 4;
        if length == 0 {
            break;
        }
        sent += length as u64;
        let length = u32::try_from(length).map_err(|_| failed(io::ErrorKind::InvalidData.into()))?;
        if let Some(place) = piece.first_chunk_mut::<4>() {
            *place = length.to_le_bytes();
        }
        connection.bulk_send(&piece).await?;
    }
    if sent == value.byte_len() { Ok(()) } else { Err(failed(io::ErrorKind::InvalidData.into())) }
}

/// The INSERT BULK statement.
pub fn statement(target: &BulkTarget<'_>) -> String {
    let mut sql = format!("INSERT BULK {} (", target.table);
    for (index, column) in target.columns.iter().enumerate() {
        let end = if index + 1 == target.columns.len() { " ) " } else { " , " };
        push(&mut sql, format_args!("{} {}{end}", quoted(&column.name), declaration(column)));
    }
    let options = target.options;
    let mut hints = Vec::new();
    let switches = [
        (options.check_constraints, "CHECK_CONSTRAINTS"),
        (options.fire_triggers, "FIRE_TRIGGERS"),
        (options.keep_nulls, "KEEP_NULLS"),
        (options.table_lock, "TABLOCK"),
    ];
    hints.extend(switches.into_iter().filter(|(on, _)| *on).map(|(_, hint)| hint.to_owned()));
    if !options.order.is_empty() {
        let direction = |order| if order == SortOrder::Ascending { "ASC" } else { "DESC" };
        let keys =
            options.order.iter().map(|(name, order)| format!("{} {}", quoted(name), direction(*order)));
        hints.push(format!("ORDER({})", keys.collect::<Vec<_>>().join(", ")));
    }
    if !hints.is_empty() {
        push(&mut sql, format_args!(" with ({})", hints.join(", ")));
    }
    sql
}

/// Type and, for char and varchar, collation, as Microsoft's JDBC driver spells them: `DECIMAL(18, 4)`. nvarchar needs
/// no collation, since its characters mean the same under every one.
fn declaration(column: &BulkColumn) -> String {
    let spelled = match sent_as(column.column_type) {
        ColumnType::Decimal { precision, scale } => format!("DECIMAL({precision}, {scale})"),
        other => other.to_string().to_ascii_uppercase(),
    };
    match (column.column_type, column.collation.name()) {
        (ColumnType::VarChar(_) | ColumnType::Char(_), Some(name)) => format!("{spelled} COLLATE {name}"),
        _ => spelled,
    }
}

/// The COLMETADATA token.
pub fn column_metadata(columns: &[BulkColumn]) -> Result<Vec<u8>, Error> {
    let too_many = |_| Error::protocol("a bulk load of more than 65535 columns");
    let mut out = vec![token_id::COLMETADATA];
    out.extend_from_slice(&u16::try_from(columns.len()).map_err(too_many)?.to_le_bytes());
    for column in columns {
        // What a server says of a column of a query; it is what JDBC sends back to it.
        let nullable = if column.nullable { column_flag::NULLABLE } else { 0 };
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(&(nullable | column_flag::UPDATEABLE_UNKNOWN).to_le_bytes());
        put_type_info(&mut out, column.column_type, column.collation);
        let units = u8::try_from(column.name.encode_utf16().count());
        out.push(units.map_err(|_| Error::protocol("a column name of more than 255 characters"))?);
        out.extend(column.name.encode_utf16().flat_map(u16::to_le_bytes));
    }
    Ok(out)
}

/// The DONE token that ends a bulk load; its contents mean nothing.
pub(crate) const DONE: [u8; 13] = [token_id::DONE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A name in brackets.
fn quoted(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// Appends formatted text.
fn push(sql: &mut String, text: std::fmt::Arguments<'_>) {
    sql.write_fmt(text).expect("writing to a String never fails");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Token, decode};
    use crate::types::Len;

    fn column(name: &str, column_type: ColumnType) -> BulkColumn {
        let collation = Collation::SQL_LATIN1_GENERAL_CP1_CI_AS;
        BulkColumn { name: name.to_owned(), column_type, nullable: true, collation }
    }

    #[test]
    fn statement_spells_types_and_hints() {
        let columns = [
            column("id", ColumnType::BigInt),
            column("a]b", ColumnType::NVarChar(Len::Limited(50))),
            column("d", ColumnType::Decimal { precision: 18, scale: 4 }),
            column("x", ColumnType::Xml),
            column("v", ColumnType::VarChar(Len::Max)),
            column("t", ColumnType::DateTime2(6)),
        ];
        let order = vec![("id".to_owned(), SortOrder::Ascending), ("a]b".to_owned(), SortOrder::Descending)];
        let options = BulkOptions {
            table_lock: true,
            keep_nulls: true,
            check_constraints: true,
            fire_triggers: true,
            order,
        };
        let target = BulkTarget { table: "[dbo].[t]", columns: &columns, options: &options };
        assert_eq!(
            statement(&target),
            "INSERT BULK [dbo].[t] ([id] BIGINT , [a]]b] NVARCHAR(50) , [d] DECIMAL(18, 4) , [x] NVARCHAR(MAX) , \
             [v] VARCHAR(MAX) COLLATE SQL_Latin1_General_CP1_CI_AS , [t] DATETIME2(6) )  with (CHECK_CONSTRAINTS, \
             FIRE_TRIGGERS, KEEP_NULLS, TABLOCK, ORDER([id] ASC, [a]]b] DESC))"
        );
    }

    #[test]
    fn statement_without_hints_has_no_with() {
        let columns = [column("id", ColumnType::Int)];
        let options = BulkOptions::default();
        let target = BulkTarget { table: "#s", columns: &columns, options: &options };
        assert_eq!(statement(&target), "INSERT BULK #s ([id] INT ) ");
    }

    #[test]
    fn metadata_is_what_a_server_would_say() {
        let columns = [column("id", ColumnType::Int), column("n", ColumnType::NVarChar(Len::Max))];
        let metadata = column_metadata(&columns).unwrap();
        let Ok((Token::Columns(decoded), length)) = decode(&metadata, &[]) else { panic!("not decoded") };
        assert_eq!(length, metadata.len());
        let types: Vec<_> =
            decoded.iter().map(|column| (column.name.as_str(), column.column_type())).collect();
        assert_eq!(types, [("id", ColumnType::Int), ("n", ColumnType::NVarChar(Len::Max))]);
    }
}
