//! [`TargetError`]: everything that can go wrong at the target. Servers are recognised by error number, never by text.

use segcdc_model::fault::{Disposition, Fault};
use segcdc_model::{Lsn, QualifiedName};
use segcdc_plan::{OnRefused, Refusal, RefusedChanges, TablePlan, rules};
use segcdc_tds::{Error as TdsError, ServerErrors, ServerMessage};

pub use refused_value::RefusedValue;

use meaning::Meaning;

mod meaning;
mod refused_value;

/// Why the target could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The connection failed: no TCP, no TLS, no answer, a broken protocol.
    #[error("the connection to the target failed during {during}")]
    Connection {
        /// What was being done.
        during: &'static str,
        /// What the client says.
        #[source]
        source: TdsError,
    },
    /// The login was refused.
    #[error("the target refused the login (error {number})")]
    Login {
        /// The server's error number.
        number: i32,
        /// The server's words: they name the login or database, no value.
        #[source]
        source: ServerErrors,
    },
    /// The server reported an error. Its text may hold row values, so only the number is kept.
    #[error("the target reported error {number} during {during}{detail}")]
    Server {
        /// What was being done.
        during: String,
        /// The server's error number.
        number: i32,
        /// `: ` and the server's words where they cannot hold a value; else empty.
        detail: String,
    },
    /// COMMIT was sent and its answer lost. Read the checkpoint with a locking read to learn the outcome.
    #[error("the connection broke while the target committed; the outcome is not known yet")]
    CommitUnknown {
        /// What the client says.
        #[source]
        source: TdsError,
    },
    /// Another process has taken the pipeline over.
    #[error("pipeline \"{pipeline}\" was taken over by another process (epoch {epoch} is over)")]
    Fenced {
        /// The pipeline.
        pipeline: String,
        /// The epoch that this process held.
        epoch: i64,
    },
    /// A statement changed another number of rows than was staged for it.
    #[error("{table}: {statement} changed {found} rows where {expected} were due (batch ending at {lsn})")]
    Diverged {
        /// The target table.
        table: Box<QualifiedName>,
        /// INSERT, UPDATE, DELETE or fill.
        statement: &'static str,
        /// Rows staged.
        expected: u64,
        /// Rows changed.
        found: u64,
        /// End of the batch.
        lsn: Lsn,
        /// OID of the source table.
        oid: u32,
    },
    /// Two keys that differ at the source are one key at the target (error 2627 or 2601).
    #[error("{table}: two rows have one key for the target (error {number}; {place})")]
    KeyCollision {
        /// The target table.
        table: Box<QualifiedName>,
        /// The server's error number.
        number: i32,
        /// Where in the source it came from.
        place: String,
        /// OID of the source table.
        oid: u32,
    },
    /// A value that the target's column cannot hold.
    #[error("{table}, column \"{column}\": {reason} ({place})")]
    Value {
        /// The source table.
        table: Box<QualifiedName>,
        /// The column, as the source names it.
        column: String,
        /// Stable code.
        code: &'static str,
        /// Why not, without the value.
        reason: String,
        /// Where in the source it came from.
        place: String,
        /// OID of the source table.
        oid: u32,
    },
    /// The server's refusal of a statement on one table, which concerns that table alone.
    #[error("{table}: the target reported error {number} during {during}{detail} ({place})")]
    Table {
        /// The target table.
        table: Box<QualifiedName>,
        /// The source table.
        source_table: Box<QualifiedName>,
        /// The server's error number.
        number: i32,
        /// What was being done.
        during: String,
        /// As of [`TargetError::Server`].
        detail: String,
        /// Where in the source it came from.
        place: String,
        /// OID of the source table.
        oid: u32,
    },
    /// Changes of a table that the target refuses, told from those that it takes.
    #[error("{changes}")]
    Refused {
        /// Which.
        changes: Box<RefusedChanges>,
        /// Why.
        #[source]
        error: Box<TargetError>,
    },
    /// A table of the target that is there already is not what the source's table becomes.
    #[error("{table} is there already, but {difference}")]
    TableMismatch {
        /// The target table.
        table: Box<QualifiedName>,
        /// The source table.
        source_table: Box<QualifiedName>,
        /// The differences, as a text.
        difference: String,
        /// OID of the source table.
        oid: u32,
    },
    /// A table that a copy is to fill holds rows already.
    #[error("{table} is there already and holds rows")]
    TableNotEmpty {
        /// The target table.
        table: Box<QualifiedName>,
        /// OID of the source table.
        oid: u32,
    },
    /// The state of a pipeline is missing where it must be.
    #[error("the target has no state of pipeline \"{pipeline}\"")]
    StateMissing {
        /// The pipeline.
        pipeline: String,
    },
    /// The state was written by a newer version, or by hand.
    #[error("the state of pipeline \"{pipeline}\" cannot be read: {reason}")]
    StateUnreadable {
        /// The pipeline.
        pipeline: String,
        /// Why not.
        reason: String,
    },
    /// The server answered something that the statement cannot have.
    #[error("the target gave an answer that does not fit {during}: {detail}")]
    Answer {
        /// What was being done.
        during: &'static str,
        /// What does not fit.
        detail: String,
    },
}

