//! Everything that speaks `OpenAI`'s chat completions with image input: `OpenAI` itself, Gemini's compatible address, vLLM, Ollama, `LiteLLM`.
//!
//! The exchange is one POST of JSON, so it goes through `hyper` as the AWS adapter's does. Client libraries for this protocol repeat
//! calls by themselves and hide the Retry-After header, both of which the key pool has to know about.

use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ApiKey, BadAnswer, CallError, OpenAiSettings, Reply, Task, Usage, VisionProvider};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer read.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// Of a provider's own words, so much goes into messages.
const MAX_WORDS: usize = 200;

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client of one address. Connects, and builds what it connects with, at its first call.
pub struct OpenAi {
    settings: OpenAiSettings,
    task: Task,
    name: String,
    http: OnceLock<Http>,
}

impl OpenAi {
    /// A client that asks what `task` says.
    pub fn new(settings: OpenAiSettings, task: Task) -> Self {
        Self {
            name: format!("openai/{}", task.model()),
            settings,
            task,
            http: OnceLock::new(),
        }
    }

    fn body(&self, images: &[Bytes]) -> Value {
        let is_one = images.len() == 1;
        let schema = if is_one {
            self.task.schema().clone()
        } else {
            json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["images"],
                "properties": { "images": { "type": "array", "items": self.task.schema() } }
            })
        };
        let question = if is_one {
            "Label this image.".to_owned()
        } else {
            let count = images.len();
            format!("Label these {count} images: one object an image, in this order, in `images`.")
        };
        let mut content = vec![json!({ "type": "text", "text": question })];
        for image in images {
            let url = format!(
                "data:{};base64,{}",
                media_type(image),
                STANDARD.encode(image)
            );
            content.push(json!({ "type": "image_url", "image_url": { "url": url } }));
        }
        let format = if self.settings.asks_for_schema {
            let schema = json!({ "name": "labels", "strict": true, "schema": schema });
            json!({ "type": "json_schema", "json_schema": schema })
        } else {
            json!({ "type": "json_object" })
        };
        json!({
            "model": self.task.model(),
            "messages": [
                { "role": "system", "content": self.task.prompt() },
                { "role": "user", "content": content }
            ],
            "response_format": format
        })
    }

    async fn exchange(
        &self,
        key: &ApiKey,
        body: &Value,
    ) -> Result<(StatusCode, HeaderMap, Bytes), CallError> {
        let failed = |reason: String| CallError::Failed(shortened(&reason));
        let mut request = Request::post(self.settings.chat_url())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))
            .map_err(|error| CallError::Refused(error.to_string()))?;
        let bearer = format!("Bearer {}", key.secret().expose_secret());
        let mut bearer = HeaderValue::from_str(&bearer)
            .map_err(|_| CallError::BadKey("it cannot be sent in a header".to_owned()))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
        let http = self.http.get_or_init(connect);
        let answer = async {
            let response = http.request(request).await.map_err(|error| {
                // The outer error says only that there was one.
                let cause = error
                    .source()
                    .map_or_else(String::new, |cause| format!(": {cause}"));
                failed(format!("{error}{cause}"))
            })?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| failed(error.to_string()))?;
            Ok((parts.status, parts.headers, body.to_bytes()))
        };
        tokio::time::timeout(self.settings.call_timeout, answer)
            .await
            .unwrap_or_else(|_| Err(failed("no answer in time".to_owned())))
    }

    fn read(&self, body: &[u8], images: usize) -> Reply {
        let completion = serde_json::from_slice::<Completion>(body);
        let usage = completion
            .as_ref()
            .map_or_else(|_| Usage::default(), |completion| completion.usage.into());
        let bad = |reason: String| vec![Err(BadAnswer(shortened(&reason))); images];
        let answers = match completion {
            Err(error) => bad(format!("the response is not a completion: {error}")),
            Ok(completion) => match completion.text() {
                Err(reason) => bad(reason),
                Ok(text) if images == 1 => vec![self.task.parse(&text)],
                Ok(text) => self.read_several(&text, images).unwrap_or_else(bad),
            },
        };
        Reply { answers, usage }
    }

    fn read_several(
        &self,
        text: &str,
        images: usize,
    ) -> Result<Vec<Result<crate::Answer, BadAnswer>>, String> {
        #[derive(Deserialize)]
        struct Several {
            images: Vec<Value>,
        }
        let several: Several =
            serde_json::from_str(text.trim()).map_err(|error| error.to_string())?;
        if several.images.len() != images {
            let answers = several.images.len();
            return Err(format!("{answers} answers about {images} images"));
        }
        let answers = several.images.into_iter();
        Ok(answers.map(|answer| self.task.check(answer)).collect())
    }
}

