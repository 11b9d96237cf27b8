//! What docs/MEASUREMENTS.md says of flaws is what the code does.

use domain::Issue;
use imaging::{THRESHOLDS, Thresholds};

const PAGE: &str = include_str!("../../../docs/MEASUREMENTS.md");

/// Cells of the rows of the table of issues: issue, when, name of the threshold, value.
fn rows() -> Vec<[&'static str; 4]> {
    let mut rows = Vec::new();
    let (_, section) = PAGE.split_once("\n## Issues").unwrap_or_default();
    for line in section.lines().take_while(|line| !line.starts_with("## ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", issue, when, threshold, value, ""] = cells[..]
            && issue.starts_with('`')
        {
            let name = |cell: &'static str| cell.trim_matches('`');
            rows.push([name(issue), when, name(threshold), value]);
        }
    }
    rows
}

#[test]
fn every_documented_threshold_is_the_one_in_force() {
    // Without `..`: a new threshold has to come here, and into the page.
    let Thresholds {
        dark_below_highlights,
        bright_above_shadows,
        low_contrast_below,
        blurry_below_share,
        low_information_below_entropy,
        odd_aspect_ratio_above,
        small_below_pixels,
        coloured_above_spread,
        grayscale_below_coloured_share,
    } = THRESHOLDS;
    let mut expected = vec![
        ("dark_below_highlights", dark_below_highlights.to_string()),
        ("bright_above_shadows", bright_above_shadows.to_string()),
        ("low_contrast_below", low_contrast_below.to_string()),
        ("blurry_below_share", blurry_below_share.to_string()),
        (
            "low_information_below_entropy",
            low_information_below_entropy.to_string(),
        ),
        ("odd_aspect_ratio_above", odd_aspect_ratio_above.to_string()),
        ("small_below_pixels", small_below_pixels.to_string()),
        ("coloured_above_spread", coloured_above_spread.to_string()),
        (
            "grayscale_below_coloured_share",
            grayscale_below_coloured_share.to_string(),
        ),
    ];
    let mut documented = Vec::new();
    for [_, _, threshold, value] in rows() {
        if !threshold.is_empty() {
            documented.push((threshold, value.replace(',', "")));
        }
    }
    expected.sort_unstable();
    documented.sort_unstable();
    assert_eq!(documented, expected);
}

#[test]
fn every_issue_is_documented_and_no_other() {
    let mut documented: Vec<&str> = Vec::new();
    for [issue, _, _, _] in rows() {
        if !documented.contains(&issue) {
            documented.push(issue);
        }
    }
    let expected: Vec<&str> = Issue::ALL.iter().map(|issue| issue.as_str()).collect();
    assert_eq!(documented, expected);
}
