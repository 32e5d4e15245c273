//! [`Json`]: a request's body, read strictly and compared with its description.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use segcdc_control::ControlError;
use segcdc_control::field::{FieldError, FieldProblems};
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::app::App;
use crate::problem::{ApiError, MAX_BODY};
use crate::{json, schema};

/// A body of the type `T`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned + ToSchema> FromRequest<App> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(ApiError::ContentType);
        }
        let bytes = read_body(&parts.headers, body).await?;
        let value = json::parse(&bytes)?;
        schema::check(app.document(), &T::name(), &value).finish().map_err(ControlError::from)?;
        // What fits its description is of its type; should that ever not hold, the request is at least refused.
        serde_json::from_value(value).map(Json).map_err(|error| {
            let expected = format!("as /docs describes it ({error})");
            ControlError::from(FieldProblems::one("", FieldError::Type { expected })).into()
        })
    }
}

/// Reads a body that is not too large.
pub(crate) async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|bytes: usize| bytes > MAX_BODY) {
        return Err(ApiError::BodyTooLarge);
    }
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::BodyTooLarge),
        Err(_broken) => Err(ApiError::BodyBroken),
    }
}

/// Whether the body is said to be JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
