//! From the token to the downloaded table, as a person goes.

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
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
    drop_file(
        &browser,
        "catalogue.csv",
        &std::fs::read_to_string(&list).unwrap(),
    )
    .await;
    let said = browser.find(".new .notice").await.text().await.unwrap();
    assert!(said.contains("image_url"), "{said}");
    browser.check_accessibility("new batch").await;
    browser.picture("new-batch").await;
    browser.click(".options summary").await;
    browser.click("input[value=catalogue]").await;
    browser.check_accessibility("options of a new batch").await;
    browser.click("form.new .primary").await;

    let seen = watch_progress(&browser).await;
    assert!(seen.len() >= 3, "progress moved through {seen:?}");
    assert!(seen.is_sorted(), "{seen:?}");
    browser
        .until("return document.querySelector('.heading .badge')?.textContent === 'completed'")
        .await;
    browser.find("#download").await;
    browser.check_accessibility("progress").await;
    browser.picture("batch").await;

    filter_results(&browser).await;
    open_duplicates(&browser).await;
    browser.click(".tabs a[href$='/report']").await;
    browser
        .until("return document.querySelectorAll('.examples dt').length > 5")
        .await;
    browser.check_accessibility("report").await;
    let sections = browser
        .run("return [...document.querySelectorAll('section.card h2')].map((one) => one.textContent)")
        .await;
    for section in [
        "Report card",
        "Time line",
        "Every image of a catalogue once",
        "Sizes and measurements",
        "Cost on AWS",
    ] {
        assert!(
            sections.as_array().unwrap().contains(&json!(section)),
            "{section}: {sections}"
        );
    }
    browser.picture("report").await;
    download(&browser).await;
    read_offline(&browser).await;

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
    // A row leads to its group, also to one that is not the first.
    let group = browser
        .run("return document.querySelectorAll('.group').length")
        .await;
    assert!(group.as_u64() >= Some(2));
    let named = browser
        .run("return fetch(location.pathname.replace(/[^/]*$/, '') + 'api/v1/batches/' + location.hash.match(/[0-9A-Z]{26}/)[0] + '/report', { headers: { Authorization: 'Bearer ' + sessionStorage.getItem('imgsweep.token') } })
            .then((answer) => answer.json()).then((report) => { const group = report.duplicates.largest_groups[1].representative; location.hash += `?group=${group}`; return group; })")
        .await;
    assert!(named.is_u64(), "{named}");
    browser
        .until("const open = [...document.querySelectorAll('.group')].map((one) => one.open); return open.length >= 2 && !open[0] && open[1] && document.querySelectorAll('.group:nth-child(2) li').length >= 2")
        .await;
}

/// The report as a page of its own: from memory, then from a file without a network, then on paper.
async fn read_offline(browser: &Browser) {
    let page = browser.client.window().await.unwrap();
    browser.click("#html-report").await;
    let started = Instant::now();
    let report = loop {
        let windows = browser.client.windows().await.unwrap();
        if let Some(other) = windows.into_iter().find(|window| *window != page) {
            break other;
        }
        assert!(started.elapsed() < PATIENCE, "the report does not open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    browser.client.switch_to_window(report).await.unwrap();
    let looks_right = "const bar = document.querySelector('.meter rect');
        return location.protocol !== 'about:' && document.querySelectorAll('section').length >= 8 && document.querySelectorAll('svg').length > 8
            && bar && getComputedStyle(bar).fill !== 'rgb(0, 0, 0)'";
    browser.until(looks_right).await;
    browser.check_accessibility("report page").await;
    let text = browser.client.source().await.unwrap();
    browser.client.close_window().await.unwrap();
    browser.client.switch_to_window(page).await.unwrap();

    let file = browser.downloads.join("report.html");
    std::fs::write(&file, text).unwrap();
    let address = browser.client.current_url().await.unwrap();
    browser.set_offline(true).await;
    let on_disk = format!("file://{}", file.display());
    browser.client.goto(&on_disk).await.unwrap();
    browser.until(looks_right).await;
    browser.picture("report-page").await;
    let pages = browser.print().await;
    assert!((2..40).contains(&pages), "{pages} pages");
    browser.set_offline(false).await;
    browser.client.goto(address.as_str()).await.unwrap();
    browser.find("#html-report").await;
}

/// Drops a file where files are dropped, as a person would.
async fn drop_file(browser: &Browser, name: &str, content: &str) {
    browser.find(".drop").await;
    let script = "const [name, content] = arguments;
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([content], name, { type: 'text/csv' }));
        const zone = document.querySelector('.drop');
        for (const kind of ['dragover', 'drop']) zone.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));";
    let arguments = vec![json!(name), json!(content)];
    browser.client.execute(script, arguments).await.unwrap();
}

const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
const SPACE: &str = " ";

/// On the keyboard itself: whatever has the focus decides what it means.
async fn press(browser: &Browser, keys: &str) {
    let mut strokes = KeyActions::new("keyboard".to_owned());
    for value in keys.chars() {
        strokes = strokes
            .then(KeyAction::Down { value })
            .then(KeyAction::Up { value });
    }
    browser.client.perform_actions(strokes).await.unwrap();
}

/// Moves on with the tab key until what has the focus is `css`.
async fn tab_to(browser: &Browser, css: &str) {
    browser.find(css).await;
    for _ in 0..60 {
        let is_there = format!("return document.activeElement?.matches(`{css}`) ?? false");
        if browser.run(&is_there).await == json!(true) {
            let ring = "const style = getComputedStyle(document.activeElement); return style.outlineStyle !== 'none' || style.boxShadow !== 'none'";
            assert_eq!(browser.run(ring).await, json!(true), "no ring around {css}");
            return;
        }
        press(browser, TAB).await;
    }
    panic!("{css} cannot be reached with the tab key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_used_by_keyboard_alone_in_the_dark() {
    let origin = an_origin();
    let server = Server::start(&[]);
    let browser = Browser::start().await;
    browser.set_dark().await;
    browser.client.goto(&server.address).await.unwrap();
    tab_to(&browser, "#token").await;
    press(&browser, TOKEN).await;
    press(&browser, ENTER).await;
    let background = browser
        .run("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((sum, one) => sum + Number(one), 0)")
        .await;
    assert!(
        background.as_f64().unwrap() < 200.0,
        "{background} is not dark"
    );

    tab_to(&browser, "#nav a[href='#/new']").await;
    press(&browser, ENTER).await;
    browser.find(".drop").await;
    tab_to(&browser, "#file").await;
    drop_file(&browser, "few.csv", &origin.demo_list(20, 3)).await;
    browser.find(".notice.good, .notice.warn").await;
    tab_to(&browser, ".options summary").await;
    press(&browser, SPACE).await;
    browser.check_accessibility("new batch in the dark").await;
    tab_to(&browser, "form.new .primary").await;
    press(&browser, ENTER).await;
    browser
        .until("return document.querySelector('.heading .badge')?.textContent === 'completed'")
        .await;
    browser.check_accessibility("progress in the dark").await;
    tab_to(&browser, ".tabs a[href$='/results']").await;
    press(&browser, ENTER).await;
    tab_to(&browser, ".results tbody tr:nth-child(1) button").await;
    press(&browser, ENTER).await;
    browser
        .until("return document.querySelector('dialog').open")
        .await;
    browser.check_accessibility("details in the dark").await;
    press(&browser, "\u{e00c}").await;
    browser
        .until("return !document.querySelector('dialog').open")
        .await;
    browser.check_console().await;
}

async fn download(browser: &Browser) {
    browser
        .run("document.querySelector('#download').click()")
        .await;
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
