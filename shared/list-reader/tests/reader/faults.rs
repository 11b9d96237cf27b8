//! Rows that cannot be used, while the list goes on.

use list_reader::{ListError, RowFault};

use crate::support::{open, outcomes, read_all, refusal, rows, rows_with, small_limits};

fn column(name: &str) -> String {
    name.to_owned()
}

#[test]
fn a_short_row_lacks_its_cell_and_keeps_the_others() {
    let rows = rows(
        "list.csv",
        "id,note,url\n1,x,http://a.example/1\n2,y\n3,z,http://a.example/3\n",
    );
    let fault = RowFault::MissingCell {
        line: 3,
        column: column("url"),
    };
    assert_eq!(
        outcomes(&rows),
        [
            (2, Ok("http://a.example/1")),
            (3, Err(&fault)),
            (4, Ok("http://a.example/3"))
        ]
    );
    assert_eq!(rows[1].extra.len(), 2);
    assert_eq!(fault.to_string(), "line 3 ends before the column \"url\"");
}

#[test]
fn an_empty_cell_is_a_fault() {
    let rows = rows("list.csv", "url,b\nhttp://a.example/1,x\n,y\n\"  \",z\n");
    for (row, line) in rows[1..].iter().zip([3, 4]) {
        let fault = RowFault::EmptyCell {
            line,
            column: column("url"),
        };
        assert_eq!(row.cell, Err(fault));
    }
    assert_eq!(rows[2].extra, [(column("b"), column("z"))]);
}

#[test]
fn a_row_of_empty_cells_in_a_table_of_tabs_is_a_row() {
    let rows = rows("list.tsv", "url\tb\n\t\nhttp://a.example/1\tx\n");
    assert!(matches!(
        rows[0].cell,
        Err(RowFault::EmptyCell { line: 2, .. })
    ));
    assert_eq!(rows.len(), 2);
}

#[test]
fn a_nul_in_the_url_is_a_fault() {
    let fault = RowFault::Nul { line: 2 };
    assert_eq!(fault.to_string(), "the URL on line 2 contains a NUL byte");
    for (name, list) in [
        (
            "list.csv",
            "url,b\nhttp://a.exa\0mple/1,x\nhttp://a.example/2,y\n",
        ),
        (
            "list.txt",
            "http://a.example/0\nhttp://a.exa\0mple/1\nhttp://a.example/2\n",
        ),
        (
            "list.ndjson",
            "{\"url\":\"http://a.example/0\"}\n{\"url\":\"http://a\\u0000\"}\n\"http://a.example/2\"\n",
        ),
    ] {
        let rows = rows(name, list);
        assert!(
            rows.iter().any(|row| row.cell == Err(fault.clone())),
            "{name}"
        );
        assert!(rows.last().unwrap().cell.is_ok());
    }
}

#[test]
fn a_url_longer_than_allowed_is_a_fault() {
    let long = format!("http://a.example/{}", "x".repeat(30));
    let json = format!("{{\"url\":\"http://a.example/1\"}}\n{{\"url\":\"{long}\"}}\n");
    for (name, list) in [
        (
            "list.csv",
            format!("url,b\n{long},x\nhttp://a.example/2,y\n"),
        ),
        ("list.txt", format!("http://a.example/1\n{long}\n")),
        ("list.ndjson", json),
    ] {
        let rows = rows_with(name, list, &small_limits());
        let fault = RowFault::UrlTooLong {
            line: 2,
            bytes: 47,
            limit: 40,
        };
        assert!(
            rows.iter().any(|row| row.cell == Err(fault.clone())),
            "{rows:?}"
        );
        assert!(rows.iter().any(|row| row.cell.is_ok()));
    }
}

#[test]
fn a_cell_longer_than_allowed_is_a_fault_and_the_others_are_carried() {
    let long = "x".repeat(101);
    for cell in [long.clone(), format!("\"{long}\"")] {
        let list = format!("url,a,b\nhttp://a.example/1,{cell},kept\nhttp://a.example/2,y,z\n");
        let rows = rows_with("list.csv", list, &small_limits());
        let fault = RowFault::CellTooLong {
            line: 2,
            limit: 100,
        };
        assert_eq!(
            outcomes(&rows),
            [(2, Err(&fault)), (3, Ok("http://a.example/2"))]
        );
        assert_eq!(rows[0].extra, [(column("b"), column("kept"))]);
    }
    let json = format!(
        "{{\"url\":\"http://a.example/1\"}}\n{{\"url\":\"http://a.example/2\",\"a\":\"{long}\",\"b\":\"kept\"}}\n"
    );
    let rows = rows_with("list.ndjson", json, &small_limits());
    assert!(matches!(
        rows[1].cell,
        Err(RowFault::CellTooLong { line: 2, .. })
    ));
    assert_eq!(rows[1].extra, [(column("b"), column("kept"))]);
}

#[test]
fn a_cell_of_exactly_the_limit_is_no_fault() {
    let cell = "x".repeat(100);
    let list = format!("url,a\nhttp://a.example/1,{cell}\nhttp://a.example/2,\"{cell}\"\n");
    let rows = rows_with("list.csv", list, &small_limits());
    assert!(rows.iter().all(|row| row.cell.is_ok()));
}

