//! Pages through the result rows of a batch, finished or not.

use std::collections::BTreeSet;

use domain::ports::Shard;
use domain::{BatchId, CHUNKS_PER_SHARD, Issue, Outcome, PartRef, ResultRow, RowNumber, keys};

use crate::annotations::Annotations;
use crate::hosts::host_of;
use crate::objects;
use crate::parts::read_parts;
use crate::{PipelineResult, Ports};

/// Rows looked at for one page at most, to within a chunk: a page may come with fewer rows than asked for, and more behind it.
const MAX_ROWS_LOOKED_AT: usize = 100_000;

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResultFilter {
    /// Only those with this outcome.
    pub outcome: Option<Outcome>,
    /// Only those with this flaw.
    pub issue: Option<Issue>,
    /// Only those of this host, as their URL writes it, in lower case.
    pub host: Option<String>,
    /// Only those of this group of duplicates: its first row, and all that are like it.
    pub group: Option<RowNumber>,
    /// The earlier batch of whose row the group is, if it is of one.
    pub group_batch: Option<BatchId>,
}

impl ResultFilter {
    fn takes(&self, row: &ResultRow) -> bool {
        self.outcome.is_none_or(|outcome| row.outcome == outcome)
            && self.issue.is_none_or(|issue| row.issues.contains(&issue))
            && self.group.is_none_or(|group| {
                let is_first = row.row == group && self.group_batch.is_none();
                let is_in = row.duplicate_group == Some(group)
                    && row.duplicate_group_batch == self.group_batch;
                is_first || is_in
            })
            && self
                .host
                .as_ref()
                .is_none_or(|host| host_of(&row.url).eq_ignore_ascii_case(host))
    }
}

/// Where a page ended: an object, and how many of its rows were looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Key of the result object, below the batch's results.
    pub object: String,
    /// Rows of it that were looked at.
    pub rows: usize,
}

/// A page of result rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultPage {
    /// The rows, in the order of chunk and part.
    pub rows: Vec<ResultRow>,
    /// Where the next page starts; `None` at the end of what is committed.
    pub next: Option<Cursor>,
}

/// Up to `limit` rows that `filter` takes, from `after` on.
pub async fn results_page(
    ports: &Ports,
    batch: BatchId,
    filter: &ResultFilter,
    after: Option<&Cursor>,
    limit: usize,
) -> PipelineResult<ResultPage> {
    let mut page = ResultPage {
        rows: Vec::new(),
        next: None,
    };
    let keys = result_keys(ports, batch).await?;
    let empty = shards_without(ports, batch, filter).await?;
    let mut annotations = Annotations::of(ports, batch).await?;
    let finish = annotations.finish();
    let mut looked_at = 0;
    for parts in by_chunk(&keys) {
        // Later parts of a chunk may take rows of earlier ones back: they are read together.
        let is_done = |key: &String| after.is_some_and(|cursor| *key < cursor.object);
        if parts.iter().all(is_done) {
            continue;
        }
        if shard_of(parts).is_some_and(|shard| empty.contains(&shard)) {
            continue;
        }
        if looked_at >= MAX_ROWS_LOOKED_AT
            && let Some(object) = parts.first()
        {
            page.next = Some(Cursor {
                object: object.clone(),
                rows: 0,
            });
            return Ok(page);
        }
        for part in read_parts(ports, parts).await? {
            if is_done(&part.key) {
                continue;
            }
            let seen = after
                .filter(|cursor| cursor.object == part.key)
                .map_or(0, |cursor| cursor.rows);
            let rows: Vec<ResultRow> = part.rows()?;
            looked_at += rows.len();
            let numbers = rows.iter().map(|row| row.row);
            let known = annotations.around(ports, numbers).await?;
            for (position, mut row) in rows.into_iter().enumerate().skip(seen) {
                if page.rows.len() == limit {
                    page.next = Some(Cursor {
                        object: part.key,
                        rows: position,
                    });
                    return Ok(page);
                }
                finish.apply(&mut row, &known);
                if part.is_current(row.row) && filter.takes(&row) {
                    page.rows.push(row);
                }
            }
        }
    }
    Ok(page)
}

/// Shards whose counters say that no row of theirs is like this: their objects need not be read. Of duplicates nothing is counted there.
async fn shards_without(
    ports: &Ports,
    batch: BatchId,
    filter: &ResultFilter,
) -> PipelineResult<BTreeSet<u32>> {
    let issue = filter.issue.filter(|issue| !issue.is_of_all_rows());
    if filter.outcome.is_none() && issue.is_none() {
        return Ok(BTreeSet::new());
    }
    let shards = ports.store.shards(batch).await?;
    let has_none = |shard: &Shard| {
        let counted = &shard.counters;
        let of_issue = |issue| counted.by_issue.get(&issue).copied().unwrap_or(0);
        let no_outcome = filter
            .outcome
            .is_some_and(|outcome| counted.outcome(outcome) == 0);
        let no_issue = issue.is_some_and(|issue| of_issue(issue) == 0);
        shard.is_complete() && counted.rows > 0 && (no_outcome || no_issue)
    };
    let empty = shards.iter().filter(|shard| has_none(shard));
    Ok(empty.map(|shard| shard.shard).collect())
}

/// The shard of a chunk, by the keys of its result objects.
fn shard_of(parts: &[String]) -> Option<u32> {
    let chunk = chunk_of(parts.first()?);
    let number: u32 = chunk.rsplit('/').next()?.parse().ok()?;
    Some(number / CHUNKS_PER_SHARD)
}

/// Keys of a chunk's result objects, by part.
pub(crate) async fn result_keys_of_chunk(
    ports: &Ports,
    batch: BatchId,
    chunk: u32,
) -> PipelineResult<Vec<String>> {
    let first = keys::result(PartRef {
        batch,
        chunk,
        part: 0,
    });
    let mut keys = result_keys(ports, batch).await?;
    keys.retain(|key| chunk_of(key) == chunk_of(&first));
    Ok(keys)
}

/// Keys of a batch's result objects, by chunk and part.
pub(crate) async fn result_keys(ports: &Ports, batch: BatchId) -> PipelineResult<Vec<String>> {
    objects::keys_below(ports, keys::results(batch)).await
}

/// Keys of result objects, those of one chunk together.
pub(crate) fn by_chunk(keys: &[String]) -> impl Iterator<Item = &[String]> {
    keys.chunk_by(|left, right| chunk_of(left) == chunk_of(right))
}

/// `results/<batch>/<chunk>` of `results/<batch>/<chunk>.<part>.ndjson.zst`.
fn chunk_of(key: &str) -> &str {
    let name = key.rfind('/').map_or(0, |slash| slash + 1);
    let dot = key[name..].find('.').map_or(key.len(), |dot| name + dot);
    &key[..dot]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_chunk_stay_together() {
        let keys = [
            "results/B/01.00.x",
            "results/B/01.01.x",
            "results/B/02.00.x",
        ]
        .map(String::from);
        let sizes: Vec<usize> = by_chunk(&keys).map(<[String]>::len).collect();
        assert_eq!(sizes, [2, 1]);
    }
}
