//! A host that goes down half way through a batch: the board says so within a minute.

use std::fmt::Write;
use std::time::{Duration, Instant};

use sample_origin::Corpus;

use crate::browser::Browser;
use crate::journey::{hand_in, sign_in};
use crate::server::{Server, an_origin};

/// From the stop to the board that shows it.
const WITHIN: Duration = Duration::from_secs(60);
const ROWS: usize = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_goes_down_is_named_first_with_an_objective_violated_and_indicators_critical() {
    let origin = an_origin();
    // Slow enough to be stopped half way.
    let server = Server::start(&["--concurrency", "16", "--per-host", "16"]);
    let browser = Browser::start().await;
    sign_in(&browser, &server).await;
    let corpus = Corpus::generate(7, 120);
    let mut list = "url\n".to_owned();
    for row in 0..ROWS {
        let name = &corpus.images[row % corpus.images.len()].name;
        writeln!(
            list,
            "{}",
            origin.url(&format!("/slow/60/{name}?row={row}"))
        )
        .unwrap();
    }
    hand_in(&browser, &server.file("slow.csv", &list)).await;
    browser
        .until("return Number(document.querySelector('[role=progressbar]')?.ariaValueNow) >= 30")
        .await;

    let host = origin.addr().to_string();
    drop(origin);
    let stopped = Instant::now();
    browser.click("#nav a[href='#/board']").await;
    let first = "(document.querySelector('.bottlenecks li h3')?.textContent ?? '')";
    let script = format!(
        "return {first}.includes('{host}')
            && [...document.querySelectorAll('.objectives li')].some((one) => one.textContent.includes('row errors') && one.textContent.includes('violated'))
            && document.querySelectorAll('.indicator.bad').length >= 2"
    );
    browser.until(&script).await;
    assert!(stopped.elapsed() < WITHIN, "{:?}", stopped.elapsed());
    let evidence = browser
        .run("return document.querySelector('.bottlenecks li ul').innerText")
        .await;
    assert!(evidence.as_str().unwrap().contains("rows"), "{evidence}");
    browser.check_accessibility("board in trouble").await;
    browser.picture("board-outage").await;
    browser.check_origin(&server.address).await;
}
