//! What is asked of a server from the command line: lists handed in, tables taken away.

use serde_json::{Value, json};

use crate::serve::{Server, TOKEN};
use crate::support::{Scene, imgsweep, output};

/// Runs a command against the server: whether it succeeded, what it wrote, and what it said.
fn ask(server: &Server, arguments: &[&str]) -> (bool, String, String) {
    let mut command = imgsweep();
    command.args(arguments).args(["--endpoint", &server.url()]);
    let ended = output(command.env("IMGSWEEP_TOKEN", TOKEN));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        ended.status.success(),
        text(&ended.stdout),
        text(&ended.stderr),
    )
}

#[test]
fn a_list_is_shown_before_it_is_handed_in_and_its_options_arrive() {
    let scene = Scene::new();
    let server = Server::start(&scene);
    let list = scene.write("list.csv", scene.mixed_list(12));
    let list = list.to_str().expect("UTF-8");
    let (_, written, said) = ask(&server, &["submit", list, "--preview"]);
    assert!(said.contains("URLs are read from \"image_url\""), "{said}");
    assert_eq!(written, "");
    assert_eq!(server.get("/api/v1/batches")["data"], json!([]));

    let own = "name = \"mine\"\ntitle = \"Mine\"\n[[rule]]\nid = \"https\"\ncheck = \"https\"\n";
    let pack = scene.write("mine.toml", own);
    let rules = format!("catalogue,{}", pack.display());
    let options = ["--rules", &rules, "--duplicate-distance", "4", "--wait"];
    let (is_ended, _, said) = ask(&server, &[&["submit", list][..], &options].concat());
    assert!(is_ended, "{said}");
    let first = server.get("/api/v1/batches")["data"][0].clone();
    let id = first["batch_id"].as_str().expect("an id");
    let detail = server.get(&format!("/api/v1/batches/{id}"));
    assert_eq!(
        detail["options"]["rules"],
        json!(["catalogue", {"toml": own}])
    );
    assert_eq!(detail["options"]["duplicates"]["distance"], 4);

    let against = ["submit", list, "--since", id, "--duplicates-of", id];
    let (is_taken, _, said) = ask(&server, &against);
    assert!(!is_taken && said.contains("distance"), "{said}");
    let against = [&against[..], &["--duplicate-distance", "4", "--wait"]].concat();
    let (is_ended, _, said) = ask(&server, &against);
    assert!(is_ended, "{said}");

    let table = scene.path("table.ndjson");
    let to = table.to_str().expect("UTF-8");
    let conditions = ["--where", "outcome=ok", "--where", "row>=3"];
    let export = [&["export", id, "-o", to][..], &conditions].concat();
    let (is_written, _, said) = ask(&server, &export);
    assert!(is_written, "{said}");
    let rows = crate::support::read_ndjson(&table);
    assert!(!rows.is_empty());
    let is_right = |row: &Value| row["outcome"] == "ok" && row["row"].as_u64() >= Some(3);
    assert!(rows.iter().all(is_right), "{rows:?}");
}

#[test]
fn a_list_without_urls_is_not_handed_in() {
    let scene = Scene::new();
    let server = Server::start(&scene);
    let list = scene.write("list.csv", "url,price\nnone,1\nnone either,2\n");
    let list = list.to_str().expect("UTF-8");
    let (is_taken, _, said) = ask(&server, &["submit", list]);
    assert!(!is_taken && said.contains("--url-column"), "{said}");
    assert_eq!(server.get("/api/v1/batches")["data"], json!([]));
}

/// Longer than what is sent in one piece.
const LONG_LIST_BYTES: usize = 101_000_000;

#[test]
fn a_long_list_goes_on_where_it_was_interrupted() {
    let scene = Scene::new();
    let server = Server::start(&scene);
    let line = format!("http://127.0.0.1/{}\n", "a".repeat(980));
    let text = format!("url\n{}", line.repeat(LONG_LIST_BYTES / line.len() + 1));
    let list = scene.write("long.csv", &text);
    let created = server.post(
        "/api/v1/batches",
        r#"{"list_name": "long.csv", "auto_start": false}"#,
    );
    let id = created["batch_id"].as_str().expect("an id");
    let wanted = json!({ "bytes": text.len() }).to_string();
    let parts = server.post(&format!("/api/v1/batches/{id}/parts"), &wanted);
    let part = &parts["missing"][2];
    let number = |name: &str| part[name].as_u64().expect("a number") as usize;
    let body = &text.as_bytes()[number("offset")..number("offset") + number("bytes")];
    let url = part["url"].as_str().expect("an address");
    let path = url.strip_prefix(&server.url()).expect("of this server");
    server.put(path, body);

    let (is_there, written, said) = ask(
        &server,
        &["submit", list.to_str().expect("UTF-8"), "--resume", id],
    );
    assert!(is_there, "{said}");
    assert_eq!(written.trim(), id);
    assert!(said.contains("16.00 MiB of 96"), "{said}");
    let batch = server.get(&format!("/api/v1/batches/{id}"));
    assert_eq!(batch["list"]["bytes"], text.len());
    assert_eq!(batch["status"], "PENDING");
    let stored = std::fs::read(scene.path("data").join("objects/lists").join(id));
    assert!(
        stored.expect("the list") == text.as_bytes(),
        "the same list"
    );
}
