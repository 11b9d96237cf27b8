"""Near duplicates of a corpus whose answer is known: ours beside imagededup's and czkawka's, on the same files.

usage: compare.py CORPUS --measure BINARY --find BINARY [--czkawka BINARY]

A file is named <picture>.<what was done>.<format>; two files show the same picture if and only if the first part is the same. Every
finder puts files into groups or pairs. Counted are pairs of files:

  recall     of the pairs of one picture (a plain file and what was made of it), how many lie together
  precision  of the pairs that lie together, how many are of one picture

Mirrored and turned copies are counted apart: nobody promises them, unless asked.
"""

import argparse
import importlib.machinery
import itertools
import json
import subprocess
import sys
import tempfile
import time
import types
from collections import Counter, defaultdict
from pathlib import Path

POSITIONS = ("mirrored", "turned")


def picture(path):
    return Path(path).name.split(".")[0]


def change(path):
    return Path(path).name.split(".")[1]


def pairs_of_groups(groups):
    for group in groups:
        yield from itertools.combinations(sorted(group), 2)


def ours(files, measure, find, options, mode):
    """Groups, by the binaries of this repository: measured, then searched."""
    output = subprocess.run([measure, *mode, *files], capture_output=True, text=True, check=True).stdout
    rows = [json.loads(line) for line in output.splitlines()]
    text = "".join(
        f"{row['sha256']}\t{row['phash']}\t{row['entropy']}\t{row['contrast']}\n" for row in rows
    )
    found = subprocess.run([find, *options], input=text, capture_output=True, text=True, check=True).stdout
    groups = defaultdict(list)
    for line in found.splitlines():
        row, _, group = line.split("\t")
        groups[group].append(rows[int(row)]["path"])
    return pairs_of_groups(groups.values())


class Open(type):
    """A class whose every attribute is another such class."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Open(name, (), {"__init__": lambda self, *_, **__: None})


class Anything(types.ModuleType):
    """A module in which every name is a class that does nothing."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        made = getattr(Open("Any", (), {}), name)
        setattr(self, name, made)
        return made


class WithoutTorch:
    """imagededup imports torch for its neural networks when any of it is imported. Its hashes do not use it."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return Anything(spec.name)

    def exec_module(self, module):
        pass


def without_torch():
    sys.meta_path.insert(0, WithoutTorch())


def imagededup_pairs(files, threshold):
    from imagededup.methods import PHash

    hasher = PHash(verbose=False)
    encodings = {path: hasher.encode_image(image_file=path) for path in files}
    found = hasher.find_duplicates(encoding_map=encodings, max_distance_threshold=threshold, scores=False)
    return {tuple(sorted((path, other))) for path, others in found.items() for other in others}


def imagehash_pairs(files, threshold):
    import imagehash
    import numpy
    from PIL import Image

    bits = numpy.array([imagehash.phash(Image.open(path)).hash.flatten() for path in files])
    pairs = set()
    for row in range(len(files)):
        distances = (bits[row + 1 :] != bits[row]).sum(axis=1)
        for other in numpy.nonzero(distances <= threshold)[0]:
            pairs.add(tuple(sorted((files[row], files[row + 1 + int(other)]))))
    return pairs


def czkawka(binary, corpus, difference):
    """Gradient hash of 16 × 16, as it comes; files below its 16 KiB are looked at as well."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        # Its exit code says whether something was found.
        subprocess.run([binary, "image", "-d", str(corpus), "-p", str(results), "-m", "1", "-s", str(difference)], capture_output=True)
        groups = json.loads(results.read_text())
    return pairs_of_groups([[entry["path"] for entry in group] for group in groups])


def tally(found, files):
    found = {tuple(sorted((str(Path(a).resolve()), str(Path(b).resolve())))) for a, b in found}
    right = {pair for pair in found if picture(pair[0]) == picture(pair[1])}
    wrong = len(found) - len(right)
    by_picture = defaultdict(list)
    for path in files:
        by_picture[picture(path)].append(path)
    expected, hit = Counter(), Counter()
    for same in by_picture.values():
        plain = [path for path in same if change(path) == "plain"]
        for path in same:
            if path in plain:
                continue
            expected[change(path)] += 1
            hit[change(path)] += tuple(sorted((plain[0], path))) in right
    kept = [name for name in expected if name not in POSITIONS]
    recall = sum(hit[name] for name in kept) / sum(expected[name] for name in kept)
    precision = len(right) / len(found) if found else 1.0
    return recall, precision, wrong, {name: hit[name] / expected[name] for name in expected}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--measure", required=True)
    parser.add_argument("--find", required=True)
    parser.add_argument("--czkawka")
    arguments = parser.parse_args()
    files = sorted(str(path.resolve()) for path in arguments.corpus.iterdir() if path.suffix in (".jpeg", ".png"))
    pictures = {picture(path) for path in files}
    print(f"{len(files)} files of {len(pictures)} pictures\n")
    sides = [
        ("imgsweep, d = 6", lambda: ours(files, arguments.measure, arguments.find, [], [])),
        ("imgsweep, d = 6, full", lambda: ours(files, arguments.measure, arguments.find, [], ["--full"])),
        ("imgsweep, d = 10", lambda: ours(files, arguments.measure, arguments.find, ["--distance", "10"], [])),
        ("imgsweep, d = 6, turned", lambda: ours(files, arguments.measure, arguments.find, ["--turned"], [])),
        ("imagehash pHash, d = 6", lambda: imagehash_pairs(files, 6)),
    ]
    try:
        without_torch()
        import imagededup.methods  # noqa: F401

        sides.append(("imagededup pHash, d = 6", lambda: imagededup_pairs(files, 6)))
        sides.append(("imagededup pHash, d = 10 (its own)", lambda: imagededup_pairs(files, 10)))
    except ImportError as error:
        print(f"imagededup is left out: {error}\n")
    if arguments.czkawka and Path(arguments.czkawka).exists():
        for difference, name in ((5, "its own"), (20, "its most")):
            side = lambda difference=difference: czkawka(arguments.czkawka, arguments.corpus, difference)
            sides.append((f"czkawka, difference {difference} ({name})", side))
    else:
        print("czkawka is left out: no --czkawka with its binary\n")
    changes = ["png", "reencoded", "resized", "brightened", "cropped", "watermarked", *POSITIONS]
    print(f"{'':36} {'recall':>7} {'precision':>9} {'wrong':>6} {'s':>6}   " + " ".join(f"{name[:9]:>9}" for name in changes))
    for name, side in sides:
        started = time.monotonic()
        found = list(side())
        seconds = time.monotonic() - started
        recall, precision, wrong, by_change = tally(found, files)
        shares = " ".join(f"{by_change.get(change, 0):>9.2f}" for change in changes)
        print(f"{name:36} {recall:>7.3f} {precision:>9.3f} {wrong:>6} {seconds:>6.1f}   {shares}", flush=True)


if __name__ == "__main__":
    main()
