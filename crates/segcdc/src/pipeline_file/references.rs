//! `${NAME}` in a text: what a variable of the environment holds.

/// Replaces references in a text by what `variable` says: `${NAME}`, and `${NAME:-default}` for what counts when the variable is not
/// set or empty. `$${` stands for `${`; every other dollar sign for itself.
///
/// # Errors
/// Which reference is wrong, and why; without any value.
pub(super) fn resolve(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = behind;
            continue;
        }
        out.push_str(before);
        let Some((inside, after)) = behind.split_once('}') else {
            return Err("a reference has no closing brace".to_owned());
        };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
            return Err(format!("\"{shown}\" is no name of a variable"));
        }
        match (variable(name).filter(|value| !value.is_empty()), default) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(format!("the variable {name} is not set, or empty")),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Whether a text is one reference and nothing else, without a default that would be in the clear.
pub(super) fn is_reference(text: &str) -> bool {
    text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).is_some_and(is_name)
}

fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<String, String> {
        resolve(text, &|name| match name {
            "USER" => Some("app".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICKY" => Some("${USER}".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn references_become_what_variables_hold() {
        for (text, expected) in [
            ("", ""),
            ("no reference, $5 and $$tag$$", "no reference, $5 and $$tag$$"),
            ("${USER}", "app"),
            ("a${USER}b${USER}", "aappbapp"),
            ("${MISSING:-x}${EMPTY:-y}${USER:-z}", "xyapp"),
            ("${MISSING:-}", ""),
            ("$${USER}", "${USER}"),
            // What a variable holds is not looked at again.
            ("${TRICKY}", "${USER}"),
        ] {
            assert_eq!(resolved(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("${MISSING}", "the variable MISSING is not set, or empty"),
            ("${EMPTY}", "the variable EMPTY is not set, or empty"),
            ("${USER", "a reference has no closing brace"),
            ("${}", "\"\" is no name of a variable"),
            ("${file:/etc/passwd}", "\"file:/etc/passwd\" is no name of a variable"),
            ("${1A}", "\"1A\" is no name of a variable"),
        ] {
            assert_eq!(resolved(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_secret_is_one_reference() {
        for (text, expected) in
            [("${A}", true), ("${A:-b}", false), ("x${A}", false), ("${A}${B}", false), ("", false)]
        {
            assert_eq!(is_reference(text), expected, "{text}");
        }
    }
}
