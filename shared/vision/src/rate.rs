//! The rate of one key, as pure arithmetic: no clock, no store, no randomness.
//!
//! Two things decide how many calls a key may make in a window. The *rate* goes up and down with the share of calls that succeed. The
//! *ceiling* is what the provider turned out to permit: the calls that it took in the window before it refused one. A rate alone would
//! climb over the permitted one again and again, and could not go below its own floor.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch.
type Millis = i64;

/// How rates adapt. The defaults are the product's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct RateSettings {
    /// Calls a minute that a new key begins with.
    pub start_rpm: f64,
    /// Calls a minute that a key never falls below by its failures alone.
    pub min_rpm: f64,
    /// Calls a minute that a key never goes above.
    pub max_rpm: f64,
    /// Calls that may begin at the same moment.
    pub burst: u32,
    /// What calls are counted over, and the longest time that a key is left alone.
    pub window: Duration,
    /// Share of calls that have to succeed for the rate to go up …
    pub raise_above: f64,
    /// … by this factor.
    pub raise_by: f64,
    /// Share of calls below which the rate goes down …
    pub lower_below: f64,
    /// … by this factor.
    pub lower_by: f64,
}

impl Default for RateSettings {
    fn default() -> Self {
        Self {
            start_rpm: 60.0,
            min_rpm: 30.0,
            max_rpm: 100.0,
            burst: 10,
            window: Duration::from_secs(60),
            raise_above: 0.95,
            raise_by: 1.1,
            lower_below: 0.8,
            lower_by: 0.9,
        }
    }
}

impl RateSettings {
    fn window_ms(&self) -> Millis {
        self.window.as_millis() as Millis
    }

    /// What permits are counted over: a little longer than the window, because a call reaches the provider some time after its permit
    /// was given, and not always the same time after it.
    fn counted_ms(&self) -> Millis {
        let window = self.window_ms();
        window + window / 60
    }

    fn per_window(&self, rpm: f64) -> f64 {
        rpm * self.window.as_secs_f64() / 60.0
    }

    /// The least permits worth a write to the store, of a key with this burst.
    fn worth_a_write(burst: u32) -> u32 {
        (burst * 4 / 5).max(1)
    }
}

/// Calls in a window before their share means something.
const MIN_SAMPLE: u32 = 10;
/// The rest of a window is worth a write from this on.
const LEAST_REMAINDER: u32 = 3;
/// Of what can be saved up, one in so many permits is for those who do not go first.
const SURPLUS_ONE_IN: u32 = 4;
/// Weight of the latest report in a key's health.
const HEALTH_WEIGHT: f64 = 0.2;
/// Windows between two looks at whether more is permitted by now; doubled by each look that was refused.
const FIRST_PROBE_WINDOWS: u32 = 5;
const MAX_PROBE_WINDOWS: u32 = 12;
/// A refusal that comes without a time is waited out for this share of the window.
const PAUSE_SHARE: u32 = 6;
/// A refusal for a pause of at most this length is about calls that begin at the same moment, not about those of a window.
const SHORT_PAUSE: Duration = Duration::from_secs(2);

/// What the provider turned out to permit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Ceiling {
    /// Calls in a window.
    calls: u32,
    /// What the next look adds.
    step: u32,
    /// When to look whether more is permitted.
    probe_at: Millis,
    /// Windows until the look after a refused one.
    probe_windows: u32,
    /// Whether the last addition has not been refused yet.
    #[serde(default)]
    is_probing: bool,
}

/// Everything known of a key: one row of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyState {
    rpm: f64,
    #[serde(default)]
    ceiling: Option<Ceiling>,
    /// Calls that the provider takes at the same moment.
    burst: u32,
    /// Permits saved up, at most `burst`.
    saved: f64,
    saved_at: Millis,
    /// Permits given out within the window, oldest first.
    given: Vec<(Millis, u32)>,
    window_began: Millis,
    succeeded: u32,
    failed: u32,
    /// 0 … 1: share of calls that succeed, the latest weighing most.
    health: f64,
    #[serde(default)]
    paused_until: Millis,
    #[serde(default)]
    retired_until: Millis,
}

