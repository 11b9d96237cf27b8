use std::sync::Arc;

use domain::ports::{BatchStore, Commit, PartCommit, PortErrorKind, Shard};
use domain::{BatchId, CHUNKS_PER_SHARD, Counters, Issue, Outcome, PartRef, ShardRef};
use tokio::task::JoinSet;

use crate::{a_batch, a_finished_part, counters_of, part};

/// A stored batch with shard 0, which waits for `expected` parts.
async fn a_batch_with_a_shard(store: &dyn BatchStore, expected: u32) -> BatchId {
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    let shard = ShardRef {
        batch: batch.id,
        shard: 0,
    };
    store.create_shard(shard, expected).await.unwrap();
    batch.id
}

async fn only_shard(store: &dyn BatchStore, batch: BatchId) -> Shard {
    let shards = store.shards(batch).await.unwrap();
    assert_eq!(shards.len(), 1);
    shards.into_iter().next().unwrap()
}

fn with_leftovers(part: PartRef) -> PartCommit {
    PartCommit {
        has_leftover: true,
        ..a_finished_part(part)
    }
}

/// A new shard has counted nothing.
pub async fn a_shard_waits_for_the_parts_it_was_created_with(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_a_shard(&*store, 7).await;
    let expected = Shard {
        shard: 0,
        expected: 7,
        done: 0,
        counters: Counters::default(),
    };
    assert_eq!(only_shard(&*store, batch).await, expected);
}

/// A split that goes on after a crash may create its last shard again, when parts are counted already.
pub async fn a_shard_that_is_there_stays_as_it_is(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_a_shard(&*store, 2).await;
    store
        .commit_part(&a_finished_part(part(batch, 0)))
        .await
        .unwrap();
    let before = only_shard(&*store, batch).await;
    store
        .create_shard(ShardRef { batch, shard: 0 }, 9)
        .await
        .unwrap();
    assert_eq!(only_shard(&*store, batch).await, before);
}

/// By number, not by text.
pub async fn shards_are_listed_in_ascending_order(store: Arc<dyn BatchStore>) {
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    for shard in [10, 2, 100, 0, 1_000] {
        let shard = ShardRef {
            batch: batch.id,
            shard,
        };
        store.create_shard(shard, 1).await.unwrap();
    }
    let shards = store.shards(batch.id).await.unwrap();
    let numbers: Vec<u32> = shards.iter().map(|shard| shard.shard).collect();
    assert_eq!(numbers, [0, 2, 10, 100, 1_000]);
}

/// Missing is empty.
pub async fn an_unknown_batch_has_no_shards(store: Arc<dyn BatchStore>) {
    assert_eq!(store.shards(a_batch().id).await.unwrap(), []);
}

/// Every field of the counters adds up.
pub async fn a_part_adds_its_counters(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_a_shard(&*store, 3).await;
    let mut first = counters_of(&[(Outcome::Ok, 5), (Outcome::Timeout, 2)]);
    first.by_issue.insert(Issue::Blurry, 2);
    let mut second = counters_of(&[(Outcome::Ok, 1), (Outcome::DuplicateUrl, 4)]);
    second.by_issue.insert(Issue::Blurry, 1);
    second.by_issue.insert(Issue::ExactDuplicate, 1);
    let mut sum = first.clone();
    sum += &second;

    for (chunk, counters) in [(0, first), (1, second)] {
        let commit = PartCommit {
            part: part(batch, chunk),
            counters,
            has_leftover: false,
            begins_labelling: false,
            retracted: None,
        };
        let answer = store.commit_part(&commit).await.unwrap();
        assert!(answer.is_new);
    }
    let shard = only_shard(&*store, batch).await;
    assert_eq!((shard.expected, shard.done), (3, 2));
    assert_eq!(shard.counters, sum);
}

