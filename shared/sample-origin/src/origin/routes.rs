//! What each path answers. The table is in the documentation of [`super`].

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER, SERVER};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use url::form_urlencoded;

use super::body::OriginBody;
use super::counts::Counts;
use super::loads::Loads;
use super::pages;
use super::raw::{self, Ending, RawAnswer};
use crate::corpus::Corpus;
use crate::hostile;

const MAX_PAUSE: Duration = Duration::from_secs(600);
const MAX_HEADERS: usize = 10_000;
const MAX_HEADER_BYTES: usize = 16 * 1024 * 1024;
const HUGE_SENT: u64 = 1 << 30;
const HUGE_DECLARED: u64 = 10 << 30;

const ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");
const MITIGATED: HeaderName = HeaderName::from_static("cf-mitigated");
const RAY: HeaderName = HeaderName::from_static("cf-ray");
const PADDING: HeaderName = HeaderName::from_static("x-padding");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JPEG: HeaderValue = HeaderValue::from_static("image/jpeg");

struct Image {
    bytes: Bytes,
    content_type: &'static str,
}

/// The images and counters behind the routes.
pub(super) struct Site {
    images: Vec<Image>,
    by_name: HashMap<String, usize>,
    /// Indices of the JPEGs, for routes that take any image.
    jpegs: Vec<usize>,
    counts: Arc<Counts>,
    loads: Arc<Loads>,
    latency: Duration,
}

enum Reply {
    Now(Response<OriginBody>),
    After(Duration, Response<OriginBody>),
    Never,
    Raw(RawAnswer),
}

impl From<Response<OriginBody>> for Reply {
    fn from(response: Response<OriginBody>) -> Self {
        Self::Now(response)
    }
}

impl From<StatusCode> for Reply {
    fn from(code: StatusCode) -> Self {
        Self::Now(status(code))
    }
}

impl From<RawAnswer> for Reply {
    fn from(answer: RawAnswer) -> Self {
        Self::Raw(answer)
    }
}

impl Site {
    pub(super) fn new(
        corpus: &Corpus,
        counts: Arc<Counts>,
        loads: Arc<Loads>,
        latency: Duration,
    ) -> Self {
        let mut images = Vec::with_capacity(corpus.images.len());
        let mut by_name = HashMap::with_capacity(corpus.images.len());
        let mut jpegs = Vec::new();
        for sample in &corpus.images {
            by_name.insert(sample.name.clone(), images.len());
            if sample.format == "jpeg" {
                jpegs.push(images.len());
            }
            images.push(Image {
                bytes: sample.bytes.clone(),
                content_type: sample.content_type(),
            });
        }
        Self {
            images,
            by_name,
            jpegs,
            counts,
            loads,
            latency,
        }
    }