/// What became of the calls that a block of permits was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockReport {
    /// Answered, however useful the answer was.
    pub succeeded: u32,
    /// Refused because there were too many (429).
    pub refused: u32,
    /// Failed in another way that may be the key's: 500s, time-outs.
    pub failed: u32,
    /// Permits that were not used.
    pub unused: u32,
    /// How long the provider asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The provider does not know the key, or has locked it: how long it is of no use.
    pub retire_for: Option<Duration>,
}

impl BlockReport {
    /// Whether others that use the key should know at once.
    pub const fn is_urgent(&self) -> bool {
        self.refused > 0 || self.retire_for.is_some()
    }

    /// Adds what became of more calls.
    pub fn add(&mut self, other: Self) {
        self.succeeded += other.succeeded;
        self.refused += other.refused;
        self.failed += other.failed;
        self.unused += other.unused;
        self.retry_after = self.retry_after.max(other.retry_after);
        self.retire_for = self.retire_for.max(other.retire_for);
    }

    const fn is_empty(&self) -> bool {
        self.succeeded + self.refused + self.failed + self.unused == 0 && self.retire_for.is_none()
    }
}

impl KeyState {
    /// A key that has not been used yet.
    pub fn new(settings: &RateSettings, now: Timestamp) -> Self {
        let now = now.as_millisecond();
        Self {
            rpm: settings.start_rpm,
            ceiling: None,
            burst: settings.burst,
            saved: f64::from(settings.burst),
            saved_at: now,
            given: Vec::new(),
            window_began: now,
            succeeded: 0,
            failed: 0,
            health: 1.0,
            paused_until: 0,
            retired_until: 0,
        }
    }

    /// Calls a minute by its successes and failures.
    pub const fn rpm(&self) -> f64 {
        self.rpm
    }

    /// Calls in a window that the provider turned out to permit; `None` while it refused none.
    pub fn ceiling(&self) -> Option<u32> {
        self.ceiling.as_ref().map(|ceiling| ceiling.calls)
    }

    /// Share of calls that succeed, the latest weighing most.
    pub const fn health(&self) -> f64 {
        self.health
    }

    /// Whether the key is of no use now, because the provider does not know it or has locked it.
    pub fn is_retired(&self, now: Timestamp) -> bool {
        now.as_millisecond() < self.retired_until
    }

    /// Calls a minute that it may make as things stand, unless it is retired.
    pub fn permitted_rpm(&self, settings: &RateSettings) -> f64 {
        self.limit(settings) * 60.0 / settings.window.as_secs_f64()
    }

    /// Calls in a window.
    fn limit(&self, settings: &RateSettings) -> f64 {
        let by_rate = settings.per_window(self.rpm);
        match &self.ceiling {
            Some(ceiling) => by_rate.min(f64::from(ceiling.calls)),
            None => by_rate,
        }
    }

    fn burst(&self, settings: &RateSettings) -> u32 {
        self.burst.clamp(1, settings.burst.max(1))
    }

    fn saved_at(&self, now: Millis, settings: &RateSettings) -> f64 {
        let per_ms = self.limit(settings) / settings.window_ms() as f64;
        let earned = (now - self.saved_at).max(0) as f64 * per_ms;
        (self.saved + earned).min(f64::from(self.burst(settings)))
    }

    fn given_since(&self, since: Millis) -> u32 {
        let counted = self.given.iter().filter(|(at, _)| *at > since);
        counted.map(|(_, permits)| permits).sum()
    }

    /// Permits that could be given out now.
    pub fn available(&self, settings: &RateSettings, now: Timestamp) -> u32 {
        let is_retired = self.is_retired(now);
        let now = now.as_millisecond();
        if is_retired || now < self.paused_until {
            return 0;
        }
        let saved = (self.saved_at(now, settings) + 1e-6).floor() as u32;
        saved.min(self.room(settings, now))
    }

