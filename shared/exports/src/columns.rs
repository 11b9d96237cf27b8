//! The columns of the result table, in the order of the contract, for every format that has columns.
//!
//! Columns carried from the list become `extra_<name>`. Their names are those of the first rows; what later rows of an irregular
//! list carry besides lies in `extra_other`, as JSON. Of each rule pack there are `rules_<pack>_passed` and `rules_<pack>_reasons`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use domain::{Exif, ResultRow};
use jiff::Timestamp;
use pipeline::export::ExportError;
use serde::Serialize;
use serde_json::{Map, Value};

/// Carried columns that get a column of their own.
pub const MAX_CARRIED_COLUMNS: usize = 200;

/// What the cells of a column hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// A whole number below 2¹⁵.
    Int16,
    /// A whole number below 2³¹.
    Int32,
    /// A whole number below 2⁶³.
    Int64,
    /// 32 bits (IEEE 754).
    Float,
    /// True or false.
    Bool,
    /// An instant, UTC.
    Time,
    /// Texts.
    List,
    /// JSON, as text.
    Json,
}

impl Kind {
    /// Its name in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float => "float32",
            Self::Bool => "boolean",
            Self::Time => "timestamp",
            Self::List => "list of text",
            Self::Json => "JSON text",
        }
    }

    /// Whether `<` and `>` say something about it.
    pub(crate) const fn is_ordered(self) -> bool {
        matches!(
            self,
            Self::Int16 | Self::Int32 | Self::Int64 | Self::Float | Self::Time
        )
    }
}

/// The content of a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// Nothing: not measured, not applicable.
    Null,
    /// Text, or JSON as text.
    Text(Cow<'a, str>),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f32),
    /// True or false.
    Bool(bool),
    /// An instant.
    Time(Timestamp),
    /// Texts, possibly none.
    List(Vec<Cow<'a, str>>),
}

/// A column.
#[derive(Clone)]
pub struct Column {
    /// Its name in the table.
    pub name: Cow<'static, str>,
    /// What it holds.
    pub kind: Kind,
    /// Whether every row has something in it.
    pub is_required: bool,
    source: Source,
}

/// Where a column's cells come from.
#[derive(Clone)]
enum Source {
    Field(for<'a> fn(&'a ResultRow) -> Cell<'a>),
    Passed(Arc<str>),
    Reasons(Arc<str>),
    Carried(Arc<str>),
    /// What is carried under none of these names.
    Others(Arc<HashSet<String>>),
}

impl Column {
    /// Its cell in a row.
    pub fn cell<'a>(&self, row: &'a ResultRow) -> Cell<'a> {
        match &self.source {
            Source::Field(read) => read(row),
            Source::Passed(pack) => match of_pack(row, pack, "passed") {
                Some(Value::Bool(passed)) => Cell::Bool(*passed),
                _ => Cell::Null,
            },
            Source::Reasons(pack) => match of_pack(row, pack, "reasons") {
                Some(Value::Array(reasons)) => {
                    let reasons = reasons.iter().filter_map(Value::as_str);
                    Cell::List(reasons.map(Cow::Borrowed).collect())
                }
                _ => Cell::Null,
            },
            Source::Carried(name) => carried(row.extra.get(&**name)),
            Source::Others(named) => {
                let others: Map<String, Value> = row
                    .extra
                    .iter()
                    .filter(|(name, _)| !named.contains(*name))
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                json(Some(&others).filter(|others| !others.is_empty()))
            }
        }
    }
}

fn of_pack<'a>(row: &'a ResultRow, pack: &str, field: &str) -> Option<&'a Value> {
    row.rules.as_ref()?.get(pack)?.get(field)
}

fn carried(value: Option<&Value>) -> Cell<'_> {
    match value {
        None | Some(Value::Null) => Cell::Null,
        Some(Value::String(text)) => Cell::Text(Cow::Borrowed(text)),
        Some(value) => Cell::Text(Cow::Owned(value.to_string())),
    }
}

fn text(value: Option<&str>) -> Cell<'_> {
    value.map_or(Cell::Null, |value| Cell::Text(Cow::Borrowed(value)))
}

fn shown<'a>(value: Option<impl ToString>) -> Cell<'a> {
    value.map_or(Cell::Null, |value| {
        Cell::Text(Cow::Owned(value.to_string()))
    })
}

