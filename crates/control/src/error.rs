//! [`ControlError`]: what can go wrong in the control plane. It knows no HTTP.

use std::time::Duration;

use segcdc_model::{Disposition, Fault};

use crate::crypto::CryptoError;
use crate::field::FieldProblems;
use crate::name::NameError;
use crate::password::Weak;
use crate::report::ErrorReport;
use crate::seal::{KeyError, KeyFileError, RotateError, SealError};

/// Why a use case of the control plane failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A hash, a token or a seal could not be made.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A key file that gives no keys.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// Master keys that are none.
    #[error("the master keys cannot be used")]
    MasterKey(#[from] KeyError),
    /// A stored secret that does not open.
    #[error("a stored secret cannot be opened")]
    Seal(#[from] SealError),
    /// A name that is none.
    #[error("this cannot be a name")]
    Name(#[from] NameError),
    /// A password that is not taken.
    #[error("this password is not taken")]
    Password(#[from] Weak),
    /// Something is wrong with fields.
    #[error("{0}")]
    Fields(#[from] FieldProblems),
    /// Nobody has shown who they are, or not in a way that is good any more.
    #[error("nobody has signed in")]
    Unauthenticated,
    /// Name or password is wrong, or the person may not sign in. Which of them is not said.
    #[error("name or password is wrong")]
    SignIn,
    /// There were too many failed attempts to sign in.
    #[error("there were too many failed attempts")]
    TooManyAttempts {
        /// How long to wait.
        wait: Duration,
    },
    /// The role does not allow it.
    #[error("your role does not allow to {needed}")]
    Forbidden {
        /// What would be needed.
        needed: &'static str,
    },
    /// It can only be asked in a browser's session, and a token asked.
    #[error("this needs a session, and you came with a token")]
    NoSession,
    /// The first administrator is there already.
    #[error("the first administrator is there already")]
    AlreadyFounded,
    /// The token of the first administrator is not the one that was printed.
    #[error("this is not the set-up token that the server printed")]
    SetupToken,
    /// A person who also belongs to other tenants, or manages them: one tenant does not decide on their password.
    #[error("this person belongs to other tenants too, or manages them")]
    PersonOfOthers,
    /// A tenant that still has connections or pipelines.
    #[error("the tenant still has connections or pipelines")]
    TenantNotEmpty,
    /// An Idempotency-Key that is none.
    #[error("this cannot be an Idempotency-Key")]
    ReplyKey,
    /// The first request with this Idempotency-Key is still being carried out.
    #[error("the first request with this Idempotency-Key is still being carried out")]
    ReplyUnderWay,
    /// An Idempotency-Key that another request had.
    #[error("this Idempotency-Key was sent with another body before")]
    ReplyMismatch,
    /// Too many passwords are being checked at once.
    #[error("too many people sign in at once")]
    Busy,
    /// An engine, or the server of a connection, says so. What is shown is its own code.
    #[error("{}", .0.sentence())]
    Engine(Box<ErrorReport>),
    /// A task broke down in a way that it cannot.
    #[error("a task of the server broke down")]
    TaskBroken,
    /// The server that carried an operation out ended.
    #[error("the server ended while this was carried out")]
    Restarted,
    /// What a pipeline would do is not what was agreed to any more.
    #[error("the plan is not what was agreed to any more")]
    PlanStale,
    /// A pipeline that has to rest for this, and does not.
    #[error("the pipeline is {state}; it has to rest for this")]
    NotAtRest {
        /// Where it stands.
        state: &'static str,
    },
    /// An operation that is not under way on this server.
    #[error("the operation is not under way here any more")]
    OperationOver,
    /// A move that the pipeline's state does not allow.
    #[error(transparent)]
    State(#[from] crate::lifecycle::InvalidState),
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

// === impl Fault for ControlError ===

impl Fault for ControlError {
    fn code(&self) -> &'static str {
        match self {
            ControlError::Crypto(CryptoError::NoRandomness) => "NO_RANDOMNESS",
            ControlError::Crypto(CryptoError::Failed) => "SEAL_FAILED",
            ControlError::KeyFile(error) => error.code(),
            ControlError::MasterKey(error) => error.code(),
            ControlError::Seal(error) => error.code(),
            ControlError::Name(_) => "NAME_INVALID",
            ControlError::Password(_) => "PASSWORD_WEAK",
            ControlError::Fields(problems) if problems.are_several() => "FIELDS_INVALID",
            ControlError::Fields(problems) => problems.first.error.code(),
            ControlError::Unauthenticated => "UNAUTHENTICATED",
            ControlError::SignIn => "SIGN_IN_REFUSED",
            ControlError::TooManyAttempts { .. } => "TOO_MANY_ATTEMPTS",
            ControlError::Forbidden { .. } => "FORBIDDEN",
            ControlError::NoSession => "NO_SESSION",
            ControlError::AlreadyFounded => "SETUP_DONE",
            ControlError::SetupToken => "SETUP_TOKEN_WRONG",
            ControlError::PersonOfOthers => "USER_OF_OTHERS",
            ControlError::TenantNotEmpty => "TENANT_NOT_EMPTY",
            ControlError::ReplyKey => "IDEMPOTENCY_KEY",
            ControlError::ReplyUnderWay => "IDEMPOTENCY_UNDER_WAY",
            ControlError::ReplyMismatch => "IDEMPOTENCY_MISMATCH",
            ControlError::Busy => "BUSY",
            ControlError::Engine(_) => "ENGINE_FAILED",
            ControlError::TaskBroken => "TASK_BROKEN",
            ControlError::Restarted => "SERVER_RESTARTED",
            ControlError::PlanStale => "PLAN_STALE",
            ControlError::OperationOver => "OPERATION_OVER",
            ControlError::NotAtRest { .. } | ControlError::State(_) => "INVALID_STATE",
            ControlError::Store(error) => error.code(),
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            ControlError::Store(error) => error.disposition(),
            ControlError::Busy | ControlError::ReplyUnderWay => Disposition::Retry,
            ControlError::Engine(report) if report.may_pass => Disposition::Retry,
            _ => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            ControlError::Crypto(CryptoError::NoRandomness) => {
                "Make /dev/urandom readable for this process.".to_owned()
            }
            ControlError::Crypto(CryptoError::Failed) => {
                "Report this with the log: it is a defect of SEG CDC.".to_owned()
            }
            ControlError::KeyFile(error) => error.hint(),
            ControlError::MasterKey(error) => error.hint(),
            ControlError::Seal(error) => error.hint(),
            ControlError::Name(_) => "Choose another name.".to_owned(),
            ControlError::Password(_) => {
                "Choose one of at least 8 characters that is no common password and no name; 15 and more are recommended.".to_owned()
            }
            ControlError::Fields(problems) if problems.are_several() => {
                "Mend each of the fields that `errors` lists.".to_owned()
            }
            ControlError::Fields(problems) => problems.first.error.hint(),
            ControlError::Unauthenticated => {
                "Sign in at /api/v1/auth/login, or send an API token as `Authorization: Bearer segcdc_pat_...`.".to_owned()
            }
            ControlError::SignIn => "Try again; an administrator of the tenant can set a new password.".to_owned(),
            ControlError::TooManyAttempts { wait } => format!("Wait {} s.", wait.as_secs().max(1)),
            ControlError::Forbidden { .. } => "Ask an administrator of the tenant for a role that has this right.".to_owned(),
            ControlError::NoSession => "Sign in with name and password.".to_owned(),
            ControlError::AlreadyFounded => "Sign in; an administrator can add people.".to_owned(),
            ControlError::SetupToken => {
                "Read it from what `segcdc serve` printed at its last start; each start has its own.".to_owned()
            }
            ControlError::PersonOfOthers => {
                "Ask somebody who manages tenants; you can take the person out of yours, or change their role.".to_owned()
            }
            ControlError::TenantNotEmpty => "Delete its pipelines and connections first.".to_owned(),
            ControlError::ReplyKey => "Send 1 to 200 visible ASCII characters, such as a UUID.".to_owned(),
            ControlError::ReplyUnderWay => "Wait a moment and send it again.".to_owned(),
            ControlError::ReplyMismatch => "Send another key with another request.".to_owned(),
            ControlError::Busy => "Wait a moment and try again.".to_owned(),
            ControlError::Engine(report) => report.hint.clone(),
            ControlError::TaskBroken => {
                "Start it again: a pipeline goes on from its checkpoint. Report this with the server's log.".to_owned()
            }
            ControlError::Restarted => "Ask for it again.".to_owned(),
            ControlError::PlanStale => "Ask for the plan again, and look at what changed.".to_owned(),
            ControlError::NotAtRest { .. } => "Stop the pipeline, and wait until it has stopped.".to_owned(),
            ControlError::OperationOver => "Ask for the operation: it says what came of it.".to_owned(),
            ControlError::State(error) => error.hint(),
            ControlError::Store(error) => error.hint(),
        }
    }
}

impl From<ErrorReport> for ControlError {
    fn from(report: ErrorReport) -> Self {
        ControlError::Engine(Box::new(report))
    }
}

impl From<RotateError> for ControlError {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Open(error) => ControlError::Seal(error),
            RotateError::Seal(error) => ControlError::Crypto(error),
        }
    }
}
