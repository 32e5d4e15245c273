//! [`Query`]: parameters of a URL. One that is not known is refused, so that a misspelt filter does not show everything.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use segcdc_control::service::PageOf;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded;
use utoipa::IntoParams;

use crate::cursor;
use crate::problem::ApiError;

/// Most items of one part of a list.
const MAX_LIMIT: u16 = 500;

/// Items of one part of a list when the request does not say.
const USUAL_LIMIT: u16 = 50;

/// The parameters of a URL. `tenant`, which every route has, is not among them.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Part {
    /// At most so many items.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub(crate) limit: Option<u16>,
    /// The `next_cursor` of the part before.
    pub(crate) cursor: Option<String>,
}

/// A part that is wanted, read.
#[derive(Debug)]
pub(crate) struct Wanted {
    after: Option<String>,
    limit: u16,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let given = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let rest = form_urlencoded::Serializer::new(String::from("/?"))
            .extend_pairs(given.filter(|(name, _value)| name != "tenant"))
            .finish();
        let refused = |reason: String| ApiError::Query { reason };
        // The serializer separates pairs by & and knows nothing of the ? before them.
        let uri: Uri =
            rest.replacen("/?&", "/?", 1).parse().map_err(|_form| refused("too long".to_owned()))?;
        let read = axum::extract::Query::try_from_uri(&uri);
        read.map(|axum::extract::Query(value)| Query(value)).map_err(|error| {
            let text = error.body_text();
            refused(text.rsplit_once("string: ").map_or(text.clone(), |(_, reason)| reason.to_owned()))
        })
    }
}

// === impl Part ===

impl Part {
    /// Reads it.
    ///
    /// # Errors
    /// `QUERY_INVALID` for a limit out of bounds and a cursor that is none of ours.
    pub(crate) fn read(&self) -> Result<Wanted, ApiError> {
        let limit = self.limit.unwrap_or(USUAL_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(ApiError::Query { reason: format!("limit is a number from 1 to {MAX_LIMIT}") });
        }
        Ok(Wanted { after: self.cursor.as_deref().map(cursor::open).transpose()?, limit })
    }
}

// === impl Wanted ===

impl Wanted {
    /// As use cases take it.
    pub(crate) fn page(&self) -> PageOf<'_> {
        PageOf { after: self.after.as_deref(), limit: self.limit }
    }
}
