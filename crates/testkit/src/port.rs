//! Free loopback ports.

use std::net::TcpListener;

/// A TCP port of 127.0.0.1 that was free a moment ago.
///
/// The kernel hands ephemeral ports out in turn, so that another process is unlikely to get the same one before the
/// caller binds it; a caller that loses the race sees the bind fail and asks again.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
