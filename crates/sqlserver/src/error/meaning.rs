//! [`Meaning`]: what the number of a server's error means for the pipeline. The one table of numbers; messages are never
//! looked at, because servers speak many languages.

use segcdc_model::Disposition;
use segcdc_plan::Refusal;

/// What the number of a server's error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A column of the target does not allow NULL (error 515).
    Null,
    /// A constraint of the target refuses the row (error 547).
    Constraint,
    /// A value is longer than the target's column (errors 2628, 8152).
    TooLong,
    /// A value has no form in the type of the target's column (errors 8114, 8115 and others).
    Unrepresentable,
    /// A row does not fit its table for another reason: its size, an operation on a value.
    Row,
    /// A key is longer than an index of the target takes (error 1946).
    KeyTooLong,
    /// Two keys that differ at the source are one key at the target (errors 2601, 2627).
    KeyCollision,
    /// Two columns have one name for the collation of the target's database (error 2705).
    ColumnClash,
    /// Something else in the target has the name already (error 2714).
    NameTaken,
    /// A table or a column is not there, or not as it was made (errors 207, 208, 213, 3701, 4701, 4902).
    Drift,
    /// A trigger of the target refuses the row, by an error of its own (from 50000 on).
    Raised,
    /// Foreign keys refer to a table that has to be emptied (error 4712).
    Referenced,
    /// The target's table cannot be written as it is: a view, a computed column, a column that numbers itself.
    Table,
    /// The login lacks a right (errors 229, 230, 262).
    Permission,
    /// The schema is not there, or the login lacks a right on it (error 2760).
    Schema,
    /// The target's transaction log is full (error 9002).
    LogFull,
    /// A file or a filegroup of the target is full (errors 1101, 1105).
    SpaceFull,
    /// The target's disk is full (error 3257).
    DiskFull,
    /// Another session and the batch waited for each other, and the batch was ended (error 1205).
    Deadlock,
    /// Another session held a lock for longer than 30 s (error 1222).
    LockTimeout,
    /// The target's database is read-only, or a secondary replica (error 3906).
    ReadOnly,
    /// The target is short of something, fails over, or is being moved: the list of SqlClient and of EF Core.
    Passing,
    /// Any other error of the target.
    Other,
}

// === impl Meaning ===

impl Meaning {
    /// The meaning of a number.
    pub(crate) fn of(number: i32) -> Self {
        match number {
            515 => Meaning::Null,
            547 => Meaning::Constraint,
            2628 | 8152 => Meaning::TooLong,
            220 | 232 | 242 | 245 | 248 | 1007 | 8023 | 8114 | 8115 | 13609 | 13645 | 13647 | 13649 => {
                Meaning::Unrepresentable
            }
            295 | 296 | 511 | 517 | 535 | 8134 | 8169 | 9803 | 9833 | 13639 => Meaning::Row,
            50_000.. => Meaning::Raised,
            1946 => Meaning::KeyTooLong,
            2601 | 2627 => Meaning::KeyCollision,
            2705 => Meaning::ColumnClash,
            2714 => Meaning::NameTaken,
            207 | 208 | 213 | 3701 | 4701 | 4902 => Meaning::Drift,
            4712 => Meaning::Referenced,
            206 | 1701 | 1702 | 257 | 260 | 264 | 271 | 272 | 273 | 334 | 335 | 402 | 468 | 544 | 545
            | 1088 | 2812 | 3726 | 4405 | 4406 | 4711 | 4816 | 4922 | 4924 | 13535 | 13536 | 13537
            | 14099 => Meaning::Table,
            229 | 230 | 262 => Meaning::Permission,
            2760 => Meaning::Schema,
            9002 => Meaning::LogFull,
            1101 | 1105 => Meaning::SpaceFull,
            3257 => Meaning::DiskFull,
            1205 => Meaning::Deadlock,
            1222 => Meaning::LockTimeout,
            3906 => Meaning::ReadOnly,
            20 | 64 | 121 | 233 | 596 | 617 | 669 | 921 | 926 | 983 | 997 | 1203 | 1204 | 3935 | 3960
            | 3966 | 4060 | 4221 | 6005 | 8645 | 8651 | 10053 | 10054 | 10060 | 10928 | 10929 | 10936
            | 14355 | 17142 | 17197 | 17803 | 17809 | 18401 | 40020 | 40143 | 40166 | 40197 | 40501
            | 40540 | 40549 | 40550 | 40551 | 40553 | 40613 | 42108 | 42109 | 41301 | 41302 | 41305
            | 41325 | 41839 | 49918 | 49919 | 49920 => Meaning::Passing,
            _ => Meaning::Other,
        }
    }