/// A redelivered message commits again.
pub async fn a_part_is_counted_once(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_a_shard(&*store, 2).await;
    let commit = a_finished_part(part(batch, 0));
    assert!(store.commit_part(&commit).await.unwrap().is_new);
    let once = only_shard(&*store, batch).await;
    for _ in 0..3 {
        assert!(!store.commit_part(&commit).await.unwrap().is_new);
    }
    assert_eq!(only_shard(&*store, batch).await, once);
    assert_eq!(once.counters, commit.counters);
}

/// The first commit of a part stands.
pub async fn a_repeat_with_other_counts_changes_nothing(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_a_shard(&*store, 2).await;
    let commit = a_finished_part(part(batch, 0));
    store.commit_part(&commit).await.unwrap();
    let once = only_shard(&*store, batch).await;
    let other = PartCommit {
        part: commit.part,
        counters: counters_of(&[(Outcome::Timeout, 9)]),
        has_leftover: true,
        begins_labelling: true,
        retracted: None,
    };
    assert!(!store.commit_part(&other).await.unwrap().is_new);
    assert_eq!(only_shard(&*store, batch).await, once);
}

/// The same message delivered to many at the same time.
pub async fn concurrent_commits_of_one_part_count_once(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_a_shard(&*store, 1).await;
    let commit = a_finished_part(part(batch, 0));
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let (store, commit) = (Arc::clone(&store), commit.clone());
        tasks.spawn(async move { store.commit_part(&commit).await.unwrap() });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_new).count(), 1);
    assert!(answers.iter().all(|answer| answer.shard_complete));
    let shard = only_shard(&*store, batch).await;
    assert_eq!((shard.expected, shard.done), (1, 1));
    assert_eq!(shard.counters, commit.counters);
}

/// No update of the shared row is lost, and completion is announced exactly once to a new part.
pub async fn concurrent_commits_of_different_parts_all_count(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_a_shard(&*store, 50).await;
    let mut tasks = JoinSet::new();
    for chunk in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let commit = a_finished_part(part(batch, chunk));
            store.commit_part(&commit).await.unwrap()
        });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|answer| answer.is_new));
    let completing = answers.iter().filter(|answer| answer.shard_complete);
    assert_eq!(completing.count(), 1);
    let shard = only_shard(&*store, batch).await;
    assert_eq!((shard.expected, shard.done), (50, 50));
    assert_eq!(
        shard.counters,
        counters_of(&[(Outcome::Ok, 100), (Outcome::NotFound, 50)])
    );
}

/// The next part must be waited for.
pub async fn a_part_with_leftovers_makes_the_shard_wait_for_one_more(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_a_shard(&*store, 1).await;
    let first = part(batch, 0);
    let answer = store.commit_part(&with_leftovers(first)).await.unwrap();
    let incomplete = Commit {
        is_new: true,
        shard_complete: false,
    };
    assert_eq!(answer, incomplete);
    let shard = only_shard(&*store, batch).await;
    assert_eq!((shard.expected, shard.done), (2, 1));

    let answer = store
        .commit_part(&with_leftovers(first.next()))
        .await
        .unwrap();
    assert_eq!(answer, incomplete);
    let answer = store
        .commit_part(&a_finished_part(first.next().next()))
        .await
        .unwrap();
    assert!(answer.is_new && answer.shard_complete);
    let shard = only_shard(&*store, batch).await;
    assert_eq!((shard.expected, shard.done), (3, 3));
}

/// Otherwise a redelivery would make a shard wait for ever.
pub async fn a_repeated_part_with_leftovers_makes_the_shard_wait_for_one_more_once(
    store: Arc<dyn BatchStore>,
) {
    let batch = a_batch_with_a_shard(&*store, 1).await;
    let commit = with_leftovers(part(batch, 0));
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (store, commit) = (Arc::clone(&store), commit.clone());
        tasks.spawn(async move { store.commit_part(&commit).await.unwrap() });
    }
    tasks.join_all().await;
    let shard = only_shard(&*store, batch).await;
    assert_eq!((shard.expected, shard.done), (2, 1));
}

