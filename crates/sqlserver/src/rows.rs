//! Rows read back, as canonical text, to compare them with the source's.
//!
//! A row is handed over as it arrives and nothing is kept, so memory does not grow with the table, and of a row of more
//! than 1 MiB long values are hashed while they arrive, so that it does not grow with values either. What a server
//! returns is turned into the [`segcdc_model::Value`] that the source's field would have been decoded to, and that into the text of
//! [`segcdc_plan::canonical`].

mod key;
mod value;

pub use key::has_integer as has_integer_key;

use segcdc_model::{MssqlType, Value};
use segcdc_plan::TablePlan;
use segcdc_plan::canonical::{self, TextHasher};
use segcdc_plan::json_document;
use segcdc_tds::{BulkColumn, Datum, LongPart, Parameter, RowHandler};

use crate::error::TargetError;
use crate::session::Target;
use crate::sql;

/// Keys of one request: the condition is a list of alternatives, which a server compiles afresh for each length.
const KEYS_PER_REQUEST: usize = 100;

/// What is being done, for errors.
const DURING: &str = "reading rows";

/// Which rows to read.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// All of them.
    All,
    /// Those whose first key column, an integer, is in `from..to`.
    KeyRange {
        /// First key; `None` for the beginning.
        from: Option<i64>,
        /// Key behind the last one; `None` for the end.
        to: Option<i64>,
    },
    /// Those with these keys: canonical texts of the key columns, in key order.
    Keys(&'a [Vec<String>]),
}

/// One row as canonical texts ([`segcdc_plan::canonical`]), in the plan's column order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CanonicalRow {
    text: String,
    fields: Vec<CanonicalField>,
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CanonicalField {
    /// Where it ends in the row's text.
    end: usize,
    form: FieldForm,
}

/// What the text of a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldForm {
    /// Of no meaning.
    Null,
    /// The canonical text.
    Text,
    /// What stands for a canonical text with this hash.
    Long(u128),
}

/// Turns what a server returns into canonical rows.
struct Reading<'a> {
    table: &'a TablePlan,
    on_row: &'a mut (dyn FnMut(&CanonicalRow) + Send),
    row: CanonicalRow,
    /// The value that comes in parts, and its column.
    open: Option<(usize, Open)>,
    /// Hashes of the row's values that came in parts, by column.
    long: Vec<(usize, u128)>,
    rows: u64,
    unfit: Option<TargetError>,
}

/// A value of which parts have come.
enum Open {
    /// Hashed as it comes.
    Hashed(TextHasher),
    /// JSON, which has to be read as a whole: up to [`MAX_DOCUMENT`] of it.
    Document(String),
}

/// Bytes of a server's text of JSON that are kept. One of ours has at most [`json_document::MAX_BYTES`], and a server may
/// spell it longer by escapes; what is cut here is no JSON any more, and equals nothing of the source.
const MAX_DOCUMENT: usize = 8 * json_document::MAX_BYTES;

// === impl CanonicalRow ===

impl CanonicalRow {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The field at `index`; `None` for NULL, and past the end. Of a long value that came in parts,
    /// [`canonical::shown`].
    pub fn get(&self, index: usize) -> Option<&str> {
        let CanonicalField { end, form } = *self.fields.get(index)?;
        let start =
            index.checked_sub(1).and_then(|before| self.fields.get(before)).map_or(0, |field| field.end);
        if form == FieldForm::Null { None } else { self.text.get(start..end) }
    }

    /// Hash of the field at `index`, as [`canonical::hash`] of the source's value.
    pub fn hash(&self, index: usize) -> u128 {
        match self.fields.get(index).map(|field| field.form) {
            Some(FieldForm::Long(hash)) => hash,
            Some(FieldForm::Text) => canonical::hash_text(self.get(index).unwrap_or_default()),
            Some(FieldForm::Null) | None => canonical::NULL_HASH,
        }
    }

    /// The fields in column order, `None` for NULL.
    pub fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Takes in the row of a server, of which the values in `long` came in parts.
    fn read(&mut self, table: &TablePlan, row: &[Datum], long: &[(usize, u128)]) -> Result<(), TargetError> {
        self.text.clear();
        self.fields.clear();
        if row.len() != table.columns.len() {
            let detail =
                format!("{} columns came for {} of {}", row.len(), table.columns.len(), table.target);
            return Err(TargetError::Answer { during: DURING, detail });
        }
        for (index, (datum, column)) in row.iter().zip(&table.columns).enumerate() {
            if let Datum::Long { .. } = datum {
                // One without a part is empty.
                let part = long.iter().find(|(column, _)| *column == index);
                let hash = part.map_or_else(|| canonical::hash_text(""), |(_, hash)| *hash);
                self.text.push_str(&canonical::shown(hash));
                self.fields.push(CanonicalField { end: self.text.len(), form: FieldForm::Long(hash) });
                continue;
            }
            let Some(value) = value::of_datum(datum) else {
                let detail = format!("column \"{}\" of {} has another type", column.name, table.target);
                return Err(TargetError::Answer { during: DURING, detail });
            };
            match value {
                Value::Text(text) if column.mssql_type == MssqlType::Json => {
                    write_document(text, &mut self.text);
                }
                value => canonical::write_text(&value, &mut self.text),
            }
            let form = if datum.is_null() { FieldForm::Null } else { FieldForm::Text };
            self.fields.push(CanonicalField { end: self.text.len(), form });
        }
        Ok(())
    }
}

// === impl Reading ===

impl Reading<'_> {
    /// Ends the value that comes in parts, if there is one.
    fn close(&mut self) {
        if let Some((column, open)) = self.open.take() {
            let hash = match open {
                Open::Hashed(hasher) => hasher.finish(),
                Open::Document(text) => {
                    let mut document = String::new();
                    write_document(&text, &mut document);
                    canonical::hash_text(&document)
                }
            };
            self.long.push((column, hash));
        }
    }
}

