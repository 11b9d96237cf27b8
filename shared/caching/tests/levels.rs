//! What each level is there for: a fresh process finds the disk, a fresh machine the shared level.
#![expect(clippy::unwrap_used, reason = "a fault ends the test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adapters_embedded::DataFolder;
use bytes::Bytes;
use caching::{Cache, CacheSettings, Cached, Claim, Kind, LevelStats};
use domain::ports::CacheStore;
use test_support::ManualClock;

const HOUR: Duration = Duration::from_secs(3_600);
const VISION: Kind = Kind {
    prefix: "V",
    lifetime: Duration::from_secs(7 * 24 * 3_600),
    negative_lifetime: HOUR,
    dear_from_micro_usd: u64::MAX,
    dear_factor: 1,
};

/// The shared level, and a disk for each machine.
struct Scene {
    shared: Arc<dyn CacheStore>,
    clock: Arc<ManualClock>,
    machines: [tempfile::TempDir; 2],
    _kept: (DataFolder, tempfile::TempDir),
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        Self {
            shared: folder.cache(),
            clock: Arc::default(),
            machines: [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()],
            _kept: (folder, directory),
        }
    }

    /// A process that has just started on a machine.
    fn process(&self, machine: usize) -> Cache {
        self.process_in(self.machines[machine].path())
    }

    fn process_in(&self, folder: &Path) -> Cache {
        let settings = CacheSettings {
            disk_folder: Some(folder.to_owned()),
            ..CacheSettings::default()
        };
        Cache::new(settings, Arc::clone(&self.shared), self.clock.clone())
    }
}

fn an_answer(text: &str) -> Cached {
    Cached {
        value: Bytes::from(text.to_owned()),
        is_negative: false,
        cost_micro_usd: 210,
    }
}

fn hits(cache: &Cache) -> [u64; 3] {
    cache.stats().map(|(_, LevelStats { hits, .. })| hits)
}

#[tokio::test]
async fn a_fresh_process_finds_the_disk_and_a_fresh_machine_the_shared_level() {
    let scene = Scene::new();
    let answer = an_answer(&"a shoe; ".repeat(400));
    let first = scene.process(0);
    assert_eq!(first.get(&VISION, "abc").await.unwrap(), None);
    first.put(&VISION, "abc", answer.clone()).await.unwrap();
    for (process, expected) in [
        (first, [1, 0, 0]),
        (scene.process(0), [0, 1, 0]),
        (scene.process(1), [0, 0, 1]),
        (scene.process(1), [0, 1, 0]),
    ] {
        let found = process.get(&VISION, "abc").await.unwrap();
        assert_eq!(found.as_ref(), Some(&answer));
        assert_eq!(hits(&process), expected);
        // What was found further down is nearer now.
        process.get(&VISION, "abc").await.unwrap();
        assert_eq!(hits(&process)[0], expected[0] + 1);
    }
}

#[tokio::test]
async fn each_level_keeps_an_answer_for_its_own_time() {
    let scene = Scene::new();
    let process = scene.process(0);
    process.put(&VISION, "abc", an_answer("x")).await.unwrap();
    scene
        .clock
        .advance(HOUR.checked_sub(Duration::from_secs(1)).unwrap());
    process.get(&VISION, "abc").await.unwrap();
    assert_eq!(hits(&process), [1, 0, 0]);
    scene.clock.advance(Duration::from_secs(1));
    process.get(&VISION, "abc").await.unwrap();
    assert_eq!(hits(&process), [1, 1, 0]);
    scene.clock.advance(23 * HOUR);
    process.get(&VISION, "abc").await.unwrap();
    assert_eq!(hits(&process), [1, 1, 1]);
    scene.clock.advance(6 * 24 * HOUR);
    assert_eq!(process.get(&VISION, "abc").await.unwrap(), None);
}

