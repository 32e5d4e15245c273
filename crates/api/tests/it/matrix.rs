//! Every operation of the description, asked by everybody, of their tenant and of another one.

use segcdc_control::access::{Right, Role};
use serde_json::{Value, json};

use crate::description::operations;
use crate::server::{Client, PASSWORD, Server, source};

/// What an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: it is for those who have not signed in.
    Nothing,
    /// Somebody who has signed in, and asks about themselves.
    Oneself,
    /// Somebody whose thing it is, or who manages the tenant; for others it is not there.
    Owner,
    /// A right in the tenant.
    Right(Right),
    /// To manage tenants.
    Tenants,
}

/// What each operation needs, written down here once more by hand.
fn needs(operation: &str) -> Needs {
    match operation {
        "login" | "get_setup" | "create_setup" | "get_health" | "get_readiness" => Needs::Nothing,
        "get_me" | "logout" | "change_password" | "choose_tenant" | "list_tenants" | "get_tenant"
        | "list_tokens" | "create_token" => Needs::Oneself,
        "list_connections"
        | "get_connection"
        | "list_source_tables"
        | "list_pipelines"
        | "get_pipeline"
        | "get_pipeline_status"
        | "list_tables"
        | "get_table"
        | "list_dead_letters"
        | "get_dead_letter"
        | "list_verifications"
        | "list_operations"
        | "get_operation"
        | "get_metrics"
        | "watch_events" => Needs::Right(Right::View),
        "get_token" | "revoke_token" => Needs::Owner,
        "list_mismatches" => Needs::Right(Right::ViewRows),
        "test_connection"
        | "act_on_pipeline"
        | "act_on_table"
        | "create_verification"
        | "create_resync"
        | "cancel_operation" => Needs::Right(Right::Operate),
        "create_connection"
        | "change_connection"
        | "delete_connection"
        | "test_new_connection"
        | "create_plan"
        | "create_pipeline"
        | "change_pipeline"
        | "delete_pipeline"
        | "add_tables" => Needs::Right(Right::Edit),
        "list_users" | "get_user" | "create_user" | "change_user" | "delete_user" => {
            Needs::Right(Right::Administer)
        }
        "list_audit" => Needs::Right(Right::Audit),
        "create_tenant" | "delete_tenant" => Needs::Tenants,
        other => panic!("say what the operation {other} needs"),
    }
}

/// A tenant, its things, and who manages it.
struct Place {
    tenant: String,
    admin: Client,
    connection: String,
    target: String,
    pipeline: String,
    verification: String,
    token: String,
    user: String,
}

impl Place {
    async fn furnish(server: &Server, admin: Client, user: &str) -> Self {
        let id = |answer: &crate::server::Answer| {
            assert!(answer.status.is_success(), "{}", answer.text);
            answer.json()["id"].as_str().unwrap().to_owned()
        };
        let post = async |path: &str, body: Value| server.post(&admin, path, body).await;
        let connection = id(&post("/api/v1/connections", source("source")).await);
        let mut other = source("target");
        other["kind"] = json!("sqlserver");
        let target = id(&post("/api/v1/connections", other).await);
        let new = json!({"name": "orders", "source_id": connection, "target_id": target});
        let pipeline = id(&post("/api/v1/pipelines", new).await);
        let verifications = format!("/api/v1/pipelines/{pipeline}/verifications");
        let verification = id(&post(&verifications, json!({})).await);
        let token = id(&post("/api/v1/tokens", json!({"name": "ci", "role": "viewer"})).await);
        let new = json!({"name": user, "password": PASSWORD, "role": "viewer"});
        let user = id(&post("/api/v1/users", new).await);
        let tenant =
            server.get(&admin, "/api/v1/me").await.json()["tenant"]["id"].as_str().unwrap().to_owned();
        Place { tenant, admin, connection, target, pipeline, verification, token, user }
    }

    /// A path of the description, filled with this tenant's things.
    fn path(&self, pattern: &str) -> String {
        let id = match pattern.split('/').nth(3) {
            Some("connections") => &self.connection,
            Some("pipelines") => &self.pipeline,
            Some("operations") => &self.verification,
            Some("tokens") => &self.token,
            Some("users") => &self.user,
            Some("tenants") => &self.tenant,
            _ => "",
        };
        let action = if pattern.contains("{table}") { "verify" } else { "stop" };
        let filled =
            pattern.replace("{id}", id).replace("{action}", action).replace("{table}", "public.orders");
        let filled = filled.replace("{number}", "7").replace("{verification}", &self.verification);
        assert!(!filled.contains('{'), "say what is in {pattern}");
        filled
    }

