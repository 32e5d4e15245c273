//! [`PacketStream`]: messages in, messages out, over TCP or TLS.
//!
//! Reading and writing are cancel-safe: what a dropped future left half-done is kept here and goes on with the next
//! call. That is what makes [`crate::Connection::cancel`] possible.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::error::Error;
use crate::packet::{
    DEFAULT_PACKET_SIZE, HEADER_LEN, HeaderError, MAX_PACKET_SIZE, MIN_PACKET_SIZE, PacketHeader, PacketType,
    payload_room, status,
};
use crate::tls::Wrapped;

/// Finished packets are handed to the socket when they are this many bytes.
const FLUSH_BYTES: usize = 64 * 1024;

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 64 * 1024;

/// What carries the packets.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Nothing is encrypted.
    Plain(TcpStream),
    /// Everything is.
    Tls(Box<TlsStream<Wrapped>>),
}

/// A message being written: a packet with room for its header is always open.
#[derive(Debug)]
struct Message {
    packet_type: PacketType,
    packet_id: u8,
    /// Where the open packet begins in `outgoing`.
    packet_start: usize,
}

/// Packets over a transport.
#[derive(Debug)]
pub(crate) struct PacketStream {
    transport: Option<Transport>,
    /// Negotiated packet size, header included.
    packet_size: u32,
    /// The message being written.
    message: Option<Message>,
    /// Packets, the last of which may be open.
    outgoing: Vec<u8>,
    /// Bytes of `outgoing` that the socket has taken.
    sent: usize,
    /// Bytes from the socket that are not yet a packet.
    incoming: Vec<u8>,
    /// Where the next packet begins in `incoming`.
    taken: usize,
}

// === impl PacketStream ===

impl PacketStream {
    /// Packets over this transport.
    pub(crate) fn new(transport: Transport) -> Self {
        PacketStream {
            transport: Some(transport),
            packet_size: DEFAULT_PACKET_SIZE,
            message: None,
            outgoing: Vec::new(),
            sent: 0,
            incoming: Vec::new(),
            taken: 0,
        }
    }

    /// The TLS stream, where there is one.
    pub(crate) fn tls(&self) -> Option<&TlsStream<Wrapped>> {
        match &self.transport {
            Some(Transport::Tls(stream)) => Some(stream),
            Some(Transport::Plain(_)) | None => None,
        }
    }

    /// Takes the transport out, to wrap or unwrap it; [`PacketStream::put_transport`] gives it back.
    pub(crate) fn take_transport(&mut self) -> Option<Transport> {
        self.transport.take()
    }

    /// Gives a transport back.
    pub(crate) fn put_transport(&mut self, transport: Transport) {
        self.transport = Some(transport);
    }

    /// Packet size of messages begun from now on.
    pub(crate) fn set_packet_size(&mut self, bytes: u32) {
        self.packet_size = bytes.clamp(MIN_PACKET_SIZE, MAX_PACKET_SIZE);
    }

    /// The packet size in force.
    pub(crate) fn packet_size(&self) -> u32 {
        self.packet_size
    }

    /// Begins a message.
    pub(crate) fn begin_message(&mut self, packet_type: PacketType) {
        self.message = Some(Message { packet_type, packet_id: 1, packet_start: self.outgoing.len() });
        self.outgoing.extend_from_slice(&[0; HEADER_LEN]);
    }

    /// Whether a message has been begun and not ended.
    pub(crate) fn is_in_message(&self) -> bool {
        self.message.is_some()
    }

