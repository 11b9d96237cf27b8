//! The answers of a batch, in list order, for whoever writes them beside its results.

use std::collections::{BTreeMap, BTreeSet};

use domain::{BatchId, PartRef, RowNumber, keys};
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::label_images::read_answers;
use crate::objects;
use crate::parts::{OfRow, read_parts};
use crate::results::{by_chunk, result_keys};
use crate::{PipelineResult, Ports};

/// A row's answer, as JSON text.
pub(crate) type AnswerText = (RowNumber, String);

/// The number of a row.
#[derive(Deserialize)]
struct Numbered {
    row: RowNumber,
}

impl OfRow for Numbered {
    fn number(&self) -> RowNumber {
        self.row
    }
}

/// Sends the answers of every chunk, ascending by row, a chunk at a time. Rows that a retry took back have the answers of their last
/// part. Ends early when nobody listens any more.
pub(crate) async fn send_answers(
    ports: &Ports,
    batch: BatchId,
    answers: &mpsc::Sender<Vec<AnswerText>>,
) -> PipelineResult<()> {
    let mut steps_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in answer_keys(ports, batch).await? {
        if let Some(result) = result_key_of(&key) {
            steps_of.entry(result).or_default().push(key);
        }
    }
    if steps_of.is_empty() {
        return Ok(());
    }
    let result_keys = result_keys(ports, batch).await?;
    for keys in by_chunk(&result_keys) {
        if !keys.iter().any(|key| steps_of.contains_key(key)) {
            continue;
        }
        let mut of_chunk = Vec::new();
        for part in read_parts(ports, keys).await? {
            let Some(steps) = steps_of.get(&part.key) else {
                continue;
            };
            let rows: Vec<Numbered> = part.current_rows()?;
            let current: BTreeSet<RowNumber> = rows.iter().map(OfRow::number).collect();
            for step in steps {
                let rows = read_answers(ports, step).await?;
                let rows = rows.into_iter().filter(|row| current.contains(&row.row));
                of_chunk.extend(rows.map(|row| {
                    let text = serde_json::Value::Object(row.vision).to_string();
                    (row.row, text)
                }));
            }
        }
        of_chunk.sort_unstable_by_key(|(row, _)| *row);
        if answers.send(of_chunk).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn answer_keys(ports: &Ports, batch: BatchId) -> PipelineResult<Vec<String>> {
    objects::keys_below(ports, keys::all_vision_answers(batch)).await
}

/// `results/<batch>/<chunk>.<part>.ndjson.zst` of `vision/<batch>/<chunk>.<part>.<step>.ndjson.zst`.
fn result_key_of(key: &str) -> Option<String> {
    let mut pieces = key.strip_prefix("vision/")?.split('/');
    let (batch, name) = (pieces.next()?, pieces.next()?);
    let mut numbers = name.split('.');
    let part = PartRef {
        batch: batch.parse().ok()?,
        chunk: numbers.next()?.parse().ok()?,
        part: numbers.next()?.parse().ok()?,
    };
    Some(keys::result(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ports::{Ids, UlidIds};

    #[test]
    fn answers_are_found_for_the_part_they_belong_to() {
        let part = PartRef {
            batch: UlidIds.batch_id(),
            chunk: 12,
            part: 3,
        };
        let key = keys::vision_answers(part, 70);
        assert_eq!(result_key_of(&key), Some(keys::result(part)));
        assert_eq!(result_key_of(&keys::result(part)), None);
    }
}
