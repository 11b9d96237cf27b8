//! Which column holds the URLs.

use domain::Limits;
use list_reader::{ListError, ListReader};

use crate::support::{open, read_all, refusal, refusal_with, with_column};

fn url_column(name: &str, list: &str) -> String {
    open(name, list.as_bytes()).detected().url_column.clone()
}

fn with_header(header: &str) -> String {
    let values = vec!["http://a.example/1"; header.split(',').count()];
    format!("{header}\n{}\n", values.join(","))
}

#[test]
fn usual_names_are_known_in_any_letters() {
    for name in [
        "url",
        "URL",
        "image_url",
        "imageUrl",
        "Image Link",
        "image_link",
        "image",
        "IMG",
        "link",
        "src",
        "photo",
        "Picture",
        "href",
        "Image Src",
        "uri",
    ] {
        assert_eq!(
            url_column("list.csv", &with_header(&format!("page,{name},shop"))),
            name
        );
    }
}

#[test]
fn the_more_telling_name_wins() {
    assert_eq!(
        url_column("list.csv", &with_header("link,image_link")),
        "image_link"
    );
    assert_eq!(url_column("list.csv", &with_header("src,url")), "url");
    assert_eq!(
        url_column("list.csv", &with_header("url,image_url")),
        "image_url"
    );
}

#[test]
fn a_telling_name_without_urls_gives_way_to_one_with_urls() {
    let list = "image,src\nA chair,http://a.example/1\nA table,http://a.example/2\n";
    assert_eq!(url_column("list.csv", list), "src");
}

#[test]
fn values_tell_where_names_do_not() {
    let list = "id,asset,note\n1,http://a.example/1,see http://b.example\n2,,x\n3,https://a.example/3,http://b.example\n";
    assert_eq!(url_column("list.csv", list), "asset");
    let json = "{\"id\":1,\"asset\":\"http://a.example/1\"}\n{\"asset\":\"http://a.example/2\"}\n";
    assert_eq!(url_column("list.ndjson", json), "asset");
}

#[test]
fn a_list_without_urls_names_its_columns_and_what_to_do() {
    for (name, list) in [
        ("list.csv", "id,name\n1,Chair\n2,Table\n"),
        ("list.ndjson", "{\"id\":1,\"name\":\"Chair\"}\n"),
    ] {
        let error = refusal(name, list);
        assert!(matches!(&error, ListError::NoUrlColumn { columns } if columns == &["id", "name"]));
        assert_eq!(
            error.to_string(),
            "no column of the list holds URLs (found: \"id\", \"name\"); name one with --url-column"
        );
    }
}

#[test]
fn the_column_asked_for_is_taken() {
    let list = "url,Preview\nhttp://a.example/1,http://b.example/1\n";
    for wanted in ["Preview", "preview", " PREVIEW "] {
        let options = with_column("list.csv", wanted);
        let reader = ListReader::open(list.as_bytes(), &options, &Limits::default()).unwrap();
        assert_eq!(reader.detected().url_column, "Preview");
        let (rows, _) = read_all(reader);
        assert_eq!(rows[0].cell.as_deref(), Ok("http://b.example/1"));
        assert_eq!(
            rows[0].extra,
            [("url".to_owned(), "http://a.example/1".to_owned())]
        );
    }
}

#[test]
fn the_column_asked_for_makes_the_first_row_a_header() {
    let list = "http://names.example/,id\nhttp://a.example/1,7\n";
    let options = with_column("list.csv", "http://names.example/");
    let reader = ListReader::open(list.as_bytes(), &options, &Limits::default()).unwrap();
    assert_eq!(read_all(reader).0.len(), 1);
}

#[test]
fn a_made_up_column_can_be_asked_for() {
    let list = "http://a.example/1,http://b.example/1\n";
    let options = with_column("list.csv", "column_2");
    let reader = ListReader::open(list.as_bytes(), &options, &Limits::default()).unwrap();
    assert_eq!(
        read_all(reader).0[0].cell.as_deref(),
        Ok("http://b.example/1")
    );
}

#[test]
fn an_absent_column_is_refused_with_those_that_exist() {
    for (name, list) in [
        ("list.csv", "url,title\nhttp://a.example/1,x\n"),
        (
            "list.ndjson",
            "{\"url\":\"http://a.example/1\",\"title\":\"x\"}\n",
        ),
    ] {
        let error = refusal_with(&with_column(name, "preview"), list);
        assert!(
            matches!(error, ListError::UnknownUrlColumn { .. }),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            "the list has no column \"preview\" (found: \"url\", \"title\")"
        );
    }
}

#[test]
fn a_message_names_no_more_columns_than_one_can_read() {
    let names: Vec<String> = (0..200)
        .map(|number| format!("c{number}{}", "x".repeat(500)))
        .collect();
    let error = refusal("list.csv", format!("{}\n1,2\n", names.join(",")));
    let message = error.to_string();
    assert!(message.contains("and 180 more"), "{message}");
    assert!(message.len() < 2_000);
}

#[test]
fn control_characters_of_a_name_are_escaped_in_messages() {
    let error = refusal("list.csv", "a\u{1b}[31m,b\n1,2\n");
    assert!(!error.to_string().contains('\u{1b}'));
}
