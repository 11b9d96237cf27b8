//! CSV, TSV, NDJSON and plain text, told by name or content.

use domain::ListFormat;
use list_reader::ListError;

use crate::support::{Row, open, read_all, refusal, rows, urls};

const URLS: &str = "http://a.example/1\nhttp://a.example/2\n";

fn format(name: &str, list: &str) -> ListFormat {
    open(name, list.as_bytes()).detected().format
}

fn extra(row: &Row) -> Vec<(&str, &str)> {
    row.extra
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect()
}

#[test]
fn the_extension_tells_the_format_with_or_without_compression() {
    let table = "url\thttp\nhttp://a.example/1\tx\n";
    assert_eq!(format("a.tsv", table), ListFormat::Tsv);
    assert_eq!(format("A.B.TSV.GZ", table), ListFormat::Tsv);
    assert_eq!(format("a.csv", URLS), ListFormat::Csv);
    assert_eq!(format("a.csv.zst", URLS), ListFormat::Csv);
    assert_eq!(
        format("a.jsonl", "\"http://a.example/1\"\n"),
        ListFormat::Ndjson
    );
}

#[test]
fn content_tells_the_format_where_the_name_does_not() {
    assert_eq!(
        format("-", "id,url\n1,http://a.example/1\n"),
        ListFormat::Csv
    );
    assert_eq!(
        format("", "id;url\n1;http://a.example/1\n"),
        ListFormat::Csv
    );
    assert_eq!(
        format("", "id\turl\n1\thttp://a.example/1\n"),
        ListFormat::Tsv
    );
    assert_eq!(
        format("", "{\"url\":\"http://a.example/1\"}\n"),
        ListFormat::Ndjson
    );
    assert_eq!(
        format("", "\"http:\\/\\/a.example\\/1\"\n"),
        ListFormat::Ndjson
    );
    assert_eq!(format("", URLS), ListFormat::Text);
    assert_eq!(
        format("list.txt", "id,url\n1,http://a.example/1\n"),
        ListFormat::Csv
    );
}

#[test]
fn the_format_asked_for_wins_over_the_name() {
    let options = list_reader::ListOptions {
        name: "list.csv".to_owned(),
        format: Some(ListFormat::Text),
        url_column: None,
    };
    let list = &b"http://a.example/1,2\n"[..];
    let reader = list_reader::ListReader::open(list, &options, &domain::Limits::default()).unwrap();
    assert_eq!(
        read_all(reader).0[0].cell.as_deref(),
        Ok("http://a.example/1,2")
    );
}

#[test]
fn a_csv_row_has_its_url_and_the_other_columns_in_order() {
    let list = "sku,url,title,\nA1,http://a.example/1,One,x\nA2,  http://a.example/2 ,,\n";
    let rows = rows("list.csv", list);
    assert_eq!(rows[0].cell.as_deref(), Ok("http://a.example/1"));
    assert_eq!(
        extra(&rows[0]),
        [("sku", "A1"), ("title", "One"), ("column_4", "x")]
    );
    assert_eq!(rows[1].cell.as_deref(), Ok("http://a.example/2"));
    assert_eq!(
        extra(&rows[1]),
        [("sku", "A2"), ("title", ""), ("column_4", "")]
    );
}

#[test]
fn a_semicolon_separates_where_it_cuts_the_header() {
    let list = "id;url;title\n1;http://a.example/w_1,h_2;Chair, red\n";
    let reader = open("list.csv", list.as_bytes());
    assert_eq!(reader.detected().delimiter, Some(';'));
    let (rows, _) = read_all(reader);
    assert_eq!(rows[0].cell.as_deref(), Ok("http://a.example/w_1,h_2"));
    assert_eq!(extra(&rows[0]), [("id", "1"), ("title", "Chair, red")]);
}

#[test]
fn a_plain_list_of_urls_called_csv_works() {
    let reader = open("list.csv", URLS.as_bytes());
    let detected = reader.detected();
    assert!(!detected.has_header);
    assert_eq!(detected.header, ["column_1"]);
    assert_eq!(detected.url_column, "column_1");
    assert_eq!(
        urls("list.csv", URLS),
        ["http://a.example/1", "http://a.example/2"]
    );
}