#[test]
fn a_row_longer_than_allowed_is_one_fault() {
    let many = ",cell".repeat(100);
    for (name, list) in [
        (
            "list.csv",
            format!("url,a\nhttp://a.example/1{many}\nhttp://a.example/2,y\n"),
        ),
        (
            "list.txt",
            format!("http://a.example/0\nhttp://a.example/1{many}\nhttp://a.example/2\n"),
        ),
        (
            "list.ndjson",
            format!("\"http://a.example/0\"\n{{\"url\":\"{many}\"}}\n\"http://a.example/2\"\n"),
        ),
    ] {
        let rows = rows_with(name, list, &small_limits());
        let fault = RowFault::RowTooLong {
            line: 2,
            limit: 400,
        };
        let faults: Vec<_> = rows
            .iter()
            .filter_map(|row| row.cell.as_ref().err())
            .collect();
        assert_eq!(faults, [&fault], "{name}");
        assert_eq!(
            rows.last().unwrap().cell.as_deref(),
            Ok("http://a.example/2")
        );
        assert_eq!(rows.last().unwrap().line, 3);
    }
}

#[test]
fn a_long_row_of_many_lines_is_one_fault() {
    let lines = ",\"a\nb\"".repeat(100);
    let list = format!("url,a\nhttp://a.example/1{lines}\nhttp://a.example/2,y\n");
    let rows = rows_with("list.csv", list, &small_limits());
    let fault = RowFault::RowTooLong {
        line: 2,
        limit: 400,
    };
    assert_eq!(
        outcomes(&rows),
        [(2, Err(&fault)), (103, Ok("http://a.example/2"))]
    );
}

#[test]
fn a_row_of_too_many_cells_is_a_fault() {
    for row in [",".repeat(16_384), format!("\"\"{}", ",".repeat(16_384))] {
        let list = format!("url,b\n{row}\nhttp://a.example/2,\"y\"\n");
        let rows = rows("list.csv", list);
        let fault = RowFault::TooManyCells {
            line: 2,
            limit: 16_384,
        };
        assert_eq!(
            outcomes(&rows),
            [(2, Err(&fault)), (3, Ok("http://a.example/2"))]
        );
        assert_eq!(rows[1].extra, [(column("b"), column("y"))]);
    }
}

#[test]
fn a_row_of_as_many_cells_as_allowed_is_read() {
    let list = format!(
        "url,b\nhttp://a.example/1{}\nhttp://a.example/2,\"y\"{}\n",
        ",".repeat(16_383),
        ",".repeat(16_382)
    );
    for row in rows("list.csv", list) {
        assert!(row.cell.is_ok());
        assert_eq!(row.extra.len(), 16_383);
    }
}

#[test]
fn malformed_json_is_a_fault_that_says_why() {
    let list = "{\"url\":\"http://a.example/1\"}\n{\"url\":\n[1]\n7\n{\"url\":\"http://a.example/5\"} x\n{\"url\":\"http://a.example/6\"}\n";
    let rows = rows("list.ndjson", list);
    for (row, line) in rows[1..5].iter().zip(2..) {
        let Err(RowFault::MalformedJson { line: at, reason }) = &row.cell else {
            panic!("{row:?}");
        };
        assert_eq!(*at, line);
        assert!(!reason.contains("line"), "{reason}");
    }
    assert_eq!(rows[5].cell.as_deref(), Ok("http://a.example/6"));
}

#[test]
fn deeply_nested_json_is_a_fault_and_not_a_stack_overflow() {
    let list = format!(
        "\"http://a.example/1\"\n{{\"url\":{}\n",
        "[".repeat(500_000)
    );
    let rows = rows("list.ndjson", list);
    assert!(matches!(
        rows[1].cell,
        Err(RowFault::MalformedJson { line: 2, .. })
    ));
}

#[test]
fn an_object_without_the_url_key_keeps_its_columns() {
    let list =
        "{\"url\":\"http://a.example/1\"}\n{\"id\":7}\n{\"url\":9,\"id\":8}\n{\"url\":null}\n";
    let rows = rows("list.ndjson", list);
    let missing = |line| {
        let key = column("url");
        RowFault::MissingKey { line, key }
    };
    assert_eq!(rows[1].cell, Err(missing(2)));
    assert_eq!(rows[1].extra, [(column("id"), column("7"))]);
    let no_string = RowFault::NotAString {
        line: 3,
        key: column("url"),
    };
    assert_eq!(rows[2].cell, Err(no_string));
    assert_eq!(rows[2].extra, [(column("id"), column("8"))]);
    assert_eq!(rows[3].cell, Err(missing(4)), "null is absent");
}

#[test]
fn every_fault_names_its_line() {
    let list = "id,url\n1,\n2\n3,http://a\0\n4,\"x\ny\"z\n5,http://a.example/5\n";
    let (rows, _) = read_all(open("list.csv", list.as_bytes()));
    let faults: Vec<_> = rows
        .iter()
        .filter_map(|row| row.cell.as_ref().err())
        .collect();
    assert!(faults.len() >= 4);
    for fault in faults {
        assert!(
            fault
                .to_string()
                .contains(&format!("line {}", fault.line())),
            "{fault}"
        );
    }
}

#[test]
fn a_first_row_that_cannot_be_read_is_an_error() {
    let error = refusal(
        "list.csv",
        format!("{}\nhttp://a.example/1", "x".repeat(2_000_000)),
    );
    assert!(
        matches!(
            error,
            ListError::UnreadableFirstRow(RowFault::RowTooLong { line: 1, .. })
        ),
        "{error:?}"
    );
    let error = refusal("list.csv", "\"url\n");
    assert!(
        matches!(
            error,
            ListError::UnreadableFirstRow(RowFault::UnclosedQuote { .. })
        ),
        "{error:?}"
    );
}
