//! Who sends a request: a browser by its cookie, a program by its token; and whether a page of another site makes the
//! browser send it.
//!
//! A cookie goes with every request of a browser, whoever made the page. SameSite=Strict keeps pages of other sites from
//! using it, but not those of other ports or sub-domains of ours. So a request that changes something must come from a page
//! of this very server by what the browser says (Sec-Fetch-Site, Origin), and carry a token that only such a page can have
//! read (ASVS 5.0, 3.5.1 to 3.5.3).

use std::net::SocketAddr;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use segcdc_control::service::Way;
use segcdc_control::{Actor, ControlError};
use url::{Url, form_urlencoded};

use crate::app::App;
use crate::problem::ApiError;

/// Routes that are for those who have not signed in; a cookie that they send counts for nothing.
const OPEN: [&str; 2] = ["/api/v1/auth/login", "/api/v1/setup"];

/// Who sent the request; nobody, when it came without credentials.
#[derive(Debug, Clone)]
struct Who(Option<Actor>);

/// Who sent the request, for handlers that need somebody.
#[derive(Debug, Clone)]
pub(crate) struct Signed(pub(crate) Actor);

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) Option<SocketAddr>);

/// Finds out who sent a request.
pub(crate) async fn authenticate(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match Box::pin(identify(&app, &parts)).await {
        Ok(actor) => {
            parts.extensions.insert(Who(actor));
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    }
}

async fn identify(app: &App, request: &Parts) -> Result<Option<Actor>, ApiError> {
    let headers = &request.headers;
    let from = address(request.extensions.get::<Peer>());
    let changes = !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        let token = token.ok_or(ApiError::CredentialKind)?;
        let actor = app.control().by_token(token.trim(), &from).await?;
        return Ok(Some(in_tenant(app, actor, request.uri.query()).await?));
    }
    if changes {
        same_site(headers, app.options().public_origin.as_deref())?;
    }
    let Some(session) = cookie(headers, app.cookie()) else { return Ok(None) };
    if OPEN.contains(&request.uri.path()) {
        return Ok(None);
    }
    let actor = match app.control().by_session(session, &from).await {
        Ok(actor) => actor,
        // A session that has ended is none; who needs one is told so by the handler.
        Err(ControlError::Unauthenticated) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if changes && let Way::Session { csrf, .. } = &actor.way {
        let shown = headers.get("x-csrf-token").and_then(|value| value.to_str().ok());
        // The expected value is a hash of a secret: nobody can choose a prefix of it, and time tells nothing.
        if shown != Some(csrf.as_str()) {
            return Err(ApiError::CrossSite { reason: "the header X-CSRF-Token is missing or wrong" });
        }
    }
    Ok(Some(in_tenant(app, actor, request.uri.query()).await?))
}

/// The actor in the tenant that the parameter `tenant` names, if it is there.
async fn in_tenant(app: &App, actor: Actor, query: Option<&str>) -> Result<Actor, ApiError> {
    let mut named = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(name, _value)| name == "tenant")
        .map(|(_name, value)| value);
    let Some(id) = named.next() else { return Ok(actor) };
    if named.next().is_some() {
        return Err(ApiError::Query { reason: "tenant is there twice".to_owned() });
    }
    let id = id.parse().map_err(|_form| ApiError::Query { reason: "tenant is not an id".to_owned() })?;
    if actor.tenant.id == id {
        return Ok(actor);
    }
    Ok(app.control().in_tenant(&actor, id).await?)
}

/// Whether a request that changes something comes from a page of this server, or from no page at all.
fn same_site(headers: &HeaderMap, public: Option<&str>) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).map(HeaderValue::to_str);
    match text("sec-fetch-site") {
        None | Some(Ok("same-origin" | "none")) => {}
        Some(_) => return Err(ApiError::CrossSite { reason: "Sec-Fetch-Site is not same-origin" }),
    }
    let Some(origin) = text("origin") else { return Ok(()) };
    let origin = origin.ok().and_then(|text| Url::parse(text).ok());
    let host = text("host").and_then(Result::ok);
    let is_ours = origin.as_ref().is_some_and(|origin| {
        let named = origin.origin().ascii_serialization();
        let by_host = host.is_some_and(|host| named == format!("{}://{host}", origin.scheme()));
        by_host || public.is_some_and(|public| public == named)
    });
    if is_ours { Ok(()) } else { Err(ApiError::CrossSite { reason: "Origin is another one" }) }
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _value)| *found == name)
        .map(|(_name, value)| value)
}

/// An address as the audit log has it.
fn address(from: Option<&Peer>) -> String {
    from.and_then(|from| from.0)
        .map_or_else(|| "unknown".to_owned(), |address| address.ip().to_canonical().to_string())
}

impl<S: Send + Sync> FromRequestParts<S> for Signed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let who = parts.extensions.get::<Who>().and_then(|who| who.0.clone());
        who.map(Signed).ok_or(ApiError::Control(ControlError::Unauthenticated))
    }
}

/// The address of who sends a request without having signed in.
#[derive(Debug, Clone)]
pub(crate) struct Address(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(Address(address(parts.extensions.get::<Peer>())))
    }
}

/// Who sent a request, for what is around the handlers.
pub(crate) fn actor_of(request: &Request) -> Option<&Actor> {
    request.extensions().get::<Who>()?.0.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn pages_of_other_sites_are_known_by_what_browsers_say() {
        let host = ("host", "segcdc.example:8080");
        let check = |pairs: &[(&'static str, &'static str)], public: Option<&str>, good: bool| {
            assert_eq!(same_site(&headers(pairs), public).is_ok(), good, "{pairs:?}");
        };
        check(&[host], None, true);
        check(&[host, ("origin", "http://segcdc.example:8080")], None, true);
        check(
            &[host, ("origin", "https://segcdc.example:8080"), ("sec-fetch-site", "same-origin")],
            None,
            true,
        );
        check(&[host, ("origin", "http://segcdc.example")], None, false);
        check(&[host, ("origin", "http://evil.example:8080")], None, false);
        check(&[host, ("origin", "http://segcdc.example:8080.evil.example")], None, false);
        check(&[host, ("origin", "null")], None, false);
        check(&[host, ("sec-fetch-site", "same-site")], None, false);
        check(&[host, ("sec-fetch-site", "cross-site")], None, false);
        let proxied = [("host", "10.0.0.1:8080"), ("origin", "https://cdc.example")];
        check(&proxied, None, false);
        check(&proxied, Some("https://cdc.example"), true);
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let found = |text: &'static str| cookie(&headers(&[("cookie", text)]), "segcdc").map(str::to_owned);
        assert_eq!(found("a=b; segcdc=x"), Some("x".to_owned()));
        assert_eq!(found("xsegcdc=x"), None);
        assert_eq!(found("segcdc"), None);
    }
}
