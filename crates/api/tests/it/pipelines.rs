//! Pipelines as resources; what they do is tested with the whole program.

use serde_json::{Value, json};

use crate::server::{Client, Server, source};

/// A source and a target: their ids.
async fn ends(server: &Server, by: &Client) -> (String, String) {
    let id = |location: String| location.rsplit('/').next().unwrap_or_default().to_owned();
    let from = id(server.connection(by, "source").await);
    let mut target = source("target");
    target["kind"] = json!("sqlserver");
    let made = server.post(by, "/api/v1/connections", target).await;
    assert_eq!(made.status, 201, "{}", made.text);
    (from, id(made.header("location")))
}

#[tokio::test]
async fn what_is_asked_of_a_pipeline_is_stored_and_shown() {
    let (server, ada) = Server::start().await;
    let (from, to) = ends(&server, &ada).await;
    let body = json!({"name": "orders", "source_id": from, "target_id": to, "tables": ["public.*"]});
    let made = server.post(&ada, "/api/v1/pipelines", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = made.header("location");
    let stands = |value: &Value| format!("{} {}", value["desired_state"], value["state"]).replace('"', "");
    assert_eq!(stands(&made.json()), "STOPPED STOPPED");
    assert_eq!((&made.json()["engine"], &made.json()["tables"]), (&json!("native"), &json!(["public.*"])));

    let act = |action: &str| format!("{path}/actions/{action}");
    for (action, status, expected) in [
        ("pause", 409, "INVALID_STATE"),
        ("start", 202, "RUNNING UNASSIGNED"),
        ("start", 202, "RUNNING UNASSIGNED"),
        ("pause", 202, "PAUSED PAUSED"),
        ("resume", 202, "RUNNING UNASSIGNED"),
        ("stop", 202, "STOPPED STOPPED"),
        ("restart", 409, "INVALID_STATE"),
        ("explode", 404, "ROUTE_UNKNOWN"),
    ] {
        let answer = server.send(&ada, "POST", &act(action), None).await;
        assert_eq!(answer.status, status, "{action}: {}", answer.text);
        if status == 202 {
            assert_eq!(stands(&answer.json()), expected, "{action}");
            assert_eq!(answer.header("location"), path);
        } else {
            assert_eq!(answer.problem().1, expected, "{action}");
        }
    }
    let stale =
        server.send(&ada.with("if-match", "\"1\""), "PATCH", &path, Some(json!({"readers": 8}))).await;
    assert_eq!(stale.problem(), (412, "VERSION_CONFLICT".to_owned()), "commands are changes too");
    let changed = server.send(&ada.with("if-match", "*"), "PATCH", &path, Some(json!({"readers": 8}))).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["readers"]), (200, &json!(8)), "{}", changed.text);
    let limits = json!(["50", "public.t=0"]);
    let change = json!({"dead_letter_limit": limits});
    let changed = server.send(&ada.with("if-match", "*"), "PATCH", &path, Some(change)).await;
    let changed = changed.json();
    assert_eq!((&changed["dead_letter_limit"], &changed["readers"]), (&limits, &json!(8)), "{changed:#}");
    let used = server.send(&ada, "DELETE", &format!("/api/v1/connections/{from}"), None).await;
    assert_eq!(used.problem(), (409, "CONNECTION_IN_USE".to_owned()));

    let deleted = server.send(&ada, "DELETE", &path, None).await;
    assert_eq!(deleted.status, 202, "{}", deleted.text);
    let operation = server.get(&ada, &deleted.header("location")).await.json();
    assert_eq!((&operation["kind"], &operation["state"]), (&json!("delete"), &json!("RUNNING")));
    let again = server.send(&ada, "DELETE", &path, None).await;
    assert_eq!(again.header("location"), deleted.header("location"));
    assert_eq!(server.send(&ada, "DELETE", &format!("{path}?forget=true"), None).await.status, 204);
    assert_eq!(server.get(&ada, &path).await.problem().0, 404);
    assert_eq!(server.get(&ada, &deleted.header("location")).await.json()["state"], "SUCCEEDED");
}