    /// Permits that the window has room for.
    fn room(&self, settings: &RateSettings, now: Millis) -> u32 {
        let in_window = self.given_since(now - settings.counted_ms());
        (self.limit(settings).floor() as u32).saturating_sub(in_window)
    }

    /// Takes up to `wanted` permits; 0 unless there are enough to be worth a write.
    pub fn take(&mut self, settings: &RateSettings, now: Timestamp, wanted: u32) -> u32 {
        let available = self.available(settings, now);
        let room = self.room(settings, now.as_millisecond());
        if available
            < self
                .least_of(settings, wanted)
                .min(room.max(LEAST_REMAINDER))
                .min(wanted)
        {
            return 0;
        }
        let taken = available.min(wanted);
        let now = now.as_millisecond();
        self.saved = self.saved_at(now, settings) - f64::from(taken);
        self.saved_at = now;
        self.given
            .retain(|(at, _)| *at > now - settings.counted_ms());
        if taken > 0 {
            self.given.push((now, taken));
        }
        taken
    }

    /// Takes up to `wanted` permits of those that nobody who goes first has wanted: a quarter of what can be saved up, once all of it is.
    pub fn take_of_surplus(&mut self, settings: &RateSettings, now: Timestamp, wanted: u32) -> u32 {
        let burst = self.burst(settings);
        let surplus = (burst / SURPLUS_ONE_IN).max(1);
        if self.available(settings, now) < burst {
            return 0;
        }
        self.take(settings, now, wanted.min(surplus))
    }

    fn least_of(&self, settings: &RateSettings, wanted: u32) -> u32 {
        let limit = self.limit(settings).floor().max(1.0) as u32;
        RateSettings::worth_a_write(self.burst(settings).min(limit)).min(wanted.max(1))
    }

    /// When up to `wanted` permits are likely to be there; `None` for a key that is retired.
    pub fn next_at(
        &self,
        settings: &RateSettings,
        now: Timestamp,
        wanted: u32,
    ) -> Option<Timestamp> {
        if self.is_retired(now) {
            return None;
        }
        let now = now.as_millisecond();
        let least = self.least_of(settings, wanted);
        let mut at = now.max(self.paused_until);
        // Enough of what was given out has to leave the window …
        let least = least
            .min(self.room(settings, now).max(LEAST_REMAINDER))
            .min(wanted.max(1));
        let room_needed = f64::from(least);
        let mut in_window = self.given_since(now - settings.counted_ms());
        for (given_at, permits) in &self.given {
            if *given_at <= now - settings.counted_ms() {
                continue;
            }
            if self.limit(settings).floor() - f64::from(in_window) >= room_needed {
                break;
            }
            in_window -= permits;
            at = at.max(given_at + settings.counted_ms());
        }
        // … and enough has to be saved up.
        let missing = f64::from(least) - self.saved_at(now, settings);
        if missing > 0.0 {
            let per_ms = self.limit(settings) / settings.window_ms() as f64;
            at = at.max(now + (missing / per_ms.max(1e-9)).ceil() as Millis);
        }
        Timestamp::from_millisecond(at).ok()
    }

    /// Takes in what became of permits that were given out. Whether the key was retired by it.
    pub fn record(
        &mut self,
        settings: &RateSettings,
        now: Timestamp,
        report: &BlockReport,
    ) -> bool {
        if report.is_empty() {
            return false;
        }
        let was_retired = self.is_retired(now);
        let now = now.as_millisecond();
        if let Some(pause) = report.retire_for {
            let until = now + pause.as_millis() as Millis;
            self.retired_until = self.retired_until.max(until);
            return !was_retired;
        }
        if report.refused > 0 {
            self.learn(settings, now, report);
        }
        self.give_back(report.unused + report.refused);
        self.saved = (self.saved + f64::from(report.unused)).min(f64::from(self.burst(settings)));
        self.succeeded += report.succeeded;
        self.failed += report.failed + report.refused;
        let calls = report.succeeded + report.failed + report.refused;
        if calls > 0 {
            let share = f64::from(report.succeeded) / f64::from(calls);
            // As if the calls had been reported one after the other.
            let weight = 1.0 - (1.0 - HEALTH_WEIGHT).powi(calls.min(1_000) as i32);
            self.health += weight * (share - self.health);
        }
        self.adapt(settings, now);
        false
    }

