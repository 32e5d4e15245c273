//! Which host a session comes to.
//!
//! As libpq does: hosts one after the other, each with all its addresses, until one can be reached and is what it has to
//! be. A host that answers and refuses us ends the search: the others would refuse us too, or should not let us in.

use std::future::Future;
use std::io;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::config::{Endpoint, HostOrder, ServerRole, SourceConfig};
use crate::error::{LinkError, SourceError};
use crate::socket::Place;

/// What is done at one place.
pub(crate) trait Attempt {
    /// What comes of it.
    type Session;

    /// Does it. The configuration has one host, `role` says what the server has to be.
    fn at(
        &self,
        config: &SourceConfig,
        place: &Place,
        role: ServerRole,
    ) -> impl Future<Output = Result<Self::Session, SourceError>> + Send;
}

/// What the attempt gives at the first place where it does not fail, or fails in a way that ends the search.
pub(crate) async fn first_that_fits<A: Attempt>(
    config: &SourceConfig,
    attempt: &A,
) -> Result<A::Session, SourceError> {
    let mut failures = Vec::new();
    for role in passes(config.role) {
        failures.clear();
        for endpoint in order(&config.hosts, config.host_order, rand::random()) {
            let at = config.at(endpoint);
            let places = match within(&at, places(&at, endpoint)).await {
                Ok(places) => places,
                Err(error) => {
                    failures.push((at.server(), error));
                    continue;
                }
            };
            for place in places {
                match within(&at, attempt.at(&at, &place, *role)).await {
                    Err(error) if leads_on(&error) => failures.push((at.server(), error)),
                    outcome => return outcome,
                }
            }
        }
    }
    Err(none(failures))
}

/// What is looked for, one after the other.
fn passes(role: ServerRole) -> &'static [ServerRole] {
    match role {
        ServerRole::Any => &[ServerRole::Any],
        ServerRole::Primary => &[ServerRole::Primary],
        ServerRole::Standby => &[ServerRole::Standby],
        ServerRole::PreferStandby => &[ServerRole::Standby, ServerRole::Any],
    }
}

/// The hosts in the order in which they are tried; `chance` is a random number.
fn order(hosts: &[Endpoint], order: HostOrder, chance: u64) -> Vec<&Endpoint> {
    let mut hosts: Vec<_> = hosts.iter().collect();
    if order == HostOrder::Random {
        hosts.shuffle(&mut StdRng::seed_from_u64(chance));
    }
    hosts
}

/// Whether the next place may do what this one did not.
fn leads_on(error: &SourceError) -> bool {
    match error {
        SourceError::Unreachable { .. }
        | SourceError::ConnectTimeout { .. }
        | SourceError::ConnectionLost { .. }
        | SourceError::Link(LinkError::WrongRole { .. }) => true,
        // Starting, shutting down, or recovering.
        SourceError::Server { error, .. } => matches!(error.sqlstate.as_str(), "57P01" | "57P02" | "57P03"),
        _ => false,
    }
}

/// The error of a search that found nothing. Where there was one host, what is wrong with its last address says it.
fn none(mut failures: Vec<(String, SourceError)>) -> SourceError {
    let one_host = failures.windows(2).all(|pair| matches!(pair, [left, right] if left.0 == right.0));
    match failures.pop() {
        Some((_, error)) if one_host => error,
        Some(last) => {
            failures.push(last);
            LinkError::NoHost { failures }.into()
        }
        None => {
            let cause = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            SourceError::Unreachable { server: "the source's host".to_owned(), cause }
        }
    }
}

