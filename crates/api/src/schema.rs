//! Bodies compared with their own description: what OpenAPI says about a request is what is asked of it, and all that is
//! wrong is found at once. Pure.
//!
//! It knows the part of JSON Schema that our descriptions use, which a test holds to be all of it.

use segcdc_control::field::{FieldError, FieldProblem, Findings};
use segcdc_control::spelling::nearest;
use serde_json::{Map, Value};

/// Compares a body with the schema of a name in the document.
pub(crate) fn check(document: &Value, name: &str, body: &Value) -> Findings {
    let mut checker = Checker { document, findings: Findings::default() };
    if let Some(schema) = document.pointer(&format!("/components/schemas/{name}")) {
        checker.value(schema, body, "");
    }
    checker.findings
}

struct Checker<'a> {
    document: &'a Value,
    findings: Findings,
}

// === impl Checker ===

impl Checker<'_> {
    /// Compares a value at a pointer with a schema.
    fn value(&mut self, schema: &Value, value: &Value, pointer: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let target = self.document.pointer(name.trim_start_matches('#')).cloned().unwrap_or_default();
            return self.value(&target, value, pointer);
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let is_null = |choice: &&Value| choice["type"] == "null";
            if value.is_null() && choices.iter().any(|choice| is_null(&choice)) {
                return;
            }
            if let Some(choice) = choices.iter().find(|choice| !is_null(choice)) {
                self.value(choice, value, pointer);
            }
            return;
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect(),
        };
        if !types.is_empty() && !types.iter().any(|name| is_of(value, name)) {
            let expected = types.iter().map(|name| article(name)).collect::<Vec<_>>().join(" or ");
            return self.note(pointer, FieldError::Type { expected });
        }
        match value {
            Value::Object(fields) => self.object(schema, fields, pointer),
            Value::Array(items) => self.array(schema, items, pointer),
            Value::String(text) => self.text(schema, text, pointer),
            Value::Number(number) => {
                self.bounds(schema, ["minimum", "maximum"], number.as_i64().unwrap_or(i64::MAX), pointer);
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, pointer: &str) {
        let none = Map::new();
        let known = schema["properties"].as_object().unwrap_or(&none);
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                self.note(&below(pointer, name), FieldError::Required);
            }
        }
        for (name, value) in fields {
            match known.get(name) {
                Some(schema) => self.value(schema, value, &below(pointer, name)),
                None if schema["additionalProperties"] == Value::Bool(false) => {
                    let near = nearest(name, known.keys().map(String::as_str)).map(str::to_owned);
                    self.note(&below(pointer, name), FieldError::Unknown { near });
                }
                None => {}
            }
        }
    }

    fn array(&mut self, schema: &Value, items: &[Value], pointer: &str) {
        self.bounds(schema, ["minItems", "maxItems"], count(items.len()), pointer);
        for (index, item) in items.iter().enumerate() {
            self.value(&schema["items"], item, &below(pointer, &index.to_string()));
        }
    }

    fn text(&mut self, schema: &Value, text: &str, pointer: &str) {
        if let Some(words) = schema["enum"].as_array() {
            let allowed: Vec<String> = words.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            if !allowed.iter().any(|word| word == text) {
                self.note(pointer, FieldError::Enum { allowed });
            }
        }
        self.bounds(schema, ["minLength", "maxLength"], count(text.chars().count()), pointer);
    }

    fn bounds(&mut self, schema: &Value, [least, most]: [&str; 2], value: i64, pointer: &str) {
        let min = schema[least].as_i64();
        let max = schema[most].as_i64();
        if min.is_some_and(|min| value < min) || max.is_some_and(|max| value > max) {
            let (min, max) = (min.unwrap_or(0), max.unwrap_or(i64::MAX));
            let is_port = pointer.ends_with("/port");
            self.note(pointer, if is_port { FieldError::Port } else { FieldError::Range { min, max } });
        }
    }

    fn note(&mut self, pointer: &str, error: FieldError) {
        self.findings.push(FieldProblem { pointer: pointer.to_owned(), error });
    }
}

/// Whether a value is of a type of JSON Schema.
fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

fn article(name: &str) -> String {
    match name {
        "integer" | "array" | "object" => format!("an {name}"),
        "null" => "null".to_owned(),
        _ => format!("a {name}"),
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A pointer one step deeper (RFC 6901).
fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_control::field::FieldProblems;
    use serde_json::json;

    /// Codes of what is wrong, with their pointers.
    fn wrong(body: &Value) -> Vec<String> {
        let document = json!({"components": {"schemas": {
            "Inner": {"type": "object", "additionalProperties": false, "properties": {"x": {"type": "integer"}}},
            "Thing": {
                "type": "object",
                "additionalProperties": false,
                "required": ["name", "kind"],
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 3},
                    "kind": {"type": "string", "enum": ["a", "b"]},
                    "port": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535},
                    "inner": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Inner"}]},
                    "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
                    "password": {"type": "string"},
                },
            },
        }}});
        let found = check(&document, "Thing", body).finish();
        let texts = |problems: FieldProblems| {
            problems.all().map(|one| format!("{} {}", one.pointer, one.error.code())).collect()
        };
        found.err().map(texts).unwrap_or_default()
    }

    #[test]
    fn what_fits_passes() {
        assert_eq!(wrong(&json!({"name": "x", "kind": "a"})), [""; 0]);
        let all = json!({"name": "äöü", "kind": "b", "port": null, "inner": {"x": 1}, "tags": ["a", "b"]});
        assert_eq!(wrong(&all), [""; 0]);
        assert_eq!(wrong(&json!({"name": "x", "kind": "a", "inner": null, "port": 1})), [""; 0]);
    }

    #[test]
    fn all_that_is_wrong_is_found_at_once() {
        let body = json!({
            "name": "", "kind": "c", "port": "5432", "inner": {"x": 1.5, "y/z": 1}, "tags": [1, "b", "c"], "pasword": "p",
        });
        let mut found = wrong(&body);
        found.sort();
        assert_eq!(
            found,
            [
                "/inner/x TYPE",
                "/inner/y~1z UNKNOWN_FIELD",
                "/kind ENUM",
                "/name RANGE",
                "/pasword UNKNOWN_FIELD",
                "/port TYPE",
                "/tags RANGE",
                "/tags/0 TYPE",
            ]
        );
        assert_eq!(wrong(&json!({})), ["/name FIELD_REQUIRED", "/kind FIELD_REQUIRED"]);
        assert_eq!(wrong(&json!([])), [" TYPE"]);
        for port in [json!(0), json!(65536), json!(-1), json!(u64::MAX)] {
            assert_eq!(wrong(&json!({"name": "x", "kind": "a", "port": port})), ["/port PORT_RANGE"]);
        }
    }
}
