//! A split that fails or dies at every single call to a port, and is run again.

use std::collections::BTreeSet;

use domain::ports::Queue;
use domain::{BatchId, BatchStatus, ChunkMessage, SplitMessage, keys};
use pipeline::split::{SplitEnd, split};

use crate::faults::{Fault, Plan};
use crate::support::{Scene, split_message};

/// Runs the split with the plan's fault, and hands back the call it struck, or `None` when the split ended before.
async fn split_with(scene: &Scene, id: BatchId, plan: Plan) -> Option<String> {
    let (ports, tap) = scene.tapped(plan);
    let (settings, message) = (scene.split_settings(), split_message(id));
    let ended = tap.run(split(&ports, &settings, &message)).await;
    let struck = tap.struck();
    match ended {
        None => assert!(struck.is_some(), "{plan:?}"),
        Some(Ok(end)) => {
            assert!(struck.is_none(), "{plan:?} at {struck:?} came to {end:?}");
            assert!(matches!(end, SplitEnd::Done(_)), "{end:?}");
        }
        Some(Err(error)) => {
            assert!(struck.is_some(), "{error:?}");
            assert!(error.is_retryable(), "{plan:?} at {struck:?}: {error:?}");
        }
    }
    struck
}

/// The chunks announced so far. Each has its object, and a shard row with its final total.
async fn announced_chunks(scene: &Scene, id: BatchId, chunks: u32) -> BTreeSet<u32> {
    let messages: Vec<ChunkMessage> = scene.take(Queue::Chunks).await;
    let announced: BTreeSet<u32> = messages.iter().map(|message| message.part.chunk).collect();
    let shards = scene.ports.store.shards(id).await.unwrap();
    let objects = scene.keys_below(&keys::chunks(id)).await.len();
    for chunk in &announced {
        let shard = shards.iter().find(|shard| shard.shard == chunk / 100);
        let expected = shard.map(|shard| shard.expected);
        let total = (chunks - chunk / 100 * 100).min(100);
        assert_eq!(expected, Some(total), "chunk {chunk}");
        assert!(objects > *chunk as usize, "chunk {chunk}");
    }
    announced
}

#[tokio::test]
async fn a_split_that_failed_or_died_at_any_call_comes_to_the_same_when_it_is_run_again() {
    let scene = Scene::new();
    let list = format!(
        "{}{}\n\nnot a url\n{}\n",
        scene.good_list(3),
        scene.image(1),
        scene.image(0)
    );
    let (undisturbed, _) = scene.start_and_split(list.clone(), 2).await;
    let expected = scene.chunks(undisturbed).await;
    let totals = scene.batch(undisturbed).await.totals.unwrap();
    assert_eq!(totals.chunks, 3);

    for fault in Fault::OF_ANY_CALL {
        for nth in 1.. {
            let id = scene.start(list.clone(), 2).await;
            let plan = Plan {
                call: "",
                nth,
                fault,
            };
            let struck = split_with(&scene, id, plan).await;
            let before = announced_chunks(&scene, id, totals.chunks).await;
            scene.split(id).await;
            let after = announced_chunks(&scene, id, totals.chunks).await;

            let context = format!("{plan:?} at {struck:?}");
            let announced: BTreeSet<u32> = before.union(&after).copied().collect();
            assert!(announced.iter().copied().eq(0..3), "{context}");
            assert_eq!(scene.chunks(id).await, expected, "{context}");
            let batch = scene.batch(id).await;
            assert_eq!(batch.status, BatchStatus::Processing, "{context}");
            assert_eq!(batch.totals, Some(totals), "{context}");
            if struck.is_none() {
                // Two reads, three chunks, a shard row, a send, and four more calls for the batch and its shard.
                assert!(nth > 10, "a split of only {nth} calls?");
                break;
            }
        }
    }
}

#[tokio::test]
async fn parts_that_are_committed_while_the_split_is_down_are_counted_once() {
    let scene = Scene::new();
    let list = scene.good_list(4);
    for fault in [Fault::AnswerLost, Fault::CrashAfter] {
        for nth in 1.. {
            let id = scene.start(list.clone(), 2).await;
            scene.take::<SplitMessage>(Queue::Split).await;
            let plan = Plan {
                call: "",
                nth,
                fault,
            };
            let struck = split_with(&scene, id, plan).await;
            scene.drain().await;
            // Also where it died between its last move and its look at the shards.
            scene.split(id).await;
            scene.drain().await;
            scene.assert_completed(id, 4).await;
            if struck.is_none() {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_that_failed_or_died_between_its_shards_leaves_none_out() {
    let scene = Scene::new();
    let list = scene.good_list(105);
    let (undisturbed, _) = scene.start_and_split(list.clone(), 1).await;
    let expected = scene.chunks(undisturbed).await;
    for fault in [Fault::AnswerLost, Fault::CrashBefore] {
        for call in ["store", "queue"] {
            for nth in 2.. {
                let id = scene.start(list.clone(), 1).await;
                let plan = Plan { call, nth, fault };
                let struck = split_with(&scene, id, plan).await;
                let before = announced_chunks(&scene, id, 105).await;
                let checkpoint = scene.batch(id).await.checkpoint;
                scene.split(id).await;
                let after = announced_chunks(&scene, id, 105).await;

                let context = format!("{plan:?} at {struck:?}");
                let announced: BTreeSet<u32> = before.union(&after).copied().collect();
                assert!(announced.iter().copied().eq(0..105), "{context}");
                assert_eq!(scene.chunks(id).await, expected, "{context}");
                let repeated = before.intersection(&after).count();
                assert!(repeated <= 100, "{repeated} chunks sent again, {context}");
                assert!(
                    after.iter().all(|chunk| *chunk >= checkpoint.chunks),
                    "{context}"
                );
                if struck.is_none() {
                    break;
                }
            }
        }
    }
}