/// A number that is larger than a column holds is as none: there is no such image.
fn integer<'a>(value: Option<impl TryInto<i64>>) -> Cell<'a> {
    let value = value.and_then(|value| value.try_into().ok());
    value.map_or(Cell::Null, Cell::Integer)
}

fn float<'a>(value: Option<f32>) -> Cell<'a> {
    value.map_or(Cell::Null, Cell::Float)
}

fn json<'a, T: Serialize>(value: Option<&T>) -> Cell<'a> {
    let value = value.and_then(|value| serde_json::to_string(value).ok());
    value.map_or(Cell::Null, |value| Cell::Text(Cow::Owned(value)))
}

fn exif(row: &ResultRow, field: fn(&Exif) -> Option<&str>) -> Cell<'_> {
    text(row.exif.as_ref().and_then(field))
}

/// Columns that every row has something in.
const REQUIRED: &[&str] = &["batch", "row", "url", "outcome", "attempts", "issues"];

macro_rules! fields {
    ($( $name:literal: $kind:ident, $read:expr; )+) => {
        /// The columns that every table has, but for those of rules and the carried ones.
        fn fields() -> Vec<Column> {
            vec![ $( Column {
                name: Cow::Borrowed($name),
                kind: Kind::$kind,
                is_required: REQUIRED.contains(&$name),
                source: Source::Field($read),
            }, )+ ]
        }
    };
}

fields! {
    "batch": Text, |row| shown(Some(row.batch));
    "row": Int64, |row| integer(Some(row.row));
    "url": Text, |row| text(Some(&row.url));
    "outcome": Text, |row| text(Some(row.outcome.as_str()));
    "detail": Text, |row| text(row.detail.as_deref());
    "http_status": Int16, |row| integer(row.http_status);
    "final_url": Text, |row| text(row.final_url.as_deref());
    "attempts": Int32, |row| integer(Some(row.attempts));
    "elapsed_ms": Int64, |row| integer(row.elapsed_ms);
    "fetched_at": Time, |row| row.fetched_at.map_or(Cell::Null, Cell::Time);
    "bytes": Int64, |row| integer(row.bytes);
    "declared_type": Text, |row| text(row.declared_type.as_deref());
    "etag": Text, |row| text(row.etag.as_deref());
    "last_modified": Text, |row| text(row.last_modified.as_deref());
    "format": Text, |row| text(row.format.map(domain::ImageFormat::as_str));
    "width": Int32, |row| integer(row.width);
    "height": Int32, |row| integer(row.height);
    "frames": Int32, |row| integer(row.frames);
    "has_alpha": Bool, |row| row.has_alpha.map_or(Cell::Null, Cell::Bool);
    "orientation": Int16, |row| integer(row.orientation);
    "color_space": Text, |row| text(row.color_space.as_deref());
    "exif_make": Text, |row| exif(row, |exif| exif.make.as_deref());
    "exif_model": Text, |row| exif(row, |exif| exif.model.as_deref());
    "exif_taken_at": Text, |row| exif(row, |exif| exif.taken_at.as_deref());
    "exif_has_gps": Bool, |row| row.exif.as_ref().map_or(Cell::Null, |exif| Cell::Bool(exif.has_gps));
    "sha256": Text, |row| text(row.sha256.as_deref());
    "phash": Text, |row| shown(row.phash);
    "dhash": Text, |row| shown(row.dhash);
    "thumbhash": Text, |row| text(row.thumbhash.as_deref());
    "mean_rgb": Text, |row| shown(row.mean_rgb);
    "palette": List, palette;
    "brightness": Float, |row| float(row.brightness);
    "contrast": Float, |row| float(row.contrast);
    "saturation": Float, |row| float(row.saturation);
    "sharpness": Float, |row| float(row.sharpness);
    "entropy": Float, |row| float(row.entropy);
    "issues": List, issues;
    "duplicate_of": Int64, |row| integer(row.duplicate_of);
    "duplicate_of_batch": Text, |row| shown(row.duplicate_of_batch);
    "duplicate_group": Int64, |row| integer(row.duplicate_group);
    "duplicate_group_batch": Text, |row| shown(row.duplicate_group_batch);
    "change": Text, |row| text(row.change.map(domain::Change::as_str));
    "vision": Json, |row| json(row.vision.as_ref());
}

