"""What one writes first: aiohttp, Pillow and imagehash over a list, one JSON object a row.

    python asyncio_pillow.py LIST OUTPUT
"""

import asyncio
import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import imagehash
from PIL import Image, ImageFilter, ImageStat

CONCURRENCY = 128


def measure(body):
    with Image.open(io.BytesIO(body)) as image:
        image.load()
        luma = image.convert("L")
        edges = luma.filter(ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), scale=1, offset=128))
        return {
            "format": image.format,
            "width": image.width,
            "height": image.height,
            "phash": str(imagehash.phash(image)),
            "dhash": str(imagehash.dhash(image)),
            "mean_rgb": ImageStat.Stat(image.convert("RGB")).mean,
            "sharpness": ImageStat.Stat(edges).var[0],
        }


async def check(session, decoders, url):
    try:
        async with session.get(url) as answer:
            answer.raise_for_status()
            body = await answer.read()
        loop = asyncio.get_running_loop()
        measured = await loop.run_in_executor(decoders, measure, body)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is the row's result
        return {"url": url, "outcome": "failed", "detail": f"{type(error).__name__}: {error}"}
    return {"url": url, "outcome": "ok", **measured}


async def main(list_path, output_path):
    with open(list_path) as lines:
        urls = [line.strip() for line in lines]
    waiting = iter(urls)
    with ThreadPoolExecutor(os.cpu_count()) as decoders, open(output_path, "w") as output:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as session:

            async def work():
                for url in waiting:
                    output.write(json.dumps(await check(session, decoders, url)) + "\n")

            await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