    /// Answers a request that came to `address`; the error asks for the bare connection.
    pub(super) async fn answer<B>(
        &self,
        address: Ipv4Addr,
        request: &Request<B>,
    ) -> Result<Response<OriginBody>, RawAnswer> {
        let _under_way = self.loads.begin(address);
        let uri = request.uri();
        self.counts.record(
            uri.path_and_query()
                .map_or(uri.path(), |path| path.as_str()),
        );
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
        }
        match self.reply(address, uri.path(), uri.query().unwrap_or_default()) {
            Reply::Now(response) => Ok(response),
            Reply::After(pause, response) => {
                tokio::time::sleep(pause).await;
                Ok(response)
            }
            Reply::Never => std::future::pending().await,
            Reply::Raw(answer) => Err(answer),
        }
    }

    fn reply(&self, address: Ipv4Addr, path: &str, query: &str) -> Reply {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (route, rest) = path.split_once('/').unwrap_or((path, ""));
        match route {
            "image" | "private" => self.with_image(rest, |image| image.response().into()),
            "slow" => self.with_number(rest, |milliseconds, image| {
                Reply::After(
                    Duration::from_millis(milliseconds).min(MAX_PAUSE),
                    image.response(),
                )
            }),
            "drip" => self.with_number(rest, |rate, image| {
                image
                    .typed(OriginBody::drip(image.bytes.clone(), rate))
                    .into()
            }),
            "stall" => Reply::Never,
            "status" => chosen_status(rest, query),
            "flaky" => self.flaky(rest),
            "limited" => self.with_number(rest, |rate, image| {
                if self.loads.is_within(address, rate) {
                    image.response().into()
                } else {
                    StatusCode::TOO_MANY_REQUESTS.into()
                }
            }),
            "redirect" => self.redirect(rest, query),
            "redirect-loop" => redirect("/redirect-loop", query),
            "redirect-to" => redirect(&parameter(query, "url").unwrap_or_default(), ""),
            "truncated" => self.with_image(rest, |image| {
                raw::half_of(&image.bytes, image.content_type, Ending::Close).into()
            }),
            "close" => RawAnswer::new(Bytes::new(), Ending::Close).into(),
            "reset" => self.with_any_image(rest, |image| {
                raw::half_of(&image.bytes, image.content_type, Ending::Reset).into()
            }),
            "garbage" => raw::garbage().into(),
            "bad-header" => {
                self.with_any_image(rest, |image| raw::malformed_header(&image.bytes).into())
            }
            "headers" => self.with_any_image(rest, |image| many_headers(image, rest)),
            "header-bytes" => self.with_any_image(rest, |image| long_header(image, rest)),
            "huge" => self.with_any_image(rest, |image| image.endless(None).into()),
            "huge-declared" => {
                self.with_any_image(rest, |image| image.endless(Some(HUGE_DECLARED)).into())
            }
            "lying" => self.with_image(rest, |image| image.lying().into()),
            "noai" => self.with_image(rest, |image| {
                let mut response = image.response();
                response
                    .headers_mut()
                    .insert(ROBOTS_TAG, HeaderValue::from_static("noai, noimageai"));
                response.into()
            }),
            "gzip" => self.with_image(rest, Image::gzipped),
            "hostile" => hostile_file(rest),
            _ => page(route),
        }
    }

    fn with_image(&self, name: &str, reply: impl FnOnce(&Image) -> Reply) -> Reply {
        match self.by_name.get(name) {
            Some(index) => reply(&self.images[*index]),
            None => StatusCode::NOT_FOUND.into(),
        }
    }

    /// The image of this name, or else a JPEG that depends on the name only.
    fn with_any_image(&self, name: &str, reply: impl FnOnce(&Image) -> Reply) -> Reply {
        if let Some(index) = self.by_name.get(name) {
            return reply(&self.images[*index]);
        }
        if self.jpegs.is_empty() {
            return StatusCode::NOT_FOUND.into();
        }
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let chosen = hasher.finish() % self.jpegs.len() as u64;
        reply(&self.images[self.jpegs[chosen as usize]])
    }

    /// `<number>/<name>`
    fn with_number(&self, rest: &str, reply: impl FnOnce(u64, &Image) -> Reply) -> Reply {
        let (number, name) = rest.split_once('/').unwrap_or((rest, ""));
        match number.parse() {
            Ok(number) => self.with_image(name, |image| reply(number, image)),
            Err(_) => StatusCode::BAD_REQUEST.into(),
        }
    }

    fn flaky(&self, rest: &str) -> Reply {
        let (failures, key) = rest.split_once('/').unwrap_or((rest, ""));
        let Ok(failures) = failures.parse::<u64>() else {
            return StatusCode::BAD_REQUEST.into();
        };
        match self.counts.flaky_request(rest) {
            None => StatusCode::INSUFFICIENT_STORAGE.into(),
            Some(request) if request <= failures => StatusCode::SERVICE_UNAVAILABLE.into(),
            Some(_) => self.with_any_image(key, |image| image.response().into()),
        }
    }

    fn redirect(&self, rest: &str, query: &str) -> Reply {
        self.with_number(rest, |hops, image| {
            let name = rest.split_once('/').map_or("", |(_, name)| name);
            match hops {
                0 => image.response().into(),
                1 => redirect(&format!("/image/{name}"), query),
                _ => redirect(&format!("/redirect/{}/{name}", hops - 1), query),
            }
        })
    }
}

impl Image {
    fn typed(&self, body: OriginBody) -> Response<OriginBody> {
        typed(HeaderValue::from_static(self.content_type), body)
    }

    fn response(&self) -> Response<OriginBody> {
        self.typed(OriginBody::Whole(self.bytes.clone()))
    }

    fn lying(&self) -> Response<OriginBody> {
        let wrong = if self.content_type == "image/png" {
            "image/jpeg"
        } else {
            "image/png"
        };
        typed(
            HeaderValue::from_static(wrong),
            OriginBody::Whole(self.bytes.clone()),
        )
    }

