"""Opens the tables of a folder with the readers that people use, and holds them against the NDJSON row by row.

usage: check.py FOLDER     (results.ndjson, .ndjson.zst, .csv, .parquet, .sqlite and the manifest; `results/`, if there is one)

Every difference ends it with a sentence; the end is a line a reader.
"""

import datetime
import hashlib
import itertools
import json
import math
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy
import pandas
import polars
import zstandard

TYPES = {
    # column: (DuckDB, polars, Arrow)
    "batch": ("VARCHAR", "String", "string"),
    "row": ("BIGINT", "Int64", "int64"),
    "url": ("VARCHAR", "String", "string"),
    "outcome": ("VARCHAR", "String", "string"),
    "http_status": ("SMALLINT", "Int16", "int16"),
    "attempts": ("INTEGER", "Int32", "int32"),
    "elapsed_ms": ("BIGINT", "Int64", "int64"),
    "fetched_at": ("TIMESTAMP WITH TIME ZONE", "Datetime(time_unit='us', time_zone='UTC')", "timestamp[us, tz=UTC]"),
    "bytes": ("BIGINT", "Int64", "int64"),
    "width": ("INTEGER", "Int32", "int32"),
    "has_alpha": ("BOOLEAN", "Boolean", "bool"),
    "orientation": ("SMALLINT", "Int16", "int16"),
    "exif_has_gps": ("BOOLEAN", "Boolean", "bool"),
    "phash": ("VARCHAR", "String", "string"),
    "palette": ("VARCHAR[]", "List(String)", "list<element: string not null>"),
    "contrast": ("FLOAT", "Float32", "float"),
    "issues": ("VARCHAR[]", "List(String)", "list<element: string not null>"),
    "duplicate_of": ("BIGINT", "Int64", "int64"),
    "vision": ("VARCHAR", "String", "string"),
    "extra_other": ("VARCHAR", "String", "string"),
}

# Columns that are compared cell by cell, and how a row of the NDJSON has them.
COMPARED = [
    "row", "url", "outcome", "detail", "http_status", "attempts", "elapsed_ms", "bytes", "format", "width", "height",
    "has_alpha", "color_space", "sha256", "phash", "mean_rgb", "brightness", "contrast", "sharpness", "duplicate_of",
    "duplicate_group",
]


def fail(sentence):
    sys.exit(f"check-exports: {sentence}")


def flat(row):
    cells = {name: row[name] for name in COMPARED}
    exif = row["exif"] or {}
    cells["exif_make"] = exif.get("make")
    cells["exif_has_gps"] = exif.get("has_gps")
    cells["issues"] = row["issues"]
    cells["palette"] = row["palette"]
    cells["fetched_at"] = row["fetched_at"]
    for name, value in row["extra"].items():
        cells[f"extra_{name}"] = value if isinstance(value, str) or value is None else json.dumps(value)
    return cells


def is_nothing(value):
    return value is None or value is pandas.NaT or (isinstance(value, float) and math.isnan(value))


def same(name, ours, theirs):
    if isinstance(theirs, (list, numpy.ndarray)):
        return list(theirs) == (ours or []) if ours is not None else False
    if is_nothing(theirs):
        return ours is None
    if ours is None:
        return False
    if name == "fetched_at":
        instant = datetime.datetime.fromisoformat(ours.replace("Z", "+00:00"))
        return theirs == instant
    if isinstance(ours, float):
        return numpy.float32(ours) == numpy.float32(theirs)
    return ours == theirs


def compare(reader, records, rows):
    """`records` has the rows as dictionaries of plain values, ascending."""
    count = 0
    for record, row in zip(records, rows, strict=True):
        for name, ours in flat(row).items():
            if not same(name, ours, record[name]):
                fail(f"{reader}: row {row['row']}, {name}: {record[name]!r} is not {ours!r}")
        count += 1
    return count


def lines(folder):
    with open(folder / "results.ndjson") as file:
        for line in file:
            yield json.loads(line)


