//! Waiting for a batch on a server, and saying in a few lines how it is.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::bail;
use http::Method;
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::client::ApiClient;
use crate::screen::print_data;

/// Between two looks at a batch.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks that may fail in a row: a server that is started anew is back within a minute.
const MAX_FAILED_LOOKS: u32 = 60;
/// Lines where there is no terminal: one in so many looks.
const LOOKS_PER_LINE: u32 = 10;

/// Returns once the batch at `path` has ended and says how; an error when it is not `COMPLETED`.
pub(super) async fn until_ended(client: &ApiClient, path: &str, json: bool) -> anyhow::Result<()> {
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new(1);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        bar
    });
    let (mut looks, mut failed) = (0_u32, 0);
    let batch = loop {
        match client.json(Method::GET, path, None).await {
            Ok(batch) => {
                failed = 0;
                // The report follows the end within moments.
                let is_completed = batch["status"] == "COMPLETED";
                if matches!(batch["status"].as_str(), Some("FAILED" | "CANCELLED"))
                    || is_completed && batch["report_ready"] == true
                {
                    break batch;
                }
                draw(&batch, bar.as_ref(), looks);
            }
            Err(error) => {
                failed += 1;
                if failed == MAX_FAILED_LOOKS {
                    return Err(error);
                }
            }
        }
        looks += 1;
        tokio::time::sleep(LOOK_EVERY).await;
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    print_data(&if json {
        format!("{batch}\n")
    } else {
        summary(&batch)
    })?;
    if batch["status"] != "COMPLETED" {
        let why = batch["failure"].as_str().unwrap_or("see above");
        bail!("the batch ended as {}: {why}", text(&batch["status"]));
    }
    Ok(())
}

fn draw(batch: &Value, bar: Option<&ProgressBar>, looks: u32) {
    let line = progress_line(batch);
    match bar {
        Some(bar) => {
            let progress = &batch["progress"];
            bar.set_length(progress["rows_total"].as_u64().unwrap_or(1).max(1));
            bar.set_position(count(&progress["rows_done"]));
            bar.set_message(line);
        }
        None if looks.is_multiple_of(LOOKS_PER_LINE) => eprintln!("{line}"),
        None => {}
    }
}

/// `PROCESSING · 1,250/5,000 rows · 37 failed · 412/s · 9 seconds left`.
fn progress_line(batch: &Value) -> String {
    let progress = &batch["progress"];
    let total = progress["rows_total"]
        .as_u64()
        .map_or_else(|| "…".to_owned(), |rows| HumanCount(rows).to_string());
    let mut line = format!(
        "{} · {}/{total} rows · {} failed",
        text(&batch["status"]),
        HumanCount(count(&progress["rows_done"])),
        HumanCount(count(&progress["failed"]))
    );
    if let Some(rate) = progress["rate_per_s"].as_f64() {
        let _ = write!(line, " · {}/s", HumanCount(rate as u64));
    }
    if let Some(seconds) = progress["eta_s"].as_f64() {
        let left = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let _ = write!(line, " · {} left", HumanDuration(left));
    }
    line
}

/// What a person wants to know of a batch: its state, and how its rows ended, most frequent first.
pub(super) fn summary(batch: &Value) -> String {
    let mut summary = format!(
        "{}  {}\n{}\n",
        text(&batch["batch_id"]),
        text(&batch["name"]),
        progress_line(batch)
    );
    if let Some(why) = batch["failure"].as_str() {
        let _ = writeln!(summary, "It failed: {why}");
    }
    let by_outcome = batch["progress"]["by_outcome"].as_object();
    let mut outcomes: Vec<(&String, u64)> = by_outcome
        .into_iter()
        .flatten()
        .map(|(outcome, rows)| (outcome, count(rows)))
        .filter(|(_, rows)| *rows > 0)
        .collect();
    outcomes.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    for (outcome, rows) in outcomes {
        let _ = writeln!(
            summary,
            "  {outcome:<20} {:>12}",
            HumanCount(rows).to_string()
        );
    }
    summary
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_summary_says_state_counts_and_outcomes_most_frequent_first() {
        let batch = json!({
            "batch_id": "01B", "name": "first", "status": "PROCESSING",
            "progress": {
                "rows_total": 5_000, "rows_done": 1_250, "failed": 37, "rate_per_s": 412.4, "eta_s": 9.1,
                "by_outcome": {"ok": 1_213, "timeout": 30, "not_found": 7, "tls_error": 0},
            },
        });
        assert_eq!(
            summary(&batch),
            "01B  first\nPROCESSING · 1,250/5,000 rows · 37 failed · 412/s · 9 seconds left\n  \
             ok                          1,213\n  timeout                        30\n  not_found                       7\n"
        );
    }
}