    /// The stable code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Meaning::Null => "VALUE_NULL",
            Meaning::Constraint => "CONSTRAINT_VIOLATION",
            Meaning::TooLong => "VALUE_TOO_LONG",
            Meaning::Unrepresentable => "VALUE_UNREPRESENTABLE",
            Meaning::KeyTooLong => "KEY_TOO_LONG",
            Meaning::KeyCollision => "KEY_COLLISION",
            Meaning::ColumnClash => "COLUMN_NAME_CLASH",
            Meaning::NameTaken => "TARGET_NAME_TAKEN",
            Meaning::Drift => "TARGET_SCHEMA_DRIFT",
            Meaning::Raised => "TARGET_RAISED",
            Meaning::Permission => "TARGET_PERMISSION",
            Meaning::LogFull | Meaning::SpaceFull => "TARGET_LOG_FULL",
            Meaning::Deadlock => "TARGET_DEADLOCK",
            Meaning::LockTimeout => "TARGET_LOCK_TIMEOUT",
            Meaning::ReadOnly => "TARGET_READ_ONLY",
            Meaning::Row
            | Meaning::Referenced
            | Meaning::Table
            | Meaning::Schema
            | Meaning::DiskFull
            | Meaning::Passing
            | Meaning::Other => "TARGET_ERROR",
        }
    }

    /// What is to be done. Space that is missing a person gives while we wait.
    pub(crate) fn disposition(self) -> Disposition {
        match self {
            Meaning::LogFull
            | Meaning::SpaceFull
            | Meaning::DiskFull
            | Meaning::Deadlock
            | Meaning::LockTimeout
            | Meaning::Passing => Disposition::Retry,
            Meaning::Null
            | Meaning::Constraint
            | Meaning::TooLong
            | Meaning::Unrepresentable
            | Meaning::Row
            | Meaning::KeyTooLong
            | Meaning::KeyCollision
            | Meaning::ColumnClash
            | Meaning::NameTaken
            | Meaning::Drift
            | Meaning::Raised
            | Meaning::Referenced
            | Meaning::Table => Disposition::HaltTable,
            Meaning::Permission | Meaning::Schema | Meaning::ReadOnly | Meaning::Other => Disposition::Halt,
        }
    }

    /// Why one row may be what the server refuses with this number; `None` where it is about more than rows.
    pub(crate) fn refusal(number: i32) -> Option<Refusal> {
        let meaning = Meaning::of(number);
        let may_depend = match meaning {
            Meaning::Constraint | Meaning::KeyCollision | Meaning::Raised => true,
            Meaning::Null | Meaning::TooLong | Meaning::Unrepresentable | Meaning::Row => false,
            _ => return None,
        };
        // The key's own: the target has a row of that key that it should not have, or two keys are one for it. A unique index is
        // 2601.
        let of_the_row = number != 2627;
        Some(Refusal { code: meaning.code(), may_depend, of_the_row })
    }

    /// What a person can do.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Meaning::Null => {
                "the target's column does not allow NULL: drop its NOT NULL, or correct the source; then copy the table again"
            }
            Meaning::Constraint => {
                "a constraint of the target refuses the row: drop or disable it; then copy the table again"
            }
            Meaning::TooLong | Meaning::Unrepresentable => {
                "correct the value at the source, or widen the target's column; then copy the table again"
            }
            Meaning::KeyTooLong => "shorten the key at the source, or leave the table out",
            Meaning::KeyCollision => "change one of the two keys at the source; then copy the table again",
            Meaning::ColumnClash => {
                "two columns have one name for the collation of the target's database: give one of them another name, \
                 --rename 'schema.table.column=NAME'"
            }
            Meaning::NameTaken => {
                "something else in the target's schema has the name of the table or of its key, PK_<schema>_<table>: rename it"
            }
            Meaning::Drift => "somebody changed the target's tables: `segcdc doctor` shows the differences",
            Meaning::Raised => {
                "a trigger of the target refuses the row: mend or disable it, or correct the row at the source; then copy the table again"
            }
            Meaning::Referenced => {
                "foreign keys refer to the table: drop them in the target, where replicated tables need none"
            }
            Meaning::Permission | Meaning::Schema => {
                "grant the login what the message names; `segcdc doctor` prints the statements"
            }
            Meaning::LogFull => {
                "free the log: back it up, or let it grow; the pipeline goes on by itself. A large transaction that the log \
                 can never hold at once is committed part by part by `segcdc up --large-transactions chunked`"
            }
            Meaning::SpaceFull | Meaning::DiskFull => "give it space; the pipeline goes on by itself",
            Meaning::Deadlock | Meaning::Passing => "it is tried again by itself",
            Meaning::LockTimeout => {
                "it is tried again by itself; if it lasts, end the session that holds the lock (sys.dm_exec_requests)"
            }
            Meaning::ReadOnly => {
                "the database is read-only, or a secondary replica: give the primary's address"
            }
            Meaning::Row | Meaning::Table | Meaning::Other => {
                "look the error number up in the SQL Server manual"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_disposition() {
        let check = |number: i32, expected: Disposition| {
            assert_eq!(Meaning::of(number).disposition(), expected, "{number}");
        };
        for number in [1204, 1205, 1222, 40613, 9002, 1105, 3257, 10054, 49918, 3960, 4060] {
            check(number, Disposition::Retry);
        }
        for number in [515, 547, 2601, 2627, 2628, 8115, 8152, 207, 208, 4816, 4712, 8134, 13639, 50000] {
            check(number, Disposition::HaltTable);
        }
        for number in [102, 229, 262, 2760, 18456, 3906, 49999, 0] {
            check(number, Disposition::Halt);
        }
    }

    #[test]
    fn numbers_have_their_code() {
        for (number, code) in [
            (515, "VALUE_NULL"),
            (547, "CONSTRAINT_VIOLATION"),
            (2628, "VALUE_TOO_LONG"),
            (8115, "VALUE_UNREPRESENTABLE"),
            (1946, "KEY_TOO_LONG"),
            (2627, "KEY_COLLISION"),
            (2705, "COLUMN_NAME_CLASH"),
            (2714, "TARGET_NAME_TAKEN"),
            (208, "TARGET_SCHEMA_DRIFT"),
            (229, "TARGET_PERMISSION"),
            (9002, "TARGET_LOG_FULL"),
            (1105, "TARGET_LOG_FULL"),
            (1205, "TARGET_DEADLOCK"),
            (1222, "TARGET_LOCK_TIMEOUT"),
            (3906, "TARGET_READ_ONLY"),
            (4712, "TARGET_ERROR"),
            (50000, "TARGET_RAISED"),
        ] {
            assert_eq!(Meaning::of(number).code(), code, "{number}");
        }
    }

    #[test]
    fn what_is_about_rows_can_be_searched_for_among_them() {
        for number in [515, 547, 2601, 2627, 2628, 8152, 8115, 8134, 50001] {
            let refusal = Meaning::refusal(number).unwrap();
            assert_eq!(refusal.code, Meaning::of(number).code());
            assert_eq!(refusal.of_the_row, number != 2627, "{number}");
            assert_eq!(refusal.may_depend, [547, 2601, 2627, 50001].contains(&number), "{number}");
        }
        for number in [207, 208, 229, 1205, 1222, 1946, 2714, 3906, 4712, 4816, 9002, 0] {
            assert_eq!(Meaning::refusal(number), None, "{number}");
        }
    }

    #[test]
    fn what_passes_by_itself_says_so_and_nothing_else_does() {
        for number in
            [515, 547, 8115, 1946, 2627, 2714, 208, 229, 9002, 1105, 3257, 1205, 1222, 3906, 40613, 102]
        {
            let meaning = Meaning::of(number);
            let by_itself = meaning.hint().contains("by itself");
            assert_eq!(by_itself, meaning.disposition() == Disposition::Retry, "{number}: {meaning:?}");
        }
    }
}
