//! Where objects lie. One place, so that a key is never spelled twice.

use crate::{BatchId, PartRef};

/// A list as it was handed in.
pub fn list(batch: BatchId) -> String {
    format!("lists/{batch}")
}

/// The rows of a chunk: zstd-compressed NDJSON of [`crate::ChunkRow`].
pub fn chunk(batch: BatchId, chunk: u32) -> String {
    format!("chunks/{batch}/{chunk:08}.ndjson.zst")
}

/// Everything below a batch's chunks.
pub fn chunks(batch: BatchId) -> String {
    format!("chunks/{batch}")
}

/// The results of a part: zstd-compressed NDJSON, a manifest line first, then one [`crate::ResultRow`] a line.
pub fn result(part: PartRef) -> String {
    format!(
        "results/{}/{:08}.{:04}.ndjson.zst",
        part.batch, part.chunk, part.part
    )
}

/// Everything below a batch's results.
pub fn results(batch: BatchId) -> String {
    format!("results/{batch}")
}

/// The report of a batch: JSON.
pub fn report(batch: BatchId) -> String {
    format!("reports/{batch}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ulid::Ulid;

    #[test]
    fn result_keys_sort_by_chunk_and_part() {
        let batch = BatchId::new(Ulid::nil());
        let key = |chunk, part| result(PartRef { batch, chunk, part });
        let sorted = [
            key(2, 0),
            key(2, 1),
            key(2, 10),
            key(10, 0),
            key(1_000_000, 0),
        ];
        assert!(sorted.is_sorted(), "{sorted:?}");
    }
}
