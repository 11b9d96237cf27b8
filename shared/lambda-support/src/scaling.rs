//! Whether advice to scale is acted on, and within what.

use adapters_aws::{Aws, CHUNKS_A_POLLER, EventSourceKnob};
use pipeline::scale::Scaling;

use crate::Environment;

/// What the environment says of it.
pub(crate) struct ScalingSettings {
    event_source: String,
    knob: EventSourceKnob,
    least: u64,
    most: u64,
}

impl ScalingSettings {
    /// `None` when advice is not acted on: `ANALYZE_EVENT_SOURCE`, the event source of analyze, is empty then.
    ///
    /// | variable | |
    /// |---|---|
    /// | `SCALING_LEAST` | chunks at once that the event source is set up with |
    /// | `SCALING_LEAST_POLLERS` | provisioned pollers that it is set up with, in place of that |
    /// | `SCALING_MOST` | chunks at once that it may be set to; not less than it is set up with |
    pub(crate) fn read(environment: &mut Environment) -> Option<Self> {
        let event_source = environment.optional("ANALYZE_EVENT_SOURCE")?;
        let pollers = environment.or_default("SCALING_LEAST_POLLERS", 0_u32);
        let concurrency = environment.in_range("SCALING_LEAST", 2_u64, 2..=1_000);
        let (knob, least) = match pollers {
            0 => (EventSourceKnob::MaximumConcurrency, concurrency),
            pollers => {
                let least = u64::from(pollers) * u64::from(CHUNKS_A_POLLER);
                (EventSourceKnob::MinimumPollers, least)
            }
        };
        let most = environment.in_range("SCALING_MOST", least.clamp(2, 2_000), 2..=2_000);
        Some(Self {
            event_source,
            knob,
            least,
            most: most.max(least),
        })
    }

    pub(crate) fn over(self, aws: &Aws) -> Scaling {
        Scaling {
            scaler: aws.event_source(self.event_source, self.knob),
            least: self.least,
            most: self.most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Option<(EventSourceKnob, u64, u64)> {
        let mut environment = Environment::of(variables.iter().copied());
        let settings = ScalingSettings::read(&mut environment);
        environment.finish().unwrap();
        settings.map(|settings| (settings.knob, settings.least, settings.most))
    }

    #[test]
    fn nothing_is_acted_on_unless_an_event_source_is_named() {
        assert_eq!(read(&[("SCALING_LEAST", "100")]), None);
        assert_eq!(read(&[("ANALYZE_EVENT_SOURCE", "")]), None);
    }

    #[test]
    fn pollers_go_before_concurrency_and_the_most_is_never_less_than_the_least() {
        let named = ("ANALYZE_EVENT_SOURCE", "uuid");
        let least = ("SCALING_LEAST", "100");
        let most = ("SCALING_MOST", "400");
        let by_concurrency = (EventSourceKnob::MaximumConcurrency, 100, 400);
        assert_eq!(read(&[named, least, most]), Some(by_concurrency));
        let pollers = ("SCALING_LEAST_POLLERS", "50");
        let by_pollers = (EventSourceKnob::MinimumPollers, 500, 500);
        assert_eq!(read(&[named, least, most, pollers]), Some(by_pollers));
    }
}
