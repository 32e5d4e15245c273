//! Named instances: SQL Server Browser is asked for the port ([MC-SQLR], "SQL Server Resolution Protocol").
//!
//! ```text
//! client, to UDP port 1434:  0x04  name of the instance  0x00
//! server:                    0x05  length (2, LE)  ServerName;...;InstanceName;...;tcp;50123;;
//! ```
//!
//! A Browser that does not know the instance says nothing at all.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;

/// Port of SQL Server Browser.
pub const BROWSER_PORT: u16 = 1434;

/// CLNT_UCAST_INST: tell me about one instance.
const ASK_INSTANCE: u8 = 0x04;

/// SVR_RESP: the answer.
const ANSWER: u8 = 0x05;

/// Longest name of an instance, bytes, as the protocol has it.
const MAX_NAME_BYTES: usize = 32;

/// Longest answer about one instance that the protocol allows, bytes, with its head.
const MAX_ANSWER_BYTES: usize = 3 + 1024;

/// Time for an answer, as the protocol advises; datagrams get lost, so the question is asked again.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the question is asked.
const TRIES: u32 = 3;

/// Why an instance has no port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// Nobody answered: no Browser, a firewall, or no such instance.
    NoAnswer,
    /// The instance does not listen on TCP.
    NoTcp,
    /// The answer is not one of this protocol, or is about another instance.
    Malformed,
    /// The name is empty, too long, or has characters that no instance has.
    Name,
}

/// What is wrong, for people.
impl std::fmt::Display for Unresolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unresolved::NoAnswer => "SQL Server Browser did not answer",
            Unresolved::NoTcp => "the instance does not listen on TCP",
            Unresolved::Malformed => "the answer of SQL Server Browser cannot be understood",
            Unresolved::Name => "this is not the name of an instance",
        })
    }
}

/// Asks the Browsers at all of these addresses for the port of an instance; the first that answers counts.
pub(crate) async fn port_of(addresses: &[SocketAddr], instance: &str) -> Result<u16, Unresolved> {
    let question = question(instance).ok_or(Unresolved::Name)?;
    for _ in 0..TRIES {
        for address in addresses {
            // An unreachable port is told by ICMP, but not reliably: it is the same as silence.
            if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, ask(*address, &question)).await {
                return tcp_port(&answer, instance);
            }
        }
    }
    Err(Unresolved::NoAnswer)
}

/// One question and its answer.
async fn ask(address: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).await?;
    // Connected, so that nobody else's datagrams are read.
    socket.connect(address).await?;
    socket.send(question).await?;
    let mut answer = vec![0; MAX_ANSWER_BYTES + 1];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

/// CLNT_UCAST_INST; `None` for what is no name of an instance.
pub fn question(instance: &str) -> Option<Vec<u8>> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '#');
    if instance.is_empty() || instance.len() > MAX_NAME_BYTES || !instance.chars().all(is_name) {
        return None;
    }
    let mut question = vec![ASK_INSTANCE];
    question.extend_from_slice(instance.as_bytes());
    question.push(0);
    Some(question)
}

/// The TCP port in an answer about this instance.
pub fn tcp_port(answer: &[u8], instance: &str) -> Result<u16, Unresolved> {
    let [ANSWER, low, high, text @ ..] = answer else { return Err(Unresolved::Malformed) };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    if text.len() != length || answer.len() > MAX_ANSWER_BYTES {
        return Err(Unresolved::Malformed);
    }
    let text = String::from_utf8_lossy(text);
    let fields: Vec<&str> = text.split(';').collect();
    let value = |name: &str| {
        let pair =
            fields.chunks(2).find(|pair| pair.first().is_some_and(|key| key.eq_ignore_ascii_case(name)))?;
        pair.get(1).copied()
    };
    if !value("InstanceName").is_some_and(|name| name.eq_ignore_ascii_case(instance)) {
        return Err(Unresolved::Malformed);
    }
    match value("tcp") {
        None => Err(Unresolved::NoTcp),
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(Unresolved::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(text: &str) -> Vec<u8> {
        let mut bytes = vec![ANSWER];
        bytes.extend_from_slice(&u16::try_from(text.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn port_is_read_from_an_answer() {
        // The form of the protocol's own example.
        let text = |rest: &str| {
            format!("ServerName;HOST;InstanceName;SHOP;IsClustered;No;Version;16.0.1000.6;{rest};")
        };
        let port = |rest: &str| tcp_port(&answer(&text(rest)), "shop");
        assert_eq!(port("tcp;57137;"), Ok(57_137));
        assert_eq!(port("np;\\\\HOST\\pipe\\MSSQL$SHOP\\sql\\query;tcp;1;"), Ok(1));
        assert_eq!(port("np;\\\\HOST\\pipe\\sql\\query;"), Err(Unresolved::NoTcp));
        for bad in ["tcp;0;", "tcp;65536;", "tcp;x;", "tcp;"] {
            assert_eq!(port(bad), Err(Unresolved::Malformed), "{bad}");
        }
        let good = answer(&text("tcp;57137;"));
        assert_eq!(tcp_port(&good, "other"), Err(Unresolved::Malformed), "of another instance");
        assert_eq!(tcp_port(&good[..good.len() - 1], "shop"), Err(Unresolved::Malformed), "cut short");
        assert_eq!(
            tcp_port(&answer(&format!("tcp;1;{}", "x".repeat(1100))), "shop"),
            Err(Unresolved::Malformed)
        );
    }

    #[test]
    fn names_that_no_instance_has_are_not_asked_for() {
        assert_eq!(question("SHOP").unwrap(), b"\x04SHOP\0");
        for name in ["", "a;b", "a b", "a\0", &"x".repeat(33)] {
            assert_eq!(question(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _port = tcp_port(&bytes, "shop");
        }
    }
}
