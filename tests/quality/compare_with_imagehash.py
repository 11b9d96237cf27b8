"""Holds what `imaging` measures against Pillow and imagehash, which decode every pixel.

`make quality` generates a corpus and runs this on it.

`--generate` adds a folder of files that Pillow writes: every mode, interlacing, animation and odd header it knows.

Prints, for the default mode and for `--full`: distances of both hashes, how far means and distributions are from those of all
pixels, how well sharpness ranks images as the variance of the full-resolution Laplacian does and how high it is beside it, mismatches
of format, sides, frames and alpha, and the time. Exits 1 when a goal is missed.
"""

import argparse
import json
import pathlib
import subprocess
import sys
from collections import Counter

import imagehash
import numpy
from PIL import Image, ImageFile
from scipy.stats import spearmanr

GOAL_MEDIAN_BITS = 0
GOAL_P99_BITS = {"fast": 4, "full": 2}
GOAL_RANK_CORRELATION = 0.9
# Below this entropy of luma a picture is flat, and a hash of it is the hash of rounding errors.
FLAT_BELOW_ENTROPY = 0.5
FILES_PER_CALL = 500
# A JPEG whose shorter side is this long is skimmed in the fast mode, and its sharpness estimated from coefficients.
SHORTEST_SKIMMED_SIDE = 256
# The ratio of two variances near zero says nothing.
LEVEL_ABOVE_LAPLACIAN = 1
STATISTICS = ("brightness", "contrast", "saturation", "entropy")

MAKE, ORIENTATION, EXIF_DIRECTORY, GPS_DIRECTORY, DATE_TIME_ORIGINAL = 0x010F, 0x0112, 0x8769, 0x8825, 0x9003

Image.MAX_IMAGE_PIXELS = None
# MPO is one frame to us.
PILLOW_NAMES = {"MPO": "jpeg"}


def reference(path):
    """What Pillow and imagehash say of a file; None when they cannot decode it."""
    try:
        with Image.open(path) as image:
            name = PILLOW_NAMES.get(image.format, image.format.lower())
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            size = image.size
            has_alpha = image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info
            image.seek(0)
            image.load()
            components = len(image.getbands())
            exif = image.getexif()
            orientation = exif.get(ORIENTATION)
            image = with_eight_bits(image)
            luma = numpy.asarray(image.convert("L"), dtype=numpy.float64)
            return {
                "format": name,
                "width": size[0],
                "height": size[1],
                "frames": frames,
                "has_alpha": has_alpha,
                "components": components,
                "orientation": orientation if orientation in range(1, 9) else None,
                "make": exif.get(MAKE),
                "taken_at": iso_time(exif.get_ifd(EXIF_DIRECTORY).get(DATE_TIME_ORIGINAL)),
                "has_gps": bool(exif.get_ifd(GPS_DIRECTORY)),
                "phash": int(str(imagehash.phash(image)), 16),
                "dhash": int(str(imagehash.dhash(image)), 16),
                "laplacian": laplacian_variance(luma),
                **statistics(image),
            }
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises, the file is unreadable to it
        return {"error": f"{type(error).__name__}: {error}"}


def with_eight_bits(image):
    """Pillow's own conversion cuts samples of 16 bits off at 255."""
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((numpy.asarray(image) >> 8).astype(numpy.uint8))


def statistics(image):
    """What `imaging` measures of its working image, of every pixel over white."""
    is_transparent = "A" in image.mode or "transparency" in image.info
    picture = image.convert("RGBA") if is_transparent else image.convert("RGB").convert("RGBA")
    seen = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    luma = numpy.asarray(seen.convert("L"))
    rgb = numpy.asarray(seen, dtype=numpy.float64)
    largest = rgb.max(axis=2)
    saturation = numpy.divide(largest - rgb.min(axis=2), largest, out=numpy.zeros_like(largest), where=largest > 0)
    shares = numpy.bincount(luma.ravel()) / luma.size
    shares = shares[shares > 0]
    return {
        "brightness": float(luma.mean() / 255),
        "contrast": float(luma.std() / 255),
        "saturation": float(saturation.mean()),
        "entropy": float(-(shares * numpy.log2(shares)).sum()),
    }


def laplacian_variance(luma):
    if min(luma.shape) < 3:
        return None
    inner = luma[1:-1, 1:-1]
    response = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner
    return float(response.var())


def iso_time(text):
    return text and text.replace(":", "-", 2).replace(" ", "T")


def flat_exif(exif):
    return {"make": exif.get("make"), "taken_at": exif.get("taken_at"), "has_gps": exif.get("has_gps", False)}