#[tokio::test]
async fn what_cannot_become_a_pipeline_is_refused_by_name() {
    let (server, ada) = Server::start().await;
    let (from, to) = ends(&server, &ada).await;
    let body = |field: &str, value: Value| {
        let mut body = json!({"name": "orders", "source_id": from, "target_id": to});
        body[field] = value;
        body
    };
    for (field, value, code) in [
        ("name", json!("No Name"), "NAME_INVALID"),
        ("name", json!("a;drop"), "NAME_INVALID"),
        ("source_id", json!(to), "CONNECTION_KIND"),
        ("source_id", json!("x"), "CONNECTION_MISSING"),
        ("target_id", json!("0192f0c4-7b7e-7c3a-8f00-000000000000"), "CONNECTION_MISSING"),
        ("slot", json!("s"), "SLOT_WITH_SNAPSHOT"),
        ("slot", json!("My-Slot"), "SLOT_NAME"),
        ("tables", json!(["a..b"]), "TABLE_PATTERN"),
        ("readers", json!(0), "RANGE"),
        ("snapshot", json!("some"), "ENUM"),
        ("tables", json!("public.*"), "TYPE"),
        ("tables", json!([1]), "TYPE"),
        ("tabels", json!([]), "UNKNOWN_FIELD"),
    ] {
        let answer = server.post(&ada, "/api/v1/pipelines", body(field, value.clone())).await;
        assert_eq!(answer.problem(), (422, code.to_owned()), "{field} {value}: {}", answer.text);
    }
    assert_eq!(server.post(&ada, "/api/v1/pipelines", body("start", json!(false))).await.status, 201);
    let taken = server.post(&ada, "/api/v1/pipelines", body("start", json!(false))).await;
    assert_eq!(taken.problem(), (409, "NAME_TAKEN".to_owned()));
}

#[tokio::test]
async fn servers_that_do_not_answer_are_said_to_be_theirs() {
    let (server, ada) = Server::start().await;
    let (from, to) = ends(&server, &ada).await;
    let unreachable = (502, "SOURCE_UNREACHABLE".to_owned());
    let tested = server.send(&ada, "POST", &format!("/api/v1/connections/{from}/test"), None).await;
    assert_eq!(tested.problem(), unreachable);
    assert!(tested.json()["detail"].as_str().unwrap().contains("there is none"));
    assert_eq!(server.post(&ada, "/api/v1/connections/test", source("x")).await.problem(), unreachable);
    let tables = format!("/api/v1/connections/{from}/tables?search=ord&limit=10");
    assert_eq!(server.get(&ada, &tables).await.problem(), unreachable);
    let of_target = server.get(&ada, &format!("/api/v1/connections/{to}/tables")).await;
    assert_eq!(of_target.problem(), (422, "CONNECTION_KIND".to_owned()));
    let plan = json!({"name": "orders", "source_id": from, "target_id": to});
    assert_eq!(server.post(&ada, "/api/v1/plans", plan.clone()).await.problem(), unreachable);
    let made = server.post(&ada, "/api/v1/pipelines", plan).await;
    let status = server.get(&ada, &format!("{}/status", made.header("location"))).await;
    assert_eq!(status.problem(), unreachable);
    let verification = format!("{}/verifications", made.header("location"));
    let begun = server.post(&ada, &verification, json!({})).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let vic = server.person(&ada, "vic", "viewer").await;
    assert_eq!(server.post(&vic, &verification, json!({})).await.problem(), (403, "FORBIDDEN".to_owned()));
    assert_eq!(server.get(&vic, &begun.header("location")).await.status, 200);
    let listed = server.get(&vic, "/api/v1/operations?limit=1").await.json();
    assert_eq!(listed["items"][0]["id"], begun.json()["id"]);
}
