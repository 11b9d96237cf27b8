//! Header blocks of an HTTP/2 connection that are too long already as they are packed.
//!
//! The HTTP/2 library refuses a list of header fields that is too long with the error of a malformed one; its length tells them apart.

/// Length of a frame's head (RFC 9113, section 4.1).
const HEAD_BYTES: usize = 9;
/// Types of the frames that carry a header block, from its beginning and on (RFC 9113, sections 6.2 and 6.10).
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;

/// Follows the frames that come in on a connection, which may be cut anywhere.
#[derive(Debug)]
pub(crate) struct HeaderBlocks {
    limit: u64,
    head: [u8; HEAD_BYTES],
    /// Bytes of the current frame's head that have come.
    filled: usize,
    /// Bytes of the current frame's payload that are still to come.
    payload_left: usize,
    block: u64,
    too_long: u64,
}

impl HeaderBlocks {
    /// Looks for blocks of more than `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            head: [0; HEAD_BYTES],
            filled: 0,
            payload_left: 0,
            block: 0,
            too_long: 0,
        }
    }

    /// Takes the next bytes of the connection; returns how many blocks have been too long so far.
    pub(crate) fn follow(&mut self, mut bytes: &[u8]) -> u64 {
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD_BYTES - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEAD_BYTES {
                self.filled = 0;
                self.begin_frame();
            }
        }
        self.too_long
    }

    fn begin_frame(&mut self) {
        let [high, middle, low, kind, ..] = self.head;
        self.payload_left = u32::from_be_bytes([0, high, middle, low]) as usize;
        let before = match kind {
            HEADERS => 0,
            CONTINUATION => self.block,
            _ => return,
        };
        self.block = before + self.payload_left as u64;
        if before <= self.limit && self.block > self.limit {
            self.too_long += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [_, high, middle, low] = (length as u32).to_be_bytes();
        let mut frame = vec![high, middle, low, kind, 0, 0, 0, 0, 1];
        // What a payload says is never taken for a head.
        frame.resize(HEAD_BYTES + length, HEADERS);
        frame
    }

    #[test]
    fn a_block_is_as_long_as_its_frames_together_however_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        for (kind, length) in [
            (4, 18),
            (HEADERS, 100),
            (0, 16_384),
            (HEADERS, 300),
            (CONTINUATION, 16_384),
            (CONTINUATION, 5),
            (0, 0),
            (HEADERS, 200),
        ] {
            bytes.extend(frame(kind, length));
        }
        for (limit, expected) in [
            (99, 3),
            (100, 2),
            (199, 2),
            (300, 1),
            (16_688, 1),
            (16_689, 0),
        ] {
            for piece in [1, 2, 8, 9, 10, 1_000, bytes.len()] {
                let mut blocks = HeaderBlocks::new(limit);
                let too_long = bytes.chunks(piece).map(|piece| blocks.follow(piece)).last();
                assert_eq!(too_long, Some(expected), "{limit}, in pieces of {piece}");
            }
        }
    }
}