fn palette(row: &ResultRow) -> Cell<'_> {
    let Some(colors) = &row.palette else {
        return Cell::Null;
    };
    Cell::List(colors.iter().map(|one| one.to_string().into()).collect())
}

fn issues(row: &ResultRow) -> Cell<'_> {
    Cell::List(row.issues.iter().map(|one| one.as_str().into()).collect())
}

/// Names of the columns that every table has, but for those of rules and the carried ones.
pub fn field_names() -> impl Iterator<Item = Cow<'static, str>> {
    fields().into_iter().map(|column| column.name)
}

/// The columns of one table.
#[derive(Clone)]
pub struct Schema {
    columns: Arc<[Column]>,
}

impl Schema {
    /// Every column of a batch that is checked against `packs`, and whose first rows are `first_rows`.
    pub fn of(packs: &[String], first_rows: &[ResultRow]) -> Self {
        let mut columns = fields();
        let place = columns.iter().position(|column| column.name == "issues");
        let mut place = place.map_or(columns.len(), |place| place + 1);
        for pack in packs {
            let [passed, reasons] = of_rules(pack);
            columns.insert(place, passed);
            columns.insert(place + 1, reasons);
            place += 2;
        }
        let mut names: Vec<&String> = Vec::new();
        let mut seen = HashSet::new();
        for name in first_rows.iter().flat_map(|row| row.extra.keys()) {
            if names.len() < MAX_CARRIED_COLUMNS && seen.insert(name.clone()) {
                names.push(name);
            }
        }
        columns.extend(names.iter().map(|name| Column {
            name: Cow::Owned(format!("extra_{name}")),
            kind: Kind::Text,
            is_required: false,
            source: Source::Carried(name.as_str().into()),
        }));
        let named = names.into_iter().cloned().collect();
        columns.push(Column {
            name: Cow::Borrowed("extra_other"),
            kind: Kind::Json,
            is_required: false,
            source: Source::Others(Arc::new(named)),
        });
        make_distinct(&mut columns);
        Self {
            columns: columns.into(),
        }
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Only the columns with these names, in their order; all when there are none. `exif`, `rules` and `extra` stand for all columns
    /// whose names begin so.
    pub fn select(&self, names: &[String]) -> Result<Self, ExportError> {
        if names.is_empty() {
            return Ok(self.clone());
        }
        let mut columns: Vec<Column> = Vec::new();
        for name in names {
            let prefix = format!("{name}_");
            let is_group = GROUPS.contains(&name.as_str());
            let wanted = |column: &&Column| {
                column.name == name.as_str() || is_group && column.name.starts_with(&prefix)
            };
            let found: Vec<Column> = self.columns.iter().filter(wanted).cloned().collect();
            if found.is_empty() && !is_group {
                return Err(no_such_column(name, self.columns.iter()));
            }
            for column in found {
                if !columns.iter().any(|there| there.name == column.name) {
                    columns.push(column);
                }
            }
        }
        Ok(Self {
            columns: columns.into(),
        })
    }

    /// All but the column with this name.
    pub(crate) fn without(&self, name: &str) -> Self {
        let columns = self.columns.iter().filter(|column| column.name != name);
        Self {
            columns: columns.cloned().collect(),
        }
    }

    /// The column with this name.
    pub fn column(&self, name: &str) -> Result<&Column, ExportError> {
        let mut columns = self.columns.iter();
        let found = columns.find(|column| column.name == name);
        found.ok_or_else(|| no_such_column(name, self.columns.iter()))
    }
}

/// Names that stand for several columns.
const GROUPS: &[&str] = &["exif", "rules", "extra"];

fn no_such_column<'a>(name: &str, columns: impl Iterator<Item = &'a Column>) -> ExportError {
    let names: Vec<&str> = columns.map(|column| &*column.name).collect();
    let names = names.join(", ");
    ExportError::Request(format!(
        "there is no column {name:?}; there are {names}, and exif, rules and extra for all that begin so"
    ))
}

fn of_rules(pack: &str) -> [Column; 2] {
    let name: String = pack
        .chars()
        .map(|one| if one.is_alphanumeric() { one } else { '_' })
        .collect();
    let column = |ending, kind, source| Column {
        name: Cow::Owned(format!("rules_{name}_{ending}")),
        kind,
        is_required: false,
        source,
    };
    [
        column("passed", Kind::Bool, Source::Passed(pack.into())),
        column("reasons", Kind::List, Source::Reasons(pack.into())),
    ]
}

