//! Packets: the 8-byte header in front of every piece of a TDS message ([MS-TDS] 2.2.3.1), and the cutting of a
//! message into packets.
//!
//! ```text
//! byte   0     1       2..3          4..5      6          7
//!        type  status  length (BE)   spid(BE)  packet id  window (0)   then length-8 bytes of payload
//! ```
//!
//! A message is one or more packets of the same type; the last one has [`status::END_OF_MESSAGE`].

/// Bytes of a packet header.
pub const HEADER_LEN: usize = 8;

/// Smallest packet size that may be negotiated, header included.
pub const MIN_PACKET_SIZE: u32 = 512;

/// Largest packet size that may be negotiated, header included.
pub const MAX_PACKET_SIZE: u32 = 32_767;

/// Packet size in force until the server's ENVCHANGE says otherwise ([MS-TDS] 2.2.3.1.2).
pub const DEFAULT_PACKET_SIZE: u32 = 4_096;

/// Bits of the header's status byte.
pub mod status {
    /// More packets of this message follow.
    pub const NORMAL: u8 = 0x00;
    /// Last packet of the message.
    pub const END_OF_MESSAGE: u8 = 0x01;
    /// Client: the message is to be ignored; only together with [`END_OF_MESSAGE`].
    pub const IGNORE: u8 = 0x02;
    /// Client: reset the session before the request is run.
    pub const RESET_CONNECTION: u8 = 0x08;
    /// Client: reset the session, but keep its transaction.
    pub const RESET_CONNECTION_SKIP_TRAN: u8 = 0x10;
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// A batch of SQL text.
    SqlBatch = 0x01,
    /// A remote procedure call.
    Rpc = 0x03,
    /// Everything that a server sends.
    TabularResult = 0x04,
    /// Cancels the running request; has no payload.
    Attention = 0x06,
    /// Rows of an INSERT BULK.
    BulkLoad = 0x07,
    /// An Entra token asked for by the server.
    FedAuthToken = 0x08,
    /// Begin, commit, roll back.
    TransactionManager = 0x0E,
    /// LOGIN7.
    Login7 = 0x10,
    /// Integrated authentication.
    Sspi = 0x11,
    /// PRELOGIN, and the TLS handshake of TDS 7.
    PreLogin = 0x12,
}

/// A decoded packet header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketHeader {
    /// What the message is.
    pub packet_type: PacketType,
    /// Bits of [`status`].
    pub status: u8,
    /// Bytes of the packet, header included; 8 to 65535.
    pub length: u16,
    /// The server's process id; 0 from a client.
    pub spid: u16,
    /// Counts the packets of a message from 1, modulo 256. Nobody checks it.
    pub packet_id: u8,
}

/// A header that cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a packet type of [MS-TDS].
    #[error("0x{0:02X} is not a TDS packet type")]
    UnknownType(u8),
    /// Shorter than its own header.
    #[error("a TDS packet of {0} bytes is shorter than its header")]
    TooShort(u16),
}

// === impl PacketType ===

impl TryFrom<u8> for PacketType {
    type Error = HeaderError;

    fn try_from(byte: u8) -> Result<Self, HeaderError> {
        Ok(match byte {
            0x01 => PacketType::SqlBatch,
            0x03 => PacketType::Rpc,
            0x04 => PacketType::TabularResult,
            0x06 => PacketType::Attention,
            0x07 => PacketType::BulkLoad,
            0x08 => PacketType::FedAuthToken,
            0x0E => PacketType::TransactionManager,
            0x10 => PacketType::Login7,
            0x11 => PacketType::Sspi,
            0x12 => PacketType::PreLogin,
            other => return Err(HeaderError::UnknownType(other)),
        })
    }
}

// === impl PacketHeader ===

impl PacketHeader {
    /// The header in `bytes`.
    pub fn decode(bytes: [u8; HEADER_LEN]) -> Result<Self, HeaderError> {
        let [packet_type, status, l1, l2, s1, s2, packet_id, _window] = bytes;
        let length = u16::from_be_bytes([l1, l2]);
        if usize::from(length) < HEADER_LEN {
            return Err(HeaderError::TooShort(length));
        }
        let packet_type = PacketType::try_from(packet_type)?;
        Ok(PacketHeader { packet_type, status, length, spid: u16::from_be_bytes([s1, s2]), packet_id })
    }

