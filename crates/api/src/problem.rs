//! [`ApiError`] and [`Problem`]: the one error object, as RFC 9457 has it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use segcdc_control::ControlError;
use segcdc_control::field::FieldProblem;
use segcdc_control::report::Trouble;
use segcdc_control::store::StoreError;
use segcdc_model::fault::chain;
use segcdc_model::{Disposition, Fault};
use serde::Serialize;
use utoipa::ToSchema;

/// Largest body of a request, bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The use case refused it.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The body is not JSON.
    #[error("the body is not JSON: {reason}")]
    Json {
        /// What is expected, where.
        reason: String,
    },
    /// An object of the body has a key twice.
    #[error("the body has a key twice: {reason}")]
    DuplicateKey {
        /// Which, where.
        reason: String,
    },
    /// The body is too large.
    #[error("the body is larger than {MAX_BODY} bytes")]
    BodyTooLarge,
    /// The body is not said to be JSON.
    #[error("the body has to be of the type application/json")]
    ContentType,
    /// The body ended before its end.
    #[error("the body could not be read to its end")]
    BodyBroken,
    /// A parameter of the URL is not known, is there twice, or has a value that it does not take.
    #[error("the parameters of the URL cannot be used: {reason}")]
    Query {
        /// Which, and why.
        reason: String,
    },
    /// An id of the path that is none.
    #[error("an id of the path is not a UUID")]
    Id,
    /// A request that changes something comes from a page of another site, or does not prove that it does not.
    #[error("this request may come from a page of another site: {reason}")]
    CrossSite {
        /// What gives it away.
        reason: &'static str,
    },
    /// Credentials in a form that is not taken.
    #[error("these credentials are of a kind that is not taken")]
    CredentialKind,
    /// There is no such route.
    #[error("there is nothing here")]
    NoRoute,
    /// The route does not have this method.
    #[error("this cannot be done here with this method")]
    Method,
    /// A change does not say what it is a change of.
    #[error("the header If-Match is missing")]
    IfMatchMissing,
    /// The header If-Match is not an ETag of ours.
    #[error("the header If-Match is not an ETag of this server")]
    IfMatch,
    /// It took too long.
    #[error("the request took too long and was given up")]
    TooSlow,
    /// A defect.
    #[error("something broke that should not")]
    Internal,
}

/// An error: what, where, why, and what to do. `application/problem+json`, RFC 9457.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Where the error is described.
    #[serde(rename = "type")]
    #[schema(example = "/docs/errors#VERSION_CONFLICT")]
    kind: String,
    /// The code in words.
    #[schema(example = "Version conflict")]
    title: String,
    /// The HTTP status.
    #[schema(example = 412)]
    status: u16,
    /// What failed on which named thing.
    detail: String,
    /// Stable code; branch on this one.
    #[schema(example = "VERSION_CONFLICT")]
    code: String,
    /// What to do.
    hint: String,
    /// SQL that mends it, where there is some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fix_sql: Vec<String>,
    /// All fields that are not as they should be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ProblemField>,
    /// The path that was asked for.
    instance: String,
    /// The request's id, which the server's log names too.
    request_id: String,
}

/// One field that is not as it should be.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ProblemField {
    /// The field, as a JSON pointer into the body.
    #[schema(example = "/port")]
    pointer: String,
    /// Stable code.
    #[schema(example = "PORT_RANGE")]
    code: String,
    /// What is wrong.
    detail: String,
    /// What to do.
    hint: String,
}

// === impl ApiError ===

