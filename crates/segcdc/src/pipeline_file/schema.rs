//! The JSON schema of a pipeline file, by which editors complete and check it: a function of [`SETTINGS`] and of the command
//! line, and compared with docs/reference/pipeline.schema.json by a test.

use clap::{Arg, Command};
use serde_json::{Map, Value, json};

use super::settings::{DEFAULT, Form, OTHERS, Rules, SETTINGS, Setting, VERSION};

/// What a reference looks like, which may stand for any value.
const REFERENCE: &str = "^\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}$";

/// The schema, by the command line.
pub(super) fn schema(command: &Command) -> Value {
    let mut properties = Map::new();
    for (path, example, meaning) in OTHERS {
        let mut schema = match path {
            VERSION => json!({"const": 1}),
            path if path.ends_with("password") => json!({"type": "string", "pattern": REFERENCE}),
            _ => json!({"type": "string"}),
        };
        describe(&mut schema, meaning, None, &[example.to_owned()]);
        put(&mut properties, path, schema);
    }
    for setting in &SETTINGS {
        let Some(argument) = argument(command, setting) else { continue };
        let mut schema = of_form(setting, argument);
        let default = argument.get_default_values().first().map(|default| default.to_string_lossy());
        describe(&mut schema, &help(argument), default.as_deref(), &[]);
        put(&mut properties, setting.path, schema);
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "SEG CDC pipeline",
        "description": "One pipeline from PostgreSQL to SQL Server. A text may hold ${NAME} or ${NAME:-default} for a variable of the environment.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

/// The argument of a setting.
pub(super) fn argument<'a>(command: &'a Command, setting: &Setting) -> Option<&'a Arg> {
    let up = command.find_subcommand("up")?;
    up.get_arguments().find(|argument| argument.get_id() == setting.argument)
}

/// What an argument means, in one paragraph.
pub(super) fn help(argument: &Arg) -> String {
    argument.get_help().map(ToString::to_string).unwrap_or_default()
}

/// The words that an argument takes, with what they mean.
pub(super) fn words(argument: &Arg) -> Vec<(String, String)> {
    let meaning =
        |value: &clap::builder::PossibleValue| value.get_help().map(ToString::to_string).unwrap_or_default();
    argument.get_possible_values().iter().map(|value| (value.get_name().to_owned(), meaning(value))).collect()
}

/// Puts a schema into its section, which is made when it is the first in there.
fn put(properties: &mut Map<String, Value>, path: &str, schema: Value) {
    let Some((section, key)) = path.split_once('.') else {
        properties.insert(path.to_owned(), schema);
        return;
    };
    let section = properties.entry(section).or_insert_with(|| {
        // A section without a key has no value.
        json!({"type": ["object", "null"], "additionalProperties": false, "properties": {}})
    });
    if let Some(Value::Object(keys)) = section.get_mut("properties") {
        keys.insert(key.to_owned(), schema);
    }
}

fn of_form(setting: &Setting, argument: &Arg) -> Value {
    let reference = json!({"type": "string", "pattern": REFERENCE});
    // What is asked for is a text, whatever it looks like in YAML.
    let text = json!({"type": ["string", "number", "boolean"]});
    match setting.form {
        Form::Text | Form::Path | Form::Url | Form::Secret => json!({"type": "string"}),
        Form::Choice => {
            let words: Vec<String> = words(argument).into_iter().map(|(word, _)| word).collect();
            json!({"anyOf": [{"enum": words}, reference]})
        }
        Form::Number(least, most) => {
            json!({"anyOf": [{"type": "integer", "minimum": least, "maximum": most}, reference]})
        }
        Form::Flag => json!({"anyOf": [{"type": "boolean"}, reference]}),
        Form::List => json!({"type": ["array", "null"], "items": {"type": "string"}}),
        Form::Rules(rules) => {
            let policy = json!({"type": ["string", "null"]});
            let count = json!({"anyOf": [{"type": "integer", "minimum": 0}, reference]});
            let columns = json!({"type": "array", "items": text, "minItems": 1});
            let value = match rules {
                Rules::Equals | Rules::Constant | Rules::Condition => text,
                Rules::EqualsOrAll => policy,
                Rules::CountOrAll => count.clone(),
                Rules::Columns => columns,
                Rules::IndexOrColumns => json!({"anyOf": [text, columns]}),
                Rules::Changes => {
                    json!({"anyOf": [text, {"type": "object", "additionalProperties": {"type": "string"}}]})
                }
            };
            let mut schema = json!({"type": ["object", "null"], "additionalProperties": value});
            if matches!(rules, Rules::EqualsOrAll | Rules::CountOrAll | Rules::Changes)
                && let Value::Object(keys) = &mut schema
            {
                let description = "Everything of which nothing else is said";
                let everything = match rules {
                    Rules::CountOrAll => json!({"anyOf": count["anyOf"], "description": description}),
                    _ => json!({"type": ["string", "null"], "description": description}),
                };
                keys.insert("properties".to_owned(), json!({DEFAULT: everything}));
            }
            schema
        }
    }
}

fn describe(schema: &mut Value, meaning: &str, default: Option<&str>, examples: &[String]) {
    let Value::Object(keys) = schema else { return };
    keys.insert("description".to_owned(), Value::String(meaning.to_owned()));
    if let Some(default) = default {
        let value = match default.parse::<u64>() {
            Ok(number) => json!(number),
            Err(_) if matches!(default, "true" | "false") => json!(default == "true"),
            Err(_) => json!(default),
        };
        keys.insert("default".to_owned(), value);
    }
    if !examples.is_empty() {
        keys.insert("examples".to_owned(), json!(examples));
    }
}
