//! A list arrives at the address that its owner was given: once, twice, late, and with a process that dies over it.

use bytes::Bytes;
use domain::ports::Queue;
use domain::{BatchId, BatchOptions, BatchStatus, SplitMessage, keys};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use pipeline::accept::{NewBatch, await_list};
use pipeline::uploaded::{Arrival, uploaded};

use crate::faults::{Fault, Plan};
use crate::support::Scene;

const LIST: &str = "url\nhttp://10.0.0.1/a.jpg\n";

async fn awaiting(scene: &Scene, auto_start: bool) -> BatchId {
    let request = NewBatch {
        name: "spring catalogue".to_owned(),
        owner: "tests".to_owned(),
        list_name: "spring.csv".to_owned(),
        options: BatchOptions::default(),
    };
    await_list(&scene.ports, request, auto_start)
        .await
        .unwrap()
        .id
}

async fn put(scene: &Scene, key: String, list: &'static str) {
    let payload = PutPayload::from(Bytes::from(list));
    scene
        .ports
        .objects
        .put(&Path::from(key), payload)
        .await
        .unwrap();
}

async fn list(scene: &Scene, id: BatchId) -> Bytes {
    let list = scene.ports.objects.get(&Path::from(keys::list(id))).await;
    list.unwrap().bytes().await.unwrap()
}

#[tokio::test]
async fn a_list_that_arrived_is_kept_and_its_batch_started_however_often_the_news_comes() {
    let scene = Scene::new();
    let id = awaiting(&scene, true).await;
    put(&scene, keys::upload(id), LIST).await;
    assert_eq!(uploaded(&scene.ports, id).await.unwrap(), Arrival::Started);
    for _ in 0..3 {
        let again = uploaded(&scene.ports, id).await.unwrap();
        assert_eq!(again, Arrival::NotAwaited);
    }
    let batch = scene.batch(id).await;
    assert_eq!(batch.status, BatchStatus::Queued);
    assert_eq!(batch.list_bytes, LIST.len() as u64);
    assert!(!batch.awaits_list);
    assert_eq!(list(&scene, id).await, LIST);
    assert!(scene.keys_below("uploads").await.is_empty());
    let messages: Vec<SplitMessage> = scene.take(Queue::Split).await;
    assert_eq!(messages.len(), 1);
}

#[tokio::test]
async fn a_batch_without_auto_start_has_its_list_and_waits() {
    let scene = Scene::new();
    let id = awaiting(&scene, false).await;
    put(&scene, keys::upload(id), LIST).await;
    for _ in 0..2 {
        assert_eq!(uploaded(&scene.ports, id).await.unwrap(), Arrival::Waiting);
    }
    assert_eq!(scene.batch(id).await.status, BatchStatus::Pending);
    let messages: Vec<SplitMessage> = scene.take(Queue::Split).await;
    assert!(messages.is_empty());
}

#[tokio::test]
async fn what_is_put_at_the_address_later_does_not_change_the_list() {
    let scene = Scene::new();
    let id = awaiting(&scene, true).await;
    put(&scene, keys::upload(id), LIST).await;
    uploaded(&scene.ports, id).await.unwrap();
    put(&scene, keys::upload(id), "url\nhttp://10.0.0.1/other.jpg\n").await;
    assert_eq!(
        uploaded(&scene.ports, id).await.unwrap(),
        Arrival::NotAwaited
    );
    assert_eq!(list(&scene, id).await, LIST);
}

#[tokio::test]
async fn a_list_that_was_copied_before_its_process_died_is_not_copied_over() {
    let scene = Scene::new();
    let id = awaiting(&scene, true).await;
    put(&scene, keys::list(id), LIST).await;
    put(&scene, keys::upload(id), "url\nhttp://10.0.0.1/other.jpg\n").await;
    assert_eq!(uploaded(&scene.ports, id).await.unwrap(), Arrival::Started);
    assert_eq!(list(&scene, id).await, LIST);
}

#[tokio::test]
async fn news_without_a_list_changes_nothing() {
    let scene = Scene::new();
    let id = awaiting(&scene, true).await;
    assert_eq!(
        uploaded(&scene.ports, id).await.unwrap(),
        Arrival::NotAwaited
    );
    assert!(scene.batch(id).await.awaits_list);
    put(&scene, keys::upload(id), LIST).await;
    assert_eq!(uploaded(&scene.ports, id).await.unwrap(), Arrival::Started);
}

#[tokio::test]
async fn a_list_for_no_batch_or_for_one_that_has_its_list_is_left_alone() {
    let scene = Scene::new();
    let unknown: BatchId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let started = scene.start(LIST, 10).await;
    for id in [unknown, started] {
        put(&scene, keys::upload(id), "url\nhttp://10.0.0.1/other.jpg\n").await;
        assert_eq!(
            uploaded(&scene.ports, id).await.unwrap(),
            Arrival::NotAwaited
        );
    }
    assert_eq!(list(&scene, started).await, LIST);
}

#[tokio::test]
async fn news_whose_process_failed_or_died_at_any_call_comes_to_the_same_when_it_comes_again() {
    let scene = Scene::new();
    for fault in Fault::OF_ANY_CALL {
        for nth in 1.. {
            let id = awaiting(&scene, true).await;
            put(&scene, keys::upload(id), LIST).await;
            let plan = Plan {
                call: "",
                nth,
                fault,
            };
            let (ports, tap) = scene.tapped(plan);
            drop(tap.run(uploaded(&ports, id)).await);
            let struck = tap.struck();
            uploaded(&scene.ports, id).await.unwrap();
            let batch = scene.batch(id).await;
            // A start whose message was refused is the sweep's to repeat.
            assert_eq!(batch.status, BatchStatus::Queued, "{fault:?} at {struck:?}");
            assert_eq!(
                batch.list_bytes,
                LIST.len() as u64,
                "{fault:?} at {struck:?}"
            );
            assert_eq!(list(&scene, id).await, LIST);
            if struck.is_none() {
                assert!(nth > 6, "it makes more calls than that");
                break;
            }
        }
    }
}
