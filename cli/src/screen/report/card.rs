//! What was promised and kept, what rules say, what it would cost: the end of the report.

use std::fmt::Write;

use indicatif::HumanCount;
use pipeline::report::{CardKind, CardLine, Report};

use super::{share, shortened, table};

/// Rules shown of a pack: those that fail most rows.
const RULES_SHOWN: usize = 10;

/// Targets and indicators with what came of each; nothing where there are none.
pub(super) fn card(text: &mut String, lines: &[CardLine]) -> std::fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    let measured = lines.iter().filter_map(|line| line.passed);
    let (kept, missed): (Vec<bool>, Vec<bool>) = measured.partition(|passed| *passed);
    let (kept, all) = (kept.len(), kept.len() + missed.len());
    writeln!(
        text,
        "Report card: {kept} of {all} lines that could be checked are kept"
    )?;
    let mut table = table(&["Line", "Promised", "Measured", ""], 1..3);
    for line in lines {
        let relation = if line.higher_is_better { "≥" } else { "≤" };
        let about = match line.kind {
            CardKind::Target => "",
            CardKind::Indicator => " (system)",
        };
        table.add_row([
            format!("{}{about}", line.title),
            format!("{relation} {}", figure(line.target, &line.unit)),
            line.actual
                .map_or_else(|| "–".to_owned(), |actual| figure(actual, &line.unit)),
            match line.passed {
                Some(true) => "passed".to_owned(),
                Some(false) => "FAILED".to_owned(),
                None => "not measured".to_owned(),
            },
        ]);
    }
    writeln!(text, "{table}\n")
}

fn figure(value: f64, unit: &str) -> String {
    let unit = match unit {
        "percent" => " %",
        "milliseconds" => " ms",
        "seconds" => " s",
        "messages" | "rows" => "",
        other => return format!("{} {other}", plain(value)),
    };
    format!("{}{unit}", plain(value))
}

/// Three digits that count.
fn plain(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 || size.fract() < 0.005 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// Every pack with the rules that fail most rows.
pub(super) fn rules(text: &mut String, report: &Report) -> std::fmt::Result {
    for pack in &report.rules {
        let rows = pack.passed + pack.failed;
        writeln!(
            text,
            "{}: {} of {} rows pass ({}); {} have no image",
            pack.title,
            HumanCount(pack.passed),
            HumanCount(rows),
            share(pack.passed, rows),
            HumanCount(pack.no_image)
        )?;
        let mut failing: Vec<_> = pack.rules.iter().filter(|rule| rule.failed > 0).collect();
        failing.sort_by_key(|rule| std::cmp::Reverse(rule.failed));
        if failing.is_empty() {
            writeln!(text)?;
            continue;
        }
        let mut table = table(&["Rule", "Failed", "For example"], 1..2);
        for rule in failing.into_iter().take(RULES_SHOWN) {
            let example = rule.example.as_ref();
            let example = example.map_or_else(String::new, |example| {
                let detail = example.detail.as_deref().unwrap_or_default();
                shortened(&format!("row {}: {detail}", example.row))
            });
            table.add_row([
                shortened(&rule.id),
                HumanCount(rule.failed).to_string(),
                example,
            ]);
        }
        writeln!(text, "{table}\n")?;
    }
    Ok(())
}

/// One line; nothing where nothing was fetched.
pub(super) fn cost(text: &mut String, report: &Report) -> std::fmt::Result {
    let Some(cost) = &report.cost else {
        return Ok(());
    };
    let (total, million) = (cost.total_usd, cost.usd_per_million);
    writeln!(
        text,
        "On AWS: ${total:.4} by the model, ${million:.2} for a million rows"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_promised_and_what_came_of_it() {
        let line = |title: &str, actual, passed| CardLine {
            name: title.to_owned(),
            title: title.to_owned(),
            kind: CardKind::Target,
            unit: "percent".to_owned(),
            higher_is_better: false,
            target: 2.0,
            actual,
            passed,
        };
        let mut text = String::new();
        card(&mut text, &[]).unwrap();
        assert_eq!(text, "");
        let lines = [
            line("Errors", Some(12.34), Some(false)),
            line("Misses", Some(1.5), Some(true)),
            line("Memory", None, None),
        ];
        card(&mut text, &lines).unwrap();
        assert!(text.contains("1 of 2 lines"), "{text}");
        let of = |title: &str| {
            let line = text.lines().find(|line| line.contains(title)).unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("Errors"), "Errors ≤ 2 % 12.3 % FAILED");
        assert_eq!(of("Misses"), "Misses ≤ 2 % 1.50 % passed");
        assert_eq!(of("Memory"), "Memory ≤ 2 % – not measured");
    }
}
