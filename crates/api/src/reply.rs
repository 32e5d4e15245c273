//! Answers: objects with their version as the ETag, lists in parts.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use segcdc_control::service::Page;
use serde::Serialize;
use utoipa::ToSchema;

use crate::cursor;
use crate::problem::ApiError;

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// What is in this part.
    items: Vec<T>,
    /// Where the next part begins; null at the end.
    next_cursor: Option<String>,
}

/// An object and its version.
#[derive(Debug)]
pub(crate) struct Versioned<T> {
    /// The object.
    pub(crate) value: T,
    /// Its version.
    pub(crate) version: i64,
}

/// An object that has just been made.
#[derive(Debug)]
pub(crate) struct Created<T> {
    /// Its path.
    pub(crate) location: String,
    /// The object.
    pub(crate) object: Versioned<T>,
}

/// Something that was asked for and will come about.
#[derive(Debug)]
pub(crate) struct Accepted<T> {
    /// Where it is seen.
    pub(crate) location: String,
    /// How it stands now.
    pub(crate) object: T,
}

/// Of which version an object is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// The request does not say.
    Missing,
    /// Of whatever version.
    Any,
    /// Of this one.
    Version(i64),
}

// === impl List ===

impl<T> List<T> {
    /// A part of a list, its items as they are shown.
    pub(crate) fn of<U>(page: Page<U>, show: impl Fn(U) -> T) -> Self {
        List {
            items: page.items.into_iter().map(show).collect(),
            next_cursor: page.next.as_deref().map(cursor::seal),
        }
    }
}

impl<T: Serialize> IntoResponse for List<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.value).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.version)) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = self.object.into_response();
        *response.status_mut() = StatusCode::CREATED;
        if let Ok(location) = HeaderValue::from_str(&self.location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

impl<T: IntoResponse> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        let mut response = self.object.into_response();
        *response.status_mut() = StatusCode::ACCEPTED;
        if let Ok(location) = HeaderValue::from_str(&self.location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

// === impl IfMatch ===

impl IfMatch {
    fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut given = headers.get_all(header::IF_MATCH).iter();
        let Some(value) = given.next() else { return Ok(IfMatch::Missing) };
        let text = value.to_str().unwrap_or_default().trim();
        if given.next().is_some() {
            return Err(ApiError::IfMatch);
        }
        if text == "*" {
            return Ok(IfMatch::Any);
        }
        let version =
            text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
        version.map(IfMatch::Version).ok_or(ApiError::IfMatch)
    }

    /// The version, for a change that has to say of which it is.
    ///
    /// # Errors
    /// `IF_MATCH_MISSING`.
    pub(crate) fn needed(self) -> Result<Option<i64>, ApiError> {
        if self == IfMatch::Missing { Err(ApiError::IfMatchMissing) } else { Ok(self.version()) }
    }

    /// The version, if it is given.
    pub(crate) const fn version(self) -> Option<i64> {
        match self {
            IfMatch::Version(version) => Some(version),
            IfMatch::Missing | IfMatch::Any => None,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        IfMatch::read(&parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_it_was_written() {
        let read = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_static(text))]);
            IfMatch::read(&headers)
        };
        assert_eq!(read("\"7\"").unwrap(), IfMatch::Version(7));
        assert_eq!(read("*").unwrap(), IfMatch::Any);
        assert_eq!(IfMatch::read(&HeaderMap::new()).unwrap(), IfMatch::Missing);
        for bad in ["7", "W/\"7\"", "\"x\"", "", "\"7\", \"8\""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