/// What the number of a server's error means for the pipeline: wait and try again, set a table aside, or halt.
pub fn disposition_of(number: i32) -> Disposition {
    Meaning::of(number).disposition()
}

/// Whether the words of this error name objects only, never a row's value.
fn words_are_safe(number: i32) -> bool {
    matches!(
        number,
        102 | 156
            | 195
            | 207
            | 208
            | 229
            | 230
            | 262
            | 300
            | 468
            | 515
            | 547
            | 1088
            | 1101
            | 1105
            | 1205
            | 1222
            | 1776
            | 1919
            | 1946
            | 2705
            | 2714
            | 2715
            | 2760
            | 3701
            | 3906
            | 3952
            | 4060
            | 4701
            | 4712
            | 4816
            | 4902
            | 8023
            | 8115
            | 8152
            | 9002
            | 10738
            | 15247
            | 40613
    )
}

// === impl TargetError ===

impl TargetError {
    /// Wraps what the client says.
    pub fn from_tds(during: &'static str, source: TdsError) -> Self {
        match source {
            TdsError::Login(errors) => Self::from_login(errors),
            TdsError::Server(errors) => Self::from_server(during, &errors),
            source => TargetError::Connection { during, source },
        }
    }

    /// The server's number, where it is a server's error.
    pub fn number(&self) -> Option<i32> {
        match self {
            TargetError::Login { number, .. }
            | TargetError::Server { number, .. }
            | TargetError::Table { number, .. }
            | TargetError::KeyCollision { number, .. } => Some(*number),
            TargetError::Refused { error, .. } => error.number(),
            _ => None,
        }
    }

    /// OID of the source table to set aside so that the others can go on.
    pub fn table_oid(&self) -> Option<u32> {
        match self {
            TargetError::Diverged { oid, .. }
            | TargetError::KeyCollision { oid, .. }
            | TargetError::Table { oid, .. }
            | TargetError::TableMismatch { oid, .. }
            | TargetError::TableNotEmpty { oid, .. }
            | TargetError::Value { oid, .. } => Some(*oid),
            TargetError::Refused { error, .. } => error.table_oid(),
            _ => None,
        }
    }

    /// Why a row of the table with this OID may be what the target refuses; `None` where it is about something else.
    pub fn refusal(&self, oid: u32) -> Option<Refusal> {
        match self {
            TargetError::Table { number, oid: of, .. }
            | TargetError::KeyCollision { number, oid: of, .. } => {
                Meaning::refusal(*number).filter(|_| *of == oid)
            }
            _ => None,
        }
    }

    /// Names the table that a server's error belongs to, where only one can be meant.
    pub(crate) fn at_table(self, plan: &TablePlan, place: &str) -> Self {
        let (table, oid) = (&plan.target, plan.source.oid);
        match self {
            TargetError::Server { number: number @ (2601 | 2627), .. } => TargetError::KeyCollision {
                table: Box::new(table.clone()),
                number,
                place: place.to_owned(),
                oid,
            },
            TargetError::Server { number, during, detail }
                if disposition_of(number) == Disposition::HaltTable =>
            {
                let (table, place) = (Box::new(table.clone()), place.to_owned());
                let source = Box::new(plan.source.name.clone());
                TargetError::Table { table, source_table: source, number, during, detail, place, oid }
            }
            other => other,
        }
    }

    /// The error of a statement that commits by itself: when the connection broke, nobody knows.
    pub(crate) fn of_commit(self) -> Self {
        match self {
            TargetError::Connection { source, .. } => TargetError::CommitUnknown { source },
            other => other,
        }
    }

    /// A value of a planned column that was refused before it was sent.
    pub(crate) fn refused(refused: RefusedValue, table: &TablePlan, column: usize, place: &str) -> Self {
        let refused = if table.is_key(column) { refused.of_key() } else { refused };
        TargetError::Value {
            table: Box::new(table.source.name.clone()),
            column: table.columns.get(column).map(|column| column.source_name.clone()).unwrap_or_default(),
            code: refused.code(),
            reason: refused.to_string(),
            place: place.to_owned(),
            oid: table.source.oid,
        }
    }

