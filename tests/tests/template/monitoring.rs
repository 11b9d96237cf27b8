//! Alarms and dashboard: only metrics that somebody emits, and the thresholds that were asked for.

use std::collections::{BTreeMap, BTreeSet};

use imgsweep_tests::template::Template;
use lambda_support::metrics::{DIMENSION, NAMESPACE, OF_A_PART, OF_A_SWEEP, OF_THE_API};
use serde_json::{Value, json};

/// The alarms that operators asked for: threshold, and for how many minutes.
const ALARMS: &[(&str, f64, u64)] = &[
    ("HighErrorRate", 10.0, 5),
    ("LowThroughput", 30.0, 10),
    ("HighMemory", 85.0, 3),
    ("LargeQueue", 5_000.0, 10),
    ("SlowStore", 5_000.0, 5),
];

/// Where the template's own metric filters put what they find.
const FILTER_NAMESPACE: &str = "imgsweep/${Environment}";

fn emitted() -> BTreeSet<&'static str> {
    OF_A_PART
        .iter()
        .chain(OF_A_SWEEP)
        .chain(OF_THE_API)
        .map(|metric| metric.name)
        .collect()
}

fn filtered(template: &Template) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (_, filter) in template.resources("AWS::Logs::MetricFilter") {
        for metric in filter["MetricTransformations"].as_array().unwrap() {
            assert_eq!(metric["MetricNamespace"]["Fn::Sub"], FILTER_NAMESPACE);
            names.insert(metric["MetricName"].as_str().unwrap());
        }
    }
    names
}

fn text(value: &Value) -> &str {
    let text = value.as_str().or_else(|| value["Fn::Sub"].as_str());
    text.unwrap()
}

/// Fails for a metric of ours that nobody emits. AWS's own are known to be there.
fn check(template: &Template, namespace: &str, name: &str, dimensions: &[(&str, Value)]) {
    match namespace {
        NAMESPACE => {
            assert!(emitted().contains(name), "nobody emits {name}");
            let [(dimension, value)] = dimensions else {
                panic!("{name} has one dimension: {dimensions:?}");
            };
            assert_eq!(*dimension, DIMENSION, "{name}");
            let is_ours = *value == json!({"Ref": "Environment"}) || value == "${Environment}";
            assert!(is_ours, "{name}: {value}");
        }
        FILTER_NAMESPACE => {
            assert!(filtered(template).contains(name), "nobody counts {name}");
            assert!(dimensions.is_empty(), "{name}");
        }
        _ => assert!(namespace.starts_with("AWS/"), "{namespace}"),
    }
}

#[test]
fn the_alarms_that_were_asked_for_are_there_with_their_thresholds() {
    let template = Template::of_the_product().unwrap();
    let alarms: BTreeMap<_, _> = template
        .resources("AWS::CloudWatch::Alarm")
        .into_iter()
        .collect();
    for (name, threshold, minutes) in ALARMS {
        let alarm = alarms[name];
        assert_eq!(alarm["Threshold"].as_f64(), Some(*threshold), "{name}");
        let metrics = alarm["Metrics"].as_array().unwrap();
        let period = metrics
            .iter()
            .find_map(|metric| metric["MetricStat"]["Period"].as_u64());
        let evaluated = alarm["EvaluationPeriods"].as_u64().unwrap() * period.unwrap();
        assert_eq!(evaluated, minutes * 60, "{name}");
    }
}

#[test]
fn alarms_watch_metrics_that_are_emitted_and_tell_somebody() {
    let template = Template::of_the_product().unwrap();
    for (name, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        assert_eq!(
            alarm["AlarmActions"],
            json!([{"Ref": "AlarmTopic"}]),
            "{name}"
        );
        let mut returned = 0;
        for metric in alarm["Metrics"].as_array().unwrap() {
            returned += usize::from(metric["ReturnData"] != false);
            let metric = &metric["MetricStat"]["Metric"];
            if metric.is_null() {
                continue;
            }
            let mut dimensions = Vec::new();
            for dimension in metric["Dimensions"].as_array().into_iter().flatten() {
                dimensions.push((text(&dimension["Name"]), dimension["Value"].clone()));
            }
            let (namespace, metric) = (text(&metric["Namespace"]), text(&metric["MetricName"]));
            check(&template, namespace, metric, &dimensions);
        }
        assert_eq!(returned, 1, "{name} watches one figure");
    }
}

#[test]
fn the_dashboard_shows_metrics_that_are_emitted() {
    let template = Template::of_the_product().unwrap();
    let body = text(&template.properties("Dashboard")["DashboardBody"]);
    let body: Value = serde_json::from_str(body).unwrap();
    let mut shown = BTreeSet::new();
    for widget in body["widgets"].as_array().unwrap() {
        for metric in widget["properties"]["metrics"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let parts = metric.as_array().unwrap();
            let words: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            let [namespace, name, dimensions @ ..] = &words[..] else {
                assert!(parts[0]["expression"].is_string(), "{metric}");
                continue;
            };
            let mut pairs = Vec::new();
            for pair in dimensions.chunks(2) {
                pairs.push((pair[0], Value::from(pair[1])));
            }
            check(&template, namespace, name, &pairs);
            shown.insert((*name).to_owned());
        }
    }
    for name in emitted() {
        assert!(shown.contains(name), "{name} is emitted and not shown");
    }
    for name in [
        "Latency",
        "SuccessfulRequestLatency",
        "AnalyzeMemoryUsed",
        "Errors",
    ] {
        assert!(
            shown.contains(name),
            "{name} is one of the operators' indicators"
        );
    }
}

#[test]
fn every_resource_that_alarms_and_dashboard_name_exists() {
    let template = Template::of_the_product().unwrap();
    let body = text(&template.properties("Dashboard")["DashboardBody"]);
    for name in body.split("${").skip(1) {
        let name = name.split('}').next().unwrap();
        let logical_id = name.split('.').next().unwrap();
        let is_known = logical_id.starts_with("AWS::")
            || !template.root()["Parameters"][logical_id].is_null()
            || !template.properties(logical_id).is_null();
        assert!(is_known, "{name}");
    }
}
