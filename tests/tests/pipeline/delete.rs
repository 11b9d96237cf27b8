//! A deleted batch leaves nothing behind.

use std::time::Duration;

use domain::ports::Queue;
use domain::{BatchId, BatchStatus, keys};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use pipeline::cancel::cancel;
use pipeline::delete::{Deletion, delete};
use pipeline::expire::expire;
use pipeline::retry::{Retried, retry, worth_a_retry};
use pipeline::sweep::Swept;

use crate::faults::{Fault, Plan};
use crate::support::Scene;

async fn a_completed_batch(scene: &Scene) -> BatchId {
    let list = format!(
        "{}{}\n",
        scene.good_list(4),
        scene.origin.url("/status/500")
    );
    let id = scene.start(list, 2).await;
    scene.drain().await;
    for key in [keys::upload(id), format!("annotations/{id}/0.ndjson.zst")] {
        let put = scene
            .data
            .objects()
            .put(&Path::from(key), PutPayload::from_static(b"x"))
            .await;
        put.unwrap();
    }
    id
}

async fn assert_nothing_left(scene: &Scene, id: BatchId) {
    let name = id.to_string();
    for folder in [
        "lists",
        "uploads",
        "chunks",
        "results",
        "reports",
        "annotations",
    ] {
        let keys = scene.keys_below(folder).await;
        let left: Vec<_> = keys.iter().filter(|key| key.contains(&name)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert_eq!(scene.ports.store.batch(id).await.unwrap(), None);
    assert_eq!(scene.ports.store.shards(id).await.unwrap(), []);
}

#[tokio::test]
async fn what_ended_long_ago_is_deleted_when_somebody_asks_for_that_and_nothing_else() {
    const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    let scene = Scene::new();
    let completed = a_completed_batch(&scene).await;
    let cancelled = scene.start(scene.good_list(2), 2).await;
    cancel(&scene.ports, cancelled).await.unwrap();
    scene.drain().await;
    // Begun as long ago, and not ended: it has an owner who may start it any time.
    let open = scene.start(scene.good_list(2), 2).await;
    scene.clock.advance(KEEP);
    let recent = a_completed_batch(&scene).await;
    let mut swept = Swept::default();
    expire(&scene.ports, KEEP + Duration::from_secs(60), &mut swept)
        .await
        .unwrap();
    assert_eq!(swept, Swept::default());
    scene.clock.advance(Duration::from_secs(60));
    expire(&scene.ports, KEEP, &mut swept).await.unwrap();
    assert_eq!((swept.expired, swept.total()), (2, 2));
    for gone in [completed, cancelled] {
        assert_nothing_left(&scene, gone).await;
    }
    for kept in [open, recent] {
        assert!(scene.ports.store.batch(kept).await.unwrap().is_some());
    }
    expire(&scene.ports, KEEP, &mut swept).await.unwrap();
    assert_eq!(swept.expired, 2);
}

#[tokio::test]
async fn objects_and_rows_of_a_deleted_batch_are_gone_and_others_stay() {
    let scene = Scene::new();
    let kept = a_completed_batch(&scene).await;
    let id = a_completed_batch(&scene).await;
    let deleted = delete(&scene.ports, id).await.unwrap();
    assert_eq!(deleted, Deletion::Deleted);
    assert_nothing_left(&scene, id).await;
    scene.assert_completed(kept, 5).await;
    let again = delete(&scene.ports, id).await.unwrap();
    assert_eq!(again, Deletion::Missing);
}

#[tokio::test]
async fn only_a_batch_that_has_ended_and_is_settled_can_be_deleted() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(4), 2).await;
    let refused = delete(&scene.ports, id).await.unwrap();
    assert_eq!(refused, Deletion::NotEnded(BatchStatus::Processing));
    cancel(&scene.ports, id).await.unwrap();
    let refused = delete(&scene.ports, id).await.unwrap();
    assert_eq!(refused, Deletion::Settling);
    for message in messages {
        scene.analyze(message).await;
    }
    let deleted = delete(&scene.ports, id).await.unwrap();
    assert_eq!(deleted, Deletion::Deleted);
    scene.drain().await;
    assert_nothing_left(&scene, id).await;
}

#[tokio::test]
async fn a_deletion_that_failed_or_died_at_any_call_is_carried_to_its_end_by_the_sweep() {
    for fault in Fault::OF_ANY_CALL {
        let scene = Scene::new();
        for nth in 1.. {
            let id = a_completed_batch(&scene).await;
            let (ports, tap) = scene.tapped(Plan {
                call: "",
                nth,
                fault,
            });
            drop(tap.run(delete(&ports, id)).await);
            let struck = tap.struck();
            let context = format!("{fault:?}, call {nth}: {struck:?}");
            let batch = scene.ports.store.batch(id).await.unwrap();
            if batch.is_some_and(|batch| !batch.deleting) {
                assert!(nth <= 2, "{context}");
                scene.assert_completed(id, 5).await;
                continue;
            }
            let asked = retry(&scene.ports, id, &worth_a_retry()).await.unwrap();
            assert!(
                matches!(asked, Retried::Settling | Retried::Missing),
                "{context}"
            );
            scene.sweep().await;
            assert_nothing_left(&scene, id).await;
            if struck.is_none() {
                assert!(nth > 6, "a deletion of only {nth} calls?");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_ends_after_its_batch_was_deleted_leaves_no_object() {
    let scene = Scene::new();
    // Done before the next look at the batch, which would have stopped it.
    let list = scene.origin.url("/slow/200/plain.jpeg");
    let (id, messages) = scene.start_and_split(format!("url\n{list}\n"), 2).await;
    let delete = async {
        while scene.origin.requests() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        scene.ports.store.delete_batch(id).await.unwrap();
    };
    tokio::join!(scene.analyze(messages[0]), delete);
    assert_eq!(scene.origin.requests(), 1);
    let left = scene.keys_below(&keys::results(id)).await;
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(scene.waiting(Queue::Metrics).await, 0);
}