    /// Permits that the provider did not count are taken off again: those of the latest blocks first.
    fn give_back(&mut self, mut permits: u32) {
        for (_, given) in self.given.iter_mut().rev() {
            let taken_off = permits.min(*given);
            *given -= taken_off;
            permits -= taken_off;
        }
        self.given.retain(|(_, given)| *given > 0);
    }

    fn learn(&mut self, settings: &RateSettings, now: Millis, report: &BlockReport) {
        let in_window = self.given_since(now - settings.counted_ms());
        let uncounted = report.refused + report.unused;
        let taken = in_window.saturating_sub(uncounted);
        let before = taken.saturating_sub(report.succeeded);
        let is_half_empty = f64::from(before) < self.limit(settings) / 2.0;
        let is_short = report.retry_after.is_some_and(|pause| pause <= SHORT_PAUSE);
        if report.succeeded > 0 && is_half_empty && is_short && self.burst(settings) > 1 {
            // Far from what a window holds, and over in a moment: too many at the same time.
            self.burst = report.succeeded.min(self.burst(settings) - 1).max(1);
            self.saved = self.saved.min(f64::from(self.burst));
        } else {
            let probe_windows = match &self.ceiling {
                // It was refused right after more was tried: the next look is later.
                Some(known) if known.is_probing => (known.probe_windows * 2).min(MAX_PROBE_WINDOWS),
                Some(known) => known.probe_windows,
                None => FIRST_PROBE_WINDOWS,
            };
            let limit = self.limit(settings).floor().max(1.0) as u32;
            self.ceiling = Some(Ceiling {
                // What others took, or was taken before the state was lost, is not known here: never less than half at a time.
                calls: taken.clamp(limit.div_ceil(2), limit),
                step: 1,
                probe_at: now + settings.window_ms() * Millis::from(probe_windows),
                probe_windows,
                is_probing: false,
            });
        }
        let default_pause = settings.window / PAUSE_SHARE;
        let pause = report
            .retry_after
            .unwrap_or(default_pause)
            .min(settings.window);
        self.paused_until = self.paused_until.max(now + pause.as_millis() as Millis);
    }

    /// Once a window: the rate by the share of successes, and a careful look above the ceiling.
    fn adapt(&mut self, settings: &RateSettings, now: Millis) {
        if now - self.window_began < settings.window_ms() {
            return;
        }
        let calls = self.succeeded + self.failed;
        let is_sample = f64::from(calls) >= f64::from(MIN_SAMPLE).min(self.limit(settings) / 2.0);
        if calls == 0 || !is_sample {
            return;
        }
        let share = f64::from(self.succeeded) / f64::from(calls);
        if share > settings.raise_above {
            self.rpm = (self.rpm * settings.raise_by).min(settings.max_rpm);
            self.probe(settings, now);
        } else if share < settings.lower_below {
            self.rpm = (self.rpm * settings.lower_by).max(settings.min_rpm);
        }
        self.window_began = now;
        self.succeeded = 0;
        self.failed = 0;
    }

    fn probe(&mut self, settings: &RateSettings, now: Millis) {
        let by_rate = settings.per_window(self.rpm);
        let Some(ceiling) = &mut self.ceiling else {
            self.burst = (self.burst + 1).min(settings.burst);
            return;
        };
        if now < ceiling.probe_at {
            return;
        }
        // Nothing was refused since the last look: the next one may add more.
        let most = (ceiling.calls / 5).max(1);
        ceiling.calls += ceiling.step.min(most);
        ceiling.step = (ceiling.step * 2).min(most);
        ceiling.probe_at = now + settings.window_ms();
        ceiling.is_probing = true;
        if f64::from(ceiling.calls) >= by_rate {
            self.ceiling = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).unwrap()
    }