impl RowHandler for Reading<'_> {
    fn part(&mut self, column: usize, part: LongPart<'_>) {
        if self.open.as_ref().is_none_or(|(open, _)| *open != column) {
            self.close();
        }
        let is_document =
            self.table.columns.get(column).is_some_and(|column| column.mssql_type == MssqlType::Json);
        let new = || {
            let open =
                if is_document { Open::Document(String::new()) } else { Open::Hashed(TextHasher::new()) };
            (column, open)
        };
        let (_, open) = self.open.get_or_insert_with(new);
        match (open, part) {
            (Open::Hashed(hasher), LongPart::Text(text)) => hasher.text(text),
            (Open::Hashed(hasher), LongPart::Bytes(bytes)) => hasher.bytes(bytes),
            (Open::Document(document), LongPart::Text(text)) if document.len() < MAX_DOCUMENT => {
                document.push_str(text);
            }
            // The rest of what is too long. Bytes are no JSON.
            (Open::Document(_), LongPart::Text(_) | LongPart::Bytes(_)) => {}
        }
    }

    fn row(&mut self, row: &[Datum]) {
        self.close();
        let long = std::mem::take(&mut self.long);
        if self.unfit.is_some() {
            return;
        }
        match self.row.read(self.table, row, &long) {
            Ok(()) => {
                self.rows += 1;
                (self.on_row)(&self.row);
            }
            Err(error) => self.unfit = Some(error),
        }
    }
}

/// Appends the normal form of a document. One that is not of ours, because the type that we write to would not have it, is
/// itself: it equals nothing of the source.
fn write_document(text: &str, out: &mut String) {
    if json_document::write(text, out).is_err() {
        out.push_str(text);
    }
}

/// Reads rows and hands them to `on_row` one by one, in no order that can be relied on; returns how many there were.
///
/// # Errors
/// The server's; [`TargetError::Answer`] for a table whose columns are of other types, and for keys that are not of the
/// key's types. Rows that came before an error have been handed over.
pub async fn read(
    target: &mut Target,
    table: &TablePlan,
    selection: Selection<'_>,
    on_row: &mut (dyn FnMut(&CanonicalRow) + Send),
) -> Result<u64, TargetError> {
    let Selection::Keys(keys) = selection else {
        let condition = condition(table, selection)?;
        return run(target, table, &sql::rows::select(table, condition.as_deref()), &[], on_row).await;
    };
    let mut rows = 0;
    for keys in keys.chunks(KEYS_PER_REQUEST) {
        let encoded = key::encode(table, keys, target.dialect())?;
        let parameters: Vec<Parameter<'_>> =
            encoded.iter().map(|(column, value)| parameter(column, value)).collect();
        let condition = sql::rows::key_in_list(table, keys.len());
        rows += run(target, table, &sql::rows::select(table, Some(&condition)), &parameters, on_row).await?;
    }
    Ok(rows)
}

/// Counts rows; those of [`Selection::Keys`] by reading them.
///
/// # Errors
/// As [`read`].
pub async fn count(
    target: &mut Target,
    table: &TablePlan,
    selection: Selection<'_>,
) -> Result<u64, TargetError> {
    if let Selection::Keys(_) = selection {
        return read(target, table, selection, &mut |_| ()).await;
    }
    let condition = condition(table, selection)?;
    let during = "counting rows";
    let rows = target.query(during, &sql::rows::count(table, condition.as_deref())).await?;
    let count = rows.first().and_then(|row| row.first()).and_then(Datum::as_int);
    count
        .and_then(|count| u64::try_from(count).ok())
        .ok_or_else(|| TargetError::Answer { during, detail: "the count is missing".to_owned() })
}

/// The condition of a selection that needs no parameters.
fn condition(table: &TablePlan, selection: Selection<'_>) -> Result<Option<String>, TargetError> {
    match selection {
        Selection::KeyRange { from, to } if key::has_integer(table) => {
            Ok(sql::rows::key_in_range(table, from, to))
        }
        Selection::KeyRange { .. } => {
            let detail = format!("the key of {} does not begin with an integer", table.target);
            Err(TargetError::Answer { during: DURING, detail })
        }
        Selection::All | Selection::Keys(_) => Ok(None),
    }
}

async fn run(
    target: &mut Target,
    table: &TablePlan,
    sql: &str,
    parameters: &[Parameter<'_>],
    on_row: &mut (dyn FnMut(&CanonicalRow) + Send),
) -> Result<u64, TargetError> {
    let mut reading = Reading {
        table,
        on_row,
        row: CanonicalRow::default(),
        open: None,
        long: Vec::new(),
        rows: 0,
        unfit: None,
    };
    let queried = target.connection().query_parts(sql, parameters, &mut reading).await;
    queried.map_err(|error| TargetError::from_tds(DURING, error).at_table(table, "verification"))?;
    match reading.unfit {
        Some(error) => Err(error),
        None => Ok(reading.rows),
    }
}

fn parameter<'a>(column: &'a BulkColumn, value: &'a [u8]) -> Parameter<'a> {
    Parameter::Encoded { column_type: &column.column_type, collation: column.collation, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_text_differ() {
        let field = |end, form| CanonicalField { end, form };
        let fields = vec![field(0, FieldForm::Null), field(0, FieldForm::Text), field(2, FieldForm::Text)];
        let row = CanonicalRow { text: "ab".to_owned(), fields };
        assert_eq!(row.iter().collect::<Vec<_>>(), [None, Some(""), Some("ab")]);
        assert_eq!(row.get(3), None);
        assert_ne!(row.hash(0), row.hash(1));
    }
}
