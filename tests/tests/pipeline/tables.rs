//! The result table in its other formats, read back by the libraries of each; tables in a folder, and going on with them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use domain::{Batch, BatchId, BatchOptions, Outcome, ResultRow, RulePack};
use exports::{FilesRequest, Manifest, export, write_files};
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use pipeline::export::{ExportError, ExportFormat, TableRequest};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::support::Scene;

/// Good images, bad ones, and a cell that a spreadsheet would calculate.
fn list(scene: &Scene) -> String {
    let mut list = "url,note\n".to_owned();
    for number in 0..6 {
        writeln!(list, "{},=1+{number}", scene.image(number)).unwrap();
    }
    writeln!(list, "{},", scene.origin.url("/status/404")).unwrap();
    list.push_str("no url,\"quoted \"\"\"\n");
    list
}

async fn ended(scene: &Scene, rules: Vec<RulePack>) -> Batch {
    let options = BatchOptions {
        chunk_size: Some(3),
        rules,
        ..BatchOptions::default()
    };
    let id = scene.start_with(list(scene), options).await;
    scene.drain().await;
    let batch = scene.batch(id).await;
    assert!(batch.report_ready);
    batch
}

async fn rows(scene: &Scene, id: BatchId) -> Vec<ResultRow> {
    let mut sink = Vec::new();
    let written = export(&scene.ports, id, ExportFormat::Ndjson, &mut sink).await;
    assert_eq!(written.unwrap(), 8);
    let text = String::from_utf8(sink).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn parquet_rows(bytes: Vec<u8>) -> Vec<BTreeMap<String, Field>> {
    let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().into_columns().into_iter().collect())
        .collect()
}

#[tokio::test]
async fn parquet_has_typed_columns_with_statistics_and_the_values_of_the_rows() {
    let scene = Scene::new();
    let batch = ended(&scene, Vec::new()).await;
    let mut table = Vec::new();
    let written = export(&scene.ports, batch.id, ExportFormat::Parquet, &mut table).await;
    assert_eq!(written.unwrap(), 8);

    let reader = SerializedFileReader::new(Bytes::from(table.clone())).unwrap();
    let group = reader.metadata().row_group(0);
    let column = |name: &str| {
        let mut columns = group.columns().iter();
        let found = columns.find(|column| column.column_path().string().starts_with(name));
        found.unwrap_or_else(|| panic!("no column {name}"))
    };
    assert_eq!(column("row").column_type(), PhysicalType::INT64);
    assert_eq!(column("contrast").column_type(), PhysicalType::FLOAT);
    assert_eq!(column("has_alpha").column_type(), PhysicalType::BOOLEAN);
    assert_eq!(column("width").column_type(), PhysicalType::INT32);
    let fetched_at = column("fetched_at").column_descr().logical_type_ref();
    assert!(
        matches!(fetched_at, Some(LogicalType::Timestamp { .. })),
        "{fetched_at:?}"
    );
    for column in group.columns() {
        assert!(column.statistics().is_some(), "{:?}", column.column_path());
    }

    let expected = rows(&scene, batch.id).await;
    let read = parquet_rows(table);
    assert_eq!(read.len(), expected.len());
    for (read, expected) in read.iter().zip(&expected) {
        let text = |value: Option<String>| value.map_or(Field::Null, Field::Str);
        assert_eq!(read["row"], Field::Long(expected.row as i64));
        assert_eq!(read["url"], Field::Str(expected.url.clone()));
        assert_eq!(read["outcome"], Field::Str(expected.outcome.to_string()));
        assert_eq!(read["sha256"], text(expected.sha256.clone()));
        assert_eq!(
            read["phash"],
            text(expected.phash.map(|hash| hash.to_string()))
        );
        let contrast = expected.contrast.map_or(Field::Null, Field::Float);
        assert_eq!(read["contrast"], contrast);
        let width = expected
            .width
            .map_or(Field::Null, |width| Field::Int(width as i32));
        assert_eq!(read["width"], width);
        let fetched_at = expected.fetched_at.map_or(Field::Null, |at| {
            Field::TimestampMicros(at.as_microsecond())
        });
        assert_eq!(read["fetched_at"], fetched_at);
        let Field::ListInternal(issues) = &read["issues"] else {
            panic!("{:?}", read["issues"]);
        };
        assert_eq!(issues.elements().len(), expected.issues.len());
        let note = expected.extra["note"].as_str();
        assert_eq!(read["extra_note"], text(note.map(str::to_owned)));
    }
}

