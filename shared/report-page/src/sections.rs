//! The sections of the page. One of which there is nothing to say is left out.

use domain::Outcome;
use maud::{Markup, html};
use pipeline::report::{CardKind, CardLine, Example, HostSummary, Report};
use pipeline::rule_packs::PackSummary;

use crate::charts;
use crate::numbers::{bytes, count, duration, instant, share, short};

/// Groups of duplicates shown.
const GROUPS_SHOWN: usize = 10;

fn section(id: &str, title: &str, content: &Markup) -> Markup {
    html! {
        section id=(id) aria-labelledby=(format!("{id}-title")) {
            h2 id=(format!("{id}-title")) { (title) }
            (content)
        }
    }
}

/// Text of others: shown, never followed. Control characters would change the text around them.
fn url(text: &str) -> Markup {
    let shown: String = text
        .chars()
        .map(|one| if one.is_control() { '\u{fffd}' } else { one })
        .collect();
    html! { bdi.url { (shown) } }
}

pub(crate) fn head(report: &Report) -> Markup {
    let repeated = report.counters.outcome(Outcome::DuplicateUrl);
    let rows = report.counters.rows;
    let tile = |class: &str, figure: String, what: &str, of: String| {
        html! {
            div class={ "tile " (class) } {
                strong { (figure) }
                span { (what) }
                small { (of) }
            }
        }
    };
    let ended = report.batch.ended_at.map(instant);
    html! {
        header {
            h1 { (report.batch.name) }
            p.sub {
                (report.batch.status) @if let Some(ended) = ended { " · ended " (ended) }
                " · batch " code { (report.batch.id) }
            }
            div.tiles {
                (tile("", count(rows), "rows", format!("from {}", report.batch.list_name)))
                (tile("good", count(report.ok), "ok", share(report.ok, rows)))
                (tile("bad", count(report.failed), "failed", share(report.failed, rows)))
                (tile("", count(repeated), "repeated URLs", share(repeated, rows)))
                (tile("", duration(report.elapsed_s), "of work", format!("{} rows a second", short(report.rows_per_s))))
                (tile("", bytes(report.counters.bytes as f64), "read", format!("{} a second", bytes(report.bytes_per_s))))
            }
        }
    }
}

pub(crate) fn outcomes(report: &Report) -> Markup {
    let mut counts: Vec<(Outcome, u64)> = report
        .counters
        .by_outcome
        .iter()
        .map(|(outcome, rows)| (*outcome, *rows))
        .collect();
    counts.sort_by_key(|(outcome, rows)| (*outcome != Outcome::Ok, std::cmp::Reverse(*rows)));
    let most = counts.iter().map(|(_, rows)| *rows).max().unwrap_or(1);
    let nothing = Vec::new();
    section(
        "outcomes",
        "Outcomes",
        &html! {
            table {
                thead { tr { th { "Outcome" } th.number { "Rows" } th.number { "Share" } th { } th { "For example" } } }
                tbody {
                    @for (outcome, rows) in counts {
                        tr {
                            th scope="row" { code { (outcome) } div.about { (outcome.description().replace('`', "")) } }
                            td.number { (count(rows)) }
                            td.number { (share(rows, report.counters.rows)) }
                            td.wide { (charts::meter(rows, most)) }
                            td { (examples(report.examples.get(&outcome).unwrap_or(&nothing))) }
                        }
                    }
                }
            }
        },
    )
}

fn examples(examples: &[Example]) -> Markup {
    html! {
        @for example in examples {
            div.example {
                span.row { "row " (example.row) } " " (url(&example.url))
                @if let Some(detail) = &example.detail { div.about { (detail) } }
            }
        }
    }
}

pub(crate) fn card(report: &Report) -> Markup {
    if report.card.is_empty() {
        return html! {};
    }
    let of_kind = |kind: CardKind| report.card.iter().filter(move |line| line.kind == kind);
    let failed = report.card.iter().filter(|line| line.passed == Some(false));
    let failed = failed.count();
    let measured = report.card.iter().filter(|line| line.passed.is_some());
    let measured = measured.count();
    section(
        "card",
        "Report card",
        &html! {
            p { (measured - failed) " of " (measured) " lines that could be checked are kept." }
            table {
                thead { tr { th { "Target for a list of this length" } th.number { "Promised" } th.number { "Measured" } th { "" } } }
                tbody { @for line in of_kind(CardKind::Target) { (card_line(line)) } }
                thead { tr { th { "Indicator of the system" } th.number { "Promised" } th.number { "Measured" } th { "" } } }
                tbody { @for line in of_kind(CardKind::Indicator) { (card_line(line)) } }
            }
        },
    )
}

fn card_line(line: &CardLine) -> Markup {
    let relation = if line.higher_is_better { "≥" } else { "≤" };
    let unit = match line.unit.as_str() {
        "percent" => "%",
        "milliseconds" => "ms",
        "seconds" => "s",
        "messages" | "rows" => "",
        other => other,
    };
    let (class, verdict) = match line.passed {
        Some(true) => ("passed", "✓ passed"),
        Some(false) => ("missed", "✗ failed"),
        None => ("unknown", "– not measured"),
    };
    html! {
        tr {
            th scope="row" { (line.title) }
            td.number { (relation) " " (short(line.target)) " " (unit) }
            td.number { @if let Some(actual) = line.actual { (short(actual)) " " (unit) } @else { "–" } }
            td class=(class) { (verdict) }
        }
    }
}