/// The places of a host.
async fn places(config: &SourceConfig, endpoint: &Endpoint) -> Result<Vec<Place>, SourceError> {
    match endpoint {
        Endpoint::Unix { directory, port } => {
            let path = directory.join(format!(".s.PGSQL.{port}"));
            let path = match path.to_string_lossy().strip_prefix('@') {
                Some(name) => format!("\0{name}").into(),
                None => path,
            };
            Ok(vec![Place::Unix(path)])
        }
        Endpoint::Tcp { address: Some(address), port, .. } => Ok(vec![Place::Tcp((*address, *port).into())]),
        Endpoint::Tcp { host, port, .. } => {
            let unreachable = |cause| SourceError::Unreachable { server: config.server(), cause };
            let found = tokio::net::lookup_host((host.as_str(), *port)).await.map_err(unreachable)?;
            let places: Vec<_> = found.map(Place::Tcp).collect();
            if places.is_empty() {
                return Err(unreachable(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
            }
            Ok(places)
        }
    }
}

/// The outcome, unless the configured time is over before.
async fn within<T>(
    config: &SourceConfig,
    work: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, SourceError> {
    let after = config.connect_timeout;
    match tokio::time::timeout(after, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(SourceError::ConnectTimeout { server: config.server(), after }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use segcdc_model::Fault;

    use super::*;
    use crate::error::{Operation, ServerError};

    /// A host of a test: what it is, or why it cannot be used.
    type Host = (&'static str, Result<&'static str, &'static str>);

    /// Hosts, and which of them were tried.
    struct Hosts<'a>(&'a [Host], Mutex<Vec<&'static str>>);

    impl Attempt for Hosts<'_> {
        type Session = String;

        async fn at(&self, at: &SourceConfig, _: &Place, role: ServerRole) -> Result<String, SourceError> {
            let server = at.server();
            let (name, host) = self.0.iter().find(|(name, _)| server.starts_with(name)).unwrap();
            self.1.lock().unwrap().push(name);
            match (host, role) {
                (Err("down"), _) => {
                    Err(SourceError::Unreachable { server, cause: io::ErrorKind::ConnectionRefused.into() })
                }
                (Err(sqlstate), _) => {
                    let sqlstate = (*sqlstate).to_owned();
                    let error = ServerError { sqlstate, message: String::new(), fatal: true };
                    Err(SourceError::Server { operation: Operation::Connect, error })
                }
                (Ok("standby"), ServerRole::Primary) => {
                    Err(LinkError::WrongRole { server, found: "standby", wanted: "primary" }.into())
                }
                (Ok("primary"), ServerRole::Standby) => {
                    Err(LinkError::WrongRole { server, found: "primary", wanted: "standby" }.into())
                }
                (Ok(_), _) => Ok((*name).to_owned()),
            }
        }
    }

    /// Which host is taken, or the code of the error; and the hosts that were tried.
    async fn taken(parameters: &str, hosts: &[Host]) -> (String, String) {
        let names: Vec<_> = hosts.iter().map(|(address, _)| *address).collect();
        let url = format!("postgres://u@/d?hostaddr={}&{parameters}", names.join(","));
        let hosts = Hosts(hosts, Mutex::new(Vec::new()));
        let outcome = first_that_fits(&SourceConfig::parse(&url).unwrap(), &hosts).await;
        let outcome = outcome.unwrap_or_else(|error| error.code().to_owned());
        (outcome, hosts.1.into_inner().unwrap().join(" "))
    }

    #[tokio::test]
    async fn first_host_that_fits_is_taken() {
        const A: &str = "10.0.0.1";
        const B: &str = "10.0.0.2";
        let check = async |parameters: &str, hosts: &[Host], expected: &str, tried: &str| {
            let found = taken(parameters, hosts).await;
            assert_eq!(found, (expected.to_owned(), tried.to_owned()), "{parameters} {hosts:?}");
        };
        let (primary, standby) = (Ok("primary"), Ok("standby"));
        let both = "10.0.0.1 10.0.0.2";
        check("", &[(A, primary), (B, standby)], A, A).await;
        check("", &[(A, standby), (B, primary)], B, both).await;
        check("target_session_attrs=any", &[(A, standby), (B, primary)], A, A).await;
        check("target_session_attrs=read-write", &[(A, standby), (B, primary)], B, both).await;
        check("target_session_attrs=read-only", &[(A, primary), (B, standby)], B, both).await;
        check("target_session_attrs=prefer-standby", &[(A, primary), (B, standby)], B, both).await;
        let twice = "10.0.0.1 10.0.0.2 10.0.0.1";
        check("target_session_attrs=prefer-standby", &[(A, primary), (B, primary)], A, twice).await;
        check("", &[(A, Err("down")), (B, primary)], B, both).await;
        check("", &[(A, Err("57P03")), (B, primary)], B, both).await;
        // Whoever refuses us is right.
        check("", &[(A, Err("28P01")), (B, primary)], "AUTH_FAILED", A).await;
        check("", &[(A, standby), (B, Err("down"))], "SOURCE_NO_HOST", both).await;
        check("", &[(A, Err("down"))], "SOURCE_UNREACHABLE", A).await;
        check("target_session_attrs=primary", &[(A, standby)], "SOURCE_ROLE", A).await;
    }

    #[test]
    fn chance_reaches_every_order() {
        let config = SourceConfig::parse("postgres://u@a,b,c/d").unwrap();
        let shown = |order: HostOrder, chance| {
            let hosts = super::order(&config.hosts, order, chance);
            hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let orders: std::collections::BTreeSet<_> = (0..200_u64)
            .map(|seed| shown(HostOrder::Random, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            .collect();
        assert_eq!(orders.len(), 6, "{orders:?}");
        assert_eq!(shown(HostOrder::AsWritten, 7), "a:5432 b:5432 c:5432");
    }
}
