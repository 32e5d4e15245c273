//! Tenants: what is another's is not there.

use serde_json::json;

use crate::server::{Client, PASSWORD, Server};

/// A second tenant, and its administrator.
async fn second(server: &Server, ada: &Client) -> (String, Client) {
    let made = server.post(ada, "/api/v1/tenants", json!({"name": "globex"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let body = json!({"name": "gus", "password": PASSWORD, "role": "admin"});
    let path = format!("/api/v1/users?tenant={id}");
    assert_eq!(server.post(ada, &path, body).await.status, 201);
    (id, server.sign_in("gus").await)
}

#[tokio::test]
async fn what_is_anothers_is_answered_like_what_is_nowhere() {
    let (server, ada) = Server::start().await;
    let (other, gus) = second(&server, &ada).await;
    let path = server.connection(&ada, "shop").await;
    let nowhere = "/api/v1/connections/0192f0c4-7b7e-7c3a-8f00-000000000000";
    for (method, body) in [("GET", None), ("PATCH", Some(json!({"name": "mine"}))), ("DELETE", None)] {
        let any = gus.with("if-match", "*");
        let theirs = server.send(&any, method, &path, body.clone()).await;
        let gone = server.send(&any, method, nowhere, body).await;
        assert_eq!(theirs.problem(), (404, "NOT_FOUND".to_owned()), "{method}");
        assert_eq!(theirs.json()["detail"], gone.json()["detail"]);
    }
    assert_eq!(server.get(&gus, "/api/v1/connections").await.json()["items"], json!([]));
    // The same name is free in another tenant.
    server.connection(&gus, "shop").await;
    // Nobody reaches another tenant by naming it.
    let acme = server.get(&ada, "/api/v1/me").await.json()["tenant"]["id"].as_str().unwrap().to_owned();
    let named = server.get(&gus, &format!("/api/v1/connections?tenant={acme}")).await;
    assert_eq!(named.problem(), (404, "NOT_FOUND".to_owned()));
    // Who manages tenants looks at each.
    let seen = server.get(&ada, &format!("/api/v1/connections?tenant={other}")).await;
    assert_eq!(seen.json()["items"].as_array().unwrap().len(), 1);
    let all = server.get(&ada, "/api/v1/tenants").await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    assert_eq!(server.get(&gus, "/api/v1/tenants").await.json()["items"].as_array().unwrap().len(), 1);
    let moved = server.send(&ada, "PUT", "/api/v1/auth/tenant", Some(json!({"tenant_id": other}))).await;
    assert_eq!(moved.json()["tenant"]["name"], "globex");
    assert_eq!(server.get(&ada, "/api/v1/me").await.json()["tenant"]["name"], "globex");
}

#[tokio::test]
async fn the_last_administrator_stays_and_a_tenant_ends_empty() {
    let (server, ada) = Server::start().await;
    let (other, gus) = second(&server, &ada).await;
    let me = server.get(&gus, "/api/v1/me").await.json()["id"].as_str().unwrap().to_owned();
    let any = gus.with("if-match", "*");
    let path = format!("/api/v1/users/{me}");
    let demoted = server.send(&any, "PATCH", &path, Some(json!({"role": "viewer"}))).await;
    assert_eq!(demoted.problem(), (409, "LAST_ADMIN".to_owned()));
    let connection = server.connection(&gus, "shop").await;
    let tenant = format!("/api/v1/tenants/{other}");
    assert_eq!(server.send(&ada, "DELETE", &tenant, None).await.problem().1, "TENANT_NOT_EMPTY");
    assert_eq!(server.send(&gus, "DELETE", &tenant, None).await.problem().1, "FORBIDDEN");
    assert_eq!(server.send(&gus, "DELETE", &connection, None).await.status, 204);
    assert_eq!(server.send(&ada, "DELETE", &tenant, None).await.status, 204);
    assert_eq!(server.get(&gus, "/api/v1/me").await.status, 401, "her people are gone with it");
}