#[async_trait]
impl VisionProvider for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn max_images(&self) -> usize {
        self.settings.max_images
    }

    async fn label(&self, key: &ApiKey, images: &[Bytes]) -> Result<Reply, CallError> {
        let (status, headers, body) = self.exchange(key, &self.body(images)).await?;
        if status.is_success() {
            return Ok(self.read(&body, images.len()));
        }
        Err(call_error(status, &headers, &body))
    }
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OpenAi")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: CompletionUsage,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct CompletionUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl From<CompletionUsage> for Usage {
    fn from(usage: CompletionUsage) -> Self {
        Self {
            input_tokens: usage.prompt_tokens,
            output_tokens: usage.completion_tokens,
        }
    }
}

impl Completion {
    fn text(self) -> Result<String, String> {
        let choice = self.choices.into_iter().next();
        let choice = choice.ok_or("the completion has no choice")?;
        if let Some(refusal) = choice.message.refusal {
            return Err(format!("the model declined: {refusal}"));
        }
        if choice.finish_reason.as_deref() == Some("length") {
            return Err("the answer was cut off at the model's limit".to_owned());
        }
        let content = choice.message.content;
        content.ok_or_else(|| "the completion has no content".to_owned())
    }
}

/// What an answer means that is no success.
fn call_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> CallError {
    let words = error_words(body);
    let lower = words.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    match status {
        // A 429 that no waiting mends.
        StatusCode::TOO_MANY_REQUESTS if says(&["insufficient_quota"]) => {
            CallError::LockedKey(words)
        }
        StatusCode::TOO_MANY_REQUESTS => CallError::TooMany {
            retry_after: retry_after(headers, SystemTime::now()),
        },
        StatusCode::UNAUTHORIZED => CallError::BadKey(words),
        StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN => CallError::LockedKey(words),
        // Gemini says it with a 400.
        StatusCode::BAD_REQUEST
            if says(&["api_key_invalid", "api key not valid", "api key expired"]) =>
        {
            CallError::BadKey(words)
        }
        // There is no such address, or no such model.
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => CallError::Misconfigured(words),
        status
            if status.is_client_error()
                && says(&["model_not_found", "invalid_model", "no such model"]) =>
        {
            CallError::Misconfigured(words)
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => CallError::Failed(words),
        status if status.is_client_error() => CallError::Refused(words),
        status => CallError::Failed(format!("{status} {words}")),
    }
}

/// The provider's own words for what went wrong. `OpenAI` sends an object with `error`, Gemini an array of one, Ollama sometimes a text.
fn error_words(body: &[u8]) -> String {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let object = parsed.get(0).unwrap_or(&parsed);
    let error = object.get("error").unwrap_or(object);
    let mut words: Vec<&str> = ["code", "status", "type", "message"]
        .iter()
        .filter_map(|name| error.get(name)?.as_str())
        .collect();
    words.extend(error.as_str());
    let details = error.get("details").and_then(Value::as_array);
    let reasons = details.into_iter().flatten();
    words.extend(reasons.filter_map(|detail| detail.get("reason")?.as_str()));
    words.retain(|word| !word.trim().is_empty());
    if words.is_empty() {
        return shortened(&String::from_utf8_lossy(body));
    }
    shortened(&words.join(" "))
}

/// One line of at most [`MAX_WORDS`] characters: it is somebody else's text.
fn shortened(text: &str) -> String {
    let line = text.chars().map(|character| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    });
    line.take(MAX_WORDS).collect()
}

/// Seconds, milliseconds in a header of `OpenAI`'s own, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(milliseconds) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let text = text(RETRY_AFTER.as_str())?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