#[tokio::test]
async fn a_database_has_the_rows_under_their_numbers() {
    let scene = Scene::new();
    let batch = ended(&scene, Vec::new()).await;
    let mut table = Vec::new();
    let written = export(&scene.ports, batch.id, ExportFormat::Sqlite, &mut table).await;
    assert_eq!(written.unwrap(), 8);
    let path = scene.data.path().join("table.sqlite");
    fs::write(&path, table).unwrap();
    let database = Connection::open(path).unwrap();
    let ok: i64 = database
        .query_row(
            "SELECT count(*) FROM results WHERE outcome = 'ok'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(ok, 6);
    for expected in rows(&scene, batch.id).await {
        let mut statement = database
            .prepare_cached(
                "SELECT url, contrast, issues, extra_note, fetched_at FROM results WHERE row = ?",
            )
            .unwrap();
        let (url, contrast, issues, note, fetched_at) = statement
            .query_row([expected.row as i64], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, Option<f64>>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, Option<String>>(3)?,
                    row.get::<_, Option<String>>(4)?,
                ))
            })
            .unwrap();
        assert_eq!(url, expected.url);
        assert_eq!(contrast.map(|contrast| contrast as f32), expected.contrast);
        let issues: Vec<String> = serde_json::from_str(&issues).unwrap();
        let names: Vec<&str> = expected.issues.iter().map(|issue| issue.as_str()).collect();
        assert_eq!(issues, names);
        assert_eq!(note.as_deref(), expected.extra["note"].as_str());
        assert_eq!(fetched_at, expected.fetched_at.map(|at| at.to_string()));
    }
}

