//! Every limit on untrusted input, in one struct, with its unit in its name.

use std::time::Duration;

/// What a list, a server or an image may cost. The defaults are the production profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest URL accepted.
    pub max_url_bytes: usize,
    /// Longest cell of a list accepted; a longer one makes its row `invalid_url`.
    pub max_field_bytes: usize,
    /// Longest row of a list read into memory.
    pub max_row_bytes: usize,
    /// Decompressed length of a list over its compressed length, beyond its first 64 MiB.
    pub max_decompression_ratio: u64,
    /// Longest list accepted in one request body.
    pub max_upload_bytes: u64,
    /// Longest body read of an image.
    pub max_body_bytes: u64,
    /// Most pixels of an image, frames counted.
    pub max_pixels: u64,
    /// Most redirects followed.
    pub max_redirects: u32,
    /// Most header fields in an answer.
    pub max_header_fields: usize,
    /// Most bytes of status line and header fields together.
    pub max_header_bytes: usize,
    /// Name look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Longest silence while a body is read.
    pub read_timeout: Duration,
    /// One attempt from its start to its last byte, redirects included.
    pub request_timeout: Duration,
    /// Decoding and measuring one image, once there is a processor for it.
    pub decode_timeout: Duration,
    /// Bytes a second a body must keep up …
    pub min_bytes_per_second: u64,
    /// … once this long under way.
    pub throughput_grace: Duration,
    /// Attempts at a row, the first included.
    pub max_attempts: u32,
    /// Longest pause that a server's Retry-After is obeyed for in place.
    pub max_retry_after: Duration,
    /// Times a row may be left over to a later part before it gets its final outcome.
    pub max_deferrals: u32,
    /// Parts that a chunk may be done in, each of which takes up what the one before left over for whatever reason. What is open in the last
    /// gets its final outcome.
    pub max_parts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_url_bytes: 8 * 1024,
            max_field_bytes: 64 * 1024,
            max_row_bytes: 1024 * 1024,
            max_decompression_ratio: 200,
            max_upload_bytes: 4_500_000,
            max_body_bytes: 20 * 1024 * 1024,
            max_pixels: 50_000_000,
            max_redirects: 5,
            max_header_fields: 100,
            max_header_bytes: 64 * 1024,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            decode_timeout: Duration::from_secs(10),
            min_bytes_per_second: 10_000,
            throughput_grace: Duration::from_secs(2),
            max_attempts: 3,
            max_retry_after: Duration::from_secs(10),
            max_deferrals: 3,
            max_parts: 250,
        }
    }
}
