//! Progress on standard error: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::{BatchId, Outcome, ResultRow};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use pipeline::Ports;
use pipeline::analyze_chunk::RowObserver;
use tokio::task::JoinHandle;

/// How often the bar is drawn.
const BAR_EVERY: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal, unless somebody says otherwise.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Counts rows as they are done, and shows them.
pub(crate) struct ProgressView {
    done: AtomicU64,
    failed: AtomicU64,
    resumed: u64,
    started: Instant,
    bar: Option<ProgressBar>,
    line_every: Duration,
    name: String,
}

impl RowObserver for ProgressView {
    fn row_done(&self, row: &ResultRow) {
        self.done.fetch_add(1, Ordering::Relaxed);
        if !matches!(row.outcome, Outcome::Ok | Outcome::DuplicateUrl) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl ProgressView {
    /// A view that starts with the rows that an earlier run committed.
    pub(crate) fn new(name: &str, resumed: u64, line_every: Option<Duration>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let template = "{prefix} {wide_bar} {percent:>3} %  {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar
        });
        if resumed > 0 {
            eprintln!(
                "{name}: going on; {} rows are done already",
                HumanCount(resumed)
            );
        }
        Self {
            done: AtomicU64::new(resumed),
            failed: AtomicU64::new(0),
            resumed,
            started: Instant::now(),
            bar,
            line_every: line_every.unwrap_or(LINE_EVERY),
            name: name.to_owned(),
        }
    }

    /// Draws until aborted.
    pub(crate) fn follow(self: Arc<Self>, ports: Ports, id: BatchId) -> JoinHandle<()> {
        tokio::spawn(async move {
            let pause = if self.bar.is_some() {
                BAR_EVERY
            } else {
                self.line_every
            };
            loop {
                tokio::time::sleep(pause).await;
                // A fault of the store shows in what the engine does; the bar just waits.
                let Ok(Some(batch)) = ports.store.batch(id).await else {
                    continue;
                };
                let total = batch.totals.map(|totals| totals.rows);
                self.draw(total, batch.checkpoint.rows);
            }
        })
    }

    /// Takes the bar off the screen.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn draw(&self, total: Option<u64>, split: u64) {
        let done = self.done.load(Ordering::Relaxed);
        let rate = (done - self.resumed) as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let text = status_line(done, total, rate, self.failed.load(Ordering::Relaxed));
        match &self.bar {
            Some(bar) => {
                bar.set_length(total.unwrap_or(split).max(1));
                bar.set_position(done);
                bar.set_message(text);
            }
            None => eprintln!("{}: {text}", self.name),
        }
    }
}

/// `1,250/5,000 rows · 412/s · 37 failed · 9 s left`.
fn status_line(done: u64, total: Option<u64>, rate: f64, failed: u64) -> String {
    let of = total.map_or_else(|| "…".to_owned(), |total| HumanCount(total).to_string());
    let mut text = format!(
        "{}/{of} rows · {}/s · {} failed",
        HumanCount(done),
        HumanCount(rate as u64),
        HumanCount(failed)
    );
    if let Some(total) = total.filter(|total| rate >= 1.0 && *total > done) {
        let left = Duration::from_secs_f64((total - done) as f64 / rate);
        text += " · ";
        text += &clock(left);
        text += " left";
    }
    text
}

/// `9 s`, `4 min 09 s`, `2 h 05 min`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_done_total_rate_failures_and_time_left() {
        let line = status_line(1_250, Some(5_000), 412.5, 37);
        assert_eq!(line, "1,250/5,000 rows · 412/s · 37 failed · 9 s left");
        assert_eq!(status_line(10, None, 0.0, 0), "10/… rows · 0/s · 0 failed");
    }

    #[test]
    fn times_read_naturally() {
        assert_eq!(clock(Duration::from_secs(249)), "4 min 09 s");
        assert_eq!(clock(Duration::from_secs(7_500)), "2 h 05 min");
    }
}