    /// A login that failed: for want of the server's resources, which passes, or for who asked.
    fn from_login(errors: ServerErrors) -> Self {
        // A database that cannot be opened (4060) may be one that is being moved, but more often is a wrong name.
        let passes =
            |error: &&ServerMessage| error.number != 4060 && Meaning::of(error.number) == Meaning::Passing;
        match errors.errors.iter().find(passes) {
            // No words of a login hold a row's value.
            Some(error) => TargetError::Server {
                during: "logging in".to_owned(),
                number: error.number,
                detail: format!(": {}", error.message),
            },
            None => {
                TargetError::Login { number: errors.main().map_or(0, |error| error.number), source: errors }
            }
        }
    }

    fn from_server(during: &str, errors: &ServerErrors) -> Self {
        // The first error is the cause; a deadlock or a lost permission may come behind a general one.
        let main = errors.errors.iter().find(|error| disposition_of(error.number) == Disposition::Retry);
        let main = main.or_else(|| errors.errors.iter().find(|error| error.number != 3621));
        let (number, words) = main.map_or((0, ""), |error| (error.number, error.message.as_str()));
        let detail = if words_are_safe(number) { format!(": {words}") } else { String::new() };
        TargetError::Server { during: during.to_owned(), number, detail }
    }
}

impl Fault for TargetError {
    fn code(&self) -> &'static str {
        match self {
            TargetError::Connection { source, .. } => source.code(),
            TargetError::Login { .. } => "AUTH_FAILED",
            TargetError::Server { number, .. } => Meaning::of(*number).code(),
            TargetError::CommitUnknown { .. } => "COMMIT_UNKNOWN",
            TargetError::Fenced { .. } => "FENCED",
            TargetError::Diverged { .. } => "TARGET_DIVERGED",
            TargetError::KeyCollision { .. } => "KEY_COLLISION",
            TargetError::Value { code, .. } => code,
            TargetError::Table { number, .. } => Meaning::of(*number).code(),
            TargetError::Refused { error, .. } => error.code(),
            TargetError::TableMismatch { .. } => "TARGET_TABLE_MISMATCH",
            TargetError::TableNotEmpty { .. } => "TARGET_TABLE_NOT_EMPTY",
            TargetError::StateMissing { .. } => "STATE_MISSING",
            TargetError::StateUnreadable { .. } => "STATE_UNREADABLE",
            TargetError::Answer { .. } => "TARGET_ANSWER",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            TargetError::Connection { source, .. } if source.is_transient() => Disposition::Retry,
            TargetError::Connection { .. } => Disposition::Halt,
            TargetError::Login { number, .. } => match disposition_of(*number) {
                Disposition::Retry => Disposition::Retry,
                Disposition::HaltTable | Disposition::Halt => Disposition::Halt,
            },
            TargetError::Server { number, .. } => match disposition_of(*number) {
                // Without a named table there is nothing smaller to halt.
                Disposition::HaltTable => Disposition::Halt,
                disposition => disposition,
            },
            TargetError::CommitUnknown { .. } => Disposition::Retry,
            TargetError::KeyCollision { .. }
            | TargetError::Value { .. }
            | TargetError::Table { .. }
            | TargetError::Refused { .. }
            | TargetError::TableMismatch { .. }
            | TargetError::TableNotEmpty { .. } => Disposition::HaltTable,
            TargetError::Fenced { .. }
            | TargetError::Diverged { .. }
            | TargetError::StateMissing { .. }
            | TargetError::StateUnreadable { .. }
            | TargetError::Answer { .. } => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            TargetError::Connection { source, .. } => source.hint().to_owned(),
            TargetError::Login { .. } => {
                "check user, password and database of the target URL, and that SQL Server authentication is on".to_owned()
            }
            TargetError::Server { number, .. } => Meaning::of(*number).hint().to_owned(),
            TargetError::CommitUnknown { .. } => {
                "nothing to do: the checkpoint tells whether the transaction was committed".to_owned()
            }
            TargetError::Fenced { .. } => {
                "only one process may run a pipeline; if the other one is wanted, there is nothing to do".to_owned()
            }
            TargetError::Diverged { table, .. } => format!(
                "somebody else changed {table}; run `segcdc verify` to see the differences, mend them, and start again"
            ),
            TargetError::KeyCollision { .. } => "SQL Server ignores trailing blanks in keys, and trailing zero bytes of \
                 binary ones: change one of the two keys at the source, then copy the table again"
                .to_owned(),
            TargetError::Value { .. } => {
                "correct the value at the source, or widen the target's column; then copy the table again".to_owned()
            }
            TargetError::Table { number: number @ 2714, table, source_table, .. } => {
                let flag = rules::rename_table(source_table, Some(&table.schema), &format!("{}_2", table.name));
                format!("{}, or give the table another name, {flag}", Meaning::of(*number).hint())
            }
            TargetError::Table { number, .. } => Meaning::of(*number).hint().to_owned(),
            TargetError::Refused { changes, error } if !changes.can_be_set_aside => error.hint(),
            TargetError::Refused { changes, error } => {
                let flag = rules::of_table("--on-refused", &changes.table, OnRefused::SetAside.word());
                format!("{}; {flag} keeps such rows as dead letters instead", error.hint())
            }
            TargetError::TableMismatch { table, source_table, .. } => {
                let flag = rules::rename_table(source_table, Some(&table.schema), &format!("{}_2", table.name));
                format!(
                    "rename or drop {table}, bring it to the shape that `segcdc plan` prints, or give the replicated \
                     table another name, {flag}"
                )
            }
            TargetError::TableNotEmpty { table, .. } => {
                format!("empty, rename or drop {table}, so that the copy does not add to rows of unknown origin")
            }
            TargetError::StateMissing { .. } => {
                "check the name and the target database; `segcdc up` creates a pipeline".to_owned()
            }
            TargetError::StateUnreadable { .. } => {
                "use the version of segcdc that wrote it, or a newer one".to_owned()
            }
            TargetError::Answer { .. } => "check that the target is SQL Server 2017 or later; if so, report this".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(number: i32, message: &str) -> TdsError {
        TdsError::Server(ServerErrors { errors: vec![said(number, message)] })
    }

    fn said(number: i32, message: &str) -> ServerMessage {
        ServerMessage {
            number,
            state: 1,
            class: 16,
            message: message.to_owned(),
            server: String::new(),
            procedure: String::new(),
            line: 1,
        }
    }

    #[test]
    fn a_server_that_is_full_does_not_make_a_password_wrong() {
        let login = |numbers: &[i32]| {
            // As servers say it: the database that cannot be opened is the lesser one.
            let class = |number| if number == 4060 { 11 } else { 14 };
            let error = |&number| ServerMessage { class: class(number), ..said(number, "as it is") };
            let errors = numbers.iter().map(error).collect();
            TargetError::from_tds("connecting", TdsError::Login(ServerErrors { errors }))
        };
        for number in [17803, 17809, 18401, 40613, 49918] {
            let error = login(&[number]);
            assert_eq!((error.code(), error.disposition()), ("TARGET_ERROR", Disposition::Retry), "{number}");
            assert!(!error.hint().contains("password"), "{}", error.hint());
            assert_eq!(
                error.to_string(),
                format!("the target reported error {number} during logging in: as it is")
            );
        }
        for numbers in [&[18456][..], &[4060, 18456], &[18452], &[]] {
            let error = login(numbers);
            assert_eq!(
                (error.code(), error.disposition()),
                ("AUTH_FAILED", Disposition::Halt),
                "{numbers:?}"
            );
        }
    }

    #[test]
    fn words_with_row_values_are_not_repeated() {
        let error = TargetError::from_tds("apply", server(2627, "The duplicate key value is (sekret)."));
        assert!(!segcdc_model::fault::chain(&error).contains("sekret"));
        let table = crate::fixture::table(7, "t", 1, &[("id", segcdc_model::PgType::Int4, true)]);
        let named = error.at_table(&table, "batch");
        assert_eq!((named.code(), named.disposition()), ("KEY_COLLISION", Disposition::HaltTable));
        assert_eq!(named.table_oid(), Some(7));
    }

    #[test]
    fn refused_changes_offer_what_keeps_them_out() {
        let table = crate::fixture::table(7, "t", 1, &[("id", segcdc_model::PgType::Int4, true)]);
        let refused = |number, can_be_set_aside| {
            let error = TargetError::from_tds("apply", server(number, "words")).at_table(&table, "batch");
            assert!(error.refusal(7).is_some() && error.refusal(8).is_none());
            let name = QualifiedName::new("public", "t");
            let (refused, may_be_more) = (Vec::new(), false);
            let changes = RefusedChanges { table: name, changes: 3, refused, may_be_more, can_be_set_aside };
            TargetError::Refused { changes: Box::new(changes), error: Box::new(error) }
        };
        let error = refused(547, true);
        assert_eq!((error.code(), error.disposition()), ("CONSTRAINT_VIOLATION", Disposition::HaltTable));
        assert_eq!((error.table_oid(), error.number()), (Some(7), Some(547)));
        assert!(error.hint().contains("--on-refused 'public.t=set_aside'"), "{}", error.hint());
        assert!(!refused(2627, false).hint().contains("--on-refused"));
    }
}
