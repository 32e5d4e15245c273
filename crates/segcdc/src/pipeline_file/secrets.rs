//! Passwords: where a pipeline file may have them from, and how they come into a URL.

use std::fmt::Write;

/// Whether a URL, as it is written in the file, has a password in it that is no reference.
pub(super) fn in_clear(url: &str) -> bool {
    let secret = |text: &str| !text.is_empty() && !super::references::is_reference(text);
    let in_user = user_info(url).and_then(|user| user.split_once(':')).is_some_and(|(_, text)| secret(text));
    let (_, query) = url.split_once('?').unwrap_or_default();
    let in_query = query.split('&').filter_map(|pair| pair.split_once('=')).any(|(name, text)| {
        matches!(name.to_ascii_lowercase().as_str(), "password" | "pwd" | "sslpassword") && secret(text)
    });
    in_user || in_query
}

/// A URL with a password for its user. `None` for a URL that names no user, or has a password already.
pub(super) fn with_password(url: &str, password: &str) -> Option<String> {
    let user = user_info(url).filter(|user| !user.is_empty() && !user.contains(':'))?;
    let (scheme, _) = url.split_once("://")?;
    let rest = url.get(scheme.len() + 3 + user.len()..)?;
    Some(format!("{scheme}://{user}:{}{rest}", encoded(password)))
}

/// A URL without the password of its user, and whether there was one.
pub(super) fn without_password(url: &str) -> (String, bool) {
    // Without a user there is nothing that a password could be added to again.
    let with = user_info(url).and_then(|info| Some((info, info.split_once(':')?.0)));
    let with = with.filter(|(_, user)| !user.is_empty());
    match with.zip(url.split_once("://")) {
        Some(((info, user), (scheme, rest))) => {
            let behind = rest.strip_prefix(info).unwrap_or_default();
            (format!("{scheme}://{user}{behind}"), true)
        }
        None => (url.to_owned(), false),
    }
}

/// What stands in front of the `@` of a URL.
fn user_info(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A reference may stand for a password with any character in it.
    let authority = rest.get(..end)?;
    Some(authority.rsplit_once('@')?.0)
}

/// A text as it may stand in a URL: everything but letters and digits as its bytes.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_the_clear_are_found() {
        for (url, expected) in [
            ("postgres://app:secret@h/d", true),
            ("postgres://app:${P}@h/d", false),
            ("postgres://app:${P:-secret}@h/d", true),
            ("postgres://app:x${P}@h/d", true),
            ("postgres://app@h/d", false),
            ("postgres://app:@h/d", false),
            ("${URL}", false),
            ("@/run/secrets/url", false),
            ("postgres://app@h/d?password=x", true),
            ("postgres://app@h/d?sslmode=require&password=${P}", false),
            ("sqlserver://h/d?Password=x", true),
        ] {
            assert_eq!(in_clear(url), expected, "{url}");
        }
    }

    #[test]
    fn a_password_comes_behind_its_user() {
        let check = |url: &str, expected: Option<&str>| {
            assert_eq!(with_password(url, "a@/ü").as_deref(), expected, "{url}");
        };
        check("postgres://app@h:1,g:2/d?x=1", Some("postgres://app:a%40%2F%C3%BC@h:1,g:2/d?x=1"));
        check("sqlserver://app@h", Some("sqlserver://app:a%40%2F%C3%BC@h"));
        check("postgres://h/d", None);
        check("postgres://app:x@h/d", None);
        check("postgres://@h/d", None);
        check("app@h", None);
        check("postgres://h/d?x=@", None);
    }
}
