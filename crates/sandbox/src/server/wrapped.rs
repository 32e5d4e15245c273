//! [`Wrapped`]: TLS records inside PRELOGIN packets, as TDS 7 has it during the handshake; bare afterwards.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use segcdc_tds::packet::{DEFAULT_PACKET_SIZE, HEADER_LEN, PacketHeader, PacketType, put_message};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose bytes travel in packets until [`Wrapped::unwrap_rest`].
#[derive(Debug)]
pub(crate) struct Wrapped<S> {
    inner: S,
    wrapped: bool,
    /// The header that is being read.
    header: Vec<u8>,
    /// Bytes of the current packet that have not been read.
    left: usize,
    /// Bytes to be put into packets at the next flush.
    pending: Vec<u8>,
    /// Packets that have been cut but not yet written.
    packets: Vec<u8>,
    /// Bytes of `packets` that have been written.
    written: usize,
}

// === impl Wrapped ===

impl<S> Wrapped<S> {
    /// Wraps a stream.
    pub(crate) fn new(inner: S) -> Self {
        Wrapped {
            inner,
            wrapped: true,
            header: Vec::new(),
            left: 0,
            pending: Vec::new(),
            packets: Vec::new(),
            written: 0,
        }
    }

    /// From now on bytes travel bare.
    pub(crate) fn unwrap_rest(&mut self) {
        self.wrapped = false;
    }

    /// The stream itself.
    pub(crate) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncRead + Unpin> Wrapped<S> {
    /// Reads up to the payload of a packet that has some.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.left == 0 {
            let mut space = [0u8; HEADER_LEN];
            let wanted = HEADER_LEN - self.header.len();
            let mut buffer = ReadBuf::new(space.get_mut(..wanted).unwrap_or_default());
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.header.extend_from_slice(buffer.filled());
            let Ok(bytes) = <[u8; HEADER_LEN]>::try_from(self.header.as_slice()) else { continue };
            self.header.clear();
            let header = PacketHeader::decode(bytes).map_err(io::Error::other)?;
            if header.packet_type != PacketType::PreLogin {
                return Poll::Ready(Err(io::Error::other("a TLS handshake outside of PRELOGIN packets")));
            }
            self.left = header.payload_len();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wrapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.wrapped {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        ready!(this.poll_header(cx))?;
        if this.left == 0 {
            return Poll::Ready(Ok(())); // the end of the stream
        }
        let room = this.left.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
        let filled = part.filled().len();
        buf.advance(filled);
        this.left -= filled;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wrapped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.wrapped {
            self.pending.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.pending.is_empty() {
            put_message(&mut this.packets, PacketType::PreLogin, 0, DEFAULT_PACKET_SIZE, &this.pending);
            this.pending.clear();
        }
        while let Some(rest) = this.packets.get(this.written..).filter(|rest| !rest.is_empty()) {
            let count = ready!(Pin::new(&mut this.inner).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.written += count;
        }
        this.packets.clear();
        this.written = 0;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
