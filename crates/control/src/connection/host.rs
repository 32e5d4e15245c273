//! Host names and addresses, as they are written.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::field::FieldError;

/// Longest host name of the DNS.
const MAX_HOST_BYTES: usize = 253;

/// A host as it is stored: a name without its final dot, or an address without brackets.
///
/// Only the usual spelling of an address is one: `127.1`, `0x7f000001` and `2130706433` are neither names nor addresses,
/// though resolvers read them as 127.0.0.1.
///
/// # Errors
/// [`FieldError::HostIsUrl`], [`FieldError::HostNotAllowed`] for a socket's path, else [`FieldError::Host`].
pub fn check_host(text: &str) -> Result<String, FieldError> {
    if text.contains("://") || text.starts_with("jdbc:") {
        return Err(FieldError::HostIsUrl);
    }
    if text.starts_with(['/', '@']) {
        return Err(FieldError::HostNotAllowed { place: "sockets of its own machine".to_owned() });
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_form| FieldError::Host)?;
        return Ok(address.to_string());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .or(last.strip_prefix("0X"))
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_number {
        let address: Ipv4Addr = name.parse().map_err(|_form| FieldError::Host)?;
        return Ok(address.to_string());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > MAX_HOST_BYTES || !name.split('.').all(label) {
        return Err(FieldError::Host);
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_hosts() {
        for (text, stored) in [
            ("db1", "db1"),
            ("DB1.Example.COM.", "db1.example.com"),
            ("my_db", "my_db"),
            ("192.0.2.7", "192.0.2.7"),
            ("[2001:DB8::7]", "2001:db8::7"),
            ("1st.example", "1st.example"),
        ] {
            assert_eq!(check_host(text), Ok(stored.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_could_be_something_else_is_not_a_host() {
        let long = "a.".repeat(200);
        for text in [
            "",
            " ",
            "a b",
            "a;TrustServerCertificate=true",
            "a\nb",
            "a\0",
            "user@db",
            &long,
            "..",
            "a..b",
            "::1",
            "::1:5432",
            "127.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "1.2.3.256",
            "db:5432",
            "[db]",
            "-a",
            "bücher",
        ] {
            assert_eq!(check_host(text), Err(FieldError::Host), "{text:?}");
        }
        assert_eq!(check_host("postgres://u:p@h/d"), Err(FieldError::HostIsUrl));
        assert!(matches!(check_host("/var/run/postgresql"), Err(FieldError::HostNotAllowed { .. })));
    }
}
