//! Amazon Rekognition over the AWS adapter, against a service that stands in on loop-back.

use bytes::Bytes;
use imgsweep_tests::stand_in;
use serde_json::{Value, json};
use test_support::rekognition_server::RekognitionServer;

fn client(endpoint: &str) -> adapters_aws::RekognitionClient {
    let settings = adapters_aws::Settings::from_lookup(|name| {
        stand_in::variable(name, ("AWS_ENDPOINT_URL_REKOGNITION", endpoint))
    });
    adapters_aws::Aws::new(settings.unwrap())
        .unwrap()
        .rekognition()
}

#[tokio::test]
async fn requests_are_signed_and_named_and_answers_come_back_whole() {
    let service = RekognitionServer::start().await;
    let client = client(&service.url());
    let body = Bytes::from(json!({ "Image": { "Bytes": "/9j/" } }).to_string());
    let (status, answer) = client.call("DetectLabels", body.clone()).await.unwrap();
    assert_eq!(status, 200, "{answer:?}");
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["Labels"][0]["Name"], "Shoe");
    let (status, fault) = client.call("DetectEverything", body).await.unwrap();
    assert_eq!(status, 400);
    let fault: Value = serde_json::from_slice(&fault).unwrap();
    assert_eq!(fault["__type"], "UnknownOperationException");
    assert_eq!(service.calls("DetectLabels"), 1);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_a_sentence() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let failed = client(&address).call("DetectLabels", Bytes::new()).await;
    assert!(failed.unwrap_err().contains("connection"));
}
