//! Where objects lie. One place, so that a key is never spelled twice.

use crate::{BatchId, PartRef};

/// A list as it was handed in.
pub fn list(batch: BatchId) -> String {
    format!("lists/{batch}")
}

/// Where a list is handed in at an address that its owner was given; copied from here to [`list`], so that nobody outside can change
/// what is being split.
pub fn upload(batch: BatchId) -> String {
    format!("uploads/{batch}")
}

/// The batch whose list is handed in at `key`; `None` when the key is no [`upload`].
pub fn upload_batch(key: &str) -> Option<BatchId> {
    key.strip_prefix("uploads/")?.parse().ok()
}

/// A part of a list, where the object store puts no parts together by itself.
pub fn upload_part(batch: BatchId, number: u32) -> String {
    format!("parts/{batch}/{number:05}")
}

/// Everything below the parts of a batch's list.
pub fn upload_parts(batch: BatchId) -> String {
    format!("parts/{batch}")
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

/// What is known of rows once all rows of a generation are: zstd-compressed NDJSON, ascending by row. One object for each 65,536 row
/// numbers of which anything is.
pub fn annotation(batch: BatchId, generation: u32, position: u64) -> String {
    format!("annotations/{batch}/{generation:04}/{position:08}.ndjson.zst")
}

/// The index of a generation's images, and of those it was matched against, for batches that are matched against this one.
pub fn duplicate_index(batch: BatchId, generation: u32) -> String {
    format!("annotations/{batch}/{generation:04}/index")
}

/// Everything below a batch's annotations.
pub fn annotations(batch: BatchId) -> String {
    format!("annotations/{batch}")
}

/// An image of a batch as it is shown to a model; `sha256` is that of the file it was made from.
pub fn vision_image(batch: BatchId, sha256: &str) -> String {
    format!("images/{batch}/{sha256}")
}

/// Everything below a batch's images.
pub fn vision_images(batch: BatchId) -> String {
    format!("images/{batch}")
}

/// The answers of one step of labelling: zstd-compressed NDJSON, a manifest line first, then one row a line.
pub fn vision_answers(part: PartRef, step: u32) -> String {
    format!(
        "vision/{}/{:08}.{:04}.{step:04}.ndjson.zst",
        part.batch, part.chunk, part.part
    )
}

/// Everything below a batch's answers.
pub fn all_vision_answers(batch: BatchId) -> String {
    format!("vision/{batch}")
}

/// The pool, in a store of keys, that holds the row with what a batch has spent on labels; the row has the name of the batch.
pub fn budget_pool(batch: BatchId) -> String {
    format!("budgets/{batch}")
}

/// The mark that the notice of a generation's report is delivered, or given up.
pub fn notice(batch: BatchId, generation: u32) -> String {
    format!("notices/{batch}/{generation:04}.json")
}

/// The mark that a generation's report is announced on the topic, or that this was given up.
pub fn announcement(batch: BatchId, generation: u32) -> String {
    format!("notices/{batch}/{generation:04}.topic.json")
}

/// Every mark of these kinds of a batch.
pub fn notices(batch: BatchId) -> String {
    format!("notices/{batch}")
}

/// Every folder of a batch, for whoever removes what is in them.
pub fn folders(batch: BatchId) -> [String; 8] {
    [
        chunks(batch),
        results(batch),
        annotations(batch),
        vision_images(batch),
        all_vision_answers(batch),
        notices(batch),
        format!("exports/{batch}"),
        upload_parts(batch),
    ]
}

/// A table that somebody asked for; `name` stands for which rows and columns, `format` is its ending.
pub fn export(batch: BatchId, generation: u32, name: &str, format: &str) -> String {
    format!("exports/{batch}/{generation:04}-{name}.{format}")
}

/// The mark that the table at `key` is ordered.
pub fn export_order(key: &str) -> String {
    format!("{key}.ordered")
}

/// Why the table at `key` cannot be written.
pub fn export_refusal(key: &str) -> String {
    format!("{key}.refused")
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
    fn an_upload_key_names_its_batch_and_no_other_key_does() {
        let batch = BatchId::new(Ulid::from_parts(7, 8));
        assert_eq!(upload_batch(&upload(batch)), Some(batch));
        assert_eq!(upload_batch(&list(batch)), None);
        assert_eq!(upload_batch("uploads/"), None);
        assert_eq!(upload_batch(&format!("{}/more", upload(batch))), None);
    }

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
