//! [`Proxy`]: passes bytes on and keeps what clients sent, as messages.

use std::sync::{Arc, Mutex, PoisonError};

use segcdc_tds::packet::{HEADER_LEN, PacketHeader, PacketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

/// A message that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// What it is.
    pub(crate) packet_type: PacketType,
    /// What is in its packets.
    pub(crate) payload: Vec<u8>,
}

/// A recording proxy of unencrypted TDS.
pub(crate) struct Proxy {
    port: u16,
    messages: Arc<Mutex<Vec<Message>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy of the server at `upstream`, on a port of its own.
    pub(crate) async fn start(upstream: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&messages);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
                let (mut client_read, mut client_write) = client.into_split();
                let (mut server_read, mut server_write) = server.into_split();
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let mut message = Vec::new();
                    let mut header = [0; HEADER_LEN];
                    while client_read.read_exact(&mut header).await.is_ok() {
                        let Ok(decoded) = PacketHeader::decode(header) else { return };
                        let mut payload = vec![0; decoded.payload_len()];
                        if client_read.read_exact(&mut payload).await.is_err() {
                            return;
                        }
                        message.extend_from_slice(&payload);
                        if decoded.is_last() {
                            let payload = std::mem::take(&mut message);
                            let message = Message { packet_type: decoded.packet_type, payload };
                            kept.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                        }
                        let whole = [&header[..], &payload].concat();
                        if server_write.write_all(&whole).await.is_err() {
                            return;
                        }
                    }
                });
                tokio::spawn(async move { copy(&mut server_read, &mut client_write).await });
            }
        });
        Ok(Proxy { port, messages, task })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What has been sent through it.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
