//! Bad input: each has its status and its code, and no secret comes back.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::server::{Client, Server, source};

/// What a body of raw bytes gets.
async fn raw(server: &Server, client: &Client, kind: &str, body: impl Into<Body>) -> (u16, String) {
    let mut request = Request::post("/api/v1/connections").header("content-type", kind);
    for (name, value) in &client.headers {
        request = request.header(name, value);
    }
    server.raw(request.body(body.into()).unwrap()).await.problem()
}

#[tokio::test]
async fn bodies_that_are_none_are_refused_by_name() {
    let (server, ada) = Server::start().await;
    let json = "application/json";
    for (kind, body, expected) in [
        (json, "", (400, "BODY_INVALID_JSON")),
        (json, "{", (400, "BODY_INVALID_JSON")),
        (json, "{} trailing", (400, "BODY_INVALID_JSON")),
        (json, "{\"name\": \"a\", \"name\": \"b\"}", (400, "DUPLICATE_KEY")),
        (json, "[]", (422, "TYPE")),
        ("text/plain", "{}", (415, "CONTENT_TYPE")),
        ("application/x-www-form-urlencoded", "a=b", (415, "CONTENT_TYPE")),
        ("application/json; charset=utf-8", "[]", (422, "TYPE")),
    ] {
        assert_eq!(
            raw(&server, &ada, kind, body).await,
            (expected.0, expected.1.to_owned()),
            "{kind} {body}"
        );
    }
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(1024 * 1024));
    assert_eq!(raw(&server, &ada, json, large.clone()).await, (413, "BODY_TOO_LARGE".to_owned()));
    // Without its length being announced.
    let parts = large
        .into_bytes()
        .chunks(4096)
        .map(|part| Ok::<_, std::io::Error>(part.to_vec()))
        .collect::<Vec<_>>();
    let stream = Body::from_stream(futures_util::stream::iter(parts));
    assert_eq!(raw(&server, &ada, json, stream).await, (413, "BODY_TOO_LARGE".to_owned()));
    // The sender goes away in the middle.
    let parts = [Ok("{\"name\": "), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
    let stream = Body::from_stream(futures_util::stream::iter(parts));
    assert_eq!(raw(&server, &ada, json, stream).await, (400, "BODY_BROKEN".to_owned()));
}

#[tokio::test]
async fn fields_that_are_wrong_are_refused_by_name() {
    let (server, ada) = Server::start().await;
    let with = |field: &str, value: Value| {
        let mut body = source("x");
        body[field] = value;
        body
    };
    let cases = [
        ("pasword", json!("p"), "UNKNOWN_FIELD"),
        ("port", json!("5432"), "TYPE"),
        ("port", json!(0), "PORT_RANGE"),
        ("port", json!(65536), "PORT_RANGE"),
        ("port", json!(-1), "PORT_RANGE"),
        ("port", json!(1.5), "TYPE"),
        ("kind", json!("mysql"), "ENUM"),
        ("sslmode", json!("verify_full"), "ENUM"),
        ("sslmode", json!("disable"), "TLS_INSECURE_NOT_ALLOWED"),
        ("encrypt", json!("true"), "FIELD_NOT_OF_KIND"),
        ("host", json!(""), "HOST_INVALID"),
        ("host", json!("a b"), "HOST_INVALID"),
        ("host", json!("a;TrustServerCertificate=true"), "HOST_INVALID"),
        ("host", json!("127.1"), "HOST_INVALID"),
        ("host", json!("::1:5432"), "HOST_INVALID"),
        ("host", json!("postgres://u:canary-5d1f@h/d"), "HOST_LOOKS_LIKE_URL"),
        ("host", json!("/var/run/postgresql"), "HOST_NOT_ALLOWED"),
        ("database", json!(""), "DATABASE_INVALID"),
        ("database", json!("x".repeat(64)), "DATABASE_INVALID"),
        ("user", json!(""), "RANGE"),
        ("password", json!("********"), "SECRET_MASK_SUBMITTED"),
        ("password", json!("p".repeat(5000)), "RANGE"),
        ("ca_pem", json!("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----"), "CA_INVALID"),
        ("name", json!(""), "NAME_INVALID"),
        ("name", json!("<script>"), "NAME_INVALID"),
        ("name", json!("a\u{202e}b"), "NAME_INVALID"),
        ("name", json!(" a"), "NAME_INVALID"),
    ];
    for (field, value, code) in cases {
        let answer = server.post(&ada, "/api/v1/connections", with(field, value.clone())).await;
        assert_eq!(answer.problem(), (422, code.to_owned()), "{field} {value}: {}", answer.text);
        assert_eq!(answer.json()["errors"][0]["pointer"], format!("/{field}"), "{value}");
        assert!(!answer.text.contains("canary-5d1f"), "{}", answer.text);
    }
    let hint = server.post(&ada, "/api/v1/connections", with("pasword", json!("p"))).await.json();
    assert_eq!(hint["errors"][0]["hint"], "Did you mean \"password\"?");
    for good in [json!("'\"\\;{}😀"), json!(" p "), json!("")] {
        let mut body = source(&format!("good{}", good.as_str().unwrap().len()));
        body["password"] = good;
        assert_eq!(server.post(&ada, "/api/v1/connections", body).await.status, 201);
    }
    let odd = with("database", json!("postgres;drop"));
    assert_eq!(server.post(&ada, "/api/v1/connections", odd).await.status, 201, "a legal name");
    let missing = server.post(&ada, "/api/v1/connections", json!({"name": "y"})).await;
    assert_eq!(missing.problem(), (422, "FIELDS_INVALID".to_owned()));
    let pointers: Vec<_> =
        missing.json()["errors"].as_array().unwrap().iter().map(|one| one["pointer"].clone()).collect();
    assert_eq!(pointers, ["/kind", "/host", "/database", "/user"].map(Value::from), "all at once");
}

