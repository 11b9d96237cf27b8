//! What is done from time to time beside the stages: sweeps, and an end to what is kept.

use std::sync::Arc;
use std::time::Duration;

use adapters_embedded::{Database, SqliteStore};
use domain::Minute;
use pipeline::expire::expire;
use pipeline::recorder::Recorder;
use pipeline::sweep::{Swept, sweep};
use pipeline::{PipelineResult, Ports};
use tokio::sync::watch;

/// Batches that have not moved for this long are looked after.
const SWEEP_GRACE: Duration = Duration::from_secs(30);
/// Pause between two sweeps.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Pause between two looks for what is kept long enough, which is counted in days.
const EXPIRE_EVERY: Duration = Duration::from_secs(60 * 60);

/// Sweeps until told to stop.
pub(super) async fn sweep_on_schedule(
    ports: Ports,
    recorder: Arc<Recorder>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        tell(&recorder, sweep(&ports, SWEEP_GRACE).await);
    }
}

/// Forgets what is older than `keep`, at once and every hour, until told to stop.
pub(super) async fn expire_on_schedule(
    ports: Ports,
    database: Database,
    keep: Duration,
    recorder: Arc<Recorder>,
    mut stopped: watch::Receiver<bool>,
) {
    let store = SqliteStore::new(database);
    loop {
        tell(&recorder, forget(&ports, &store, keep).await);
        tokio::select! {
            () = tokio::time::sleep(EXPIRE_EVERY) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}

async fn forget(ports: &Ports, store: &SqliteStore, keep: Duration) -> PipelineResult<Swept> {
    let mut swept = Swept::default();
    expire(ports, keep, &mut swept).await?;
    let before = Minute::of(ports.clock.now() - keep);
    let minutes = store.forget_minutes(before).await?;
    if minutes > 0 {
        tracing::info!(minutes, "indicators forgotten");
    }
    Ok(swept)
}

fn tell(recorder: &Recorder, swept: PipelineResult<Swept>) {
    match swept {
        Ok(swept) => {
            recorder.swept(&swept);
            if swept.total() > 0 {
                tracing::info!(?swept, "repaired");
            }
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "sweep failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use adapters_embedded::DataFolder;
    use domain::{Gauge, Vitals};
    use jiff::Timestamp;

    use super::*;
    use crate::engine::ports;

    #[tokio::test]
    async fn minutes_are_kept_as_long_as_batches() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let ports = ports(&data);
        let vitals = Vitals {
            workers: Gauge::of(1),
            ..Vitals::default()
        };
        let now = Minute::of(Timestamp::now());
        let day = 24 * 60;
        for age in [0, day - 5, day + 5, 3 * day] {
            let minute = Minute(now.0 - age);
            let monitoring = data.monitoring();
            monitoring.add_vitals(minute, &vitals).await.unwrap();
        }
        let store = SqliteStore::new(data.database().clone());
        let keep = Duration::from_secs(24 * 60 * 60);
        forget(&ports, &store, keep).await.unwrap();
        let kept = ports
            .store
            .kpis(Minute(now.0 - 4 * day), now)
            .await
            .unwrap();
        let ages: Vec<i64> = kept.iter().map(|(minute, _)| now.0 - minute.0).collect();
        assert_eq!(ages, [day - 5, 0]);
    }
}
