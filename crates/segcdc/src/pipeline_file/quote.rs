//! Texts as YAML writes them.

/// A text as YAML: plain where nothing could take it for anything else, in quotes otherwise.
pub(super) fn quoted(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_'));
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "/._-:=?&$%+@(".contains(c);
    // A colon ends a key where a blank follows, or nothing.
    let is_plain = begins && text.chars().all(|c| is_safe(c) || c == ')') && !text.ends_with(':');
    let is_word =
        matches!(text.to_ascii_lowercase().as_str(), "null" | "true" | "false" | "yes" | "no" | "on" | "off");
    if is_plain && !is_word {
        text.to_owned()
    } else if text.chars().any(char::is_control) {
        // A string of JSON is one of YAML.
        serde_json::Value::from(text).to_string()
    } else {
        format!("'{}'", text.split('\'').collect::<Vec<_>>().join("''"))
    }
}
