//! The climb.

use serde::{Deserialize, Serialize};

use crate::knob::{Knob, KnobName};

/// Factors of a move, from bold to careful.
const FACTORS: [f64; 3] = [4.0, 2.0, 1.4];
/// Better than this is better; less is noise, and staying put wins.
const BETTER: f64 = 1.05;
/// A rate below this share of the best, for so many windows in a row, means that the world has changed.
const FALLEN: f64 = 0.75;
const FALLEN_WINDOWS: u32 = 4;

/// How many windows are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Windows that a move is measured for.
    pub windows: u32,
    /// Windows after a change that are not counted, because they still show what was before.
    pub settling: u32,
    /// Windows to hold still after the best was found, before a fall counts.
    pub cool_down: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            windows: 2,
            settling: 1,
            cool_down: 10,
        }
    }
}

/// A knob was turned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Which one.
    pub knob: KnobName,
    /// Its value before.
    pub from: u64,
    /// Its value now.
    pub to: u64,
    /// Why, in a sentence.
    pub reason: String,
}

impl Change {
    /// Writes the change into the log: every one is there with its reason, whoever turned the knob.
    pub fn log(&self) {
        let Self {
            knob,
            from,
            to,
            reason,
        } = self;
        tracing::info!(%knob, from, to, reason, "tuned");
    }
}

/// A move that is being measured.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Trial {
    knob: usize,
    /// The value to go back to.
    back_to: u64,
}

/// Turns knobs by what it is told.
#[derive(Debug, Clone)]
pub struct Tuner {
    knobs: Vec<Knob>,
    patience: Patience,
    /// The rate at the settings that are kept; `None` until it is measured.
    best: Option<f64>,
    trial: Option<Trial>,
    /// Rates of the windows of the present settings.
    rates: Vec<f64>,
    settling: u32,
    /// Which move comes next: factor, knob, direction.
    factor: usize,
    knob: usize,
    up: bool,
    /// Moves of this factor since one was kept: after all of them, the next factor's turn has come.
    refused: usize,
    held: u32,
    fallen: u32,
}

impl Tuner {
    /// A tuner of these knobs.
    pub fn new(knobs: Vec<Knob>, patience: Patience) -> Self {
        Self {
            knobs,
            patience,
            best: None,
            trial: None,
            rates: Vec::new(),
            settling: 0,
            factor: 0,
            knob: 0,
            up: true,
            refused: 0,
            held: 0,
            fallen: 0,
        }
    }

    /// The value of a knob; `None` if there is no such knob.
    pub fn value(&self, name: KnobName) -> Option<u64> {
        self.knobs
            .iter()
            .find(|knob| knob.name == name)
            .map(|knob| knob.value)
    }

    /// All knobs.
    pub fn knobs(&self) -> &[Knob] {
        &self.knobs
    }

    /// Whether the best was found and nothing is being tried.
    pub fn is_settled(&self) -> bool {
        self.factor >= FACTORS.len()
    }

    /// A window of work at the present settings was done at `rate`; the more the better. Says what to change, if anything.
    ///
    /// Windows in which there was too little to do say nothing about the settings and are not to be handed in.
    pub fn window(&mut self, rate: f64) -> Vec<Change> {
        if self.settling > 0 {
            self.settling -= 1;
            return Vec::new();
        }
        if self.is_settled() {
            return self.watch(rate);
        }
        self.rates.push(rate);
        let Some(best) = self.best else {
            if self.rates.len() as u32 >= self.patience.windows {
                self.best = Some(mean(&self.rates));
                return self.try_next();
            }
            return Vec::new();
        };
        let Some(trial) = self.trial else {
            return self.try_next();
        };
        // One window that is clearly no better ends the trial: bad settings are not to be endured for long.
        if rate < best * BETTER {
            return self.refuse(trial, rate, best);
        }
        if (self.rates.len() as u32) < self.patience.windows {
            return Vec::new();
        }
        self.keep(best);
        self.try_next()
    }

    fn keep(&mut self, best: f64) {
        let rate = mean(&self.rates);
        self.best = Some(rate.max(best));
        self.trial = None;
        self.refused = 0;
        self.rates.clear();
    }

    /// Takes the move back, and makes the next one at once: going back and on again is one change of the knobs for those who watch.
    fn refuse(&mut self, trial: Trial, rate: f64, best: f64) -> Vec<Change> {
        let knob = &mut self.knobs[trial.knob];
        let change = Change {
            knob: knob.name,
            from: knob.value,
            to: trial.back_to,
            reason: format!("{rate:.1} a second are not more than {best:.1} by a twentieth: back"),
        };
        knob.value = trial.back_to;
        self.trial = None;
        self.next_move();
        let mut changes = vec![change];
        changes.extend(self.try_next());
        changes
    }

