//! From a [`Config`] to a TCP connection: addresses, named instances, several subnets.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::browser;
use crate::config::Config;
use crate::error::Error;

/// Silence after which the system asks whether the other side still lives.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);

/// Time between such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// Questions without an answer after which the connection is dead: a minute of silence in all.
const KEEPALIVE_TRIES: u32 = 3;

/// Time for which what was sent may be without an answer from the other side's system. Keep-alives say nothing while
/// something is on its way, and Linux alone would send it again and again for a quarter of an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// Most addresses that are tried at once, as with Microsoft's drivers.
const MAX_PARALLEL: usize = 64;

/// The TCP connection, with keep-alives and a limit of patience: a peer that vanished without a word is noticed within a
/// minute, whether something was sent to it or not.
pub(super) async fn dial(config: &Config) -> Result<TcpStream, Error> {
    let failed = |source: io::Error| Error::Connect { host: config.host.clone(), port: config.port, source };
    let mut addresses = resolve(config, config.port).await?;
    if let Some(instance) = &config.instance {
        let browsers = resolve(config, config.browser_port).await?;
        let port = browser::port_of(&browsers, instance).await.map_err(|problem| Error::Instance {
            host: config.host.clone(),
            instance: instance.clone(),
            problem,
        })?;
        tracing::debug!(instance, port, "SQL Server Browser told the port");
        for address in &mut addresses {
            address.set_port(port);
        }
    }
    let tcp = if config.multi_subnet_failover {
        first_of(&addresses).await.map_err(failed)?
    } else {
        TcpStream::connect(addresses.as_slice()).await.map_err(failed)?
    };
    tcp.set_nodelay(true).map_err(failed)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_TRIES);
    let socket = SockRef::from(&tcp);
    socket.set_tcp_keepalive(&keepalive).map_err(failed)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED)).map_err(failed)?;
    Ok(tcp)
}

/// All addresses of the host, at least one.
async fn resolve(config: &Config, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let failed = |source: io::Error| Error::Connect { host: config.host.clone(), port, source };
    let found = tokio::net::lookup_host((config.host.as_str(), port)).await.map_err(failed)?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(addresses)
}

/// The first connection that comes about when all addresses are tried at once: of an availability group's listener one
/// answers, and others may swallow every packet.
async fn first_of(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for address in addresses.iter().take(MAX_PARALLEL).copied() {
        attempts.spawn(TcpStream::connect(address));
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "there is no address");
    while let Some(attempt) = attempts.join_next().await {
        match attempt.map_err(io::Error::other).flatten() {
            // The others end with the set.
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, UdpSocket};

    use super::*;

    /// A Browser that knows one instance, as often as it is asked.
    async fn browser(instance: &'static str, port: u16) -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let own = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut question = [0; 64];
            while let Ok((length, peer)) = socket.recv_from(&mut question).await {
                if question[..length] != browser::question(instance).unwrap() {
                    continue;
                }
                let text = format!(
                    "ServerName;H;InstanceName;{instance};IsClustered;No;Version;16.0.0.0;tcp;{port};;"
                );
                let mut answer = vec![0x05];
                answer.extend_from_slice(&u16::try_from(text.len()).unwrap().to_le_bytes());
                answer.extend_from_slice(text.as_bytes());
                socket.send_to(&answer, peer).await.unwrap();
            }
        });
        own
    }

    #[tokio::test]
    async fn instance_is_found_by_its_name() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let browser_port = browser("SHOP", port).await;
        let instance = |name: &str| Some(name.to_owned());
        let config = Config { host: "127.0.0.1".to_owned(), browser_port, port: 1, ..Config::default() };
        let found = dial(&Config { instance: instance("SHOP"), ..config.clone() }).await.unwrap();
        assert_eq!(found.peer_addr().unwrap().port(), port);
        let unknown = dial(&Config { instance: instance("NONE"), ..config }).await;
        let problem = browser::Unresolved::NoAnswer;
        assert!(matches!(unknown, Err(Error::Instance { problem: p, .. }) if p == problem), "{unknown:?}");
    }

    #[tokio::test]
    async fn one_address_that_answers_is_enough() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        // A full backlog: the kernel swallows further attempts, as a network without the listener's address does.
        let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        deaf.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        deaf.listen(0).unwrap();
        let silent = deaf.local_addr().unwrap().as_socket().unwrap();
        let _waits = std::net::TcpStream::connect(silent).unwrap();
        let limit = Duration::from_secs(10);
        let found = tokio::time::timeout(limit, first_of(&[silent, good])).await.unwrap().unwrap();
        assert_eq!(found.peer_addr().unwrap(), good);
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let refused = first_of(&[closed]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
