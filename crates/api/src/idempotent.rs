//! The header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): a POST that is sent again because its answer
//! was lost gets that answer, and is not carried out again.
//!
//! Only what succeeded is kept: a request that was refused did nothing, and may be mended and sent with the same key.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use segcdc_control::ControlError;
use segcdc_control::service::{KeptReply, ReplyKey};
use segcdc_model::Secret;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::authenticate::actor_of;
use crate::body::read_body;
use crate::problem::ApiError;

/// The header.
const KEY: &str = "idempotency-key";

/// Says that an answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Headers that are part of an answer.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];

/// Largest answer that is kept, bytes.
const MAX_REPLY: usize = 4 * 1024 * 1024;

/// An answer, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    /// Base64.
    body: String,
}

/// Carries a request with a key out, or answers it as before.
pub(crate) async fn idempotent(State(app): State<App>, request: Request, next: Next) -> Response {
    match Box::pin(once(&app, request, next)).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn once(app: &App, request: Request, next: Next) -> Result<Response, ApiError> {
    let (Some(value), Some(actor), &Method::POST) =
        (request.headers().get(KEY).cloned(), actor_of(&request).cloned(), request.method())
    else {
        return Ok(next.run(request).await);
    };
    let text = value.to_str().map_err(|_not_ascii| ControlError::ReplyKey)?;
    let (parts, body) = request.into_parts();
    let bytes = read_body(&parts.headers, body).await?;
    let route = format!("{} {}", parts.method, parts.uri.path());
    let key = ReplyKey::new(&actor, &route, text, &bytes)?;
    if let KeptReply::Answer(kept) = app.control().take_reply(&key).await? {
        return replay(&kept);
    }
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    if !response.status().is_success() {
        app.control().forget_reply(&key).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, MAX_REPLY).await.map_err(|_too_large| ApiError::Internal)?;
    let text = |name: &HeaderName| parts.headers.get(name)?.to_str().ok().map(str::to_owned);
    let reply = Reply {
        status: parts.status.as_u16(),
        headers: KEPT.iter().filter_map(|name| Some((name.to_string(), text(name)?))).collect(),
        body: STANDARD.encode(&bytes),
    };
    let kept = serde_json::to_string(&reply).map_err(|_form| ApiError::Internal)?;
    app.control().keep_reply(&key, reply.status, Secret::new(kept)).await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

/// The answer that was kept.
fn replay(kept: &Secret<String>) -> Result<Response, ApiError> {
    let reply: Reply = serde_json::from_str(kept.expose()).map_err(|_form| ApiError::Internal)?;
    let body = STANDARD.decode(&reply.body).map_err(|_form| ApiError::Internal)?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(reply.status).map_err(|_form| ApiError::Internal)?;
    for (name, value) in &reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
