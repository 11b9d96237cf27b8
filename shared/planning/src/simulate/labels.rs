//! The vision stage, second by second: calls that become due as chunks end, keys that permit so many a minute, functions that have so many
//! under way.

use crate::workload::{Vision, Workload};

/// Calls that one instance of the function has under way at most (`VISION_CALLS_AT_ONCE`), and about how long one takes, in seconds.
const CALLS_UNDER_WAY: f64 = 64.0;
const CALL_S: f64 = 1.0;
/// Seconds of permits that a key keeps when they are not used.
const BURST_S: f64 = 1.0;
/// Share of the calls that fail in a way that is worth another.
const FAILED: f64 = 0.005;

/// When the last label of a list is there, and how many calls that took. `chunks_done_s` says when each chunk had its rows.
pub(super) fn run(
    vision: &Vision,
    chunks_done_s: &[f64],
    workload: &Workload,
    chance: &mut fastrand::Rng,
) -> (f64, u64) {
    let mut done_s = chunks_done_s.to_vec();
    done_s.sort_by(f64::total_cmp);
    let rows = workload.rows_per_list() as f64 * vision.distinct_share;
    let per_chunk = rows / done_s.len().max(1) as f64;
    let permits_per_s = f64::from(vision.keys) * vision.calls_per_minute / 60.0;
    let at_once = f64::from(vision.instances()) * CALLS_UNDER_WAY / CALL_S;
    let mut ended = done_s.iter().copied().peekable();
    let Some(first_s) = ended.peek().copied() else {
        return (0.0, 0);
    };
    let (mut now_s, mut due, mut permits, mut calls) = (first_s, 0.0_f64, 0.0_f64, 0.0_f64);
    // Without a permit nothing ever ends.
    if permits_per_s <= 0.0 {
        return (f64::INFINITY, 0);
    }
    loop {
        while ended.next_if(|s| *s <= now_s).is_some() {
            due += per_chunk;
        }
        if due < 0.5 {
            match ended.peek() {
                Some(next_s) => {
                    permits = permits_per_s * BURST_S;
                    now_s = *next_s;
                    continue;
                }
                None => return (now_s, calls.round() as u64),
            }
        }
        permits = (permits + permits_per_s).min(permits_per_s * (1.0 + BURST_S));
        let made = due.min(permits).min(at_once);
        // Answers take longer and shorter; what fails is due again.
        let failed = made * FAILED * 2.0 * chance.f64();
        permits -= made;
        due -= made - failed;
        calls += made;
        now_s += CALL_S;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vision() -> Vision {
        Vision {
            keys: 10,
            calls_per_minute: 60.0,
            distinct_share: 0.5,
            usd_per_call: 0.0,
        }
    }

    fn run_with(vision: &Vision, rows: u64, done_s: &[f64]) -> (f64, u64) {
        let workload = Workload {
            urls: rows,
            ..Workload::default()
        };
        run(vision, done_s, &workload, &mut fastrand::Rng::with_seed(1))
    }

    #[test]
    fn keys_decide_where_rows_are_many() {
        // 5,000 calls, ten a second.
        let (done_s, calls) = run_with(&vision(), 10_000, &[10.0, 20.0]);
        assert!((500.0..540.0).contains(&done_s), "{done_s}");
        assert!((5_000..5_100).contains(&calls), "{calls}");
    }

    #[test]
    fn chunks_decide_where_keys_are_many() {
        let many = Vision {
            keys: 1_000,
            ..vision()
        };
        let (done_s, _) = run_with(&many, 10_000, &[10.0, 900.0]);
        assert!((900.0..915.0).contains(&done_s), "{done_s}");
    }
}
