//! Amazon Rekognition over the AWS adapter, against a service that stands in on loop-back.

use bytes::Bytes;
use serde_json::{Value, json};
use test_support::rekognition_server::RekognitionServer;

fn client(endpoint: &str) -> adapters_aws::RekognitionClient {
    let settings = adapters_aws::Settings::from_lookup(|name| {
        let value = match name {
            "AWS_REGION" => "eu-central-1",
            "AWS_ACCESS_KEY_ID" => "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY" => "secret",
            "AWS_SESSION_TOKEN" => "session",
            "TABLE_NAME" | "BUCKET_NAME" => "imgsweep",
            "AWS_ENDPOINT_URL_REKOGNITION" => endpoint,
            _ => return None,
        };
        Some(value.to_owned())
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
