//! `imgsweep run`, as a user starts it.

use crate::support::{Scene, outcomes, output, read_ndjson, report_outcomes, run_command};
use serde_json::Value;

#[test]
fn every_row_has_exactly_one_result_in_every_table_and_the_report_agrees() {
    const ROWS: usize = 1_500;
    let scene = Scene::new();
    let list = scene.write("list.csv", scene.mixed_list(ROWS));
    let out = scene.path("out");
    let ended = output(run_command(&list, &out).arg("--json"));
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );

    let rows = read_ndjson(&out.join("results.ndjson"));
    let numbers: Vec<u64> = rows
        .iter()
        .map(|row| row["row"].as_u64().expect("a number"))
        .collect();
    assert!(
        numbers.iter().copied().eq(0..ROWS as u64),
        "each row once, in order"
    );

    let mut table = csv::Reader::from_path(out.join("results.csv")).expect("the CSV is there");
    let columns = table.headers().expect("a header").clone();
    let column = |name: &str| {
        columns
            .iter()
            .position(|column| column == name)
            .expect("the column is there")
    };
    let (number, outcome) = (column("row"), column("outcome"));
    let mut csv_rows = 0;
    for (position, record) in table.records().enumerate() {
        let record = record.expect("a whole record");
        assert_eq!(record[number], position.to_string());
        assert_eq!(
            record[outcome],
            *rows[position]["outcome"].as_str().expect("an outcome")
        );
        csv_rows += 1;
    }
    assert_eq!(csv_rows, ROWS);

    let summary: Value =
        serde_json::from_slice(&ended.stdout).expect("one JSON value on standard output");
    let counted = outcomes(&rows);
    assert_eq!(report_outcomes(&summary), counted);
    assert_eq!(summary["rows"], ROWS);
    assert_eq!(summary["allow_private"], serde_json::json!(["127.0.0.0/8"]));
    assert!(counted.len() >= 12, "{counted:?}");
}

#[test]
fn carried_columns_reach_the_results() {
    let scene = Scene::new();
    let name = &crate::support::image_names()[0];
    let url = scene.origin.url(&format!("/image/{name}"));
    let list = scene.write("list.csv", format!("sku,image_url,price\nA-1,{url},9.50\n"));
    let out = scene.path("out");
    assert!(output(&mut run_command(&list, &out)).status.success());
    let rows = read_ndjson(&out.join("results.ndjson"));
    assert_eq!(
        rows[0]["extra"],
        serde_json::json!({ "sku": "A-1", "price": "9.50" })
    );
    assert_eq!(rows[0]["outcome"], "ok");
    assert_eq!(rows[0]["sha256"].as_str().map(str::len), Some(64));
}

#[test]
fn a_repeated_url_is_fetched_once_and_points_at_its_first_row() {
    let scene = Scene::new();
    let path = format!("/image/{}", crate::support::image_names()[0]);
    let url = scene.origin.url(&path);
    let list = scene.write("list.txt", format!("{url}\n").repeat(1_000));
    let out = scene.path("out");
    assert!(output(&mut run_command(&list, &out)).status.success());
    let rows = read_ndjson(&out.join("results.ndjson"));
    assert_eq!(rows.len(), 1_000);
    assert_eq!(rows[0]["outcome"], "ok");
    assert!(
        rows[1..]
            .iter()
            .all(|row| row["outcome"] == "duplicate_url" && row["duplicate_of"] == 0)
    );
    assert_eq!(scene.origin.requests_for(&path), 1);
}

#[test]
fn private_addresses_are_refused_unless_opened() {
    let scene = Scene::new();
    let url = scene
        .origin
        .url(&format!("/image/{}", crate::support::image_names()[0]));
    let list = scene.write("list.txt", url);
    let out = scene.path("out");
    let mut command = crate::support::imgsweep();
    let ended = output(command.arg("run").arg(&list).arg("-o").arg(&out));
    assert!(ended.status.success());
    assert_eq!(
        read_ndjson(&out.join("results.ndjson"))[0]["outcome"],
        "blocked_address"
    );
    assert_eq!(scene.origin.requests(), 0);
}

#[test]
fn a_folder_with_another_lists_results_is_left_alone() {
    let scene = Scene::new();
    let out = scene.path("out");
    let first = scene.write("first.txt", "http://10.0.0.1/a.jpg\n");
    let second = scene.write("second.txt", "http://10.0.0.1/b.jpg\n");
    assert!(output(&mut run_command(&first, &out)).status.success());
    let before = std::fs::read(out.join("results.ndjson")).expect("results");
    let refused = output(&mut run_command(&second, &out));
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("first.txt") && said.contains("-o"), "{said}");
    assert_eq!(
        std::fs::read(out.join("results.ndjson")).expect("results"),
        before
    );
}

#[test]
fn a_report_for_people_names_outcomes_formats_and_rates() {
    let scene = Scene::new();
    let list = scene.write("list.csv", scene.mixed_list(300));
    let ended = output(&mut run_command(&list, &scene.path("out")));
    let text = String::from_utf8(ended.stdout).expect("text");
    for expected in [
        "list.csv: 300 rows",
        "Outcome",
        "Format",
        "jpeg",
        "Issue",
        "rows/s",
        "127.0.0.0/8",
        "results.csv",
    ] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
}
