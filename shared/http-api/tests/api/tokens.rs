//! Tokens: made, used, used up, revoked.

use http::{StatusCode, header};
use http_api::{ApiSettings, QuotaSettings, Quotas};
use serde_json::json;

use crate::support::{Api, assert_problem};

#[tokio::test]
async fn a_token_that_was_made_owns_what_it_makes_and_its_secret_is_not_kept() {
    let api = Api::new();
    let carol = api
        .make_token("carol", r#"{"name": "carol", "scope": "write"}"#)
        .await;
    assert!(carol.starts_with("isw_") && carol.len() > 40, "{carol}");
    let own = api.ask("GET", "/api/v1/token", Some(&carol)).await.body;
    assert_eq!(
        own,
        json!({"name": "carol", "owner": "carol", "scope": "write"})
    );
    let batch = api.uploaded(&carol).await;
    let path = format!("/api/v1/batches/{batch}");
    assert_eq!(
        api.ask("GET", &path, Some(&carol)).await.status,
        StatusCode::OK
    );
    let alices = api.ask("GET", &path, Some("alices")).await;
    assert_problem(&alices, StatusCode::NOT_FOUND, "/problems/no-such-batch");

    let listed = api.ask("GET", "/api/v1/tokens", Some("alices")).await.body;
    assert_eq!(listed["data"][0]["name"], "carol");
    assert!(!listed.to_string().contains(&carol), "{listed}");
    let stored = api.stored_text().await;
    assert!(stored.contains("carol") && !stored.contains(&carol));
}

#[tokio::test]
async fn tokens_of_one_owner_share_their_batches() {
    let api = Api::new();
    let first = api
        .make_token(
            "first",
            r#"{"name": "first", "owner": "team", "scope": "write"}"#,
        )
        .await;
    let second = api
        .make_token(
            "second",
            r#"{"name": "second", "owner": "team", "scope": "read"}"#,
        )
        .await;
    let batch = api.uploaded(&first).await;
    let answer = api
        .ask("GET", &format!("/api/v1/batches/{batch}"), Some(&second))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_revoked_token_lets_nobody_in_and_its_name_is_not_given_again() {
    let api = Api::new();
    let carol = api
        .make_token("carol", r#"{"name": "carol", "scope": "read"}"#)
        .await;
    assert_eq!(
        api.ask("GET", "/api/v1/batches", Some(&carol)).await.status,
        StatusCode::OK
    );
    for _ in 0..2 {
        let revoked = api
            .ask("DELETE", "/api/v1/tokens/carol", Some("alices"))
            .await;
        assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    }
    let answer = api.ask("GET", "/api/v1/batches", Some(&carol)).await;
    assert_problem(&answer, StatusCode::UNAUTHORIZED, "/problems/unauthorized");
    let again = api
        .post_json(
            "/api/v1/tokens",
            "alices",
            r#"{"name": "carol", "scope": "read"}"#,
        )
        .await;
    assert_problem(&again, StatusCode::CONFLICT, "/problems/token-name-taken");
    let nobody = api
        .ask("DELETE", "/api/v1/tokens/nobody", Some("alices"))
        .await;
    assert_problem(&nobody, StatusCode::NOT_FOUND, "/problems/no-such-token");
}

#[tokio::test]
async fn a_name_that_would_spoil_a_path_or_a_line_is_refused() {
    let api = Api::new();
    for name in ["", "a/b", "a b", "a\nb", "ä", &"x".repeat(101)] {
        let wanted = json!({"name": name, "scope": "read"}).to_string();
        let answer = api.post_json("/api/v1/tokens", "alices", &wanted).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
    }
}

#[tokio::test]
async fn a_token_that_asked_too_often_is_told_when_to_come_again() {
    let api = Api::new();
    let wanted = r#"{"name": "carol", "scope": "read", "requests_per_minute": 5}"#;
    let carol = api.make_token("carol", wanted).await;
    for _ in 0..5 {
        assert_eq!(
            api.ask("GET", "/api/v1/batches", Some(&carol)).await.status,
            StatusCode::OK
        );
    }
    let refused = api.ask("GET", "/api/v1/batches", Some(&carol)).await;
    assert_problem(
        &refused,
        StatusCode::TOO_MANY_REQUESTS,
        "/problems/quota-used-up",
    );
    let seconds: u64 = refused.headers[header::RETRY_AFTER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    // Others are not held up by it, and the next minute is another one.
    assert_eq!(
        api.ask("GET", "/api/v1/batches", Some("bobs")).await.status,
        StatusCode::OK
    );
    api.clock.advance(std::time::Duration::from_secs(seconds));
    assert_eq!(
        api.ask("GET", "/api/v1/batches", Some(&carol)).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn lists_have_a_quota_of_their_own() {
    let quotas = QuotaSettings {
        requests_per_minute: Some(1_000),
        uploads_per_day: Some(2),
    };
    let api = Api::with(ApiSettings {
        quotas: Quotas::new(quotas),
        ..ApiSettings::default()
    });
    for _ in 0..2 {
        api.uploaded("alices").await;
    }
    let refused = api
        .upload("alices", &[], "url\nhttp://10.0.0.1/a.jpg\n")
        .await;
    assert_problem(
        &refused,
        StatusCode::TOO_MANY_REQUESTS,
        "/problems/quota-used-up",
    );
    let presigned = api
        .post_json("/api/v1/batches", "alices", r#"{"list_name": "l.csv"}"#)
        .await;
    assert_problem(
        &presigned,
        StatusCode::TOO_MANY_REQUESTS,
        "/problems/quota-used-up",
    );
    assert_eq!(
        api.ask("GET", "/api/v1/batches", Some("alices"))
            .await
            .status,
        StatusCode::OK
    );
}
