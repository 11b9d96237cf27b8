//! Tables in a folder, with `manifest.json` and `SHA256SUMS` beside them.
//!
//! Every file has its name only once it is whole. Of a batch whose report is written, what the manifest says is there already is not
//! written again: an export that was interrupted goes on, in a data set of so many rows a file from the first file that is missing.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{Batch, BatchId};
use parking_lot::Mutex;
use pipeline::Ports;
use pipeline::export::{ExportError, ExportFormat, RowReader, TableRequest};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::TableWriter;
use crate::columns::Schema;
use crate::data_set::{Cut, DataSet, PartFile, partial};
use crate::sqlite_table::SqliteTable;
use crate::stream::{Selection, streamed};

/// Beside the tables.
const MANIFEST: &str = "manifest.json";
/// The same sums as `sha256sum --check` reads them.
const SUMS: &str = "SHA256SUMS";
/// The folder of a data set.
const DATA_SET: &str = "results";

/// What to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesRequest {
    /// Formats, each a file, or of Parquet a data set if it is cut.
    pub formats: Vec<ExportFormat>,
    /// Which rows and columns.
    pub table: TableRequest,
    /// Cuts Parquet by the values of this column, into folders.
    pub partition: Option<String>,
    /// Cuts Parquet into files of so many rows.
    pub part_rows: Option<u64>,
}

/// What was written, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What the tables are of.
    #[serde(flatten)]
    pub of: Contents,
    /// The tables.
    pub tables: Vec<Table>,
}

/// What tables are of; of the same contents they are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The batch.
    pub batch: BatchId,
    /// Its round: 0, and one more with every retry.
    pub generation: u32,
    /// Whether every row was done, and what only a look at all rows tells is in the tables.
    pub is_final: bool,
    /// Names of columns that were asked for; all when empty.
    pub columns: Vec<String>,
    /// Conditions that rows had to meet.
    pub conditions: Vec<String>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The format's name.
    pub format: String,
    /// The column that it is partitioned by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Rows of each of its files but the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_rows: Option<u64>,
    /// Whether all of it is there.
    pub is_complete: bool,
    /// Rows, in all files together.
    pub rows: u64,
    /// The files that are whole.
    pub files: Vec<WrittenFile>,
}

/// A file that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// Where, below the manifest's folder.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Length.
    pub bytes: u64,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = &WrittenFile> {
        self.tables.iter().flat_map(|table| &table.files)
    }

    fn read(folder: &Path) -> Option<Self> {
        // One that cannot be read is as none: everything is written again.
        serde_json::from_slice(&fs::read(folder.join(MANIFEST)).ok()?).ok()
    }

    fn save(&self, folder: &Path) -> io::Result<()> {
        let mut sums = String::new();
        for file in self.files() {
            for part in [file.sha256.as_str(), "  ", &file.path, "\n"] {
                sums.push_str(part);
            }
        }
        put(&folder.join(SUMS), sums.as_bytes())?;
        put(&folder.join(MANIFEST), &serde_json::to_vec_pretty(self)?)
    }

    fn table(&mut self, format: ExportFormat) -> Option<&mut Table> {
        let mut tables = self.tables.iter_mut();
        tables.find(|table| table.format == format.as_str())
    }
}

fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::write(partial(path), content)?;
    fs::rename(partial(path), path)
}

/// The manifest, written anew whenever a file is whole.
struct Ledger {
    folder: PathBuf,
    manifest: Mutex<Manifest>,
}

impl Ledger {
    fn add(&self, format: ExportFormat, path: &Path, rows: u64) -> io::Result<()> {
        let relative = path.strip_prefix(&self.folder).unwrap_or(path);
        let names = relative.iter().map(|name| name.to_string_lossy());
        let (sha256, bytes) = sum(path)?;
        let file = WrittenFile {
            path: names.collect::<Vec<_>>().join("/"),
            rows,
            bytes,
            sha256,
        };
        let mut manifest = self.manifest.lock();
        if let Some(table) = manifest.table(format) {
            table.rows += rows;
            table.files.push(file);
        }
        manifest.save(&self.folder)
    }

