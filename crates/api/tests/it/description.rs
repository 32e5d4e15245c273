//! The description of the API: it is checked in, complete, and what is enforced.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::server::{Client, Server};

/// Where it is checked in.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");

/// Words of JSON Schema that the check of bodies knows, and those that only explain.
const KNOWN: [&str; 21] = [
    "$ref",
    "additionalProperties",
    "allOf",
    "default",
    "description",
    "enum",
    "example",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "oneOf",
    "properties",
    "required",
    "type",
    "title",
    "nullable",
];

/// The file is what the handlers say. With `SEGCDC_WRITE_PAGES` set, it is written.
#[test]
fn openapi_page() {
    let text = format!("{:#}\n", segcdc_api::description());
    if std::env::var_os("SEGCDC_WRITE_PAGES").is_some() {
        fs::write(PAGE, &text).unwrap();
    }
    let page = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(page == text, "docs/reference/openapi.json is not current; run `cargo xtask reference --write`");
    assert_eq!(segcdc_api::description()["openapi"], "3.1.0");
}

/// All operations: path, method, what is said about it.
pub(crate) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.iter().map(|(method, operation)| (path.clone(), method.clone(), operation.clone()))
        })
        .collect()
}

#[test]
fn every_operation_is_described() {
    let document = segcdc_api::description();
    let all = operations(&document);
    assert!(all.len() > 20);
    let mut ids = BTreeSet::new();
    for (path, method, operation) in &all {
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
            "{method} {path}: the id is there twice"
        );
        assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{method} {path}");
        assert!(operation["responses"]["default"].is_object(), "{method} {path}");
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{method} {path}");
    }
}

#[test]
fn what_is_described_is_what_is_checked() {
    let document = segcdc_api::description();
    let mut todo = Vec::new();
    for (path, method, operation) in operations(&document) {
        if let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") {
            todo.push((format!("{method} {path}"), schema.clone()));
        }
    }
    assert!(todo.len() > 5);
    while let Some((place, schema)) = todo.pop() {
        let fields = schema.as_object().unwrap_or_else(|| panic!("{place}: {schema}"));
        for key in fields.keys() {
            assert!(KNOWN.contains(&key.as_str()), "{place}: the check of bodies does not know {key}");
        }
        assert!(!fields.contains_key("allOf"), "{place}: allOf is not checked");
        if let Some(name) = schema["$ref"].as_str() {
            let target = document.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name}"));
            todo.push((name.to_owned(), target.clone()));
        }
        if schema["type"] == "object" {
            assert_eq!(
                schema["additionalProperties"], false,
                "{place}: a misspelt field would be passed over"
            );
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            todo.push((format!("{place}/{name}"), field.clone()));
        }
        for choice in schema["oneOf"].as_array().into_iter().flatten() {
            todo.push((place.clone(), choice.clone()));
        }
    }
}

/// Every route that is not for everybody refuses who has not signed in, before it looks at anything else.
#[tokio::test]
async fn nobody_gets_in_without_credentials() {
    let (server, _ada) = Server::start().await;
    let document = server.get(&Client::default(), "/api/v1/openapi.json").await.json();
    let id = "0192f0c4-7b7e-7c3a-8f00-000000000000";
    let mut refused = 0;
    for (path, method, operation) in operations(&document) {
        if operation["security"] == Value::Array(Vec::new()) {
            continue;
        }
        let path = path.replace("{id}", id).replace("{number}", "1");
        let answer = server.send(&Client::default(), &method.to_uppercase(), &path, None).await;
        assert_eq!(answer.problem(), (401, "UNAUTHENTICATED".to_owned()), "{method} {path}");
        refused += 1;
    }
    assert!(refused > 15, "{refused}");
}

#[tokio::test]
async fn pages_are_all_from_this_server() {
    let (server, _ada) = Server::start().await;
    let nobody = Client::default();
    let attributes = ["src=\"http", "href=\"http", "src=\"//", "href=\"//"];
    // A page of errors speaks of imports; a script and a style make them.
    for (path, words) in [
        ("/docs", &attributes[..]),
        ("/docs/errors", &attributes),
        ("/docs/script.js", &["import ", "import(", "http:", "https:"]),
        ("/docs/style.css", &["@import", "url("]),
    ] {
        let page = server.get(&nobody, path).await;
        assert_eq!(page.status, 200, "{path}");
        for word in words {
            assert!(!page.text.contains(word), "{path} loads from elsewhere: {word}");
        }
    }
    let moved = server.get(&nobody, "/").await;
    assert_eq!((moved.status.as_u16(), moved.header("location").as_str()), (307, "/docs"));
}
