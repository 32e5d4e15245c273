//! [`Id`], [`Words`]: what is in a path. One thing has one spelling.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use crate::problem::ApiError;

/// The parameter `id` of the path.
#[derive(Debug)]
pub(crate) struct Id<T>(pub(crate) T);

/// The other parameters of the path.
#[derive(Debug)]
pub(crate) struct Words(Vec<(String, String)>);

impl Words {
    /// The one of a name; empty when the route has none such.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _value)| found == name).map_or("", |(_name, value)| value)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Words {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let all = RawPathParams::from_request_parts(parts, state).await.map_err(|_form| ApiError::NoRoute)?;
        Ok(Words(all.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let all = RawPathParams::from_request_parts(parts, state).await.map_err(|_form| ApiError::Id)?;
        let id = all.iter().find(|(name, _value)| *name == "id").map(|(_name, value)| value.parse());
        id.and_then(Result::ok).map(Id).ok_or(ApiError::Id)
    }
}
