//! Images that are the same, or nearly: what they come to, and the largest groups.

use std::fmt::Write;

use indicatif::{HumanBytes, HumanCount};
use pipeline::find_duplicates::DuplicateSummary;

use super::{shortened, table};

/// Groups shown.
const GROUPS_SHOWN: usize = 5;

/// Nothing where every image is one of its kind.
pub(super) fn write(text: &mut String, found: &DuplicateSummary) -> std::fmt::Result {
    if let Some(reason) = &found.not_compared {
        writeln!(text, "Not matched with earlier images: {reason}")?;
    }
    if found.groups == 0 {
        return Ok(());
    }
    write!(
        text,
        "{} duplicate images in {} groups: {} exact, {} near",
        HumanCount(found.exact_rows + found.near_rows),
        HumanCount(found.groups),
        HumanCount(found.exact_rows),
        HumanCount(found.near_rows)
    )?;
    writeln!(
        text,
        " · {} to save",
        HumanBytes(found.exact_bytes + found.near_bytes)
    )?;
    let mut table = table(
        &["Largest groups", "Rows", "Exact", "Near", "To save"],
        1..5,
    );
    for group in found.largest_groups.iter().take(GROUPS_SHOWN) {
        // An earlier batch's row is none of these.
        let first = u64::from(group.batch.is_none());
        let near = group.rows - first - group.exact_rows;
        let earlier = group.batch.map(|batch| format!(" of {batch}"));
        let earlier = earlier.unwrap_or_default();
        let name = format!("row {}{earlier}: {}", group.representative, group.url);
        table.add_row([
            shortened(&name),
            HumanCount(group.rows).to_string(),
            HumanCount(group.exact_rows).to_string(),
            HumanCount(near).to_string(),
            HumanBytes(group.bytes).to_string(),
        ]);
    }
    writeln!(text, "{table}\n")
}

#[cfg(test)]
mod tests {
    use pipeline::find_duplicates::DuplicateGroup;

    use super::*;

    #[test]
    fn groups_are_shown_with_what_could_be_saved_and_no_control_characters() {
        let mut text = String::new();
        write(&mut text, &DuplicateSummary::default()).unwrap();
        assert_eq!(text, "");
        let found = DuplicateSummary {
            groups: 1,
            exact_rows: 4,
            exact_bytes: 4096,
            near_rows: 1,
            near_bytes: 1024,
            placeholder_rows: 0,
            earlier_batches: 0,
            not_compared: None,
            largest_groups: vec![DuplicateGroup {
                representative: 7,
                batch: None,
                url: "http://example.com/\u{1b}[2J".to_owned(),
                rows: 6,
                exact_rows: 4,
                bytes: 5120,
                largest: 7,
                examples: vec![8],
            }],
        };
        write(&mut text, &found).unwrap();
        assert!(
            text.contains("5 duplicate images in 1 groups: 4 exact, 1 near"),
            "{text}"
        );
        assert!(text.contains("5.00 KiB"), "{text}");
        assert!(
            text.contains("row 7: http://example.com/\\u{1b}[2J"),
            "{text}"
        );
    }
}
