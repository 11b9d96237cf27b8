//! Every route: what is asked and what is answered.

use http::{StatusCode, header};

use crate::support::{Api, MAX_UPLOAD_BYTES, assert_problem};

#[tokio::test]
async fn every_route_but_health_and_readiness_needs_a_token() {
    let api = Api::new();
    let id = api.uploaded("alices").await;
    for (method, path) in [
        ("POST", "/upload".to_owned()),
        ("GET", "/api/v1/batches".to_owned()),
        ("GET", format!("/api/v1/batches/{id}")),
        ("POST", format!("/api/v1/batches/{id}/start")),
        ("GET", format!("/api/v1/batches/{id}/results")),
        ("GET", format!("/api/v1/batches/{id}/report")),
        ("GET", "/api/v1/system/stats".to_owned()),
        ("POST", format!("/api/v1/batches/{id}/cancel")),
        ("POST", format!("/api/v1/batches/{id}/retry")),
        ("PATCH", format!("/api/v1/batches/{id}")),
        ("DELETE", format!("/api/v1/batches/{id}")),
        ("GET", "/api/v1/system/intake".to_owned()),
        ("POST", "/api/v1/system/intake".to_owned()),
    ] {
        for token in [None, Some("wrong"), Some("")] {
            let answer = api.ask(method, &path, token).await;
            assert_problem(&answer, StatusCode::UNAUTHORIZED, "/problems/unauthorized");
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
        }
    }
    assert_eq!(api.ask("GET", "/health", None).await.status, StatusCode::OK);
    assert_eq!(api.ask("GET", "/ready", None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn anothers_batch_is_as_if_it_did_not_exist() {
    let api = Api::new();
    let id = api.uploaded("alices").await;
    for (method, tail) in [
        ("GET", ""),
        ("POST", "/start"),
        ("GET", "/results"),
        ("GET", "/report"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ] {
        let answer = api
            .ask(method, &format!("/api/v1/batches/{id}{tail}"), Some("bobs"))
            .await;
        assert_problem(&answer, StatusCode::NOT_FOUND, "/problems/no-such-batch");
    }
    let listed = api.ask("GET", "/api/v1/batches", Some("bobs")).await;
    assert_eq!(listed.body["data"], serde_json::json!([]));
}

#[tokio::test]
async fn an_upload_is_accepted_and_shown() {
    let api = Api::new();
    let fields = [
        ("batch_name", "spring"),
        ("auto_start", "false"),
        ("url_column", "url"),
    ];
    let answer = api
        .upload("alices", &fields, "url\nhttp://10.0.0.1/a.jpg\n")
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let id = answer.body["batch_id"].as_str().unwrap();
    assert_eq!(
        answer.headers[header::LOCATION],
        format!("/api/v1/batches/{id}")
    );
    assert!(answer.headers.contains_key("x-request-id"));
    let detail = api
        .ask("GET", &format!("/api/v1/batches/{id}"), Some("alices"))
        .await
        .body;
    assert_eq!(detail["name"], "spring");
    assert_eq!(detail["status"], "PENDING");
    assert_eq!(detail["options"]["url_column"], "url");
    assert_eq!(detail["progress"]["rows_done"], 0);
    let started = api
        .ask(
            "POST",
            &format!("/api/v1/batches/{id}/start"),
            Some("alices"),
        )
        .await;
    assert_eq!(started.body["status"], "QUEUED");
}

#[tokio::test]
async fn batches_page_through_a_cursor_newest_first() {
    let api = Api::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(api.uploaded("alices").await);
        // Ids of one millisecond have no order.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = "/api/v1/batches?limit=2".to_owned();
    loop {
        let page = api.ask("GET", &path, Some("alices")).await.body;
        let rows = page["data"].as_array().unwrap();
        seen.extend(
            rows.iter()
                .map(|row| row["batch_id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/batches?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn a_list_that_is_too_long_is_refused_and_the_other_route_is_named() {
    let api = Api::new();
    let list = format!("url\n{}\n", "x".repeat(MAX_UPLOAD_BYTES as usize));
    let answer = api.upload("alices", &[], &list).await;
    assert_problem(
        &answer,
        StatusCode::PAYLOAD_TOO_LARGE,
        "/problems/list-too-large",
    );
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .contains("POST /api/v1/batches")
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_form_is_said() {
    let api = Api::new();
    for (fields, word) in [
        ([("auto_start", "perhaps")], "auto_start"),
        ([("chunk_size", "0")], "chunk_size"),
        ([("measure", "everything")], "measure"),
        ([("colour", "red")], "colour"),
    ] {
        let answer = api
            .upload("alices", &fields, "url\nhttp://10.0.0.1/a.jpg\n")
            .await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
        assert!(
            answer.body["detail"].as_str().unwrap().contains(word),
            "{}",
            answer.body
        );
    }
    let listed = api.ask("GET", "/api/v1/batches", Some("alices")).await;
    assert_eq!(
        listed.body["data"],
        serde_json::json!([]),
        "nothing came of it"
    );
}

#[tokio::test]
async fn nonsense_in_a_query_is_a_bad_request() {
    let api = Api::new();
    let id = api.uploaded("alices").await;
    for query in ["outcome=nice", "issue=ugly", "cursor=%21%21"] {
        let answer = api
            .ask(
                "GET",
                &format!("/api/v1/batches/{id}/results?{query}"),
                Some("alices"),
            )
            .await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
    }
    let answer = api
        .ask("GET", "/api/v1/batches?status=HAPPY", Some("alices"))
        .await;
    assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let api = Api::new();
    let answer = api.ask("GET", "/nowhere", Some("alices")).await;
    assert_problem(&answer, StatusCode::NOT_FOUND, "/problems/no-such-route");
    let answer = api.ask("DELETE", "/health", None).await;
    assert_problem(
        &answer,
        StatusCode::METHOD_NOT_ALLOWED,
        "/problems/method-not-allowed",
    );
}

#[tokio::test]
async fn all_options_go_in_with_a_form_as_they_go_in_without_one() {
    let api = Api::new();
    let own = "name = \"mine\"\ntitle = \"Mine\"\n[[rule]]\nid = \"https\"\ncheck = \"https\"\n";
    let options = serde_json::json!({
        "chunk_size": 7, "rules": ["catalogue", {"toml": own}],
        "duplicates": {"distance": 3, "positions": "mirrored"},
    });
    let list = "url\nhttp://10.0.0.1/a.jpg\n";
    let text = options.to_string();
    let fields = [("options", text.as_str()), ("measure", "full")];
    let answer = api.upload("alices", &fields, list).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let path = answer.body["status_url"].as_str().unwrap().to_owned();
    let has = api.ask("GET", &path, Some("alices")).await.body["options"].clone();
    for name in ["chunk_size", "rules", "duplicates"] {
        assert_eq!(has[name], options[name], "{name}");
    }
    assert_eq!(has["measure"], "full");

    let id = path.rsplit('/').next().unwrap();
    let unfinished = format!(r#"{{"duplicates": {{"against": "{id}"}}}}"#);
    for (fields, word) in [
        (vec![("options", "[]")], "object"),
        (vec![("options", r#"{"chunk_size": 0}"#)], "chunk_size"),
        (
            vec![("options", r#"{"duplicates": {"distance": 13}}"#)],
            "distance",
        ),
        (vec![("options", unfinished.as_str())], "has not ended"),
        (vec![("measure", "full"), ("options", "{}")], "comes before"),
    ] {
        let answer = api.upload("alices", &fields, list).await;
        assert!(answer.status.is_client_error(), "{}", answer.status);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{detail}");
    }
}