    fn endless(&self, declared: Option<u64>) -> Response<OriginBody> {
        self.typed(OriginBody::Endless {
            start: self.bytes.clone(),
            remaining: HUGE_SENT,
            declared,
        })
    }

    fn gzipped(&self) -> Reply {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let Ok(compressed) = encoder
            .write_all(&self.bytes)
            .and_then(|()| encoder.finish())
        else {
            return StatusCode::INTERNAL_SERVER_ERROR.into();
        };
        let mut response = self.typed(OriginBody::Whole(compressed.into()));
        response
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response.into()
    }
}

/// The routes without an image.
fn page(route: &str) -> Reply {
    let (content_type, text) = match route {
        "html" => (HTML, pages::PAGE),
        "soft404" => (HTML, pages::NOT_FOUND_PAGE),
        "bot-wall" => return bot_wall(),
        "text-as-image" => (JPEG, pages::TEXT),
        "empty" => (JPEG, ""),
        "svg" => (HeaderValue::from_static("image/svg+xml"), pages::SVG),
        "robots.txt" => (PLAIN_TEXT, pages::ROBOTS),
        _ => return StatusCode::NOT_FOUND.into(),
    };
    text_response(content_type, text).into()
}

fn bot_wall() -> Reply {
    let mut response = text_response(HTML, pages::CHALLENGE_PAGE);
    *response.status_mut() = StatusCode::FORBIDDEN;
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("cloudflare"));
    headers.insert(MITIGATED, HeaderValue::from_static("challenge"));
    headers.insert(RAY, HeaderValue::from_static("8f0c2d4b6a7e9f10-FRA"));
    response.into()
}

fn chosen_status(code: &str, query: &str) -> Reply {
    let Some(code) = code
        .parse()
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok())
    else {
        return StatusCode::BAD_REQUEST.into();
    };
    if code.is_informational() {
        return raw::interim(code.as_u16()).into();
    }
    let mut response = status(code);
    if let Some(pause) = parameter(query, "retry_after") {
        let Ok(pause) = HeaderValue::from_str(&pause) else {
            return StatusCode::BAD_REQUEST.into();
        };
        response.headers_mut().insert(RETRY_AFTER, pause);
    }
    response.into()
}

fn redirect(target: &str, query: &str) -> Reply {
    let target = if query.is_empty() {
        target.to_owned()
    } else {
        format!("{target}?{query}")
    };
    let Ok(location) = HeaderValue::try_from(target) else {
        return StatusCode::BAD_REQUEST.into();
    };
    let mut response = status(StatusCode::FOUND);
    response.headers_mut().insert(LOCATION, location);
    response.into()
}

fn many_headers(image: &Image, count: &str) -> Reply {
    let mut response = image.response();
    let count = count.parse::<usize>().unwrap_or(0).min(MAX_HEADERS);
    for number in 0..count {
        response
            .headers_mut()
            .append(PADDING, HeaderValue::from(number));
    }
    response.into()
}

fn long_header(image: &Image, length: &str) -> Reply {
    let length = length.parse::<usize>().unwrap_or(0).min(MAX_HEADER_BYTES);
    let Ok(value) = HeaderValue::try_from("x".repeat(length)) else {
        return StatusCode::BAD_REQUEST.into();
    };
    let mut response = image.response();
    response.headers_mut().insert(PADDING, value);
    response.into()
}

fn hostile_file(name: &str) -> Reply {
    let Some(bytes) = hostile::get(name) else {
        return StatusCode::NOT_FOUND.into();
    };
    let content_type = match name.split('-').next() {
        Some("gif") => "image/gif",
        Some("png") => "image/png",
        Some("bmp") => "image/bmp",
        Some("tiff") => "image/tiff",
        _ => "image/jpeg",
    };
    typed(
        HeaderValue::from_static(content_type),
        OriginBody::Whole(bytes),
    )
    .into()
}

fn status(code: StatusCode) -> Response<OriginBody> {
    let mut response = text_response(PLAIN_TEXT, code.canonical_reason().unwrap_or_default());
    *response.status_mut() = code;
    response
}

fn text_response(content_type: HeaderValue, text: &'static str) -> Response<OriginBody> {
    typed(
        content_type,
        OriginBody::Whole(Bytes::from_static(text.as_bytes())),
    )
}

fn typed(content_type: HeaderValue, body: OriginBody) -> Response<OriginBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let found = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned())
}