#[tokio::test]
async fn a_negative_answer_has_a_short_life_at_every_level() {
    let scene = Scene::new();
    let process = scene.process(0);
    let negative = Cached {
        is_negative: true,
        ..an_answer("refused")
    };
    process.put(&VISION, "abc", negative.clone()).await.unwrap();
    assert_eq!(process.get(&VISION, "abc").await.unwrap(), Some(negative));
    scene.clock.advance(HOUR);
    for process in [process, scene.process(0), scene.process(1)] {
        assert_eq!(process.get(&VISION, "abc").await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_invalidation_reaches_every_level_of_every_machine() {
    let scene = Scene::new();
    let (here, elsewhere) = (scene.process(0), scene.process(1));
    for key in ["a#old", "b#old", "a#new"] {
        here.put(&VISION, key, an_answer(key)).await.unwrap();
        assert!(elsewhere.get(&VISION, key).await.unwrap().is_some());
    }
    scene.clock.advance(Duration::from_millis(5));
    here.invalidate("V#*#old", VISION.lifetime).await.unwrap();
    // Others ask what was invalidated once a minute.
    scene.clock.advance(Duration::from_secs(60));
    for process in [here, elsewhere, scene.process(0), scene.process(1)] {
        for key in ["a#old", "b#old"] {
            assert_eq!(process.get(&VISION, key).await.unwrap(), None, "{key}");
        }
        assert!(process.get(&VISION, "a#new").await.unwrap().is_some());
    }
    // What is worked out afterwards counts, and can be claimed for that.
    let process = scene.process(1);
    process.get(&VISION, "a#old").await.unwrap();
    let claimed = process.claim(&VISION, "a#old", "me", HOUR).await.unwrap();
    assert_eq!(claimed, Claim::Claimed);
    process
        .put(&VISION, "a#old", an_answer("anew"))
        .await
        .unwrap();
    let found = scene.process(0).get(&VISION, "a#old").await.unwrap();
    assert_eq!(found, Some(an_answer("anew")));
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_costs_a_level_and_nothing_else() {
    let scene = Scene::new();
    let file = scene.machines[0].path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let process = scene.process_in(&file);
    process.put(&VISION, "abc", an_answer("x")).await.unwrap();
    scene.clock.advance(2 * HOUR);
    assert!(process.get(&VISION, "abc").await.unwrap().is_some());
    assert_eq!(hits(&process), [0, 0, 1]);
}

#[tokio::test]
async fn nothing_is_opened_before_it_is_needed() {
    let scene = Scene::new();
    let folder = scene.machines[0].path().join("later");
    let process = scene.process_in(&folder);
    assert!(!folder.exists());
    process.get(&VISION, "abc").await.unwrap();
    assert!(folder.join("cache.sqlite").exists());
}

/// Rows as a catalogue has them: few images of which there are many copies, many of which there is one.
fn a_catalogue(rows: usize) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(7);
    let image = |_| {
        let skewed = random.f64().powi(4) * 3_000.0;
        format!("{:064x}#p", skewed as u32)
    };
    (0..rows).map(image).collect()
}

/// Prints what each level answers, and how long it takes for it.
#[tokio::test]
async fn a_warm_cache_answers_more_than_four_of_five_questions_above_the_shared_level() {
    let scene = Scene::new();
    let rows = a_catalogue(10_000);
    let answer = an_answer(&"{\"name\":\"shoe\",\"confidence\":0.98},".repeat(40));
    let filler = scene.process(0);
    let mut distinct: Vec<&String> = rows.iter().collect();
    distinct.sort_unstable();
    distinct.dedup();
    for key in &distinct {
        filler.put(&VISION, key, answer.clone()).await.unwrap();
    }
    for (name, process) in [
        ("fresh machine", scene.process(1)),
        ("fresh process", scene.process(0)),
        ("same process", filler),
    ] {
        for chunk in rows.chunks(100) {
            let found = process.get_many(&VISION, chunk).await.unwrap();
            assert!(found.iter().all(|found| found.as_ref() == Some(&answer)));
        }
        let mut answered_here = 0;
        for (level, stats) in process.stats() {
            let asked = stats.hits + stats.misses;
            let micros = stats.elapsed.as_secs_f64() * 1e6 / asked.max(1) as f64;
            let rate = stats.hit_rate().unwrap_or(0.0) * 100.0;
            println!("{name}: {level} answers {rate:.1} % of {asked}, {micros:.1} µs each");
            if level != "shared" {
                answered_here += stats.hits;
            }
        }
        if name != "fresh machine" {
            assert!(answered_here * 10 > rows.len() as u64 * 8);
        }
    }
    let process = scene.process(1);
    for key in &rows {
        process.get(&VISION, key).await.unwrap();
    }
    let [(_, memory), ..] = process.stats();
    let rate = memory.hit_rate().unwrap();
    println!("asked one by one: memory answers {:.1} %", rate * 100.0);
    assert!(rate > 0.6, "{rate}");
    let saved: u64 = process
        .stats()
        .iter()
        .map(|(_, stats)| stats.saved_micro_usd)
        .sum();
    assert_eq!(saved, rows.len() as u64 * 210);
}