/// Databases do not tell upper from lower case in names of columns; of several alike the later ones get a number.
fn make_distinct(columns: &mut [Column]) {
    let mut taken = HashSet::new();
    for column in columns {
        let name = column.name.clone();
        let mut number = 1;
        while !taken.insert(column.name.to_lowercase()) {
            number += 1;
            column.name = Cow::Owned(format!("{name}_{number}"));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use domain::{ChunkRow, Outcome};

    pub(crate) fn row(number: u64, extra: &str) -> ResultRow {
        let chunk_row = ChunkRow {
            row: number,
            url: format!("http://example.com/{number}"),
            extra: serde_json::from_str(extra).unwrap(),
            verdict: None,
            earlier: None,
        };
        let batch = "00000000000000000000000000".parse().unwrap();
        ResultRow::new(batch, &chunk_row, Outcome::Ok)
    }

    fn names(schema: &Schema) -> Vec<&str> {
        let columns = schema.columns().iter();
        columns.map(|column| &*column.name).collect()
    }

    #[test]
    fn every_field_of_a_row_has_its_column() {
        // The fields of the contract, as a row with all of them is written.
        let mut row = row(0, r#"{"sku":"a"}"#);
        row.exif = Some(Exif::default());
        let written = serde_json::to_value(&row).unwrap();
        let columns = Schema::of(&["own".to_owned()], &[row]);
        let columns = names(&columns);
        for (name, value) in written.as_object().unwrap() {
            let fields = value.as_object().filter(|_| name != "extra");
            let expected: Vec<String> = match fields {
                None if name == "rules" => vec!["rules_own_passed".to_owned()],
                None if name == "extra" => vec!["extra_sku".to_owned()],
                None => vec![name.clone()],
                Some(fields) => fields.keys().map(|key| format!("{name}_{key}")).collect(),
            };
            for name in expected {
                assert!(columns.contains(&name.as_str()), "{name}: {columns:?}");
            }
        }
    }

    #[test]
    fn carried_columns_keep_their_order_and_get_distinct_names() {
        let rows = [
            row(0, r#"{"SKU":"a","price":1,"other":"x"}"#),
            row(1, r#"{"sku":"b","late":true}"#),
        ];
        let schema = Schema::of(&[], &rows[..1]);
        let carried = names(&schema).split_off(field_names().count());
        assert_eq!(
            carried,
            ["extra_SKU", "extra_price", "extra_other", "extra_other_2"]
        );
        let cell = |name: &str, row: usize| schema.column(name).unwrap().cell(&rows[row]);
        assert_eq!(cell("extra_price", 0), Cell::Text("1".into()));
        assert_eq!(cell("extra_SKU", 1), Cell::Null);
        assert_eq!(
            cell("extra_other_2", 1),
            Cell::Text(r#"{"sku":"b","late":true}"#.into())
        );
        let both = Schema::of(&[], &rows);
        assert!(names(&both).contains(&"extra_sku_2"));
    }

    #[test]
    fn columns_are_chosen_by_name_and_by_group() {
        let schema = Schema::of(&[], &[row(0, r#"{"sku":"a"}"#)]);
        let wanted = ["url", "exif", "extra", "row"].map(str::to_owned);
        let chosen = schema.select(&wanted).unwrap();
        assert_eq!(
            names(&chosen),
            [
                "url",
                "exif_make",
                "exif_model",
                "exif_taken_at",
                "exif_has_gps",
                "extra_sku",
                "extra_other",
                "row"
            ]
        );
        let error = schema.select(&["hight".to_owned()]).err().unwrap();
        assert!(error.to_string().contains("no column \"hight\""), "{error}");
    }

    #[test]
    fn rules_are_read_by_pack() {
        let mut row = row(0, "{}");
        let rules = r#"{"my-own":{"passed":false,"reasons":["It is small."]}}"#;
        row.rules = serde_json::from_str(rules).unwrap();
        let schema = Schema::of(&["my-own".to_owned()], &[]);
        let cell = |name| schema.column(name).unwrap().cell(&row);
        assert_eq!(cell("rules_my_own_passed"), Cell::Bool(false));
        assert_eq!(
            cell("rules_my_own_reasons"),
            Cell::List(vec!["It is small.".into()])
        );
    }
}