def measure(binary, mode, paths):
    flags = [] if mode == "fast" else [f"--{mode}"]
    rows = []
    for start in range(0, len(paths), FILES_PER_CALL):
        batch = [str(path) for path in paths[start : start + FILES_PER_CALL]]
        done = subprocess.run([binary, *flags, *batch], check=True, capture_output=True, text=True)
        rows.extend(json.loads(line) for line in done.stdout.splitlines())
    return rows


def compare(mode, rows, references, verbose):
    distances = {"phash": [], "dhash": []}
    mismatches = []
    ours, theirs = [], []
    levels = {"estimated": [], "of pixels": []}
    differences = {field: [] for field in STATISTICS}
    disagreements = []
    skipped_flat = 0
    by_format = {}
    for row, pillow in zip(rows, references):
        name = pathlib.Path(row["path"]).name
        if row["outcome"] != "ok" or "error" in pillow:
            if (row["outcome"] == "ok") != ("error" not in pillow):
                disagreements.append(f"{name}: {row['outcome']}, Pillow: {pillow.get('error', 'ok')}")
            continue
        row.update(flat_exif(row["exif"] or {}))
        for field in ("format", "width", "height", "frames", "has_alpha", "orientation", "make", "taken_at", "has_gps"):
            if row[field] != pillow[field]:
                mismatches.append(f"{name}: {field} is {row[field]}, Pillow says {pillow[field]}")
        if row["phash"] is None:
            continue
        if row["entropy"] < FLAT_BELOW_ENTROPY:
            skipped_flat += 1
            continue
        for kind in distances:
            bits = (int(row[kind], 16) ^ pillow[kind]).bit_count()
            distances[kind].append((bits, name))
            by_format.setdefault((row["format"], kind), []).append(bits)
        for field, found in differences.items():
            found.append(row[field] - pillow[field])
        if row["sharpness"] is not None and pillow["laplacian"] is not None:
            ours.append(row["sharpness"])
            theirs.append(pillow["laplacian"])
            if pillow["laplacian"] > LEVEL_ABOVE_LAPLACIAN:
                levels[how_sharpness_was_found(mode, row, pillow)].append(row["sharpness"] / pillow["laplacian"])

    print(f"\n== {mode}: {len(rows)} files, {len(ours)} compared, {skipped_flat} flat ones left out")
    missed = []
    for kind, found in distances.items():
        bits = numpy.array([distance for distance, _ in found])
        median, p99 = numpy.median(bits), numpy.percentile(bits, 99)
        print(f"{kind}: median {median:.0f}, p90 {numpy.percentile(bits, 90):.0f}, p99 {p99:.1f}, max {bits.max()}, "
              f"mean {bits.mean():.2f}; histogram {dict(sorted(Counter(bits.tolist()).items()))}")
        worst = sorted(found, reverse=True)[:verbose]
        print("".join(f"    {distance} bits: {name}\n" for distance, name in worst), end="")
        if median > GOAL_MEDIAN_BITS or p99 > GOAL_P99_BITS[mode]:
            missed.append(f"{mode} {kind}")
    for (format_name, kind), bits in sorted(by_format.items()):
        print(f"  {format_name:5} {kind}: n {len(bits)}, mean {numpy.mean(bits):.2f}, p99 {numpy.percentile(bits, 99):.1f}")
    rank = spearmanr(ours, theirs).statistic
    print(f"sharpness: Spearman {rank:.4f} against the Laplacian variance of Pillow's luma")
    if rank < GOAL_RANK_CORRELATION:
        missed.append(f"{mode} sharpness")
    for how, ratios in levels.items():
        if ratios:
            low, median, high = numpy.percentile(ratios, [10, 50, 90])
            print(f"  {how}: n {len(ratios)}, level p10 {low:.2f}, median {median:.2f}, p90 {high:.2f}")
    for field, found in differences.items():
        size = numpy.abs(found)
        print(f"{field}: mean difference {numpy.mean(found):+.4f}, size median {numpy.median(size):.4f}, p99 {numpy.percentile(size, 99):.4f}")
    for title, lines in (("mismatches", mismatches), ("disagreements on readability", disagreements)):
        print(f"{title}: {len(lines)}")
        for line in lines[:40]:
            print(f"    {line}")
    if mismatches:
        missed.append(f"{mode} header")
    by_time = sorted(row["microseconds"] for row in rows)
    print(f"time: mean {numpy.mean(by_time) / 1000:.2f} ms, median {numpy.median(by_time) / 1000:.2f} ms, max {by_time[-1] / 1000:.1f} ms")
    return missed


def how_sharpness_was_found(mode, row, pillow):
    is_skimmed = mode == "fast" and row["format"] == "jpeg" and min(row["width"], row["height"]) >= SHORTEST_SKIMMED_SIDE
    return "estimated" if is_skimmed and pillow["components"] != 4 else "of pixels"


