//! A knob that something measured is proportional to, kept where that something stays within a band.

use crate::{Change, Knob};

/// Within what, and where to begin when it is left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// Less than this is too little.
    pub least: f64,
    /// More than this is too much.
    pub most: f64,
    /// What to go for once it is too little or too much; well within, so that what is measured may vary.
    pub aim: f64,
}

impl Band {
    /// What to change: nothing while `knob` times `per_unit` is within the band. Otherwise the knob is set to what the aim takes, within its range. `unit` names
    /// what is measured, such as `s of work in a chunk`.
    pub fn change(&self, knob: &Knob, per_unit: f64, unit: &str) -> Option<Change> {
        let now = knob.value as f64 * per_unit;
        let is_measured = per_unit.is_finite() && per_unit > 0.0;
        if !is_measured || (self.least..=self.most).contains(&now) {
            return None;
        }
        let to = (self.aim / per_unit).round() as u64;
        let to = to.clamp(knob.least, knob.most);
        let side = if now < self.least {
            "less than"
        } else {
            "more than"
        };
        let bound = if now < self.least {
            self.least
        } else {
            self.most
        };
        let change = Change {
            knob: knob.name,
            from: knob.value,
            to,
            reason: format!("{now:.1} {unit} are {side} {bound}"),
        };
        (to != knob.value).then_some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KnobName;

    const BAND: Band = Band {
        least: 15.0,
        most: 40.0,
        aim: 25.0,
    };

    fn change(value: u64, per_unit: f64) -> Option<(u64, String)> {
        let knob = Knob::new(KnobName::ChunkSize, 100, 10_000, value);
        let change = BAND.change(&knob, per_unit, "s of work in a chunk")?;
        assert_eq!(change.from, value);
        Some((change.to, change.reason))
    }

    #[test]
    fn within_the_band_nothing_moves() {
        for per_unit in [0.015, 0.02, 0.04] {
            assert_eq!(change(1_000, per_unit), None);
        }
        assert_eq!(change(1_000, 0.0), None);
        assert_eq!(change(1_000, f64::NAN), None);
    }

    #[test]
    fn outside_of_it_the_aim_is_taken_within_the_range() {
        let (to, reason) = change(1_000, 0.005).unwrap();
        assert_eq!(to, 5_000);
        assert!(
            reason.contains("5.0 s of work in a chunk are less than 15"),
            "{reason}"
        );
        assert_eq!(change(5_000, 0.05).unwrap().0, 500);
        assert_eq!(change(1_000, 0.000_1).unwrap().0, 10_000);
        assert_eq!(change(1_000, 10.0).unwrap().0, 100);
        assert_eq!(change(10_000, 0.000_1), None, "the end of the range");
    }
}
