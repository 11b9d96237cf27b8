//! The page and what comes with every answer.

use axum::body::Body;
use http::{HeaderValue, Request, StatusCode, header};
use http_api::ApiSettings;

use crate::support::{Api, assert_problem};

#[tokio::test]
async fn the_page_comes_without_a_token_and_allows_no_script_but_its_own() {
    let api = Api::new();
    let answer = api.ask("GET", "/", None).await;
    assert_eq!(answer.status, StatusCode::OK);
    let policy = answer.headers[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"));
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(answer.headers[header::REFERRER_POLICY], "no-referrer");
    let nothing = api.ask("GET", "/assets/nothing.js", None).await;
    assert_problem(&nothing, StatusCode::NOT_FOUND, "/problems/no-such-route");
}

#[tokio::test]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let api = Api::new();
    let first = api.ask("GET", "/assets/app.js", None).await;
    let tag = first.headers[header::ETAG].clone();
    let again = Request::get("/assets/app.js")
        .header(header::IF_NONE_MATCH, tag)
        .body(Body::empty());
    let again = api.send(again.unwrap()).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_wrong_method_is_a_problem_that_names_the_right_ones() {
    let api = Api::new();
    let answer = api.ask("PUT", "/api/v1/batches", Some("alices")).await;
    assert_problem(
        &answer,
        StatusCode::METHOD_NOT_ALLOWED,
        "/problems/method-not-allowed",
    );
    let allowed = answer.headers[header::ALLOW].to_str().unwrap();
    assert!(
        allowed.contains("GET") && allowed.contains("POST"),
        "{allowed}"
    );
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_can_read_them() {
    let api = Api::new();
    let request = Request::get("/openapi.json").header(header::ACCEPT_ENCODING, "gzip");
    let answer = api.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.headers[header::CONTENT_ENCODING], "gzip");
    let plain = api.ask("GET", "/openapi.json", None).await;
    assert!(!plain.headers.contains_key(header::CONTENT_ENCODING));
}

#[tokio::test]
async fn other_origins_may_ask_only_where_that_is_set() {
    let asked_from = |origin: &str| {
        Request::get("/health")
            .header(header::ORIGIN, origin)
            .body(Body::empty())
            .unwrap()
    };
    let closed = Api::new().send(asked_from("https://tools.example")).await;
    let allowed = header::ACCESS_CONTROL_ALLOW_ORIGIN;
    assert!(!closed.headers.contains_key(&allowed));
    let open = Api::with(ApiSettings {
        allowed_origins: vec![HeaderValue::from_static("https://tools.example")],
        ..ApiSettings::default()
    });
    let answer = open.send(asked_from("https://tools.example")).await;
    assert_eq!(answer.headers[&allowed], "https://tools.example");
    let answer = open.send(asked_from("https://evil.example")).await;
    assert!(!answer.headers.contains_key(&allowed));
}

#[tokio::test]
async fn an_export_is_a_file_with_every_row_committed() {
    let api = Api::new();
    let id = api.uploaded("alices").await;
    let path = format!("/api/v1/batches/{id}/export");
    let answer = api.ask("GET", &path, Some("alices")).await;
    assert_eq!(
        answer.headers[header::CONTENT_TYPE],
        "text/csv; charset=utf-8"
    );
    let name = answer.headers[header::CONTENT_DISPOSITION]
        .to_str()
        .unwrap();
    assert!(name.contains(&format!("{id}.csv")), "{name}");
    assert!(
        api.text(&path, "alices")
            .await
            .starts_with("batch,row,url,")
    );
    let unknown = api
        .ask("GET", &format!("{path}?format=docx"), Some("alices"))
        .await;
    // Conditions are said one by one; a comma belongs to its value.
    let where_all = "where=row%3E=0&where=host=a,b&where=outcome=ok%7Cdns_error";
    let asked = format!("{path}?{where_all}");
    let bad = api.ask("GET", &asked, Some("alices")).await;
    let bad = bad.body["detail"].as_str().unwrap().to_owned();
    assert!(bad.contains("host"), "{bad}");
    let both = format!("{path}?format=ndjson&where=row%3E=0&where=url=a,b");
    assert_eq!(api.text(&both, "alices").await, "");
    let twice = format!("{path}?format=csv&format=ndjson");
    let twice = api.ask("GET", &twice, Some("alices")).await;
    assert_problem(&twice, StatusCode::BAD_REQUEST, "/problems/bad-request");
    assert_problem(&unknown, StatusCode::BAD_REQUEST, "/problems/bad-request");
}

#[tokio::test]
async fn a_preview_shows_the_column_before_anything_is_stored() {
    let api = Api::new();
    let list = "sku,image_url\n1,http://shop.example/a.jpg\n";
    let answer = api
        .post_json("/api/v1/lists/preview?list_name=l.csv", "alices", list)
        .await;
    assert_eq!(answer.body["url_column"], "image_url");
    assert_eq!(answer.body["rows"][0]["url"], "http://shop.example/a.jpg");
    let none = api
        .post_json("/api/v1/lists/preview", "alices", "sku,price\n1,2\n")
        .await;
    assert_problem(
        &none,
        StatusCode::UNPROCESSABLE_ENTITY,
        "/problems/unreadable-list",
    );
    assert_eq!(api.stored("lists").await, 0);
}

/// Longest that the page may be, everything compressed as it is sent.
const MAX_PAGE_BYTES: usize = 150_000;

#[tokio::test]
async fn the_whole_page_is_small() {
    let api = Api::new();
    let index = api.text("/", "nobody").await;
    let mut names = vec!["/".to_owned()];
    let assets = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/page")).unwrap();
    for asset in assets {
        let name = asset.unwrap().file_name().into_string().unwrap();
        if name != "index.html" {
            names.push(format!("/assets/{name}"));
        }
    }
    assert!(index.contains("/assets/app.js"));
    let mut bytes = 0;
    for name in &names {
        let request = Request::get(name).header(header::ACCEPT_ENCODING, "gzip, br, zstd");
        let (status, length) = api.length(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{name}");
        bytes += length;
    }
    assert!(
        bytes < MAX_PAGE_BYTES,
        "{bytes} bytes in {} files",
        names.len()
    );
}
