//! Batches whose images a model is to look at.

use domain::{BatchId, Priority, VisionOptions, VisionReuse};
use http::StatusCode;
use http_api::{ApiSettings, VisionOffer};

use crate::support::{Answer, Api, assert_problem};

fn api(vision: Option<VisionOffer>) -> Api {
    Api::with(ApiSettings {
        vision,
        ..ApiSettings::default()
    })
}

const WITH_PRICES: Option<VisionOffer> = Some(VisionOffer { has_prices: true });
const WITHOUT_PRICES: Option<VisionOffer> = Some(VisionOffer { has_prices: false });

async fn upload(api: &Api, fields: &[(&str, &str)]) -> Answer {
    api.upload("alices", fields, "url\nhttp://a.example/1\n")
        .await
}

async fn wish(api: &Api, answer: &Answer) -> Option<VisionOptions> {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let id: BatchId = answer.body["batch_id"].as_str().unwrap().parse().unwrap();
    let batch = api.ports.store.batch(id).await.unwrap().unwrap();
    batch.options.vision
}

#[tokio::test]
async fn a_form_asks_for_labels_plainly_or_in_detail() {
    let api = api(WITH_PRICES);
    let plain = upload(&api, &[("vision", "true")]).await;
    assert_eq!(wish(&api, &plain).await, Some(VisionOptions::default()));
    let none = upload(&api, &[("vision", "false")]).await;
    assert_eq!(wish(&api, &none).await, None);
    let detail = r#"{"priority": "high", "reuse": "near", "budget_micro_usd": 5000000}"#;
    let detailed = upload(&api, &[("vision", detail)]).await;
    let expected = VisionOptions {
        priority: Priority::High,
        reuse: VisionReuse::Near,
        budget_micro_usd: Some(5_000_000),
    };
    assert_eq!(wish(&api, &detailed).await, Some(expected));
    let wrong = upload(&api, &[("vision", r#"{"priority": "highest"}"#)]).await;
    assert_problem(&wrong, StatusCode::BAD_REQUEST, "/problems/bad-request");
}

#[tokio::test]
async fn what_no_model_will_say_is_not_promised() {
    let budget = r#"{"budget_micro_usd": 1}"#;
    for (offer, fields, word) in [
        (None, vec![("vision", "true")], "no provider"),
        (WITHOUT_PRICES, vec![("vision", budget)], "no prices"),
        (
            WITH_PRICES,
            vec![("vision", "true"), ("measure", "header")],
            "whole image",
        ),
    ] {
        let api = api(offer);
        let refused = upload(&api, &fields).await;
        assert_problem(&refused, StatusCode::BAD_REQUEST, "/problems/bad-request");
        let detail = refused.body["detail"].to_string();
        assert!(detail.contains(word), "{detail}");
    }
    let api = api(WITHOUT_PRICES);
    assert!(
        wish(&api, &upload(&api, &[("vision", "true")]).await)
            .await
            .is_some()
    );
    // The other way in says the same.
    let asked = r#"{"list_name": "l.csv", "options": {"vision": {"budget_micro_usd": 1}}}"#;
    let refused = api.post_json("/api/v1/batches", "alices", asked).await;
    assert_problem(&refused, StatusCode::BAD_REQUEST, "/problems/bad-request");
}

#[tokio::test]
async fn answers_are_invalidated_by_administrators_alone() {
    let api = api(None);
    let path = "/api/v1/system/cache";
    let wanted = r#"{"invalidate": "V#abc*"}"#;
    let answer = api.post_json(path, "alices", wanted).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let now = api.ports.clock.now();
    let rules = api.answers.invalidations(now).await.unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].pattern, "V#abc*");
    for wrong in [r#"{"invalidate": ""}"#, "{}"] {
        let answer = api.post_json(path, "alices", wrong).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
    }
}