impl ApiError {
    /// The HTTP status.
    fn status(&self) -> StatusCode {
        match self {
            ApiError::Control(error) => status_of(error),
            ApiError::Json { .. }
            | ApiError::DuplicateKey { .. }
            | ApiError::BodyBroken
            | ApiError::Query { .. }
            | ApiError::Id
            | ApiError::IfMatch => StatusCode::BAD_REQUEST,
            ApiError::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiError::CrossSite { .. } => StatusCode::FORBIDDEN,
            ApiError::CredentialKind => StatusCode::UNAUTHORIZED,
            ApiError::NoRoute => StatusCode::NOT_FOUND,
            ApiError::Method => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::IfMatchMissing => StatusCode::PRECONDITION_REQUIRED,
            ApiError::TooSlow => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The fields that are not as they should be.
    fn fields(&self) -> Vec<ProblemField> {
        match self {
            ApiError::Control(ControlError::Fields(problems)) => {
                problems.all().map(ProblemField::of).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Fault for ApiError {
    fn code(&self) -> &'static str {
        match self {
            ApiError::Control(error) => error.code(),
            ApiError::Json { .. } => "BODY_INVALID_JSON",
            ApiError::DuplicateKey { .. } => "DUPLICATE_KEY",
            ApiError::BodyTooLarge => "BODY_TOO_LARGE",
            ApiError::ContentType => "CONTENT_TYPE",
            ApiError::BodyBroken => "BODY_BROKEN",
            ApiError::Query { .. } => "QUERY_INVALID",
            ApiError::Id => "ID_INVALID",
            ApiError::CrossSite { .. } => "CSRF",
            ApiError::CredentialKind => "UNAUTHENTICATED",
            ApiError::NoRoute => "ROUTE_UNKNOWN",
            ApiError::Method => "METHOD_NOT_ALLOWED",
            ApiError::IfMatchMissing => "IF_MATCH_MISSING",
            ApiError::IfMatch => "IF_MATCH_INVALID",
            ApiError::TooSlow => "REQUEST_TIMEOUT",
            ApiError::Internal => "INTERNAL",
        }
    }

    fn disposition(&self) -> Disposition {
        match self {
            ApiError::Control(error) => error.disposition(),
            ApiError::TooSlow | ApiError::BodyBroken => Disposition::Retry,
            _ => Disposition::Halt,
        }
    }

    fn hint(&self) -> String {
        match self {
            ApiError::Control(error) => return error.hint(),
            ApiError::Json { .. } => "Send one JSON object.",
            ApiError::DuplicateKey { .. } => "Send each key once: which of two would count is nobody's guess.",
            ApiError::BodyTooLarge => "Send less.",
            ApiError::ContentType => "Send the header Content-Type: application/json.",
            ApiError::BodyBroken => "Send it again.",
            ApiError::Query { .. } => "See /docs for the parameters of this route.",
            ApiError::Id => "Send the id as it was shown: lower case, with hyphens.",
            ApiError::CrossSite { .. } => {
                "Send the header X-CSRF-Token with the csrf_token of /api/v1/me, from a page of this server; programs use API tokens."
            }
            ApiError::CredentialKind => "Send `Authorization: Bearer` with an API token.",
            ApiError::NoRoute => "See /docs for all routes.",
            ApiError::Method => "See /docs for the methods of this route.",
            ApiError::IfMatchMissing => "Read the object, and send its ETag as If-Match; * means whatever it is.",
            ApiError::IfMatch => "Send the ETag as it came, with its quotes.",
            ApiError::TooSlow => "Try again; if it happens again, look into the server's log.",
            ApiError::Internal => "Report this with the server's log of this request.",
        }
        .to_owned()
    }
}

impl IntoResponse for ApiError {
    /// An answer without a body: what it will hold travels beside it, and `frame` adds what only it knows.
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() && status != StatusCode::BAD_GATEWAY {
            tracing::error!(code = self.code(), error = %chain(&self), "a request failed");
        }
        let mut response = status.into_response();
        if let ApiError::Control(ControlError::TooManyAttempts { wait }) = &self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1_u16));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Problem::of(&self));
        response
    }
}

// === impl Problem ===

impl Problem {
    fn of(error: &ApiError) -> Self {
        let (status, code) = (error.status(), shown_code(error));
        let is_ours =
            status == StatusCode::INTERNAL_SERVER_ERROR || status == StatusCode::SERVICE_UNAVAILABLE;
        Problem {
            kind: format!("/docs/errors#{code}"),
            title: title_of(code),
            status: status.as_u16(),
            // What lies behind a failure of ours is in the log: it is nobody's business who asked.
            detail: if is_ours { error.to_string() } else { chain_once(error) },
            code: code.to_owned(),
            hint: error.hint(),
            fix_sql: match error {
                ApiError::Control(ControlError::Engine(report)) => report.fix_sql.clone(),
                _ => Vec::new(),
            },
            errors: error.fields(),
            instance: String::new(),
            request_id: String::new(),
        }
    }

