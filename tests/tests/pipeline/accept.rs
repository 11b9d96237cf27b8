//! A list on its way in.

use std::io;

use bytes::Bytes;
use domain::ports::{Advance, Queue};
use domain::{BatchStatus, SplitMessage, keys};
use futures::stream;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use pipeline::accept::{AcceptError, discard_list, start, store_list};

use crate::support::Scene;

#[tokio::test]
async fn a_list_is_stored_byte_for_byte_under_its_hash_and_length() {
    let scene = Scene::new();
    let pieces = ["url\nhttp://exam", "ple.com/a.jpg\n", ""].map(|text| Ok(Bytes::from(text)));
    let list = store_list(&scene.ports, stream::iter(pieces))
        .await
        .unwrap();
    let path = Path::from(keys::list(list.id));
    let stored = scene.data.objects().get(&path).await.unwrap();
    let text = "url\nhttp://example.com/a.jpg\n";
    assert_eq!(stored.bytes().await.unwrap(), text);
    assert_eq!(list.bytes, text.len() as u64);
    assert_eq!(
        list.sha256,
        "c9b27b5507970fc1b0c9dde77e3d0d8cf966c665ae6dccf55d9b51c3f0965da4"
    );
}

#[tokio::test]
async fn a_list_whose_sender_stops_leaves_nothing_behind() {
    let scene = Scene::new();
    let pieces = [
        Ok(Bytes::from("url\nhttp://example.com/a.jpg\n")),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ];
    let error = store_list(&scene.ports, stream::iter(pieces))
        .await
        .unwrap_err();
    assert!(matches!(error, AcceptError::Receive(_)), "{error:?}");
    assert!(scene.keys_below("lists").await.is_empty());
}

#[tokio::test]
async fn a_discarded_list_is_gone_and_discarding_it_again_is_no_fault() {
    let scene = Scene::new();
    let body = stream::iter([Ok(Bytes::from("url\nhttp://example.com/a.jpg\n"))]);
    let list = store_list(&scene.ports, body).await.unwrap();
    assert_eq!(scene.keys_below("lists").await.len(), 1);
    discard_list(&scene.ports, &list).await.unwrap();
    assert!(scene.keys_below("lists").await.is_empty());
    discard_list(&scene.ports, &list).await.unwrap();
}

#[tokio::test]
async fn a_batch_that_is_started_twice_is_split_once() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(3), 2).await;
    assert_eq!(start(&scene.ports, id).await.unwrap(), Advance::Moved);
    let messages: Vec<SplitMessage> = scene.take(Queue::Split).await;
    assert_eq!(messages.len(), 2);
    for message in messages {
        scene.split(message.batch).await;
    }
    scene.drain().await;
    scene.assert_completed(id, 3).await;
    assert_eq!(scene.origin.requests(), 3);
}

#[tokio::test]
async fn a_batch_that_is_under_way_or_unknown_cannot_be_started() {
    let scene = Scene::new();
    let (id, _) = scene.start_and_split(scene.good_list(1), 1).await;
    let advance = start(&scene.ports, id).await.unwrap();
    assert_eq!(advance, Advance::Stays(BatchStatus::Processing));
    let unknown = scene.ports.ids.batch_id();
    let advance = start(&scene.ports, unknown).await.unwrap();
    assert_eq!(advance, Advance::Missing);
    assert_eq!(scene.waiting(Queue::Split).await, 0);
}
