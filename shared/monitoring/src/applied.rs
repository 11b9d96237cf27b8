//! Advice that is acted on: more workers around a batch, within a range, and back to its lower end after it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Observations;
use crate::scaling::{Action, Advice, CHUNKS, COOL_DOWN};

/// Changes that are kept to be looked at.
const KEPT_CHANGES: usize = 20;

/// One change that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScalingChange {
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Workers allowed at once before it.
    pub from: u64,
    /// And after it.
    pub to: u64,
    /// Why, in a sentence.
    pub reason: String,
}

/// What whoever acts on advice may do, and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppliedScaling {
    /// When it was last looked at.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Workers allowed at once when nothing is done: what the stack was set up with.
    pub least: u64,
    /// Workers that may be allowed at once at most.
    pub most: u64,
    /// Workers allowed at once now.
    pub allowed: u64,
    /// The last changes, oldest first.
    pub changes: Vec<ScalingChange>,
}

impl AppliedScaling {
    /// Notes a change that was made.
    pub fn note(&mut self, change: ScalingChange) {
        self.allowed = change.to;
        self.changes.push(change);
        let surplus = self.changes.len().saturating_sub(KEPT_CHANGES);
        self.changes.drain(..surplus);
    }

    fn is_cooling(&self, now: Timestamp) -> bool {
        let last = self.changes.last();
        last.is_some_and(|change| change.at + COOL_DOWN > now)
    }
}

/// What to change, given `advice` on what was observed; `None` when everything is to stay.
///
/// More workers are allowed as advised. Fewer only when no chunk waits and none is under way, and then at once as few as the stack was set
/// up with: a batch is not slowed down while it runs.
pub fn next_change(
    observed: &Observations,
    applied: &AppliedScaling,
    advice: &Advice,
) -> Option<ScalingChange> {
    if applied.is_cooling(observed.now) {
        return None;
    }
    let change = |to: u64, reason: String| ScalingChange {
        at: observed.now,
        from: applied.allowed,
        to,
        reason,
    };
    let chunks = observed.queues.iter().find(|queue| queue.name == CHUNKS);
    // Where nobody knows what waits, nothing is changed.
    let backlog = chunks?.pending + chunks?.in_flight;
    if backlog == 0 {
        let is_changed = applied.allowed != applied.least;
        let reason = "no chunk waits and none is under way: back to what the stack was set up with";
        return is_changed.then(|| change(applied.least, reason.to_owned()));
    }
    let to = advice.advised_workers.clamp(applied.least, applied.most);
    let is_more = advice.action == Action::ScaleUp && to > applied.allowed;
    is_more.then(|| change(to, advice.reasons.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueueNow;
    use crate::observations::tests::at_minute_1000;
    use crate::scaling::advise;
    use domain::KpiDelta;
    use jiff::SignedDuration;

    /// Chunks wait and are under way; in each of the last four minutes so many parts ended.
    fn observed(pending: u64, in_flight: u64, parts: u64) -> Observations {
        let minutes = (997..=1_000).map(|minute| {
            let mut delta = KpiDelta {
                parts,
                ..KpiDelta::default()
            };
            delta.counters.rows = parts * 2_000;
            (minute, delta)
        });
        let mut observed = at_minute_1000(minutes.collect());
        observed.queues.push(QueueNow {
            name: CHUNKS,
            pending,
            in_flight,
            dead: 0,
        });
        observed.applied = Some(AppliedScaling {
            at: observed.now,
            least: 100,
            most: 600,
            allowed: 100,
            changes: Vec::new(),
        });
        observed
    }

    fn next(observed: &Observations) -> Option<(u64, String)> {
        let applied = observed.applied.as_ref().unwrap();
        let change = next_change(observed, applied, &advise(observed))?;
        assert_eq!(change.from, applied.allowed);
        Some((change.to, change.reason))
    }

    #[test]
    fn a_long_list_is_given_what_ends_it_in_five_minutes() {
        // 300 parts a minute by 100 workers: 20 minutes for 6,000 chunks, hence four times as many.
        let (to, reason) = next(&observed(5_900, 100, 300)).unwrap();
        assert_eq!(to, 400);
        assert!(reason.contains("20"), "{reason}");
        // Not more than the range has.
        assert_eq!(next(&observed(59_900, 100, 300)).unwrap().0, 600);
    }

    #[test]
    fn a_list_that_ends_soon_and_workers_that_are_not_used_change_nothing() {
        assert_eq!(next(&observed(900, 100, 300)), None);
        // Something else than the allowance holds these up.
        assert_eq!(next(&observed(5_900, 20, 300)), None);
    }

    #[test]
    fn after_the_last_chunk_it_goes_back_and_not_before() {
        let raised = |pending, in_flight| {
            let mut observed = observed(pending, in_flight, 300);
            observed.applied.as_mut().unwrap().allowed = 400;
            observed
        };
        assert_eq!(next(&raised(0, 3)), None);
        assert_eq!(next(&raised(0, 0)).unwrap().0, 100);
        assert_eq!(next(&observed(0, 0, 0)), None);
        let mut unknown = raised(0, 0);
        unknown.queues.clear();
        assert_eq!(next(&unknown), None);
    }

    #[test]
    fn nothing_changes_within_the_cool_down() {
        let mut observed = observed(0, 0, 300);
        let applied = observed.applied.as_mut().unwrap();
        let now = observed.now;
        let changed = |ago| ScalingChange {
            at: now - ago,
            from: 100,
            to: 400,
            reason: String::new(),
        };
        applied.note(changed(COOL_DOWN - SignedDuration::from_secs(1)));
        assert_eq!(next(&observed), None);
        let applied = observed.applied.as_mut().unwrap();
        applied.note(changed(COOL_DOWN));
        assert_eq!(next(&observed).unwrap().0, 100);
    }

    #[test]
    fn only_the_last_changes_are_kept() {
        let mut applied = observed(0, 0, 0).applied.unwrap();
        for to in 1..=30 {
            applied.note(ScalingChange {
                at: applied.at,
                from: 1,
                to,
                reason: String::new(),
            });
        }
        assert_eq!((applied.changes.len(), applied.changes[0].to), (20, 11));
        assert_eq!(applied.allowed, 30);
    }
}
