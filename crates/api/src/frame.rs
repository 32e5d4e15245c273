//! What is around every request: its id, its time limit, panics, the headers of every answer, and the bodies of problems.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use uuid::Uuid;

use crate::app::App;
use crate::problem::{ApiError, Problem};

/// How long a request may take until its answer begins.
const LIMIT: Duration = Duration::from_secs(60);

/// The header that names a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What pages of this server may do: load from it, and nothing from anywhere else.
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
                                connect-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'";

/// Headers of every answer (ASVS 5.0, 3.4).
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Carries a request out.
pub(crate) async fn frame(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers().get(REQUEST_ID));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let begun = Instant::now();
    let mut response = answered(next.run(request), LIMIT).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        *response.body_mut() = Body::from(problem.render(&path, &id));
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    dress(&mut response, &app, &id);
    let took = begun.elapsed();
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    // The route and not the path: what is in a path is the user's.
    let route = route.as_deref().unwrap_or("none");
    app.metrics().answered(route, method.as_str(), status, took);
    tracing::debug!(request_id = %id, %method, route, status, ms, "answered");
    response
}

/// The answer of a handler, whatever becomes of it.
async fn answered(handler: impl Future<Output = Response>, limit: Duration) -> Response {
    match tokio::time::timeout(limit, AssertUnwindSafe(handler).catch_unwind()).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => ApiError::Internal.into_response(),
        Err(_elapsed) => ApiError::TooSlow.into_response(),
    }
}

/// Adds the headers of every answer to those that it has.
fn dress(response: &mut Response, app: &App, id: &str) {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if app.options().is_https {
        let year = HeaderValue::from_static("max-age=31536000; includeSubDomains");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
}

/// The id that the client gave, if it is a plain word, else a new one.
fn request_id(given: Option<&HeaderValue>) -> String {
    let plain = |text: &&str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match given.and_then(|value| value.to_str().ok()).filter(plain) {
        Some(id) => id.to_owned(),
        None => Uuid::now_v7().hyphenated().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::BoxFuture;

    #[tokio::test]
    async fn handlers_that_break_down_or_take_too_long_are_answered_for() {
        let check = async |handler, expected: (u16, &str)| {
            let mut response = answered(handler, Duration::from_millis(10)).await;
            let problem = response.extensions_mut().remove::<Problem>().unwrap();
            let body: serde_json::Value = serde_json::from_slice(&problem.render("/", "id")).unwrap();
            assert_eq!((response.status().as_u16(), body["code"].as_str()), (expected.0, Some(expected.1)));
        };
        let broken: BoxFuture<'static, Response> = Box::pin(async { panic!("a defect") });
        check(broken, (500, "INTERNAL")).await;
        check(Box::pin(std::future::pending()), (503, "REQUEST_TIMEOUT")).await;
    }

    #[test]
    fn an_id_is_taken_over_if_it_cannot_mislead() {
        let id = |text: &str| request_id(HeaderValue::from_str(text).ok().as_ref());
        assert_eq!(id("abc-123"), "abc-123");
        for bad in ["", "a b", "a\tb", &"x".repeat(65), "<b>"] {
            assert_ne!(id(bad), bad);
        }
        assert_ne!(request_id(None), request_id(None));
    }
}