    /// The header's bytes.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let [l1, l2] = self.length.to_be_bytes();
        let [s1, s2] = self.spid.to_be_bytes();
        [self.packet_type as u8, self.status, l1, l2, s1, s2, self.packet_id, 0]
    }

    /// Bytes behind the header.
    pub fn payload_len(self) -> usize {
        usize::from(self.length).saturating_sub(HEADER_LEN)
    }

    /// Whether the packet ends its message.
    pub fn is_last(self) -> bool {
        self.status & status::END_OF_MESSAGE != 0
    }
}

/// Appends one packet to `out`. `payload` must fit a packet (at most 65527 bytes).
pub fn put_packet(out: &mut Vec<u8>, mut header: PacketHeader, payload: &[u8]) {
    let length = u16::try_from(payload.len().saturating_add(HEADER_LEN));
    header.length = length.expect("callers cut payloads to the negotiated packet size, which is a u16");
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(payload);
}

/// Appends a whole message to `out`, cut into packets of at most `packet_size` bytes. An empty payload is one packet.
pub fn put_message(out: &mut Vec<u8>, packet_type: PacketType, spid: u16, packet_size: u32, payload: &[u8]) {
    let room = payload_room(packet_size);
    let mut packet_id = 1u8;
    let mut rest = payload;
    loop {
        let (piece, behind) = rest.split_at(rest.len().min(room));
        let status = if behind.is_empty() { status::END_OF_MESSAGE } else { status::NORMAL };
        put_packet(out, PacketHeader { packet_type, status, length: 0, spid, packet_id }, piece);
        packet_id = packet_id.wrapping_add(1);
        rest = behind;
        if rest.is_empty() {
            return;
        }
    }
}

/// Payload bytes that fit a packet of `packet_size` bytes, whatever nonsense a peer negotiated.
pub fn payload_room(packet_size: u32) -> usize {
    let size = packet_size.clamp(MIN_PACKET_SIZE, u32::from(u16::MAX));
    usize::try_from(size).unwrap_or(usize::from(u16::MAX)).saturating_sub(HEADER_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The payload and packet count of a stream of whole packets.
    fn parse(mut bytes: &[u8]) -> (Vec<u8>, usize) {
        let (mut payload, mut packets) = (Vec::new(), 0);
        while !bytes.is_empty() {
            let header = PacketHeader::decode(bytes[..HEADER_LEN].try_into().unwrap()).unwrap();
            let length = usize::from(header.length);
            payload.extend_from_slice(&bytes[HEADER_LEN..length]);
            bytes = &bytes[length..];
            packets += 1;
            assert_eq!(header.is_last(), bytes.is_empty(), "only the last packet ends the message");
        }
        (payload, packets)
    }

    #[test]
    fn malformed_headers_are_refused() {
        assert_eq!(PacketHeader::decode([4, 1, 0, 7, 0, 0, 1, 0]), Err(HeaderError::TooShort(7)));
        assert_eq!(PacketHeader::decode([5, 1, 0, 8, 0, 0, 1, 0]), Err(HeaderError::UnknownType(5)));
    }

    #[test]
    fn message_of_exactly_one_packet_has_no_empty_packet_behind_it() {
        let mut out = Vec::new();
        put_message(&mut out, PacketType::SqlBatch, 0, 512, &[7; 504]);
        assert_eq!(parse(&out), (vec![7; 504], 1));
    }

    proptest! {
        #[test]
        fn message_survives_cutting(payload in proptest::collection::vec(any::<u8>(), 0..5000), size in 512u32..1024) {
            let mut out = Vec::new();
            put_message(&mut out, PacketType::BulkLoad, 9, size, &payload);
            prop_assert_eq!(parse(&out).0, payload);
        }

        #[test]
        fn any_header_bytes_decode_or_are_refused(bytes in any::<[u8; 8]>()) {
            if let Ok(header) = PacketHeader::decode(bytes) {
                prop_assert_eq!(&header.encode()[..7], &bytes[..7]);
            }
        }
    }
}
