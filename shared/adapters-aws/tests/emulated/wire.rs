//! What goes over the wire: few requests, and an end to each.

use std::time::Duration;

use aws_emulators::{Emulators, Proxy, Stack};
use domain::ports::{BatchChange, PortErrorKind, Queue};
use domain::{
    Batch, BatchStatus, CHUNKS_PER_SHARD, Gauge, HostTally, Minute, ShardRef, SplitCheckpoint,
    SplitTotals,
};
use jiff::Timestamp;
use test_support::{a_batch, a_finished_part, a_kpi_delta, part};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Items written, those of transactions one by one.
fn writes(proxy: &Proxy) -> usize {
    let kinds = ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"];
    let accesses = proxy.accesses().into_iter();
    let written = accesses.filter(|(access, _)| {
        let mut kinds = kinds.iter();
        kinds.any(|kind| access.action == format!("dynamodb:{kind}"))
    });
    written.map(|(_, items)| items).sum()
}

/// Looks at a batch while a chunk of it is under way for twenty seconds: one every second and a half.
const LOOKS: usize = 13;

#[tokio::test]
async fn a_chunk_costs_at_most_four_writes_and_a_hundredth_of_a_request_a_row() {
    const ROWS_PER_CHUNK: usize = 2_000;
    let proxy = Proxy::before(Emulators::shared().dynamodb()).await;
    let stack = Stack::create().await;
    let stack = stack.with_endpoint("DYNAMODB", &proxy.address());
    let store = crate::aws(&stack).store();

    // The whole life of a batch of one shard, as the use cases ask for it.
    let chunks = CHUNKS_PER_SHARD;
    let batch = Batch {
        status: BatchStatus::Splitting,
        ..a_batch()
    };
    let shard = ShardRef {
        batch: batch.id,
        shard: 0,
    };
    store.create_batch(&batch).await.unwrap();
    store.create_shard(shard, chunks).await.unwrap();
    let rows = u64::from(chunks) * ROWS_PER_CHUNK as u64;
    let processing = BatchChange {
        checkpoint: Some(SplitCheckpoint {
            chunks,
            rows,
            chunk_size: ROWS_PER_CHUNK as u32,
            is_handed_over: false,
        }),
        totals: Some(SplitTotals {
            rows,
            chunks,
            shards: 1,
        }),
        ..BatchChange::to(BatchStatus::Processing)
    };
    let now = Timestamp::now();
    store
        .advance(batch.id, &[BatchStatus::Splitting], &processing, now)
        .await
        .unwrap();
    for chunk in 0..chunks {
        let part = part(batch.id, chunk);
        store.intake().await.unwrap();
        for _ in 0..=LOOKS {
            store.batch(batch.id).await.unwrap();
        }
        store.commit_part(&a_finished_part(part)).await.unwrap();
        store.close_shard(shard).await.unwrap();
        let mut delta = a_kpi_delta(ROWS_PER_CHUNK as u64);
        // What a process saw of itself goes with its part.
        delta.vitals.memory_mb = Gauge::of(300);
        delta.vitals.database.calls = 4;
        delta.vitals.database.latency.record(5);
        // Every other chunk has hosts that give trouble.
        if chunk % 2 == 0 {
            delta.hosts = [("shop.example".to_owned(), HostTally::default())].into();
        }
        assert!(store.add_kpis(part, Minute::of(now), &delta).await.unwrap());
    }
    let roll_up = store.close_shard(shard).await.unwrap().unwrap();
    assert!(roll_up.is_complete());
    let completed = BatchChange::to(BatchStatus::Completed);
    store
        .advance(batch.id, &[BatchStatus::Processing], &completed, now)
        .await
        .unwrap();

    let counts = proxy.counts();
    let writes_per_chunk = writes(&proxy) as f64 / f64::from(chunks);
    assert!(
        (3.0..=4.0).contains(&writes_per_chunk),
        "{writes_per_chunk} writes a chunk: {counts:?}"
    );
    let requests: usize = counts.values().sum();
    let requests_per_row = requests as f64 / (chunks as usize * ROWS_PER_CHUNK) as f64;
    assert!(requests_per_row <= 0.01, "{requests_per_row}: {counts:?}");
}

#[tokio::test]
async fn messages_go_out_ten_at_a_time() {
    let proxy = Proxy::before(Emulators::shared().others()).await;
    let stack = Stack::create().await.with_endpoint("SQS", &proxy.address());
    let queue = crate::aws(&stack).queue();
    let message = |number: usize| domain::ports::Outgoing::now(number.to_string());
    let messages: Vec<_> = (0..95).map(message).collect();
    queue.send(Queue::Chunks, &messages).await.unwrap();
    assert_eq!(proxy.counts(), [("SendMessageBatch".to_owned(), 10)].into());
}

#[tokio::test]
async fn a_queue_that_is_not_configured_is_rejected_by_name() {
    let stack = Stack::create().await;
    let settings = adapters_aws::Settings::from_lookup(|name| {
        let is_configured = name != "FINALIZE_QUEUE_URL";
        stack
            .variables()
            .get(name)
            .filter(|_| is_configured)
            .cloned()
    });
    let queue = adapters_aws::Aws::new(settings.unwrap()).unwrap().queue();
    let fault = queue.send(Queue::Finalize, &[]).await.unwrap_err();
    assert_eq!(fault.kind, PortErrorKind::Rejected);
    let source = fault.source.unwrap().to_string();
    assert!(source.contains("FINALIZE_QUEUE_URL"), "{source}");
}

#[tokio::test]
async fn a_table_that_does_not_exist_is_rejected_at_once() {
    let proxy = Proxy::before(Emulators::shared().dynamodb()).await;
    let stack = Stack::create().await;
    let stack = stack.with_endpoint("DYNAMODB", &proxy.address());
    let settings = adapters_aws::Settings::from_lookup(|name| match name {
        "TABLE_NAME" => Some("another".to_owned()),
        _ => stack.variables().get(name).cloned(),
    });
    let store = adapters_aws::Aws::new(settings.unwrap()).unwrap().store();
    let fault = store.batch(a_batch().id).await.unwrap_err();
    assert_eq!(fault.kind, PortErrorKind::Rejected);
    assert_eq!(proxy.counts()["GetItem"], 1);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unavailable_after_several_attempts() {
    let stack = Stack::create().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let store = crate::aws(&stack.with_endpoint("DYNAMODB", &address)).store();
    let fault = store.batch(a_batch().id).await.unwrap_err();
    assert_eq!(fault.kind, PortErrorKind::Unavailable);
    assert!(fault.is_retryable());
}

#[tokio::test]
async fn a_service_that_never_answers_times_out_within_the_time_a_function_keeps_back() {
    let stack = Stack::create().await;
    // Connections are made by the system; nobody reads what they carry.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let aws = crate::aws(
        &stack
            .with_endpoint("DYNAMODB", &address)
            .with_endpoint("S3", &address),
    );

    tokio::time::pause();
    let asked_at = Instant::now();
    let fault = aws.store().batch(a_batch().id).await.unwrap_err();
    assert_eq!(fault.kind, PortErrorKind::TimedOut);
    let waited = asked_at.elapsed();
    assert!(waited <= Duration::from_millis(12_500), "{waited:?}");
}