    fn a_key() -> (RateSettings, KeyState) {
        let settings = RateSettings::default();
        let state = KeyState::new(&settings, at(0));
        (settings, state)
    }

    fn answered(succeeded: u32) -> BlockReport {
        BlockReport {
            succeeded,
            ..BlockReport::default()
        }
    }

    #[test]
    fn a_key_begins_with_its_burst_and_then_goes_at_its_rate() {
        let (settings, mut key) = a_key();
        assert_eq!(key.take(&settings, at(0), 50), 10);
        assert_eq!(key.take(&settings, at(1_000), 50), 0);
        // Eight are worth a write: at 60 a minute they are there after eight seconds.
        assert_eq!(key.next_at(&settings, at(0), 50), Some(at(8_000)));
        assert_eq!(key.take(&settings, at(8_000), 50), 8);
        // Who wants fewer gets them sooner.
        assert_eq!(key.next_at(&settings, at(8_000), 1), Some(at(9_000)));
        assert_eq!(key.take(&settings, at(9_000), 1), 1);
    }

    #[test]
    fn what_is_surplus_is_a_quarter_of_what_nobody_took() {
        let (settings, mut key) = a_key();
        assert_eq!(key.take_of_surplus(&settings, at(0), 50), 2);
        // Eight are left, and stay for others until ten are there again.
        assert_eq!(key.take_of_surplus(&settings, at(1_000), 50), 0);
        assert_eq!(key.clone().take(&settings, at(1_000), 50), 9);
        assert_eq!(key.take_of_surplus(&settings, at(2_000), 1), 1);
    }

    #[test]
    fn no_window_holds_more_permits_than_the_rate() {
        let (settings, mut key) = a_key();
        let mut given: Vec<(i64, u32)> = Vec::new();
        for tenth in 0..6_000 {
            let now = tenth * 100;
            let taken = key.take(&settings, at(now), 3);
            given.push((now, taken));
            let window: u32 = given
                .iter()
                .filter(|(then, _)| *then > now - 60_000)
                .map(|(_, taken)| taken)
                .sum();
            assert!(window <= 60, "{window} at {now} ms");
        }
        let all: u32 = given.iter().map(|(_, taken)| taken).sum();
        assert!(all >= 585, "{all} in ten minutes");
    }

    #[test]
    fn the_rate_follows_the_share_of_successes() {
        let (settings, mut key) = a_key();
        let mut now = 0;
        let mut window = |key: &mut KeyState, succeeded, failed| {
            now += 60_000;
            let report = BlockReport {
                succeeded,
                failed,
                ..BlockReport::default()
            };
            key.record(&settings, at(now), &report);
            key.rpm()
        };
        assert!((window(&mut key, 60, 0) - 66.0).abs() < 1e-9);
        // Neither above 95 % nor below 80 %.
        assert!((window(&mut key, 95, 5) - 66.0).abs() < 1e-9);
        assert!((window(&mut key, 80, 20) - 66.0).abs() < 1e-9);
        assert!((window(&mut key, 79, 21) - 59.4).abs() < 1e-9);
        for _ in 0..20 {
            window(&mut key, 0, 60);
        }
        assert!((key.rpm() - 30.0).abs() < 1e-9, "{}", key.rpm());
        for _ in 0..20 {
            window(&mut key, 60, 0);
        }
        assert!((key.rpm() - 100.0).abs() < 1e-9, "{}", key.rpm());
    }

    #[test]
    fn what_was_taken_before_a_refusal_is_the_ceiling() {
        let (settings, mut key) = a_key();
        let mut taken = 0;
        for second in 0..60 {
            let permits = key.take(&settings, at(second * 1_000), 10);
            taken += permits;
            let refused = taken.saturating_sub(20).min(permits);
            let report = BlockReport {
                succeeded: permits - refused,
                refused,
                ..BlockReport::default()
            };
            key.record(&settings, at(second * 1_000), &report);
            if refused > 0 {
                taken -= refused;
            }
        }
        // Half of 60 after the first refusal, then what was taken.
        assert_eq!(key.ceiling(), Some(20));
        assert!((key.permitted_rpm(&settings) - 20.0).abs() < 1e-9);
    }

