//! A table in pieces, while it is written.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use domain::Batch;
use tokio::sync::mpsc;

use crate::Ports;
use crate::export::{ExportError, ExportFormat, TableExporter, TableRequest};

/// Bytes collected before they are handed on.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that may wait for whoever takes them: with 64 KiB each, the bound on memory.
const PIECES_WAITING: usize = 8;

/// Some of the table, or why there is no more of it.
pub type Piece = Result<Bytes, ExportError>;

/// Writes a table on a thread of its own, which waits for whoever takes its pieces, and ends when nobody does any more.
pub fn table_pieces(
    exporter: Arc<dyn TableExporter>,
    ports: Ports,
    batch: Batch,
    format: ExportFormat,
    request: TableRequest,
) -> mpsc::Receiver<Piece> {
    let (pieces, taken) = mpsc::channel::<Piece>(PIECES_WAITING);
    let sink = ChannelSink::new(pieces.clone());
    let runtime = tokio::runtime::Handle::current();
    // It must not hold up a thread that serves others.
    tokio::task::spawn_blocking(move || {
        // Entered, not blocked on: only so may the sink wait.
        let _entered = runtime.enter();
        let export = exporter.export(&ports, &batch, format, &request, Box::new(sink));
        let written = futures::executor::block_on(export);
        if let Err(error) = written {
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(error = cause, "export broken off");
            // Nobody is there to tell when the client is gone.
            let _ = pieces.blocking_send(Err(error));
        }
    });
    taken
}

/// Hands on what is written in pieces; waits while the client does not keep up.
struct ChannelSink {
    pieces: mpsc::Sender<Piece>,
    piece: BytesMut,
}

impl ChannelSink {
    fn new(pieces: mpsc::Sender<Piece>) -> Self {
        Self {
            pieces,
            piece: BytesMut::with_capacity(PIECE_BYTES),
        }
    }

    fn hand_on(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = self.piece.split().freeze();
        let sent = self.pieces.blocking_send(Ok(piece));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone"))
    }
}

impl Write for ChannelSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.hand_on()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_on()
    }
}

impl Drop for ChannelSink {
    fn drop(&mut self) {
        // A client that is gone needs no last piece.
        let _ = self.hand_on();
    }
}