/// Not before, whatever the order.
pub async fn the_last_part_completes_the_shard(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_a_shard(&*store, 3).await;
    for (chunk, is_last) in [(2, false), (0, false), (1, true)] {
        let commit = a_finished_part(part(batch, chunk));
        let answer = store.commit_part(&commit).await.unwrap();
        assert_eq!(answer.shard_complete, is_last, "chunk {chunk}");
    }
}

/// Its images are labelled by somebody else, whom the batch waits for.
pub async fn a_part_whose_images_are_labelled_makes_the_shard_wait_for_that(
    store: Arc<dyn BatchStore>,
) {
    let batch = a_batch_with_a_shard(&*store, 1).await;
    let analysed = PartCommit {
        begins_labelling: true,
        has_leftover: true,
        ..a_finished_part(part(batch, 0))
    };
    let leftover = a_finished_part(part(batch, 0).next());
    let mut labelled = a_finished_part(part(batch, 0).labelling());
    labelled.counters = domain::Counters::default();
    labelled.counters.vision.labelled = 2;
    labelled.counters.vision.micro_usd = 420;
    for (commit, expected, is_last) in [
        (&analysed, 3, false),
        (&analysed, 3, false),
        (&leftover, 3, false),
        (&labelled, 3, true),
        (&labelled, 3, true),
    ] {
        let answer = store.commit_part(commit).await.unwrap();
        assert_eq!(answer.shard_complete, is_last, "{commit:?}");
        assert_eq!(only_shard(&*store, batch).await.expected, expected);
    }
    let shard = only_shard(&*store, batch).await;
    assert_eq!(shard.done, 3);
    assert_eq!(shard.counters.vision, labelled.counters.vision);
}

/// A process may stop between the commit and what follows it; the redelivery goes on from here.
pub async fn a_repeat_says_whether_the_shard_is_complete(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_a_shard(&*store, 2).await;
    let (first, last) = (
        a_finished_part(part(batch, 0)),
        a_finished_part(part(batch, 1)),
    );
    store.commit_part(&first).await.unwrap();
    let repeat = store.commit_part(&first).await.unwrap();
    assert!(!repeat.is_new && !repeat.shard_complete);
    store.commit_part(&last).await.unwrap();
    for commit in [first, last] {
        let repeat = store.commit_part(&commit).await.unwrap();
        assert!(!repeat.is_new && repeat.shard_complete);
    }
}

/// Equal numbers elsewhere are other parts.
pub async fn parts_of_other_shards_and_batches_are_counted_apart(store: Arc<dyn BatchStore>) {
    let one = a_batch_with_a_shard(&*store, 1).await;
    let other = a_batch_with_a_shard(&*store, 1).await;
    store
        .create_shard(
            ShardRef {
                batch: one,
                shard: 1,
            },
            1,
        )
        .await
        .unwrap();
    for part in [part(one, 0), part(one, CHUNKS_PER_SHARD), part(other, 0)] {
        let answer = store.commit_part(&a_finished_part(part)).await.unwrap();
        assert!(answer.is_new && answer.shard_complete, "{part}");
    }
    for batch in [one, other] {
        for shard in store.shards(batch).await.unwrap() {
            assert_eq!(shard.done, 1);
            assert_eq!(shard.counters.rows, 3);
        }
    }
}

/// The split creates shards before it sends messages: a part without one belongs to a deleted batch.
pub async fn a_part_of_an_unknown_shard_is_rejected(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_a_shard(&*store, 1).await;
    let unknown_batch = a_batch().id;
    for part in [part(batch, CHUNKS_PER_SHARD), part(unknown_batch, 0)] {
        let fault = store.commit_part(&a_finished_part(part)).await.unwrap_err();
        assert_eq!(fault.kind, PortErrorKind::Rejected, "{part}");
        assert!(!fault.is_retryable());
    }
    assert_eq!(only_shard(&*store, batch).await.done, 0);
    assert_eq!(store.shards(unknown_batch).await.unwrap(), []);
}