    #[test]
    fn a_refusal_is_waited_out_but_never_for_longer_than_a_window() {
        let (settings, mut key) = a_key();
        key.take(&settings, at(0), 10);
        let report = BlockReport {
            refused: 10,
            retry_after: Some(Duration::from_secs(7)),
            ..BlockReport::default()
        };
        key.record(&settings, at(0), &report);
        assert_eq!(key.available(&settings, at(6_999)), 0);
        assert!(key.available(&settings, at(7_000)) > 0);
        let report = BlockReport {
            refused: 1,
            retry_after: Some(Duration::from_secs(3_600)),
            ..BlockReport::default()
        };
        key.record(&settings, at(7_000), &report);
        assert!(key.available(&settings, at(67_000)) > 0);
    }

    #[test]
    fn a_key_that_the_provider_does_not_work_for_is_retired_once_and_not_for_ever() {
        let (settings, mut key) = a_key();
        let report = BlockReport {
            retire_for: Some(Duration::from_secs(3_600)),
            ..BlockReport::default()
        };
        assert!(key.record(&settings, at(0), &report));
        assert!(!key.record(&settings, at(1), &report));
        assert_eq!(key.available(&settings, at(3_600_000)), 0);
        assert_eq!(key.next_at(&settings, at(0), 1), None);
        // Then it is tried again, and may be retired again.
        assert_eq!(key.available(&settings, at(3_600_001)), 10);
        assert!(key.next_at(&settings, at(3_600_001), 1).is_some());
        assert!(key.record(&settings, at(3_600_002), &report));
    }

    #[test]
    fn a_ceiling_is_probed_and_goes_when_nothing_is_refused_any_more() {
        let (settings, mut key) = a_key();
        key.take(&settings, at(0), 10);
        let refused = BlockReport {
            refused: 4,
            succeeded: 0,
            ..BlockReport::default()
        };
        key.record(&settings, at(0), &refused);
        assert_eq!(key.ceiling(), Some(30));
        let mut windows = 0;
        while key.ceiling().is_some() {
            windows += 1;
            assert!(windows < 200, "the ceiling stays at {:?}", key.ceiling());
            key.record(&settings, at(windows * 60_000), &answered(30));
        }
        assert!(windows > 5, "it was given up after {windows} windows");
    }

    #[test]
    fn too_many_at_once_is_told_from_too_many_in_a_window() {
        let (settings, mut key) = a_key();
        assert_eq!(key.take(&settings, at(0), 10), 10);
        let report = BlockReport {
            succeeded: 4,
            refused: 6,
            retry_after: Some(Duration::from_secs(1)),
            ..BlockReport::default()
        };
        key.record(&settings, at(0), &report);
        assert_eq!(key.ceiling(), None);
        let later = at(30_000);
        assert_eq!(key.available(&settings, later), 4);
    }

    #[test]
    fn permits_not_used_can_be_given_out_again() {
        let (settings, mut key) = a_key();
        for second in 0..6 {
            key.take(&settings, at(second * 10_000), 10);
        }
        assert_eq!(key.available(&settings, at(60_000)), 0);
        let report = BlockReport {
            unused: 10,
            ..BlockReport::default()
        };
        key.record(&settings, at(60_000), &report);
        assert_eq!(key.available(&settings, at(60_000)), 10);
    }

    #[test]
    fn a_state_survives_its_text_form() {
        let (settings, mut key) = a_key();
        key.take(&settings, at(0), 10);
        let refused = BlockReport {
            refused: 10,
            ..BlockReport::default()
        };
        key.record(&settings, at(5), &refused);
        let text = serde_json::to_string(&key).unwrap();
        assert!(text.len() < 400, "{text}");
        assert_eq!(serde_json::from_str::<KeyState>(&text).unwrap(), key);
    }
}
