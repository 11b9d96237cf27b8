//! What a part takes over from the parts before it, and what it passes on.

use domain::{ChunkMessage, ChunkRow, KpiDelta, Minute, Outcome, PartRef, ResultRow, RowNumber};

use crate::objects::{self, Manifest};
use crate::{PipelineError, PipelineResult, Ports};

/// What is known of rows from before: the requests that earlier generations made for them.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Ascending by row.
    attempts: Vec<(RowNumber, u32)>,
}

impl Past {
    /// Adds what earlier generations did to results of this one, and returns how many requests that were.
    pub(crate) fn add_to(&self, results: &mut [ResultRow]) -> u64 {
        let mut known = 0;
        for result in results {
            let attempts = self.attempts_at(result.row);
            result.attempts += attempts;
            known += u64::from(attempts);
        }
        known
    }

    /// What the next part has to know of the rows that are left over to it.
    pub(crate) fn of(&self, leftover: &[RowNumber]) -> Vec<(RowNumber, u32)> {
        let rows = leftover.iter().map(|row| (*row, self.attempts_at(*row)));
        rows.filter(|(_, attempts)| *attempts > 0).collect()
    }

    fn attempts_at(&self, row: RowNumber) -> u32 {
        let position = self.attempts.binary_search_by_key(&row, |(row, _)| *row);
        position.map_or(0, |position| self.attempts[position].1)
    }
}

/// The rows a part has to do, all `rows` of its chunk or those that the part before left over, and their past.
pub(crate) async fn left_over(
    ports: &Ports,
    part: PartRef,
    mut rows: Vec<ChunkRow>,
) -> PipelineResult<(Vec<ChunkRow>, Past)> {
    let Some(before) = part.part.checked_sub(1) else {
        return Ok((rows, Past::default()));
    };
    let before = PartRef {
        part: before,
        ..part
    };
    let manifest = objects::read_manifest(ports, before)
        .await?
        .ok_or_else(|| PipelineError::CorruptObject {
            key: domain::keys::result(before),
            reason: "it is missing, and the part after it needs it".to_owned(),
        })?;
    rows.retain(|row| manifest.leftover.binary_search(&row.row).is_ok());
    let attempts = manifest.earlier_attempts;
    Ok((rows, Past { attempts }))
}

/// The end of a row for which nothing is fetched.
pub(crate) fn settled(part: PartRef, row: &ChunkRow, outcome: Outcome, detail: &str) -> ResultRow {
    match &row.verdict {
        Some(verdict) => ResultRow::settled(part.batch, row, verdict),
        None => ResultRow {
            detail: Some(detail.to_owned()),
            ..ResultRow::new(part.batch, row, outcome)
        },
    }
}

/// Gives `rows` the same end without fetching anything, leaves `leftover` to the next part, and stores that.
pub(crate) async fn settle(
    ports: &Ports,
    message: &ChunkMessage,
    (rows, leftover): (&[ChunkRow], &[ChunkRow]),
    past: &Past,
    outcome: Outcome,
    detail: &str,
) -> PipelineResult<Manifest> {
    let part = message.part;
    let end_of = |row| settled(part, row, outcome, detail);
    let mut results: Vec<ResultRow> = rows.iter().map(end_of).collect();
    let attempts_known = past.add_to(&mut results);
    let leftover: Vec<RowNumber> = leftover.iter().map(|row| row.row).collect();
    let manifest = Manifest {
        part,
        earlier_attempts: past.of(&leftover),
        leftover,
        deferrals: message.deferrals,
        parts_before: message.parts_before,
        delay_s: 0,
        minute: Minute::of(ports.clock.now()),
        delta: KpiDelta::of_part(&results, 0),
        retry: None,
        attempts_known,
        labelling: None,
    };
    objects::put_results(ports, manifest, &results).await
}