    fn complete(&self, format: ExportFormat) -> io::Result<()> {
        let mut manifest = self.manifest.lock();
        if let Some(table) = manifest.table(format) {
            table.is_complete = true;
        }
        manifest.save(&self.folder)
    }
}

/// SHA-256 and length of a file.
fn sum(path: &Path) -> io::Result<(String, u64)> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        bytes += length as u64;
        hasher.update(&buffer[..length]);
    }
    let digits = hasher
        .finalize()
        .into_iter()
        .map(|byte| format!("{byte:02x}"));
    Ok((digits.collect(), bytes))
}

/// Writes the tables of a batch below `folder`, but those that are there already.
pub async fn write_files(
    ports: &Ports,
    batch: &Batch,
    request: &FilesRequest,
    folder: &Path,
) -> Result<Manifest, ExportError> {
    fs::create_dir_all(folder)?;
    let of = Contents {
        batch: batch.id,
        generation: batch.generation(),
        is_final: batch.report_ready,
        columns: request.table.columns.clone(),
        conditions: request.table.conditions.clone(),
    };
    let mut selection = Selection::new(batch, &request.table)?;
    let earlier = Manifest::read(folder);
    let mut plan = Vec::new();
    let mut tables = Vec::new();
    for format in &request.formats {
        let wanted = request.table_of(*format);
        let there = earlier.as_ref().and_then(|earlier| {
            let table = earlier.tables.iter().find(|table| table.is_same(&wanted))?;
            let is_usable = earlier.of == of && of.is_final && table.is_there(folder);
            is_usable.then(|| table.clone())
        });
        let can_go_on = wanted.partition.is_none() && wanted.part_rows.is_some();
        let table = match there {
            Some(table) if table.is_complete => {
                tables.push(table);
                continue;
            }
            Some(table) if can_go_on => table,
            _ => {
                make_room(folder, &wanted, earlier.as_ref())?;
                wanted
            }
        };
        plan.push((*format, table.files.len() as u64, table.rows));
        tables.push(table);
    }
    let ledger = Arc::new(Ledger {
        folder: folder.to_owned(),
        manifest: Mutex::new(Manifest { of, tables }),
    });
    if !plan.is_empty() {
        ledger.manifest.lock().save(folder)?;
        write_tables(ports, batch, request, &mut selection, &plan, &ledger).await?;
    }
    let manifest = ledger.manifest.lock().clone();
    manifest.save(folder)?;
    Ok(manifest)
}

impl FilesRequest {
    fn table_of(&self, format: ExportFormat) -> Table {
        let is_cut = format == ExportFormat::Parquet;
        Table {
            format: format.as_str().to_owned(),
            partition: self.partition.clone().filter(|_| is_cut),
            part_rows: self.part_rows.filter(|_| is_cut),
            is_complete: false,
            rows: 0,
            files: Vec::new(),
        }
    }
}

impl Table {
    fn is_same(&self, other: &Self) -> bool {
        self.format == other.format
            && self.partition == other.partition
            && self.part_rows == other.part_rows
    }

    const fn is_data_set(&self) -> bool {
        self.partition.is_some() || self.part_rows.is_some()
    }

    /// Whether all its files are, with the length they had.
    fn is_there(&self, folder: &Path) -> bool {
        self.files.iter().all(|file| {
            let found = fs::metadata(folder.join(&file.path));
            found.is_ok_and(|found| found.len() == file.bytes)
        })
    }
}

