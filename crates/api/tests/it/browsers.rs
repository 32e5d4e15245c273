//! Sessions of browsers, and pages of other sites.

use segcdc_api::Options;
use serde_json::json;

use crate::server::{Client, PASSWORD, Server, source};

#[tokio::test]
async fn the_first_administrator_is_made_once_and_with_the_token() {
    let server = Server::empty().await;
    let nobody = Client::default();
    assert_eq!(server.get(&nobody, "/api/v1/setup").await.json()["needed"], true);
    let body = |token: &str| json!({"token": token, "user": "ada", "password": PASSWORD});
    let wrong = server.post(&nobody, "/api/v1/setup", body("0123")).await;
    assert_eq!(wrong.problem(), (403, "SETUP_TOKEN_WRONG".to_owned()));
    let weak = json!({"token": server.setup, "user": "ada", "password": "12345678"});
    assert_eq!(
        server.post(&nobody, "/api/v1/setup", weak).await.problem(),
        (422, "PASSWORD_WEAK".to_owned())
    );
    let made = server.post(&nobody, "/api/v1/setup", body(&server.setup)).await;
    assert_eq!((made.status.as_u16(), &made.json()["tenant"]["name"]), (201, &json!("default")));
    let again = server.post(&nobody, "/api/v1/setup", body(&server.setup)).await;
    assert_eq!(again.problem(), (409, "SETUP_DONE".to_owned()));
    assert_eq!(server.get(&nobody, "/api/v1/setup").await.json()["needed"], false);
}

#[tokio::test]
async fn a_session_is_good_until_it_ends() {
    let (server, ada) = Server::start().await;
    assert_eq!(server.get(&ada, "/api/v1/me").await.json()["name"], "ada");
    let out = server.send(&ada, "POST", "/api/v1/auth/logout", None).await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(server.get(&ada, "/api/v1/me").await.problem(), (401, "UNAUTHENTICATED".to_owned()));
    // A cookie of a session that has ended does not keep anybody from signing in.
    let body = json!({"user": "ADA", "password": PASSWORD});
    assert_eq!(server.post(&ada, "/api/v1/auth/login", body).await.status, 200);
}

#[tokio::test]
async fn another_password_ends_the_other_sessions() {
    let (server, ada) = Server::start().await;
    let other = server.sign_in("ada").await;
    let new = "another sentence that nobody knows";
    let change = |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    let wrong = server.post(&ada, "/api/v1/me/password", change("x", "short")).await;
    assert_eq!(wrong.problem(), (422, "FIELDS_INVALID".to_owned()));
    assert_eq!(wrong.json()["errors"].as_array().unwrap().len(), 2, "both are said");
    assert_eq!(server.post(&ada, "/api/v1/me/password", change(PASSWORD, new)).await.status, 204);
    assert_eq!(server.get(&ada, "/api/v1/me").await.status, 200);
    assert_eq!(server.get(&other, "/api/v1/me").await.status, 401);
}

#[tokio::test]
async fn a_refused_sign_in_is_the_same_for_all_and_gets_slower() {
    let (server, _ada) = Server::start().await;
    let nobody = Client::default();
    let mut answers = Vec::new();
    for user in ["ada", "eve", "<script>"] {
        let answer = server.post(&nobody, "/api/v1/auth/login", json!({"user": user, "password": "x"})).await;
        let mut body = answer.json();
        body["request_id"].take();
        answers.push((answer.problem(), body));
    }
    assert_eq!(answers[0].0, (401, "SIGN_IN_REFUSED".to_owned()));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let mut last = None;
    for _ in 0..6 {
        last =
            Some(server.post(&nobody, "/api/v1/auth/login", json!({"user": "ada", "password": "x"})).await);
    }
    let last = last.unwrap();
    assert_eq!(last.problem(), (429, "TOO_MANY_ATTEMPTS".to_owned()));
    assert!(last.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let (server, ada) = Server::start().await;
    let ours = ada.with("host", "cdc.example");
    for (client, good) in [
        (ours.clone(), true),
        (ours.with("origin", "http://cdc.example").with("sec-fetch-site", "same-origin"), true),
        (ours.without("x-csrf-token"), false),
        (ours.with("x-csrf-token", "0"), false),
        (ours.with("origin", "http://evil.example"), false),
        (ours.with("origin", "http://cdc.example:81"), false),
        (ours.with("origin", "null"), false),
        (ours.with("sec-fetch-site", "same-site"), false),
        (ours.with("sec-fetch-site", "cross-site"), false),
    ] {
        let name = format!("c{:x}", rand_like());
        let answer = server.post(&client, "/api/v1/connections", source(&name)).await;
        if good {
            assert_eq!(answer.status, 201, "{client:?} {}", answer.text);
        } else {
            assert_eq!(answer.problem(), (403, "CSRF".to_owned()), "{client:?}");
        }
    }
    // Signing somebody in from another site would have them work in somebody else's name.
    let body = json!({"user": "ada", "password": PASSWORD});
    let foreign = Client::default().with("origin", "http://evil.example").with("host", "cdc.example");
    assert_eq!(server.post(&foreign, "/api/v1/auth/login", body).await.problem(), (403, "CSRF".to_owned()));
    // A token is not sent by a browser of its own accord.
    let made = server.post(&ada, "/api/v1/tokens", json!({"name": "ci", "role": "editor"})).await;
    let token = Client::bearer(made.json()["token"].as_str().unwrap()).with("origin", "http://evil.example");
    assert_eq!(server.post(&token, "/api/v1/connections", source("t")).await.status, 201);
}

/// Another number each time.
fn rand_like() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[tokio::test]
async fn cookies_are_as_safe_as_the_connection_allows() {
    for (is_https, name, parts) in [
        (true, "__Host-segcdc=", vec!["; Path=/", "; HttpOnly", "; SameSite=Strict", "; Secure"]),
        (false, "segcdc=", vec!["; Path=/", "; HttpOnly", "; SameSite=Strict"]),
    ] {
        let origin = is_https.then(|| "https://cdc.example".to_owned());
        let server = Server::with(Options { public_origin: origin, is_https }).await;
        let body = json!({"token": server.setup, "user": "ada", "password": PASSWORD});
        let made = server.post(&Client::default(), "/api/v1/setup", body).await;
        let cookie = made.header("set-cookie");
        assert!(cookie.starts_with(name), "{cookie}");
        assert!(parts.iter().all(|part| cookie.contains(part)), "{cookie}");
        assert!(!cookie.contains("Domain"), "{cookie}");
        assert_eq!(!made.header("strict-transport-security").is_empty(), is_https);
        assert_eq!(server.get(&Client::of(&made), "/api/v1/me").await.status, 200);
    }
}
