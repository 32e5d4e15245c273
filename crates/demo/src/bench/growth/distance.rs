//! [`Distance`]: a server as if it were further away.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// How long an answer is kept back. The clock counts whole milliseconds, so it is up to one more.
const DELAY: Duration = Duration::from_millis(1);
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// A relay that keeps answers back for a moment, however many are under way. Dropping it ends it.
pub(super) struct Distance {
    port: u16,
    worker: JoinHandle<()>,
}

// === impl Distance ===

impl Distance {
    /// Begins to relay to a port of this machine.
    pub(super) async fn to(server_port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let worker = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server_port));
            }
        });
        Ok(Distance { port, worker })
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Distance {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

/// Relays one connection until either side ends it.
async fn relay(client: TcpStream, server_port: u16) -> Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server_port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (sender, mut kept) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let answers = async move {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = from_server.read(&mut buffer).await?;
            let bytes = buffer.get(..count).filter(|bytes| !bytes.is_empty());
            let Some(bytes) = bytes else { return anyhow::Ok(()) };
            sender.send((Instant::now() + DELAY, bytes.to_vec()))?;
        }
    };
    let later = async move {
        while let Some((due, bytes)) = kept.recv().await {
            sleep_until(due).await;
            to_client.write_all(&bytes).await?;
        }
        anyhow::Ok(())
    };
    let requests = async move {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        anyhow::Ok(())
    };
    tokio::select! {
        ended = requests => ended,
        ended = async { tokio::try_join!(answers, later) } => ended.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_late_and_whole() {
        let echo = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = echo.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = echo.accept().await.unwrap();
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        });
        let distance = Distance::to(port).await.unwrap();
        let mut client = TcpStream::connect(("127.0.0.1", distance.port())).await.unwrap();
        let sent: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let begun = Instant::now();
        client.write_all(&sent[..100]).await.unwrap();
        let mut first = [0; 100];
        client.read_exact(&mut first).await.unwrap();
        assert!(begun.elapsed() >= DELAY, "{:?}", begun.elapsed());
        let (mut read, mut write) = client.into_split();
        let rest = sent[100..].to_vec();
        let writing = tokio::spawn(async move { write.write_all(&rest).await.map(|()| write) });
        let mut answer = vec![0; sent.len() - 100];
        read.read_exact(&mut answer).await.unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!((&first[..], &answer[..]), (&sent[..100], &sent[100..]));
    }
}
