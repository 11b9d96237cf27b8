//! Whatever the bytes.

use domain::{Limits, ListFormat};
use list_reader::{ListOptions, ListReader};
use proptest::prelude::*;

use crate::support::{Trickle, named, read_all, small_limits};

fn any_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "list.csv",
        "list.tsv",
        "list.ndjson",
        "list.txt",
        "list.urls",
        "",
    ])
}

/// Bytes that mean something to a list, more often than chance has them.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            &b"\""[..], b"\"\"", b",", b";", b"\t", b"\n", b"\r\n", b"\r", b" ", b"{", b"}", b"\"url\":", b"url", b"http://a.example/1",
            b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"null", b"[", b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ])
        .prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    let beginning = prop_oneof![
        Just(&b""[..]),
        Just(&b"url,a\n"[..]),
        Just(&b"\"http://a.example/1\"\n"[..]),
        Just(&b"http://a.example/1\n"[..])
    ];
    (beginning, prop::collection::vec(piece, 0..120))
        .prop_map(|(beginning, pieces)| [beginning, &pieces.concat()].concat())
}

/// Cells of a table: the first column holds the URLs.
fn any_table() -> impl Strategy<Value = Vec<Vec<String>>> {
    let cell = prop_oneof!["[a-z]{0,6}", any::<String>(), "[\",;\r\n\t a\u{feff}]{0,6}",];
    (2_usize..6).prop_flat_map(move |columns| {
        let row = (
            "[a-z0-9,\"]{0,12}",
            prop::collection::vec(cell.clone(), columns - 1),
        )
            .prop_map(|(path, cells)| {
                let mut row = vec![format!("http://a.example/{path}")];
                row.extend(cells);
                row
            });
        prop::collection::vec(row, 1..30)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_bytes_make_it_panic_or_go_on_for_ever(bytes in any_bytes(), name in any_name(), small in any::<bool>()) {
        let limits = if small { small_limits() } else { Limits::default() };
        if let Ok(mut reader) = ListReader::open(&bytes[..], &named(name), &limits) {
            let mut last_line = 0;
            while let Some(Ok(row)) = reader.next_row() {
                prop_assert!(row.line > last_line);
                last_line = row.line;
                if let Ok(cell) = row.cell {
                    prop_assert!(!cell.is_empty() && cell.len() <= limits.max_url_bytes && cell.trim() == cell);
                }
                for (name, text) in row.extra {
                    prop_assert!(name.len().max(text.len()) <= limits.max_field_bytes);
                }
            }
            prop_assert!(reader.rows_read() <= bytes.len() as u64);
        }
    }

    #[test]
    fn no_bytes_read_differently_when_they_trickle(bytes in any_bytes(), name in any_name(), step in 1_usize..5) {
        let whole = ListReader::open(&bytes[..], &named(name), &small_limits());
        let source = Trickle { bytes: &bytes, step, failure: None };
        let trickled = ListReader::open(source, &named(name), &small_limits());
        match (whole, trickled) {
            (Ok(whole), Ok(trickled)) => prop_assert_eq!(read_all(whole).0, read_all(trickled).0),
            (Err(whole), Err(trickled)) => prop_assert_eq!(whole.to_string(), trickled.to_string()),
            (whole, trickled) => prop_assert!(false, "{:?} {:?}", whole, trickled),
        }
    }

    #[test]
    fn a_well_formed_table_comes_back_cell_by_cell(
        table in any_table(),
        delimiter in prop::sample::select(vec![b',', b';', b'\t']),
        crlf in any::<bool>(),
        always_quoted in any::<bool>(),
    ) {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let style = if always_quoted { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .terminator(terminator)
            .quote_style(style)
            .from_writer(Vec::new());
        let columns = table[0].len();
        let header: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
        writer.write_record(&header).unwrap();
        for row in &table {
            writer.write_record(row).unwrap();
        }
        let list = writer.into_inner().unwrap();
        let format = if delimiter == b'\t' { ListFormat::Tsv } else { ListFormat::Csv };
        let options = ListOptions { format: Some(format), url_column: Some("c0".to_owned()), name: String::new() };
        let reader = ListReader::open(&list[..], &options, &Limits::default()).unwrap();
        let (rows, error) = read_all(reader);
        prop_assert!(error.is_none());
        prop_assert_eq!(rows.len(), table.len());
        for (row, expected) in rows.iter().zip(&table) {
            prop_assert_eq!(row.cell.as_deref().unwrap(), expected[0].trim());
            let extra: Vec<&String> = row.extra.iter().map(|(_, text)| text).collect();
            prop_assert_eq!(extra, expected[1..].iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_url_of_a_text_comes_back(paths in prop::collection::vec("[a-z0-9,;?&=%_.-]{0,40}", 1..50)) {
        let urls: Vec<String> = paths.iter().map(|path| format!("https://a.example/{path}")).collect();
        let list = urls.join("\n");
        for name in ["list.txt", ""] {
            let reader = ListReader::open(list.as_bytes(), &named(name), &Limits::default()).unwrap();
            let read: Vec<String> = read_all(reader).0.into_iter().map(|row| row.cell.unwrap()).collect();
            prop_assert_eq!(&read, &urls);
        }
    }
}
