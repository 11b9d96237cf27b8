//! What the plan is sold for: fifteen million rows in five minutes for ten dollars, and figures that move the way they should.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as expected"
)]

use std::time::{Duration, Instant};

use planning::facts::Facts;
use planning::simulate::simulate;
use planning::workload::{Environment, Pollers, Setup, Vision, Workload};
use planning::{Plan, plan};

/// How far apart model and simulation may be.
const AGREEMENT: std::ops::Range<f64> = 0.85..1.0 / 0.85;

fn facts() -> Facts {
    Facts::load(None).unwrap()
}

fn fifteen_million() -> Workload {
    Workload {
        urls: 15_000_000,
        ..Workload::default()
    }
}

fn planned(change: impl FnOnce(&mut Workload, &mut Setup)) -> Plan {
    let (mut workload, mut setup) = (fifteen_million(), Setup::default());
    change(&mut workload, &mut setup);
    plan(&workload, &setup, &facts())
}

#[test]
fn fifteen_million_rows_take_five_minutes_and_ten_dollars_at_most() {
    let plan = planned(|_, _| ());
    assert!(plan.timeline.total_s <= 300.0, "{:?}", plan.timeline);
    assert!(plan.cost.total_usd <= 10.0, "{:?}", plan.cost);
    let sum: f64 = plan.cost.lines.iter().map(|line| line.usd).sum();
    assert!((sum - plan.cost.total_usd).abs() < 1e-9);
    for service in ["Lambda", "SQS", "DynamoDB", "S3", "CloudWatch", "Transfer"] {
        let is_there = plan.cost.lines.iter().any(|line| line.service == service);
        assert!(is_there, "no line of {service}");
    }
}

#[test]
fn every_input_moves_time_and_cost_the_way_it_should() {
    let base = planned(|_, _| ());
    let (time, cost) = (base.timeline.total_s, base.cost.total_usd);
    let more = [
        ("urls", planned(|workload, _| workload.urls *= 2)),
        ("cpu", planned(|workload, _| workload.cpu_s *= 2.0)),
        ("bytes", planned(|workload, _| workload.body_bytes *= 20.0)),
        ("latency", planned(|workload, _| workload.latency_s *= 10.0)),
        ("few hosts", planned(|workload, _| workload.hosts = 2)),
    ];
    for (input, plan) in more {
        assert!(plan.timeline.total_s > time, "{input}: no longer");
        assert!(plan.cost.total_usd > cost, "{input}: no dearer");
    }
    let fewer_functions = planned(|_, setup| setup.functions /= 2);
    assert!(fewer_functions.timeline.total_s > time);
    let standard = planned(|_, setup| setup.pollers = Pollers::Standard);
    assert!(standard.timeline.total_s > time);
    let chatty = planned(|workload, _| workload.egress_bytes *= 2.0);
    assert!(chatty.cost.total_usd > cost + 5.0);
    assert!(
        (chatty.timeline.total_s - time).abs() < 1e-9,
        "bytes sent are no time"
    );
    let nat = planned(|_, setup| setup.nat = true);
    assert!(nat.cost.total_usd > 10.0 * cost);
}

#[test]
fn what_the_model_knows_of_vision_moves_with_keys_and_price() {
    let vision = Vision {
        keys: 100,
        calls_per_minute: 60.0,
        distinct_share: 0.7,
        usd_per_call: 0.0005,
    };
    let with = |vision: Vision| planned(|workload, _| workload.vision = Some(vision));
    let base = with(vision.clone());
    let keys = with(Vision {
        keys: 200,
        ..vision.clone()
    });
    assert!(keys.timeline.vision_s < base.timeline.vision_s * 0.6);
    let free = with(Vision {
        usd_per_call: 0.0,
        ..vision.clone()
    });
    let calls_usd = base.cost.total_usd - free.cost.total_usd;
    assert!(
        (calls_usd - 15e6 * 0.7 * 0.0005).abs() < 1e-6,
        "{calls_usd}"
    );
    // Even where calls are free, functions and messages are not.
    assert!(free.cost.total_usd > planned(|_, _| ()).cost.total_usd);
    // The template's own example: 70 keys of 100 calls a minute.
    let example = Vision {
        keys: 70,
        calls_per_minute: 100.0,
        ..vision
    };
    assert_eq!(example.instances(), 2);
}

#[test]
fn fifteen_million_and_a_billion_rows_are_simulated_within_a_minute_and_agree() {
    let started = Instant::now();
    for urls in [15_000_000, 1_000_000_000] {
        let workload = Workload {
            urls,
            ..Workload::default()
        };
        let setups = [Setup::default(), Environment::Production.setup()];
        for setup in setups {
            let model = plan(&workload, &setup, &facts());
            for seed in [1, 2] {
                let simulated = simulate(&workload, &setup, &facts(), seed);
                let ratio = model.timeline.total_s / simulated.total_s;
                assert!(
                    AGREEMENT.contains(&ratio),
                    "{urls} rows: {ratio}: {setup:?}"
                );
            }
        }
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn a_billion_rows_a_month_cost_what_the_design_allows() {
    let workload = Workload {
        urls: 1_000_000_000,
        ..Workload::default()
    };
    let plan = plan(&workload, &Setup::default(), &facts());
    assert!(plan.cost.total_usd <= 650.0, "{}", plan.cost.total_usd);
}
