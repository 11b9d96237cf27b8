//! From the token to the downloaded table, as a person goes.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::browser::{Browser, PATIENCE};
use crate::server::{Server, TOKEN, an_origin};

const ROWS: usize = 1_000;

/// Signs in with the server's token.
pub(crate) async fn sign_in(browser: &Browser, server: &Server) {
    browser.client.goto(&server.address).await.unwrap();
    let token = browser.find("#token").await;
    token.send_keys(TOKEN).await.unwrap();
    browser.click("form button").await;
    browser.find("#nav a").await;
}

/// Hands a list in and waits until its batch is shown.
pub(crate) async fn hand_in(browser: &Browser, path: &std::path::Path) {
    browser.click("#nav a[href='#/new']").await;
    let file = browser.find("#file").await;
    file.send_keys(path.to_str().unwrap()).await.unwrap();
    browser.find(".notice.good, .notice.warn").await;
    browser.click("form.new .primary").await;
    browser.find("[role=progressbar]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_checks_a_list_and_takes_the_table_home() {
    let origin = an_origin();
    let server = Server::start(&[]);
    let browser = Browser::start().await;

    browser.client.goto(&server.address).await.unwrap();
    browser.find("#token").await;
    browser.check_accessibility("sign-in").await;
    browser.picture("sign-in").await;
    sign_in(&browser, &server).await;
    browser.find(".empty").await;
    browser.check_accessibility("no batches").await;

    let list = server.file("catalogue.csv", &origin.demo_list(ROWS, 3));
    browser.click("#nav a[href='#/new']").await;
    let file = browser.find("#file").await;
    file.send_keys(list.to_str().unwrap()).await.unwrap();
    let said = browser.find(".new .notice").await.text().await.unwrap();
    assert!(said.contains("image_url"), "{said}");
    browser.check_accessibility("new batch").await;
    browser.picture("new-batch").await;
    browser.click("form.new .primary").await;

    let seen = watch_progress(&browser).await;
    assert!(seen.len() >= 3, "progress moved through {seen:?}");
    assert!(seen.is_sorted(), "{seen:?}");
    browser
        .until("return document.querySelector('.heading .badge')?.textContent === 'completed'")
        .await;
    browser.until("return [...document.querySelectorAll('button')].some((one) => one.textContent === 'Download CSV')").await;
    browser.check_accessibility("progress").await;
    browser.picture("batch").await;

    filter_results(&browser).await;
    open_duplicates(&browser).await;
    browser.click(".tabs a[href$='/report']").await;
    browser
        .until("return document.querySelectorAll('.examples dt').length > 5")
        .await;
    browser.check_accessibility("report").await;
    browser.picture("report").await;
    download(&browser).await;

    browser.click("#nav a[href='#/board']").await;
    browser.until("return document.querySelectorAll('.indicator').length >= 8 && document.querySelectorAll('.objectives li').length > 4").await;
    browser.check_accessibility("board").await;
    browser.picture("board").await;
    browser.click("#nav a[href='#/']").await;
    browser.find("tbody a").await;
    browser.check_accessibility("batches").await;
    browser.picture("batches").await;

    browser.check_console().await;
    browser.check_origin(&server.address).await;
}

/// Percentages that the bar showed, until the batch was completed.
async fn watch_progress(browser: &Browser) -> Vec<u64> {
    let mut seen: Vec<u64> = Vec::new();
    let started = Instant::now();
    loop {
        assert!(
            started.elapsed() < PATIENCE,
            "the batch does not end: {seen:?}"
        );
        let shown = browser
            .run("return [document.querySelector('[role=progressbar]')?.ariaValueNow, document.querySelector('.heading .badge')?.textContent]")
            .await;
        let percent = shown[0].as_str().and_then(|percent| percent.parse().ok());
        if let Some(percent) = percent
            && seen.last() != Some(&percent)
        {
            seen.push(percent);
        }
        if shown[1] == "completed" {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn filter_results(browser: &Browser) {
    browser.click(".tabs a[href$='/results']").await;
    browser
        .until("return document.querySelectorAll('.results tbody tr').length >= 40")
        .await;
    let previews = browser
        .run("return document.querySelectorAll('img.thumb[src^=\"data:\"]').length")
        .await;
    assert!(previews.as_u64().unwrap() > 10, "{previews}");
    browser.check_accessibility("results").await;
    browser.picture("results").await;
    browser.click(".results tbody tr:nth-child(1) button").await;
    browser.until("return document.querySelector('dialog').open && document.querySelectorAll('dialog dt').length > 5").await;
    browser.check_accessibility("details").await;
    browser.click("dialog .close").await;

    let select = browser.find("#filter-outcome").await;
    select.select_by_value("not_found").await.unwrap();
    browser.until("return location.hash.includes('outcome=not_found') && document.querySelectorAll('.results tbody tr').length > 0").await;
    let badges = browser
        .run("return [...new Set([...document.querySelectorAll('.results td:nth-child(3) .badge')].map((badge) => badge.textContent))]")
        .await;
    assert_eq!(badges, json!(["not found"]));
}

async fn open_duplicates(browser: &Browser) {
    browser.click(".tabs a[href$='/duplicates']").await;
    browser
        .until("return document.querySelectorAll('.group').length >= 2")
        .await;
    browser.click(".group:nth-child(2) summary").await;
    browser
        .until(
            "return document.querySelectorAll('.group:nth-child(2) .side-by-side li').length >= 2",
        )
        .await;
    browser.check_accessibility("duplicates").await;
    browser.picture("duplicates").await;
}

async fn download(browser: &Browser) {
    browser.run("[...document.querySelectorAll('button')].find((one) => one.textContent === 'Download CSV').click()").await;
    let started = Instant::now();
    let path = loop {
        assert!(started.elapsed() < PATIENCE, "no file came");
        let files = std::fs::read_dir(&browser.downloads).unwrap();
        let mut paths = files.map(|file| file.unwrap().path());
        if let Some(path) = paths.find(|path| path.extension().is_some_and(|end| end == "csv")) {
            break path;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let rows = csv::Reader::from_path(path).unwrap().into_records().count();
    assert_eq!(rows, ROWS);
}
