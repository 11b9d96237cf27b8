//! Charts as inline SVG. Every mark has a title that says its figure, and every chart a description, so that nothing is told by
//! shape or colour alone.

use maud::{Markup, html};
use pipeline::report::{Bucket, Distribution, TimeLine, TimeStep};

use crate::numbers::{bytes, count, instant, short};

/// A histogram's box, in its own units.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 190.0;
/// What the labels below take.
const BELOW: f64 = 46.0;
/// What the highest figure above takes.
const ABOVE: f64 = 16.0;
/// The time line's box.
const LONG: f64 = 980.0;
const LINE_HEIGHT: f64 = 200.0;
/// What the labels on its left take.
const LEFT: f64 = 56.0;
/// Labels on the time line.
const TICKS: usize = 6;

/// How a measurement is spread: a bar a bucket, edges between them.
pub(crate) fn histogram(distribution: &Distribution) -> Markup {
    let buckets = &distribution.buckets;
    let most = buckets.iter().map(|bucket| bucket.rows).max().unwrap_or(1);
    let room = HEIGHT - BELOW - ABOVE;
    let step = WIDTH / buckets.len().max(1) as f64;
    let value = |edge: f64| edge_label(&distribution.name, edge);
    let described = format!(
        "{}: {} rows, from {} to {}, mean {}.",
        distribution.title,
        count(distribution.rows),
        value(distribution.min),
        value(distribution.max),
        value(distribution.mean)
    );
    html! {
        svg viewBox=(format!("-10 0 {} {HEIGHT}", WIDTH + 20.0)) role="img" aria-label=(described) {
            @for (position, bucket) in buckets.iter().enumerate() {
                @let height = bar_height(bucket.rows, most, room);
                @let left = position as f64 * step;
                rect.bar x=(fixed(left + 1.0)) y=(fixed(ABOVE + room - height))
                    width=(fixed(step - 2.0)) height=(fixed(height)) {
                    title { (range_label(&distribution.name, bucket)) ": " (count(bucket.rows)) " rows" }
                }
                @if bucket.rows == most {
                    text.figure x=(fixed(left + step / 2.0)) y=(fixed(ABOVE - 4.0)) text-anchor="middle" {
                        (count(most))
                    }
                }
                @if let Some(edge) = bucket.to.filter(|_| position + 1 < buckets.len()) {
                    (tick(left + step, &value(edge)))
                }
            }
            line.axis x1="0" x2=(WIDTH) y1=(fixed(ABOVE + room)) y2=(fixed(ABOVE + room)) {}
        }
    }
}

fn tick(x: f64, label: &str) -> Markup {
    let y = HEIGHT - BELOW + 12.0;
    html! {
        text.edge x=(fixed(x)) y=(fixed(y)) text-anchor="end" transform=(format!("rotate(-40 {} {})", fixed(x), fixed(y))) {
            (label)
        }
    }
}

/// Rows are shown, however few.
fn bar_height(rows: u64, most: u64, room: f64) -> f64 {
    if rows == 0 {
        return 0.0;
    }
    (rows as f64 / most.max(1) as f64 * room).max(1.0)
}

fn range_label(name: &str, bucket: &Bucket) -> String {
    match (bucket.from, bucket.to) {
        (Some(from), Some(to)) => format!("{} to {}", edge_label(name, from), edge_label(name, to)),
        (None, Some(to)) => format!("below {}", edge_label(name, to)),
        (Some(from), None) => format!("{} and more", edge_label(name, from)),
        (None, None) => "all".to_owned(),
    }
}

/// A value of a measurement, with its unit where that is short.
pub(crate) fn edge_label(name: &str, value: f64) -> String {
    match name {
        "bytes" => bytes(value),
        "elapsed_ms" if value >= 1_000.0 => format!("{} s", short(value / 1_000.0)),
        "elapsed_ms" => format!("{} ms", short(value)),
        "megapixels" => format!("{} MP", short(value)),
        "longest_side" => format!("{} px", short(value)),
        _ => short(value),
    }
}

/// Rows that ended in each step, those that failed on top.
pub(crate) fn time_line(line: &TimeLine) -> Markup {
    let (Some(first), Some(last)) = (line.steps.first(), line.steps.last()) else {
        return html! {};
    };
    let step_s = line.step_s.max(1) as i64;
    let place = |step: &TimeStep| (step.at.as_second() - first.at.as_second()) / step_s;
    let steps = place(last) + 1;
    let width = (LONG - LEFT) / steps as f64;
    let room = LINE_HEIGHT - 40.0;
    let rows = |step: &TimeStep| step.ok + step.failed;
    let most = line.steps.iter().map(rows).max().unwrap_or(1);
    let per_second = most as f64 / step_s as f64;
    let described = format!(
        "Rows that ended, from {} to {}, in steps of {step_s} s; {} rows a second at most.",
        instant(first.at),
        instant(last.at),
        short(per_second)
    );
    html! {
        svg viewBox=(format!("0 0 {LONG} {LINE_HEIGHT}")) role="img" aria-label=(described) {
            @for part in [0.0, 0.5, 1.0] {
                @let y = 14.0 + room * (1.0 - part);
                line.grid x1=(LEFT) x2=(LONG) y1=(fixed(y)) y2=(fixed(y)) {}
                text.edge x=(LEFT - 6.0) y=(fixed(y + 4.0)) text-anchor="end" { (short(per_second * part)) }
            }
            @for step in &line.steps {
                @let left = LEFT + place(step) as f64 * width;
                @let failed = bar_height(step.failed, most, room);
                @let ok = bar_height(step.ok, most, room);
                rect.bar x=(fixed(left)) y=(fixed(14.0 + room - ok)) width=(fixed((width - 0.6).max(0.6))) height=(fixed(ok)) {
                    title { (instant(step.at)) ": " (count(step.ok)) " ok" }
                }
                @if step.failed > 0 {
                    rect.failed x=(fixed(left)) y=(fixed(14.0 + room - ok - failed)) width=(fixed((width - 0.6).max(0.6))) height=(fixed(failed)) {
                        title { (instant(step.at)) ": " (count(step.failed)) " failed" }
                    }
                }
            }
            @for number in 0..TICKS.min(steps as usize) {
                @let share = number as f64 / (TICKS - 1).max(1) as f64;
                @let second = first.at.as_second() + ((steps as f64 - 1.0) * share) as i64 * step_s;
                @if let Ok(at) = jiff::Timestamp::from_second(second) {
                    text.edge x=(fixed(LEFT + share * (LONG - LEFT - 50.0))) y=(LINE_HEIGHT - 8.0) { (at.strftime("%H:%M:%S").to_string()) }
                }
            }
        }
    }
}

/// A share of a whole, beside a figure.
pub(crate) fn meter(part: u64, most: u64) -> Markup {
    let percent = 100.0 * part as f64 / most.max(1) as f64;
    html! {
        svg.meter viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect width=(fixed(percent)) height="10" {}
        }
    }
}

/// Coordinates need no more than a tenth.
fn fixed(value: f64) -> String {
    format!("{value:.1}")
}
