//! Hosts, their addresses and ports, brought together as libpq does it.

use std::net::IpAddr;
use std::path::PathBuf;

use segcdc_model::given::is_possible_host;

use super::{ConfigError, DEFAULT_PORT, Endpoint};

/// Most hosts that make sense: more than any cluster has.
const MAX_HOSTS: usize = 64;

/// The endpoints of lists with one entry a host. One port stands for all; `addresses` and `ports` may be empty.
pub(super) fn endpoints(
    hosts: &[String],
    addresses: &[String],
    ports: &[Option<u16>],
) -> Result<Vec<Endpoint>, ConfigError> {
    let count = if hosts.is_empty() { addresses.len() } else { hosts.len() };
    if count == 0 {
        return Err(ConfigError::Missing { part: "host" });
    }
    let lengths_fit = (addresses.is_empty() || addresses.len() == count)
        && (ports.len() <= 1 || ports.len() == count)
        && count <= MAX_HOSTS;
    if !lengths_fit {
        return Err(ConfigError::HostLists);
    }
    let one_of = |index: usize| if ports.len() == 1 { ports.first() } else { ports.get(index) };
    (0..count)
        .map(|index| {
            let port = one_of(index).copied().flatten().unwrap_or(DEFAULT_PORT);
            let text = |list: &[String]| list.get(index).filter(|text| !text.is_empty()).cloned();
            endpoint(text(hosts), text(addresses), port)
        })
        .collect()
}

/// One host. What begins with a slash is a socket's directory, and with `@` a socket without a file, as in libpq.
fn endpoint(host: Option<String>, address: Option<String>, port: u16) -> Result<Endpoint, ConfigError> {
    let address = address.map(|text| text.parse::<IpAddr>().map_err(|_| ConfigError::Address)).transpose()?;
    match (host, address) {
        (None, None) => Err(ConfigError::Missing { part: "host" }),
        (None, Some(address)) => {
            Ok(Endpoint::Tcp { host: address.to_string(), address: Some(address), port })
        }
        (Some(host), None) if host.starts_with('/') || (host.starts_with('@') && host.len() > 1) => {
            Ok(Endpoint::Unix { directory: PathBuf::from(host), port })
        }
        (Some(host), address) => {
            if !is_possible_host(&host) {
                return Err(ConfigError::Host);
            }
            Ok(Endpoint::Tcp { host, address, port })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_go_together_host_by_host() {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let shown = |hosts: &[&str], addresses: &[&str], ports: &[Option<u16>]| {
            let found = endpoints(&owned(hosts), &owned(addresses), ports)?;
            Ok::<_, ConfigError>(found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(shown(&["a", "b"], &[], &[]).unwrap(), "a:5432 b:5432");
        assert_eq!(shown(&["a", "b"], &[], &[Some(1)]).unwrap(), "a:1 b:1");
        assert_eq!(shown(&["a", "b"], &[], &[Some(1), None]).unwrap(), "a:1 b:5432");
        assert_eq!(
            shown(&["/run", "@x", "::1"], &[], &[]).unwrap(),
            "/run/.s.PGSQL.5432 @x/.s.PGSQL.5432 [::1]:5432"
        );
        assert_eq!(shown(&[], &["10.0.0.1"], &[]).unwrap(), "10.0.0.1:5432");
        assert_eq!(shown(&["a", "b"], &["10.0.0.1", ""], &[]).unwrap(), "a:5432 b:5432");
        assert_eq!(shown(&["a", "b"], &["10.0.0.1"], &[]), Err(ConfigError::HostLists));
        assert_eq!(shown(&["a", "b", "c"], &[], &[Some(1), Some(2)]), Err(ConfigError::HostLists));
        assert_eq!(shown(&["a", ""], &[], &[]), Err(ConfigError::Missing { part: "host" }));
        assert_eq!(shown(&["a"], &["b"], &[]), Err(ConfigError::Address));
        assert_eq!(shown(&["a b"], &[], &[]), Err(ConfigError::Host));
        assert_eq!(shown(&["@"], &[], &[]), Err(ConfigError::Host));
        let many = vec![String::from("h"); MAX_HOSTS + 1];
        assert_eq!(endpoints(&many, &[], &[]), Err(ConfigError::HostLists));
    }
}
