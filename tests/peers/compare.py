"""Holds imgsweep against its peers: the same list, the same loop-back server, in turn, whole processes.

    make bench-peers                                # everything
    make bench-peers PEERS_ARGS=--quick             # a first look
    python3 tests/peers/compare.py --help

Prints medians, and the ratios that `README.md` beside this file explains, each with its goal. Exits 1 when a side fails, never
because a goal is missed: on a busy machine that proves nothing.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

import measuring
import origin
import sides

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The goal on memory is stated for this concurrency.
MEMORY_CONCURRENCY = 256
# A shorter list is over before that many requests are under way for a while.
MEMORY_ROWS = 4 * MEMORY_CONCURRENCY
# The list whose memory is compared with that of the plain one is so many times as long.
LONGER = 5
# Memory that does not grow with the list: allocators are not exact.
FLAT_WITHIN = 1.2


class Bench:
    """One comparison under way."""

    def __init__(self, base, names, scratch):
        self.base = base
        self.names = names
        self.scratch = scratch
        self.costs = {}
        self.loaded = {}

    def list_of(self, rows):
        """A list of that many URLs, all different; files come again when there are not enough."""
        path = self.scratch / f"list-{rows}.txt"
        if not path.exists():
            urls = (f"{self.base}/image/{self.names[row % len(self.names)]}?row={row}" for row in range(rows))
            path.write_text("".join(f"{url}\n" for url in urls))
        return path

    def run(self, key, side, rows):
        """Runs a side once and returns what it took; its results are looked at and thrown away."""
        folder = self.scratch / key
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        place = sides.Place(self.list_of(rows), folder, folder / "stdout")
        cost = measuring.run(side.command(place), place.output, folder / "stderr")
        loaded = side.loaded(place)
        if loaded < rows * (1 - side.may_fail):
            raise measuring.RunFailed(f"{side.title} loaded only {loaded} of {rows} images", folder / "stderr")
        shutil.rmtree(folder)
        self.loaded[key] = loaded
        return cost

    def round(self, contenders, number):
        """Every side once; the order turns round from round to round."""
        order = list(contenders.items())
        if number % 2:
            order.reverse()
        for key, side in order:
            cost = self.run(key, side, len(self.names))
            note(f"  {side.title}: {cost.wall_s:.2f} s, CPU {cost.cpu_s:.2f} s, {cost.peak_mb:.0f} MB")
            # The first round warms the caches up.
            if number > 0:
                self.costs.setdefault(key, []).append(cost)


def main():
    arguments = parse_arguments()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binaries = target / "release"
    if arguments.install:
        install()
    contenders = choose(arguments.sides, all_sides(binaries, arguments.python))
    images = origin.corpus(binaries, target, arguments.images)
    names = origin.names(images)

    with contextlib.ExitStack() as stack:
        scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imgsweep-peers-")))
        server, base = start_server(stack, arguments.server, binaries, images, scratch)
        bench = Bench(base, names, scratch)
        try:
            starts = {key: bench.run(key, side, 1) for key, side in contenders.items()}
            for number in range(arguments.rounds + 1):
                note(f"round {number} of {arguments.rounds}" + (" (warm-up)" if number == 0 else ""))
                bench.round(contenders, number)
            memory = peak_memory(bench, contenders, binaries)
        except measuring.RunFailed as failure:
            sys.exit(str(failure))

    figures = summarise(contenders, bench, starts)
    goals = judge(bench.costs, memory)
    print_all(arguments, server, images, contenders, figures, goals)
    if arguments.json:
        arguments.json.write_text(json.dumps({"sides": figures, "goals": goals}, indent=1) + "\n")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, help="rounds after the warm-up [5]")
    parser.add_argument("--images", type=positive, help="images, and rows of the list [2000]")
    parser.add_argument("--quick", action="store_true", help="300 images and 2 rounds, where not told otherwise")
    parser.add_argument("--sides", default="run,header,img2dataset,limit,lychee", help="of these and `pillow` [%(default)s]")
    parser.add_argument("--server", choices=("auto", "nginx", "sample-origin"), default="auto", help="auto: nginx if it is there")
    parser.add_argument("--python", type=pathlib.Path, default=ROOT / ".venv/peers/bin/python", help="the peers' Python")
    parser.add_argument("--install", action="store_true", help="install nginx-light and lychee first, where they are missing")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures there as well")
    arguments = parser.parse_args()
    arguments.images = arguments.images or (300 if arguments.quick else 2000)
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 5)
    return arguments


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def install():
    if not origin.find_nginx():
        subprocess.run(["apt-get", "install", "--yes", "nginx-light"], check=True)
    if not shutil.which("lychee"):
        subprocess.run(["cargo", "install", "--locked", "lychee"], check=True)


def all_sides(binaries, python):
    return {
        "run": sides.imgsweep(binaries, measure="fast"),
        "header": sides.imgsweep(binaries, measure="header"),
        "img2dataset": sides.img2dataset(python),
        "limit": sides.fetch_limit(binaries),
        "lychee": sides.lychee(),
        "pillow": sides.asyncio_pillow(python),
    }


def choose(wanted, known):
    """The wanted sides that can run; says which cannot."""
    chosen = {}
    for key in wanted.split(","):
        side = known.get(key)
        if side is None:
            sys.exit(f"there is no side {key}; there are {', '.join(known)}")
        if side.version is None:
            print(f"skipped: {side.title}: not installed; {side.missing}")
        else:
            chosen[key] = side
    return chosen


def start_server(stack, wanted, binaries, images, scratch):
    """Starts the server for as long as `stack` is open; returns its name and its address."""
    program = None if wanted == "sample-origin" else origin.find_nginx()
    if program:
        return "nginx", stack.enter_context(origin.nginx(program, images, scratch))
    if wanted == "nginx":
        sys.exit("nginx is not installed: `apt-get install nginx-light`, or --install, or --server sample-origin")
    return "sample-origin's `serve`", stack.enter_context(origin.sample_origin(binaries, images))


def peak_memory(bench, contenders, binaries):
    """Peak megabytes at the concurrency of the goal: over the list, and over a longer one. `None` when that would say nothing."""
    rows = len(bench.names)
    if "run" not in contenders or rows < MEMORY_ROWS:
        return None
    side = sides.imgsweep(binaries, measure="fast", concurrency=MEMORY_CONCURRENCY)
    note(f"peak memory at concurrency {MEMORY_CONCURRENCY}")
    return [bench.run("memory", side, length).peak_mb for length in (rows, rows * LONGER)]


def summarise(contenders, bench, starts):
    """Medians of every side, per URL of the list."""
    rows = len(bench.names)
    figures = {}
    for key, side in contenders.items():
        costs = bench.costs[key]
        figures[key] = {
            "title": f"{side.title} {side.version}".strip(),
            "cpu_ms_per_url": statistics.median(cost.cpu_s for cost in costs) * 1000 / rows,
            "urls_per_s": rows / statistics.median(cost.wall_s for cost in costs),
            "wall_s": statistics.median(cost.wall_s for cost in costs),
            "peak_mb": statistics.median(cost.peak_mb for cost in costs),
            "start_cpu_s": starts[key].cpu_s,
            "loaded": bench.loaded[key],
            "rounds": [vars(cost) for cost in costs],
        }
    return figures


def judge(costs, memory):
    """Each goal with its figure; `None` where a side was missing."""
    return [
        at_most(
            "CPU per URL, against img2dataset",
            median_ratio(costs, "run", "img2dataset", lambda cost: cost.cpu_s),
            0.1,
        ),
        at_least(
            "URLs/s, against img2dataset",
            median_ratio(costs, "img2dataset", "run", lambda cost: cost.wall_s),
            10,
        ),
        at_least(
            "header mode: URLs/s, against lychee",
            median_ratio(costs, "lychee", "header", lambda cost: cost.wall_s),
            4,
        ),
        at_most(
            "header mode: CPU per URL, against the raw socket loop",
            median_ratio(costs, "header", "limit", lambda cost: cost.cpu_s),
            2,
        ),
        at_most(f"peak MB of `run`, concurrency {MEMORY_CONCURRENCY}", memory[0] if memory else None, 300),
        at_most(f"the same over a list {LONGER} times as long, against it", memory[1] / memory[0] if memory else None, FLAT_WITHIN),
    ]


def median_ratio(costs, above, below, figure):
    """Median over the rounds of the ratio within a round: what slows a round down slows both sides."""
    if above not in costs or below not in costs:
        return None
    pairs = zip(costs[above], costs[below], strict=True)
    return statistics.median(figure(left) / figure(right) for left, right in pairs)


def at_most(what, value, limit):
    return {"what": what, "value": value, "goal": f"≤ {limit:g}", "reached": None if value is None else value <= limit}


def at_least(what, value, limit):
    return {"what": what, "value": value, "goal": f"≥ {limit:g}", "reached": None if value is None else value >= limit}


def print_all(arguments, server, images, contenders, figures, goals):
    megabytes = sum(path.stat().st_size for path in images.iterdir()) / 1e6
    load = os.getloadavg()[1]
    print(
        f"\n{arguments.images} images, {megabytes:.0f} MB, from {server}; medians of {arguments.rounds} interleaved rounds; "
        f"{os.cpu_count()} processors ({platform.machine()}), load average {load:.1f}\n"
    )
    print("| system | CPU-ms/URL | URLs/s | seconds | peak MB | CPU-s for one URL | loaded |")
    print("|---|---|---|---|---|---|---|")
    for key in contenders:
        figure = figures[key]
        print(
            f"| {figure['title']} | {figure['cpu_ms_per_url']:.2f} | {figure['urls_per_s']:,.0f} | {figure['wall_s']:.1f} "
            f"| {figure['peak_mb']:,.0f} | {figure['start_cpu_s']:.2f} | {figure['loaded']:,} |"
        )
    print("\n| what | figure | goal | |")
    print("|---|---|---|---|")
    for goal in goals:
        value = "–" if goal["value"] is None else f"{goal['value']:.3g}"
        verdict = {None: "not measured", True: "reached", False: "missed"}[goal["reached"]]
        print(f"| {goal['what']} | {value} | {goal['goal']} | {verdict} |")


def note(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