pub(crate) fn time_line(report: &Report) -> Markup {
    if report.time_line.steps.is_empty() {
        return html! {};
    }
    section(
        "time-line",
        "Time line",
        &html! {
            figure {
                (charts::time_line(&report.time_line))
                figcaption {
                    "Rows a second, in steps of " (duration(report.time_line.step_s as f64)) ": "
                    span.key.ok {} " ok, " span.key.failed {} " failed."
                    @if let Some(latency) = report.latency_ms {
                        " A row took " (short(latency.p50)) " ms in the middle, " (short(latency.p95)) " ms at the 95th and "
                        (short(latency.p99)) " ms at the 99th percentile."
                    }
                }
            }
        },
    )
}

pub(crate) fn rules(report: &Report) -> Markup {
    if report.rules.is_empty() {
        return html! {};
    }
    section(
        "rules",
        "Rules",
        &html! { @for pack in &report.rules { (pack_table(pack)) } },
    )
}

fn pack_table(pack: &PackSummary) -> Markup {
    let rows = pack.passed + pack.failed;
    html! {
        h3 { (pack.title) }
        p {
            strong { (count(pack.passed)) " of " (count(rows)) } " rows pass (" (share(pack.passed, rows)) "); "
            (count(pack.no_image)) " of the others have no image at all."
            @if let (Some(source), Some(read_on)) = (&pack.source, &pack.read_on) {
                " Figures from " (url(source)) ", read on " (read_on) "."
            }
        }
        table {
            thead { tr { th { "Rule" } th.number { "Failed" } th.number { "Not checked" } th { } th { "For example" } } }
            tbody {
                @for rule in &pack.rules {
                    tr {
                        th scope="row" { code { (rule.id) } @if let Some(about) = &rule.about { div.about { (about) } } }
                        td.number { (count(rule.failed)) }
                        td.number { (count(rule.not_checked)) }
                        td.wide { (charts::meter(rule.failed, rows)) }
                        td { (examples(rule.example.as_slice())) }
                    }
                }
            }
        }
    }
}

pub(crate) fn issues(report: &Report) -> Markup {
    let mut counts: Vec<_> = report.counters.by_issue.iter().collect();
    if counts.is_empty() {
        return html! {};
    }
    counts.sort_by_key(|(_, rows)| std::cmp::Reverse(**rows));
    let most = counts.first().map_or(1, |(_, rows)| **rows);
    section(
        "issues",
        "Flaws of images that loaded",
        &html! {
            table {
                thead { tr { th { "Issue" } th.number { "Images" } th.number { "Share of ok" } th { } } }
                tbody {
                    @for (issue, rows) in counts {
                        tr {
                            th scope="row" { code { (issue) } }
                            td.number { (count(*rows)) }
                            td.number { (share(*rows, report.ok)) }
                            td.wide { (charts::meter(*rows, most)) }
                        }
                    }
                }
            }
        },
    )
}

pub(crate) fn duplicates(report: &Report) -> Markup {
    let found = &report.duplicates;
    if found.groups == 0 {
        return html! {};
    }
    let saved = (found.exact_bytes + found.near_bytes) as f64;
    section(
        "duplicates",
        "Duplicates",
        &html! {
            p {
                strong { (count(found.exact_rows + found.near_rows)) " images repeat others" } ", in "
                (count(found.groups)) " groups: " (count(found.exact_rows)) " have the same bytes, "
                (count(found.near_rows)) " look alike. Without them the list would be " (bytes(saved)) " smaller."
                @if found.placeholder_rows > 0 { " " (count(found.placeholder_rows)) " are stand-in pictures of their host." }
            }
            table {
                thead { tr { th { "Largest groups" } th.number { "Rows" } th.number { "Same bytes" } th.number { "To save" } } }
                tbody {
                    @for group in found.largest_groups.iter().take(GROUPS_SHOWN) {
                        tr {
                            th scope="row" { span.row { "row " (group.representative) } " " (url(&group.url)) }
                            td.number { (count(group.rows)) }
                            td.number { (count(group.exact_rows)) }
                            td.number { (bytes(group.bytes as f64)) }
                        }
                    }
                }
            }
        },
    )
}

pub(crate) fn distributions(report: &Report) -> Markup {
    if report.distributions.is_empty() {
        return html! {};
    }
    section(
        "distributions",
        "Sizes and measurements",
        &html! {
            div.charts {
                @for one in &report.distributions {
                    @let value = |number: f64| charts::edge_label(&one.name, number);
                    figure {
                        figcaption { strong { (one.title) } @if !one.unit.is_empty() { " (" (one.unit) ")" } }
                        (charts::histogram(one))
                        p.about { (value(one.min)) " … " (value(one.max)) ", mean " (value(one.mean)) }
                    }
                }
            }
        },
    )
}

