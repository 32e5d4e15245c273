//! From entries of a mapping to rules as the flags take them.

use super::document::{Content, Key, Node};
use super::settings::{DEFAULT, Rules};

/// The rules that an entry says, each with what is wrong with it instead where something is.
pub(super) fn rules(
    form: Rules,
    key: &Key,
    value: &Node,
    text: &mut dyn FnMut(&Node) -> Option<String>,
) -> Vec<Result<String, (&'static str, Node)>> {
    let name = &key.name;
    let is_default = name == DEFAULT;
    let wrong = |reason: &'static str| vec![Err((reason, value.clone()))];
    match (form, &value.content) {
        (Rules::EqualsOrAll | Rules::CountOrAll, Content::Scalar(..)) if is_default => one(text(value)),
        (Rules::Equals | Rules::Constant | Rules::EqualsOrAll | Rules::CountOrAll, Content::Scalar(..)) => {
            one(text(value).map(|says| format!("{name}={says}")))
        }
        (Rules::CountOrAll, _) => wrong("a number is expected behind each key"),
        (Rules::Equals | Rules::Constant | Rules::EqualsOrAll, _) => {
            wrong("a text is expected behind each key")
        }
        (Rules::Condition, Content::Scalar(..)) => one(text(value).map(|says| format!("{name}: {says}"))),
        (Rules::Condition, _) => wrong("a condition in SQL is expected behind each table"),
        (Rules::Columns | Rules::IndexOrColumns, Content::List(columns)) => {
            match columns.iter().find(|column| !matches!(column.content, Content::Scalar(..))) {
                Some(column) => vec![Err(("names of columns are expected", column.clone()))],
                None => {
                    let names: Option<Vec<String>> = columns.iter().map(text).collect();
                    one(names.map(|names| format!("{name}=({})", names.join(", "))))
                }
            }
        }
        (Rules::IndexOrColumns, Content::Scalar(..)) => one(text(value).map(|says| format!("{name}={says}"))),
        (Rules::Columns, _) => wrong("a list of columns is expected behind each table"),
        (Rules::IndexOrColumns, _) => wrong("an index or a list of columns is expected behind each table"),
        (Rules::Changes, Content::Scalar(..)) if is_default => one(text(value)),
        (Rules::Changes, Content::Scalar(..)) => {
            // A kind of change has no dot, a table has one.
            let sign = if name.contains('.') { ':' } else { '=' };
            one(text(value).map(|says| format!("{name}{sign}{says}")))
        }
        (Rules::Changes, Content::Map(kinds)) => kinds
            .iter()
            .flat_map(|(kind, value)| match value.content {
                Content::Scalar(..) => one(text(value).map(|says| {
                    if kind.name == DEFAULT {
                        format!("{name}:{says}")
                    } else {
                        format!("{name}:{}={says}", kind.name)
                    }
                })),
                _ => vec![Err(("a policy is expected behind each kind of change", value.clone()))],
            })
            .collect(),
        (Rules::Changes, Content::List(_)) => wrong("a policy, or kinds with policies, are expected"),
    }
}

fn one(rule: Option<String>) -> Vec<Result<String, (&'static str, Node)>> {
    rule.map(Ok).into_iter().collect()
}