def pictures():
    """A few deterministic pictures with edges, gradients and texture."""
    for number, (width, height) in enumerate([(640, 480), (301, 211), (90, 350), (33, 17)]):
        random = numpy.random.default_rng(number)
        y, x = numpy.mgrid[0:height, 0:width].astype(numpy.float64)
        planes = []
        for channel in range(3):
            plane = 128 + 70 * numpy.sin(x / (9 + 7 * channel)) * numpy.cos(y / (23 - 5 * channel))
            plane += 60 * ((x - width * 0.6) ** 2 + (y - height * 0.4) ** 2 < (min(width, height) * (0.2 + 0.1 * channel)) ** 2)
            planes.append(plane + random.normal(0, 6, plane.shape))
        yield f"p{number}", Image.fromarray(numpy.clip(numpy.stack(planes, axis=-1), 0, 255).astype(numpy.uint8))


def generate(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, rgb in pictures():
        alpha = rgb.convert("L").point(lambda value: 255 if value > 90 else value)
        rgba = rgb.copy()
        rgba.putalpha(alpha)
        gray = rgb.convert("L")
        frames = [rgb.rotate(angle) for angle in (90, 180, 270)]

        def save(image, suffix, **options):
            # An image remembers the settings of the encoder it went through, and the next one trips over them.
            if "append_images" in options:
                options["append_images"] = [frame.copy() for frame in options["append_images"]]
            image.copy().save(folder / f"{name}-{suffix}", **options)

        for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1"):
            save(rgb, f"{subsampling.replace(':', '')}.jpg", subsampling=subsampling, quality=85)
        save(rgb, "progressive.jpg", progressive=True, quality=75)
        save(rgb, "restart.jpg", restart_marker_blocks=3)
        save(rgb, "low.jpg", quality=8)
        save(rgb, "rgb.jpg", keep_rgb=True)
        save(gray, "gray.jpg")
        save(rgb.convert("CMYK"), "cmyk.jpg", quality=90)
        save(frames[0], "mpo.jpg", format="MPO", save_all=True, append_images=frames[1:])
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
            save({"LA": rgba.convert("LA"), "RGBA": rgba}.get(mode, rgb.convert(mode)), f"{mode}.png")
        save(Image.fromarray(numpy.asarray(gray).astype(numpy.uint16) * 257), "deep.png")
        save(rgb.quantize(5), "five.png", bits=4)
        save(rgb.quantize(64), "transparent.png", transparency=3)
        save(rgb, "color-key.png", transparency=(255, 0, 0))
        save(rgb, "apng.png", save_all=True, append_images=frames)
        save(rgb, "apng-default.png", save_all=True, append_images=frames, default_image=True)
        save(rgb.convert("P"), "plain.gif", interlace=0)
        save(rgb.convert("P"), "interlaced.gif", interlace=1)
        save(rgb.quantize(32), "transparent.gif", transparency=1)
        save(rgb, "animated.gif", save_all=True, append_images=frames, loop=0)
        for quality in (5, 80):
            save(rgb, f"{quality}.webp", quality=quality)
        save(rgba, "alpha.webp", quality=70)
        save(rgba, "lossless.webp", lossless=True)
        save(rgb, "animated.webp", save_all=True, append_images=frames, quality=60)
        for mode in ("1", "L", "P", "RGB", "RGBA"):
            save(rgba if mode == "RGBA" else rgb.convert(mode), f"{mode}.bmp")
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
            save(rgb, f"{compression}.tiff", compression=compression)
        save(rgb.convert("1"), "group4.tiff", compression="group4")
        save(rgba, "alpha.tiff")
        save(rgb.convert("CMYK"), "cmyk.tiff")
        save(rgb, "pages.tiff", save_all=True, append_images=frames)
        save(rgb, "big.tiff", big_tiff=True)
        save(rgb, "plain.avif")
        save(rgba, "alpha.avif")
        save(rgb, "animated.avif", save_all=True, append_images=frames)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="the example program `measure`")
    parser.add_argument("folder", type=pathlib.Path, help="folder of images, searched through")
    parser.add_argument("--generate", action="store_true", help="write Pillow's own files into FOLDER/pillow first")
    parser.add_argument("--worst", type=int, default=5, help="worst files named for each hash")
    arguments = parser.parse_args()
    # Pillow decides what is cut off: no patching up.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    if arguments.generate:
        generate(arguments.folder / "pillow")
    paths = sorted(path for path in arguments.folder.rglob("*") if path.is_file())
    references = [reference(path) for path in paths]
    missed = []
    for mode in ("fast", "full"):
        rows = measure(arguments.binary, mode, paths)
        missed += compare(mode, rows, references, arguments.worst)
    print(f"\ngoals missed: {', '.join(missed) or 'none'}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
