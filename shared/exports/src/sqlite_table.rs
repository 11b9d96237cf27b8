//! A SQLite file with the table `results`: `row` is its key, `outcome`, `sha256` and `duplicate_group` are indexed.
//!
//! SQLite has neither booleans nor lists nor instants: those are 0 and 1, JSON arrays, and RFC 3339 text.

use std::io;
use std::path::Path;

use domain::ResultRow;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use crate::TableWriter;
use crate::columns::{Cell, Column, Kind, Schema};

/// Columns worth an index, where they are in the table.
const INDEXED: &[&str] = &["outcome", "sha256", "duplicate_group"];
/// Rows of one transaction.
const ROWS_TOGETHER: usize = 20_000;

pub(crate) struct SqliteTable {
    connection: Connection,
    schema: Schema,
    insert: String,
    /// Rows in the transaction under way.
    rows: usize,
}

impl SqliteTable {
    /// Makes the file at `path`, where there must be none.
    pub(crate) fn create(path: &Path, schema: &Schema) -> io::Result<Self> {
        let connection = Connection::open(path).map_err(io::Error::other)?;
        // Nobody reads a file that is not finished, so nothing has to survive a crash half way.
        let settings =
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;";
        connection
            .execute_batch(settings)
            .map_err(io::Error::other)?;
        let columns = schema.columns();
        let definitions: Vec<String> = columns.iter().map(definition).collect();
        let create = format!(
            "CREATE TABLE results (\n  {}\n) STRICT; BEGIN;",
            definitions.join(",\n  ")
        );
        connection
            .execute_batch(&create)
            .map_err(io::Error::other)?;
        let places = vec!["?"; columns.len()].join(",");
        Ok(Self {
            connection,
            schema: schema.clone(),
            insert: format!("INSERT INTO results VALUES ({places})"),
            rows: 0,
        })
    }

    fn insert(&mut self, rows: &[&ResultRow]) -> rusqlite::Result<()> {
        for row in rows {
            let mut statement = self.connection.prepare_cached(&self.insert)?;
            let columns = self.schema.columns().iter();
            let cells = columns.map(|column| InDatabase(column.cell(row)));
            statement.execute(params_from_iter(cells))?;
            self.rows += 1;
            if self.rows == ROWS_TOGETHER {
                self.rows = 0;
                self.connection.execute_batch("COMMIT; BEGIN;")?;
            }
        }
        Ok(())
    }

    fn close(self) -> rusqlite::Result<()> {
        self.connection.execute_batch("COMMIT;")?;
        let names = self.schema.columns().iter().map(|column| &*column.name);
        for name in names.filter(|name| INDEXED.contains(name)) {
            let index = format!("CREATE INDEX results_{name} ON results ({name});");
            self.connection.execute_batch(&index)?;
        }
        self.connection.execute_batch("PRAGMA optimize;")?;
        self.connection.close().map_err(|(_, error)| error)
    }
}

impl TableWriter for SqliteTable {
    fn write(&mut self, rows: &[&ResultRow]) -> io::Result<()> {
        self.insert(rows).map_err(io::Error::other)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.close().map_err(io::Error::other)
    }
}

fn definition(column: &Column) -> String {
    let kind = match column.kind {
        Kind::Int16 | Kind::Int32 | Kind::Int64 | Kind::Bool => "INTEGER",
        Kind::Float => "REAL",
        Kind::Text | Kind::Time | Kind::List | Kind::Json => "TEXT",
    };
    // A name between double quotes may hold anything but a zero; double quotes are doubled.
    let name = column.name.replace('"', "\"\"").replace('\0', "_");
    let constraint = match (&*column.name, column.is_required) {
        ("row", _) => " PRIMARY KEY",
        (_, true) => " NOT NULL",
        (_, false) => "",
    };
    format!("\"{name}\" {kind}{constraint}")
}

/// A cell as SQLite keeps it.
struct InDatabase<'a>(Cell<'a>);

impl ToSql for InDatabase<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match &self.0 {
            Cell::Null => ToSqlOutput::Owned(Value::Null),
            Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Cell::Integer(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Cell::Float(number) => ToSqlOutput::Owned(Value::Real(shortest(*number))),
            Cell::Bool(value) => ToSqlOutput::Owned(Value::Integer(i64::from(*value))),
            Cell::Time(time) => ToSqlOutput::Owned(Value::Text(time.to_string())),
            Cell::List(texts) => {
                let text = serde_json::to_string(texts)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
                ToSqlOutput::Owned(Value::Text(text))
            }
        })
    }
}

/// The number as it is written in decimal: 0.1, not the 0.100000001490116 that 32 bits widen to.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}