def check_sums(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    count = 0
    for table in manifest["tables"]:
        for file in table["files"]:
            path = folder / file["path"]
            with open(path, "rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            if digest != file["sha256"] or path.stat().st_size != file["bytes"]:
                fail(f"{file['path']} is not what the manifest says")
            count += 1
    return f"{count} files are what the manifest says"


def check_zstd(folder):
    plain = hashlib.sha256()
    with open(folder / "results.ndjson", "rb") as file:
        plain = hashlib.file_digest(file, "sha256").hexdigest()
    unpacked = hashlib.sha256()
    with open(folder / "results.ndjson.zst", "rb") as file:
        for piece in zstandard.ZstdDecompressor().read_to_iter(file):
            unpacked.update(piece)
    if unpacked.hexdigest() != plain:
        fail("results.ndjson.zst is not results.ndjson, compressed")
    return "unpacked, the same bytes as the plain NDJSON"


def check_types(reader, types, place):
    for name, expected in TYPES.items():
        if types[name] != expected[place]:
            fail(f"{reader}: {name} is of type {types[name]}, not {expected[place]}")


def check_duckdb(folder):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    path = str(folder / "results.parquet")
    types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()}
    check_types("DuckDB", types, 0)
    groups = connection.execute(
        f"SELECT row_group_id, max(row_group_num_rows) FROM parquet_metadata('{path}') GROUP BY 1 ORDER BY 1"
    ).fetchall()
    if any(rows > 122_880 for _, rows in groups):
        fail(f"a row group has more than 122,880 rows: {groups}")
    without = connection.execute(
        f"SELECT DISTINCT path_in_schema FROM parquet_metadata('{path}') WHERE stats_null_count IS NULL"
    ).fetchall()
    if without:
        fail(f"columns without statistics: {without}")
    cursor = connection.execute(f"SELECT * FROM '{path}' ORDER BY row")
    names = [column[0] for column in cursor.description]

    def records():
        while rows := cursor.fetchmany(10_000):
            for row in rows:
                yield dict(zip(names, row))

    count = compare("DuckDB", records(), lines(folder))
    return f"{count} rows, {len(groups)} row groups, statistics in every column"


def check_polars(folder):
    frame = polars.read_parquet(folder / "results.parquet")
    check_types("polars", {name: str(kind) for name, kind in frame.schema.items()}, 1)
    count = compare("polars", frame.iter_rows(named=True), lines(folder))
    return f"{count} rows"


def check_pandas(folder):
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(folder / "results.parquet")
    check_types("pandas", {field.name: str(field.type) for field in schema}, 2)
    frame = pandas.read_parquet(folder / "results.parquet", dtype_backend="pyarrow")
    names = list(frame.columns)

    def records():
        for start in range(0, len(frame), 10_000):
            part = frame.iloc[start : start + 10_000]
            columns = [part[name].array._pa_array.to_pylist() for name in names]
            for cells in zip(*columns):
                yield dict(zip(names, cells))

    count = compare("pandas", records(), lines(folder))
    return f"{count} rows"


def check_csv(folder):
    """Every value as it was, but for the apostrophe before what would be a formula."""
    frame = pandas.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    count = formulas = 0
    names = list(frame.columns)
    for cells, row in zip(frame.itertuples(index=False, name=None), lines(folder), strict=True):
        record = dict(zip(names, cells))
        for name, ours in flat(row).items():
            theirs = record[name]
            if isinstance(ours, list):
                ours = ";".join(ours)
            if isinstance(ours, bool):
                ours = str(ours).lower()
            if isinstance(ours, float):
                if numpy.float32(ours) != numpy.float32(theirs):
                    fail(f"CSV: row {row['row']}, {name}: {theirs!r} is not {ours!r}")
                continue
            ours = "" if ours is None else str(ours)
            if theirs.startswith("'") and not ours.startswith("'"):
                formulas += 1
                theirs = theirs[1:]
            elif theirs[:1] in ("=", "+", "@", "\t", "\r"):
                fail(f"CSV: row {row['row']}, {name}: {theirs!r} is a formula")
            if theirs != ours:
                fail(f"CSV: row {row['row']}, {name}: {theirs!r} is not {ours!r}")
        count += 1
    return f"{count} rows, {formulas} cells kept from being formulas"


def check_sqlite(folder):
    database = sqlite3.connect(f"file:{folder / 'results.sqlite'}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row

    def records():
        for row in database.execute("SELECT * FROM results ORDER BY row"):
            record = dict(row)
            for name in ("issues", "palette"):
                record[name] = json.loads(record[name]) if record[name] is not None else None
            for name in ("has_alpha", "exif_has_gps"):
                record[name] = bool(record[name]) if record[name] is not None else None
            if record["fetched_at"]:
                record["fetched_at"] = datetime.datetime.fromisoformat(record["fetched_at"].replace("Z", "+00:00"))
            yield record

    count = compare("SQLite", records(), lines(folder))
    ok = database.execute("SELECT count(*) FROM results WHERE outcome = 'ok'").fetchone()[0]
    return f"{count} rows, {ok} of them ok"


def check_data_set(folder):
    connection = duckdb.connect()
    path = str(folder / "results" / "**" / "*.parquet")
    found = connection.execute(
        f"SELECT outcome, count(*) FROM read_parquet('{path}', hive_partitioning = true) GROUP BY 1 ORDER BY 1"
    ).fetchall()
    counted = {}
    for row in lines(folder):
        counted[row["outcome"]] = counted.get(row["outcome"], 0) + 1
    if dict(found) != counted:
        fail(f"the data set holds {dict(found)}, not {counted}")
    return f"{sum(counted.values())} rows by {len(counted)} values of outcome"


def check_libreoffice(folder):
    """Opens the first rows as a spreadsheet does that takes a comma, a semicolon or a tab for the separator: no cell may become a formula."""
    office = shutil.which("soffice")
    if not office:
        return "left out: soffice is not there (Debian: libreoffice-calc-nogui)"
    with tempfile.TemporaryDirectory() as scratch:
        sample = Path(scratch) / "sample.csv"
        with open(folder / "results.csv", encoding="utf-8", newline="") as table:
            sample.write_text("".join(itertools.islice(table, 20_000)), encoding="utf-8", newline="")
        for separator in (44, 59, 9):
            command = [office, "--headless", f"-env:UserInstallation=file://{scratch}/profile", f"--infilter=CSV:{separator},34,76",
                       "--convert-to", "fods", "--outdir", scratch, str(sample)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=600)
            with open(Path(scratch) / "sample.fods", encoding="utf-8") as sheet:
                if any("table:formula=" in line for line in sheet):
                    fail(f"LibreOffice finds a formula with separator {chr(separator)!r}")
    return "no formula, whichever separator"


def main():
    folder = Path(sys.argv[1])
    checks = [
        ("SHA-256", check_sums),
        ("zstd", check_zstd),
        ("DuckDB", check_duckdb),
        ("polars", check_polars),
        ("pandas", check_pandas),
        ("pandas, CSV", check_csv),
        ("SQLite", check_sqlite),
        ("LibreOffice", check_libreoffice),
    ]
    if (folder / "results").is_dir():
        checks.append(("DuckDB, data set", check_data_set))
    for name, check in checks:
        started = time.monotonic()
        said = check(folder)
        print(f"{name:18} {said} ({time.monotonic() - started:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