pub(crate) fn formats(report: &Report) -> Markup {
    if report.formats.is_empty() {
        return html! {};
    }
    let most = report.formats.iter().map(|format| format.rows).max();
    section(
        "formats",
        "Formats",
        &html! {
            table {
                thead { tr { th { "Format" } th.number { "Images" } th.number { "Share" } th { } th.number { "Mean size" } th.number { "Mean megapixels" } } }
                tbody {
                    @for format in &report.formats {
                        @let rows = format.rows.max(1) as f64;
                        tr {
                            th scope="row" { code { (format.format) } }
                            td.number { (count(format.rows)) }
                            td.number { (share(format.rows, report.ok)) }
                            td.wide { (charts::meter(format.rows, most.unwrap_or(1))) }
                            td.number { (bytes(format.bytes as f64 / rows)) }
                            td.number { (short(format.pixels as f64 / rows / 1e6)) }
                        }
                    }
                }
            }
        },
    )
}

pub(crate) fn hosts(report: &Report) -> Markup {
    if report.slowest_hosts.is_empty() {
        return html! {};
    }
    section(
        "hosts",
        "Hosts",
        &html! {
            p { (count(report.hosts)) " hosts were asked." }
            @if !report.worst_hosts.is_empty() { (host_table("Most failed rows", &report.worst_hosts)) }
            (host_table("Slowest", &report.slowest_hosts))
        },
    )
}

fn host_table(title: &str, hosts: &[HostSummary]) -> Markup {
    let milliseconds = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), short);
    html! {
        table {
            thead { tr { th { (title) } th.number { "Rows" } th.number { "Failed" } th.number { "Share" } th.number { "p50 ms" } th.number { "p95 ms" } } }
            tbody {
                @for host in hosts {
                    tr {
                        th scope="row" { (url(&host.host)) }
                        td.number { (count(host.rows)) }
                        td.number { (count(host.failed)) }
                        td.number { (share(host.failed, host.rows)) }
                        td.number { (milliseconds(host.p50_ms)) }
                        td.number { (milliseconds(host.p95_ms)) }
                    }
                }
            }
        }
    }
}

pub(crate) fn retries(report: &Report) -> Markup {
    if report.retries.is_empty() {
        return html! {};
    }
    section(
        "retries",
        "Retries",
        &html! {
            table {
                thead { tr { th { "Asked for" } th.number { "Rows" } th { "Had ended as" } th { "Ended as" } } }
                tbody {
                    @for retry in &report.retries {
                        tr {
                            th scope="row" { (instant(retry.requested_at)) }
                            td.number { (count(retry.rows)) }
                            td { @for (outcome, rows) in &retry.from { (count(*rows)) " " code { (outcome) } " " } }
                            td { @for (outcome, rows) in &retry.to { (count(*rows)) " " code { (outcome) } " " } }
                        }
                    }
                }
            }
        },
    )
}

pub(crate) fn cost(report: &Report) -> Markup {
    let Some(cost) = &report.cost else {
        return html! {};
    };
    section(
        "cost",
        "Cost on AWS",
        &html! {
            p { strong { "$" (format!("{:.4}", cost.total_usd)) } " by the model, or $" (format!("{:.2}", cost.usd_per_million)) " for a million rows." }
            table {
                thead { tr { th { "For" } th.number { "US dollars" } } }
                tbody {
                    @for line in cost.lines.iter().filter(|line| line.usd > 0.0) {
                        tr { th scope="row" { (line.what) } td.number { (format!("{:.6}", line.usd)) } }
                    }
                }
            }
            p.about { (cost.assumptions) }
        },
    )
}

/// What a model said about the images, and what it cost.
pub(crate) fn vision(report: &Report) -> Markup {
    let vision = &report.counters.vision;
    if vision.is_empty() {
        return html! {};
    }
    let rows = [
        ("Labelled", vision.labelled),
        (
            "of them for nothing, because the answer was there",
            vision.reused,
        ),
        ("Without an answer that can be used", vision.errors),
        (
            "Not asked about, because the budget was used up",
            vision.over_budget,
        ),
    ];
    section(
        "vision",
        "What images show",
        &html! {
            @if vision.over_budget > 0 {
                p { strong { "The budget was used up." } " A new run with another budget pays for the rest alone." }
            }
            p { (count(vision.calls)) " calls were paid"
                @if vision.micro_usd > 0 { ", for " strong { "$" (format!("{:.4}", vision.micro_usd as f64 / 1e6)) } } "." }
            table {
                thead { tr { th { "Rows" } th.number { "Number" } th.number { "Share" } } }
                tbody {
                    @for (what, number) in rows {
                        tr { th scope="row" { (what) } td.number { (count(number)) } td.number { (share(number, vision.expected)) } }
                    }
                }
            }
        },
    )
}

pub(crate) fn foot(report: &Report) -> Markup {
    html! {
        footer {
            "imgsweep " (env!("CARGO_PKG_VERSION")) " · " (count(report.counters.attempts)) " requests"
        }
    }
}
