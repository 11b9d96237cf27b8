//! Answers that no HTTP library writes: raw bytes, then a close or a reset.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// How long a client has to read before a reset makes its system discard what arrived.
const BEFORE_RESET: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    Close,
    Reset,
}

/// Bytes to write on the bare connection. It travels through hyper as the service's error.
#[derive(Debug, thiserror::Error)]
#[error("the connection is answered outside HTTP")]
pub(super) struct RawAnswer {
    bytes: Bytes,
    ending: Ending,
}

impl RawAnswer {
    pub(super) fn new(bytes: impl Into<Bytes>, ending: Ending) -> Self {
        Self {
            bytes: bytes.into(),
            ending,
        }
    }

    pub(super) async fn send(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.write_all(&self.bytes).await?;
        match self.ending {
            Ending::Close => stream.shutdown().await,
            Ending::Reset => {
                tokio::time::sleep(BEFORE_RESET).await;
                stream.set_zero_linger()
            }
        }
    }
}

/// A head that declares all of `body`, followed by its first half.
pub(super) fn half_of(body: &Bytes, content_type: &str, ending: Ending) -> RawAnswer {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut bytes = head.into_bytes();
    bytes.extend(&body[..body.len() / 2]);
    RawAnswer::new(bytes, ending)
}

/// The start of a TLS handshake, then noise: what a plain-text client meets on the wrong port.
pub(super) fn garbage() -> RawAnswer {
    let mut bytes = vec![0x16, 0x03, 0x03, 0x01, 0xFC];
    let mut noise = fastrand::Rng::with_seed(0);
    bytes.extend((0..507).map(|_| noise.u8(..)));
    RawAnswer::new(bytes, Ending::Close)
}

/// A field name with a space, and a control character in a value: both forbidden by RFC 9110 section 5.
pub(super) fn malformed_header(body: &Bytes) -> RawAnswer {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nno colon here\r\nX Spaced: \u{1}\r\n";
    let mut bytes = format!("{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend(body);
    RawAnswer::new(bytes, Ending::Close)
}

/// An interim status (RFC 9110 section 15.2) that no final one follows.
pub(super) fn interim(code: u16) -> RawAnswer {
    RawAnswer::new(
        format!("HTTP/1.1 {code} Interim\r\n\r\n").into_bytes(),
        Ending::Close,
    )
}
