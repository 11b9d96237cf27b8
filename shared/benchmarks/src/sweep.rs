//! The best of many settings by successive halving: all are tried briefly, the better half of them longer, and so on
//! (Jamieson & Talwalkar 2016). What is clearly worse costs little.

use serde::{Deserialize, Serialize};

/// How an engine is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Setting {
    /// Rows in a chunk.
    pub chunk_size: u32,
    /// Requests under way at once.
    pub concurrency: usize,
}

/// A setting and what it was worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// The setting.
    pub setting: Setting,
    /// Rows a second: the median of its tries in the longest round that it took part in.
    pub rows_per_s: f64,
    /// That round, from 1.
    pub round: u32,
}

/// A search under way.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Those still in the running, with the rates of the present round.
    running: Vec<(Setting, Vec<f64>)>,
    out: Vec<Tried>,
    round: u32,
    tries: usize,
}

impl Sweep {
    /// A search among these.
    pub fn new(settings: impl IntoIterator<Item = Setting>) -> Self {
        Self {
            running: settings
                .into_iter()
                .map(|setting| (setting, Vec::new()))
                .collect(),
            out: Vec::new(),
            round: 1,
            tries: 1,
        }
    }

    /// What to try next, and with how many times the rows of the first round; `None` once the best is known.
    pub fn next_try(&mut self) -> Option<(Setting, u32)> {
        if self
            .running
            .iter()
            .all(|(_, rates)| rates.len() >= self.tries)
        {
            if self.running.len() <= 1 {
                return None;
            }
            self.halve();
        }
        // In turn, so that what disturbs the machine for a while disturbs all of them.
        let least = self.running.iter().min_by_key(|(_, rates)| rates.len())?;
        Some((least.0, 1 << (self.round - 1).min(3)))
    }

    /// What a try came to.
    pub fn report(&mut self, setting: Setting, rows_per_s: f64) {
        if let Some((_, rates)) = self
            .running
            .iter_mut()
            .find(|(running, _)| *running == setting)
        {
            rates.push(rows_per_s);
        }
    }

    /// Everything tried, the best first.
    pub fn ranking(&self) -> Vec<Tried> {
        let mut ranking = self.of_this_round();
        ranking.extend(self.out.iter().rev());
        ranking
    }

    fn of_this_round(&self) -> Vec<Tried> {
        let mut tried: Vec<Tried> = self
            .running
            .iter()
            .map(|(setting, rates)| Tried {
                setting: *setting,
                rows_per_s: crate::record::median(rates.clone()),
                round: self.round,
            })
            .collect();
        tried.sort_by(|one, two| two.rows_per_s.total_cmp(&one.rows_per_s));
        tried
    }

    fn halve(&mut self) {
        let tried = self.of_this_round();
        let kept = tried.len().div_ceil(2);
        self.out.extend(tried[kept..].iter().rev());
        self.running = tried[..kept]
            .iter()
            .map(|tried| (tried.setting, Vec::new()))
            .collect();
        self.round += 1;
        // Few are left, and close to each other: each is tried more often.
        self.tries = if kept <= 4 { 3 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_setting_wins_in_spite_of_noise_and_with_few_tries() {
        let settings: Vec<Setting> = [10, 50, 250, 1_000, 4_000]
            .into_iter()
            .flat_map(|chunk_size| {
                [1, 8, 32, 128, 512].map(|concurrency| Setting {
                    chunk_size,
                    concurrency,
                })
            })
            .collect();
        let mut chance = fastrand::Rng::with_seed(9);
        let mut sweep = Sweep::new(settings.clone());
        let mut tries = 0;
        while let Some((setting, _)) = sweep.next_try() {
            tries += 1;
            let distance = |value: f64, best: f64| (value / best).log2().powi(2);
            let off = distance(f64::from(setting.chunk_size), 250.0)
                + distance(setting.concurrency as f64, 128.0);
            sweep.report(
                setting,
                500.0 / (1.0 + 0.2 * off) * (0.95 + 0.1 * chance.f64()),
            );
        }
        let ranking = sweep.ranking();
        assert_eq!(ranking.len(), settings.len());
        assert_eq!(
            (
                ranking[0].setting.chunk_size,
                ranking[0].setting.concurrency
            ),
            (250, 128)
        );
        assert!(
            tries < 3 * settings.len(),
            "{tries}: fewer than three of each"
        );
    }

    #[test]
    fn one_setting_is_tried_once() {
        let only = Setting {
            chunk_size: 1,
            concurrency: 1,
        };
        let mut sweep = Sweep::new([only]);
        assert_eq!(sweep.next_try(), Some((only, 1)));
        sweep.report(only, 5.0);
        assert_eq!(sweep.next_try(), None);
        assert_eq!(sweep.ranking().len(), 1);
    }
}