    /// Turns to the other direction, then to the next knob, and once all refused, to the next factor.
    fn next_move(&mut self) {
        self.refused += 1;
        if self.up {
            self.up = false;
        } else {
            self.up = true;
            self.knob = (self.knob + 1) % self.knobs.len().max(1);
        }
        if self.refused >= 2 * self.knobs.len() {
            self.refused = 0;
            self.factor += 1;
            self.held = 0;
            self.fallen = 0;
        }
    }

    /// The next move that moves anything.
    fn try_next(&mut self) -> Vec<Change> {
        self.rates.clear();
        while !self.is_settled() && !self.knobs.is_empty() {
            let factor = FACTORS[self.factor];
            let factor = if self.up { factor } else { factor.recip() };
            let knob = &mut self.knobs[self.knob];
            let to = knob.moved(factor);
            if to == knob.value {
                self.next_move();
                continue;
            }
            let change = Change {
                knob: knob.name,
                from: knob.value,
                to,
                reason: format!(
                    "whether more than {:.1} a second can be had",
                    self.best.unwrap_or(0.0)
                ),
            };
            self.trial = Some(Trial {
                knob: self.knob,
                back_to: knob.value,
            });
            knob.value = to;
            self.settling = self.patience.settling;
            return vec![change];
        }
        self.settling = self.patience.settling;
        Vec::new()
    }

    /// Holds still, until the rate has fallen for good; then climbs again, from careful to bold being of no use, from the start.
    fn watch(&mut self, rate: f64) -> Vec<Change> {
        self.held = self.held.saturating_add(1);
        let best = self.best.unwrap_or(rate);
        if rate >= best * FALLEN {
            self.fallen = 0;
            // Follows what changes slowly, so that an old record is no yardstick for ever.
            self.best = Some(best + 0.05 * (rate - best));
            return Vec::new();
        }
        self.fallen += 1;
        if self.held < self.patience.cool_down || self.fallen < FALLEN_WINDOWS {
            return Vec::new();
        }
        self.factor = 0;
        self.refused = 0;
        self.fallen = 0;
        self.best = Some(rate);
        self.try_next()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuner() -> Tuner {
        let knob = Knob::new(KnobName::Concurrency, 1, 1_000, 10);
        Tuner::new(vec![knob], Patience::default())
    }

    #[test]
    fn the_first_windows_measure_what_is_and_settling_ones_do_not_count() {
        let mut tuner = tuner();
        assert_eq!(tuner.window(100.0), []);
        let changes = tuner.window(100.0);
        assert_eq!((changes[0].from, changes[0].to), (10, 40));
        // Settles, then is better twice: kept, and on.
        assert_eq!(tuner.window(1.0), []);
        assert_eq!(tuner.window(150.0), []);
        let changes = tuner.window(150.0);
        assert_eq!((changes[0].from, changes[0].to), (40, 160));
        assert!(changes[0].reason.contains("150.0"), "{changes:?}");
    }

    #[test]
    fn what_is_no_better_is_taken_back_with_the_reason() {
        let mut tuner = tuner();
        for rate in [100.0, 100.0, 0.0] {
            tuner.window(rate);
        }
        let changes = tuner.window(103.0);
        assert_eq!((changes[0].from, changes[0].to), (40, 10));
        assert!(changes[0].reason.contains("103.0"), "{changes:?}");
        assert_eq!(
            (changes[1].from, changes[1].to),
            (10, 3),
            "the other direction"
        );
    }

    #[test]
    fn a_flat_world_is_left_at_its_start() {
        let mut tuner = tuner();
        for _ in 0..60 {
            tuner.window(100.0);
        }
        assert!(tuner.is_settled());
        assert_eq!(tuner.value(KnobName::Concurrency), Some(10));
        assert_eq!(tuner.value(KnobName::ChunkSize), None);
    }

    #[test]
    fn a_world_that_got_worse_is_explored_again_after_a_while() {
        let mut tuner = tuner();
        for _ in 0..60 {
            tuner.window(100.0);
        }
        let waited = (0..30).position(|_| !tuner.window(50.0).is_empty());
        assert!(waited.is_some_and(|windows| windows >= 3), "{waited:?}");
        let mut tuner = tuner.clone();
        assert!(!tuner.is_settled());
        // One bad window alone would not have done it.
        for _ in 0..60 {
            tuner.window(50.0);
        }
        tuner.window(1.0);
        assert!(tuner.is_settled());
    }
}
