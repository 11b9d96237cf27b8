"""Who is compared: how each is started, and how many images it says it loaded."""

import json
import pathlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

# What `imgsweep run` and lychee use when not told otherwise.
CONCURRENCY = 128
FETCH_LIMIT_CONNECTIONS = 16


@dataclass
class Place:
    """Where one run finds its list and leaves what it makes."""

    list: pathlib.Path
    folder: pathlib.Path
    # Its standard output.
    output: pathlib.Path


@dataclass
class Side:
    """One contender."""

    title: str
    # `None` when it cannot be run here; then `missing` says why.
    version: str | None
    command: Callable[[Place], list]
    loaded: Callable[[Place], int]
    missing: str = ""
    # How many images more than this share of the list it may fail to read, as formats it does not know.
    may_fail: float = 0.1


def imgsweep(binaries, *, measure, concurrency=CONCURRENCY):
    program = binaries / "imgsweep"

    def command(place):
        # The whole list is on one host, and the peers know no limit per host.
        return [
            *(program, "run", place.list, "--output", place.folder / "out", "--json", "--measure", measure),
            *("--concurrency", str(concurrency), "--per-host", str(concurrency)),
            *("--allow-private", "127.0.0.0/8"),
        ]

    def loaded(place):
        return json.loads(place.output.read_text())["ok"]

    title = "imgsweep run" if measure == "fast" else f"imgsweep run --measure {measure}"
    return Side(title, version_of(program), command, loaded, missing="run `make bench-peers`, which builds it")


def img2dataset(python):
    program = python.with_name("img2dataset")

    def command(place):
        # Nothing but its defaults: one process, 256 threads, resize to 256 × 256 with a border, JPEG files.
        return [program, "--url_list", place.list, "--output_folder", place.folder / "out"]

    def loaded(place):
        shards = (place.folder / "out").glob("*_stats.json")
        return sum(json.loads(shard.read_text())["successes"] for shard in shards)

    return Side(
        "img2dataset",
        python_package(python, "img2dataset"),
        command,
        loaded,
        missing="`make bench-peers` installs it into .venv/peers",
        may_fail=0.2,
    )


def asyncio_pillow(python):
    script = pathlib.Path(__file__).with_name("asyncio_pillow.py")

    def command(place):
        return [python, script, place.list, place.folder / "out.ndjson"]

    def loaded(place):
        with (place.folder / "out.ndjson").open() as rows:
            return sum(json.loads(row)["outcome"] == "ok" for row in rows)

    return Side(
        "asyncio + Pillow + imagehash",
        python_package(python, "ImageHash"),
        command,
        loaded,
        missing="`make bench-peers` installs it into .venv/peers",
        may_fail=0.2,
    )


def fetch_limit(binaries):
    program = binaries / "fetch-limit"

    def command(place):
        return [program, place.list, str(FETCH_LIMIT_CONNECTIONS)]

    def loaded(place):
        return json.loads(place.output.read_text())["urls"]

    return Side(
        "raw socket loop (limit)",
        "" if program.exists() else None,
        command,
        loaded,
        missing="run `make bench-peers`, which builds it",
        may_fail=0.0,
    )


def lychee():
    program = shutil.which("lychee")

    def command(place):
        return [
            *(program, "--method", "get", "--no-progress", "--format", "json"),
            *("--max-concurrency", str(CONCURRENCY)),
            # It spares hosts, as imgsweep does; the list is on one.
            *("--host-concurrency", str(CONCURRENCY), "--host-request-interval", "0ms"),
            place.list,
        ]

    def loaded(place):
        return json.loads(place.output.read_text())["successful"]

    return Side(
        "lychee, GET",
        version_of(program) if program else None,
        command,
        loaded,
        missing="`cargo install --locked lychee` brings it",
    )


def version_of(program):
    """The last word of what `--version` prints; `None` when the program is not there."""
    if not pathlib.Path(program).exists():
        return None
    printed = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    return printed.split()[-1]


def python_package(python, name):
    """The version of an installed package; `None` without it, or without that Python."""
    if not python.exists():
        return None
    question = f"import importlib.metadata as packages; print(packages.version({name!r}))"
    answer = subprocess.run([python, "-c", question], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None
