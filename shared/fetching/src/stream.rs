//! The byte stream under a connection: TCP or TLS over TCP, counted.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::header_blocks::HeaderBlocks;

/// Bytes received on a connection so far, without what TLS adds. Tells a host that said nothing from one that broke off.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReceivedBytes(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    bytes: AtomicU64,
    /// How many there may be: the head of an answer is not to be waited for for ever.
    most: AtomicU64,
    long_header_blocks: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            bytes: AtomicU64::default(),
            most: AtomicU64::new(u64::MAX),
            long_header_blocks: AtomicU64::default(),
        }
    }
}

impl ReceivedBytes {
    pub(crate) fn get(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// From now on, reading fails after `bytes` more, until [`Self::allow_all`]. The protocol layer passes over as many interim answers
    /// (RFC 9110, section 15.2) as a host sends, which its limits on a head do not count.
    pub(crate) fn allow(&self, bytes: u64) {
        let most = self.get().saturating_add(bytes);
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// Takes the bound back.
    pub(crate) fn allow_all(&self) {
        self.0.most.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether more came than was allowed.
    pub(crate) fn are_too_many(&self) -> bool {
        self.get() > self.0.most.load(Ordering::Relaxed)
    }

    /// Header blocks that were too long already as they were packed; always 0 for HTTP/1.
    pub(crate) fn long_header_blocks(&self) -> u64 {
        self.0.long_header_blocks.load(Ordering::Relaxed)
    }
}

pub(crate) struct Stream {
    transport: Transport,
    received: ReceivedBytes,
    /// Only where the peer chose HTTP/2.
    header_blocks: Option<HeaderBlocks>,
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self::over(Transport::Plain(stream))
    }

    /// A stream on which HTTP/2 header blocks of more than `max_header_bytes` are counted.
    pub(crate) fn tls(stream: TlsStream<TcpStream>, max_header_bytes: usize) -> Self {
        let mut stream = Self::over(Transport::Tls(Box::new(stream)));
        if stream.is_http2() {
            stream.header_blocks = Some(HeaderBlocks::new(max_header_bytes as u64));
        }
        stream
    }

    fn over(transport: Transport) -> Self {
        Self {
            transport,
            received: ReceivedBytes::default(),
            header_blocks: None,
        }
    }

    pub(crate) fn received(&self) -> ReceivedBytes {
        self.received.clone()
    }

    /// Whether the peer chose HTTP/2 in the TLS handshake (ALPN, RFC 7301).
    pub(crate) fn is_http2(&self) -> bool {
        match &self.transport {
            Transport::Plain(_) => false,
            Transport::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let stream = &mut *self;
        if stream.received.are_too_many() {
            return Poll::Ready(Err(io::Error::other("no answer among so many bytes")));
        }
        let polled = match &mut stream.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            let counters = &stream.received.0;
            counters
                .bytes
                .fetch_add(read.len() as u64, Ordering::Relaxed);
            if let Some(blocks) = &mut stream.header_blocks {
                let too_long = blocks.follow(read);
                counters
                    .long_header_blocks
                    .store(too_long, Ordering::Relaxed);
            }
        }
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