/// What is in a folder of tables: names, without the manifest and its sums.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
                continue;
            }
            let path = entry.path();
            let path = path
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if path != "manifest.json" && path != "SHA256SUMS" {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn assert_sums(manifest: &Manifest, folder: &Path) {
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    for file in manifest.files() {
        let content = fs::read(folder.join(&file.path)).unwrap();
        let digest = Sha256::digest(&content);
        let mut digits = String::new();
        for byte in digest {
            write!(digits, "{byte:02x}").unwrap();
        }
        assert_eq!(file.sha256, digits, "{}", file.path);
        assert_eq!(file.bytes, content.len() as u64);
        assert!(sums.contains(&format!("{digits}  {}\n", file.path)));
    }
}

#[tokio::test]
async fn a_folder_of_tables_has_a_manifest_and_is_not_written_twice() {
    let scene = Scene::new();
    let batch = ended(&scene, Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let request = FilesRequest {
        formats: ExportFormat::ALL.to_vec(),
        ..FilesRequest::default()
    };
    let written = write_files(&scene.ports, &batch, &request, folder.path())
        .await
        .unwrap();
    let expected = [
        "results.csv",
        "results.ndjson",
        "results.ndjson.zst",
        "results.parquet",
        "results.sqlite",
    ];
    assert_eq!(files(folder.path()), expected);
    assert!(
        written
            .tables
            .iter()
            .all(|table| table.is_complete && table.rows == 8)
    );
    assert_sums(&written, folder.path());

    let plain = fs::read(folder.path().join("results.ndjson")).unwrap();
    let packed = fs::read(folder.path().join("results.ndjson.zst")).unwrap();
    assert_eq!(zstd::decode_all(packed.as_slice()).unwrap(), plain);

    // Nothing is written that is there; what was lost is.
    let changed = |name: &str| {
        fs::metadata(folder.path().join(name))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = changed("results.csv");
    fs::remove_file(folder.path().join("results.parquet")).unwrap();
    let again = write_files(&scene.ports, &batch, &request, folder.path())
        .await
        .unwrap();
    assert_eq!(changed("results.csv"), before);
    assert_eq!(again, written);
    assert_sums(&again, folder.path());
}

#[tokio::test]
async fn columns_and_rows_are_chosen() {
    let scene = Scene::new();
    let batch = ended(&scene, Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut request = FilesRequest {
        formats: vec![ExportFormat::Csv, ExportFormat::Ndjson],
        table: TableRequest {
            columns: ["row", "extra", "outcome"].map(str::to_owned).to_vec(),
            conditions: ["outcome!=ok", "row>6"].map(str::to_owned).to_vec(),
        },
        ..FilesRequest::default()
    };
    let written = write_files(&scene.ports, &batch, &request, folder.path())
        .await
        .unwrap();
    assert!(written.tables.iter().all(|table| table.rows == 1));
    let csv = fs::read_to_string(folder.path().join("results.csv")).unwrap();
    assert_eq!(
        csv,
        "row,extra_note,extra_other,outcome\n7,\"quoted \"\"\",,invalid_url\n"
    );
    let ndjson = fs::read_to_string(folder.path().join("results.ndjson")).unwrap();
    assert_eq!(
        ndjson,
        "{\"row\":7,\"extra_note\":\"quoted \\\"\",\"extra_other\":null,\"outcome\":\"invalid_url\"}\n"
    );
    request.table.columns.push("heigth".to_owned());
    let refused = write_files(&scene.ports, &batch, &request, folder.path()).await;
    assert!(matches!(refused, Err(ExportError::Request(said)) if said.contains("heigth")));
}

#[tokio::test]
async fn a_data_set_is_cut_by_values_and_by_rows() {
    let scene = Scene::new();
    let batch = ended(&scene, Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let request = FilesRequest {
        formats: vec![ExportFormat::Parquet],
        partition: Some("outcome".to_owned()),
        part_rows: Some(4),
        ..FilesRequest::default()
    };
    let written = write_files(&scene.ports, &batch, &request, folder.path())
        .await
        .unwrap();
    let expected = [
        "results/outcome=invalid_url/part-00000.parquet",
        "results/outcome=not_found/part-00000.parquet",
        "results/outcome=ok/part-00000.parquet",
        "results/outcome=ok/part-00001.parquet",
    ];
    assert_eq!(files(folder.path()), expected);
    assert_eq!(written.tables[0].rows, 8);
    assert_sums(&written, folder.path());
    let second = fs::read(folder.path().join(expected[3])).unwrap();
    let rows = parquet_rows(second);
    assert_eq!(rows.len(), 2);
    assert!(!rows[0].contains_key("outcome"), "it is in the path");

    // Cut otherwise, nothing of the first cut stays; files of others are not taken for ours.
    let request = FilesRequest {
        partition: None,
        part_rows: Some(5),
        ..request
    };
    write_files(&scene.ports, &batch, &request, folder.path())
        .await
        .unwrap();
    let expected = ["results/part-00000.parquet", "results/part-00001.parquet"];
    assert_eq!(files(folder.path()), expected);
    fs::write(folder.path().join("results/other.parquet"), "x").unwrap();
    let request = FilesRequest {
        part_rows: Some(6),
        ..request
    };
    let refused = write_files(&scene.ports, &batch, &request, folder.path()).await;
    assert!(matches!(refused, Err(ExportError::Request(said)) if said.contains("other.parquet")));
}

#[tokio::test]
async fn a_data_set_goes_on_from_the_first_file_that_is_missing() {
    let scene = Scene::new();
    let batch = ended(&scene, Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let request = FilesRequest {
        formats: vec![ExportFormat::Parquet],
        part_rows: Some(3),
        ..FilesRequest::default()
    };
    let whole = write_files(&scene.ports, &batch, &request, folder.path())
        .await
        .unwrap();
    // As an interruption leaves it: two files whole, the third begun.
    let mut interrupted = whole.clone();
    interrupted.tables[0].is_complete = false;
    interrupted.tables[0].rows = 6;
    let lost = interrupted.tables[0].files.pop().unwrap();
    fs::remove_file(folder.path().join(&lost.path)).unwrap();
    fs::write(
        folder.path().join("results/.part-00002.parquet.partial"),
        "half",
    )
    .unwrap();
    let manifest = serde_json::to_vec(&interrupted).unwrap();
    fs::write(folder.path().join("manifest.json"), manifest).unwrap();
    let first = folder.path().join("results/part-00000.parquet");
    let before = fs::metadata(&first).unwrap().modified().unwrap();

    let again = write_files(&scene.ports, &batch, &request, folder.path())
        .await
        .unwrap();
    assert_eq!(again, whole);
    assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), before);
    assert_eq!(files(folder.path()).len(), 3);
    assert_sums(&again, folder.path());
}

#[tokio::test]
async fn rules_are_in_every_table_and_counted_in_the_report() {
    let scene = Scene::new();
    let own = "name='own'\ntitle='Own'\n[[rule]]\nid='large'\ncheck='min_sides'\nwidth=5000\nheight=10\n\
               [[rule]]\nid='once'\ncheck='no_issues'\nissues=['exact_duplicate']\n";
    let packs = vec![
        RulePack::BuiltIn("ebay".to_owned()),
        RulePack::Own {
            toml: own.to_owned(),
        },
    ];
    let batch = ended(&scene, packs).await;
    let report = pipeline::finalize::read_report(&scene.ports, batch.id)
        .await
        .unwrap()
        .unwrap();
    let [ebay, own] = report.rules.as_slice() else {
        panic!("{:?}", report.rules);
    };
    assert_eq!((ebay.name.as_str(), own.name.as_str()), ("ebay", "own"));
    assert_eq!((own.passed, own.failed, own.no_image), (0, 8, 2));
    assert_eq!((own.rules[0].failed, own.rules[1].failed), (6, 5));
    let example = own.rules[0].example.as_ref().unwrap();
    assert_eq!(
        example.detail.as_deref(),
        Some("The image has 96 × 64 pixels; at least 5000 × 10 are required.")
    );

    let rows = rows(&scene, batch.id).await;
    let verdict = &rows[1].rules.as_ref().unwrap()["own"];
    assert_eq!(verdict["passed"], false);
    assert_eq!(verdict["reasons"].as_array().unwrap().len(), 2);
    assert_eq!(verdict["failed"], serde_json::json!(["large", "once"]));
    let missing = rows
        .iter()
        .find(|row| row.outcome == Outcome::NotFound)
        .unwrap();
    assert_eq!(missing.rules.as_ref().unwrap()["ebay"]["passed"], false);

    let mut table = Vec::new();
    export(&scene.ports, batch.id, ExportFormat::Parquet, &mut table)
        .await
        .unwrap();
    for (read, row) in parquet_rows(table).iter().zip(&rows) {
        let verdict = row.rules.as_ref().unwrap();
        assert_eq!(read["rules_own_passed"], Field::Bool(false));
        let Field::ListInternal(reasons) = &read["rules_ebay_reasons"] else {
            panic!("{:?}", read["rules_ebay_reasons"]);
        };
        assert_eq!(
            reasons.elements().len(),
            verdict["ebay"]["reasons"].as_array().unwrap().len()
        );
    }
}
