//! The report on a terminal or in a log: readable columns, no colour needed.

mod card;
mod duplicates;
mod vision;

use std::fmt::Write;
use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};
use domain::Outcome;
use indicatif::{HumanBytes, HumanCount};
use pipeline::report::{HostSummary, Report};

/// Longest example shown, in characters.
const EXAMPLE_CHARS: usize = 70;

/// The report as text. `allowed` are the private ranges that were opened, `files` what was written.
pub(crate) fn render(report: &Report, allowed: &[String], files: &[PathBuf]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut text, report, allowed, files);
    text
}

fn write_report(
    text: &mut String,
    report: &Report,
    allowed: &[String],
    files: &[PathBuf],
) -> std::fmt::Result {
    let rows = report.counters.rows;
    let repeated = report.counters.outcome(Outcome::DuplicateUrl);
    writeln!(text, "\n{}: {} rows", report.batch.name, HumanCount(rows))?;
    writeln!(
        text,
        "{} ok · {} failed · {} repeated URLs\n",
        HumanCount(report.ok),
        HumanCount(report.failed),
        HumanCount(repeated)
    )?;
    writeln!(text, "{}\n", outcomes(report))?;
    if !report.formats.is_empty() {
        writeln!(text, "{}\n", formats(report))?;
    }
    if !report.counters.by_issue.is_empty() {
        writeln!(text, "{}\n", issues(report))?;
    }
    duplicates::write(text, &report.duplicates)?;
    vision::write(text, &report.counters.vision)?;
    if !report.slowest_hosts.is_empty() {
        writeln!(text, "{}\n", hosts("Slowest hosts", &report.slowest_hosts))?;
    }
    if report.hosts > 1 && !report.worst_hosts.is_empty() {
        writeln!(
            text,
            "{}\n",
            hosts("Hosts with failures", &report.worst_hosts)
        )?;
    }
    card::rules(text, report)?;
    card::card(text, &report.card)?;
    write!(
        text,
        "{:.1} s · {:.0} rows/s · {}/s · {} requests",
        report.elapsed_s,
        report.rows_per_s,
        HumanBytes(report.bytes_per_s as u64),
        HumanCount(report.counters.attempts)
    )?;
    if let Some(latency) = report.latency_ms {
        let (p50, p95, p99) = (latency.p50, latency.p95, latency.p99);
        write!(text, " · p50 {p50:.0} ms, p95 {p95:.0} ms, p99 {p99:.0} ms")?;
    }
    writeln!(text)?;
    card::cost(text, report)?;
    if !allowed.is_empty() {
        writeln!(text, "Private ranges opened: {}", allowed.join(", "))?;
    }
    for file in files {
        writeln!(text, "Written: {}", file.display())?;
    }
    Ok(())
}

fn table(header: &[&str], right_aligned: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for position in right_aligned {
        if let Some(column) = table.column_mut(position) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn outcomes(report: &Report) -> Table {
    let mut table = table(&["Outcome", "Rows", "Share", "For example"], 1..3);
    let mut counts: Vec<(Outcome, u64)> = report
        .counters
        .by_outcome
        .iter()
        .map(|(outcome, count)| (*outcome, *count))
        .collect();
    counts.sort_by_key(|(outcome, count)| (*outcome != Outcome::Ok, std::cmp::Reverse(*count)));
    for (outcome, count) in counts {
        let example = report
            .examples
            .get(&outcome)
            .and_then(|examples| examples.first());
        let example = example.map_or_else(String::new, |example| {
            let detail = example.detail.as_deref().unwrap_or(outcome.description());
            shortened(&format!("row {}: {detail}", example.row))
        });
        table.add_row([
            outcome.to_string(),
            HumanCount(count).to_string(),
            share(count, report.counters.rows),
            example,
        ]);
    }
    table
}

fn formats(report: &Report) -> Table {
    let mut table = table(
        &["Format", "Images", "Bytes", "Mean size", "Mean megapixels"],
        1..5,
    );
    for format in &report.formats {
        table.add_row([
            format.format.to_string(),
            HumanCount(format.rows).to_string(),
            HumanBytes(format.bytes).to_string(),
            HumanBytes(format.bytes / format.rows.max(1)).to_string(),
            format!(
                "{:.2}",
                format.pixels as f64 / format.rows.max(1) as f64 / 1e6
            ),
        ]);
    }
    table
}

fn issues(report: &Report) -> Table {
    let mut table = table(&["Issue", "Images", "Share of ok"], 1..3);
    let mut counts: Vec<_> = report.counters.by_issue.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (issue, count) in counts {
        table.add_row([
            issue.to_string(),
            HumanCount(*count).to_string(),
            share(*count, report.ok),
        ]);
    }
    table
}

fn hosts(title: &str, hosts: &[HostSummary]) -> Table {
    let mut table = table(&[title, "Rows", "Failed", "p50 ms", "p95 ms"], 1..5);
    let milliseconds =
        |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.0}"));
    for host in hosts {
        table.add_row([
            shortened(&host.host),
            HumanCount(host.rows).to_string(),
            HumanCount(host.failed).to_string(),
            milliseconds(host.p50_ms),
            milliseconds(host.p95_ms),
        ]);
    }
    table
}

fn share(count: u64, of: u64) -> String {
    format!("{:.1} %", 100.0 * count as f64 / of.max(1) as f64)
}

/// Text of others, safe to show: control characters escaped, no longer than fits.
fn shortened(text: &str) -> String {
    let mut shown = String::new();
    for (position, character) in text.chars().enumerate() {
        if position == EXAMPLE_CHARS {
            shown.push('…');
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}
