//! What a model said about the images, what it cost, and what it did not say.

use std::fmt::Write;

use domain::VisionCounters;
use indicatif::HumanCount;

/// Nothing where no model was asked.
pub(super) fn write(text: &mut String, vision: &VisionCounters) -> std::fmt::Result {
    if vision.is_empty() {
        return Ok(());
    }
    write!(
        text,
        "What images show: {} of {} labelled, {} of them for nothing · {} calls",
        HumanCount(vision.labelled),
        HumanCount(vision.expected),
        HumanCount(vision.reused),
        HumanCount(vision.calls)
    )?;
    if vision.micro_usd > 0 {
        write!(text, ", {:.4} US dollars", vision.micro_usd as f64 / 1e6)?;
    }
    writeln!(text)?;
    if vision.errors > 0 {
        let errors = HumanCount(vision.errors);
        writeln!(
            text,
            "  {errors} without an answer that can be used; `vision.error` of each says why"
        )?;
    }
    if vision.over_budget > 0 {
        let rows = HumanCount(vision.over_budget);
        writeln!(
            text,
            "  The budget was used up: {rows} were not asked about. A new run with another budget pays for those alone."
        )?;
    }
    writeln!(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(vision: &VisionCounters) -> String {
        let mut text = String::new();
        write(&mut text, vision).unwrap();
        text
    }

    #[test]
    fn a_budget_that_was_used_up_is_said() {
        let vision = VisionCounters {
            expected: 1_500,
            done: 1_500,
            labelled: 1_000,
            over_budget: 500,
            reused: 200,
            calls: 800,
            micro_usd: 168_000,
            ..VisionCounters::default()
        };
        let text = shown(&vision);
        assert!(
            text.contains(
                "1,000 of 1,500 labelled, 200 of them for nothing · 800 calls, 0.1680 US dollars"
            ),
            "{text}"
        );
        assert!(
            text.contains("The budget was used up: 500 were not asked about"),
            "{text}"
        );
        assert!(!text.contains("without an answer"), "{text}");
        assert_eq!(shown(&VisionCounters::default()), "");
    }
}