/// Removes the files of an earlier data set, and refuses a folder that holds others: they would be read as a part of it.
fn make_room(folder: &Path, wanted: &Table, earlier: Option<&Manifest>) -> Result<(), ExportError> {
    if !wanted.is_data_set() {
        return Ok(());
    }
    let ours = earlier.iter().flat_map(|earlier| earlier.files());
    let within = format!("{DATA_SET}/");
    for file in ours.filter(|file| file.path.starts_with(&within)) {
        let path = folder.join(&file.path);
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let data_set = folder.join(DATA_SET);
    if let Some(other) = any_file(&data_set)? {
        return Err(ExportError::Request(format!(
            "{} is not of an export of ours and would be read as a part of the data set: choose another folder",
            other.display()
        )));
    }
    Ok(())
}

/// Some file below `folder` that a reader of a data set would take for a part of it.
fn any_file(folder: &Path) -> io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if !entry.file_type()?.is_dir() {
            return Ok(Some(entry.path()));
        }
        if let Some(found) = any_file(&entry.path())? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A table under way.
struct UnderWay<'a> {
    format: ExportFormat,
    table: Box<dyn TableWriter + 'a>,
    /// Its only file; `None` of a data set, which tells of its files itself.
    file: Option<PathBuf>,
    /// Rows that an earlier process wrote.
    skip: u64,
    rows: u64,
}

/// All of `plan` in one pass over the rows: formats, files that are there of each, and the rows in them.
async fn write_tables(
    ports: &Ports,
    batch: &Batch,
    request: &FilesRequest,
    selection: &mut Selection,
    plan: &[(ExportFormat, u64, u64)],
    ledger: &Arc<Ledger>,
) -> Result<(), ExportError> {
    let mut reader = RowReader::of(ports, batch.id).await?;
    let mut under_way: Option<Vec<UnderWay<'_>>> = None;
    loop {
        let chunk = reader.next_chunk().await?;
        let is_end = chunk.is_none();
        let rows = chunk.map_or_else(|| Ok(Vec::new()), |chunk| chunk.rows())?;
        let rows = selection.of(&rows)?;
        let tables = if let Some(tables) = &mut under_way {
            tables
        } else {
            let schema = selection.schema()?;
            let started = plan
                .iter()
                .map(|planned| start(*planned, request, schema, ledger));
            under_way.insert(started.collect::<Result<_, _>>()?)
        };
        for under_way in tables {
            let skipped = under_way.skip.min(rows.len() as u64);
            under_way.skip -= skipped;
            let rows = &rows[skipped as usize..];
            under_way.rows += rows.len() as u64;
            under_way.table.write(rows)?;
        }
        if is_end {
            break;
        }
    }
    for ended in under_way.into_iter().flatten() {
        ended.table.finish()?;
        if let Some(path) = ended.file {
            fs::rename(partial(&path), &path)?;
            ledger.add(ended.format, &path, ended.rows)?;
        }
        ledger.complete(ended.format)?;
    }
    Ok(())
}

fn start<'a>(
    (format, files, skip): (ExportFormat, u64, u64),
    request: &FilesRequest,
    schema: &Schema,
    ledger: &Arc<Ledger>,
) -> Result<UnderWay<'a>, ExportError> {
    let wanted = request.table_of(format);
    if wanted.is_data_set() {
        let told = Arc::clone(ledger);
        let on_part = move |part: &PartFile| told.add(format, &part.path, part.rows);
        let cut = Cut {
            column: wanted.partition,
            rows: wanted.part_rows,
        };
        let folder = ledger.folder.join(DATA_SET);
        let set = DataSet::start(&folder, schema, &cut, files, Arc::new(on_part))?;
        return Ok(UnderWay {
            format,
            table: Box::new(set),
            file: None,
            skip,
            rows: 0,
        });
    }
    let path = ledger.folder.join(format!("results.{}", format.as_str()));
    let table: Box<dyn TableWriter> = if format == ExportFormat::Sqlite {
        match fs::remove_file(partial(&path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Box::new(SqliteTable::create(&partial(&path), schema)?)
    } else {
        let file = File::create(partial(&path))?;
        let sink: Box<dyn Write + Send> = Box::new(io::BufWriter::new(file));
        streamed(format, sink, schema, request.table.columns.is_empty())?
    };
    Ok(UnderWay {
        format,
        table,
        file: Some(path),
        skip: 0,
        rows: 0,
    })
}