    /// Its body.
    pub(crate) fn render(mut self, instance: &str, request_id: &str) -> Vec<u8> {
        instance.clone_into(&mut self.instance);
        request_id.clone_into(&mut self.request_id);
        serde_json::to_vec(&self).unwrap_or_default()
    }
}

// === impl ProblemField ===

impl ProblemField {
    fn of(problem: &FieldProblem) -> Self {
        ProblemField {
            pointer: problem.pointer.clone(),
            code: problem.error.code().to_owned(),
            detail: problem.error.to_string(),
            hint: problem.error.hint(),
        }
    }
}

/// The code that is shown: of an engine's error, the engine's.
fn shown_code(error: &ApiError) -> &str {
    match error {
        ApiError::Control(ControlError::Engine(report)) => &report.code,
        _ => error.code(),
    }
}

/// The error and its causes; a transparent wrapper repeats what it wraps.
fn chain_once(error: &ApiError) -> String {
    let mut parts = vec![error.to_string()];
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if parts.last() != Some(&text) {
            parts.push(text);
        }
        cause = error.source();
    }
    parts.join(": ")
}

/// `SLOT_LOST` as "Slot lost".
fn title_of(code: &str) -> String {
    let words = code.to_ascii_lowercase().replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// The HTTP status of what a use case refused.
fn status_of(error: &ControlError) -> StatusCode {
    match error {
        ControlError::Crypto(_)
        | ControlError::KeyFile(_)
        | ControlError::MasterKey(_)
        | ControlError::Seal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        ControlError::Name(_) | ControlError::Password(_) | ControlError::Fields(_) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        ControlError::Unauthenticated | ControlError::SignIn => StatusCode::UNAUTHORIZED,
        ControlError::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
        ControlError::Forbidden { .. } | ControlError::NoSession | ControlError::SetupToken => {
            StatusCode::FORBIDDEN
        }
        ControlError::Engine(report) => match report.trouble {
            Trouble::Unreachable | Trouble::Failed => StatusCode::BAD_GATEWAY,
            Trouble::Refused | Trouble::Unfit => StatusCode::UNPROCESSABLE_ENTITY,
            Trouble::Missing => StatusCode::NOT_FOUND,
        },
        ControlError::TaskBroken | ControlError::Restarted => StatusCode::INTERNAL_SERVER_ERROR,
        ControlError::AlreadyFounded
        | ControlError::PlanStale
        | ControlError::NotAtRest { .. }
        | ControlError::OperationOver
        | ControlError::PersonOfOthers
        | ControlError::TenantNotEmpty
        | ControlError::ReplyUnderWay
        | ControlError::State(_) => StatusCode::CONFLICT,
        ControlError::ReplyKey => StatusCode::BAD_REQUEST,
        ControlError::ReplyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        ControlError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ControlError::Store(error) => match error {
            StoreError::NameTaken | StoreError::InUseByPipeline | StoreError::LastAdmin => {
                StatusCode::CONFLICT
            }
            StoreError::NotFound => StatusCode::NOT_FOUND,
            StoreError::Changed { .. } => StatusCode::PRECONDITION_FAILED,
            StoreError::Unreachable(_) | StoreError::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Folder { .. }
            | StoreError::InUse { .. }
            | StoreError::NotAStore { .. }
            | StoreError::Newer { .. }
            | StoreError::Migration(_)
            | StoreError::Refused(_)
            | StoreError::Unreadable { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}
