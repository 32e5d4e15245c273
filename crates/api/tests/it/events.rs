//! Watching: what happens is told, once, to those whose it is.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use segcdc_control::Reconciler;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::server::{Client, PASSWORD, Server, source};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is said until a text comes.
async fn until(body: &mut Body, text: &str) -> String {
    let mut said = String::new();
    let read = async {
        while !said.contains(text) {
            let frame = body.frame().await.unwrap().unwrap();
            said.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
    };
    let read = tokio::time::timeout(PATIENCE, read).await;
    assert!(read.is_ok(), "{text} does not come: {said}");
    said
}

/// The last id that was told.
fn last_id(said: &str) -> String {
    said.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap().to_owned()
}

/// The states that were told of pipelines.
fn states(said: &str) -> Vec<String> {
    let data = said.split("\n\n").filter(|event| event.contains("event: pipeline"));
    let data = data.filter_map(|event| event.split_once("data: ")).map(|(_head, data)| data);
    data.map(|data| serde_json::from_str::<Value>(data).unwrap()["state"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_happens_is_told_once_to_those_whose_it_is() {
    let (server, ada) = Server::start().await;
    let shutdown = CancellationToken::new();
    let reconciler = tokio::spawn(Reconciler::new(server.control.clone()).run(shutdown.clone()));
    let there = server.post(&ada, "/api/v1/tenants", json!({"name": "globex"})).await.json();
    let user = json!({"name": "gus", "password": PASSWORD, "role": "admin"});
    let path = format!("/api/v1/users?tenant={}", there["id"].as_str().unwrap());
    assert_eq!(server.post(&ada, &path, user).await.status, 201);
    let gus = server.sign_in("gus").await;
    let mut theirs = server.stream(&gus, "/api/v1/events").await;

    let mut ours = server.stream(&ada, "/api/v1/events").await;
    let begin = until(&mut ours, "\n\n").await;
    assert!(begin.starts_with("retry: 3000\nid: "), "{begin}");
    let from = server.connection(&ada, "source").await;
    let mut target = source("target");
    target["kind"] = json!("sqlserver");
    let to = server.post(&ada, "/api/v1/connections", target).await.json()["id"].clone();
    let body =
        json!({"name": "orders", "source_id": from.rsplit('/').next(), "target_id": to, "start": true});
    let made = server.post(&ada, "/api/v1/pipelines", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = made.header("location");
    let said = until(&mut ours, "FAILED").await;
    assert!(said.contains("SOURCE_UNREACHABLE"), "{said}");

    // Who comes back gets the rest, and nothing twice.
    drop(ours);
    let back = ada.with("last-event-id", &last_id(&said));
    let begun = server.post(&ada, &format!("{path}/verifications"), json!({})).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let mut ours = server.stream(&back, "/api/v1/events?topics=operation,pipeline").await;
    let said = until(&mut ours, "\"kind\":\"verify\"").await;
    assert_eq!(states(&said), [""; 0], "told before: {said}");
    assert_eq!(server.send(&ada, "DELETE", &path, None).await.status, 202);
    server.send(&ada, "DELETE", &format!("{path}?forget=true"), None).await;
    let said = until(&mut ours, "\"state\":\"DELETED\"").await;
    assert_eq!(states(&said).last().map(String::as_str), Some("DELETED"));

    // Who was away for too long is told so.
    let lost = ada.with("last-event-id", "000000000000-7");
    until(&mut server.stream(&lost, "/api/v1/events").await, "event: reset").await;
    let bad = server.get(&ada, "/api/v1/events?topics=pipeline,x").await;
    assert_eq!(bad.problem(), (400, "QUERY_INVALID".to_owned()));
    let bad = server.get(&Client::default(), "/api/v1/events").await;
    assert_eq!(bad.problem().0, 401);

    // A server that ends lets go of those who watch; nothing of ours was told to the other tenant.
    shutdown.cancel();
    let rest = async {
        let mut said = Vec::new();
        while let Some(frame) = theirs.frame().await {
            said.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        String::from_utf8(said).unwrap()
    };
    let rest = tokio::time::timeout(PATIENCE, rest).await.unwrap();
    assert!(!rest.contains("data:"), "{rest}");
    reconciler.await.unwrap();
}

#[tokio::test]
async fn who_finds_no_place_to_watch_is_told_to_come_again() {
    let (server, ada) = Server::start().await;
    let mut held = Vec::new();
    while let Some(place) = server.control.events().watch() {
        held.push(place);
    }
    let answer = server.get(&ada, "/api/v1/events").await;
    assert_eq!(answer.problem(), (503, "BUSY".to_owned()));
    assert!(!answer.header("retry-after").is_empty());
    held.pop();
    drop(server.stream(&ada, "/api/v1/events").await);
}
