//! An analysis that fails or dies at every single call to a port, and whose message comes again.

use domain::ports::Queue;
use domain::{BatchStatus, ChunkMessage, MetricsMessage};
use pipeline::analyze_chunk::Budget;

use crate::faults::{Fault, Plan};
use crate::support::Scene;

/// Analyses `message` with the plan's fault, and hands back the call it struck, or `None` when the analysis ended before.
async fn analyze_with(
    scene: &Scene,
    message: ChunkMessage,
    budget: Budget,
    plan: Plan,
) -> Option<String> {
    let (ports, tap) = scene.tapped(plan);
    let analyzer = scene.analyzer(&ports);
    let ended = tap.run(analyzer.analyze_chunk(&message, budget)).await;
    let struck = tap.struck();
    match ended {
        None => assert!(struck.is_some(), "{plan:?}"),
        Some(Ok(())) => assert!(struck.is_none(), "{plan:?} at {struck:?} went unnoticed"),
        Some(Err(error)) => {
            assert!(struck.is_some(), "{error:?}");
            assert!(error.is_retryable(), "{plan:?} at {struck:?}: {error:?}");
        }
    }
    struck
}

/// A list whose rows end in different ways, one of them in another way when it is asked again.
fn uneven_list(scene: &Scene, number: usize) -> String {
    format!(
        "{}\n{}\nnot a url\n{}\n{}\n",
        scene.image(number),
        scene.origin.url("/status/404"),
        scene.image(number),
        scene.origin.url(&format!("/status/500?number={number}")),
    )
}

#[tokio::test]
async fn a_chunk_whose_analysis_failed_or_died_at_any_call_is_counted_once() {
    let scene = Scene::new();
    let mut number = 0;
    for fault in Fault::OF_ANY_CALL {
        for nth in 1.. {
            number += 1;
            let (id, messages) = scene.start_and_split(uneven_list(&scene, number), 3).await;
            let plan = Plan {
                call: "",
                nth,
                fault,
            };
            let budget = Budget::default();
            let struck = analyze_with(&scene, messages[0], budget, plan).await;
            scene.analyze(messages[0]).await;
            scene.analyze(messages[1]).await;
            scene.assert_completed(id, 5).await;
            let metrics: Vec<MetricsMessage> = scene.take(Queue::Metrics).await;
            for message in &messages {
                let sent = metrics.iter().any(|sent| sent.part == message.part);
                assert!(sent, "{}, {plan:?} at {struck:?}", message.part);
            }
            if struck.is_none() {
                // The batch, its manifest, its rows, its results, its commit and the metrics message.
                assert!(nth > 6, "an analysis of only {nth} calls?");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_batch_whose_last_chunk_failed_or_died_at_any_call_completes_once() {
    let scene = Scene::new();
    let mut number = 0;
    for fault in Fault::OF_ANY_CALL {
        for nth in 1.. {
            number += 1;
            let (id, messages) = scene.start_and_split(uneven_list(&scene, number), 9).await;
            let plan = Plan {
                call: "",
                nth,
                fault,
            };
            let budget = Budget::default();
            let struck = analyze_with(&scene, messages[0], budget, plan).await;
            scene.analyze(messages[0]).await;
            scene.assert_completed(id, 5).await;
            // A process that died after the last move and before the finalize message leaves that to the sweep.
            scene.sweep().await;
            scene.drain().await;
            assert_eq!(scene.completions(id), 1);
            let batch = scene.batch(id).await;
            let context = format!("{plan:?} at {struck:?}");
            assert!(batch.finalize_sent && batch.report_ready, "{context}");
            if struck.is_none() {
                assert!(nth > 11, "a completion of only {nth} calls?");
                break;
            }
        }
    }
}

#[tokio::test]
async fn rows_left_over_by_a_part_that_failed_or_died_at_any_call_are_taken_up_once() {
    let scene = Scene::new();
    let mut number = 0;
    for fault in Fault::OF_ANY_CALL {
        for nth in 1.. {
            number += 1;
            let (id, messages) = scene.start_and_split(uneven_list(&scene, number), 9).await;
            let plan = Plan {
                call: "",
                nth,
                fault,
            };
            let halved = Budget {
                interruptions: 1,
                ..Budget::default()
            };
            let struck = analyze_with(&scene, messages[0], halved, plan).await;
            scene.analyze_within(messages[0], halved).await;
            let context = format!("{plan:?} at {struck:?}");
            assert_eq!(scene.status(id).await, BatchStatus::Processing, "{context}");
            assert_eq!(scene.counters(id).await.rows, 2, "{context}");

            let next: Vec<ChunkMessage> = scene.take(Queue::Chunks).await;
            assert!(!next.is_empty(), "{context}");
            for message in next {
                assert_eq!(message.part, messages[0].part.next());
                scene.analyze(message).await;
            }
            scene.assert_completed(id, 5).await;
            if struck.is_none() {
                break;
            }
        }
    }
}
