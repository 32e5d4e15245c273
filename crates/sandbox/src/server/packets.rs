//! Packets in and out.

use std::io;

use segcdc_tds::packet::{HEADER_LEN, PacketHeader, PacketType, put_message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Packets that are read ahead of their use.
const READ_AHEAD: usize = 16;

/// A packet from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Its header.
    pub(crate) header: PacketHeader,
    /// What is behind it.
    pub(crate) payload: Vec<u8>,
}

/// Reads one packet; `None` at the end of the stream.
pub(crate) async fn read_packet(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Packet>> {
    let mut bytes = [0u8; HEADER_LEN];
    let (first, rest) = bytes.split_at_mut(1);
    if stream.read(first).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(rest).await?;
    let header = PacketHeader::decode(bytes).map_err(io::Error::other)?;
    let mut payload = vec![0; header.payload_len()];
    stream.read_exact(&mut payload).await?;
    Ok(Some(Packet { header, payload }))
}

/// Reads one message of at most `limit` bytes.
pub(crate) async fn read_message(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> io::Result<(PacketType, Vec<u8>)> {
    let mut message = Vec::new();
    loop {
        let packet = read_packet(stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        message.extend_from_slice(&packet.payload);
        if message.len() > limit {
            return Err(io::Error::other(format!("a message of more than {limit} bytes")));
        }
        if packet.header.is_last() {
            return Ok((packet.header.packet_type, message));
        }
    }
}

/// Writes one message.
pub(crate) async fn write_message(
    stream: &mut (impl AsyncWrite + Unpin),
    packet_type: PacketType,
    spid: u16,
    packet_size: u32,
    payload: &[u8],
) -> io::Result<()> {
    let mut bytes = Vec::new();
    put_message(&mut bytes, packet_type, spid, packet_size, payload);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Reads packets in a task of its own, so that an attention is seen while a request runs. The channel ends with the
/// stream.
pub(crate) fn read_ahead(stream: impl AsyncRead + Send + Unpin + 'static) -> mpsc::Receiver<Packet> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    tokio::spawn(async move {
        let mut stream = tokio::io::BufReader::with_capacity(64 * 1024, stream);
        loop {
            let read = tokio::select! {
                () = sender.closed() => return,
                read = read_packet(&mut stream) => read,
            };
            match read {
                Ok(Some(packet)) => {
                    if sender.send(packet).await.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "the client is gone");
                    return;
                }
            }
        }
    });
    receiver
}
