use std::time::Duration;

use domain::ports::{Ids, PartCommit, UlidIds};
use domain::{
    Batch, BatchId, BatchOptions, BatchStatus, Counters, KpiDelta, LatencyHistogram, Outcome,
    PartRef, SplitCheckpoint,
};
use jiff::Timestamp;

/// A new batch with an id of its own, `PENDING`, nothing else set.
pub fn a_batch() -> Batch {
    let created_at: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    Batch {
        id: UlidIds.batch_id(),
        name: "spring catalogue".to_owned(),
        owner: "tests".to_owned(),
        status: BatchStatus::Pending,
        options: BatchOptions::default(),
        list_name: "spring.csv".to_owned(),
        list_sha256: "0123456789abcdef".repeat(4),
        list_bytes: 1_234,
        awaits_list: false,
        auto_start: false,
        created_at,
        updated_at: created_at,
        started_at: None,
        ended_at: None,
        failure: None,
        checkpoint: SplitCheckpoint::default(),
        totals: None,
        finalize_sent: false,
        report_ready: false,
        max_concurrency: None,
        retries: Vec::new(),
        deleting: false,
    }
}

/// New batches, oldest first by id and by time.
pub fn batches_in_order(count: usize) -> Vec<Batch> {
    let mut ids: Vec<BatchId> = (0..count).map(|_| UlidIds.batch_id()).collect();
    ids.sort();
    let template = a_batch();
    let mut created_at = template.created_at;
    let mut batches = Vec::new();
    for id in ids {
        batches.push(Batch {
            id,
            created_at,
            updated_at: created_at,
            ..template.clone()
        });
        created_at += Duration::from_secs(1);
    }
    batches
}

/// The first part of a chunk.
pub const fn part(batch: BatchId, chunk: u32) -> PartRef {
    PartRef {
        batch,
        chunk,
        part: 0,
    }
}

/// Counters of rows with these outcomes: one attempt, 1,000 bytes and 20 ms a row.
pub fn counters_of(outcomes: &[(Outcome, u64)]) -> Counters {
    let mut counters = Counters::default();
    for (outcome, rows) in outcomes {
        *counters.by_outcome.entry(*outcome).or_default() += rows;
        counters.rows += rows;
        counters.attempts += rows;
        counters.bytes += 1_000 * rows;
        counters.elapsed_ms += 20 * rows;
    }
    counters
}

/// A part with two `ok` rows and one `not_found`, nothing left over.
pub fn a_finished_part(part: PartRef) -> PartCommit {
    PartCommit {
        part,
        counters: counters_of(&[(Outcome::Ok, 2), (Outcome::NotFound, 1)]),
        has_leftover: false,
        begins_labelling: false,
        retracted: None,
    }
}

/// The indicators of a part of `rows` rows, all `ok`, of 20 ms each.
pub fn a_kpi_delta(rows: u64) -> KpiDelta {
    let mut latency = LatencyHistogram::default();
    for _ in 0..rows {
        latency.record(20);
    }
    KpiDelta {
        parts: 1,
        counters: counters_of(&[(Outcome::Ok, rows)]),
        busy_ms: 20 * rows,
        latency,
        ..KpiDelta::default()
    }
}