    /// Appends to the message. Packets that are full are sent now and then.
    pub(crate) async fn put(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            if self.open_room() == 0 {
                self.seal(status::NORMAL, true);
                if self.outgoing.len().saturating_sub(self.sent) >= FLUSH_BYTES {
                    self.flush().await?;
                }
            }
            let (piece, rest) = bytes.split_at(bytes.len().min(self.open_room()));
            self.outgoing.extend_from_slice(piece);
            bytes = rest;
        }
        Ok(())
    }

    /// Ends the message and sends all of it.
    pub(crate) async fn end_message(&mut self) -> Result<(), Error> {
        self.seal(status::END_OF_MESSAGE, false);
        self.flush().await
    }

    /// Ends the message so that the server ignores it; a flush must follow.
    pub(crate) fn ignore_message(&mut self) {
        self.seal(status::END_OF_MESSAGE | status::IGNORE, false);
    }

    /// Writes an attention; a flush must follow.
    pub(crate) fn attention(&mut self) {
        self.begin_message(PacketType::Attention);
        self.seal(status::END_OF_MESSAGE, false);
    }

    /// Sends a whole message.
    pub(crate) async fn send(&mut self, packet_type: PacketType, payload: &[u8]) -> Result<(), Error> {
        self.begin_message(packet_type);
        self.put(payload).await?;
        self.end_message().await
    }

    /// Bytes that the open packet still takes.
    fn open_room(&self) -> usize {
        let Some(message) = &self.message else { return usize::MAX };
        let used = self.outgoing.len().saturating_sub(message.packet_start + HEADER_LEN);
        payload_room(self.packet_size).saturating_sub(used)
    }

    /// Writes the open packet's header, and opens the next packet if the message goes on.
    fn seal(&mut self, status: u8, goes_on: bool) {
        let Some(message) = &mut self.message else { return };
        let length = self.outgoing.len().saturating_sub(message.packet_start);
        let header = PacketHeader {
            packet_type: message.packet_type,
            status,
            length: u16::try_from(length).expect("packets are cut to at most 32767 bytes"),
            spid: 0,
            packet_id: message.packet_id,
        };
        if let Some(place) = self.outgoing.get_mut(message.packet_start..message.packet_start + HEADER_LEN) {
            place.copy_from_slice(&header.encode());
        }
        if goes_on {
            message.packet_id = message.packet_id.wrapping_add(1);
            message.packet_start = self.outgoing.len();
            self.outgoing.extend_from_slice(&[0; HEADER_LEN]);
        } else {
            self.message = None;
        }
    }

    /// Sends everything but an open packet.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        let lost = |source| Error::Io { during: "sending", source };
        let transport = self.transport.as_mut().ok_or(Error::Closed)?;
        let finished = self.message.as_ref().map_or(self.outgoing.len(), |message| message.packet_start);
        while self.sent < finished {
            let unsent = self.outgoing.get(self.sent..finished).unwrap_or_default();
            let count = match transport {
                Transport::Plain(tcp) => tcp.write(unsent).await,
                Transport::Tls(tls) => tls.write(unsent).await,
            };
            match count.map_err(lost)? {
                0 => return Err(lost(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.outgoing.drain(..self.sent);
        if let Some(message) = &mut self.message {
            message.packet_start = message.packet_start.saturating_sub(self.sent);
        }
        self.sent = 0;
        match transport {
            Transport::Plain(tcp) => tcp.flush().await,
            Transport::Tls(tls) => tls.flush().await,
        }
        .map_err(lost)
    }

    /// Reads one packet, appends its payload to `payload`, and tells whether it ended its message.
    pub(crate) async fn read_packet(&mut self, payload: &mut Vec<u8>) -> Result<bool, Error> {
        loop {
            if let Some(last) = self.take_packet(payload)? {
                return Ok(last);
            }
            self.incoming.drain(..self.taken);
            self.taken = 0;
            self.incoming.reserve(READ_BYTES);
            let count = match self.transport.as_mut().ok_or(Error::Closed)? {
                Transport::Plain(tcp) => tcp.read_buf(&mut self.incoming).await,
                Transport::Tls(tls) => tls.read_buf(&mut self.incoming).await,
            };
            match count {
                Ok(0) => {
                    return Err(Error::Io {
                        during: "receiving",
                        source: io::ErrorKind::UnexpectedEof.into(),
                    });
                }
                Ok(_) => {}
                Err(source) => return Err(Error::Io { during: "receiving", source }),
            }
        }
    }

    /// The next packet, if all of it has arrived.
    fn take_packet(&mut self, payload: &mut Vec<u8>) -> Result<Option<bool>, Error> {
        let arrived = self.incoming.get(self.taken..).unwrap_or_default();
        let Some(bytes) = arrived.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let header =
            PacketHeader::decode(*bytes).map_err(|error: HeaderError| Error::protocol(error.to_string()))?;
        let length = usize::from(header.length);
        let Some(body) = arrived.get(HEADER_LEN..length) else { return Ok(None) };
        if !matches!(header.packet_type, PacketType::TabularResult | PacketType::PreLogin) {
            return Err(Error::protocol(format!("a server sent a packet of type {:?}", header.packet_type)));
        }
        payload.extend_from_slice(body);
        self.taken += length;
        Ok(Some(header.is_last()))
    }
}
