//! Bodies: whole, trickled, or endless.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// Trickled bodies are sent in this many pieces a second, or one byte at a time when they are slower than that.
const PIECES_PER_SECOND: u64 = 20;
const FILLER: &[u8] = &[0; 64 * 1024];

pub(super) enum OriginBody {
    Whole(Bytes),
    Drip {
        rest: Bytes,
        piece: usize,
        pause: Duration,
        due: Pin<Box<Sleep>>,
    },
    /// `start`, then zeros until `remaining` bytes were sent; a `declared` length may be larger.
    Endless {
        start: Bytes,
        remaining: u64,
        declared: Option<u64>,
    },
}

impl OriginBody {
    pub(super) fn drip(body: Bytes, bytes_per_second: u64) -> Self {
        let rate = bytes_per_second.max(1);
        let pieces_per_second = rate.min(PIECES_PER_SECOND);
        Self::Drip {
            rest: body,
            piece: usize::try_from(rate / pieces_per_second).unwrap_or(usize::MAX),
            pause: Duration::from_secs(1) / pieces_per_second as u32,
            due: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    fn next_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(std::mem::take(bytes))),
            Self::Drip { rest, .. } if rest.is_empty() => Poll::Ready(None),
            Self::Drip {
                rest,
                piece,
                pause,
                due,
            } => {
                ready!(due.as_mut().poll(context));
                due.as_mut().reset(Instant::now() + *pause);
                Poll::Ready(Some(rest.split_to(rest.len().min(*piece))))
            }
            Self::Endless { remaining: 0, .. } => Poll::Ready(None),
            Self::Endless {
                start, remaining, ..
            } => {
                let piece = if start.is_empty() {
                    Bytes::from_static(FILLER)
                } else {
                    std::mem::take(start)
                };
                *remaining = remaining.saturating_sub(piece.len() as u64);
                Poll::Ready(Some(piece))
            }
        }
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = ready!(self.next_piece(context));
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Drip { rest, .. } => rest.is_empty(),
            Self::Endless { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Drip { rest, .. } => SizeHint::with_exact(rest.len() as u64),
            Self::Endless {
                declared: Some(length),
                ..
            } => SizeHint::with_exact(*length),
            Self::Endless { declared: None, .. } => SizeHint::default(),
        }
    }
}