fn media_type(image: &[u8]) -> &'static str {
    match image {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [b'R', b'I', b'F', b'F', ..] => "image/webp",
        [b'G', b'I', b'F', ..] => "image/gif",
        _ => "image/jpeg",
    }
}

fn connect() -> Http {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let tls =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(rustls::DEFAULT_VERSIONS);
    let tls = match tls {
        Ok(tls) => tls.with_root_certificates(roots).with_no_client_auth(),
        // The provider above supports both versions; there is no input that could lead here.
        Err(error) => unreachable!("{error}"),
    };
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .build(connector)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_pause_is_read_in_each_of_its_forms() {
        let now = httpdate::parse_http_date("Thu, 01 Jan 2026 12:00:00 GMT").unwrap();
        let seconds = |name, value: &str| {
            let pause = retry_after(&headers(name, value), now);
            pause.map(|pause| pause.as_secs_f64())
        };
        assert_eq!(seconds("retry-after", "7"), Some(7.0));
        assert_eq!(seconds("retry-after", "0.5"), Some(0.5));
        assert_eq!(seconds("retry-after-ms", "250"), Some(0.25));
        assert_eq!(
            seconds("retry-after", "Thu, 01 Jan 2026 12:00:30 GMT"),
            Some(30.0)
        );
        assert_eq!(
            seconds("retry-after", "Thu, 01 Jan 2026 11:00:00 GMT"),
            Some(0.0)
        );
        assert_eq!(seconds("retry-after", "-1"), None);
        assert_eq!(seconds("retry-after", "soon"), None);
    }

    #[test]
    fn the_providers_words_are_one_short_line() {
        let body = br#"{"error":{"code":"invalid_api_key","message":"Wrong\nkey"}}"#;
        assert_eq!(error_words(body), "invalid_api_key Wrong key");
        assert_eq!(error_words("é".repeat(500).as_bytes()).chars().count(), 200);
        assert_eq!(
            error_words(br#"{"error":"model is loading"}"#),
            "model is loading"
        );
    }

    #[test]
    fn what_is_wrong_is_told_from_the_words_of_each_provider() {
        let unknown_to_gemini = r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.",
            "status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}]"#;
        let image_of_gemini = r#"[{"error":{"code":400,"message":"Unable to process input image.","status":"INVALID_ARGUMENT"}}]"#;
        let ollama = r#"{"error":{"message":"model \"nope\" not found, try pulling it first","type":"api_error"}}"#;
        let vllm = r#"{"object":"error","message":"The model `nope` does not exist.","type":"NotFoundError","code":404}"#;
        let litellm = r#"{"error":{"message":"Invalid model name","type":"invalid_request_error","code":"invalid_model"}}"#;
        for (status, body, expected) in [
            (400, unknown_to_gemini, "bad key"),
            (
                401,
                r#"{"error":{"code":"invalid_api_key","message":"x"}}"#,
                "bad key",
            ),
            (
                403,
                r#"{"error":{"message":"country not supported"}}"#,
                "locked key",
            ),
            (402, "", "locked key"),
            (
                429,
                r#"{"error":{"code":"insufficient_quota","message":"x"}}"#,
                "locked key",
            ),
            (
                429,
                r#"{"error":{"code":"rate_limit_exceeded","message":"x"}}"#,
                "too many",
            ),
            (404, ollama, "misconfigured"),
            (404, vllm, "misconfigured"),
            (400, litellm, "misconfigured"),
            (404, "<html>", "misconfigured"),
            (400, image_of_gemini, "refused"),
            (413, "", "refused"),
            (408, "", "failed"),
            (503, "", "failed"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = call_error(status, &HeaderMap::new(), body.as_bytes());
            let kind = match &error {
                CallError::BadKey(_) => "bad key",
                CallError::LockedKey(_) => "locked key",
                CallError::TooMany { .. } => "too many",
                CallError::Misconfigured(_) => "misconfigured",
                CallError::Refused(_) => "refused",
                CallError::Failed(_) => "failed",
            };
            assert_eq!(kind, expected, "{status} {body}: {error}");
        }
    }
}
