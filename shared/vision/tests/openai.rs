//! The client against a provider on loop-back, in real time.
#![expect(clippy::unwrap_used, reason = "a fault ends the test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use secrecy::SecretString;
use test_support::vision_provider::{KeyRules, Mischief, StandInProvider};
use test_support::vision_server::VisionServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vision::{ApiKey, CallError, OpenAi, Usage, VisionProvider, VisionSettings};

const IMAGE: &[u8] = b"\xff\xd8\xff image";

fn key(text: &str) -> ApiKey {
    ApiKey::new(SecretString::from(text.to_owned()))
}

fn provider(rules: KeyRules, latency: Duration) -> Arc<StandInProvider> {
    Arc::new(StandInProvider::new([("good".to_owned(), rules)], latency))
}

fn client(base_url: &str, variables: &[(&str, &str)]) -> OpenAi {
    let settings = VisionSettings::from_lookup(|name| match name {
        "VISION_PROVIDER" => Some("openai".to_owned()),
        "VISION_MODEL" => Some("model".to_owned()),
        "VISION_BASE_URL" => Some(base_url.to_owned()),
        name => {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    });
    let settings = settings.unwrap();
    OpenAi::new(settings.openai, settings.task.unwrap())
}

#[tokio::test]
async fn an_image_comes_back_with_its_answer_and_what_it_cost() {
    let server = VisionServer::start(provider(KeyRules::default(), Duration::ZERO)).await;
    for format in ["json_schema", "json_object"] {
        let client = client(&server.base_url(), &[("VISION_RESPONSE_FORMAT", format)]);
        let image = Bytes::from_static(IMAGE);
        let reply = client.label(&key("good"), &[image]).await.unwrap();
        let answer = reply.answers[0].as_ref().unwrap();
        assert_eq!(answer["labels"][0]["name"], "shoe");
        let usage = Usage {
            input_tokens: 1_000,
            output_tokens: 100,
        };
        assert_eq!(reply.usage, usage);
        assert_eq!(client.name(), "openai/model");
    }
}

#[tokio::test]
async fn several_images_come_back_in_their_order() {
    let server = VisionServer::start(provider(KeyRules::default(), Duration::ZERO)).await;
    let client = client(&server.base_url(), &[("VISION_IMAGES_PER_CALL", "10")]);
    let images = [1_u8, 2, 3].map(|last| Bytes::from(vec![last; 10]));
    let reply = client.label(&key("good"), &images).await.unwrap();
    let captions: Vec<String> = reply
        .answers
        .iter()
        .map(|answer| answer.as_ref().unwrap()["caption"].to_string())
        .collect();
    assert_eq!(
        captions,
        ["\"Image 10.\"", "\"Image 20.\"", "\"Image 30.\""]
    );
}

#[tokio::test]
async fn each_refusal_is_what_it_is() {
    let rules = KeyRules {
        per_minute: 1,
        ..KeyRules::default()
    };
    let provider = provider(rules, Duration::ZERO);
    let server = VisionServer::start(Arc::clone(&provider)).await;
    let client = client(&server.base_url(), &[]);
    let image = || [Bytes::from_static(IMAGE)];
    client.label(&key("good"), &image()).await.unwrap();
    let too_many = client.label(&key("good"), &image()).await.unwrap_err();
    let CallError::TooMany { retry_after } = too_many else {
        panic!("{too_many:?}");
    };
    let retry_after = retry_after.unwrap();
    assert!((Duration::from_secs(50)..=Duration::from_secs(61)).contains(&retry_after));
    let unknown = client.label(&key("stranger"), &image()).await.unwrap_err();
    assert!(matches!(unknown, CallError::BadKey(_)), "{unknown:?}");
    provider.has_model(false);
    let no_model = client.label(&key("good"), &image()).await.unwrap_err();
    assert!(
        matches!(no_model, CallError::Misconfigured(_)),
        "{no_model:?}"
    );
    let no_image = client.label(&key("good"), &[]).await.unwrap_err();
    assert!(matches!(no_image, CallError::Refused(_)), "{no_image:?}");
}

#[tokio::test]
async fn failing_and_malformed_answers_are_told_apart() {
    let rules = KeyRules {
        per_minute: 1_000,
        ..KeyRules::default()
    };
    let provider = provider(rules, Duration::ZERO);
    let server = VisionServer::start(Arc::clone(&provider)).await;
    let client = client(&server.base_url(), &[]);
    let image = [Bytes::from_static(IMAGE)];
    provider.misbehave(Mischief {
        failing: 1,
        ..Mischief::default()
    });
    let failed = client.label(&key("good"), &image).await.unwrap_err();
    assert!(matches!(failed, CallError::Failed(_)), "{failed:?}");
    provider.misbehave(Mischief {
        malformed: 1,
        ..Mischief::default()
    });
    let reply = client.label(&key("good"), &image).await.unwrap();
    let bad = reply.answers[0].as_ref().unwrap_err().to_string();
    assert!(bad.contains("not JSON"), "{bad}");
    // It is paid all the same.
    assert_eq!(reply.usage.input_tokens, 1_000);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up_in_time() {
    let server = VisionServer::start(provider(KeyRules::default(), Duration::from_secs(30))).await;
    let client = client(&server.base_url(), &[("VISION_CALL_TIMEOUT", "1")]);
    let started = Instant::now();
    let image = [Bytes::from_static(IMAGE)];
    let failed = client.label(&key("good"), &image).await.unwrap_err();
    assert!(matches!(failed, CallError::Failed(_)), "{failed:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 65_536];
        let _ = stream.read(&mut request).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(&vec![b' '; 65_536]).await.is_ok() {}
    });
    let image = [Bytes::from_static(IMAGE)];
    let failed = client(&base_url, &[]).label(&key("good"), &image).await;
    assert!(matches!(failed, Err(CallError::Failed(_))), "{failed:?}");
}

#[tokio::test]
async fn keys_do_not_show() {
    let client = client("http://127.0.0.1:1/v1", &[]);
    let secret = key("canary-of-a-key");
    let image = [Bytes::from_static(IMAGE)];
    let failed = client.label(&secret, &image).await.unwrap_err();
    let shown = format!("{failed} {failed:?} {secret:?} {client:?}");
    assert!(!shown.contains("canary"), "{shown}");
}
