//! The table in `docs/RESULTS.md` is the table of the code.

use exports::columns::Schema;

#[test]
fn the_documented_columns_are_those_of_the_tables() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/RESULTS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let start = text.find("| column | type |\n|---|---|\n").unwrap();
    let table = text[start..].split("\n\n").next().unwrap();
    let documented: Vec<(String, String)> = table
        .lines()
        .skip(2)
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
        })
        .collect();
    let schema = Schema::of(&[], &[]);
    let columns: Vec<(String, String)> = schema
        .columns()
        .iter()
        .filter(|column| column.name != "extra_other")
        .map(|column| (column.name.to_string(), column.kind.as_str().to_owned()))
        .collect();
    assert_eq!(documented, columns);
}