#[test]
fn a_table_without_header_has_made_up_names() {
    let rows = rows(
        "list.csv",
        "7,http://a.example/1,red\n8,HTTPS://a.example/2,blue\n",
    );
    assert_eq!(rows.len(), 2);
    assert_eq!(extra(&rows[0]), [("column_1", "7"), ("column_3", "red")]);
    assert_eq!(rows[1].cell.as_deref(), Ok("HTTPS://a.example/2"));
}

#[test]
fn commas_do_not_cut_the_urls_of_a_list_of_urls() {
    let list =
        "http://a.example/w_100,h_200/1.jpg\nhttp://a.example/2.jpg\nhttp://a.example/a;b,c.jpg\n";
    for name in ["list.txt", "list", "list.csv", "list.urls"] {
        let found = urls(name, list);
        assert_eq!(found, list.lines().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn commas_do_not_cut_urls_under_a_header_of_one_column() {
    let list = "image\nhttp://a.example/w_100,h_200/1.jpg\n\"http://a.example/3,4\"\n";
    assert_eq!(
        urls("list.csv", list),
        ["http://a.example/w_100,h_200/1.jpg", "http://a.example/3,4"]
    );
}

#[test]
fn bad_lines_among_the_urls_do_not_make_them_a_table() {
    let list = "http://a.example/1,2\noops\nhttp://a.example/3,4\nhttp://a.example/5\n";
    let rows = rows("list.txt", list);
    assert_eq!(rows[2].cell.as_deref(), Ok("http://a.example/3,4"));
}

#[test]
fn urls_with_labels_beside_them_are_a_table() {
    let rows = rows(
        "-",
        "http://a.example/1,Red chair\nhttp://a.example/2,\"Table, oak\"\n",
    );
    assert_eq!(rows[1].cell.as_deref(), Ok("http://a.example/2"));
    assert_eq!(extra(&rows[1]), [("column_2", "Table, oak")]);
}

#[test]
fn blank_lines_are_not_rows_but_count_as_lines() {
    let text = rows(
        "list.txt",
        "\n \t\nhttp://a.example/1\r\n\r\n\nhttp://a.example/2",
    );
    assert_eq!(text.iter().map(|row| row.line).collect::<Vec<_>>(), [3, 6]);
    let table = rows(
        "list.csv",
        "\n\nurl,a\n\nhttp://a.example/1,\n   \nhttp://a.example/2,\n\n",
    );
    assert_eq!(table.iter().map(|row| row.line).collect::<Vec<_>>(), [5, 7]);
}

#[test]
fn a_blank_beginning_longer_than_the_sample_is_passed_over() {
    let list = format!("{}url\nhttp://a.example/1\n", " \n".repeat(100_000));
    let rows = rows("list.csv", list);
    assert_eq!(rows[0].line, 100_002);
    assert_eq!(rows.len(), 1);
}

#[test]
fn line_ends_may_be_mixed() {
    let list =
        "url,b\r\nhttp://a.example/1,x\nhttp://a.example/2,\"y\"\r\nhttp://a.example/3,z\r\n";
    let rows = rows("list.csv", list);
    let read: Vec<_> = rows.iter().map(|row| (row.line, extra(row)[0].1)).collect();
    assert_eq!(read, [(2, "x"), (3, "y"), (4, "z")]);
}

#[test]
fn a_lone_carriage_return_ends_a_line_where_there_is_no_line_feed() {
    let list = "url,b\rhttp://a.example/1,\"x\ry\"\r\rhttp://a.example/2,z\r";
    let rows = rows("list.csv", list);
    let read: Vec<_> = rows.iter().map(|row| (row.line, extra(row)[0].1)).collect();
    assert_eq!(read, [(2, "x\ry"), (5, "z")]);
}

#[test]
fn a_lone_carriage_return_is_text_where_there_are_line_feeds() {
    let rows = rows("list.csv", "url,b\nhttp://a.example/1,x\ry\n");
    assert_eq!(extra(&rows[0]), [("b", "x\ry")]);
}

#[test]
fn line_feeds_after_a_beginning_without_any_end_lines_too() {
    let old = "http://a.example/1\r".repeat(4_000);
    let list = format!("{old}http://a.example/2\r\nhttp://a.example/3\n");
    let rows = rows("list.txt", list);
    assert_eq!(rows.len(), 4_002);
    assert_eq!(rows[4_001].line, 4_002);
}

#[test]
fn an_ndjson_row_carries_strings_as_text_and_the_rest_as_json() {
    let list = concat!(
        r#"{"sku":"A\"1","url":" http://a.example/1 ","n":1.50,"tags":["a", {"b":1}],"gone":null,"ok":true}"#,
        "\n\"http://a.example/2\"\n",
        r#"{"url":"http:\/\/a.example\/3","sku":"\u00fc"}"#,
    );
    let rows = rows("list.ndjson", list);
    assert_eq!(rows[0].cell.as_deref(), Ok("http://a.example/1"));
    assert_eq!(
        extra(&rows[0]),
        [
            ("sku", "A\"1"),
            ("n", "1.50"),
            ("tags", r#"["a", {"b":1}]"#),
            ("ok", "true")
        ]
    );
    assert_eq!(rows[1].cell.as_deref(), Ok("http://a.example/2"));
    assert_eq!(rows[2].cell.as_deref(), Ok("http://a.example/3"));
    assert_eq!(extra(&rows[2]), [("sku", "ü")]);
}

#[test]
fn a_list_of_json_strings_has_a_column_called_url() {
    let list = "\"http://a.example/1\"\n\"http://a.example/2\"\n";
    let reader = open("list.jsonl", list.as_bytes());
    assert_eq!(reader.detected().url_column, "url");
    assert_eq!(urls("list.jsonl", list).len(), 2);
}

#[test]
fn one_json_document_is_refused_with_advice() {
    for list in [
        "[\n{\"url\":\"http://a.example/1\"},\n{\"url\":\"http://a.example/2\"}\n]\n",
        "[{\"url\":\"http://a.example/1\"}]",
        "{\n  \"url\": \"http://a.example/1\"\n}\n",
    ] {
        for name in ["list.json", "list"] {
            let error = refusal(name, list);
            assert!(matches!(error, ListError::JsonDocument), "{error:?}");
        }
    }
}

#[test]
fn lines_that_are_no_json_are_refused_as_ndjson() {
    let error = refusal("list.ndjson", URLS);
    assert!(matches!(error, ListError::NoJson), "{error:?}");
}

#[test]
fn an_empty_list_says_so() {
    for list in ["", "\n", " \r\n\t\n", "\u{feff}", "\u{feff}\n"] {
        assert!(
            matches!(refusal("list.csv", list), ListError::Empty),
            "{list:?}"
        );
    }
}

#[test]
fn a_header_without_rows_says_so_at_the_end() {
    for list in ["url,title\n", "url,title", "url\n\n\n"] {
        let (rows, error) = read_all(open("list.csv", list.as_bytes()));
        assert_eq!(rows, []);
        assert!(matches!(error, Some(ListError::NoRows)), "{error:?}");
    }
}

#[test]
fn rows_longer_than_the_header_keep_their_cells() {
    let rows = rows(
        "list.csv",
        "url,column_3\nhttp://a.example/1,a,b,c\nhttp://a.example/2,a\n",
    );
    assert_eq!(
        extra(&rows[0]),
        [("column_3", "a"), ("column_3_2", "b"), ("column_4", "c")]
    );
    assert_eq!(extra(&rows[1]), [("column_3", "a")]);
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let rows = rows("list.csv", "url,a,a,a\nhttp://a.example/1,1,2,3\n");
    assert_eq!(extra(&rows[0]), [("a", "1"), ("a_3", "2"), ("a_4", "3")]);
}

#[test]
fn a_header_of_too_many_columns_is_refused() {
    let error = refusal("list.csv", format!("url{}\n", ",".repeat(20_000)));
    assert!(
        matches!(error, ListError::TooManyColumns { .. }),
        "{error:?}"
    );
}