    /// A body for an operation that takes one.
    fn body(&self, operation: &str, unique: &str) -> Option<Value> {
        Some(match operation {
            "create_connection" | "test_new_connection" => source(unique),
            "change_connection" => json!({"name": unique}),
            "create_pipeline" | "create_plan" => {
                json!({"name": unique.replace('-', "_"), "source_id": self.connection, "target_id": self.target})
            }
            "change_pipeline" => json!({"readers": 2}),
            "create_verification" | "create_resync" => json!({}),
            "add_tables" => json!({"tables": ["public.t"]}),
            "create_tenant" => json!({"name": unique}),
            "create_user" => json!({"name": unique, "password": PASSWORD, "role": "viewer"}),
            "change_user" => json!({"role": "viewer"}),
            "create_token" => json!({"name": unique, "role": "viewer"}),
            "choose_tenant" => json!({"tenant_id": self.tenant}),
            _ => return None,
        })
    }

    /// All that is to be seen of this tenant by who manages it.
    async fn all(&self, server: &Server) -> Vec<Value> {
        let mut all = Vec::new();
        for list in ["connections", "pipelines", "operations", "users", "tokens", "audit"] {
            let found = server.get(&self.admin, &format!("/api/v1/{list}?limit=500")).await;
            assert_eq!(found.status, 200, "{}", found.text);
            all.push(found.json()["items"].clone());
        }
        all
    }
}

#[tokio::test]
async fn everybody_does_what_they_may_in_their_tenant_and_nothing_in_another() {
    let (server, ada) = Server::start().await;
    let made = server.post(&ada, "/api/v1/tenants", json!({"name": "globex"})).await.json();
    let there = format!("/api/v1/users?tenant={}", made["id"].as_str().unwrap());
    let gus = json!({"name": "gus", "password": PASSWORD, "role": "admin"});
    assert_eq!(server.post(&ada, &there, gus).await.status, 201);
    let theirs = Place::furnish(&server, server.sign_in("gus").await, "greta").await;
    let ours = Place::furnish(&server, ada.clone(), "alan").await;
    let mut clients = Vec::new();
    for role in Role::ALL {
        clients
            .push((role, server.person(&ada, &format!("one_{role:?}").to_lowercase(), role.as_str()).await));
    }
    // What has begun in their tenant has to end, so that nothing changes by itself.
    let settled = async || loop {
        let all = theirs.all(&server).await;
        if !all[2].to_string().contains("RUNNING") {
            return all;
        }
        tokio::task::yield_now().await;
    };
    let before = settled().await;
    let document = segcdc_api::description();
    let mut asked = 0;
    for (pattern, method, described) in operations(&document) {
        let operation = described["operationId"].as_str().unwrap();
        let needs = needs(operation);
        assert_eq!(needs == Needs::Nothing, described["security"] == json!([]), "{operation}");
        if matches!(operation, "logout" | "change_password" | "watch_events") || needs == Needs::Nothing {
            continue;
        }
        for (role, client) in &clients {
            let any = client.with("if-match", "*");
            let unique = format!("{}-{}", operation.replace('_', "-"), role.as_str());
            let mut send = async |place: &Place, path: String| {
                asked += 1;
                let body = place.body(operation, &unique);
                let answer = server.send(&any, &method.to_uppercase(), &path, body).await;
                let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
                (answer.status.as_u16(), code, format!("{method} {path} as {role:?}: {}", answer.text))
            };
            let refused = match needs {
                Needs::Right(right) => !role.may(right),
                Needs::Tenants => true,
                Needs::Owner => !role.may(Right::Administer),
                Needs::Oneself | Needs::Nothing => false,
            };
            // Theirs, by its ids.
            if pattern.contains('{') || operation == "choose_tenant" {
                let (status, code, said) = send(&theirs, theirs.path(&pattern)).await;
                let expected =
                    if refused { [(403, "FORBIDDEN"), (404, "NOT_FOUND")] } else { [(404, "NOT_FOUND"); 2] };
                assert!(expected.contains(&(status, code.as_str())), "{said}");
            }
            // Theirs, by naming it.
            let named = format!("{}?tenant={}", ours.path(&pattern), theirs.tenant);
            let (status, code, said) = send(&ours, named).await;
            assert_eq!((status, code.as_str()), (404, "NOT_FOUND"), "{said}");
            // Ours; what deletes is left to others, but for those who may not.
            if method == "delete" && !refused {
                continue;
            }
            let (status, code, said) = send(&ours, ours.path(&pattern)).await;
            if refused {
                let expected = if needs == Needs::Owner { (404, "NOT_FOUND") } else { (403, "FORBIDDEN") };
                assert_eq!((status, code.as_str()), expected, "{said}");
            } else {
                // Their servers cannot be reached; and it was stopped, cancelled or there already.
                assert!(matches!(status, 200..=299 | 409 | 502), "{said}");
            }
        }
    }
    assert!(asked > 400, "{asked}");
    assert_eq!(settled().await, before, "nothing in their tenant has changed, its audit log included");
}
