//! A Parquet data set: a folder of files, by the values of a column (`outcome=ok/part-00000.parquet`, as Hive names them), or of so
//! many rows each, or both.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::ResultRow;

use crate::TableWriter;
use crate::columns::{Cell, Column, Schema};
use crate::parquet_table::ParquetTable;

/// Files under way at once: each holds a row group in memory.
const MAX_PARTITIONS: usize = 64;
/// The folder of rows without a value, as Hive names it.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// How a data set is cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// By the values of this column.
    pub(crate) column: Option<String>,
    /// After so many rows.
    pub(crate) rows: Option<u64>,
}

/// A file of a data set that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartFile {
    pub(crate) path: PathBuf,
    pub(crate) rows: u64,
}

/// What is told when a file is whole.
pub(crate) type OnPart = Arc<dyn Fn(&PartFile) -> io::Result<()> + Send + Sync>;

pub(crate) struct DataSet {
    folder: PathBuf,
    /// The columns of the files; that of the partition is in the path.
    schema: Schema,
    partition: Option<Column>,
    part_rows: u64,
    open: BTreeMap<String, OpenPart>,
    on_part: OnPart,
}

struct OpenPart {
    table: Option<Box<ParquetTable<BufWriter<File>>>>,
    path: PathBuf,
    number: u64,
    rows: u64,
}

impl DataSet {
    /// In `folder`; `first_part` is the number of the first file.
    pub(crate) fn start(
        folder: &Path,
        schema: &Schema,
        cut: &Cut,
        first_part: u64,
        on_part: OnPart,
    ) -> Result<Self, pipeline::export::ExportError> {
        let partition = cut.column.as_ref().map(|name| schema.column(name).cloned());
        let partition = partition.transpose()?;
        let schema = match &partition {
            Some(column) => schema.without(&column.name),
            None => schema.clone(),
        };
        let mut set = Self {
            folder: folder.to_owned(),
            schema,
            partition,
            part_rows: cut.rows.unwrap_or(u64::MAX),
            open: BTreeMap::new(),
            on_part,
        };
        if set.partition.is_none() {
            set.open
                .insert(String::new(), OpenPart::numbered(first_part));
        }
        Ok(set)
    }

    fn partition_of(&self, row: &ResultRow) -> String {
        let Some(column) = &self.partition else {
            return String::new();
        };
        let value = match column.cell(row) {
            Cell::Null => NO_VALUE.to_owned(),
            Cell::Text(text) => escaped(&text),
            Cell::Integer(number) => number.to_string(),
            Cell::Float(number) => number.to_string(),
            Cell::Bool(value) => value.to_string(),
            Cell::Time(time) => escaped(&time.to_string()),
            Cell::List(texts) => escaped(&texts.join(";")),
        };
        format!("{}={value}", column.name)
    }

    fn write_one(&mut self, partition: &str, rows: &[&ResultRow]) -> io::Result<()> {
        if !self.open.contains_key(partition) {
            if self.open.len() == MAX_PARTITIONS {
                return Err(io::Error::other(format!(
                    "the column to partition by has more than {MAX_PARTITIONS} different values"
                )));
            }
            self.open
                .insert(partition.to_owned(), OpenPart::numbered(0));
        }
        let mut rest = rows;
        while !rest.is_empty() {
            let Some(part) = self.open.get_mut(partition) else {
                return Ok(());
            };
            let room = (self.part_rows - part.rows).min(rest.len() as u64) as usize;
            let (now, later) = rest.split_at(room);
            part.write(&self.folder.join(partition), &self.schema, now)?;
            if part.rows == self.part_rows {
                part.end(&self.on_part)?;
            }
            rest = later;
        }
        Ok(())
    }
}

impl TableWriter for DataSet {
    fn write(&mut self, rows: &[&ResultRow]) -> io::Result<()> {
        let mut by_partition: BTreeMap<String, Vec<&ResultRow>> = BTreeMap::new();
        for row in rows {
            let partition = self.partition_of(row);
            by_partition.entry(partition).or_default().push(row);
        }
        for (partition, rows) in by_partition {
            self.write_one(&partition, &rows)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        for part in self.open.values_mut() {
            if part.table.is_some() {
                part.end(&self.on_part)?;
            }
        }
        Ok(())
    }
}

impl OpenPart {
    const fn numbered(number: u64) -> Self {
        Self {
            table: None,
            path: PathBuf::new(),
            number,
            rows: 0,
        }
    }

    fn write(&mut self, folder: &Path, schema: &Schema, rows: &[&ResultRow]) -> io::Result<()> {
        let table = if let Some(table) = &mut self.table {
            table
        } else {
            fs::create_dir_all(folder)?;
            self.path = folder.join(format!("part-{:05}.parquet", self.number));
            let file = BufWriter::new(File::create(partial(&self.path))?);
            let table = ParquetTable::start(file, schema)?;
            self.table.insert(Box::new(table))
        };
        self.rows += rows.len() as u64;
        table.write(rows)
    }

    fn end(&mut self, on_part: &OnPart) -> io::Result<()> {
        if let Some(table) = self.table.take() {
            table.finish()?;
            fs::rename(partial(&self.path), &self.path)?;
            on_part(&PartFile {
                path: self.path.clone(),
                rows: self.rows,
            })?;
        }
        self.number += 1;
        self.rows = 0;
        Ok(())
    }
}

/// The name of a file that is not whole yet. Readers of data sets pass over names that begin with a dot.
pub(crate) fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

/// One of the sixteen hexadecimal digits.
fn digit(nibble: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(nibble)])
}

/// A value as part of a path: what is neither letter nor digit nor one of `-_.:` as its bytes in hexadecimal, as Hive does.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(['%', digit(byte >> 4), digit(byte & 0xf)]);
        }
    }
    if escaped.is_empty() {
        escaped.push_str(NO_VALUE);
    }
    escaped
}
