//! `imgsweep plan`: what it prints is what the goal says, and a stack of one's own is not that of the goal.

use serde_json::Value;

use crate::support::{imgsweep, output};

fn plan(arguments: &[&str]) -> String {
    let output = output(imgsweep().arg("plan").args(arguments));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

fn plan_json(arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&plan(&arguments)).expect("JSON")
}

#[test]
fn the_goal_is_printed_with_its_breakdown_and_its_sources() {
    let goal = [
        "--urls",
        "15000000",
        "--cpu",
        "6ms",
        "--latency",
        "300ms",
        "--bytes",
        "150k",
    ];
    let summary = plan_json(&[goal.as_slice(), &["--simulate"]].concat());
    let seconds = |pointer: &str| {
        summary
            .pointer(pointer)
            .and_then(Value::as_f64)
            .expect(pointer)
    };
    let total_s = seconds("/plan/timeline/total_s");
    assert!(total_s <= 300.0, "{total_s}");
    assert!(seconds("/plan/cost/total_usd") <= 10.0);
    assert!(seconds("/simulation_s") < 60.0);
    let ratio = total_s / seconds("/simulated/total_s");
    assert!((0.85..1.0 / 0.85).contains(&ratio), "{ratio}");
    let prices = summary["facts"]["prices"].as_object().expect("prices");
    for (name, price) in prices.iter().filter(|(name, _)| *name != "region") {
        assert!(
            price["source"]
                .as_str()
                .is_some_and(|source| source.starts_with("https://")),
            "{name}"
        );
        assert!(
            price["as_of"].as_str().is_some_and(|day| day.len() == 10),
            "{name}"
        );
    }
    let text = plan(&goal);
    for word in [
        "Lambda",
        "S3",
        "Transfer",
        "Bottleneck",
        "Recommended",
        "in all",
    ] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
}

#[test]
fn an_environment_is_planned_as_it_is_deployed_and_vision_says_its_instances() {
    let production = plan_json(&["--urls", "15M", "--environment", "production"]);
    assert_eq!(production["plan"]["setup"]["requests"], 25);
    assert_eq!(production["plan"]["setup"]["pollers"]["mode"], "standard");
    let goal = plan_json(&["--urls", "15M"]);
    let total = |summary: &Value| {
        summary["plan"]["timeline"]["total_s"]
            .as_f64()
            .expect("a time")
    };
    assert!(total(&production) > total(&goal));
    let own = plan_json(&[
        "--urls",
        "15M",
        "--environment",
        "production",
        "--requests",
        "128",
    ]);
    assert!(total(&own) < total(&production));
    let vision = plan(&["--urls", "1M", "--vision-keys", "500", "--rpm", "100"]);
    assert!(vision.contains("VisionMaximumConcurrency=14"), "{vision}");
}

#[test]
fn prices_that_lack_something_are_refused_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let prices = folder.path().join("prices.toml");
    std::fs::write(&prices, "region = \"x\"\n").expect("written");
    let output = output(
        imgsweep()
            .args(["plan", "--urls", "1M", "--prices"])
            .arg(&prices),
    );
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("lambda_arm64_gb_second"), "{said}");
}
