"""The corpus, and the loop-back server that every side asks for it."""

import contextlib
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import time

FILES_ARE_COMPLETE = ".complete"
PATIENCE_S = 10

NGINX_CONFIGURATION = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
{user}
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=100000;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{
        image/jpeg jpeg;
        image/png png;
        image/webp webp;
        image/gif gif;
        image/bmp bmp;
        image/tiff tiff;
        image/avif avif;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location /image/ {{ alias {images}/; }}
    }}
}}
"""


def corpus(binaries, target, images):
    """The folder with `images` files of the benchmark profile, made when it is not there yet."""
    folder = target / "peers" / f"corpus-{images}"
    marker = folder / FILES_ARE_COMPLETE
    if not marker.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([binaries / "examples" / "corpus_sizes", str(images), "bench", folder], check=True)
        marker.touch()
    return folder


def names(folder):
    """Names of the image files, in their order."""
    return sorted(path.name for path in folder.iterdir() if path.name != FILES_ARE_COMPLETE)


def find_nginx():
    """Debian puts it where only root looks for programs."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def nginx(program, images, scratch):
    """Serves the files below `/image/`; gives the address as `http://127.0.0.1:PORT`."""
    folder = scratch / "nginx"
    folder.mkdir()
    port = free_port()
    # Started by root, nginx would drop to a user who may not read the checkout.
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        NGINX_CONFIGURATION.format(folder=folder, user=user, port=port, images=images.resolve())
    )
    process = subprocess.Popen(
        [program, "-p", folder, "-c", configuration], stderr=(folder / "start.log").open("wb")
    )
    try:
        wait_for(port, process, folder / "start.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def sample_origin(binaries, images):
    """The same files from the memory of our own test host, a process of its own; gives its address."""
    process = subprocess.Popen(
        [binaries / "examples" / "serve", str(len(names(images))), "bench"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        first_url = process.stdout.readline()
        if not first_url:
            raise RuntimeError("sample-origin's `serve` did not start")
        # It prints every URL before it waits: an unread pipe would block it.
        for _ in range(len(names(images)) - 1):
            process.stdout.readline()
        yield first_url[: first_url.index("/image/")]
    finally:
        # It ends when its standard input does.
        process.stdin.close()
        process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, log):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nginx did not start: {pathlib.Path(log).read_text(errors='replace').strip()}")
