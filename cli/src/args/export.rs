//! Which tables to write: for `run`, and for `export` afterwards.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use domain::BatchId;
use exports::FilesRequest;
use pipeline::export::{ExportFormat, TableRequest};

use super::remote::DEFAULT_ENDPOINT;

/// `imgsweep export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder of a run, the data folder of a server, or the id of a batch of the server at --endpoint
    #[arg(value_name = "DIR|ID")]
    pub folder: PathBuf,
    /// Folder for the tables [default: that of the run; of a server `exports/` and the batch]; with an id the one file [default:
    /// standard output]
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Which batch of a server [default: the newest]
    #[arg(long, value_name = "ID")]
    pub batch: Option<BatchId>,
    /// Print the manifest as JSON on standard output
    #[arg(long)]
    pub json: bool,
    /// Address of a deployed stack or of `imgsweep serve`, for an id
    #[arg(long, env = "IMGSWEEP_ENDPOINT", value_name = "URL", default_value = DEFAULT_ENDPOINT)]
    pub endpoint: String,
    /// A token of that server
    #[arg(
        long,
        env = "IMGSWEEP_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// Tables to write.
    #[command(flatten)]
    pub tables: TableArgs,
}

/// Tables to write.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tables")]
pub struct TableArgs {
    /// Formats of the result table
    #[arg(long, value_enum, value_delimiter = ',', default_value = "ndjson")]
    pub format: Vec<TableFormat>,
    /// Columns, in the order they are to have; `exif`, `rules` and `extra` stand for all that begin so [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub columns: Vec<String>,
    /// Only rows that meet a condition, such as outcome=ok or width>=500 (repeatable)
    #[arg(long = "where", value_name = "CONDITION")]
    pub conditions: Vec<String>,
    /// Cut Parquet by the values of a column, into folders of a data set
    #[arg(long, value_name = "COLUMN")]
    pub partition: Option<String>,
    /// Cut Parquet into files of so many rows of a data set
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub part_rows: Option<u64>,
}

impl TableArgs {
    /// What the exporter is asked for: every format once.
    pub fn request(&self) -> FilesRequest {
        let mut formats: Vec<ExportFormat> = Vec::new();
        for format in &self.format {
            let format = (*format).into();
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        FilesRequest {
            formats,
            table: TableRequest {
                columns: self.columns.clone(),
                conditions: self.conditions.clone(),
            },
            partition: self.partition.clone(),
            part_rows: self.part_rows,
        }
    }
}

/// A format of the result table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// One JSON object a line
    Ndjson,
    /// The same, compressed with zstd
    #[value(name = "ndjson.zst")]
    NdjsonZst,
    /// Comma-separated values, safe to open in a spreadsheet
    Csv,
    /// Apache Parquet: typed columns, for `DuckDB`, pandas, polars
    Parquet,
    /// A SQLite database with the table `results`
    Sqlite,
}

impl From<TableFormat> for ExportFormat {
    fn from(format: TableFormat) -> Self {
        match format {
            TableFormat::Ndjson => Self::Ndjson,
            TableFormat::NdjsonZst => Self::NdjsonZst,
            TableFormat::Csv => Self::Csv,
            TableFormat::Parquet => Self::Parquet,
            TableFormat::Sqlite => Self::Sqlite,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    #[test]
    fn formats_are_a_list_with_commas_each_once() {
        let said = "imgsweep run list.csv --format ndjson,csv,ndjson --where outcome=ok --where width>=500";
        let cli = Cli::try_parse_from(said.split(' ')).unwrap();
        let Command::Run(run) = cli.command else {
            panic!("not run");
        };
        let request = run.tables.request();
        assert_eq!(request.formats, [ExportFormat::Ndjson, ExportFormat::Csv]);
        assert_eq!(request.table.conditions, ["outcome=ok", "width>=500"]);
    }

    #[test]
    fn names_of_formats_are_those_of_the_exporter() {
        for format in TableFormat::value_variants() {
            let name = format.to_possible_value().unwrap();
            assert_eq!(name.get_name(), ExportFormat::from(*format).as_str());
        }
    }
}
