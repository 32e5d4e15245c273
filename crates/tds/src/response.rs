//! [`Response`]: everything that a request returned.

use crate::datum::Datum;
use crate::error::{ServerErrors, ServerMessage};
use crate::row_scanner::{LongPart, RowHandler};
use crate::token::{Column, Done, Token};
use crate::types::{Collation, ColumnType, done_status};

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Name; empty for an expression without an alias.
    pub name: String,
    /// Type.
    pub column_type: ColumnType,
    /// Whether it may be NULL (true when unknown).
    pub nullable: bool,
    /// Collation, of character types.
    pub collation: Collation,
}

/// One result set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResultSet {
    /// Columns.
    pub columns: Vec<ColumnInfo>,
    /// Rows.
    pub rows: Vec<Vec<Datum>>,
}

/// Everything that a request returned.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// Result sets, in order.
    pub sets: Vec<ResultSet>,
    /// One for each statement that counted rows, SELECT included.
    pub row_counts: Vec<u64>,
    /// PRINT and the like.
    pub messages: Vec<ServerMessage>,
    /// RETURN of a procedure.
    pub return_status: Option<i32>,
    /// Output parameters, by name (`@x`).
    pub outputs: Vec<(String, Datum)>,
}

/// Gets the rows of a query one by one.
pub(crate) enum OnRow<'a> {
    /// As a whole each.
    Whole(&'a mut (dyn FnMut(&[Datum]) + Send)),
    /// Long ones in parts.
    Parts(&'a mut dyn RowHandler),
}

/// A response being put together from tokens.
pub(crate) struct Collector<'a> {
    /// What has come so far.
    pub(crate) response: Response,
    /// Errors so far.
    pub(crate) errors: Vec<ServerMessage>,
    /// Gets the rows, if they are not to be kept.
    on_row: Option<OnRow<'a>>,
}

/// Where a response stands after a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More is to come.
    More,
    /// The last statement is over.
    Finished,
    /// The server acknowledged an attention.
    Cancelled,
}

// === impl Response ===

impl Response {
    /// The first row of the first set that has one.
    pub fn first_row(&self) -> Option<&[Datum]> {
        self.sets.iter().find_map(|set| set.rows.first()).map(Vec::as_slice)
    }

    /// All rows counted by all statements.
    pub fn total_row_count(&self) -> u64 {
        self.row_counts.iter().fold(0, |total, count| total.saturating_add(*count))
    }
}

// === impl Collector ===

impl<'a> Collector<'a> {
    /// Nothing yet.
    pub(crate) fn new(on_row: Option<OnRow<'a>>) -> Self {
        Collector { response: Response::default(), errors: Vec::new(), on_row }
    }

    /// Takes a token in.
    pub(crate) fn take(&mut self, token: Token) -> Progress {
        match token {
            Token::Columns(columns) => self.begin_set(&columns),
            Token::Row(row) => self.row(row),
            Token::Error(error) => self.errors.push(error),
            Token::Info(message) => self.response.messages.push(message),
            Token::ReturnStatus(status) => self.response.return_status = Some(status),
            Token::ReturnValue { name, value } => self.response.outputs.push((name, value)),
            Token::Done(done) | Token::DoneInProc(done) => return self.done(done, true),
            Token::DoneProc(done) => return self.done(done, false),
            Token::EnvChange(_) | Token::LoginAck(_) | Token::Features(_) | Token::Skipped => {}
        }
        Progress::More
    }

    /// Whether long values are wanted in parts.
    pub(crate) fn takes_parts(&self) -> bool {
        matches!(self.on_row, Some(OnRow::Parts(_)))
    }

    /// Takes in a part of a long value. Without anybody who wants it, as of a request that is being cancelled, it is lost.
    pub(crate) fn part(&mut self, column: usize, part: LongPart<'_>) {
        if let Some(OnRow::Parts(handler)) = &mut self.on_row {
            handler.part(column, part);
        }
    }

    /// The errors, if there are some.
    pub(crate) fn take_errors(&mut self) -> Option<ServerErrors> {
        let errors = std::mem::take(&mut self.errors);
        if errors.is_empty() { None } else { Some(ServerErrors { errors }) }
    }

    /// A result set begins.
    fn begin_set(&mut self, columns: &[Column]) {
        let infos = columns.iter().map(|column| ColumnInfo {
            name: column.name.clone(),
            column_type: column.column_type(),
            nullable: column.nullable(),
            collation: column.info.collation,
        });
        self.response.sets.push(ResultSet { columns: infos.collect(), rows: Vec::new() });
    }

    /// A row of the current set.
    fn row(&mut self, row: Vec<Datum>) {
        match (&mut self.on_row, self.response.sets.last_mut()) {
            (Some(OnRow::Whole(on_row)), _) => on_row(&row),
            (Some(OnRow::Parts(handler)), _) => handler.row(&row),
            (None, Some(set)) => set.rows.push(row),
            (None, None) => {}
        }
    }

    /// A statement is over.
    fn done(&mut self, done: Done, counts: bool) -> Progress {
        if counts && done.status & done_status::COUNT != 0 {
            self.response.row_counts.push(done.row_count);
        }
        if done.status & done_status::ATTENTION != 0 {
            return Progress::Cancelled;
        }
        if done.status & (done_status::ERROR | done_status::SERVER_ERROR) != 0 && self.errors.is_empty() {
            self.errors.push(unexplained());
        }
        if done.status & done_status::MORE != 0 { Progress::More } else { Progress::Finished }
    }
}

/// Stands for an error that the server did not explain: without it a failed statement would pass for a good one.
fn unexplained() -> ServerMessage {
    ServerMessage {
        number: 0,
        state: 0,
        class: 16,
        message: "the server reported a failure without an error message".to_owned(),
        server: String::new(),
        procedure: String::new(),
        line: 0,
    }
}
