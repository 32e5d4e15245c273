//! [`ConnectUrl`]: where a Kafka Connect worker answers.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::error::ConnectError;

/// Everything but what may stand in a path segment as it is. Dots are encoded too: `..` would leave the path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// The address of a worker's REST interface. Carries no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectUrl {
    /// `https`.
    pub tls: bool,
    /// Host name or address, an IPv6 address without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What all paths begin with, without a slash at its end: empty unless the worker is behind a proxy.
    pub base: String,
}

// === impl ConnectUrl ===

impl ConnectUrl {
    /// Reads an URL like `http://worker:8083` or `https://proxy/connect`.
    ///
    /// # Errors
    /// [`ConnectError::Url`]: another scheme, credentials, a query, or no host.
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        let refuse = |reason| Err(ConnectError::Url { reason });
        let Ok(url) = Url::parse(text.trim()) else { return refuse("it cannot be read as an URL") };
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return refuse("its scheme is neither http nor https"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("it carries a user or password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("it has a query or a fragment");
        }
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return refuse("it names no host");
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().unwrap_or(if tls { 443 } else { 80 });
        Ok(ConnectUrl { tls, host, port, base: url.path().trim_end_matches('/').to_owned() })
    }

    /// A path below the base, from segments that are encoded one by one.
    pub(crate) fn path(&self, segments: &[&str]) -> String {
        let mut path = self.base.clone();
        for segment in segments {
            path.push('/');
            path.extend(utf8_percent_encode(segment, SEGMENT));
        }
        if path.is_empty() { "/".to_owned() } else { path }
    }

    /// Host and port as they stand in an URL.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for ConnectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.authority(), self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segcdc_model::Fault;

    #[test]
    fn an_url_is_taken_apart() {
        let check = |text: &str, expected: &str| {
            assert_eq!(ConnectUrl::parse(text).unwrap().to_string(), expected, "{text}");
        };
        check("http://worker:8083", "http://worker:8083");
        check("http://worker", "http://worker:80");
        check("https://proxy/connect/", "https://proxy:443/connect");
        check("http://[::1]:8083/", "http://[::1]:8083");
    }

    #[test]
    fn what_is_no_address_of_a_worker_is_refused_without_repeating_it() {
        for text in [
            "",
            "worker:8083",
            "file:///etc/passwd",
            "ftp://worker/",
            "http://u:sekret@worker:8083",
            "http://sekret@worker:8083",
            "http://worker:8083/?x=sekret",
            "http://worker:8083/#sekret",
            "http://",
        ] {
            let error = ConnectUrl::parse(text).unwrap_err();
            assert_eq!(error.code(), "CONNECT_URL", "{text}");
            assert!(!format!("{error} {error:?} {}", error.hint()).contains("sekret"), "{error:?}");
        }
    }

    #[test]
    fn names_cannot_leave_their_place_in_the_path() {
        let url = ConnectUrl::parse("http://w:1/base").unwrap();
        assert_eq!(url.path(&["connectors", "../x"]), "/base/connectors/%2E%2E%2Fx");
        assert_eq!(url.path(&["connectors", "a b?c#%"]), "/base/connectors/a%20b%3Fc%23%25");
        assert_eq!(ConnectUrl::parse("http://w:1").unwrap().path(&[]), "/");
    }
}
