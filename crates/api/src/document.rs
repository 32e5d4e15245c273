//! The description of the API as OpenAPI 3.1, made from the handlers. What all routes have in common is added here, so that
//! none of them can forget it.

use serde_json::{Value, json};
use utoipa::openapi::{Info, InfoBuilder, OpenApi, OpenApiBuilder};

use crate::problem::{Problem, ProblemField};

/// Routes that are for those who have not signed in.
const OPEN: [(&str, &str); 5] = [
    ("/api/v1/setup", "get"),
    ("/api/v1/setup", "post"),
    ("/api/v1/auth/login", "post"),
    ("/healthz", "get"),
    ("/readyz", "get"),
];

/// What is said before all routes.
const ABOUT: &str = "Replicate PostgreSQL to SQL Server, over HTTP.\n\n\
    Errors are `application/problem+json` with a stable `code` and a `hint`. Lists come in parts: send `next_cursor` as \
    `cursor`. Objects have their version as ETag; PATCH needs it as `If-Match`. A POST with `Idempotency-Key` that is sent \
    again within a day gets the answer of the first and is not carried out again (a draft of the IETF, \
    draft-ietf-httpapi-idempotency-key-header-07).";

/// What the description begins with.
pub(crate) fn frame() -> OpenApi {
    OpenApiBuilder::new().info(info()).build()
}

fn info() -> Info {
    InfoBuilder::new().title("SEG CDC").version(env!("CARGO_PKG_VERSION")).description(Some(ABOUT)).build()
}

/// The whole description, of what the handlers say.
pub(crate) fn complete(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    add_schemas(&mut document);
    add_credentials(&mut document);
    for (path, methods) in document.pointer_mut("/paths").and_then(Value::as_object_mut).into_iter().flatten()
    {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            add_common(path, method, operation);
        }
    }
    document
}

/// Adds what an operation has in common with the others.
fn add_common(path: &str, method: &str, operation: &mut Value) {
    let problem = json!({
        "description": "Refused or failed.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    put(operation, &["responses", "default"], problem);
    if OPEN.contains(&(path, method)) {
        return put(operation, &["security"], json!([]));
    }
    let mut parameters = operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
    parameters.push(json!({
        "name": "tenant", "in": "query", "required": false, "schema": {"type": "string", "format": "uuid"},
        "description": "Look at another tenant of yours.",
    }));
    if method == "post" {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "schema": {"type": "string", "minLength": 1, "maxLength": 200},
            "description": "A word of your own for this request; sent again with it, it is answered as before.",
        }));
    }
    if method == "patch" {
        parameters.push(json!({
            "name": "If-Match", "in": "header", "required": true, "schema": {"type": "string"},
            "description": "The ETag of the object that was read, or *.",
        }));
    }
    put(operation, &["parameters"], Value::Array(parameters));
}

/// Puts a value at a path of keys, whose objects are made if they are not there.
fn put(at: &mut Value, path: &[&str], value: Value) {
    let Some((key, rest)) = path.split_first() else {
        *at = value;
        return;
    };
    if !at.is_object() {
        *at = json!({});
    }
    if let Some(fields) = at.as_object_mut() {
        put(fields.entry(*key).or_insert(Value::Null), rest, value);
    }
}

fn add_schemas(document: &mut Value) {
    use utoipa::PartialSchema;
    let schemas = [
        ("Problem", serde_json::to_value(Problem::schema())),
        ("ProblemField", serde_json::to_value(ProblemField::schema())),
    ];
    for (name, schema) in schemas {
        put(document, &["components", "schemas", name], schema.unwrap_or_default());
    }
}

fn add_credentials(document: &mut Value) {
    let schemes = json!({
        "token": {"type": "http", "scheme": "bearer", "description": "An API token, segcdc_pat_..."},
        "session": {
            "type": "apiKey", "in": "cookie", "name": "segcdc",
            "description": "The cookie of /auth/login (__Host-segcdc over HTTPS); requests that change something also \
                            carry X-CSRF-Token.",
        },
    });
    put(document, &["components", "securitySchemes"], schemes);
    put(document, &["security"], json!([{"token": []}, {"session": []}]));
}
