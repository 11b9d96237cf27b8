//! The page: static files in the binary, nothing from anywhere else.

use std::fmt::Write;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::extract::Path;
use crate::{ApiState, Problem};

/// A file: its name, its type, its content.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($name:literal $content_type:ident,)+) => {
        &[$(Asset {
            name: $name,
            content_type: $content_type,
            content: include_bytes!(concat!("../page/", $name)),
        },)+]
    };
}

const INDEX: Asset = Asset {
    name: "index.html",
    content_type: HTML,
    content: include_bytes!("../page/index.html"),
};

const ASSETS: &[Asset] = assets![
    "app.js" SCRIPT,
    "api.js" SCRIPT,
    "batch.js" SCRIPT,
    "batches.js" SCRIPT,
    "board.js" SCRIPT,
    "charts.js" SCRIPT,
    "dom.js" SCRIPT,
    "duplicates.js" SCRIPT,
    "new-batch.js" SCRIPT,
    "report.js" SCRIPT,
    "results.js" SCRIPT,
    "sign-in.js" SCRIPT,
    "thumbhash.js" SCRIPT,
    "style.css" STYLE,
    "icon.svg" SVG,
];

/// `GET /`.
pub(crate) async fn index(State(state): State<ApiState>, headers: HeaderMap) -> Response {
    let mut response = answer(&INDEX, &headers);
    let policy = content_security_policy(state.settings.upload_origin.as_deref());
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "permissions-policy",
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    );
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    response
}

/// `GET /assets/{name}`.
pub(crate) async fn asset(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    asset
        .map(|asset| answer(asset, &headers))
        .ok_or_else(Problem::no_such_route)
}

/// Nothing but our own files; images of lists, which a person asks for one by one, from wherever they are.
fn content_security_policy(upload_origin: Option<&str>) -> String {
    let upload_origin = upload_origin.unwrap_or_default();
    let report_style = &*report_page::STYLE_SOURCE;
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self' {report_style}; img-src 'self' data: blob: http: https:; \
         connect-src 'self' {upload_origin}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

fn answer(asset: &Asset, request: &HeaderMap) -> Response {
    let tag = entity_tag(asset.content);
    let is_known = request
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let content_type = HeaderValue::from_static(asset.content_type);
        ([(header::CONTENT_TYPE, content_type)], asset.content).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    // Kept, and asked for again each time: a new version is seen at once.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Weak, because the same file may go out compressed (RFC 9110, section 8.8.1).
fn entity_tag(content: &[u8]) -> String {
    let mut tag = "W/\"".to_owned();
    for byte in &Sha256::digest(content)[..8] {
        // Writing to a string cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_files_that_are_there() {
        let index = std::str::from_utf8(INDEX.content).unwrap();
        let sources: Vec<&str> = ASSETS
            .iter()
            .filter(|asset| asset.content_type == SCRIPT)
            .map(|asset| std::str::from_utf8(asset.content).unwrap())
            .chain([index])
            .collect();
        let named = |source: &str| -> Vec<String> {
            let mut names = Vec::new();
            for opening in ["/assets/", "from \"./", "import(\"./"] {
                for rest in source.split(opening).skip(1) {
                    names.push(rest.split('"').next().unwrap().to_owned());
                }
            }
            names
        };
        let names: Vec<String> = sources.iter().flat_map(|source| named(source)).collect();
        assert!(names.len() > ASSETS.len() / 2, "{names:?}");
        for name in names {
            assert!(
                ASSETS.iter().any(|asset| asset.name == name),
                "{name} is not there"
            );
        }
    }

    #[test]
    fn the_page_has_no_inline_script_or_style() {
        let index = std::str::from_utf8(INDEX.content).unwrap();
        assert!(!index.contains("<style") && !index.contains("style="));
        assert!(
            index.matches("<script").count()
                == index.matches("<script type=\"module\" src=").count()
        );
        assert!(!content_security_policy(None).contains("unsafe"));
    }
}
