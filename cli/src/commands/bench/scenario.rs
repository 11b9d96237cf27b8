//! How many users there are, and what they do: source E6 of the product's requirements, and A17 for uploads.

use std::time::Duration;

use crate::args::bench::ScenarioArg;

/// A stretch of time with users that come and go evenly from one number to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Phase {
    pub(super) seconds: f64,
    pub(super) users_from: u32,
    pub(super) users_to: u32,
    /// Lists handed in a second, beside what the users do.
    pub(super) uploads_per_s: f64,
}

/// What the users do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// Look at batches, results and statistics in turn.
    Look,
    /// The same; one request in ten hands a list in.
    LookAndUpload,
    /// Ask for the same batch again and again.
    Follow,
}

#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) habit: Habit,
    /// Whether lists that are handed in are worked on.
    pub(super) auto_start: bool,
    /// After a list was handed in: pause, look at the statistics, pause.
    pub(super) thinks_after_upload: bool,
    pub(super) phases: Vec<Phase>,
}

fn users(seconds: f64, users_from: u32, users_to: u32) -> Phase {
    Phase {
        seconds,
        users_from,
        users_to,
        uploads_per_s: 0.0,
    }
}

fn uploads(seconds: f64, uploads_per_s: f64) -> Phase {
    Phase {
        uploads_per_s,
        ..users(seconds, 0, 0)
    }
}

impl Scenario {
    /// The scenario, stretched or shortened to `duration`.
    pub(super) fn of(scenario: ScenarioArg, duration: Option<Duration>) -> Self {
        let (name, habit, phases) = match scenario {
            ScenarioArg::Normal => ("normal", Habit::Look, vec![users(300.0, 100, 100)]),
            ScenarioArg::Stress => ("stress", Habit::Look, vec![users(300.0, 50, 500)]),
            ScenarioArg::Spike => {
                let quiet = users(60.0, 50, 50);
                (
                    "spike",
                    Habit::Look,
                    vec![quiet, users(60.0, 1_000, 1_000), quiet],
                )
            }
            ScenarioArg::Endurance => ("endurance", Habit::Look, vec![users(3_600.0, 50, 50)]),
            ScenarioArg::Mixed => ("mixed", Habit::LookAndUpload, vec![users(300.0, 200, 200)]),
            ScenarioArg::Upload => {
                let phases = [(300.0, 1.0), (600.0, 10.0), (1_200.0, 50.0), (300.0, 1.0)];
                let phases = phases.map(|(seconds, rate)| uploads(seconds, rate));
                ("upload", Habit::Look, phases.to_vec())
            }
            ScenarioArg::Pollers => {
                let phase = Phase {
                    uploads_per_s: 50.0,
                    ..users(60.0, 1_000, 1_000)
                };
                ("pollers", Habit::Follow, vec![phase])
            }
        };
        let mut scenario = Self {
            name,
            habit,
            auto_start: scenario != ScenarioArg::Pollers,
            thinks_after_upload: scenario == ScenarioArg::Upload,
            phases,
        };
        if let Some(duration) = duration {
            let factor = duration.as_secs_f64() / scenario.seconds();
            for phase in &mut scenario.phases {
                phase.seconds *= factor;
            }
        }
        scenario
    }

    pub(super) fn seconds(&self) -> f64 {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }

    /// What is about to happen, in a sentence.
    pub(super) fn describe(&self) -> String {
        let most = self
            .phases
            .iter()
            .map(|phase| phase.users_from.max(phase.users_to))
            .max();
        let uploads = self.phases.iter().map(|phase| phase.uploads_per_s);
        format!(
            "{}: up to {} users and {} lists a second, for {:.0} s …",
            self.name,
            most.unwrap_or(0),
            uploads.fold(0.0, f64::max),
            self.seconds()
        )
    }

    /// Users and uploads a second at a time from the beginning; `None` once it is over.
    pub(super) fn at(&self, seconds: f64) -> Option<(u32, f64)> {
        let mut begins = 0.0;
        for phase in &self.phases {
            let since = seconds - begins;
            if since < phase.seconds {
                let share = since / phase.seconds;
                let (from, to) = (f64::from(phase.users_from), f64::from(phase.users_to));
                return Some((
                    (from + (to - from) * share).round() as u32,
                    phase.uploads_per_s,
                ));
            }
            begins += phase.seconds;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_evenly_and_phases_follow_each_other() {
        let stress = Scenario::of(ScenarioArg::Stress, Some(Duration::from_secs(100)));
        assert_eq!(stress.at(0.0), Some((50, 0.0)));
        assert_eq!(stress.at(50.0), Some((275, 0.0)));
        assert_eq!(stress.at(100.0), None);
        let spike = Scenario::of(ScenarioArg::Spike, None);
        let users: Vec<u32> = [59.0, 61.0, 121.0]
            .iter()
            .map(|seconds| spike.at(*seconds).unwrap().0)
            .collect();
        assert_eq!(users, [50, 1_000, 50]);
        let upload = Scenario::of(ScenarioArg::Upload, Some(Duration::from_secs(24)));
        assert_eq!(upload.at(10.0), Some((0, 50.0)));
    }
}
