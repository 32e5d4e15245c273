//! What holds for every resource: versions, parts of lists, keys of requests, headers, tokens.

use serde_json::{Value, json};

use crate::server::{Client, Server, source};

#[tokio::test]
async fn a_connection_lives() {
    let (server, ada) = Server::start().await;
    let made = server.post(&ada, "/api/v1/connections", source("shop")).await;
    assert_eq!((made.status.as_u16(), made.header("etag").as_str()), (201, "\"1\""));
    let path = made.header("location");
    let shown = server.get(&ada, &path).await;
    assert_eq!(shown.json(), made.json());
    assert_eq!(shown.json()["port"], 5432);
    assert_eq!(shown.json()["sslmode"], "verify-full");
    assert_eq!(shown.json()["has_password"], true);

    let change = json!({"database": "shop2"});
    let blind = server.send(&ada, "PATCH", &path, Some(change.clone())).await;
    assert_eq!(blind.problem(), (428, "IF_MATCH_MISSING".to_owned()));
    let changed = server.send(&ada.with("if-match", "\"1\""), "PATCH", &path, Some(change.clone())).await;
    assert_eq!((changed.status.as_u16(), changed.header("etag").as_str()), (200, "\"2\""));
    let stale = server.send(&ada.with("if-match", "\"1\""), "PATCH", &path, Some(change)).await;
    assert_eq!(stale.problem(), (412, "VERSION_CONFLICT".to_owned()));
    let emptied =
        server.send(&ada.with("if-match", "*"), "PATCH", &path, Some(json!({"password": null}))).await;
    assert_eq!(emptied.json()["has_password"], false);

    let stale = server.send(&ada.with("if-match", "\"2\""), "DELETE", &path, None).await;
    assert_eq!(stale.problem(), (412, "VERSION_CONFLICT".to_owned()));
    assert_eq!(server.send(&ada, "DELETE", &path, None).await.status, 204);
    assert_eq!(server.get(&ada, &path).await.problem(), (404, "NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn what_a_version_cannot_be_is_refused() {
    let (server, ada) = Server::start().await;
    let path = server.connection(&ada, "shop").await;
    for text in ["1", "\"one\"", "W/\"1\"", "\"1\", \"2\""] {
        let answer =
            server.send(&ada.with("if-match", text), "PATCH", &path, Some(json!({"database": "d"}))).await;
        assert_eq!(answer.problem(), (400, "IF_MATCH_INVALID".to_owned()), "{text}");
    }
}

#[tokio::test]
async fn lists_come_in_parts_that_hold_everything_once() {
    let (server, ada) = Server::start().await;
    for number in 0..7 {
        server.connection(&ada, &format!("c{number}")).await;
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let part = server.get(&ada, &format!("/api/v1/connections?limit=3{cursor}")).await.json();
        names.extend(part["items"].as_array().unwrap().iter().map(|one| one["name"].clone()));
        let Some(next) = part["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(names, ["c0", "c1", "c2", "c3", "c4", "c5", "c6"].map(Value::from));
}

#[tokio::test]
async fn a_request_that_is_sent_twice_is_carried_out_once() {
    let (server, ada) = Server::start().await;
    let keyed = ada.with("idempotency-key", "7f1c");
    let first = server.post(&keyed, "/api/v1/connections", source("shop")).await;
    let again = server.post(&keyed, "/api/v1/connections", source("shop")).await;
    assert_eq!((first.status, again.status), (201.try_into().unwrap(), 201.try_into().unwrap()));
    assert_eq!(
        (again.text.as_str(), again.header("location")),
        (first.text.as_str(), first.header("location"))
    );
    assert_eq!(
        (first.header("idempotent-replayed"), again.header("idempotent-replayed")),
        (String::new(), "true".to_owned())
    );
    let other = server.post(&keyed, "/api/v1/connections", source("other")).await;
    assert_eq!(other.problem(), (422, "IDEMPOTENCY_MISMATCH".to_owned()));
    // What was refused can be mended.
    let keyed = ada.with("idempotency-key", "8a00");
    assert_eq!(server.post(&keyed, "/api/v1/connections", source("shop")).await.problem().1, "NAME_TAKEN");
    assert_eq!(server.post(&keyed, "/api/v1/connections", source("shop2")).await.status, 201);
    // A token is shown by the answer that is kept, and by no other.
    let keyed = ada.with("idempotency-key", "9b00");
    let body = json!({"name": "ci", "role": "viewer"});
    let first = server.post(&keyed, "/api/v1/tokens", body.clone()).await.json();
    let again = server.post(&keyed, "/api/v1/tokens", body).await.json();
    assert_eq!(first["token"], again["token"]);
    assert!(first["token"].as_str().unwrap().starts_with("segcdc_pat_"));
    let eve = server.person(&ada, "eve", "editor").await.with("idempotency-key", "7f1c");
    assert_eq!(
        server.post(&eve, "/api/v1/connections", source("hers")).await.status,
        201,
        "her key is another"
    );
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked() {
    let (server, ada) = Server::start().await;
    let made = server.post(&ada, "/api/v1/tokens", json!({"name": "ci", "role": "editor"})).await;
    let path = made.header("location");
    let token = Client::bearer(made.json()["token"].as_str().unwrap());
    assert_eq!(server.get(&token, "/api/v1/me").await.json()["tenant"]["role"], "editor");
    let location = server.connection(&token, "by-token").await;
    assert_eq!(server.get(&token, &location).await.status, 200);
    assert_eq!(server.get(&token, "/api/v1/users").await.problem(), (403, "FORBIDDEN".to_owned()));
    assert!(server.get(&ada, &path).await.json()["used_at"].is_string());
    // A token is no session that could be ended.
    let ended = server.send(&token, "POST", "/api/v1/auth/logout", None).await;
    assert_eq!(ended.problem(), (403, "NO_SESSION".to_owned()));
    assert_eq!(server.send(&ada, "DELETE", &path, None).await.status, 204);
    assert_eq!(server.get(&token, "/api/v1/me").await.problem(), (401, "UNAUTHENTICATED".to_owned()));
    assert!(server.get(&ada, &path).await.json()["revoked_at"].is_string());
    for bad in ["Basic YTpi", "Bearer", "Bearer x", "segcdc_pat_x"] {
        let client = Client::default().with("authorization", bad);
        let answer = server.get(&client, "/api/v1/me").await;
        assert_eq!(answer.problem(), (401, "UNAUTHENTICATED".to_owned()), "{bad}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    let in_url = format!("/api/v1/me?token={}", made.json()["token"].as_str().unwrap());
    assert_eq!(server.get(&Client::default(), &in_url).await.status, 401);
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_browsers_safe() {
    let (server, ada) = Server::start().await;
    for (path, status) in
        [("/healthz", 200), ("/readyz", 200), ("/docs", 200), ("/nowhere", 404), ("/api/v1/me", 200)]
    {
        let answer = server.get(&ada.with("x-request-id", "my-id"), path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none';"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-request-id"), "my-id");
        assert_eq!(answer.header("strict-transport-security"), "", "only over HTTPS");
    }
    let problem = server.get(&ada.with("x-request-id", "my-id"), "/nowhere").await.json();
    assert_eq!((&problem["request_id"], &problem["instance"]), (&json!("my-id"), &json!("/nowhere")));
    let method = server.send(&ada, "PUT", "/api/v1/connections", None).await;
    assert_eq!(method.problem(), (405, "METHOD_NOT_ALLOWED".to_owned()));
}

#[tokio::test]
async fn what_was_done_and_what_was_refused_is_in_the_audit_log() {
    let (server, ada) = Server::start().await;
    let vic = server.person(&ada, "vic", "viewer").await;
    server.connection(&ada, "shop").await;
    assert_eq!(server.post(&vic, "/api/v1/connections", source("x")).await.problem().1, "FORBIDDEN");
    assert_eq!(server.get(&vic, "/api/v1/audit").await.problem().1, "FORBIDDEN");
    let log = server.get(&ada, "/api/v1/audit").await;
    assert!(!log.text.contains("canary-5d1f"), "{}", log.text);
    let lines: Vec<String> = log.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| format!("{} {} {}", line["actor"], line["action"], line["outcome"]).replace('"', ""))
        .collect();
    assert_eq!(
        lines,
        [
            "ada setup ok",
            "ada user.create ok",
            "vic auth.login ok",
            "ada connection.create ok",
            "vic connection.create FORBIDDEN",
        ]
    );
}

#[tokio::test]
async fn requests_and_pipelines_are_measured_for_who_has_signed_in() {
    let (server, ada) = Server::start().await;
    let nobody = Client::default();
    assert_eq!(server.get(&nobody, "/metrics").await.problem(), (401, "UNAUTHENTICATED".to_owned()));
    server
        .raw(axum::http::Request::builder().method("BREW").uri("/x").body(axum::body::Body::empty()).unwrap())
        .await;
    server.get(&ada, "/api/v1/connections?limit=1").await;
    let path = server.connection(&ada, "source").await;
    let from = path.rsplit('/').next().unwrap();
    let mut target = source("target");
    target["kind"] = json!("sqlserver");
    let to = server.post(&ada, "/api/v1/connections", target).await.json()["id"].clone();
    let body = json!({"name": "orders", "source_id": from, "target_id": to});
    assert_eq!(server.post(&ada, "/api/v1/pipelines", body).await.status, 201);
    let answer = server.get(&ada, "/metrics").await;
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    for expected in [
        "segcdc_http_requests_total{route=\"/metrics\",method=\"GET\",status=\"401\"} 1",
        "segcdc_http_requests_total{route=\"none\",method=\"OTHER\",status=\"404\"} 1",
        "segcdc_http_request_duration_seconds_count{route=\"/api/v1/connections\",method=\"GET\"} 1",
        "segcdc_auth_failures_total 1",
        "segcdc_build_info{version=\"",
        "segcdc_pipeline_state{tenant=\"acme\",pipeline=\"orders\",engine=\"native\",state=\"STOPPED\"} 1.0",
        "segcdc_pipeline_desired_state{tenant=\"acme\",pipeline=\"orders\",engine=\"native\",state=\"RUNNING\"} 0.0",
        "process_resident_memory_bytes ",
    ] {
        assert!(answer.text.contains(expected), "{expected}\n{}", answer.text);
    }
    assert!(answer.text.ends_with("# EOF\n"));
    let there = server.post(&ada, "/api/v1/tenants", json!({"name": "globex"})).await.json();
    let user = json!({"name": "gus", "password": crate::server::PASSWORD, "role": "admin"});
    let id = there["id"].as_str().unwrap();
    assert_eq!(server.post(&ada, &format!("/api/v1/users?tenant={id}"), user).await.status, 201);
    let theirs = server.get(&server.sign_in("gus").await, "/metrics").await;
    assert!(
        theirs.text.contains("segcdc_http_requests_total") && !theirs.text.contains("acme"),
        "{}",
        theirs.text
    );
}