#[tokio::test]
async fn stored_passwords_do_not_go_to_another_host() {
    let (server, ada) = Server::start().await;
    let path = server.connection(&ada, "shop").await;
    let any = ada.with("if-match", "*");
    for change in [json!({"host": "evil.example"}), json!({"sslmode": "disable", "allow_insecure": true})] {
        let refused = server.send(&any, "PATCH", &path, Some(change)).await;
        assert_eq!(refused.problem(), (422, "PASSWORD_REQUIRED_ON_HOST_CHANGE".to_owned()));
    }
    let both = json!({"host": "db2.example", "password": "canary-5d1f"});
    let moved = server.send(&any, "PATCH", &path, Some(both)).await;
    assert_eq!((moved.status.as_u16(), &moved.json()["host"]), (200, &json!("db2.example")));
    assert!(!moved.text.contains("canary-5d1f"));
    let taken = server.connection(&ada, "other").await;
    let refused = server.send(&any, "PATCH", &taken, Some(json!({"name": "SHOP"}))).await;
    assert_eq!(refused.problem(), (409, "NAME_TAKEN".to_owned()));
}

#[tokio::test]
async fn urls_that_mean_nothing_are_refused() {
    let (server, ada) = Server::start().await;
    for query in [
        "limit=-1",
        "limit=0",
        "limit=1000000000",
        "limit=x",
        "cursor=garbage",
        "sort=password",
        "limit=1&limit=2",
        "tenant=x",
    ] {
        let answer = server.get(&ada, &format!("/api/v1/connections?{query}")).await;
        assert_eq!(answer.problem(), (400, "QUERY_INVALID".to_owned()), "{query}");
    }
    let id = "0192f0c4-7b7e-7c3a-8f00-000000000000";
    for (path, expected) in [
        (format!("/api/v1/connections/{id}"), (404, "NOT_FOUND")),
        (format!("/api/v1/connections/{}", id.to_uppercase()), (400, "ID_INVALID")),
        ("/api/v1/connections/x".to_owned(), (400, "ID_INVALID")),
        ("/api/v1/connections/%ff".to_owned(), (400, "ID_INVALID")),
        ("/api/v1/connections/".to_owned(), (404, "ROUTE_UNKNOWN")),
        ("//api/v1/connections".to_owned(), (404, "ROUTE_UNKNOWN")),
    ] {
        assert_eq!(server.get(&ada, &path).await.problem(), (expected.0, expected.1.to_owned()), "{path}");
    }
}
