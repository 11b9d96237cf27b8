//! What is assumed of our own program. Model and simulation share these figures as they share the inputs, and nothing else.

/// Seconds from the end of the upload to the first row cut: event, cold start, opening the list. An estimate: the start of fan-out and a first
/// read of the bucket.
pub const SPLIT_START_S: f64 = 1.5;
/// Chunks of which the messages leave together (`domain::CHUNKS_PER_SHARD`; a test compares).
pub const CHUNKS_PER_SHARD: u64 = 100;
/// Seconds to receive a message and read its chunk. An estimate: two reads of the table, one of the bucket.
pub const BEGIN_S: f64 = 0.10;
/// Seconds to store the results, commit them and send what follows. An estimate: two writes to the table, one to the bucket, one message.
pub const COMMIT_S: f64 = 0.15;
/// A part stops fetching after this long and leaves the rest to the next: the function's time-out of 120 s less its reserve.
pub const SOFT_DEADLINE_S: f64 = 100.0;
/// Seconds before the rows of slow hosts are taken up again.
pub const STRAGGLER_DELAY_S: f64 = 5.0;
/// Seconds that a part with rows of slow hosts works at most: a few requests, at the pace of their hosts.
pub const LONGEST_STRAGGLER_PART_S: f64 = 20.0;
/// Seconds from the last commit to the report being begun. An estimate, as the first.
pub const FINALIZE_START_S: f64 = 1.0;
