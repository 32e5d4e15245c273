//! [`Envelope`]: what CopyData holds in a replication stream (manual, "Streaming Replication Protocol").

use bytes::Bytes;
use segcdc_model::Lsn;

use super::DecodeError;
use super::reader::Reader;

/// A message of the walsender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Envelope {
    /// XLogData: a message of the output plugin.
    Data {
        /// How far the walsender has read.
        wal_end: Lsn,
        /// The message.
        payload: Bytes,
    },
    /// Primary keepalive.
    Keepalive {
        /// End of the last record that the walsender has decoded: everything that committed before it was sent
        /// before this message.
        wal_end: Lsn,
        /// An answer is wanted at once.
        reply_requested: bool,
    },
}

/// Decodes the contents of a CopyData message.
pub fn decode_envelope(bytes: Bytes) -> Result<Envelope, DecodeError> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        b'w' => {
            let (_start, wal_end, _time_us) = (reader.lsn()?, reader.lsn()?, reader.i64()?);
            let rest = reader.remaining();
            Ok(Envelope::Data { wal_end, payload: reader.slice(rest)? })
        }
        b'k' => {
            let (wal_end, _time_us, reply) = (reader.lsn()?, reader.i64()?, reader.u8()?);
            reader.finish()?;
            Ok(Envelope::Keepalive { wal_end, reply_requested: reply != 0 })
        }
        kind => Err(DecodeError::UnknownMessage { kind }),
    }
}
