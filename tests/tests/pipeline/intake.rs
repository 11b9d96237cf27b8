//! A pause of the whole intake: lists are taken in and wait.

use std::time::Duration;

use domain::ports::{Intake, Queue};
use domain::{BatchStatus, SplitMessage};
use pipeline::intake::{IntakeGate, set_paused};

use crate::support::{Scene, split_message};

#[tokio::test]
async fn a_pause_is_kept_and_a_repeat_does_not_move_its_time() {
    let scene = Scene::new();
    let ports = &scene.ports;
    assert_eq!(set_paused(ports, false).await.unwrap(), Intake::default());
    let paused = set_paused(ports, true).await.unwrap();
    assert!(paused.is_paused);
    scene.clock.advance(Duration::from_secs(60));
    assert_eq!(set_paused(ports, true).await.unwrap(), paused);
    let resumed = set_paused(ports, false).await.unwrap();
    assert!(!resumed.is_paused && resumed.since > paused.since);
}

#[tokio::test]
async fn messages_that_come_during_a_pause_are_put_off_and_none_is_lost() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(3), 2).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    set_paused(&scene.ports, true).await.unwrap();
    let gate = IntakeGate::default();
    let message = split_message(id);
    assert!(
        gate.puts_off(&scene.ports, Queue::Split, &message)
            .await
            .unwrap()
    );
    assert_eq!(scene.status(id).await, BatchStatus::Queued);
    let finalize = domain::FinalizeMessage {
        batch: id,
        notice: None,
    };
    let put_off = gate
        .puts_off(&scene.ports, Queue::Finalize, &finalize)
        .await;
    assert!(!put_off.unwrap(), "reports are written all the same");
    assert!(scene.take::<SplitMessage>(Queue::Split).await.is_empty());

    set_paused(&scene.ports, false).await.unwrap();
    scene.clock.advance(Duration::from_secs(300));
    let waited: Vec<SplitMessage> = scene.take(Queue::Split).await;
    assert_eq!(waited, [message]);
    let gate = IntakeGate::default();
    assert!(
        !gate
            .puts_off(&scene.ports, Queue::Split, &waited[0])
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn the_store_is_asked_once_a_second_at_most() {
    let scene = Scene::new();
    let gate = IntakeGate::default();
    assert!(!gate.is_paused(&scene.ports).await);
    set_paused(&scene.ports, true).await.unwrap();
    assert!(
        !gate.is_paused(&scene.ports).await,
        "what was seen holds for a second"
    );
    tokio::time::sleep(Duration::from_millis(1_010)).await;
    assert!(gate.is_paused(&scene.ports).await);
}

#[tokio::test]
async fn a_sweep_during_a_pause_sends_no_message_for_what_waits() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(3), 2).await;
    set_paused(&scene.ports, true).await.unwrap();
    assert_eq!(scene.sweep().await.splits, 0);
    assert_eq!(scene.waiting(Queue::Split).await, 1);
    set_paused(&scene.ports, false).await.unwrap();
    assert_eq!(scene.sweep().await.splits, 1);
    scene.drain().await;
    scene.assert_completed(id, 3).await;
}
