//! Quoted cells, closed or not.

use std::time::{Duration, Instant};

use list_reader::RowFault;

use crate::support::{Trickle, named, outcomes, read_all, rows, rows_with, small_limits};

fn unclosed(line: u64, quote_line: u64) -> RowFault {
    RowFault::UnclosedQuote { line, quote_line }
}

#[test]
fn a_quoted_cell_may_span_lines() {
    let list = "url,note\nhttp://a.example/1,\"two\r\n\"\"lines\"\"\"\nhttp://a.example/2,x\n";
    let rows = rows("list.csv", list);
    assert_eq!(
        outcomes(&rows),
        [(2, Ok("http://a.example/1")), (4, Ok("http://a.example/2"))]
    );
    assert_eq!(rows[0].extra[0].1, "two\r\n\"lines\"");
}

#[test]
fn stray_quotes_in_unquoted_cells_are_letters() {
    let list = "url,size,b\nhttp://a.example/1,5\" wide,\"x\"\nhttp://a.example/2, \"y\",z\n";
    let rows = rows("list.csv", list);
    assert_eq!(rows[0].extra[0].1, "5\" wide");
    assert_eq!(rows[1].extra[0].1, " \"y\"");
}

#[test]
fn text_after_a_closed_quote_stays_on_its_line() {
    let list = "url,size\nhttp://a.example/1,\"5\" wide\nhttp://a.example/2,x\n";
    let rows = rows("list.csv", list);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].extra[0].1, "5 wide");
}

#[test]
fn a_quote_that_is_never_closed_costs_one_row() {
    let list = "url,note\nhttp://a.example/1,ok\nhttp://a.example/2,\"5 inch\nhttp://a.example/3,ok\nhttp://a.example/4,ok\n";
    let rows = rows("list.csv", list);
    let fault = unclosed(3, 3);
    assert_eq!(
        outcomes(&rows),
        [
            (2, Ok("http://a.example/1")),
            (3, Err(&fault)),
            (4, Ok("http://a.example/3")),
            (5, Ok("http://a.example/4")),
        ]
    );
    assert_eq!(
        fault.to_string(),
        "the quote opened on line 3 is never closed"
    );
}

#[test]
fn a_quote_never_closed_in_a_long_list_costs_one_row() {
    let good = "http://a.example/good,some text beside it\n".repeat(20_000);
    let list = format!("url,note\nhttp://a.example/1,\"5 inch\n{good}");
    let rows = rows("list.csv", list);
    assert_eq!(rows.len(), 20_001);
    assert_eq!(rows[0].cell, Err(unclosed(2, 2)));
    assert!(rows[1..].iter().all(|row| row.cell.is_ok()));
    assert_eq!(rows[20_000].line, 20_002);
}

#[test]
fn a_quote_on_the_last_line_costs_that_row() {
    let rows = rows(
        "list.csv",
        "url,note\nhttp://a.example/1,x\nhttp://a.example/2,\"y",
    );
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1].cell, Err(unclosed(3, 3)));
}

#[test]
fn a_later_quote_does_not_close_an_earlier_row() {
    // The quote before "6 inch" would close the one before "5 inch", and four rows would be one.
    let list = "url,note\nhttp://a.example/1,\"5 inch\nhttp://a.example/2,x\nhttp://a.example/3,\"6 inch\"\nhttp://a.example/4,z\n";
    let rows = rows("list.csv", list);
    let fault = unclosed(2, 2);
    assert_eq!(
        outcomes(&rows),
        [
            (2, Err(&fault)),
            (3, Ok("http://a.example/2")),
            (4, Ok("http://a.example/3")),
            (5, Ok("http://a.example/4")),
        ]
    );
}

#[test]
fn closed_cells_before_an_unclosed_quote_are_not_read_twice() {
    let list = "a,url\n\"one\ntwo\",\"http://a.example/1\nx,http://a.example/2\n";
    let rows = rows("list.csv", list);
    let fault = unclosed(2, 3);
    assert_eq!(
        outcomes(&rows),
        [(2, Err(&fault)), (4, Ok("http://a.example/2"))]
    );
}

#[test]
fn a_quoted_cell_over_the_limit_is_given_up_at_its_first_line() {
    let list = format!(
        "url,note\nhttp://a.example/1,\"start\n{}\"\nhttp://a.example/9,x\n",
        "http://a.example/2,y\n".repeat(10)
    );
    let rows = rows_with("list.csv", list, &small_limits());
    assert_eq!(rows[0].cell, Err(unclosed(2, 2)));
    assert_eq!(rows[1].cell.as_deref(), Ok("http://a.example/2"));
    assert_eq!(
        rows.last().unwrap().cell.as_deref(),
        Ok("http://a.example/9")
    );
}

#[test]
fn a_quoted_cell_over_the_limit_on_its_first_line_is_too_long() {
    let list = format!(
        "url,note\nhttp://a.example/1,\"{}\nhttp://a.example/2,y\n",
        "x".repeat(150)
    );
    let rows = rows_with("list.csv", list, &small_limits());
    let fault = RowFault::CellTooLong {
        line: 2,
        limit: 100,
    };
    assert_eq!(
        outcomes(&rows),
        [(2, Err(&fault)), (3, Ok("http://a.example/2"))]
    );
}

#[test]
fn the_rows_are_the_same_however_the_bytes_arrive() {
    let list = "url,note\r\nhttp://a.example/1,\"a\r\nb\"\r\nhttp://a.example/2,\"5 inch\r\nhttp://a.example/3,\"\"\"q\"\"\"\r\nhttp://a.example/4,\"z\r\n";
    for list in [
        list.to_owned(),
        list.replace("\r\n", "\n"),
        list.replace("\r\n", "\r"),
    ] {
        let expected = rows("list.csv", &list);
        assert_eq!(expected.len(), 4, "{expected:?}");
        assert_eq!(expected[1].cell, Err(unclosed(4, 4)));
        for step in 1..20 {
            // A sample would hold the whole list: what comes before it must not.
            let filler = "http://a.example/0,x\n".repeat(5_000);
            let list = format!("url,note\n{filler}{}", list.split_once("note").unwrap().1);
            let source = Trickle {
                bytes: list.as_bytes(),
                step,
                failure: None,
            };
            let whole = rows("list.csv", &list);
            let reader = list_reader::ListReader::open(source, &named("list.csv"), &small_limits());
            assert_eq!(read_all(reader.unwrap()).0, whole, "{step}");
        }
    }
}

#[test]
fn hostile_quotes_take_linear_time() {
    // On each of these lines a quote stays open, whether the line began within quotes or not.
    let lines = [
        "\",b\",\",c\n",
        "\"b\n",
        "\"\n",
        "\"\"\"\n",
        ",\"\n",
        "\",\",\",b\n",
        "a,\"b\"\"c\n",
    ];
    for line in lines {
        let list = format!("url,a\n{}", line.repeat(1_000_000 / line.len()));
        let start = Instant::now();
        let options = list_reader::ListOptions {
            url_column: Some("url".to_owned()),
            ..named("list.csv")
        };
        let reader =
            list_reader::ListReader::open(list.as_bytes(), &options, &domain::Limits::default());
        let (rows, _) = read_all(reader.unwrap());
        assert!(!rows.is_empty());
        // Reading on from the second line of every record would be hours.
        assert!(start.elapsed() < Duration::from_secs(30), "{line:?}");
    }
}
