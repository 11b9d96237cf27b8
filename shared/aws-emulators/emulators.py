#!/usr/bin/env python3
"""Starts the stand-ins for AWS services and ends with whoever started it.

usage: emulators.py DYNOXIDE

Prints one line of JSON once both answer: {"dynamodb": URL, "others": URL}. Runs until standard input ends, which happens by itself when
the process at the other end is gone, however it went.
"""

import ctypes
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sqs.models import Message
from werkzeug.serving import make_server

HOST = "127.0.0.1"
START_SECONDS = 30
POLL_SECONDS = 0.05
PR_SET_PDEATHSIG = 1


class Serial:
    """moto takes no locks, so one request at a time is let in.

    A receive that waits would keep all others out. It is made to ask again and again without waiting instead, so that even two
    receives never meet.
    """

    def __init__(self, application):
        self.application = application
        self.lock = threading.Lock()

    def __call__(self, environment, start_response):
        if environment.get("HTTP_X_AMZ_TARGET") == "AmazonSQS.ReceiveMessage":
            return self.receive(environment, start_response)
        return self.answer(environment, start_response)

    def receive(self, environment, start_response):
        request = json.loads(environment["wsgi.input"].read(int(environment["CONTENT_LENGTH"])))
        deadline = time.monotonic() + request.get("WaitTimeSeconds", 0)
        request["WaitTimeSeconds"] = 0
        body = json.dumps(request).encode()
        while True:
            attempt = {
                **environment,
                "wsgi.input": io.BytesIO(body),
                "CONTENT_LENGTH": str(len(body)),
            }
            head = []
            answer = self.answer(attempt, lambda *arguments: head.extend(arguments))
            is_empty = head[0].startswith("200") and not json.loads(b"".join(answer)).get("Messages")
            if not is_empty or time.monotonic() >= deadline:
                start_response(*head)
                return answer
            time.sleep(POLL_SECONDS)

    def answer(self, environment, start_response):
        with self.lock:
            # A list, because some answers are made while they are read.
            return list(self.application(environment, start_response))


def honour_the_latest_receipt_only():
    """moto deletes and hides messages by receipts of earlier receives too. SQS asks for the latest one: with another "the request
    succeeds, but the message will not be deleted" (API reference of DeleteMessage)."""
    Message.had_receipt_handle = lambda message, receipt: receipt == message.receipt_handle


def start_moto():
    honour_the_latest_receipt_only()
    application = Serial(DomainDispatcherApplication(create_backend_app))
    server = make_server(HOST, 0, application, threaded=True)
    # moto writes this port into the addresses of queues when it makes them outside a request.
    os.environ["MOTO_PORT"] = str(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def die_with_parent():
    """So that nothing is left behind even when this script is killed; Linux only, elsewhere the end of standard input has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start_dynoxide(program):
    """It cannot be asked to pick a port, so a free one is looked for; should somebody else be quicker, another one."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        process = subprocess.Popen(
            [program, "--host", HOST, "--port", str(port), "--log", "quiet"],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            preexec_fn=die_with_parent,
        )
        while process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection((HOST, port), timeout=1).close()
                return process, port
            except OSError:
                time.sleep(POLL_SECONDS)
    sys.exit(f"{program} did not start within {START_SECONDS} seconds")


def main():
    dynoxide, dynamodb_port = start_dynoxide(sys.argv[1])
    others_port = start_moto()
    addresses = {
        "dynamodb": f"http://{HOST}:{dynamodb_port}",
        "others": f"http://{HOST}:{others_port}",
    }
    print(json.dumps(addresses), flush=True)
    sys.stdin.buffer.read()
    dynoxide.kill()
    dynoxide.wait()
    # Requests may still be waiting; nobody is left to hear their answers.
    os._exit(0)


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    main()
