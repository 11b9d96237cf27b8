use pipeline::report::Report;

use crate::render;

/// The report of a run over every kind of row, as `report.json` had it.
const SAMPLE: &str = include_str!("sample-report.json");

fn sample() -> Report {
    serde_json::from_str(SAMPLE).unwrap()
}

#[test]
fn a_page_shows_every_section_of_a_report_that_has_them() {
    let page = render(&sample());
    for id in [
        "outcomes",
        "card",
        "time-line",
        "rules",
        "issues",
        "duplicates",
        "distributions",
        "formats",
        "hosts",
        "cost",
    ] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    assert!(page.matches("<svg ").count() > sample().distributions.len());
    assert!(page.contains("✓ passed"), "the card says what passed");
    assert!(page.contains("– not measured"), "and what is not known");
}

#[test]
fn labels_their_cost_and_a_budget_that_was_used_up_are_shown() {
    let mut report = sample();
    assert!(!render(&report).contains("<section id=\"vision\""));
    let vision = &mut report.counters.vision;
    (vision.expected, vision.labelled, vision.over_budget) = (3_000, 2_000, 1_000);
    (vision.calls, vision.micro_usd) = (1_800, 378_000);
    let page = render(&report);
    for shown in [
        "<section id=\"vision\"",
        "The budget was used up.",
        "$0.3780",
        "1,800 calls",
        "33.3 %",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
}

#[test]
fn a_page_asks_nobody_and_runs_nothing() {
    let page = render(&sample());
    for asking in [
        "unsafe-inline",
        " style=",
        "<script",
        "src=",
        "href=",
        "@import",
        "url(",
        "<link",
        "<img",
        "<iframe",
    ] {
        assert!(!page.contains(asking), "{asking}");
    }
    assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
}

#[test]
fn text_of_others_stays_text() {
    let mut report = sample();
    let evil = "</title><script>alert(1)</script>\u{202e}\u{1b}[2J";
    report.batch.name = evil.to_owned();
    report.batch.list_name = evil.to_owned();
    for examples in report.examples.values_mut() {
        for example in examples {
            example.url = evil.to_owned();
            example.detail = Some(evil.to_owned());
        }
    }
    for host in report
        .worst_hosts
        .iter_mut()
        .chain(&mut report.slowest_hosts)
    {
        host.host = evil.to_owned();
    }
    let page = render(&report);
    assert!(!page.contains("<script"), "markup in text");
    assert!(page.contains("&lt;script&gt;"));
    // Turned text stays within its cell: URLs and hosts are isolated.
    assert!(page.contains("<bdi class=\"url\">&lt;/title&gt;"));
}

#[test]
fn a_report_of_nothing_is_a_page_too() {
    let mut report = sample();
    report.counters = domain::Counters::default();
    report.examples.clear();
    report.card.clear();
    report.time_line = pipeline::report::TimeLine::default();
    report.rules.clear();
    report.distributions.clear();
    report.formats.clear();
    report.slowest_hosts.clear();
    report.worst_hosts.clear();
    report.duplicates.groups = 0;
    report.cost = None;
    let page = render(&report);
    assert_eq!(page.matches("<section ").count(), 1, "only the outcomes");
}
