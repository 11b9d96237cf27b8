//! Advice to scale that is acted on: the variables and rights of the template, the adapter behind them, and the service's own bounds.

use adapters_aws::{Aws, EventSourceKnob, Settings};
use domain::ports::{PortErrorKind, Scaler};
use imgsweep_tests::rights::rights_of;
use imgsweep_tests::stand_in;
use imgsweep_tests::template::Template;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use test_support::lambda_server::LambdaServer;

const UUID: &str = "14e0db71-5d35-4eb5-b481-8945cf9d10c2";
/// As SAM names the event source `Chunks` of `AnalyzeFunction`.
const EVENT_SOURCE: &str = "AnalyzeFunctionChunks";

fn scaler(service: &LambdaServer, uuid: &str, knob: EventSourceKnob) -> Arc<dyn Scaler> {
    let url = service.url();
    let settings =
        Settings::from_lookup(|name| stand_in::variable(name, ("AWS_ENDPOINT_URL_LAMBDA", &url)));
    let aws = Aws::new(settings.unwrap()).unwrap();
    aws.event_source(uuid, knob)
}

#[tokio::test]
async fn the_janitor_may_do_what_the_adapter_does_with_that_event_source_and_no_more() {
    let concurrency = json!({ "ScalingConfig": { "MaximumConcurrency": 100 } });
    let service = LambdaServer::start(UUID, concurrency).await;
    let scaler = scaler(&service, UUID, EventSourceKnob::MaximumConcurrency);
    assert_eq!(scaler.allowed().await.unwrap(), 100);
    scaler.allow(400).await.unwrap();
    assert_eq!(scaler.allowed().await.unwrap(), 400);
    let set = service.setting("ScalingConfig");
    assert_eq!(set, json!({ "MaximumConcurrency": 400 }));

    let template = Template::of_the_product().unwrap();
    let used: BTreeSet<(String, String)> = service
        .actions()
        .into_iter()
        .map(|action| (action.to_owned(), EVENT_SOURCE.to_owned()))
        .collect();
    for function in template.functions().unwrap() {
        let mut rights = rights_of(&template, &function).unwrap();
        rights.retain(|(action, _)| action.starts_with("lambda:"));
        let expected = match function.name {
            "janitor" => used.clone(),
            _ => BTreeSet::new(),
        };
        assert_eq!(rights, expected, "{}", function.name);
    }
}

#[test]
fn it_is_off_unless_wished_and_goes_back_to_what_the_event_source_is_set_up_with() {
    let template = Template::of_the_product().unwrap();
    assert_eq!(
        template.root()["Parameters"]["ApplyScalingAdvice"]["Default"],
        "off"
    );
    let policy = &template.root()["Resources"]["JanitorScaling"];
    assert_eq!(policy["Condition"], "AppliesScalingAdvice");
    let functions = template.functions().unwrap();
    let of = |name: &str| functions.iter().find(|function| function.name == name);
    let (analyze, janitor) = (of("analyze").unwrap(), of("janitor").unwrap());
    let wished = |value: Value| json!({ "Fn::If": ["AppliesScalingAdvice", value, ""] });
    let named = wished(json!({ "Ref": EVENT_SOURCE }));
    assert_eq!(*janitor.environment["ANALYZE_EVENT_SOURCE"], named);
    let events = analyze.properties["Events"].as_object().unwrap();
    assert_eq!(EVENT_SOURCE, format!("{}{}", analyze.logical_id, "Chunks"));
    let source = &events["Chunks"]["Properties"];
    let concurrency = &source["ScalingConfig"]["Fn::If"][2]["MaximumConcurrency"];
    assert_eq!(janitor.environment["SCALING_LEAST"], concurrency);
    let pollers = &source["ProvisionedPollerConfig"]["Fn::If"][1]["MinimumPollers"];
    let least = &janitor.environment["SCALING_LEAST_POLLERS"]["Fn::If"];
    assert_eq!(*least, json!(["HasProvisionedPollers", pollers, ""]));
    // A process takes its share of what a batch's owner allows, with as many others as there ever are.
    let most = wished(janitor.environment["SCALING_MOST"].clone());
    assert_eq!(*analyze.environment["SCALING_MOST"], most);
}

#[tokio::test]
async fn pollers_are_turned_by_ten_workers_within_their_own_maximum() {
    let pollers =
        |least: u64, most: u64| json!({ "MinimumPollers": least, "MaximumPollers": most });
    let provisioned = json!({ "ProvisionedPollerConfig": pollers(2, 50) });
    let service = LambdaServer::start(UUID, provisioned).await;
    let scaler = scaler(&service, UUID, EventSourceKnob::MinimumPollers);
    assert_eq!(scaler.allowed().await.unwrap(), 20);
    for (workers, least) in [(301, 31), (5_000, 50), (1, 2)] {
        scaler.allow(workers).await.unwrap();
        let set = service.setting("ProvisionedPollerConfig");
        assert_eq!(set, pollers(least, 50), "{workers}");
    }
}

#[tokio::test]
async fn a_concurrency_beyond_the_bounds_of_the_service_is_the_nearest_within() {
    let concurrency = json!({ "ScalingConfig": { "MaximumConcurrency": 100 } });
    let service = LambdaServer::start(UUID, concurrency).await;
    let scaler = scaler(&service, UUID, EventSourceKnob::MaximumConcurrency);
    for (workers, set) in [(0, 2), (70_000, 1_000)] {
        scaler.allow(workers).await.unwrap();
        assert_eq!(scaler.allowed().await.unwrap(), set, "{workers}");
    }
}

#[tokio::test]
async fn refusals_say_whether_a_later_try_helps() {
    let concurrency = json!({ "ScalingConfig": { "MaximumConcurrency": 100 } });
    let service = LambdaServer::start(UUID, concurrency).await;
    let here = scaler(&service, UUID, EventSourceKnob::MaximumConcurrency);
    for (status, kind, expected) in [
        (429, "TooManyRequestsException", PortErrorKind::Throttled),
        (400, "ResourceInUseException", PortErrorKind::Unavailable),
        (409, "ResourceConflictException", PortErrorKind::Unavailable),
        (500, "ServiceException", PortErrorKind::Unavailable),
        (403, "AccessDeniedException", PortErrorKind::Rejected),
    ] {
        service.refuse_next(status, kind);
        let error = here.allow(200).await.unwrap_err();
        assert_eq!(error.kind, expected, "{kind}");
        let cause = error.source.unwrap().to_string();
        assert!(
            cause.contains(kind) && cause.contains("stand-in"),
            "{cause}"
        );
    }
    assert_eq!(here.allowed().await.unwrap(), 100, "nothing was changed");
    let elsewhere = scaler(&service, "another", EventSourceKnob::MaximumConcurrency);
    let error = elsewhere.allowed().await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Rejected);
    // Not what the event source has.
    let pollers = scaler(&service, UUID, EventSourceKnob::MinimumPollers);
    let error = pollers.allowed().await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Rejected);
}
